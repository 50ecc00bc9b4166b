/* heat.c -- a table of numbers as a table of colours: levels are chosen here, gnuplot draws rectangles. */
#include <math.h>
#include <stdlib.h>

#include "lab/axis.h"
#include "lab/gnuplot.h"
#include "lab/plot.h"
#include "lab/plot_script.h"
#include "lab/svg.h"

enum { WIDTH = 460 };

static double clamped(double part)
{
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

static int level_of(const mo__heat *h, double value)
{
    const int last = MO__LEVELS - 1, half = last / 2;
    if (h->scale == MO__HEAT_MORE) {
        double span = h->high - h->low;
        return span > 0 ? (int)lround(clamped((value - h->low) / span) * last) : half;
    }
    if (value >= h->middle) {
        double span = h->high - h->middle;
        return half + (span > 0 ? (int)lround(clamped((value - h->middle) / span) * half) : 0);
    }
    double span = h->middle - h->low;
    return half - (span > 0 ? (int)lround(clamped((h->middle - value) / span) * half) : 0);
}

static double place_of_row(const mo__heat *h, int row)
{
    return h->row_names ? h->rows - 1 - row : row;
}

typedef struct stretch {
    double left, right;
} stretch;

static stretch cell_of(const mo__heat *h, int column, double unit)
{
    if (h->x_edges) return (stretch){h->x_edges[column] / unit, h->x_edges[column + 1] / unit};
    return (stretch){column - 0.5, column + 0.5};
}

/* x y left right bottom top colour, one level after another, so that a level's cells become one shape. */
static void write_cells(const mo__heat *h, double unit, mo__buffer *script)
{
    int first = h->scale == MO__HEAT_MORE ? MO__INK_MORE : MO__INK_AROUND;
    mo__buffer_add(script, "$cells << END\n");
    for (int level = 0; level < MO__LEVELS; level++)
        for (int i = 0; i < h->rows * h->columns; i++) {
            if (!isfinite(h->value[i]) || level_of(h, h->value[i]) != level) continue;
            double y = place_of_row(h, i / h->columns);
            stretch e = cell_of(h, i % h->columns, unit);
            mo__buffer_add(script, "%.10g %g %.10g %.10g %g %g %d\n", (e.left + e.right) / 2, y, e.left,
                           e.right, y - 0.5, y + 0.5, first + level);
        }
    mo__buffer_add(script, "END\n");
}

/* Where the colour is far from the page's ground, its text is of the ground's colour. */
static bool is_far(const mo__heat *h, int level)
{
    if (h->scale == MO__HEAT_MORE) return level > 13;
    return abs(level - MO__LEVELS / 2) > 8;
}

static void write_numbers(const mo__heat *h, double unit, mo__buffer *script)
{
    mo__buffer_add(script, "$numbers << END\n");
    for (int i = 0; i < h->rows * h->columns; i++) {
        if (!isfinite(h->value[i])) continue;
        stretch e = cell_of(h, i % h->columns, unit);
        char text[32];
        snprintf(text, sizeof text, "%.*f", h->digits, h->value[i]);
        mo__buffer_add(script, "%.10g %g \"%s\" %d\n", (e.left + e.right) / 2,
                       place_of_row(h, i / h->columns), text,
                       is_far(h, level_of(h, h->value[i])) ? MO__INK_ON : MO__INK_OFF);
    }
    mo__buffer_add(script, "END\n");
}

/* What the names of rows leave of the width. */
static int room_across(const mo__heat *h)
{
    int names = h->row_names ? mo__axis_names_width(h->row_names, h->rows) : 0;
    return WIDTH - 70 - (int)(MO__LETTER * (names < 3 ? 3 : names));
}

static int letters_across(const mo__heat *h)
{
    return (int)(room_across(h) / MO__LETTER);
}

/* Whether each cell's number has room in it. */
static bool numbers_fit(const mo__heat *h)
{
    int longest = 0;
    for (int i = 0; i < h->rows * h->columns; i++)
        if (isfinite(h->value[i]))
            longest = (int)fmax(longest, snprintf(NULL, 0, "%.*f", h->digits, h->value[i]));
    return h->columns * (8 * longest + 6) <= room_across(h);
}

static void write_axes(const mo__heat *h, mo__axis *x, mo__buffer *script)
{
    for (int i = 0; h->x_edges && i <= h->columns; i++) mo__axis_see(x, h->x_edges[i]);
    mo__axis_settle(x);
    if (h->x_names)
        mo__axis_write_names('x', h->x_label, h->x_names, h->columns, letters_across(h), script);
    else
        mo__axis_write(x, true, script);
    if (!h->x_names && !h->x_edges)
        mo__buffer_add(script, "set xrange [-0.5:%g]\nset xtics %d\n", h->columns - 0.5, 1 + h->columns / 17);
    if (h->row_names) {
        mo__axis_write_names('y', h->y_label, h->row_names, h->rows, 0, script);
        return;
    }
    mo__axis y = mo__axis_begin('y', h->y_label, false);
    mo__axis_write(&y, false, script);
    mo__buffer_add(script, "set yrange [-0.5:%g]\nset ytics 0,%d\n", h->rows - 0.5, 1 + h->rows / 13);
}

/* The label of the rows stands along them: few rows are made high enough for it. Names of columns that lean
 * stand below. */
static int height_of(const mo__heat *h)
{
    int names = h->x_names ? mo__axis_names_room(h->x_names, h->columns, letters_across(h)) : 0;
    int rows = h->rows * (h->numbers ? 26 : 20), label = 9 * mo__axis_name_width(h->y_label);
    int least = label < 80 ? 80 : label > 260 ? 260 : label;
    return 90 + names + (rows < least ? least : rows > 360 ? 360 : rows);
}

mo_status mo__heat_svg(const mo__heat *h, char **svg)
{
    mo__buffer script = {0};
    mo__axis x = mo__axis_begin('x', h->x_label, false);
    bool numbers = h->numbers && numbers_fit(h);
    mo__plot_script_begin(WIDTH, height_of(h), &script);
    mo__buffer_add(&script, "set border 0\nset tics scale 0\nset style fill solid noborder\n");
    write_axes(h, &x, &script);
    write_cells(h, x.unit, &script);
    if (numbers) write_numbers(h, x.unit, &script);
    mo__buffer_add(&script, "plot $cells using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable%s\n",
                   numbers ? ", $numbers using 1:2:3:4 with labels textcolor rgb variable" : "");
    return mo__plot_draw(&script, h->title, svg);
}

static void csv_name(mo__csv *out, const char *const *names, const double *edges, int i)
{
    if (names)
        mo__csv_text(out, names[i]);
    else if (edges)
        mo__csv_number(out, edges[i + 1]);
    else
        mo__csv_whole(out, i);
}

mo_status mo__heat_csv(const mo__heat *h, char **csv)
{
    mo__csv out = {0};
    mo__csv_text(&out, h->y_label);
    mo__csv_text(&out, h->x_label);
    mo__csv_text(&out, h->value_label);
    mo__csv_end_row(&out);
    for (int i = 0; i < h->rows * h->columns; i++) {
        csv_name(&out, h->row_names, NULL, i / h->columns);
        csv_name(&out, h->x_names, h->x_edges, i % h->columns);
        mo__csv_number(&out, h->value[i]);
        mo__csv_end_row(&out);
    }
    return mo__buffer_finish(&out.out, MO_OK, csv);
}
