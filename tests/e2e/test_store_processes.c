/* test_store_processes.c -- results.db and several processes: that write at once, are killed while they
 * write, find the disk full, may only read. */
#include "harness/harness.h"

#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/small_lab.h"
#include "lab/store.h"

enum { TRIALS = 60, EVALUATIONS = 5, WRITERS = 4 };

extern char **environ;
static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = temp_make();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    temp_remove(dir);
    return 0;
}

/* ---- what the processes do ---- */

static mo_status plan_all(mo__store *store)
{
    mo_lab_trial plan[TRIALS];
    char names[TRIALS][16];
    for (int i = 0; i < TRIALS; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        plan[i] = (mo_lab_trial){.name = names[i], .seed = (uint64_t)i, .target_step = EVALUATIONS};
    }
    return mo__store_plan(store, plan, TRIALS);
}

/* Trial i, whoever records it. */
static mo_status record(mo__store *store, int i)
{
    mo_lab_evaluation e[EVALUATIONS];
    char name[16];
    snprintf(name, sizeof name, "t%d", i);
    for (int s = 1; s <= EVALUATIONS; s++)
        e[s - 1] = (mo_lab_evaluation){.step = s, .tokens = 10 * s, .validation_loss = i + 1.0 / s};
    return mo__store_record(store, &(mo_lab_trial){.id = i + 1,
                                                   .name = name,
                                                   .target_step = EVALUATIONS,
                                                   .step = EVALUATIONS,
                                                   .state = MO_TRIAL_DONE,
                                                   .loss = i + 1.0 / EVALUATIONS,
                                                   .evaluations = e,
                                                   .n_evaluations = EVALUATIONS});
}

/* Records every WRITERS-th trial from `part` on, then all the others: each is recorded by all. */
static mo_status write_part(const small_lab *lab, int part)
{
    mo__store *store;
    MO_TRY(mo__store_open(&lab->spec, &store));
    mo_status status = plan_all(store);
    for (int round = 0; round < WRITERS && status == MO_OK; round++)
        for (int i = (part + round) % WRITERS; i < TRIALS && status == MO_OK; i += WRITERS)
            status = record(store, i);
    mo__store_close(store);
    return status;
}

/* Goes on until it is killed; everything is recorded anew each time, with rungs that go up. */
static mo_status write_on(const small_lab *lab)
{
    mo__store *store;
    MO_TRY(mo__store_open(&lab->spec, &store));
    mo_status status = plan_all(store);
    for (int i = 0; status == MO_OK; i = (i + 1) % TRIALS) status = record(store, i);
    mo__store_close(store);
    return status;
}

/* With files of at most `most` bytes. Prints nothing: the status is the exit's. */
static mo_status write_little(const small_lab *lab, long most)
{
    struct rlimit limit = {(rlim_t)most, (rlim_t)most};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return MO_E_INTERNAL;
    return mo_path_exists(lab->spec.dir) ? write_on(lab)
                                         : mo__store_create(&lab->spec, lab->variants, 2, "machine");
}

static mo_status read_as_nobody(const small_lab *lab)
{
    mo_lab_results r;
    if (geteuid() == 0 && setuid(65534) != 0) return MO_E_INTERNAL;
    MO_TRY(mo_lab_results_read(lab->spec.dir, &r));
    mo_status status = r.n_trials == TRIALS ? MO_OK : MO_E_MISMATCH;
    mo_lab_results_free(&r);
    return status;
}

/* test --child PARENT NAME what number */
static int child(char **argv)
{
    small_lab lab = small_lab_make(argv[2], argv[3]);
    int number = atoi(argv[5]);
    mo_status status = strcmp(argv[4], "part") == 0     ? write_part(&lab, number)
                       : strcmp(argv[4], "on") == 0     ? write_on(&lab)
                       : strcmp(argv[4], "little") == 0 ? write_little(&lab, number)
                                                        : read_as_nobody(&lab);
    if (status != MO_OK && status != MO_E_IO) fprintf(stderr, "%s\n", mo_last_error());
    small_lab_free(&lab);
    return (int)status;
}

/* ---- what the test does with them ---- */

static pid_t start(const char *name, const char *what, int number)
{
    char program[4096], digits[16];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    assert_true(length > 0);
    program[length] = '\0';
    snprintf(digits, sizeof digits, "%d", number);
    char *argv[] = {
        program, (char[]){"--child"}, dir, (char *)(uintptr_t)name, (char *)(uintptr_t)what, digits, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    return pid;
}

/* Its status, or -1 if a signal ended it. */
static int end_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make(const char *name)
{
    small_lab lab = small_lab_make(dir, name);
    MO_CHECK_OK(mo__store_create(&lab.spec, lab.variants, SMALL_LAB_VARIANTS, "machine"));
    small_lab_free(&lab);
}

/* Every trial is there as a whole or not at all. Returns how many are. */
static int whole_trials(const char *name)
{
    mo_lab_results r;
    int done = 0;
    MO_CHECK_OK(mo_lab_results_read(temp_path(dir, name), &r));
    assert_true(r.n_trials == 0 || r.n_trials == TRIALS);
    for (int i = 0; i < r.n_trials; i++) {
        const mo_lab_trial *t = &r.trials[i];
        assert_int_equal(t->n_evaluations, t->state == MO_TRIAL_DONE ? EVALUATIONS : 0);
        if (t->state != MO_TRIAL_DONE) continue;
        done++;
        assert_int_equal(t->seed, i);
        assert_true(t->loss == i + 1.0 / EVALUATIONS);
        for (int k = 0; k < EVALUATIONS; k++)
            assert_true(t->evaluations[k].validation_loss == i + 1.0 / (k + 1));
    }
    mo_lab_results_free(&r);
    return done;
}

static void nap(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

static void many_write_at_once(void **state)
{
    (void)state;
    pid_t writers[WRITERS];
    make("many");
    for (int w = 0; w < WRITERS; w++) writers[w] = start("many", "part", w);
    int reads = 0, seen = 0;
    while (waitpid(writers[0], NULL, WNOHANG) == 0) {
        int done = whole_trials("many");
        assert_true(done >= seen);
        seen = done;
        reads++;
    }
    for (int w = 1; w < WRITERS; w++) assert_int_equal(end_of(writers[w]), MO_OK);
    assert_int_equal(whole_trials("many"), TRIALS);
    assert_true(reads > 0);
}

static void killed_while_writing(void **state)
{
    (void)state;
    make("killed");
    int done = 0;
    for (int i = 0; i < 12; i++) {
        pid_t pid = start("killed", "on", 0);
        nap(0.004 + 0.007 * i);
        kill(pid, SIGKILL);
        assert_int_equal(end_of(pid), -1);
        int now = whole_trials("killed");
        assert_true(now >= done);
        done = now;
    }
    assert_true(done > 0);
}

/* A limit on the size of files stands for a disk that has no more room: both end SQLite's writing. */
static void a_full_disk(void **state)
{
    (void)state;
    make("full");
    int done = 0;
    for (int kib = 40; kib < 200; kib += 40) {
        assert_int_equal(end_of(start("full", "little", kib << 10)), MO_E_IO);
        int now = whole_trials("full");
        assert_true(now >= done);
        done = now;
    }
    assert_true(done > 0 && done <= TRIALS);
    /* Where it cannot even be made, nothing is left of it. */
    assert_int_equal(end_of(start("nothing", "little", 8192)), MO_E_IO);
    assert_true(mo_path_is_dir(temp_path(dir, "nothing")));
    assert_int_equal(rmdir(temp_path(dir, "nothing")), 0);
}

static void only_for_reading(void **state)
{
    (void)state;
    static const char name[] = "read %20?x=1#y"; /* all of it a name */
    make(name);
    small_lab lab = small_lab_make(dir, name);
    MO_CHECK_OK(write_part(&lab, 0));
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod(lab.spec.dir, 0555), 0);
    assert_false(mo_path_exists(temp_path(lab.spec.dir, "results.db-wal")));
    assert_int_equal(end_of(start(name, "nobody", 0)), MO_OK);
    /* What is in the log alone would be passed over. */
    assert_int_equal(chmod(lab.spec.dir, 0755), 0);
    MO_CHECK_OK(mo_write_file(temp_path(lab.spec.dir, "results.db-wal"), "left by a kill", 14));
    assert_int_equal(chmod(temp_path(lab.spec.dir, "results.db-wal"), 0644), 0);
    assert_int_equal(chmod(lab.spec.dir, 0555), 0);
    assert_int_equal(end_of(start(name, "nobody", 0)), MO_E_IO);
    assert_int_equal(chmod(lab.spec.dir, 0755), 0);
    small_lab_free(&lab);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "--child") == 0) return child(argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_write_at_once),
                                       cmocka_unit_test(killed_while_writing), cmocka_unit_test(a_full_disk),
                                       cmocka_unit_test(only_for_reading)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
