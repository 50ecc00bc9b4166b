/* spec_describe.c -- what is asked, as lines that can be compared: of the file, and of the configs that it
 * names every key but run.*, as it was resolved. */
#include <string.h>

#include "config/setting.h"
#include "spec.h"

static void add_settings(const char *name, const mo_lab_settings *settings, mo__buffer *out)
{
    for (int i = 0; i < settings->count; i++)
        if (!mo__setting_is_place(settings->at[i].key))
            mo__buffer_add(out, "%s %s: %s\n", name, settings->at[i].key, settings->at[i].value);
}

static void add_texts(const char *name, const char *key, char *const *texts, int count, mo__buffer *out)
{
    mo__buffer_add(out, "%s%s: ", name, key);
    for (int i = 0; i < count; i++) mo__buffer_add(out, "%s%s", i ? ", " : "", texts[i]);
    mo__buffer_add(out, "\n");
}

static mo_status add_config(const char *name, const char *path, const mo_lab_spec *s, mo__buffer *out)
{
    mo_run_config config;
    MO_TRY(mo__spec_load_config(s, path, &config));
    mo_status status = MO_OK;
    for (int i = 0; i < mo__key_count && status == MO_OK; i++) {
        if (mo__key_in_section(&mo__keys[i], "run") || mo__setting_is_place(mo__keys[i].name)) continue;
        mo__buffer_add(out, "%s %s: ", name, mo__keys[i].name);
        status = mo__value_add(&mo__keys[i], &config, out);
        mo__buffer_add(out, "\n");
    }
    mo_config_free(&config);
    return status;
}

static void add_parameter(const mo_lab_parameter *p, mo__buffer *out)
{
    if (p->count > 0)
        add_texts("parameter ", p->key, p->values, p->count, out);
    else
        mo__buffer_add(out, "parameter %s: %.15g to %.15g%s\n", p->key, p->from, p->to,
                       p->logarithmic ? ", log" : "");
    if (!p->when.key) return;
    mo__buffer_add(out, "condition of %s: %s ", p->key, p->when.key);
    add_texts("", "in", p->when.values, p->when.count, out);
}

static void add_sweep(const mo_lab_spec *s, mo__buffer *out)
{
    static const char *const strategies[] = {"grid", "random", "halving"};
    mo__buffer_add(out, "strategy: %s\n", strategies[s->strategy]);
    if (s->draws > 0) mo__buffer_add(out, "trials: %lld\n", (long long)s->draws);
    if (s->draws > 0) mo__buffer_add(out, "draw_seed: %llu\n", (unsigned long long)s->draw_seed);
    if (s->strategy == MO_LAB_HALVING)
        mo__buffer_add(out, "halving: %lld steps, factor %.15g\n", (long long)s->first_steps, s->factor);
    mo__buffer_add(out, "match: %s\n", mo__match_names[s->match]);
    for (int i = 0; i < s->n_parameters; i++) add_parameter(&s->parameters[i], out);
    for (int i = 0; i < s->n_rules; i++) mo__buffer_add(out, "rule %d: %s\n", i + 1, s->rules[i]);
}

static mo_status add_entry(const mo_lab_spec *s, const mo_lab_entry *e, mo__buffer *out)
{
    char *name = mo_strprintf("variant %s", e->name);
    mo_status status = name ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) {
        mo__buffer_add(out, "%s match: %s%s%s\n", name, mo__match_names[e->match], e->to ? " " : "",
                       e->to ? e->to : "");
        add_settings(name, &e->settings, out);
        if (strcmp(e->config, s->base) != 0) status = add_config(name, e->config, s, out);
    }
    mo_free(name);
    return status;
}

static mo_status add_comparison(const mo_lab_spec *s, mo__buffer *out)
{
    for (int i = 0; i < s->n_entries; i++) MO_TRY(add_entry(s, &s->entries[i], out));
    mo__buffer_add(out, "reference: %s\n", s->reference);
    if (s->tune.key) {
        mo__buffer_add(out, "tune: %lld steps of ", (long long)s->tune.steps);
        add_texts(s->tune.key, "", s->tune.values, s->tune.count, out);
    }
    mo__buffer_add(out, "timing: %lld steps\n", (long long)s->timing_steps);
    return MO_OK;
}

/* One of them is given, or none. */
static void add_budget(const mo_lab_spec *s, mo__buffer *out)
{
    mo__buffer_add(out, "budget: ");
    if (s->budget.steps > 0)
        mo__buffer_add(out, "%lld steps\n", (long long)s->budget.steps);
    else if (s->budget.tokens > 0)
        mo__buffer_add(out, "%lld tokens\n", (long long)s->budget.tokens);
    else if (s->budget.flops > 0)
        mo__buffer_add(out, "%.15g flops\n", s->budget.flops);
    else
        mo__buffer_add(out, "the config's own\n");
}

mo_status mo__spec_describe(const mo_lab_spec *s, char **out)
{
    mo__buffer text = {0};
    mo__buffer_add(&text, "kind: %s\nname: %s\n", s->compare ? "comparison" : "sweep", s->name);
    add_budget(s, &text);
    mo_status status = add_config("base", s->base, s, &text);
    if (status == MO_OK && s->compare) status = add_comparison(s, &text);
    if (!s->compare) add_sweep(s, &text);
    return mo__buffer_finish(&text, status, out);
}

/* ---- two of them ---- */

/* The line at *at, which moves on; of a line the part before ": " names it. */
typedef struct line {
    const char *text;
    size_t size, name;
} line;

static bool next_line(const char **at, line *out)
{
    if (!**at) return false;
    size_t size = strcspn(*at, "\n");
    const char *colon = memmem(*at, size, ": ", 2);
    *out = (line){*at, size, colon ? (size_t)(colon - *at) : size};
    *at += size + ((*at)[size] == '\n');
    return true;
}

static bool same_line(line a, line b)
{
    return a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

static bool same_name(line a, line b)
{
    return a.name == b.name && memcmp(a.text, b.text, a.name) == 0;
}

/* The line of that name, if there is one. */
static bool find_line(const char *text, line wanted, line *out)
{
    while (next_line(&text, out))
        if (same_name(*out, wanted)) return true;
    return false;
}

static const char *value_of(line l)
{
    return l.text + (l.size > l.name ? l.name + 2 : l.name);
}

static int value_size(line l)
{
    size_t size = l.size > l.name ? l.size - l.name - 2 : 0;
    return size > 80 ? 80 : (int)size;
}

/* Lines of `from` that `other` has otherwise (changed) or not at all. */
static int add_differences(const char *from, const char *other, bool before, int told, mo__buffer *out)
{
    enum { MOST = 6 };
    line l, o;
    while (next_line(&from, &l)) {
        bool there = find_line(other, l, &o);
        if (there && (before || same_line(l, o))) continue;
        if (told++ >= MOST) continue;
        mo__buffer_add(out, "%s%.*s ", told > 1 ? "; " : "", (int)l.name, l.text);
        if (there)
            mo__buffer_add(out, "was %.*s and is now %.*s", value_size(o), value_of(o), value_size(l),
                           value_of(l));
        else
            mo__buffer_add(out, "%s %.*s", before ? "was" : "is new:", value_size(l), value_of(l));
        if (before) mo__buffer_add(out, " and is gone");
    }
    return told;
}

#define CONTENT "\nbase data (hash of its content): "

mo_status mo_lab_spec_compare(const char *before, const mo_lab_spec *now)
{
    mo__buffer text = {0};
    char *message;
    if (strcmp(before, now->asked) == 0) return MO_OK;
    if (strstr(now->asked, CONTENT) && !strstr(before, CONTENT))
        return mo_error(
            MO_E_MISMATCH,
            "%s: the experiment's folder %s is of an earlier version, which did not note what is in "
            "the data: nothing can be added to it, but moira report reads it; name another dir, or "
            "move that folder away",
            now->path, now->dir);
    int told = add_differences(now->asked, before, false, 0, &text);
    told = add_differences(before, now->asked, true, told, &text);
    if (told > 6) mo__buffer_add(&text, "; and %d more", told - 6);
    MO_TRY(mo__buffer_finish(&text, MO_OK, &message));
    mo_status status = mo_error(MO_E_MISMATCH,
                                "%s: the experiment's folder %s holds trials of another experiment: %s; only "
                                "seeds may be added; name another dir, or move that folder away",
                                now->path, now->dir, message);
    mo_free(message);
    return status;
}
