/* resident.c -- pages of a mapped file, ahead of use.
 *
 * MADV_POPULATE_READ (Linux 5.14) reads what is missing, large pieces at a time, and maps it without a fault
 * for each page; where there is none, the system is told and each page is touched. */
#include "base/resident.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static void touch(const volatile char *at, size_t size, size_t page)
{
    for (size_t i = 0; i < size; i += page) (void)at[i];
}

void mo__make_resident(const void *at, size_t size)
{
    if (size == 0) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)at % page;
    char *first = (char *)(uintptr_t)at - before; /* read only, whatever the type that madvise asks for */
    if (madvise(first, size + before, MADV_POPULATE_READ) == 0 || errno != EINVAL) return;
    madvise(first, size + before, MADV_WILLNEED);
    touch(at, size, page);
}
