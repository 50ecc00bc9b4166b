/* test_spikes.c -- a corpus in which one document is garbage: the step that reads it is told of, with the
 * document, and a resumed run tells of the same. */
#include "harness/small_run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENTS = 400, GARBAGE = 333, LENGTH = 100, STEPS = 130 };

/* Ten letters, any of which may come next; and nine times as many signs. */
static char character(int document, int i)
{
    uint32_t bits[4];
    mo_rng_bits(1, MO_RNG_TEST, 0, (uint32_t)document, (uint64_t)i, bits);
    return (char)(document == GARBAGE ? 33 + bits[0] % 90 : 'a' + bits[0] % 10);
}

static void make_corpus(void)
{
    char *path = run_path("garbage.h5");
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(mo_tokenwriter_open(
        &(mo_tokenwriter_options){.path = path, .tokenizer = bytes, .source = "test"}, &w));
    for (int d = 0; d < DOCUMENTS; d++) {
        char text[LENGTH];
        for (int i = 0; i < LENGTH; i++) text[i] = character(d, i);
        MO_CHECK_OK(mo_tokenwriter_append_bytes(w, MO_SPLIT_TRAIN, text, LENGTH));
        MO_CHECK_OK(mo_tokenwriter_end_document(w, MO_SPLIT_TRAIN, -1));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
    mo_free(path);
}

/* Six rows of 80 tokens a step: an epoch of 83 steps. */
static mo_status train(const char *dir, const char *more, bool resume, mo_train_options options)
{
    char *where = mo_strprintf("run.dir=%s", dir),
         *data = mo_strprintf("data.path=%s/garbage.h5", run_folder);
    char *steps = mo_strprintf("train.steps=%d", STEPS);
    const char *settings[] = {
        where, data, steps, "schedule.kind=constant", "checkpoint.every=20", "checkpoint.keep=10", more};
    options.resume = resume;
    mo_status status = run_train(settings, more ? 7 : 6, options, NULL);
    mo_free(steps);
    mo_free(data);
    mo_free(where);
    return status;
}

/* Owned; "" if there is no file. */
static char *spikes_of(const char *dir)
{
    char *path = mo_path_join(dir, "spikes.jsonl"), *text = NULL;
    size_t size = 0;
    if (mo_path_exists(path))
        MO_CHECK_OK(mo_read_file(path, 1 << 20, &text, &size));
    else
        text = mo_strdup("");
    mo_free(path);
    return text;
}

static int warnings;
static char warning[600];

static void on_log(mo_log_level level, const char *message, void *user)
{
    (void)user;
    if (level != MO_LOG_WARNING || !strstr(message, "the loss jumps to")) return;
    warnings++;
    snprintf(warning, sizeof warning, "%s", message);
}

static double number(const json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static void check_spike(const char *line)
{
    json_t *spike = json_loads(line, 0, NULL);
    assert_non_null(spike);
    double loss = number(spike, "loss"), median = number(spike, "median"), height = number(spike, "height");
    assert_true(number(spike, "step") > MO_RECENT_LOSSES && number(spike, "step") <= STEPS);
    assert_true(loss > median && height > 8);
    assert_true(number(spike, "learning_rate") == 3e-3 && number(spike, "grad_norm") > 0);
    const json_t *layers = json_object_get(spike, "layers"), *worst = json_object_get(spike, "sequences");
    assert_int_equal(json_array_size(layers), 3);
    for (size_t l = 0; l < 3; l++) {
        assert_true(number(json_array_get(layers, l), "layer") == (double)l);
        assert_true(number(json_array_get(layers, l), "max_vio") >= 0);
    }
    assert_int_equal(json_array_size(worst), 5);
    const json_t *first = json_array_get(worst, 0);
    assert_true(number(first, "document") == GARBAGE);
    double at = number(first, "at"), tokens = number(first, "tokens");
    assert_true(at >= GARBAGE * LENGTH && at + tokens <= (GARBAGE + 1) * LENGTH);
    assert_true(number(first, "loss") > loss && number(first, "share") > 0.5);
    const char *text = json_string_value(json_object_get(first, "text"));
    assert_int_equal(strlen(text), (size_t)tokens);
    assert_int_equal(text[0], character(GARBAGE, (int)at - GARBAGE * LENGTH));
    assert_non_null(strstr(json_string_value(json_object_get(first, "source")), "garbage"));
    json_decref(spike);
}

static char *whole, *whole_spikes;

static void garbage_is_told_of(void **state)
{
    (void)state;
    warnings = 0;
    mo_log_set(on_log, NULL);
    whole = run_path("whole");
    MO_CHECK_OK(train(whole, NULL, false, (mo_train_options){0}));
    mo_log_set(NULL, NULL);
    whole_spikes = spikes_of(whole);
    char *lines = mo_strdup(whole_spikes);
    int n = 0;
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n"), n++) check_spike(line);
    assert_true(n >= 1 && n <= 2); /* the document may be cut in two by a window's end */
    assert_int_equal(warnings, n);
    assert_non_null(strstr(warning, "robust standard deviations above"));
    mo_free(lines);
}

static volatile sig_atomic_t stop;

static void stop_late(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    if (step == *(int64_t *)user) stop = 1;
}

/* Stopped within the first window, and again after the spike, whose checkpoint is then lost. */
static void a_resumed_run_tells_the_same(void **state)
{
    (void)state;
    char *dir = run_path("parts");
    int64_t at[] = {33, STEPS - 5};
    for (int i = 0; i < 2; i++) {
        stop = 0;
        mo_train_options options = {.stop = &stop, .events = {.tick = stop_late, .user = &at[i]}};
        MO_CHECK_STATUS(train(dir, "run.threads=1", i > 0, options), MO_E_INTERRUPTED);
    }
    char *newest = mo_strprintf("%s/step-%08d.h5", dir, STEPS - 5), *spikes = spikes_of(dir);
    assert_string_equal(spikes, whole_spikes);
    assert_int_equal(remove(newest), 0);
    mo_free(newest);
    mo_free(spikes);
    MO_CHECK_OK(train(dir, NULL, true, (mo_train_options){0}));
    spikes = spikes_of(dir);
    assert_string_equal(spikes, whole_spikes);
    assert_same_run(whole, dir);
    mo_free(spikes);
    mo_free(dir);
}

/* The run of the test before, from a checkpoint before the spike, with a higher threshold: what the run had
 * told of is taken back. */
static void a_spike_past_the_resumed_step_is_cut_off(void **state)
{
    (void)state;
    char *path = run_path("parts"), *best = mo_path_join(path, "best.h5");
    for (int step = 101; step <= STEPS; step++) {
        char *file = mo_strprintf("%s/step-%08d.h5", path, step);
        remove(file);
        mo_free(file);
    }
    remove(best);
    MO_CHECK_OK(train(path, "log.spike=100000", true, (mo_train_options){0}));
    char *spikes = spikes_of(path);
    assert_string_equal(spikes, "");
    assert_same_run(whole, path);
    mo_free(spikes);
    mo_free(best);
    mo_free(path);
}

static void silence_is_to_be_had(void **state)
{
    (void)state;
    char *dir = run_path("silent");
    MO_CHECK_OK(train(dir, "log.spike=0", false, (mo_train_options){0}));
    char *spikes = spikes_of(dir);
    assert_string_equal(spikes, "");
    assert_same_run(whole, dir);
    mo_free(spikes);
    mo_free(dir);
    mo_free(whole_spikes);
    mo_free(whole);
}

static int setup(void **state)
{
    run_setup(state);
    make_corpus();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_is_told_of), cmocka_unit_test(a_resumed_run_tells_the_same),
        cmocka_unit_test(a_spike_past_the_resumed_step_is_cut_off), cmocka_unit_test(silence_is_to_be_had)};
    return cmocka_run_group_tests(tests, setup, run_teardown);
}
