/* A SentencePiece model inside a token file and a checkpoint: it comes back whole, from either, also a large
 * one. */
#include <moira/checkpoint.h>
#include <moira/tokenfile.h>

#include <stdlib.h>
#include <string.h>

#include "harness/damage.h"
#include "harness/golden_tokenizer.h"
#include "harness/harness.h"

static const char TEXT[] = "The sisters spin, measure and cut.\n  na\xC3\xAFve \xF0\x9F\x99\x82";

static int make_folder(void **state)
{
    return (*state = temp_make()) ? 0 : 1;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

static void write_tokens(const char *path, const mo_tokenizer *t)
{
    mo_tokenwriter *w;
    mo_tokenwriter_options options = {.path = path, .tokenizer = t, .source = "test", .compression = 1};
    int32_t *ids;
    int64_t count;
    MO_CHECK_OK(mo_tokenwriter_open(&options, &w));
    MO_CHECK_OK(mo_tokenizer_encode(t, TEXT, sizeof TEXT - 1, &ids, &count));
    MO_CHECK_OK(mo_tokenwriter_append(w, MO_SPLIT_TRAIN, ids, count));
    MO_CHECK_OK(mo_tokenwriter_end_document(w, MO_SPLIT_TRAIN, 0));
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_free(ids);
}

static void write_checkpoint(const char *path, const mo_tokenizer *t)
{
    mo_real values[4] = {1, 2, 3, 4};
    mo_checkpoint_array array = {.group = "model", .name = "w", .ndim = 1, .dim = {4}, .data = values};
    mo_checkpoint_content content = {.arrays = &array, .n_arrays = 1, .config = "a: 1\n", .tokenizer = t};
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
}

static void check_from_file(const char *path, const mo_tokenizer *t)
{
    mo_tokenizer *again;
    MO_CHECK_OK(mo_tokenizer_from_file(path, &again));
    assert_true(mo_tokenizer_equal(t, again));
    mo_tokenizer_free(again);
}

/* Both kinds of file, opened whole and for the tokenizer alone. */
static void check_files(const char *dir, const mo_tokenizer *t)
{
    const char *tokens = temp_path(dir, "tokens.h5"), *checkpoint = temp_path(dir, "checkpoint.h5");
    mo_tokenfile *file;
    mo_checkpoint *c;
    write_tokens(tokens, t);
    MO_CHECK_OK(mo_tokenfile_open(tokens, &file));
    assert_true(mo_tokenizer_equal(t, file->tokenizer));
    assert_int_equal(file->vocab_size, mo_tokenizer_vocab_size(t));
    const mo_tokens *train = &file->split[MO_SPLIT_TRAIN];
    int32_t ids[256];
    char *text;
    size_t size;
    assert_in_range(train->count, 1, 256);
    for (int64_t i = 0; i < train->count; i++) ids[i] = mo_token_at(train, i);
    MO_CHECK_OK(mo_tokenizer_decode(file->tokenizer, ids, train->count, &text, &size));
    assert_int_equal(size, sizeof TEXT - 1);
    assert_memory_equal(text, TEXT, size);
    mo_free(text);
    mo_tokenfile_close(file);
    check_from_file(tokens, t);
    write_checkpoint(checkpoint, t);
    MO_CHECK_OK(mo_checkpoint_open(checkpoint, &c));
    assert_true(mo_tokenizer_equal(t, mo_checkpoint_tokenizer(c)));
    mo_checkpoint_close(c);
    check_from_file(checkpoint, t);
}

static void a_model_comes_back_from_both_kinds_of_file(void **state)
{
    mo_tokenizer *t = golden_tokenizer("mixtral");
    check_files(*state, t);
    mo_tokenizer_free(t);
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    check_files(*state, t);
    mo_tokenizer_free(t);
}

/* Attributes of more than 64 KiB are kept in another way by HDF5. The golden model grows by a field of 600 KB
 * that the format does not know, which readers pass over. */
static void a_large_model_comes_back(void **state)
{
    enum { EXTRA = 600000 };
    size_t size;
    char *model = golden_model("mixtral", &size);
    model = realloc(model, size + EXTRA + 8);
    assert_non_null(model);
    memcpy(model + size, "\xC2\x0C\xC0\xCF\x24", 5); /* field 200, 600000 bytes */
    size += 5;
    for (size_t i = 0; i < EXTRA; i++) model[size++] = (char)(i * i >> 3);
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, size, &t));
    check_files(*state, t);
    mo_tokenizer_free(t);
    free(model);
}

static void files_without_a_tokenizer_are_refused(void **state)
{
    mo_tokenizer *t;
    const char *path = temp_path(*state, "x.h5");
    MO_CHECK_STATUS(mo_tokenizer_from_file(path, &t), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_OK(mo_write_file(path, "hello", 5));
    MO_CHECK_STATUS(mo_tokenizer_from_file(path, &t), MO_E_FORMAT);
    MO_CHECK_MESSAGE("neither a token file nor a checkpoint");
    write_checkpoint(path, NULL);
    MO_CHECK_STATUS(mo_tokenizer_from_file(path, &t), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("holds no tokenizer");
    assert_null(t);
}

static mo_status open_and_free(const char *path)
{
    mo_tokenizer *t;
    MO_TRY(mo_tokenizer_from_file(path, &t));
    mo_tokenizer_free(t);
    return MO_OK;
}

static void damage_and_failing_memory_are_told(void **state)
{
    mo_tokenizer *t;
    const char *path = temp_path(*state, "tokens.h5");
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    write_tokens(path, t);
    mo_tokenizer_free(t);
    damage_flip(path, open_and_free);
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_and_free(path));
    assert_true(failed > 5);
    assert_int_equal(mo__alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_comes_back_from_both_kinds_of_file, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_large_model_comes_back, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(files_without_a_tokenizer_are_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(damage_and_failing_memory_are_told, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
