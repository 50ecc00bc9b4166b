/* test_prepare.c -- texts to token files: where each byte goes, and what is refused. */
#include <moira/data.h>

#include <string.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "harness/wide_tokenizer.h"

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

static char *write_text(const char *path, size_t size)
{
    char *text = mo_malloc(size);
    for (size_t i = 0; i < size; i++) text[i] = (char)(i % 251 ^ i / 251);
    MO_CHECK_OK(mo_write_file(path, text, size));
    return text;
}

static void check_document(const mo_tokens *t, int64_t d, const char *text, size_t size)
{
    assert_int_equal(t->offsets[d + 1] - t->offsets[d], size);
    assert_memory_equal((const char *)t->data + t->offsets[d], text, size);
}

typedef struct {
    double last, total;
    int calls;
} progress;

static void watch(double done, double total, const char *unit, void *user)
{
    progress *p = user;
    assert_string_equal(unit, "bytes");
    assert_true(done > p->last && done <= total);
    p->last = done;
    p->total = total;
    p->calls++;
}

static void one_text_is_split_by_position(void **state)
{
    enum { SIZE = 3000001, TRAIN = 2700000 };
    const char *input = temp_path(*state, "a.txt"), *output = temp_path(*state, "a.h5");
    char *text = write_text(input, SIZE);
    progress seen = {0};
    mo_corpus_summary summary;
    mo_tokenfile *file;
    mo_prepare_options o = {.inputs = &input,
                            .n_inputs = 1,
                            .output = output,
                            .validation_fraction = 0.1,
                            .compression = 1,
                            .progress = watch,
                            .user = &seen};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    assert_int_equal(summary.bytes, SIZE);
    assert_int_equal(summary.tokens[0], TRAIN);
    assert_int_equal(summary.tokens[1], SIZE - TRAIN);
    assert_int_equal(summary.documents[0], 1);
    assert_int_equal(summary.documents[1], 1);
    assert_true(seen.calls > 2 && seen.last == SIZE && seen.total == SIZE && summary.seconds > 0);
    MO_CHECK_OK(mo_tokenfile_open(output, &file));
    check_document(&file->split[0], 0, text, TRAIN);
    check_document(&file->split[1], 0, text + TRAIN, SIZE - TRAIN);
    assert_int_equal(file->n_domains, 0);
    mo_tokenfile_close(file);
    mo_tokenizer_free(t);
    mo_free(text);
}

/* Each file is a document and is split alike; a part without bytes is no document. */
static void several_texts_are_documents(void **state)
{
    const size_t sizes[3] = {1000, 1, 55}, trains[3] = {750, 0, 41};
    char *texts[3];
    const char *inputs[3];
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), '\0'};
        inputs[i] = temp_path(*state, name);
        texts[i] = write_text(inputs[i], sizes[i]);
    }
    mo_corpus_summary summary;
    mo_tokenfile *file;
    mo_prepare_options o = {
        .inputs = inputs, .n_inputs = 3, .output = temp_path(*state, "o.h5"), .validation_fraction = 0.25};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    assert_int_equal(summary.documents[0], 2);
    assert_int_equal(summary.documents[1], 3);
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    check_document(&file->split[0], 0, texts[0], trains[0]);
    check_document(&file->split[0], 1, texts[2], trains[2]);
    for (int i = 0; i < 3; i++)
        check_document(&file->split[1], i, texts[i] + trains[i], sizes[i] - trains[i]);
    mo_tokenfile_close(file);
    o.validation_fraction = 0;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    assert_int_equal(file->split[0].documents, 3);
    assert_int_equal(file->split[1].count, 0);
    mo_tokenfile_close(file);
    mo_tokenizer_free(t);
    for (int i = 0; i < 3; i++) mo_free(texts[i]);
}

static void other_tokenizers_encode(void **state)
{
    const char *input = temp_path(*state, "a.txt"), *output = temp_path(*state, "a.h5");
    char *text = write_text(input, 2000);
    mo_tokenizer *t = wide_tokenizer(50000);
    mo_prepare_options o = {
        .inputs = &input, .n_inputs = 1, .output = output, .tokenizer = t, .validation_fraction = 0.5};
    mo_corpus_summary summary;
    mo_tokenfile *file;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    MO_CHECK_OK(mo_tokenfile_open(output, &file));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mo_token_at(&file->split[0], i), (unsigned char)text[i] * 397 % 50000);
        assert_int_equal(mo_token_at(&file->split[1], i), (unsigned char)text[1000 + i] * 397 % 50000);
    }
    mo_tokenfile_close(file);
    mo_tokenizer_free(t);
    mo_free(text);
}

static void bad_requests_are_refused(void **state)
{
    const char *good = temp_path(*state, "good.txt"), *empty = temp_path(*state, "empty.txt");
    const char *absent = temp_path(*state, "absent.txt"), *folder = *state;
    const char *list[2] = {good, absent};
    mo_free(write_text(good, 100));
    MO_CHECK_OK(mo_write_file(empty, "", 0));
    mo_corpus_summary summary;
    mo_prepare_options o = {
        .inputs = list, .n_inputs = 2, .output = temp_path(*state, "o.h5"), .validation_fraction = 0.1};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("absent.txt");
    list[1] = empty;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_FORMAT);
    MO_CHECK_MESSAGE("empty.txt: is empty");
    list[1] = folder;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_FORMAT);
    list[1] = good;
    o.output = good;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    MO_CHECK_MESSAGE("both an input and the output");
    o.output = temp_path(*state, "o.h5");
    o.n_inputs = 0;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    o.n_inputs = 1;
    const double fractions[] = {-0.1, 1, 0.0 / 0.0};
    for (int i = 0; i < 3; i++) {
        o.validation_fraction = fractions[i];
        MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_RANGE);
    }
    assert_int_equal(damage_count_files(*state), 2);
    mo_tokenizer_free(t);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    const char *input = temp_path(*state, "a.txt");
    mo_free(write_text(input, 100));
    mo_corpus_summary summary;
    mo_prepare_options o = {.inputs = &input,
                            .n_inputs = 1,
                            .output = temp_path(*state, "o.h5"),
                            .validation_fraction = 0.1,
                            .compression = 1};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, mo_prepare(&o, &summary));
    assert_true(failed > 10);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(damage_count_files(*state), 2);
    mo_tokenizer_free(t);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(one_text_is_split_by_position),
        WITH_FOLDER(several_texts_are_documents),
        WITH_FOLDER(other_tokenizers_encode),
        WITH_FOLDER(bad_requests_are_refused),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
