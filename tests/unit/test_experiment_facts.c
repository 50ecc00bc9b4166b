/* What is said of an experiment besides its answer. */
#include <math.h>
#include <string.h>

#include "harness/harness.h"
#include "harness/small_experiment.h"
#include "lab/experiment_facts.h"

static void test_tally(void **state)
{
    (void)state;
    mo_lab_results r;
    experiment_sweep(EXPERIMENT_GOING, &r);
    mo__tally t = mo__tally_of(&r);
    assert_int_equal(t.all, 48);
    assert_int_equal(t.running, 1);
    assert_int_equal(t.waiting, 18);
    assert_int_equal(t.failed, 2);
    assert_int_equal(t.done, 27);
    assert_int_equal(mo__lab_seeds(&r), 2);
    mo_lab_results_free(&r);
}

static void test_steps(void **state)
{
    (void)state;
    mo_lab_results r;
    experiment_sweep(EXPERIMENT_DONE, &r);
    assert_false(mo__lab_steps_differ(&r));
    assert_int_equal(mo__lab_step_of(&r, 0), 600);
    assert_int_equal(mo__lab_step_of(&r, 5), 0); /* it has failed */
    r.trials[0].target_step = 100;
    assert_true(mo__lab_steps_differ(&r));
    assert_int_equal(mo__lab_step_of(&r, 0), 100); /* the other seed has got farther, which does not count */
    r.trials[24].target_step = 50;
    assert_int_equal(mo__lab_step_of(&r, 0), 50);
    mo_lab_results_free(&r);
}

static void test_seeds_are_of_the_main_stage(void **state)
{
    (void)state;
    mo_lab_results r;
    experiment_compare(EXPERIMENT_DONE, &r);
    for (int i = 0; i < r.n_trials; i++)
        if (r.trials[i].stage != MO_STAGE_MAIN) r.trials[i].seed = 77;
    assert_int_equal(mo__lab_seeds(&r), 5);
    mo_lab_results_free(&r);
}

static void test_keys(void **state)
{
    (void)state;
    mo_lab_results r;
    const char *keys[8];
    experiment_sweep(EXPERIMENT_DONE, &r);
    assert_int_equal(mo__lab_keys(&r, keys, 8), 4);
    assert_string_equal(keys[0], "model.router");
    assert_string_equal(keys[3], "model.num_local_experts");
    assert_int_equal(mo__lab_keys(&r, keys, 2), 2);
    assert_string_equal(mo__lab_short_key(&r, "balance.switch"), "switch");
    assert_string_equal(mo__lab_short_key(&r, "plain"), "plain");
    assert_string_equal(mo__lab_chosen(&r.variants[23], "balance.switch"), "0.01");
    assert_null(mo__lab_chosen(&r.variants[23], "switch"));
    mo_free(r.variants[7].chosen.at[0].key);
    r.variants[7].chosen.at[0].key = mo_strdup("router.switch");
    assert_string_equal(mo__lab_short_key(&r, "balance.switch"), "balance.switch");
    assert_int_equal(mo__lab_keys(&r, keys, 8), 5);
    mo_lab_results_free(&r);
}

static void test_estimates_as_text(void **state)
{
    (void)state;
    mo_estimate e = {.mean = 1.25, .deviation = 0.1, .low = 1.0, .high = 1.5, .count = 4};
    assert_string_equal(mo__lab_mean(&e, 3).text, "1.250 ± 0.250");
    assert_string_equal(mo__lab_distance(&e, 2).text, "+1.25 ± 0.25");
    assert_string_equal(mo__lab_interval(&e, 1).text, "1.2 (1.0 to 1.5)");
    e = (mo_estimate){
        .mean = -0.5, .deviation = (double)NAN, .low = (double)NAN, .high = (double)NAN, .count = 1};
    assert_string_equal(mo__lab_mean(&e, 2).text, "-0.50");
    assert_string_equal(mo__lab_distance(&e, 2).text, "-0.50");
    assert_string_equal(mo__lab_interval(&e, 2).text, "-0.50");
    e.mean = (double)NAN;
    assert_string_equal(mo__lab_mean(&e, 2).text, "-");
    assert_string_equal(mo__lab_distance(&e, 2).text, "-");
    assert_string_equal(mo__lab_interval(&e, 2).text, "-");
}

static void test_contrasted(void **state)
{
    (void)state;
    mo_contrast contrasts[2] = {0};
    mo_answer a = {.contrasts = contrasts, .n_contrasts = 2};
    assert_false(mo__lab_contrasted(&a));
    contrasts[1].axis[MO_AXIS_TOKENS].difference.count = 1;
    assert_true(mo__lab_contrasted(&a));
    a.n_contrasts = 0;
    assert_false(mo__lab_contrasted(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_seeds_are_of_the_main_stage),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_estimates_as_text),
        cmocka_unit_test(test_contrasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
