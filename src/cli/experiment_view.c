/* experiment_view.c -- the answer first; tables no longer than a screen, all of them in the report. */
#include "experiment_view.h"

#include <math.h>
#include <string.h>

#include "base/units.h"
#include "lab/experiment_facts.h"
#include "table.h"
#include "terminal.h"

enum { MOST_KEYS = 12, MOST_ROWS = 20, MOST_EFFECTS = 8, MOST_LEVELS = 6, MOST_FAILED = 3 };

/* ---- how far it is ---- */

static void say_progress(const mo_lab_results *r)
{
    mo__tally tally = mo__tally_of(r);
    int seeds = mo__lab_seeds(r); /* 0: their trials are planned later */
    char others[96] = "", *text;
    size_t used = 0;
    if (tally.running) used += (size_t)snprintf(others, sizeof others, ", %d running", tally.running);
    if (tally.waiting)
        used += (size_t)snprintf(others + used, sizeof others - used, ", %d waiting", tally.waiting);
    if (tally.failed) snprintf(others + used, sizeof others - used, ", %d failed", tally.failed);
    text = mo_strprintf("%s: %s%s%s; %d of %d trials done%s", r->name,
                        mo__counted(r->n_variants, "variant").text, seeds ? ", " : "",
                        seeds ? mo__counted(seeds, "seed").text : "", tally.done, tally.all, others);
    if (text) mo__paragraph(text, 0, 2);
    mo_free(text);
}

static void say_failures(const mo_lab_results *r)
{
    int failed = mo__tally_of(r).failed, shown = 0;
    for (int i = 0; i < r->n_trials && shown < MOST_FAILED; i++) {
        const mo_lab_trial *t = &r->trials[i];
        if (t->state != MO_TRIAL_FAILED) continue;
        if (shown++ == 0) printf("\n");
        char *text = mo_strprintf("failed: %s: %s", t->name, t->message ? t->message : "");
        if (text) mo__paragraph(text, 0, 8);
        mo_free(text);
    }
    if (failed > shown) printf("failed: %d more, in the report\n", failed - shown);
}

/* ---- sweep ---- */

static int ranked(const mo_answer *a)
{
    int count = 0;
    while (count < a->n_variants && !isnan(a->variants[a->ranking[count]].loss.mean)) count++;
    return count;
}

static mo_status print_ranking(const mo_lab_results *r, const mo_answer *a)
{
    const char *keys[MOST_KEYS];
    int n_keys = mo__lab_keys(r, keys, MOST_KEYS), count = ranked(a);
    bool steps_differ = mo__lab_steps_differ(r);
    const mo_variant_answer *first = &a->variants[a->ranking[0]];
    mo__table t = mo__table_begin(">#|<variant|>loss|>behind|<");
    for (int k = 0; k < n_keys; k++) mo__table_column(&t, true, mo__lab_short_key(r, keys[k]));
    if (steps_differ) mo__table_column(&t, true, "step");
    mo__table_column(&t, true, "seeds");
    mo__table_column(&t, true, "time");
    mo__table_column(&t, false, "front");
    for (int i = 0; i < count && i < MOST_ROWS; i++) {
        const mo_variant_answer *v = &a->variants[a->ranking[i]];
        bool comparable = i && v->rung == first->rung;
        if (v->loss.count < v->seeds)
            mo__cell(&t, "-");
        else
            mo__cell(&t, "%d", i + 1);
        mo__cell(&t, "%s", r->variants[v->variant].name);
        mo__cell(&t, "%.4f", v->loss.mean);
        mo__cell(&t, "%s", mo__fixed(comparable ? v->loss.mean - first->loss.mean : (double)NAN, 4).text);
        mo__cell(&t, "%s", i && v->near_best ? "=" : "");
        for (int k = 0; k < n_keys; k++) {
            const char *value = mo__lab_chosen(&r->variants[v->variant], keys[k]);
            mo__cell(&t, "%s", value ? value : "-");
        }
        if (steps_differ) mo__cell(&t, "%s", mo__count(mo__lab_step_of(r, v->variant)).text);
        mo__cell(&t, "%d", v->loss.count);
        mo__cell(&t, "%s", mo__duration(v->seconds.mean).text);
        mo__cell(&t, "%s", v->pareto ? "*" : "");
    }
    MO_TRY(mo__table_print(&t));
    if (count > MOST_ROWS) printf("%d more are in the report\n", count - MOST_ROWS);
    mo__paragraph("loss: validation, nats per token, mean over seeds; behind: the first; =: cannot be told "
                  "from it; *: none "
                  "is as good in both loss and time",
                  0, 0);
    return MO_OK;
}

static mo_status print_effects(const mo_lab_results *r, const mo_answer *a)
{
    mo__table t = mo__table_begin("<parameter|>share|<value|>variants|>mean loss");
    for (int i = 0; i < a->n_effects && i < MOST_EFFECTS; i++) {
        const mo_effect *e = &a->effects[i];
        for (int l = 0; l < e->n_levels && l < MOST_LEVELS; l++) {
            mo__cell(&t, "%s", l ? "" : mo__lab_short_key(r, e->key));
            mo__cell(&t, "%s%s",
                     l                 ? ""
                     : isnan(e->share) ? "?"
                                       : mo__fixed(100 * e->share, 0).text,
                     l || isnan(e->share) ? "" : "%");
            mo__cell(&t, "%s", e->levels[l].value);
            mo__cell(&t, "%d", e->levels[l].loss.count);
            mo__cell(&t, "%s", mo__lab_mean(&e->levels[l].loss, 4).text);
        }
    }
    MO_TRY(mo__table_print(&t));
    printf("share: of the variance of the variants' losses, ?: not known; mean loss: other things equal\n");
    return MO_OK;
}

static mo_status print_sweep(const mo_lab_results *r, const mo_answer *a)
{
    if (ranked(a) == 0) return MO_OK;
    printf("\n");
    MO_TRY(print_ranking(r, a));
    if (a->n_effects == 0) return MO_OK;
    printf("\n");
    return print_effects(r, a);
}

/* ---- comparison ---- */

static mo_status print_variants(const mo_lab_results *r, const mo_answer *a)
{
    mo__table t =
        mo__table_begin("<variant|>experts|>active|>parameters|>memory|>seeds|>loss|>time|>tokens/s");
    for (int i = 0; i < r->n_variants; i++) {
        const mo_lab_variant *v = &r->variants[i];
        const mo_variant_answer *of = &a->variants[i];
        mo__cell(&t, "%s", v->name);
        mo__cell(&t, "%s", v->experts ? mo__count(v->experts).text : "dense");
        mo__cell(&t, "%s", mo__count(v->active).text);
        mo__cell(&t, "%s", mo__count(v->total).text);
        mo__cell(&t, "%s", mo__bytes((double)v->memory_bytes).text);
        mo__cell(&t, "%d", of->loss.count);
        mo__cell(&t, "%s", mo__lab_mean(&of->loss, 4).text);
        mo__cell(&t, "%s", mo__duration(of->seconds.mean).text);
        mo__cell(&t, "%s",
                 isnan(of->tokens_per_second) ? "-" : mo__count(llround(of->tokens_per_second)).text);
    }
    MO_TRY(mo__table_print(&t));
    printf("loss: validation, nats per token, mean over seeds ± half of its 95%% interval\n");
    for (int i = 0; i < r->n_variants; i++) {
        const mo_lab_variant *v = &r->variants[i];
        if (v->match == MO_MATCH_NONE || !v->matched_to) continue;
        char *text = mo_strprintf("%s has the %s of %s, %.2f%% off", v->name, mo__lab_match(v->match),
                                  v->matched_to, 100 * fabs(v->got - v->wanted) / v->wanted);
        if (text) mo__paragraph(text, 0, 2);
        mo_free(text);
    }
    return MO_OK;
}

static void print_axis(mo__table *t, const mo_contrast *k, mo_axis axis)
{
    mo__cell(t, "%s", mo__lab_axis(axis));
    mo__cell(t, "%s", mo__lab_distance(&k->axis[axis].difference, 4).text);
    mo__cell(t, "%s", mo__lab_verdict(k->axis[axis].verdict));
    mo__cell(t, "%s", mo__fixed(k->axis[axis].spent.mean, 2).text);
    mo__cell(t, "%s", mo__lab_interval(&k->axis[axis].speedup, 2).text);
    mo__cell(t, "%d of %d", k->axis[axis].reached, k->axis[axis].speedup.count);
}

static mo_status print_contrasts(const mo_lab_results *r, const mo_answer *a)
{
    mo__table t = mo__table_begin("<variant|<against|<at|>difference|<verdict|>spent|>speed-up|>got there");
    for (int c = 0; c < a->n_contrasts; c++) {
        const mo_contrast *k = &a->contrasts[c];
        mo__cell(&t, "%s", r->variants[k->variant].name);
        mo__cell(&t, "%s", r->variants[k->reference].name);
        mo__cell(&t, "end");
        mo__cell(&t, "%s", mo__lab_distance(&k->final.difference, 4).text);
        mo__cell(&t, "%s", mo__lab_verdict(k->final.verdict));
        for (int i = 0; i < 3; i++) mo__cell(&t, "%s", "");
        for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++) {
            for (int i = 0; i < 2; i++) mo__cell(&t, "%s", "");
            print_axis(&t, k, axis);
        }
    }
    printf("\n");
    MO_TRY(mo__table_print(&t));
    mo__paragraph(
        "difference: of the losses, below 0 is better, ± half of its 95% interval. spent: by the other in "
        "all, over the variant's. speed-up: how many times less the variant needs for the other's loss",
        0, 0);
    return MO_OK;
}

static mo_status print_compare(const mo_lab_results *r, const mo_answer *a)
{
    printf("\n");
    MO_TRY(print_variants(r, a));
    return mo__lab_contrasted(a) ? print_contrasts(r, a) : MO_OK;
}

static void say_findings(const mo_answer *a)
{
    if (a->n_findings) printf("\n");
    for (int i = 0; i < a->n_findings; i++) {
        char *text = mo_strprintf("- %s", a->findings[i]);
        if (text) mo__paragraph(text, 0, 2);
        mo_free(text);
    }
}

mo_status mo__experiment_print(const mo_lab_results *results, const mo_answer *answer)
{
    mo__paragraph(answer->sentence, 0, 0);
    say_findings(answer);
    printf("\n");
    say_progress(results);
    MO_TRY(results->compare ? print_compare(results, answer) : print_sweep(results, answer));
    if (answer->n_warnings) printf("\n");
    for (int i = 0; i < answer->n_warnings; i++) mo__paragraph(answer->notes[i], 0, 2);
    say_failures(results);
    return MO_OK;
}
