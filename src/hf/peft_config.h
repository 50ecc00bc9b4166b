/* peft_config.h -- adapter_config.json of PEFT, read. */
#ifndef MOIRA_HF_PEFT_CONFIG_H
#define MOIRA_HF_PEFT_CONFIG_H

#include "moira/base.h"

typedef struct mo__peft_config {
    double scale; /* alpha / r, with use_rslora alpha / sqrt(r): of all adapters */
    double dropout;
    int64_t rank; /* of all adapters; 0: rank_pattern gives some of them another */
    char *base;   /* base_model_name_or_path; owned, NULL if it is not said */
} mo__peft_config;

/* MO_E_NOT_FOUND, MO_E_FORMAT; MO_E_UNSUPPORTED names what adapters of ours do not have. */
mo_status mo__peft_config_read(const char *dir, mo__peft_config *out);

#endif
