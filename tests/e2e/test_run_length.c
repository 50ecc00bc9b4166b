/* test_run_length.c -- how long runs go on: tokens, seconds, the patience of evaluations; and evaluations
 * that a signal interrupts. */
#include "harness/small_run.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static mo_run_end train_more(const char *where, const char *a, const char *b, mo_step_report *last)
{
    const char *settings[] = {where, a, b};
    char *dir = mo_path_join(strchr(where, '=') + 1, "config.yaml");
    bool resume = mo_path_exists(dir);
    mo_free(dir);
    MO_CHECK_OK(run_train(settings, 3, (mo_train_options){.resume = resume}, last));
    return last->end;
}

/* 12 steps of 480 tokens: in one, and in two parts of which the first has no whole number of steps. */
static void tokens_are_steps(void **state)
{
    (void)state;
    mo_step_report last;
    char *steps = run_named("steps", "schedule.kind=constant");
    char *dir = run_path("tokens"), *where = mo_strprintf("run.dir=%s", dir);
    char *settings[] = {mo_strprintf("train.tokens=%d", 12 * 480 - 479), "schedule.kind=constant"};
    assert_int_equal(train_more(where, "train.tokens=2400", settings[1], &last), MO_RUN_TOKENS);
    assert_int_equal(last.step, 5);
    assert_int_equal(train_more(where, settings[0], settings[1], &last), MO_RUN_STEPS); /* both at once */
    assert_int_equal(last.step, 12);
    assert_same_weights(steps, dir);
    assert_int_equal(train_more(where, settings[0], settings[1], &last), MO_RUN_STEPS);
    assert_true(last.step == 12 && last.steps == 0);
    const char *fewer[] = {where, "train.tokens=4800", settings[1]};
    MO_CHECK_STATUS(run_train(fewer, 3, (mo_train_options){.resume = true}, NULL), MO_E_MISMATCH);
    mo_free(settings[0]);
    mo_free(where);
    mo_free(dir);
    mo_free(steps);
}

/* The schedule of a cosine is the same whether its end is said in steps or in tokens. */
static void schedules_end_with_the_tokens(void **state)
{
    (void)state;
    char *steps = run_named("cosine", NULL), *dir = run_path("tokens-cosine");
    char *where = mo_strprintf("run.dir=%s", dir);
    mo_step_report last;
    assert_int_equal(train_more(where, "train.steps=0", "train.tokens=5760", &last), MO_RUN_TOKENS);
    assert_same_run(steps, dir);
    mo_free(where);
    mo_free(dir);
    mo_free(steps);
}

static double number(const json_t *line, const char *key)
{
    assert_true(json_is_number(json_object_get(line, key)));
    return json_number_value(json_object_get(line, key));
}

/* Each step's rate is that of the share of the seconds that was spent before it. Returns lines. */
static int check_rates(const char *dir, double budget)
{
    char *path = mo_path_join(dir, "metrics.jsonl"), *text = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    double before = 0;
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_t *object = json_loads(line, 0, NULL);
        double step = number(object, "step") - 1, share = before / budget;
        assert_true(share < 1);
        /* the number of steps that it is a share of is rounded up */
        MO_CHECK_NEAR(number(object, "learning_rate"), 3e-3 * (1 - 0.9 * share), 3e-3 / fmax(step, 1));
        before = number(object, "seconds");
        json_decref(object);
    }
    assert_true(before >= budget && before < 5 * budget + 5);
    mo_free(text);
    mo_free(path);
    return lines;
}

static void seconds_end_a_run(void **state)
{
    (void)state;
    char *dir = run_path("seconds"), *where = mo_strprintf("run.dir=%s", dir), *path = NULL;
    const char *settings[] = {where,
                              "train.steps=0",
                              "train.seconds=0.25",
                              "schedule.kind=linear",
                              "schedule.warmup_steps=0",
                              "eval.every=1000000",
                              "checkpoint.every=1000000"};
    mo_step_report last, again;
    MO_CHECK_OK(run_train(settings, 7, (mo_train_options){0}, &last));
    assert_true(last.end == MO_RUN_SECONDS && last.step == last.steps && last.evaluated);
    assert_int_equal(check_rates(dir, 0.25), last.step);
    MO_CHECK_OK(mo_run_latest(dir, &path));
    char *want = mo_strprintf("%s/step-%08lld.h5", dir, (long long)last.step);
    assert_string_equal(path, want);
    MO_CHECK_OK(run_train(settings, 7, (mo_train_options){.resume = true}, &again));
    assert_true(again.end == MO_RUN_SECONDS && again.steps == 0 && again.step == last.step);
    assert_true(again.seconds == last.seconds);
    char *more = mo_strprintf("train.seconds=%.17g", last.seconds + 0.1);
    settings[2] = more;
    MO_CHECK_OK(run_train(settings, 7, (mo_train_options){.resume = true}, &again));
    assert_true(again.step > last.step && again.seconds >= last.seconds + 0.1);
    mo_free(more);
    mo_free(want);
    mo_free(path);
    mo_free(where);
    mo_free(dir);
}

/* ---- patience ---- */

/* A new best of 5 nats there is never again after the first. */
static const char *const impatient[] = {"eval.every=3", "eval.min_delta=5"};

static mo_status patient(const char *where, const char *patience, bool resume, mo_step_report *last)
{
    const char *settings[] = {where, impatient[0], impatient[1], patience, "schedule.kind=constant"};
    return run_train(settings, 5, (mo_train_options){.resume = resume}, last);
}

static mo_checkpoint_state newest_state(const char *dir)
{
    char *path = NULL;
    mo_checkpoint *c = NULL;
    MO_CHECK_OK(mo_run_latest(dir, &path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    mo_checkpoint_state state = *mo_checkpoint_get_state(c);
    mo_checkpoint_close(c);
    mo_free(path);
    return state;
}

static void patience_ends_a_run(void **state)
{
    (void)state;
    char *dir = run_path("patience"), *where = mo_strprintf("run.dir=%s", dir);
    char *whole = run_path("impatience"), *there = mo_strprintf("run.dir=%s", whole);
    mo_step_report last;
    MO_CHECK_OK(patient(where, "eval.patience=2", false, &last));
    assert_true(last.end == MO_RUN_PATIENCE && last.step == 9 && last.steps == 9 && last.evaluated);
    mo_checkpoint_state s = newest_state(dir);
    assert_true(s.step == 9 && s.stale_evaluations == 2 && s.patience_loss > s.best_loss);
    MO_CHECK_OK(patient(where, "eval.patience=2", true, &last));
    assert_true(last.end == MO_RUN_PATIENCE && last.step == 9 && last.steps == 0);
    MO_CHECK_OK(patient(where, "eval.patience=1", true, &last));
    assert_true(last.end == MO_RUN_PATIENCE && last.steps == 0);
    MO_CHECK_OK(patient(there, "eval.patience=3", false, &last));
    assert_true(last.end == MO_RUN_STEPS && last.step == 12); /* both at once */
    MO_CHECK_OK(patient(where, "eval.patience=3", true, &last));
    assert_int_equal(last.step, 12);
    assert_same_run(whole, dir);
    mo_free(there);
    mo_free(whole);
    mo_free(where);
    mo_free(dir);
}

/* Without a least gain a run that learns has no end but its steps. */
static void gains_are_waited_for(void **state)
{
    (void)state;
    char *dir = run_path("gains"), *where = mo_strprintf("run.dir=%s", dir);
    mo_step_report last;
    const char *settings[] = {where, "eval.every=3", "eval.patience=1"};
    MO_CHECK_OK(run_train(settings, 3, (mo_train_options){0}, &last));
    assert_int_equal(last.end, MO_RUN_STEPS);
    assert_int_equal(newest_state(dir).stale_evaluations, 0);
    mo_free(where);
    mo_free(dir);
}

/* ---- evaluations interrupted ---- */

static volatile sig_atomic_t stop;
static int64_t stop_step;

static void stop_there(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == stop_step) stop = 1;
}

static mo_checkpoint_state interrupt(const char *where, bool resume, int64_t step)
{
    stop = 0;
    stop_step = step;
    mo_train_options options = {.resume = resume, .stop = &stop, .events.tick = stop_there};
    MO_CHECK_STATUS(run_train((const char *[]){where}, 1, options, NULL), MO_E_INTERRUPTED);
    return newest_state(strchr(where, '=') + 1);
}

static int lines_of(const char *dir)
{
    char *text = timeless_metrics(dir);
    int lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    free(text);
    return lines;
}

/* Evaluations are due after steps 5, 10 (with a checkpoint) and 12, the last. */
static void an_interrupted_evaluation_is_made_again(void **state)
{
    (void)state;
    char *whole = run_named("whole", NULL);
    static const int64_t at[] = {5, 10, 12};
    char *dir = run_path("evaluations"), *where = mo_strprintf("run.dir=%s", dir);
    for (int i = 0; i < 3; i++) {
        mo_checkpoint_state s = interrupt(where, i > 0, at[i]);
        MO_CHECK_MESSAGE("interrupted in the evaluation after step");
        assert_true(s.step == at[i] && s.evaluation_due);
        assert_int_equal(lines_of(dir), at[i]);
        /* and at once again: nothing but the evaluation is left to interrupt */
        stop = 1;
        mo_train_options again = {.resume = true, .stop = &stop};
        MO_CHECK_STATUS(run_train((const char *[]){where}, 1, again, NULL), MO_E_INTERRUPTED);
        s = newest_state(dir);
        assert_true(s.step == at[i] && s.evaluation_due);
    }
    mo_step_report last;
    MO_CHECK_OK(run_train((const char *[]){where}, 1, (mo_train_options){.resume = true}, &last));
    assert_true(last.end == MO_RUN_STEPS && last.step == 12 && last.steps == 12 && last.evaluated);
    assert_same_run(whole, dir);
    assert_true(run_best_loss(whole) == run_best_loss(dir));
    assert_false(newest_state(dir).evaluation_due);
    mo_free(where);
    mo_free(dir);
    mo_free(whole);
}

static void copy_folder(const mo_run_config *config, const mo_run_data *data, const mo_model *model,
                        const mo_run_memory *memory, int64_t first_step, bool over, void *user)
{
    (void)data;
    (void)model;
    (void)memory;
    assert_true(first_step == 5 && !over);
    char *command = mo_strprintf("cp -r '%s' '%s'", config->run.dir, (const char *)user);
    assert_int_equal(system(command), 0);
    mo_free(command);
}

/* What a kill in the evaluation that is made again leaves is the folder as it is before. */
static void killed_in_the_second_evaluation(void **state)
{
    (void)state;
    char *dir = run_path("survivor"), *where = mo_strprintf("run.dir=%s", dir);
    char *killed = run_path("killed"), *there = mo_strprintf("run.dir=%s", killed);
    interrupt(where, false, 5);
    mo_train_options options = {.resume = true, .events = {.start = copy_folder, .user = killed}};
    MO_CHECK_OK(run_train((const char *[]){where}, 1, options, NULL));
    MO_CHECK_OK(run_train((const char *[]){there}, 1, (mo_train_options){.resume = true}, NULL));
    assert_same_run(dir, killed);
    mo_free(there);
    mo_free(killed);
    mo_free(where);
    mo_free(dir);
}

static void on_alarm(int number)
{
    (void)number;
    stop = 1;
}

static void alarm_in(double seconds)
{
    time_t whole = (time_t)seconds;
    suseconds_t rest = (suseconds_t)(1e6 * (seconds - (double)whole));
    struct itimerval timer = {.it_value = {.tv_sec = whole, .tv_usec = rest}};
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* Signals that come when they will; where they fall is the machine's affair. */
static void signals_at_any_time(void **state)
{
    (void)state;
    const char *settings[] = {NULL, "eval.every=2", "sample.tokens=5", "run.threads=1"};
    char *whole = run_path("undisturbed"), *dir = run_path("disturbed");
    char *there = mo_strprintf("run.dir=%s", whole), *where = mo_strprintf("run.dir=%s", dir);
    settings[0] = there;
    MO_CHECK_OK(run_train(settings, 4, (mo_train_options){0}, NULL));
    settings[0] = where;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    int round = 0;
    mo_status status = MO_E_INTERRUPTED;
    for (; status == MO_E_INTERRUPTED; round++) { /* longer and longer, so that there is an end */
        double wait = 0.004 * (3 + round) * mo_rng_uniform(3, MO_RNG_TEST, (uint64_t)round, 0, 0);
        stop = 0;
        alarm_in(wait);
        status = run_train(settings, 4, (mo_train_options){.resume = round > 0, .stop = &stop}, NULL);
        alarm_in(0);
    }
    MO_CHECK_OK(status);
    assert_true(round > 1);
    assert_same_run(whole, dir);
    mo_free(where);
    mo_free(there);
    mo_free(dir);
    mo_free(whole);
}

/* Somebody removed the metrics: the run goes on without that evaluation. */
static void a_lost_metrics_line_is_no_end(void **state)
{
    (void)state;
    char *dir = run_path("lost"), *where = mo_strprintf("run.dir=%s", dir);
    interrupt(where, false, 5);
    char *metrics = mo_path_join(dir, "metrics.jsonl");
    assert_int_equal(remove(metrics), 0);
    mo_step_report last;
    MO_CHECK_OK(run_train((const char *[]){where}, 1, (mo_train_options){.resume = true}, &last));
    assert_int_equal(last.step, 12);
    assert_int_equal(lines_of(dir), 7);
    mo_free(metrics);
    mo_free(where);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_are_steps),
                                       cmocka_unit_test(schedules_end_with_the_tokens),
                                       cmocka_unit_test(seconds_end_a_run),
                                       cmocka_unit_test(patience_ends_a_run),
                                       cmocka_unit_test(gains_are_waited_for),
                                       cmocka_unit_test(an_interrupted_evaluation_is_made_again),
                                       cmocka_unit_test(killed_in_the_second_evaluation),
                                       cmocka_unit_test(signals_at_any_time),
                                       cmocka_unit_test(a_lost_metrics_line_is_no_end)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
