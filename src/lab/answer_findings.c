/* answer_findings.c -- a comparison in sentences: what was found, with its uncertainty, and no more than
 * that. The headline is the first variant with experts against the reference; each other line is one
 * contrast.
 *
 * Where two variants spent the same tokens, FLOPs or seconds in all, their losses after that are what is
 * told. Where they spent nothing alike, it is their losses at their own ends, and what each spent to get
 * there. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lab/answer.h"
#include "lab/experiment_facts.h"
#include "lab/words.h"

typedef struct pair {
    const mo__table *table;
    const mo_contrast *c;
    const mo_lab_variant *v, *r; /* variant, reference */
} pair;

static const char *const axis_names[MO_AXES] = {"tokens", "FLOPs", "training time"};

static const char *const verdict_words[] = {[MO_VERDICT_UNKNOWN] = "",
                                            [MO_VERDICT_NOISE] = "cannot be told from",
                                            [MO_VERDICT_BETTER] = "is better than",
                                            [MO_VERDICT_WORSE] = "is worse than"};

/* What both spent alike in all; MO_AXES: nothing. */
static int equal_axis(const pair *p)
{
    int last = p->table->steady ? MO_AXIS_SECONDS : MO_AXIS_FLOPS, axis = 0;
    while (axis <= last && p->c->axis[axis].early >= 0) axis++;
    return axis <= last ? axis : MO_AXES;
}

/* " (as many active parameters)" */
static const char *relation(const pair *p)
{
    static const char *const equal[] = {[MO_MATCH_NONE] = "",
                                        [MO_MATCH_ACTIVE_PARAMS] = " (as many active parameters)",
                                        [MO_MATCH_TOTAL_PARAMS] = " (as many parameters in total)",
                                        [MO_MATCH_FLOPS] = " (as many FLOPs per token)",
                                        [MO_MATCH_WALL_CLOCK] = " (as much time for a step)"};
    mo_lab_match match = MO_MATCH_NONE;
    if (p->r->matched_to && strcmp(p->r->matched_to, p->v->name) == 0) match = p->r->match;
    if (p->v->matched_to && strcmp(p->v->matched_to, p->r->name) == 0) match = p->v->match;
    return equal[match];
}

/* ---- what was spent ---- */

/* The interval says nothing where it has no width: of counts, and of one round of timing. */
static mo_estimate without_point_interval(mo_estimate e)
{
    if (mo__lab_is_point(&e)) e.low = e.high = (double)NAN;
    return e;
}

static bool alike(const mo_estimate *spent)
{
    return isnan(spent->mean) || fabs(log(spent->mean)) < 0.01;
}

/* "6.7 times fewer tokens and FLOPs, and 4.69 times less training time (3.98 to 5.83)"; what is alike is left
 * out. Returns whether there is anything. */
static bool add_spent(mo__buffer *b, const pair *p, const char *before, bool seconds)
{
    const mo_estimate *tokens = &p->c->axis[MO_AXIS_TOKENS].spent, *flops = &p->c->axis[MO_AXIS_FLOPS].spent,
                      clock = without_point_interval(p->c->axis[MO_AXIS_SECONDS].spent);
    const mo__words of_tokens = mo__words_times(tokens->mean), of_flops = mo__words_times(flops->mean);
    bool both = !alike(tokens) && strcmp(of_tokens.text, of_flops.text) == 0, any = false;
    seconds = seconds && p->table->steady;
    if (!alike(tokens)) {
        mo__buffer_add(b, "%s%s tokens%s", before, of_tokens.text, both ? " and FLOPs" : "");
        any = true;
    }
    if (!both && !alike(flops)) {
        mo__buffer_add(b, "%s%s FLOPs", !any ? before : seconds ? ", " : " and ", of_flops.text);
        any = true;
    }
    if (seconds) {
        mo__buffer_add(b, "%s%s",
                       !any   ? before
                       : both ? ", and "
                              : " and ",
                       mo__words_speedup(&clock, MO_AXIS_SECONDS, false).text);
        any = true;
    }
    return any;
}

/* ---- no verdict ---- */

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

static void add_one_seed(mo__buffer *b, const pair *p)
{
    int axis = equal_axis(p);
    if (axis < MO_AXES)
        mo__buffer_add(b, "%s's validation loss after %s is %s than %s's", p->v->name,
                       mo__words_spent(p->c->axis[axis].at, (mo_axis)axis).text,
                       mo__words_difference(&p->c->axis[axis].difference).text, p->r->name);
    else {
        mo__buffer_add(b, "%s ends %s than %s", p->v->name,
                       mo__words_difference(&p->c->final.difference).text, p->r->name);
        add_spent(b, p, " after ", false);
    }
    mo__buffer_add(b, ", but with one seed nothing tells how much of that is noise.");
}

static void add_unknown(mo__buffer *b, const pair *p)
{
    mo__buffer failed = {0};
    add_failed(&failed, p->table, p->c->variant);
    add_failed(&failed, p->table, p->c->reference);
    if (failed.failed)
        b->failed = true;
    else if (failed.size)
        mo__buffer_add(b, "%s has no verdict against %s: %s failed, and %s.", p->v->name, p->r->name,
                       failed.text,
                       p->c->final.difference.count ? "the seeds that are left may be the lucky ones"
                                                    : "there is no seed that both have");
    else if (p->c->final.difference.count == 1 && p->table->n_seeds == 1)
        add_one_seed(b, p);
    mo_free(failed.text);
}

/* ---- a verdict ---- */

static void add_at_equal(mo__buffer *b, const pair *p, int axis)
{
    mo__buffer_add(b, "%s %s %s%s: after %s", p->v->name, verdict_words[p->c->axis[axis].verdict], p->r->name,
                   relation(p), mo__words_spent(p->c->axis[axis].at, (mo_axis)axis).text);
    if (add_spent(b, p, ", with ", false)) mo__buffer_add(b, ",");
    mo__buffer_add(b, " its validation loss is %s.", mo__words_difference(&p->c->axis[axis].difference).text);
}

static void add_at_ends(mo__buffer *b, const pair *p)
{
    const mo__words difference = mo__words_difference(&p->c->final.difference);
    if (p->c->final.verdict == MO_VERDICT_NOISE)
        mo__buffer_add(b, "%s ends where %s%s ends, as far as can be told: its final loss is %s,", p->v->name,
                       p->r->name, relation(p), difference.text);
    else
        mo__buffer_add(b, "%s ends %s than %s%s,", p->v->name, difference.text, p->r->name, relation(p));
    add_spent(b, p, " after ", true);
    mo__buffer_add(b, ".");
}

/* "after A, B and C": what it took one of the two to have the other's final loss. */
static void add_speedups(mo__buffer *b, const pair *p, bool inverse)
{
    int last = p->table->steady ? MO_AXIS_SECONDS : MO_AXIS_FLOPS;
    for (int axis = 0; axis <= last; axis++)
        mo__buffer_add(b, "%s%s",
                       axis == 0      ? " after "
                       : axis == last ? " and "
                                      : ", ",
                       mo__words_speedup(&p->c->axis[axis].speedup, (mo_axis)axis, inverse).text);
    mo__buffer_add(b, ".");
}

/* How soon one has what the other ends with: claimed only where all seeds say the same. */
static void add_sooner(mo__buffer *b, const pair *p)
{
    int reached = p->c->axis[MO_AXIS_TOKENS].reached, n = p->c->axis[MO_AXIS_TOKENS].speedup.count;
    if (reached == n) {
        mo__buffer_add(b, " It has %s's final loss", p->r->name);
        add_speedups(b, p, false);
    } else if (reached == 0) {
        mo__buffer_add(b, " %s has %s's final loss", p->r->name, p->v->name);
        add_speedups(b, p, true);
    } else
        mo__buffer_add(b, " It comes to %s's final loss in %d of %d seeds.", p->r->name, reached, n);
}

/* What holds at equal spending of other things, where that is another verdict, or one that the losses at the
 * ends do not give. */
static void add_other_axes(mo__buffer *b, const pair *p)
{
    int equal = equal_axis(p);
    unsigned told =
        1u << MO_VERDICT_UNKNOWN | 1u << (equal < MO_AXES ? p->c->axis[equal].verdict : MO_VERDICT_NOISE);
    for (int axis = 0; axis < MO_AXES; axis++) {
        mo_verdict verdict = p->c->axis[axis].verdict;
        if (told >> verdict & 1) continue;
        told |= 1u << verdict;
        if (b->size)
            mo__buffer_add(b, " At equal %s it", axis_names[axis]);
        else
            mo__buffer_add(b, "%s at equal %s", p->v->name, axis_names[axis]);
        mo__buffer_add(b, " %s %s: its loss is %s.", verdict_words[verdict], p->r->name,
                       mo__words_difference(&p->c->axis[axis].difference).text);
    }
}

/* Returns whether there is a verdict. */
static bool add_contrast(mo__buffer *b, const pair *p)
{
    int axis = equal_axis(p);
    if (p->c->final.verdict == MO_VERDICT_UNKNOWN) {
        add_unknown(b, p);
        return false;
    }
    if (axis < MO_AXES)
        add_at_equal(b, p, axis);
    else
        add_at_ends(b, p);
    return true;
}

/* ---- all of it ---- */

static pair pair_of(const mo__table *t, const mo_contrast *c)
{
    return (pair){t, c, &t->results->variants[c->variant], &t->results->variants[c->reference]};
}

/* The first variant with experts against the reference; where none is, the first contrast. */
static int headline_of(const mo__table *t, const mo_answer *a)
{
    for (int i = 0; i < a->n_contrasts && a->contrasts[i].reference == a->contrasts[0].reference; i++)
        if (t->results->variants[a->contrasts[i].variant].experts > 0) return i;
    return 0;
}

/* Takes the text; one without any is no finding. */
static mo_status add_finding(mo_answer *a, mo__buffer *b)
{
    char *text;
    MO_TRY(mo__buffer_finish(b, MO_OK, &text));
    char **grown = *text ? mo_realloc(a->findings, sizeof *grown * (size_t)(a->n_findings + 1)) : NULL;
    if (!grown) {
        bool none = !*text;
        mo_free(text);
        return none ? MO_OK : MO_E_MEMORY;
    }
    a->findings = grown;
    grown[a->n_findings++] = text;
    return MO_OK;
}

/* Some trials are to come: waiting, running, or, between two stages, not even planned; after tuning that
 * failed throughout none is. */
static bool is_going(const mo__table *t, const mo__tally *tally)
{
    bool all_failed = tally->failed > 0 && tally->done == 0;
    return tally->waiting + tally->running > 0 || (t->n_seeds == 0 && !all_failed);
}

static mo_status say_headline(const mo__table *t, mo_answer *a, const mo_contrast *c)
{
    mo__tally tally = mo__tally_of(t->results);
    bool going = is_going(t, &tally);
    mo__buffer b = {0}, text = {0};
    if (c) {
        pair p = pair_of(t, c);
        if (add_contrast(&b, &p) && c->final.verdict != MO_VERDICT_NOISE) add_sooner(&b, &p);
    }
    if (b.size && going)
        mo__buffer_add(&text, "So far, with %d of %d trials done: %s", tally.done, tally.all, b.text);
    else if (b.size)
        mo__buffer_add(&text, "%s", b.text);
    else {
        mo__buffer_add(&text, "There is no answer%s: ", going ? " yet" : "");
        mo__answer_progress(t, &text);
        while (text.size && text.text[text.size - 1] == ' ') text.text[--text.size] = '\0';
    }
    text.failed = text.failed || b.failed;
    mo_free(b.text);
    return mo__buffer_finish(&text, MO_OK, &a->sentence);
}

mo_status mo__answer_findings(const mo__table *t, mo_answer *a)
{
    int headline = headline_of(t, a);
    const mo_contrast *first = a->n_contrasts ? &a->contrasts[headline] : NULL;
    MO_TRY(say_headline(t, a, first));
    for (int i = 0; i < a->n_contrasts; i++) {
        const mo_contrast *c = &a->contrasts[i];
        pair p = pair_of(t, c);
        mo__buffer b = {0};
        if (c->reference != first->reference && c->variant != first->variant) continue;
        bool verdict = c == first ? c->final.verdict != MO_VERDICT_UNKNOWN : add_contrast(&b, &p);
        if (verdict) add_other_axes(&b, &p);
        MO_TRY(add_finding(a, &b));
    }
    return MO_OK;
}
