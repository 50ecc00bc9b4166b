/* yaml_tree.h -- libyaml's trees, for the files that read them. */
#ifndef MOIRA_CONFIG_YAML_TREE_H
#define MOIRA_CONFIG_YAML_TREE_H

#include <yaml.h>

#include "entry.h"

typedef struct mo__tree {
    const char *origin; /* in front of messages; NULL = nothing is */
    yaml_document_t document;
} mo__tree;

/* Refuses what libyaml refuses, and what a config does without: anchors, aliases, tags, a second document,
 * deep nesting, more than a few thousand nodes. So libyaml builds no tree that is large or shares nodes, and
 * its quadratic corners (nested brackets, anchors) are cut short. A byte-order mark is passed over.
 * MO_E_CONFIG with "origin:line" in front; free with yaml_document_delete. */
mo_status mo__yaml_load(const char *text, size_t size, const char *origin, mo__tree *out);

int mo__node_line(const yaml_node_t *node);
/* "a list", "a mapping", "one value" */
const char *mo__node_kind(const yaml_node_t *node);
/* The name before a colon, and its line. The text is the tree's. */
mo_status mo__node_name(mo__tree *tree, int id, const char **name, int *line);
/* What the node says about a key, into an entry that must be empty; `line` is that of the key's name, and
 * stands in messages about a plain value. On failure the entry may hold parts. */
mo_status mo__node_entry(mo__tree *tree, int id, const mo__key *key, int line, mo__entry *out);

#endif
