/* checks.h -- what the tests of the MoE ops share. */
#ifndef MOIRA_TESTS_OPS_CHECKS_H
#define MOIRA_TESTS_OPS_CHECKS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

/* The case against `group` of golden/<name>.h5. */
static inline void check_golden(const char *name, const char *group, const op_case *c, double tolerance)
{
    golden *file = golden_open(name);
    golden_check(file, group, c, tolerance);
    golden_close(file);
}

static inline void check_moe_golden(const char *group, const op_case *c, double tolerance)
{
    check_golden("ops_moe", group, c, tolerance);
}

/* Runs the case's graph forward; close it after reading the outputs. */
static inline void open_and_run(op_graph *t, const op_case *c)
{
    op_graph_open(t, c, (op_mode){.readable = true, .forward_only = true});
    mo_graph_forward(t->g, &t->run);
}

/* The value of a case that is one loss. */
static inline double loss_value(const op_case *c)
{
    op_graph t;
    open_and_run(&t, c);
    double value = mo_graph_loss_value(t.g, 0);
    op_graph_close(&t);
    return value;
}

/* out_n = sum_k w_nk y_[row_nk]. */
static inline mo_tensor *weighted_combine(mo_graph *g, mo_tensor *y_RD, mo_tensor *w_NK,
                                          const mo_dispatch_map *map)
{
    return mo_combine(g, mo_scale_rows(g, y_RD, mo_row_weights(g, w_NK, map)), map);
}

static inline void check_near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s is %.12g, expected %.12g", what, got, want);
}

static inline void forward_backward(op_graph *t)
{
    op_graph_zero_grads(t);
    mo_graph_forward(t->g, &t->run);
    mo_graph_backward(t->g, &t->run);
}

/* Moves a graph to an arena of huge numbers, with the inputs and weights of `from`. Returns the arena. */
static inline void *move_to_dirty_arena(op_graph *t, const op_graph *from)
{
    size_t size = (mo_graph_memory_use(t->g).arena + 63) & ~(size_t)63;
    void *arena = aligned_alloc(64, size);
    assert_non_null(arena);
    memset(arena, 0x7e, size);
    assert_int_equal(mo_graph_bind(t->g, arena), MO_OK);
    for (int i = 0; i < t->n_in; i++)
        if (t->in[i]->role != MO_ROLE_PARAM)
            memcpy(t->in[i]->data, from->in[i]->data, mo_tensor_bytes(t->in[i]));
    for (int j = 0; j < t->n_out; j++)
        if (t->weight[j]) memcpy(t->weight[j]->data, from->weight[j]->data, mo_tensor_bytes(t->weight[j]));
    return arena;
}

/* An op writes all that it gives, zeros and -1 included: the same bits over huge numbers as over the NaNs
 * (and -1s) that op_graph_open leaves. */
static inline void check_dirty_memory(const op_case *c)
{
    op_graph clean, dirty;
    op_graph_open(&clean, c, (op_mode){.readable = true});
    op_graph_open(&dirty, c, (op_mode){.readable = true});
    void *arena = move_to_dirty_arena(&dirty, &clean);
    forward_backward(&clean);
    forward_backward(&dirty);
    for (int j = 0; j < clean.n_out; j++)
        if (memcmp(clean.out[j]->data, dirty.out[j]->data, mo_tensor_bytes(clean.out[j])) != 0)
            fail_msg("%s, %s: output %d depends on what memory held", c->op, c->name, j);
    for (int i = 0; i < clean.n_in; i++) {
        const mo_real *a = op_graph_grad(&clean, i), *b = op_graph_grad(&dirty, i);
        if (a && memcmp(a, b, (size_t)op_input_count(&c->in[i]) * sizeof(mo_real)) != 0)
            fail_msg("%s, %s: d%s depends on what memory held", c->op, c->name, c->in[i].name);
    }
    op_graph_close(&clean);
    op_graph_close(&dirty);
    free(arena);
}

#endif
