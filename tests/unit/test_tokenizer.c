/* The byte tokenizer: every byte there and back, identity, and what is refused. */
#include <moira/tokenizer.h>

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
        cmocka_unit_test(every_byte_there_and_back), cmocka_unit_test(decode_names_the_id_that_is_none),
        cmocka_unit_test(restored_is_equal),         cmocka_unit_test(bad_embeddings_are_refused),
        cmocka_unit_test(no_leak_when_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
