/* report_run.c -- the report of one run: its parts in order, and curves over a run. */
#include "lab/report_run.h"
#include "lab/run_facts.h"

#include <math.h>
#include <string.h>

enum { MOST_LAYERS = 8 };

/* ---- curves ---- */

static double *numbers(const mo__run_page *p, int64_t count)
{
    double *out = mo_calloc((size_t)count + 1, sizeof *out);
    if (!out && p->report->status == MO_OK) p->report->status = MO_E_MEMORY;
    return out;
}

double *mo__run_column(const mo__run_page *p, mo__line_value *value, int which)
{
    double *out = numbers(p, p->m->n_lines);
    for (int64_t i = 0; out && i < p->m->n_lines; i++) out[i] = value(&p->m->lines[i], which);
    return out;
}

mo__run_track mo__run_track_of(const mo__run_page *p, mo__line_value *value, int which)
{
    mo__run_track t = {numbers(p, p->m->n_lines), mo__run_column(p, value, which), 0};
    for (int64_t i = 0; t.x && t.y && i < p->m->n_lines; i++)
        if (isfinite(t.y[i])) {
            t.x[t.count] = p->tokens[i];
            t.y[t.count++] = t.y[i];
        }
    return t;
}

void mo__run_track_free(mo__run_track *track)
{
    mo_free(track->x);
    mo_free(track->y);
    *track = (mo__run_track){0};
}

mo__curve mo__run_track_curve(const mo__run_track *track, const char *name, int colour)
{
    enum { FEW = 24 };
    return (mo__curve){.name = name,
                       .x = track->x,
                       .y = track->y,
                       .count = track->count,
                       .style = track->count <= FEW ? MO__CURVE_LINE_POINTS : MO__CURVE_LINE,
                       .colour = colour};
}

static mo__plot plot_of(const mo__run_plot *of, const mo__curve *curves, int n)
{
    return (mo__plot){.name = of->name,
                      .title = of->title,
                      .note = of->note,
                      .x_label = "tokens read",
                      .y_label = of->y_label,
                      .log_y = of->log_y,
                      .zero_y = of->zero_y,
                      .whole_y = of->whole_y,
                      .curves = curves,
                      .n_curves = n};
}

void mo__run_track_plot(const mo__run_page *p, const mo__run_plot *of, const mo__run_track *track)
{
    mo__curve curve = mo__run_track_curve(track, NULL, 0);
    mo__plot plot = plot_of(of, &curve, 1);
    mo__report_plot(p->report, &plot);
}

void mo__run_curve(const mo__run_page *p, const mo__run_plot *of, mo__line_value *value)
{
    mo__run_track track = mo__run_track_of(p, value, 0);
    mo__run_track_plot(p, of, &track);
    mo__run_track_free(&track);
}

typedef struct bundle {
    mo__curve curves[MOST_LAYERS + 1]; /* the last for a reference */
    char names[MOST_LAYERS][24];
    mo__run_track tracks[MOST_LAYERS];
    double *low, *high; /* of the mean */
    double reference[2], ends[2];
    int count;
} bundle;

/* Layers have an order, and so have their colours. */
static int layer_colour(int layer, int count)
{
    int first = 8, last = MO__LEVELS - 1;
    return MO__LEVEL(count > 1 ? first + (last - first) * layer / (count - 1) : 18);
}

static void take_each(const mo__run_page *p, mo__line_value *value, int count, const char *const *names,
                      bundle *b)
{
    const mo_step_report *last = &p->m->lines[p->m->n_lines - 1];
    for (int k = 0; k < count; k++) {
        b->tracks[k] = mo__run_track_of(p, value, k);
        if (!names) snprintf(b->names[k], sizeof b->names[k], "layer %d", last->layers[k].layer);
        b->curves[b->count++] = mo__run_track_curve(&b->tracks[k], names ? names[k] : b->names[k],
                                                    names ? k : layer_colour(k, count));
    }
}

/* Lines in which a thing has no number do not count: they are the same for all things. */
static void take_mean(const mo__run_page *p, mo__line_value *value, int count, bundle *b)
{
    mo__run_track *t = &b->tracks[0];
    *t = mo__run_track_of(p, value, 0);
    b->low = numbers(p, p->m->n_lines);
    b->high = numbers(p, p->m->n_lines);
    if (!b->low || !b->high) return;
    for (int64_t i = 0, at = 0; at < t->count; i++) {
        if (!isfinite(value(&p->m->lines[i], 0))) continue;
        double sum = 0;
        b->low[at] = (double)INFINITY;
        b->high[at] = (double)-INFINITY;
        for (int k = 0; k < count; k++) {
            double v = value(&p->m->lines[i], k);
            sum += v;
            b->low[at] = fmin(b->low[at], v);
            b->high[at] = fmax(b->high[at], v);
        }
        t->y[at++] = sum / count;
    }
    mo__curve *c = &b->curves[b->count++];
    *c = mo__run_track_curve(t, "mean of the layers; band: lowest to highest", 0);
    c->low = b->low;
    c->high = b->high;
}

static void take_reference(const mo__run_page *p, double at, const char *name, bundle *b)
{
    b->ends[0] = p->tokens[0];
    b->ends[1] = p->tokens[p->m->n_lines - 1];
    b->reference[0] = b->reference[1] = at;
    b->curves[b->count++] =
        (mo__curve){.name = name, .x = b->ends, .y = b->reference, .count = 2, .colour = 6, .dashed = true};
}

/* Whether there is anything to see: a value that is a number. */
static bool any(const mo__run_page *p, mo__line_value *value, int count)
{
    for (int64_t i = 0; i < p->m->n_lines; i++)
        for (int k = 0; k < count; k++)
            if (isfinite(value(&p->m->lines[i], k))) return true;
    return false;
}

void mo__run_curves(const mo__run_page *p, const mo__run_plot *of, mo__line_value *value, int count,
                    const char *const *names, double reference, const char *reference_name)
{
    bundle b = {.count = 0};
    if (!any(p, value, count)) return;
    if (count <= MOST_LAYERS)
        take_each(p, value, count, names, &b);
    else
        take_mean(p, value, count, &b);
    if (isfinite(reference)) take_reference(p, reference, reference_name, &b);
    mo__plot plot = plot_of(of, b.curves, b.count);
    mo__report_plot(p->report, &plot);
    for (int k = 0; k < MOST_LAYERS; k++) mo__run_track_free(&b.tracks[k]);
    mo_free(b.low);
    mo_free(b.high);
}

/* ---- the report ---- */

static void write_parts(const mo__run_page *p)
{
    mo__run_report_facts(p);
    if (p->m->n_lines > 0) {
        mo__run_report_loss(p);
        if (p->n_layers > 0) {
            mo__run_report_routing(p);
            mo__run_report_experts(p);
        }
        mo__run_report_spikes(p);
    }
    mo__run_report_texts(p);
}

mo_status mo__report_run(const char *dir, const char *output, mo_report_made *made)
{
    mo__run_metrics m;
    mo__report report;
    MO_TRY(mo__run_metrics_read(dir, MO__RUN_ALL, &m));
    for (size_t n = strlen(m.dir); n > 1 && m.dir[n - 1] == '/';) m.dir[--n] = '\0';
    char *title = mo_strprintf("Run %s", m.config.run.name);
    mo__run_page p = {.report = &report, .m = &m, .tokens = mo_calloc((size_t)m.n_lines + 1, sizeof(double))};
    mo_status status = title && p.tokens ? mo__report_begin(output, title, &report) : MO_E_MEMORY;
    if (status == MO_OK) {
        for (int64_t i = 0; i < m.n_lines; i++) {
            p.tokens[i] = mo__run_tokens(&m, &m.lines[i]);
            if (m.lines[i].n_layers > 0) p.n_layers = m.lines[i].n_layers;
        }
        p.experts = m.config.model.num_local_experts;
        write_parts(&p);
        status = mo__report_end(&report, made);
    }
    mo_free(p.tokens);
    mo_free(title);
    mo__run_metrics_free(&m);
    return status;
}
