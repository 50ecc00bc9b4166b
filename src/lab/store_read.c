/* store_read.c -- results.db into memory. The file may be anybody's: what it says is held against what it can
 * mean. */
#include <math.h>
#include <string.h>

#include "lab/match.h"
#include "lab/store_file.h"

static mo_status damaged(const mo__sql *sql, const char *what)
{
    return mo_error(MO_E_CORRUPT, "%s: is damaged: %s", sql->path, what);
}

/* The place of a column's word among words[]; -1 for NULL. */
static mo_status get_word(mo__sql *sql, int column, const char *const *words, int *out)
{
    const char *text = (const char *)sqlite3_column_text(sql->statement, column);
    *out = -1;
    if (!text) return MO_OK;
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0) *out = i;
    return *out >= 0 ? MO_OK
                     : mo_error(MO_E_CORRUPT, "%s: is damaged: %s %s is not known", sql->path,
                                sqlite3_column_name(sql->statement, column), text);
}

/* A number of things, or of steps. */
static mo_status get_count(mo__sql *sql, int column, int64_t most, int64_t *out)
{
    *out = mo__sql_whole(sql, column);
    bool usable = sqlite3_column_type(sql->statement, column) == SQLITE_INTEGER && *out >= 0 && *out <= most;
    return usable ? MO_OK
                  : mo_error(MO_E_CORRUPT, "%s: is damaged: %s is %lld, must be from 0 to %lld", sql->path,
                             sqlite3_column_name(sql->statement, column), (long long)*out, (long long)most);
}

/* Rows of a table, which must fit an int. */
static mo_status count_rows(mo__sql *sql, const char *query, int *out)
{
    int64_t count;
    *out = 0;
    MO_TRY(mo__sql_number(sql, query, &count));
    if (count > INT32_MAX) return damaged(sql, "it has too many rows");
    *out = (int)count;
    return MO_OK;
}

/* ---- experiment ---- */

static mo_status load_experiment(mo__sql *sql, mo_lab_results *out)
{
    bool row;
    int strategy;
    char *kind = NULL;
    MO_TRY(mo__sql_prepare(
        sql, "SELECT name, kind, file, strategy, reference, tune_key, machine, created FROM experiment"));
    MO_TRY(mo__sql_step(sql, &row));
    if (!row) return damaged(sql, "it does not say what it is of");
    MO_TRY(mo__sql_text(sql, 0, false, &out->name));
    MO_TRY(mo__sql_text(sql, 1, false, &kind));
    out->compare = strcmp(kind, "compare") == 0;
    mo_free(kind);
    MO_TRY(mo__sql_text(sql, 2, false, &out->text));
    MO_TRY(get_word(sql, 3, mo__strategy_words, &strategy));
    out->strategy = strategy < 0 ? MO_LAB_GRID : (mo_lab_strategy)strategy;
    MO_TRY(mo__sql_text(sql, 4, true, &out->reference));
    MO_TRY(mo__sql_text(sql, 5, true, &out->tune_key));
    MO_TRY(mo__sql_text(sql, 6, false, &out->machine));
    out->created = mo__sql_real(sql, 7);
    return mo__sql_finish(sql);
}

/* ---- variants ---- */

static mo_status load_variant(mo__sql *sql, int at, mo_lab_variant *v)
{
    int64_t id, memory;
    int match;
    MO_TRY(get_count(sql, 0, INT32_MAX, &id));
    if (id != at) return damaged(sql, "variants are not numbered from 0");
    MO_TRY(mo__sql_text(sql, 1, false, &v->name));
    MO_TRY(mo__sql_text(sql, 2, false, &v->config));
    MO_TRY(get_word(sql, 3, mo__match_names, &match));
    v->match = match < 0 ? MO_MATCH_NONE : (mo_lab_match)match;
    MO_TRY(mo__sql_text(sql, 4, true, &v->matched_to));
    v->wanted = mo__sql_real(sql, 5);
    v->got = mo__sql_real(sql, 6);
    MO_TRY(get_count(sql, 7, INT64_MAX, &v->steps));
    MO_TRY(get_count(sql, 8, INT64_MAX, &v->step_tokens));
    MO_TRY(get_count(sql, 9, INT64_MAX, &v->total));
    MO_TRY(get_count(sql, 10, INT64_MAX, &v->active));
    MO_TRY(get_count(sql, 11, INT64_MAX, &v->experts));
    v->flops_per_token = mo__sql_real(sql, 12);
    MO_TRY(get_count(sql, 13, INT64_MAX, &memory));
    v->memory_bytes = (uint64_t)memory;
    return MO_OK;
}

static mo_status load_variants(mo__sql *sql, mo_lab_results *out)
{
    bool row;
    int count;
    MO_TRY(count_rows(sql, "SELECT count(*) FROM variants", &count));
    out->variants = mo_calloc((size_t)count, sizeof *out->variants);
    if (!out->variants) return MO_E_MEMORY;
    MO_TRY(mo__sql_prepare(sql, "SELECT * FROM variants ORDER BY id"));
    for (;;) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        int at = out->n_variants++;
        MO_TRY(load_variant(sql, at, &out->variants[at]));
    }
}

static mo_status make_settings(mo__sql *sql, mo_lab_results *out)
{
    bool row;
    int64_t variant, count;
    int chosen;
    MO_TRY(mo__sql_prepare(sql, "SELECT variant, list, count(*) FROM settings GROUP BY variant, list"));
    for (;;) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        MO_TRY(get_count(sql, 0, out->n_variants - 1, &variant));
        MO_TRY(get_word(sql, 1, (const char *const[]){"set", "chosen", NULL}, &chosen));
        MO_TRY(get_count(sql, 2, INT32_MAX, &count));
        mo_lab_variant *v = &out->variants[variant];
        mo_lab_settings *list = chosen > 0 ? &v->chosen : &v->settings;
        if (list->at) return damaged(sql, "settings");
        list->at = mo_calloc((size_t)count, sizeof *list->at);
        if (!list->at) return MO_E_MEMORY;
    }
}

/* In the order of the query before, so that none is given more than it has room for. */
static mo_status load_settings(mo__sql *sql, mo_lab_results *out)
{
    bool row;
    MO_TRY(make_settings(sql, out));
    MO_TRY(mo__sql_prepare(
        sql, "SELECT variant, list = 'chosen', key, value FROM settings ORDER BY variant, list, place"));
    for (;;) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        mo_lab_variant *v = &out->variants[mo__sql_whole(sql, 0)];
        mo_lab_settings *list = mo__sql_whole(sql, 1) ? &v->chosen : &v->settings;
        mo_lab_setting *s = &list->at[list->count++];
        MO_TRY(mo__sql_text(sql, 2, false, &s->key));
        MO_TRY(mo__sql_text(sql, 3, false, &s->value));
    }
}

/* ---- trials ---- */

static mo_status load_trial(mo__sql *sql, const char *trials_dir, int n_variants, mo_lab_trial *t)
{
    int64_t variant, rung;
    int stage, state;
    t->id = mo__sql_whole(sql, 0);
    MO_TRY(mo__sql_text(sql, 1, false, &t->name));
    if (!*t->name || strchr(t->name, '/') || strcmp(t->name, ".") == 0 || strcmp(t->name, "..") == 0)
        return damaged(sql, "a trial's name is no name of a folder");
    t->dir = mo_path_join(trials_dir, t->name);
    if (!t->dir) return MO_E_MEMORY;
    MO_TRY(get_count(sql, 2, n_variants - 1, &variant));
    MO_TRY(get_word(sql, 3, mo__stage_words, &stage));
    MO_TRY(get_word(sql, 4, mo__state_words, &state));
    if (stage < 0 || state < 0) return damaged(sql, "a trial without stage or state");
    t->variant = (int)variant;
    t->stage = (mo_lab_stage)stage;
    t->state = (mo_lab_state)state;
    t->seed = (uint64_t)mo__sql_whole(sql, 5);
    MO_TRY(mo__sql_text(sql, 6, true, &t->tuned));
    MO_TRY(get_count(sql, 7, INT32_MAX, &rung));
    t->rung = (int)rung;
    MO_TRY(get_count(sql, 8, INT64_MAX, &t->target_step));
    MO_TRY(get_count(sql, 9, INT64_MAX, &t->step));
    MO_TRY(mo__sql_text(sql, 10, true, &t->message));
    double *const reals[] = {&t->started,      &t->ended,   &t->loss,    &t->seconds,
                             &t->step_seconds, &t->max_vio, &t->entropy, &t->dropped};
    for (int i = 0; i < 8; i++) *reals[i] = mo__sql_real(sql, 11 + i);
    return MO_OK;
}

static mo_status load_trials(mo__sql *sql, const char *trials_dir, mo_lab_results *out)
{
    bool row;
    int count;
    MO_TRY(count_rows(sql, "SELECT count(*) FROM trials", &count));
    out->trials = mo_calloc((size_t)count, sizeof *out->trials);
    if (!out->trials) return MO_E_MEMORY;
    MO_TRY(mo__sql_prepare(
        sql, "SELECT id, name, variant, stage, state, seed, tuned, rung, target_step, step, message, started,"
             " ended, loss, seconds, step_seconds, max_vio, entropy, dropped FROM trials ORDER BY id"));
    for (;;) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        MO_TRY(load_trial(sql, trials_dir, out->n_variants, &out->trials[out->n_trials++]));
    }
}

/* Room for each trial's evaluations. Both lists rise by trial. */
static mo_status make_evaluations(mo__sql *sql, mo_lab_results *out)
{
    bool row;
    int64_t count;
    MO_TRY(mo__sql_prepare(sql, "SELECT trial, count(*) FROM evaluations GROUP BY trial ORDER BY trial"));
    for (int i = 0;; i++) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        while (i < out->n_trials && out->trials[i].id < mo__sql_whole(sql, 0)) i++;
        if (i == out->n_trials || out->trials[i].id != mo__sql_whole(sql, 0))
            return damaged(sql, "evaluations of a trial that is not there");
        MO_TRY(get_count(sql, 1, INT32_MAX, &count));
        out->trials[i].evaluations = mo_calloc((size_t)count, sizeof *out->trials[i].evaluations);
        if (!out->trials[i].evaluations) return MO_E_MEMORY;
    }
}

static mo_status load_evaluations(mo__sql *sql, mo_lab_results *out)
{
    bool row;
    mo_lab_trial *t = out->trials;
    MO_TRY(make_evaluations(sql, out));
    MO_TRY(mo__sql_prepare(sql, "SELECT trial, step, tokens, flops, seconds, train_loss, validation_loss"
                                " FROM evaluations ORDER BY trial, step"));
    for (;;) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        while (t->id != mo__sql_whole(sql, 0)) t++;
        mo_lab_evaluation *e = &t->evaluations[t->n_evaluations++];
        MO_TRY(get_count(sql, 1, INT64_MAX, &e->step));
        MO_TRY(get_count(sql, 2, INT64_MAX, &e->tokens));
        e->flops = mo__sql_real(sql, 3);
        e->seconds = mo__sql_real(sql, 4);
        e->train_loss = mo__sql_real(sql, 5);
        e->validation_loss = mo__sql_real(sql, 6);
    }
}

/* ---- all of it ---- */

static mo_status load(mo__sql *sql, mo_lab_results *out)
{
    char *dir = mo_path_dir(sql->path), *trials = dir ? mo_path_join(dir, "trials") : NULL;
    out->path = mo_strdup(sql->path);
    mo_status status = trials && out->path ? load_experiment(sql, out) : MO_E_MEMORY;
    if (status == MO_OK) status = load_variants(sql, out);
    if (status == MO_OK) status = load_settings(sql, out);
    if (status == MO_OK) status = load_trials(sql, trials, out);
    if (status == MO_OK) status = load_evaluations(sql, out);
    mo_free(dir);
    mo_free(trials);
    return status;
}

mo_status mo__store_load(mo__sql *sql, mo_lab_results *out)
{
    *out = (mo_lab_results){0};
    mo_status status = load(sql, out);
    if (status != MO_OK) mo_lab_results_free(out);
    return status;
}
