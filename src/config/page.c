/* page.c -- a config's text as a table of entries by key, through libyaml's document API. */
#include "page.h"

#include <string.h>

#include "base/file.h"
#include "yaml_tree.h"

typedef struct reader {
    mo__tree *tree;
    int *section_lines; /* by section: where it was first met; 0 = not yet */
    mo__page *page;
} reader;

static const mo__key extends_key = {.name = "extends", .type = MO__STRING};
/* The owner of its field is a single int64_t. */
static const mo__key version_key = {.name = "version", .type = MO__INT, .initial = "1", .min = 1, .max = 1e9};

static mo_status read_key(reader *r, const char *section, const yaml_node_pair_t *pair)
{
    const char *leaf;
    int line;
    MO_TRY(mo__node_name(r->tree, pair->key, &leaf, &line));
    int key = mo__key_find(section, leaf);
    if (key >= 0) return mo__node_entry(r->tree, pair->value, &mo__keys[key], line, &r->page->entries[key]);
    mo_status status = mo__key_unknown(section, leaf);
    return mo_error_context(status, "%s:%d: %s.%s", r->tree->origin, line, section, mo__show(leaf).text);
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
                        mo__node_kind(node));
    return MO_OK;
}

static mo_status read_section(reader *r, const yaml_node_pair_t *pair)
{
    const char *name;
    int line;
    MO_TRY(mo__node_name(r->tree, pair->key, &name, &line));
    if (strcmp(name, extends_key.name) == 0)
        return mo__node_entry(r->tree, pair->value, &extends_key, line, &r->page->extends);
    if (strcmp(name, version_key.name) == 0) return MO_OK; /* check_version has seen it */
    int key = mo__key_find("", name);
    if (key >= 0) return mo__node_entry(r->tree, pair->value, &mo__keys[key], line, &r->page->entries[key]);
    const yaml_node_t *section = yaml_document_get_node(&r->tree->document, pair->value);
    mo_status status = check_section(r, name, section, line);
    if (status != MO_OK) return mo__at(r->tree->origin, line, mo__show(name).text, status);
    for (yaml_node_pair_t *p = section->data.mapping.pairs.start; p < section->data.mapping.pairs.top; p++)
        MO_TRY(read_key(r, name, p));
    return MO_OK;
}

/* Looked at before anything else: a newer config may well have names that mean nothing here. */
static mo_status check_version(reader *r, const yaml_node_t *root)
{
    mo__entry entry = {0};
    int64_t version = 1;
    mo_status status = MO_OK;
    const yaml_node_pair_t *top = root->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < top && status == MO_OK; p++) {
        const char *name;
        int line;
        status = mo__node_name(r->tree, p->key, &name, &line);
        if (status == MO_OK && strcmp(name, version_key.name) == 0)
            status = mo__node_entry(r->tree, p->value, &version_key, line, &entry);
    }
    if (status == MO_OK && entry.line)
        status = mo__entry_set(&version_key, &entry, r->tree->origin, &version);
    mo__entry_free(&entry);
    if (status == MO_OK && version > MO_CONFIG_VERSION)
        status = mo_error_context(mo__version_error("a config", version, MO_CONFIG_VERSION), "%s",
                                  r->tree->origin);
    return status;
}

static mo_status read_document(reader *r)
{
    const char *origin = r->tree->origin;
    yaml_node_t *root = yaml_document_get_root_node(&r->tree->document);
    if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return mo_error(MO_E_CONFIG, "%s: is empty; a config has sections (run, data, model, ...) of keys",
                        origin);
    if (root->type != YAML_MAPPING_NODE)
        return mo__at(
            origin, mo__node_line(root), NULL,
            mo_error(MO_E_CONFIG, "%s stands where sections (run:, data:, ...) should", mo__node_kind(root)));
    MO_TRY(check_version(r, root));
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++)
        MO_TRY(read_section(r, p));
    return MO_OK;
}

mo_status mo__page_read(const char *text, size_t size, const char *origin, mo__page *out)
{
    mo__tree tree;
    MO_TRY(mo__yaml_load(text, size, origin, &tree));
    int *section_lines = mo_calloc((size_t)mo__section_count, sizeof *section_lines);
    *out = (mo__page){.entries = mo_calloc((size_t)mo__key_count, sizeof *out->entries)};
    reader r = {.tree = &tree, .section_lines = section_lines, .page = out};
    mo_status status = section_lines && out->entries ? read_document(&r) : MO_E_MEMORY;
    yaml_document_delete(&tree.document);
    mo_free(section_lines);
    if (status != MO_OK) mo__page_free(out);
    return status;
}

void mo__page_free(mo__page *page)
{
    mo__entry_free(&page->extends);
    for (int i = 0; page->entries && i < mo__key_count; i++) mo__entry_free(&page->entries[i]);
    mo_free(page->entries);
    *page = (mo__page){0};
}
