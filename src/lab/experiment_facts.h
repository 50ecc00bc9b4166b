/* experiment_facts.h -- what report and terminal both say of an experiment besides its answer: how far it is,
 * how things are called, what few sums they need of their own. Pure functions of the results. */
#ifndef MOIRA_LAB_EXPERIMENT_FACTS_H
#define MOIRA_LAB_EXPERIMENT_FACTS_H

#include "moira/lab.h"

typedef struct mo__tally {
    int all, waiting, running, done, failed; /* trials */
} mo__tally;
mo__tally mo__tally_of(const mo_lab_results *results);

/* The seeds of the main stage that have a trial. */
int mo__lab_seeds(const mo_lab_results *results);
/* Done trials of the main stage ended at different steps, as with halving: their losses are not alike. */
bool mo__lab_steps_differ(const mo_lab_results *results);
/* The step at which the variant's loss was taken: the last to which all of its trials have got that have got
 * anywhere; 0: none. */
int64_t mo__lab_step_of(const mo_lab_results *results, int variant);

/* "num_experts_per_tok" of model.num_experts_per_tok, unless another chosen key ends alike: then all of it.
 */
const char *mo__lab_short_key(const mo_lab_results *results, const char *key);
/* The sweep's parameters, in the order in which variants have them, each once: keys[most], borrowed; returns
 * how many. */
int mo__lab_keys(const mo_lab_results *results, const char **keys, int most);
/* Any two variants have a seed in common that is done in both. */
bool mo__lab_contrasted(const mo_answer *answer);
/* What the variant has chosen for the key; NULL: it is not there. */
const char *mo__lab_chosen(const mo_lab_variant *variant, const char *key);

const char *mo__lab_verdict(mo_verdict verdict); /* "better", "within noise" */
const char *mo__lab_axis(mo_axis axis);          /* "tokens", "FLOPs", "seconds" */
const char *mo__lab_state(mo_lab_state state);
const char *mo__lab_stage(mo_lab_stage stage);
const char *mo__lab_match(mo_lab_match match); /* "active parameters" */

/* Half the width of an estimate's interval; NaN for one value. */
double mo__lab_margin(const mo_estimate *e);

/* Estimates as people read them; "-" without a value, the mean alone where there is no interval. */
typedef struct mo__shown_estimate {
    char text[96];
} mo__shown_estimate;
mo__shown_estimate mo__lab_mean(const mo_estimate *e, int digits);     /* 1.6312 ± 0.0102: margin */
mo__shown_estimate mo__lab_distance(const mo_estimate *e, int digits); /* -0.0520 ± 0.0102 */
mo__shown_estimate mo__lab_interval(const mo_estimate *e, int digits); /* 1.43 (1.30 to 1.55) */
/* As intervals are, but of those without width, as ratios of counts are, the mean alone. */
mo__shown_estimate mo__lab_ratio(const mo_estimate *e, int digits);
/* An interval less than a thousandth of the mean wide. */
bool mo__lab_is_point(const mo_estimate *e);

#endif
