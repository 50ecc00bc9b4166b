/* Curves over seeds: which seeds count, where points are, how two are held against each other. */
#include <math.h>

#include "harness/harness.h"
#include "lab/loss_curves.h"

enum { STEPS = 40, EVERY = 10 };

/* Two variants, seeds 1 and 2 of each, four evaluations; losses are offset + 1/step + 0.1 seed. */
typedef struct fixture {
    mo_lab_variant variants[2];
    mo_lab_trial trials[6];
    mo_lab_evaluation evaluations[6][4];
    mo_lab_results results;
} fixture;

static void fill(fixture *f, int at, int variant, uint64_t seed, double offset, double step_seconds)
{
    mo_lab_trial *t = &f->trials[at];
    *t = (mo_lab_trial){.id = at + 1,
                        .variant = variant,
                        .stage = MO_STAGE_MAIN,
                        .seed = seed,
                        .state = MO_TRIAL_DONE,
                        .target_step = STEPS,
                        .step = STEPS,
                        .step_seconds = step_seconds,
                        .evaluations = f->evaluations[at],
                        .n_evaluations = 4};
    for (int i = 0; i < 4; i++) {
        int64_t step = EVERY * (i + 1);
        f->evaluations[at][i] = (mo_lab_evaluation){
            .step = step,
            .tokens = 100 * step,
            .flops = (variant ? 3000 : 1000) * (double)step,
            .seconds = 7 * (double)step,
            .train_loss = 0,
            .validation_loss = offset + 1 / (double)step + 0.1 * (double)seed,
        };
    }
    t->loss = f->evaluations[at][3].validation_loss;
}

static void make(fixture *f)
{
    *f = (fixture){0};
    fill(f, 0, 0, 1, 1.0, 0.5);
    fill(f, 1, 1, 1, 1.2, 2.0);
    fill(f, 2, 0, 2, 1.0, 0.5);
    fill(f, 3, 1, 2, 1.3, 2.0);
    for (int i = 0; i < 2; i++)
        f->variants[i] = (mo_lab_variant){.name = i ? "b" : "a", .steps = STEPS, .step_tokens = 100};
    f->results = (mo_lab_results){
        .compare = true, .variants = f->variants, .n_variants = 2, .trials = f->trials, .n_trials = 4};
}

/* A timing trial of each variant. */
static void time_both(fixture *f)
{
    for (int v = 0; v < 2; v++) {
        fill(f, 4 + v, v, 1, 0, v ? 0.25 : 0.5);
        f->trials[4 + v].stage = MO_STAGE_TIMING;
        f->trials[4 + v].n_evaluations = 0;
    }
    f->results.n_trials = 6;
}

static void test_means_and_bands(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    MO_CHECK_OK(mo__losses_of(&f.results, 1, MO_AXIS_TOKENS, &l));
    assert_int_equal(l.count, 4);
    assert_int_equal(l.seeds, 2);
    for (int i = 0; i < 4; i++) {
        double step = EVERY * (i + 1);
        MO_CHECK_NEAR(l.x[i], 100 * step, 0);
        MO_CHECK_NEAR(l.low[i], 1.3 + 1 / step, 1e-12);
        MO_CHECK_NEAR(l.high[i], 1.5 + 1 / step, 1e-12);
        MO_CHECK_NEAR(l.mean[i], 1.4 + 1 / step, 1e-12);
    }
    mo__losses_free(&l);
}

static void test_axes(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    MO_CHECK_OK(mo__losses_of(&f.results, 1, MO_AXIS_FLOPS, &l));
    MO_CHECK_NEAR(l.x[3], 120000, 0);
    mo__losses_free(&l);
    MO_CHECK_OK(mo__losses_of(&f.results, 1, MO_AXIS_SECONDS, &l)); /* as trained */
    MO_CHECK_NEAR(l.x[3], 280, 0);
    mo__losses_free(&l);
    time_both(&f);
    MO_CHECK_OK(mo__losses_of(&f.results, 1, MO_AXIS_SECONDS, &l)); /* by the clock of the timing trial */
    MO_CHECK_NEAR(l.x[3], 10, 1e-12);
    mo__losses_free(&l);
}

/* A seed that still runs, or has failed, neither cuts a curve short nor bends it. */
static void test_seeds_that_are_done_count(void **state)
{
    (void)state;
    static const mo_lab_state states[] = {MO_TRIAL_RUNNING, MO_TRIAL_FAILED, MO_TRIAL_WAITING};
    fixture f;
    mo__losses l;
    for (int i = 0; i < 3; i++) {
        make(&f);
        f.trials[2].state = states[i];
        f.trials[2].n_evaluations = 2;
        MO_CHECK_OK(mo__losses_of(&f.results, 0, MO_AXIS_TOKENS, &l));
        assert_int_equal(l.seeds, 1);
        assert_int_equal(l.count, 4);
        MO_CHECK_NEAR(l.mean[0], 1.2, 1e-12);
        mo__losses_free(&l);
    }
}

/* None is done: those that run, as far as all of them are; a failed one is no help. */
static void test_seeds_that_run(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    f.trials[0].state = f.trials[2].state = MO_TRIAL_RUNNING;
    f.trials[2].n_evaluations = 2;
    MO_CHECK_OK(mo__losses_of(&f.results, 0, MO_AXIS_TOKENS, &l));
    assert_int_equal(l.seeds, 2);
    assert_int_equal(l.count, 2);
    MO_CHECK_NEAR(l.mean[1], 1.2, 1e-12);
    mo__losses_free(&l);
    f.trials[0].state = f.trials[2].state = MO_TRIAL_FAILED;
    MO_CHECK_OK(mo__losses_of(&f.results, 0, MO_AXIS_TOKENS, &l));
    assert_int_equal(l.seeds, 0);
    assert_int_equal(l.count, 0);
    mo__losses_free(&l);
}

/* At equal tokens the evaluations meet: differences 0.2 and 0.3, of which R's t.test says
 * 0.25, (-0.3853102, 0.8853102). */
static void test_distance_at_equal_tokens(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    MO_CHECK_OK(mo__losses_between(&f.results, 1, 0, MO_AXIS_TOKENS, &l));
    assert_int_equal(l.count, 4);
    assert_int_equal(l.seeds, 2);
    for (int i = 0; i < 4; i++) {
        MO_CHECK_NEAR(l.mean[i], 0.25, 1e-12);
        MO_CHECK_NEAR(l.low[i], -0.3853102, 1e-6);
        MO_CHECK_NEAR(l.high[i], 0.8853102, 1e-6);
    }
    mo__losses_free(&l);
}

/* b spends three times as much in a step: 30,000 and 40,000 FLOPs are where both have been. At 40,000 b is a
 * third of the way from step 10 to step 20. */
static void test_distance_at_equal_flops(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    MO_CHECK_OK(mo__losses_between(&f.results, 1, 0, MO_AXIS_FLOPS, &l));
    assert_int_equal(l.count, 2);
    MO_CHECK_NEAR(l.x[0], 30000, 0);
    MO_CHECK_NEAR(l.mean[0], 0.25 + 1.0 / 10 - 1.0 / 30, 1e-12);
    MO_CHECK_NEAR(l.x[1], 40000, 0);
    MO_CHECK_NEAR(l.mean[1], 0.25 + (2.0 / 3 / 10 + 1.0 / 3 / 20) - 1.0 / 40, 1e-12);
    mo__losses_free(&l);
}

/* Only seeds that both have are held against each other. */
static void test_distance_of_common_seeds(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    f.trials[3].seed = 9;
    MO_CHECK_OK(mo__losses_between(&f.results, 1, 0, MO_AXIS_TOKENS, &l));
    assert_int_equal(l.seeds, 1);
    MO_CHECK_NEAR(l.mean[0], 0.2, 1e-12);
    assert_true(isnan(l.low[0]) && isnan(l.high[0]));
    mo__losses_free(&l);
    f.trials[1].seed = 8;
    MO_CHECK_OK(mo__losses_between(&f.results, 1, 0, MO_AXIS_TOKENS, &l));
    assert_int_equal(l.seeds, 0);
    assert_int_equal(l.count, 0);
    mo__losses_free(&l);
}

/* A point needs all seeds: where one is slower, its end comes later, but so does its beginning. */
static void test_distance_where_all_seeds_are(void **state)
{
    (void)state;
    fixture f;
    mo__losses l;
    make(&f);
    for (int i = 0; i < 4; i++) f.evaluations[2][i].seconds *= 1.5; /* a's second seed: 105 to 420 s */
    MO_CHECK_OK(mo__losses_between(&f.results, 1, 0, MO_AXIS_SECONDS, &l));
    assert_int_equal(l.seeds, 2);
    assert_int_equal(l.count, 3); /* 140, 210 and 280 s, not 70 */
    MO_CHECK_NEAR(l.x[0], 140, 0);
    mo__losses_free(&l);
}

static mo_status both(const mo_lab_results *r)
{
    mo__losses l;
    MO_TRY(mo__losses_of(r, 0, MO_AXIS_TOKENS, &l));
    mo__losses_free(&l);
    MO_TRY(mo__losses_between(r, 1, 0, MO_AXIS_TOKENS, &l));
    mo__losses_free(&l);
    return MO_OK;
}

static void test_memory(void **state)
{
    (void)state;
    fixture f;
    int count;
    make(&f);
    MO_CHECK_EACH_ALLOCATION(count, both(&f.results));
    assert_true(count > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means_and_bands),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_seeds_that_are_done_count),
        cmocka_unit_test(test_seeds_that_run),
        cmocka_unit_test(test_distance_at_equal_tokens),
        cmocka_unit_test(test_distance_at_equal_flops),
        cmocka_unit_test(test_distance_of_common_seeds),
        cmocka_unit_test(test_distance_where_all_seeds_are),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
