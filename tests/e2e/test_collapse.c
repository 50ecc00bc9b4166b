/* test_collapse.c -- routers that collapse where nothing holds them, told of once; those that are balanced do
 * not; and the watch changes nothing. */
#include "harness/small_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "harness/events.h"

static char said[1 << 16];

static void on_log(mo_log_level level, const char *message, void *user)
{
    (void)user;
    size_t used = strlen(said);
    if (level == MO_LOG_WARNING && strstr(message, " collapses: "))
        snprintf(said + used, sizeof said - used, "%s\n", message);
}

static volatile sig_atomic_t stop;
static int64_t stop_step; /* where a run is to be interrupted, 0: nowhere */

static void on_tick(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    stop = step == stop_step;
}

/* A topk router of 8 experts in each of 3 layers, with some more settings. Returns the folder, owned; what
 * it warned of is in `said`. */
static char *train(const char *name, const char *const *more, const char *steps, bool resume)
{
    char *dir = run_path(name), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[20] = {where,
                                steps,
                                "model.router=topk",
                                "model.num_local_experts=8",
                                "model.embd_pdrop=0",
                                "model.resid_pdrop=0",
                                "model.attention_dropout=0",
                                "balance.importance=0",
                                "balance.load=0",
                                "balance.z_loss=0",
                                "schedule.kind=constant",
                                "eval.every=1000",
                                "checkpoint.every=1000",
                                "sample.tokens=0"};
    int n = 14;
    for (int i = 0; more[i]; i++) settings[n++] = more[i];
    *said = '\0';
    mo_log_set(on_log, NULL);
    mo_train_options options = {.resume = resume, .stop = &stop, .events.tick = on_tick};
    stop = 0;
    MO_CHECK_STATUS(run_train(settings, n, options, NULL), stop_step ? MO_E_INTERRUPTED : MO_OK);
    mo_log_set(NULL, NULL);
    mo_free(where);
    return dir;
}

static int times(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++) n++;
    return n;
}

/* Dead experts stand with rising shares, all below a tenth of 12.5%, and as many as are said to be dead. */
static void check_shares(void)
{
    char *text = mo_strdup(said);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *at = strstr(line, "collapses: ");
        int dead = atoi(at + strlen("collapses: "));
        double before = 0;
        for (at = strstr(line, " got "); at; at = strstr(at + 1, " got "), dead--) {
            double share = atof(at + strlen(" got "));
            assert_true(share >= before && share < 1.25);
            before = share;
        }
        assert_int_equal(dead, 0);
    }
    mo_free(text);
}

#define WINDOW "log.collapse_window=20"

/* Each of three layers leaves experts out, and is told of once though there are four windows. */
static void what_nothing_holds_collapses(void **state)
{
    (void)state;
    char *dir = train("free", (const char *[]){WINDOW, "balance.switch=0", NULL}, "train.steps=80", false);
    int n = times(said, " collapses: ");
    assert_in_range(n, 1, 3);
    assert_int_equal(times(said, " of its 8 experts "), n);
    assert_int_equal(times(said, " of the choices of the last 20 steps expert "), n);
    assert_int_equal(times(said, ", where a fair share is 12.5% (MaxVio "), n);
    assert_int_equal(times(said,
                           "To try in a new run: balance.switch=0.03 (now 0), balance.mixtral=0.02 (now 0), "
                           "balance.z_loss=0.003 (now 0), model.router_jitter_noise=0.01 (now 0), "
                           "optimizer.groups {match: router, learning_rate_scale: 0.1} (now 1), "
                           "model.capacity_factor=1.25 (now null)\n"),
                     n);
    for (int l = 0; l < 3; l++) {
        char layer[64];
        snprintf(layer, sizeof layer, "the routing of layer %d collapses: ", l);
        assert_true(times(said, layer) <= 1);
    }
    check_shares();
    char *events = timeless_events(dir);
    assert_int_equal(times(events, "/dead_experts "), n);
    assert_int_equal(times(events, "To try in a new run: "), n);
    free(events);
    mo_free(dir);
}

/* The same with Switch's loss. */
static void what_is_balanced_does_not(void **state)
{
    (void)state;
    char *dir = train("held", (const char *[]){WINDOW, "balance.switch=0.2", NULL}, "train.steps=80", false);
    assert_string_equal(said, "");
    char *events = timeless_events(dir);
    assert_int_equal(times(events, "To try in a new run: "), 0);
    free(events);
    mo_free(dir);
}

#define DRIVEN "balance.switch=0", "optimizer.groups=[{match: router, learning_rate_scale: 300}]"

/* Driven hard, a softmax becomes a step. */
static void what_is_driven_leaves_no_choice(void **state)
{
    (void)state;
    char *dir =
        train("driven", (const char *[]){"log.collapse_window=5", DRIVEN, NULL}, "train.steps=80", false);
    int sharp = times(said, "its probabilities leave no choice: over the last 5 steps their entropy was "),
        dead = times(said, "where a fair share is 12.5%");
    assert_in_range(sharp, 1, 3);
    assert_int_equal(times(said, " collapses: "), sharp + dead);
    assert_int_equal(times(said, " of 2.08 nats and in no step 0.042, the largest was "), sharp);
    assert_int_equal(times(said, "learning_rate_scale: 30} (now 300)"), sharp + dead);
    assert_int_equal(times(said, "balance.switch"), dead); /* which is of no help to the others */
    char *events = timeless_events(dir);
    assert_int_equal(times(events, "/no_entropy "), sharp);
    free(events);
    mo_free(dir);
}

static const char *const off[] = {"log.collapse_window=0", DRIVEN, NULL}, *const on[] = {
                                                                              "log.collapse_window=5", DRIVEN,
                                                                              NULL};

/* With and without the watch: the same weights and metrics. */
static void the_watch_changes_nothing(void **state)
{
    (void)state;
    char *unseen = train("unseen", off, "train.steps=32", false);
    assert_string_equal(said, "");
    char *seen = train("seen", on, "train.steps=32", false);
    assert_true(times(said, " collapses: ") >= 1);
    assert_same_weights(unseen, seen);
    char *a = timeless_metrics(unseen), *b = timeless_metrics(seen);
    assert_string_equal(a, b);
    free(a);
    free(b);
    mo_free(seen);
    mo_free(unseen);
}

/* The run of the test before: two of its steps were of a window that step 35 would have ended. What was told
 * of is told again. */
static void a_resume_begins_a_window(void **state)
{
    (void)state;
    mo_free(train("seen", on, "train.steps=36", true));
    assert_string_equal(said, "");
    mo_free(train("seen", on, "train.steps=40", true));
    assert_string_equal(said, "");
    mo_free(train("seen", on, "train.steps=45", true));
    assert_true(times(said, " collapses: ") >= 1);
}

/* A signal in the evaluation after the step at which a first warning is due: the events of that step are cut
 * when the run goes on, so that only what stays there may be told of. */
static void what_is_told_of_stays(void **state)
{
    (void)state;
    const char *const more[] = {"eval.every=5", "log.collapse_window=5", DRIVEN, NULL};
    mo_free(train("told", more, "train.steps=32", false));
    stop_step = atoi(said + strlen("step "));
    assert_true(stop_step > 0 && stop_step % 5 == 0);
    char *dir = train("broken", more, "train.steps=45", false);
    MO_CHECK_MESSAGE("interrupted in the evaluation after step");
    int before = times(said, " collapses: ");
    stop_step = 0;
    mo_free(train("broken", more, "train.steps=45", true));
    int after = times(said, " collapses: ");
    assert_true(after >= 1);
    char *events = timeless_events(dir);
    assert_int_equal(times(events, "To try in a new run: "), before + after);
    free(events);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nothing_holds_collapses),    cmocka_unit_test(what_is_balanced_does_not),
        cmocka_unit_test(what_is_driven_leaves_no_choice), cmocka_unit_test(the_watch_changes_nothing),
        cmocka_unit_test(a_resume_begins_a_window),        cmocka_unit_test(what_is_told_of_stays)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
