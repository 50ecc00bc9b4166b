/* test_files.c -- whole files: replaced, read, hashed; folders and paths. */
#include "harness/harness.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void check_text(const char *path, const char *text)
{
    char *read;
    MO_CHECK_OK(mo_read_file(path, 1 << 20, &read, NULL));
    assert_string_equal(read, text);
    mo_free(read);
}

static int entries(const char *dir)
{
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    int count = -2;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

static void commit_replaces_and_leaves_nothing_behind(void **state)
{
    const char *target = temp_path(*state, "model.h5");
    write_text(target, "old");
    mo_replace replace;
    MO_CHECK_OK(mo_replace_begin(&replace, target));
    char *expected = mo_strprintf("%s/.model.h5.tmp.%d", (char *)*state, (int)getpid());
    assert_string_equal(replace.path, expected);
    mo_free(expected);
    write_text(replace.path, "new");
    check_text(target, "old");
    MO_CHECK_OK(mo_replace_commit(&replace));
    check_text(target, "new");
    assert_int_equal(entries(*state), 1);
    mo_replace_abort(&replace);
    check_text(target, "new");
}

static void abort_leaves_the_target(void **state)
{
    const char *target = temp_path(*state, "model.h5");
    write_text(target, "old");
    mo_replace replace;
    MO_CHECK_OK(mo_replace_begin(&replace, target));
    write_text(replace.path, "half");
    mo_replace_abort(&replace);
    check_text(target, "old");
    assert_int_equal(entries(*state), 1);
}

static void commit_without_a_written_file_leaves_the_target(void **state)
{
    const char *target = temp_path(*state, "model.h5");
    write_text(target, "old");
    mo_replace replace;
    MO_CHECK_OK(mo_replace_begin(&replace, target));
    MO_CHECK_STATUS(mo_replace_commit(&replace), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("No such file");
    assert_null(replace.path);
    check_text(target, "old");
}

static void failed_rename_removes_the_temporary_file(void **state)
{
    const char *target = temp_path(*state, "model.h5");
    mo_replace replace;
    MO_CHECK_OK(mo_replace_begin(&replace, target));
    write_text(replace.path, "new");
    assert_int_equal(mkdir(target, 0777), 0); /* a folder cannot be renamed over */
    MO_CHECK_STATUS(mo_replace_commit(&replace), MO_E_IO);
    MO_CHECK_MESSAGE(target);
    assert_int_equal(entries(*state), 1);
}

static void replace_says_early_what_cannot_work(void **state)
{
    mo_replace replace;
    MO_CHECK_STATUS(mo_replace_begin(&replace, *state), MO_E_EXISTS);
    MO_CHECK_MESSAGE("is a folder");
    MO_CHECK_STATUS(mo_replace_begin(&replace, ""), MO_E_EXISTS);
    MO_CHECK_STATUS(mo_replace_begin(&replace, temp_path(*state, "no/such/x.h5")), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("no/such/x.h5: its folder");
    const char *pipe_path = temp_path(*state, "pipe"); /* stands for /dev/null and its like */
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    MO_CHECK_STATUS(mo_replace_begin(&replace, pipe_path), MO_E_EXISTS);
    MO_CHECK_MESSAGE("is not a regular file");
    mo_replace_abort(&replace);
}

/* A child replaces the file over and over and is killed at some moment, many times: the file is always one of
 * the two whole versions. */
static void a_kill_leaves_a_whole_file(void **state)
{
    enum { SIZE = 1 << 16, KILLS = 20 };
    const char *target = temp_path(*state, "state.bin");
    char *bytes = mo_malloc(SIZE);
    memset(bytes, 'a', SIZE);
    MO_CHECK_OK(mo_write_file(target, bytes, SIZE));
    for (unsigned k = 0; k < KILLS; k++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int i = 0;; i++) {
                memset(bytes, i % 2 ? 'a' : 'b', SIZE);
                if (mo_write_file(target, bytes, SIZE) != MO_OK) _exit(1);
            }
        }
        usleep(1000 + 700 * k);
        kill(child, SIGKILL);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        char *read;
        size_t size;
        MO_CHECK_OK(mo_read_file(target, SIZE, &read, &size));
        assert_int_equal(size, SIZE);
        for (int i = 0; i < SIZE; i++) assert_int_equal(read[i], read[0]);
        mo_free(read);
    }
    mo_free(bytes);
}

static void what_is_written_is_read(void **state)
{
    const char *path = temp_path(*state, "bytes");
    static const char BYTES[] = "with\0a zero\n";
    MO_CHECK_OK(mo_write_file(path, BYTES, sizeof BYTES - 1));
    char *read;
    size_t size;
    MO_CHECK_OK(mo_read_file(path, sizeof BYTES - 1, &read, &size));
    assert_int_equal(size, sizeof BYTES - 1);
    assert_memory_equal(read, BYTES, sizeof BYTES);
    mo_free(read);
    MO_CHECK_OK(mo_write_file(path, "", 0));
    MO_CHECK_OK(mo_read_file(path, 0, &read, &size));
    assert_int_equal(size, 0);
    assert_string_equal(read, "");
    mo_free(read);
}

static void reading_stops_at_the_limit(void **state)
{
    const char *path = temp_path(*state, "long");
    char *read;
    write_text(path, "0123456789");
    int64_t live = mo__alloc_live();
    MO_CHECK_OK(mo_read_file(path, 10, &read, NULL));
    mo_free(read);
    MO_CHECK_STATUS(mo_read_file(path, 9, &read, NULL), MO_E_RANGE);
    MO_CHECK_MESSAGE("longer than 9 bytes");
    assert_null(read);
    assert_int_equal(mo__alloc_live(), live);
}

static void file_errors_name_the_path_and_the_reason(void **state)
{
    char *read, hex[33];
    const char *missing = temp_path(*state, "missing");
    MO_CHECK_STATUS(mo_read_file(missing, 10, &read, NULL), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE(missing);
    MO_CHECK_MESSAGE("No such file or directory");
    MO_CHECK_STATUS(mo_hash_file(missing, 0, hex), MO_E_NOT_FOUND);
    MO_CHECK_STATUS(mo_read_file(*state, 10, &read, NULL), MO_E_IO);
    MO_CHECK_MESSAGE("Is a directory");
}

static mo_status write_and_read(const char *path)
{
    MO_TRY(mo_write_file(path, "text", 4));
    char *read;
    MO_TRY(mo_read_file(path, 10, &read, NULL));
    mo_free(read);
    char hex[33];
    return mo_hash_file(path, 0, hex);
}

static void every_allocation_may_fail(void **state)
{
    const char *path = temp_path(*state, "file");
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, write_and_read(path));
    assert_in_range(failed, 6, 12);
    assert_int_equal(mo__alloc_live(), live);
    check_text(path, "text");
    assert_int_equal(entries(*state), 1);
}

static void folders_are_made_with_their_parents(void **state)
{
    const char *deep = temp_path(*state, "a/b//c/");
    MO_CHECK_OK(mo_make_dirs(deep));
    MO_CHECK_OK(mo_make_dirs(deep));
    assert_true(mo_path_is_dir(temp_path(*state, "a/b/c")));
    const char *file = temp_path(*state, "a/file");
    write_text(file, "x");
    assert_true(mo_path_exists(file));
    assert_false(mo_path_is_dir(file));
    assert_false(mo_path_exists(temp_path(*state, "a/none")));
    MO_CHECK_STATUS(mo_make_dirs(file), MO_E_EXISTS);
    MO_CHECK_MESSAGE("a/file: is a file");
    MO_CHECK_STATUS(mo_make_dirs(temp_path(*state, "a/file/under")), MO_E_EXISTS);
    MO_CHECK_STATUS(mo_make_dirs(""), MO_E_NOT_FOUND);
    MO_CHECK_OK(mo_make_dirs("/"));
}

static void check_owned(char *actual, const char *expected)
{
    assert_string_equal(actual, expected);
    mo_free(actual);
}

static void paths_are_cut_and_joined(void **state)
{
    (void)state;
    check_owned(mo_path_dir("runs/demo/best.h5"), "runs/demo");
    check_owned(mo_path_dir("best.h5"), ".");
    check_owned(mo_path_dir("/best.h5"), "/");
    check_owned(mo_path_join("runs", "best.h5"), "runs/best.h5");
    check_owned(mo_path_join("runs/", "best.h5"), "runs/best.h5");
    check_owned(mo_path_join("", "best.h5"), "best.h5");
    check_owned(mo_path_join("runs", "/data/x.h5"), "/data/x.h5");
}

/* XXH3-128 of no bytes, seed 0: the value xxHash's own tests give. */
/* Real places: what is a link is left as where it leads. */
static void paths_from_a_folder(void **state)
{
    const char *dir = *state;
    char root[200];
    snprintf(root, sizeof root, "%s", dir);
    MO_CHECK_OK(mo_make_dirs(temp_path(dir, "ab/c")));
    MO_CHECK_OK(mo_make_dirs(temp_path(dir, "abc")));
    assert_int_equal(symlink("ab/c", temp_path(dir, "link")), 0);
    char *back = getcwd(NULL, 0);
    assert_int_equal(chdir(root), 0);
    const struct {
        const char *from, *to, *expected;
    } cases[] = {{"ab/c", "abc", "../../abc"},
                 {"ab", "abc", "../abc"},
                 {".", "ab/c", "ab/c"},
                 {"ab/c", "ab", "../"},
                 {"ab", "ab", "."},
                 {"link", "abc", "../../abc"},
                 {"abc", "link", "../ab/c"},
                 {"ab", "/no/such", "/no/such"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path;
        MO_CHECK_OK(mo_path_from(cases[i].from, cases[i].to, &path));
        assert_string_equal(path, cases[i].expected);
        mo_free(path);
    }
    char *path;
    MO_CHECK_STATUS(mo_path_from("ab", "nothing", &path), MO_E_NOT_FOUND);
    MO_CHECK_STATUS(mo_path_from("nothing", "ab", &path), MO_E_NOT_FOUND);
    assert_int_equal(chdir(back), 0);
    free(back);
}

static void hash_gives_the_published_value(void **state)
{
    (void)state;
    char hex[33];
    mo_hash_bytes("", 0, hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

/* Across the buffer's end, and from an offset: the same as over the bytes in memory. */
static void hash_of_a_file_is_that_of_its_bytes(void **state)
{
    enum { SIZE = (1 << 20) + 12345 };
    const char *path = temp_path(*state, "big");
    unsigned char *bytes = mo_malloc(SIZE);
    for (uint32_t i = 0; i < SIZE; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 24);
    MO_CHECK_OK(mo_write_file(path, bytes, SIZE));
    static const uint64_t OFFSETS[] = {0, 1, 512, 1 << 20, SIZE};
    for (size_t i = 0; i < sizeof OFFSETS / sizeof *OFFSETS; i++) {
        char file_hex[33], bytes_hex[33];
        MO_CHECK_OK(mo_hash_file(path, OFFSETS[i], file_hex));
        mo_hash_bytes(bytes + OFFSETS[i], SIZE - OFFSETS[i], bytes_hex);
        assert_string_equal(file_hex, bytes_hex);
    }
    char before[33], after[33];
    mo_hash_bytes(bytes, SIZE, before);
    bytes[SIZE / 2] ^= 1;
    mo_hash_bytes(bytes, SIZE, after);
    assert_string_not_equal(before, after);
    mo_free(bytes);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(commit_replaces_and_leaves_nothing_behind),
        IN_FOLDER(abort_leaves_the_target),
        IN_FOLDER(commit_without_a_written_file_leaves_the_target),
        IN_FOLDER(failed_rename_removes_the_temporary_file),
        IN_FOLDER(replace_says_early_what_cannot_work),
        IN_FOLDER(a_kill_leaves_a_whole_file),
        IN_FOLDER(what_is_written_is_read),
        IN_FOLDER(reading_stops_at_the_limit),
        IN_FOLDER(file_errors_name_the_path_and_the_reason),
        IN_FOLDER(every_allocation_may_fail),
        IN_FOLDER(folders_are_made_with_their_parents),
        cmocka_unit_test(paths_are_cut_and_joined),
        IN_FOLDER(paths_from_a_folder),
        cmocka_unit_test(hash_gives_the_published_value),
        IN_FOLDER(hash_of_a_file_is_that_of_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
