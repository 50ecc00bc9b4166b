/* moe_block.c -- the Mixture-of-Experts block: router, dispatch, experts, combine.
 *   out_n = sum_k w_nk FFN_[id_nk](x_n) + shared(x_n), FFN_e(x) = W2_e (act(W1_e x) * W3_e x) (Mixtral's
 * names; without a gate W2_e act(W1_e x)). w_nk stands before W2, which is linear: W2_e (w_nk (...)). The
 * shared experts are one dense block of their joint width, added with weight 1 (DeepSeekMoE: Dai et al. 2024,
 * arXiv:2401.06066, eq. 9). */
#include "model/build.h"
#include "model/ffn.h"

static const char w1_name[] = "block_sparse_moe.experts.w1.weight";
static const char w2_name[] = "block_sparse_moe.experts.w2.weight";
static const char w3_name[] = "block_sparse_moe.experts.w3.weight";
static const char shared_name[] = "mlp.shared_experts"; /* DeepSeek's */

mo_status mo__moe_declare(mo_model *m, int64_t layer)
{
    const mo_model_config *c = &m->config;
    int64_t E = c->num_local_experts, F = c->moe_intermediate_size, D = c->hidden_size;
    int64_t in[] = {E, F, D}, out[] = {E, D, F};
    double std = c->initializer_range, active = mo_model_config_experts_per_token(c) / (double)E;
    if (mo__router_of(c)->declare) MO_TRY(mo__router_of(c)->declare(m, layer));
    MO_TRY(mo__declare_layer(m, layer, w1_name, 3, in, MO_INIT_NORMAL, std, active));
    MO_TRY(mo__declare_layer(m, layer, w2_name, 3, out, MO_INIT_NORMAL, mo__residual_std(c), active));
    if (mo__gated(c->hidden_act))
        MO_TRY(mo__declare_layer(m, layer, w3_name, 3, in, MO_INIT_NORMAL, std, active));
    return c->n_shared_experts ? mo__ffn_declare(m, layer, shared_name, c->n_shared_experts * F) : MO_OK;
}

static void record(mo__builder *b, int64_t layer, const mo__routing *r)
{
    if (mo__decodes(b)) return;
    mo_router_view view = {r->z_NE, r->p_NE, r->ids_NK, r->kept_NK, r->w_NK, b->out->tokens};
    mo_tensor *stats = mo_router_stats(b->g, &view, b->model->config.num_local_experts);
    mo_graph_output(b->g, stats);
    if (b->options->kind == MO_GRAPH_LOSS) mo_graph_output(b->g, r->ids_NK);
    if (b->options->routing) mo_graph_output(b->g, r->w_NK);
    if (b->options->routing && r->p_NE) mo_graph_output(b->g, r->p_NE);
    b->out->routing[b->out->n_routing++] = (mo_layer_routing){(int)layer, stats, r->ids_NK, r->w_NK, r->p_NE};
}

mo_tensor *mo__moe_build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    double eps = b->options->kind == MO_GRAPH_TRAIN ? c->router_jitter_noise : 0;
    mo_tensor *jittered = mo_jitter(b->g, x_ND, eps, (int)layer);
    mo_tensor *routed = c->jitter_experts ? jittered : x_ND;
    mo__routing r = mo__router_of(c)->build(b, layer, jittered);
    mo__capacity_apply(b, &r);
    b->routings[b->n_routings++] = r;
    mo__balance_layer(b, &r);
    record(b, layer, &r);
    mo_dispatch_map map = mo_dispatch(b->g, r.kept_NK, c->num_local_experts, r.rows);
    mo_tensor *x_RD = mo_gather(b->g, routed, &map);
    mo_tensor *gate = mo__adapted_experts(b, layer, w1_name, x_RD, &map), *up = NULL;
    if (mo__gated(c->hidden_act)) up = mo__adapted_experts(b, layer, w3_name, x_RD, &map);
    mo_tensor *w_R = mo_row_weights(b->g, r.w_NK, &map);
    mo_tensor *h_RF = mo__activate(b->g, c->hidden_act, gate, up, w_R);
    mo_tensor *y_RD = mo__adapted_experts(b, layer, w2_name, h_RF, &map);
    mo_tensor *y_ND = mo_combine(b->g, y_RD, &map);
    return c->n_shared_experts ? mo_add(b->g, y_ND, mo__ffn_build(b, layer, shared_name, x_ND)) : y_ND;
}
