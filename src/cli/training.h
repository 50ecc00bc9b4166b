/* training.h -- a run from a config, or the rest of one: what train and finetune share. */
#ifndef MOIRA_CLI_TRAINING_H
#define MOIRA_CLI_TRAINING_H

#include <moira/train.h>

typedef struct mo__training_options {
    const char *command; /* that goes on with the run */
    bool resume, profile;
    int64_t pause_at; /* 0: none */
} mo__training_options;

mo_status mo__training(const mo_run_config *config, const mo__training_options *options);

#endif
