/* Training a tokenizer: what it is, the same bytes each time, sampling, sizes that cannot be. */
#include <moira/tokenizer.h>

#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

/* ---- a text: verses of made-up words, drawn unevenly ---- */

enum { TEXT_SIZE = 60000 };

static char *make_text(uint64_t seed, size_t size)
{
    static const char *const SYLLABLES[] = {"mo", "ra", "lo", "the", "spin", "dle",      "cut", "thre",
                                            "ad", "Fa", "te", "s",   "ing",  "\xC3\xA9", "7",   "42"};
    char *text = malloc(size + 1);
    assert_non_null(text);
    size_t used = 0;
    for (uint64_t i = 0; used + 8 < size; i++) {
        double u = mo_rng_uniform(seed, MO_RNG_TEST, 0, 0, i), v = mo_rng_uniform(seed, MO_RNG_TEST, 1, 0, i);
        const char *part = SYLLABLES[(size_t)(u * u * 16)];
        memcpy(text + used, part, strlen(part));
        used += strlen(part);
        if (v < 0.4) text[used++] = v < 0.03 ? '\n' : ' ';
    }
    memset(text + used, '.', size - used);
    text[size] = '\0';
    return text;
}

typedef struct source {
    const char *text;
    size_t size, step; /* given in parts of `step` bytes; 0 = at once */
    size_t at;
    mo_status status; /* at the end */
} source;

static mo_status next(void *user, const char **text, size_t *size)
{
    source *s = user;
    *text = s->text + s->at;
    *size = s->step && s->size - s->at > s->step ? s->step : s->size - s->at;
    s->at += *size;
    return *size ? MO_OK : s->status;
}

static mo_status train(const char *text, size_t size, int64_t vocab_size, size_t sample, mo_tokenizer **out)
{
    source s = {text, size, 0, 0, MO_OK};
    mo_tokenizer_train_options options = {
        .vocab_size = vocab_size, .next = next, .user = &s, .sample_bytes = sample};
    return mo_tokenizer_train(&options, out);
}

static void a_trained_tokenizer_is_like_mixtrals(void **state)
{
    (void)state;
    char *text = make_text(1, TEXT_SIZE), *again;
    mo_tokenizer *t;
    int32_t *ids;
    int64_t count;
    size_t size;
    MO_CHECK_OK(train(text, TEXT_SIZE, 500, 0, &t));
    assert_int_equal(mo_tokenizer_vocab_size(t), 500);
    assert_string_equal(mo_tokenizer_kind(t), "sentencepiece");
    assert_int_equal(mo_tokenizer_bos(t), 1);
    assert_int_equal(mo_tokenizer_eos(t), 2);
    assert_string_equal(mo_tokenizer_piece(t, 0), "<unk>");
    assert_string_equal(mo_tokenizer_piece(t, 3), "<0x00>");
    assert_string_equal(mo_tokenizer_piece(t, 258), "<0xFF>");
    MO_CHECK_OK(mo_tokenizer_encode(t, text, TEXT_SIZE, &ids, &count));
    assert_true(count < TEXT_SIZE / 3);
    MO_CHECK_OK(mo_tokenizer_decode(t, ids, count, &again, &size));
    assert_int_equal(size, TEXT_SIZE);
    assert_memory_equal(again, text, size);
    mo_free(again);
    mo_free(ids);
    /* What was never seen comes back too; digits are apart. */
    static const char OTHER[] = "  \tQ\xF0\x9F\x99\x82\r\n 4242";
    MO_CHECK_OK(mo_tokenizer_encode(t, OTHER, sizeof OTHER - 1, &ids, &count));
    for (int i = 1; i <= 4; i++) assert_int_equal(strlen(mo_tokenizer_piece(t, ids[count - i])), 1);
    MO_CHECK_OK(mo_tokenizer_decode(t, ids, count, &again, &size));
    assert_int_equal(size, sizeof OTHER - 1);
    assert_memory_equal(again, OTHER, size);
    mo_free(again);
    mo_free(ids);
    assert_true(mo_tokenizer_cut(t, text, 1000) > 900);
    mo_tokenizer_free(t);
    free(text);
}

/* Newlines are learnt in their places, and the words behind them without a word mark. */
static void lines_are_not_taken_apart(void **state)
{
    (void)state;
    char text[12000] = "";
    size_t used = 0;
    while (used + 20 < sizeof text) used += (size_t)sprintf(text + used, "Moira:\nspins on.\n\n");
    mo_tokenizer *t;
    bool found = false;
    MO_CHECK_OK(train(text, used, 290, 0, &t));
    for (int32_t id = 259; id < 290; id++) found |= strcmp(mo_tokenizer_piece(t, id), "spins") == 0;
    assert_true(found);
    found = false;
    for (int32_t id = 259; id < 290; id++) found |= strcmp(mo_tokenizer_piece(t, id), ".\n\n") == 0;
    assert_true(found);
    mo_tokenizer_free(t);
    used = 0;
    while (used + 20 < sizeof text) used += (size_t)sprintf(text + used, "    spins\n");
    found = false;
    MO_CHECK_OK(train(text, used, 270, 0, &t));
    for (int32_t id = 259; id < 270; id++)
        found |= strcmp(mo_tokenizer_piece(t, id), "\xE2\x96\x81\xE2\x96\x81") == 0;
    assert_true(found);
    mo_tokenizer_free(t);
}

/* Whatever the number of threads, how the text is handed over in chunks' sizes, and what else the heap holds.
 */
static void the_same_text_gives_the_same_bytes(void **state)
{
    (void)state;
    char *text = make_text(2, TEXT_SIZE), *holes[400];
    mo_tokenizer *first, *t;
    mo_threads_set(1);
    MO_CHECK_OK(train(text, TEXT_SIZE, 700, 0, &first));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 400; i++) holes[i] = malloc(24 + 8 * ((i * 37 + (size_t)round) % 50));
        for (size_t i = 0; i < 400; i += 2) free(holes[i]);
        mo_threads_set(2 + round);
        MO_CHECK_OK(train(text, TEXT_SIZE, 700, 0, &t));
        assert_true(mo_tokenizer_equal(first, t));
        mo_tokenizer_free(t);
        for (size_t i = 1; i < 400; i += 2) free(holes[i]);
    }
    mo_threads_set(0);
    mo_tokenizer_free(first);
    MO_CHECK_OK(train(text, TEXT_SIZE - 20000, 700, 0, &t));
    mo_tokenizer_free(t);
    free(text);
}

/* The first half has only the word "aaaa", the second only "bbbb"; a small sample still has both. */
static void a_long_text_is_sampled_evenly(void **state)
{
    (void)state;
    const size_t size = 400000;
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++) text[i] = i % 5 == 4 ? ' ' : i < size / 2 ? 'a' : 'b';
    mo_tokenizer *t;
    int64_t counts[2];
    int32_t *ids;
    MO_CHECK_OK(train(text, size, 265, 20000, &t));
    const mo_text_piece pieces[] = {{" aaaa", 5, true}, {" bbbb", 5, true}};
    MO_CHECK_OK(mo_tokenizer_encode_batch(t, pieces, 2, &ids, counts));
    assert_true(counts[0] <= 3 && counts[1] <= 3);
    mo_free(ids);
    mo_tokenizer_free(t);
    /* No more than the sample is held: a vocabulary that all of a varied text gives is too large for it. */
    free(text);
    text = make_text(3, size);
    MO_CHECK_OK(train(text, size, 3000, 0, &t));
    mo_tokenizer_free(t);
    MO_CHECK_STATUS(train(text, size, 3000, 8000, &t), MO_E_RANGE);
    MO_CHECK_MESSAGE("a vocabulary of 3000 is more than");
    assert_null(t);
    free(text);
}

static void long_words_are_cut_between_characters(void **state)
{
    (void)state;
    const size_t size = 300000;
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i += 3) memcpy(text + i, i % 2 ? "\xE6\x97\xA5" : "\xE6\x9C\xAC", 3);
    mo_tokenizer *t;
    MO_CHECK_OK(train(text, size, 264, 0, &t));
    for (int32_t id = 259; id < 264; id++) assert_null(strstr(mo_tokenizer_piece(t, id), "\xEF\xBF\xBD"));
    mo_tokenizer_free(t);
    free(text);
}

/* The limit that the message of a failure names: it must hold, and be one. */
static int64_t limit_in_message(const char *before)
{
    const char *at = strstr(mo_last_error(), before);
    if (!at) fail_msg("\"%s\" has no \"%s\"", mo_last_error(), before);
    return strtoll(at + strlen(before), NULL, 10);
}

/* What a text of one chunk gives, the same text many times longer gives too, and nothing else: between chunks
 * there are no new words. */
static void chunks_are_cut_at_words(void **state)
{
    (void)state;
    static char text[30000];
    mo_tokenizer *t;
    for (size_t i = 0; i < sizeof text; i += 5) memcpy(text + i, "spun ", 5);
    MO_CHECK_STATUS(train(text, 3004, 400, 0, &t), MO_E_RANGE);
    int64_t most = limit_in_message("at most ");
    MO_CHECK_STATUS(train(text, sizeof text - 1, 400, 0, &t), MO_E_RANGE);
    assert_int_equal(limit_in_message("at most "), most);
}

static void sizes_that_cannot_be_are_refused_with_the_limit(void **state)
{
    (void)state;
    char *text = make_text(4, TEXT_SIZE);
    mo_tokenizer *t;
    MO_CHECK_STATUS(train(text, TEXT_SIZE, 259, 0, &t), MO_E_RANGE);
    MO_CHECK_MESSAGE("it must be 260");
    MO_CHECK_STATUS(train(text, TEXT_SIZE, 2000000, 0, &t), MO_E_RANGE);
    MO_CHECK_MESSAGE("to 1000000");
    MO_CHECK_STATUS(train(text, TEXT_SIZE, 262, 0, &t), MO_E_RANGE);
    int64_t least = limit_in_message("characters make ");
    MO_CHECK_STATUS(train(text, TEXT_SIZE, least - 1, 0, &t), MO_E_RANGE);
    assert_null(t);
    MO_CHECK_OK(train(text, TEXT_SIZE, least, 0, &t));
    mo_tokenizer_free(t);
    MO_CHECK_STATUS(train(text, 5000, 20000, 0, &t), MO_E_RANGE);
    int64_t most = limit_in_message("at most ");
    MO_CHECK_OK(train(text, 5000, most, 0, &t));
    mo_tokenizer_free(t);
    MO_CHECK_STATUS(train(text, 5000, most + 1, 0, &t), MO_E_RANGE);
    MO_CHECK_STATUS(train("", 0, 300, 0, &t), MO_E_RANGE);
    MO_CHECK_MESSAGE("no text");
    /* Nothing but what the trainer keeps for itself. */
    MO_CHECK_STATUS(train("\xE2\x96\x85", 3, 300, 0, &t), MO_E_RANGE);
    MO_CHECK_MESSAGE("cannot learn a vocabulary of 300 from 3 bytes");
    assert_null(t);
    free(text);
}

static void the_source_s_failure_is_the_result(void **state)
{
    (void)state;
    char *text = make_text(5, 9000);
    source s = {text, 9000, 700, 0, MO_E_INTERRUPTED};
    mo_tokenizer_train_options options = {.vocab_size = 300, .next = next, .user = &s};
    mo_tokenizer *t;
    mo_error(MO_E_INTERRUPTED, "interrupted");
    MO_CHECK_STATUS(mo_tokenizer_train(&options, &t), MO_E_INTERRUPTED);
    assert_null(t);
    s = (source){text, 9000, 700, 0, MO_OK};
    MO_CHECK_OK(mo_tokenizer_train(&options, &t));
    mo_tokenizer_free(t);
    free(text);
}

static mo_status train_and_free(const char *text, size_t size)
{
    mo_tokenizer *t;
    mo_status status = train(text, size, 300, 0, &t);
    if (status == MO_OK) mo_tokenizer_free(t);
    return status;
}

static void no_leak_when_memory_fails(void **state)
{
    (void)state;
    char *text = make_text(6, 20000);
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, train_and_free(text, 20000));
    assert_true(failed > 10);
    assert_int_equal(mo__alloc_live(), live);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trained_tokenizer_is_like_mixtrals),
        cmocka_unit_test(lines_are_not_taken_apart),
        cmocka_unit_test(the_same_text_gives_the_same_bytes),
        cmocka_unit_test(a_long_text_is_sampled_evenly),
        cmocka_unit_test(long_words_are_cut_between_characters),
        cmocka_unit_test(chunks_are_cut_at_words),
        cmocka_unit_test(sizes_that_cannot_be_are_refused_with_the_limit),
        cmocka_unit_test(the_source_s_failure_is_the_result),
        cmocka_unit_test(no_leak_when_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
