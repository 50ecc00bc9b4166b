/* test_mixture.c -- runs on several token files: the same bits whatever the threads and the interruptions,
 * losses by source, and data that has moved or changed when a run is resumed. The program starts itself anew
 * as a child to be killed. */
#include "harness/small_run.h"

#include <jansson.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *program;
static char *reference; /* the folder of an undisturbed run of the mixture */

enum { SOURCES = 3, PER_STEP = 6, STEPS = 12 };
static const char names[] = "abc";
static const double weights[SOURCES] = {5, 3, 2};

static char *file_in(const char *dir, int source)
{
    return mo_strprintf("%s/%c.h5", dir, names[source]);
}

/* The setting for sources a, b, c in `dir`, in the order that `order` has them. */
static char *mixture_of(const char *dir, const char *order)
{
    char *all = mo_strdup("data.mixture=[");
    for (const char *c = order; *c; c++) {
        char *more = mo_strprintf("%s{path: \"%s/%c.h5\", weight: %g}%s", all, dir, *c, weights[*c - 'a'],
                                  c[1] ? ", " : "]");
        mo_free(all);
        all = more;
    }
    return all;
}

/* Trains on sources of data_dir in run_dir. */
static mo_status train_in(const char *run_dir, const char *data_dir, const char *order, const char *setting,
                          mo_train_options options)
{
    char *where = mo_strprintf("run.dir=%s", run_dir), *mixture = mixture_of(data_dir, order);
    mo_status status =
        run_train((const char *[]){"data.path=", mixture, where, setting}, setting ? 4 : 3, options, NULL);
    mo_free(where);
    mo_free(mixture);
    return status;
}

static char *run_mixture(const char *name, const char *setting)
{
    char *dir = run_path(name);
    MO_CHECK_OK(train_in(dir, run_folder, names, setting, (mo_train_options){0}));
    return dir;
}

static int setup(void **state)
{
    run_setup(state);
    for (int i = 0; i < SOURCES; i++) {
        char *path = file_in(run_folder, i);
        run_make_data(path, 5 + (uint64_t)i);
        mo_free(path);
    }
    reference = run_mixture("reference", NULL);
    return 0;
}

static int teardown(void **state)
{
    mo_free(reference);
    return run_teardown(state);
}

/* ---- the same bits ---- */

static void threads_change_nothing(void **state)
{
    (void)state;
    char *two = run_mixture("two", "run.threads=2");
    assert_same_run(reference, two);
    mo_free(two);
}

/* data.h5 and a.h5 have the same seed. */
static void one_source_is_a_run_of_its_file(void **state)
{
    (void)state;
    char *alone = run_named("alone", "sample.tokens=0"), *one = run_path("one");
    MO_CHECK_OK(train_in(one, run_folder, "a", NULL, (mo_train_options){0}));
    assert_same_weights(alone, one);
    assert_true(run_best_loss(alone) == run_best_loss(one));
    mo_free(alone);
    mo_free(one);
}

static volatile sig_atomic_t stop;
static int64_t stop_step;

static void stop_there(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == stop_step) stop = 1;
}

static void stop_at(const char *dir, int64_t step, bool resume)
{
    stop = 0;
    stop_step = step;
    mo_train_options options = {.resume = resume, .stop = &stop, .events.tick = stop_there};
    MO_CHECK_STATUS(train_in(dir, run_folder, names, NULL, options), MO_E_INTERRUPTED);
}

/* After step 7 with nothing due, and after step 10 in the middle of its evaluation. */
static void interruptions_change_nothing(void **state)
{
    (void)state;
    char *dir = run_path("stopped");
    stop_at(dir, 7, false);
    stop_at(dir, 10, true);
    MO_CHECK_MESSAGE("interrupted in the evaluation after step 10");
    MO_CHECK_OK(train_in(dir, run_folder, names, NULL, (mo_train_options){.resume = true}));
    assert_same_run(reference, dir);
    mo_free(dir);
}

static void kills_change_nothing(void **state)
{
    (void)state;
    int killed = 0;
    for (int round = 0; round < 4; round++) {
        char *dir = mo_strprintf("%s/killed%d", run_folder, round);
        char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--train", run_folder, dir, NULL};
        pid_t child;
        assert_int_equal(posix_spawn(&child, program, NULL, NULL, argv, environ), 0);
        nap(0.05 + 0.5 * mo_rng_uniform((uint64_t)time(NULL), MO_RNG_TEST, (uint64_t)round, 0, 0));
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        killed += WIFSIGNALED(status);
        char *config = mo_path_join(dir, "config.yaml"); /* the first thing that a run writes */
        bool resume = mo_path_exists(config);
        mo_free(config);
        MO_CHECK_OK(train_in(dir, run_folder, names, NULL, (mo_train_options){.resume = resume}));
        assert_same_run(reference, dir);
        mo_free(dir);
    }
    assert_true(killed >= 1);
}

/* ---- what its metrics say ---- */

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("%s is no number", key);
    return json_number_value(value);
}

static void check_line(const json_t *line, int64_t step)
{
    const json_t *sources = json_object_get(line, "sources");
    bool evaluated = json_object_get(line, "validation_loss");
    double shares = 0, mean = 0, low = (double)INFINITY, high = -(double)INFINITY;
    assert_int_equal(json_array_size(sources), SOURCES);
    assert_int_equal(json_object_get(json_array_get(sources, 0), "validation_loss") != NULL, evaluated);
    for (int i = 0; i < SOURCES; i++) {
        const json_t *s = json_array_get(sources, (size_t)i);
        const json_t *loss = json_object_get(s, "train_loss");
        char name[2] = {names[i], '\0'};
        assert_string_equal(json_string_value(json_object_get(s, "source")), name);
        double sequences = number(s, "tokens") / 80, exact = (double)(step * PER_STEP) * weights[i] / 10;
        assert_true(sequences == floor(sequences) && fabs(sequences - exact) < 1);
        assert_true(number(s, "share") == sequences / (double)(step * PER_STEP));
        shares += number(s, "share");
        if (evaluated) mean += weights[i] / 10 * number(s, "validation_loss");
        if (!json_is_number(loss)) continue;
        low = fmin(low, json_number_value(loss));
        high = fmax(high, json_number_value(loss));
    }
    assert_true(fabs(shares - 1) < 1e-12);
    double all = number(line, "train_loss");
    assert_true(low <= all && all <= high && low < high);
    if (evaluated) assert_true(fabs(number(line, "validation_loss") - mean) < 1e-9);
}

static json_t *read_line(const char *dir, int64_t step)
{
    char *text = timeless_metrics(dir), *line = strtok(text, "\n");
    for (int64_t i = 1; i < step; i++) line = strtok(NULL, "\n");
    json_t *object = json_loads(line, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(object, "step")), step);
    free(text);
    return object;
}

static void every_line_has_the_sources(void **state)
{
    (void)state;
    int evaluated = 0;
    for (int64_t step = 1; step <= STEPS; step++) {
        json_t *line = read_line(reference, step);
        check_line(line, step);
        evaluated += json_object_get(line, "validation_loss") != NULL;
        json_decref(line);
    }
    assert_int_equal(evaluated, 3);
    char *events = timeless_events(reference);
    assert_non_null(strstr(events, " scalar sources/b/train "));
    assert_non_null(strstr(events, " scalar sources/c/validation "));
    free(events);
}

/* With one sequence a step a line has the loss of one source, which is the step's; the others have none. */
static void a_source_without_a_sequence_has_no_loss(void **state)
{
    (void)state;
    char *dir = run_path("single"), *where = mo_strprintf("run.dir=%s", dir);
    char *mixture = mixture_of(run_folder, names);
    const char *settings[] = {"data.path=",
                              "sample.tokens=0",
                              mixture,
                              where,
                              "train.batch_size=1",
                              "eval.every=1000000",
                              "train.gradient_accumulation_steps=1"};
    MO_CHECK_OK(run_train(settings, 7, (mo_train_options){0}, NULL));
    int drawn[SOURCES] = {0};
    for (int64_t step = 1; step <= STEPS; step++) {
        json_t *line = read_line(dir, step);
        int with = 0;
        for (int i = 0; i < SOURCES; i++) {
            const json_t *loss =
                json_object_get(json_array_get(json_object_get(line, "sources"), (size_t)i), "train_loss");
            assert_true(json_is_null(loss) || json_is_real(loss));
            if (!json_is_real(loss)) continue;
            assert_true(fabs(json_real_value(loss) - number(line, "train_loss")) < 1e-12);
            drawn[i]++;
            with++;
        }
        assert_int_equal(with, 1);
        json_decref(line);
    }
    assert_int_equal(drawn[0], 6);
    assert_in_range(drawn[1], 3, 4);
    assert_in_range(drawn[2], 2, 3);
    mo_free(where);
    mo_free(mixture);
    mo_free(dir);
}

/* The last line's validation losses are what the saved weights have on each file. */
static void validation_losses_are_those_of_the_files(void **state)
{
    (void)state;
    char *path = NULL;
    json_t *line = read_line(reference, STEPS);
    mo_trained trained;
    MO_CHECK_OK(mo_run_latest(reference, &path));
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &trained));
    for (int i = 0; i < SOURCES; i++) {
        char *name = file_in(run_folder, i);
        mo_tokenfile *file;
        MO_CHECK_OK(mo_tokenfile_open(name, &file));
        mo_eval_options options = {
            .file = file, .split = MO_SPLIT_VALIDATION, .sequence_length = 80, .batch_size = 3, .batches = 2};
        mo_eval_result result;
        MO_CHECK_OK(mo_evaluate(trained.model, &options, &result));
        const json_t *s = json_array_get(json_object_get(line, "sources"), (size_t)i);
        assert_true(number(s, "validation_loss") == result.loss);
        mo_eval_result_free(&result);
        mo_tokenfile_close(file);
        mo_free(name);
    }
    mo_trained_free(&trained);
    mo_config_free(&trained.config);
    json_decref(line);
    mo_free(path);
}

/* ---- data that moved, and data that changed ---- */

static void copy_file(const char *from, const char *to)
{
    char *bytes;
    size_t size;
    MO_CHECK_OK(mo_read_file(from, 1 << 26, &bytes, &size));
    MO_CHECK_OK(mo_write_file(to, bytes, size));
    mo_free(bytes);
}

/* Run folder and token files are elsewhere when it goes on; at the place of the old ones are others. */
static void a_moved_run_goes_on(void **state)
{
    (void)state;
    char *before = run_path("before"), *after = run_path("after"), *elsewhere = run_path("elsewhere");
    stop_at(before, 7, false);
    assert_int_equal(rename(before, after), 0);
    MO_CHECK_OK(mo_make_dirs(elsewhere));
    for (int i = 0; i < SOURCES; i++) {
        char *from = file_in(run_folder, i), *to = file_in(elsewhere, i);
        copy_file(from, to);
        run_make_data(from, 55 + (uint64_t)i);
        mo_free(from);
        mo_free(to);
    }
    mo_train_options resume = {.resume = true};
    MO_CHECK_STATUS(train_in(after, run_folder, names, NULL, resume), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("/a.h5 is not the file that the run began with");
    MO_CHECK_STATUS(train_in(before, elsewhere, names, NULL, resume), MO_E_NOT_FOUND);
    MO_CHECK_OK(train_in(after, elsewhere, names, NULL, resume));
    assert_same_run(reference, after);
    for (int i = 0; i < SOURCES; i++) {
        char *from = file_in(elsewhere, i), *to = file_in(run_folder, i);
        copy_file(from, to);
        mo_free(from);
        mo_free(to);
    }
    mo_free(before);
    mo_free(after);
    mo_free(elsewhere);
}

static void other_data_is_refused_by_name(void **state)
{
    (void)state;
    mo_train_options resume = {.resume = true};
    char *path = file_in(run_folder, 1), *mixture = NULL, *where = mo_strprintf("run.dir=%s", reference);
    MO_CHECK_STATUS(train_in(reference, run_folder, "acb", NULL, resume), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("data.mixture[1].weight was 3 and is now 2, data.mixture[2].weight was 2 and is now 3");
    MO_CHECK_STATUS(train_in(reference, run_folder, "ab", NULL, resume), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("data.mixture had 3 elements and now has 2");
    MO_CHECK_STATUS(run_train((const char *[]){where}, 1, resume, NULL), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("data.mixture had 3 elements and now has 0");
    mixture = mo_strprintf("data.mixture=[{path: %s/b.h5, weight: 5}, {path: %s/a.h5, weight: 3}, "
                           "{path: %s/c.h5, weight: 2}]",
                           run_folder, run_folder, run_folder);
    MO_CHECK_STATUS(run_train((const char *[]){"data.path=", mixture, where}, 3, resume, NULL),
                    MO_E_MISMATCH); /* the order counts */
    MO_CHECK_MESSAGE("/b.h5 is not the file that the run began with");
    run_make_data(path, 66);
    MO_CHECK_STATUS(train_in(reference, run_folder, names, NULL, resume), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("/b.h5 is not the file that the run began with");
    run_make_data(path, 6);
    MO_CHECK_OK(train_in(reference, run_folder, names, NULL, resume));
    mo_free(mixture);
    mo_free(where);
    mo_free(path);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--train") == 0) {
        run_folder = argv[2];
        return train_in(argv[3], run_folder, names, NULL, (mo_train_options){0}) == MO_OK ? 0 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(one_source_is_a_run_of_its_file),
        cmocka_unit_test(interruptions_change_nothing),
        cmocka_unit_test(kills_change_nothing),
        cmocka_unit_test(every_line_has_the_sources),
        cmocka_unit_test(a_source_without_a_sequence_has_no_loss),
        cmocka_unit_test(validation_losses_are_those_of_the_files),
        cmocka_unit_test(a_moved_run_goes_on),
        cmocka_unit_test(other_data_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
