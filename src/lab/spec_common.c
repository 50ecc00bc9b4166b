/* spec_common.c -- what the files of sweeps and comparisons have in common, and two small maps of each. */
#include "spec.h"

enum { MOST_SEEDS = 1000 };

/* clang-format off */
#define INT(name, field, max) \
    {name, MO__INT, offsetof(mo_lab_spec, field), NULL, 1, max, 0, NULL, "", NULL, NULL}
#define REAL(name, field, initial, max, flags) \
    {name, MO__REAL, offsetof(mo_lab_spec, field), initial, 1, max, flags, NULL, "", NULL, NULL}
/* clang-format on */

static const mo__key budget_keys[] = {
    INT("steps", budget.steps, 1e9),
    INT("tokens", budget.tokens, 1e15),
    REAL("flops", budget.flops, NULL, 1e30, 0),
};
static const mo__key halving_keys[] = {
    INT("first_steps", first_steps, 1e9),
    REAL("factor", factor, "3", 1000, MO__ABOVE_MIN),
};
/* The first fifth is left out: fewer would leave too little of a median. */
static const mo__key timing_keys[] = {
    {"steps", MO__INT, offsetof(mo_lab_spec, timing_steps), NULL, 10, 1e6, 0, NULL, "", NULL, NULL}};

mo_status mo__spec_read_base(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key path = {.name = "base", .type = MO__STRING, .min = 1, .max = 4096};
    char *text = NULL;
    mo_status status = mo__spec_value(r, doc, &path, &text);
    if (status == MO_OK) status = mo__spec_config(r, doc, text, &r->spec->base);
    mo_free(text);
    return status;
}

mo_status mo__spec_read_set(mo__spec_reader *r, const mo__doc *doc)
{
    return mo__spec_settings(r, doc, &r->spec->set);
}

mo_status mo__spec_make_seeds(mo_lab_spec *spec, int count)
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
    MO_TRY(mo__spec_make_seeds(spec, doc->count));
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

mo_status mo__spec_read_seeds(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key number = {.name = "seeds", .type = MO__INT, .min = 1, .max = MOST_SEEDS};
    int64_t count = 0;
    if (doc->kind == MO__DOC_LIST) return read_seed_list(r, doc);
    MO_TRY(mo__spec_value(r, doc, &number, &count));
    return mo__spec_make_seeds(r->spec, (int)count);
}

mo_status mo__spec_read_budget(mo__spec_reader *r, const mo__doc *doc)
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

mo_status mo__spec_read_halving(mo__spec_reader *r, const mo__doc *doc)
{
    MO_TRY(mo__spec_map(r, doc, halving_keys, 2, NULL, r->spec));
    if (r->spec->first_steps > 0) return MO_OK;
    return mo__spec_at(r, doc,
                       mo_error(MO_E_CONFIG, "first_steps is not given: the steps of the first rung"));
}

mo_status mo__spec_read_timing(mo__spec_reader *r, const mo__doc *doc)
{
    MO_TRY(mo__spec_map(r, doc, timing_keys, 1, NULL, r->spec));
    if (r->spec->timing_steps > 0) return MO_OK;
    return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "steps is not given: how many are timed"));
}
