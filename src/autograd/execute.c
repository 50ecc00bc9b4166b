/* execute.c -- running a planned graph: point tensors at their places, call kernels in the schedule's order.
 */
#include "autograd/graph.h"

#include <string.h>

static void *place_of(const mo_graph *g, int which)
{
    return which == NO_LIFE ? NULL : g->arena + g->lives[which].offset;
}

mo_status mo_graph_bind(mo_graph *g, void *arena)
{
    MO_ASSERT(g->planned);
    if (!arena && !g->own_arena && g->memory.arena > 0)
        MO_TRY(mo_pages_alloc(g->memory.arena, &g->own_arena));
    g->arena = arena ? arena : g->own_arena;
    for (int t = 0; t < g->n_tensors; t++) {
        mo_tensor *tensor = g->tensors[t];
        if (tensor->role == MO_ROLE_PARAM) continue;
        tensor->data = place_of(g, g->values[t].data);
        tensor->grad = place_of(g, g->values[t].grad);
    }
    for (int i = 0; i < g->n_losses; i++)
        if (g->plan.backward) g->losses[i].tensor->grad = &g->losses[i].seed;
    g->bound = true;
    return mo__follow_create(g, NULL);
}

static void bind_outputs(mo_graph *g, const step *st)
{
    for (int j = 0, next = st->born; j < st->node->n_out; j++) {
        mo_tensor *t = st->node->out[j];
        t->data = place_of(g, mo__writes(g, st->kind, t) ? next++ : g->values[t->id].data);
    }
}

static void run_step(mo_graph *g, int s, const mo_run *run)
{
    const step *st = &g->steps[s];
    mo_node *node = st->node;
    if (g->follow) mo__follow_step(g, s);
    double begin = g->profile ? mo_clock() : 0;
    node->scratch = place_of(g, st->scratch);
    if (st->kind == STEP_BACKWARD) {
        node->op->backward(node, run);
    } else {
        bind_outputs(g, st);
        node->op->forward(node, run);
    }
    if (!g->profile) return;
    int phase = st->kind == STEP_BACKWARD ? MO_BACKWARD : MO_FORWARD;
    g->timings[node->id].seconds[phase] += mo_clock() - begin;
    g->timings[node->id].executions[phase]++;
}

void mo_graph_forward(mo_graph *g, const mo_run *run)
{
    MO_ASSERT(g->bound);
    for (int s = 0; s < g->n_forward; s++) run_step(g, s, run);
}

void mo_graph_backward(mo_graph *g, const mo_run *run)
{
    MO_ASSERT(g->bound && g->plan.backward);
    for (int s = g->n_forward; s < g->n_steps; s++) run_step(g, s, run);
}

void mo_graph_train(mo_graph *g, const mo_run *run)
{
    MO_ASSERT(g->bound && g->plan.backward);
    for (int s = 0; s < g->n_forward; s++) {
        const step *st = &g->steps[s];
        if (st->node->op->flags & MO_OP_FUSED_LOSS && g->values[st->node->out[0]->id].has_grad)
            bind_outputs(g, st);
        else
            run_step(g, s, run);
    }
    mo_graph_backward(g, run);
}

void mo_graph_loss_scale(mo_graph *g, int loss_index, double scale)
{
    MO_ASSERT(loss_index >= 0 && loss_index < g->n_losses);
    g->losses[loss_index].seed = (mo_real)scale;
}

double mo_graph_loss_value(const mo_graph *g, int loss_index)
{
    MO_ASSERT(loss_index >= 0 && loss_index < g->n_losses);
    return *(const double *)g->losses[loss_index].tensor->data;
}

void mo_graph_profile(mo_graph *g, bool on)
{
    g->profile = on;
    memset(g->timings, 0, (size_t)g->n_nodes * sizeof *g->timings);
}

double mo_graph_node_seconds(const mo_graph *g, int node, mo_phase phase, int64_t *executions)
{
    if (executions) *executions = g->timings[node].executions[phase];
    return g->timings[node].seconds[phase];
}
