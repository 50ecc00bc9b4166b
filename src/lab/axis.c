/* axis.c -- an axis of a plot. */
#include "lab/axis.h"

#include <math.h>
#include "lab/gnuplot.h"

mo__axis mo__axis_begin(char letter, const char *label, bool logarithmic)
{
    return (mo__axis){letter, label, logarithmic, (double)INFINITY, (double)-INFINITY, 1};
}

void mo__axis_see(mo__axis *axis, double value)
{
    if (!isfinite(value)) return;
    axis->low = fmin(axis->low, value);
    axis->high = fmax(axis->high, value);
}

/* Up to 9999 numbers stay as they are. */
void mo__axis_settle(mo__axis *axis)
{
    double most = fmax(fabs(axis->low), fabs(axis->high));
    axis->unit = 1;
    if (isfinite(most) && most >= 1e4)
        for (axis->unit = 1e3; axis->unit < 1e21 && most >= 1e3 * axis->unit;) axis->unit *= 1e3;
    if (!(axis->low > 0)) axis->logarithmic = false;
}

static const char *unit_name(double unit)
{
    static const char *const names[] = {"",
                                        "thousands",
                                        "millions",
                                        "billions",
                                        "\xC3\x97"
                                        "10\xC2\xB9\xC2\xB2",
                                        "\xC3\x97"
                                        "10\xC2\xB9\xE2\x81\xB5",
                                        "\xC3\x97"
                                        "10\xC2\xB9\xE2\x81\xB8",
                                        "\xC3\x97"
                                        "10\xC2\xB2\xC2\xB9"};
    return names[(int)(log10(unit) / 3 + 0.5)];
}

static void write_label(char letter, const char *label, const char *unit, mo__buffer *script)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s%s", label, *unit ? ", " : "", unit);
    mo__buffer_add(script, "set %clabel ", letter);
    mo__gnuplot_quote(script, text, 80);
    mo__buffer_add(script, "\n");
}

/* 1, 2 or 5 times a power of ten, so that `count` steps or so go through the span. */
static double nice_step(double span, int count)
{
    double raw = span / count, power = pow(10, floor(log10(raw))), part = raw / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static void add_tic(mo__buffer *script, bool *first, double at)
{
    mo__buffer_add(script, "%s%.10g", *first ? "" : ",", at);
    *first = false;
}

/* gnuplot would put one tic or none on a logarithmic axis of few decades: even steps there, or round numbers.
 */
static void write_log_tics(const mo__axis *axis, mo__buffer *script)
{
    static const double FEW[] = {1, 0}, SOME[] = {1, 2, 5, 0}, MANY[] = {1, 1.5, 2, 3, 5, 7, 0};
    double low = axis->low / axis->unit, high = axis->high / axis->unit, decades = log10(high / low);
    const double *parts = decades < 1.3 ? MANY : decades < 2.2 ? SOME : FEW;
    int every = (int)fmax(1, ceil(decades / 7));
    bool first = true;
    mo__buffer_add(script, "set %ctics (", axis->letter);
    if (decades < 0.75) {
        double step = high > low ? nice_step(high - low, 6) : low;
        double last = 0; /* numbers need an eighth of the axis or so; even steps come closer and closer */
        for (double at = ceil(low / step) * step; at <= high * (1 + 1e-9); at += step) {
            if (last > 0 && log10(at / last) < decades / 8) continue;
            add_tic(script, &first, at);
            last = at;
        }
    } else {
        for (int power = (int)floor(log10(low)); power <= (int)ceil(log10(high)); power += every)
            for (const double *part = parts; *part > 0; part++)
                add_tic(script, &first, *part * pow(10, power));
    }
    mo__buffer_add(script, ")\n");
}

void mo__axis_write(const mo__axis *axis, bool tight, mo__buffer *script)
{
    double low = axis->low / axis->unit, high = axis->high / axis->unit;
    write_label(axis->letter, axis->label, unit_name(axis->unit), script);
    if (axis->low > axis->high) return;
    if (axis->logarithmic) {
        mo__buffer_add(script, "set logscale %c\n", axis->letter);
        write_log_tics(axis, script);
        double room = tight || !(high > low) ? 1 : pow(high / low, 0.04);
        if (!(high > low)) room = 2;
        mo__buffer_add(script, "set %crange [%.17g:%.17g]\n", axis->letter, low / room, high * room);
    } else if (tight) {
        double room = high > low ? 0 : fmax(0.5, 0.1 * fabs(high));
        mo__buffer_add(script, "set %crange [%.17g:%.17g]\n", axis->letter, low - room, high + room);
    }
}

enum { NAME_LETTERS = 22, LEAN = 35 /* degrees */ };

int mo__axis_name_width(const char *name)
{
    int width = 0;
    for (; *name && width < NAME_LETTERS; name++) width += (*name & 0xC0) != 0x80;
    return width;
}

int mo__axis_names_width(const char *const *names, int count)
{
    int longest = 0;
    for (int i = 0; i < count; i++) {
        int width = mo__axis_name_width(names[i]);
        if (width > longest) longest = width;
    }
    return longest;
}

/* In so many letters for all of them, each in the middle of its part: a letter and a half apart, and the ends
 * hardly beyond the axis. */
static bool fit(const char *const *names, int count, int letters)
{
    const double part = (double)letters / count, apart = 1.5, beyond = 4;
    for (int i = 0; i < count; i++) {
        int width = mo__axis_name_width(names[i]);
        bool last = i + 1 == count;
        if (!last && (width + mo__axis_name_width(names[i + 1])) / 2.0 + apart > part) return false;
        if ((i == 0 || last) && width > part + beyond) return false;
    }
    return true;
}

/* sin(LEAN) is 0.574. */
int mo__axis_names_room(const char *const *names, int count, int letters)
{
    int longest = mo__axis_names_width(names, count);
    return fit(names, count, letters) ? 0 : (int)(MO__LETTER * 0.574 * longest) + 8;
}

void mo__axis_write_names(char letter, const char *label, const char *const *names, int count, int letters,
                          mo__buffer *script)
{
    write_label(letter, label, "", script);
    mo__buffer_add(script, "set %crange [-0.5:%g]\nset %ctics (", letter, count - 0.5, letter);
    for (int i = 0; i < count; i++) {
        mo__buffer_add(script, "%s", i ? "," : "");
        /* gnuplot puts the label of y as far left as names are wide by its count: a blank keeps it off them.
         */
        char wider[128];
        snprintf(wider, sizeof wider, "%s%s", letter == 'y' ? "  " : "", names[i]);
        mo__gnuplot_quote(script, wider, NAME_LETTERS + (letter == 'y' ? 2 : 0));
        mo__buffer_add(script, " %d", letter == 'y' ? count - 1 - i : i);
    }
    mo__buffer_add(script, ")\n");
    if (letter == 'x' && mo__axis_names_room(names, count, letters) > 0)
        mo__buffer_add(script, "set xtics rotate by %d right\n", LEAN);
}
