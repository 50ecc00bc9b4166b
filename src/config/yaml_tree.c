/* yaml_tree.c -- YAML nodes as entries: one value, or a list of records. */
#include "yaml_tree.h"

#include <string.h>

int mo__node_line(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

const char *mo__node_kind(const yaml_node_t *node)
{
    return node->type == YAML_SEQUENCE_NODE  ? "a list"
           : node->type == YAML_MAPPING_NODE ? "a mapping"
                                             : "one value";
}

static mo_status scalar_text(const yaml_node_t *node, const char **out)
{
    *out = (const char *)node->data.scalar.value;
    if (strlen(*out) != node->data.scalar.length)
        return mo_error(MO_E_CONFIG, "the text holds a NUL character, which no value can");
    return MO_OK;
}

mo_status mo__node_name(mo__tree *tree, int id, const char **name, int *line)
{
    const yaml_node_t *node = yaml_document_get_node(&tree->document, id);
    mo_status status;
    *line = mo__node_line(node);
    if (node->type == YAML_SCALAR_NODE)
        status = scalar_text(node, name);
    else
        status = mo_error(MO_E_CONFIG, "%s stands where a name should", mo__node_kind(node));
    return status == MO_OK ? MO_OK : mo__at(tree->origin, *line, NULL, status);
}

static mo_status store_scalar(const yaml_node_t *node, int line, mo__entry *entry)
{
    const char *text;
    if (entry->line) return mo_error(MO_E_CONFIG, "duplicate key; it is on line %d already", entry->line);
    if (node->type != YAML_SCALAR_NODE)
        return mo_error(MO_E_CONFIG, "%s stands where one value should", mo__node_kind(node));
    MO_TRY(scalar_text(node, &text));
    entry->text = mo_strdup(text);
    if (!entry->text) return MO_E_MEMORY;
    entry->writing = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? MO__PLAIN : MO__QUOTED;
    entry->line = line;
    return MO_OK;
}

static const mo__key *find_field(const mo__record *record, const char *name, int *index)
{
    for (*index = 0; *index < record->n_fields; ++*index)
        if (strcmp(record->fields[*index].name, name) == 0) return &record->fields[*index];
    return NULL;
}

/* "{path: a.h5, weight: 2}" into one entry for each field. */
static mo_status read_record(mo__tree *tree, const yaml_node_t *node, const mo__key *key, int index,
                             mo__entry *out)
{
    yaml_node_pair_t *pairs = node->data.mapping.pairs.start, *end = node->data.mapping.pairs.top;
    for (yaml_node_pair_t *p = pairs; p < end; p++) {
        const char *name;
        int line, f;
        MO_TRY(mo__node_name(tree, p->key, &name, &line));
        const mo__key *field = find_field(key->record, name, &f);
        mo__shown shown = mo__show(name);
        mo__key unknown = {.name = shown.text};
        mo_status status =
            field ? store_scalar(yaml_document_get_node(&tree->document, p->value), line, &out->items[f])
                  : mo__field_unknown(key->record, name);
        if (status != MO_OK)
            return mo__at(tree->origin, line,
                          mo__name_element(key->name, index, field ? field : &unknown).text, status);
    }
    return MO_OK;
}

static mo_status refuse_kind(const yaml_node_t *node, const mo__record *record, const char *list)
{
    mo__buffer shape = {0};
    char *text;
    mo__record_add_shape(record, &shape);
    MO_TRY(mo__buffer_finish(&shape, MO_OK, &text));
    const char *word = node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
    bool plain =
        record->bare && *word && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(word);
    mo_status status = mo_error(MO_E_CONFIG, "%s stands where %s%s should%s%.40s%s", mo__node_kind(node),
                                list, text, plain ? "; write [" : "", plain ? word : "", plain ? "]" : "");
    mo_free(text);
    return status;
}

static mo_status read_element(mo__tree *tree, int id, const mo__key *key, int index, mo__entry *out)
{
    const yaml_node_t *node = yaml_document_get_node(&tree->document, id);
    const mo__record *record = key->record;
    out->items = mo_calloc((size_t)record->n_fields, sizeof *out->items);
    if (!out->items) return MO_E_MEMORY;
    out->count = record->n_fields;
    out->line = mo__node_line(node);
    if (!record->bare && node->type == YAML_MAPPING_NODE) return read_record(tree, node, key, index, out);
    mo_status status =
        record->bare ? store_scalar(node, out->line, &out->items[0]) : refuse_kind(node, record, "");
    if (status == MO_OK) return MO_OK;
    return mo__at(tree->origin, out->line, mo__name_element(key->name, index, NULL).text, status);
}

static mo_status read_list(mo__tree *tree, const yaml_node_t *node, const mo__key *key, mo__entry *out)
{
    yaml_node_item_t *items = node->data.sequence.items.start;
    int count = (int)(node->data.sequence.items.top - items);
    out->items = mo_calloc((size_t)count + 1, sizeof *out->items);
    if (!out->items) return MO_E_MEMORY;
    while (out->count < count) {
        int i = out->count++;
        MO_TRY(read_element(tree, items[i], key, i, &out->items[i]));
    }
    return MO_OK;
}

mo_status mo__node_entry(mo__tree *tree, int id, const mo__key *key, int line, mo__entry *out)
{
    const yaml_node_t *node = yaml_document_get_node(&tree->document, id);
    if (key->type == MO__LIST && node->type == YAML_SEQUENCE_NODE && !out->line) {
        out->line = line;
        return read_list(tree, node, key, out);
    }
    mo_status status = key->type == MO__LIST && !out->line ? refuse_kind(node, key->record, "a list of ")
                                                           : store_scalar(node, line, out);
    return status == MO_OK ? MO_OK : mo__at(tree->origin, line, key->name, status);
}

mo_status mo__entry_parse(const mo__key *key, const char *word, mo__entry *out)
{
    mo__tree tree;
    *out = (mo__entry){0};
    MO_TRY(mo__yaml_load(word, strlen(word), NULL, &tree));
    mo_status status = yaml_document_get_root_node(&tree.document)
                           ? mo__node_entry(&tree, 1, key, 1, out)
                           : mo_error(MO_E_CONFIG, "no value is given; an empty list is []");
    yaml_document_delete(&tree.document);
    if (status != MO_OK) mo__entry_free(out);
    return status;
}
