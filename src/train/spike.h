/* spike.h -- steps whose training loss stands out, and what in them did it. */
#ifndef MOIRA_TRAIN_SPIKE_H
#define MOIRA_TRAIN_SPIKE_H

#include "moira/checkpoint.h"
#include "moira/data.h"
#include "moira/model.h"

/* A part of a row that is of one document. */
typedef struct mo__piece {
    int32_t source;
    int64_t at, tokens; /* in its source's split */
    int64_t predicted;
    double loss; /* sum over what is predicted, nats */
} mo__piece;

enum { MO__WORST = 5 };

typedef struct mo__spike_watch {
    bool on;            /* log.spike is not 0, and there are as many steps to compare with as it takes */
    double median, mad; /* of the last MO_RECENT_LOSSES losses; MAD: median distance from the median */
    mo__piece worst[MO__WORST]; /* of the step, the largest excess first */
    int n_worst;
} mo__spike_watch;

/* Nats above `median` a token, added up. */
double mo__piece_excess(const mo__piece *piece, double median);

/* Before a step. threshold: log.spike. */
void mo__spike_begin(mo__spike_watch *w, const mo_checkpoint_state *state, double threshold);
/* After each microbatch: t holds its row losses. Allocates nothing. */
void mo__spike_add(mo__spike_watch *w, const mo_model_graph *t, const mo_batch *batch);
/* How far a step's loss is above the median, in robust standard deviations: 1.4826 MAD, which is the standard
 * deviation where losses are normal (Rousseeuw & Croux 1993), and at least 1e-3 of the median,
 * but never less than 1e-3 nats: a loss that is next to 0 does not jump. */
double mo__spike_height(const mo__spike_watch *w, double loss);
/* After the step: the loss goes among the recent ones. */
void mo__spike_remember(mo_checkpoint_state *state, double loss);

#endif
