/* hf_express.c -- which of Hugging Face's architectures computes what a model of ours does. */
#include "hf/hf_config.h"

static mo_status cannot(const char *key, const char *value, const char *wanted)
{
    return mo_error(MO_E_UNSUPPORTED,
                    "model.%s is %s, and the architectures of Hugging Face that are written here have %s",
                    key, value, wanted);
}

static mo_status cannot_number(const char *key, double value, const char *wanted)
{
    char shown[40];
    snprintf(shown, sizeof shown, "%g", value);
    return cannot(key, shown, wanted);
}

static mo_status check_parts(const mo_model_config *c)
{
    if (c->norm != MO_NORM_RMS) return cannot("norm", mo_norm_names[c->norm], "rmsnorm");
    if (c->hidden_act != MO_ACT_SWIGLU)
        return cannot("hidden_act", mo_activation_names[c->hidden_act], "swiglu");
    if (c->qk_norm != MO_QK_NORM_NONE) return cannot("qk_norm", mo_qk_norm_names[c->qk_norm], "none");
    if (c->clip_qkv > 0) return cannot_number("clip_qkv", c->clip_qkv, "no limit");
    return MO_OK;
}

static mo_status check_experts(const mo_model_config *c)
{
    if (c->router != MO_ROUTER_TOPK) return cannot("router", mo_router_names[c->router], "topk");
    if (c->norm_topk_prob != MO_CHOICE_TRUE)
        return cannot("norm_topk_prob", "false", "weights that are scaled to sum to 1 (Mixtral)");
    if (c->n_shared_experts > 0)
        return cannot_number("n_shared_experts", (double)c->n_shared_experts, "no shared experts (Mixtral)");
    if (c->first_k_dense_replace > 0)
        return cannot_number("first_k_dense_replace", (double)c->first_k_dense_replace,
                             "experts in all layers (Mixtral)");
    if (c->moe_layer_freq > 1)
        return cannot_number("moe_layer_freq", (double)c->moe_layer_freq, "experts in all layers (Mixtral)");
    return MO_OK;
}

static void warn_of(const char *key, double value, const char *there)
{
    mo_log(MO_LOG_WARNING, "model.%s is %g, which config.json cannot say: %s", key, value, there);
}

static void warn_of_training(const mo_model_config *c)
{
    if (c->embd_pdrop > 0) warn_of("embd_pdrop", c->embd_pdrop, "training there has no such dropout");
    if (c->resid_pdrop > 0) warn_of("resid_pdrop", c->resid_pdrop, "training there has no such dropout");
    if (c->num_local_experts == 0) return;
    if (c->capacity_factor > 0)
        warn_of("capacity_factor", c->capacity_factor, "no token is dropped there, in training or otherwise");
    else if (c->eval_capacity_factor > 0)
        warn_of("eval_capacity_factor", c->eval_capacity_factor, "no token is dropped there");
    if (c->router_jitter_noise > 0 && !c->jitter_experts)
        mo_log(MO_LOG_WARNING,
               "model.jitter_experts is false, which config.json cannot say: in training there the experts "
               "get the jitter of router_jitter_noise too");
}

mo_status mo__hf_express(const mo_model_config *c, int like, mo__architecture *out)
{
    MO_TRY(check_parts(c));
    if (c->num_local_experts > 0) {
        MO_TRY(check_experts(c));
        *out = MO__MIXTRAL;
    } else {
        bool keeps = like == MO__MISTRAL || (like == MO__LLAMA && c->sliding_window == 0);
        *out = keeps ? (mo__architecture)like : c->sliding_window > 0 ? MO__MISTRAL : MO__LLAMA;
    }
    warn_of_training(c);
    return MO_OK;
}
