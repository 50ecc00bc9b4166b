/* test_report_json.c -- moira report --json: what it prints of sweeps, comparisons and runs is what the
 * results and the answer say, to the bit; names made to break out; the page only where it is asked for. */
#include "harness/small_run.h"

#include <jansson.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/small_experiment.h"
#include "harness/small_lab.h"
#include "lab/match.h"

/* What the program prints with --json, parsed. */
static json_t *report(const char *path, const char *more)
{
    const char *program = getenv("MOIRA");
    char command[2048];
    if (!program) fail_msg("set MOIRA to the program to test");
    snprintf(command, sizeof command, "'%s' report '%s' --json %s", program, path, more);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    json_error_t e;
    json_t *root = json_loadf(output, JSON_DISABLE_EOF_CHECK, &e);
    assert_int_equal(pclose(output), 0);
    if (!root) fail_msg("%s: line %d: %s", command, e.line, e.text);
    return root;
}

static void same_text(const json_t *o, const char *key, const char *expected)
{
    const json_t *value = json_object_get(o, key);
    assert_non_null(value);
    if (expected)
        assert_string_equal(json_string_value(value), expected);
    else
        assert_true(json_is_null(value));
}

static void same_number(const json_t *o, const char *key, double expected)
{
    const json_t *value = json_object_get(o, key);
    assert_non_null(value);
    if (isfinite(expected))
        assert_true(json_is_number(value) && json_number_value(value) == expected);
    else
        assert_true(json_is_null(value));
}

static void same_estimate(const json_t *o, const char *key, const mo_estimate *e)
{
    const json_t *value = json_object_get(o, key);
    assert_true(json_is_object(value));
    same_number(value, "mean", e->mean);
    same_number(value, "deviation", e->deviation);
    same_number(value, "low", e->low);
    same_number(value, "high", e->high);
    same_number(value, "count", e->count);
}

/* Of an object's list, which must be as long. */
static const json_t *list_of(const json_t *o, const char *key, int count)
{
    const json_t *list = json_object_get(o, key);
    assert_true(json_is_array(list));
    assert_int_equal(json_array_size(list), count);
    return list;
}

static void same_trials(const json_t *root, const mo_lab_results *r)
{
    static const char *const states[] = {"waiting", "running", "done", "failed"};
    const json_t *list = list_of(root, "trials", r->n_trials);
    for (int i = 0; i < r->n_trials; i++) {
        const json_t *o = json_array_get(list, (size_t)i);
        const mo_lab_trial *t = &r->trials[i];
        same_text(o, "name", t->name);
        same_text(o, "variant", r->variants[t->variant].name);
        same_text(o, "state", states[t->state]);
        same_text(o, "message", t->message);
        same_text(o, "tuned", t->tuned);
        same_number(o, "seed", (double)t->seed);
        same_number(o, "step", (double)t->step);
        same_number(o, "target_step", (double)t->target_step);
        same_number(o, "validation_loss", t->loss);
        same_number(o, "step_seconds", t->step_seconds);
        same_number(o, "max_vio", t->max_vio);
        const json_t *evaluations = list_of(o, "evaluations", t->n_evaluations);
        for (int k = 0; k < t->n_evaluations; k++) {
            const json_t *e = json_array_get(evaluations, (size_t)k);
            same_number(e, "step", (double)t->evaluations[k].step);
            same_number(e, "tokens", (double)t->evaluations[k].tokens);
            same_number(e, "flops", t->evaluations[k].flops);
            same_number(e, "validation_loss", t->evaluations[k].validation_loss);
        }
    }
}

static void same_variants(const json_t *root, const mo_lab_results *r, const mo_answer *a)
{
    const json_t *list = list_of(root, "variants", r->n_variants);
    for (int i = 0; i < r->n_variants; i++) {
        const json_t *o = json_array_get(list, (size_t)i), *match = json_object_get(o, "match"),
                     *chosen = json_object_get(o, "chosen");
        const mo_lab_variant *v = &r->variants[i];
        same_text(o, "name", v->name);
        same_number(o, "flops_per_token", v->flops_per_token);
        same_number(json_object_get(o, "parameters"), "total", (double)v->total);
        same_number(json_object_get(o, "parameters"), "active", (double)v->active);
        same_estimate(o, "validation_loss", &a->variants[i].loss);
        same_estimate(o, "seconds", &a->variants[i].seconds);
        assert_int_equal(json_is_true(json_object_get(o, "pareto")), a->variants[i].pareto);
        assert_int_equal(json_object_size(chosen), v->chosen.count);
        for (int k = 0; k < v->chosen.count; k++)
            same_text(chosen, v->chosen.at[k].key, v->chosen.at[k].value);
        assert_int_equal(json_is_object(match), v->match != MO_MATCH_NONE);
        if (v->match == MO_MATCH_NONE) continue;
        same_text(match, "by", mo__match_names[v->match]);
        same_number(match, "got", v->got);
    }
}

static void same_answer(const json_t *root, const mo_lab_results *r, const mo_answer *a)
{
    same_text(root, "answer", a->sentence);
    const json_t *ranking = list_of(root, "ranking", a->n_variants);
    for (int i = 0; i < a->n_variants; i++)
        assert_string_equal(json_string_value(json_array_get(ranking, (size_t)i)),
                            r->variants[a->ranking[i]].name);
    list_of(root, "notes", a->n_notes);
    const json_t *findings = list_of(root, "findings", a->n_findings);
    for (int i = 0; i < a->n_findings; i++)
        assert_string_equal(json_string_value(json_array_get(findings, (size_t)i)), a->findings[i]);
    if (!r->compare) {
        const json_t *effects = list_of(root, "effects", a->n_effects);
        for (int i = 0; i < a->n_effects; i++) {
            const json_t *o = json_array_get(effects, (size_t)i);
            same_text(o, "key", a->effects[i].key);
            same_number(o, "share", a->effects[i].share);
            const json_t *levels = list_of(o, "levels", a->effects[i].n_levels);
            same_estimate(json_array_get(levels, 0), "validation_loss", &a->effects[i].levels[0].loss);
        }
        same_number(root, "noise", a->noise);
        return;
    }
    const json_t *contrasts = list_of(root, "contrasts", a->n_contrasts);
    for (int i = 0; i < a->n_contrasts; i++) {
        static const char *const axes[] = {"tokens", "flops", "seconds"};
        static const char *const verdicts[] = {"unknown", "noise", "better", "worse"};
        const mo_contrast *c = &a->contrasts[i];
        const json_t *o = json_array_get(contrasts, (size_t)i);
        same_text(o, "variant", r->variants[c->variant].name);
        same_text(o, "reference", r->variants[c->reference].name);
        for (int x = 0; x < MO_AXES; x++) {
            const json_t *axis = json_object_get(o, axes[x]);
            same_text(axis, "verdict", verdicts[c->axis[x].verdict]);
            same_estimate(axis, "difference", &c->axis[x].difference);
            same_estimate(axis, "speedup", &c->axis[x].speedup);
            same_estimate(axis, "spent", &c->axis[x].spent);
            same_number(axis, "at", c->axis[x].at);
        }
        same_text(json_object_get(o, "final"), "verdict", verdicts[c->final.verdict]);
        same_estimate(json_object_get(o, "final"), "difference", &c->final.difference);
    }
}

static void an_experiment(const char *name, bool compare, experiment_state going, bool poison)
{
    mo_lab_results made, r;
    mo_answer a;
    char *dir = run_path(name);
    if (compare)
        experiment_compare(going, &made);
    else
        experiment_sweep(going, &made);
    if (poison) experiment_poison(&made);
    for (int i = 0; poison && i < made.n_trials; i++) { /* folders have these names */
        mo_free(made.trials[i].name);
        made.trials[i].name = mo_strprintf("'; DROP TABLE trials; -- \"<&%d", i);
    }
    lab_store(dir, &made);
    MO_CHECK_OK(mo_lab_results_read(dir, &r));
    assert_int_equal(r.n_trials, made.n_trials);
    MO_CHECK_OK(mo_answer_of(&r, &a));
    if (going == EXPERIMENT_DONE) assert_int_equal(a.n_findings, compare ? 4 : 0);
    json_t *root = report(dir, "");
    same_text(root, "kind", compare ? "compare" : "sweep");
    same_text(root, "name", made.name);
    same_text(root, "machine", made.machine);
    same_trials(root, &r);
    same_variants(root, &r, &a);
    same_answer(root, &r, &a);
    assert_false(mo_path_exists(temp_path(dir, "report.html")));
    json_decref(root);
    mo_answer_free(&a);
    mo_lab_results_free(&r);
    mo_lab_results_free(&made);
    mo_free(dir);
}

static void experiments(void **state)
{
    (void)state;
    an_experiment("sweep", false, EXPERIMENT_DONE, false);
    an_experiment("compare", true, EXPERIMENT_DONE, false);
    an_experiment("going", false, EXPERIMENT_GOING, false);
    an_experiment("begun", true, EXPERIMENT_BEGUN, false);
    an_experiment("poison", true, EXPERIMENT_GOING, true);
}

static void a_page_beside_it(void **state)
{
    (void)state;
    mo_lab_results made;
    char *dir = run_path("page"), *more = mo_strprintf("-o '%s/p.html'", run_folder);
    experiment_sweep(EXPERIMENT_DONE, &made);
    lab_store(dir, &made);
    json_decref(report(dir, more));
    assert_true(mo_path_exists(temp_path(run_folder, "p.html")));
    assert_true(mo_path_exists(temp_path(run_folder, "p/trials.csv")));
    mo_lab_results_free(&made);
    mo_free(more);
    mo_free(dir);
}

/* The exit status, and that nothing is printed; its message goes to the file `said`. */
static int refused(const char *path, const char *more, const char *said)
{
    char command[2048], byte;
    snprintf(command, sizeof command, "'%s' report '%s' %s 2>'%s'", getenv("MOIRA"), path, more, said);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    assert_int_equal(fread(&byte, 1, 1, output), 0);
    int status = pclose(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void files_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *change, *said;
    } cases[] = {{"PRAGMA user_version = 7", "results.db: is a results file of version 7"},
                 {"PRAGMA application_id = 7", "results.db: is no results file of an experiment"},
                 {"DROP TABLE variants", "results.db: is not as moira made it: no such table: variants"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int json = 0; json < 2; json++) {
            char *name = mo_strprintf("none%zu%d", i, json), *dir = run_path(name), *text;
            size_t size;
            mo_lab_results made;
            sqlite3 *db;
            experiment_compare(EXPERIMENT_BEGUN, &made);
            lab_store(dir, &made);
            assert_int_equal(sqlite3_open(temp_path(dir, "results.db"), &db), SQLITE_OK);
            assert_int_equal(sqlite3_exec(db, cases[i].change, NULL, NULL, NULL), SQLITE_OK);
            sqlite3_close(db);
            assert_int_equal(refused(dir, json ? "--json" : "", temp_path(run_folder, "said")), 2);
            MO_CHECK_OK(mo_read_file(temp_path(run_folder, "said"), 1 << 16, &text, &size));
            if (!strstr(text, cases[i].said)) fail_msg("%s", text);
            assert_false(mo_path_exists(temp_path(dir, "report.html")));
            mo_lab_results_free(&made);
            mo_free(text);
            mo_free(name);
            mo_free(dir);
        }
}

static void a_run(void **state)
{
    (void)state;
    char *dir = run_named("run", "eval.every=4");
    json_t *root = report(dir, "");
    same_text(root, "kind", "run");
    const json_t *t = json_array_get(list_of(root, "trials", 1), 0);
    same_text(t, "state", "done");
    same_number(t, "seed", 7);
    same_number(t, "step", 12);
    list_of(t, "evaluations", 3);
    assert_true(json_number_value(json_object_get(t, "validation_loss")) > 0);
    assert_non_null(
        strstr(json_string_value(json_object_get(root, "answer")), "the run is at step 12 of 12"));
    json_decref(root);
    /* Killed after five lines. */
    char *path = mo_path_join(dir, "metrics.jsonl"), *text, *at;
    size_t size;
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &text, &size));
    at = text;
    for (int i = 0; i < 5; i++) at = strchr(at, '\n') + 1;
    MO_CHECK_OK(mo_write_file(path, text, (size_t)(at - text) + 20));
    root = report(dir, "");
    t = json_array_get(list_of(root, "trials", 1), 0);
    same_text(t, "state", "waiting");
    same_number(t, "step", 5);
    same_number(t, "validation_loss", (double)NAN);
    assert_non_null(strstr(json_string_value(json_object_get(root, "answer")), "stopped"));
    json_decref(root);
    mo_free(text);
    mo_free(path);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(experiments), cmocka_unit_test(a_page_beside_it),
                                       cmocka_unit_test(files_that_are_none), cmocka_unit_test(a_run)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
