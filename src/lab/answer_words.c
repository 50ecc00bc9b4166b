/* answer_words.c -- a comparison in sentences: what was found, with its uncertainty, and no more than that.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lab/answer.h"
#include "lab/words.h"

enum { MOST_CONTRASTS = 8 }; /* in words; the tables have all */

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

/* Largest spread of a variant's rounds of timing: (slowest - fastest) / median. */
static double timing_spread(const mo__table *t)
{
    double most = 0;
    int n = t->rounds < t->n_seeds ? t->rounds : t->n_seeds;
    for (int v = 0; v < t->results->n_variants; v++) {
        const double *clock = t->clock + v * t->n_seeds;
        double low = clock[0], high = clock[0];
        for (int s = 1; s < n; s++) {
            low = fmin(low, clock[s]);
            high = fmax(high, clock[s]);
        }
        most = fmax(most, (high - low) / ((high + low) / 2));
    }
    return most;
}

static mo_status note_seconds(const mo__table *t, mo_answer *a)
{
    static const char alone[] =
        "Seconds are steps times the seconds of a step, the median of a trial that ran with no other "
        "trial beside it, on all cores";
    if (!t->timed)
        return mo__answer_note(a,
                               "Seconds are as trained, with whatever else was on the machine, other trials "
                               "among them; no verdict hangs on them.");
    if (t->rounds == 1)
        return mo__answer_note(
            a, "%s. There was one for each variant, so the clock's noise is in no interval.", alone);
    return mo__answer_note(
        a,
        "%s, in %d rounds of all variants in turns, each of which goes with a seed; those of "
        "one variant differ by at most %.1f%%.",
        alone, t->rounds, 100 * timing_spread(t));
}

/* Mean over seeds of how far the end lies above the best evaluation, in nats. */
static double rise(const mo__table *t, int variant)
{
    double sum = 0;
    int n = 0;
    for (int s = 0; s < t->n_seeds; s++) {
        const mo_lab_trial *trial = mo__table_trial(t, variant, s);
        if (!trial || trial->state != MO_TRIAL_DONE || isnan(trial->loss)) continue;
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
        if (rise(t, v) > tells && count++ < MOST_CONTRASTS)
            mo__buffer_add(&names, "%s%s (by %.3f)", count > 1 ? ", " : "", t->results->variants[v].name,
                           rise(t, v));
    MO_TRY(mo__buffer_finish(&names, MO_OK, &text));
    mo_status status = MO_OK;
    if (count)
        status =
            mo__answer_note(a,
                            "The validation loss was lower before the end, and rose again, of %s%s: that "
                            "much training is more than the data bears. Losses are those of the end.",
                            text, count > MOST_CONTRASTS ? " and others" : "");
    mo_free(text);
    return status;
}

mo_status mo__answer_words_common(const mo__table *t, mo_answer *a)
{
    int state[4] = {0};
    count_states(t->results, state);
    if (state[MO_TRIAL_DONE] == 0) return MO_OK;
    MO_TRY(note_rises(t, a));
    return note_seconds(t, a);
}

/* ---- a comparison ---- */

typedef struct pair {
    const mo__table *table;
    const mo_contrast *c;
    const mo_lab_variant *v, *r; /* variant, reference */
} pair;

static const char *const axis_names[MO_AXES] = {"tokens", "FLOPs", "training time"};

/* The axis of the verdict: what both trials spend alike, if there is such a thing. */
static mo_axis main_axis(const pair *p)
{
    for (int axis = 0; axis < MO_AXES; axis++)
        if (p->c->axis[axis].early < 0) return (mo_axis)axis;
    return MO_AXIS_TOKENS;
}

/* " (as many active parameters)" */
static void add_relation(mo__buffer *b, const pair *p)
{
    static const char *const equal[] = {[MO_MATCH_NONE] = "",
                                        [MO_MATCH_ACTIVE_PARAMS] = " (as many active parameters)",
                                        [MO_MATCH_TOTAL_PARAMS] = " (as many parameters in total)",
                                        [MO_MATCH_FLOPS] = " (as many FLOPs per token)",
                                        [MO_MATCH_WALL_CLOCK] = " (as much time for a step)"};
    mo_lab_match match = MO_MATCH_NONE;
    if (p->r->matched_to && strcmp(p->r->matched_to, p->v->name) == 0) match = p->r->match;
    if (p->v->matched_to && strcmp(p->v->matched_to, p->r->name) == 0) match = p->v->match;
    mo__buffer_add(b, "%s", equal[match]);
}

static bool has_failed(const mo__table *t, int variant, int s)
{
    const mo_lab_trial *trial = mo__table_trial(t, variant, s);
    return trial && trial->state == MO_TRIAL_FAILED;
}

/* "seed 3 of moe", "seeds 3, 4 of moe", "all seeds of moe" */
static void add_failed(mo__buffer *b, const mo__table *t, int variant)
{
    int failed = 0, told = 0;
    for (int s = 0; s < t->n_seeds; s++) failed += has_failed(t, variant, s);
    if (failed == 0) return;
    mo__buffer_add(b, "%s%s", b->size ? " and " : "",
                   failed == 1            ? "seed"
                   : failed == t->n_seeds ? "all seeds"
                                          : "seeds");
    for (int s = 0; s < t->n_seeds && (failed == 1 || failed < t->n_seeds); s++)
        if (has_failed(t, variant, s)) mo__buffer_add(b, "%s %" PRIu64, told++ ? "," : "", t->seed[s]);
    mo__buffer_add(b, " of %s", t->results->variants[variant].name);
}

/* A difference that is none: who looks worse was read early. */
static bool is_early_loser(const mo_contrast *c, int axis)
{
    const mo_estimate *d = &c->axis[axis].difference;
    return (d->high < 0 && c->axis[axis].early == c->reference) ||
           (d->low > 0 && c->axis[axis].early == c->variant);
}

static const char *early_name(const pair *p, int axis)
{
    return p->c->axis[axis].early == p->c->variant ? p->v->name : p->r->name;
}

static void add_unknown(mo__buffer *b, const pair *p)
{
    mo_axis axis = main_axis(p);
    const mo_estimate *d = &p->c->axis[axis].difference;
    mo__buffer failed = {0};
    add_failed(&failed, p->table, p->c->variant);
    add_failed(&failed, p->table, p->c->reference);
    if (failed.failed)
        b->failed = true;
    else if (failed.size)
        mo__buffer_add(b, "There is no verdict on %s against %s: %s failed, and %s. ", p->v->name, p->r->name,
                       failed.text,
                       d->count ? "the seeds that are left may be the lucky ones"
                                : "there is no seed that both have");
    else if (d->count == 1 && p->table->n_seeds == 1)
        mo__buffer_add(b,
                       "There is no verdict on %s against %s: after %s its validation loss is %s, but with "
                       "one seed nothing tells how much of that is noise. ",
                       p->v->name, p->r->name, mo__words_spent(p->c->axis[axis].at, axis).text,
                       mo__words_difference(d).text);
    else if (d->count == p->table->n_seeds && is_early_loser(p->c, (int)axis))
        mo__buffer_add(
            b,
            "There is no verdict on %s against %s: after %s its validation loss is %s, but there %s is "
            "read before the end of its schedule. ",
            p->v->name, p->r->name, mo__words_spent(p->c->axis[axis].at, axis).text,
            mo__words_difference(d).text, early_name(p, (int)axis));
    mo_free(failed.text);
}

static const char *const verdict_words[] = {[MO_VERDICT_UNKNOWN] = "",
                                            [MO_VERDICT_NOISE] = "cannot be told from",
                                            [MO_VERDICT_BETTER] = "is better than",
                                            [MO_VERDICT_WORSE] = "is worse than"};

/* "after A, B and C": what it took one of the two to have the other's final loss. */
static void add_speedups(mo__buffer *b, const pair *p, bool inverse)
{
    int last = p->table->timed ? MO_AXIS_SECONDS : MO_AXIS_FLOPS;
    for (int axis = 0; axis <= last; axis++)
        mo__buffer_add(b, "%s%s",
                       axis == 0      ? " after "
                       : axis == last ? " and "
                                      : ", ",
                       mo__words_speedup(&p->c->axis[axis].speedup, (mo_axis)axis, inverse).text);
    mo__buffer_add(b, ". ");
}

/* How soon one has what the other ends with: claimed only where all seeds say the same. */
static void add_sooner(mo__buffer *b, const pair *p)
{
    int reached = p->c->axis[MO_AXIS_TOKENS].reached, n = p->c->axis[MO_AXIS_TOKENS].difference.count;
    if (reached == n) {
        mo__buffer_add(b, "It has %s's final loss", p->r->name);
        add_speedups(b, p, false);
    } else if (reached == 0) {
        mo__buffer_add(b, "%s has %s's final loss", p->r->name, p->v->name);
        add_speedups(b, p, true);
    } else
        mo__buffer_add(b, "It comes to %s's final loss in %d of %d seeds. ", p->r->name, reached, n);
}

/* Whether the sign of a difference is that of a verdict. */
static bool agrees(const mo_contrast *c, int axis, mo_axis told)
{
    return c->axis[told].verdict ==
           (c->axis[axis].difference.mean < 0 ? MO_VERDICT_BETTER : MO_VERDICT_WORSE);
}

/* What holds at equal spending of other things, where that is another verdict. */
static void add_other_axes(mo__buffer *b, const pair *p, mo_axis told)
{
    for (int axis = 0; axis < MO_AXES; axis++) {
        const mo__words loss = mo__words_difference(&p->c->axis[axis].difference);
        mo_verdict verdict = p->c->axis[axis].verdict;
        if (axis == MO_AXIS_SECONDS && !p->table->timed) continue;
        if (is_early_loser(p->c, axis) && !agrees(p->c, axis, told))
            mo__buffer_add(
                b,
                "At equal %s its loss is %s, which is no verdict: %s is read there before the end of "
                "its schedule. ",
                axis_names[axis], loss.text, early_name(p, (int)axis));
        else if (verdict != MO_VERDICT_UNKNOWN && verdict != p->c->axis[told].verdict)
            mo__buffer_add(b, "At equal %s it %s %s: its loss is %s. ", axis_names[axis],
                           verdict_words[verdict], p->r->name, loss.text);
    }
}

static void add_contrast(mo__buffer *b, const pair *p, bool headline)
{
    mo_axis axis = main_axis(p);
    mo_verdict verdict = p->c->axis[axis].verdict;
    if (verdict == MO_VERDICT_UNKNOWN) {
        add_unknown(b, p);
        return;
    }
    mo__buffer_add(b, "%s %s %s", p->v->name, verdict_words[verdict], p->r->name);
    add_relation(b, p);
    mo__buffer_add(b, ": after %s its validation loss is %s. ",
                   mo__words_spent(p->c->axis[axis].at, axis).text,
                   mo__words_difference(&p->c->axis[axis].difference).text);
    if (headline && verdict != MO_VERDICT_NOISE) add_sooner(b, p);
    add_other_axes(b, p, axis);
}

/* What the comparison is about: variants with experts; all but the reference where none has, or only it. */
static bool is_subject(const mo__table *t, const mo_answer *a, int variant)
{
    for (int i = 0; i < a->n_contrasts; i++)
        if (t->results->variants[a->contrasts[i].variant].experts > 0)
            return t->results->variants[variant].experts > 0;
    return true;
}

static void add_contrasts(mo__buffer *b, const mo__table *t, const mo_answer *a)
{
    int told = 0, left = 0;
    for (int i = 0; i < a->n_contrasts; i++) {
        const mo_contrast *c = &a->contrasts[i];
        if (!is_subject(t, a, c->variant)) continue;
        pair p = {t, c, &t->results->variants[c->variant], &t->results->variants[c->reference]};
        mo__buffer words = {0};
        add_contrast(&words, &p, c->reference == a->contrasts[0].reference);
        if (words.size && told < MOST_CONTRASTS)
            mo__buffer_add(b, "%s", words.text);
        else
            left += words.size > 0;
        told += words.size > 0;
        b->failed = b->failed || words.failed;
        mo_free(words.text);
    }
    if (left) mo__buffer_add(b, "The table has %d more.", left);
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
        a, "A run has a loss from where on it stays at or below it, with straight lines between evaluations. "
           "Speed-ups, and losses at equal spending of who spends more in all, are read off curves of whole "
           "runs, "
           "where the learning rate has not come down yet: of a run planned for that length the loss would "
           "usually be "
           "lower. So speed-ups above 1 are rather too small, and who looks worse only where it was read "
           "early has no "
           "verdict; matched by that spending, it would."));
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
            mo__answer_note(a,
                            "%s is at the edge of what was tried for %s: values beyond it may be better, "
                            "so %s may look worse than need be.",
                            key, text, at_edge == 1 ? "that variant" : "those variants");
    mo_free(text);
    return status;
}

/* Some trials are to come: waiting, running, or, between two stages, not even planned; after tuning that
 * failed throughout none is. */
static bool is_going(const mo__table *t)
{
    int state[4] = {0};
    count_states(t->results, state);
    bool all_failed = state[MO_TRIAL_FAILED] > 0 && state[MO_TRIAL_DONE] == 0;
    return state[MO_TRIAL_WAITING] + state[MO_TRIAL_RUNNING] > 0 || (t->n_seeds == 0 && !all_failed);
}

mo_status mo__answer_words_compare(const mo__table *t, mo_answer *a)
{
    mo__buffer b = {0};
    if (is_going(t)) {
        mo__buffer_add(&b, "There is no answer yet: ");
        mo__answer_progress(t, &b);
    } else if (t->n_seeds == 0) {
        mo__buffer_add(&b, "There is no answer: ");
        mo__answer_progress(t, &b);
    }
    add_contrasts(&b, t, a);
    while (b.size && b.text[b.size - 1] == ' ') b.text[--b.size] = '\0';
    MO_TRY(mo__buffer_finish(&b, MO_OK, &a->sentence));
    MO_TRY(note_intervals(t, a));
    MO_TRY(note_curves(a));
    return note_tuning(t, a);
}
