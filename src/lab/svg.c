/* svg.c -- a drawing of gnuplot's as a part of a page: a reader of tags, and a writer for each kind of shape.
 */
#include "lab/svg.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "lab/gnuplot.h"

enum { MOST_ATTRIBUTES = 12 };

typedef struct span {
    const char *at;
    size_t size;
} span;

typedef struct tag {
    span name;
    bool ends; /* </g> */
    struct {
        span name, value;
    } attributes[MOST_ATTRIBUTES];
    int n_attributes;
} tag;

typedef struct drawing {
    const char *at;
    mo__buffer *out;
    span width;        /* of the lines of the group */
    char cells[16];    /* class of the cells that are being collected in one path; "" none */
    bool begun, whole; /* <svg> and </svg> were seen */
} drawing;

static bool is(span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0;
}

static span value_of(const tag *t, const char *name)
{
    for (int i = 0; i < t->n_attributes; i++)
        if (is(t->attributes[i].name, name)) return t->attributes[i].value;
    return (span){"", 0};
}

/* Nothing but these characters: what a shape's numbers may be made of. */
static bool made_of(span s, const char *characters)
{
    for (size_t i = 0; i < s.size; i++)
        if (!strchr(characters, s.at[i]) || !s.at[i]) return false;
    return s.size > 0;
}

#define NUMBERS "0123456789.,- \t\n"

static void skip_space(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static bool next_attribute(const char **at, tag *t)
{
    skip_space(at);
    span name = {*at, strcspn(*at, " \t\r\n=/>")};
    if (name.size == 0) return false;
    *at += name.size;
    skip_space(at);
    if (**at != '=') return false;
    ++*at;
    skip_space(at);
    char quote = **at;
    const char *end = quote == '"' || quote == '\'' ? strchr(*at + 1, quote) : NULL;
    if (!end) return false;
    if (t->n_attributes < MOST_ATTRIBUTES) {
        t->attributes[t->n_attributes].name = name;
        t->attributes[t->n_attributes++].value = (span){*at + 1, (size_t)(end - *at - 1)};
    }
    *at = end + 1;
    return true;
}

/* The next tag, and the text before it. */
static bool next_tag(drawing *d, tag *t, span *before)
{
    const char *open = strchr(d->at, '<');
    if (!open) return false;
    *before = (span){d->at, (size_t)(open - d->at)};
    *t = (tag){.ends = open[1] == '/'};
    d->at = open + 1 + t->ends;
    t->name = (span){d->at, strcspn(d->at, " \t\r\n/>")};
    d->at += t->name.size;
    while (next_attribute(&d->at, t)) {
    }
    const char *close = strchr(d->at, '>');
    if (close) d->at = close + 1;
    return close != NULL;
}

/* Past the end of an element whose inside does not matter. */
static void skip_element(drawing *d, span name)
{
    tag t;
    span text;
    while (next_tag(d, &t, &text))
        if (t.ends && t.name.size == name.size && memcmp(t.name.at, name.at, name.size) == 0) return;
}

/* 'rgb(  1,   0,   2)', which may have no spaces: MO__INK_SERIES + 2; -1 for names. */
static int ink_of(span colour)
{
    int rgb = 0;
    if (colour.size < 10 || memcmp(colour.at, "rgb(", 4) != 0) return -1;
    const char *at = colour.at + 4;
    for (int i = 0; i < 3; i++) {
        char *end;
        rgb = rgb << 8 | (int)(strtol(at, &end, 10) & 0xFF);
        at = end + 1;
    }
    return rgb;
}

/* The class for the colour; `series` and `more` are the letters that those have here. "" for plain ink. */
static void class_of(span colour, char series, char more, char out[16])
{
    int ink = ink_of(colour), number = ink & 0xFF;
    out[0] = '\0';
    if (ink < 0) return;
    switch (ink & 0xFF0000) {
    case MO__INK_SERIES:
        snprintf(out, 16, "%c%d", series, number);
        break;
    case MO__INK_MORE:
        snprintf(out, 16, "%c%d", more, number);
        break;
    case MO__INK_AROUND:
        snprintf(out, 16, "d%d", number);
        break;
    default:
        snprintf(out, 16, "%s",
                 ink == MO__INK_AXIS   ? "ax"
                 : ink == MO__INK_GRID ? "gr"
                 : ink == MO__INK_ON   ? "on"
                                       : "off");
    }
}

static void end_cells(drawing *d)
{
    if (d->cells[0]) mo__buffer_add(d->out, "\"/>\n");
    d->cells[0] = '\0';
}

static void write_path(drawing *d, const tag *t)
{
    char class[16];
    span shape = value_of(t, "d"), dashes = value_of(t, "stroke-dasharray");
    if (!made_of(shape, NUMBERS "MLZ")) return;
    class_of(value_of(t, "stroke"), 's', 'l', class);
    mo__buffer_add(d->out, "<path class=\"%s\"", class[0] ? class : "ax");
    if (made_of(d->width, NUMBERS) && !is(d->width, "1.00"))
        mo__buffer_add(d->out, " stroke-width=\"%.*s\"", (int)d->width.size, d->width.at);
    if (made_of(dashes, NUMBERS) && strcmp(class, "gr") != 0)
        mo__buffer_add(d->out, " stroke-dasharray=\"%.*s\"", (int)dashes.size, dashes.at);
    while (shape.size && strchr(" \t\n", shape.at[shape.size - 1])) shape.size--;
    mo__buffer_add(d->out, " d=\"%.*s\"/>\n", (int)shape.size, shape.at);
}

/* Most of a page can be rectangles: left,top right,top right,bottom left,bottom take half the room as a path.
 */
static void write_cell(mo__buffer *out, span points)
{
    double x[4], y[4];
    char text[160];
    bool fits = points.size < sizeof text;
    snprintf(text, sizeof text, "%.*s", (int)points.size, points.at);
    if (fits &&
        sscanf(text, "%lf,%lf %lf,%lf %lf,%lf %lf,%lf", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2], &x[3],
               &y[3]) == 8 &&
        x[0] == x[3] && x[1] == x[2] && y[0] == y[1] && y[2] == y[3])
        mo__buffer_add(out, "M%.1f %.1fH%.1fV%.1fH%.1fZ", x[0], y[0], x[1], y[2], x[0]);
    else
        mo__buffer_add(out, "M%.*sZ", (int)points.size, points.at);
}

/* Cells of one colour that follow one another are one path. */
static void write_area(drawing *d, const tag *t)
{
    char class[16];
    span points = value_of(t, "points"), opacity = value_of(t, "fill-opacity");
    if (!made_of(points, NUMBERS)) return;
    class_of(value_of(t, "fill"), 'f', 'q', class);
    while (points.size && strchr(" \t\n", points.at[points.size - 1])) points.size--;
    if (made_of(opacity, NUMBERS)) {
        end_cells(d);
        mo__buffer_add(d->out, "<path class=\"%s\" opacity=\"%.*s\" d=\"M%.*sZ\"/>\n", class,
                       (int)opacity.size, opacity.at, (int)points.size, points.at);
        return;
    }
    if (strcmp(class, d->cells) != 0) {
        end_cells(d);
        mo__buffer_add(d->out, "<path class=\"cells %s\" d=\"", class);
        memcpy(d->cells, class, sizeof class);
    }
    write_cell(d->out, points);
}

/* All points are discs: <use transform='translate(x,y) scale(r)'/>. */
static void write_point(drawing *d, const tag *t)
{
    char class[16];
    double x = 0, y = 0, r = 0;
    span where = value_of(t, "transform");
    if (!made_of(where, NUMBERS "translescale()") ||
        sscanf(where.at, "translate(%lf,%lf) scale(%lf)", &x, &y, &r) != 3)
        return;
    class_of(value_of(t, "color"), 'f', 'q', class);
    if (class[0])
        mo__buffer_add(d->out, "<circle class=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\"/>\n", class, x, y, r);
}

/* Marks as mo__gnuplot_quote has written them become marks again, escaped; all else gnuplot has escaped. */
static void write_letters(mo__buffer *out, span text)
{
    for (size_t i = 0; i < text.size;) {
        uint32_t point = 0;
        int length = mo__utf8_at(text.at + i, text.size - i, &point);
        unsigned mark = point - MO__GNUPLOT_MARK;
        if (mark >= 0x20 && mark < 0x7F)
            mo__buffer_add(out, strchr("&<>\"'", (int)mark) ? "&#%u;" : "%c", mark);
        else
            mo__buffer_add(out, "%.*s", length ? length : 1, length ? text.at + i : "?");
        i += (size_t)(length ? length : 1);
    }
}

/* <g transform=... text-anchor=...><text>..</text></g> */
static void write_text(drawing *d, const tag *group)
{
    char class[16];
    tag t;
    span text, where = value_of(group, "transform"), anchor = value_of(group, "text-anchor");
    if (!next_tag(d, &t, &text) || !is(t.name, "text") || !next_tag(d, &t, &text)) return;
    while (text.size && *text.at == ' ') text.at++, text.size--;
    if (!made_of(where, NUMBERS "translaterotate()") || !made_of(anchor, "startmiddleend") || text.size == 0)
        return;
    class_of(value_of(group, "fill"), 's', 'l', class);
    mo__buffer_add(d->out, "<text transform=\"%.*s\" text-anchor=\"%.*s\"", (int)where.size, where.at,
                   (int)anchor.size, anchor.at);
    if (class[0]) mo__buffer_add(d->out, " class=\"%s\"", class);
    mo__buffer_add(d->out, ">");
    write_letters(d->out, text);
    mo__buffer_add(d->out, "</text>\n");
}

static void begin_drawing(drawing *d, const tag *t, const char *label)
{
    span box = value_of(t, "viewBox");
    if (d->begun || !made_of(box, NUMBERS)) return;
    d->begun = true;
    mo__buffer_add(d->out, "<svg class=\"plot\" viewBox=\"%.*s\" role=\"img\" aria-label=\"%s\">\n",
                   (int)box.size, box.at, label);
}

static void write_tag(drawing *d, const tag *t, const char *label)
{
    if (!is(t->name, "polygon")) end_cells(d);
    if (is(t->name, "svg")) {
        if (t->ends)
            d->whole = d->begun;
        else
            begin_drawing(d, t, label);
    } else if (t->ends) {
        return;
    } else if (is(t->name, "title") || is(t->name, "desc") || is(t->name, "defs")) {
        skip_element(d, t->name);
    } else if (is(t->name, "g")) {
        if (value_of(t, "transform").size)
            write_text(d, t);
        else if (value_of(t, "stroke-width").size)
            d->width = value_of(t, "stroke-width");
    } else if (is(t->name, "path")) {
        write_path(d, t);
    } else if (is(t->name, "polygon")) {
        write_area(d, t);
    } else if (is(t->name, "use")) {
        write_point(d, t);
    }
}

mo_status mo__svg_inline(const char *text, const char *label, mo__buffer *out)
{
    drawing d = {.at = text, .out = out};
    tag t;
    span before;
    while (!d.whole && next_tag(&d, &t, &before)) write_tag(&d, &t, label);
    if (!d.whole) return mo_error(MO_E_FORMAT, "gnuplot: its drawing is not whole");
    mo__buffer_add(out, "</svg>\n");
    return MO_OK;
}
