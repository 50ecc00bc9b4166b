/* test_launch.c -- programs of trials: claimed, started, watched, told to stop; what they said. */
#include "harness/harness.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock_file.h"
#include "lab/launch.h"
#include "moira/train.h"

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

static void nap(double seconds)
{
    usleep((useconds_t)(1e6 * seconds));
}

static mo__launch claimed(const char *name)
{
    mo__launch l;
    bool is_free = false;
    char *dir = mo_path_join(folder, name);
    MO_CHECK_OK(mo__launch_claim(dir, &l, &is_free));
    assert_true(is_free);
    mo_free(dir);
    return l;
}

/* A shell, in the place of moira. */
static void start(mo__launch *l, const char *script)
{
    char program[] = "/bin/sh", option[] = "-c", *text = mo_strdup(script);
    mo__word_list words = {(char *[]){program, option, text}, 3};
    MO_CHECK_OK(mo__launch_start(l, &words));
    mo_free(text);
}

static mo__ending ended(mo__launch *l)
{
    mo__ending ending;
    for (int tries = 0; tries < 1000; tries++) {
        if (mo__launch_ended(l, &ending)) return ending;
        nap(0.01);
    }
    fail_msg("the program does not end");
    return ending;
}

/* What is said of a script's end. */
static void check_message(const char *script, const char *wanted)
{
    mo__launch l = claimed("said");
    start(&l, script);
    mo__ending ending = ended(&l);
    char *message = mo__launch_message(&l, &ending);
    assert_string_equal(message, wanted);
    mo_free(message);
    mo__launch_end(&l);
}

static void test_messages(void **state)
{
    (void)state;
    check_message("echo 'moira train: an old message' >&2; exit 2", "an old message");
    /* log.txt goes on, and what an earlier program said is not this one's. */
    check_message("exit 3", "ended with status 3 and without a word");
    check_message("echo result; echo 'moira train: warning: one' >&2; echo 'moira train: two' >&2; "
                  "echo '  of it' >&2; exit 1",
                  "two   of it");
    check_message("echo first; printf 'sh: no such\\tthing\\n\\n' >&2; exit 1", "sh: no such thing");
    check_message("echo 'moira train: words' >&2; kill -SEGV $$",
                  "ended by signal 11 (Segmentation fault); its last words: words");
    char *log = mo_strprintf("%s/said/log.txt", folder), *text = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(log, 1 << 20, &text, &size));
    assert_non_null(strstr(text, "an old message"));
    assert_non_null(strstr(text, "result"));
    mo_free(text);
    mo_free(log);
}

static void test_endings(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int code, signal;
        bool interrupted;
    } cases[] = {{"exit 0", 0, 0, false},
                 {"exit 1", 1, 0, false},
                 {"exit 130", 130, 0, true},
                 {"kill -KILL $$", -1, SIGKILL, true},
                 {"kill -TERM $$", -1, SIGTERM, true},
                 {"kill -ABRT $$", -1, SIGABRT, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mo__launch l = claimed("ends");
        start(&l, cases[i].script);
        mo__ending e = ended(&l);
        assert_true(e.known);
        assert_int_equal(e.exit_code, cases[i].code);
        assert_int_equal(e.signal, cases[i].signal);
        assert_int_equal(e.interrupted, cases[i].interrupted);
        mo__launch_end(&l);
    }
}

static void test_standard_files(void **state)
{
    (void)state;
    mo__launch l = claimed("files");
    start(&l, "read line && exit 5; ls -l /proc/$$/fd | grep -c files/");
    assert_int_equal(ended(&l).exit_code, 0);
    mo__launch_end(&l);
    char *log = mo_strprintf("%s/files/log.txt", folder), *text = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(log, 1 << 20, &text, &size));
    assert_string_equal(text, "3\n"); /* the log twice, and the claim */
    mo_free(text);
    mo_free(log);
}

/* Whoever started the program is killed: the folder stays claimed until the program ends. */
static void test_outlived(void **state)
{
    (void)state;
    int told[2];
    pid_t started = 0;
    assert_int_equal(pipe(told), 0);
    pid_t starter = fork();
    if (starter == 0) {
        mo__launch l = claimed("outlived");
        start(&l, "exec sleep 60");
        ssize_t size = write(told[1], &l.pid, sizeof l.pid);
        (void)size;
        for (alarm(60);;) pause();
    }
    assert_int_equal(read(told[0], &started, sizeof started), sizeof started);
    kill(starter, SIGKILL);
    waitpid(starter, NULL, 0);
    mo__launch l;
    mo__ending ending;
    bool is_free = true;
    char *dir = mo_path_join(folder, "outlived");
    MO_CHECK_OK(mo__launch_claim(dir, &l, &is_free));
    assert_false(is_free);
    assert_false(mo__launch_ended(&l, &ending));
    nap(0.2);
    assert_false(mo__launch_ended(&l, &ending));
    kill(started, SIGKILL);
    assert_false(ended(&l).known);
    assert_true(l.claim >= 0); /* now it is ours */
    mo__launch_end(&l);
    mo_free(dir);
    close(told[0]);
    close(told[1]);
}

/* A run that somebody else started by hand: waited for, and told to stop; on another machine it cannot be
 * told, so it is not waited for then. */
static void check_other(bool here)
{
    char *dir = mo_path_join(folder, here ? "others" : "elsewhere"), *lock = mo_path_join(dir, "lock");
    static const char there[] = "process 1 on elsewhere.example since 2026-11-22 20:41:03\n";
    int told[2];
    char byte;
    MO_CHECK_OK(mo_make_dirs(dir));
    assert_int_equal(pipe(told), 0);
    pid_t other = fork();
    if (other == 0) {
        int held;
        if (mo__lock_file_take(lock, 0, &held) != MO_OK || write(told[1], "y", 1) != 1) _exit(1);
        for (alarm(60);;) pause();
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    mo__launch l;
    mo__ending ending;
    bool is_free = true;
    MO_CHECK_OK(mo__launch_claim(dir, &l, &is_free));
    assert_false(is_free);
    assert_false(mo__launch_ended(&l, &ending));
    if (!here) {
        FILE *file = fopen(lock, "w");
        assert_true(file && fputs(there, file) >= 0 && fclose(file) == 0);
    }
    mo__launch_stop(&l);
    assert_true(here || mo__launch_ended(&l, &ending));
    if (!here) kill(other, SIGTERM);
    int how = 0;
    assert_int_equal(waitpid(other, &how, 0), other);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM);
    assert_false(ended(&l).known);
    mo__launch_end(&l);
    mo_free(lock);
    mo_free(dir);
    close(told[0]);
    close(told[1]);
}

static void test_others(void **state)
{
    (void)state;
    check_other(true);
    check_other(false);
}

/* A second SIGTERM would end a run that is saving. */
static void test_told_once(void **state)
{
    (void)state;
    mo__launch l = claimed("once");
    start(&l, "n=0; trap 'n=$((n + 1))' TERM; echo on; i=0; while [ $i -lt 8 ]; do sleep 0.05; i=$((i + 1)); "
              "done; exit $n");
    nap(0.15);
    assert_int_equal(getpgid(l.pid), l.pid); /* a terminal's Ctrl-C does not get there */
    for (int i = 0; i < 5; i++) {
        mo__launch_stop(&l);
        nap(0.02);
    }
    assert_int_equal(ended(&l).exit_code, 1);
    mo__launch_end(&l);
}

static void test_no_program(void **state)
{
    (void)state;
    mo__launch l = claimed("none");
    char program[] = "/nowhere/moira";
    mo__word_list words = {(char *[]){program}, 1};
    MO_CHECK_STATUS(mo__launch_start(&l, &words), MO_E_IO);
    MO_CHECK_MESSAGE("/nowhere/moira: cannot be started: No such file");
    mo__launch_end(&l);
    mo__launch again = claimed("none"); /* nothing is left of it */
    mo__launch_end(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),       cmocka_unit_test(test_endings),
        cmocka_unit_test(test_standard_files), cmocka_unit_test(test_outlived),
        cmocka_unit_test(test_others),         cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_no_program),
    };
    return cmocka_run_group_tests_name("programs of trials", tests, make_folder, remove_folder);
}
