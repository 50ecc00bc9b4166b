/* test_run_data.c -- the token files of a run: names, shares, hash, epochs, and what does not go together. */
#include <moira/train.h>

#include <math.h>
#include <string.h>

#include "harness/harness.h"
#include "harness/wide_tokenizer.h"
#include "train/train_internal.h"

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

/* `count` tokens to train on, half as many to validate on; the byte tokenizer unless another is given. */
static void write_tokens(const char *path, const mo_tokenizer *tokenizer, int64_t count, int32_t first)
{
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    mo_tokenwriter_options options = {
        .path = path, .tokenizer = tokenizer ? tokenizer : bytes, .source = "t"};
    MO_CHECK_OK(mo_tokenwriter_open(&options, &w));
    for (int split = 0; split < 2; split++) {
        for (int32_t i = 0; i < count / (1 + split); i++) {
            int32_t id = (first + i) % 200;
            MO_CHECK_OK(mo_tokenwriter_append(w, (mo_split)split, &id, 1));
        }
        MO_CHECK_OK(mo_tokenwriter_end_document(w, (mo_split)split, 0));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
}

enum { MOST = 4 };

typedef struct mixture {
    mo_run_config config;
    mo_mixture_source sources[MOST];
} mixture;

/* Names are relative to `dir`. Weights 1, 2, 3, ... */
static void make_mixture(mixture *m, const char *dir, const char *const *names, int n)
{
    memset(m, 0, sizeof *m);
    m->config.data.mixture.at = m->sources;
    m->config.data.mixture.count = n;
    m->config.train.batch_size = 3;
    m->config.train.gradient_accumulation_steps = 2;
    m->config.train.sequence_length = 10;
    for (int i = 0; i < n; i++)
        m->sources[i] = (mo_mixture_source){mo_strprintf("%s/%s", dir, names[i]), i + 1};
}

static void free_mixture(mixture *m)
{
    for (int i = 0; i < m->config.data.mixture.count; i++) mo_free(m->sources[i].path);
}

static void sources_have_names_shares_and_epochs(void **state)
{
    static const char *const names[] = {"a.h5", "b.tokens", "c.h5"};
    mixture m;
    mo_run_data data;
    for (int i = 0; i < 3; i++) write_tokens(temp_path(*state, names[i]), NULL, 100 * (i + 1), i);
    make_mixture(&m, *state, names, 3);
    MO_CHECK_OK(mo_run_data_open(&m.config, &data));
    assert_int_equal(data.count, 3);
    assert_string_equal(data.sources[0].name, "a");
    assert_string_equal(data.sources[1].name, "b.tokens");
    assert_true(data.sources[0].share == 1.0 / 6 && data.sources[2].share == 0.5);
    assert_int_equal(mo_run_data_bytes(&data, 10), mo_tokenfile_bytes(data.sources[0].file) +
                                                       mo_tokenfile_bytes(data.sources[1].file) +
                                                       mo_tokenfile_bytes(data.sources[2].file));
    /* 8 steps of 6 sequences; source 1 gives a third of them and has 19 windows in an epoch */
    assert_true(fabs(mo_run_data_epochs(&data, 1, &m.config, 8) - 16.0 / 19) < 1e-12);
    mo_run_data_close(&data);
    free_mixture(&m);

    mo_run_config single = {.data.path = mo_strdup(temp_path(*state, "a.h5"))};
    MO_CHECK_OK(mo_run_data_open(&single, &data));
    assert_true(data.count == 1 && data.sources[0].share == 1);
    assert_string_equal(data.hash, data.sources[0].file->hash);
    mo_run_data_close(&data);
    mo_free(single.data.path);
}

/* Documents of 1, 2, ... 10 tokens, of which the last is to be predicted, or with `none` no token is. */
static void write_whole(const char *path, bool none)
{
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    const mo_tokenwriter_options o = {.path = path, .tokenizer = bytes, .masked = true, .whole = true};
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    for (int d = 0; d < 20; d++) {
        int32_t ids[10] = {0};
        uint8_t mask[10] = {0};
        mask[d % 10] = !none;
        MO_CHECK_OK(mo_tokenwriter_append_masked(w, (mo_split)(d / 10), ids, mask, d % 10 + 1));
        MO_CHECK_OK(mo_tokenwriter_end_document(w, (mo_split)(d / 10), 0));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
}

/* 55 tokens make 6 windows of 10: 10, 9 + 1, 8 + 2, 7 + 3, 6 + 4, 5. */
static void whole_documents_are_packed(void **state)
{
    static const char *const names[] = {"stream.h5", "whole.h5"};
    mixture m;
    mo_run_data data;
    write_tokens(temp_path(*state, names[0]), NULL, 100, 0);
    write_whole(temp_path(*state, names[1]), false);
    make_mixture(&m, *state, names, 2);
    MO_CHECK_OK(mo_run_data_open(&m.config, &data));
    assert_true(data.sources[0].windows == 9 && data.sources[0].fill == 1);
    assert_true(data.sources[1].windows == 6 && data.sources[1].fill == 55.0 / 60);
    assert_true(fabs(mo_run_data_epochs(&data, 1, &m.config, 3) - 3 * 6 * 2.0 / 3 / 6) < 1e-12);
    MO_CHECK_OK(mo__run_data_check(&data, 256, 10));
    assert_true(mo__run_data_fits(&data, 10) && !mo__run_data_fits(&data, 9));
    assert_null(mo__cannot_validate(&data.sources[1], 10));
    assert_true(mo_run_data_bytes(&data, 10) >
                mo_tokenfile_bytes(data.sources[0].file) + mo_tokenfile_bytes(data.sources[1].file) + 20 * 8);
    mo_run_data_close(&data);
    m.config.train.sequence_length = 9;
    MO_CHECK_STATUS(mo_run_data_open(&m.config, &data), MO_E_RANGE);
    MO_CHECK_MESSAGE("whole.h5: train: document 9 has 10 tokens");
    m.config.train.sequence_length = 10;
    write_whole(temp_path(*state, names[1]), true);
    MO_CHECK_OK(mo_run_data_open(&m.config, &data));
    MO_CHECK_STATUS(mo__run_data_check(&data, 256, 10), MO_E_RANGE);
    MO_CHECK_MESSAGE("whole.h5: no token of its 10 documents to train on is to be predicted");
    assert_string_equal(mo__cannot_validate(&data.sources[1], 10), "has nothing to predict in any sequence");
    mo_run_data_close(&data);
    free_mixture(&m);
}

static void equal_names_become_paths(void **state)
{
    static const char *const names[] = {"en/text.h5", "fr/text.h5", "other.h5"};
    mixture m;
    mo_run_data data;
    MO_CHECK_OK(mo_make_dirs(temp_path(*state, "en")));
    MO_CHECK_OK(mo_make_dirs(temp_path(*state, "fr")));
    for (int i = 0; i < 3; i++) write_tokens(temp_path(*state, names[i]), NULL, 100, i);
    make_mixture(&m, *state, names, 3);
    MO_CHECK_OK(mo_run_data_open(&m.config, &data));
    for (int i = 0; i < 3; i++) assert_string_equal(data.sources[i].name, m.sources[i].path);
    mo_run_data_close(&data);
    free_mixture(&m);
}

static void check_refused(mixture *m, mo_status expected, const char *const *parts)
{
    mo_run_data data;
    int64_t live = mo__alloc_live();
    MO_CHECK_STATUS(mo_run_data_open(&m->config, &data), expected);
    for (; *parts; parts++) MO_CHECK_MESSAGE(*parts);
    assert_int_equal(mo__alloc_live(), live);
}

static void what_does_not_go_together_is_refused(void **state)
{
    static const char *const names[] = {"a.h5", "wide.h5", "copy.h5"};
    mo_tokenizer *wide = wide_tokenizer(256), *bytes;
    char hash[33], wide_hash[33];
    mixture m;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    mo_tokenizer_hash(bytes, hash);
    mo_tokenizer_hash(wide, wide_hash);
    write_tokens(temp_path(*state, "a.h5"), NULL, 100, 0);
    write_tokens(temp_path(*state, "wide.h5"), wide, 100, 0);
    write_tokens(temp_path(*state, "copy.h5"), NULL, 100, 0);
    make_mixture(&m, *state, names, 2);
    check_refused(&m, MO_E_MISMATCH,
                  (const char *const[]){"data.mixture[1]: ", m.sources[1].path, m.sources[0].path, hash,
                                        wide_hash, "tokenizer wide (", "with bytes (", NULL});
    free_mixture(&m);
    make_mixture(&m, *state, (const char *const[]){"a.h5", "copy.h5"}, 2);
    check_refused(
        &m, MO_E_MISMATCH,
        (const char *const[]){"data.mixture[1]: ", "copy.h5 has the same content as ", "a.h5; give", NULL});
    free_mixture(&m);
    make_mixture(&m, *state, (const char *const[]){"a.h5", "none.h5"}, 2);
    check_refused(&m, MO_E_NOT_FOUND, (const char *const[]){"none.h5", NULL});
    free_mixture(&m);
    mo_tokenizer_free(wide);
    mo_tokenizer_free(bytes);
}

static void a_source_that_is_too_short_is_named(void **state)
{
    static const char *const names[] = {"long.h5", "short.h5"};
    mixture m;
    mo_run_data data;
    write_tokens(temp_path(*state, "long.h5"), NULL, 100, 0);
    write_tokens(temp_path(*state, "short.h5"), NULL, 20, 1);
    make_mixture(&m, *state, names, 2);
    MO_CHECK_OK(mo_run_data_open(&m.config, &data));
    MO_CHECK_OK(mo__run_data_check(&data, 256, 19));
    MO_CHECK_STATUS(mo__run_data_check(&data, 256, 20), MO_E_RANGE);
    MO_CHECK_MESSAGE("train.sequence_length 20: ");
    MO_CHECK_MESSAGE("short.h5 has only 20 training tokens; a sequence needs 21 of them");
    MO_CHECK_STATUS(mo__run_data_check(&data, 100, 10), MO_E_MISMATCH);
    mo_run_data_close(&data);
    free_mixture(&m);
}

/* The hash hangs on every source and on their order; the list of hashes tells which one is another. */
static void changed_data_is_found(void **state)
{
    static const char *const names[] = {"a.h5", "b.h5", "c.h5"};
    static const char *const changed[] = {"a.h5", "c.h5", "b.h5"};
    mixture m;
    mo_run_data data, other;
    for (int i = 0; i < 3; i++) write_tokens(temp_path(*state, names[i]), NULL, 100, i);
    make_mixture(&m, *state, names, 3);
    MO_CHECK_OK(mo_run_data_open(&m.config, &data));
    free_mixture(&m);
    make_mixture(&m, *state, changed, 3);
    MO_CHECK_OK(mo_run_data_open(&m.config, &other));
    char *hashes = mo__run_data_hashes(&data);
    assert_int_equal(strlen(hashes), 96);
    MO_CHECK_OK(mo__run_data_same(&data, data.hash, hashes));
    MO_CHECK_OK(mo__run_data_same(&data, data.hash, ""));
    MO_CHECK_STATUS(mo__run_data_same(&other, data.hash, hashes), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("/c.h5 is not the file that the run began with");
    MO_CHECK_STATUS(mo__run_data_same(&other, data.hash, ""), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("the sources of data.mixture are not those that the run began with");
    MO_CHECK_STATUS(mo__run_data_same(&other, "", ""), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("does not say which data");
    mo_free(hashes);
    mo_run_data_close(&data);
    mo_run_data_close(&other);
    free_mixture(&m);
}

static mo_status open_close(const mo_run_config *config)
{
    mo_run_data data;
    MO_TRY(mo_run_data_open(config, &data));
    mo_run_data_close(&data);
    return MO_OK;
}

static void each_allocation_may_fail(void **state)
{
    static const char *const names[] = {"a.h5", "b.h5"};
    mixture m;
    for (int i = 0; i < 2; i++) write_tokens(temp_path(*state, names[i]), NULL, 100, i);
    make_mixture(&m, *state, names, 2);
    int64_t live = mo__alloc_live();
    int count;
    MO_CHECK_EACH_ALLOCATION(count, open_close(&m.config));
    assert_true(count > 10);
    assert_int_equal(mo__alloc_live(), live);
    free_mixture(&m);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(sources_have_names_shares_and_epochs),
        IN_FOLDER(whole_documents_are_packed),
        IN_FOLDER(equal_names_become_paths),
        IN_FOLDER(what_does_not_go_together_is_refused),
        IN_FOLDER(a_source_that_is_too_short_is_named),
        IN_FOLDER(changed_data_is_found),
        IN_FOLDER(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
