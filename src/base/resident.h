/* resident.h -- bringing pages of a mapped file into memory before they are read. */
#ifndef MOIRA_BASE_RESIDENT_H
#define MOIRA_BASE_RESIDENT_H

#include <stddef.h>

/* Returns when the bytes are in memory and mapped, as far as the system allows. Never fails: what is not
 * there comes when it is touched. */
void mo__make_resident(const void *at, size_t size);

#endif
