/* autograd.h -- a graph that is built once, planned once and run many times.
 *
 * Constructors (ops.h) check shapes and record nodes; nothing is computed while building. mo_graph_plan walks
 * the schedule (forward, then backward in reverse, with what must be recomputed in between), derives each
 * value's lifetime from what each op says its backward needs, and packs all of them into one arena, whose
 * size is then known. mo_graph_bind gives the arena; after that running makes no allocation.
 *
 *     mo_graph *g; MO_TRY(mo_graph_create(&g));
 *     mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){N, D}, false);
 *     mo_tensor *w = mo_graph_param(g, "w", 2, (int64_t[]){V, D}, value, grad);
 *     mo_tensor *l = mo_cross_entropy(g, x, w, targets, NULL);
 *     int loss = mo_graph_loss(g, l);
 *     MO_TRY(mo_graph_status(g));                        the first error of any constructor
 *     MO_TRY(mo_graph_plan(g, &(mo_plan){.backward = true}));
 *     MO_TRY(mo_graph_bind(g, NULL));                    NULL: the graph owns its arena
 *     ... fill x->data ...; mo_graph_loss_scale(g, loss, 1.0 / tokens);
 *     mo_graph_train(g, &run);                           gradients are ADDED to w's
 *     mo_graph_free(g);
 *
 * Gradients: a value's gradient is overwritten by the first op that contributes and added to by the others;
 * a parameter's is always added to (the optimizer leaves it zero), so microbatches accumulate.
 * Threads: one thread drives a graph; ops use OpenMP inside. */
#ifndef MOIRA_AUTOGRAD_H
#define MOIRA_AUTOGRAD_H

#include "moira/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MO_MAX_DIMS 4

typedef struct mo_graph mo_graph;
typedef struct mo_node mo_node;
typedef struct mo_op mo_op;

/* OUTPUT: a value that stays readable after a run. */
typedef enum mo_role { MO_ROLE_INPUT, MO_ROLE_PARAM, MO_ROLE_VALUE, MO_ROLE_OUTPUT } mo_role;

/* A value of the graph. data and grad are valid inside ops; after a run both are for inputs and parameters,
 * data alone for losses and values named by mo_graph_output. grad is NULL where no gradient flows. Dense,
 * row-major. */
typedef struct mo_tensor {
    char *name;
    mo_role role;
    mo_dtype dtype;
    int ndim;
    int64_t dim[MO_MAX_DIMS];
    bool needs_grad;
    void *data;
    mo_real *grad;
    const mo_stored *stored; /* of a frozen parameter: where its values lie in place of data; else NULL */
    mo_node *producer;       /* NULL for inputs and parameters */
    int id;
} mo_tensor;

int64_t mo_tensor_count(const mo_tensor *t); /* elements */
size_t mo_tensor_bytes(const mo_tensor *t);  /* as they lie: of a stored parameter, in its file */

/* What a run tells the ops: where the noise comes from, and whether there is any. */
typedef struct mo_run {
    uint64_t seed;
    int64_t step;
    int64_t first_token; /* index within the step of this microbatch's first token */
    bool training;       /* noise, jitter and dropout are on */
} mo_run;

typedef enum mo_phase { MO_FORWARD, MO_BACKWARD } mo_phase;

/* Work of one execution: floating-point operations, and bytes of compulsory traffic. */
typedef struct mo_cost {
    double flops, bytes;
} mo_cost;

enum {
    MO_OP_CHEAP = 1,     /* recomputed before backward rather than kept, even under MO_RECOMPUTE_NONE */
    MO_OP_KEEP = 2,      /* outputs kept under every policy: routing is replayed, never decided again */
    MO_OP_PASS_GRAD = 4, /* every input's gradient is the output's own: the planner may share the memory */
    MO_OP_FUSED_LOSS = 8 /* backward computes the output too: mo_graph_train skips its forward */
};
#define MO_NEEDS(i)  (1u << (i))
#define MO_NEEDS_ALL 0xffffffffu

/* A kind of node. Kernels take what they need from node->in, out, attr and scratch, and allocate nothing.
 * backward must write (or add to, where node->accumulate[i]) in[i]->grad of every input whose grad is not
 * NULL, and must take an out[j]->grad of NULL for zero. */
struct mo_op {
    const char *name;
    mo_status (*shape)(mo_node *node); /* checks in[] and attr, declares outputs with mo_node_output */
    void (*forward)(const mo_node *node, const mo_run *run);
    void (*backward)(const mo_node *node, const mo_run *run); /* NULL: no input has a gradient */
    uint32_t needs_in, needs_out; /* bit i: backward reads in[i]->data, out[i]->data */
    /* Of each input, which of in[]->data backward reads for that one's gradient; NULL: needs_in for any. */
    const uint32_t *needs_for;
    /* Bit i: in[i]->grad may lie where in[i]->data lies: what backward needs of these it has read before it
     * writes there. Not read where node->accumulate[i]. */
    uint32_t grad_over_data;
    uint32_t takes_stored; /* bit i: in[i] may be a stored parameter; shape() is not asked otherwise */
    unsigned flags;
    /* Whether running reads this part of a stored input; known: integer inputs hold this run's values, else
     * it is a guess. NULL: all parts. */
    bool (*reads)(const mo_node *node, int64_t part, bool known);
    size_t (*scratch)(const mo_node *node, mo_phase phase); /* bytes, 64-byte aligned when run; NULL = none */
    mo_cost (*cost)(const mo_node *node, mo_phase phase);
};

struct mo_node {
    const mo_op *op;
    mo_graph *graph;
    int id, layer, block; /* layer, block: -1 outside */
    int n_in, n_out;
    mo_tensor **in, **out;
    bool *accumulate; /* per input */
    void *attr;       /* the op's own struct, a copy owned by the graph */
    void *scratch;
};

/* ---- building ---- */

mo_status mo_graph_create(mo_graph **out);
void mo_graph_free(mo_graph *g);
/* First error of any constructor (its message is in mo_last_error after this call). */
mo_status mo_graph_status(const mo_graph *g);
/* Makes the graph fail with the message just set by mo_error. Returns NULL, for constructors. */
mo_tensor *mo_graph_fail(mo_graph *g, mo_status status);

mo_tensor *mo_graph_input(mo_graph *g, const char *name, mo_dtype dtype, int ndim, const int64_t *dim,
                          bool needs_grad);
/* data and grad are borrowed; grad NULL = frozen. Both may be set later through the tensor. */
mo_tensor *mo_graph_param(mo_graph *g, const char *name, int ndim, const int64_t *dim, mo_real *data,
                          mo_real *grad);
/* A frozen parameter whose values stay in a mapped file. Taken by the weights of linear, experts, embedding
 * and cross_entropy, which expand them tile by tile; MO_E_SHAPE elsewhere. */
mo_tensor *mo_graph_param_stored(mo_graph *g, const char *name, int ndim, const int64_t *dim,
                                 const mo_stored *stored);
/* Keeps the value readable after a run. */
void mo_graph_output(mo_graph *g, mo_tensor *t);
/* Registers a [1] MO_F64 tensor as a loss; returns its index. Loss = sum_i scale_i * value_i. */
int mo_graph_loss(mo_graph *g, mo_tensor *t);
/* Nodes built from now on belong to this layer and block (recompute units and profile); -1 = none. */
void mo_graph_scope(mo_graph *g, int layer, int block);

/* For ops: records a node; attr (attr_size bytes) is copied. Returns NULL once the graph has failed or if an
 * input is NULL. Then in shape(): declare outputs in order. */
mo_node *mo_graph_node(mo_graph *g, const mo_op *op, int n_in, mo_tensor *const *in, const void *attr,
                       size_t attr_size);
mo_status mo_node_output(mo_node *node, const char *suffix, mo_dtype dtype, int ndim, const int64_t *dim);

/* ---- planning ---- */

typedef enum mo_recompute { MO_RECOMPUTE_NONE, MO_RECOMPUTE_BLOCK, MO_RECOMPUTE_FULL } mo_recompute;
typedef struct mo_plan {
    bool backward;
    mo_recompute recompute;
} mo_plan;
typedef struct mo_graph_memory {
    size_t arena;     /* bytes of the whole arena */
    size_t needed;    /* the most bytes that are alive at one step: no arena is smaller */
    size_t kept;      /* of it, values alive between forward and backward */
    size_t scratch;   /* the largest scratch of a step */
    size_t gradients; /* gradients of values alive at once, at most */
} mo_graph_memory;

mo_status mo_graph_plan(mo_graph *g, const mo_plan *plan);
mo_graph_memory mo_graph_memory_use(const mo_graph *g);
/* arena: mo_graph_memory_use().arena bytes, 64-byte aligned, borrowed; NULL = the graph makes its own. */
mo_status mo_graph_bind(mo_graph *g, void *arena);

/* ---- running ---- */

void mo_graph_loss_scale(mo_graph *g, int loss, double scale);
double mo_graph_loss_value(const mo_graph *g, int loss); /* unscaled */
void mo_graph_forward(mo_graph *g, const mo_run *run);
void mo_graph_backward(mo_graph *g, const mo_run *run); /* once after each forward: the arena is reused */
void mo_graph_train(mo_graph *g, const mo_run *run);    /* both, without computing fused losses twice */

/* ---- looking ---- */

int mo_graph_node_count(const mo_graph *g);
const mo_node *mo_graph_node_at(const mo_graph *g, int i);
void mo_graph_profile(mo_graph *g, bool on); /* times every node; clears what was measured */
/* Seconds and executions so far of one node; recomputation counts as MO_FORWARD. */
double mo_graph_node_seconds(const mo_graph *g, int node, mo_phase phase, int64_t *executions);
/* Seconds that runs have waited so far for stored weights to come from their files. */
double mo_graph_waited(const mo_graph *g);
/* The graph, with shapes and lifetimes, in Graphviz's dot language. Owned text. */
mo_status mo_graph_dot(const mo_graph *g, char **out);

#ifdef __cplusplus
}
#endif
#endif
