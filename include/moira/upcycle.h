/* upcycle.h -- a dense model becomes one with experts (sparse upcycling: Komatsuzaki et al. 2022,
 * arXiv:2212.05055): every expert of a layer is a copy of its feed-forward block, the router is new, all else
 * stays. With weights that sum to 1 whatever the router says, the function is the dense model's.
 *
 *     mo_upcycle_options o = {.experts = 8, .experts_per_token = 2, .seed = 1337};
 *     mo_run_config config = *dense_config;                 strings and lists are still the dense one's
 *     MO_TRY(mo_upcycle_config(&o, &config));
 *     mo_model *sparse; MO_TRY(mo_model_create(&config.model, &sparse));      names and shapes, no memory
 *     mo_upcycled u; MO_TRY(mo_upcycle(dense, &o, sparse, &u));
 *     mo_checkpoint_content content = {.arrays = u.arrays, .n_arrays = u.n_arrays, ...};
 *     MO_TRY(mo_checkpoint_save(path, &content)); mo_upcycled_free(&u);
 *
 * Without noise the result takes no memory but the routers': its experts are the dense matrices again and
 * again, which may lie in mapped files, and keep their type. */
#ifndef MOIRA_UPCYCLE_H
#define MOIRA_UPCYCLE_H

#include "moira/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo_upcycle_options {
    int64_t experts, experts_per_token;
    /* Each expert's matrices get normal noise of this many standard deviations of the dense matrix's own
     * elements, drawn for each expert by itself ("random noise upcycling" in Drop-Upcycling: Nakamura et al.
     * 2025, arXiv:2502.19261). 0: all experts are the same to the bit. */
    double noise;
    uint64_t seed; /* of noise and routers */
} mo_upcycle_options;

/* What balance.mixtral is afterwards: Mixtral 8x7B's router_aux_loss_coef. */
#define MO_UPCYCLE_BALANCE 0.02

/* Rewrites the model and balance of a dense model's config: Mixtral's router (topk, weights normalised), an
 * expert in every layer, balance.mixtral alone; nothing is frozen, since patterns may name what is no more
 * (the lists stay whose they are). MO_E_CONFIG if it has experts already, for fewer than 2 experts, and by
 * the rules of mo_model_config_check (more choices than experts, a single choice, whose weight would always
 * be 1). MO_E_RANGE for noise below 0. */
mo_status mo_upcycle_config(const mo_upcycle_options *options, mo_run_config *config);

/* The parameters of the new model as arrays to save; they point into the dense model, or into `owned`. */
typedef struct mo_upcycled {
    mo_checkpoint_array *arrays; /* [n_arrays] in the new model's order */
    int n_arrays;
    mo_stored *stored;  /* [n_arrays] of experts that are the dense matrices */
    const void **parts; /* theirs, one after another */
    void **owned;       /* [n_arrays] routers, experts with noise; else NULL */
} mo_upcycled;
/* sparse: made by that config, for its names and shapes. Both models and the dense one's values must stay.
 * MO_E_MEMORY. */
mo_status mo_upcycle(const mo_model *dense, const mo_upcycle_options *options, const mo_model *sparse,
                     mo_upcycled *out);
void mo_upcycled_free(mo_upcycled *u);

#ifdef __cplusplus
}
#endif
#endif
