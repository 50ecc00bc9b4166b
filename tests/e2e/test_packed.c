/* test_packed.c -- runs on whole documents with a mask, alone and in a mixture with a stream: the same bits
 * whatever the threads and the interruptions, in another folder too; what is predicted is counted; documents
 * that do not fit are refused by name. */
#include "harness/small_run.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 80, PER_STEP = 6, STEPS = 12 };
static char *packed_file, *reference, *mixed; /* folders of undisturbed runs */

/* Documents of 4 to LENGTH tokens whose first third is only read; every eleventh has nothing to predict. */
static void write_documents(const char *path, int documents[2])
{
    static const char *const names[] = {"even", "odd"};
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    const mo_tokenwriter_options o = {.path = path,
                                      .tokenizer = bytes,
                                      .domain_names = names,
                                      .n_domains = 2,
                                      .compression = 1,
                                      .masked = true,
                                      .whole = true};
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    for (int s = 0; s < 2; s++)
        for (int d = 0; d < documents[s]; d++) {
            int32_t ids[LENGTH];
            uint8_t mask[LENGTH];
            int n = 4 + (int)(mo_rng_uniform(6, MO_RNG_TEST, (uint64_t)s, 0, (uint64_t)d) * (LENGTH - 3));
            for (int i = 0; i < n; i++) ids[i] = 'a' + (d * 7 + i * (1 + d % 3)) % 26;
            for (int i = 0; i < n; i++) mask[i] = i > n / 3 && d % 11 != 5;
            MO_CHECK_OK(mo_tokenwriter_append_masked(w, (mo_split)s, ids, mask, n));
            MO_CHECK_OK(mo_tokenwriter_end_document(w, (mo_split)s, d % 2));
        }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
}

static mo_status train(const char *dir, const char *data, const char *setting, mo_train_options options)
{
    char *where = mo_strprintf("run.dir=%s", dir);
    mo_status status =
        run_train((const char *[]){where, "data.path=", data, setting}, setting ? 4 : 3, options, NULL);
    mo_free(where);
    return status;
}

static char *alone(const char *path)
{
    return mo_strprintf("data.path=%s", path);
}

static char *mixture_of(const char *folder, const char *path)
{
    return mo_strprintf("data.mixture=[{path: \"%s/data.h5\", weight: 1}, {path: \"%s\", weight: 2}]", folder,
                        path);
}

static int setup(void **state)
{
    run_setup(state);
    packed_file = run_path("packed.h5");
    reference = run_path("reference");
    mixed = run_path("mixed");
    write_documents(packed_file, (int[]){60, 8}); /* 12 steps are several epochs */
    char *one = alone(packed_file), *two = mixture_of(run_folder, packed_file);
    MO_CHECK_OK(train(reference, one, NULL, (mo_train_options){0}));
    MO_CHECK_OK(train(mixed, two, NULL, (mo_train_options){0}));
    mo_free(one);
    mo_free(two);
    return 0;
}

static int teardown(void **state)
{
    mo_free(packed_file);
    mo_free(reference);
    mo_free(mixed);
    return run_teardown(state);
}

/* ---- the same bits ---- */

static volatile sig_atomic_t stop;

static void stop_at_seven(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 7) stop = 1;
}

/* On one thread, interrupted in the middle of an epoch, and gone on with on two from a copy of the data that
 * lies elsewhere. */
static void check_disturbed(const char *name, const char *undisturbed, const char *data, const char *moved)
{
    char *stopped = mo_strprintf("%s/%s-stopped", run_folder, name);
    stop = 0;
    mo_train_options options = {.stop = &stop, .events.tick = stop_at_seven};
    MO_CHECK_STATUS(train(stopped, data, "run.threads=1", options), MO_E_INTERRUPTED);
    MO_CHECK_OK(train(stopped, moved, "run.threads=2", (mo_train_options){.resume = true}));
    assert_same_run(undisturbed, stopped);
    mo_free(stopped);
}

static void copy(const char *from, const char *to)
{
    char *bytes;
    size_t size;
    MO_CHECK_OK(mo_read_file(from, SIZE_MAX, &bytes, &size));
    MO_CHECK_OK(mo_write_file(to, bytes, size));
    mo_free(bytes);
}

static void disturbances_change_nothing(void **state)
{
    (void)state;
    char *folder = run_path("elsewhere");
    MO_CHECK_OK(mo_make_dirs(folder));
    char *path = mo_path_join(folder, "other-name.h5"), *one = alone(packed_file), *moved = alone(path);
    copy(packed_file, path);
    check_disturbed("alone", reference, one, moved);
    mo_free(one);
    mo_free(moved);
    char *stream = run_path("data.h5"), *moved_stream = mo_path_join(folder, "data.h5"),
         *renamed = mo_path_join(folder, "packed.h5"); /* a source's name is in the metrics */
    copy(stream, moved_stream);
    copy(packed_file, renamed);
    one = mixture_of(run_folder, packed_file);
    moved = mixture_of(folder, renamed);
    check_disturbed("mixed", mixed, one, moved);
    mo_free(one);
    mo_free(moved);
    mo_free(renamed);
    mo_free(stream);
    mo_free(moved_stream);
    mo_free(path);
    mo_free(folder);
}

/* ---- what is predicted ---- */

static json_t *metrics_of(const char *dir)
{
    char *path = mo_path_join(dir, "metrics.jsonl"), *text;
    size_t size;
    json_t *all = json_array();
    MO_CHECK_OK(mo_read_file(path, SIZE_MAX, &text, &size));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        json_array_append_new(all, json_loads(line, 0, NULL));
    mo_free(text);
    mo_free(path);
    return all;
}

/* Of whole epochs, by the file alone: 12 steps of 6 windows go through the split so and so often. */
static void tokens_are_those_that_are_predicted(void **state)
{
    (void)state;
    mo_tokenfile *f;
    int64_t windows = 0, predicted = 0, whole = 0;
    MO_CHECK_OK(mo_tokenfile_open(packed_file, &f));
    const mo_tokens *t = &f->split[MO_SPLIT_TRAIN];
    MO_CHECK_OK(mo_train_windows(t, LENGTH, &windows));
    assert_true(t->unlearnt == 5 && t->predictable > 1000 && windows > PER_STEP && windows < 60);
    whole = PER_STEP * STEPS / windows;
    assert_true(whole >= 1);
    json_t *lines = metrics_of(reference), *last = json_array_get(lines, STEPS - 1);
    predicted = json_integer_value(json_object_get(last, "tokens"));
    assert_true(predicted >= whole * t->predictable && predicted <= (whole + 1) * t->predictable);
    for (size_t i = 1; i < json_array_size(lines); i++) {
        json_t *line = json_array_get(lines, i);
        double loss = json_real_value(json_object_get(line, "train_loss")),
               balance = json_real_value(json_object_get(json_object_get(line, "balance"), "switch"));
        assert_true(loss > 0 && loss < 7);
        assert_true(balance > 0.99 && balance < 1.5); /* 1 when even, if padding does not count */
    }
    json_decref(lines);
    mo_tokenfile_close(f);
}

/* The validation loss of the run, whose batches take the whole split, is that of an evaluation of its
 * checkpoint in longer windows, by domain too. */
static void validation_is_the_evaluation(void **state)
{
    (void)state;
    mo_trained t;
    mo_tokenfile *f;
    mo_eval_result r;
    char *path = mo_path_join(reference, "step-00000012.h5");
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &t));
    MO_CHECK_OK(mo_tokenfile_open(packed_file, &f));
    mo_eval_options o = {
        .file = f, .split = MO_SPLIT_VALIDATION, .sequence_length = 4 * LENGTH, .batch_size = 2};
    t.model->config.max_position_embeddings = 4 * LENGTH;
    MO_CHECK_OK(mo_evaluate(t.model, &o, &r));
    json_t *lines = metrics_of(reference), *last = json_array_get(lines, STEPS - 1);
    MO_CHECK_NEAR(json_real_value(json_object_get(last, "validation_loss")), r.loss, 1e-6);
    assert_int_equal(r.tokens, f->split[MO_SPLIT_VALIDATION].predictable);
    assert_int_equal(r.domain_tokens[0] + r.domain_tokens[1], r.tokens);
    double sum = 0;
    for (int d = 0; d < 2; d++) sum += r.domain_loss[d] * (double)r.domain_tokens[d];
    MO_CHECK_NEAR(sum / (double)r.tokens, r.loss, 1e-12);
    json_decref(lines);
    mo_eval_result_free(&r);
    mo_tokenfile_close(f);
    mo_trained_free(&t);
    mo_config_free(&t.config);
    mo_free(path);
}

/* Of a file in which little is to be learnt, one window a step: most steps predict nothing, and neither harm
 * nor count. */
static void steps_may_have_nothing_to_predict(void **state)
{
    (void)state;
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    char *path = run_path("little.h5"), *dir = run_path("little"), *data = alone(path);
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    const mo_tokenwriter_options o = {.path = path, .tokenizer = bytes, .masked = true, .whole = true};
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    for (int d = 0; d < 16; d++) {
        int32_t ids[LENGTH];
        uint8_t mask[LENGTH] = {0};
        for (int i = 0; i < LENGTH; i++) ids[i] = 'a' + (d + i) % 26;
        mask[9] = d == 3;
        MO_CHECK_OK(mo_tokenwriter_append_masked(w, d % 4 == 2, ids, mask, LENGTH));
        MO_CHECK_OK(mo_tokenwriter_end_document(w, d % 4 == 2, 0));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
    char *where = mo_strprintf("run.dir=%s", dir);
    MO_CHECK_OK(
        run_train((const char *[]){where, data, "train.batch_size=1", "train.gradient_accumulation_steps=1"},
                  4, (mo_train_options){0}, NULL)); /* and nothing validates, for there is nothing */
    json_t *lines = metrics_of(dir);
    int predicting = 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        json_t *line = json_array_get(lines, i);
        double loss = json_real_value(json_object_get(line, "train_loss"));
        assert_true(isfinite(loss) && json_real_value(json_object_get(line, "grad_norm")) > 0);
        predicting += loss > 0;
        assert_int_equal(json_integer_value(json_object_get(line, "tokens")), predicting);
    }
    assert_true(json_array_size(lines) == STEPS && predicting >= 1 && predicting <= 2);
    json_decref(lines);
    mo_free(where);
    mo_free(path);
    mo_free(dir);
    mo_free(data);
}

/* ---- what is refused ---- */

static void long_documents_are_refused(void **state)
{
    (void)state;
    char *one = alone(packed_file), *dir = run_path("refused");
    MO_CHECK_STATUS(train(dir, one, "train.sequence_length=60", (mo_train_options){0}), MO_E_RANGE);
    MO_CHECK_MESSAGE("packed.h5: train: document ");
    MO_CHECK_MESSAGE("a window of whole documents has room for 60 (");
    MO_CHECK_MESSAGE("prepare the file with --max-length 60 --truncate");
    assert_false(mo_path_exists(dir));
    mo_free(one);
    mo_free(dir);
}

int main(int argc, char **argv)
{
    int child = run_as_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_may_have_nothing_to_predict), cmocka_unit_test(disturbances_change_nothing),
        cmocka_unit_test(tokens_are_those_that_are_predicted), cmocka_unit_test(validation_is_the_evaluation),
        cmocka_unit_test(long_documents_are_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
