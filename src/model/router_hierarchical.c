/* router_hierarchical.c -- noisy top-k gating in two levels (Shazeer et al. 2017, arXiv:1701.06538, appendix
 * B): the first gate keeps topk_group of the n_group groups of neighbouring experts, and in each of them its
 * own gate keeps K2 = num_experts_per_tok / topk_group experts. Both are as in router_noisy_topk.c, and a
 * weight is the product of both (eq. 12). All four matrices start at zero (appendix A). */
#include "model/build.h"

static const char group_gate[] = "block_sparse_moe.gate_group.weight";
static const char group_noise[] = "block_sparse_moe.gate_group_noise.weight";
static const char gate[] = "block_sparse_moe.gate.weight";
static const char gate_noise[] = "block_sparse_moe.gate_noise.weight";

/* Layers are fewer than this: the noise of the first level is that of layers beyond. */
enum { GROUPS_OF = 1 << 20 };

static mo_status check(const mo_model_config *c)
{
    long long K = c->num_experts_per_tok, G = c->n_group, J = c->topk_group;
    if (G < 2)
        return mo_error(MO_E_CONFIG,
                        "model.router hierarchical needs model.n_group of at least 2, it is %lld; one level "
                        "is noisy_topk",
                        G);
    if (J < 2)
        return mo_error(
            MO_E_CONFIG,
            "model.topk_group %lld with model.router hierarchical gives every chosen group weight "
            "1 (a softmax over one) and the first gate no gradient; it needs at least 2",
            J);
    if (K % J != 0)
        return mo_error(MO_E_CONFIG,
                        "model.num_experts_per_tok %lld is not divisible by model.topk_group %lld; router "
                        "hierarchical takes as many experts of each chosen group",
                        K, J);
    if (K / J < 2)
        return mo_error(
            MO_E_CONFIG,
            "model.num_experts_per_tok %lld is one expert of each of model.topk_group %lld groups: a softmax "
            "over one is 1 and gives the second gate no gradient; set num_experts_per_tok to at least %lld",
            K, J, 2 * J);
    return MO_OK;
}

static mo_status declare(mo_model *m, int64_t layer)
{
    const mo_model_config *c = &m->config;
    int64_t first[] = {c->n_group, c->hidden_size}, second[] = {c->num_local_experts, c->hidden_size};
    MO_TRY(mo__declare_layer(m, layer, group_gate, 2, first, MO_INIT_ZERO, 0, 1));
    MO_TRY(mo__declare_layer(m, layer, group_noise, 2, first, MO_INIT_ZERO, 0, 1));
    MO_TRY(mo__declare_layer(m, layer, gate, 2, second, MO_INIT_ZERO, 0, 1));
    return mo__declare_layer(m, layer, gate_noise, 2, second, MO_INIT_ZERO, 0, 1);
}

/* Logits, with noise and without, of one level; the choice is the caller's. */
static mo_noisy_choice level(mo__builder *b, int64_t layer, mo_tensor *x_ND, const char *weight,
                             const char *noise, int stream)
{
    mo_noisy_choice l = {0};
    l.z_NE = mo_linear(b->g, x_ND, mo__layer_param(b, layer, weight));
    mo_tensor *s = mo_linear(b->g, x_ND, mo__layer_param(b, layer, noise));
    l.h_NE = mo_noisy_logits(b->g, l.z_NE, s, b->model->config.noise_floor, stream, &l.sigma_NE);
    return l;
}

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    int64_t J = c->topk_group;
    mo__routing r = {0};
    r.first = level(b, layer, x_ND, group_gate, group_noise, (int)layer + GROUPS_OF);
    r.first.ids_NK = mo_topk(b->g, r.first.h_NE, b->out->tokens, J);
    r.noisy = level(b, layer, x_ND, gate, gate_noise, (int)layer);
    r.ids_NK = mo_topk_within(b->g, r.noisy.h_NE, r.first.ids_NK, c->n_group, c->num_experts_per_tok / J);
    r.noisy.ids_NK = r.ids_NK;
    r.z_NE = mo_two_level_logits(b->g, r.first.z_NE, r.noisy.z_NE);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    mo_tensor *w_NJ = mo_gate(b->g, r.first.h_NE, r.first.ids_NK, MO_GATE_SOFTMAX);
    r.w_NK = mo_gate_product(b->g, w_NJ, r.noisy.h_NE, r.ids_NK);
    return r;
}

const mo__router mo__router_hierarchical = {
    .info =
        {.name = "hierarchical",
         .scores = "noisy_topk's z and h, for the groups and for the experts of each group; "
                   "p = softmax(z_group) softmax(z_expert within its group)",
         .selection = "the topk_group groups with the largest h, in each the K / topk_group experts with the "
                      "largest h",
         .weights = "softmax over the selected groups times softmax over the selected experts of a group",
         .source = "Shazeer et al. 2017, arXiv:1701.06538, appendix B, eq. 12",
         .about =
             "Noisy top-k gating in two levels, for so many experts that one gate over all of them spreads "
             "too thin. A token visits K / topk_group experts in each of topk_group groups; both numbers "
             "must be at least 2, for a softmax over one is 1 and gives no gradient. balance.importance and "
             "balance.load balance it as in the paper (eq. 13 and 14).",
         .traits =
             MO_ROUTER_SCORES | MO_ROUTER_NOISE | MO_ROUTER_CAPACITY | MO_ROUTER_GROUPS | MO_ROUTER_LEVELS,
         .normalises = MO_CHOICE_TRUE},
    .check = check,
    .declare = declare,
    .build = build};
