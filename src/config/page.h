/* page.h -- a config's text as a table of entries by key. */
#ifndef MOIRA_CONFIG_PAGE_H
#define MOIRA_CONFIG_PAGE_H

#include "entry.h"

typedef struct mo__page {
    mo__entry extends;
    mo__entry *entries; /* owned; one per key of the schema */
} mo__page;

/* Reads one document of sections and keys. MO_E_CONFIG, with "origin:line: section.key" in front, for what
 * libyaml refuses, any other structure, aliases, tags, and unknown or duplicate names; a page that was not
 * read has nothing to free. Time and memory are bounded by `size`. */
mo_status mo__page_read(const char *text, size_t size, const char *origin, mo__page *out);
void mo__page_free(mo__page *page);

#endif
