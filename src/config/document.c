/* document.c -- YAML nodes as a tree of our own. */
#include "document.h"

#include <string.h>

#include "yaml_tree.h"

void mo__doc_free(mo__doc *doc)
{
    for (int i = 0; i < doc->count; i++) mo__doc_free(&doc->items[i]);
    mo_free(doc->items);
    mo_free(doc->name);
    mo_free(doc->text);
    *doc = (mo__doc){0};
}

const char *mo__doc_describe(const mo__doc *doc)
{
    return doc->kind == MO__DOC_LIST ? "a list" : doc->kind == MO__DOC_MAP ? "a mapping" : "one value";
}

bool mo__doc_is_null(const mo__doc *doc)
{
    return doc->kind == MO__DOC_VALUE && doc->writing == MO__PLAIN &&
           (!*doc->text || strcmp(doc->text, "null") == 0 || strcmp(doc->text, "~") == 0);
}

static mo_status read_node(mo__tree *tree, int id, mo__doc *out);

static mo_status read_text(mo__tree *tree, const yaml_node_t *node, mo__doc *out)
{
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length)
        return mo__at(tree->origin, out->line, out->name,
                      mo_error(MO_E_CONFIG, "the text holds a NUL character, which no value can"));
    out->kind = MO__DOC_VALUE;
    out->writing = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? MO__PLAIN : MO__QUOTED;
    out->text = mo_strdup(text);
    return out->text ? MO_OK : MO_E_MEMORY;
}

static mo_status read_list(mo__tree *tree, const yaml_node_t *node, mo__doc *out)
{
    const yaml_node_item_t *items = node->data.sequence.items.start;
    int count = (int)(node->data.sequence.items.top - items);
    out->kind = MO__DOC_LIST;
    out->items = mo_calloc((size_t)count + 1, sizeof *out->items);
    if (!out->items) return MO_E_MEMORY;
    while (out->count < count) {
        int i = out->count++;
        out->items[i].line = mo__node_line(yaml_document_get_node(&tree->document, items[i]));
        MO_TRY(read_node(tree, items[i], &out->items[i]));
    }
    return MO_OK;
}

static mo_status read_pair(mo__tree *tree, const yaml_node_pair_t *pair, mo__doc *map)
{
    const char *name;
    int line;
    MO_TRY(mo__node_name(tree, pair->key, &name, &line));
    for (int i = 0; i < map->count; i++)
        if (strcmp(map->items[i].name, name) == 0)
            return mo__at(
                tree->origin, line, mo__show(name).text,
                mo_error(MO_E_CONFIG, "duplicate key; it is on line %d already", map->items[i].line));
    mo__doc *out = &map->items[map->count++];
    out->line = line;
    out->name = mo_strdup(name);
    if (!out->name) {
        map->count--;
        return MO_E_MEMORY;
    }
    return read_node(tree, pair->value, out);
}

static mo_status read_map(mo__tree *tree, const yaml_node_t *node, mo__doc *out)
{
    const yaml_node_pair_t *pairs = node->data.mapping.pairs.start, *top = node->data.mapping.pairs.top;
    out->kind = MO__DOC_MAP;
    out->items = mo_calloc((size_t)(top - pairs) + 1, sizeof *out->items);
    if (!out->items) return MO_E_MEMORY;
    for (const yaml_node_pair_t *p = pairs; p < top; p++) MO_TRY(read_pair(tree, p, out));
    return MO_OK;
}

/* Depth is bounded by mo__yaml_load. */
static mo_status read_node(mo__tree *tree, int id, mo__doc *out)
{
    const yaml_node_t *node = yaml_document_get_node(&tree->document, id);
    if (node->type == YAML_SEQUENCE_NODE) return read_list(tree, node, out);
    if (node->type == YAML_MAPPING_NODE) return read_map(tree, node, out);
    return read_text(tree, node, out);
}

mo_status mo__doc_read(const char *text, size_t size, const char *origin, mo__doc *out)
{
    mo__tree tree;
    *out = (mo__doc){.kind = MO__DOC_MAP, .line = 1};
    MO_TRY(mo__yaml_load(text, size, origin, &tree));
    const yaml_node_t *root = yaml_document_get_root_node(&tree.document);
    bool empty = !root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0);
    mo_status status = empty ? MO_OK : read_node(&tree, 1, out);
    yaml_document_delete(&tree.document);
    if (status != MO_OK) mo__doc_free(out);
    return status;
}

/* ---- as a word ---- */

/* Whether a plain text could be read as something else within braces. */
static bool needs_quotes(const mo__doc *doc)
{
    return doc->writing == MO__QUOTED || strpbrk(doc->text, ",[]{}:#&*!|>'\"%@`\n") || !*doc->text;
}

static mo_status add_node(const mo__doc *doc, mo__buffer *out)
{
    static const mo__key quoted = {.type = MO__STRING};
    if (doc->kind == MO__DOC_VALUE) {
        if (needs_quotes(doc)) return mo__value_add(&quoted, &doc->text, out);
        mo__buffer_add(out, "%s", doc->text);
        return MO_OK;
    }
    bool map = doc->kind == MO__DOC_MAP;
    mo__buffer_add(out, "%s", map ? "{" : "[");
    for (int i = 0; i < doc->count; i++) {
        mo__buffer_add(out, "%s", i ? ", " : "");
        if (map) {
            MO_TRY(mo__value_add(&quoted, &doc->items[i].name, out));
            mo__buffer_add(out, ": ");
        }
        MO_TRY(add_node(&doc->items[i], out));
    }
    mo__buffer_add(out, "%s", map ? "}" : "]");
    return MO_OK;
}

mo_status mo__doc_word(const mo__doc *doc, char **out)
{
    mo__buffer text = {0};
    mo_status status = MO_OK;
    if (doc->kind == MO__DOC_VALUE)
        mo__buffer_add(&text, "%s", doc->text);
    else
        status = add_node(doc, &text);
    return mo__buffer_finish(&text, status, out);
}
