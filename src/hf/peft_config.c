/* peft_config.c -- what a folder of PEFT asks for. A setting that changes what adapters compute and that ours
 * do not have is refused by name; so is one that nobody knows, unless it is empty. */
#include "hf/peft_config.h"

#include <math.h>
#include <string.h>

#include "hf/hf_json.h"

/* These say where adapters are, which the tensors tell, or matter to training and bookkeeping alone. */
static const char *const free_keys[] = {"alpha_pattern",
                                        "auto_mapping",
                                        "base_model_name_or_path",
                                        "bias",
                                        "ensure_weight_tying",
                                        "eva_config",
                                        "exclude_modules",
                                        "inference_mode",
                                        "init_lora_weights",
                                        "layers_pattern",
                                        "layers_to_transform",
                                        "lora_alpha",
                                        "lora_dropout",
                                        "lora_ga_config",
                                        "megatron_core",
                                        "peft_type",
                                        "peft_version",
                                        "qalora_group_size",
                                        "r",
                                        "rank_pattern",
                                        "revision",
                                        "target_modules",
                                        "target_parameters",
                                        "task_type",
                                        "use_rslora"};

static bool is_free(const char *key)
{
    for (size_t i = 0; i < sizeof free_keys / sizeof *free_keys; i++)
        if (strcmp(key, free_keys[i]) == 0) return true;
    return false;
}

static bool is_empty(const json_t *v)
{
    if (json_is_array(v)) return json_array_size(v) == 0;
    if (json_is_object(v)) return json_object_size(v) == 0;
    if (json_is_string(v)) return json_string_length(v) == 0;
    if (json_is_number(v)) return json_number_value(v) == 0;
    return !json_is_true(v);
}

static mo_status check_keys(const mo__hf_json_place *at)
{
    void *all = (void *)(uintptr_t)at->object; /* iterating changes nothing */
    for (void *i = json_object_iter(all); i; i = json_object_iter_next(all, i)) {
        const char *key = json_object_iter_key(i);
        if (!is_free(key) && !is_empty(json_object_iter_value(i)))
            return mo_error(MO_E_UNSUPPORTED, "%s: has %s, which Moira's adapters do not", at->path, key);
    }
    return MO_OK;
}

static mo_status check_word(const mo__hf_json_place *at, const char *key, const char *wanted)
{
    const char *text;
    MO_TRY(mo__hf_json_text(at, key, &text));
    if (!*text || strcmp(text, wanted) == 0) return MO_OK;
    return mo_error(MO_E_UNSUPPORTED, "%s: %s is \"%.40s\"; Moira has %s", at->path, key, text, wanted);
}

/* Some ways to begin change the base's matrices, which the adapters then do not fit. */
static mo_status check_init(const mo__hf_json_place *at)
{
    static const char *const plain[] = {"gaussian", "orthogonal", "eva"};
    const json_t *v = mo__hf_json_get(at, "init_lora_weights");
    if (!json_is_string(v)) return MO_OK;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(json_string_value(v), plain[i]) == 0) return MO_OK;
    return mo_error(MO_E_UNSUPPORTED,
                    "%s: init_lora_weights is \"%.40s\", which changes the base's weights too; let PEFT "
                    "convert the adapters to plain ones",
                    at->path, json_string_value(v));
}

static double scale_of(double alpha, double rank, bool root)
{
    return alpha / (root ? sqrt(rank) : rank);
}

/* A rank of its own is fine where the scale is the same. */
static mo_status check_patterns(const mo__hf_json_place *at, double scale, bool root)
{
    const json_t *ranks = mo__hf_json_get(at, "rank_pattern"), *alphas = mo__hf_json_get(at, "alpha_pattern");
    const json_t *const both[] = {ranks, alphas};
    for (int k = 0; k < 2; k++) {
        void *all = (void *)(uintptr_t)both[k];
        for (void *i = json_object_iter(all); i; i = json_object_iter_next(all, i)) {
            const char *key = json_object_iter_key(i);
            double rank = json_number_value(json_object_get(ranks, key)),
                   alpha = json_number_value(json_object_get(alphas, key));
            if (!(rank > 0 && fabs(scale_of(alpha, rank, root) - scale) <= 1e-9 * fabs(scale)))
                return mo_error(MO_E_UNSUPPORTED,
                                "%s: rank_pattern and alpha_pattern give \"%.60s\" a scale of its own; "
                                "Moira's adapters have one, %g here",
                                at->path, key, scale);
        }
    }
    return MO_OK;
}

static mo_status read_object(const mo__hf_json_place *at, mo__peft_config *out)
{
    int64_t rank;
    double alpha;
    bool root;
    MO_TRY(check_word(at, "peft_type", "LORA"));
    MO_TRY(check_word(at, "bias", "none"));
    MO_TRY(check_keys(at));
    MO_TRY(check_init(at));
    MO_TRY(mo__hf_json_int(at, "r", 8, 1, 65536, &rank));
    MO_TRY(mo__hf_json_real(at, "lora_alpha", 8, 0, 1e6, &alpha));
    MO_TRY(mo__hf_json_real(at, "lora_dropout", 0, 0, 1, &out->dropout));
    MO_TRY(mo__hf_json_bool(at, "use_rslora", false, &root));
    out->scale = scale_of(alpha, (double)rank, root);
    out->rank = json_object_size(mo__hf_json_get(at, "rank_pattern")) > 0 ? 0 : rank;
    if (!(out->scale > 0))
        return mo_error(MO_E_UNSUPPORTED, "%s: lora_alpha is 0, so adapters add nothing", at->path);
    MO_TRY(check_patterns(at, out->scale, root));
    const char *base = json_string_value(mo__hf_json_get(at, "base_model_name_or_path"));
    out->base = base && *base ? mo_strdup(base) : NULL;
    return base && *base && !out->base ? MO_E_MEMORY : MO_OK;
}

mo_status mo__peft_config_read(const char *dir, mo__peft_config *out)
{
    enum { MOST = 1 << 20 };
    json_t *root = NULL;
    char *path = mo_path_join(dir, "adapter_config.json");
    if (!path) return MO_E_MEMORY;
    mo_status status =
        mo_path_exists(path)
            ? mo__hf_json_read_file(path, MOST, &root)
            : mo_error(MO_E_NOT_FOUND, "%s: has no adapter_config.json, which PEFT writes", dir);
    const mo__hf_json_place at = {path, root};
    if (status == MO_OK) status = read_object(&at, out);
    json_decref(root);
    mo_free(path);
    return status;
}
