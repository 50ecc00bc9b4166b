/* trainer.h -- a training run in the middle of its life. */
#ifndef MOIRA_TRAIN_TRAINER_H
#define MOIRA_TRAIN_TRAINER_H

#include "train/train_internal.h"

typedef struct mo__trainer {
    const mo_train_options *options;
    mo_run_config config; /* a shallow copy with vocab_size settled; strings are the caller's */
    char *dir, *resolved;
    mo_tokenfile *file;
    mo_model *model;
    mo_loader *loader;
    mo_model_graph *train, *eval; /* eval: NULL without a validation split */
    void *arena;                  /* serves both graphs, which never run at once */
    size_t arena_bytes;
    mo__routing_sum routing;
    mo__metrics metrics;
    mo_run_memory memory;
    mo_checkpoint *resumed; /* what the run goes on from, until it is read; NULL: from the start */
    mo_checkpoint_state state;
    int64_t last_saved, last_best; /* steps of the newest step file and of best.h5, -1 if none */
    double span_seconds;           /* since the last metrics line */
    int64_t span_tokens;
    double flops_per_token;
} mo__trainer;

/* trainer_setup.c: from options to something that can step; trainer.c frees it. */
mo_status mo__trainer_open(mo__trainer *t, const mo_train_options *options);
void mo__trainer_close(mo__trainer *t);
/* trainer_save.c */
mo_status mo__trainer_save(mo__trainer *t);      /* step-<step>.h5, then prunes */
mo_status mo__trainer_save_best(mo__trainer *t); /* best.h5 */
mo_status mo__trainer_find(mo__trainer *t);      /* opens the newest checkpoint and checks that it fits */
mo_status mo__trainer_load(mo__trainer *t);      /* reads it into the model */

#endif
