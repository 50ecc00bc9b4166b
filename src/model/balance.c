/* balance.c -- which balancing losses a graph has, with which routers they go, and the one scale of all.
 *
 * Every loss op gives the sum over its groups of (valid tokens of the group) * loss(group). The step's loss
 * is coefficient / (MoE layers * valid tokens of the step) * sum over layers and microbatches, so it does not
 * change with depth or with how a step is cut; `mixtral` pools the layers itself. */
#include <string.h>

#include "model/build.h"

const char *const mo_balance_names[MO_BALANCE_LOSSES] = {
    [MO_BALANCE_SWITCH] = "switch",         [MO_BALANCE_MIXTRAL] = "mixtral",
    [MO_BALANCE_GSHARD] = "gshard",         [MO_BALANCE_SEQUENCE] = "sequence",
    [MO_BALANCE_IMPORTANCE] = "importance", [MO_BALANCE_LOAD] = "load",
    [MO_BALANCE_Z_LOSS] = "z_loss"};

double mo_balance_coefficient(const mo_balance_config *c, int kind)
{
    const double all[MO_BALANCE_LOSSES] = {
        [MO_BALANCE_SWITCH] = c->switch_loss,    [MO_BALANCE_MIXTRAL] = c->mixtral,
        [MO_BALANCE_GSHARD] = c->gshard,         [MO_BALANCE_SEQUENCE] = c->sequence,
        [MO_BALANCE_IMPORTANCE] = c->importance, [MO_BALANCE_LOAD] = c->load,
        [MO_BALANCE_Z_LOSS] = c->z_loss};
    return all[kind];
}

mo_scope mo_balance_scope(const mo_balance_config *c, int kind)
{
    const int own[MO_BALANCE_LOSSES] = {
        [MO_BALANCE_SWITCH] = c->switch_scope,         [MO_BALANCE_MIXTRAL] = c->mixtral_scope,
        [MO_BALANCE_GSHARD] = c->gshard_scope,         [MO_BALANCE_SEQUENCE] = MO_LOSS_SCOPE_SEQUENCE,
        [MO_BALANCE_IMPORTANCE] = c->importance_scope, [MO_BALANCE_LOAD] = c->load_scope,
        [MO_BALANCE_Z_LOSS] = MO_LOSS_SCOPE_SEQUENCE, /* a mean over tokens: the same over anything */
    };
    switch ((mo_loss_scope)own[kind]) {
    case MO_LOSS_SCOPE_SEQUENCE:
        return MO_SCOPE_SEQUENCE;
    case MO_LOSS_SCOPE_MICROBATCH:
        return MO_SCOPE_MICROBATCH;
    case MO_LOSS_SCOPE_BATCH:
        return MO_SCOPE_BATCH;
    case MO_LOSS_SCOPE_DEFAULT:
        break;
    }
    return (mo_scope)c->scope;
}

/* ---- which loss goes with which router ---- */

/* Why a loss would have no gradient or no meaning; NULL: it goes. Beside what is asked here:
 *                       switch, mixtral, gshard, sequence   importance   load   z_loss
 *   scores                            x                       x         x       x
 *   not even by construction          x                                 x
 *   tokens choose                     x                       x         x
 *   noise                                                               x
 *   one softmax over all                                                        x     */
const char *mo_balance_objection(int kind, int router)
{
    unsigned traits = mo_router_describe(router)->traits;
    if (!(traits & MO_ROUTER_SCORES))
        return "its choice hangs on no scores, so that nothing would have a gradient";
    if (kind == MO_BALANCE_Z_LOSS)
        return traits & MO_ROUTER_LEVELS
                   ? "it has a softmax over groups and one within each group, and no logits "
                     "of which one logsumexp could be kept small"
                   : NULL;
    if (traits & MO_ROUTER_FUTURE)
        return "its experts choose their tokens, each as many as the others, and are balanced by "
               "construction";
    if (kind == MO_BALANCE_IMPORTANCE) return NULL;
    if (traits & MO_ROUTER_EVEN)
        return "each of its experts gets every token, so that the loads are equal by construction";
    if (kind == MO_BALANCE_LOAD && !(traits & MO_ROUTER_NOISE))
        return "the load is estimated from the router's own noise (Shazeer 2017), and it has none; routers "
               "with "
               "noise are noisy_topk and hierarchical";
    return NULL;
}

static mo_status check_dense(const mo_balance_config *b)
{
    char wrong[240] = "";
    for (int i = 0; i < MO_BALANCE_LOSSES; i++)
        if (mo_balance_coefficient(b, i) > 0)
            snprintf(wrong + strlen(wrong), sizeof wrong - strlen(wrong), " balance.%s=0",
                     mo_balance_names[i]);
    if (b->bias_update_rate > 0)
        snprintf(wrong + strlen(wrong), sizeof wrong - strlen(wrong), " balance.bias_update_rate=0");
    if (!*wrong) return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "model.num_local_experts 0 is a dense model with no router to balance; it needs%s",
                    wrong);
}

mo_status mo__balance_check(const mo_model_config *c, const mo_balance_config *b)
{
    if (c->num_local_experts == 0) return check_dense(b);
    const mo_router_info *router = mo_router_describe(c->router);
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        double coefficient = mo_balance_coefficient(b, kind);
        const char *why = coefficient > 0 ? mo_balance_objection(kind, c->router) : NULL;
        if (why)
            return mo_error(MO_E_CONFIG, "balance.%s %g does not go with model.router %s: %s; set it to 0",
                            mo_balance_names[kind], coefficient, router->name, why);
    }
    if (b->bias_update_rate > 0 && !(router->traits & MO_ROUTER_BIAS))
        return mo_error(
            MO_E_CONFIG,
            "balance.bias_update_rate %g moves the selection bias of model.router sigmoid; router %s "
            "has none, and needs 0",
            b->bias_update_rate, router->name);
    return MO_OK;
}

/* ---- the losses of a graph ---- */

static void add(mo__builder *b, int kind, mo_tensor *loss, double coefficient)
{
    int index = mo_graph_loss(b->g, loss);
    mo_model_graph *t = b->out;
    t->terms[t->n_terms++] = (struct mo_balance_term){index, kind, coefficient};
}

/* Tokens of one group of this loss. */
static int64_t group_of(const mo__builder *b, int kind)
{
    const mo_model_graph_options *o = b->options;
    bool sequence = mo_balance_scope(&o->balance, kind) == MO_SCOPE_SEQUENCE;
    return o->sequence_length * (sequence ? 1 : o->batch_size);
}

static mo_tensor *layer_loss(mo__builder *b, int kind, const mo__routing *r)
{
    mo_tensor *tokens = b->out->tokens;
    int64_t group = group_of(b, kind);
    switch ((mo_balance_kind)kind) {
    case MO_BALANCE_SWITCH:
        return mo_balance_switch(b->g, r->p_NE, r->ids_NK, tokens, group);
    case MO_BALANCE_GSHARD:
        return mo_balance_gshard(b->g, r->p_NE, r->ids_NK, tokens, group);
    case MO_BALANCE_SEQUENCE: /* DeepSeek-V3, eq. 18: choices without the bias */
        return mo_balance_switch(b->g, r->p_NE, r->plain_NK ? r->plain_NK : r->ids_NK, tokens, group);
    case MO_BALANCE_IMPORTANCE:
        return mo_balance_importance(b->g, r->w_NK, r->ids_NK, tokens, b->model->config.num_local_experts,
                                     group);
    case MO_BALANCE_LOAD:
        return r->first.z_NE ? mo_balance_load_two(b->g, &r->first, &r->noisy, tokens, group)
                             : mo_balance_load(b->g, &r->noisy, tokens, group);
    case MO_BALANCE_Z_LOSS:
        return mo_z_loss(b->g, r->z_NE, tokens);
    case MO_BALANCE_MIXTRAL:
    case MO_BALANCE_LOSSES:
        break;
    }
    return NULL;
}

void mo__balance_layer(mo__builder *b, const mo__routing *r)
{
    if (b->options->kind != MO_GRAPH_TRAIN) return;
    double layers = (double)mo_model_config_moe_layers(&b->model->config);
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        double coefficient = mo_balance_coefficient(&b->options->balance, kind);
        if (coefficient > 0 && kind != MO_BALANCE_MIXTRAL)
            add(b, kind, layer_loss(b, kind, r), coefficient / layers);
    }
}

void mo__balance_pooled(mo__builder *b)
{
    int layers = b->n_routings;
    const mo__routing *r = b->routings;
    double coefficient = b->options->balance.mixtral;
    if (b->options->kind != MO_GRAPH_TRAIN || coefficient <= 0 || layers == 0) return;
    mo_tensor **p = mo_malloc((size_t)layers * sizeof *p), **ids = mo_malloc((size_t)layers * sizeof *ids);
    if (p && ids) {
        for (int l = 0; l < layers; l++) {
            p[l] = r[l].p_NE;
            ids[l] = r[l].ids_NK;
        }
        int64_t group = group_of(b, MO_BALANCE_MIXTRAL);
        add(b, MO_BALANCE_MIXTRAL, mo_balance_mixtral(b->g, layers, p, ids, b->out->tokens, group),
            coefficient);
    } else {
        mo_graph_fail(b->g, MO_E_MEMORY);
    }
    mo_free(p);
    mo_free(ids);
}
