/* document.h -- any YAML file as a tree of plain nodes: for files that are no run configs, whose readers need
 * not know libyaml. Refused is what a config does without, too (yaml_tree.h), and names that stand twice in a
 * map. */
#ifndef MOIRA_CONFIG_DOCUMENT_H
#define MOIRA_CONFIG_DOCUMENT_H

#include "value.h"

typedef enum mo__doc_kind { MO__DOC_VALUE, MO__DOC_LIST, MO__DOC_MAP } mo__doc_kind;
typedef struct mo__doc {
    mo__doc_kind kind;
    int line;   /* 1-based; of the name, where there is one */
    char *name; /* of a map's items: what stands before the colon; else NULL */
    char *text; /* of a value */
    mo__writing writing;
    struct mo__doc *items; /* of a list, a map */
    int count;
} mo__doc;

/* MO_E_CONFIG with "origin:line" in front; nothing is left to free on failure. An empty text is an empty map.
 */
mo_status mo__doc_read(const char *text, size_t size, const char *origin, mo__doc *out);
void mo__doc_free(mo__doc *doc);
/* "a list", "a mapping", "one value" */
const char *mo__doc_describe(const mo__doc *doc);
/* Whether it is a value that says nothing: "key:" or "key: null". */
bool mo__doc_is_null(const mo__doc *doc);
/* As one word of the command line: a value's text, a list or map in braces. Owned. */
mo_status mo__doc_word(const mo__doc *doc, char **out);

#endif
