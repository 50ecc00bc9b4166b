/* router_noisy_topk.c -- noisy top-k gating (Shazeer et al. 2017, arXiv:1701.06538, eq. 3-5):
 *   h = x Wg^T + eps * (softplus(x Wnoise^T) + noise_floor), eps ~ N(0, 1);  weights: softmax over the K
 * largest h. Both matrices start at zero (appendix A), so that the first steps spread tokens by noise alone.
 */
#include "model/build.h"

static mo_status declare(mo_model *m, int64_t layer)
{
    int64_t dim[] = {m->config.num_local_experts, m->config.hidden_size};
    MO_TRY(mo__declare_layer(m, layer, "block_sparse_moe.gate.weight", 2, dim, MO_INIT_ZERO, 0, 1));
    return mo__declare_layer(m, layer, "block_sparse_moe.gate_noise.weight", 2, dim, MO_INIT_ZERO, 0, 1);
}

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    mo__routing r = {0};
    mo_tensor *sigma_NE;
    r.z_NE = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "block_sparse_moe.gate.weight"));
    mo_tensor *s_NE = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "block_sparse_moe.gate_noise.weight"));
    mo_tensor *h_NE = mo_noisy_logits(b->g, r.z_NE, s_NE, c->noise_floor, (int)layer, &sigma_NE);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    r.ids_NK = mo_topk(b->g, h_NE, b->out->tokens, c->num_experts_per_tok);
    r.w_NK = mo_gate(b->g, h_NE, r.ids_NK, MO_GATE_SOFTMAX);
    r.noisy = (mo_noisy_choice){r.z_NE, h_NE, sigma_NE, r.ids_NK};
    return r;
}

const mo__router mo__router_noisy_topk = {
    .info =
        {.name = "noisy_topk",
         .scores = "z = x Wg; in training h = z + eps (softplus(x Wnoise) + noise_floor), eps ~ N(0, 1), "
                   "else h = z",
         .selection = "the K largest h",
         .weights = "a softmax over the selected h",
         .source = "Shazeer et al. 2017, arXiv:1701.06538, eq. 3-5",
         .about =
             "The first sparse router: noise of a learned size explores the experts in training. Both "
             "matrices "
             "start at zero, so that the first steps spread tokens by noise alone. The paper balances it "
             "with balance.importance and balance.load, 0.1 each. K must be at least 2: a softmax over one "
             "selected expert is 1 and gives no gradient.",
         .traits = MO_ROUTER_SCORES | MO_ROUTER_NOISE | MO_ROUTER_CAPACITY,
         .normalises = MO_CHOICE_TRUE},
    .declare = declare,
    .build = build};
