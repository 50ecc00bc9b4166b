/* test_report_run.c -- reports of runs: that are over, that were cut off in the middle of a line, that have
 * just begun, dense ones, routers without probabilities, mixtures, runs upon a base; names that would be
 * markup. */
#include "harness/html_check.h"
#include "harness/small_run.h"

#include <stdlib.h>
#include <string.h>

#include "moira/lab.h"
#include "train/train_internal.h"

/* Writes the report of the run folder and reads it back, checked; *plots of them. */
static char *report_of(const char *dir, int *plots)
{
    mo_report_options options = {.path = dir};
    mo_report_made made;
    MO_CHECK_OK(mo_report_write(&options, &made));
    assert_false(made.without_plots);
    if (plots) *plots = made.plots;
    char *page = html_check(made.html);
    assert_int_equal(html_count(page, "<svg class=\"plot\""), made.plots);
    mo_report_made_free(&made);
    return page;
}

static void assert_has(const char *page, const char *text)
{
    if (strstr(page, text)) return;
    print_error("the page has no '%s'\n", text);
    fail();
}

/* A line of the CSV in the report's folder; the file has to be there. */
static int64_t csv_lines(const char *dir, const char *name)
{
    char *path = mo_strprintf("%s/report/%s.csv", dir, name), *text = NULL;
    size_t size = 0;
    int64_t lines = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &text, &size));
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    mo_free(text);
    mo_free(path);
    return lines;
}

/* Of the last column. */
static double csv_sum(const char *dir, const char *name)
{
    char *path = mo_strprintf("%s/report/%s.csv", dir, name), *text = NULL;
    size_t size = 0;
    double sum = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 24, &text, &size));
    for (char *at = text; (at = strchr(at, '\n')); at++)
        if (at[-1] >= '0' && at[-1] <= '9') {
            char *cell = at;
            while (cell[-1] != ',') cell--;
            sum += strtod(cell, NULL);
        }
    mo_free(text);
    mo_free(path);
    return sum;
}

static bool has_csv(const char *dir, const char *name)
{
    char *path = mo_strprintf("%s/report/%s.csv", dir, name);
    bool there = mo_path_exists(path);
    mo_free(path);
    return there;
}

static void a_run_that_is_over(void **state)
{
    (void)state;
    int plots;
    char *dir = run_named("over", NULL), *page = report_of(dir, &plots);
    assert_has(page, "The run is over: all of its steps are done.");
    assert_has(page, "<li><span>Steps</span> 12 of 12</li>");
    assert_has(page, "<li><span>Router</span> noisy_topk, 2 experts per token</li>");
    assert_has(page, "<h2>Experts by domain</h2>");
    assert_has(page, ">stories</text>");
    assert_has(page, "Routers at step 12</caption>");
    /* Loss, gradient, rate, speed; MaxVio, entropy, information; four balancing losses; load and domains of
     * three layers each. Dead experts may be or not. */
    assert_in_range(plots, 4 + 3 + 4 + 3 + 3, 4 + 3 + 4 + 3 + 3 + 1);
    assert_int_equal(csv_lines(dir, "loss"), 1 + 12 + 3);    /* lines, and evaluations at 5, 10, 12 */
    assert_int_equal(csv_lines(dir, "max-vio"), 1 + 3 * 12); /* layers, lines */
    assert_int_equal(csv_lines(dir, "load-layer-2"), 1 + 4 * 12);
    assert_int_equal(csv_lines(dir, "domains-layer-0"), 1 + 3 * 4);
    MO_CHECK_NEAR(csv_sum(dir, "load-layer-2"), 12 * 4, 1e-9);     /* 1 on average */
    MO_CHECK_NEAR(csv_sum(dir, "domains-layer-0"), 3 * 100, 1e-9); /* all of each domain */
    assert_false(has_csv(dir, "drift"));
    assert_false(has_csv(dir, "dropped"));
    /* The same again, upon what is there: the same page. */
    char *twice = report_of(dir, NULL);
    assert_string_equal(page, twice);
    mo_free(twice);
    mo_free(page);
    mo_free(dir);
}

/* What `name` has in the run's folder, with `more` behind it. */
static void append(const char *dir, const char *name, const char *more)
{
    char *path = mo_path_join(dir, name), *text = NULL;
    size_t size = 0;
    if (mo_path_exists(path)) MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    char *longer = mo_strprintf("%s%s", text ? text : "", more);
    MO_CHECK_OK(mo_write_file(path, longer, strlen(longer)));
    mo_free(longer);
    mo_free(text);
    mo_free(path);
}

/* Killed after step 6 of 12, in the middle of a line; its folder has been told of a spike. */
static void a_run_that_was_cut_off(void **state)
{
    (void)state;
    char *dir = run_path("cut"), *where = mo_strprintf("run.dir=%s", dir);
    char *until = mo_path_join(dir, "step-00000006.h5");
    assert_true(run_killed((const char *[]){where}, 1, 60, until));
    append(dir, "metrics.jsonl", "{\"version\":1,\"step\":900,\"tok");
    append(dir, "spikes.jsonl",
           "{\"version\":1,\"step\":4,\"loss\":9.5,\"median\":2.5,\"mad\":0.1,\"height\":47.2,\"grad_norm\":"
           "3,\"layers\":"
           "[],\"sequences\":[{\"source\":\"<data>\",\"share\":0.5,\"text\":\"</td><script>alert(1)</"
           "script>\"}]}\n"
           "not JSON\n[1]\n{\"step\": 5}\n");
    append(dir, "samples.txt", "--- step 900 ---\n<b>&amp;</b>\n");
    char *page = report_of(dir, NULL);
    assert_has(page, "The run was stopped before its end: its last line of metrics is of step ");
    assert_has(page, " of 12.</p>");
    assert_has(page, "metrics.jsonl ends in the middle of a line, which is left out.");
    assert_has(page, "/config.yaml --resume");
    assert_has(page, "<h2>Steps whose loss jumped</h2>");
    assert_has(page, "1 step with a loss far above");
    assert_has(page, "<td class=\"n\">47.2</td>");
    assert_has(page, "<td>&lt;data&gt;</td><td>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;</td>");
    assert_has(page, "--- step 900 ---\n&lt;b&gt;&amp;amp;&lt;/b&gt;\n");
    mo_free(page);
    /* Somebody trains in the folder: here this process itself, by its lock. */
    int lock;
    MO_CHECK_OK(mo__run_lock(dir, &lock));
    page = report_of(dir, NULL);
    mo__run_unlock(dir, lock);
    assert_has(page, "The run goes on: when this page was made it was at step ");
    assert_null(strstr(page, "--resume"));
    mo_free(page);
    mo_free(until);
    mo_free(where);
    mo_free(dir);
}

static void a_run_that_has_just_begun(void **state)
{
    (void)state;
    char *dir = run_named("begun", "train.steps=1");
    char *lines = mo_path_join(dir, "metrics.jsonl"), *routing = mo_path_join(dir, "routing.jsonl");
    char *one = report_of(dir, NULL); /* one line: each curve is a point */
    assert_has(one, "<li><span>Steps</span> 1 of 1</li>");
    assert_int_equal(remove(lines), 0);
    assert_int_equal(remove(routing), 0);
    int plots;
    char *none = report_of(dir, &plots);
    assert_int_equal(plots, 0);
    assert_has(none, "it has not written a line of metrics");
    assert_has(none, "<h2>Config</h2>");
    mo_free(one);
    mo_free(none);
    mo_free(lines);
    mo_free(routing);
    mo_free(dir);
}

static void a_dense_run(void **state)
{
    (void)state;
    char *dir = run_path("dense"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where,
                              "model.num_local_experts=0",
                              "model.num_experts_per_tok=0",
                              "model.router=topk",
                              "balance.importance=0",
                              "balance.load=0",
                              "balance.z_loss=0",
                              "balance.switch=0"};
    MO_CHECK_OK(run_train(settings, 8, (mo_train_options){0}, NULL));
    int plots;
    char *page = report_of(dir, &plots);
    assert_int_equal(plots, 4);
    assert_has(page, "<li><span>Experts</span> none, feed-forward of 24</li>");
    assert_null(strstr(page, "<h2>Routing</h2>"));
    mo_free(page);
    mo_free(where);
    mo_free(dir);
}

/* hash has no entropy and no losses, capacity drops; more layers than colours tell apart. */
static void a_router_without_probabilities(void **state)
{
    (void)state;
    char *dir = run_path("hash"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where,
                              "model.router=hash",
                              "model.num_hidden_layers=9",
                              "model.num_experts_per_tok=1",
                              "model.capacity_factor=1",
                              "balance.importance=0",
                              "balance.load=0",
                              "balance.z_loss=0",
                              "balance.switch=0",
                              "log.routing=false",
                              "train.steps=3"};
    MO_CHECK_OK(run_train(settings, 11, (mo_train_options){0}, NULL));
    char *page = report_of(dir, NULL);
    assert_has(page, "mean of the layers; band: lowest to highest");
    assert_has(page, "<h3>Dropped by capacity</h3>");
    assert_null(strstr(page, "<h3>Entropy of the router</h3>"));
    assert_null(strstr(page, "<h2>Experts by domain</h2>"));
    assert_has(page, "<h3>Load of each expert, layer 8</h3>");
    mo_free(page);
    mo_free(where);
    mo_free(dir);
}

/* More cells than a page can have: layers are left out, and it says so. */
static void a_router_of_many_experts(void **state)
{
    (void)state;
    char *dir = run_path("many"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where,
                              "model.num_local_experts=600",
                              "model.num_hidden_layers=5",
                              "model.intermediate_size=2",
                              "train.steps=2",
                              "model.router=topk",
                              "balance.load=0"};
    MO_CHECK_OK(run_train(settings, 7, (mo_train_options){0}, NULL));
    char *page = report_of(dir, NULL);
    assert_has(page, "2 of the 5 layers are shown; metrics.jsonl has all.");
    assert_true(has_csv(dir, "load-layer-0") && has_csv(dir, "load-layer-4") &&
                !has_csv(dir, "load-layer-1"));
    assert_true(has_csv(dir, "domains-layer-4"));
    mo_free(page);
    mo_free(where);
    mo_free(dir);
}

static void a_mixture_with_names_that_are_markup(void **state)
{
    (void)state;
    char *odd = run_path("<i>&\"'`$x`.h5"), *dir = run_path("<img src=x onerror=y>");
    char *mixture =
        mo_strprintf("data.mixture=[{path: %s/data.h5, weight: 3}, {path: \"%s/<i>&\\\"'`$x`.h5\"}]",
                     run_folder, run_folder);
    char *where = mo_strprintf("run.dir=%s", dir);
    run_make_data(odd, 8);
    const char *settings[] = {where, mixture, "data.path=", "run.name=<script>alert('`$(id)`')"};
    MO_CHECK_OK(run_train(settings, 4, (mo_train_options){0}, NULL));
    char *page = report_of(dir, NULL);
    assert_has(page, "<h1>Run &lt;script&gt;alert(&#39;`$(id)`&#39;)</h1>");
    assert_has(page, "Sources of the mixture</caption>");
    assert_has(page, "<td>&lt;i&gt;&amp;&quot;&#39;`$x`</td>");
    assert_has(page, "<h3>Validation loss of each source</h3>");
    assert_has(page, ">data/stories</text>");
    mo_free(page);
    mo_free(where);
    mo_free(mixture);
    mo_free(dir);
    mo_free(odd);
}

static void a_run_upon_a_base(void **state)
{
    (void)state;
    char *base = run_named("base", NULL), *dir = run_path("upon"), *where = mo_strprintf("run.dir=%s", dir);
    char *from = mo_strprintf("init.from=%s/best.h5", base);
    const char *settings[] = {where, from};
    MO_CHECK_OK(run_train(settings, 2, (mo_train_options){0}, NULL));
    char *page = report_of(dir, NULL);
    assert_has(page, "<h3>Drift from the base&#39;s routing</h3>");
    assert_has(page, "<li><span>Begun from</span> ");
    assert_int_equal(csv_lines(dir, "loss"), 1 + 12 + 4); /* step 0 is an evaluation, and no step */
    mo_free(page);
    mo_free(from);
    mo_free(where);
    mo_free(dir);
    mo_free(base);
}

static void what_is_no_run(void **state)
{
    (void)state;
    mo_report_made made;
    char *nowhere = run_path("nowhere"), *page = run_path("page.html"), *dir = run_named("whole", NULL);
    mo_report_options options = {.path = nowhere, .output = page};
    MO_CHECK_STATUS(mo_report_write(&options, &made), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("nowhere: no such folder");
    MO_CHECK_OK(mo_make_dirs(nowhere));
    MO_CHECK_STATUS(mo_report_write(&options, &made), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("nowhere: is neither the folder of a run");
    options.path = dir;
    append(dir, "metrics.jsonl", "{\"step\": 3}\n");
    MO_CHECK_STATUS(mo_report_write(&options, &made), MO_E_CORRUPT);
    assert_false(mo_path_exists(page));
    mo_free(dir);
    mo_free(page);
    mo_free(nowhere);
}

static char *alloc_dir;

static mo_status whole_report(void)
{
    mo_report_made made;
    mo_report_options options = {.path = alloc_dir};
    MO_TRY(mo_report_write(&options, &made));
    mo_report_made_free(&made);
    return MO_OK;
}

/* Without gnuplot, so that there is time for it. */
static void memory_may_run_out(void **state)
{
    (void)state;
    char *path = mo_strdup(getenv("PATH"));
    alloc_dir = run_named("alloc", "train.steps=3");
    setenv("PATH", run_folder, 1);
    int64_t failed, before = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, whole_report());
    assert_in_range(failed, 100, 10000);
    assert_int_equal(mo__alloc_live(), before);
    setenv("PATH", path, 1);
    mo_free(path);
    mo_free(alloc_dir);
}

int main(int argc, char **argv)
{
    int child = run_as_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_is_over),
        cmocka_unit_test(a_run_that_was_cut_off),
        cmocka_unit_test(a_run_that_has_just_begun),
        cmocka_unit_test(a_dense_run),
        cmocka_unit_test(a_router_without_probabilities),
        cmocka_unit_test(a_router_of_many_experts),
        cmocka_unit_test(a_mixture_with_names_that_are_markup),
        cmocka_unit_test(a_run_upon_a_base),
        cmocka_unit_test(what_is_no_run),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
