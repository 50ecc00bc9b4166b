/* plot.h -- plots, described here, drawn by gnuplot, put into a page as SVG in the page's own colours.
 *
 *     mo__curve curves[] = {{.name = "train", .x = steps, .y = losses, .count = n}};
 *     mo__plot plot = {.name = "loss", .title = "Loss", .x_label = "tokens read", .y_label = "nats per
 * token", .curves = curves, .n_curves = 1}; mo__report r; MO_TRY(mo__report_begin("report.html", "Run demo",
 * &r)); mo__html_section_begin(&r.html, "Loss"); mo__html_grid_begin(&r.html); mo__report_plot(&r, &plot); a
 * figure, and report/loss.csv mo__html_grid_end(&r.html); mo__html_section_end(&r.html); return
 * mo__report_end(&r, &made);
 *
 * The key, the title and all other words stand in the page; gnuplot gets numbers, axis labels and names on
 * axes, quoted. Of what it draws only shapes that are known get into the page (svg.h). */
#ifndef MOIRA_LAB_PLOT_H
#define MOIRA_LAB_PLOT_H

#include "html.h"
#include "moira/lab.h"

/* Colours of the page, readable on its light and its dark ground, and by people who see few colours. */
enum { MO__COLOURS = 8 };

typedef enum mo__curve_style {
    MO__CURVE_LINE,
    MO__CURVE_LINE_POINTS, /* for few values */
    MO__CURVE_POINTS,
    MO__CURVE_STEPS /* y holds from its x to the next one: a front of what can be had */
} mo__curve_style;

typedef struct mo__curve {
    const char *name; /* in the key and the CSV; NULL: in neither, "value" in the CSV's column */
    const double *x, *y;
    const double *low, *high; /* the band around y, or bars of points; NULL: none */
    int64_t count;
    mo__curve_style style;
    int colour;  /* 0 .. MO__COLOURS - 1, or MO__LEVEL(k) of things that have an order, k in 8 .. MO__LEVELS -
                    1 */
    bool dashed; /* a reference, not a measurement */
} mo__curve;
#define MO__LEVEL(k) (100 + (k))
bool mo__curve_drawable(const mo__curve *curve, int64_t i); /* x and y are numbers */
/* A line of one value is a point: else nothing of it would be seen. */
mo__curve_style mo__curve_drawn_as(const mo__curve *curve);

/* Values that are NaN break a line. An axis that is to be logarithmic and has a value that is not above 0
 * becomes a linear one. */
typedef struct mo__plot {
    const char *name;              /* of its CSV: letters, digits, - */
    const char *title;             /* "Loss" */
    const char *note;              /* what bands are, and what else a reader must know; NULL */
    const char *x_label, *y_label; /* with units */
    bool log_x, log_y;
    bool zero_y;                /* the axis begins at 0 */
    bool whole_x, whole_y;      /* the numbers of the axis count things */
    const char *const *x_names; /* names at x = 0, 1, ... in place of numbers; NULL */
    int n_x_names;
    const mo__curve *curves;
    int n_curves;
} mo__plot;

typedef enum mo__heat_scale {
    MO__HEAT_MORE,   /* from little (the page's ground) to much: low .. high */
    MO__HEAT_AROUND, /* below and above `middle` in two colours */
} mo__heat_scale;

/* A table of numbers as a table of colours. value[row * columns + column], NaN: no cell. Row 0 is the lowest,
 * unless rows have names: then the first name is on top. */
typedef struct mo__heat {
    const char *name, *title, *note;
    const char *x_label, *y_label;
    const char *value_label;      /* what the colours say, with the unit */
    const double *x_edges;        /* [columns + 1] ascending; NULL: columns are 0, 1, ... */
    const char *const *x_names;   /* [columns]; NULL */
    const char *const *row_names; /* [rows]; NULL: rows are 0, 1, ... */
    int rows, columns;
    const double *value;
    mo__heat_scale scale;
    double low, middle, high; /* what is beyond has the last colour */
    bool numbers;             /* each cell has its value written in it, */
    int digits;               /* with so many behind the point */
} mo__heat;

/* What a plot looks like, as <svg ...>...</svg>; owned. MO_E_UNSUPPORTED: gnuplot could not be started, or
 * hung. MO_E_INTERNAL, with its words: it did not draw. */
mo_status mo__plot_svg(const mo__plot *plot, char **svg);
mo_status mo__heat_svg(const mo__heat *heat, char **svg);
/* Its numbers as CSV (RFC 4180): series, x, y, low, high; row, column, value. Owned. */
mo_status mo__plot_csv(const mo__plot *plot, char **csv);
mo_status mo__heat_csv(const mo__heat *heat, char **csv);

/* ---- a report: a page and the folder of its data ---- */

typedef struct mo__report {
    mo__html html;
    char *path;              /* of the page */
    char *folder;            /* of the data: path without .html */
    const char *folder_name; /* as the page names it; inside folder */
    int plots;
    bool without_plots; /* gnuplot is not there: told once in the page, where the first plot would be */
    mo_status status;   /* of the first thing that went wrong; later calls do nothing */
} mo__report;

/* output: a path that ends in .html. Makes the data's folder, and begins the page. */
mo_status mo__report_begin(const char *output, const char *title, mo__report *out);
/* A figure: title, key, drawing, note, link to its CSV. A plot without any value but references is left out.
 */
void mo__report_plot(mo__report *r, const mo__plot *plot);
void mo__report_heat(mo__report *r, const mo__heat *heat);
/* A CSV for what the page has as a table; name without .csv. The page gets a link to it. */
void mo__report_csv(mo__report *r, const char *name, const char *csv);
/* A link to a CSV in the folder, which somebody else has written there. */
void mo__report_csv_link(mo__report *r, const char *name);
/* Ends and writes the page, or gives up where something went wrong. Frees all; `made` is owned. */
mo_status mo__report_end(mo__report *r, mo_report_made *made);
void mo__report_abort(mo__report *r);

/* ---- CSV ---- */

/* Cells as they are added, a comma between, quoted where they need it. Of texts, control characters and bytes
 * that are no UTF-8 become U+FFFD, and one that a spreadsheet would take for a formula gets an apostrophe in
 * front. */
typedef struct mo__csv {
    mo__buffer out;
    bool inside; /* a row has begun */
} mo__csv;
void mo__csv_text(mo__csv *csv, const char *text);
void mo__csv_number(mo__csv *csv, double value); /* 17 digits at most; empty if NaN */
void mo__csv_whole(mo__csv *csv, int64_t value);
void mo__csv_end_row(mo__csv *csv);

#endif
