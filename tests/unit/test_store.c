/* test_store.c -- results.db: what is put in comes out, plans and records in any order, files of other
 * programs, versions and owners, damaged ones, names made to break out. */
#include "harness/harness.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/small_lab.h"
#include "lab/store.h"

static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = temp_make();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    temp_remove(dir);
    return 0;
}

/* Created, and opened. */
static mo__store *fresh(const small_lab *lab)
{
    mo__store *store;
    MO_CHECK_OK(mo__store_create(&lab->spec, lab->variants, SMALL_LAB_VARIANTS, "2 cores, a processor"));
    MO_CHECK_OK(mo__store_open(&lab->spec, &store));
    return store;
}

/* A statement on the file by another connection. */
static void by_hand(const char *path, const char *text)
{
    sqlite3 *db;
    char *said = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &said) != SQLITE_OK) fail_msg("%s: %s", text, said);
    sqlite3_close(db);
}

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a) assert_string_equal(a, b);
}

static void same_real(double a, double b)
{
    if (!(isnan(a) && isnan(b)) && memcmp(&a, &b, sizeof a) != 0) fail_msg("%.17g is not %.17g", a, b);
}

static void same_settings(const mo_lab_settings *a, const mo_lab_settings *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_string_equal(a->at[i].key, b->at[i].key);
        assert_string_equal(a->at[i].value, b->at[i].value);
    }
}

static void same_variant(const mo_lab_variant *a, const mo_lab_variant *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->config, b->config);
    same_settings(&a->settings, &b->settings);
    same_settings(&a->chosen, &b->chosen);
    assert_int_equal(a->match, b->match);
    same_text(a->matched_to, b->matched_to);
    same_real(a->wanted, b->wanted);
    same_real(a->got, b->got);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->step_tokens, b->step_tokens);
    assert_int_equal(a->total, b->total);
    assert_int_equal(a->active, b->active);
    assert_int_equal(a->experts, b->experts);
    same_real(a->flops_per_token, b->flops_per_token);
    assert_true(a->memory_bytes == b->memory_bytes);
}

/* ---- what goes in comes out ---- */

static void what_is_asked_is_kept(void **state)
{
    (void)state;
    for (int compare = 0; compare < 2; compare++) {
        small_lab lab = small_lab_make(dir, compare ? "compare" : "sweep");
        lab.spec.compare = compare;
        lab.spec.strategy = MO_LAB_HALVING;
        if (compare) {
            lab.spec.reference = mo_strdup("dense");
            lab.spec.tune.key = mo_strdup("optimizer.learning_rate");
        }
        mo__store *store = fresh(&lab);
        mo_lab_results r;
        MO_CHECK_OK(mo__store_read(store, &r));
        assert_string_equal(r.name, lab.spec.name);
        assert_string_equal(r.text, lab.spec.text);
        assert_string_equal(r.machine, "2 cores, a processor");
        assert_true(r.created > 1.6e9 && r.created < 1e11);
        assert_int_equal(r.compare, compare);
        assert_int_equal(r.strategy, compare ? MO_LAB_GRID : MO_LAB_HALVING);
        same_text(r.reference, lab.spec.reference);
        same_text(r.tune_key, lab.spec.tune.key);
        assert_int_equal(r.n_variants, SMALL_LAB_VARIANTS);
        for (int i = 0; i < SMALL_LAB_VARIANTS; i++) same_variant(&r.variants[i], &lab.variants[i]);
        assert_int_equal(r.n_trials, 0);
        mo_lab_results_free(&r);
        MO_CHECK_STATUS(mo__store_create(&lab.spec, lab.variants, SMALL_LAB_VARIANTS, "m"), MO_E_EXISTS);
        mo__store_close(store);
        small_lab_free(&lab);
    }
}

static void trials_are_kept(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "kept");
    mo__store *store = fresh(&lab);
    mo_lab_trial plan[] = {
        {.name = "v0001.s1", .variant = 0, .stage = MO_STAGE_MAIN, .seed = 1, .target_step = 40},
        {.name = "v0002.tune.3e-3",
         .variant = 1,
         .stage = MO_STAGE_TUNE,
         .seed = UINT64_MAX,
         .tuned = "3e-3",
         .target_step = 20},
        {.name = "v0002.time1", .variant = 1, .stage = MO_STAGE_TIMING, .seed = 2, .target_step = 10}};
    MO_CHECK_OK(mo__store_plan(store, plan, 3));
    mo_lab_evaluation evaluations[] = {
        {10, 4800, 1.5e12, 0.25, 2.5, 2.75},
        {20, 9600, 3e12, 0.1 + 0.2, (double)NAN, 1.0 / 3},
    };
    mo_lab_trial done = {.id = 2,
                         .name = "v0002.tune.3e-3",
                         .variant = 1,
                         .target_step = 20,
                         .step = 20,
                         .state = MO_TRIAL_DONE,
                         .started = 1e9,
                         .ended = 1e9 + 0.125,
                         .loss = 1.0 / 3,
                         .seconds = 7,
                         .step_seconds = 0.3,
                         .max_vio = 0.7,
                         .entropy = (double)NAN,
                         .dropped = 0,
                         .evaluations = evaluations,
                         .n_evaluations = 2};
    MO_CHECK_OK(mo__store_record(store, &done));
    mo_lab_results r;
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_int_equal(r.n_trials, 3);
    assert_string_equal(r.trials[0].name, "v0001.s1");
    assert_int_equal(r.trials[0].id, 1);
    assert_int_equal(r.trials[0].state, MO_TRIAL_WAITING);
    assert_int_equal(r.trials[0].n_evaluations, 0);
    assert_true(isnan(r.trials[0].loss) && isnan(r.trials[0].started));
    const mo_lab_trial *t = &r.trials[1];
    char *folder = mo_strprintf("%s/kept/trials/v0002.tune.3e-3", dir);
    assert_string_equal(t->dir, folder);
    assert_int_equal(t->variant, 1);
    assert_int_equal(t->stage, MO_STAGE_TUNE);
    assert_true(t->seed == UINT64_MAX);
    assert_string_equal(t->tuned, "3e-3");
    assert_int_equal(t->target_step, 20);
    assert_int_equal(t->step, 20);
    assert_int_equal(t->state, MO_TRIAL_DONE);
    assert_null(t->message);
    same_real(t->started, done.started);
    same_real(t->ended, done.ended);
    same_real(t->loss, done.loss);
    same_real(t->seconds, done.seconds);
    same_real(t->step_seconds, done.step_seconds);
    same_real(t->max_vio, done.max_vio);
    same_real(t->entropy, done.entropy);
    same_real(t->dropped, done.dropped);
    assert_int_equal(t->n_evaluations, 2);
    for (int i = 0; i < 2; i++) {
        const mo_lab_evaluation *a = &t->evaluations[i], *b = &evaluations[i];
        assert_true(a->step == b->step && a->tokens == b->tokens);
        same_real(a->flops, b->flops);
        same_real(a->seconds, b->seconds);
        same_real(a->train_loss, b->train_loss);
        same_real(a->validation_loss, b->validation_loss);
    }
    assert_int_equal(r.trials[2].stage, MO_STAGE_TIMING);
    mo__store_close(store);
    /* The same by the file, and by the folder. */
    for (int i = 0; i < 2; i++) {
        mo_lab_results again;
        MO_CHECK_OK(mo_lab_results_read(i ? r.path : lab.spec.dir, &again));
        assert_string_equal(again.path, r.path);
        assert_int_equal(again.n_trials, 3);
        same_real(again.trials[1].loss, done.loss);
        mo_lab_results_free(&again);
    }
    mo_free(folder);
    mo_lab_results_free(&r);
    small_lab_free(&lab);
}

/* ---- plans and records ---- */

static void expect(mo__store *store, mo_lab_state state, int64_t target, double loss, double started,
                   int n_evaluations)
{
    mo_lab_results r;
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_int_equal(r.n_trials, 1);
    assert_int_equal(r.trials[0].state, state);
    assert_int_equal(r.trials[0].target_step, target);
    same_real(r.trials[0].loss, loss);
    same_real(r.trials[0].started, started);
    assert_int_equal(r.trials[0].n_evaluations, n_evaluations);
    mo_lab_results_free(&r);
}

static void a_rung_after_the_other(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "rungs");
    mo__store *store = fresh(&lab);
    mo_lab_evaluation first = {.step = 10, .validation_loss = 3}, second = {.step = 20, .validation_loss = 2};
    double none = (double)NAN;
    mo_lab_trial t = {.id = 1,
                      .name = "v0001.s1",
                      .stage = MO_STAGE_MAIN,
                      .seed = 1,
                      .target_step = 10,
                      .started = none,
                      .ended = none,
                      .loss = none};
    MO_CHECK_OK(mo__store_plan(store, &t, 1));
    expect(store, MO_TRIAL_WAITING, 10, none, none, 0);
    t.state = MO_TRIAL_RUNNING;
    t.started = 100;
    MO_CHECK_OK(mo__store_record(store, &t));
    MO_CHECK_OK(mo__store_plan(store, &t, 1)); /* the same plan again changes nothing */
    expect(store, MO_TRIAL_RUNNING, 10, none, 100, 0);
    t.state = MO_TRIAL_DONE;
    t.started = 150; /* gone on with: it has begun at 100 */
    t.loss = 3;
    t.evaluations = &first;
    t.n_evaluations = 1;
    MO_CHECK_OK(mo__store_record(store, &t));
    MO_CHECK_OK(mo__store_plan(store, &t, 1));
    expect(store, MO_TRIAL_DONE, 10, 3, 100, 1);
    /* Whoever comes late with less leaves what is there. */
    mo_lab_trial late = t;
    late.state = MO_TRIAL_RUNNING;
    late.loss = none;
    late.n_evaluations = 0;
    MO_CHECK_OK(mo__store_record(store, &late));
    late.state = MO_TRIAL_FAILED;
    late.message = (char[]){"too late"};
    MO_CHECK_OK(mo__store_record(store, &late));
    expect(store, MO_TRIAL_DONE, 10, 3, 100, 1);
    /* The next rung: it waits again, its evaluations stay. */
    mo_lab_trial done = t;
    t.target_step = 20;
    t.rung = 1;
    MO_CHECK_OK(mo__store_plan(store, &t, 1));
    expect(store, MO_TRIAL_WAITING, 20, none, 100, 1);
    MO_CHECK_OK(mo__store_record(store, &done)); /* of the rung before */
    expect(store, MO_TRIAL_WAITING, 20, none, 100, 1);
    t.evaluations = &second;
    t.loss = 2;
    MO_CHECK_OK(mo__store_record(store, &t));
    expect(store, MO_TRIAL_DONE, 20, 2, 100, 2);
    mo__store_close(store);
    small_lab_free(&lab);
}

static void failures_stay_until_retried(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "failures");
    mo__store *store = fresh(&lab);
    double none = (double)NAN;
    mo_lab_trial t = {.id = 1, .name = "v0001.s1", .seed = 1, .target_step = 10, .loss = none};
    int count;
    MO_CHECK_OK(mo__store_plan(store, &t, 1));
    t.state = MO_TRIAL_FAILED;
    t.message = (char[]){"step 3: the loss is nan"};
    MO_CHECK_OK(mo__store_record(store, &t));
    mo_lab_results r;
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_string_equal(r.trials[0].message, "step 3: the loss is nan");
    mo_lab_results_free(&r);
    mo_lab_trial further = t;
    further.target_step = 20;
    MO_CHECK_OK(mo__store_plan(store, &further, 1));
    expect(store, MO_TRIAL_FAILED, 20, none, 0, 0);
    MO_CHECK_OK(mo__store_retry(store, &count));
    assert_int_equal(count, 1);
    expect(store, MO_TRIAL_WAITING, 20, none, 0, 0);
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_null(r.trials[0].message);
    mo_lab_results_free(&r);
    MO_CHECK_OK(mo__store_retry(store, &count));
    assert_int_equal(count, 0);
    mo__store_close(store);
    small_lab_free(&lab);
}

/* All of a call or nothing. */
static void half_a_plan_is_none(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "half");
    mo__store *store = fresh(&lab);
    mo_lab_trial plan[] = {{.name = "a", .seed = 1, .target_step = 10},
                           {.name = "b", .seed = 1, .target_step = 10, .variant = 99}};
    MO_CHECK_STATUS(mo__store_plan(store, plan, 2), MO_E_INTERNAL);
    mo_lab_results r;
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_int_equal(r.n_trials, 0);
    mo_lab_results_free(&r);
    /* Another trial of the same name; a trial that is not there. */
    plan[1].name = (char[]){"a"};
    plan[1].variant = 1;
    MO_CHECK_STATUS(mo__store_plan(store, plan, 2), MO_E_INTERNAL);
    MO_CHECK_MESSAGE("another trial called a");
    MO_CHECK_STATUS(mo__store_record(store, &(mo_lab_trial){.id = 7, .name = "a"}), MO_E_NOT_FOUND);
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_int_equal(r.n_trials, 0);
    mo_lab_results_free(&r);
    mo__store_close(store);
    small_lab_free(&lab);
}

/* ---- the same experiment? ---- */

static void seeds_may_be_added(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "seeds");
    mo__store *store = fresh(&lab);
    mo__store_close(store);
    uint64_t more[] = {1, 2, 77}, other[] = {1, 77}, fewer[] = {1};
    uint64_t *own = lab.spec.seeds;
    char *text = lab.spec.text;
    lab.spec.seeds = other;
    MO_CHECK_STATUS(mo__store_open(&lab.spec, &store), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("the seed 2 as number 2");
    assert_null(store);
    lab.spec.seeds = fewer;
    lab.spec.n_seeds = 1;
    MO_CHECK_STATUS(mo__store_open(&lab.spec, &store), MO_E_MISMATCH);
    lab.spec.seeds = more;
    lab.spec.n_seeds = 3;
    lab.spec.text = (char[]){"name: seeds\n# more\nseeds: [1, 2, 77]\n"};
    MO_CHECK_OK(mo__store_open(&lab.spec, &store));
    mo__store_close(store);
    mo_lab_results r;
    MO_CHECK_OK(mo_lab_results_read(lab.spec.dir, &r));
    assert_string_equal(r.text, lab.spec.text);
    mo_lab_results_free(&r);
    lab.spec.n_seeds = 2; /* the third one is there now */
    MO_CHECK_STATUS(mo__store_open(&lab.spec, &store), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("the seed 77 as number 3");
    lab.spec.seeds = own;
    lab.spec.text = text;
    small_lab_free(&lab);
}

static void another_file_is_refused(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "other");
    mo__store *store = fresh(&lab);
    mo__store_close(store);
    char *asked = lab.spec.asked;
    lab.spec.asked = (char[]){"name: other\nbudget: 41 steps\n"};
    MO_CHECK_STATUS(mo__store_open(&lab.spec, &store), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("budget was 40 steps and is now 41 steps");
    lab.spec.asked = (char[]){"name: other\n"};
    MO_CHECK_STATUS(mo__store_open(&lab.spec, &store), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("budget was 40 steps and is gone");
    assert_null(store);
    lab.spec.asked = asked;
    small_lab_free(&lab);
}

/* ---- files that are none ---- */

static void unreadable(const char *path, mo_status status, const char *said)
{
    mo_lab_results r;
    MO_CHECK_STATUS(mo_lab_results_read(path, &r), status);
    MO_CHECK_MESSAGE(said);
    MO_CHECK_MESSAGE(path);
    assert_null(r.trials);
}

static void files_of_others(void **state)
{
    (void)state;
    const char *path = temp_path(dir, "foreign.db");
    unreadable(path, MO_E_NOT_FOUND, "no such file");
    MO_CHECK_OK(mo_write_file(path, "", 0));
    unreadable(path, MO_E_FORMAT, "no results file");
    char junk[4096];
    for (size_t i = 0; i < sizeof junk; i++) junk[i] = (char)(i * 7 + 1);
    MO_CHECK_OK(mo_write_file(path, junk, sizeof junk));
    unreadable(path, MO_E_FORMAT, "no SQLite database");
    unlink(path);
    by_hand(path, "CREATE TABLE trials (id INTEGER)");
    unreadable(path, MO_E_FORMAT, "SQLite's of something else");
    /* One that says that it is ours, and is not. */
    by_hand(path, "PRAGMA application_id = 0x4d4f4952; PRAGMA user_version = 1");
    unreadable(path, MO_E_CORRUPT, "not as moira made it");
    unreadable(dir, MO_E_NOT_FOUND, "results.db");
    MO_CHECK_OK(mo_make_dirs(temp_path(dir, "d/results.db")));
    unreadable(temp_path(dir, "d"), MO_E_FORMAT, "is a folder");
}

static void versions(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "versions");
    mo__store *store = fresh(&lab);
    mo__store_close(store);
    const char *path = temp_path(lab.spec.dir, "results.db");
    by_hand(path, "PRAGMA user_version = 2");
    unreadable(path, MO_E_VERSION, "a results file of version 2");
    MO_CHECK_STATUS(mo__store_open(&lab.spec, &store), MO_E_VERSION);
    assert_null(store);
    by_hand(path, "PRAGMA user_version = 0");
    unreadable(path, MO_E_CORRUPT, "version is 0");
    small_lab_free(&lab);
}

/* What the first program of version 1 wrote. */
static void a_file_of_version_1(void **state)
{
    (void)state;
    const char *path = temp_path(dir, "v1.db");
    char *text;
    size_t size;
    mo_lab_results r;
    MO_CHECK_OK(mo_read_file("tests/golden/format1_results.sql", 1 << 20, &text, &size));
    by_hand(path, text);
    MO_CHECK_OK(mo_lab_results_read(path, &r));
    assert_string_equal(r.name, "gold");
    assert_string_equal(r.text, "name: gold\nbudget: {steps: 40}\n");
    assert_string_equal(r.reference, "dense");
    assert_string_equal(r.tune_key, "optimizer.learning_rate");
    assert_true(r.compare && r.n_variants == 2 && r.n_trials == 4);
    assert_string_equal(r.variants[0].chosen.at[0].value, "sigmoid");
    assert_int_equal(r.variants[1].match, MO_MATCH_FLOPS);
    assert_true(r.variants[0].memory_bytes == (uint64_t)3 << 32);
    const mo_lab_trial *t = r.trials;
    assert_true(t[0].state == MO_TRIAL_DONE && t[0].loss == 0.1 + 0.2 && isnan(t[0].entropy));
    assert_true(t[0].n_evaluations == 2 && t[0].evaluations[1].tokens == 19200);
    assert_true(t[1].stage == MO_STAGE_TUNE && t[1].state == MO_TRIAL_FAILED && t[1].variant == 1);
    assert_string_equal(t[1].message, "step 4: the loss is 'nan'");
    assert_string_equal(t[1].tuned, "3e-3");
    assert_true(t[2].stage == MO_STAGE_TIMING && t[2].state == MO_TRIAL_WAITING);
    assert_true(t[3].rung == 1 && t[3].seed == 2 && t[3].target_step == 40);
    mo_lab_results_free(&r);
    mo_free(text);
}

/* What a file says that cannot be. */
static void contents_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *change, *said;
    } cases[] = {
        {"UPDATE trials SET name = '../../home'", "no name of a folder"},
        {"UPDATE trials SET name = '..'", "no name of a folder"},
        {"UPDATE trials SET name = ''", "no name of a folder"},
        {"UPDATE trials SET variant = 5", "variant is 5, must be from 0 to 1"},
        {"UPDATE trials SET variant = -1", "variant is -1"},
        {"UPDATE trials SET target_step = -3", "target_step is -3"},
        {"UPDATE trials SET step = 'many'", "step is 0, must be"},
        {"PRAGMA ignore_check_constraints = 1; UPDATE trials SET state = 'gone'", "is damaged: "},
        {"UPDATE evaluations SET trial = 9", "evaluations of a trial that is not there"},
        {"UPDATE variants SET id = 7 WHERE id = 1", "variants are not numbered"},
        {"UPDATE settings SET variant = 2 WHERE variant = 1", "variant is 2"},
        {"DELETE FROM experiment", "does not say what it is of"},
        {"DROP TABLE evaluations", "evaluations"},
        {"ALTER TABLE trials RENAME TO t; CREATE VIEW trials AS SELECT * FROM t", "trials"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        snprintf(name, sizeof name, "cannot%zu", i);
        small_lab lab = small_lab_make(dir, name);
        mo__store *store = fresh(&lab);
        mo_lab_evaluation e = {.step = 1};
        mo_lab_trial t = {.id = 1,
                          .name = "v0001.s1",
                          .target_step = 1,
                          .state = MO_TRIAL_DONE,
                          .evaluations = &e,
                          .n_evaluations = 1};
        MO_CHECK_OK(mo__store_plan(store, &t, 1));
        MO_CHECK_OK(mo__store_record(store, &t));
        mo__store_close(store);
        by_hand(temp_path(lab.spec.dir, "results.db"), cases[i].change);
        unreadable(temp_path(lab.spec.dir, "results.db"), MO_E_CORRUPT, cases[i].said);
        small_lab_free(&lab);
    }
}

/* Without mo_write_file's waiting for the disk. */
static void put(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Bytes changed, and the file cut short: an error or what was there, and nothing worse. */
static void damaged_files(void **state)
{
    (void)state;
    enum { TRIALS = 40 };
    small_lab lab = small_lab_make(dir, "damaged");
    mo__store *store = fresh(&lab);
    mo_lab_trial plan[TRIALS];
    char names[TRIALS][16];
    for (int i = 0; i < TRIALS; i++) {
        snprintf(names[i], sizeof names[i], "t%03d", i);
        plan[i] = (mo_lab_trial){.name = names[i], .seed = 1, .target_step = 10};
    }
    MO_CHECK_OK(mo__store_plan(store, plan, TRIALS));
    mo__store_close(store);
    char *good, *path = mo_path_join(lab.spec.dir, "results.db");
    size_t size;
    int refused = 0, tries = 0;
    mo_lab_results r;
    MO_CHECK_OK(mo_read_file(path, 1 << 22, &good, &size));
    for (size_t at = 0; at < size; at += 61, tries++) {
        char kept = good[at];
        good[at] = (char)(kept ^ (1 << at % 8 | 1));
        put(path, good, size);
        good[at] = kept;
        if (mo_lab_results_read(path, &r) != MO_OK) refused++;
        mo_lab_results_free(&r);
    }
    assert_true(tries > 500 && refused > tries / 50);
    for (size_t left = 0; left < size; left += 509) {
        put(path, good, left);
        mo_status status = mo_lab_results_read(path, &r);
        if (status == MO_OK && size - left < 4096) { /* of the last page, which has no rows, the empty part */
            assert_int_equal(r.n_trials, TRIALS);
        } else if (status != MO_E_FORMAT && status != MO_E_CORRUPT) {
            fail_msg("%zu bytes of %zu: %s", left, size, mo_status_name(status));
        }
        mo_lab_results_free(&r);
    }
    mo_free(good);
    mo_free(path);
    small_lab_free(&lab);
}

/* ---- names ---- */

static void names_are_only_names(void **state)
{
    (void)state;
    static const char evil[] = "a'; DROP TABLE trials; --\"`$(x)`<b>\n,%s\\ \xc3\xa9 \xff";
    small_lab lab = small_lab_make(dir, "evil'; -- %20#?");
    mo_free(lab.variants[1].name);
    lab.variants[1].name = mo_strdup(evil);
    mo_free(lab.variants[1].chosen.at[0].value);
    lab.variants[1].chosen.at[0].value = mo_strdup(evil);
    mo_free(lab.spec.name);
    lab.spec.name = mo_strdup(evil);
    mo__store *store = fresh(&lab);
    mo_lab_trial t = {.id = 1,
                      .name = (char[]){"'; DROP TABLE trials; --"},
                      .tuned = (char *)(uintptr_t)evil,
                      .target_step = 1,
                      .state = MO_TRIAL_FAILED,
                      .message = (char *)(uintptr_t)evil};
    MO_CHECK_OK(mo__store_plan(store, &t, 1));
    MO_CHECK_OK(mo__store_record(store, &t));
    mo__store_close(store);
    mo_lab_results r;
    MO_CHECK_OK(mo_lab_results_read(lab.spec.dir, &r));
    assert_string_equal(r.name, evil);
    assert_string_equal(r.variants[1].name, evil);
    assert_string_equal(r.variants[1].chosen.at[0].value, evil);
    assert_string_equal(r.trials[0].name, t.name);
    assert_string_equal(r.trials[0].tuned, evil);
    assert_string_equal(r.trials[0].message, evil);
    mo_lab_results_free(&r);
    small_lab_free(&lab);
}

/* A path is a path, whatever SQLite would take it for. */
static void names_of_files(void **state)
{
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    static const char *const names[] = {"file:x?mode=memory", ":memory:", "a%2fb", "a?immutable=1", "a#b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        small_lab lab = small_lab_make(dir, names[i]);
        mo_free(lab.spec.dir);
        lab.spec.dir = mo_strdup(names[i]);
        mo__store *store = fresh(&lab);
        mo__store_close(store);
        mo_lab_results r;
        MO_CHECK_OK(mo_lab_results_read(names[i], &r));
        assert_int_equal(r.n_variants, SMALL_LAB_VARIANTS);
        mo_lab_results_free(&r);
        char *path = mo_path_join(names[i], "results.db");
        assert_true(mo_path_exists(path));
        mo_free(path);
        small_lab_free(&lab);
    }
    assert_int_equal(chdir(here), 0);
}

/* ---- a log that outlived its file ---- */

static void an_old_log_is_not_taken(void **state)
{
    (void)state;
    small_lab old = small_lab_make(dir, "log"), lab = small_lab_make(dir, "log");
    mo__store *store = fresh(&old);
    mo_lab_trial t = {.name = "old", .target_step = 1};
    MO_CHECK_OK(mo__store_plan(store, &t, 1));
    char *log = mo_path_join(old.spec.dir, "results.db-wal"), *kept = mo_path_join(dir, "kept-wal");
    char *bytes, *path = mo_path_join(old.spec.dir, "results.db");
    size_t size;
    MO_CHECK_OK(mo_read_file(log, 1 << 22, &bytes, &size)); /* as a kill would leave it */
    assert_true(size > 0);
    mo__store_close(store);
    MO_CHECK_OK(mo_write_file(log, bytes, size));
    unlink(path);
    store = fresh(&lab);
    mo_lab_results r;
    MO_CHECK_OK(mo__store_read(store, &r));
    assert_int_equal(r.n_trials, 0);
    mo_lab_results_free(&r);
    mo__store_close(store);
    mo_free(bytes);
    mo_free(log);
    mo_free(kept);
    mo_free(path);
    small_lab_free(&old);
    small_lab_free(&lab);
}

/* ---- memory ---- */

static mo_status whole_life(const small_lab *lab)
{
    mo__store *store;
    mo_lab_results r;
    char *path = (char *)(uintptr_t)temp_path(lab->spec.dir, "results.db");
    mo_lab_trial t = {.id = 1, .name = "t", .tuned = "1", .target_step = 1};
    unlink(path);
    MO_TRY(mo__store_create(&lab->spec, lab->variants, SMALL_LAB_VARIANTS, "m"));
    MO_TRY(mo__store_open(&lab->spec, &store));
    mo_status status = mo__store_plan(store, &t, 1);
    if (status == MO_OK) status = mo__store_read(store, &r);
    if (status == MO_OK) mo_lab_results_free(&r);
    mo__store_close(store);
    if (status == MO_OK) status = mo_lab_results_read(lab->spec.dir, &r);
    if (status == MO_OK) mo_lab_results_free(&r);
    return status;
}

static void every_allocation(void **state)
{
    (void)state;
    small_lab lab = small_lab_make(dir, "memory");
    int64_t failed, live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, whole_life(&lab));
    assert_true(failed > 60);
    assert_int_equal(mo__alloc_live(), live);
    small_lab_free(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_asked_is_kept),
                                       cmocka_unit_test(trials_are_kept),
                                       cmocka_unit_test(a_rung_after_the_other),
                                       cmocka_unit_test(failures_stay_until_retried),
                                       cmocka_unit_test(half_a_plan_is_none),
                                       cmocka_unit_test(seeds_may_be_added),
                                       cmocka_unit_test(another_file_is_refused),
                                       cmocka_unit_test(files_of_others),
                                       cmocka_unit_test(versions),
                                       cmocka_unit_test(a_file_of_version_1),
                                       cmocka_unit_test(contents_that_cannot_be),
                                       cmocka_unit_test(damaged_files),
                                       cmocka_unit_test(names_are_only_names),
                                       cmocka_unit_test(names_of_files),
                                       cmocka_unit_test(an_old_log_is_not_taken),
                                       cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
