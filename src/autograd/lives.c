/* lives.c -- from the schedule to lifetimes of values, gradients and scratch.
 *
 * A value's first life runs from its forward step to its last forward use, or to its last use at all if it is
 * kept; its second from its recomputation to its last use. A gradient lives from its first contribution to
 * the backward step of its producer, which reads it.
 *
 * Sharing: an op that passes its gradient on unchanged (add) gives its inputs' gradients the output's memory
 * where that is safe: the input gets its first contribution here, and nobody adds to one member of the group
 * at a step up to which another member is still to be read. So a residual stream has one gradient buffer. */
#include "autograd/graph.h"

static mo_status add_life(mo_graph *g, size_t size, int begin, int end, int *out)
{
    MO_TRY(mo__graph_grow((void **)&g->lives, g->n_lives, &g->cap_lives, sizeof *g->lives));
    g->lives[g->n_lives] = (life){.size = (size + 63) & ~(size_t)63, .begin = begin, .end = end};
    *out = g->n_lives++;
    return MO_OK;
}

static mo_status data_birth(mo_graph *g, const mo_tensor *t, int at, int *out)
{
    return add_life(g, mo_tensor_bytes(t), at, at, out);
}

/* Step `at` reads t->data. */
static void data_use(mo_graph *g, const mo_tensor *t, int at)
{
    value *v = &g->values[t->id];
    int which = v->again != NO_LIFE && at >= g->lives[v->again].begin ? v->again : v->data;
    if (which != NO_LIFE && g->lives[which].end < at) g->lives[which].end = at;
}

static mo_status data_lives(mo_graph *g)
{
    int last = g->n_steps - 1;
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->role == MO_ROLE_INPUT)
            MO_TRY(add_life(g, mo_tensor_bytes(g->tensors[t]), 0, last, &g->values[t].data));
    for (int s = 0; s < g->n_steps; s++) {
        const step *st = &g->steps[s];
        const mo_node *node = st->node;
        for (int j = 0; j < node->n_out; j++) {
            value *v = &g->values[node->out[j]->id];
            if (st->kind == STEP_FORWARD) MO_TRY(data_birth(g, node->out[j], s, &v->data));
            if (st->kind == STEP_RECOMPUTE && !v->kept) MO_TRY(data_birth(g, node->out[j], s, &v->again));
            if (st->kind == STEP_RECOMPUTE && v->kept) data_use(g, node->out[j], s);
            if (st->kind == STEP_BACKWARD &&
                (mo__needs(node->op->needs_out, j) || node->op->flags & MO_OP_FUSED_LOSS))
                data_use(g, node->out[j], s);
        }
        for (int i = 0; i < node->n_in; i++)
            if (st->kind != STEP_BACKWARD || mo__reads(g, node, i)) data_use(g, node->in[i], s);
    }
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->role == MO_ROLE_OUTPUT) data_use(g, g->tensors[t], last);
    for (int i = 0; i < g->n_losses; i++) data_use(g, g->losses[i].tensor, last);
    return MO_OK;
}

/* When each gradient is first written and when it is read. */
static void gradient_writes(mo_graph *g)
{
    for (int s = g->n_forward; s < g->n_steps; s++) {
        const mo_node *node = g->steps[s].node;
        if (g->steps[s].kind != STEP_BACKWARD) continue;
        for (int j = 0; j < node->n_out; j++) g->values[node->out[j]->id].death = s;
        for (int i = 0; i < node->n_in; i++) {
            value *v = &g->values[node->in[i]->id];
            if (!v->has_grad) continue;
            node->accumulate[i] = node->in[i]->role == MO_ROLE_PARAM || v->first_write >= 0;
            if (v->first_write < 0) v->first_write = s;
        }
    }
}

/* Does a backward step after s, up to and including `end`, add to t's gradient? */
static bool added_to(const mo_graph *g, int t, int s, int end)
{
    for (int at = s + 1; at <= end; at++) {
        const mo_node *node = g->steps[at].node;
        for (int i = 0; g->steps[at].kind == STEP_BACKWARD && i < node->n_in; i++)
            if (node->in[i]->id == t) return true;
    }
    return false;
}

/* May `t`, first written at step s by an op that passes on root's gradient, live in root's memory? */
static bool may_share(const mo_graph *g, int t, int root, int s)
{
    const value *v = &g->values[t];
    if (v->first_write != s || v->grad_of != t) return false;
    for (int u = 0; u < g->n_tensors; u++) {
        const value *w = &g->values[u];
        if (w->grad_of != root || u == t || w->first_write < 0 || w->death <= s) continue;
        if (added_to(g, t, s, w->death) || added_to(g, u, s, v->death)) return false;
    }
    return true;
}

static void share_gradients(mo_graph *g)
{
    for (int s = g->n_forward; s < g->n_steps; s++) {
        const mo_node *node = g->steps[s].node;
        if (g->steps[s].kind != STEP_BACKWARD || !(node->op->flags & MO_OP_PASS_GRAD)) continue;
        const mo_tensor *out = node->out[0];
        if (g->values[out->id].first_write < 0) continue;
        int root = g->values[out->id].grad_of;
        for (int i = 0; i < node->n_in; i++) {
            const mo_tensor *t = node->in[i];
            bool twice = false;
            for (int k = 0; k < node->n_in; k++) twice = twice || (k != i && node->in[k] == t);
            if (!mo__is_value(t) || twice || !g->values[t->id].has_grad ||
                mo_tensor_bytes(t) != mo_tensor_bytes(out))
                continue;
            if (may_share(g, t->id, root, s)) g->values[t->id].grad_of = root;
        }
    }
}

static bool is_loss(const mo_graph *g, const mo_tensor *t)
{
    for (int i = 0; i < g->n_losses; i++)
        if (g->losses[i].tensor == t) return true;
    return false;
}

static mo_status gradient_lives(mo_graph *g)
{
    int last = g->n_steps - 1;
    for (int t = 0; t < g->n_tensors; t++) {
        const mo_tensor *tensor = g->tensors[t];
        value *v = &g->values[t];
        if (tensor->role == MO_ROLE_PARAM || !v->has_grad || is_loss(g, tensor) || v->first_write < 0)
            continue;
        int begin = v->first_write, end = tensor->role == MO_ROLE_INPUT ? last : v->death;
        value *root = &g->values[v->grad_of];
        size_t size = (size_t)mo_tensor_count(tensor) * sizeof(mo_real);
        if (root->grad == NO_LIFE) {
            MO_TRY(add_life(g, size, begin, end, &root->grad));
        } else {
            life *l = &g->lives[root->grad];
            if (l->begin > begin) l->begin = begin;
            if (l->end < end) l->end = end;
        }
        v->grad = root->grad;
    }
    return MO_OK;
}

static mo_status scratch_lives(mo_graph *g)
{
    for (int s = 0; s < g->n_steps; s++) {
        const mo_node *node = g->steps[s].node;
        mo_phase phase = g->steps[s].kind == STEP_BACKWARD ? MO_BACKWARD : MO_FORWARD;
        size_t size = node->op->scratch ? node->op->scratch(node, phase) : 0;
        if (size > 0) MO_TRY(add_life(g, size, s, s, &g->steps[s].scratch));
        if (size > g->memory.scratch) g->memory.scratch = size;
    }
    return MO_OK;
}

mo_status mo__plan_lives(mo_graph *g)
{
    MO_TRY(data_lives(g));
    gradient_writes(g);
    share_gradients(g);
    MO_TRY(gradient_lives(g));
    return scratch_lives(g);
}
