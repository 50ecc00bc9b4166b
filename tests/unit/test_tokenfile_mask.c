/* test_tokenfile_mask.c -- token files that say which tokens are to be predicted, and that documents are
 * whole: what went in comes out, their version keeps older programs off, and wrong ones are refused. */
#include <moira/tokenfile.h>

#include <string.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "harness/wide_tokenizer.h"
#include "store/h5.h"
#include "store/h5_root.h"
#include "store/stamp.h"

static int make_folder(void **state)
{
    *state = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

static uint8_t some_mask(int64_t document, int64_t i)
{
    return document % 7 != 3 && i * 5 > document % 11;
}

/* Documents of 1, 2, ... 3000 tokens; one in five is appended without a mask. */
static mo_status write_masked(const char *path, const mo_tokenizer *tokenizer, bool masked, bool whole,
                              int64_t documents)
{
    const mo_tokenwriter_options options = {
        .path = path, .tokenizer = tokenizer, .compression = 1, .masked = masked, .whole = whole};
    int32_t ids[3000];
    uint8_t mask[3000];
    mo_tokenwriter *w;
    MO_TRY(mo_tokenwriter_open(&options, &w));
    mo_status status = MO_OK;
    for (int64_t d = 0; status == MO_OK && d < documents; d++) {
        mo_split split = d % 4 ? MO_SPLIT_TRAIN : MO_SPLIT_VALIDATION;
        int64_t n = d % 3000 + 1, half = n / 2;
        for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(7 * i + d) % 200;
        for (int64_t i = 0; i < n; i++) mask[i] = some_mask(d, i);
        if (!masked || d % 5 == 0) {
            status = mo_tokenwriter_append(w, split, ids, n);
        } else {
            status = mo_tokenwriter_append_masked(w, split, ids, mask, half);
            if (status == MO_OK)
                status = mo_tokenwriter_append_masked(w, split, ids + half, mask + half, n - half);
        }
        if (status == MO_OK) status = mo_tokenwriter_end_document(w, split, 0);
    }
    if (status == MO_OK) return mo_tokenwriter_finish(w);
    mo_tokenwriter_abort(w);
    return status;
}

static void check_split(const mo_tokens *t, mo_split split, bool masked)
{
    int64_t d = split == MO_SPLIT_TRAIN ? 1 : 0, predictable = 0, unlearnt = 0;
    for (int64_t k = 0; k < t->documents; k++) {
        int64_t first = (int64_t)t->offsets[k], n = (int64_t)t->offsets[k + 1] - first, learnt = 0;
        assert_int_equal(n, d % 3000 + 1);
        for (int64_t i = 0; i < n; i++) {
            uint8_t expected = !masked || d % 5 == 0 || some_mask(d, i);
            if (masked) assert_int_equal(t->mask[first + i], expected);
            if (i > 0) learnt += expected;
        }
        predictable += learnt;
        unlearnt += learnt == 0;
        do d++;
        while ((d % 4 == 0) != (split == MO_SPLIT_VALIDATION));
    }
    assert_int_equal(t->predictable, predictable);
    assert_int_equal(t->unlearnt, unlearnt);
}

/* Every combination, over more than a chunk of the mask, with its version in the stamp and in the root. */
static void masks_come_back(void **state)
{
    mo_tokenizer *bytes;
    const char *path = temp_path(*state, "m.h5");
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    for (int k = 0; k < 4; k++) {
        bool masked = k & 1, whole = k & 2;
        char *start;
        size_t size;
        mo_tokenfile *file;
        MO_CHECK_OK(write_masked(path, bytes, masked, whole, k == 3 ? 1200 : 60));
        MO_CHECK_OK(mo_read_file(path, SIZE_MAX, &start, &size));
        assert_memory_equal(start, k ? "MOIRA TOKENS 2\n" : "MOIRA TOKENS 1\n", 15);
        mo_free(start);
        MO_CHECK_OK(mo_tokenfile_open(path, &file));
        for (int s = 0; s < 2; s++) {
            const mo_tokens *t = &file->split[s];
            assert_true(t->count > 0);
            assert_int_equal(t->mask != NULL, masked);
            assert_int_equal(t->whole, whole);
            check_split(t, (mo_split)s, masked);
        }
        uint64_t tokens = (uint64_t)(file->split[0].count + file->split[1].count),
                 documents = (uint64_t)(file->split[0].documents + file->split[1].documents);
        assert_int_equal(mo_tokenfile_bytes(file), (masked ? 2 : 1) * tokens + 8 * (documents + 2));
        mo_tokenfile_close(file);
    }
    mo_tokenizer_free(bytes);
    assert_int_equal(damage_count_files(*state), 1);
}

/* ---- wrong files ---- */

static mo_status open_and_close(const char *path)
{
    mo_tokenfile *file;
    MO_TRY(mo_tokenfile_open(path, &file));
    mo_tokenfile_close(file);
    return MO_OK;
}

/* Four tokens in two documents, with a right stamp. */
static void write_stamped(const char *path, const char *documents, hid_t type, int n, const void *mask)
{
    static const uint8_t tokens[] = {1, 2, 3, 4};
    static const uint64_t offsets[] = {0, 3, 4};
    hid_t file, group, dataset;
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_OK(mo__h5_create(path, &file));
    MO_CHECK_OK(mo__root_write(file, "moira-tokens", 2, t));
    mo_tokenizer_free(t);
    MO_CHECK_OK(mo__h5_put_int(file, "vocab_size", 256));
    if (documents) MO_CHECK_OK(mo__h5_put_text(file, "documents", documents));
    MO_CHECK_OK(mo__h5_path_create(file, "train", &group));
    const struct {
        const char *name;
        hid_t type;
        int n;
        const void *data;
    } sets[] = {{"tokens", H5T_NATIVE_UINT8, 4, tokens},
                {"documents", H5T_NATIVE_UINT64, 3, offsets},
                {"mask", type, n, mask}};
    for (int i = 0; i < 3; i++) {
        mo__h5_shape shape = {.ndim = 1, .dim = {(hsize_t)sets[i].n}, .chunk = {16}};
        MO_CHECK_OK(mo__h5_dataset_create(group, sets[i].name, sets[i].type, &shape, 1, true, &dataset));
        assert_true(H5Dwrite(dataset, sets[i].type, H5S_ALL, H5S_ALL, H5P_DEFAULT, sets[i].data) >= 0);
        mo__h5_release(&dataset);
    }
    mo__h5_release(&group);
    MO_CHECK_OK(mo__h5_close(file, MO_OK));
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_tokens));
}

static void no_mask_is_believed_unchecked(void **state)
{
    const char *path = temp_path(*state, "t.h5");
    const uint8_t right[] = {0, 1, 0, 1}, strange[] = {0, 1, 2, 1}, more[] = {0, 1, 0, 1, 1};
    const uint16_t wide[] = {0, 1, 0, 1};
    write_stamped(path, "whole", H5T_NATIVE_UINT8, 4, right);
    MO_CHECK_OK(open_and_close(path));
    write_stamped(path, NULL, H5T_NATIVE_UINT8, 4, strange);
    MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
    MO_CHECK_MESSAGE("t.h5: train: mask: is 2 at 2, must be 0 or 1");
    write_stamped(path, NULL, H5T_NATIVE_UINT8, 5, more);
    MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
    MO_CHECK_MESSAGE("t.h5: train: mask: is of 5 tokens, there are 4");
    write_stamped(path, NULL, H5T_NATIVE_UINT8, 3, right);
    MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
    write_stamped(path, NULL, H5T_NATIVE_UINT16, 4, wide);
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("train: mask: is not a list of unsigned integers of the right size");
    write_stamped(path, "halves", H5T_NATIVE_UINT8, 4, right);
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("t.h5: attribute documents: is \"halves\", must be \"whole\"");
}

static void damage_is_refused(void **state)
{
    mo_tokenizer *bytes;
    const char *path = temp_path(*state, "t.h5");
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(write_masked(path, bytes, true, true, 8));
    mo_tokenizer_free(bytes);
    damage_truncate(path, open_and_close);
    damage_flip(path, open_and_close);
}

/* ---- wrong use ---- */

static void wrong_use_is_refused(void **state)
{
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    const int32_t ids[] = {1, 2, 300};
    const uint8_t mask[] = {1, 0, 2};
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    mo_tokenwriter_options o = {.path = temp_path(*state, "t.h5"), .tokenizer = bytes};
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    MO_CHECK_STATUS(mo_tokenwriter_append_masked(w, MO_SPLIT_TRAIN, ids, mask, 2), MO_E_USAGE);
    mo_tokenwriter_abort(w);
    o.masked = true;
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    MO_CHECK_STATUS(mo_tokenwriter_append_masked(w, MO_SPLIT_TRAIN, ids, mask, 3), MO_E_RANGE);
    MO_CHECK_MESSAGE("mask 2 of token 2 of 3, must be 0 or 1");
    const uint8_t ones[] = {1, 1, 1};
    MO_CHECK_STATUS(mo_tokenwriter_append_masked(w, MO_SPLIT_TRAIN, ids, ones, 3), MO_E_RANGE);
    MO_CHECK_MESSAGE("token id 300");
    mo_tokenwriter_abort(w);
    mo_tokenizer_free(bytes);
    assert_int_equal(damage_count_files(*state), 0);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    mo_tokenizer *bytes;
    const char *path = temp_path(*state, "t.h5");
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, write_masked(path, bytes, true, true, 8));
    assert_true(failed > 20);
    assert_int_equal(mo__alloc_live(), live);
    MO_CHECK_EACH_ALLOCATION(failed, open_and_close(path));
    assert_true(failed > 8);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(damage_count_files(*state), 1);
    mo_tokenizer_free(bytes);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(masks_come_back),

        WITH_FOLDER(no_mask_is_believed_unchecked),
        WITH_FOLDER(damage_is_refused),
        WITH_FOLDER(wrong_use_is_refused),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
