/* small_lab.c -- made by hand, and put into a file. */
#include "harness/small_lab.h"

#include <math.h>

#include "lab/store.h"

static mo_lab_settings settings(const char *key, const char *value)
{
    mo_lab_settings s = {.at = mo_calloc(1, sizeof *s.at), .count = 1};
    assert_non_null(s.at);
    s.at[0] = (mo_lab_setting){.key = mo_strdup(key), .value = mo_strdup(value)};
    return s;
}

static void free_settings(mo_lab_settings *s)
{
    for (int i = 0; i < s->count; i++) {
        mo_free(s->at[i].key);
        mo_free(s->at[i].value);
    }
    mo_free(s->at);
}

small_lab small_lab_make(const char *parent, const char *name)
{
    small_lab lab = {.spec = {.path = mo_path_join(parent, "lab.yaml"),
                              .text = mo_strprintf("name: %s\nbudget: {steps: 40}\n", name),
                              .asked = mo_strprintf("name: %s\nbudget: 40 steps\n", name),
                              .name = mo_strdup(name),
                              .dir = mo_path_join(parent, name),
                              .seeds = mo_calloc(2, sizeof(uint64_t)),
                              .n_seeds = 2}};
    lab.spec.seeds[0] = 1;
    lab.spec.seeds[1] = 2;
    lab.variants[0] = (mo_lab_variant){.name = mo_strdup("v0001"),
                                       .config = mo_path_join(parent, "base.yaml"),
                                       .settings = settings("model.router", "sigmoid"),
                                       .chosen = settings("model.router", "sigmoid"),
                                       .wanted = (double)NAN,
                                       .got = (double)NAN,
                                       .steps = 40,
                                       .step_tokens = 480,
                                       .total = 5000000000,
                                       .active = 123456,
                                       .experts = 8,
                                       .flops_per_token = 6.25e5,
                                       .memory_bytes = (uint64_t)3 << 32};
    lab.variants[1] = (mo_lab_variant){.name = mo_strdup("dense"),
                                       .config = mo_path_join(parent, "base.yaml"),
                                       .settings = settings("model.num_local_experts", "0"),
                                       .chosen = settings("model.num_local_experts", "0"),
                                       .match = MO_MATCH_FLOPS,
                                       .matched_to = mo_strdup("v0001"),
                                       .wanted = 6.25e5,
                                       .got = 6.2500001e5,
                                       .steps = 40,
                                       .step_tokens = 480,
                                       .total = 1,
                                       .active = 1,
                                       .flops_per_token = 6.2500001e5};
    return lab;
}

void small_lab_free(small_lab *lab)
{
    for (int i = 0; i < SMALL_LAB_VARIANTS; i++) {
        mo_lab_variant *v = &lab->variants[i];
        mo_free(v->name);
        mo_free(v->config);
        mo_free(v->matched_to);
        free_settings(&v->settings);
        free_settings(&v->chosen);
    }
    mo_free(lab->spec.path);
    mo_free(lab->spec.text);
    mo_free(lab->spec.asked);
    mo_free(lab->spec.name);
    mo_free(lab->spec.dir);
    mo_free(lab->spec.seeds);
    mo_free(lab->spec.reference);
    mo_free(lab->spec.tune.key);
}

void lab_store(const char *dir, const mo_lab_results *r)
{
    mo_lab_spec spec = {.path = (char[]){"lab.yaml"},
                        .text = r->text ? r->text : (char[]){""},
                        .asked = (char[]){""},
                        .compare = r->compare,
                        .name = r->name,
                        .dir = (char *)(uintptr_t)dir,
                        .strategy = r->strategy,
                        .reference = r->reference,
                        .tune = {.key = r->tune_key}};
    mo__store *store;
    MO_CHECK_OK(mo__store_create(&spec, r->variants, r->n_variants, r->machine));
    MO_CHECK_OK(mo__store_open(&spec, &store));
    MO_CHECK_OK(mo__store_plan(store, r->trials, r->n_trials));
    for (int i = 0; i < r->n_trials; i++) {
        mo_lab_trial t = r->trials[i];
        t.id = i + 1;
        MO_CHECK_OK(mo__store_record(store, &t));
    }
    mo__store_close(store);
}
