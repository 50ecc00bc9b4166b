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

/* Name, default and range on one line, the sentence on the next. */
static void add_key(const mo__key *key, mo__buffer *out)
{
    const char *quotes = key->type == MO__STRING && key->initial ? "\"" : "";
    char *initial = mo_strprintf("%s%s%s", quotes, key->initial ? key->initial : "required", quotes);
    mo__buffer_add(out, "  %-28s %-12s ", mo__key_leaf(key), initial ? initial : "");
    out->failed = out->failed || !initial;
    mo_free(initial);
    mo__value_add_expected(key, out);
    mo__buffer_add(out, "%s%s%s\n      %s\n", *key->unit ? " " : "", key->unit,
                   key->flags & MO__RESUMABLE ? " +" : "", key->help);
}

static void add_section(const mo__section *section, mo__buffer *out)
{
    mo__buffer_add(out, "%s%s: %s\n", out->size ? "\n" : "", section->name, section->help);
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], section->name)) add_key(&mo__keys[i], out);
}

/* A section, a key by its full name, or every key of that short name. */
static void add_topic(const char *topic, mo__buffer *out)
{
    for (int s = 0; s < mo__section_count; s++)
        if (strcmp(mo__sections[s].name, topic) == 0) add_section(&mo__sections[s], out);
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        if (strcmp(key->name, topic) != 0 && strcmp(mo__key_leaf(key), topic) != 0) continue;
        mo__buffer_add(out, "%s%.*s:\n", out->size ? "\n" : "", (int)(strchr(key->name, '.') - key->name),
                       key->name);
        add_key(key, out);
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
