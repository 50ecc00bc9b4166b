/* The byte tokenizer: every byte there and back, identity, and what is refused. */
#include <moira/tokenizer.h>

#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

static void every_byte_there_and_back(void **state)
{
    (void)state;
    char text[512];
    for (int i = 0; i < 512; i++) text[i] = (char)(i * 7);
    mo_tokenizer *t;
    int32_t *ids;
    int64_t count;
    char *again;
    size_t size;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_OK(mo_tokenizer_encode(t, text, sizeof text, &ids, &count));
    assert_int_equal(count, 512);
    for (int i = 0; i < 512; i++) assert_int_equal(ids[i], (i * 7) & 255);
    MO_CHECK_OK(mo_tokenizer_decode(t, ids, count, &again, &size));
    assert_int_equal(size, sizeof text);
    assert_memory_equal(again, text, sizeof text);
    assert_int_equal(again[size], 0);
    assert_int_equal(mo_tokenizer_token_bytes(t, 200), 1);
    mo_free(again);
    mo_free(ids);
    MO_CHECK_OK(mo_tokenizer_encode(t, "", 0, &ids, &count));
    assert_int_equal(count, 0);
    mo_free(ids);
    mo_tokenizer_free(t);
}

static void decode_names_the_id_that_is_none(void **state)
{
    (void)state;
    mo_tokenizer *t;
    char *text;
    size_t size;
    const int32_t over[] = {65, 256}, under[] = {-1};
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_STATUS(mo_tokenizer_decode(t, over, 2, &text, &size), MO_E_RANGE);
    MO_CHECK_MESSAGE("256");
    assert_null(text);
    MO_CHECK_STATUS(mo_tokenizer_decode(t, under, 1, &text, &size), MO_E_RANGE);
    MO_CHECK_MESSAGE("-1");
    mo_tokenizer_free(t);
}

static void restored_is_equal(void **state)
{
    (void)state;
    mo_tokenizer *a, *b;
    size_t size;
    MO_CHECK_OK(mo_tokenizer_bytes(&a));
    const void *blob = mo_tokenizer_blob(a, &size);
    assert_int_equal(size, 0);
    assert_string_equal(mo_tokenizer_kind(a), "bytes");
    assert_int_equal(mo_tokenizer_vocab_size(a), 256);
    MO_CHECK_OK(mo_tokenizer_restore(mo_tokenizer_kind(a), blob, size, &b));
    assert_true(mo_tokenizer_equal(a, b));
    char hash[33], expected[33];
    mo_tokenizer_hash(b, hash);
    mo_hash_bytes("bytes", 6, expected); /* kind and its NUL, no blob */
    assert_string_equal(hash, expected);
    mo_tokenizer_free(a);
    mo_tokenizer_free(b);
}

static void bad_embeddings_are_refused(void **state)
{
    (void)state;
    mo_tokenizer *t;
    MO_CHECK_STATUS(mo_tokenizer_restore("wordpiece", "", 0, &t), MO_E_UNSUPPORTED);
    MO_CHECK_MESSAGE("wordpiece");
    assert_null(t);
    MO_CHECK_STATUS(mo_tokenizer_restore("bytes", "x", 1, &t), MO_E_CORRUPT);
    assert_null(t);
}

static void bytes_are_shown_and_may_be_cut_anywhere(void **state)
{
    (void)state;
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    assert_int_equal(mo_tokenizer_bos(t), -1);
    assert_int_equal(mo_tokenizer_eos(t), -1);
    assert_string_equal(mo_tokenizer_piece(t, 'a'), "a");
    assert_string_equal(mo_tokenizer_piece(t, '~'), "~");
    assert_string_equal(mo_tokenizer_piece(t, ' '), "<0x20>");
    assert_string_equal(mo_tokenizer_piece(t, 0x7F), "<0x7F>");
    assert_string_equal(mo_tokenizer_piece(t, 0xC3), "<0xC3>");
    assert_int_equal(mo_tokenizer_cut(t, "\xC3\xA9", 1), 1);
    mo_tokenizer_free(t);
}

/* More than a task's share of text, in pieces of all sizes, empty ones too. */
static void a_batch_is_its_pieces_in_order(void **state)
{
    (void)state;
    enum { SIZE = 2500000, PIECES = 40 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < SIZE; i++) text[i] = (char)(i * i >> 7);
    mo_text_piece pieces[PIECES];
    int64_t counts[PIECES];
    size_t at = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = i == PIECES - 1 ? SIZE - at : i % 4 * i * 100;
        pieces[i] = (mo_text_piece){text + at, size, i % 2};
        at += size;
    }
    mo_tokenizer *t;
    int32_t *ids;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    for (int threads = 1; threads <= 3; threads++) {
        mo_threads_set(threads);
        MO_CHECK_OK(mo_tokenizer_encode_batch(t, pieces, PIECES, &ids, counts));
        for (size_t i = 0; i < PIECES; i++) assert_int_equal(counts[i], pieces[i].size);
        for (size_t i = 0; i < SIZE; i++)
            if (ids[i] != (unsigned char)text[i]) fail_msg("id %zu is %d", i, ids[i]);
        mo_free(ids);
    }
    mo_threads_set(0);
    mo_tokenizer_free(t);
    free(text);
}

/* A stream holds back a character that is not whole; what is none goes out as it is. */
static void a_stream_gives_whole_characters(void **state)
{
    (void)state;
    static const struct {
        unsigned char byte;
        const char *out;
    } STEPS[] = {{'a', "a"},
                 {0xC3, ""},
                 {0xA9, "\xC3\xA9"},
                 {0xF0, ""},
                 {0x9F, ""},
                 {0x99, ""},
                 {0x82, "\xF0\x9F\x99\x82"},
                 {0xFF, "\xFF"},
                 {0xE6, ""},
                 {0x97, ""},
                 {'b', "\xE6\x97"
                       "b"},
                 {0x80, "\x80"},
                 {0xE6, ""},
                 {'b', "\xE6"
                       "b"},
                 {0xF0, ""},
                 {0xC3, "\xF0"},
                 {'c', "\xC3"
                       "c"},
                 {0xC3, ""},
                 {0xC3, "\xC3"},
                 {0x1B, "\xC3\x1B"}};
    mo_tokenizer *t;
    mo_tokenizer_stream *s;
    size_t size;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_OK(mo_tokenizer_stream_open(t, &s));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
            const char *text = mo_tokenizer_stream_next(s, STEPS[i].byte, &size);
            if (size != strlen(STEPS[i].out) || memcmp(text, STEPS[i].out, size))
                fail_msg("step %zu gives %zu bytes \"%.*s\"", i, size, (int)size, text);
        }
        mo_tokenizer_stream_end(s, &size);
        assert_int_equal(size, 0);
        mo_tokenizer_stream_next(s, 0xF0, &size);
        assert_int_equal(size, 0);
        assert_memory_equal(mo_tokenizer_stream_end(s, &size), "\xF0", 1);
        assert_int_equal(size, 1);
    }
    mo_tokenizer_stream_close(s);
    mo_tokenizer_free(t);
}

static mo_status make_and_free(void)
{
    mo_tokenizer *t;
    mo_status status = mo_tokenizer_bytes(&t);
    if (status == MO_OK) mo_tokenizer_free(t);
    return status;
}

static void no_leak_when_memory_fails(void **state)
{
    (void)state;
    int64_t live = mo__alloc_live();
    int64_t failed;
    MO_CHECK_EACH_ALLOCATION(failed, make_and_free());
    assert_true(failed >= 2);
    assert_int_equal(mo__alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_there_and_back),
        cmocka_unit_test(decode_names_the_id_that_is_none),
        cmocka_unit_test(restored_is_equal),
        cmocka_unit_test(bad_embeddings_are_refused),
        cmocka_unit_test(bytes_are_shown_and_may_be_cut_anywhere),
        cmocka_unit_test(a_batch_is_its_pieces_in_order),
        cmocka_unit_test(a_stream_gives_whole_characters),
        cmocka_unit_test(no_leak_when_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
