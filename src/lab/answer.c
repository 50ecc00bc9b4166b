/* answer.c -- what comes of an experiment: each variant over its seeds, ranking, Pareto front. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lab/answer.h"

/* ---- each variant ---- */

static double at_end(double value, const mo_lab_trial *trial)
{
    return trial && trial->state == MO_TRIAL_DONE ? value : (double)NAN;
}

/* Estimates over the seeds that are done. */
static void estimate(const mo__table *t, mo_variant_answer *v, double *x)
{
    const int n = t->n_seeds, rung = v->rung > 0 ? v->rung : 0;
    for (int s = 0; s < n; s++) x[s] = mo__table_loss(t, v->variant, s, rung);
    v->loss = mo_estimate_of(x, n);
#define OVER_SEEDS(field)                                              \
    for (int s = 0; s < n; s++) {                                      \
        const mo_lab_trial *trial = mo__table_trial(t, v->variant, s); \
        x[s] = at_end(trial ? trial->field : (double)NAN, trial);      \
    }                                                                  \
    v->field = mo_estimate_of(x, n)
    OVER_SEEDS(max_vio);
    OVER_SEEDS(entropy);
    OVER_SEEDS(dropped);
#undef OVER_SEEDS
}

/* Of whole trials: by the rounds of timing, or by what a step of each trial took. */
static void estimate_seconds(const mo__table *t, mo_variant_answer *v, double *x)
{
    const mo_lab_variant *of = &t->results->variants[v->variant];
    int n = t->timed && t->rounds < t->n_seeds ? t->rounds : t->n_seeds;
    for (int s = 0; s < n; s++) {
        const mo_lab_trial *trial = mo__table_trial(t, v->variant, s);
        x[s] = t->timed                   ? t->clock[v->variant * t->n_seeds + s]
               : trial && trial->step > 0 ? trial->seconds / (double)trial->step
                                          : (double)NAN;
        x[s] *= (double)of->steps;
    }
    v->seconds = mo_estimate_of(x, n);
    double typical = t->timed ? mo__median(x, n) : v->seconds.mean;
    v->tokens_per_second = (double)of->steps * (double)of->step_tokens / typical;
}

static bool number(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return *text && !*end && isfinite(*out);
}

/* Whether no tried value lies on one side of the one that was taken. One that failed lies there too. */
static bool at_edge(const mo__table *t, const mo_variant_answer *v)
{
    double taken, tried;
    bool below = false, above = false, several = false;
    if (!v->tuned || !number(v->tuned, &taken)) return false;
    for (int i = 0; i < t->results->n_trials; i++) {
        const mo_lab_trial *trial = &t->results->trials[i];
        if (trial->stage != MO_STAGE_TUNE || trial->variant != v->variant || !trial->tuned) continue;
        if (!number(trial->tuned, &tried)) return false;
        below = below || tried < taken;
        above = above || tried > taken;
        several = several || tried < taken || tried > taken;
    }
    return several && !(below && above);
}

static mo_status describe(const mo__table *t, mo_variant_answer *v, double *x)
{
    int rung = MO__MOST_RUNGS;
    for (int s = 0; s < t->n_seeds; s++) {
        const mo_lab_trial *trial = mo__table_trial(t, v->variant, s);
        int ended = mo__table_rung(t, v->variant, s);
        rung = ended < rung ? ended : rung;
        if (!trial) continue;
        v->seeds++;
        v->done += trial->state == MO_TRIAL_DONE;
        v->failed += trial->state == MO_TRIAL_FAILED;
        if (trial->tuned && !v->tuned && !(v->tuned = mo_strdup(trial->tuned))) return MO_E_MEMORY;
    }
    v->rung = t->n_seeds > 0 ? rung : -1;
    v->tuned_at_edge = at_edge(t, v);
    estimate(t, v, x);
    estimate_seconds(t, v, x);
    return MO_OK;
}

static mo_status describe_all(const mo__table *t, mo_answer *a)
{
    const mo_lab_results *r = t->results;
    double *x = mo_malloc(sizeof *x * (size_t)(t->n_seeds + 1));
    a->variants = mo_calloc((size_t)r->n_variants + 1, sizeof *a->variants);
    mo_status status = x && a->variants ? MO_OK : MO_E_MEMORY;
    for (int i = 0; status == MO_OK && i < r->n_variants; i++) {
        a->variants[a->n_variants++].variant = i;
        status = describe(t, &a->variants[i], x);
    }
    mo_free(x);
    return status;
}

/* ---- ranking and front ---- */

static int compare(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

typedef struct place {
    const mo_variant_answer *of;
} place;

static int by_rank(const void *x, const void *y)
{
    const mo_variant_answer *a = ((const place *)x)->of, *b = ((const place *)y)->of;
    bool none_a = isnan(a->loss.mean), none_b = isnan(b->loss.mean);
    if (none_a != none_b) return none_a - none_b;
    if (mo__whole(a) != mo__whole(b)) return mo__whole(b) - mo__whole(a);
    if (a->rung != b->rung) return b->rung - a->rung;
    int order = compare(a->loss.mean, b->loss.mean);
    return order ? order : a->variant - b->variant;
}

static int by_loss_and_seconds(const void *x, const void *y)
{
    const mo_variant_answer *a = ((const place *)x)->of, *b = ((const place *)y)->of;
    int order = compare(a->loss.mean, b->loss.mean);
    if (!order) order = compare(a->seconds.mean, b->seconds.mean);
    return order ? order : a->variant - b->variant;
}

/* Best losses first: whoever is faster than all before is on the front, and so is an equal of the last. */
static void mark_front(mo_answer *a, place *places, int count)
{
    const mo_variant_answer *last = NULL;
    qsort(places, (size_t)count, sizeof *places, by_loss_and_seconds);
    for (int i = 0; i < count; i++) {
        const mo_variant_answer *v = places[i].of;
        if (isnan(v->seconds.mean)) continue;
        bool faster = !last || v->seconds.mean < last->seconds.mean;
        bool equal =
            last && !compare(v->seconds.mean, last->seconds.mean) && !compare(v->loss.mean, last->loss.mean);
        if (!faster && !equal) continue;
        a->variants[v->variant].pareto = true;
        last = v;
    }
}

static mo_status rank(mo_answer *a)
{
    int n = a->n_variants, top = 0;
    place *places = mo_malloc(sizeof *places * (size_t)(n + 1));
    a->ranking = mo_malloc(sizeof *a->ranking * (size_t)(n + 1));
    if (!places || !a->ranking) {
        mo_free(places);
        return MO_E_MEMORY;
    }
    for (int i = 0; i < n; i++) places[i].of = &a->variants[i];
    qsort(places, (size_t)n, sizeof *places, by_rank);
    for (int i = 0; i < n; i++) a->ranking[i] = places[i].of->variant;
    while (top < n && mo__whole(places[top].of) && places[top].of->rung == places[0].of->rung &&
           !isnan(places[top].of->loss.mean))
        top++;
    mark_front(a, places, top);
    mo_free(places);
    return MO_OK;
}

/* ---- the whole ---- */

static mo_status insert_note(mo_answer *a, int at, char *text)
{
    char **notes = text ? mo_realloc(a->notes, sizeof *notes * (size_t)(a->n_notes + 1)) : NULL;
    if (!notes) {
        mo_free(text);
        return MO_E_MEMORY;
    }
    a->notes = notes;
    memmove(notes + at + 1, notes + at, sizeof *notes * (size_t)(a->n_notes - at));
    notes[at] = text;
    a->n_notes++;
    return MO_OK;
}

__attribute__((format(printf, 1, 0))) static char *print(const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = size < 0 ? NULL : mo_malloc((size_t)size + 1);
    if (text) vsnprintf(text, (size_t)size + 1, format, arguments);
    return text;
}

mo_status mo__answer_note(mo_answer *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = print(format, arguments);
    va_end(arguments);
    return insert_note(a, a->n_notes, text);
}

mo_status mo__answer_warn(mo_answer *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = print(format, arguments);
    va_end(arguments);
    MO_TRY(insert_note(a, a->n_warnings, text));
    a->n_warnings++;
    return MO_OK;
}

static mo_status answer_with(const mo__table *t, mo_answer *a)
{
    a->noise = a->least_difference = (double)NAN;
    a->timed = t->timed;
    a->steady = t->steady;
    MO_TRY(describe_all(t, a));
    MO_TRY(rank(a));
    if (t->results->compare) {
        MO_TRY(mo__answer_contrasts(t, a));
        MO_TRY(mo__answer_words_compare(t, a));
    } else {
        MO_TRY(mo__answer_noise(t, a));
        MO_TRY(mo__answer_effects(t, a));
        MO_TRY(mo__answer_words_sweep(t, a));
    }
    return mo__answer_words_common(t, a);
}

mo_status mo_answer_of(const mo_lab_results *results, mo_answer *out)
{
    mo__table table;
    *out = (mo_answer){0};
    MO_TRY(mo__table_make(results, &table));
    mo_status status = answer_with(&table, out);
    mo__table_free(&table);
    if (status != MO_OK) mo_answer_free(out);
    return status;
}

void mo_answer_free(mo_answer *a)
{
    for (int i = 0; i < a->n_variants; i++) mo_free(a->variants[i].tuned);
    for (int i = 0; i < a->n_notes; i++) mo_free(a->notes[i]);
    for (int i = 0; i < a->n_findings; i++) mo_free(a->findings[i]);
    for (int i = 0; i < a->n_effects; i++) {
        for (int k = 0; k < a->effects[i].n_levels; k++) mo_free(a->effects[i].levels[k].value);
        mo_free(a->effects[i].levels);
        mo_free(a->effects[i].key);
    }
    mo_free(a->sentence);
    mo_free(a->notes);
    mo_free(a->findings);
    mo_free(a->variants);
    mo_free(a->ranking);
    mo_free(a->contrasts);
    mo_free(a->effects);
    *a = (mo_answer){0};
}
