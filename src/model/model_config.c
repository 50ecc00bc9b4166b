/* model_config.c -- what 0 stands for, and the rules that tie two settings together. */
#include <math.h>
#include <string.h>

#include "model/build.h"

const char *const mo_activation_names[] = {[MO_ACT_SWIGLU] = "swiglu",
                                           [MO_ACT_GEGLU] = "geglu",
                                           [MO_ACT_GELU] = "gelu",
                                           [MO_ACT_RELU] = "relu",
                                           NULL};
const char *const mo_norm_names[] = {[MO_NORM_RMS] = "rmsnorm", [MO_NORM_LAYER] = "layernorm", NULL};
const char *const mo_qk_norm_names[] = {
    [MO_QK_NORM_NONE] = "none", [MO_QK_NORM_LAYER] = "layer", [MO_QK_NORM_HEAD] = "head", NULL};
const char *const mo_choice_names[] = {
    [MO_CHOICE_FALSE] = "false", [MO_CHOICE_TRUE] = "true", [MO_CHOICE_DEFAULT] = "default", NULL};
const char *const mo_scope_names[] = {
    [MO_SCOPE_SEQUENCE] = "sequence", [MO_SCOPE_MICROBATCH] = "microbatch", [MO_SCOPE_BATCH] = "batch", NULL};
const char *const mo_loss_scope_names[] = {[MO_LOSS_SCOPE_DEFAULT] = "default",
                                           [MO_LOSS_SCOPE_SEQUENCE] = "sequence",
                                           [MO_LOSS_SCOPE_MICROBATCH] = "microbatch",
                                           [MO_LOSS_SCOPE_BATCH] = "batch",
                                           NULL};
const char *const mo_drop_names[] = {
    [MO_DROP_POSITION] = "position", [MO_DROP_PROBABILITY] = "probability", NULL};

static void or_else(int64_t *field, int64_t value)
{
    if (*field == 0) *field = value;
}

void mo_model_config_settle_router(mo_model_config *c)
{
    const mo_router_info *info = mo_router_describe(c->router);
    if ((info->traits & MO_ROUTER_FUTURE) && c->capacity_factor > 0) /* how many a token has on average */
        or_else(&c->num_experts_per_tok,
                (int64_t)fmin(fmax(round(c->capacity_factor), 1), (double)c->num_local_experts));
    or_else(&c->num_experts_per_tok, info->experts < 0           ? c->num_local_experts
                                     : info->experts > 0         ? info->experts
                                     : c->num_local_experts == 1 ? 1
                                                                 : 2);
    if (c->norm_topk_prob == MO_CHOICE_DEFAULT)
        c->norm_topk_prob = info->normalises == MO_CHOICE_DEFAULT ? MO_CHOICE_TRUE : info->normalises;
}

void mo_model_config_resolve(mo_model_config *c)
{
    or_else(&c->num_key_value_heads, c->num_attention_heads);
    if (c->num_attention_heads > 0) or_else(&c->head_dim, c->hidden_size / c->num_attention_heads);
    or_else(&c->moe_intermediate_size, c->intermediate_size);
    or_else(&c->moe_layer_freq, 1);
    mo_model_config_settle_router(c);
    or_else(&c->n_group, 1);
    or_else(&c->topk_group, c->n_group);
    if (c->routed_scaling_factor == 0) c->routed_scaling_factor = 1;
}

bool mo_model_config_is_moe(const mo_model_config *c, int64_t layer)
{
    return c->num_local_experts > 0 && layer >= c->first_k_dense_replace && layer % c->moe_layer_freq == 0;
}

int64_t mo_model_config_moe_layers(const mo_model_config *c)
{
    int64_t layers = 0;
    for (int64_t l = 0; l < c->num_hidden_layers; l++) layers += mo_model_config_is_moe(c, l);
    return layers;
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

/* Experts that no layer would have; of a resolved config. */
static mo_status check_layers(const mo_model_config *c)
{
    long long E = c->num_local_experts, shared = c->n_shared_experts;
    if (E == 0 && shared > 0)
        return mo_error(
            MO_E_CONFIG,
            "model.n_shared_experts %lld stand beside routed experts, but model.num_local_experts "
            "is 0, a dense model; set it to 0 too, or give the model experts",
            shared);
    if (E > 0 && mo_model_config_moe_layers(c) == 0)
        return mo_error(
            MO_E_CONFIG,
            "model.first_k_dense_replace %lld and model.moe_layer_freq %lld leave none of the %lld layers "
            "to the %lld experts: a layer has them if its number, from 0, is at least the first and a "
            "multiple of the second; lower one, or set model.num_local_experts to 0",
            (long long)c->first_k_dense_replace, (long long)c->moe_layer_freq,
            (long long)c->num_hidden_layers, E);
    return MO_OK;
}

/* What a config file's ranges guarantee, for callers who fill the struct themselves. */
static mo_status check_ranges(const mo_model_config *c)
{
    const struct {
        const char *key;
        int64_t value, least;
    } all[] = {{"hidden_size", c->hidden_size, 1},
               {"intermediate_size", c->intermediate_size, 1},
               {"moe_intermediate_size", c->moe_intermediate_size, 0},
               {"num_hidden_layers", c->num_hidden_layers, 1},
               {"num_attention_heads", c->num_attention_heads, 1},
               {"num_key_value_heads", c->num_key_value_heads, 0},
               {"head_dim", c->head_dim, 0},
               {"sliding_window", c->sliding_window, 0},
               {"num_local_experts", c->num_local_experts, 0},
               {"num_experts_per_tok", c->num_experts_per_tok, 0},
               {"n_shared_experts", c->n_shared_experts, 0},
               {"first_k_dense_replace", c->first_k_dense_replace, 0},
               {"moe_layer_freq", c->moe_layer_freq, 0},
               {"n_group", c->n_group, 0},
               {"topk_group", c->topk_group, 0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value < all[i].least)
            return mo_error(MO_E_CONFIG, "model.%s is %lld; must be at least %lld", all[i].key,
                            (long long)all[i].value, (long long)all[i].least);
    const struct {
        const char *key;
        double value;
    } drops[] = {{"embd_pdrop", c->embd_pdrop},
                 {"resid_pdrop", c->resid_pdrop},
                 {"attention_dropout", c->attention_dropout},
                 {"router_jitter_noise", c->router_jitter_noise}};
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++)
        if (!(drops[i].value >= 0 && drops[i].value < 1))
            return mo_error(MO_E_CONFIG, "model.%s is %g; must be at least 0 and below 1", drops[i].key,
                            drops[i].value);
    if (!(c->routed_scaling_factor >= 0 && c->routed_scaling_factor <= 1e6))
        return mo_error(MO_E_CONFIG, "model.routed_scaling_factor is %g; must be above 0 and at most 1e6",
                        c->routed_scaling_factor);
    if (c->router < 0 || c->router >= MO_ROUTERS)
        return mo_error(MO_E_CONFIG, "model.router %d is none of the routers", c->router);
    if (c->hidden_act < MO_ACT_SWIGLU || c->hidden_act > MO_ACT_RELU)
        return mo_error(MO_E_CONFIG, "model.hidden_act %d is none of the activations", c->hidden_act);
    if (c->norm < MO_NORM_RMS || c->norm > MO_NORM_LAYER)
        return mo_error(MO_E_CONFIG, "model.norm %d is none of the norms", c->norm);
    if (c->qk_norm < MO_QK_NORM_NONE || c->qk_norm > MO_QK_NORM_HEAD)
        return mo_error(MO_E_CONFIG, "model.qk_norm %d is none of the places of a norm", c->qk_norm);
    if (c->clip_qkv < 0)
        return mo_error(MO_E_CONFIG, "model.clip_qkv is %g; must be more than 0, or null for no limit",
                        c->clip_qkv);
    return MO_OK;
}

mo_status mo_model_config_check(const mo_model_config *c, const mo_balance_config *b)
{
    MO_TRY(check_ranges(c));
    MO_TRY(check_attention(c));
    if (b) MO_TRY(mo__balance_check(c, b));
    mo_model_config resolved = *c;
    mo_model_config_resolve(&resolved);
    MO_TRY(check_layers(&resolved));
    if (c->num_local_experts == 0) return MO_OK;
    return mo__router_check(&resolved);
}
