/* sampler.h -- one token from a row of logits. */
#ifndef MOIRA_TRAIN_SAMPLER_H
#define MOIRA_TRAIN_SAMPLER_H

#include "moira/tensor.h"

typedef struct mo__candidate {
    double p;
    int32_t id;
} mo__candidate;

/* temperature 0: the largest logit, lowest id among equals. Otherwise softmax(logits / temperature), cut to
 * the top_k likeliest (0 = all), then to the fewest that together reach top_p, drawn by u in [0, 1). work:
 * vocab_size candidates of room. */
int32_t mo__sample(const mo_real *logits, int64_t vocab_size, double temperature, int64_t top_k, double top_p,
                   double u, mo__candidate *work);

#endif
