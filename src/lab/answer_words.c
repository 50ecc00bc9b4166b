/* answer_words.c -- notes: what an answer rests on and what limits it. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lab/answer.h"

enum { MOST_NAMES = 8 }; /* in a note; the tables have all */

/* ---- common to both kinds ---- */

static void count_states(const mo_lab_results *r, int state[4])
{
    for (int i = 0; i < r->n_trials; i++) state[r->trials[i].state]++;
}

void mo__answer_progress(const mo__table *t, mo__buffer *b)
{
    int state[4] = {0};
    count_states(t->results, state);
    mo__buffer_add(b, "%d of %d trials %s done", state[MO_TRIAL_DONE], t->results->n_trials,
                   state[MO_TRIAL_DONE] == 1 ? "is" : "are");
    if (state[MO_TRIAL_FAILED])
        mo__buffer_add(b, ", %d %s failed", state[MO_TRIAL_FAILED],
                       state[MO_TRIAL_FAILED] == 1 ? "has" : "have");
    mo__buffer_add(b, ". ");
}

static mo_status note_seconds(const mo__table *t, mo_answer *a)
{
    static const char alone[] =
        "Seconds are steps times the seconds of a step, the median of a trial that ran with no other "
        "trial beside it, on all cores";
    static const char as_trained[] = "Seconds are as trained, with whatever else was on the machine, other "
                                     "trials among them; no verdict hangs on them.";
    if (!t->timed)
        return t->results->compare ? mo__answer_warn(a, "%s", as_trained)
                                   : mo__answer_note(a, "%s", as_trained);
    if (!t->steady)
        return mo__answer_warn(
            a,
            "The machine was not left alone while steps were timed: of one variant, or of "
            "models that are the same, seconds of a step differ by %.0f%%. Seconds and "
            "speed-ups in seconds are not to be relied on, and there is no verdict at equal "
            "seconds; time again when nothing else runs.",
            100 * t->spread);
    if (t->rounds == 1)
        return mo__answer_warn(
            a, "%s. There was one for each variant, so the clock's noise is in no interval.", alone);
    return mo__answer_note(
        a,
        "%s, in %d rounds of all variants in turns, each of which goes with a seed; those of "
        "one variant differ by at most %.1f%%.",
        alone, t->rounds, 100 * t->spread);
}

/* Mean over seeds of how far the end lies above the best evaluation, in nats. */
static double rise(const mo__table *t, int variant)
{
    double sum = 0;
    int n = 0;
    for (int s = 0; s < t->n_seeds; s++) {
        const mo_lab_trial *trial = mo__table_trial(t, variant, s);
        if (!trial || trial->state != MO_TRIAL_DONE || isnan(trial->loss)) continue;
        if (trial->target_step < t->results->variants[variant].steps) continue; /* its schedule is not over */
        double best = trial->loss;
        for (int i = 0; i < trial->n_evaluations; i++)
            best = fmin(best, trial->evaluations[i].validation_loss);
        sum += trial->loss - best;
        n++;
    }
    return n ? sum / n : 0;
}

static mo_status note_rises(const mo__table *t, mo_answer *a)
{
    const double tells = 0.01; /* nats: more than evaluations of one run waver at its end */
    mo__buffer names = {0};
    char *text;
    int count = 0;
    for (int v = 0; v < t->results->n_variants; v++)
        if (rise(t, v) > tells && count++ < MOST_NAMES)
            mo__buffer_add(&names, "%s%s (by %.3f)", count > 1 ? ", " : "", t->results->variants[v].name,
                           rise(t, v));
    MO_TRY(mo__buffer_finish(&names, MO_OK, &text));
    mo_status status = MO_OK;
    if (count)
        status = mo__answer_warn(
            a,
            "The validation loss was lower before the end, and rose again, of %s%s. Losses are those "
            "of the end.",
            text, count > MOST_NAMES ? " and others" : "");
    mo_free(text);
    return status;
}

/* By the ranking, where equal losses are neighbours. */
static mo_status note_alike(const mo__table *t, mo_answer *a)
{
    mo__buffer names = {0};
    char *text;
    int count = 0;
    for (int i = 1; i < a->n_variants; i++) {
        int one = a->ranking[i - 1], other = a->ranking[i];
        if (!mo__table_alike(t, one, other)) continue;
        if (count++ < MOST_NAMES)
            mo__buffer_add(&names, "%s%s and %s", count > 1 ? ", " : "", t->results->variants[one].name,
                           t->results->variants[other].name);
    }
    MO_TRY(mo__buffer_finish(&names, MO_OK, &text));
    mo_status status = MO_OK;
    if (count)
        status = mo__answer_warn(a,
                                 "The same model with the same losses to the bit: %s%s. What they differ in "
                                 "has no effect here.",
                                 text, count > MOST_NAMES ? ", and others" : "");
    mo_free(text);
    return status;
}

mo_status mo__answer_words_common(const mo__table *t, mo_answer *a)
{
    int state[4] = {0};
    count_states(t->results, state);
    if (state[MO_TRIAL_DONE] == 0) return MO_OK;
    MO_TRY(note_alike(t, a));
    MO_TRY(note_rises(t, a));
    return note_seconds(t, a);
}

/* ---- notes on a comparison ---- */

static mo_status note_intervals(const mo__table *t, mo_answer *a)
{
    char over[96] = "the seeds that both have (Student's t, one degree of freedom less)";
    int fewest = t->n_seeds, most = 0;
    for (int i = 0; i < a->n_contrasts; i++) {
        int count = a->contrasts[i].axis[MO_AXIS_TOKENS].difference.count;
        fewest = count < fewest ? count : fewest;
        most = count > most ? count : most;
    }
    if (most < 2) return MO_OK;
    if (fewest == most)
        snprintf(over, sizeof over, "%d seeds (Student's t, %d degree%s of freedom)", most, most - 1,
                 most == 2 ? "" : "s");
    return mo__answer_note(a,
                           "Differences are taken seed by seed; intervals are 95%% confidence intervals of "
                           "their mean over %s, each for itself: of 20 comparisons of equals one would seem "
                           "to differ.",
                           over);
}

static mo_status note_curves(mo_answer *a)
{
    if (a->n_contrasts == 0 || a->contrasts[0].axis[MO_AXIS_TOKENS].difference.count == 0) return MO_OK;
    MO_TRY(mo__answer_note(
        a,
        "A run has a loss from where on it stays at or below it, with straight lines between evaluations. "
        "Speed-ups, and losses at equal spending of who spends more in all, are read off curves of whole "
        "runs, where the learning rate has not come down yet: of a run planned for that length the loss "
        "would usually be lower. So speed-ups above 1 are rather too small, and who looks worse only where "
        "it was read early has no verdict there. Where two spent nothing alike in all, what tells is the "
        "loss at the end of each, its learning rate come down, with what each spent."));
    return mo__answer_note(a, "FLOPs are those that training needs by formula, attention, router and head "
                              "included, not what the machine was able to do in the time.");
}

static mo_status note_tuning(const mo__table *t, mo_answer *a)
{
    int tuned = 0, at_edge = 0;
    mo__buffer names = {0};
    char *text;
    for (int i = 0; i < a->n_variants; i++) {
        const mo_variant_answer *v = &a->variants[i];
        tuned += v->tuned != NULL;
        if (v->tuned_at_edge)
            mo__buffer_add(&names, "%s%s (%s)", at_edge++ ? ", " : "", t->results->variants[i].name,
                           v->tuned);
    }
    MO_TRY(mo__buffer_finish(&names, MO_OK, &text));
    const char *key = t->results->tune_key ? t->results->tune_key : "What was tuned";
    mo_status status = MO_OK;
    if (tuned)
        status =
            mo__answer_note(a,
                            "%s was chosen for each variant alike, from the same number of trials on the "
                            "first seed, which is one of those that are compared.",
                            key);
    if (status == MO_OK && at_edge)
        status =
            mo__answer_warn(a,
                            "%s is at the edge of what was tried for %s: values beyond it may be better, "
                            "so %s may look worse than need be.",
                            key, text, at_edge == 1 ? "that variant" : "those variants");
    mo_free(text);
    return status;
}

mo_status mo__answer_words_compare(const mo__table *t, mo_answer *a)
{
    MO_TRY(mo__answer_findings(t, a));
    MO_TRY(note_intervals(t, a));
    MO_TRY(note_curves(a));
    return note_tuning(t, a);
}
