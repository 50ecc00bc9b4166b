/* spec.c -- files of sweeps and comparisons: the table of their keys, and what is common to both. */
#include "spec.h"

#include <string.h>

enum { MOST_BYTES = 1 << 18, MOST_SEEDS = 1000, MOST_DRAWS = 1000000 };
enum { SWEEP = 1, COMPARE = 2 };

static const char *const strategy_names[] = {
    [MO_LAB_GRID] = "grid", [MO_LAB_RANDOM] = "random", [MO_LAB_HALVING] = "halving", NULL};

/* clang-format off */
#define AT(field) offsetof(mo_lab_spec, field)
#define INT(name, field, initial, min, max, unit) {name, MO__INT, AT(field), initial, min, max, 0, NULL, unit, NULL, NULL}
#define REAL(name, field, initial, min, max, flags) {name, MO__REAL, AT(field), initial, min, max, flags, NULL, "", NULL, NULL}
#define TEXT(name, field, initial, min, max, flags) {name, MO__STRING, AT(field), initial, min, max, flags, NULL, "", NULL, NULL}
#define ENUM(name, field, names, initial) {name, MO__ENUM, AT(field), initial, 0, 0, 0, names, "", NULL, NULL}
/* clang-format on */

static const mo__key budget_keys[] = {
    INT("steps", budget.steps, NULL, 1, 1e9, "steps"),
    INT("tokens", budget.tokens, NULL, 1, 1e15, "tokens"),
    REAL("flops", budget.flops, NULL, 1, 1e30, 0),
};
static const mo__key halving_keys[] = {
    INT("first_steps", first_steps, NULL, 1, 1e9, "steps"),
    REAL("factor", factor, "3", 1, 1000, MO__ABOVE_MIN),
};
static const mo__key timing_keys[] = {INT("steps", timing_steps, NULL, 10, 1e6, "steps")};

static mo__spec_read_fn read_base, read_set, read_seeds, read_budget, read_halving, read_timing;

/* In the order in which they are read. What stands in `form` and `initial` is for help. */
static const struct top_key {
    const char *name;
    unsigned of;
    mo__key value; /* of those that `read` does not read */
    mo__spec_read_fn *read;
    const char *form, *initial, *help;
} top_keys[] = {
    {"name", SWEEP | COMPARE, TEXT("name", name, NULL, 1, 100, MO__FOLDER_NAME), NULL, "TEXT", NULL,
     "Of the experiment, and of its folder."},
    {"base",
     SWEEP | COMPARE,
     {0},
     read_base,
     "CONFIG",
     NULL,
     "The config of all trials; the path counts from this file's folder."},
    {"dir", SWEEP | COMPARE, TEXT("dir", dir, "", 0, 4096, 0), NULL, "FOLDER", "experiments/NAME",
     "The experiment's folder, from the working folder: results.db, trials/, report.html."},
    {"set",
     SWEEP | COMPARE,
     {0},
     read_set,
     "{section.key: value, ...}",
     "{}",
     "Settings of all trials, upon the base."},
    {"seeds",
     SWEEP | COMPARE,
     {0},
     read_seeds,
     "COUNT or [SEED, ...]",
     "1",
     "run.seed of each variant's trials; a count is 1 to COUNT. Later runs may have more."},
    {"budget",
     SWEEP | COMPARE,
     {0},
     read_budget,
     "{steps: N}, {tokens: N} or {flops: N}",
     "the configs' own",
     "Of one trial: steps, positions read (rounded up to whole steps), or training FLOPs (to the nearest)."},
    {"strategy", SWEEP, ENUM("strategy", strategy, strategy_names, "grid"), NULL, "grid, random or halving",
     "grid", "All combinations, some at random, or successive halving by validation loss."},
    {"trials", SWEEP, INT("trials", draws, "0", 1, MOST_DRAWS, "variants"), NULL, "N", "halving: the grid",
     "random, halving: how many different variants are drawn."},
    {"draw_seed",
     SWEEP,
     {"draw_seed", MO__UINT64, AT(draw_seed), "1", 0, 0, 0, NULL, "", NULL, NULL},
     NULL,
     "N",
     "1",
     "random, halving: another seed draws others; more trials begin with the same."},
    {"halving",
     SWEEP,
     {0},
     read_halving,
     "{first_steps: N, factor: F}",
     "factor 3",
     "halving: steps of the first rung; the best 1/F of a rung go on, to F times the steps."},
    {"match", SWEEP, ENUM("match", match, mo__match_names, "none"), NULL,
     "active_params, total_params, flops or wall_clock", "none",
     "Every variant is made equal to the base in this, by its intermediate_size."},
    {"parameters",
     SWEEP,
     {0},
     mo__spec_read_parameters,
     "{section.key: VALUES, ...}",
     NULL,
     "What is varied: [a, b], {values: [a, b], when: {section.key: value}}, {from: a, to: b, count: n or "
     "step: s, log: true}; without count and step any number between, for strategies that draw."},
    {"rules",
     SWEEP,
     {0},
     mo__spec_read_rules,
     "[RULE, ...]",
     "[]",
     "Combinations that break one are left out: \"model.num_experts_per_tok < model.num_local_experts\", "
     "\"active_params <= 2e6\"; names are keys, active_params, total_params, flops_per_token; + - * / "
     "( ) and or not."},
    {"variants",
     COMPARE,
     {0},
     mo__spec_read_variants,
     "{NAME: {config:, set:, match:, to:}, ...}",
     NULL,
     "What is compared: settings upon the base or another config; match makes a variant equal to another "
     "one (to) in active_params, total_params, flops or wall_clock, by its intermediate_size."},
    {"reference",
     COMPARE,
     {0},
     mo__spec_read_reference,
     "NAME",
     "the first dense one",
     "The variant that the others are held against."},
    {"tune",
     COMPARE,
     {0},
     mo__spec_read_tune,
     "{parameter: KEY, values: [...], steps: N}",
     "nothing",
     "Every variant first tries each value on the first seed and takes its best; `tune: learning_rate` is "
     "the base's times 1/3, 1 and 3, over the whole budget."},
    {"timing",
     COMPARE,
     {0},
     read_timing,
     "{steps: N}",
     "none",
     "Steps of every variant, alone on the machine, that tell its speed."},
};
enum { TOP_KEYS = sizeof top_keys / sizeof *top_keys };

/* ---- readers of plain things ---- */

mo_status mo__spec_at(const mo__spec_reader *r, const mo__doc *doc, mo_status status)
{
    return mo_error_context(status, doc->name ? "%s:%d: %s" : "%s:%d", r->origin, doc->line,
                            doc->name ? mo__show(doc->name).text : "");
}

mo_status mo__spec_value(const mo__spec_reader *r, const mo__doc *doc, const mo__key *key, void *owner)
{
    mo_status status = doc->kind == MO__DOC_VALUE
                           ? mo__value_set(key, doc->text, doc->writing, owner)
                           : mo_error(MO_E_CONFIG, "%s stands where one value should", mo__doc_describe(doc));
    return status == MO_OK ? MO_OK : mo__spec_at(r, doc, status);
}

const mo__doc *mo__spec_find(const mo__doc *map, const char *name)
{
    for (int i = 0; i < map->count; i++)
        if (strcmp(map->items[i].name, name) == 0) return &map->items[i];
    return NULL;
}

/* "unknown key; did you mean steps?", or all there are. */
static mo_status refuse_unknown(const char *name, const char *const *names, size_t count)
{
    const char *nearest = mo_nearest_name(name, names, count);
    if (nearest) return mo_error(MO_E_CONFIG, "unknown key; did you mean %s?", nearest);
    mo__buffer all = {0};
    char *text;
    for (size_t i = 0; i < count; i++) mo__buffer_add(&all, "%s%s", i ? ", " : "", names[i]);
    MO_TRY(mo__buffer_finish(&all, MO_OK, &text));
    mo_status status = mo_error(MO_E_CONFIG, "unknown key; expected %s", text);
    mo_free(text);
    return status;
}

mo_status mo__spec_map(const mo__spec_reader *r, const mo__doc *map, const mo__key *keys, int n_keys,
                       const char *const *others, void *owner)
{
    enum { MOST = 16 };
    const char *names[MOST];
    size_t count = 0;
    for (int k = 0; k < n_keys; k++) names[count++] = keys[k].name;
    for (; others && *others; others++) names[count++] = *others;
    if (map->kind != MO__DOC_MAP)
        return mo__spec_at(
            r, map,
            mo_error(MO_E_CONFIG, "%s stands where {%s: ...} should", mo__doc_describe(map), names[0]));
    for (int i = 0; i < map->count; i++) {
        const mo__doc *item = &map->items[i];
        int k = 0;
        while (k < (int)count && strcmp(names[k], item->name) != 0) k++;
        if (k == (int)count) return mo__spec_at(r, item, refuse_unknown(item->name, names, count));
        if (k < n_keys) MO_TRY(mo__spec_value(r, item, &keys[k], owner));
    }
    return MO_OK;
}

mo_status mo__spec_config(const mo__spec_reader *r, const mo__doc *doc, const char *text, char **out)
{
    if (!*text) return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "no path is given; name a config"));
    char *dir = mo_path_dir(r->origin);
    *out = dir ? mo_path_join(strchr(r->origin, '/') ? dir : "", text) : NULL;
    mo_free(dir);
    if (!*out) return MO_E_MEMORY;
    if (mo_path_exists(*out)) return MO_OK;
    return mo__spec_at(r, doc, mo_error(MO_E_NOT_FOUND, "there is no %s", *out));
}

/* ---- keys of both ---- */

/* The base alone must be a config that could run: its values are what rules and matches count from. */
static mo_status read_base(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key path = {.name = "base", .type = MO__STRING, .min = 1, .max = 4096};
    char *text = NULL;
    mo_status status = mo__spec_value(r, doc, &path, &text);
    if (status == MO_OK) status = mo__spec_config(r, doc, text, &r->spec->base);
    mo_free(text);
    return status;
}

static mo_status read_set(mo__spec_reader *r, const mo__doc *doc)
{
    return mo__spec_settings(r, doc, &r->spec->set);
}

static mo_status make_seeds(mo_lab_spec *spec, int count)
{
    spec->seeds = mo_calloc((size_t)count, sizeof *spec->seeds);
    if (!spec->seeds) return MO_E_MEMORY;
    for (spec->n_seeds = 0; spec->n_seeds < count; spec->n_seeds++)
        spec->seeds[spec->n_seeds] = (uint64_t)spec->n_seeds + 1;
    return MO_OK;
}

static mo_status read_seed_list(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key seed = {.name = "seeds", .type = MO__UINT64};
    mo_lab_spec *spec = r->spec;
    if (doc->count < 1 || doc->count > MOST_SEEDS)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "has %d seeds; expected 1 to %d", doc->count, MOST_SEEDS));
    MO_TRY(make_seeds(spec, doc->count));
    for (int i = 0; i < doc->count; i++) {
        MO_TRY(mo__spec_value(r, &doc->items[i], &seed, &spec->seeds[i]));
        for (int j = 0; j < i; j++)
            if (spec->seeds[i] == spec->seeds[j])
                return mo__spec_at(r, &doc->items[i],
                                   mo_error(MO_E_CONFIG, "seeds: %llu stands there twice",
                                            (unsigned long long)spec->seeds[i]));
    }
    return MO_OK;
}

static mo_status read_seeds(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key number = {.name = "seeds", .type = MO__INT, .min = 1, .max = MOST_SEEDS};
    int64_t count = 0;
    if (doc->kind == MO__DOC_LIST) return read_seed_list(r, doc);
    MO_TRY(mo__spec_value(r, doc, &number, &count));
    return make_seeds(r->spec, (int)count);
}

static mo_status read_budget(mo__spec_reader *r, const mo__doc *doc)
{
    static const char *const ends[] = {"train.steps", "train.tokens", "train.seconds"};
    MO_TRY(mo__spec_map(r, doc, budget_keys, 3, NULL, r->spec));
    if (doc->count != 1)
        return mo__spec_at(
            r, doc,
            mo_error(MO_E_CONFIG, "has %d ends of a trial; give one of steps, tokens, flops", doc->count));
    for (int i = 0; i < 3; i++)
        if (mo__settings_find(&r->spec->set, ends[i]))
            return mo__spec_at(
                r, doc, mo_error(MO_E_CONFIG, "ends trials, and so does %s under set; keep one", ends[i]));
    return MO_OK;
}

static mo_status read_halving(mo__spec_reader *r, const mo__doc *doc)
{
    MO_TRY(mo__spec_map(r, doc, halving_keys, 2, NULL, r->spec));
    if (r->spec->first_steps > 0) return MO_OK;
    return mo__spec_at(r, doc,
                       mo_error(MO_E_CONFIG, "first_steps is not given: the steps of the first rung"));
}

static mo_status read_timing(mo__spec_reader *r, const mo__doc *doc)
{
    MO_TRY(mo__spec_map(r, doc, timing_keys, 1, NULL, r->spec));
    if (r->spec->timing_steps > 0) return MO_OK;
    return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "steps is not given: how many are timed"));
}

/* ---- the whole ---- */

static const char *word(unsigned kind)
{
    return kind == COMPARE ? "comparison" : "sweep";
}

static mo_status check_names(const mo__spec_reader *r, const mo__doc *root, unsigned kind)
{
    for (int i = 0; i < root->count; i++) {
        const char *names[TOP_KEYS];
        size_t count = 0, k = 0;
        while (k < TOP_KEYS && strcmp(top_keys[k].name, root->items[i].name) != 0) k++;
        if (k < TOP_KEYS && top_keys[k].of & kind) continue;
        for (size_t n = 0; n < TOP_KEYS; n++)
            if (top_keys[n].of & kind) names[count++] = top_keys[n].name;
        mo_status status =
            k < TOP_KEYS
                ? mo_error(MO_E_CONFIG, "is of a %s, and this file is a %s, since it has %s",
                           word(top_keys[k].of), word(kind), kind == COMPARE ? "variants" : "parameters")
                : refuse_unknown(root->items[i].name, names, count);
        return mo__spec_at(r, &root->items[i], status);
    }
    return MO_OK;
}

static mo_status find_kind(mo__spec_reader *r, const mo__doc *root)
{
    bool sweep = mo__spec_find(root, "parameters"), compare = mo__spec_find(root, "variants");
    r->spec->compare = compare;
    if (sweep != compare) return MO_OK;
    if (!sweep)
        return mo_error(MO_E_CONFIG,
                        "%s: is neither a sweep, which has parameters, nor a comparison, which has variants",
                        r->origin);
    return mo__spec_at(r, mo__spec_find(root, "variants"),
                       mo_error(MO_E_CONFIG, "parameters and variants are both given: a sweep has the one, a "
                                             "comparison the other"));
}

static mo_status read_key(mo__spec_reader *r, const mo__doc *root, const struct top_key *key)
{
    const mo__doc *doc = mo__spec_find(root, key->name);
    if (doc) return key->read ? key->read(r, doc) : mo__spec_value(r, doc, &key->value, r->spec);
    bool required = !key->initial;
    if (required)
        return mo_error(MO_E_CONFIG, "%s: %s is missing; it has no default: %s", r->origin, key->name,
                        key->help);
    if (strcmp(key->name, "seeds") == 0) return make_seeds(r->spec, 1);
    if (strcmp(key->name, "reference") == 0) return mo__spec_choose_reference(r);
    return MO_OK;
}

static mo_status load_base(mo__spec_reader *r)
{
    mo_status status = mo__spec_load_config(r->spec, r->spec->base, &r->config);
    if (status == MO_OK) return MO_OK;
    r->config = (mo_run_config){0};
    return mo_error_context(status, "%s: base, with what is set", r->origin);
}

static mo_status check_halving(const mo__spec_reader *r, const mo__doc *root)
{
    const mo_lab_spec *s = r->spec;
    const mo__doc *trials = mo__spec_find(root, "trials"), *halving = mo__spec_find(root, "halving"),
                  *seed = mo__spec_find(root, "draw_seed");
    const char *name = strategy_names[s->strategy];
    if (trials && s->strategy == MO_LAB_GRID)
        return mo__spec_at(r, trials,
                           mo_error(MO_E_CONFIG, "strategy grid has all combinations; leave trials out, or "
                                                 "take strategy random or halving"));
    if (seed && s->draws == 0)
        return mo__spec_at(r, seed,
                           mo_error(MO_E_CONFIG, "nothing is drawn by strategy %s without trials", name));
    if (halving && s->strategy != MO_LAB_HALVING)
        return mo__spec_at(r, halving,
                           mo_error(MO_E_CONFIG,
                                    "strategy is %s; take strategy halving, or leave "
                                    "this out",
                                    name));
    if (!trials && s->strategy == MO_LAB_RANDOM)
        return mo_error(MO_E_CONFIG,
                        "%s: strategy random needs trials, the number of variants that are drawn", r->origin);
    if (!halving && s->strategy == MO_LAB_HALVING)
        return mo_error(MO_E_CONFIG, "%s: strategy halving needs halving: {first_steps: N, factor: F}",
                        r->origin);
    if (s->strategy == MO_LAB_HALVING && s->budget.flops > 0)
        return mo__spec_at(r, mo__spec_find(root, "budget"),
                           mo_error(MO_E_CONFIG,
                                    "flops give variants different numbers of steps, which halving "
                                    "cannot rank; give steps"));
    return MO_OK;
}

static mo_status read_keys(mo__spec_reader *r, const mo__doc *root)
{
    unsigned kind = r->spec->compare ? COMPARE : SWEEP;
    MO_TRY(check_names(r, root, kind));
    for (size_t k = 0; k < TOP_KEYS; k++) {
        if (!(top_keys[k].of & kind)) continue;
        MO_TRY(read_key(r, root, &top_keys[k]));
        if (strcmp(top_keys[k].name, "budget") == 0) MO_TRY(load_base(r));
        if (strcmp(top_keys[k].name, "halving") == 0) MO_TRY(check_halving(r, root));
    }
    return MO_OK;
}

static mo_status settle(mo__spec_reader *r)
{
    mo_lab_spec *s = r->spec;
    if (!s->dir || !*s->dir) {
        mo_free(s->dir);
        s->dir = mo_strprintf("experiments/%s", s->name);
        if (!s->dir) return MO_E_MEMORY;
    }
    MO_TRY(mo__spec_describe(s, &s->asked));
    mo_hash_bytes(s->asked, strlen(s->asked), s->digest);
    return MO_OK;
}

static mo_status read_text(mo__spec_reader *r, size_t size)
{
    mo__doc root;
    MO_TRY(mo__doc_read(r->spec->text, size, r->origin, &root));
    mo_status status = MO_OK;
    if (root.kind != MO__DOC_MAP)
        status = mo__spec_at(r, &root,
                             mo_error(MO_E_CONFIG, "%s stands where keys (name:, base:, ...) should",
                                      mo__doc_describe(&root)));
    if (status == MO_OK) status = find_kind(r, &root);
    if (status == MO_OK) status = read_keys(r, &root);
    mo__doc_free(&root);
    return status == MO_OK ? settle(r) : status;
}

mo_status mo_lab_spec_load(const char *path, mo_lab_spec *out)
{
    size_t size;
    mo__spec_reader r = {.origin = path, .spec = out};
    *out = (mo_lab_spec){.draw_seed = 1, .factor = 3, .path = mo_strdup(path)};
    mo_status status = out->path ? mo_read_file(path, MOST_BYTES, &out->text, &size) : MO_E_MEMORY;
    if (status == MO_OK) status = read_text(&r, size);
    mo_config_free(&r.config);
    if (status != MO_OK) mo_lab_spec_free(out);
    return status;
}

static void free_texts(char **at, int count)
{
    mo__word_list texts = {at, count};
    mo__word_list_free(&texts);
}

void mo_lab_spec_free(mo_lab_spec *s)
{
    char *const owned[] = {s->path, s->text, s->asked, s->name, s->dir, s->base, s->reference, s->tune.key};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mo_free(owned[i]);
    mo__settings_free(&s->set);
    mo_free(s->seeds);
    for (int i = 0; i < s->n_parameters; i++) {
        mo_lab_parameter *p = &s->parameters[i];
        mo_free(p->key);
        mo_free(p->when.key);
        free_texts(p->values, p->count);
        free_texts(p->when.values, p->when.count);
    }
    mo_free(s->parameters);
    free_texts(s->rules, s->n_rules);
    for (int i = 0; i < s->n_entries; i++) {
        mo_free(s->entries[i].name);
        mo_free(s->entries[i].config);
        mo_free(s->entries[i].to);
        mo__settings_free(&s->entries[i].settings);
    }
    mo_free(s->entries);
    free_texts(s->tune.values, s->tune.count);
    *s = (mo_lab_spec){0};
}

mo_status mo_lab_spec_help(bool compare, char **out)
{
    mo__buffer text = {0};
    for (size_t k = 0; k < TOP_KEYS; k++) {
        const struct top_key *key = &top_keys[k];
        if (!(key->of & (compare ? COMPARE : SWEEP))) continue;
        mo__buffer_add(&text, "  %s: %s\n      %s", key->name, key->form, key->help);
        if (key->initial) mo__buffer_add(&text, " Default: %s.", key->initial);
        mo__buffer_add(&text, "\n");
    }
    return mo__buffer_finish(&text, MO_OK, out);
}
