/* order.c -- the order of a run's sequences.
 *
 *   sequence  c = step * per_step + row
 *   place     step * per_step + permutation_{step}(row): the places are shared out between the sources by
 *             weight (apportion.c) and shuffled within the step, so that microbatches and rows do not
 *             always have the same source. With one source it is c itself.
 *   index     i, how many sequences the source gave before that place
 *   epoch     e = i / n,  window w = permutation_{source seed,e}(i mod n)  of n windows
 *   tokens    [o_e + w L, o_e + w L + L], the last one only as a target; o_e in [0, L) is the epoch's offset
 *   n         floor((count - L) / L), so that every offset leaves room; a split of L+1 to 2L-1 tokens has one
 *             window, whose offset is 0 where the drawn one leaves no room
 * Whole documents have the windows of packing.c and no offsets: w alone is the place.
 */
#include "order.h"

/* mo_rng_permute has the low layers of MO_RNG_DATA. */
enum { OFFSET_LAYER = 255, SEED_LAYER = 254 };

static uint64_t derived_seed(uint64_t seed, uint64_t index)
{
    uint32_t bits[4];
    mo_rng_bits(seed, MO_RNG_DATA, 0, SEED_LAYER, index, bits);
    return (uint64_t)bits[0] << 32 | bits[1];
}

static mo_status stream_windows(const mo_tokens *tokens, int64_t L, int64_t *out)
{
    if (tokens->count < L + 1)
        return mo_error(MO_E_RANGE, "has %lld tokens, sequence_length %lld needs at least %lld",
                        (long long)tokens->count, (long long)L, (long long)L + 1);
    int64_t n = (tokens->count - L) / L;
    *out = n > 0 ? n : 1;
    return MO_OK;
}

static mo_status count_windows(mo__order_source *s, int64_t L)
{
    if (!s->tokens->whole) return stream_windows(s->tokens, L, &s->windows);
    MO_TRY(mo_packing_create(s->tokens, L, &s->packing));
    s->windows = s->packing.windows;
    return s->windows > 0 ? MO_OK : mo_error(MO_E_RANGE, "has no documents");
}

mo_status mo_train_windows(const mo_tokens *tokens, int64_t sequence_length, int64_t *out)
{
    mo__order_source s = {.tokens = tokens};
    *out = 0;
    mo_status status = count_windows(&s, sequence_length);
    if (status == MO_OK) *out = s.windows;
    mo_packing_free(&s.packing);
    return status;
}

static mo_status check(const mo_loader_options *o)
{
    for (int i = 0; i < o->n_sources; i++) {
        double weight = o->sources[i].weight;
        if (o->n_sources > 1 && !(weight > 0 && weight <= 1e30))
            return mo_error(MO_E_RANGE, "loader: source %d has weight %g; a weight is above 0", i, weight);
    }
    return MO_OK;
}

static mo_status share_out(const mo_loader_options *o, mo__apportion *out)
{
    double *weights = mo_calloc((size_t)o->n_sources, sizeof *weights);
    if (!weights) return MO_E_MEMORY;
    for (int i = 0; i < o->n_sources; i++) weights[i] = o->sources[i].weight;
    mo_status status = mo__apportion_create(weights, o->n_sources, out);
    mo_free(weights);
    return status;
}

mo_status mo__order_create(const mo_loader_options *o, mo__order *out)
{
    *out = (mo__order){.sequence_length = o->sequence_length, .per_step = o->accumulation * o->batch_size};
    MO_TRY(check(o));
    out->sources = mo_calloc((size_t)o->n_sources, sizeof *out->sources);
    if (!out->sources) return MO_E_MEMORY;
    out->n_sources = o->n_sources;
    out->row_seed = derived_seed(o->seed, 0);
    mo_status status = MO_OK;
    for (int i = 0; status == MO_OK && i < o->n_sources; i++) {
        out->sources[i] = (mo__order_source){.tokens = o->sources[i].tokens,
                                             .seed = i ? derived_seed(o->seed, (uint64_t)i) : o->seed};
        status = count_windows(&out->sources[i], o->sequence_length);
        if (status != MO_OK) mo_error_context(status, "loader: source %d", i);
    }
    if (status == MO_OK) status = share_out(o, &out->shares);
    if (status != MO_OK) mo__order_free(out);
    return status;
}

void mo__order_free(mo__order *order)
{
    mo__apportion_free(&order->shares);
    for (int i = 0; i < order->n_sources; i++) mo_packing_free(&order->sources[i].packing);
    mo_free(order->sources);
    *order = (mo__order){0};
}

static int64_t place_of(const mo__order_source *s, int64_t index, int64_t L)
{
    uint64_t epoch = (uint64_t)(index / s->windows), n = (uint64_t)s->windows;
    int64_t window = (int64_t)mo_rng_permute(s->seed, epoch, n, (uint64_t)(index % s->windows));
    if (s->tokens->whole) return window;
    double u = mo_rng_uniform(s->seed, MO_RNG_DATA, epoch, OFFSET_LAYER, 0);
    int64_t offset = (int64_t)(u * (double)L);
    if (offset + s->windows * L + 1 > s->tokens->count) offset = 0;
    return offset + window * L;
}

int mo__order_find(const mo__order *order, int64_t c, int64_t *place)
{
    int64_t index = c;
    int source = 0;
    if (order->shares.count > 1) {
        int64_t step = c / order->per_step, row = c % order->per_step;
        uint64_t n = (uint64_t)order->per_step;
        int64_t shuffled = (int64_t)mo_rng_permute(order->row_seed, (uint64_t)step, n, (uint64_t)row);
        source = mo__apportion_at(&order->shares, step * order->per_step + shuffled, &index);
    }
    *place = place_of(&order->sources[source], index, order->sequence_length);
    return source;
}
