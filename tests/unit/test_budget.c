/* test_budget.c -- steps, tokens and seconds as the length of a run. */
#include "harness/harness.h"

#include "train/train_internal.h"

/* Steps of 2 * 3 * 80 = 480 tokens. */
static mo_run_config config(int64_t steps, int64_t tokens, double seconds)
{
    mo_run_config c = {.train = {.steps = steps,
                                 .tokens = tokens,
                                 .seconds = seconds,
                                 .batch_size = 3,
                                 .sequence_length = 80,
                                 .gradient_accumulation_steps = 2}};
    return c;
}

static int64_t steps_of(int64_t steps, int64_t tokens)
{
    mo_run_config c = config(steps, tokens, 0);
    return mo_run_steps(&c);
}

static void tokens_are_whole_steps(void **state)
{
    (void)state;
    mo_run_config c = config(1, 0, 0);
    assert_int_equal(mo_run_step_tokens(&c), 480);
    assert_int_equal(steps_of(0, 1), 1);
    assert_int_equal(steps_of(0, 480), 1);
    assert_int_equal(steps_of(0, 481), 2);
    assert_int_equal(steps_of(0, 4800), 10);
    assert_int_equal(steps_of(7, 0), 7);
    assert_int_equal(steps_of(7, 4800), 7);
    assert_int_equal(steps_of(11, 4800), 10);
    assert_int_equal(steps_of(0, 0), 0);
    c.train.batch_size = c.train.sequence_length = c.train.gradient_accumulation_steps = 1 << 30;
    assert_int_equal(mo_run_step_tokens(&c), INT64_MAX);
    c.train.tokens = 5;
    assert_int_equal(mo_run_steps(&c), 1);
}

static int64_t projected(mo_run_config c, int64_t step, double seconds)
{
    return mo__run_projected(&c, &(mo_checkpoint_state){.step = step, .seconds = seconds});
}

/* Without seconds the clock has no say. */
static void the_projection_follows_what_is_spent_most(void **state)
{
    (void)state;
    assert_int_equal(projected(config(30, 0, 0), 10, 5), 30);
    assert_int_equal(projected(config(0, 4800, 0), 9, 5), 10);
    assert_int_equal(projected(config(0, 0, 20), 10, 5), 40);
    assert_int_equal(projected(config(30, 0, 20), 10, 5), 30);
    assert_int_equal(projected(config(50, 0, 20), 10, 5), 40);
    assert_int_equal(projected(config(50, 4800, 20), 9, 5), 10);
    assert_int_equal(projected(config(0, 0, 20), 0, 0), INT64_MAX);
    assert_int_equal(projected(config(50, 0, 20), 0, 0), 50);
    assert_int_equal(projected(config(0, 0, 1e9), 1, 1e-300), INT64_MAX);
    for (int64_t step = 1; step < 200; step++) /* there is always a step to come */
        assert_true(projected(config(0, 0, 20), step, 19.999999) > step);
}

static mo_run_end end_of(mo_run_config c, int64_t step, double seconds)
{
    return mo__run_end(&c, &(mo_checkpoint_state){.step = step, .seconds = seconds});
}

static void the_first_budget_that_is_spent_ends_the_run(void **state)
{
    (void)state;
    assert_int_equal(end_of(config(5, 4800, 9), 4, 8.9), MO_RUN_GOES_ON);
    assert_int_equal(end_of(config(5, 4800, 9), 5, 8.9), MO_RUN_STEPS);
    assert_int_equal(end_of(config(0, 4800, 9), 9, 8.9), MO_RUN_GOES_ON);
    assert_int_equal(end_of(config(50, 4799, 9), 10, 8.9), MO_RUN_TOKENS);
    assert_int_equal(end_of(config(50, 4800, 9), 3, 9), MO_RUN_SECONDS);
    assert_int_equal(end_of(config(0, 0, 9), 1000000, 8.9), MO_RUN_GOES_ON);
    assert_int_equal(end_of(config(7, 0, 0), 6, 1e9), MO_RUN_GOES_ON);
}

static mo_status extends(mo_run_config c, int64_t step)
{
    return mo__run_extends(&c, &(mo_checkpoint_state){.step = step, .seconds = 100});
}

static void budgets_can_only_grow(void **state)
{
    (void)state;
    MO_CHECK_OK(extends(config(12, 0, 0), 12));
    MO_CHECK_STATUS(extends(config(11, 0, 0), 12), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("train.steps 11: the run has done 12 steps already");
    MO_CHECK_OK(extends(config(0, 4700, 0), 10));
    MO_CHECK_STATUS(extends(config(0, 4700, 0), 11), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("train.tokens 4700 are 10 steps of 480 tokens: the run has done 11 steps already");
    MO_CHECK_OK(extends(config(0, 0, 1), 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_are_whole_steps),
                                       cmocka_unit_test(the_projection_follows_what_is_spent_most),
                                       cmocka_unit_test(the_first_budget_that_is_spent_ends_the_run),
                                       cmocka_unit_test(budgets_can_only_grow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
