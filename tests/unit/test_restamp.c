/* test_restamp.c -- files that other programs have changed: refused until they are stamped anew, which is
 * refused itself where the file is damaged. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "moira/checkpoint.h"
#include "moira/tokenfile.h"

static char *folder, *path;
enum { COUNT = 6 };

static int setup(void **state)
{
    (void)state;
    folder = temp_make();
    path = mo_path_join(folder, "x.h5");
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(folder);
    mo_free(path);
    return 0;
}

static void save_checkpoint(void)
{
    mo_real value[COUNT] = {1, 2, 3, 4, 5, 6};
    mo_checkpoint_array w = {"model", "w", 2, {2, 3}, value, NULL};
    mo_checkpoint_content content = {.arrays = &w, .n_arrays = 1, .config = "none", .compression = 1};
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
}

static double read_first(void)
{
    mo_real value[COUNT] = {0};
    mo_checkpoint_array w = {"model", "w", 2, {2, 3}, value, NULL};
    mo_checkpoint *c;
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_OK(mo_checkpoint_read(c, &w, 1));
    mo_checkpoint_close(c);
    return (double)value[0];
}

/* What a program of somebody else's does to a dataset of numbers. */
static void edit(const char *dataset, double to, int64_t elements)
{
    double *value = calloc((size_t)elements, sizeof *value);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(file, dataset, H5P_DEFAULT);
    assert_true(value && set >= 0);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0);
    value[0] = to;
    assert_true(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0);
    H5Dclose(set);
    assert_true(H5Fclose(file) >= 0);
    free(value);
}

/* The file's bytes stay, and nothing lies beside it. */
static void check_refused(mo_status status, const char *message, mo_status (*check)(const char *))
{
    char *before = NULL, *after = NULL;
    size_t size_before = 0, size_after = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &before, &size_before));
    MO_CHECK_STATUS(mo_restamp(path, check), status);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_MESSAGE(message);
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &after, &size_after));
    assert_int_equal(size_before, size_after);
    assert_memory_equal(before, after, size_before);
    mo_free(before);
    mo_free(after);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(folder), 0); /* a folder that is empty */
    MO_CHECK_OK(mo_make_dirs(folder));
}

static void test_checkpoint(void **state)
{
    (void)state;
    mo_checkpoint *c;
    save_checkpoint();
    edit("model/w", 42, COUNT);
    MO_CHECK_STATUS(mo_checkpoint_open(path, &c), MO_E_CORRUPT);
    MO_CHECK_OK(mo_restamp(path, mo_checkpoint_verify));
    assert_true(read_first() == 42);
    MO_CHECK_OK(mo_restamp(path, mo_checkpoint_verify)); /* one that is right stays right */
    assert_true(read_first() == 42);
}

static mo_status check_tokens(const char *which)
{
    mo_tokenfile *file;
    MO_TRY(mo_tokenfile_open(which, &file));
    mo_tokenfile_close(file);
    return MO_OK;
}

static void write_tokens(void)
{
    enum { LENGTH = 5 };
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    mo_tokenwriter_options options = {.path = path, .tokenizer = bytes, .source = "test", .compression = 1};
    MO_CHECK_OK(mo_tokenwriter_open(&options, &w));
    MO_CHECK_OK(mo_tokenwriter_append_bytes(w, MO_SPLIT_TRAIN, "moira", LENGTH));
    MO_CHECK_OK(mo_tokenwriter_end_document(w, MO_SPLIT_TRAIN, 0));
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
}

static void test_token_file(void **state)
{
    (void)state;
    mo_tokenfile *file;
    write_tokens();
    edit("train/tokens", 'M', 5);
    MO_CHECK_STATUS(check_tokens(path), MO_E_CORRUPT);
    MO_CHECK_OK(mo_restamp(path, check_tokens));
    MO_CHECK_OK(mo_tokenfile_open(path, &file));
    assert_int_equal(mo_token_at(&file->split[MO_SPLIT_TRAIN], 0), 'M');
    mo_tokenfile_close(file);
}

/* A changed file that is no token file any more: its first document begins nowhere. */
static void test_wrong_content(void **state)
{
    (void)state;
    write_tokens();
    edit("train/documents", 3, 2);
    check_refused(MO_E_CORRUPT, "documents", check_tokens);
}

/* Turns the last byte of the file that is text of `what` into another one. */
static void spoil(const char *what)
{
    char *bytes = NULL;
    size_t size = 0, length = strlen(what), at;
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &bytes, &size));
    for (at = size - length; at > 0 && memcmp(bytes + at, what, length) != 0; at--) continue;
    assert_true(at > 0);
    bytes[at]++;
    MO_CHECK_OK(mo_write_file(path, bytes, size));
    mo_free(bytes);
}

/* Bytes that the file's own checksums find wrong: deflate's first byte of a chunk. */
static void test_damaged(void **state)
{
    (void)state;
    save_checkpoint();
    spoil("\x78\x01");
    check_refused(MO_E_CORRUPT, "model: w: cannot read", mo_checkpoint_verify);
}

static void test_not_ours(void **state)
{
    (void)state;
    MO_CHECK_OK(mo_write_file(path, "text", 4));
    check_refused(MO_E_FORMAT, "is not", check_tokens);
    save_checkpoint();
    check_refused(MO_E_FORMAT, "is a checkpoint, a token file is needed", check_tokens);
    MO_CHECK_OK(mo_write_file(path, "MOIRA CHECKPOINT 1\n", 19));
    check_refused(MO_E_CORRUPT, "is cut short after 19 bytes", mo_checkpoint_verify);
    MO_CHECK_OK(mo_write_file(path, "MOIRA TOKENS 99\n", 16));
    check_refused(MO_E_VERSION, "version 99", check_tokens);
    MO_CHECK_STATUS(mo_restamp(path, check_tokens), MO_E_NOT_FOUND);
    MO_CHECK_STATUS(mo_restamp(folder, check_tokens), MO_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_token_file),
                                       cmocka_unit_test(test_wrong_content), cmocka_unit_test(test_damaged),
                                       cmocka_unit_test(test_not_ours)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
