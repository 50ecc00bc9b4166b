/* test_run_length.c -- how long runs go on: tokens, seconds. */
#include "harness/small_run.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

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
    settings[2] = "train.seconds=0.5";
    MO_CHECK_OK(run_train(settings, 7, (mo_train_options){.resume = true}, &again));
    assert_true(again.step > last.step && again.seconds >= 0.5);
    mo_free(want);
    mo_free(path);
    mo_free(where);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_are_steps),
                                       cmocka_unit_test(schedules_end_with_the_tokens),
                                       cmocka_unit_test(seconds_end_a_run)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
