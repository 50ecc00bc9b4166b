/* spec.c -- files of sweeps and comparisons, as a whole: which keys are there, in what order they are read.
 */
#include "spec.h"

#include <string.h>

#include "lab/store_file.h"

enum { MOST_BYTES = 1 << 18 };

static const char *word(unsigned kind)
{
    return kind == MO__SPEC_COMPARE ? "comparison" : "sweep";
}

static const mo__spec_key *find_key(const char *name)
{
    for (int k = 0; k < mo__spec_key_count; k++)
        if (strcmp(mo__spec_keys[k].name, name) == 0) return &mo__spec_keys[k];
    return NULL;
}

static mo_status refuse_key(const char *name, unsigned kind)
{
    enum { MOST = 32 };
    const char *names[MOST];
    size_t count = 0;
    const mo__spec_key *other = find_key(name);
    if (other)
        return mo_error(MO_E_CONFIG, "is of a %s, and this file is a %s, since it has %s", word(other->of),
                        word(kind), kind == MO__SPEC_COMPARE ? "variants" : "parameters");
    for (int k = 0; k < mo__spec_key_count && count < MOST; k++)
        if (mo__spec_keys[k].of & kind) names[count++] = mo__spec_keys[k].name;
    return mo__spec_unknown(name, names, count);
}

static mo_status check_names(const mo__spec_reader *r, const mo__doc *root, unsigned kind)
{
    for (int i = 0; i < root->count; i++) {
        const mo__spec_key *key = find_key(root->items[i].name);
        if (!key || !(key->of & kind))
            return mo__spec_at(r, &root->items[i], refuse_key(root->items[i].name, kind));
    }
    return MO_OK;
}

/* A key that was meant to say it, or NULL. */
static const mo__doc *misspelt_kind(const mo__doc *root)
{
    static const char *const kinds[] = {"parameters", "variants"};
    for (int i = 0; i < root->count; i++)
        if (!find_key(root->items[i].name) && mo_nearest_name(root->items[i].name, kinds, 2))
            return &root->items[i];
    return NULL;
}

static mo_status find_kind(mo__spec_reader *r, const mo__doc *root)
{
    bool sweep = mo__spec_find(root, "parameters"), compare = mo__spec_find(root, "variants");
    r->spec->compare = compare;
    if (sweep != compare) return MO_OK;
    const mo__doc *misspelt = sweep ? NULL : misspelt_kind(root);
    if (misspelt)
        return mo__spec_at(
            r, misspelt,
            mo__spec_unknown(misspelt->name, (const char *const[]){"parameters", "variants"}, 2));
    if (!sweep)
        return mo_error(MO_E_CONFIG,
                        "%s: is neither a sweep, which has parameters, nor a comparison, which has variants",
                        r->origin);
    return mo__spec_at(r, mo__spec_find(root, "variants"),
                       mo_error(MO_E_CONFIG, "parameters and variants are both given: a sweep has the one, a "
                                             "comparison the other"));
}

static mo_status read_key(mo__spec_reader *r, const mo__doc *root, const mo__spec_key *key)
{
    const mo__doc *doc = mo__spec_find(root, key->name);
    if (doc) return key->read ? key->read(r, doc) : mo__spec_value(r, doc, &key->value, r->spec);
    bool required = !key->initial;
    if (required)
        return mo_error(MO_E_CONFIG, "%s: %s is missing; it has no default: %s", r->origin, key->name,
                        key->help);
    if (strcmp(key->name, "seeds") == 0) return mo__spec_make_seeds(r->spec, 1);
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
    const char *name = mo__strategy_words[s->strategy];
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
    unsigned kind = r->spec->compare ? MO__SPEC_COMPARE : MO__SPEC_SWEEP;
    MO_TRY(check_names(r, root, kind));
    for (int k = 0; k < mo__spec_key_count; k++) {
        if (!(mo__spec_keys[k].of & kind)) continue;
        MO_TRY(read_key(r, root, &mo__spec_keys[k]));
        if (strcmp(mo__spec_keys[k].name, "budget") == 0) MO_TRY(load_base(r));
        if (strcmp(mo__spec_keys[k].name, "halving") == 0) MO_TRY(check_halving(r, root));
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
    return mo__spec_describe(s, &s->asked);
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
