/* match.h -- a model made equal to another one in one number, by the width of its feed-forward.
 *
 * The width is model.intermediate_size; of a model with experts that names model.moe_intermediate_size, that
 * one, since the former says nothing about its experts. Parameters and FLOPs are a + b width, so the width
 * that comes closest is found from four counts; nothing is allocated but the list of parameters.
 *
 *     double wanted;
 *     MO_TRY(mo__match_count(&moe, MO_MATCH_FLOPS, &wanted));
 *     MO_TRY(mo__match_solve(&dense, MO_MATCH_FLOPS, wanted, &matched));
 *     settings += matched.key "=" matched.width;
 *
 * Configs must have their vocab_size by now. Messages have no place in front: the caller knows which variants
 * it matches (mo_error_context). */
#ifndef MOIRA_LAB_MATCH_H
#define MOIRA_LAB_MATCH_H

#include "moira/lab.h"

enum { MO__MATCH_MEASUREMENTS = 8 };
/* How far, of what is wanted, a solution may be off. A measured time is never that sure. */
#define MO__MATCH_WITHIN          0.01
#define MO__MATCH_WITHIN_MEASURED 0.05

typedef struct mo__matched {
    const char *key; /* "model.intermediate_size" or "model.moe_intermediate_size" */
    int64_t width;
    double wanted, got;
    struct { /* of wall_clock, in the order in which they were taken */
        int64_t width;
        double seconds;
    } measured[MO__MATCH_MEASUREMENTS];
    int n_measured;
} mo__matched;

/* Names in files ("active_params"), NULL at the end; and in words with their unit ("active parameters",
 * "training FLOPs per token"). */
extern const char *const mo__match_names[];
const char *mo__match_words(mo_lab_match match);

/* What `match` counts of a config's model: of ACTIVE_PARAMS, TOTAL_PARAMS and FLOPS. MO_E_CONFIG for a model
 * that cannot be. */
mo_status mo__match_count(const mo_run_config *config, mo_lab_match match, double *out);

/* The width at which the config's model comes closest to `wanted`; of two that are as close the smaller one.
 * MO_E_CONFIG, which says what is nearest, if that is off by more than MO__MATCH_WITHIN, or if the width
 * changes nothing of what is counted. */
mo_status mo__match_solve(const mo_run_config *config, mo_lab_match match, double wanted, mo__matched *out);

/* Seconds of a step of the config with this width. */
typedef mo_status mo__match_time_fn(const char *key, int64_t width, double *seconds, void *user);
/* The same for wall_clock, from at most MO__MATCH_MEASUREMENTS measurements, all of which are kept: a
 * straight line through the nearest ones says where to measure next, until one is within MO__MATCH_WITHIN of
 * `wanted`; else the closest is taken. MO_E_CONFIG, with what was measured, if it is off by more than
 * MO__MATCH_WITHIN_MEASURED. */
mo_status mo__match_measure(const mo_run_config *config, double wanted, mo__match_time_fn *time, void *user,
                            mo__matched *out);

#endif
