/* opcase.h -- one operator with concrete inputs, ready to be checked.
 *
 *     static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
 *     {
 *         out[0] = mo_linear(g, in[0], in[1]);
 *     }
 *     static const op_case linear = {"linear", "3x5", build,
 *                                    .in = {{"x", .dim = {3, 5}, .grad = true},
 *                                           {"w", MO_ROLE_PARAM, .dim = {4, 5}, .grad = true}}};
 *     gradcheck(&linear);   contract(&linear);   golden_check(file, "linear", &linear, 1e-5);
 *
 * Every output takes part in the loss that is differentiated:
 *   MO_REAL  loss += sum_i y_i R_i   with fixed random R of both signs, |R| in [0.5, 1.5)
 *   MO_F64   loss += s y             the op is a loss itself; s = -0.75 or so, never 1. Not one number: no
 * part MO_I32   none; a gradient check asserts that it stays the same while inputs move by +-h. */
#ifndef MOIRA_TESTS_OPCASE_H
#define MOIRA_TESTS_OPCASE_H

#include "harness/harness.h"
#include "moira/autograd.h"
#include "moira/ops.h"

enum { OP_CASE_INPUTS = 10, OP_CASE_OUTPUTS = 4 };

typedef struct op_input {
    const char *name;         /* NULL ends the list */
    mo_role role;             /* MO_ROLE_INPUT (0) or MO_ROLE_PARAM */
    mo_dtype dtype;           /* MO_REAL (0), or MO_I32 */
    int64_t dim[MO_MAX_DIMS]; /* the first 0 ends the shape */
    bool grad;
    double low, high;    /* uniform random values; both 0: [-1, 1). MO_I32: low <= v < high */
    const double *real;  /* or these values */
    const int32_t *ints; /* the same for MO_I32 */
    mo_dtype rounded;    /* not MO_REAL: values are rounded to this type; */
    bool stored; /* a frozen parameter whose values stay so, in parts of the first of three dimensions */
} op_input;

typedef struct op_case {
    const char *op, *name; /* a name of MO_OP_LIST; which case of it */
    /* Fills out[0], out[1], ... with the op's outputs that matter, at most OP_CASE_OUTPUTS. */
    void (*build)(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg);
    const void *arg; /* for build */
    bool training;   /* mo_run.training */
    op_input in[OP_CASE_INPUTS];
} op_case;

/* A case turned into a planned and bound graph with its inputs filled. */
typedef struct op_graph {
    const op_case *c;
    mo_graph *g;
    mo_run run;
    int n_in, n_out, n_loss;
    mo_tensor *in[OP_CASE_INPUTS], *out[OP_CASE_OUTPUTS];
    mo_tensor *weight[OP_CASE_OUTPUTS];                    /* R of a MO_REAL output, else NULL */
    mo_real *value[OP_CASE_INPUTS], *grad[OP_CASE_INPUTS]; /* storage of parameters, owned */
    mo_stored *stored[OP_CASE_INPUTS];                     /* of a stored parameter, owned */
    double scale[OP_CASE_OUTPUTS + OP_CASE_INPUTS];        /* per loss */
    void *arena;                                           /* owned */
} op_graph;

typedef struct op_mode {
    mo_recompute recompute;
    /* Bit i: input i, if it is differentiable and no parameter, has a second reader, so that the op must add
     * to that input's gradient instead of writing it. */
    unsigned shared;
    bool forward_only;
    bool readable; /* MO_REAL outputs can be read after a run; costs recomputing nothing of them */
} op_mode;
#define OP_SHARED_ALL (~0u)

/* Fails the running test if the graph cannot be built. Inputs and R depend on the case's shapes alone. */
void op_graph_open(op_graph *t, const op_case *c, op_mode mode);
void op_graph_close(op_graph *t);
/* Elements of an input, and what the case says are its values; stream: its index. */
int64_t op_input_count(const op_input *in);
void op_input_fill(const op_input *in, uint32_t stream, void *data);
bool op_is_loss(const mo_tensor *y);
/* Forward, then the scaled sum of all losses. */
double op_graph_forward(op_graph *t);
double op_graph_loss(const op_graph *t);
void op_graph_zero_grads(op_graph *t); /* of parameters */
/* Input i's gradient, NULL if it has none. */
mo_real *op_graph_grad(const op_graph *t, int i);

/* For tests that build their own graphs: loss = sum_i y_i w_i, [1] MO_F64; w has y's shape and no gradient.
 */
mo_tensor *test_weighted_sum(mo_graph *g, mo_tensor *y, mo_tensor *w);

#endif
