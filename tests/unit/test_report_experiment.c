/* Reports of experiments: the answer stands first, figures are those of the answer, a page of an experiment
 * that is still going says so, and nothing that a user wrote gets out of its place. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/html_check.h"
#include "harness/small_experiment.h"
#include "lab/experiment_facts.h"
#include "lab/report_experiment.h"

static char *folder;

static int setup(void **state)
{
    (void)state;
    folder = temp_make();
    return folder ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

/* The report's page, checked as HTML; owned. */
static char *report_of(const mo_lab_results *r, const char *name, mo_report_made *made)
{
    MO_CHECK_OK(mo__report_experiment(r, temp_path(folder, name), made));
    return html_check(made->html);
}

/* A CSV of the data; owned. */
static char *data_of(const mo_report_made *made, const char *name)
{
    char *path = mo_strprintf("%s/%s.csv", made->data, name), *text = NULL;
    size_t size;
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &text, &size));
    mo_free(path);
    return text;
}

static int lines_of(const char *text)
{
    int lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

/* The page has the number in this form. */
__attribute__((format(printf, 2, 3))) static void check_has(const char *page, const char *format, ...)
{
    static char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!strstr(page, text)) fail_msg("the page does not say %s", text);
}

__attribute__((noinline)) static const char *after(const char *page, const char *text)
{
    const char *at = strstr(page, text);
    if (!at) fail_msg("the page does not say %s", text);
    return at + strlen(text);
}

static void test_sweep(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_answer a;
    mo_report_made made;
    experiment_sweep(EXPERIMENT_DONE, &r);
    MO_CHECK_OK(mo_answer_of(&r, &a));
    char *page = report_of(&r, "sweep.html", &made);
    const mo_variant_answer *first = &a.variants[a.ranking[0]], *second = &a.variants[a.ranking[1]];

    const char *answer = after(page, "<p class=\"answer\">");
    assert_true(answer < after(page, "<table>"));
    assert_memory_equal(answer, a.sentence, 40);
    for (int i = 0; i < a.n_notes; i++) after(page, "What this rests on");
    after(page, "3 of 48 trials have failed");
    after(page, "the loss is not a number");

    const char *best = after(page, "<tr class=\"best\">");
    assert_memory_equal(after(best, "<td class=\"n\">1</td><td class=\"k\">"),
                        r.variants[first->variant].name, 5);
    check_has(best, "<td class=\"n\">%.4f</td>", first->loss.mean);
    check_has(best, second->near_best ? "alike: %.4f" : ">%.4f<", second->loss.mean - first->loss.mean);
    for (int i = 0; i < a.n_effects; i++) {
        check_has(page, "%.0f%%</td>", 100 * a.effects[i].share);
        for (int l = 0; l < a.effects[i].n_levels; l++)
            check_has(page, "%.4f ± ", a.effects[i].levels[l].loss.mean);
    }

    bool named = false; /* the first of those that all variants have, few values each */
    for (int i = 0; i < a.n_effects && !named; i++) {
        char *colours = mo_strprintf("Colours: %s.", a.effects[i].key);
        named = strstr(page, colours) != NULL;
        mo_free(colours);
    }
    assert_true(named);
    char *ranking = data_of(&made, "ranking");
    assert_int_equal(lines_of(ranking), 1 + 23); /* v0006 has no loss */
    char *effects = data_of(&made, "effects"), *pair = data_of(&made, "pair");
    assert_int_equal(lines_of(effects), 1 + 2 + 3 + 2 + 2);
    assert_int_equal(lines_of(pair), 1 + 3 * 2);
    mo_free(data_of(&made, "trials"));
    mo_free(data_of(&made, "evaluations"));
    mo_free(data_of(&made, "variants"));
    mo_free(ranking), mo_free(effects), mo_free(pair), mo_free(page);
    mo_report_made_free(&made);
    mo_answer_free(&a);
    mo_lab_results_free(&r);
}

/* value[row of k][column of coefficient] of pair.csv, against means taken here. */
static void test_pair(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    experiment_sweep(EXPERIMENT_DONE, &r);
    mo_free(report_of(&r, "pair.html", &made));
    double sum = 0;
    for (int e = 0; e < 2;
         e++) /* topk and sigmoid, k = 4, coefficient 0.01, 8 or 16 experts; v0011 lacks one */
        for (int router = 0; router < 2; router++) {
            int v = 12 * router + 4 * 2 + 2 + e;
            if (v != 10) sum += (r.trials[v].loss + r.trials[v + 24].loss) / 2;
        }
    char *pair = data_of(&made, "pair");
    MO_CHECK_NEAR(strtod(after(pair, "\n0.01,4,"), NULL), sum / 3, 1e-12);
    mo_free(pair);
    mo_report_made_free(&made);
    mo_lab_results_free(&r);
}

static void test_compare(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_answer a;
    mo_report_made made;
    experiment_compare(EXPERIMENT_DONE, &r);
    MO_CHECK_OK(mo_answer_of(&r, &a));
    char *page = report_of(&r, "compare.html", &made);
    assert_memory_equal(after(page, "<p class=\"answer\">"), a.sentence, 40);
    const char *list = after(page, "<ul class=\"findings\">");
    assert_true(list < after(page, "<table>"));
    assert_int_equal(a.n_findings, 4); /* two more against the reference, moe against two more */
    for (int i = 0; i < a.n_findings; i++) {
        list = after(list, "<li>");
        assert_memory_equal(list, a.findings[i], 40);
    }
    for (int c = 0; c < a.n_contrasts; c++)
        check_has(page, "<td class=\"k\">end</td><td class=\"n\">%+.4f ± ",
                  a.contrasts[c].final.difference.mean);
    for (int c = 0; c < a.n_contrasts; c++)
        for (int axis = 0; axis < MO_AXES; axis++) {
            check_has(page, "<td class=\"n\">%+.4f ± ", a.contrasts[c].axis[axis].difference.mean);
            check_has(page, "<td class=\"n\">%.2f (", a.contrasts[c].axis[axis].speedup.mean);
        }
    for (int v = 0; v < r.n_variants; v++) check_has(page, "%.4f ± ", a.variants[v].loss.mean);
    check_has(page, "%.2f%%</td>",
              100 * fabs(r.variants[1].got - r.variants[1].wanted) / r.variants[1].wanted);
    after(page, "1e-2 (at the edge)");
    assert_null(strstr(page, "Not over yet"));
    assert_null(strstr(page, "do not compare well"));

    char *contrasts = data_of(&made, "contrasts"), *distance = data_of(&made, "distance-tokens");
    assert_int_equal(lines_of(contrasts), 1 + 4 * a.n_contrasts);
    MO_CHECK_NEAR(strtod(after(contrasts, "\nmoe,dense-active,end,"), NULL),
                  a.contrasts[0].final.difference.mean, 1e-12);
    for (int axis = 0; axis < MO_AXES; axis++)
        check_has(page, "<td class=\"n\">%.2f", a.contrasts[0].axis[axis].spent.mean);
    assert_int_equal(lines_of(distance),
                     1 + 2 + 3 * 20); /* the reference's two ends, three variants' points */
    mo_free(contrasts), mo_free(distance), mo_free(page);
    mo_report_made_free(&made);
    mo_answer_free(&a);
    mo_lab_results_free(&r);
}

static void test_without_timing(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    experiment_compare(EXPERIMENT_DONE, &r);
    for (int i = 0; i < r.n_trials; i++)
        if (r.trials[i].stage == MO_STAGE_TIMING) r.trials[i].state = MO_TRIAL_WAITING;
    char *page = report_of(&r, "untimed.html", &made);
    after(page, "do not compare well");
    mo_free(page);
    mo_report_made_free(&made);
    mo_lab_results_free(&r);
}

static void test_still_going(void **state)
{
    (void)state;
    for (int compare = 0; compare < 2; compare++) {
        mo_lab_results r;
        mo_report_made made;
        (compare ? experiment_compare : experiment_sweep)(EXPERIMENT_GOING, &r);
        char *page = report_of(&r, compare ? "going-c.html" : "going-s.html", &made);
        after(page, compare ? "Not over yet: 20 of 36" : "Not over yet: 27 of 48");
        assert_true(made.plots > 0 || made.without_plots);
        mo_free(page);
        mo_report_made_free(&made);
        mo_lab_results_free(&r);
    }
}

static void test_just_begun(void **state)
{
    (void)state;
    for (int compare = 0; compare < 2; compare++) {
        mo_lab_results r;
        mo_report_made made;
        (compare ? experiment_compare : experiment_sweep)(EXPERIMENT_BEGUN, &r);
        char *page = report_of(&r, compare ? "begun-c.html" : "begun-s.html", &made);
        after(page, "Not over yet: 0 of");
        assert_null(strstr(page, "Against one another"));
        assert_null(strstr(page, "Ranking"));
        assert_int_equal(made.plots, 0);
        mo_free(page);
        mo_report_made_free(&made);
        mo_lab_results_free(&r);
    }
}

/* Numbers that were drawn are on a scale, and groups of them ranges. */
static void test_drawn_numbers(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    experiment_sweep(EXPERIMENT_DONE, &r);
    r.strategy = MO_LAB_RANDOM;
    for (int v = 0; v < r.n_variants; v++) {
        mo_free(r.variants[v].chosen.at[2].value);
        r.variants[v].chosen.at[2].value = mo_strprintf("%.5g", 1e-4 * pow(1.3, v));
    }
    char *page = report_of(&r, "drawn.html", &made);
    char *first = NULL;
    for (int i = 1; i <= 4 && !first; i++) {
        char name[16];
        snprintf(name, sizeof name, "effect-%d", i);
        char *data = data_of(&made, name);
        if (strstr(data, "0.0001,"))
            first = data;
        else
            mo_free(data);
    }
    assert_non_null(first);
    assert_int_equal(lines_of(first), 1 + 22); /* a point for each variant that has a loss of both seeds */
    /* The pair has cells of more than one range. */
    char *pair = data_of(&made, "pair");
    int filled = -1;
    for (char *line = strtok(pair, "\n"); line; line = strtok(NULL, "\n"))
        filled += line[strlen(line) - 1] != ',';
    assert_true(filled > 3);
    mo_free(pair), mo_free(first), mo_free(page);
    mo_report_made_free(&made);
    mo_lab_results_free(&r);
}

/* An axis is logarithmic if the file says so, be the span ever so small. Returns the page's head and figures.
 */
static char *page_of_range(mo_lab_results *r, const char *log)
{
    mo_report_made made;
    mo_free(r->text);
    r->text = mo_strprintf("parameters:\n  balance.switch: {from: 1, to: 4, log: %s}\n", log);
    char *page = report_of(r, "range.html", &made);
    *strstr(page, "What was asked") = '\0';
    mo_report_made_free(&made);
    return page;
}

static void test_logarithms(void **state)
{
    (void)state;
    mo_lab_results r;
    experiment_sweep(EXPERIMENT_DONE, &r);
    r.strategy = MO_LAB_RANDOM;
    for (int v = 0; v < r.n_variants; v++) {
        mo_lab_setting *s = &r.variants[v].chosen.at[2];
        assert_string_equal(s->key, "balance.switch");
        mo_free(s->value);
        s->value = mo_strprintf("%.5g", 1 + 3 * v / 24.0);
    }
    char *with = page_of_range(&r, "true"), *without = page_of_range(&r, "false");
    assert_string_not_equal(with, without);
    mo_free(with), mo_free(without);
    mo_lab_results_free(&r);
}

/* Of variants at different rungs only those of the highest are in one plot. */
static void test_rungs(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    experiment_sweep(EXPERIMENT_DONE, &r);
    r.strategy = MO_LAB_HALVING;
    for (int i = 0; i < r.n_trials; i++) {
        mo_lab_trial *t = &r.trials[i];
        bool dropped = t->variant % 3 > 0;
        t->rung = !dropped;
        if (!dropped || t->state != MO_TRIAL_DONE) continue;
        t->target_step = t->step = 300;
        t->n_evaluations = 10;
        t->loss = t->evaluations[9].validation_loss;
    }
    char *page = report_of(&r, "rungs.html", &made), *ranked = data_of(&made, "ranked-losses");
    after(page, "losses at different steps do not compare");
    after(page, "after step 300, where all variants have been");
    int of_rung = 0;
    for (const char *line = ranked; (line = strstr(line, "\nmean,")); line++) of_rung++;
    assert_int_equal(of_rung, 8); /* v0001, v0004, ... but none of them failed */
    mo_free(page), mo_free(ranked);
    mo_report_made_free(&made);
    mo_lab_results_free(&r);
}

/* Ranks of one or two variants are no plot. */
static void test_few_ranks(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    experiment_sweep(EXPERIMENT_DONE, &r);
    r.strategy = MO_LAB_HALVING;
    for (int i = 0; i < r.n_trials; i++) {
        mo_lab_trial *t = &r.trials[i];
        t->rung = t->variant < 2;
        if (t->rung || t->state != MO_TRIAL_DONE) continue;
        t->target_step = t->step = 300;
        t->n_evaluations = 10;
        t->loss = t->evaluations[9].validation_loss;
    }
    for (int i = 0; i < r.n_trials; i++) /* with a rung to come */
        if (r.trials[i].variant == 0) r.trials[i].state = MO_TRIAL_WAITING;
    const mo_lab_trial *first = &r.trials[0];
    assert_int_equal(mo__lab_step_of(&r, 0), first->evaluations[first->n_evaluations - 1].step);
    char *page = report_of(&r, "few.html", &made);
    after(page, "Loss against training time");
    assert_null(strstr(page, "Losses by rank"));
    mo_free(page);
    mo_report_made_free(&made);
    mo_lab_results_free(&r);
}

/* With one seed there is nothing to tell chance by, and nothing that looks as if there were. */
static void test_one_seed(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    experiment_sweep(EXPERIMENT_DONE, &r);
    for (int i = 24; i < r.n_trials; i++) r.trials[i].stage = MO_STAGE_TUNE;
    char *page = report_of(&r, "seed.html", &made), *ranked = data_of(&made, "ranked-losses");
    after(page, "One seed: nothing here says how far chance goes.");
    assert_null(strstr(page, "Lowest to highest"));
    assert_null(strstr(page, "alike"));
    assert_null(strstr(page, "above: worse than the first"));
    assert_null(strstr(ranked, "above: worse than the first"));
    mo_free(page), mo_free(ranked);
    mo_report_made_free(&made);
    mo_lab_results_free(&r);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    for (int compare = 0; compare < 2; compare++) {
        mo_lab_results r;
        mo_report_made made;
        (compare ? experiment_compare : experiment_sweep)(EXPERIMENT_DONE, &r);
        experiment_poison(&r);
        char *page = report_of(&r, compare ? "poison-c.html" : "poison-s.html", &made);
        assert_null(strstr(page, "<script"));
        after(page, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;");
        assert_true(made.plots > 5 || made.without_plots);
        static const char *const files[] = {"x", "y", "z"};
        for (int i = 0; i < 3; i++) assert_false(mo_path_exists(files[i]));
        mo_free(page);
        mo_report_made_free(&made);
        mo_lab_results_free(&r);
    }
}

static mo_status write_once(const mo_lab_results *r)
{
    mo_report_made made;
    MO_TRY(mo__report_experiment(r, temp_path(folder, "memory.html"), &made));
    mo_report_made_free(&made);
    return MO_OK;
}

/* Without gnuplot a report has its tables and its data, and says so. With little memory it fails as a whole.
 */
static void test_without_gnuplot(void **state)
{
    (void)state;
    mo_lab_results r;
    mo_report_made made;
    char *path = mo_strdup(getenv("PATH"));
    experiment_compare(EXPERIMENT_DONE, &r);
    assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
    char *page = report_of(&r, "tables.html", &made);
    assert_true(made.without_plots);
    assert_int_equal(made.plots, 0);
    assert_int_equal(html_count(page, "<svg viewBox=\"0 0 5"), 0);
    after(page, "gnuplot");
    mo_free(data_of(&made, "loss-tokens"));
    mo_report_made_free(&made);
    mo_free(page);
    int count;
    MO_CHECK_EACH_ALLOCATION(count, write_once(&r));
    assert_true(count > 100);
    setenv("PATH", path, 1);
    mo_free(path);
    mo_lab_results_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sweep),           cmocka_unit_test(test_pair),
        cmocka_unit_test(test_compare),         cmocka_unit_test(test_without_timing),
        cmocka_unit_test(test_still_going),     cmocka_unit_test(test_just_begun),
        cmocka_unit_test(test_drawn_numbers),   cmocka_unit_test(test_rungs),
        cmocka_unit_test(test_logarithms),      cmocka_unit_test(test_few_ranks),
        cmocka_unit_test(test_one_seed),        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_without_gnuplot),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
