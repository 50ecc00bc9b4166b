/* loss_curves.c -- points that all seeds share; between evaluations losses are straight lines. */
#include "lab/loss_curves.h"

#include <math.h>
#include <stdlib.h>

double mo__lab_timed_step(const mo_lab_results *results, int variant)
{
    for (int i = 0; i < results->n_trials; i++) {
        const mo_lab_trial *t = &results->trials[i];
        if (t->variant == variant && t->stage == MO_STAGE_TIMING && t->state == MO_TRIAL_DONE)
            return t->step_seconds;
    }
    return (double)NAN;
}

double mo__lab_spent(const mo_lab_results *results, const mo_lab_trial *trial, const mo_lab_evaluation *at,
                     mo_axis axis)
{
    if (axis == MO_AXIS_TOKENS) return (double)at->tokens;
    if (axis == MO_AXIS_FLOPS) return at->flops;
    double step_seconds = mo__lab_timed_step(results, trial->variant);
    return isnan(step_seconds) ? at->seconds : (double)at->step * step_seconds;
}

/* ---- the trials that count ---- */

static bool of_curve(const mo_lab_trial *t, int variant, bool done)
{
    if (t->variant != variant || t->stage != MO_STAGE_MAIN || t->n_evaluations == 0) return false;
    return done ? t->state == MO_TRIAL_DONE : t->state != MO_TRIAL_FAILED;
}

/* Owned, [*count]. */
static mo_status trials_of(const mo_lab_results *r, int variant, const mo_lab_trial ***out, int *count)
{
    const mo_lab_trial **found = mo_malloc((size_t)(r->n_trials + 1) * sizeof *found);
    if (!found) return MO_E_MEMORY;
    *count = 0;
    for (int done = 1; done >= 0 && *count == 0; done--)
        for (int i = 0; i < r->n_trials; i++)
            if (of_curve(&r->trials[i], variant, done)) found[(*count)++] = &r->trials[i];
    *out = found;
    return MO_OK;
}

/* Room for `most` points. */
static mo_status make_room(mo__losses *out, int most)
{
    double *all = mo_malloc(4 * (size_t)(most + 1) * sizeof *all);
    if (!all) return MO_E_MEMORY;
    out->x = all;
    out->mean = all + (most + 1);
    out->low = all + 2 * (most + 1);
    out->high = all + 3 * (most + 1);
    return MO_OK;
}

void mo__losses_free(mo__losses *losses)
{
    mo_free(losses->x);
    *losses = (mo__losses){0};
}

static void add_point(mo__losses *out, double x, double mean, double low, double high)
{
    out->x[out->count] = x;
    out->mean[out->count] = mean;
    out->low[out->count] = low;
    out->high[out->count++] = high;
}

static const mo_lab_evaluation *at_step(const mo_lab_trial *t, int64_t step)
{
    for (int i = 0; i < t->n_evaluations; i++)
        if (t->evaluations[i].step == step) return &t->evaluations[i];
    return NULL;
}

/* ---- a variant's curve ---- */

/* Nothing where a seed has no loss at this step. */
static void add_step(const mo_lab_results *r, const mo_lab_trial *const *trials, int count, int64_t step,
                     mo_axis axis, mo__losses *out)
{
    double x = 0, mean = 0, low = INFINITY, high = -INFINITY;
    for (int i = 0; i < count; i++) {
        const mo_lab_evaluation *e = at_step(trials[i], step);
        if (!e || isnan(e->validation_loss)) return;
        x += mo__lab_spent(r, trials[i], e, axis) / count;
        mean += e->validation_loss / count;
        low = fmin(low, e->validation_loss);
        high = fmax(high, e->validation_loss);
    }
    add_point(out, x, mean, low, high);
}

mo_status mo__losses_of(const mo_lab_results *results, int variant, mo_axis axis, mo__losses *out)
{
    const mo_lab_trial **trials;
    int count;
    *out = (mo__losses){0};
    MO_TRY(trials_of(results, variant, &trials, &count));
    int most = count ? trials[0]->n_evaluations : 0;
    mo_status status = make_room(out, most);
    out->seeds = count;
    for (int i = 0; status == MO_OK && i < most; i++)
        add_step(results, trials, count, trials[0]->evaluations[i].step, axis, out);
    mo_free(trials);
    return status;
}

/* ---- the distance of two ---- */

/* The trial's loss where it had spent x; NaN before its first and after its last evaluation. */
static double loss_at(const mo_lab_results *r, const mo_lab_trial *t, double x, mo_axis axis)
{
    double before = 0, x_before = (double)NAN;
    for (int i = 0; i < t->n_evaluations; i++) {
        double here = t->evaluations[i].validation_loss;
        double x_here = mo__lab_spent(r, t, &t->evaluations[i], axis);
        if (x_here == x) return here;
        if (x_here > x) return before + (here - before) * (x - x_before) / (x_here - x_before);
        before = here;
        x_before = x_here;
    }
    return (double)NAN;
}

typedef struct pairs {
    const mo_lab_trial **a, **b; /* of the same seed */
    int count;
} pairs;

static void free_pairs(pairs *p)
{
    mo_free(p->a);
    mo_free(p->b);
}

static mo_status pairs_of(const mo_lab_results *r, int a, int b, pairs *out)
{
    int n_a = 0, n_b = 0;
    *out = (pairs){0};
    mo_status status = trials_of(r, a, &out->a, &n_a);
    if (status == MO_OK) status = trials_of(r, b, &out->b, &n_b);
    for (int i = 0; status == MO_OK && i < n_a; i++)
        for (int j = out->count; j < n_b; j++)
            if (out->a[i]->seed == out->b[j]->seed) {
                const mo_lab_trial *other = out->b[j];
                out->b[j] = out->b[out->count];
                out->b[out->count] = other;
                out->a[out->count++] = out->a[i];
                break;
            }
    if (status != MO_OK) free_pairs(out);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Where either was evaluated, in the first pair: sorted, each once. Owned. */
static double *places_of(const mo_lab_results *r, const pairs *p, mo_axis axis, int *count)
{
    const mo_lab_trial *two[2] = {p->a[0], p->b[0]};
    double *x = mo_malloc((size_t)(two[0]->n_evaluations + two[1]->n_evaluations) * sizeof *x);
    int n = 0, kept = 0;
    for (int k = 0; x && k < 2; k++)
        for (int i = 0; i < two[k]->n_evaluations; i++)
            x[n++] = mo__lab_spent(r, two[k], &two[k]->evaluations[i], axis);
    if (x) qsort(x, (size_t)n, sizeof *x, by_value);
    for (int i = 0; x && i < n; i++)
        if (kept == 0 || x[i] > x[kept - 1]) x[kept++] = x[i];
    *count = kept;
    return x;
}

static mo_status differences(const mo_lab_results *r, const pairs *p, mo_axis axis, mo__losses *out)
{
    int n = 0;
    double *x = places_of(r, p, axis, &n), *of_seed = mo_malloc((size_t)p->count * sizeof *of_seed);
    mo_status status = x && of_seed ? make_room(out, n) : MO_E_MEMORY;
    for (int i = 0; status == MO_OK && i < n; i++) {
        for (int s = 0; s < p->count; s++)
            of_seed[s] = loss_at(r, p->a[s], x[i], axis) - loss_at(r, p->b[s], x[i], axis);
        mo_estimate e = mo_estimate_of(of_seed, p->count);
        if (e.count == p->count) add_point(out, x[i], e.mean, e.low, e.high);
    }
    mo_free(x);
    mo_free(of_seed);
    return status;
}

mo_status mo__losses_between(const mo_lab_results *results, int variant, int reference, mo_axis axis,
                             mo__losses *out)
{
    pairs p;
    *out = (mo__losses){0};
    MO_TRY(pairs_of(results, variant, reference, &p));
    mo_status status = p.count ? differences(results, &p, axis, out) : MO_OK;
    out->seeds = p.count;
    free_pairs(&p);
    return status;
}
