/* test_saving.c -- runs whose saves overlap their steps: the same as with saves in the foreground; whole at
 * every moment; ended in order when a run stops, fails, or has no more room on the disk. The program starts
 * itself anew as a child to be killed. */
#include "harness/small_run.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *program;
static char *reference; /* a run that saves in the foreground */

/* A save at every step, slower than a step. */
#define OVERLAP "checkpoint.every=1", "eval.every=1", "checkpoint.compression=9", "sample.tokens=0"
enum { N_OVERLAP = 4 };

static int count_steps(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) n += strncmp(e->d_name, "step-", 5) == 0;
    closedir(d);
    return n;
}

/* ---- what is told ---- */

typedef struct watch {
    pthread_t owner;
    const char *dir;
    int64_t step, last_saved, last_best;
    int saves, late; /* late: told of after a later step */
    double blocked, background;
} watch;

static void on_tick(int64_t step, double loss, double rate, void *user)
{
    (void)loss, (void)rate;
    watch *w = user;
    w->step = step;
}

/* What is told of is whole, on the training thread, in order; nothing was removed for it before. */
static void on_saved(const mo_save_report *r, void *user)
{
    watch *w = user;
    assert_true(pthread_equal(w->owner, pthread_self()));
    assert_true(r->path || r->best);
    assert_true(r->step <= w->step && r->step > w->last_saved);
    assert_true(r->bytes > 10000 && r->blocked_seconds >= 0 && r->background_seconds >= 0);
    w->saves++;
    w->late += r->step < w->step;
    w->blocked += r->blocked_seconds;
    w->background += r->background_seconds;
    w->last_saved = r->step;
    if (r->best) w->last_best = r->step;
    const char *paths[] = {r->path, r->best};
    for (int i = 0; i < 2; i++) {
        mo_checkpoint *c;
        if (!paths[i]) continue;
        MO_CHECK_OK(mo_checkpoint_open(paths[i], &c));
        assert_int_equal(mo_checkpoint_get_state(c)->step, r->step);
        mo_checkpoint_close(c);
    }
    int steps = count_steps(w->dir);
    assert_true(steps == (w->saves < 3 ? w->saves : 3)); /* keep is 2; the oldest goes after this */
}

static mo_status train_watched(const char *dir, const char *setting, const volatile sig_atomic_t *stop,
                               watch *w)
{
    char *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where, setting, OVERLAP};
    *w = (watch){.owner = pthread_self(), .dir = dir};
    mo_train_options options = {.stop = stop, .events = {.tick = on_tick, .saved = on_saved, .user = w}};
    mo_status status = run_train(settings, 2 + N_OVERLAP, options, NULL);
    mo_free(where);
    return status;
}

static void check_folder(const char *dir, int64_t step)
{
    char *latest = NULL;
    mo_checkpoint *c;
    MO_CHECK_OK(mo_run_latest(dir, &latest));
    MO_CHECK_OK(mo_checkpoint_open(latest, &c));
    assert_int_equal(mo_checkpoint_get_state(c)->step, step);
    mo_checkpoint_close(c);
    mo_free(latest);
    DIR *d = opendir(dir);
    for (const struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".tmp.")) fail_msg("%s is left in %s", e->d_name, dir);
    closedir(d);
}

static void foreground_is_told_at_once(void **state)
{
    (void)state;
    watch w;
    reference = run_path("foreground");
    MO_CHECK_OK(train_watched(reference, "checkpoint.background=false", NULL, &w));
    assert_true(w.saves == 12 && w.late == 0 && w.background == 0 && w.blocked > 0);
    assert_int_equal(count_steps(reference), 2);
}

static void background_is_the_same_run(void **state)
{
    (void)state;
    watch w;
    char *dir = run_path("background");
    MO_CHECK_OK(train_watched(dir, "checkpoint.background=true", NULL, &w));
    assert_true(w.saves == 12 && w.last_saved == 12 && w.background > 0);
    assert_true(w.late > 0); /* or nothing overlapped */
    assert_int_equal(count_steps(dir), 2);
    check_folder(dir, 12);
    assert_same_run(reference, dir);
    assert_true(run_best_loss(dir) == run_best_loss(reference));
    mo_free(dir);
}

/* Steps with time to spare, until the first save is told of. */
static void on_slow_tick(int64_t step, double loss, double rate, void *user)
{
    on_tick(step, loss, rate, user);
    const watch *w = user;
    if (step > 6 && w->saves == 0) nap(0.5);
}

static void note_when(const mo_save_report *r, void *user)
{
    watch *w = user;
    if (w->saves++ == 0) w->last_saved = w->step;
    assert_true(r->step % 6 == 0);
}

static void what_is_whole_is_told_of_soon(void **state)
{
    (void)state;
    watch w = {.saves = 0};
    char *dir = run_path("rare"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where, "checkpoint.every=6", "eval.every=1000", "sample.tokens=0"};
    mo_train_options options = {.events = {.tick = on_slow_tick, .saved = note_when, .user = &w}};
    MO_CHECK_OK(run_train(settings, 4, options, NULL));
    assert_int_equal(w.saves, 2);
    assert_true(w.last_saved < 12);
    mo_free(where);
    mo_free(dir);
}

/* ---- when a run stops ---- */

static volatile sig_atomic_t stop_flag;

static void stop_at_seven(int64_t step, double loss, double rate, void *user)
{
    on_tick(step, loss, rate, user);
    if (step == 7) stop_flag = 1;
}

static void resume_and_compare(const char *dir)
{
    char *where = mo_strprintf("run.dir=%s", dir);
    MO_CHECK_OK(
        run_train((const char *[]){where, OVERLAP}, 1 + N_OVERLAP, (mo_train_options){.resume = true}, NULL));
    assert_same_run(reference, dir);
    assert_true(run_best_loss(dir) == run_best_loss(reference));
    mo_free(where);
}

static void an_interrupt_waits_for_the_save(void **state)
{
    (void)state;
    watch w = {.owner = pthread_self()};
    char *dir = run_path("stopped"), *where = mo_strprintf("run.dir=%s", dir);
    w.dir = dir;
    stop_flag = 0;
    mo_train_options options = {.stop = &stop_flag,
                                .events = {.tick = stop_at_seven, .saved = on_saved, .user = &w}};
    MO_CHECK_STATUS(run_train((const char *[]){where, OVERLAP}, 1 + N_OVERLAP, options, NULL),
                    MO_E_INTERRUPTED);
    assert_int_equal(w.last_saved, w.step);
    check_folder(dir, w.step);
    resume_and_compare(dir);
    mo_free(where);
    mo_free(dir);
}

/* Weights that grow without bound: the last finite ones are saved, and the message is the run's. */
static void not_a_number_saves_first(void **state)
{
    (void)state;
    watch w = {.owner = pthread_self()};
    char *dir = run_path("wild"), *where = mo_strprintf("run.dir=%s", dir);
    w.dir = dir;
    mo_train_options options = {.events = {.tick = on_tick, .saved = on_saved, .user = &w}};
    MO_CHECK_STATUS(
        run_train((const char *[]){where, "optimizer.learning_rate=100", "optimizer.weight_decay=100",
                                   "schedule.warmup_steps=0", "schedule.kind=constant", "eval.every=1000",
                                   "checkpoint.every=1000", "train.steps=100"},
                  8, options, NULL),
        MO_E_NONFINITE);
    MO_CHECK_MESSAGE("are saved");
    assert_true(w.saves == 1 && w.last_saved == w.step && w.step > 0);
    check_folder(dir, w.step);
    mo_free(where);
    mo_free(dir);
}

/* ---- a full disk ---- */

static struct rlimit room;

static void limit_at_five(int64_t step, double loss, double rate, void *user)
{
    on_tick(step, loss, rate, user);
    if (step != 5) return;
    struct rlimit small = room;
    small.rlim_cur = 20000; /* enough for the lines of metrics.jsonl, too little for a checkpoint */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
}

static void check_full_disk(const char *name, const char *setting)
{
    watch w = {.owner = pthread_self()};
    char *dir = run_path(name), *where = mo_strprintf("run.dir=%s", dir);
    w.dir = dir;
    getrlimit(RLIMIT_FSIZE, &room);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    mo_train_options options = {.events = {.tick = limit_at_five, .saved = on_saved, .user = &w}};
    const char *settings[] = {where, setting, "log.tensorboard=false", "log.every=4", OVERLAP};
    mo_status status = run_train(settings, 4 + N_OVERLAP, options, NULL);
    setrlimit(RLIMIT_FSIZE, &room);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, MO_E_IO);
    MO_CHECK_MESSAGE("cannot write (File too large)");
    MO_CHECK_MESSAGE(dir);
    assert_true(w.step < 12 && w.last_saved >= 3 && w.last_saved <= 5);
    check_folder(dir, w.last_saved);
    settings[1] = "checkpoint.background=true";
    options = (mo_train_options){.resume = true};
    MO_CHECK_OK(run_train(settings, 4 + N_OVERLAP, options, NULL));
    assert_same_weights(reference, dir);
    mo_free(where);
    mo_free(dir);
}

/* The disk is full for the metrics and for the save that is under way: the first to fail is the one that is
 * told. */
static void limit_all_at_five(int64_t step, double loss, double rate, void *user)
{
    on_tick(step, loss, rate, user);
    struct rlimit small = room;
    small.rlim_cur = 10;
    if (step == 5) assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
}

static void the_first_failure_is_told(void **state)
{
    (void)state;
    char *dir = run_path("both"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where, "log.tensorboard=false", OVERLAP};
    watch w = {.saves = 0};
    getrlimit(RLIMIT_FSIZE, &room);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    mo_train_options options = {.events = {.tick = limit_all_at_five, .user = &w}};
    mo_status status = run_train(settings, 2 + N_OVERLAP, options, NULL);
    setrlimit(RLIMIT_FSIZE, &room);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, MO_E_IO);
    MO_CHECK_MESSAGE("metrics.jsonl: File too large");
    MO_CHECK_OK(run_train(settings, 2 + N_OVERLAP, (mo_train_options){.resume = true}, NULL));
    assert_same_weights(reference, dir);
    mo_free(where);
    mo_free(dir);
}

/* An interrupt whose save fails is a failure. */
static void stop_and_limit_at_five(int64_t step, double loss, double rate, void *user)
{
    limit_at_five(step, loss, rate, user);
    if (step == 5) stop_flag = 1;
}

static void a_stop_without_room_says_so(void **state)
{
    (void)state;
    char *dir = run_path("stopped-full"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where, "log.tensorboard=false", "checkpoint.every=1000", "eval.every=1000"};
    watch w = {.saves = 0};
    stop_flag = 0;
    getrlimit(RLIMIT_FSIZE, &room);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    mo_train_options options = {.stop = &stop_flag, .events = {.tick = stop_and_limit_at_five, .user = &w}};
    mo_status status = run_train(settings, 4, options, NULL);
    setrlimit(RLIMIT_FSIZE, &room);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, MO_E_IO);
    MO_CHECK_MESSAGE("step-00000005.h5: cannot write (File too large)");
    mo_free(where);
    mo_free(dir);
}

static void a_full_disk_ends_the_run(void **state)
{
    (void)state;
    check_full_disk("full", "checkpoint.background=true");
    check_full_disk("full-foreground", "checkpoint.background=false");
}

/* ---- killed ---- */

static void killed_at_any_moment(void **state)
{
    (void)state;
    int killed = 0;
    for (int round = 0; round < 8; round++) {
        char *dir = mo_strprintf("%s/killed%d", run_folder, round), *where = mo_strprintf("run.dir=%s", dir);
        char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--train", run_folder, where, NULL};
        pid_t child;
        assert_int_equal(posix_spawn(&child, program, NULL, NULL, argv, environ), 0);
        nap(0.05 + 0.6 * mo_rng_uniform((uint64_t)time(NULL), MO_RNG_TEST, (uint64_t)round, 0, 0));
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        killed += WIFSIGNALED(status);
        char *config = mo_path_join(dir, "config.yaml"); /* the first thing that a run writes */
        if (mo_path_exists(config)) {
            resume_and_compare(dir);
            check_folder(dir, 12);
            assert_int_equal(count_steps(dir), 2);
        }
        mo_free(config);
        mo_free(where);
        mo_free(dir);
    }
    assert_true(killed >= 1);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--train") == 0) {
        run_folder = argv[2];
        return run_train((const char *[]){argv[3], OVERLAP}, 1 + N_OVERLAP, (mo_train_options){0}, NULL) !=
               MO_OK;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreground_is_told_at_once),
        cmocka_unit_test(background_is_the_same_run),
        cmocka_unit_test(an_interrupt_waits_for_the_save),
        cmocka_unit_test(not_a_number_saves_first),
        cmocka_unit_test(what_is_whole_is_told_of_soon),
        cmocka_unit_test(the_first_failure_is_told),
        cmocka_unit_test(a_stop_without_room_says_so),
        cmocka_unit_test(a_full_disk_ends_the_run),
        cmocka_unit_test(killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
