/* hf_config_write.c -- a model of ours as config.json: a new one, or what has changed in the one that it came
 * with. */
#include <string.h>

#include "hf/hf_config.h"

/* The object being written: what it says now, what it is to say. */
typedef struct update {
    json_t *root;
    bool all;     /* write every key, whether it differs or not */
    bool changed; /* something was written */
    mo__hf_config have;
    const mo__hf_config *want;
} update;

static mo_status put(update *u, json_t *object, const char *key, json_t *value)
{
    u->changed = true;
    return mo__hf_json_put(object, key, value);
}

static mo_status put_int(update *u, const char *key, int64_t have, int64_t want)
{
    return have == want && !u->all ? MO_OK : put(u, u->root, key, json_integer(want));
}

static mo_status put_real(update *u, const char *key, double have, double want)
{
    return have == want && !u->all ? MO_OK : put(u, u->root, key, json_real(want));
}

static mo_status put_shape(update *u)
{
    const mo_model_config *h = &u->have.model, *w = &u->want->model;
    MO_TRY(put_int(u, "vocab_size", h->vocab_size, w->vocab_size));
    MO_TRY(put_int(u, "hidden_size", h->hidden_size, w->hidden_size));
    MO_TRY(put_int(u, "intermediate_size", h->intermediate_size, w->intermediate_size));
    MO_TRY(put_int(u, "num_hidden_layers", h->num_hidden_layers, w->num_hidden_layers));
    MO_TRY(put_int(u, "num_attention_heads", h->num_attention_heads, w->num_attention_heads));
    MO_TRY(put_int(u, "num_key_value_heads", h->num_key_value_heads, w->num_key_value_heads));
    MO_TRY(put_int(u, "head_dim", h->head_dim, w->head_dim));
    MO_TRY(put_int(u, "max_position_embeddings", h->max_position_embeddings, w->max_position_embeddings));
    if (u->want->architecture == MO__LLAMA || (h->sliding_window == w->sliding_window && !u->all))
        return MO_OK;
    return put(u, u->root, "sliding_window",
               w->sliding_window ? json_integer(w->sliding_window) : json_null());
}

static mo_status put_experts(update *u)
{
    const mo__hf_config *h = &u->have, *w = u->want;
    if (w->architecture != MO__MIXTRAL) return MO_OK;
    MO_TRY(put_int(u, "num_local_experts", h->model.num_local_experts, w->model.num_local_experts));
    MO_TRY(put_int(u, "num_experts_per_tok", h->model.num_experts_per_tok, w->model.num_experts_per_tok));
    MO_TRY(put_real(u, "router_jitter_noise", h->model.router_jitter_noise, w->model.router_jitter_noise));
    return put_real(u, "router_aux_loss_coef", h->router_aux_loss_coef, w->router_aux_loss_coef);
}

/* A new config.json has both forms, for programs of either age. */
static mo_status put_rope(update *u)
{
    double have = u->have.model.rope_theta, want = u->want->model.rope_theta;
    json_t *parameters = json_object_get(u->root, "rope_parameters");
    if (have == want && !u->all) return MO_OK;
    if (u->all) {
        MO_TRY(put(u, u->root, "rope_parameters", parameters = json_object()));
        MO_TRY(put(u, parameters, "rope_type", json_string("default")));
    }
    if (json_is_object(parameters)) MO_TRY(put(u, parameters, "rope_theta", json_real(want)));
    if (json_is_object(parameters) && !u->all && !json_object_get(u->root, "rope_theta")) return MO_OK;
    return put(u, u->root, "rope_theta", json_real(want));
}

static mo_status put_numbers(update *u)
{
    const mo_model_config *h = &u->have.model, *w = &u->want->model;
    MO_TRY(put_real(u, "rms_norm_eps", h->rms_norm_eps, w->rms_norm_eps));
    MO_TRY(put_real(u, "initializer_range", h->initializer_range, w->initializer_range));
    MO_TRY(put_real(u, "attention_dropout", h->attention_dropout, w->attention_dropout));
    if (h->tie_word_embeddings != w->tie_word_embeddings || u->all)
        MO_TRY(put(u, u->root, "tie_word_embeddings", json_boolean(w->tie_word_embeddings)));
    return put_rope(u);
}

/* torch_dtype is the name that every version of transformers reads. */
static mo_status put_dtype(update *u)
{
    const char *key = json_object_get(u->root, "dtype") ? "dtype" : "torch_dtype";
    if (u->have.dtype == u->want->dtype && !u->all) return MO_OK;
    if (!json_object_get(u->root, key) && u->want->dtype == MO_F32 && !u->all) return MO_OK; /* the default */
    return put(u, u->root, key, json_string(mo_dtype_name((mo_dtype)u->want->dtype)));
}

static json_t *id_or_null(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static mo_status put_rest(update *u, const mo_tokenizer *tokenizer)
{
    MO_TRY(put(u, u->root, "hidden_act", json_string("silu")));
    MO_TRY(put(u, u->root, "use_cache", json_true()));
    MO_TRY(put(u, u->root, "bos_token_id", id_or_null(tokenizer ? mo_tokenizer_bos(tokenizer) : -1)));
    return put(u, u->root, "eos_token_id", id_or_null(tokenizer ? mo_tokenizer_eos(tokenizer) : -1));
}

/* Names the architecture, so that what the object says is read by that one's defaults. */
static mo_status put_architecture(update *u)
{
    const char *name = mo__architecture_names[u->want->architecture];
    const json_t *now = json_array_get(json_object_get(u->root, "architectures"), 0);
    if (now && json_is_string(now) && strcmp(json_string_value(now), name) == 0) return MO_OK;
    json_t *names = json_array();
    if (names && json_array_append_new(names, json_string(name)) != 0) {
        json_decref(names);
        names = NULL;
    }
    MO_TRY(put(u, u->root, "architectures", names));
    return put(u, u->root, "model_type", json_string(mo__model_types[u->want->architecture]));
}

static mo_status update_all(update *u, const mo_tokenizer *tokenizer)
{
    MO_TRY(put_architecture(u));
    if (!u->all) MO_TRY(mo__hf_config_read("config.json", u->root, &u->have));
    MO_TRY(put_shape(u));
    MO_TRY(put_numbers(u));
    MO_TRY(put_experts(u));
    MO_TRY(put_dtype(u));
    return u->all ? put_rest(u, tokenizer) : MO_OK;
}

mo_status mo__hf_config_write(const mo__hf_config *config, const mo_checkpoint_file *carried,
                              const mo_tokenizer *tokenizer, char **text, size_t *size)
{
    update u = {.all = !carried, .have = {.dtype = -1}, .want = config};
    if (carried)
        MO_TRY(mo__hf_json_read("config.json", carried->bytes, carried->size, &u.root));
    else if (!(u.root = json_object()))
        return mo_error(MO_E_MEMORY, "no memory for config.json");
    mo_status status = update_all(&u, tokenizer);
    if (status == MO_OK && !u.changed)
        status = (*text = mo_strprintf("%.*s", (int)carried->size, (const char *)carried->bytes))
                     ? MO_OK
                     : MO_E_MEMORY;
    else if (status == MO_OK)
        status = mo__hf_json_dump(u.root, text);
    if (status == MO_OK) *size = strlen(*text);
    json_decref(u.root);
    return status;
}
