/* loss_curves.c -- points that all seeds share. */
#include "lab/loss_curves.h"

#include <math.h>
#include <stdlib.h>

#include "lab/answer.h"
#include "lab/track.h"

/* ---- a variant's seeds ---- */

/* tracks[seed]: empty where the seed does not count. */
typedef struct seeds {
    mo__track *tracks;
    int n, count; /* all, those that count */
} seeds;

static void free_seeds(seeds *s)
{
    for (int i = 0; s->tracks && i < s->n; i++) mo__track_free(&s->tracks[i]);
    mo_free(s->tracks);
    *s = (seeds){0};
}

static bool any_done(const mo__table *t, int variant)
{
    for (int s = 0; s < t->n_seeds; s++) {
        const mo_lab_trial *trial = mo__table_trial(t, variant, s);
        if (trial && trial->state == MO_TRIAL_DONE) return true;
    }
    return false;
}

static mo_status add_seed(const mo__table *t, int variant, int seed, mo_axis axis, seeds *out)
{
    const mo_lab_trial *trial = mo__table_trial(t, variant, seed);
    if (!trial || (any_done(t, variant) ? trial->state != MO_TRIAL_DONE : trial->state == MO_TRIAL_FAILED))
        return MO_OK;
    mo__track *track = &out->tracks[seed];
    MO_TRY(mo__track_of(trial, axis, t->clock[variant * t->n_seeds + seed], track));
    out->count += track->n > 0;
    return MO_OK;
}

static mo_status make_seeds(const mo__table *t, int variant, mo_axis axis, seeds *out)
{
    *out = (seeds){.n = t->n_seeds, .tracks = mo_calloc((size_t)t->n_seeds + 1, sizeof *out->tracks)};
    mo_status status = out->tracks ? MO_OK : MO_E_MEMORY;
    for (int s = 0; s < t->n_seeds && status == MO_OK; s++) status = add_seed(t, variant, s, axis, out);
    if (status != MO_OK) free_seeds(out);
    return status;
}

/* ---- points ---- */

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

/* ---- a variant's curve ---- */

/* Seeds are evaluated at the same steps: the i-th points of all belong together. */
static void join(const seeds *s, int i, mo__losses *out)
{
    double x = 0, mean = 0, low = (double)INFINITY, high = (double)-INFINITY;
    for (int k = 0; k < s->n; k++) {
        const mo__track *track = &s->tracks[k];
        if (track->n == 0) continue;
        if (track->n <= i) return;
        x += track->x[i] / s->count;
        mean += track->loss[i] / s->count;
        low = fmin(low, track->loss[i]);
        high = fmax(high, track->loss[i]);
    }
    add_point(out, x, mean, low, high);
}

static mo_status curve(const mo__table *t, int variant, mo_axis axis, mo__losses *out)
{
    seeds s;
    int most = 0;
    MO_TRY(make_seeds(t, variant, axis, &s));
    for (int k = 0; k < s.n; k++)
        if (s.tracks[k].n > most) most = s.tracks[k].n;
    mo_status status = make_room(out, most);
    for (int i = 0; i < most && status == MO_OK; i++) join(&s, i, out);
    out->seeds = s.count;
    free_seeds(&s);
    return status;
}

mo_status mo__losses_of(const mo_lab_results *results, int variant, mo_axis axis, mo__losses *out)
{
    mo__table table;
    *out = (mo__losses){0};
    MO_TRY(mo__table_make(results, &table));
    mo_status status = curve(&table, variant, axis, out);
    mo__table_free(&table);
    return status;
}

/* ---- the distance of two ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Where a seed that both have was evaluated in either: sorted, each once. Owned; NULL without memory. */
static double *places(const seeds *a, const seeds *b, int *count)
{
    int seed = 0, n = 0, kept = 0;
    while (seed < a->n && (a->tracks[seed].n == 0 || b->tracks[seed].n == 0)) seed++;
    const mo__track *both[2] = {seed < a->n ? &a->tracks[seed] : NULL, seed < a->n ? &b->tracks[seed] : NULL};
    double *x = mo_malloc(sizeof *x * (size_t)(both[0] ? both[0]->n + both[1]->n : 1));
    for (int k = 0; x && k < 2; k++)
        for (int i = 0; both[k] && i < both[k]->n; i++) x[n++] = both[k]->x[i];
    if (x) qsort(x, (size_t)n, sizeof *x, by_value);
    for (int i = 0; x && i < n; i++)
        if (kept == 0 || x[i] > x[kept - 1]) x[kept++] = x[i];
    *count = kept;
    return x;
}

static mo_status differences(const seeds *a, const seeds *b, mo__losses *out)
{
    int n = 0;
    double *x = places(a, b, &n), *of_seed = mo_malloc(sizeof *of_seed * (size_t)(a->n + 1));
    mo_status status = x && of_seed ? make_room(out, n) : MO_E_MEMORY;
    for (int s = 0; s < a->n; s++) out->seeds += a->tracks[s].n > 0 && b->tracks[s].n > 0;
    for (int i = 0; status == MO_OK && i < n; i++) {
        for (int s = 0; s < a->n; s++)
            of_seed[s] = mo__track_at(&a->tracks[s], x[i]) - mo__track_at(&b->tracks[s], x[i]);
        mo_estimate e = mo_estimate_of(of_seed, a->n);
        if (e.count == out->seeds) add_point(out, x[i], e.mean, e.low, e.high);
    }
    mo_free(x);
    mo_free(of_seed);
    return status;
}

static mo_status between(const mo__table *t, int variant, int reference, mo_axis axis, mo__losses *out)
{
    seeds a, b;
    MO_TRY(make_seeds(t, variant, axis, &a));
    mo_status status = make_seeds(t, reference, axis, &b);
    if (status == MO_OK) {
        status = differences(&a, &b, out);
        free_seeds(&b);
    }
    free_seeds(&a);
    return status;
}

mo_status mo__losses_between(const mo_lab_results *results, int variant, int reference, mo_axis axis,
                             mo__losses *out)
{
    mo__table table;
    *out = (mo__losses){0};
    MO_TRY(mo__table_make(results, &table));
    mo_status status = between(&table, variant, reference, axis, out);
    mo__table_free(&table);
    return status;
}
