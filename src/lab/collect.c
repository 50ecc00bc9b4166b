/* collect.c -- from a run folder's metrics.jsonl to a trial's figures. */
#include "lab/collect.h"

#include <math.h>

#include "lab/run_metrics.h"
#include "lab/statistics.h"

/* The lines of a trial: those of a run up to its target. */
typedef struct lines {
    const mo_step_report *at;
    int64_t count;
} lines;

static lines lines_until(const mo__run_metrics *m, int64_t target)
{
    lines l = {.at = m->lines};
    while (l.count < m->n_lines && m->lines[l.count].step <= target) l.count++;
    return l;
}

/* ---- evaluations ---- */

/* That of a base, at step 0, is none of the trial's. */
static bool counts(const mo_step_report *r)
{
    return r->evaluated && r->step > 0;
}

static mo_status take_evaluations(const mo__run_metrics *m, lines l, mo_lab_evaluation **out, int *count)
{
    int n = 0;
    for (int64_t i = 0; i < l.count; i++) n += counts(&l.at[i]);
    mo_lab_evaluation *e = mo_calloc((size_t)n, sizeof *e);
    if (!e) return MO_E_MEMORY;
    *out = e;
    *count = n;
    for (int64_t i = 0; i < l.count; i++) {
        const mo_step_report *r = &l.at[i];
        int64_t tokens = r->step * m->step_tokens;
        if (counts(r))
            *e++ = (mo_lab_evaluation){.step = r->step,
                                       .tokens = tokens,
                                       .flops = (double)tokens * m->count.flops_per_token,
                                       .seconds = r->seconds,
                                       .train_loss = r->train_loss,
                                       .validation_loss = r->validation_loss};
    }
    return MO_OK;
}

/* ---- seconds of a step ---- */

/* Median over the spans between lines, the first fifth of them left out: caches warm up, and so do clocks. */
static mo_status median_step(lines l, double *out)
{
    int n = 0;
    double *spans = mo_calloc((size_t)l.count, sizeof *spans);
    if (!spans) return MO_E_MEMORY;
    for (int64_t i = 1 + (l.count - 1) / 5; i < l.count; i++) {
        const mo_step_report *a = &l.at[i - 1], *b = &l.at[i];
        spans[n++] = (b->seconds - a->seconds) / (double)(b->step - a->step);
    }
    *out = mo__median(spans, n);
    mo_free(spans);
    return MO_OK;
}

/* ---- routers ---- */

typedef struct mean {
    double sum;
    int64_t count;
} mean;

static void add(mean *m, double value)
{
    if (isnan(value)) return;
    m->sum += value;
    m->count++;
}

static double mean_of(mean m)
{
    return m.count > 0 ? m.sum / (double)m.count : (double)NAN;
}

/* Over layers and the last tenth of the lines, at least one. */
static void take_routing(lines l, mo_lab_trial *t)
{
    mean max_vio = {0}, entropy = {0}, dropped = {0};
    int64_t last = l.count / 10 > 0 ? l.count / 10 : 1;
    for (int64_t i = l.count > last ? l.count - last : 0; i < l.count; i++)
        for (int k = 0; k < l.at[i].n_layers; k++) {
            add(&max_vio, l.at[i].layers[k].max_vio);
            add(&entropy, l.at[i].layers[k].entropy);
            add(&dropped, l.at[i].layers[k].dropped);
        }
    t->max_vio = mean_of(max_vio);
    t->entropy = mean_of(entropy);
    t->dropped = mean_of(dropped);
}

/* ---- all of it ---- */

/* Whether the run has got to where the trial has to be, and its loss there. */
static void take_end(const mo__run_metrics *m, lines l, mo_lab_trial *t)
{
    const mo_step_report *last = l.count > 0 ? &l.at[l.count - 1] : NULL;
    bool there = last && (last->step == t->target_step || m->end != MO_RUN_GOES_ON);
    t->loss = (double)NAN;
    if (!there || !counts(last)) return;
    t->loss = last->validation_loss;
    t->state = MO_TRIAL_DONE;
}

static mo_status take(const mo__run_metrics *m, mo_lab_trial *t)
{
    lines l = lines_until(m, t->target_step);
    if (m->config.run.seed != t->seed)
        return mo_error(MO_E_MISMATCH,
                        "%s: holds a run with the seed %llu, and the trial has %llu: it is not of this "
                        "experiment; move it away",
                        m->dir, (unsigned long long)m->config.run.seed, (unsigned long long)t->seed);
    mo_lab_trial found = *t;
    found.evaluations = NULL;
    found.step = l.count > 0 ? l.at[l.count - 1].step : 0;
    found.seconds = l.count > 0 ? l.at[l.count - 1].seconds : (double)NAN;
    take_routing(l, &found);
    take_end(m, l, &found);
    MO_TRY(median_step(l, &found.step_seconds));
    MO_TRY(take_evaluations(m, l, &found.evaluations, &found.n_evaluations));
    mo_free(t->evaluations);
    *t = found;
    return MO_OK;
}

/* Nothing of it is there. */
static void clear(mo_lab_trial *t)
{
    mo_free(t->evaluations);
    t->evaluations = NULL;
    t->n_evaluations = 0;
    t->step = 0;
    t->loss = t->seconds = t->step_seconds = t->max_vio = t->entropy = t->dropped = (double)NAN;
}

mo_status mo__trial_collect(mo_lab_trial *trial)
{
    mo__run_metrics m;
    mo_status status = mo__run_metrics_read(trial->dir, MO__RUN_LINES, &m);
    if (status == MO_E_NOT_FOUND) {
        clear(trial);
        return MO_OK;
    }
    MO_TRY(status);
    status = take(&m, trial);
    mo__run_metrics_free(&m);
    return status;
}
