/* hf_config.h -- config.json of a model folder, in and out. */
#ifndef MOIRA_HF_HF_CONFIG_H
#define MOIRA_HF_HF_CONFIG_H

#include "hf/json.h"
#include "moira/model.h"

typedef enum mo__architecture { MO__MIXTRAL, MO__MISTRAL, MO__LLAMA } mo__architecture;
extern const char *const mo__architecture_names[]; /* "MixtralForCausalLM", ... */

typedef struct mo__hf_config {
    mo__architecture architecture;
    mo_model_config model; /* resolved */
    double router_aux_loss_coef;
    int dtype; /* mo_dtype that config.json names, or -1 */
} mo__hf_config;

/* Absent keys have the defaults of transformers' classes. MO_E_UNSUPPORTED names what Moira does not do. */
mo_status mo__hf_config_read(const char *path, const json_t *root, mo__hf_config *out);

#endif
