/* length_tally.c -- a histogram of lengths, fine enough for a median: lengths below 2^11 each have a bin of
 * their own; from there on each power of two has 2^10 bins of equal width. */
#include "length_tally.h"

enum {
    FINE = 10,
    EXACT = 1 << (FINE + 1),
    PER_POWER = 1 << FINE,
    POWERS = 63,
    BINS = EXACT + (POWERS - FINE - 1) * PER_POWER
};

struct mo__length_tally {
    mo_lengths lengths;
    int64_t bins[BINS];
};

static int power_of(int64_t length)
{
    return 63 - __builtin_clzll((unsigned long long)length);
}

static int64_t bin_of(int64_t length)
{
    int power = power_of(length);
    if (power <= FINE) return length;
    return EXACT + (int64_t)(power - FINE - 1) * PER_POWER + (length >> (power - FINE)) - PER_POWER;
}

/* The least length of a bin. */
static int64_t length_of(int64_t bin)
{
    if (bin < EXACT) return bin;
    int64_t power = (bin - EXACT) / PER_POWER + FINE + 1;
    return ((bin - EXACT) % PER_POWER + PER_POWER) << (power - FINE);
}

mo_status mo__length_tally_create(mo__length_tally **out)
{
    *out = mo_calloc(1, sizeof **out);
    return *out ? MO_OK : MO_E_MEMORY;
}

void mo__length_tally_free(mo__length_tally *t)
{
    mo_free(t);
}

void mo__length_tally_add(mo__length_tally *t, int64_t length)
{
    mo_lengths *l = &t->lengths;
    if (l->documents == 0 || length < l->least) l->least = length;
    if (length > l->most) l->most = length;
    l->documents++;
    l->tokens += length;
    l->power[power_of(length)]++;
    t->bins[bin_of(length)]++;
}

static int64_t median(const mo__length_tally *t)
{
    int64_t below = 0, bin = 0;
    while (bin < BINS && (below += t->bins[bin]) < (t->lengths.documents + 1) / 2) bin++;
    return length_of(bin);
}

/* A bin's least length may be less than any that was counted. */
void mo__length_tally_sum(const mo__length_tally *t, mo_lengths *out)
{
    *out = t->lengths;
    if (out->documents == 0) return;
    out->median = median(t);
    if (out->median < out->least) out->median = out->least;
}

mo_status mo_lengths_of(const mo_tokens *split, mo_lengths *out)
{
    mo__length_tally *t;
    *out = (mo_lengths){0};
    MO_TRY(mo__length_tally_create(&t));
    for (int64_t d = 0; d < split->documents; d++)
        mo__length_tally_add(t, (int64_t)(split->offsets[d + 1] - split->offsets[d]));
    mo__length_tally_sum(t, out);
    mo__length_tally_free(t);
    return MO_OK;
}
