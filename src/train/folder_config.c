/* folder_config.c -- a model folder's settings as a run's. */
#include <ctype.h>
#include <string.h>

#include "moira/hf.h"
#include "train/train_internal.h"

enum { WINDOW = 1024 /* tokens, where nobody says how long a sequence is to be */ };

/* The last part of the path, of what may be in a run's name. */
static char *name_of(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    char *name = mo_strprintf("%.*s", (int)(end - begin < 100 ? end - begin : 100), path + begin);
    for (char *at = name; name && *at; at++)
        if (!isalnum((unsigned char)*at) && !(strchr("._-", *at) && at > name)) *at = '-';
    if (name && *name) return name;
    mo_free(name);
    return mo_strdup("model");
}

/* Every key that has no default; what they say of the model is replaced. */
static char *minimal(const mo_model_config *m, const char *name, double coefficient)
{
    int64_t longest = m->max_position_embeddings, window = longest < WINDOW ? longest : WINDOW;
    return mo_strprintf("run: {name: %s}\n"
                        "data: {path: none}\n"
                        "model: {vocab_size: %lld, hidden_size: %lld, intermediate_size: %lld, "
                        "num_hidden_layers: %lld, num_attention_heads: %lld, head_dim: %lld, "
                        "num_key_value_heads: %lld, num_local_experts: %lld, num_experts_per_tok: %lld}\n"
                        "balance: {mixtral: %.17g}\n"
                        "train: {steps: 1, batch_size: 1, sequence_length: %lld}\n"
                        "optimizer: {learning_rate: 0}\n",
                        name, (long long)m->vocab_size, (long long)m->hidden_size,
                        (long long)m->intermediate_size, (long long)m->num_hidden_layers,
                        (long long)m->num_attention_heads, (long long)m->head_dim,
                        (long long)m->num_key_value_heads, (long long)m->num_local_experts,
                        (long long)m->num_experts_per_tok, coefficient, (long long)(window > 2 ? window : 2));
}

mo_status mo__folder_config(const mo_hf *hf, const char *path, mo_config_parse_fn *parse, mo_run_config *out)
{
    const mo_model_config *model = mo_hf_config(hf);
    char *name = name_of(path);
    double coefficient = model->num_local_experts > 0 ? mo_hf_router_aux_loss_coef(hf) : 0;
    char *text = name ? minimal(model, name, coefficient) : NULL;
    mo_status status = text ? parse(text, path, out) : MO_E_MEMORY;
    if (status == MO_OK) out->model = *model;
    mo_free(text);
    mo_free(name);
    return status;
}
