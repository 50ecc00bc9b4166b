/* test_loader.c -- batches against their definition, whatever the order they are asked for. */
#include <moira/data.h>

#include <string.h>
#include <time.h>

#include "harness/corpus.h"
#include "harness/harness.h"

static mo_loader *open_loader(const corpus *c, int64_t B, int64_t L, int64_t accumulation, bool prefetch)
{
    mo_loader_source source = {&c->tokens, 1};
    mo_loader_options o = {.sources = &source,
                           .n_sources = 1,
                           .tokenizer = c->tokenizer,
                           .batch_size = B,
                           .sequence_length = L,
                           .accumulation = accumulation,
                           .seed = 11,
                           .prefetch = prefetch};
    mo_loader *l;
    MO_CHECK_OK(mo_loader_open(&o, &l));
    return l;
}

static int64_t slow_document(const mo_tokens *t, int64_t i)
{
    int64_t d = 0;
    while (t->offsets[d + 1] <= (uint64_t)i) d++;
    return d;
}

/* A row by definition: tokens from `at` on; predict_last as in a training batch. Adds up what is predicted.
 */
static void check_row(const corpus *c, const mo_batch *b, int64_t row, bool predict_last, int64_t *predicted,
                      int64_t *bytes)
{
    const mo_tokens *t = &c->tokens;
    int64_t L = b->sequence_length, at = b->tokens[row * L];
    for (int64_t i = 0; i < L; i++) {
        int64_t k = row * L + i, d = slow_document(t, at + i);
        bool last_of_window = i == L - 1 && !predict_last;
        bool last_of_document = t->offsets[d + 1] == (uint64_t)(at + i + 1);
        int64_t target = last_of_window || last_of_document ? -1 : at + i + 1;
        int64_t start = (int64_t)t->offsets[d] - at;
        assert_int_equal(b->tokens[k], at + i);
        assert_int_equal(b->targets[k], target);
        assert_int_equal(b->starts[k], start > 0 ? start : 0);
        assert_int_equal(b->domains[k], t->domains ? t->domains[d] : -1);
        assert_int_equal(b->at[k], at + i);
        if (target < 0) continue;
        *predicted += 1;
        *bytes += 1 + target % 3;
    }
}

static void check_batch(const corpus *c, const mo_batch *b)
{
    int64_t predicted = 0, bytes = 0;
    for (int64_t row = 0; row < b->batch_size; row++) check_row(c, b, row, true, &predicted, &bytes);
    assert_int_equal(b->predicted, predicted);
    assert_int_equal(b->predicted_bytes, bytes);
    assert_int_equal(b->valid, b->batch_size * b->sequence_length);
}

static mo_batch *copy_batch(const mo_batch *b)
{
    mo_batch *copy;
    MO_CHECK_OK(mo_batch_create(b->batch_size, b->sequence_length, &copy));
    memcpy(copy->tokens, b->tokens, (size_t)(4 * b->batch_size * b->sequence_length) * sizeof(int32_t));
    copy->predicted = b->predicted;
    copy->predicted_step = b->predicted_step;
    copy->predicted_bytes = b->predicted_bytes;
    copy->valid = b->valid;
    copy->valid_step = b->valid_step;
    memcpy(copy->at, b->at, (size_t)(b->batch_size * b->sequence_length) * sizeof *b->at);
    return copy;
}

static void check_same(const mo_batch *a, const mo_batch *b)
{
    assert_memory_equal(a->tokens, b->tokens,
                        (size_t)(4 * a->batch_size * a->sequence_length) * sizeof(int32_t));
    assert_int_equal(a->predicted, b->predicted);
    assert_int_equal(a->predicted_step, b->predicted_step);
    assert_int_equal(a->predicted_bytes, b->predicted_bytes);
    assert_int_equal(a->valid, b->valid);
    assert_int_equal(a->valid_step, b->valid_step);
    assert_memory_equal(a->at, b->at, (size_t)(a->batch_size * a->sequence_length) * sizeof *a->at);
}

static void rest(int milliseconds)
{
    struct timespec t = {0, milliseconds * 1000000L};
    nanosleep(&t, NULL);
}

/* ---- what is in a batch ---- */

static void batches_are_what_they_are_defined_to_be(void **state)
{
    (void)state;
    for (int labels = 0; labels < 2; labels++) {
        corpus c = corpus_make(5000, 0, labels);
        mo_loader *l = open_loader(&c, 3, 64, 2, false);
        for (int64_t step = 0; step < 40; step++) {
            const mo_batch *b;
            int64_t sum = 0, whole = 0;
            for (int64_t m = 0; m < 2; m++) {
                MO_CHECK_OK(mo_loader_get(l, step, m, &b));
                check_batch(&c, b);
                sum += b->predicted;
                if (m == 0) whole = b->predicted_step;
                assert_int_equal(b->predicted_step, whole);
            }
            assert_int_equal(sum, whole);
        }
        mo_loader_close(l);
        corpus_free(&c);
    }
}

/* 5003 tokens, windows of 64: every epoch has 77 that do not overlap, each once, at an offset of its own. */
static void every_window_once_per_epoch(void **state)
{
    (void)state;
    enum { L = 64, WINDOWS = (5003 - L) / L, B = 7, EPOCHS = 5 };
    corpus c = corpus_make(5003, 0, false);
    mo_loader *l = open_loader(&c, B, L, 1, false);
    int offsets[EPOCHS], orders[EPOCHS];
    int64_t sequence = 0;
    const mo_batch *b = NULL;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int seen[WINDOWS] = {0};
        for (int i = 0; i < WINDOWS; i++, sequence++) {
            if (sequence % B == 0) MO_CHECK_OK(mo_loader_get(l, sequence / B, 0, &b));
            int at = b->tokens[sequence % B * L];
            if (i == 0) offsets[epoch] = at % L, orders[epoch] = at / L;
            assert_int_equal(at % L, offsets[epoch]);
            assert_int_equal(seen[at / L]++, 0);
        }
    }
    int same_offset = 0, same_order = 0;
    for (int e = 1; e < EPOCHS; e++)
        same_offset += offsets[e] == offsets[0], same_order += orders[e] == orders[0];
    assert_true(same_offset < EPOCHS - 1 && same_order < EPOCHS - 1);
    mo_loader_close(l);
    corpus_free(&c);
}

/* From one window and its target up to where a second window fits for any offset. */
static void short_splits_have_one_window(void **state)
{
    (void)state;
    enum { L = 16 };
    for (int64_t count = L + 1; count < 3 * L; count++) {
        corpus c = corpus_make(count, 0, false);
        mo_loader *l = open_loader(&c, 1, L, 1, false);
        int moved = 0;
        for (int64_t step = 0; step < 400; step++) {
            const mo_batch *b;
            MO_CHECK_OK(mo_loader_get(l, step, 0, &b));
            check_batch(&c, b);
            assert_true(b->tokens[0] + L + 1 <= count);
            moved += b->tokens[0] > 0;
        }
        assert_int_equal(moved > 0, count > L + 1);
        mo_loader_close(l);
        corpus_free(&c);
    }
}

static void another_seed_is_another_order(void **state)
{
    (void)state;
    corpus c = corpus_make(5000, 0, false);
    mo_loader_source source = {&c.tokens, 1};
    mo_loader_options o = {.sources = &source,
                           .n_sources = 1,
                           .tokenizer = c.tokenizer,
                           .batch_size = 8,
                           .sequence_length = 32,
                           .accumulation = 1};
    int32_t first[2];
    for (uint64_t seed = 0; seed < 2; seed++) {
        mo_loader *l;
        const mo_batch *b;
        o.seed = seed;
        MO_CHECK_OK(mo_loader_open(&o, &l));
        MO_CHECK_OK(mo_loader_get(l, 0, 0, &b));
        first[seed] = b->tokens[0];
        mo_loader_close(l);
    }
    assert_int_not_equal(first[0], first[1]);
    corpus_free(&c);
}

/* ---- in whatever order they are asked for ---- */

static void prefetched_or_not_the_same(void **state)
{
    (void)state;
    corpus c = corpus_make(20000, 0, true);
    mo_loader *ahead = open_loader(&c, 4, 100, 3, true), *plain = open_loader(&c, 4, 100, 3, false);
    for (int64_t step = 0; step < 60; step++) {
        for (int64_t m = 0; m < 3; m++) {
            const mo_batch *a, *b;
            MO_CHECK_OK(mo_loader_get(ahead, step, m, &a));
            if (step % 7 == 0) rest(1); /* the ring fills up */
            MO_CHECK_OK(mo_loader_get(plain, step, m, &b));
            check_same(a, b);
        }
    }
    assert_true(mo_loader_waited(ahead) >= 0);
    assert_true(mo_loader_waited(plain) == 0);
    mo_loader_close(ahead);
    mo_loader_close(plain);
    corpus_free(&c);
}

static void any_order_gives_the_same(void **state)
{
    (void)state;
    enum { STEPS = 30, ACCUMULATION = 2 };
    corpus c = corpus_make(20000, 0, true);
    mo_loader *plain = open_loader(&c, 2, 50, ACCUMULATION, false),
              *ahead = open_loader(&c, 2, 50, ACCUMULATION, true);
    mo_batch *right[STEPS * ACCUMULATION];
    const mo_batch *b;
    for (int i = 0; i < STEPS * ACCUMULATION; i++) {
        MO_CHECK_OK(mo_loader_get(plain, i / ACCUMULATION, i % ACCUMULATION, &b));
        right[i] = copy_batch(b);
    }
    for (uint64_t k = 0; k < 400; k++) { /* jumps, repeats, runs and short steps back */
        double u = mo_rng_uniform(1, MO_RNG_TEST, 1, 0, k);
        static int at;
        at = u < 0.3             ? (int)(u / 0.3 * STEPS * ACCUMULATION)
             : u < 0.4           ? at
             : u < 0.5 && at > 0 ? at - 1
                                 : (at + 1) % (STEPS * ACCUMULATION);
        MO_CHECK_OK(mo_loader_get(k % 3 ? ahead : plain, at / ACCUMULATION, at % ACCUMULATION, &b));
        check_same(b, right[at]);
    }
    for (int i = 0; i < STEPS * ACCUMULATION; i++) mo_batch_free(right[i]);
    mo_loader_close(plain);
    mo_loader_close(ahead);
    corpus_free(&c);
}

/* A run resumed at step 1000 opens a loader and asks for that step first. */
static void a_resumed_run_gets_the_same(void **state)
{
    (void)state;
    corpus c = corpus_make(3000, 0, false);
    mo_loader *through = open_loader(&c, 2, 32, 1, true);
    const mo_batch *a, *b;
    for (int64_t step = 0; step < 1000; step++) MO_CHECK_OK(mo_loader_get(through, step, 0, &a));
    mo_loader *resumed = open_loader(&c, 2, 32, 1, true);
    for (int64_t step = 1000; step < 1020; step++) {
        MO_CHECK_OK(mo_loader_get(through, step, 0, &a));
        MO_CHECK_OK(mo_loader_get(resumed, step, 0, &b));
        check_same(a, b);
    }
    mo_loader_close(through);
    mo_loader_close(resumed);
    corpus_free(&c);
}

static void a_batch_stays_until_the_next_get(void **state)
{
    (void)state;
    corpus c = corpus_make(5000, 0, false);
    mo_loader *l = open_loader(&c, 2, 64, 1, true);
    const int64_t steps[] = {0, 1, 2, 50, 3};
    for (int i = 0; i < 5; i++) {
        const mo_batch *b;
        MO_CHECK_OK(mo_loader_get(l, steps[i], 0, &b));
        mo_batch *copy = copy_batch(b);
        rest(5);
        check_same(b, copy);
        mo_batch_free(copy);
    }
    mo_loader_close(l);
    corpus_free(&c);
}

static void closing_never_hangs(void **state)
{
    (void)state;
    corpus c = corpus_make(5000, 0, false);
    for (int i = 0; i < 200; i++) {
        mo_loader *l = open_loader(&c, 2, 64, 1, true);
        const mo_batch *b;
        if (i % 3 == 1) MO_CHECK_OK(mo_loader_get(l, i, 0, &b));
        if (i % 5 == 1) rest(1);
        mo_loader_close(l);
    }
    mo_loader_close(NULL);
    corpus_free(&c);
}

/* ---- what is refused ---- */

static void bad_requests_are_refused(void **state)
{
    (void)state;
    corpus c = corpus_make(64, 0, false);
    mo_loader *l;
    mo_loader_source source = {&c.tokens, 1};
    mo_loader_options o = {.sources = &source,
                           .n_sources = 1,
                           .tokenizer = c.tokenizer,
                           .batch_size = 1,
                           .sequence_length = 64,
                           .accumulation = 1};
    MO_CHECK_STATUS(mo_loader_open(&o, &l), MO_E_RANGE);
    MO_CHECK_MESSAGE("64 tokens");
    MO_CHECK_MESSAGE("at least 65");
    assert_null(l);
    const int64_t bad[][3] = {{0, 8, 1},  {1, 0, 1},         {1, 8, 0},
                              {-1, 8, 1}, {INT64_MAX, 8, 2}, {INT64_MAX / 4, 8, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.batch_size = bad[i][0], o.sequence_length = bad[i][1], o.accumulation = bad[i][2];
        MO_CHECK_STATUS(mo_loader_open(&o, &l), MO_E_RANGE);
    }
    for (int prefetch = 0; prefetch < 2; prefetch++) {
        const mo_batch *b;
        l = open_loader(&c, 4, 8, 3, prefetch);
        MO_CHECK_STATUS(mo_loader_get(l, -1, 0, &b), MO_E_RANGE);
        MO_CHECK_STATUS(mo_loader_get(l, 0, 3, &b), MO_E_RANGE);
        MO_CHECK_STATUS(mo_loader_get(l, 0, -1, &b), MO_E_RANGE);
        MO_CHECK_STATUS(mo_loader_get(l, INT64_MAX, 0, &b), MO_E_RANGE);
        MO_CHECK_STATUS(mo_loader_get(l, INT64_MAX / 3 - 1, 0, &b),
                        MO_E_RANGE); /* said by what makes batches */
        MO_CHECK_MESSAGE("further than can be counted");
        MO_CHECK_OK(mo_loader_get(l, INT64_MAX / 13, 0, &b));
        check_batch(&c, b);
        MO_CHECK_OK(mo_loader_get(l, 2, 1, &b));
        check_batch(&c, b);
        mo_loader_close(l);
    }
    corpus_free(&c);
}

static mo_status open_get_close(const mo_loader_options *o)
{
    mo_loader *l;
    const mo_batch *b;
    MO_TRY(mo_loader_open(o, &l));
    mo_status status = mo_loader_get(l, 0, 0, &b);
    mo_loader_close(l);
    return status;
}

static void no_leak_when_memory_fails(void **state)
{
    (void)state;
    corpus c = corpus_make(500, 0, false);
    mo_loader_source source = {&c.tokens, 1};
    mo_loader_options o = {.sources = &source,
                           .n_sources = 1,
                           .tokenizer = c.tokenizer,
                           .batch_size = 2,
                           .sequence_length = 8,
                           .accumulation = 1,
                           .prefetch = true};
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_get_close(&o));
    assert_true(failed >= 9);
    assert_int_equal(mo__alloc_live(), live);
    corpus_free(&c);
}

/* ---- evaluation ---- */

static void evaluation_goes_through_in_order(void **state)
{
    (void)state;
    enum { L = 48, B = 4 };
    corpus c = corpus_make(10 * L + 17, 0, true);
    mo_batch *b;
    MO_CHECK_OK(mo_batch_create(B, L, &b));
    mo_eval_order order;
    MO_CHECK_OK(mo_eval_order_create(&c.tokens, L, &order));
    assert_int_equal(order.windows, 10);
    for (int64_t first = 0; first < 10; first += B) {
        int64_t predicted = 0, bytes = 0, rows = 10 - first < B ? 10 - first : B;
        MO_CHECK_OK(mo_eval_batch(&order, c.tokenizer, first, b));
        for (int64_t row = 0; row < rows; row++) {
            assert_int_equal(b->tokens[row * L], (first + row) * L);
            check_row(&c, b, row, false, &predicted, &bytes);
        }
        for (int64_t k = rows * L; k < B * L; k++) {
            assert_int_equal(b->tokens[k], -1);
            assert_int_equal(b->targets[k], -1);
            assert_int_equal(b->domains[k], -1);
            assert_int_equal(b->starts[k], k % L);
            assert_int_equal(b->at[k], -1);
        }
        assert_int_equal(b->predicted, predicted);
        assert_int_equal(b->predicted_step, predicted);
        assert_int_equal(b->predicted_bytes, bytes);
        assert_int_equal(b->valid, rows * L);
    }
    MO_CHECK_STATUS(mo_eval_batch(&order, c.tokenizer, 10, b), MO_E_RANGE);
    MO_CHECK_STATUS(mo_eval_batch(&order, c.tokenizer, -1, b), MO_E_RANGE);
    order.sequence_length = L - 1;
    MO_CHECK_STATUS(mo_eval_batch(&order, c.tokenizer, 0, b), MO_E_SHAPE);
    mo_eval_order_free(&order);
    mo_batch_free(b);
    MO_CHECK_STATUS(mo_batch_create(0, L, &b), MO_E_RANGE);
    MO_CHECK_STATUS(mo_batch_create(INT64_MAX / 8, 8, &b), MO_E_RANGE);
    corpus_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_what_they_are_defined_to_be),
        cmocka_unit_test(every_window_once_per_epoch),
        cmocka_unit_test(short_splits_have_one_window),
        cmocka_unit_test(another_seed_is_another_order),
        cmocka_unit_test(prefetched_or_not_the_same),
        cmocka_unit_test(any_order_gives_the_same),
        cmocka_unit_test(a_resumed_run_gets_the_same),
        cmocka_unit_test(a_batch_stays_until_the_next_get),
        cmocka_unit_test(closing_never_hangs),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(no_leak_when_memory_fails),
        cmocka_unit_test(evaluation_goes_through_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
