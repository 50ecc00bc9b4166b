/* entry.h -- what a YAML tree says about one key, before the key's values are looked at. */
#ifndef MOIRA_CONFIG_ENTRY_H
#define MOIRA_CONFIG_ENTRY_H

#include "value.h"

typedef struct mo__entry {
    int line;   /* 1-based; 0 = nothing is said */
    char *text; /* owned; a value's */
    mo__writing writing;
    struct mo__entry *items; /* owned; a list's elements; of an element, one for each field of its record */
    int count;
} mo__entry;

/* Checks and stores what the entry says, a list as a whole. Messages begin with "origin:line: name", without
 * the place where origin is NULL. The key's field keeps what it has on failure. */
mo_status mo__entry_set(const mo__key *key, const mo__entry *entry, const char *origin, void *owner);
/* Reads a value as a file would have it, from one word. No place in messages. */
mo_status mo__entry_parse(const mo__key *key, const char *word, mo__entry *out);
void mo__entry_free(mo__entry *entry);

/* Puts "origin:line: name" in front of this thread's message, as far as origin and name are not NULL. */
mo_status mo__at(const char *origin, int line, const char *name, mo_status status);

#endif
