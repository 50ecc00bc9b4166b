/* sampler.h -- one token from a row of logits. */
#ifndef MOIRA_TRAIN_SAMPLER_H
#define MOIRA_TRAIN_SAMPLER_H

#include "moira/tensor.h"

/* Room to draw in, of one thread. */
typedef struct mo__sampler mo__sampler;
mo_status mo__sampler_create(int64_t vocab_size, mo__sampler **out);
void mo__sampler_free(mo__sampler *s);

/* temperature 0: the largest logit, lowest id among equals. Otherwise softmax(logits / temperature), cut to
 * the top_k likeliest (0 = all), then to the fewest that together reach top_p, drawn by u in [0, 1): the
 * first, from the likeliest on, with which the sum passes u times all that is left. Equals in order of ids.
 */
int32_t mo__sample(mo__sampler *s, const mo_real *logits, double temperature, int64_t top_k, double top_p,
                   double u);

#endif
