/* balance.c -- which balancing losses a graph has, and the one scale that all of them share.
 *
 * Every loss op gives the sum over its groups of (valid tokens of the group) * loss(group). The step's loss
 * is coefficient / (MoE layers * valid tokens of the step) * sum over layers and microbatches, so it does not
 * change with depth or with how a step is cut; `mixtral` pools the layers itself. */
#include "model/build.h"

enum { SWITCH, MIXTRAL, IMPORTANCE, LOAD, Z_LOSS };
const char *const mo_balance_names[MO_BALANCE_LOSSES] = {"switch", "mixtral", "importance", "load", "z_loss"};

double mo_balance_coefficient(const mo_balance_config *c, int kind)
{
    const double all[MO_BALANCE_LOSSES] = {[SWITCH] = c->switch_loss,
                                           [MIXTRAL] = c->mixtral,
                                           [IMPORTANCE] = c->importance,
                                           [LOAD] = c->load,
                                           [Z_LOSS] = c->z_loss};
    return all[kind];
}

static void add(mo__builder *b, int kind, mo_tensor *loss, double coefficient)
{
    int index = mo_graph_loss(b->g, loss);
    mo_model_graph *t = b->out;
    t->terms[t->n_terms++] = (struct mo_balance_term){index, kind, coefficient};
}

static int64_t group_of(const mo__builder *b)
{
    const mo_model_graph_options *o = b->options;
    return o->balance.scope == MO_SCOPE_SEQUENCE ? o->sequence_length : o->sequence_length * o->batch_size;
}

void mo__balance_layer(mo__builder *b, const mo__routing *r)
{
    if (b->options->kind != MO_GRAPH_TRAIN) return;
    const mo_balance_config *c = &b->options->balance;
    int64_t group = group_of(b), E = b->model->config.num_local_experts;
    mo_tensor *tokens = b->out->tokens;
    double layers = (double)mo_model_config_moe_layers(&b->model->config);
    if (c->switch_loss > 0)
        add(b, SWITCH, mo_balance_switch(b->g, r->p_NE, r->ids_NK, tokens, group), c->switch_loss / layers);
    if (c->importance > 0)
        add(b, IMPORTANCE, mo_balance_importance(b->g, r->w_NK, r->ids_NK, tokens, E, group),
            c->importance / layers);
    if (c->load > 0) add(b, LOAD, mo_balance_load(b->g, &r->noisy, tokens, group), c->load / layers);
    if (c->z_loss > 0) add(b, Z_LOSS, mo_z_loss(b->g, r->z_NE, tokens), c->z_loss / layers);
}

void mo__balance_pooled(mo__builder *b)
{
    int layers = b->n_routings;
    const mo__routing *r = b->routings;
    if (b->options->kind != MO_GRAPH_TRAIN || b->options->balance.mixtral <= 0 || layers == 0) return;
    mo_tensor **p = mo_malloc((size_t)layers * sizeof *p), **ids = mo_malloc((size_t)layers * sizeof *ids);
    if (p && ids) {
        for (int l = 0; l < layers; l++) {
            p[l] = r[l].p_NE;
            ids[l] = r[l].ids_NK;
        }
        add(b, MIXTRAL, mo_balance_mixtral(b->g, layers, p, ids, b->out->tokens, group_of(b)),
            b->options->balance.mixtral);
    } else {
        mo_graph_fail(b->g, MO_E_MEMORY);
    }
    mo_free(p);
    mo_free(ids);
}
