/* plan.c -- see plan.h. Trials are in the order in which they are begun: all variants with the first seed,
 * then all with the second, so that what is stopped early has looked at all of them. */
#include "lab/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/halving.h"

typedef struct planner {
    const mo_lab_spec *spec;
    const mo_lab_results *now;
    const mo_lab_trial **by_name; /* now's, sorted */
    mo__trial_plan *plan;
    int room;
} planner;

/* ---- trials that are there ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const mo_lab_trial *const *)a)->name, (*(const mo_lab_trial *const *)b)->name);
}

static mo_status sort_names(planner *p)
{
    p->by_name = mo_calloc((size_t)p->now->n_trials + 1, sizeof(const mo_lab_trial *));
    if (!p->by_name) return MO_E_MEMORY;
    for (int i = 0; i < p->now->n_trials; i++) p->by_name[i] = &p->now->trials[i];
    qsort(p->by_name, (size_t)p->now->n_trials, sizeof(const mo_lab_trial *), compare_names);
    return MO_OK;
}

/* NULL: not yet. */
static const mo_lab_trial *find(const planner *p, const char *name)
{
    int low = 0, high = p->now->n_trials;
    while (low < high) {
        int middle = (low + high) / 2, order = strcmp(name, p->by_name[middle]->name);
        if (order == 0) return p->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static bool over(const mo_lab_trial *t)
{
    return t && (t->state == MO_TRIAL_DONE || t->state == MO_TRIAL_FAILED);
}

static char *main_name(const planner *p, int variant, uint64_t seed)
{
    return mo_strprintf("%s.s%llu", p->now->variants[variant].name, (unsigned long long)seed);
}

/* *out is NULL where there is none yet. */
static mo_status find_main(const planner *p, int variant, uint64_t seed, const mo_lab_trial **out)
{
    char *name = main_name(p, variant, seed);
    *out = name ? find(p, name) : NULL;
    mo_free(name);
    return name ? MO_OK : MO_E_MEMORY;
}

/* ---- trials that are to be ---- */

/* The name is taken over; tuned is copied, NULL: none. A trial that has gone further than this stays there:
 * seeds that are added make rungs be ranked anew. */
static mo_status add(planner *p, char *name, mo_lab_trial trial, const char *tuned)
{
    const mo_lab_trial *before = name ? find(p, name) : NULL;
    trial.name = name;
    trial.tuned = tuned ? mo_strdup(tuned) : NULL;
    if (before && before->target_step > trial.target_step) {
        trial.target_step = before->target_step;
        trial.rung = before->rung;
    }
    if (p->plan->count == p->room) {
        int room = p->room ? 2 * p->room : 64;
        mo_lab_trial *larger = mo_realloc(p->plan->trials, (size_t)room * sizeof *larger);
        if (larger) {
            p->plan->trials = larger;
            p->room = room;
        }
    }
    if (name && (trial.tuned || !tuned) && p->plan->count < p->room) {
        p->plan->trials[p->plan->count++] = trial;
        return MO_OK;
    }
    mo_free(name);
    mo_free(trial.tuned);
    return MO_E_MEMORY;
}

static mo_status add_main(planner *p, int variant, uint64_t seed, int rung, int64_t target, const char *tuned)
{
    mo_lab_trial trial = {
        .variant = variant, .stage = MO_STAGE_MAIN, .seed = seed, .rung = rung, .target_step = target};
    return add(p, main_name(p, variant, seed), trial, tuned);
}

/* ---- sweeps ---- */

static mo_status plan_all(planner *p)
{
    for (int s = 0; s < p->spec->n_seeds; s++)
        for (int v = 0; v < p->now->n_variants; v++)
            MO_TRY(add_main(p, v, p->spec->seeds[s], 0, p->now->variants[v].steps, NULL));
    return MO_OK;
}

static const mo_lab_evaluation *evaluation_at(const mo_lab_trial *t, int64_t step)
{
    for (int i = t->n_evaluations - 1; i >= 0; i--)
        if (t->evaluations[i].step == step) return &t->evaluations[i];
    return NULL;
}

/* Mean over seeds at that step; NaN if a trial failed before it, or is not there yet (*pending). */
static mo_status rung_loss(const planner *p, int variant, int64_t step, double *loss, bool *pending)
{
    double sum = 0;
    bool failed = false, missing = false;
    for (int s = 0; s < p->spec->n_seeds; s++) {
        const mo_lab_trial *t;
        MO_TRY(find_main(p, variant, p->spec->seeds[s], &t));
        const mo_lab_evaluation *e = t ? evaluation_at(t, step) : NULL;
        if (e)
            sum += e->validation_loss;
        else if (t && t->state == MO_TRIAL_FAILED)
            failed = true;
        else
            missing = true;
    }
    *loss = failed || missing ? (double)NAN : sum / p->spec->n_seeds;
    *pending = *pending || (missing && !failed);
    return MO_OK;
}

/* The rung that each variant is in: rungs[] rises for those that survive. */
static mo_status climb(const planner *p, const mo__halving *h, int *rungs, double *losses, int *order)
{
    int n = p->now->n_variants;
    for (int r = 0; r + 1 < h->rungs; r++) {
        bool pending = false;
        for (int v = 0; v < n; v++) {
            losses[v] = (double)NAN;
            if (rungs[v] == r) MO_TRY(rung_loss(p, v, h->step[r], &losses[v], &pending));
        }
        if (pending) return MO_OK;
        int survivors = mo__halving_survivors(h, r, losses, n, order);
        for (int i = 0; i < survivors; i++) rungs[order[i]] = r + 1;
    }
    return MO_OK;
}

static mo_status check_lengths(const mo_lab_results *now)
{
    for (int v = 1; v < now->n_variants; v++)
        if (now->variants[v].steps != now->variants[0].steps)
            return mo_error(
                MO_E_CONFIG,
                "halving: a trial of %s has %lld steps, one of %s %lld; variants that are halved have "
                "trials of one length: give budget.steps",
                now->variants[0].name, (long long)now->variants[0].steps, now->variants[v].name,
                (long long)now->variants[v].steps);
    return MO_OK;
}

static mo_status plan_halving(planner *p, int64_t eval_every)
{
    int n = p->now->n_variants;
    mo__halving h;
    if (n == 0) return MO_OK;
    MO_TRY(check_lengths(p->now));
    MO_TRY(mo__halving_plan(n, p->spec->first_steps, p->spec->factor, p->now->variants[0].steps, eval_every,
                            &h));
    int *rungs = mo_calloc((size_t)n, sizeof *rungs), *order = mo_calloc((size_t)n, sizeof *order);
    double *losses = mo_calloc((size_t)n, sizeof *losses);
    mo_status status = rungs && order && losses ? climb(p, &h, rungs, losses, order) : MO_E_MEMORY;
    for (int s = 0; s < p->spec->n_seeds && status == MO_OK; s++)
        for (int v = 0; v < n && status == MO_OK; v++)
            status = add_main(p, v, p->spec->seeds[s], rungs[v], h.step[rungs[v]], NULL);
    mo_free(rungs);
    mo_free(order);
    mo_free(losses);
    return status;
}

/* ---- comparisons ---- */

/* What a folder may be called, of a value: "3e-3", "a_b". Two values of one name are told apart by `place`.
 */
static char *tune_name(const planner *p, int variant, int place)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-";
    const char *value = p->spec->tune.values[place];
    bool is_plain = strlen(value) < 40 && value[strspn(value, plain)] == '\0';
    const char *variant_name = p->now->variants[variant].name;
    return is_plain ? mo_strprintf("%s.tune.%s", variant_name, value)
                    : mo_strprintf("%s.tune.value_%d", variant_name, place + 1);
}

static mo_status add_tuning(planner *p, int variant, int place)
{
    int64_t steps = p->spec->tune.steps;
    mo_lab_trial trial = {.variant = variant,
                          .stage = MO_STAGE_TUNE,
                          .seed = p->spec->seeds[0],
                          .target_step = steps ? steps : p->now->variants[variant].steps};
    return add(p, tune_name(p, variant, place), trial, p->spec->tune.values[place]);
}

/* The best of the values, the first of those that are as good; NULL: none is tuned, or all failed, and trials
 * have what their config says. *settled becomes false where some are still to be tried. */
static mo_status best_value(const planner *p, int variant, bool *settled, const char **out)
{
    const mo_lab_trial *best = NULL;
    *out = NULL;
    for (int place = 0; place < p->spec->tune.count; place++) {
        char *name = tune_name(p, variant, place);
        const mo_lab_trial *t = name ? find(p, name) : NULL;
        mo_free(name);
        if (!name) return MO_E_MEMORY;
        *settled = *settled && over(t);
        if (!t || t->state != MO_TRIAL_DONE || (best && !(t->loss < best->loss))) continue;
        best = t;
        *out = p->spec->tune.values[place];
    }
    return MO_OK;
}

/* What a variant's main trials were begun with stays theirs: a value that failed, and does well when it is
 * tried again, would give seeds that are added another one. */
static mo_status keep_value(const planner *p, int variant, const char **value)
{
    const mo_lab_trial *t;
    MO_TRY(find_main(p, variant, p->spec->seeds[0], &t));
    if (t) *value = t->tuned;
    return MO_OK;
}

/* Whether all of the main stage is over; *any: whether a trial of the variant has got to its end. */
static mo_status main_over(const planner *p, bool *all, bool *any)
{
    *all = true;
    for (int v = 0; v < p->now->n_variants; v++) {
        any[v] = false;
        for (int s = 0; s < p->spec->n_seeds; s++) {
            const mo_lab_trial *t;
            MO_TRY(find_main(p, v, p->spec->seeds[s], &t));
            *all = *all && over(t);
            any[v] = any[v] || (t && t->state == MO_TRIAL_DONE);
        }
    }
    return MO_OK;
}

/* A round for each seed; rounds take the variants in turns, so that a machine that slows down slows all. */
static mo_status plan_timing(planner *p, const char *const *values)
{
    int n = p->now->n_variants;
    bool all = false, *any = mo_calloc((size_t)n + 1, sizeof *any);
    mo_status status = any ? main_over(p, &all, any) : MO_E_MEMORY;
    for (int s = 0; all && s < p->spec->n_seeds && status == MO_OK; s++)
        for (int v = 0; v < n && status == MO_OK; v++) {
            mo_lab_trial trial = {.variant = v,
                                  .stage = MO_STAGE_TIMING,
                                  .seed = p->spec->seeds[s],
                                  .target_step = p->spec->timing_steps};
            if (!any[v]) continue;
            status = add(p, mo_strprintf("%s.timing%d", p->now->variants[v].name, s + 1), trial, values[v]);
        }
    mo_free(any);
    return status;
}

/* Each stage comes when the one before is over for all, so that trials have one order whoever ended first. */
static mo_status plan_stages(planner *p, const char **values)
{
    int n = p->now->n_variants;
    bool all = true;
    for (int v = 0; v < n; v++) {
        MO_TRY(best_value(p, v, &all, &values[v]));
        MO_TRY(keep_value(p, v, &values[v]));
    }
    for (int place = 0; place < p->spec->tune.count; place++)
        for (int v = 0; v < n; v++) MO_TRY(add_tuning(p, v, place));
    if (!all) return MO_OK;
    for (int s = 0; s < p->spec->n_seeds; s++)
        for (int v = 0; v < n; v++)
            MO_TRY(add_main(p, v, p->spec->seeds[s], 0, p->now->variants[v].steps, values[v]));
    return p->spec->timing_steps > 0 ? plan_timing(p, values) : MO_OK;
}

static mo_status plan_comparison(planner *p)
{
    const char **values = mo_calloc((size_t)p->now->n_variants + 1, sizeof(const char *));
    mo_status status = values ? plan_stages(p, values) : MO_E_MEMORY;
    mo_free(values);
    return status;
}

/* ---- all of it ---- */

mo_status mo__trial_plan_make(const mo_lab_spec *spec, const mo_lab_results *now, int64_t eval_every,
                              mo__trial_plan *out)
{
    planner p = {.spec = spec, .now = now, .plan = out};
    *out = (mo__trial_plan){0};
    mo_status status = sort_names(&p);
    if (status == MO_OK)
        status = spec->compare                      ? plan_comparison(&p)
                 : spec->strategy == MO_LAB_HALVING ? plan_halving(&p, eval_every)
                                                    : plan_all(&p);
    mo_free(p.by_name);
    if (status != MO_OK) mo__trial_plan_free(out);
    return status;
}

void mo__trial_plan_free(mo__trial_plan *plan)
{
    for (int i = 0; i < plan->count; i++) {
        mo_free(plan->trials[i].name);
        mo_free(plan->trials[i].tuned);
    }
    mo_free(plan->trials);
    *plan = (mo__trial_plan){0};
}
