/* trainer.h -- a training run in the middle of its life. */
#ifndef MOIRA_TRAIN_TRAINER_H
#define MOIRA_TRAIN_TRAINER_H

#include "moira/pretrained.h"
#include "train/base_choices.h"
#include "train/collapse.h"
#include "train/profile.h"
#include "train/routing_log.h"
#include "train/spike.h"
#include "train/train_internal.h"

/* A save that was begun and not yet told of. */
typedef struct mo__saving {
    bool under_way;
    int64_t step;
    char *step_path, *best_path; /* owned; NULL: not due */
} mo__saving;

typedef struct mo__trainer {
    const mo_train_options *options;
    mo_run_config config; /* a shallow copy with vocab_size settled; strings are the caller's */
    char *dir, *resolved, *data_hashes;
    int lock; /* on dir; -1: not yet */
    mo_run_data data;
    const mo_tokenizer *tokenizer; /* of all its sources */
    mo_pretrained *base;           /* of init.from; NULL without */
    char *base_path;               /* owned; from the folder of the run */
    mo_model *model;
    mo_loader *loader;
    mo_model_graph *train, *eval; /* eval: NULL without a validation split */
    void *arena;                  /* serves both graphs, which never run at once */
    size_t arena_bytes;
    mo__base_choices base_choices; /* of validation tokens, if there is a base */
    double base_loss;              /* its validation loss; NaN without */
    mo__routing_sum routing;
    mo__source_sum sources;
    mo__spike_watch spike;
    mo__collapse_watch collapse;
    mo__profile profile;
    mo__metrics metrics;
    mo__routing_log routing_log;
    mo__events events;
    mo_run_memory memory;
    mo_checkpoint *resumed; /* what the run goes on from, until it is read; NULL: from the start */
    mo_checkpoint_state state;
    mo_checkpoint_writer *writer;
    mo__saving saving;
    mo_step_report postponed; /* of the step whose evaluation was due at the start, from its metrics line */
    int64_t last_saved, last_best; /* steps of the newest step file and of best.h5, -1 if none */
    double span_seconds;           /* since the last metrics line */
    int64_t span_tokens;
    double told_waited; /* of the loader's waiting, what metrics lines have told */
    double flops_per_token;
} mo__trainer;

/* trainer_setup.c: from options to something that can step; trainer.c frees it. */
mo_status mo__trainer_open(mo__trainer *t, const mo_train_options *options);
void mo__trainer_close(mo__trainer *t);
/* trainer_base.c: the model of init.from. Opens it and checks that it is the run's, and the data's. */
mo_status mo__trainer_open_base(mo__trainer *t);
/* Once the folder of the run is there. */
mo_status mo__trainer_place_base(mo__trainer *t);
/* Has its weights in the model, of which what is not the base's is drawn. */
mo_status mo__trainer_load_base(mo__trainer *t);
/* Whether a run in that state began from it. */
mo_status mo__trainer_check_base(const mo__trainer *t, const mo_checkpoint_state *state);
/* trainer_step.c: one optimizer step; fills the report's step part. */
mo_status mo__trainer_step(mo__trainer *t, mo_step_report *r);
/* trainer_sample.c: generates, tells, and appends to samples.txt. */
mo_status mo__trainer_sample(mo__trainer *t);
/* spike_report.c: warns, and appends a line to spikes.jsonl. predicted: tokens of the step. */
mo_status mo__spike_write(const mo__trainer *t, const mo_step_report *r, int64_t predicted);
/* collapse_report.c: warns of what the window that ends with the step has found, and tells TensorBoard. */
mo_status mo__collapse_tell(mo__trainer *t, int64_t step);
/* trainer_save.c */
mo_status mo__trainer_open_writer(mo__trainer *t);
/* Begins to save step-<step>.h5, best.h5 or both; waits for the save before. */
mo_status mo__trainer_save(mo__trainer *t, bool step_file, bool best);
mo_status mo__trainer_poll(mo__trainer *t);     /* settles a save that is done */
mo_status mo__trainer_settle(mo__trainer *t);   /* waits for a save that was begun, tells of it, prunes */
mo_status mo__trainer_save_now(mo__trainer *t); /* the step file, if it is not there yet, and waits */
mo_status mo__trainer_find(mo__trainer *t);     /* opens the newest checkpoint and checks that it fits */
mo_status mo__trainer_load(mo__trainer *t);     /* reads it into the model, and closes it */

#endif
