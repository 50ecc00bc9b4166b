/* test_apportion.c -- places of a stream shared out by weight: every source within a sequence of its share,
 * any place directly. */
#include <math.h>

#include "data/apportion.h"
#include "harness/harness.h"

enum { MOST = 40 };

static mo__apportion make(const double *weights, int n)
{
    mo__apportion a;
    MO_CHECK_OK(mo__apportion_create(weights, n, &a));
    return a;
}

static double sum(const double *weights, int n)
{
    double total = 0;
    for (int i = 0; i < n; i++) total += weights[i];
    return total;
}

/* Walks the first places one by one: `before` counts up for each source, `count` agrees, and nobody is ever
 * off by `tolerance` or more. */
static void check_walk(const double *weights, int n, int64_t places, double tolerance)
{
    mo__apportion a = make(weights, n);
    int64_t had[MOST] = {0}, before;
    double total = sum(weights, n);
    for (int64_t place = 0; place < places; place++) {
        for (int i = 0; i < n; i++) {
            double exact = (double)place * weights[i] / total;
            assert_int_equal(mo__apportion_count(&a, i, place), had[i]);
            if (!(fabs((double)had[i] - exact) < tolerance))
                fail_msg("source %d of %d has %lld of %lld places, exactly %.3f", i, n, (long long)had[i],
                         (long long)place, exact);
        }
        int source = mo__apportion_at(&a, place, &before);
        assert_true(source >= 0 && source < n);
        assert_int_equal(before, had[source]++);
    }
    mo__apportion_free(&a);
}

static void shares_are_exact_to_a_sequence(void **state)
{
    (void)state;
    check_walk((const double[]){1}, 1, 1000, 1e-9);
    check_walk((const double[]){1, 1}, 2, 1000, 0.500001);
    check_walk((const double[]){5, 3, 2}, 3, 20000, 1);
    check_walk((const double[]){2, 3, 5}, 3, 20000, 1);
    check_walk((const double[]){1, 1e-6}, 2, 20000, 0.500001);
    check_walk((const double[]){sqrt(2), 4 * atan(1), exp(1)}, 3, 20000, 1);
    check_walk((const double[]){1e9, 1e9, 1e-3}, 3, 20000, 1);
    check_walk((const double[]){1, 1, 1, 1}, 4, 20000, 1);
    check_walk((const double[]){1, 1, 1, 1, 1, 1, 1, 1}, 8, 20000, 1);
}

/* Of ten places in a row 5:3:2 has exactly 5, 3 and 2. */
static void a_period_has_the_weights(void **state)
{
    (void)state;
    static const double weights[] = {5, 3, 2};
    mo__apportion a = make(weights, 3);
    for (int64_t period = 0; period < 1000; period++)
        for (int i = 0; i < 3; i++)
            assert_int_equal(mo__apportion_count(&a, i, 10 * period), period * (int64_t)weights[i]);
    mo__apportion_free(&a);
}

static void any_number_of_sources_stays_within_the_bound(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        double weights[MOST];
        int n = 2 + (int)(round * 7 % (MOST - 1));
        for (int i = 0; i < n; i++) {
            double u = mo_rng_uniform(5, MO_RNG_TEST, round, 0, (uint64_t)i);
            weights[i] = round % 3 == 0 ? u + 1e-9 : round % 3 == 1 ? pow(10, -6 * u) : 1 + floor(5 * u);
        }
        check_walk(weights, n, 2000, 1.7);
    }
}

/* A millionth: the first comes at half a million, then one for every million. */
static void a_rare_source_comes_when_it_is_due(void **state)
{
    (void)state;
    mo__apportion a = make((const double[]){1 - 1e-6, 1e-6}, 2);
    int64_t before;
    for (int64_t k = 0; k < 1000; k++) {
        int64_t due = 500000 + k * 1000000;
        assert_int_equal(mo__apportion_count(&a, 1, due - 2), k);
        assert_int_equal(mo__apportion_count(&a, 1, due + 2), k + 1);
        assert_int_equal(mo__apportion_at(&a, due + 1000, &before), 0);
        assert_int_equal(before, due + 1000 - k - 1);
    }
    mo__apportion_free(&a);
}

/* Far out, where floating point has no ones left, neighbours still count up one by one. */
static void far_places_are_exact(void **state)
{
    (void)state;
    mo__apportion a = make((const double[]){5, 3, 2, 1e-3, 7}, 5);
    for (uint64_t k = 0; k < 2000; k++) {
        int64_t place = (int64_t)(0x1p62 * mo_rng_uniform(2, MO_RNG_TEST, 0, 0, k)), before, all = 0;
        int source = mo__apportion_at(&a, place, &before);
        for (int i = 0; i < 5; i++) {
            int64_t now = mo__apportion_count(&a, i, place);
            assert_int_equal(mo__apportion_count(&a, i, place + 1), now + (i == source));
            if (i == source) assert_int_equal(before, now);
            all += now;
        }
        assert_true(all == place);
    }
    mo__apportion_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_exact_to_a_sequence),
        cmocka_unit_test(a_period_has_the_weights),
        cmocka_unit_test(any_number_of_sources_stays_within_the_bound),
        cmocka_unit_test(a_rare_source_comes_when_it_is_due),
        cmocka_unit_test(far_places_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
