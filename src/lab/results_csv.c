/* results_csv.c -- results as tables for other programs. */
#include <math.h>
#include <string.h>

#include "lab/match.h"
#include "lab/plot.h"
#include "lab/settings.h"
#include "lab/store_file.h"

/* What variants are told apart by: keys of their `chosen`, in the order in which they come up. */
typedef struct key_list {
    const char **at;
    int count;
} key_list;

static mo_status find_keys(const mo_lab_results *r, key_list *out)
{
    int room = 0;
    for (int i = 0; i < r->n_variants; i++) room += r->variants[i].chosen.count;
    *out = (key_list){.at = mo_calloc((size_t)room, sizeof *out->at)};
    if (!out->at) return MO_E_MEMORY;
    for (int i = 0; i < r->n_variants; i++)
        for (int k = 0; k < r->variants[i].chosen.count; k++) {
            const char *key = r->variants[i].chosen.at[k].key;
            int at = 0;
            while (at < out->count && strcmp(out->at[at], key) != 0) at++;
            if (at == out->count) out->at[out->count++] = key;
        }
    return MO_OK;
}

static void put_names(mo__csv *csv, const char *const *names)
{
    for (; *names; names++) mo__csv_text(csv, *names);
}

static void put_keys(mo__csv *csv, const key_list *keys)
{
    for (int i = 0; i < keys->count; i++) mo__csv_text(csv, keys->at[i]);
    mo__csv_end_row(csv);
}

/* Empty where the variant does not have it. */
static void put_chosen(mo__csv *csv, const key_list *keys, const mo_lab_variant *v)
{
    for (int i = 0; i < keys->count; i++) {
        const char *value = mo__settings_find(&v->chosen, keys->at[i]);
        mo__csv_text(csv, value ? value : "");
    }
    mo__csv_end_row(csv);
}

static void put_text(mo__csv *csv, const char *text)
{
    mo__csv_text(csv, text ? text : "");
}

static void variants_table(const mo_lab_results *r, const key_list *keys, mo__csv *csv)
{
    put_names(csv, (const char *const[]){"variant", "config", "match", "matched_to", "wanted", "got", "steps",
                                         "tokens_per_step", "parameters", "active_parameters", "experts",
                                         "training_flops_per_token", "memory_bytes", NULL});
    put_keys(csv, keys);
    for (int i = 0; i < r->n_variants; i++) {
        const mo_lab_variant *v = &r->variants[i];
        mo__csv_text(csv, v->name);
        mo__csv_text(csv, v->config);
        mo__csv_text(csv, mo__match_names[v->match]);
        put_text(csv, v->matched_to);
        mo__csv_number(csv, v->match == MO_MATCH_NONE ? (double)NAN : v->wanted);
        mo__csv_number(csv, v->match == MO_MATCH_NONE ? (double)NAN : v->got);
        mo__csv_whole(csv, v->steps);
        mo__csv_whole(csv, v->step_tokens);
        mo__csv_whole(csv, v->total);
        mo__csv_whole(csv, v->active);
        mo__csv_whole(csv, v->experts);
        mo__csv_number(csv, v->flops_per_token);
        mo__csv_whole(csv, (int64_t)v->memory_bytes);
        put_chosen(csv, keys, v);
    }
}

static void put_seed(mo__csv *csv, uint64_t seed)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    mo__csv_text(csv, text);
}

static void trials_table(const mo_lab_results *r, const key_list *keys, mo__csv *csv)
{
    put_names(csv,
              (const char *const[]){"trial", "variant", "stage", "seed", "tuned", "rung", "target_step",
                                    "step", "state", "validation_loss", "seconds", "step_seconds", "max_vio",
                                    "entropy", "dropped", "started", "ended", "message", NULL});
    put_keys(csv, keys);
    for (int i = 0; i < r->n_trials; i++) {
        const mo_lab_trial *t = &r->trials[i];
        mo__csv_text(csv, t->name);
        mo__csv_text(csv, r->variants[t->variant].name);
        mo__csv_text(csv, mo__stage_words[t->stage]);
        put_seed(csv, t->seed);
        put_text(csv, t->tuned);
        mo__csv_whole(csv, t->rung);
        mo__csv_whole(csv, t->target_step);
        mo__csv_whole(csv, t->step);
        mo__csv_text(csv, mo__state_words[t->state]);
        const double numbers[] = {t->loss,    t->seconds, t->step_seconds, t->max_vio,
                                  t->entropy, t->dropped, t->started,      t->ended};
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) mo__csv_number(csv, numbers[k]);
        put_text(csv, t->message);
        put_chosen(csv, keys, &r->variants[t->variant]);
    }
}

static void evaluations_table(const mo_lab_results *r, mo__csv *csv)
{
    put_names(csv, (const char *const[]){"trial", "variant", "stage", "seed", "step", "tokens",
                                         "training_flops", "seconds", "train_loss", "validation_loss", NULL});
    mo__csv_end_row(csv);
    for (int i = 0; i < r->n_trials; i++) {
        const mo_lab_trial *t = &r->trials[i];
        for (int k = 0; k < t->n_evaluations; k++) {
            const mo_lab_evaluation *e = &t->evaluations[k];
            mo__csv_text(csv, t->name);
            mo__csv_text(csv, r->variants[t->variant].name);
            mo__csv_text(csv, mo__stage_words[t->stage]);
            put_seed(csv, t->seed);
            mo__csv_whole(csv, e->step);
            mo__csv_whole(csv, e->tokens);
            mo__csv_number(csv, e->flops);
            mo__csv_number(csv, e->seconds);
            mo__csv_number(csv, e->train_loss);
            mo__csv_number(csv, e->validation_loss);
            mo__csv_end_row(csv);
        }
    }
}

static mo_status write_table(const char *folder, const char *name, mo__csv *csv)
{
    char *text = NULL, *path = NULL;
    mo_status status = mo__buffer_finish(&csv->out, MO_OK, &text);
    if (status == MO_OK && !(path = mo_path_join(folder, name))) status = MO_E_MEMORY;
    if (status == MO_OK) status = mo_write_file(path, text, strlen(text));
    mo_free(text);
    mo_free(path);
    return status;
}

mo_status mo_lab_results_csv(const mo_lab_results *results, const char *folder)
{
    mo__csv variants = {0}, trials = {0}, evaluations = {0};
    key_list keys;
    MO_TRY(mo_make_dirs(folder));
    MO_TRY(find_keys(results, &keys));
    variants_table(results, &keys, &variants);
    mo_status status = write_table(folder, "variants.csv", &variants);
    if (status == MO_OK) {
        trials_table(results, &keys, &trials);
        status = write_table(folder, "trials.csv", &trials);
    }
    if (status == MO_OK) {
        evaluations_table(results, &evaluations);
        status = write_table(folder, "evaluations.csv", &evaluations);
    }
    mo_free(keys.at);
    return status;
}
