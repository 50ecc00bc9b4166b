/* train.h -- runs: training, evaluation, generation, and what they write. */
#ifndef MOIRA_TRAIN_H
#define MOIRA_TRAIN_H

#include "moira/checkpoint.h"
#include "moira/data.h"
#include "moira/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Everything a config file says. Strings are owned by the config and never NULL ("" = not given). */
typedef struct mo_run_config {
    struct {
        char *name, *dir; /* dir: "" = checkpoints/<name> */
        uint64_t seed;
        int64_t threads; /* 0 = all cores */
    } run;
    struct {
        char *path;
    } data;
    mo_model_config model;
    mo_balance_config balance;
    struct {
        int64_t steps, batch_size, sequence_length, gradient_accumulation_steps;
        int recompute; /* mo_recompute */
    } train;
    int optimizer_name; /* optimizer.name: 0 = adamw, the only one */
    mo_optim_config optimizer;
    mo_schedule_config schedule;
    struct {
        int64_t every, batches; /* batches: 0 = the whole validation split */
    } eval;
    struct {
        int64_t every, keep, compression;
    } checkpoint;
    struct {
        int64_t every;  /* steps between samples; 0 = at evaluations */
        int64_t tokens; /* 0 = no samples */
        char *prompt;
        double temperature;
    } sample;
    struct {
        int64_t every; /* steps between progress lines */
    } log;
} mo_run_config;

#ifdef __cplusplus
}
#endif
#endif
