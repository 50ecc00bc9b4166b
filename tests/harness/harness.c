/* harness.c -- checks and folders for tests. */
#include "harness.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mo__check_status(mo_status actual, mo_status expected, const char *call, const char *file, int line)
{
    if (actual != expected) {
        print_error("%s\n  returned '%s' (%s), expected '%s'\n", call, mo_status_name(actual),
                    actual == MO_OK ? "" : mo_last_error(), mo_status_name(expected));
        _fail(file, line);
    }
    if (expected != MO_OK && mo_last_error()[0] == '\0') {
        print_error("%s\n  returned '%s' without a message\n", call, mo_status_name(actual));
        _fail(file, line);
    }
}

void mo__check_message(const char *text, const char *file, int line)
{
    if (strstr(mo_last_error(), text)) return;
    print_error("the message is \"%s\"\n  expected in it: \"%s\"\n", mo_last_error(), text);
    _fail(file, line);
}

void mo__check_near(double actual, double expected, double tolerance, const char *what, const char *file,
                    int line)
{
    if (fabs(actual - expected) <= tolerance) return;
    print_error("%s is %.17g, expected %.17g within %g\n", what, actual, expected, tolerance);
    _fail(file, line);
}

char *temp_make(void)
{
    const char *root = getenv("TMPDIR");
    char *dir = mo_strprintf("%s/moira-test-XXXXXX", root ? root : "/tmp");
    assert_non_null(dir);
    assert_non_null(mkdtemp(dir));
    return dir;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info, (void)kind, (void)place;
    return remove(path);
}

void temp_remove(char *dir)
{
    assert_int_equal(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    mo_free(dir);
}

const char *temp_path(const char *dir, const char *name)
{
    static char paths[8][4096];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}
