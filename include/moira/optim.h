/* optim.h -- AdamW over slabs, gradient clipping by global norm, learning-rate schedules.
 *
 * Parameters, gradients and moments are four slabs of the same layout. A segment is one parameter's span; one
 * that is not trained has no elements.
 * Threads: every loop is cut into fixed chunks of elements; the norm adds chunk sums in order, in double. */
#ifndef MOIRA_OPTIM_H
#define MOIRA_OPTIM_H

#include "moira/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters whose names match take other rates; the first group that matches counts. */
typedef struct mo_optim_group {
    char *match;                /* see mo_optim_matches */
    double learning_rate_scale; /* 0: the weights stay; moments and gradients are still kept */
    double weight_decay;        /* also of parameters of one dimension; NaN = as without a group */
} mo_optim_group;
typedef struct mo_optim_config {
    double learning_rate, weight_decay, beta1, beta2, epsilon;
    double max_grad_norm; /* 0 = no clipping */
    struct {
        mo_optim_group *at;
        int64_t count;
    } groups;
} mo_optim_config;

typedef enum mo_schedule_kind {
    MO_SCHEDULE_COSINE,
    MO_SCHEDULE_LINEAR,
    MO_SCHEDULE_WSD,
    MO_SCHEDULE_CONSTANT
} mo_schedule_kind;
typedef struct mo_schedule_config {
    int kind;             /* mo_schedule_kind */
    int64_t warmup_steps; /* linear from lr/warmup to lr */
    double min_ratio;     /* the floor, as a share of the peak */
    double decay_ratio;   /* wsd: share of the steps that decay at the end */
} mo_schedule_config;

/* match: a glob over parameter names, or a word for globs: router (*.block_sparse_moe.gate*), embeddings
 * (model.embed_*, lm_head.*), attention (*.self_attn.*), experts (*experts.*), norms (*norm.*). */
bool mo_optim_matches(const char *match, const char *name);
/* Index of the parameter's group, or -1. */
int mo_optim_group_of(const mo_optim_config *config, const char *name);
/* MO_E_CONFIG for a group that no parameter is in. names: of all n parameters. */
mo_status mo_optim_groups_check(const mo_optim_config *config, const char *const *names, int n);

/* Learning rate of step `step` (0-based) of `steps`. Warm-up: lr (step+1)/warmup. Then, with
 * t = (step - warmup) / max(1, steps - warmup) clamped to [0,1]:
 * cosine: min + (1-min)(1+cos(pi t))/2; linear: 1 - (1-min) t; wsd: 1, then linear to min over the last
 * decay_ratio of all steps; constant: 1. */
double mo_schedule_rate(const mo_schedule_config *schedule, double peak, int64_t step, int64_t steps);

typedef struct mo_segment {
    int64_t offset, count; /* elements, in every slab; none of a buffer, which is not trained */
    bool decay;            /* by the config's weight_decay, unless the segment has its own */
    double rate_scale;     /* of the learning rate, and with it of the decay */
    double weight_decay;   /* NaN = as `decay` says */
} mo_segment;

/* The decay that a segment has in the end. */
double mo_segment_decay(const mo_segment *segment, const mo_optim_config *config);

typedef struct mo_slabs {
    mo_real *value, *grad, *m, *v;
    const mo_segment *segments;
    int n_segments;
} mo_slabs;

/* Global 2-norm of the gradients; not finite if any element is not. */
double mo_grad_norm(const mo_slabs *slabs);
/* One AdamW step (Loshchilov & Hutter 2019), t = step + 1, one pass over memory:
 *   g *= clip, clip = min(1, max_grad_norm / (norm + 1e-6)) (PyTorch's clip_grad_norm_)
 *   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= lr wd w (decayed segments)
 *   w -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps);  the gradient is left zero for the next step. */
void mo_adamw_step(const mo_slabs *slabs, const mo_optim_config *config, double learning_rate,
                   double grad_norm, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
