/* test_packing.c -- whole documents in windows: against the definition, in batches, in epochs, and in
 * evaluations. */
#include <moira/data.h>

#include <string.h>

#include "data/packing.h"
#include "harness/corpus.h"
#include "harness/harness.h"

static int64_t length_of(const mo_tokens *t, int64_t d)
{
    return (int64_t)(t->offsets[d + 1] - t->offsets[d]);
}

/* Documents of 1 to 60 tokens; a token of a number divisible by 3 is only read, and so are all of every
 * ninth document. */
static corpus make_whole(int64_t count, bool masked)
{
    corpus c = corpus_make(count, 0, true);
    mo_tokens *t = &c.tokens;
    t->whole = true;
    if (!masked) return c;
    t->mask = mo_malloc((size_t)count);
    for (int64_t d = 0; d < t->documents; d++)
        for (uint64_t i = t->offsets[d]; i < t->offsets[d + 1]; i++) t->mask[i] = i % 3 != 0 && d % 9 != 4;
    return c;
}

static void free_whole(corpus *c)
{
    mo_free(c->tokens.mask);
    corpus_free(c);
}

/* ---- the packing ---- */

/* Best fit, decreasing, by looking at every window: window[d], in the order in which windows were begun. Of
 * windows with equal room the one that was touched last. */
static int64_t pack_slowly(const mo_tokens *t, int64_t L, int64_t *window)
{
    int64_t *room = mo_calloc((size_t)t->documents, sizeof *room),
            *touched = mo_calloc((size_t)t->documents, sizeof *touched), windows = 0, turn = 0;
    for (int64_t n = L; n > 0; n--) {
        for (int64_t d = 0; d < t->documents; d++) {
            if (length_of(t, d) != n) continue;
            int64_t best = -1;
            for (int64_t w = 0; w < windows; w++) {
                if (room[w] < n) continue;
                if (best < 0 || room[w] < room[best] || (room[w] == room[best] && touched[w] > touched[best]))
                    best = w;
            }
            if (best < 0) room[best = windows++] = L;
            room[best] -= n;
            touched[best] = ++turn;
            window[d] = best;
        }
    }
    mo_free(room);
    mo_free(touched);
    return windows;
}

static void check_packing(const mo_tokens *t, int64_t L)
{
    mo_packing p;
    MO_CHECK_OK(mo_packing_create(t, L, &p));
    int64_t *window = mo_calloc((size_t)t->documents + 1, sizeof *window), seen = 0, newest = -1;
    assert_int_equal(p.windows, pack_slowly(t, L, window));
    assert_true(p.documents == t->documents && p.tokens == t->count && p.sequence_length == L);
    assert_true(p.first[0] == 0 && p.first[p.windows] == t->documents);
    for (int64_t w = 0; w < p.windows; w++) {
        int64_t used = 0;
        assert_true(p.first[w] < p.first[w + 1]);
        assert_true(p.document[p.first[w]] > newest); /* windows by their first document */
        newest = p.document[p.first[w]];
        for (int64_t k = p.first[w]; k < p.first[w + 1]; k++, seen++) {
            int64_t d = p.document[k];
            assert_int_equal(window[d], window[p.document[p.first[w]]]);
            if (k > p.first[w]) assert_true(d > p.document[k - 1]);
            used += length_of(t, d);
        }
        assert_true(used <= L);
    }
    assert_int_equal(seen, t->documents);
    MO_CHECK_NEAR(mo_packing_fill(&p), (double)t->count / (double)(p.windows * L), 1e-15);
    mo_free(window);
    mo_packing_free(&p);
}

static void packing_is_best_fit_decreasing(void **state)
{
    (void)state;
    static const int64_t lengths[] = {60, 61, 64, 65, 100, 128, 191, 500, 4096, 5000, 300000};
    for (int64_t count = 1; count < 9000; count = count * 3 + 5) {
        corpus c = make_whole(count, false);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) check_packing(&c.tokens, lengths[i]);
        free_whole(&c);
    }
}

/* Lengths that fill windows whole leave no room: 30 30, 20 20 20, 10 x 6 of 60, in any order. */
static void full_windows_are_full(void **state)
{
    (void)state;
    static const int lengths[] = {10, 20, 30, 10, 20, 30, 10, 60, 20, 10, 10, 10};
    uint64_t offsets[13] = {0};
    for (int d = 0; d < 12; d++) offsets[d + 1] = offsets[d] + (uint64_t)lengths[d];
    mo_tokens t = {.count = (int64_t)offsets[12], .documents = 12, .offsets = offsets, .whole = true};
    mo_packing p;
    MO_CHECK_OK(mo_packing_create(&t, 60, &p));
    assert_int_equal(p.windows, 4);
    assert_true(mo_packing_fill(&p) == 1);
    mo_packing_free(&p);
    MO_CHECK_STATUS(mo_packing_create(&t, 59, &p), MO_E_RANGE);
    MO_CHECK_MESSAGE("document 7 has 60 tokens");
    MO_CHECK_MESSAGE("room for 59 (1 of 12 documents are too long)");
    MO_CHECK_MESSAGE("--max-length 59 --truncate");
    MO_CHECK_STATUS(mo_packing_create(&t, 0, &p), MO_E_RANGE);
    MO_CHECK_STATUS(mo_packing_create(&t, INT64_MAX, &p), MO_E_RANGE);
}

static mo_status pack_and_free(const mo_tokens *t)
{
    mo_packing p;
    MO_TRY(mo_packing_create(t, 128, &p));
    mo_packing_free(&p);
    return MO_OK;
}

static void no_leak_when_memory_fails(void **state)
{
    (void)state;
    corpus c = make_whole(3000, false);
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, pack_and_free(&c.tokens));
    assert_int_equal(failed, 4);
    assert_int_equal(mo__alloc_live(), live);
    free_whole(&c);
}

/* ---- batches ---- */

static int64_t document_of(const mo_tokens *t, int64_t i)
{
    int64_t d = 0;
    while (t->offsets[d + 1] <= (uint64_t)i) d++;
    return d;
}

/* A row by definition: token i of the split is i, so that a row says itself what is in it. seen[d] counts. */
static void check_row(const corpus *c, const mo_batch *b, int64_t row, int *seen, int64_t *predicted,
                      int64_t *bytes, int64_t *valid)
{
    const mo_tokens *t = &c->tokens;
    int64_t L = b->sequence_length, i = 0, k = row * L;
    while (i < L && b->tokens[k + i] >= 0) {
        int64_t d = document_of(t, b->tokens[k + i]), n = length_of(t, d), first = (int64_t)t->offsets[d];
        seen[d]++;
        assert_true(i + n <= L);
        for (int64_t j = 0; j < n; j++) {
            bool target = j + 1 < n && (!t->mask || t->mask[first + j + 1]);
            assert_int_equal(b->tokens[k + i + j], first + j);
            assert_int_equal(b->targets[k + i + j], target ? first + j + 1 : -1);
            assert_int_equal(b->starts[k + i + j], i);
            assert_int_equal(b->domains[k + i + j], t->domains[d]);
            assert_int_equal(b->at[k + i + j], first + j);
            *predicted += target;
            *bytes += target ? 1 + (first + j + 1) % 3 : 0;
        }
        i += n;
        *valid += n;
    }
    for (; i < L; i++) {
        assert_int_equal(b->tokens[k + i], -1);
        assert_int_equal(b->targets[k + i], -1);
        assert_int_equal(b->starts[k + i], i);
        assert_int_equal(b->domains[k + i], -1);
        assert_int_equal(b->at[k + i], -1);
    }
}

static void check_batch(const corpus *c, const mo_batch *b, int *seen)
{
    int64_t predicted = 0, bytes = 0, valid = 0;
    for (int64_t row = 0; row < b->batch_size; row++)
        if (b->source[row] >= 0) check_row(c, b, row, seen, &predicted, &bytes, &valid);
    assert_int_equal(b->predicted, predicted);
    assert_int_equal(b->predicted_bytes, bytes);
    assert_int_equal(b->valid, valid);
}

static mo_loader *open_loader(const corpus *c, int64_t B, int64_t L, int64_t accumulation, uint64_t seed,
                              bool prefetch)
{
    mo_loader_source source = {&c->tokens, 1};
    mo_loader_options o = {.sources = &source,
                           .n_sources = 1,
                           .tokenizer = c->tokenizer,
                           .batch_size = B,
                           .sequence_length = L,
                           .accumulation = accumulation,
                           .seed = seed,
                           .prefetch = prefetch};
    mo_loader *l;
    MO_CHECK_OK(mo_loader_open(&o, &l));
    return l;
}

/* Every document once in an epoch, in windows of another order in the next; with and without the thread; what
 * a step predicts and reads is known in its first microbatch. */
static void every_document_once_per_epoch(void **state)
{
    (void)state;
    enum { L = 97, B = 1, M = 3, EPOCHS = 3 };
    for (int masked = 0; masked < 2; masked++) {
        corpus c = make_whole(9000, masked);
        int64_t windows = 0, orders[EPOCHS] = {0};
        MO_CHECK_OK(mo_train_windows(&c.tokens, L, &windows));
        int *seen = mo_calloc((size_t)c.tokens.documents, sizeof *seen);
        mo_loader *l = open_loader(&c, B, L, M, 5, masked);
        int64_t predicted = 0, valid = 0, step_predicted = 0, step_valid = 0;
        for (int64_t i = 0; i < EPOCHS * windows; i++) {
            const mo_batch *b;
            MO_CHECK_OK(mo_loader_get(l, i / M, i % M, &b));
            check_batch(&c, b, seen);
            if (i % windows == 0) orders[i / windows] = b->at[0];
            if (i % M == 0)
                predicted = valid = 0, step_predicted = b->predicted_step, step_valid = b->valid_step;
            predicted += b->predicted;
            valid += b->valid;
            assert_true(b->predicted_step == step_predicted && b->valid_step == step_valid);
            if (i % M == M - 1) assert_true(predicted == step_predicted && valid == step_valid);
            if ((i + 1) % windows) continue;
            for (int64_t d = 0; d < c.tokens.documents; d++) assert_int_equal(seen[d], 1 + i / windows);
        }
        assert_true(orders[0] != orders[1] || orders[1] != orders[2]);
        mo_loader_close(l);
        mo_free(seen);
        free_whole(&c);
    }
}

/* The windows are the same for any seed; only their order is the seed's. */
static void a_seed_permutes_windows(void **state)
{
    (void)state;
    enum { L = 80 };
    corpus c = make_whole(4000, true);
    int64_t windows = 0, different = 0;
    MO_CHECK_OK(mo_train_windows(&c.tokens, L, &windows));
    uint64_t *fingerprints = mo_calloc((size_t)windows, sizeof *fingerprints);
    for (uint64_t seed = 0; seed < 2; seed++) {
        mo_loader *l = open_loader(&c, 1, L, 1, seed, false);
        for (int64_t i = 0; i < windows; i++) {
            const mo_batch *b;
            uint64_t sum = 1;
            int64_t found = 0;
            MO_CHECK_OK(mo_loader_get(l, i, 0, &b));
            for (int64_t k = 0; k < L; k++) sum = sum * 31 + (uint64_t)b->tokens[k];
            if (seed == 0) fingerprints[i] = sum;
            for (int64_t k = 0; k < windows; k++) found += fingerprints[k] == sum;
            assert_true(found >= 1);
            different += fingerprints[i] != sum;
        }
        mo_loader_close(l);
    }
    assert_true(different > windows / 2);
    mo_free(fingerprints);
    free_whole(&c);
}

/* Rows of a packed source and of a stream in one step: each as its own kind, and counted together. */
static void packed_and_stream_mix(void **state)
{
    (void)state;
    enum { L = 70, B = 3, M = 2, STEPS = 40 };
    corpus packed = make_whole(4000, true), stream = corpus_make(3000, 500000, false);
    mo_loader_source sources[] = {{&packed.tokens, 1}, {&stream.tokens, 2}};
    mo_loader_options o = {sources, 2, packed.tokenizer, B, L, M, 3, true};
    mo_loader *l;
    MO_CHECK_OK(mo_loader_open(&o, &l));
    int *seen = mo_calloc((size_t)packed.tokens.documents, sizeof *seen), rows = 0;
    for (int64_t i = 0; i < STEPS * M; i++) {
        static int64_t sum, valid, step, step_valid;
        const mo_batch *b;
        MO_CHECK_OK(mo_loader_get(l, i / M, i % M, &b));
        for (int64_t row = 0; row < B; row++) {
            int64_t predicted = 0, bytes = 0, n = 0;
            if (b->source[row] == 0)
                check_row(&packed, b, row, seen, &predicted, &bytes, &n);
            else
                for (int64_t k = 0; k < L; k++)
                    assert_int_equal(b->tokens[row * L + k], 500000 + b->at[row * L] + k);
            rows += b->source[row] == 0;
        }
        if (i % M == 0) sum = valid = 0, step = b->predicted_step, step_valid = b->valid_step;
        sum += b->predicted;
        valid += b->valid;
        if (i % M == M - 1) assert_true(sum == step && valid == step_valid);
    }
    assert_int_equal(rows, STEPS * M * B / 3);
    assert_int_equal(mo_loader_drawn(l, 0, STEPS), rows);
    mo_loader_close(l);
    mo_free(seen);
    free_whole(&packed);
    corpus_free(&stream);
}

/* The mask of a stream: windows as ever, fewer targets, counted before. */
static void streams_may_have_a_mask(void **state)
{
    (void)state;
    enum { L = 64, M = 2 };
    corpus c = make_whole(5000, true);
    c.tokens.whole = false;
    mo_loader *l = open_loader(&c, 3, L, M, 11, false);
    for (int64_t i = 0; i < 60; i++) {
        const mo_batch *b;
        static int64_t sum, step;
        int64_t predicted = 0;
        MO_CHECK_OK(mo_loader_get(l, i / M, i % M, &b));
        for (int64_t k = 0; k < 3 * L; k++) {
            int64_t at = b->tokens[k], d = document_of(&c.tokens, at);
            bool target = c.tokens.offsets[d + 1] != (uint64_t)at + 1 && c.tokens.mask[at + 1];
            assert_int_equal(b->targets[k], target ? at + 1 : -1);
            predicted += target;
        }
        assert_int_equal(b->predicted, predicted);
        if (i % M == 0) sum = 0, step = b->predicted_step;
        sum += predicted;
        assert_int_equal(b->valid_step, 3 * L * M);
        if (i % M == M - 1) assert_int_equal(sum, step);
    }
    mo_loader_close(l);
    free_whole(&c);
}

/* ---- evaluation ---- */

/* The whole split, each document once, whatever the length of windows. */
static void evaluation_leaves_nothing_out(void **state)
{
    (void)state;
    enum { B = 4 };
    corpus c = make_whole(5000, true);
    int64_t all = 0;
    for (int64_t d = 0; d < c.tokens.documents; d++)
        for (uint64_t i = c.tokens.offsets[d] + 1; i < c.tokens.offsets[d + 1]; i++) all += c.tokens.mask[i];
    for (int64_t L = 60; L < 7000; L = 2 * L + 7) {
        mo_eval_order order;
        mo_batch *b;
        int64_t predicted = 0, valid = 0;
        int *seen = mo_calloc((size_t)c.tokens.documents, sizeof *seen);
        MO_CHECK_OK(mo_eval_order_create(&c.tokens, L, &order));
        MO_CHECK_OK(mo_batch_create(B, L, &b));
        for (int64_t w = 0; w < order.windows; w += B) {
            MO_CHECK_OK(mo_eval_batch(&order, c.tokenizer, w, b));
            check_batch(&c, b, seen);
            if (w == 0) assert_int_equal(b->at[0], 0);
            predicted += b->predicted;
            valid += b->valid;
            assert_true(b->predicted_step == b->predicted && b->valid_step == b->valid);
        }
        assert_int_equal(predicted, all);
        assert_int_equal(valid, c.tokens.count);
        for (int64_t d = 0; d < c.tokens.documents; d++) assert_int_equal(seen[d], 1);
        mo_batch_free(b);
        mo_eval_order_free(&order);
        mo_free(seen);
    }
    mo_eval_order order;
    MO_CHECK_STATUS(mo_eval_order_create(&c.tokens, 59, &order), MO_E_RANGE);
    mo_eval_order_free(&order);
    free_whole(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_is_best_fit_decreasing), cmocka_unit_test(full_windows_are_full),
        cmocka_unit_test(no_leak_when_memory_fails),      cmocka_unit_test(every_document_once_per_epoch),
        cmocka_unit_test(a_seed_permutes_windows),        cmocka_unit_test(packed_and_stream_mix),
        cmocka_unit_test(streams_may_have_a_mask),        cmocka_unit_test(evaluation_leaves_nothing_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
