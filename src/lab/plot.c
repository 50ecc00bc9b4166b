/* plot.c -- curves: the script, and the same numbers as CSV. */
#include "lab/plot.h"

#include <math.h>

#include "lab/axis.h"
#include "lab/gnuplot.h"
#include "lab/plot_script.h"
#include "lab/svg.h"

void mo__plot_script_begin(int width, int height, mo__buffer *script)
{
    mo__buffer_add(script,
                   "set encoding utf8\n"
                   "set terminal svg size %d,%d dynamic font 'sans-serif,14' noenhanced\n"
                   "set border 3 lc rgb %d\nunset key\nset pointintervalbox 0\n"
                   "set tics nomirror scale 0.4\n"
                   "set rmargin 2\nset tmargin 0.8\nset xlabel offset 0,0.4\nset ylabel offset 1.2,0\n",
                   width, height, MO__INK_AXIS);
}

static int ink(const mo__curve *c)
{
    if (c->colour >= MO__LEVEL(0)) return MO__INK_MORE + c->colour - MO__LEVEL(0);
    return MO__INK_SERIES + c->colour % MO__COLOURS;
}

bool mo__curve_drawable(const mo__curve *c, int64_t i)
{
    return isfinite(c->x[i]) && isfinite(c->y[i]);
}

mo__curve_style mo__curve_drawn_as(const mo__curve *c)
{
    int values = 0;
    for (int64_t i = 0; i < c->count && values < 2; i++) values += mo__curve_drawable(c, i);
    return values == 1 ? MO__CURVE_POINTS : c->style;
}

/* Of a line with many points all that can be seen: each stretch of x keeps its lowest and its highest y. */
enum { STRETCHES = 500 };

typedef struct writer {
    const mo__axis *x, *y;
    mo__buffer *script;
} writer;

/* All digits: what is rounded beyond the end of its axis is not drawn. */
static void write_row(const writer *w, const mo__curve *c, int64_t i)
{
    mo__buffer_add(w->script, "%.17g %.17g", c->x[i] / w->x->unit, c->y[i] / w->y->unit);
    if (c->low && c->high)
        mo__buffer_add(w->script, " %.10g %.10g", c->low[i] / w->y->unit, c->high[i] / w->y->unit);
    mo__buffer_add(w->script, "\n");
}

static void write_stretch(const writer *w, const mo__curve *c, int64_t begin, int64_t end)
{
    int64_t low = -1, high = -1;
    for (int64_t i = begin; i < end; i++) {
        if (!mo__curve_drawable(c, i)) continue;
        if (low < 0 || c->y[i] < c->y[low]) low = i;
        if (high < 0 || c->y[i] > c->y[high]) high = i;
    }
    if (low < 0) return;
    write_row(w, c, low < high ? low : high);
    if (low != high) write_row(w, c, low < high ? high : low);
}

/* $c<number>: x y [low high]; an empty line where the curve is broken. */
static void write_data(const writer *w, const mo__curve *c, int number)
{
    mo__buffer_add(w->script, "$c%d << END\n", number);
    if (c->count > 2 * STRETCHES && !c->low && c->style == MO__CURVE_LINE) {
        for (int64_t k = 0; k < STRETCHES; k++)
            write_stretch(w, c, k * c->count / STRETCHES, (k + 1) * c->count / STRETCHES);
    } else {
        for (int64_t i = 0; i < c->count; i++) {
            if (mo__curve_drawable(c, i))
                write_row(w, c, i);
            else
                mo__buffer_add(w->script, "\n");
        }
    }
    mo__buffer_add(w->script, "END\n");
}

static void write_curve(mo__buffer *script, const mo__curve *c, int number, const char **comma)
{
    static const char *const styles[] = {[MO__CURVE_LINE] = "lines",
                                         [MO__CURVE_LINE_POINTS] = "linespoints pt 7 ps 0.6",
                                         [MO__CURVE_POINTS] = "points pt 7 ps 0.7",
                                         [MO__CURVE_STEPS] = "steps"};
    mo__buffer_add(script, "%s$c%d using 1:2 with %s lw 2 lc rgb %d%s", *comma, number,
                   styles[mo__curve_drawn_as(c)], ink(c), c->dashed ? " dt (6,5)" : "");
    *comma = ", ";
}

static void write_band(mo__buffer *script, const mo__curve *c, int number, const char **comma)
{
    if (!c->low || !c->high) return;
    if (mo__curve_drawn_as(c) == MO__CURVE_POINTS)
        mo__buffer_add(script, "%s$c%d using 1:2:3:4 with yerrorbars pt 7 ps 0 lw 1.5 lc rgb %d", *comma,
                       number, ink(c));
    else
        mo__buffer_add(script,
                       "%s$c%d using 1:3:4 with filledcurves lc rgb %d fs transparent solid 0.18 noborder",
                       *comma, number, ink(c));
    *comma = ", ";
}

static void see_all(const mo__plot *p, mo__axis *x, mo__axis *y)
{
    for (int k = 0; k < p->n_curves; k++)
        for (int64_t i = 0; i < p->curves[k].count; i++) {
            const mo__curve *c = &p->curves[k];
            if (!mo__curve_drawable(c, i)) continue;
            mo__axis_see(x, c->x[i]);
            mo__axis_see(y, c->y[i]);
            if (c->low && c->high) {
                mo__axis_see(y, c->low[i]);
                mo__axis_see(y, c->high[i]);
            }
        }
    if (p->zero_y) mo__axis_see(y, 0);
    mo__axis_settle(x);
    mo__axis_settle(y);
}

/* Points stand off the ends of the axis, lines go to them. */
static void make_room(const mo__plot *p, mo__axis *x)
{
    const double part = 0.04;
    bool points = false;
    for (int k = 0; k < p->n_curves; k++)
        points |= !p->curves[k].dashed && mo__curve_drawn_as(&p->curves[k]) == MO__CURVE_POINTS;
    if (!points || !(x->high > x->low)) return;
    double factor = pow(x->high / x->low, part), room = part * (x->high - x->low);
    if (!isfinite(room)) return;
    x->low = x->logarithmic ? x->low / factor : x->low - room;
    x->high = x->logarithmic ? x->high * factor : x->high + room;
}

static void write_script(const mo__plot *p, mo__buffer *script)
{
    mo__axis x = mo__axis_begin('x', p->x_label, p->log_x), y = mo__axis_begin('y', p->y_label, p->log_y);
    writer w = {&x, &y, script};
    const char *comma = "plot ";
    see_all(p, &x, &y);
    if (!p->whole_x) make_room(p, &x);
    mo__plot_script_begin(
        460, 290 + (p->x_names ? mo__axis_names_room(p->x_names, p->n_x_names, MO__LETTERS_ACROSS) : 0),
        script);
    mo__buffer_add(script, "set grid ytics lc rgb %d lw 1 dt solid\n", MO__INK_GRID);
    if (p->x_names)
        mo__axis_write_names('x', p->x_label, p->x_names, p->n_x_names, MO__LETTERS_ACROSS, script);
    else
        mo__axis_write(&x, true, script);
    if (p->whole_x && x.high - x.low <= 12) mo__buffer_add(script, "set xtics 1\n");
    mo__axis_write(&y, false, script);
    if (p->zero_y && y.low >= 0) mo__buffer_add(script, "set yrange [0:*]\n");
    if (p->whole_y && y.high - y.low <= 10) mo__buffer_add(script, "set ytics 1\n");
    for (int k = 0; k < p->n_curves; k++) write_data(&w, &p->curves[k], k);
    for (int k = 0; k < p->n_curves; k++) write_band(script, &p->curves[k], k, &comma);
    for (int k = 0; k < p->n_curves; k++) write_curve(script, &p->curves[k], k, &comma);
    mo__buffer_add(script, "\n");
}

mo_status mo__plot_svg(const mo__plot *p, char **svg)
{
    mo__buffer script = {0};
    write_script(p, &script);
    return mo__plot_draw(&script, p->title, svg);
}

mo_status mo__plot_csv(const mo__plot *p, char **csv)
{
    mo__csv out = {0};
    mo__csv_text(&out, "series");
    mo__csv_text(&out, p->x_label);
    mo__csv_text(&out, p->y_label);
    mo__csv_text(&out, "low");
    mo__csv_text(&out, "high");
    mo__csv_end_row(&out);
    for (int k = 0; k < p->n_curves; k++)
        for (int64_t i = 0; i < p->curves[k].count; i++) {
            const mo__curve *c = &p->curves[k];
            int64_t place = (int64_t)c->x[i];
            if (isnan(c->y[i])) continue;
            mo__csv_text(&out, c->name ? c->name : "");
            if (p->x_names && place >= 0 && place < p->n_x_names)
                mo__csv_text(&out, p->x_names[place]);
            else
                mo__csv_number(&out, c->x[i]);
            mo__csv_number(&out, c->y[i]);
            mo__csv_number(&out, c->low ? c->low[i] : (double)NAN);
            mo__csv_number(&out, c->high ? c->high[i] : (double)NAN);
            mo__csv_end_row(&out);
        }
    return mo__buffer_finish(&out.out, MO_OK, csv);
}
