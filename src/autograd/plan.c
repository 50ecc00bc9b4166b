/* plan.c -- from nodes to a schedule, from the schedule to lifetimes.
 *
 * What is kept between forward and backward:
 *   none   a value that backward or a recomputation reads, unless its op is cheap: that one is computed again
 *          from its inputs right before the first backward step that reads it;
 *   block  only values that leave their block (attention, FFN); the rest of a block is computed again;
 *   full   the same with a layer as the unit.
 * Outputs of MO_OP_KEEP ops are kept always, so routing is replayed. A recomputed value stays until the last
 * backward step that reads it, so nothing is recomputed twice, but: under block and full a cheap value that
 * was made for the sake of another recomputation goes, and is made once more for the backward steps that read
 * it. Between the two is where memory is at its highest. */
#include "autograd/graph.h"

#include <string.h>

static int unit_of(const mo_graph *g, const mo_node *node)
{
    switch (g->plan.recompute) {
    case MO_RECOMPUTE_BLOCK:
        return node->block;
    case MO_RECOMPUTE_FULL:
        return node->layer;
    default:
        return -1;
    }
}

/* Gradients flow from the losses to everything that needs one. */
static void mark_gradients(mo_graph *g)
{
    for (int i = 0; i < g->n_losses; i++) {
        g->values[g->losses[i].tensor->id].loss = true;
        g->values[g->losses[i].tensor->id].has_grad = g->losses[i].tensor->needs_grad;
    }
    for (int n = g->n_nodes - 1; n >= 0; n--) {
        mo_node *node = g->nodes[n];
        bool any = false;
        for (int j = 0; j < node->n_out; j++) any = any || g->values[node->out[j]->id].has_grad;
        if (!any || !node->op->backward) continue;
        for (int i = 0; i < node->n_in; i++)
            if (node->in[i]->needs_grad && mo__differentiable(node->in[i]))
                g->values[node->in[i]->id].has_grad = true;
    }
}

static bool runs_backward(const mo_graph *g, const mo_node *node)
{
    bool out = false, in = false;
    for (int j = 0; j < node->n_out; j++) out = out || g->values[node->out[j]->id].has_grad;
    for (int i = 0; i < node->n_in; i++) in = in || g->values[node->in[i]->id].has_grad;
    return out && in && node->op->backward;
}

static void mark_kept(mo_graph *g)
{
    for (int t = 0; t < g->n_tensors; t++) {
        const mo_tensor *tensor = g->tensors[t];
        if (!mo__is_value(tensor)) continue;
        const mo_node *producer = tensor->producer;
        bool in_unit = unit_of(g, producer) >= 0;
        g->values[t].kept = (producer->op->flags & MO_OP_KEEP) || tensor->role == MO_ROLE_OUTPUT ||
                            (!in_unit && !(producer->op->flags & MO_OP_CHEAP));
    }
    for (int i = 0; i < g->n_losses; i++) g->values[g->losses[i].tensor->id].kept = true;
    for (int n = 0; n < g->n_nodes; n++)
        for (int i = 0; i < g->nodes[n]->n_in; i++) {
            const mo_tensor *t = g->nodes[n]->in[i];
            if (!mo__is_value(t)) continue;
            int unit = unit_of(g, t->producer);
            if (unit >= 0 && unit != unit_of(g, g->nodes[n])) g->values[t->id].kept = true;
        }
}

static mo_status add_step(mo_graph *g, step_kind kind, mo_node *node)
{
    MO_TRY(mo__graph_grow((void **)&g->steps, g->n_steps, &g->cap_steps, sizeof *g->steps));
    g->steps[g->n_steps++] = (step){.kind = kind, .node = node, .scratch = NO_LIFE};
    return MO_OK;
}

/* Whether t->data can be read as things stand, by a backward step or else by a recomputation. */
static bool is_available(mo_graph *g, const mo_tensor *t, bool by_backward)
{
    value *v = &g->values[t->id];
    if (!mo__is_value(t) || v->kept) return true;
    if (v->born_again < 0) return false;
    bool cheap = g->plan.recompute != MO_RECOMPUTE_NONE && t->producer->op->flags & MO_OP_CHEAP;
    if (by_backward && v->born_again > g->last_backward) v->stays = true;
    return !cheap || v->stays || v->born_again > g->last_backward;
}

/* Schedules what must run for t->data to be readable in the backward pass. */
static mo_status make_available(mo_graph *g, const mo_tensor *t, bool by_backward)
{
    if (is_available(g, t, by_backward)) return MO_OK;
    mo_node *node = t->producer;
    for (int i = 0; i < node->n_in; i++) MO_TRY(make_available(g, node->in[i], false));
    MO_TRY(add_step(g, STEP_RECOMPUTE, node));
    for (int j = 0; j < node->n_out; j++) {
        value *out = &g->values[node->out[j]->id];
        if (out->kept) continue;
        out->stays = by_backward || out->born_again >= 0;
        out->born_again = g->n_steps - 1;
    }
    return MO_OK;
}

static mo_status schedule_backward(mo_graph *g, mo_node *node)
{
    for (int i = 0; i < node->n_in; i++)
        if (mo__reads(g, node, i)) MO_TRY(make_available(g, node->in[i], true));
    for (int j = 0; j < node->n_out; j++)
        if (mo__needs(node->op->needs_out, j)) MO_TRY(make_available(g, node->out[j], true));
    g->last_backward = g->n_steps;
    return add_step(g, STEP_BACKWARD, node);
}

mo_status mo__plan_schedule(mo_graph *g)
{
    for (int t = 0; t < g->n_tensors; t++)
        g->values[t] = (value){.data = NO_LIFE,
                               .again = NO_LIFE,
                               .grad = NO_LIFE,
                               .grad_of = t,
                               .born_again = -1,
                               .first_write = -1,
                               .death = -1,
                               .grad_end = -1};
    for (int n = 0; n < g->n_nodes; n++) MO_TRY(add_step(g, STEP_FORWARD, g->nodes[n]));
    g->n_forward = g->n_steps;
    g->last_backward = -1;
    if (!g->plan.backward) return MO_OK;
    mark_gradients(g);
    mark_kept(g);
    for (int n = g->n_nodes - 1; n >= 0; n--)
        if (runs_backward(g, g->nodes[n])) MO_TRY(schedule_backward(g, g->nodes[n]));
    return MO_OK;
}

mo_status mo_graph_plan(mo_graph *g, const mo_plan *plan)
{
    MO_TRY(mo_graph_status(g));
    MO_ASSERT(!g->planned);
    g->plan = *plan;
    g->values = mo_calloc((size_t)g->n_tensors + 1, sizeof *g->values);
    g->timings = mo_calloc((size_t)g->n_nodes + 1, sizeof *g->timings);
    if (!g->values || !g->timings) return MO_E_MEMORY;
    MO_TRY(mo__plan_schedule(g));
    MO_TRY(mo__plan_lives(g));
    MO_TRY(mo__plan_pack(g));
    g->planned = true;
    return MO_OK;
}

mo_graph_memory mo_graph_memory_use(const mo_graph *g)
{
    return g->memory;
}
