/* memory.h -- what tests may ask of the allocator. */
#ifndef MOIRA_BASE_MEMORY_H
#define MOIRA_BASE_MEMORY_H

#include <stdint.h>

/* Lets the next n allocations of this process succeed (mo_malloc and its kin, mo_pages_alloc) and the one
 * after them fail, once. Negative: none fails. A test walks n up until its call succeeds:
 *     for (int64_t n = 0;; n++) { mo__alloc_fail_after(n); status = call(); if (status == MO_OK) break; ... }
 */
void mo__alloc_fail_after(int64_t n);

/* Allocations not freed yet, over the whole process. */
int64_t mo__alloc_live(void);

#endif
