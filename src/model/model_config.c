/* model_config.c -- what 0 stands for, and the rules that tie two settings together. */
#include "moira/model.h"

void mo_model_config_resolve(mo_model_config *c)
{
    if (c->num_key_value_heads == 0) c->num_key_value_heads = c->num_attention_heads;
    if (c->head_dim == 0 && c->num_attention_heads > 0) c->head_dim = c->hidden_size / c->num_attention_heads;
    if (c->moe_intermediate_size == 0) c->moe_intermediate_size = c->intermediate_size;
}

static mo_status check_attention(const mo_model_config *c)
{
    long long hidden = c->hidden_size, heads = c->num_attention_heads, kv = c->num_key_value_heads;
    if (c->head_dim == 0 && hidden % heads != 0)
        return mo_error(
            MO_E_CONFIG,
            "model.hidden_size %lld is not divisible by model.num_attention_heads %lld; choose a multiple, "
            "or give model.head_dim",
            hidden, heads);
    if (kv > 0 && heads % kv != 0)
        return mo_error(MO_E_CONFIG,
                        "model.num_attention_heads %lld is not a multiple of model.num_key_value_heads %lld",
                        heads, kv);
    long long dim = c->head_dim ? c->head_dim : hidden / heads;
    if (dim % 2 != 0)
        return mo_error(
            MO_E_CONFIG,
            "model.head_dim is %lld (hidden_size %lld / num_attention_heads %lld unless given); rotary "
            "positions need an even one",
            dim, hidden, heads);
    return MO_OK;
}

static mo_status check_balance(const mo_model_config *c, const mo_balance_config *b)
{
    const struct {
        const char *key;
        double coefficient;
    } all[] = {{"balance.switch", b->switch_loss},
               {"balance.mixtral", b->mixtral},
               {"balance.importance", b->importance},
               {"balance.load", b->load},
               {"balance.z_loss", b->z_loss}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].coefficient > 0 && c->num_local_experts == 0)
            return mo_error(
                MO_E_CONFIG,
                "%s is %g, but model.num_local_experts 0 is a dense model with no router to balance",
                all[i].key, all[i].coefficient);
    if (b->load > 0 && c->router != MO_ROUTER_NOISY_TOPK)
        return mo_error(
            MO_E_CONFIG,
            "balance.load is %g, but the load loss needs the noise of model.router noisy_topk (Shazeer 2017)",
            b->load);
    return MO_OK;
}

mo_status mo_model_config_check(const mo_model_config *c, const mo_balance_config *b)
{
    MO_TRY(check_attention(c));
    if (b) MO_TRY(check_balance(c, b));
    if (c->num_local_experts == 0) return MO_OK;
    long long E = c->num_local_experts, K = c->num_experts_per_tok;
    if (K > E)
        return mo_error(MO_E_CONFIG,
                        "model.num_experts_per_tok %lld > model.num_local_experts %lld; a token can visit "
                        "each expert once at most",
                        K, E);
    bool normalised = c->router == MO_ROUTER_NOISY_TOPK || c->norm_topk_prob;
    if (K == 1 && E > 1 && normalised)
        return mo_error(
            MO_E_CONFIG,
            "model.num_experts_per_tok 1 with weights normalised after selection gives every token weight 1 "
            "and the router no gradient; %s",
            c->router == MO_ROUTER_NOISY_TOPK ? "noisy_topk needs num_experts_per_tok of at least 2"
                                              : "set model.norm_topk_prob to false");
    return MO_OK;
}
