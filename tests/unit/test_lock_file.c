/* test_lock_file.c -- who has what: between processes, after a kill, through a descriptor that is inherited.
 */
#include "harness/harness.h"

#include <signal.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock_file.h"

static char path[] = "/tmp/moira_lock_XXXXXX";

/* A child that takes the lock, says so, and holds it until it is killed. */
static pid_t holder(void)
{
    int told[2];
    char byte = 0;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        int lock = -1;
        bool taken = mo__lock_file_take(path, 0, &lock) == MO_OK && lock >= 0;
        if (write(told[1], taken ? "y" : "n", 1) != 1 || !taken) _exit(1);
        for (;;) pause();
    }
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(told[0]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_held(void **state)
{
    (void)state;
    int lock = -1;
    pid_t child = holder();
    assert_true(mo__lock_file_held(path));
    MO_CHECK_STATUS(mo__lock_file_take(path, 0, &lock), MO_E_EXISTS);
    assert_int_equal(lock, -1);
    char *who = mo_strprintf("process %ld on ", (long)child);
    MO_CHECK_MESSAGE(who);
    mo_free(who);
    end(child);
    /* What it left says nothing any more. */
    assert_true(mo_path_exists(path));
    assert_false(mo__lock_file_held(path));
    MO_CHECK_OK(mo__lock_file_take(path, 0, &lock));
    assert_true(mo__lock_file_held(path));
    mo__lock_file_release(path, lock);
    assert_false(mo_path_exists(path));
    assert_false(mo__lock_file_held(path));
}

/* Two that ask at the same time: a shared lock is what asking takes. */
static void test_asked_twice(void **state)
{
    (void)state;
    int file = open(path, O_RDWR | O_CREAT, 0666);
    assert_int_equal(flock(file, LOCK_SH), 0);
    assert_false(mo__lock_file_held(path));
    assert_int_equal(flock(file, LOCK_EX), 0);
    assert_true(mo__lock_file_held(path));
    close(file);
    unlink(path);
}

/* One of another machine that shares the folder cannot be told anything. */
static void test_holder(void **state)
{
    (void)state;
    static const char there[] = "process 1 on elsewhere.example since 2026-11-22 20:41:03\n";
    assert_int_equal(mo__lock_file_holder(path), 0);
    pid_t child = holder();
    assert_int_equal(mo__lock_file_holder(path), child);
    int file = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(mo__lock_file_holder(path), 0); /* it has not said yet who it is */
    assert_int_equal(write(file, there, sizeof there - 1), sizeof there - 1);
    close(file);
    assert_int_equal(mo__lock_file_holder(path), -1);
    end(child);
    assert_int_equal(mo__lock_file_holder(path), 0);
    unlink(path);
}

static void test_patience(void **state)
{
    (void)state;
    int lock = -1;
    pid_t child = holder();
    if (fork() == 0) {
        usleep(200000);
        kill(child, SIGKILL);
        _exit(0);
    }
    MO_CHECK_OK(mo__lock_file_take(path, 10, &lock));
    assert_true(lock >= 0);
    mo__lock_file_release(path, lock);
    waitpid(child, NULL, 0);
    wait(NULL);
}

/* The first process goes; the one that it started, and gave the descriptor, has the lock. */
static void test_inherited(void **state)
{
    (void)state;
    int lock = -1, told[2];
    pid_t heir = 0;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        if (mo__lock_file_take(path, 0, &lock) != MO_OK) _exit(1);
        pid_t grandchild = fork();
        if (grandchild == 0)
            for (alarm(60);;) pause();
        ssize_t size = write(told[1], &grandchild, sizeof grandchild);
        _exit(size == sizeof grandchild ? 0 : 1);
    }
    assert_int_equal(read(told[0], &heir, sizeof heir), sizeof heir);
    waitpid(child, NULL, 0);
    assert_true(mo__lock_file_held(path));
    kill(heir, SIGKILL);
    MO_CHECK_OK(mo__lock_file_take(path, 10, &lock));
    mo__lock_file_release(path, lock);
    close(told[0]);
    close(told[1]);
}

/* Takers and releasers at the same time: never two have it. */
static void test_crowd(void **state)
{
    (void)state;
    enum { CROWD = 4, ROUNDS = 25 };
    char *counter = mo_strprintf("%s.count", path);
    for (int i = 0; i < CROWD; i++) {
        if (fork() != 0) continue;
        for (int round = 0; round < ROUNDS; round++) {
            int lock = -1, seen = 0;
            FILE *file;
            if (mo__lock_file_take(path, 30, &lock) != MO_OK || lock < 0) _exit(1);
            if ((file = fopen(counter, "r"))) {
                if (fscanf(file, "%d", &seen) != 1) _exit(2);
                fclose(file);
            }
            if (!(file = fopen(counter, "w")) || fprintf(file, "%d", seen + 1) < 1 || fclose(file) != 0)
                _exit(3);
            mo__lock_file_release(path, lock);
            usleep(100);
        }
        _exit(0);
    }
    for (int i = 0; i < CROWD; i++) {
        int how = 0;
        wait(&how);
        assert_true(WIFEXITED(how));
        assert_int_equal(WEXITSTATUS(how), 0);
    }
    int all = 0;
    FILE *file = fopen(counter, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &all), 1);
    fclose(file);
    assert_int_equal(all, CROWD * ROUNDS);
    unlink(counter);
    mo_free(counter);
}

static void test_trouble(void **state)
{
    (void)state;
    int lock = 7;
    MO_CHECK_STATUS(mo__lock_file_take("/nowhere/at/all", 0, &lock), MO_E_NOT_FOUND);
    assert_int_equal(lock, -1);
    assert_false(mo__lock_file_held("/nowhere/at/all"));
    mo__lock_file_release(path, -1);
}

int main(void)
{
    int file = mkstemp(path);
    if (file < 0) return 2;
    close(file);
    unlink(path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held),     cmocka_unit_test(test_asked_twice), cmocka_unit_test(test_holder),
        cmocka_unit_test(test_patience), cmocka_unit_test(test_inherited),   cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_trouble),
    };
    return cmocka_run_group_tests_name("lock files", tests, NULL, NULL);
}
