/* report_run_loss.c -- losses of a run, of its sources, and the course of its training. */
#include <math.h>

#include "base/units.h"
#include "lab/report_run.h"
#include "lab/run_facts.h"

static double train_loss(const mo_step_report *l, int which)
{
    (void)which;
    return l->train_loss;
}

static double validation_loss(const mo_step_report *l, int which)
{
    (void)which;
    return l->evaluated ? l->validation_loss : (double)NAN;
}

static double learning_rate(const mo_step_report *l, int which)
{
    (void)which;
    return l->learning_rate;
}

static double grad_norm(const mo_step_report *l, int which)
{
    (void)which;
    return l->grad_norm;
}

static double tokens_per_second(const mo_step_report *l, int which)
{
    (void)which;
    return l->tokens_per_second;
}

static double source_loss(const mo_step_report *l, int which)
{
    return l->evaluated && which < l->n_sources ? l->sources[which].validation_loss : (double)NAN;
}

static void plot_losses(const mo__run_page *p)
{
    mo__run_track train = mo__run_track_of(p, train_loss, 0),
                  validation = mo__run_track_of(p, validation_loss, 0);
    mo__curve curves[] = {mo__run_track_curve(&train, "training, each step alone", 0),
                          mo__run_track_curve(&validation, "validation", 1)};
    curves[0].style = MO__CURVE_LINE;
    mo__plot plot = {
        .name = "loss",
        .title = "Cross-entropy",
        .note = "Nats per predicted token, without balancing losses. The axis of losses is logarithmic.",
        .x_label = "tokens read",
        .y_label = "nats per token",
        .log_y = true,
        .curves = curves,
        .n_curves = 2};
    mo__report_plot(p->report, &plot);
    mo__run_track_free(&train);
    mo__run_track_free(&validation);
}

/* ---- evaluations, in a table ---- */

enum { MOST_ROWS = 20 };

static void evaluation_row(mo__html *h, const mo__run_page *p, const mo_step_report *l, bool best)
{
    if (best) mo__html_row(h, "best");
    mo__html_cell(h, "%s", mo__count(l->step).text);
    mo__html_cell(h, "%s", mo__short(mo__run_tokens(p->m, l)).text);
    mo__html_cell(h, "%s", mo__duration(l->seconds).text);
    mo__html_cell(h, "%s", mo__fixed(l->train_loss, 4).text);
    mo__html_cell(h, "%.4f", l->validation_loss);
    mo__html_cell(h, "%s", mo__fixed(l->bits_per_byte, 4).text);
}

/* Of many evaluations every so many, counted from the last, and the best. */
static void table_evaluations(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    int64_t n = 0, at = 0, best = -1;
    for (int64_t i = 0; i < p->m->n_lines; i++) {
        const mo_step_report *l = &p->m->lines[i];
        n += l->evaluated;
        if (l->evaluated && (best < 0 || l->validation_loss < p->m->lines[best].validation_loss)) best = i;
    }
    if (n == 0) return;
    int64_t every = (n + MOST_ROWS - 1) / MOST_ROWS;
    mo__html_table_begin(
        h, every > 1 ? "Evaluations, some of them" : "Evaluations",
        ">Step|>Tokens read|>Time of training|>Training loss, nats per token|>Validation loss, nats per "
        "token|>Validation, bits per byte");
    for (int64_t i = 0; i < p->m->n_lines; i++)
        if (p->m->lines[i].evaluated && (((n - ++at) % every) == 0 || i == best))
            evaluation_row(h, p, &p->m->lines[i], i == best);
    mo__html_table_end(h);
}

/* ---- sources of a mixture ---- */

static void table_sources(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    const mo_step_report *last = &p->m->lines[p->m->n_lines - 1], *evaluated = NULL;
    if (last->n_sources == 0) return;
    for (int64_t i = 0; i < p->m->n_lines; i++)
        if (p->m->lines[i].evaluated && p->m->lines[i].n_sources == last->n_sources)
            evaluated = &p->m->lines[i];
    mo__html_table_begin(h, "Sources of the mixture",
                         "<Source|>Tokens read|>Share of the sequences, %|>Validation loss, nats per token");
    for (int i = 0; i < last->n_sources; i++) {
        mo__html_cell(h, "%s", last->sources[i].name);
        mo__html_cell(h, "%s", mo__short((double)last->sources[i].tokens).text);
        mo__html_cell(h, "%.1f", 100 * last->sources[i].share);
        mo__html_cell(h, "%s", mo__fixed(evaluated ? source_loss(evaluated, i) : (double)NAN, 4).text);
    }
    mo__html_table_end(h);
}

static void plot_sources(const mo__run_page *p)
{
    const mo_step_report *last = &p->m->lines[p->m->n_lines - 1];
    const char *names[MO__COLOURS];
    mo__run_plot plot = {.name = "sources",
                         .title = "Validation loss of each source",
                         .y_label = "nats per token",
                         .log_y = true};
    if (last->n_sources == 0 || last->n_sources > MO__COLOURS) return;
    for (int i = 0; i < last->n_sources; i++) names[i] = last->sources[i].name;
    mo__run_curves(p, &plot, source_loss, last->n_sources, names, (double)NAN, NULL);
}

void mo__run_report_loss(const mo__run_page *p)
{
    static const mo__run_plot rate = {
        .name = "learning-rate", .title = "Learning rate", .y_label = "learning rate", .zero_y = true};
    static const mo__run_plot norm = {.name = "gradient-norm",
                                      .title = "Gradient norm, before clipping",
                                      .y_label = "global norm",
                                      .log_y = true,
                                      .note = "The axis is logarithmic."};
    static const mo__run_plot speed = {.name = "throughput",
                                       .title = "Throughput",
                                       .y_label = "tokens per second",
                                       .zero_y = true,
                                       .note = "Training alone: evaluations and saving are left out."};
    mo__html *h = &p->report->html;
    mo__html_section_begin(h, "Loss and training");
    mo__html_grid_begin(h);
    plot_losses(p);
    mo__run_curve(p, &norm, grad_norm);
    mo__run_curve(p, &rate, learning_rate);
    mo__run_curve(p, &speed, tokens_per_second);
    plot_sources(p);
    mo__html_grid_end(h);
    table_sources(p);
    table_evaluations(p);
    mo__html_section_end(h);
}
