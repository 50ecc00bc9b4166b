/* answer_table.c -- trials by variant and seed, and the seconds of a step. */
#include <math.h>

#include "lab/answer.h"

static int seed_index(const mo__table *t, uint64_t seed)
{
    int s = 0;
    while (s < t->n_seeds && t->seed[s] != seed) s++;
    return s;
}

static mo_status allocate(mo__table *t)
{
    const mo_lab_results *r = t->results;
    t->seed = mo_calloc((size_t)r->n_trials + 1, sizeof *t->seed);
    if (!t->seed) return MO_E_MEMORY;
    for (int i = 0; i < r->n_trials; i++) {
        if (r->trials[i].stage != MO_STAGE_MAIN) continue;
        int s = seed_index(t, r->trials[i].seed);
        if (s == t->n_seeds) t->seed[t->n_seeds++] = r->trials[i].seed;
    }
    size_t places = (size_t)r->n_variants * (size_t)t->n_seeds + 1;
    t->main = mo_calloc(places, sizeof *t->main);
    t->clock = mo_malloc(places * sizeof *t->clock);
    if (!t->main || !t->clock) return MO_E_MEMORY;
    for (size_t i = 0; i < places; i++) t->clock[i] = (double)NAN;
    return MO_OK;
}

static void place_trials(mo__table *t)
{
    const mo_lab_results *r = t->results;
    for (int i = 0; i < r->n_trials; i++) {
        const mo_lab_trial *trial = &r->trials[i];
        if (trial->stage != MO_STAGE_MAIN) continue;
        t->main[trial->variant * t->n_seeds + seed_index(t, trial->seed)] = trial;
        if (trial->rung >= 0 && trial->rung < MO__MOST_RUNGS) t->rung_step[trial->rung] = trial->target_step;
    }
}

static bool is_round(const mo_lab_trial *trial, int variant)
{
    return trial->stage == MO_STAGE_TIMING && trial->variant == variant && trial->state == MO_TRIAL_DONE &&
           trial->step_seconds > 0;
}

/* Seed s goes with round s, beginning again where there are fewer rounds than seeds. Returns the rounds. */
static int set_clock(mo__table *t, int variant)
{
    const mo_lab_results *r = t->results;
    double *clock = t->clock + variant * t->n_seeds;
    int rounds = 0;
    for (int i = 0; i < r->n_trials; i++)
        if (is_round(&r->trials[i], variant)) {
            if (rounds < t->n_seeds) clock[rounds] = r->trials[i].step_seconds;
            rounds++;
        }
    for (int s = rounds; rounds > 0 && s < t->n_seeds; s++) clock[s] = clock[s - rounds];
    return rounds;
}

static bool has_done(const mo__table *t, int variant)
{
    for (int s = 0; s < t->n_seeds; s++) {
        const mo_lab_trial *trial = mo__table_trial(t, variant, s);
        if (trial && trial->state == MO_TRIAL_DONE) return true;
    }
    return false;
}

static bool same_model(const mo_lab_variant *a, const mo_lab_variant *b)
{
    return a->total == b->total && a->active == b->active && a->experts == b->experts &&
           a->steps == b->steps && a->step_tokens == b->step_tokens && a->memory_bytes == b->memory_bytes &&
           !(a->flops_per_token < b->flops_per_token || a->flops_per_token > b->flops_per_token);
}

/* Same counts, and the same losses to the bit for each seed. */
bool mo__table_alike(const mo__table *t, int a, int b)
{
    int common = 0;
    if (!same_model(&t->results->variants[a], &t->results->variants[b])) return false;
    for (int s = 0; s < t->n_seeds; s++) {
        const mo_lab_trial *x = mo__table_trial(t, a, s), *y = mo__table_trial(t, b, s);
        if (!x || !y || x->state != MO_TRIAL_DONE || y->state != MO_TRIAL_DONE) continue;
        if (!(x->loss >= y->loss && x->loss <= y->loss) || x->target_step != y->target_step) return false;
        common++;
    }
    return common > 0;
}

/* Of rounds, which are the first of the clock's seeds. */
static double spread_of(const mo__table *t)
{
    double most = 0;
    int n = t->rounds < t->n_seeds ? t->rounds : t->n_seeds;
    for (int v = 0; v < t->results->n_variants; v++)
        for (int w = 0; w <= v; w++) {
            if (w < v && !mo__table_alike(t, v, w)) continue;
            double low = (double)INFINITY, high = 0;
            for (int s = 0; s < n; s++) {
                double a = t->clock[v * t->n_seeds + s], b = t->clock[w * t->n_seeds + s];
                low = fmin(low, fmin(a, b));
                high = fmax(high, fmax(a, b));
            }
            if (high > 0) most = fmax(most, high / low - 1);
        }
    return most;
}

static void set_clocks(mo__table *t)
{
    int fewest = -1;
    for (int v = 0; v < t->results->n_variants; v++) {
        int rounds = set_clock(t, v);
        if (has_done(t, v) && (fewest < 0 || rounds < fewest)) fewest = rounds;
    }
    t->rounds = fewest > 0 ? fewest : 0;
    t->timed = t->rounds > 0;
    t->spread = t->timed ? spread_of(t) : 0;
    const double most = 0.2; /* what is below is in the intervals, since a seed has a round */
    t->steady = t->timed && t->spread <= most;
    size_t places = (size_t)t->results->n_variants * (size_t)t->n_seeds;
    for (size_t i = 0; i < places && !t->timed; i++) t->clock[i] = (double)NAN;
}

mo_status mo__table_make(const mo_lab_results *results, mo__table *out)
{
    *out = (mo__table){.results = results};
    mo_status status = allocate(out);
    if (status != MO_OK) {
        mo__table_free(out);
        return status;
    }
    place_trials(out);
    if (results->compare) set_clocks(out); /* trials of a sweep are not timed */
    return MO_OK;
}

void mo__table_free(mo__table *table)
{
    mo_free(table->seed);
    mo_free(table->main);
    mo_free(table->clock);
    *table = (mo__table){0};
}

int mo__table_rung(const mo__table *table, int variant, int seed)
{
    const mo_lab_trial *trial = mo__table_trial(table, variant, seed);
    if (!trial) return -1;
    return trial->state == MO_TRIAL_DONE ? trial->rung : trial->rung - 1;
}

double mo__table_loss(const mo__table *table, int variant, int seed, int rung)
{
    const mo_lab_trial *trial = mo__table_trial(table, variant, seed);
    if (!trial || rung < 0 || rung > mo__table_rung(table, variant, seed)) return (double)NAN;
    if (rung == trial->rung) return trial->loss;
    for (int i = 0; i < trial->n_evaluations; i++)
        if (trial->evaluations[i].step == table->rung_step[rung])
            return trial->evaluations[i].validation_loss;
    return (double)NAN;
}
