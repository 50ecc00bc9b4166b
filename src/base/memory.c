/* memory.c -- the heap with a count and a planned failure for tests; memory straight from the system. */
#include "memory.h"

#include <moira/base.h>

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic int64_t fail_countdown = -1;
static _Atomic int64_t live;

void mo__alloc_fail_after(int64_t n)
{
    atomic_store(&fail_countdown, n);
}

int64_t mo__alloc_live(void)
{
    return atomic_load(&live);
}

/* Counts down to -1, where it rests; true for the one call that finds 0. */
static bool must_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0) return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 0;
}

static void *tally(void *memory, size_t size)
{
    if (memory) {
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    } else {
        mo_error(MO_E_MEMORY, "memory: %zu more bytes could not be had", size);
    }
    return memory;
}

void *mo_malloc(size_t size)
{
    return tally(must_fail() ? NULL : malloc(size ? size : 1), size);
}

void *mo_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        mo_error(MO_E_MEMORY, "memory: %zu items of %zu bytes are more than can be addressed", count, size);
        return NULL;
    }
    return tally(must_fail() ? NULL : calloc(1, total ? total : 1), total);
}

void *mo_realloc(void *old, size_t size)
{
    if (!old) return mo_malloc(size);
    void *memory = must_fail() ? NULL : realloc(old, size ? size : 1);
    if (!memory) mo_error(MO_E_MEMORY, "memory: %zu bytes could not be had", size);
    return memory;
}

char *mo_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mo_malloc(size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

char *mo_strprintf(const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length < 0 ? NULL : mo_malloc((size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

void mo_free(void *memory)
{
    if (memory) atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(memory);
}

mo_status mo_pages_alloc(size_t size, void **out)
{
    *out = NULL;
    if (size == 0) return MO_OK;
    void *pages = MAP_FAILED;
    errno = ENOMEM;
    if (!must_fail()) pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return mo_error(MO_E_MEMORY, "memory: %zu bytes could not be mapped (%s)", size, strerror(errno));
    /* Only advice: a system without huge pages works the same. */
    madvise(pages, size, MADV_HUGEPAGE);
    tally(pages, size);
    *out = pages;
    return MO_OK;
}

void mo_pages_free(void *memory, size_t size)
{
    if (!memory) return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    munmap(memory, size);
}
