/* test_prepare.c -- texts to token files: where each byte goes, and what is refused. */
#include <moira/data.h>

#include <string.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "harness/wide_tokenizer.h"
#include "tokenizer/tokenizer_kind.h"

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
    for (size_t i = 0; i < size; i++) text[i] = (char)(1 + (i % 251 ^ i / 251) % 255);
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
    mo_prepare_summary summary;
    mo_tokenfile *file;
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
                            .output = output,
                            .validation_fraction = 0.1,
                            .compression = 1,
                            .progress = watch,
                            .user = &seen};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    assert_int_equal(summary.facts.text_bytes[0], TRAIN);
    assert_int_equal(summary.facts.text_bytes[1], SIZE - TRAIN);
    assert_int_equal(summary.tokens[0], TRAIN);
    assert_int_equal(summary.tokens[1], SIZE - TRAIN);
    assert_int_equal(summary.documents[0], 1);
    assert_int_equal(summary.documents[1], 1);
    assert_true(seen.calls > 0 && seen.last == SIZE && seen.total == SIZE && summary.seconds > 0);
    MO_CHECK_OK(mo_tokenfile_open(output, &file));
    check_document(&file->split[0], 0, text, TRAIN);
    check_document(&file->split[1], 0, text + TRAIN, SIZE - TRAIN);
    assert_int_equal(file->n_domains, 0);
    mo_tokenfile_close(file);
    mo_tokenizer_free(t);
    mo_free(text);
}

/* The cut is where a piece of the text ends. */
static void a_cut_between_pieces_is_fine(void **state)
{
    enum { HALF = 1 << 20 };
    const char *input = temp_path(*state, "a.txt");
    char *text = mo_malloc(2 * HALF);
    memset(text, 'a', 2 * HALF);
    MO_CHECK_OK(mo_write_file(input, text, 2 * HALF));
    mo_free(text);
    mo_prepare_summary summary;
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
                            .output = temp_path(*state, "a.h5"),
                            .tokenizer = t,
                            .validation_fraction = 0.5};
    MO_CHECK_OK(mo_prepare(&o, &summary));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(summary.tokens[i], HALF);
        assert_int_equal(summary.documents[i], 1);
    }
    mo_tokenizer_free(t);
}

enum { DOCUMENTS = 57 };

/* Documents 0 .. DOCUMENTS - 1 are texts of their own lengths, one a file; some are empty, one is of several
 * pieces. */
static size_t document_size(int d)
{
    return d % 9 == 4 ? 0 : d == 10 ? 2500000 : (size_t)(1 + d * d % 71);
}

static void write_documents(const char *folder, char **paths, char **texts)
{
    for (int d = 0; d < DOCUMENTS; d++) {
        char name[16];
        snprintf(name, sizeof name, "%02d.txt", d);
        paths[d] = mo_strdup(temp_path(folder, name));
        texts[d] = write_text(paths[d], document_size(d));
    }
}

/* Every document with text is in one split, whole, in order; of each run of `run` one is in the validation
 * split. */
static void check_split_by_document(const mo_tokenfile *f, char *const *texts, int run)
{
    int64_t next[2] = {0, 0}, in_run = 0, seen = 0;
    for (int d = 0; d < DOCUMENTS; d++) {
        size_t size = document_size(d);
        if (size == 0) continue;
        int split = MO_SPLIT_TRAIN;
        const mo_tokens *v = &f->split[MO_SPLIT_VALIDATION];
        if (next[1] < v->documents && v->offsets[next[1] + 1] - v->offsets[next[1]] == size &&
            !memcmp((const char *)v->data + v->offsets[next[1]], texts[d], size))
            split = MO_SPLIT_VALIDATION;
        in_run += split;
        if (seen < 2) assert_int_equal(split, seen);
        if (++seen % run == 0) {
            assert_int_equal(in_run, 1);
            in_run = 0;
        }
        check_document(&f->split[split], next[split]++, texts[d], size);
    }
    for (int i = 0; i < 2; i++) assert_int_equal(next[i], f->split[i].documents);
}

static void several_texts_are_split_by_document(void **state)
{
    char *paths[DOCUMENTS], *texts[DOCUMENTS];
    write_documents(*state, paths, texts);
    mo_prepare_summary summary;
    mo_tokenfile *file;
    mo_prepare_options o = {.corpus = {.inputs = (const char *const *)paths, .n_inputs = DOCUMENTS},
                            .output = temp_path(*state, "o.h5"),
                            .validation_fraction = 0.25,
                            .seed = 3};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    assert_int_equal(summary.files, DOCUMENTS);
    assert_int_equal(summary.facts.empty_documents, 6);
    assert_int_equal(summary.documents[0] + summary.documents[1], DOCUMENTS - 6);
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    check_split_by_document(file, texts, 4);
    mo_tokenfile_close(file);
    o.validation_fraction = 0;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    assert_int_equal(file->split[0].documents, DOCUMENTS - 6);
    assert_int_equal(file->split[1].count, 0);
    mo_tokenfile_close(file);
    mo_tokenizer_free(t);
    for (int d = 0; d < DOCUMENTS; d++) {
        mo_free(paths[d]);
        mo_free(texts[d]);
    }
}

static void other_tokenizers_encode(void **state)
{
    const char *input = temp_path(*state, "a.txt"), *output = temp_path(*state, "a.h5");
    char *text = write_text(input, 2000);
    mo_tokenizer *t = wide_tokenizer(50000);
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
                            .output = output,
                            .tokenizer = t,
                            .validation_fraction = 0.5};
    mo_prepare_summary summary;
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
    const char *absent = temp_path(*state, "absent.txt");
    const char *list[2] = {good, absent};
    mo_free(write_text(good, 100));
    MO_CHECK_OK(mo_write_file(empty, "", 0));
    mo_prepare_summary summary;
    mo_prepare_options o = {.corpus = {.inputs = list, .n_inputs = 2},
                            .output = temp_path(*state, "o.h5"),
                            .validation_fraction = 0.1};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    o.tokenizer = t;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("absent.txt");
    list[0] = list[1] = empty;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_FORMAT);
    MO_CHECK_MESSAGE("empty.txt: is empty");
    list[1] = good;
    o.output = good;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    MO_CHECK_MESSAGE("both an input and the output");
    o.output = temp_path(*state, "o.h5");
    o.corpus.n_inputs = 0;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    o.corpus.n_inputs = 1;
    const double fractions[] = {-0.1, 1, 0.0 / 0.0};
    for (int i = 0; i < 3; i++) {
        o.validation_fraction = fractions[i];
        MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_RANGE);
    }
    assert_int_equal(damage_count_files(*state), 2);
    mo_tokenizer_free(t);
}

/* ---- interruption ---- */

static volatile sig_atomic_t stopped;

static void stop_at_the_end(double done, double total, const char *unit, void *user)
{
    (void)unit, (void)user;
    if (done == total) stopped = 1;
}

static void expect_interrupted(const char *folder, mo_prepare_options *o, size_t size)
{
    const char *input = temp_path(folder, "a.txt");
    mo_prepare_summary summary;
    char *text = mo_malloc(size);
    memset(text, 'a', size);
    MO_CHECK_OK(mo_write_file(input, text, size));
    mo_free(text);
    stopped = 0;
    o->corpus = (mo_corpus){.inputs = &input, .n_inputs = 1};
    o->output = temp_path(folder, "o.h5");
    o->stop = &stopped;
    MO_CHECK_STATUS(mo_prepare(o, &summary), MO_E_INTERRUPTED);
    MO_CHECK_MESSAGE("o.h5 is not written");
    assert_int_equal(damage_count_files(folder), 1);
    mo_tokenizer_free((mo_tokenizer *)(uintptr_t)o->tokenizer);
}

/* All is read, and the file not finished. */
static void a_late_interruption_counts(void **state)
{
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    expect_interrupted(*state, &(mo_prepare_options){.tokenizer = t, .progress = stop_at_the_end}, 1000);
}

static const mo__tokenizer_kind *inner;
static int64_t encoded;

static mo_status encode_and_stop(const mo_tokenizer *t, const mo_text_piece *piece, int32_t **ids,
                                 int64_t *count)
{
    stopped = 1;
    encoded += (int64_t)piece->size;
    return inner->encode(t, piece, ids, count);
}

/* Of 4 MiB in one batch no more than a piece is encoded. */
static void a_batch_is_left_in_the_middle(void **state)
{
    mo_tokenizer *t = wide_tokenizer(300);
    mo__tokenizer_kind kind = *t->kind;
    inner = t->kind;
    kind.encode = encode_and_stop;
    t->kind = &kind;
    mo_threads_set(1);
    encoded = 0;
    expect_interrupted(*state, &(mo_prepare_options){.tokenizer = t}, (size_t)4 << 20);
    mo_threads_set(0);
    assert_in_range(encoded, 1, 1 << 18);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    const char *input = temp_path(*state, "a.txt");
    mo_free(write_text(input, 100));
    mo_prepare_summary summary;
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
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
        WITH_FOLDER(a_cut_between_pieces_is_fine),
        WITH_FOLDER(several_texts_are_split_by_document),
        WITH_FOLDER(other_tokenizers_encode),
        WITH_FOLDER(bad_requests_are_refused),
        WITH_FOLDER(a_late_interruption_counts),
        WITH_FOLDER(a_batch_is_left_in_the_middle),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
