/* choose.c -- see choose.h. The i-th draw of an item below n is floor(n word / 2^32), word i mod 4 of place
 * item P + i/4, P = ceil((2K - 1) / 4): first K draws to choose, then K - 1 to shuffle. */
#include "ops/choose.h"

typedef struct {
    mo__lot lot;
    uint64_t places; /* of an item */
    int64_t used;
    uint32_t word[4];
} urn;

static int32_t draw(urn *u, int64_t n)
{
    if (u->used % 4 == 0)
        mo_rng_bits(u->lot.seed, u->lot.purpose, u->lot.step, u->lot.layer,
                    u->lot.item * u->places + (uint64_t)u->used / 4, u->word);
    return (int32_t)((uint64_t)u->word[u->used++ % 4] * (uint64_t)n >> 32);
}

static bool among(const int32_t *ids, int64_t n, int32_t id)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

void mo__choose(int32_t *ids, int64_t E, int64_t K, mo__lot lot)
{
    urn u = {.lot = lot, .places = (uint64_t)(2 * K + 2) / 4};
    for (int64_t k = 0; k < K; k++) {
        int64_t last = E - K + k;
        int32_t id = draw(&u, last + 1);
        ids[k] = among(ids, k, id) ? (int32_t)last : id;
    }
    for (int64_t k = K - 1; k > 0; k--) {
        int32_t j = draw(&u, k + 1), id = ids[k];
        ids[k] = ids[j];
        ids[j] = id;
    }
}
