/* test_run.c -- whole runs: the same bits whatever the threads, the recompute policy and the interruptions;
 * no allocation in a step; a memory estimate that holds. The program starts itself anew as a child to be
 * killed. */
#include "harness/small_run.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lock_file.h"

/* ---- counting allocations ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
static atomic_bool counting;
static atomic_int allocations;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *malloc(size_t size)
{
    if (counting) allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    if (counting) allocations++;
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    if (counting) allocations++;
    return __libc_realloc(old, size);
}
#endif

/* ---- tests ---- */

static char *reference;

static int occurrences(const char *text, const char *of)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, of)); at++) n++;
    return n;
}

static void test_threads(void **state)
{
    (void)state;
    reference = run_named("t1", "run.threads=1");
    char *two = run_named("t2", "run.threads=2"), *four = run_named("t4", "run.threads=4");
    assert_same_run(reference, two);
    assert_same_run(reference, four);
    mo_free(two);
    mo_free(four);
    char *metrics = timeless_metrics(reference), *events = timeless_events(reference);
    assert_int_equal(occurrences(metrics, "\n"), 12);
    assert_int_equal(occurrences(events, " scalar loss/train "), 12);
    assert_int_equal(occurrences(events, " scalar loss/validation "), 3);
    assert_int_equal(occurrences(events, " histogram routing/layer_2/load "), 12);
    assert_int_equal(occurrences(events, " text samples "), 3);
    assert_int_equal(occurrences(metrics, "\"mutual_information\":"), 3 * 3); /* evaluations of 3 layers */
    assert_int_equal(occurrences(events, "/mutual_information "), 3 * 3);
    char *routing = run_routing(reference);
    assert_int_equal(occurrences(routing, "\n"), 3);
    assert_int_equal(occurrences(routing, "\"coactivation\":[["), 3 * 3);
    mo_free(routing);
    free(metrics);
    free(events);
}

static void test_recompute(void **state)
{
    (void)state;
    char *block = run_named("block", "train.recompute=block"),
         *full = run_named("full", "train.recompute=full");
    assert_same_run(reference, block);
    assert_same_run(reference, full);
    mo_free(block);
    mo_free(full);
}

static volatile sig_atomic_t stop_flag;

static void stop_at_seven(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 7) stop_flag = 1;
}

static void test_interrupted(void **state)
{
    (void)state;
    char *dir = run_path("stopped"), *where = mo_strprintf("run.dir=%s", dir);
    const char *overrides[] = {where};
    stop_flag = 0;
    MO_CHECK_STATUS(
        run_train(overrides, 1, (mo_train_options){.events.tick = stop_at_seven, .stop = &stop_flag}, NULL),
        MO_E_INTERRUPTED);
    MO_CHECK_STATUS(run_train(overrides, 1, (mo_train_options){0}, NULL), MO_E_EXISTS);
    MO_CHECK_OK(run_train(overrides, 1, (mo_train_options){.resume = true}, NULL));
    assert_same_run(reference, dir);
    mo_free(where);
    mo_free(dir);
}

/* Steps that are no checkpoint's, the last pause where the run is already. */
static void test_paused(void **state)
{
    (void)state;
    static const int64_t pauses[] = {5, 9, 8};
    char *dir = run_path("paused"), *where = mo_strprintf("run.dir=%s", dir);
    const char *overrides[] = {where};
    for (int i = 0; i < 3; i++) {
        mo_step_report last;
        mo_train_options options = {.resume = i > 0, .pause_at = pauses[i]};
        MO_CHECK_OK(run_train(overrides, 1, options, &last));
        assert_int_equal(last.end, MO_RUN_PAUSED);
        assert_int_equal(last.step, i < 1 ? 5 : 9);
        assert_int_equal(last.steps, i < 2 ? 12 : 0);
        char *path = NULL, *newest = mo_strprintf("%s/step-%08d.h5", dir, i < 1 ? 5 : 9);
        MO_CHECK_OK(mo_run_latest(dir, &path));
        assert_string_equal(path, newest);
        mo_free(newest);
        mo_free(path);
    }
    MO_CHECK_OK(run_train(overrides, 1, (mo_train_options){.resume = true, .pause_at = 12}, NULL));
    assert_same_run(reference, dir);
    assert_true(run_best_loss(dir) == run_best_loss(reference));
    mo_free(where);
    mo_free(dir);
}

/* While a run goes on its folder says so, and after it no more. */
static bool was_held;

static void look_for_lock(int64_t step, double loss, double rate, void *user)
{
    (void)step;
    (void)loss;
    (void)rate;
    was_held = mo_run_held(user);
}

static void test_held(void **state)
{
    (void)state;
    char *dir = run_path("held"), *where = mo_strprintf("run.dir=%s", dir), *lock = mo_path_join(dir, "lock");
    const char *settings[] = {where, "train.steps=1"};
    mo_train_options options = {.events = {.tick = look_for_lock, .user = dir}};
    was_held = false;
    assert_false(mo_run_held(dir));
    MO_CHECK_OK(run_train(settings, 2, options, NULL));
    assert_true(was_held);
    assert_false(mo_run_held(dir));
    assert_false(mo_path_exists(lock));
    mo_free(lock);
    mo_free(where);
    mo_free(dir);
}

/* Another process's run: it has the folder before this one can, and has made its config when it lets go. */
static void *have_the_folder(void *lock_path)
{
    int lock = -1;
    char *dir = mo_path_dir(lock_path), *config = mo_path_join(dir, "config.yaml");
    mo_status status = mo__lock_file_take(lock_path, 0, &lock);
    was_held = status == MO_OK;
    nap(0.5);
    if (mo_write_file(config, "run: {}\n", 8) == MO_OK) mo__lock_file_release(lock_path, lock);
    mo_free(config);
    mo_free(dir);
    return NULL;
}

static void test_started_twice(void **state)
{
    (void)state;
    char *dir = run_path("twice"), *where = mo_strprintf("run.dir=%s", dir),
         *lock = mo_path_join(dir, "lock");
    pthread_t other;
    MO_CHECK_OK(mo_make_dirs(dir));
    was_held = false;
    assert_int_equal(pthread_create(&other, NULL, have_the_folder, lock), 0);
    mo_status status = run_train((const char *[]){where}, 1, (mo_train_options){0}, NULL);
    pthread_join(other, NULL);
    assert_true(was_held);
    MO_CHECK_STATUS(status, MO_E_EXISTS);
    MO_CHECK_MESSAGE("a run is there already");
    mo_free(lock);
    mo_free(where);
    mo_free(dir);
}

/* A child trains and is killed after a while; whatever it left, a resume must end as if nothing had been. */
static void test_killed(void **state)
{
    (void)state;
    int killed = 0;
    for (int round = 0; round < 6; round++) {
        char *dir = mo_strprintf("%s/killed%d", run_folder, round), *where = mo_strprintf("run.dir=%s", dir);
        double wait = 0.03 + 0.5 * mo_rng_uniform((uint64_t)time(NULL), MO_RNG_TEST, (uint64_t)round, 0, 0);
        killed += run_killed((const char *[]){where}, 1, wait, NULL);
        char *config = mo_path_join(dir, "config.yaml"); /* the first thing that a run writes */
        bool resume = mo_path_exists(config);
        mo_free(config);
        MO_CHECK_OK(run_train((const char *[]){where}, 1, (mo_train_options){.resume = resume}, NULL));
        assert_same_run(reference, dir);
        assert_true(run_best_loss(dir) == run_best_loss(reference));
        mo_free(where);
        mo_free(dir);
    }
    assert_true(killed >= 1);
}

static void count_between(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 2) counting = true; /* past step 64 the watch over spikes is on */
    if (step == 79) counting = false;
}

static void test_no_allocation(void **state)
{
    (void)state;
    char *other = run_path("other.h5"), *where[2] = {NULL};
    run_make_data(other, 6);
    char *mixture =
        mo_strprintf("data.mixture=[{path: %s/data.h5, weight: 2}, {path: %s}]", run_folder, other);
    for (int mixed = 0; mixed < 2; mixed++) {
        where[mixed] = mo_strprintf("run.dir=%s/quiet%d", run_folder, mixed);
        const char *settings[] = {
            where[mixed], "train.steps=80", "log.every=1000", "eval.every=1000", "checkpoint.every=1000",
            "data.path=", mixture};
        allocations = 0;
        MO_CHECK_OK(
            run_train(settings, mixed ? 7 : 5, (mo_train_options){.events.tick = count_between}, NULL));
        assert_int_equal(allocations, 0);
        mo_free(where[mixed]);
    }
    mo_free(mixture);
    mo_free(other);
}

/* A run of the same folder with a changed model, or with none to resume. */
static void test_refused(void **state)
{
    (void)state;
    char *where = mo_strprintf("run.dir=%s", reference);
    MO_CHECK_STATUS(
        run_train((const char *[]){where, "train.steps=11"}, 2, (mo_train_options){.resume = true}, NULL),
        MO_E_MISMATCH);
    MO_CHECK_MESSAGE("has done 12 steps already");
    MO_CHECK_STATUS(run_train((const char *[]){where, "model.hidden_size=64"}, 2,
                              (mo_train_options){.resume = true}, NULL),
                    MO_E_MISMATCH);
    MO_CHECK_MESSAGE("hidden_size");
    mo_free(where);
    where = mo_strprintf("run.dir=%s/nowhere", run_folder);
    MO_CHECK_STATUS(run_train((const char *[]){where}, 1, (mo_train_options){.resume = true}, NULL),
                    MO_E_NOT_FOUND);
    mo_free(where);
}

/* Other text behind the same name. */
static void test_other_data(void **state)
{
    (void)state;
    char *where = mo_strprintf("run.dir=%s", reference), *data = run_path("data.h5");
    run_make_data(data, 6);
    MO_CHECK_STATUS(run_train((const char *[]){where}, 1, (mo_train_options){.resume = true}, NULL),
                    MO_E_MISMATCH);
    MO_CHECK_MESSAGE("is not the file that the run began with");
    run_make_data(data, 5);
    MO_CHECK_OK(run_train((const char *[]){where}, 1, (mo_train_options){.resume = true}, NULL));
    mo_free(where);
    mo_free(data);
}

/* The run goes on past its first end, and one batch can be learnt by heart. */
static void test_extended(void **state)
{
    (void)state;
    char *dir = run_path("extended"), *where = mo_strprintf("run.dir=%s", dir);
    const char *first[] = {where, "train.steps=6", "schedule.kind=constant"};
    const char *more[] = {where, "train.steps=12", "schedule.kind=constant"};
    MO_CHECK_OK(run_train(first, 3, (mo_train_options){0}, NULL));
    MO_CHECK_OK(run_train(more, 3, (mo_train_options){.resume = true}, NULL));
    char *whole = run_named("constant", "schedule.kind=constant");
    assert_same_weights(dir, whole);
    mo_free(whole);
    mo_free(where);
    mo_free(dir);
}

int main(int argc, char **argv)
{
    int code = run_as_child(argc, argv);
    if (code >= 0) return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),     cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_interrupted), cmocka_unit_test(test_paused),
        cmocka_unit_test(test_held),        cmocka_unit_test(test_started_twice),
        cmocka_unit_test(test_killed),      cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_extended),
        cmocka_unit_test(test_other_data)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
