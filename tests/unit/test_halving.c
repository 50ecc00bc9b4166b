/* test_halving.c -- rungs and survivors of successive halving, against schedules counted by hand. */
#include <math.h>

#include "harness/harness.h"
#include "lab/halving.h"

typedef struct expected {
    int64_t variants, first, steps, every;
    double factor;
    int rungs;
    int64_t step[6], begin[6];
} expected;

static void test_schedules(void **state)
{
    (void)state;
    static const expected all[] = {
        /* Hyperband's first bracket, R = 81, factor 3 (arXiv:1603.06560, table 1): 81, 27, 9, 3, 1 */
        {81, 1, 81, 1, 3, 5, {1, 3, 9, 27, 81}, {81, 27, 9, 3, 1}},
        {20, 100, 900, 50, 3, 3, {100, 300, 900}, {20, 6, 2}},
        {9, 10, 40, 10, 2, 3, {10, 20, 40}, {9, 4, 2}},
        {2, 10, 1000, 10, 10, 3, {10, 100, 1000}, {2, 1, 1}}, /* never fewer than one */
        {9, 100, 500, 100, 3, 2, {100, 500}, {9, 3}}, /* 300 would be too near to the end: 500/300 < 3^.5 */
        {9, 100, 520, 100, 3, 3, {100, 300, 520}, {9, 3, 1}}, /* and here it is not: 520/300 > 3^.5 */
        {4, 250, 300, 50, 3, 2, {250, 300}, {4, 1}},          /* the first one stays: it was asked for */
        {10, 100, 600, 1, 1.5, 5, {100, 150, 225, 338, 600}, {10, 6, 4, 2, 1}}, /* 337.5 */
        {10, 100, 350, 25, 1.5, 4, {100, 150, 225, 350}, {10, 6, 4, 2}},        /* 338 is too near */
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const expected *e = &all[i];
        mo__halving plan;

        MO_CHECK_OK(mo__halving_plan(e->variants, e->first, e->factor, e->steps, e->every, &plan));
        assert_int_equal(plan.rungs, e->rungs);
        for (int r = 0; r < e->rungs; r++) {
            assert_int_equal(plan.step[r], e->step[r]);
            assert_int_equal(plan.variants[r], e->begin[r]);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    mo__halving plan;
    MO_CHECK_STATUS(mo__halving_plan(9, 100, 1, 900, 100, &plan), MO_E_CONFIG);
    MO_CHECK_MESSAGE("halving.factor is 1;");
    MO_CHECK_STATUS(mo__halving_plan(9, 100, (double)NAN, 900, 100, &plan), MO_E_CONFIG);
    MO_CHECK_STATUS(mo__halving_plan(9, 900, 3, 900, 100, &plan), MO_E_CONFIG);
    MO_CHECK_MESSAGE("less than the 900 steps");
    MO_CHECK_STATUS(mo__halving_plan(9, 0, 3, 900, 100, &plan), MO_E_CONFIG);
    MO_CHECK_STATUS(mo__halving_plan(9, 1, 1.2, 100, 1, &plan), MO_E_CONFIG);
    MO_CHECK_MESSAGE("both end at step 1");
    MO_CHECK_STATUS(mo__halving_plan(9, 1000000, 1.0001, 2000000, 1, &plan), MO_E_CONFIG);
    MO_CHECK_MESSAGE("more than 40 rungs");
}

static void test_rungs_need_evaluations(void **state)
{
    (void)state;
    mo__halving plan;
    MO_CHECK_STATUS(mo__halving_plan(9, 100, 3, 900, 250, &plan), MO_E_CONFIG);
    MO_CHECK_MESSAGE("step 100 is no multiple of eval.every 250; eval.every=100 would do");
    MO_CHECK_STATUS(mo__halving_plan(9, 60, 1.5, 400, 20, &plan), MO_E_CONFIG); /* 60 90 135 202 (304) 400 */
    MO_CHECK_MESSAGE("step 90 is no multiple");
    MO_CHECK_STATUS(mo__halving_plan(9, 60, 2, 300, 40, &plan), MO_E_CONFIG); /* 60 120 300 */
    MO_CHECK_MESSAGE("eval.every=30 would do");
    MO_CHECK_STATUS(mo__halving_plan(9, 60, 1.5, 130, 20, &plan), MO_E_CONFIG); /* 60 90 130 */
    MO_CHECK_MESSAGE("step 90 is no multiple of eval.every 20; eval.every=15 would do");
    MO_CHECK_OK(mo__halving_plan(9, 60, 2, 301, 30, &plan)); /* the last is always evaluated */
}

static void test_ranking(void **state)
{
    (void)state;
    const double losses[] = {2.5, (double)NAN, 1.5, 2.5, (double)INFINITY, 0.5, 1.5};
    static const int wanted[] = {5, 2, 6, 0, 3, 1, 4};
    int order[7];
    assert_int_equal(mo__rank(losses, 7, order), 5);
    for (int i = 0; i < 7; i++) assert_int_equal(order[i], wanted[i]);
    assert_int_equal(mo__rank(losses, 0, order), 0);
}

/* Any number of losses, many of them equal: each goes before the next. */
static void test_ranking_of_many(void **state)
{
    (void)state;
    enum { MOST = 300 };
    double losses[MOST];
    int order[MOST];
    for (int n = 1; n <= MOST; n += 13) {
        for (int i = 0; i < n; i++)
            losses[i] = floor(40 * mo_rng_uniform(7, MO_RNG_TEST, (uint64_t)n, 0, (uint64_t)i));
        assert_int_equal(mo__rank(losses, n, order), n);
        for (int i = 0; i + 1 < n; i++) {
            double a = losses[order[i]], b = losses[order[i + 1]];
            assert_true(a < b || (!(b < a) && order[i] < order[i + 1]));
        }
    }
}

static void test_survivors(void **state)
{
    (void)state;
    const double nan = (double)NAN, losses[] = {3, 1, nan, 2, 5, 4}, few[] = {nan, 7, nan, nan, nan, nan};
    int order[6];
    mo__halving plan;
    MO_CHECK_OK(mo__halving_plan(6, 10, 2, 40, 10, &plan)); /* 6, 3, 1 */
    assert_int_equal(mo__halving_survivors(&plan, 0, losses, 6, order), 3);
    assert_true(order[0] == 1 && order[1] == 3 && order[2] == 0);
    assert_int_equal(mo__halving_survivors(&plan, 1, losses, 6, order), 1);
    assert_int_equal(mo__halving_survivors(&plan, 0, few, 6, order), 1);
    assert_int_equal(order[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rungs_need_evaluations),
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_ranking_of_many),
        cmocka_unit_test(test_survivors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
