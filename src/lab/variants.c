/* variants.c -- every variant of an experiment. */
#include <math.h>
#include <string.h>

#include "combine.h"
#include "lab/halving.h"
#include "spec.h"
#include "variant.h"

typedef struct list {
    mo__variant_maker maker;
    mo__variant_base base;
    mo__variant_target target; /* of a sweep's variants */
    mo_lab_variant *at;
    int count;
    int64_t seen; /* combinations so far, with those that rules left out */
} list;

/* ---- both ---- */

static mo_status add(list *l, mo_lab_variant *v)
{
    if ((l->count & (l->count - 1)) == 0) {
        mo_lab_variant *larger = mo_realloc(l->at, (l->count ? 2 * (size_t)l->count : 1) * sizeof *larger);
        if (!larger) return MO_E_MEMORY;
        l->at = larger;
    }
    l->at[l->count++] = *v;
    *v = (mo_lab_variant){0};
    return MO_OK;
}

static mo_status check_clock(const mo_lab_variants_options *o, mo_lab_match match)
{
    if (match != MO_MATCH_WALL_CLOCK || o->time) return MO_OK;
    return mo_error(MO_E_UNSUPPORTED, "match wall_clock needs trials to be timed, which cannot be done here");
}

/* Seconds of a step as it is, for others to be made equal to. */
static mo_status time_target(list *l, const char *config, const mo_lab_settings *settings, double *out)
{
    *out = l->maker.options->time(config, settings, l->maker.options->user);
    if (!isnan(*out)) return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "match wall_clock: the trial that others are to be equal to, which was to be timed, "
                    "failed");
}

/* ---- sweeps ---- */

static mo_status find_target(list *l)
{
    const mo_lab_spec *s = l->maker.spec;
    mo_lab_settings common = {0};
    l->target = (mo__variant_target){s->match, "base", (double)NAN};
    if (s->match == MO_MATCH_NONE) return MO_OK;
    MO_TRY(check_clock(l->maker.options, s->match));
    if (s->match != MO_MATCH_WALL_CLOCK) return mo__match_count(&l->base.config, s->match, &l->target.wanted);
    mo_status status = mo__spec_common(s, &common);
    if (status == MO_OK) status = time_target(l, s->base, &common, &l->target.wanted);
    mo__settings_free(&common);
    return status;
}

/* "model.router=topk, model.num_local_experts=4" in front of this thread's message. */
static mo_status name_combination(const mo_lab_spec *s, const mo_lab_settings *chosen, mo_status status)
{
    mo__buffer text = {0};
    char *joined;
    for (int i = 0; i < chosen->count; i++)
        mo__buffer_add(&text, "%s%s=%s", i ? ", " : "", chosen->at[i].key,
                       mo__show(chosen->at[i].value).text);
    MO_TRY(mo__buffer_finish(&text, MO_OK, &joined));
    mo_error_context(status, "%s: %s", s->path, joined);
    mo_free(joined);
    if (status != MO_E_CONFIG) return status;
    return mo_error(status, "%s; rules, or when, can leave such combinations out", mo_last_error());
}

/* Those that rules leave out have to be looked at, too. */
static mo_status check_most(const list *l)
{
    enum { LOOKED_AT = 20 };
    const mo_lab_spec *s = l->maker.spec;
    int64_t most = l->maker.options->most;
    if (most <= 0 || (l->count <= most && l->seen <= LOOKED_AT * most)) return MO_OK;
    if (l->count <= most)
        return mo_error(
            MO_E_RANGE,
            "%s: of more than %lld combinations of the parameters the rules leave %d so far, and there "
            "are more; give fewer values, or strategy random with trials, or say --yes to so many",
            s->path, LOOKED_AT * (long long)most, l->count);
    return mo_error(
        MO_E_RANGE,
        "%s: the parameters have more than %lld combinations, each a variant with %d trial%s; give fewer "
        "values, rules, or strategy random with trials, or say --yes to so many",
        s->path, (long long)most, s->n_seeds, s->n_seeds == 1 ? "" : "s");
}

static mo_status add_combination(const mo_lab_settings *chosen, bool *taken, void *user)
{
    list *l = user;
    mo_lab_variant v;
    mo_run_config config;
    mo_status status = mo__variant_make(&l->maker, &l->base, chosen, &l->target, &v, &config, taken);
    if (status != MO_OK) return name_combination(l->maker.spec, chosen, status);
    l->seen++;
    if (!*taken) return check_most(l);
    status = mo__variants_alike(&l->maker, &l->base.config, &config);
    if (status != MO_OK) name_combination(l->maker.spec, chosen, status);
    mo_config_free(&config);
    if (status == MO_OK) status = mo__settings_put_all(&v.chosen, chosen);
    if (status == MO_OK && !(v.name = mo_strprintf("v%04d", l->count + 1))) status = MO_E_MEMORY;
    if (status == MO_OK) status = add(l, &v);
    mo__variant_free(&v);
    return status == MO_OK ? check_most(l) : status;
}

/* Variants are ranked at the same steps, which must be evaluated. */
static mo_status check_rungs(const list *l)
{
    const mo_lab_spec *s = l->maker.spec;
    mo__halving plan;
    for (int i = 1; i < l->count; i++)
        if (l->at[i].steps != l->at[0].steps)
            return mo_error(
                MO_E_CONFIG,
                "%s: halving ranks variants at the same steps, but %s has %lld and %s %lld; give budget: "
                "{steps: N}",
                s->path, l->at[0].name, (long long)l->at[0].steps, l->at[i].name, (long long)l->at[i].steps);
    mo_status status = mo__halving_plan(l->count, s->first_steps, s->factor, l->at[0].steps,
                                        l->base.config.eval.every, &plan);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", s->path);
}

static mo_status make_sweep(list *l)
{
    const mo_lab_spec *s = l->maker.spec;
    mo_status status = find_target(l);
    if (status != MO_OK) return mo_error_context(status, "%s: base", s->path);
    MO_TRY(mo__combine(s, &l->base.config, add_combination, l));
    if (l->count == 0)
        return mo_error(MO_E_CONFIG, "%s: the rules leave no combination of the parameters; loosen one",
                        s->path);
    return s->strategy == MO_LAB_HALVING ? check_rungs(l) : MO_OK;
}

/* ---- comparisons ---- */

/* A comparison's variants while they are made: those that others are matched to come first. */
typedef struct entries {
    list *l;
    mo_lab_variant *made;   /* by entry */
    mo_run_config *configs; /* by entry; freed with the others at the end */
    double *seconds;        /* by entry, of wall_clock; NaN: not timed yet */
} entries;

static int find_entry(const mo_lab_spec *s, const char *name)
{
    int i = 0;
    while (i < s->n_entries && strcmp(s->entries[i].name, name) != 0) i++;
    return i; /* the spec's reader knows that there is one */
}

static mo_status find_wanted(entries *e, const mo_lab_entry *entry, mo__variant_target *out)
{
    *out = (mo__variant_target){entry->match, entry->to, (double)NAN};
    if (entry->match == MO_MATCH_NONE) return MO_OK;
    int to = find_entry(e->l->maker.spec, entry->to);
    const mo_lab_variant *v = &e->made[to];
    MO_TRY(check_clock(e->l->maker.options, entry->match));
    if (entry->match == MO_MATCH_WALL_CLOCK && isnan(e->seconds[to]))
        MO_TRY(time_target(e->l, v->config, &v->settings, &e->seconds[to]));
    out->wanted = entry->match == MO_MATCH_ACTIVE_PARAMS  ? (double)v->active
                  : entry->match == MO_MATCH_TOTAL_PARAMS ? (double)v->total
                  : entry->match == MO_MATCH_FLOPS        ? v->flops_per_token
                                                          : e->seconds[to];
    return MO_OK;
}

static mo_status make_entry(entries *e, int i)
{
    list *l = e->l;
    const mo_lab_entry *entry = &l->maker.spec->entries[i];
    mo__variant_base own = {0}, *base = &l->base;
    mo__variant_target target;
    bool taken;
    if (strcmp(entry->config, l->base.path) != 0) {
        base = &own;
        MO_TRY(mo__variant_base_load(&l->maker, entry->config, base));
    }
    mo_status status = find_wanted(e, entry, &target);
    if (status == MO_OK)
        status =
            mo__variant_make(&l->maker, base, &entry->settings, &target, &e->made[i], &e->configs[i], &taken);
    if (base == &own) mo__variant_base_free(&own);
    if (status == MO_OK && !(e->made[i].name = mo_strdup(entry->name))) status = MO_E_MEMORY;
    return status;
}

static mo_status make_entries(entries *e, bool matched)
{
    const mo_lab_spec *s = e->l->maker.spec;
    for (int i = 0; i < s->n_entries; i++) {
        if ((s->entries[i].match != MO_MATCH_NONE) != matched) continue;
        mo_status status = make_entry(e, i);
        if (status != MO_OK) return mo_error_context(status, "%s: variant %s", s->path, s->entries[i].name);
    }
    return MO_OK;
}

static mo_status check_entries(entries *e)
{
    const mo_lab_spec *s = e->l->maker.spec;
    for (int i = 1; i < s->n_entries; i++) {
        mo_status status = mo__variants_alike(&e->l->maker, &e->configs[0], &e->configs[i]);
        if (status != MO_OK)
            return mo_error_context(status, "%s: variants %s and %s", s->path, s->entries[0].name,
                                    s->entries[i].name);
    }
    return MO_OK;
}

/* Each value must be one that each variant can be trained with. */
static mo_status check_tuned(const mo_lab_spec *s, const mo_lab_variant *v)
{
    mo_lab_settings settings = {0};
    mo_status status = mo__settings_put_all(&settings, &v->settings);
    for (int i = 0; i < s->tune.count && status == MO_OK; i++) {
        mo_run_config config;
        status = mo__settings_put(&settings, s->tune.key, s->tune.values[i]);
        if (status != MO_OK) break;
        status = mo__settings_load(v->config, &settings, &config);
        if (status == MO_OK)
            mo_config_free(&config);
        else
            mo_error_context(status, "%s: variant %s cannot be tuned", s->path, v->name);
    }
    mo__settings_free(&settings);
    return status;
}

static mo_status make_comparison(list *l)
{
    int n = l->maker.spec->n_entries;
    entries e = {l, mo_calloc((size_t)n, sizeof *e.made), mo_calloc((size_t)n, sizeof *e.configs),
                 mo_calloc((size_t)n, sizeof *e.seconds)};
    mo_status status = e.made && e.configs && e.seconds ? MO_OK : MO_E_MEMORY;
    for (int i = 0; i < n && status == MO_OK; i++) e.seconds[i] = (double)NAN;
    if (status == MO_OK) status = make_entries(&e, false);
    if (status == MO_OK) status = make_entries(&e, true);
    if (status == MO_OK) status = check_entries(&e);
    for (int i = 0; i < n && status == MO_OK; i++) status = check_tuned(l->maker.spec, &e.made[i]);
    for (int i = 0; i < n && status == MO_OK; i++) status = add(l, &e.made[i]);
    for (int i = 0; i < n; i++) {
        if (e.made) mo__variant_free(&e.made[i]);
        if (e.configs) mo_config_free(&e.configs[i]);
    }
    mo_free(e.made);
    mo_free(e.configs);
    mo_free(e.seconds);
    return status;
}

/* ---- the whole ---- */

mo_status mo_lab_variants(const mo_lab_spec *spec, const mo_lab_variants_options *options,
                          mo_lab_variant **out, int *count)
{
    list l = {.maker = {.spec = spec, .options = options}};
    mo_status status = mo__variant_base_load(&l.maker, spec->base, &l.base);
    if (status != MO_OK) mo_error_context(status, "%s: base", spec->path);
    if (status == MO_OK) status = spec->compare ? make_comparison(&l) : make_sweep(&l);
    mo__variant_base_free(&l.base);
    mo__variant_maker_free(&l.maker);
    if (status != MO_OK) {
        mo_lab_variants_free(l.at, l.count);
        l = (list){0};
    }
    *out = l.at;
    *count = l.count;
    return status;
}

void mo_lab_variants_free(mo_lab_variant *variants, int count)
{
    for (int i = 0; i < count; i++) mo__variant_free(&variants[i]);
    mo_free(variants);
}
