/* answer_sweep_words.c -- a sweep in sentences. */
#include <math.h>

#include "base/units.h"
#include "lab/answer.h"

/* "v0007 (model.router=sigmoid, optimizer.learning_rate=0.003)" */
static void add_variant(mo__buffer *b, const mo_lab_variant *v)
{
    mo__buffer_add(b, "%s", v->name);
    for (int i = 0; i < v->chosen.count; i++)
        mo__buffer_add(b, "%s%s=%s", i ? ", " : " (", v->chosen.at[i].key, v->chosen.at[i].value);
    if (v->chosen.count) mo__buffer_add(b, ")");
}

static int ranked(const mo_answer *a)
{
    int n = 0;
    while (n < a->n_variants && mo__whole(&a->variants[a->ranking[n]]) &&
           !isnan(a->variants[a->ranking[n]].loss.mean))
        n++;
    return n;
}

/* Who else may be the best. */
static void add_others(mo__buffer *b, const mo_answer *a, int near)
{
    char at[48] = "";
    if (a->compared_step) snprintf(at, sizeof at, " at step %lld", (long long)a->compared_step);
    if (near > 0)
        mo__buffer_add(
            b,
            "%d other%s cannot be told from it: less than %.2g above%s, where noise of that size is to "
            "be expected. ",
            near, near == 1 ? "" : "s", a->least_difference, at);
    else
        mo__buffer_add(b, "That is better than all others%s by more than noise explains (%.2g). ", at,
                       a->least_difference);
}

static void add_best(mo__buffer *b, const mo__table *t, const mo_answer *a, int n)
{
    const mo_variant_answer *best = &a->variants[a->ranking[0]];
    int near = 0, failed = 0;
    for (int i = 0; i < a->n_variants; i++) {
        near += a->variants[i].near_best;
        failed += a->variants[i].failed > 0;
    }
    if (n > 1) mo__buffer_add(b, "Of %d variants ", n);
    add_variant(b, &t->results->variants[best->variant]);
    mo__buffer_add(b,
                   n == 1 ? " has a validation loss of %s nats per token"
                          : " has the lowest validation loss, %s nats per token",
                   mo__fixed(best->loss.mean, 4).text);
    if (t->n_seeds > 1) mo__buffer_add(b, ", mean of %d seeds", t->n_seeds);
    mo__buffer_add(b, ". ");
    if (failed)
        mo__buffer_add(b, "%d more %s left out: trials of %s failed. ", failed, failed == 1 ? "is" : "are",
                       failed == 1 ? "it" : "them");
    if (n > 1 && !isnan(a->least_difference)) add_others(b, a, near - 1);
    if (n > 1 && t->n_seeds == 1)
        mo__buffer_add(b, "With one seed nothing tells how much of the differences is noise. ");
}

static const mo_effect_level *best_level(const mo_effect *e)
{
    const mo_effect_level *best = e->levels;
    for (int i = 1; i < e->n_levels; i++)
        if (e->levels[i].loss.mean < best->loss.mean) best = &e->levels[i];
    return best;
}

/* Whether a share is more than luck, also after the largest of all shares was looked for (Bonferroni). */
static bool is_sure(const mo_answer *a, const mo_effect *e)
{
    return e->chance < 0.05 / a->n_effects;
}

static void add_effects(mo__buffer *b, const mo_answer *a)
{
    enum { MOST = 2 };
    const double tells = 0.05;
    for (int i = 0; i < a->n_effects && i < MOST; i++) {
        const mo_effect *e = &a->effects[i];
        if (!(e->share > tells)) break;
        if (!is_sure(a, e)) {
            if (i == 0)
                mo__buffer_add(b,
                               "What matters most cannot be told: the largest share of the variance between "
                               "variants, %.0f%%, goes with %s, but chance might do as much. ",
                               100 * e->share, e->key);
            break;
        }
        const mo_effect_level *best = best_level(e);
        mo__buffer_add(b,
                       "%s %s accounts for %.0f%% of the variance between variants (best, other things "
                       "equal: %s, %.4f). ",
                       i ? "Next," : "What matters most:", e->key, 100 * e->share, best->value,
                       best->loss.mean);
    }
}

static mo_status note_noise(const mo__table *t, mo_answer *a, int n)
{
    if (n > 1)
        MO_TRY(
            mo__answer_note(a,
                            "The best of %d is likely to owe a part of its lead to luck; a comparison of the "
                            "first few on other seeds would tell.",
                            n));
    if (isnan(a->least_difference)) return MO_OK;
    return mo__answer_note(
        a,
        "A seed's noise is %.2g nats: the deviation that is left in the better half when each variant's "
        "and each seed's mean is taken off. Two means over %d seeds differ at 95%% if they are more "
        "than %.2g apart, the choice of the best being counted in.",
        a->noise, t->n_seeds, a->least_difference);
}

static mo_status note_effects(const mo__table *t, mo_answer *a)
{
    if (a->n_effects == 0) return MO_OK;
    int unknown = 0;
    for (int i = 0; i < a->n_effects; i++) unknown += isnan(a->effects[i].share);
    if (unknown < a->n_effects)
        MO_TRY(mo__answer_note(
            a,
            "The share of a hyperparameter is how much less of the variance of the variants' means an "
            "additive "
            "model of all hyperparameters explains without it, less what chance would explain; mean losses "
            "are "
            "the model's, other things equal. What two do only together is in neither's share. In words are "
            "those that chance alone would hardly make (F test, 5%% in all)."));
    if (unknown)
        MO_TRY(mo__answer_note(
            a,
            "The share of %d hyperparameter%s is not known: that needs two variants with each value (three "
            "in "
            "each range of drawn numbers), values that were not tried only together with those of another "
            "hyperparameter, and three variants more than the model has numbers.",
            unknown, unknown == 1 ? "" : "s"));
    if (t->results->strategy != MO_LAB_HALVING) return MO_OK;
    return mo__answer_note(
        a,
        "By halving: variants that were dropped are ranked below those that went on, with their "
        "loss when they were; effects are those at step %lld, where all have been.",
        (long long)a->effects_step);
}

mo_status mo__answer_words_sweep(const mo__table *t, mo_answer *a)
{
    const mo_lab_results *r = t->results;
    mo__buffer b = {0};
    int n = ranked(a), open = 0;
    for (int i = 0; i < r->n_trials; i++)
        open += r->trials[i].state == MO_TRIAL_WAITING || r->trials[i].state == MO_TRIAL_RUNNING;
    if (open || r->n_trials == 0) {
        mo__buffer_add(&b, n ? "So far: " : "There is no answer yet: ");
        mo__answer_progress(t, &b);
    }
    if (n) {
        add_best(&b, t, a, n);
        add_effects(&b, a);
    } else if (!open && r->n_trials)
        mo__buffer_add(&b, "There is no answer: no variant has all its seeds done, and ");
    if (!n && !open && r->n_trials) mo__answer_progress(t, &b);
    while (b.size && b.text[b.size - 1] == ' ') b.text[--b.size] = '\0';
    MO_TRY(mo__buffer_finish(&b, MO_OK, &a->sentence));
    MO_TRY(note_noise(t, a, n));
    return note_effects(t, a);
}
