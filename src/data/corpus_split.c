/* corpus_split.c -- one document of each run of documents, by counter-based randomness. */
#include "corpus_split.h"

#include <math.h>

static int64_t run_start(double share, int64_t run)
{
    double start = (double)run / share;
    return start < 0x1p62 ? llround(start) : INT64_MAX;
}

/* Whether the document is the one that was drawn of its run. */
static bool is_drawn(double share, uint64_t seed, int64_t index, int64_t first)
{
    int64_t run = (int64_t)((double)index * share);
    while (run_start(share, run) > index) run--;
    while (run_start(share, run + 1) <= index) run++;
    int64_t start = run_start(share, run), length = run_start(share, run + 1) - start;
    double u = mo_rng_uniform(seed, MO_RNG_SPLIT, (uint64_t)run, 0, 0);
    return index - start == (run == 0 ? first : (int64_t)(u * (double)length));
}

mo_split mo__split_of(double validation, uint64_t seed, int64_t index)
{
    if (validation <= 0) return MO_SPLIT_TRAIN;
    if (validation <= 0.5) return is_drawn(validation, seed, index, 1) ? MO_SPLIT_VALIDATION : MO_SPLIT_TRAIN;
    return is_drawn(1 - validation, seed, index, 0) ? MO_SPLIT_TRAIN : MO_SPLIT_VALIDATION;
}

int64_t mo__split_bytes(double validation, int64_t n)
{
    return (int64_t)((1 - validation) * (double)n);
}
