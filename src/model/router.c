/* router.c -- the table of routers, and the rules that tie a router to the rest of a config. */
#include "model/build.h"

static const mo__router *const routers[MO_ROUTERS] = {
    [MO_ROUTER_TOPK] = &mo__router_topk,
    [MO_ROUTER_NOISY_TOPK] = &mo__router_noisy_topk,
    [MO_ROUTER_SWITCH] = &mo__router_switch,
    [MO_ROUTER_GSHARD] = &mo__router_gshard,
    [MO_ROUTER_EXPERT_CHOICE] = &mo__router_expert_choice,
    [MO_ROUTER_SIGMOID] = &mo__router_sigmoid,
    [MO_ROUTER_SOFT] = &mo__router_soft,
    [MO_ROUTER_HIERARCHICAL] = &mo__router_hierarchical,
    [MO_ROUTER_HASH] = &mo__router_hash,
    [MO_ROUTER_RANDOM] = &mo__router_random,
};

const char *const mo_router_names[] = {
    [MO_ROUTER_TOPK] = "topk",
    [MO_ROUTER_NOISY_TOPK] = "noisy_topk",
    [MO_ROUTER_SWITCH] = "switch",
    [MO_ROUTER_GSHARD] = "gshard",
    [MO_ROUTER_EXPERT_CHOICE] = "expert_choice",
    [MO_ROUTER_SIGMOID] = "sigmoid",
    [MO_ROUTER_SOFT] = "soft",
    [MO_ROUTER_HIERARCHICAL] = "hierarchical",
    [MO_ROUTER_HASH] = "hash",
    [MO_ROUTER_RANDOM] = "random",
    [MO_ROUTERS] = NULL,
};

const mo__router *mo__router_of(const mo_model_config *c)
{
    return routers[c->router];
}

const mo_router_info *mo_router_describe(int router)
{
    return &routers[router]->info;
}

static mo_status check_experts(const mo_model_config *c, const mo_router_info *info)
{
    long long E = c->num_local_experts, K = c->num_experts_per_tok,
              own = info->experts < 0 ? E : info->experts;
    if (own > 0 && K != own)
        return mo_error(
            MO_E_CONFIG,
            "model.num_experts_per_tok %lld does not go with model.router %s, which sends each token "
            "to %s%lld; set it to 0, the router's own number, or choose another router",
            K, info->name, info->experts < 0 ? "all " : "", own);
    if (K > E)
        return mo_error(MO_E_CONFIG,
                        "model.num_experts_per_tok %lld > model.num_local_experts %lld; a token can visit "
                        "each expert once at most",
                        K, E);
    return MO_OK;
}

/* norm_topk_prob, and weights that would always be 1. */
static mo_status check_weights(const mo_model_config *c, const mo_router_info *info)
{
    if (info->normalises != MO_CHOICE_DEFAULT && c->norm_topk_prob != info->normalises)
        return mo_error(
            MO_E_CONFIG,
            "model.norm_topk_prob %s does not go with model.router %s, whose weights are %s; set it to "
            "default",
            mo_choice_names[c->norm_topk_prob], info->name, info->weights);
    if (c->num_experts_per_tok > 1 || c->num_local_experts == 1 || c->norm_topk_prob == MO_CHOICE_FALSE ||
        !(info->traits & MO_ROUTER_SCORES))
        return MO_OK;
    return mo_error(
        MO_E_CONFIG,
        "model.num_experts_per_tok 1 with weights normalised after selection gives every token weight 1 "
        "and the router no gradient; %s%s",
        info->normalises == MO_CHOICE_TRUE ? info->name : "set model.norm_topk_prob to false",
        info->normalises == MO_CHOICE_TRUE ? " needs num_experts_per_tok of at least 2" : "");
}

static mo_status check_groups(const mo_model_config *c, const mo_router_info *info)
{
    long long E = c->num_local_experts, K = c->num_experts_per_tok, G = c->n_group, J = c->topk_group;
    if (!(info->traits & MO_ROUTER_GROUPS)) {
        if (G == 1 && J == 1) return MO_OK;
        return mo_error(
            MO_E_CONFIG,
            "model.%s %lld does not go with model.router %s, which knows no groups; set it to %d, "
            "or choose sigmoid or hierarchical",
            G > 1 ? "n_group" : "topk_group", G > 1 ? G : J, info->name, G > 1);
    }
    if (E % G != 0)
        return mo_error(MO_E_CONFIG,
                        "model.n_group %lld does not divide model.num_local_experts %lld; groups are of one "
                        "size",
                        G, E);
    if (J > G)
        return mo_error(MO_E_CONFIG, "model.topk_group %lld > model.n_group %lld; only so many can be chosen",
                        J, G);
    if (K > E / G * J)
        return mo_error(
            MO_E_CONFIG,
            "model.num_experts_per_tok %lld > %lld, the experts of model.topk_group %lld groups of "
            "%lld (num_local_experts %lld / n_group %lld)",
            K, E / G * J, J, E / G, E, G);
    return MO_OK;
}

/* Settings that this router would pass over. */
static mo_status check_unused(const mo_model_config *c, const mo_router_info *info)
{
    if (c->routed_scaling_factor != 1 && !(info->traits & MO_ROUTER_BIAS))
        return mo_error(MO_E_CONFIG,
                        "model.routed_scaling_factor %g does not go with model.router %s; it is for sigmoid, "
                        "whose weights it scales",
                        c->routed_scaling_factor, info->name);
    if (c->router_jitter_noise > 0 && !(info->traits & MO_ROUTER_SCORES))
        return mo_error(
            MO_E_CONFIG,
            "model.router_jitter_noise %g does not go with model.router %s, which does not look at "
            "its input",
            c->router_jitter_noise, info->name);
    if (c->jitter_experts && c->router_jitter_noise == 0)
        return mo_error(
            MO_E_CONFIG,
            "model.jitter_experts true has no jitter to give; set model.router_jitter_noise above "
            "0");
    return MO_OK;
}

mo_status mo__router_check(const mo_model_config *c)
{
    const mo__router *r = mo__router_of(c);
    MO_TRY(check_experts(c, &r->info));
    MO_TRY(check_weights(c, &r->info));
    MO_TRY(check_groups(c, &r->info));
    MO_TRY(check_unused(c, &r->info));
    MO_TRY(mo__capacity_check(c, &r->info));
    return r->check ? r->check(c) : MO_OK;
}

mo_status mo_model_decode_check(const mo_model_config *c)
{
    const mo_router_info *info = mo_router_describe(c->router);
    if (c->num_local_experts == 0 || !(info->traits & MO_ROUTER_FUTURE)) return MO_OK;
    return mo_error(
        MO_E_CONFIG,
        "a model with model.router %s cannot write text: its experts choose among all tokens at "
        "once, so that the experts of a token hang on the tokens after it, which are not there yet",
        info->name);
}

static const char logits_name[] = "block_sparse_moe.gate.weight";

mo_status mo__router_logits_declare(mo_model *m, int64_t layer)
{
    const mo_model_config *c = &m->config;
    int64_t dim[] = {c->num_local_experts, c->hidden_size};
    return mo__declare_layer(m, layer, logits_name, 2, dim, MO_INIT_NORMAL, c->initializer_range, 1);
}

mo_tensor *mo__router_logits(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    return mo_linear(b->g, x_ND, mo__layer_param(b, layer, logits_name));
}
