/* harness.h -- what every test program uses: cmocka with its headers in order, checks of statuses, folders
 * that go away. Tests run from the repository's root. */
#ifndef MOIRA_TESTS_HARNESS_H
#define MOIRA_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <moira/base.h>

#include "base/memory.h"

/* The call must succeed; otherwise the test fails here with the status and its message. */
#define MO_CHECK_OK(call) mo__check_status((call), MO_OK, #call, __FILE__, __LINE__)
/* The call must return `status`, and have left a message if that is an error. */
#define MO_CHECK_STATUS(call, status) mo__check_status((call), (status), #call, __FILE__, __LINE__)
/* The last message must contain `text`. */
#define MO_CHECK_MESSAGE(text) mo__check_message((text), __FILE__, __LINE__)
/* |actual - expected| <= tolerance; a NaN fails. */
#define MO_CHECK_NEAR(actual, expected, tolerance) \
    mo__check_near((actual), (expected), (tolerance), #actual, __FILE__, __LINE__)

void mo__check_status(mo_status actual, mo_status expected, const char *call, const char *file, int line);
void mo__check_message(const char *text, const char *file, int line);
void mo__check_near(double actual, double expected, double tolerance, const char *what, const char *file,
                    int line);

/* Runs `call` (an expression that gives a mo_status) with its 1st, 2nd, ... allocation failing until one run
 * succeeds; each failure must be MO_E_MEMORY. Gives the number of allocations that were failed. */
#define MO_CHECK_EACH_ALLOCATION(count, call)                                       \
    do {                                                                            \
        for ((count) = 0;; (count)++) {                                             \
            mo__alloc_fail_after(count);                                            \
            mo_status each_status_ = (call);                                        \
            mo__alloc_fail_after(-1);                                               \
            if (each_status_ == MO_OK) break;                                       \
            mo__check_status(each_status_, MO_E_MEMORY, #call, __FILE__, __LINE__); \
        }                                                                           \
    } while (0)

/* A new empty folder under $TMPDIR or /tmp; owned. Removed with all it holds, and freed, by temp_remove. */
char *temp_make(void);
void temp_remove(char *dir);
/* dir/name, in one of eight rotating buffers: for use in place, not to keep. */
const char *temp_path(const char *dir, const char *name);

#endif
