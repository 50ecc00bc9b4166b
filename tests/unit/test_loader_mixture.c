/* test_loader_mixture.c -- batches of several sources: shares, order, and the same from wherever one starts.
 */
#include <moira/data.h>

#include <math.h>
#include <string.h>

#include "harness/corpus.h"
#include "harness/harness.h"

/* Three sources of unequal length; token i of source s is s * FAR + i. */
enum { SOURCES = 3, FAR = 100000, B = 4, L = 32, ACCUMULATION = 3, PER_STEP = B * ACCUMULATION };
static const double weights[SOURCES] = {5, 3, 2};
static corpus corpora[SOURCES];

static int setup(void **state)
{
    (void)state;
    const int64_t counts[SOURCES] = {5000, 900, 2 * L};
    for (int i = 0; i < SOURCES; i++) corpora[i] = corpus_make(counts[i], i * FAR, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) corpus_free(&corpora[i]);
    return 0;
}

static mo_loader *open_mixture(int n, bool prefetch)
{
    mo_loader_source sources[SOURCES];
    for (int i = 0; i < n; i++) sources[i] = (mo_loader_source){&corpora[i].tokens, weights[i]};
    mo_loader_options o = {.sources = sources,
                           .n_sources = n,
                           .tokenizer = corpora[0].tokenizer,
                           .batch_size = B,
                           .sequence_length = L,
                           .accumulation = ACCUMULATION,
                           .seed = 11,
                           .prefetch = prefetch};
    mo_loader *l;
    MO_CHECK_OK(mo_loader_open(&o, &l));
    return l;
}

/* What a batch holds, as something to compare. */
typedef struct record {
    int32_t tokens[B * L], targets[B * L], starts[B * L], source[B];
    int64_t at[B], predicted, predicted_step, predicted_bytes, valid;
} record;

static record record_of(mo_loader *l, int64_t step, int64_t microbatch)
{
    const mo_batch *b;
    record r;
    memset(&r, 0, sizeof r);
    MO_CHECK_OK(mo_loader_get(l, step, microbatch, &b));
    memcpy(r.tokens, b->tokens, sizeof r.tokens);
    memcpy(r.targets, b->targets, sizeof r.targets);
    memcpy(r.starts, b->starts, sizeof r.starts);
    memcpy(r.source, b->source, sizeof r.source);
    for (int row = 0; row < B; row++) r.at[row] = b->at[row * L];
    r.predicted = b->predicted;
    r.predicted_step = b->predicted_step;
    r.predicted_bytes = b->predicted_bytes;
    r.valid = b->valid;
    return r;
}

static void rows_say_where_they_come_from(void **state)
{
    (void)state;
    mo_loader *l = open_mixture(SOURCES, false);
    for (int64_t step = 0; step < 200; step++) {
        int64_t predicted = 0, whole = 0;
        for (int64_t m = 0; m < ACCUMULATION; m++) {
            record r = record_of(l, step, m);
            for (int row = 0; row < B; row++) {
                assert_in_range(r.source[row], 0, SOURCES - 1);
                assert_true(r.at[row] + L < corpora[r.source[row]].tokens.count);
                for (int i = 0; i < L; i++)
                    assert_int_equal(r.tokens[row * L + i], r.source[row] * FAR + r.at[row] + i);
            }
            predicted += r.predicted;
            if (m == 0) whole = r.predicted_step;
            assert_int_equal(r.predicted_step, whole);
        }
        assert_int_equal(predicted, whole);
    }
    mo_loader_close(l);
}

/* After every step each source has its share of the sequences so far, to within one. */
static void shares_follow_the_weights(void **state)
{
    (void)state;
    mo_loader *l = open_mixture(SOURCES, false);
    int64_t had[SOURCES] = {0};
    for (int64_t step = 0; step < 2000; step++) {
        for (int i = 0; i < SOURCES; i++) {
            double exact = (double)(step * PER_STEP) * weights[i] / 10;
            assert_true(fabs((double)had[i] - exact) < 1);
            assert_int_equal(mo_loader_drawn(l, i, step), had[i]);
        }
        for (int64_t m = 0; m < ACCUMULATION; m++) {
            record r = record_of(l, step, m);
            for (int row = 0; row < B; row++) had[r.source[row]]++;
        }
    }
    assert_int_equal(had[0], 12000);
    assert_int_equal(had[1], 7200);
    assert_int_equal(had[2], 4800);
    mo_loader_close(l);
}

/* Each row of a step, and each microbatch, has every source about as often as its share. */
static void no_row_keeps_a_source(void **state)
{
    (void)state;
    enum { STEPS = 3000 };
    static int64_t seen[PER_STEP][SOURCES];
    mo_loader *l = open_mixture(SOURCES, false);
    for (int64_t step = 0; step < STEPS; step++)
        for (int64_t m = 0; m < ACCUMULATION; m++) {
            record r = record_of(l, step, m);
            for (int row = 0; row < B; row++) seen[m * B + row][r.source[row]]++;
        }
    for (int row = 0; row < PER_STEP; row++)
        for (int i = 0; i < SOURCES; i++) { /* five standard deviations of independent draws */
            double p = weights[i] / 10, deviation = sqrt(STEPS * p * (1 - p));
            if (!(fabs((double)seen[row][i] - STEPS * p) < 5 * deviation))
                fail_msg("row %d has source %d %lld times, expected %.0f", row, i, (long long)seen[row][i],
                         STEPS * p);
        }
    mo_loader_close(l);
}

/* 15 steps have 180 sequences, 54 of them from the second source: two epochs of its 27 windows. */
static void each_source_has_its_own_epochs(void **state)
{
    (void)state;
    enum { WINDOWS = (900 - L) / L, ROUNDS = 12 };
    mo_loader *l = open_mixture(SOURCES, false);
    bool offsets[L] = {false};
    for (int64_t round = 0; round < ROUNDS; round++) {
        int seen[WINDOWS] = {0};
        for (int64_t step = 15 * round; step < 15 * (round + 1); step++)
            for (int64_t m = 0; m < ACCUMULATION; m++) {
                record r = record_of(l, step, m);
                for (int row = 0; row < B; row++) {
                    if (r.source[row] != 1) continue;
                    seen[r.at[row] / L]++;
                    offsets[r.at[row] % L] = true;
                }
            }
        for (int w = 0; w < WINDOWS; w++) assert_int_equal(seen[w], 2);
    }
    int distinct = 0;
    for (int i = 0; i < L; i++) distinct += offsets[i];
    assert_in_range(distinct, 8, 2 * ROUNDS); /* one for each epoch, some by chance the same */
    mo_loader_close(l);
}

/* One source is what the loader of one file is defined to be, whatever its weight. */
static void one_source_is_a_run_of_one_file(void **state)
{
    (void)state;
    const int64_t windows = (5000 - L) / L;
    mo_loader *l = open_mixture(1, false);
    for (int64_t step = 0; step < 60; step++)
        for (int64_t m = 0; m < ACCUMULATION; m++) {
            record r = record_of(l, step, m);
            for (int64_t row = 0; row < B; row++) {
                int64_t c = (step * ACCUMULATION + m) * B + row, epoch = c / windows;
                int64_t offset =
                    (int64_t)(mo_rng_uniform(11, MO_RNG_DATA, (uint64_t)epoch, 255, 0) * (double)L);
                int64_t window =
                    (int64_t)mo_rng_permute(11, (uint64_t)epoch, (uint64_t)windows, (uint64_t)(c % windows));
                assert_int_equal(r.at[row], offset + window * L);
                assert_int_equal(r.source[row], 0);
            }
        }
    assert_int_equal(mo_loader_drawn(l, 0, 60), 60 * PER_STEP);
    mo_loader_close(l);
}

static void any_step_may_be_asked_for_directly(void **state)
{
    (void)state;
    enum { STEPS = 150 };
    static record through[STEPS][ACCUMULATION];
    mo_loader *plain = open_mixture(SOURCES, false), *ahead = open_mixture(SOURCES, true);
    for (int64_t step = 0; step < STEPS; step++)
        for (int64_t m = 0; m < ACCUMULATION; m++) through[step][m] = record_of(plain, step, m);
    for (int64_t step = 0; step < STEPS; step++)
        for (int64_t m = 0; m < ACCUMULATION; m++) {
            record r = record_of(ahead, step, m);
            assert_memory_equal(&r, &through[step][m], sizeof r);
        }
    for (uint64_t k = 0; k < 300; k++) {
        int64_t step = (int64_t)(mo_rng_uniform(1, MO_RNG_TEST, 0, 0, k) * STEPS), m = (int64_t)k % 3;
        record r = record_of(k % 2 ? ahead : plain, step, m);
        assert_memory_equal(&r, &through[step][m], sizeof r);
    }
    mo_loader_close(plain);
    mo_loader_close(ahead);
}

static mo_status open_close(const mo_loader_options *o)
{
    mo_loader *l;
    MO_TRY(mo_loader_open(o, &l));
    mo_loader_close(l);
    return MO_OK;
}

static void bad_sources_are_refused(void **state)
{
    (void)state;
    mo_loader *l;
    mo_loader_source sources[2] = {{&corpora[0].tokens, 1}, {&corpora[2].tokens, 1}};
    mo_loader_options o = {.sources = sources,
                           .n_sources = 2,
                           .tokenizer = corpora[0].tokenizer,
                           .batch_size = 1,
                           .sequence_length = 2 * L,
                           .accumulation = 1};
    MO_CHECK_STATUS(mo_loader_open(&o, &l), MO_E_RANGE);
    MO_CHECK_MESSAGE("source 1: has 64 tokens, sequence_length 64 needs at least 65");
    assert_null(l);
    o.sequence_length = L;
    const double bad[] = {0, -1, (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sources[1].weight = bad[i];
        MO_CHECK_STATUS(mo_loader_open(&o, &l), MO_E_RANGE);
        MO_CHECK_MESSAGE("source 1 has weight");
    }
    sources[1].weight = 1;
    o.n_sources = 0;
    MO_CHECK_STATUS(mo_loader_open(&o, &l), MO_E_RANGE);
    o.n_sources = 2;
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_close(&o));
    assert_true(failed >= 5);
    assert_int_equal(mo__alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_say_where_they_come_from),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(no_row_keeps_a_source),
        cmocka_unit_test(each_source_has_its_own_epochs),
        cmocka_unit_test(one_source_is_a_run_of_one_file),
        cmocka_unit_test(any_step_may_be_asked_for_directly),
        cmocka_unit_test(bad_sources_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
