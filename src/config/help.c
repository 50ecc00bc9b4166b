/* help.c -- the help page of run configs. */
#include <moira/config.h>

#include <string.h>

#include "value.h"

static const char *const introduction =
    "A config is a YAML file of sections and keys. `extends: other.yaml`, a path relative to the file, is "
    "read\n"
    "first and built upon. On the command line, section.key=value sets a key after the files are read. "
    "Below,\n"
    "each key has its default and what it takes; + marks what a resumed run may change.\n";

static const char *const extends =
    "extends: other.yaml\n"
    "      At the top of a config, beside its sections: the config to build upon, by a path relative to the\n"
    "      file. It is read first; each key that is given here takes the place of its own, a list as a "
    "whole.\n";

static const char *const version =
    "version: 1\n"
    "      At the top of a config, beside its sections: the version of these keys that it was written for; "
    "may\n"
    "      be left out. Configs of a newer version than the program's are refused.\n";

enum { WIDTH = 110, RANGE = 44 }; /* columns of a line, and those in front of a range */

/* The range, broken between values where the line would be too long. */
static void add_range(const mo__key *key, mo__buffer *out)
{
    mo__buffer range = {0};
    char *text = NULL;
    mo__value_add_expected(key, &range);
    if (mo__buffer_finish(&range, MO_OK, &text) != MO_OK) out->failed = true;
    for (char *rest = text; rest;) {
        char *cut = strlen(rest) > WIDTH - RANGE ? memrchr(rest, ' ', WIDTH - RANGE) : NULL;
        mo__buffer_add(out, "%.*s", cut ? (int)(cut - rest) : (int)strlen(rest), rest);
        if (cut) mo__buffer_add(out, "\n%*s", RANGE, "");
        rest = cut ? cut + 1 : NULL;
    }
    mo_free(text);
}

/* Name, default and range on one line, the sentence on the next; then the fields of a list's records. */
static void add_key(const mo__key *key, int indent, mo__buffer *out)
{
    const char *quotes = key->type == MO__STRING && key->initial ? "\"" : "";
    char *initial = mo_strprintf("%s%s%s", quotes, key->initial ? key->initial : "required", quotes);
    mo__buffer_add(out, "%*s%-*s %-12s ", indent, "", 30 - indent, mo__key_leaf(key), initial ? initial : "");
    out->failed = out->failed || !initial;
    mo_free(initial);
    add_range(key, out);
    mo__buffer_add(out, "%s%s%s\n%*s%s\n", *key->unit ? " " : "", key->unit,
                   key->flags & MO__RESUMABLE ? " +" : "", indent + 4, "", key->help);
    for (int f = 0; key->type == MO__LIST && !key->record->bare && f < key->record->n_fields; f++)
        add_key(&key->record->fields[f], indent + 4, out);
}

static void add_section(const mo__section *section, mo__buffer *out)
{
    mo__buffer_add(out, "%s%s%s%s\n", out->size ? "\n" : "", section->name, *section->name ? ": " : "",
                   section->help);
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], section->name)) add_key(&mo__keys[i], 2, out);
}

static bool has_field(const mo__key *key, const char *name)
{
    for (int f = 0; key->type == MO__LIST && !key->record->bare && f < key->record->n_fields; f++)
        if (strcmp(key->record->fields[f].name, name) == 0) return true;
    return false;
}

/* A section, a key by its full name, or every key of that short name or with a field of that name. */
static void add_topic(const char *topic, mo__buffer *out)
{
    if (strcmp(topic, "extends") == 0) mo__buffer_add(out, "%s", extends);
    if (strcmp(topic, "version") == 0) mo__buffer_add(out, "%s", version);
    for (int s = 0; s < mo__section_count; s++)
        if (*topic && strcmp(mo__sections[s].name, topic) == 0) add_section(&mo__sections[s], out);
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        if (strcmp(key->name, topic) != 0 && strcmp(mo__key_leaf(key), topic) != 0 && !has_field(key, topic))
            continue;
        if (out->size) mo__buffer_add(out, "\n");
        if (mo__key_in_section(key, ""))
            mo__buffer_add(out, "at the top of a config, beside its sections\n");
        else
            mo__buffer_add(out, "%.*s:\n", (int)strcspn(key->name, "."), key->name);
        add_key(key, 2, out);
    }
}

static mo_status refuse_topic(const char *topic)
{
    const char *nearest = mo__topic_nearest(topic);
    mo__shown shown = mo__show(topic);
    if (nearest)
        return mo_error(MO_E_USAGE, "help config: '%s' is no section or key; did you mean %s?", shown.text,
                        nearest);
    return mo_error(MO_E_USAGE, "help config: '%s' is no section or key; moira help config lists all",
                    shown.text);
}

mo_status mo_config_help(const char *topic, char **out)
{
    mo__buffer text = {0};
    if (topic) {
        add_topic(topic, &text);
        if (!text.size && !text.failed) return refuse_topic(topic);
    } else {
        mo__buffer_add(&text, "%s", introduction);
        for (int s = 0; s < mo__section_count; s++) add_section(&mo__sections[s], &text);
    }
    return mo__buffer_finish(&text, MO_OK, out);
}
