/* test_words.c -- numbers with their uncertainty in sentences. */
#include <math.h>

#include "harness/harness.h"
#include "lab/words.h"

static mo_estimate of(double mean, double low, double high)
{
    return (mo_estimate){.mean = mean, .low = low, .high = high, .count = isnan(low) ? 1 : 5};
}

/* Two digits of the interval's half width, whatever its size. */
static void test_differences(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    const struct {
        mo_estimate e;
        const char *text;
    } all[] = {
        {of(-0.05234, -0.0610, -0.0436),
         "0.0523 nats per token lower (95% interval 0.0436 to 0.0610, 5 seeds)"},
        {of(0.05234, 0.0402, 0.0642), "0.052 nats per token higher (95% interval 0.040 to 0.064, 5 seeds)"},
        {of(-0.003, -0.0101, 0.0041),
         "0.0030 nats per token lower (95% interval from 0.0101 lower to 0.0041 higher, 5 seeds)"},
        {of(0.3, -0.9, 1.5),
         "0.3 nats per token higher (95% interval from 0.9 lower to 1.5 higher, 5 seeds)"},
        {of(30, 10, 50), "30 nats per token higher (95% interval 10 to 50, 5 seeds)"},
        {of(0.25, 0.25, 0.25), "0.2500 nats per token higher (95% interval 0.2500 to 0.2500, 5 seeds)"},
        {of(-0.25, nan, nan), "0.2500 nats per token lower"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_string_equal(mo__words_difference(&all[i].e).text, all[i].text);
}

static void test_speedups(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    const struct {
        mo_estimate e;
        mo_axis axis;
        bool inverse;
        const char *text;
    } all[] = {
        {of(2.1, 1.9, 2.32), MO_AXIS_TOKENS, false, "2.10 times fewer tokens (1.90 to 2.32)"},
        {of(2.1, 1.9, 2.32), MO_AXIS_SECONDS, false, "2.10 times less training time (1.90 to 2.32)"},
        {of(0.8, 0.5, 0.9), MO_AXIS_FLOPS, false, "1.25 times as many FLOPs (1.11 to 2.00)"},
        {of(0.8, 0.5, 0.9), MO_AXIS_FLOPS, true, "1.25 times fewer FLOPs (1.11 to 2.00)"},
        {of(2, 1.25, 4), MO_AXIS_SECONDS, true, "2.00 times as much training time (1.25 to 4.00)"},
        {of(1.1, 0.8, 1.25), MO_AXIS_TOKENS, false, "about as many tokens (0.80 to 1.25 times as many)"},
        {of(1.1, 0.5, 1.25), MO_AXIS_SECONDS, true,
         "about as much training time (0.50 to 1.25 times as much)"},
        {of(1.5, nan, nan), MO_AXIS_TOKENS, false, "1.50 times fewer tokens"},
        {of(1.5, nan, nan), MO_AXIS_TOKENS, true, "1.50 times as many tokens"},
        {of(1.5, nan, nan), MO_AXIS_SECONDS, false, "1.50 times less training time"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_string_equal(mo__words_speedup(&all[i].e, all[i].axis, all[i].inverse).text, all[i].text);
}

static void test_spent(void **state)
{
    (void)state;
    assert_string_equal(mo__words_spent(2457600, MO_AXIS_TOKENS).text, "2.46 M tokens");
    assert_string_equal(mo__words_spent(1.23e13, MO_AXIS_FLOPS).text, "12.3 TFLOPs");
    assert_string_equal(mo__words_spent(185, MO_AXIS_SECONDS).text, "3:05 of training");
}

static void test_times(void **state)
{
    (void)state;
    assert_string_equal(mo__words_times(6.7368).text, "6.7 times fewer");
    assert_string_equal(mo__words_times(1.0 / 6.7368).text, "6.7 times as many");
    assert_string_equal(mo__words_times(1.0625).text, "1.06 times fewer");
    assert_string_equal(mo__words_times(123.4).text, "123 times fewer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_differences), cmocka_unit_test(test_speedups),
                                       cmocka_unit_test(test_spent), cmocka_unit_test(test_times)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
