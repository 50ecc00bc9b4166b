/* test_track.c -- where a curve is at some spending, and from where on it has a loss. */
#include <math.h>

#include "harness/harness.h"
#include "lab/track.h"

enum { MOST = 8 };

/* Losses of steps 10, 20, ...; a step reads 100 tokens, does 1e6 FLOPs and takes 2 s. */
static mo__track track_of(mo_axis axis, double step_seconds, int n, const double *losses)
{
    mo_lab_evaluation e[MOST] = {{0}};
    mo_lab_trial trial = {.evaluations = e, .n_evaluations = n};
    for (int i = 0; i < n; i++) {
        int64_t step = 10 * (i + 1);
        e[i] = (mo_lab_evaluation){.step = step,
                                   .tokens = 100 * step,
                                   .flops = 1e6 * (double)step,
                                   .seconds = 2.0 * (double)step,
                                   .validation_loss = losses[i]};
    }
    mo__track t;
    MO_CHECK_OK(mo__track_of(&trial, axis, step_seconds, &t));
    return t;
}

static void check_has(const double *losses, int n, double loss, double wanted)
{
    mo__track t = track_of(MO_AXIS_TOKENS, (double)NAN, n, losses);
    double has = mo__track_has(&t, loss);
    if (isnan(wanted) ? !isnan(has) : !(fabs(has - wanted) <= 1e-9 * wanted))
        fail_msg("has %g from %g on, and not from %g", loss, has, wanted);
    mo__track_free(&t);
}

static void test_axes(void **state)
{
    (void)state;
    const double losses[] = {4, 3, 2};
    const struct {
        mo_axis axis;
        double step_seconds, end;
    } all[] = {{MO_AXIS_TOKENS, (double)NAN, 3000},
               {MO_AXIS_FLOPS, (double)NAN, 3e7},
               {MO_AXIS_SECONDS, (double)NAN, 60},
               {MO_AXIS_SECONDS, 0.5, 15},
               {MO_AXIS_TOKENS, 0.5, 3000}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mo__track t = track_of(all[i].axis, all[i].step_seconds, 3, losses);
        assert_int_equal(t.n, 3);
        MO_CHECK_NEAR(mo__track_end(&t), all[i].end, 1e-9);
        MO_CHECK_NEAR(mo__track_final(&t), 2, 0);
        mo__track_free(&t);
    }
}

static void test_at(void **state)
{
    (void)state;
    const double losses[] = {4, 3, 1};
    mo__track t = track_of(MO_AXIS_TOKENS, (double)NAN, 3, losses);
    MO_CHECK_NEAR(mo__track_at(&t, 1000), 4, 0);
    MO_CHECK_NEAR(mo__track_at(&t, 1500), 3.5, 1e-12);
    MO_CHECK_NEAR(mo__track_at(&t, 2750), 1.5, 1e-12);
    MO_CHECK_NEAR(mo__track_at(&t, 3000), 1, 0);
    assert_true(isnan(mo__track_at(&t, 999)) && isnan(mo__track_at(&t, 3001)));
    mo__track_free(&t);
}

/* One lucky evaluation is not yet having a loss: what counts is where the curve stays. */
static void test_has(void **state)
{
    (void)state;
    const double falls[] = {4, 3, 2, 1}, wavers[] = {4, 1, 3, 2, 1}, rises[] = {4, 1, 2}, flat[] = {2, 2, 2};
    check_has(falls, 4, 2.5, 2500);
    check_has(falls, 4, 2, 3000);
    check_has(falls, 4, 1, 4000);
    check_has(falls, 4, 0.9, (double)NAN);
    check_has(falls, 4, 4, 1000); /* from the first evaluation on */
    check_has(falls, 4, 9, 1000);
    check_has(wavers, 5, 2.5, 3500); /* not 1500 */
    check_has(wavers, 5, 3.5, 1000 + 1000 * 0.5 / 3);
    check_has(rises, 3, 1.5, (double)NAN);
    check_has(rises, 3, 2, 1000 + 1000 * 2.0 / 3);
    check_has(flat, 3, 2, 1000);
    check_has(flat, 0, 2, (double)NAN);
}

/* What was evaluated before anything was spent, twice at one place, or without a loss, is no point. */
static void test_points(void **state)
{
    (void)state;
    mo_lab_evaluation e[] = {{.tokens = 0, .validation_loss = 9},
                             {.tokens = 5, .validation_loss = 3},
                             {.tokens = 5, .validation_loss = 2},
                             {.tokens = 6, .validation_loss = (double)NAN},
                             {.tokens = 7, .validation_loss = 1}};
    mo_lab_trial trial = {.evaluations = e, .n_evaluations = 5};
    mo__track t;
    MO_CHECK_OK(mo__track_of(&trial, MO_AXIS_TOKENS, (double)NAN, &t));
    assert_int_equal(t.n, 2);
    assert_true(t.x[0] >= 5 && t.x[0] <= 5 && t.loss[0] >= 3 && t.x[1] >= 7 && t.loss[1] <= 1);
    mo__track_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_axes), cmocka_unit_test(test_at),
                                       cmocka_unit_test(test_has), cmocka_unit_test(test_points)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
