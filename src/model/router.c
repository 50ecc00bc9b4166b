/* router.c -- the table of routers, and the rules that tie a router to the rest of a config. */
#include "model/build.h"

static const mo__router *const routers[MO_ROUTERS] = {
    [MO_ROUTER_TOPK] = &mo__router_topk,
    [MO_ROUTER_NOISY_TOPK] = &mo__router_noisy_topk,
};

const char *const mo_router_names[] = {
    [MO_ROUTER_TOPK] = "topk",
    [MO_ROUTER_NOISY_TOPK] = "noisy_topk",
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
            "to %s%lld; leave it out, or choose another router",
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
        return mo_error(MO_E_CONFIG,
                        "model.norm_topk_prob %s does not go with model.router %s, whose weights are %s",
                        mo_choice_names[c->norm_topk_prob], info->name, info->weights);
    if (c->num_experts_per_tok > 1 || c->num_local_experts == 1 || c->norm_topk_prob == MO_CHOICE_FALSE)
        return MO_OK;
    return mo_error(
        MO_E_CONFIG,
        "model.num_experts_per_tok 1 with weights normalised after selection gives every token weight 1 "
        "and the router no gradient; %s%s",
        info->normalises == MO_CHOICE_TRUE ? info->name : "set model.norm_topk_prob to false",
        info->normalises == MO_CHOICE_TRUE ? " needs num_experts_per_tok of at least 2" : "");
}

mo_status mo__router_check(const mo_model_config *c)
{
    const mo__router *r = mo__router_of(c);
    MO_TRY(check_experts(c, &r->info));
    MO_TRY(check_weights(c, &r->info));
    return r->check ? r->check(c) : MO_OK;
}
