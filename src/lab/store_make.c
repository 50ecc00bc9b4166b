/* store_make.c -- results.db made: its tables, what is asked, the variants. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "lab/match.h"
#include "lab/store.h"
#include "lab/store_file.h"
#include "train/train_internal.h"

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

mo_status mo__store_put_seeds(mo__sql *sql, const mo_lab_spec *spec, int from)
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
    MO_TRY(mo__store_put_seeds(sql, spec, 0));
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
