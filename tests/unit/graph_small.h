/* graph_small.h -- what tests of small graphs share: inputs filled, a plan, a loss. */
#ifndef MOIRA_TESTS_UNIT_GRAPH_SMALL_H
#define MOIRA_TESTS_UNIT_GRAPH_SMALL_H

#include "autograd/graph.h"
#include "harness/opcase.h"

static const mo_run training = {.seed = 1, .training = true};

static inline void add_loss(mo_graph *g, mo_tensor *t)
{
    assert_non_null(t);
    mo_graph_loss(g, test_weighted_sum(g, t, mo_graph_input(g, "R", MO_REAL, t->ndim, t->dim, false)));
}

static inline void fill_inputs(const mo_graph *g)
{
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->role == MO_ROLE_INPUT)
            for (int64_t i = 0; i < mo_tensor_count(g->tensors[t]); i++)
                ((mo_real *)g->tensors[t]->data)[i] =
                    (mo_real)(mo_rng_uniform(5, MO_RNG_TEST, 0, (uint32_t)t, (uint64_t)i) - 0.5);
}

static inline void plan_and_bind(mo_graph *g, mo_recompute recompute)
{
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = true, .recompute = recompute}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    fill_inputs(g);
}

#endif
