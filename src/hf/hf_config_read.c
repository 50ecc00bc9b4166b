/* hf_config_read.c -- config.json as a model of ours. Defaults of absent keys are those of transformers 5's
 * MixtralConfig, MistralConfig and LlamaConfig. */
#include "hf/hf_config.h"

#include <math.h>
#include <string.h>

const char *const mo__architecture_names[] = {[MO__MIXTRAL] = "MixtralForCausalLM",
                                              [MO__MISTRAL] = "MistralForCausalLM",
                                              [MO__LLAMA] = "LlamaForCausalLM",
                                              NULL};
const char *const mo__model_types[] = {"mixtral", "mistral", "llama", NULL};

/* What the classes differ in. */
static const struct {
    int64_t intermediate_size, key_value_heads, positions, window; /* key_value_heads 0: as many as heads */
    double theta, eps;
} initial[] = {[MO__MIXTRAL] = {14336, 8, 131072, 0, 1e6, 1e-5},
               [MO__MISTRAL] = {14336, 8, 131072, 4096, 1e4, 1e-6},
               [MO__LLAMA] = {11008, 0, 2048, 0, 1e4, 1e-6}};

/* ---- which architecture ---- */

static int position(const char *word, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(word, words[i]) == 0) return i;
    return -1;
}

static mo_status read_architecture(const mo__hf_json_place *at, mo__architecture *out)
{
    const char *type, *name = "";
    MO_TRY(mo__hf_json_text(at, "model_type", &type));
    const json_t *all = mo__hf_json_get(at, "architectures");
    if (json_is_string(json_array_get(all, 0))) name = json_string_value(json_array_get(all, 0));
    if (!mo__hf_json_plain(name))
        return mo_error(MO_E_FORMAT, "%s: architectures has control characters", at->path);
    int by_name = position(name, mo__architecture_names), by_type = position(type, mo__model_types);
    if (*name && by_name < 0)
        return mo_error(MO_E_UNSUPPORTED,
                        "%s: the architecture is %s; Moira has MixtralForCausalLM, "
                        "MistralForCausalLM and LlamaForCausalLM",
                        at->path, name);
    if (!*name && by_type < 0)
        return mo_error(MO_E_UNSUPPORTED,
                        "%s: names no architecture, and model_type is \"%s\"; Moira has mixtral, "
                        "mistral and llama",
                        at->path, type);
    if (*name && *type && by_type != by_name)
        return mo_error(MO_E_MISMATCH, "%s: the architecture is %s, and model_type is \"%s\"", at->path, name,
                        type);
    *out = (mo__architecture)(*name ? by_name : by_type);
    return MO_OK;
}

/* ---- what there is no way to do ---- */

static mo_status unsupported(const mo__hf_json_place *at, const char *key, const char *found,
                             const char *wanted)
{
    return mo_error(MO_E_UNSUPPORTED, "%s: %s is %s; Moira has %s", at->path, key, found, wanted);
}

static mo_status refuse_true(const mo__hf_json_place *at, const char *key)
{
    bool value;
    MO_TRY(mo__hf_json_bool(at, key, false, &value));
    return value ? unsupported(at, key, "true", "no biases") : MO_OK;
}

static mo_status refuse_given(const mo__hf_json_place *at, const char *key, const char *why)
{
    if (!mo__hf_json_get(at, key)) return MO_OK;
    return mo_error(MO_E_UNSUPPORTED, "%s: has %s: %s", at->path, key, why);
}

static mo_status check_activation(const mo__hf_json_place *at)
{
    const char *act;
    MO_TRY(mo__hf_json_text(at, "hidden_act", &act));
    if (!*act || !strcmp(act, "silu") || !strcmp(act, "swish")) return MO_OK;
    return mo_error(MO_E_UNSUPPORTED, "%s: hidden_act is \"%s\"; Moira takes models with silu (SwiGLU)",
                    at->path, act);
}

/* Old Mistrals slide over all layers; models that mix are of other classes, whatever they call themselves. */
static mo_status check_layer_types(const mo__hf_json_place *at, int64_t window)
{
    const json_t *types = mo__hf_json_get(at, "layer_types");
    const char *all = window ? "sliding_attention" : "full_attention";
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, all) != 0)
            return mo_error(MO_E_UNSUPPORTED,
                            "%s: layer_types[%zu] is \"%s\"; with sliding_window %lld all layers must be "
                            "%s",
                            at->path, i, type ? type : "no text", (long long)window, all);
    }
    return MO_OK;
}

static mo_status check_unsupported(const mo__hf_json_place *at, int64_t window)
{
    MO_TRY(check_activation(at));
    MO_TRY(refuse_true(at, "attention_bias"));
    MO_TRY(refuse_true(at, "mlp_bias"));
    MO_TRY(
        refuse_given(at, "quantization_config", "quantised weights; take the model that was not quantised"));
    MO_TRY(refuse_given(at, "per_layer_config", "layers that differ from each other"));
    return check_layer_types(at, window);
}

/* ---- rotary positions ---- */

/* {"rope_type" or, before, "type": "default", "rope_theta": .., "partial_rotary_factor": 1} */
static mo_status read_rope_object(const mo__hf_json_place *at, const char *key, double *theta)
{
    const json_t *object = mo__hf_json_get(at, key);
    if (!object) return MO_OK;
    if (!json_is_object(object)) return mo_error(MO_E_FORMAT, "%s: %s must be an object", at->path, key);
    mo__hf_json_place in = {at->path, object};
    const char *type, *old;
    double share;
    MO_TRY(mo__hf_json_text(&in, "rope_type", &type));
    MO_TRY(mo__hf_json_text(&in, "type", &old));
    if (!*type) type = old;
    if (*type && strcmp(type, "default") != 0)
        return mo_error(MO_E_UNSUPPORTED, "%s: %s has rope_type \"%s\"; Moira has \"default\"", at->path, key,
                        type);
    MO_TRY(mo__hf_json_real(&in, "partial_rotary_factor", 1, 0, 1, &share));
    if (share != 1)
        return mo_error(MO_E_UNSUPPORTED, "%s: %s has partial_rotary_factor %g; Moira rotates whole heads",
                        at->path, key, share);
    if (!*type && json_object_size(object) > 0 && !mo__hf_json_get(&in, "rope_theta"))
        return mo_error(MO_E_UNSUPPORTED, "%s: %s has no rope_type; Moira has \"default\"", at->path, key);
    return mo__hf_json_real(&in, "rope_theta", *theta, 1e-6, 1e12, theta);
}

/* transformers 5 has rope_parameters; before, rope_theta stood by itself, and rope_scaling beside it. */
static mo_status read_rope(const mo__hf_json_place *at, double initial_theta, double *theta)
{
    double share;
    MO_TRY(mo__hf_json_real(at, "rope_theta", initial_theta, 1e-6, 1e12, theta));
    MO_TRY(mo__hf_json_real(at, "partial_rotary_factor", 1, 0, 1, &share));
    if (share != 1)
        return mo_error(MO_E_UNSUPPORTED, "%s: partial_rotary_factor is %g; Moira rotates whole heads",
                        at->path, share);
    MO_TRY(read_rope_object(at, "rope_scaling", theta));
    return read_rope_object(at, "rope_parameters", theta);
}

/* ---- the rest ---- */

static mo_status read_shape(const mo__hf_json_place *at, mo__architecture kind, mo_model_config *c)
{
    MO_TRY(mo__hf_json_int(at, "vocab_size", 32000, 1, INT32_MAX, &c->vocab_size));
    MO_TRY(mo__hf_json_int(at, "hidden_size", 4096, 1, 1 << 20, &c->hidden_size));
    MO_TRY(mo__hf_json_int(at, "intermediate_size", initial[kind].intermediate_size, 1, 1 << 24,
                           &c->intermediate_size));
    MO_TRY(mo__hf_json_int(at, "num_hidden_layers", 32, 1, 10000, &c->num_hidden_layers));
    MO_TRY(mo__hf_json_int(at, "num_attention_heads", 32, 1, 65536, &c->num_attention_heads));
    int64_t kv = initial[kind].key_value_heads;
    if (json_is_null(json_object_get(at->object, "num_key_value_heads")))
        kv = 0; /* null is not absent here */
    MO_TRY(mo__hf_json_int(at, "num_key_value_heads", kv, 1, 65536, &c->num_key_value_heads));
    MO_TRY(mo__hf_json_int(at, "head_dim", 0, 1, 65536, &c->head_dim));
    MO_TRY(mo__hf_json_int(at, "max_position_embeddings", initial[kind].positions, 1, INT32_MAX,
                           &c->max_position_embeddings));
    int64_t window = initial[kind].window;
    if (json_is_null(json_object_get(at->object, "sliding_window"))) window = 0;
    if (kind == MO__LLAMA) return MO_OK;
    return mo__hf_json_int(at, "sliding_window", window, 1, INT32_MAX, &c->sliding_window);
}

static mo_status read_experts(const mo__hf_json_place *at, mo_model_config *c, double *aux)
{
    const char *experts = mo__hf_json_get(at, "num_local_experts") ? "num_local_experts" : "num_experts";
    MO_TRY(mo__hf_json_int(at, experts, 8, 1, 65536, &c->num_local_experts));
    MO_TRY(mo__hf_json_int(at, "num_experts_per_tok", 2, 1, 65536, &c->num_experts_per_tok));
    MO_TRY(mo__hf_json_real(at, "router_jitter_noise", 0, 0, 1, &c->router_jitter_noise));
    MO_TRY(mo__hf_json_real(at, "router_aux_loss_coef", 0.001, 0, 1e6, aux));
    c->router = MO_ROUTER_TOPK;
    c->norm_topk_prob = MO_CHOICE_TRUE;
    c->jitter_experts = c->router_jitter_noise > 0; /* there it multiplies the block's input */
    return MO_OK;
}

static mo_status read_numbers(const mo__hf_json_place *at, mo__architecture kind, mo_model_config *c)
{
    MO_TRY(mo__hf_json_real(at, "rms_norm_eps", initial[kind].eps, 1e-30, 1, &c->rms_norm_eps));
    MO_TRY(mo__hf_json_real(at, "initializer_range", 0.02, 0, 10, &c->initializer_range));
    MO_TRY(mo__hf_json_real(at, "attention_dropout", 0, 0, 1, &c->attention_dropout));
    MO_TRY(mo__hf_json_bool(at, "tie_word_embeddings", false, &c->tie_word_embeddings));
    return read_rope(at, initial[kind].theta, &c->rope_theta);
}

/* Before transformers 5 the key was torch_dtype. */
static mo_status read_dtype(const mo__hf_json_place *at, int *out)
{
    static const mo_dtype types[] = {MO_F32, MO_F16, MO_BF16};
    const char *name;
    MO_TRY(mo__hf_json_text(at, mo__hf_json_get(at, "dtype") ? "dtype" : "torch_dtype", &name));
    *out = -1;
    for (int i = 0; i < 3; i++)
        if (strcmp(name, mo_dtype_name(types[i])) == 0) *out = (int)types[i];
    return MO_OK;
}

mo_status mo__hf_config_read(const char *path, const json_t *root, mo__hf_config *out)
{
    mo__hf_json_place at = {path, root};
    mo_model_config *c = &out->model;
    *out = (mo__hf_config){
        .model = {.hidden_act = MO_ACT_SWIGLU,
                  .norm = MO_NORM_RMS,
                  .noise_floor = 1e-2,
                  .clip_qkv = (double)NAN,
                  .capacity_factor = (double)NAN,
                  .eval_capacity_factor = (double)NAN}}; /* what a run config has by default */
    MO_TRY(read_architecture(&at, &out->architecture));
    MO_TRY(read_shape(&at, out->architecture, c));
    MO_TRY(read_numbers(&at, out->architecture, c));
    MO_TRY(read_dtype(&at, &out->dtype));
    if (out->architecture == MO__MIXTRAL) MO_TRY(read_experts(&at, c, &out->router_aux_loss_coef));
    MO_TRY(check_unsupported(&at, c->sliding_window));
    mo_status status = mo_model_config_check(c, NULL);
    if (status != MO_OK) return mo_error_context(status, "%s", path);
    mo_model_config_resolve(c);
    return MO_OK;
}
