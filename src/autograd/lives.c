/* lives.c -- from the schedule to lifetimes of values, gradients and scratch.
 *
 * A value's first life runs from its forward step to its last forward use, or to its last use at all if it is
 * kept; further ones from a recomputation to the last use before the next. A gradient lives from its first
 * contribution to the backward step of its producer, which reads it.
 *
 * Sharing: an op that passes its gradient on unchanged (add) gives its inputs' gradients the output's memory
 * where that is safe: the input gets its first contribution here, and nobody adds to one member of the group
 * at a step up to which another member is still to be read. So a residual stream has one gradient buffer.
 *
 * Writing over: where an op says that it can (mo_op.grad_over_data), the first contribution to a gradient is
 * written where the value lies, if nobody reads that one later. */
#include "autograd/graph.h"

#include <string.h>

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

/* Of the data, as far as the schedule has been gone through. */
static int current_life(const value *v)
{
    return v->again != NO_LIFE ? v->again : v->data;
}

/* Step `at` reads t->data. */
static void data_use(mo_graph *g, const mo_tensor *t, int at)
{
    int which = current_life(&g->values[t->id]);
    if (which != NO_LIFE && g->lives[which].end < at) g->lives[which].end = at;
}

static mo_status data_lives(mo_graph *g)
{
    int last = g->n_steps - 1;
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->role == MO_ROLE_INPUT)
            MO_TRY(add_life(g, mo_tensor_bytes(g->tensors[t]), 0, last, &g->values[t].data));
    for (int s = 0; s < g->n_steps; s++) {
        step *st = &g->steps[s];
        const mo_node *node = st->node;
        st->born = g->n_lives;
        for (int j = 0; j < node->n_out; j++) {
            value *v = &g->values[node->out[j]->id];
            if (mo__writes(g, st->kind, node->out[j]))
                MO_TRY(data_birth(g, node->out[j], s, st->kind == STEP_FORWARD ? &v->data : &v->again));
            else if (st->kind == STEP_RECOMPUTE || mo__needs(node->op->needs_out, j) ||
                     node->op->flags & MO_OP_FUSED_LOSS)
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

/* Tensors by what adds to their gradients, and by whose memory those share. */
typedef struct links {
    int *first, *writes; /* writes[first[t] .. first[t + 1]): the backward steps with t among their inputs */
    int *next;           /* of the group that t's gradient is in; -1: the last */
} links;

static void free_links(links *k)
{
    mo_free(k->first);
    mo_free(k->writes);
    mo_free(k->next);
}

static mo_status make_links(const mo_graph *g, links *k)
{
    size_t n_tensors = (size_t)g->n_tensors, n_writes = 0;
    *k = (links){.first = mo_calloc(n_tensors + 2, sizeof(int)),
                 .next = mo_malloc((n_tensors + 1) * sizeof(int))};
    if (!k->first || !k->next) return MO_E_MEMORY;
    memset(k->next, -1, (n_tensors + 1) * sizeof(int));
    int *end = k->first + 1; /* counts, then where each list ends so far */
    for (int s = g->n_forward; s < g->n_steps; s++)
        for (int i = 0; g->steps[s].kind == STEP_BACKWARD && i < g->steps[s].node->n_in; i++, n_writes++)
            end[g->steps[s].node->in[i]->id + 1]++;
    k->writes = mo_malloc((n_writes + 1) * sizeof(int));
    if (!k->writes) return MO_E_MEMORY;
    for (int t = 0; t < g->n_tensors; t++) end[t + 1] += end[t];
    for (int s = g->n_forward; s < g->n_steps; s++)
        for (int i = 0; g->steps[s].kind == STEP_BACKWARD && i < g->steps[s].node->n_in; i++)
            k->writes[end[g->steps[s].node->in[i]->id]++] = s;
    return MO_OK;
}

/* Does a backward step after s, up to and including `end`, add to t's gradient? */
static bool added_to(const links *k, int t, int s, int end)
{
    for (int i = k->first[t]; i < k->first[t + 1]; i++)
        if (k->writes[i] > s && k->writes[i] <= end) return true;
    return false;
}

/* May `t`, first written at step s by an op that passes on root's gradient, live in root's memory? Steps come
 * in order, so members that died leave the group's list. */
static bool may_share(const mo_graph *g, links *k, int t, int root, int s)
{
    const value *v = &g->values[t];
    if (v->first_write != s || v->grad_of != t) return false;
    for (int *at = &root; *at >= 0;) {
        const value *w = &g->values[*at];
        if (w->death > s && (added_to(k, t, s, w->death) || added_to(k, *at, s, v->death))) return false;
        if (w->death <= s && at != &root)
            *at = k->next[*at];
        else
            at = &k->next[*at];
    }
    return true;
}

static bool is_once(const mo_node *node, int i)
{
    for (int k = 0; k < node->n_in; k++)
        if (k != i && node->in[k] == node->in[i]) return false;
    return true;
}

static void share_gradients(mo_graph *g, links *k)
{
    for (int s = g->n_forward; s < g->n_steps; s++) {
        const mo_node *node = g->steps[s].node;
        if (g->steps[s].kind != STEP_BACKWARD || !(node->op->flags & MO_OP_PASS_GRAD)) continue;
        const mo_tensor *out = node->out[0];
        if (g->values[out->id].first_write < 0) continue;
        int root = g->values[out->id].grad_of;
        for (int i = 0; i < node->n_in; i++) {
            const mo_tensor *t = node->in[i];
            if (!mo__is_value(t) || !is_once(node, i) || !g->values[t->id].has_grad ||
                mo_tensor_bytes(t) != mo_tensor_bytes(out) || !may_share(g, k, t->id, root, s))
                continue;
            g->values[t->id].grad_of = root;
            k->next[t->id] = k->next[root];
            k->next[root] = t->id;
        }
    }
}

/* The life of t's data if the first contribution to its gradient may be written over them, else NO_LIFE. */
static int life_under(const mo_graph *g, const mo_tensor *t)
{
    const value *v = &g->values[t->id];
    const mo_node *node = g->steps[v->first_write].node;
    int which = current_life(v);
    if (t->role != MO_ROLE_VALUE || t->dtype != MO_REAL || g->lives[which].end != v->first_write)
        return NO_LIFE;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] == t)
            return mo__needs(node->op->grad_over_data, i) && is_once(node, i) ? which : NO_LIFE;
    return NO_LIFE;
}

/* A gradient of its own, or of a group. */
static mo_status gradient_life(mo_graph *g, const mo_tensor *t)
{
    value *v = &g->values[t->id];
    v->grad = life_under(g, t);
    if (v->grad == NO_LIFE)
        return add_life(g, (size_t)mo_tensor_count(t) * sizeof(mo_real), v->first_write, v->grad_end,
                        &v->grad);
    if (g->lives[v->grad].end < v->grad_end) g->lives[v->grad].end = v->grad_end;
    return MO_OK;
}

static mo_status gradient_lives(mo_graph *g)
{
    int last = g->n_steps - 1;
    for (int t = 0; t < g->n_tensors; t++) {
        value *v = &g->values[t], *root = &g->values[v->grad_of];
        int end = g->tensors[t]->role == MO_ROLE_INPUT ? last : v->death;
        if (root->grad_end < end) root->grad_end = end;
    }
    for (int t = 0; t < g->n_tensors; t++) {
        const value *v = &g->values[t];
        if (g->tensors[t]->role != MO_ROLE_PARAM && v->has_grad && !v->loss && v->first_write >= 0 &&
            v->grad_of == t)
            MO_TRY(gradient_life(g, g->tensors[t]));
    }
    for (int t = 0; t < g->n_tensors; t++) g->values[t].grad = g->values[g->values[t].grad_of].grad;
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
    links k;
    MO_TRY(data_lives(g));
    gradient_writes(g);
    mo_status status = make_links(g, &k);
    if (status == MO_OK) share_gradients(g, &k);
    free_links(&k);
    if (status == MO_OK) status = gradient_lives(g);
    return status == MO_OK ? scratch_lives(g) : status;
}
