/* page.h -- a config's text as a table of entries by key; read with libyaml. */
#ifndef MOIRA_CONFIG_PAGE_H
#define MOIRA_CONFIG_PAGE_H

#include "schema.h"
#include "value.h"

/* What a file says about one key. Values are not looked at yet. */
typedef struct mo__entry {
    char *text; /* owned; NULL = the file does not have the key */
    mo__writing writing;
    int line; /* 1-based */
} mo__entry;

typedef struct mo__page {
    mo__entry extends;
    mo__entry *entries; /* owned; one per key of the schema */
} mo__page;

/* Refuses what libyaml refuses, and what a config does without: anchors, aliases, tags, a second document,
 * deep nesting, more than a few thousand nodes. So libyaml builds no tree that is large or shares nodes, and
 * its quadratic corners (nested brackets, anchors) are cut short. MO_E_CONFIG with "origin:line" in front. */
mo_status mo__yaml_check(const char *text, size_t size, const char *origin);
mo_status mo__yaml_memory(const char *origin); /* MO_E_MEMORY */

/* Reads one document of sections and keys. MO_E_CONFIG, with "origin:line: section.key" in front, for what
 * libyaml refuses, any other structure, aliases, tags, and unknown or duplicate names; a page that was not
 * read has nothing to free. Time and memory are bounded by `size`. */
mo_status mo__page_read(const char *text, size_t size, const char *origin, mo__page *out);
void mo__page_free(mo__page *page);

#endif
