/* store.c -- results.db made, opened, written. What is in it is read by store_read.c. */
#include "lab/store.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "lab/match.h"
#include "lab/store_file.h"
#include "train/train_internal.h"

struct mo__store {
    mo__sql sql;
};

static const char schema[] =
    "CREATE TABLE experiment (\n"
    "    one INTEGER PRIMARY KEY CHECK (one = 1),\n"
    "    name TEXT NOT NULL,\n"
    "    kind TEXT NOT NULL CHECK (kind IN ('sweep', 'compare')),\n"
    "    path TEXT NOT NULL,\n"
    "    file TEXT NOT NULL,\n"
    "    asked TEXT NOT NULL,\n"
    "    strategy TEXT CHECK (strategy IN ('grid', 'random', 'halving')),\n"
    "    reference TEXT,\n"
    "    tune_key TEXT,\n"
    "    machine TEXT NOT NULL,\n"
    "    created REAL NOT NULL);\n"
    "CREATE TABLE seeds (place INTEGER PRIMARY KEY, seed INTEGER NOT NULL UNIQUE);\n"
    "CREATE TABLE variants (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    name TEXT NOT NULL UNIQUE,\n"
    "    config TEXT NOT NULL,\n"
    "    match TEXT NOT NULL CHECK (match IN ('none', 'active_params', 'total_params', 'flops', "
    "'wall_clock')),\n"
    "    matched_to TEXT,\n"
    "    wanted REAL,\n"
    "    got REAL,\n"
    "    steps INTEGER NOT NULL,\n"
    "    step_tokens INTEGER NOT NULL,\n"
    "    total INTEGER NOT NULL,\n"
    "    active INTEGER NOT NULL,\n"
    "    experts INTEGER NOT NULL,\n"
    "    flops_per_token REAL NOT NULL,\n"
    "    memory_bytes INTEGER NOT NULL);\n"
    "CREATE TABLE settings (\n"
    "    variant INTEGER NOT NULL REFERENCES variants,\n"
    "    list TEXT NOT NULL CHECK (list IN ('set', 'chosen')),\n"
    "    place INTEGER NOT NULL,\n"
    "    key TEXT NOT NULL,\n"
    "    value TEXT NOT NULL,\n"
    "    PRIMARY KEY (variant, list, place)) WITHOUT ROWID;"
    "CREATE TABLE trials (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    name TEXT NOT NULL UNIQUE,\n"
    "    variant INTEGER NOT NULL REFERENCES variants,\n"
    "    stage TEXT NOT NULL CHECK (stage IN ('tune', 'main', 'timing')),\n"
    "    seed INTEGER NOT NULL,\n"
    "    tuned TEXT,\n"
    "    rung INTEGER NOT NULL,\n"
    "    target_step INTEGER NOT NULL,\n"
    "    step INTEGER NOT NULL DEFAULT 0,\n"
    "    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),\n"
    "    message TEXT,\n"
    "    started REAL,\n"
    "    ended REAL,\n"
    "    loss REAL,\n"
    "    seconds REAL,\n"
    "    step_seconds REAL,\n"
    "    max_vio REAL,\n"
    "    entropy REAL,\n"
    "    dropped REAL);\n"
    "CREATE TABLE evaluations (\n"
    "    trial INTEGER NOT NULL REFERENCES trials,\n"
    "    step INTEGER NOT NULL,\n"
    "    tokens INTEGER NOT NULL,\n"
    "    flops REAL,\n"
    "    seconds REAL,\n"
    "    train_loss REAL,\n"
    "    validation_loss REAL,\n"
    "    PRIMARY KEY (trial, step)) WITHOUT ROWID;";

const char *const mo__strategy_words[] = {"grid", "random", "halving", NULL};
const char *const mo__stage_words[] = {"tune", "main", "timing", NULL};
const char *const mo__state_words[] = {"waiting", "running", "done", "failed", NULL};

/* ---- making ---- */

static mo_status put_experiment(mo__sql *sql, const mo_lab_spec *spec, const char *machine)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    MO_TRY(mo__sql_prepare(sql, "INSERT INTO experiment VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    MO_TRY(mo__sql_bind(sql, "tttttttttr", spec->name, spec->compare ? "compare" : "sweep", spec->path,
                        spec->text, spec->asked, spec->compare ? NULL : mo__strategy_words[spec->strategy],
                        spec->reference, spec->tune.key, machine,
                        (double)now.tv_sec + 1e-9 * (double)now.tv_nsec));
    return mo__sql_finish(sql);
}

static mo_status put_seeds(mo__sql *sql, const mo_lab_spec *spec, int from)
{
    MO_TRY(mo__sql_prepare(sql, "INSERT INTO seeds VALUES (?, ?)"));
    for (int i = from; i < spec->n_seeds; i++) {
        MO_TRY(mo__sql_bind(sql, "ii", (int64_t)i, (int64_t)spec->seeds[i]));
        MO_TRY(mo__sql_finish(sql));
    }
    return MO_OK;
}

static mo_status put_settings(mo__sql *sql, int64_t variant, const char *list,
                              const mo_lab_settings *settings)
{
    MO_TRY(mo__sql_prepare(sql, "INSERT INTO settings VALUES (?, ?, ?, ?, ?)"));
    for (int i = 0; i < settings->count; i++) {
        MO_TRY(mo__sql_bind(sql, "ititt", variant, list, (int64_t)i, settings->at[i].key,
                            settings->at[i].value));
        MO_TRY(mo__sql_finish(sql));
    }
    return MO_OK;
}

static mo_status put_variant(mo__sql *sql, int64_t id, const mo_lab_variant *v)
{
    MO_TRY(mo__sql_prepare(sql, "INSERT INTO variants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    MO_TRY(mo__sql_bind(sql,
                        "itttt"
                        "rriiiii"
                        "ri",
                        id, v->name, v->config, mo__match_names[v->match], v->matched_to, v->wanted, v->got,
                        v->steps, v->step_tokens, v->total, v->active, v->experts, v->flops_per_token,
                        (int64_t)v->memory_bytes));
    MO_TRY(mo__sql_finish(sql));
    MO_TRY(put_settings(sql, id, "set", &v->settings));
    return put_settings(sql, id, "chosen", &v->chosen);
}

static mo_status put_all(mo__sql *sql, const mo_lab_spec *spec, const mo_lab_variant *variants, int count,
                         const char *machine)
{
    char stamp[80];
    snprintf(stamp, sizeof stamp, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             MO__STORE_APPLICATION, MO__STORE_VERSION);
    MO_TRY(mo__sql_run(sql, stamp));
    MO_TRY(mo__sql_run(sql, schema));
    MO_TRY(put_experiment(sql, spec, machine));
    MO_TRY(put_seeds(sql, spec, 0));
    for (int i = 0; i < count; i++) MO_TRY(put_variant(sql, i, &variants[i]));
    return MO_OK;
}

/* A file's log that outlived it would be taken for the new one's. */
static mo_status remove_log(const char *path)
{
    static const char *const tails[] = {"-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char *log = mo_strprintf("%s%s", path, tails[i]);
        if (!log) return MO_E_MEMORY;
        unlink(log);
        mo_free(log);
    }
    return MO_OK;
}

static mo_status make(const char *path, const mo_lab_spec *spec, const mo_lab_variant *variants, int count,
                      const char *machine)
{
    mo_replace r;
    mo__sql sql;
    MO_TRY(mo_replace_begin(&r, path));
    unlink(r.path);
    mo_status status = mo__sql_open(r.path, MO__SQL_MAKE, &sql);
    if (status == MO_OK) {
        status = mo__sql_begin(&sql);
        if (status == MO_OK) status = mo__sql_end(&sql, put_all(&sql, spec, variants, count, machine));
        mo__sql_close(&sql);
    }
    if (status != MO_OK) mo__replace_error(&r, status);
    if (status == MO_OK) status = remove_log(path);
    if (status == MO_OK) return mo_replace_commit(&r);
    mo_replace_abort(&r);
    return status;
}

mo_status mo__store_create(const mo_lab_spec *spec, const mo_lab_variant *variants, int count,
                           const char *machine)
{
    char *path = mo_path_join(spec->dir, "results.db");
    mo_status status = path ? mo_make_dirs(spec->dir) : MO_E_MEMORY;
    if (status == MO_OK && mo_path_exists(path)) status = mo_error(MO_E_EXISTS, "%s: is there already", path);
    if (status == MO_OK) {
        mo__remove_leftovers(spec->dir);
        status = make(path, spec, variants, count, machine);
    }
    mo_free(path);
    return status;
}

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
    MO_TRY(put_seeds(sql, spec, seeds));
    MO_TRY(mo__sql_prepare(sql, "UPDATE experiment SET path = ?, file = ?"));
    MO_TRY(mo__sql_bind(sql, "tt", spec->path, spec->text));
    return mo__sql_finish(sql);
}

static mo_status agree(mo__sql *sql, const mo_lab_spec *spec)
{
    int seeds = 0;
    char *old = NULL;
    mo_status status = check_spec(sql, spec, &old);
    if (status == MO_OK) status = check_seeds(sql, spec, &seeds);
    if (status == MO_OK && (seeds < spec->n_seeds || strcmp(old, spec->text) != 0))
        status = take_over(sql, spec, seeds);
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
