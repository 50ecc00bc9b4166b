/* report.c -- a report: a page, its figures, and their data as CSV in a folder beside it. */
#include <math.h>
#include <string.h>

#include "lab/plot.h"
#include "lab/plot_script.h"
#include "lab/gnuplot.h"
#include "lab/svg.h"

mo_status mo__plot_draw(mo__buffer *script, const char *title, char **svg)
{
    char *text = NULL, *drawing = NULL, *label = NULL;
    mo__html words = {0};
    mo__buffer out = {0};
    mo_status status = mo__buffer_finish(script, MO_OK, &text);
    if (status == MO_OK) status = mo__gnuplot(text, &drawing);
    mo__html_text(&words, "%s", title);
    status = mo__html_finish(&words, status, &label);
    if (status == MO_OK) status = mo__svg_inline(drawing, label, &out);
    status = mo__buffer_finish(&out, status, svg);
    mo_free(label);
    mo_free(drawing);
    mo_free(text);
    return status;
}

static const char SUFFIX[] = ".html";

mo_status mo__report_begin(const char *output, const char *title, mo__report *out)
{
    size_t length = strlen(output), end = length - (sizeof SUFFIX - 1);
    *out = (mo__report){0};
    if (length < sizeof SUFFIX || strcmp(output + end, SUFFIX) != 0 || output[end - 1] == '/')
        return mo_error(MO_E_USAGE, "%s: a report is an HTML file, its name ends in .html", output);
    out->path = mo_strdup(output);
    out->folder = mo_strprintf("%.*s", (int)end, output);
    mo_status status = out->path && out->folder ? mo_make_dirs(out->folder) : MO_E_MEMORY;
    if (status != MO_OK) {
        mo__report_abort(out);
        return status;
    }
    const char *slash = strrchr(out->folder, '/');
    out->folder_name = slash ? slash + 1 : out->folder;
    mo__html_page_begin(&out->html, title);
    return MO_OK;
}

/* A name as a part of a link: whatever has a meaning in links is written as a number. */
static void add_link_part(mo__html *h, const char *name)
{
    for (; *name; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= '0' && *name <= '9') || strchr("-_.~", *name);
        mo__buffer_add(&h->out, plain ? "%c" : "%%%02X", (unsigned char)*name);
    }
}

void mo__report_csv_link(mo__report *r, const char *name)
{
    mo__html_raw(&r->html, "<a href=\"");
    add_link_part(&r->html, r->folder_name);
    mo__html_raw(&r->html, "/");
    add_link_part(&r->html, name);
    mo__html_raw(&r->html, ".csv\">");
    mo__html_text(&r->html, "%s.csv", name);
    mo__html_raw(&r->html, "</a>");
}

static void write_csv(mo__report *r, const char *name, const char *csv)
{
    char *file = mo_strprintf("%s/%s.csv", r->folder, name);
    if (r->status == MO_OK) r->status = file ? mo_write_file(file, csv, strlen(csv)) : MO_E_MEMORY;
    mo_free(file);
}

void mo__report_csv(mo__report *r, const char *name, const char *csv)
{
    write_csv(r, name, csv);
    mo__html_raw(&r->html, "<p class=\"note\">");
    mo__report_csv_link(r, name);
    mo__html_raw(&r->html, "</p>\n");
}

static void add_swatch(mo__html *h, const mo__curve *c)
{
    bool level = c->colour >= MO__LEVEL(0), line = mo__curve_drawn_as(c) != MO__CURVE_POINTS;
    int number = level ? c->colour - MO__LEVEL(0) : c->colour % MO__COLOURS;
    mo__html_raw(h, "<li><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\">");
    if (line)
        mo__buffer_add(&h->out, "<path class=\"%c%d\"%s d=\"M0 5H22\"/>", level ? 'l' : 's', number,
                       c->dashed ? " stroke-dasharray=\"5 3\"" : "");
    if (!line || mo__curve_drawn_as(c) == MO__CURVE_LINE_POINTS)
        mo__buffer_add(&h->out, "<circle class=\"%c%d\" cx=\"11\" cy=\"5\" r=\"3.5\"/>", level ? 'q' : 'f',
                       number);
    mo__html_raw(h, "</svg>");
    mo__html_text(h, "%s", c->name);
    mo__html_raw(h, "</li>\n");
}

static void add_key(mo__html *h, const mo__plot *p)
{
    bool named = false;
    for (int k = 0; k < p->n_curves; k++) named |= p->curves[k].name != NULL;
    if (!named) return;
    mo__html_raw(h, "<ul class=\"key\">\n");
    for (int k = 0; k < p->n_curves; k++)
        if (p->curves[k].name && p->curves[k].count > 0) add_swatch(h, &p->curves[k]);
    mo__html_raw(h, "</ul>\n");
}

static void add_strip(mo__html *h, char letter, int first, int last)
{
    mo__buffer_add(&h->out, "<svg viewBox=\"0 0 %d 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
                   5 * (last - first + 1));
    for (int k = first; k <= last; k++)
        mo__buffer_add(&h->out, "<path class=\"cells %c%d\" d=\"M%d 0h5v10h-5z\"/>", letter, k,
                       5 * (k - first));
    mo__html_raw(h, "</svg>");
}

static bool beyond(const mo__heat *heat)
{
    for (int64_t i = 0; i < (int64_t)heat->rows * heat->columns; i++)
        if (heat->value[i] > heat->high) return true;
    return false;
}

/* As exact as the numbers in the cells. */
static void add_end(mo__html *h, const mo__heat *heat, double value)
{
    if (heat->numbers)
        mo__html_text(h, "%.*f", heat->digits, value);
    else
        mo__html_text(h, "%.4g", value);
}

/* What the colours mean, in the page: a strip of them between numbers. */
static void add_scale(mo__html *h, const mo__heat *heat)
{
    const int last = MO__LEVELS - 1, half = last / 2;
    mo__html_raw(h, "<p class=\"scale\">");
    add_end(h, heat, heat->low);
    if (heat->scale == MO__HEAT_AROUND) {
        add_strip(h, 'd', 0, half);
        mo__html_text(h, "%.4g", heat->middle); /* not rounded: 12.5% is the fair share of 8 */
        add_strip(h, 'd', half, last);
    } else {
        add_strip(h, 'q', 0, last);
    }
    add_end(h, heat, heat->high);
    if (beyond(heat)) mo__html_text(h, " or more");
    mo__html_raw(h, "<span>");
    mo__html_text(h, "%s", heat->value_label);
    mo__html_raw(h, "</span></p>\n");
}

/* Without gnuplot a report has its tables, and the data as CSV. */
static void add_drawing(mo__report *r, mo_status status, char *svg)
{
    if (status == MO_OK) {
        mo__html_raw(&r->html, "<div class=\"drawing\">\n");
        mo__html_raw(&r->html, svg);
        mo__html_raw(&r->html, "</div>\n");
        r->plots++;
    } else if (status == MO_E_UNSUPPORTED) {
        if (!r->without_plots)
            mo__html_paragraph(&r->html, "warning",
                               "gnuplot could not be started here, or did not end, so there are no drawings; "
                               "their data is there.");
        r->without_plots = true;
    } else if (status == MO_E_INTERNAL) { /* one drawing less is no reason to have no report */
        mo__html_paragraph(&r->html, "warning", "Not drawn: %s.", mo_last_error());
    } else if (r->status == MO_OK) {
        r->status = status;
    }
    mo_free(svg);
}

static void add_note(mo__report *r, const char *note, const char *name)
{
    mo__html_raw(&r->html, "<p class=\"note\">");
    if (note) mo__html_text(&r->html, "%s ", note);
    mo__report_csv_link(r, name);
    mo__html_raw(&r->html, "</p>\n</figure>\n");
}

static bool has_value(const double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) return true;
    return false;
}

void mo__report_plot(mo__report *r, const mo__plot *p)
{
    char *svg = NULL, *csv = NULL;
    bool any = false;
    for (int k = 0; k < p->n_curves; k++)
        for (int64_t i = 0; i < p->curves[k].count; i++)
            any |= !p->curves[k].dashed && mo__curve_drawable(&p->curves[k], i);
    if (!any || r->status != MO_OK) return;
    r->status = mo__plot_csv(p, &csv);
    if (r->status == MO_OK) write_csv(r, p->name, csv);
    mo_free(csv);
    mo__html_raw(&r->html, "<figure>\n<figcaption>");
    mo__html_element(&r->html, "h3", NULL, "%s", p->title);
    add_key(&r->html, p);
    mo__html_raw(&r->html, "</figcaption>\n");
    mo_status status = r->without_plots ? MO_E_UNSUPPORTED : mo__plot_svg(p, &svg);
    add_drawing(r, status, svg);
    add_note(r, p->note, p->name);
}

void mo__report_heat(mo__report *r, const mo__heat *heat)
{
    char *svg = NULL, *csv = NULL;
    if (r->status != MO_OK || !has_value(heat->value, (int64_t)heat->rows * heat->columns)) return;
    r->status = mo__heat_csv(heat, &csv);
    if (r->status == MO_OK) write_csv(r, heat->name, csv);
    mo_free(csv);
    mo__html_raw(&r->html, "<figure>\n<figcaption>");
    mo__html_element(&r->html, "h3", NULL, "%s", heat->title);
    add_scale(&r->html, heat);
    mo__html_raw(&r->html, "</figcaption>\n");
    mo_status status = r->without_plots ? MO_E_UNSUPPORTED : mo__heat_svg(heat, &svg);
    add_drawing(r, status, svg);
    add_note(r, heat->note, heat->name);
}

mo_status mo__report_end(mo__report *r, mo_report_made *made)
{
    char *text = NULL;
    mo__html_page_end(&r->html);
    mo_status status = mo__html_finish(&r->html, r->status, &text);
    if (status == MO_OK) status = mo_write_file(r->path, text, strlen(text));
    mo_free(text);
    if (status == MO_OK) {
        *made = (mo_report_made){r->path, r->folder, r->plots, r->without_plots};
        r->path = r->folder = NULL;
    }
    mo__report_abort(r);
    return status;
}

void mo__report_abort(mo__report *r)
{
    mo_free(r->html.out.text);
    mo_free(r->path);
    mo_free(r->folder);
    *r = (mo__report){0};
}

void mo_report_made_free(mo_report_made *made)
{
    mo_free(made->html);
    mo_free(made->data);
    *made = (mo_report_made){0};
}
