/* page.c -- a config's text as a table of entries by key, through libyaml's document API. */
#include "page.h"

#include <string.h>
#include <yaml.h>

typedef struct reader {
    const char *origin;
    yaml_document_t *document;
    int *section_lines; /* by section: where it was first met; 0 = not yet */
    mo__page *page;
} reader;

static int line_of(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

/* Puts "origin:line" in front of this thread's message. */
static mo_status at_line(const reader *r, int line, mo_status status)
{
    return mo_error_context(status, "%s:%d", r->origin, line);
}

/* The same with the name of the section, or of the key of the section, that the line is about. */
static mo_status at_name(const reader *r, int line, const char *section, const char *leaf, mo_status status)
{
    if (!leaf) return mo_error_context(status, "%s:%d: %s", r->origin, line, mo__show(section).text);
    return mo_error_context(status, "%s:%d: %s.%s", r->origin, line, section, mo__show(leaf).text);
}

static const char *kind_of(const yaml_node_t *node)
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

/* The name before a colon, and its line. */
static mo_status read_name(reader *r, int id, const char **name, int *line)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, id);
    mo_status status;
    *line = line_of(node);
    if (node->type == YAML_SCALAR_NODE)
        status = scalar_text(node, name);
    else
        status = mo_error(MO_E_CONFIG, "%s stands where a name should", kind_of(node));
    return status == MO_OK ? MO_OK : at_line(r, *line, status);
}

static mo_status store_scalar(reader *r, int id, int line, mo__entry *entry)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, id);
    const char *text;
    if (entry->text) return mo_error(MO_E_CONFIG, "duplicate key; it is on line %d already", entry->line);
    if (node->type != YAML_SCALAR_NODE)
        return mo_error(MO_E_CONFIG, "%s stands where one value should", kind_of(node));
    MO_TRY(scalar_text(node, &text));
    entry->writing = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? MO__PLAIN : MO__QUOTED;
    entry->line = line;
    entry->text = mo_strdup(text);
    return entry->text ? MO_OK : MO_E_MEMORY;
}

static mo_status read_key(reader *r, const char *section, const yaml_node_pair_t *pair)
{
    const char *leaf;
    int line;
    MO_TRY(read_name(r, pair->key, &leaf, &line));
    int key = mo__key_find(section, leaf);
    mo_status status =
        key < 0 ? mo__key_unknown(section, leaf) : store_scalar(r, pair->value, line, &r->page->entries[key]);
    return status == MO_OK ? MO_OK : at_name(r, line, section, leaf, status);
}

/* A section must be known, new to the file, and hold keys. */
static mo_status check_section(reader *r, const char *name, const yaml_node_t *node, int line)
{
    int section = mo__section_find(name);
    if (section < 0) return mo__section_unknown(name);
    if (r->section_lines[section])
        return mo_error(MO_E_CONFIG, "duplicate section; it starts on line %d already",
                        r->section_lines[section]);
    r->section_lines[section] = line;
    if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
        return mo_error(MO_E_CONFIG, "the section is empty; indent its keys under it, or leave it out");
    if (node->type != YAML_MAPPING_NODE)
        return mo_error(MO_E_CONFIG, "%s stands where the section's keys should, indented under it",
                        kind_of(node));
    return MO_OK;
}

static mo_status read_section(reader *r, const yaml_node_pair_t *pair)
{
    const char *name;
    int line;
    MO_TRY(read_name(r, pair->key, &name, &line));
    if (strcmp(name, "extends") == 0) {
        mo_status status = store_scalar(r, pair->value, line, &r->page->extends);
        return status == MO_OK ? MO_OK : at_name(r, line, name, NULL, status);
    }
    const yaml_node_t *section = yaml_document_get_node(r->document, pair->value);
    mo_status status = check_section(r, name, section, line);
    if (status != MO_OK) return at_name(r, line, name, NULL, status);
    for (yaml_node_pair_t *p = section->data.mapping.pairs.start; p < section->data.mapping.pairs.top; p++)
        MO_TRY(read_key(r, name, p));
    return MO_OK;
}

static mo_status read_document(reader *r)
{
    yaml_node_t *root = yaml_document_get_root_node(r->document);
    if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return mo_error(MO_E_CONFIG, "%s: is empty; a config has sections (run, data, model, ...) of keys",
                        r->origin);
    if (root->type != YAML_MAPPING_NODE)
        return at_line(
            r, line_of(root),
            mo_error(MO_E_CONFIG, "%s stands where sections (run:, data:, ...) should", kind_of(root)));
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++)
        MO_TRY(read_section(r, p));
    return MO_OK;
}

static mo_status read_text(const char *text, size_t size, const char *origin, int *section_lines,
                           mo__page *page)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) return mo__yaml_memory(origin);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    mo_status status;
    if (yaml_parser_load(&parser, &document)) {
        reader r = {.origin = origin, .document = &document, .section_lines = section_lines, .page = page};
        status = read_document(&r);
        yaml_document_delete(&document);
    } else {
        status = mo__yaml_memory(origin); /* the text was found good, so only memory can be missing */
    }
    yaml_parser_delete(&parser);
    return status;
}

mo_status mo__page_read(const char *text, size_t size, const char *origin, mo__page *out)
{
    MO_TRY(mo__yaml_check(text, size, origin));
    int *section_lines = mo_calloc((size_t)mo__section_count, sizeof *section_lines);
    *out = (mo__page){.entries = mo_calloc((size_t)mo__key_count, sizeof *out->entries)};
    mo_status status = MO_E_MEMORY;
    if (section_lines && out->entries) status = read_text(text, size, origin, section_lines, out);
    mo_free(section_lines);
    if (status != MO_OK) mo__page_free(out);
    return status;
}

void mo__page_free(mo__page *page)
{
    mo_free(page->extends.text);
    for (int i = 0; page->entries && i < mo__key_count; i++) mo_free(page->entries[i].text);
    mo_free(page->entries);
    *page = (mo__page){0};
}
