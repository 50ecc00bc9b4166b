/* hf_config.h -- config.json of a model folder, in and out. */
#ifndef MOIRA_HF_HF_CONFIG_H
#define MOIRA_HF_HF_CONFIG_H

#include "hf/hf_json.h"
#include "moira/checkpoint.h"
#include "moira/model.h"

typedef enum mo__architecture { MO__MIXTRAL, MO__MISTRAL, MO__LLAMA } mo__architecture;
extern const char *const mo__architecture_names[]; /* "MixtralForCausalLM", ... */
extern const char *const mo__model_types[];        /* "mixtral", ... */

typedef struct mo__hf_config {
    mo__architecture architecture;
    mo_model_config model; /* resolved */
    double router_aux_loss_coef;
    int dtype; /* mo_dtype that config.json names, or -1 */
} mo__hf_config;

/* Absent keys have the defaults of transformers' classes. MO_E_UNSUPPORTED names what Moira does not do. */
mo_status mo__hf_config_read(const char *path, const json_t *root, mo__hf_config *out);
/* The other way. carried: the config.json that the model came with, NULL without; its keys are kept, and what
 * the model has otherwise is changed. If nothing is, *text is carried to the byte. Without, a new one with
 * all keys, with the tokenizer's begin and end (tokenizer may be NULL). Owned. */
mo_status mo__hf_config_write(const mo__hf_config *config, const mo_checkpoint_file *carried,
                              const mo_tokenizer *tokenizer, char **text, size_t *size);

/* Which architecture can say what a model computes; `like`: that of the folder which it came from, or -1.
 * Settings that only training minds are warned of. MO_E_UNSUPPORTED names the setting that none of them can
 * say. */
mo_status mo__hf_express(const mo_model_config *model, int like, mo__architecture *out);

#endif
