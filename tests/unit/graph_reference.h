/* graph_reference.h -- a graph run without a plan: every value and every gradient in memory of its own, nodes
 * in order, then in reverse. What planning decides (lifetimes, sharing, recomputation) must not change a bit
 * of it. Memory is aligned as in an arena. */
#ifndef MOIRA_TESTS_UNIT_GRAPH_REFERENCE_H
#define MOIRA_TESTS_UNIT_GRAPH_REFERENCE_H

#include <stdlib.h>
#include <string.h>

#include "autograd/graph.h"
#include "harness/harness.h"

/* Full of NaN, or of -1. */
static inline void *dirty_memory(size_t size)
{
    void *memory = aligned_alloc(64, (size + 64) & ~(size_t)63);
    if (!memory) fail_msg("out of memory");
    return memset(memory, 0xff, size);
}

static inline size_t grad_size(const mo_tensor *t)
{
    return (size_t)mo_tensor_count(t) * sizeof(mo_real);
}

typedef struct reference {
    mo_graph *g;
    bool *has_grad; /* per tensor */
} reference;

static inline bool reference_flows(const reference *r, mo_tensor *const *t, int n)
{
    for (int i = 0; i < n; i++)
        if (r->has_grad[t[i]->id]) return true;
    return false;
}

/* A gradient flows from an output to every input that wants one. */
static inline void reference_mark(reference *r)
{
    for (int i = 0; i < r->g->n_losses; i++)
        r->has_grad[r->g->losses[i].tensor->id] = r->g->losses[i].tensor->needs_grad;
    for (int n = r->g->n_nodes - 1; n >= 0; n--) {
        const mo_node *node = r->g->nodes[n];
        if (!node->op->backward || !reference_flows(r, node->out, node->n_out)) continue;
        for (int i = 0; i < node->n_in; i++)
            if (node->in[i]->needs_grad) r->has_grad[node->in[i]->id] = true;
    }
}

/* Takes a graph that was built and not planned; the caller then fills inputs. */
static inline reference reference_open(mo_graph *g)
{
    MO_CHECK_OK(mo_graph_status(g));
    reference r = {g, calloc((size_t)g->n_tensors + 1, sizeof(bool))};
    reference_mark(&r);
    for (int t = 0; t < g->n_tensors; t++) {
        mo_tensor *tensor = g->tensors[t];
        if (tensor->role == MO_ROLE_PARAM) continue;
        tensor->data = dirty_memory(mo_tensor_bytes(tensor));
        tensor->grad = r.has_grad[t] ? dirty_memory(grad_size(tensor)) : NULL;
    }
    return r;
}

/* Frees the graph too. */
static inline void reference_close(reference *r)
{
    for (int t = 0; t < r->g->n_tensors; t++)
        if (r->g->tensors[t]->role != MO_ROLE_PARAM) {
            free(r->g->tensors[t]->data);
            free(r->g->tensors[t]->grad);
        }
    mo_graph_free(r->g);
    free(r->has_grad);
}

static inline void reference_kernel(mo_node *node, mo_phase phase, const mo_run *run)
{
    size_t size = node->op->scratch ? node->op->scratch(node, phase) : 0;
    node->scratch = dirty_memory(size);
    (phase == MO_FORWARD ? node->op->forward : node->op->backward)(node, run);
    free(node->scratch);
}

/* scale: per loss. */
static inline void reference_run(reference *r, const mo_run *run, const double *scale)
{
    mo_graph *g = r->g;
    bool *written = calloc((size_t)g->n_tensors + 1, sizeof *written);
    for (int n = 0; n < g->n_nodes; n++) reference_kernel(g->nodes[n], MO_FORWARD, run);
    for (int i = 0; i < g->n_losses; i++)
        if (g->losses[i].tensor->grad) *g->losses[i].tensor->grad = (mo_real)scale[i];
    for (int n = g->n_nodes - 1; n >= 0; n--) {
        mo_node *node = g->nodes[n];
        if (!node->op->backward || !reference_flows(r, node->out, node->n_out) ||
            !reference_flows(r, node->in, node->n_in))
            continue;
        for (int i = 0; i < node->n_in; i++) {
            const mo_tensor *in = node->in[i];
            node->accumulate[i] = in->role == MO_ROLE_PARAM || written[in->id];
            written[in->id] = true;
        }
        reference_kernel(node, MO_BACKWARD, run);
    }
    free(written);
}

#endif
