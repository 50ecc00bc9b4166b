/* prefetch.h -- threads that bring in bytes in the order in which they were asked for.
 *
 * One owner asks and waits; the threads only read, so they cannot change what a run computes. */
#ifndef MOIRA_AUTOGRAD_PREFETCH_H
#define MOIRA_AUTOGRAD_PREFETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "moira/base.h"

typedef struct mo__prefetch mo__prefetch;
typedef void mo__fetch_fn(const void *at, size_t size);

/* room: of requests that are not yet done. MO_E_MEMORY; MO_E_IO if no thread can be started. */
mo_status mo__prefetch_create(int room, mo__fetch_fn *fetch, mo__prefetch **out);
void mo__prefetch_free(mo__prefetch *p); /* what was not begun is left out */
/* The number of the request, from 1 on; 0 if there is no room. */
int64_t mo__prefetch_ask(mo__prefetch *p, const void *at, size_t size);
void mo__prefetch_wait(mo__prefetch *p, int64_t request); /* until it, and all before it, are done */
void mo__prefetch_drop(mo__prefetch *p);                  /* what was not begun */

#endif
