/* store.c -- results.db opened and written. store_make.c makes it, store_read.c reads what is in it. */
#include "lab/store.h"

#include <string.h>

#include "base/file.h"
#include "lab/store_file.h"

struct mo__store {
    mo__sql sql;
};

const char *const mo__strategy_words[] = {"grid", "random", "halving", NULL};
const char *const mo__stage_words[] = {"tune", "main", "timing", NULL};
const char *const mo__state_words[] = {"waiting", "running", "done", "failed", NULL};

/* ---- opening ---- */

mo_status mo__store_check(mo__sql *sql)
{
    int64_t application, version;
    bool row;
    MO_TRY(mo__sql_number(sql, "PRAGMA application_id", &application));
    if (application != MO__STORE_APPLICATION)
        return mo_error(MO_E_FORMAT,
                        "%s: is no results file of an experiment, but SQLite's of something else", sql->path);
    MO_TRY(mo__sql_number(sql, "PRAGMA user_version", &version));
    if (version > MO__STORE_VERSION)
        return mo_error_context(mo__version_error("a results file", version, MO__STORE_VERSION), "%s",
                                sql->path);
    if (version < 1)
        return mo_error(MO_E_CORRUPT, "%s: is damaged: its version is %lld", sql->path, (long long)version);
    MO_TRY(mo__sql_prepare(sql, "PRAGMA quick_check(1)"));
    MO_TRY(mo__sql_step(sql, &row));
    const char *said = row ? (const char *)sqlite3_column_text(sql->statement, 0) : NULL;
    if (!said || strcmp(said, "ok") != 0)
        return mo_error(MO_E_CORRUPT, "%s: is damaged: %s", sql->path, said ? said : "it cannot be checked");
    return mo__sql_finish(sql);
}

static mo_status check_spec(mo__sql *sql, const mo_lab_spec *spec, char **old_text)
{
    bool row;
    char *asked = NULL;
    MO_TRY(mo__sql_prepare(sql, "SELECT file, asked FROM experiment"));
    MO_TRY(mo__sql_step(sql, &row));
    if (!row) return mo_error(MO_E_CORRUPT, "%s: is damaged: it does not say what it is of", sql->path);
    MO_TRY(mo__sql_text(sql, 0, false, old_text));
    MO_TRY(mo__sql_text(sql, 1, false, &asked));
    mo_status status = mo_lab_spec_compare(asked, spec);
    mo_free(asked);
    return status == MO_OK ? mo__sql_finish(sql) : status;
}

/* The seeds that are there must begin the new ones; *there of them. */
static mo_status check_seeds(mo__sql *sql, const mo_lab_spec *spec, int *there)
{
    bool row;
    *there = 0;
    MO_TRY(mo__sql_prepare(sql, "SELECT seed FROM seeds ORDER BY place"));
    for (;;) {
        MO_TRY(mo__sql_step(sql, &row));
        if (!row) return MO_OK;
        uint64_t seed = (uint64_t)mo__sql_whole(sql, 0);
        if (*there >= spec->n_seeds || spec->seeds[*there] != seed)
            return mo_error(
                MO_E_MISMATCH,
                "%s: was made with the seed %llu as number %d of %s's `seeds`; seeds may be added "
                "at their end alone",
                sql->path, (unsigned long long)seed, *there + 1, spec->path);
        ++*there;
    }
}

static mo_status take_over(mo__sql *sql, const mo_lab_spec *spec, int seeds)
{
    MO_TRY(mo__store_put_seeds(sql, spec, seeds));
    MO_TRY(mo__sql_prepare(sql, "UPDATE experiment SET path = ?, file = ?"));
    MO_TRY(mo__sql_bind(sql, "tt", spec->path, spec->text));
    return mo__sql_finish(sql);
}

/* Paths of configs are as seen from the working folder, which may be another one by now. */
static mo_status take_configs(mo__sql *sql, const mo_lab_spec *spec)
{
    if (!spec->compare && spec->base) {
        MO_TRY(mo__sql_prepare(sql, "UPDATE variants SET config = ?1 WHERE config <> ?1"));
        MO_TRY(mo__sql_bind(sql, "t", spec->base));
        MO_TRY(mo__sql_finish(sql));
    }
    for (int i = 0; i < spec->n_entries; i++) {
        MO_TRY(mo__sql_prepare(sql, "UPDATE variants SET config = ?1 WHERE name = ?2 AND config <> ?1"));
        MO_TRY(mo__sql_bind(sql, "tt", spec->entries[i].config, spec->entries[i].name));
        MO_TRY(mo__sql_finish(sql));
    }
    return MO_OK;
}

static mo_status agree(mo__sql *sql, const mo_lab_spec *spec)
{
    int seeds = 0;
    char *old = NULL;
    mo_status status = check_spec(sql, spec, &old);
    if (status == MO_OK) status = check_seeds(sql, spec, &seeds);
    if (status == MO_OK && (seeds < spec->n_seeds || strcmp(old, spec->text) != 0))
        status = take_over(sql, spec, seeds);
    if (status == MO_OK) status = take_configs(sql, spec);
    mo_free(old);
    return status;
}

mo_status mo__store_open(const mo_lab_spec *spec, mo__store **out)
{
    char *path = mo_path_join(spec->dir, "results.db");
    mo__store *store = path ? mo_calloc(1, sizeof *store) : NULL;
    mo_status status = store ? mo__sql_open(path, MO__SQL_WRITE, &store->sql) : MO_E_MEMORY;
    bool opened = status == MO_OK;
    if (status == MO_OK) status = mo__store_check(&store->sql);
    if (status == MO_OK) status = mo__sql_run(&store->sql, "PRAGMA journal_mode = WAL");
    if (status == MO_OK) status = mo__sql_begin(&store->sql);
    if (status == MO_OK) status = mo__sql_end(&store->sql, agree(&store->sql, spec));
    mo_free(path);
    *out = status == MO_OK ? store : NULL;
    if (status == MO_OK) return MO_OK;
    if (opened) mo__sql_close(&store->sql);
    mo_free(store);
    return status;
}

void mo__store_close(mo__store *store)
{
    if (!store) return;
    mo__sql_close(&store->sql);
    mo_free(store);
}

/* ---- trials ---- */

static mo_status plan(mo__sql *sql, const mo_lab_trial *trials, int count)
{
    MO_TRY(mo__sql_prepare(
        sql, "INSERT INTO trials (name, variant, stage, seed, tuned, rung, target_step)"
             " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
             " rung = excluded.rung,"
             " state = iif(excluded.target_step > target_step AND state = 'done', 'waiting', state),"
             " loss = iif(excluded.target_step > target_step, NULL, loss),"
             " ended = iif(excluded.target_step > target_step, NULL, ended),"
             " target_step = excluded.target_step"
             " WHERE variant = excluded.variant AND stage = excluded.stage AND seed = excluded.seed"));
    for (int i = 0; i < count; i++) {
        const mo_lab_trial *t = &trials[i];
        MO_TRY(mo__sql_bind(sql,
                            "titit"
                            "ii",
                            t->name, (int64_t)t->variant, mo__stage_words[t->stage], (int64_t)t->seed,
                            t->tuned, (int64_t)t->rung, t->target_step));
        MO_TRY(mo__sql_finish(sql));
        if (sqlite3_changes(sql->db) != 1)
            return mo_error(MO_E_INTERNAL, "%s: there is another trial called %s", sql->path, t->name);
    }
    return MO_OK;
}

mo_status mo__store_plan(mo__store *store, const mo_lab_trial *trials, int count)
{
    MO_TRY(mo__sql_begin(&store->sql));
    return mo__sql_end(&store->sql, plan(&store->sql, trials, count));
}

static mo_status put_evaluations(mo__sql *sql, const mo_lab_trial *t)
{
    MO_TRY(mo__sql_prepare(sql, "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?)"));
    for (int i = 0; i < t->n_evaluations; i++) {
        const mo_lab_evaluation *e = &t->evaluations[i];
        MO_TRY(mo__sql_bind(sql, "iiirrrr", t->id, e->step, e->tokens, e->flops, e->seconds, e->train_loss,
                            e->validation_loss));
        MO_TRY(mo__sql_finish(sql));
    }
    return MO_OK;
}

static mo_status record(mo__sql *sql, const mo_lab_trial *t)
{
    int64_t there;
    MO_TRY(mo__sql_prepare(
        sql,
        "UPDATE trials SET state = ?3, step = ?4, message = ?5, started = coalesce(started, ?6), ended = ?7,"
        " loss = ?8, seconds = ?9, step_seconds = ?10, max_vio = ?11, entropy = ?12, dropped = ?13"
        " WHERE id = ?1 AND target_step = ?2 AND state <> 'done'"));
    MO_TRY(mo__sql_bind(sql,
                        "iitit"
                        "rrrrrrrr",
                        t->id, t->target_step, mo__state_words[t->state], t->step, t->message, t->started,
                        t->ended, t->loss, t->seconds, t->step_seconds, t->max_vio, t->entropy, t->dropped));
    MO_TRY(mo__sql_finish(sql));
    if (sqlite3_changes(sql->db) == 1) return put_evaluations(sql, t);
    MO_TRY(mo__sql_prepare(sql, "SELECT count(*) FROM trials WHERE id = ?"));
    MO_TRY(mo__sql_bind(sql, "i", t->id));
    bool row;
    MO_TRY(mo__sql_step(sql, &row));
    there = row ? mo__sql_whole(sql, 0) : 0;
    MO_TRY(mo__sql_finish(sql));
    return there ? MO_OK : mo_error(MO_E_NOT_FOUND, "%s: has no trial %lld", sql->path, (long long)t->id);
}

mo_status mo__store_record(mo__store *store, const mo_lab_trial *trial)
{
    MO_TRY(mo__sql_begin(&store->sql));
    return mo__sql_end(&store->sql, record(&store->sql, trial));
}

mo_status mo__store_retry(mo__store *store, int *count)
{
    *count = 0;
    MO_TRY(mo__sql_run(&store->sql, "UPDATE trials SET state = 'waiting', message = NULL, ended = NULL"
                                    " WHERE state = 'failed'"));
    *count = sqlite3_changes(store->sql.db);
    return MO_OK;
}

mo_status mo__store_read(mo__store *store, mo_lab_results *out)
{
    MO_TRY(mo__sql_run(&store->sql, "BEGIN"));
    mo_status status = mo__store_load(&store->sql, out);
    if (status != MO_OK) return mo__sql_end(&store->sql, status);
    status = mo__sql_end(&store->sql, MO_OK);
    if (status != MO_OK) mo_lab_results_free(out);
    return status;
}
