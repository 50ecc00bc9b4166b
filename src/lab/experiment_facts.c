/* experiment_facts.c -- counts and words. */
#include "lab/experiment_facts.h"

#include <math.h>
#include <string.h>

#include "base/units.h"

mo__tally mo__tally_of(const mo_lab_results *results)
{
    mo__tally tally = {.all = results->n_trials};
    int *const of_state[] = {[MO_TRIAL_WAITING] = &tally.waiting,
                             [MO_TRIAL_RUNNING] = &tally.running,
                             [MO_TRIAL_DONE] = &tally.done,
                             [MO_TRIAL_FAILED] = &tally.failed};
    for (int i = 0; i < results->n_trials; i++) ++*of_state[results->trials[i].state];
    return tally;
}

int mo__lab_seeds(const mo_lab_results *results)
{
    int seeds = 0;
    for (int i = 0; i < results->n_trials; i++) {
        bool known = results->trials[i].stage != MO_STAGE_MAIN;
        for (int j = 0; j < i && !known; j++)
            known = results->trials[j].stage == MO_STAGE_MAIN &&
                    results->trials[j].seed == results->trials[i].seed;
        if (!known) seeds++;
    }
    return seeds;
}

/* ---- steps ---- */

/* Where a main trial has got to: also one that waits for its next rung, or runs on it; 0: no trial that
 * counts. */
static int64_t reached(const mo_lab_trial *t)
{
    if (t->stage != MO_STAGE_MAIN || t->state == MO_TRIAL_FAILED) return 0;
    if (t->state == MO_TRIAL_DONE) return t->target_step;
    return t->n_evaluations > 0 ? t->evaluations[t->n_evaluations - 1].step : 0;
}

bool mo__lab_steps_differ(const mo_lab_results *results)
{
    int64_t step = 0;
    for (int i = 0; i < results->n_trials; i++) {
        const mo_lab_trial *t = &results->trials[i];
        if (reached(t) == 0) continue;
        if (step && reached(t) != step) return true;
        step = reached(t);
    }
    return false;
}

int64_t mo__lab_step_of(const mo_lab_results *results, int variant)
{
    int64_t step = 0;
    for (int i = 0; i < results->n_trials; i++) {
        const mo_lab_trial *t = &results->trials[i];
        if (t->variant == variant && reached(t) > 0 && (step == 0 || reached(t) < step)) step = reached(t);
    }
    return step;
}

/* ---- parameters ---- */

const char *mo__lab_chosen(const mo_lab_variant *variant, const char *key)
{
    for (int i = 0; i < variant->chosen.count; i++)
        if (strcmp(variant->chosen.at[i].key, key) == 0) return variant->chosen.at[i].value;
    return NULL;
}

int mo__lab_keys(const mo_lab_results *results, const char **keys, int most)
{
    int count = 0;
    for (int v = 0; v < results->n_variants; v++) {
        const mo_lab_settings *chosen = &results->variants[v].chosen;
        for (int i = 0; i < chosen->count; i++) {
            int k = 0;
            while (k < count && strcmp(keys[k], chosen->at[i].key) != 0) k++;
            if (k == count && count < most) keys[count++] = chosen->at[i].key;
        }
    }
    return count;
}

static const char *ending(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

const char *mo__lab_short_key(const mo_lab_results *results, const char *key)
{
    for (int v = 0; v < results->n_variants; v++) {
        const mo_lab_settings *chosen = &results->variants[v].chosen;
        for (int i = 0; i < chosen->count; i++)
            if (strcmp(chosen->at[i].key, key) != 0 && strcmp(ending(chosen->at[i].key), ending(key)) == 0)
                return key;
    }
    return ending(key);
}

/* ---- estimates ---- */

bool mo__lab_contrasted(const mo_answer *answer)
{
    for (int c = 0; c < answer->n_contrasts; c++)
        if (answer->contrasts[c].axis[MO_AXIS_TOKENS].difference.count > 0) return true;
    return false;
}

double mo__lab_margin(const mo_estimate *e)
{
    return (e->high - e->low) / 2;
}

static mo__shown_estimate with_margin(const mo_estimate *e, const char *mean, int digits)
{
    mo__shown_estimate shown = {"-"};
    if (isnan(e->mean)) return shown;
    double margin = mo__lab_margin(e);
    if (isnan(margin))
        snprintf(shown.text, sizeof shown.text, "%s", mean);
    else
        snprintf(shown.text, sizeof shown.text, "%s ± %.*f", mean, digits, margin);
    return shown;
}

mo__shown_estimate mo__lab_mean(const mo_estimate *e, int digits)
{
    return with_margin(e, mo__fixed(e->mean, digits).text, digits);
}

mo__shown_estimate mo__lab_distance(const mo_estimate *e, int digits)
{
    char mean[48];
    snprintf(mean, sizeof mean, "%+.*f", digits, e->mean);
    return with_margin(e, mean, digits);
}

mo__shown_estimate mo__lab_interval(const mo_estimate *e, int digits)
{
    mo__shown_estimate shown = {"-"};
    if (isnan(e->mean)) return shown;
    if (isnan(e->low))
        snprintf(shown.text, sizeof shown.text, "%.*f", digits, e->mean);
    else
        snprintf(shown.text, sizeof shown.text, "%.*f (%.*f to %.*f)", digits, e->mean, digits, e->low,
                 digits, e->high);
    return shown;
}

bool mo__lab_is_point(const mo_estimate *e)
{
    return e->high - e->low < 0.001 * e->mean;
}

mo__shown_estimate mo__lab_ratio(const mo_estimate *e, int digits)
{
    mo_estimate alone = {.mean = e->mean, .low = (double)NAN};
    return mo__lab_interval(mo__lab_is_point(e) ? &alone : e, digits);
}

/* ---- words ---- */

const char *mo__lab_verdict(mo_verdict verdict)
{
    static const char *const words[] = {[MO_VERDICT_UNKNOWN] = "not known",
                                        [MO_VERDICT_NOISE] = "within noise",
                                        [MO_VERDICT_BETTER] = "better",
                                        [MO_VERDICT_WORSE] = "worse"};
    return words[verdict];
}

const char *mo__lab_axis(mo_axis axis)
{
    static const char *const words[] = {
        [MO_AXIS_TOKENS] = "tokens", [MO_AXIS_FLOPS] = "FLOPs", [MO_AXIS_SECONDS] = "seconds"};
    return words[axis];
}

const char *mo__lab_state(mo_lab_state state)
{
    static const char *const words[] = {[MO_TRIAL_WAITING] = "waiting",
                                        [MO_TRIAL_RUNNING] = "running",
                                        [MO_TRIAL_DONE] = "done",
                                        [MO_TRIAL_FAILED] = "failed"};
    return words[state];
}

const char *mo__lab_stage(mo_lab_stage stage)
{
    static const char *const words[] = {
        [MO_STAGE_TUNE] = "tune", [MO_STAGE_MAIN] = "main", [MO_STAGE_TIMING] = "timing"};
    return words[stage];
}

const char *mo__lab_match(mo_lab_match match)
{
    static const char *const words[] = {[MO_MATCH_NONE] = "",
                                        [MO_MATCH_ACTIVE_PARAMS] = "active parameters",
                                        [MO_MATCH_TOTAL_PARAMS] = "total parameters",
                                        [MO_MATCH_FLOPS] = "FLOPs per token",
                                        [MO_MATCH_WALL_CLOCK] = "seconds per step"};
    return words[match];
}
