/* graph.h -- the inside of a graph: what building records, planning derives and running follows.
 *
 * A schedule is a list of steps: FORWARD of every node in order, then, per node in reverse, the RECOMPUTEs
 * that its backward asks for and the BACKWARD. Memory is handed out by lifetimes: a life is a span of steps
 * during which some bytes must stay; lives that overlap in time do not overlap in the arena. A value that is
 * recomputed has a life in forward and one for each time that it is computed again, and its data pointer is
 * set anew at the step that writes it. */
#ifndef MOIRA_AUTOGRAD_GRAPH_H
#define MOIRA_AUTOGRAD_GRAPH_H

#include "moira/autograd.h"

enum { NO_LIFE = -1 };

typedef enum step_kind { STEP_FORWARD, STEP_RECOMPUTE, STEP_BACKWARD } step_kind;

typedef struct step {
    step_kind kind;
    mo_node *node;
    int scratch; /* life, or NO_LIFE */
    int born;    /* the first life of what it writes; the others follow, in the order of the outputs */
} step;

typedef struct life {
    size_t size, offset;
    int begin, end; /* steps, both included */
} life;

/* What planning knows of a tensor. */
typedef struct value {
    bool has_grad;   /* a gradient flows into it */
    bool kept;       /* lives from forward to its last use in backward */
    bool loss;       /* its gradient is the loss's scale */
    int data, again; /* lives: first computation, the last recomputation */
    int grad;        /* life of the gradient; that of the data where it is written over them */
    int grad_of;     /* tensor whose gradient memory this one shares, or its own id */
    int born_again;  /* step of the last recomputation so far, or -1 */
    bool stays;      /* what that one made stays until nobody reads it any more */
    int first_write; /* backward step that contributes to the gradient first; -1 = none */
    int death;       /* backward step that reads the gradient */
    int grad_end;    /* of a gradient that others share: the last of their deaths */
} value;

typedef struct loss {
    mo_tensor *tensor;
    mo_real seed;
} loss;

typedef struct timing {
    double seconds[2];
    int64_t executions[2];
} timing;

/* What brings stored weights in ahead of their steps. */
typedef struct mo__follow mo__follow;

/* Blocks of memory that live as long as the graph. */
typedef struct pool_block pool_block;

struct mo_graph {
    pool_block *pool;
    mo_status status;
    char *message;
    int layer, block;

    mo_node **nodes;
    int n_nodes, cap_nodes;
    mo_tensor **tensors;
    int n_tensors, cap_tensors;
    loss *losses;
    int n_losses, cap_losses;

    bool planned, bound, profile;
    mo_plan plan;
    step *steps;
    int n_steps, cap_steps, n_forward; /* steps[0 .. n_forward) are the forward pass */
    life *lives;
    int n_lives, cap_lives;
    value *values; /* per tensor */
    mo_graph_memory memory;
    int64_t work;      /* places looked at while packing: what planning costs, for tests */
    int last_backward; /* while scheduling: the latest backward step; -1 = none */

    char *arena;
    void *own_arena;
    timing *timings;    /* per node */
    mo__follow *follow; /* NULL: nothing is stored */
};

void *mo__graph_alloc(mo_graph *g, size_t size); /* zeroed; NULL makes the graph fail */
/* Makes room for one more element in a growing array of the graph. */
mo_status mo__graph_grow(void **array, int count, int *capacity, size_t element);

/* plan.c's parts. */
mo_status mo__plan_schedule(mo_graph *g);
mo_status mo__plan_lives(mo_graph *g);
mo_status mo__plan_pack(mo_graph *g);

/* follow.c: nothing is made if no step reads a stored weight, or if it is made already. */
typedef struct mo__follow_options {
    void (*fetch)(const void *at, size_t size); /* on threads of its own: brings the bytes in */
    size_t ahead; /* bytes to ask for beyond the step's own, at least one part */
    bool once;    /* each part only the first time that it is needed */
} mo__follow_options;
mo_status mo__follow_create(mo_graph *g,
                            const mo__follow_options *options); /* NULL: what suits the machine */
void mo__follow_free(mo_graph *g);
void mo__follow_step(mo_graph *g, int now); /* before the step is run */

static inline bool mo__is_value(const mo_tensor *t)
{
    return t->role == MO_ROLE_VALUE || t->role == MO_ROLE_OUTPUT;
}
/* Whether a mask of needs_in or needs_out has bit i. */
static inline bool mo__needs(uint32_t mask, int i)
{
    return mask == MO_NEEDS_ALL || (i < 32 && (mask & MO_NEEDS(i)));
}
/* Whether backward of a node reads in[i]->data, as far as inputs have gradients. */
static inline bool mo__reads(const mo_graph *g, const mo_node *node, int i)
{
    const mo_op *op = node->op;
    if (!op->needs_for) return mo__needs(op->needs_in, i);
    for (int j = 0; j < node->n_in; j++)
        if (g->values[node->in[j]->id].has_grad && mo__needs(op->needs_for[j], i)) return true;
    return false;
}
/* Whether a step of this kind writes t, which its node puts out. */
static inline bool mo__writes(const mo_graph *g, step_kind kind, const mo_tensor *t)
{
    return kind == STEP_FORWARD || (kind == STEP_RECOMPUTE && !g->values[t->id].kept);
}
static inline bool mo__differentiable(const mo_tensor *t)
{
    return t->dtype == MO_REAL || t->dtype == MO_F64;
}

#endif
