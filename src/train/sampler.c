#include "train/sampler.h"

#include <math.h>
#include <stdlib.h>

static int by_probability(const void *a, const void *b)
{
    const mo__candidate *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

static int32_t largest(const mo_real *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

int32_t mo__sample(const mo_real *logits, int64_t vocab_size, double temperature, int64_t top_k, double top_p,
                   double u, mo__candidate *work)
{
    int32_t top = largest(logits, vocab_size);
    if (temperature <= 0) return top;
    for (int64_t i = 0; i < vocab_size; i++)
        work[i] = (mo__candidate){exp(((double)logits[i] - (double)logits[top]) / temperature), (int32_t)i};
    qsort(work, (size_t)vocab_size, sizeof *work, by_probability);
    int64_t kept = top_k > 0 && top_k < vocab_size ? top_k : vocab_size;
    double mass = 0, total = 0;
    for (int64_t i = 0; i < kept; i++) total += work[i].p;
    for (int64_t i = 0; i < kept && top_p < 1; i++) {
        mass += work[i].p;
        if (mass >= top_p * total) kept = i + 1;
    }
    total = 0;
    for (int64_t i = 0; i < kept; i++) total += work[i].p;
    double target = u * total, reached = 0;
    for (int64_t i = 0; i < kept; i++) {
        reached += work[i].p;
        if (target < reached) return work[i].id;
    }
    return work[kept - 1].id;
}
