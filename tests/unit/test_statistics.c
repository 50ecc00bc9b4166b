/* test_statistics.c -- estimates, quantiles and analysis of variance against R
 * (tests/golden/make_statistics.R), and what no numbers at all give. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "lab/statistics.h"

enum { MOST = 64 };

typedef struct line {
    char kind[16];
    int count;
    double in[MOST], out[4];
} line;

static int outputs_of(const char *kind)
{
    if (strcmp(kind, "estimate") == 0 || strcmp(kind, "paired") == 0 || strcmp(kind, "ratios") == 0) return 4;
    return strcmp(kind, "residual") == 0 ? 2 : 1;
}

static bool read_line(FILE *file, line *l)
{
    if (fscanf(file, "%15s %d", l->kind, &l->count) != 2) return false;
    assert_in_range(l->count, 1, MOST);
    for (int i = 0; i < l->count; i++) assert_int_equal(fscanf(file, "%lf", &l->in[i]), 1);
    for (int i = 0; i < outputs_of(l->kind); i++) assert_int_equal(fscanf(file, "%lf", &l->out[i]), 1);
    return true;
}

/* What the functions say, in the order of R's table. */
static void compute(line *l, double out[4])
{
    mo_estimate e = {0};
    double *x = l->in;
    int group[MOST], groups = 0, n = l->count, half = n / 2;
    if (strcmp(l->kind, "estimate") == 0) e = mo_estimate_of(x, n);
    if (strcmp(l->kind, "paired") == 0) {
        n = half;
        e = mo_estimate_paired(x, x + half, half);
    }
    if (strcmp(l->kind, "ratios") == 0) MO_CHECK_OK(mo__estimate_ratios(x, n, &e));
    assert_true(outputs_of(l->kind) < 4 || e.count == n);
    memcpy(out, (double[]){e.mean, e.deviation, e.low, e.high}, 4 * sizeof *out);
    if (strcmp(l->kind, "quantile") == 0) out[0] = mo_student_quantile(x[0], x[1]);
    if (strcmp(l->kind, "median") == 0) out[0] = mo__median(x, n);
    if (strcmp(l->kind, "residual") == 0) out[0] = mo__residual(x + 2, (int)x[0], (int)x[1], &out[1]);
    if (strcmp(l->kind, "between") == 0) {
        for (int i = 0; i < half; i++) {
            group[i] = (int)x[half + i];
            groups = group[i] >= groups ? group[i] + 1 : groups;
        }
        out[0] = mo__between(x, group, half, groups);
    }
}

/* Quantiles hang on log gamma of half the degrees, whose rounding grows with them. */
static double tolerance_of(const line *l)
{
    return strcmp(l->kind, "quantile") == 0 ? 1e-11 + 1e-14 * l->in[1] : 1e-10;
}

static void test_table(void **state)
{
    (void)state;
    int seen = 0;
    line l;
    double out[4];
    FILE *file = fopen("tests/golden/statistics.txt", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "# R version%*[^\n]\n"), 0);
    while (read_line(file, &l) && strcmp(l.kind, "contrast") != 0) { /* those are test_answer.c's, and last */
        compute(&l, out);
        for (int i = 0; i < outputs_of(l.kind); i++)
            if (!(fabs(out[i] - l.out[i]) <= tolerance_of(&l) * fabs(l.out[i]) + 1e-15))
                fail_msg("line %d, %s, output %d: %.15g, and R says %.15g", seen + 2, l.kind, i, out[i],
                         l.out[i]);
        seen++;
    }
    fclose(file);
    assert_int_equal(seen, 11 * 11 + 5 + 3 + 2 + 4 + 3 + 4);
}

static void test_missing(void **state)
{
    (void)state;
    const double nan = (double)NAN, x[] = {nan, 2, nan, 4}, y[] = {1, nan, nan, 1}, none[] = {nan, nan};
    mo_estimate e = mo_estimate_of(x, 4);
    assert_int_equal(e.count, 2);
    MO_CHECK_NEAR(e.mean, 3, 0);
    e = mo_estimate_paired(x, y, 4); /* one pair is whole */
    assert_int_equal(e.count, 1);
    MO_CHECK_NEAR(e.mean, 3, 0);
    assert_true(isnan(e.deviation) && isnan(e.low) && isnan(e.high));
    e = mo_estimate_of(none, 2);
    assert_true(e.count == 0 && isnan(e.mean) && isnan(e.low));
    assert_true(mo_estimate_of(NULL, 0).count == 0);
    const double ratios[] = {nan, 2, 0, 8, -1};
    MO_CHECK_OK(mo__estimate_ratios(ratios, 5, &e));
    assert_int_equal(e.count, 2);
    MO_CHECK_NEAR(e.mean, 4, 1e-12);
    double some[] = {3, nan, 1}, nothing[] = {nan};
    MO_CHECK_NEAR(mo__median(some, 3), 2, 0);
    assert_true(isnan(mo__median(nothing, 1)));
}

static void test_no_variance(void **state)
{
    (void)state;
    const double same[] = {2, 2, 2, 2};
    const int group[] = {0, 0, 1, 1}, own[] = {0, 1, 2, 3}, one[] = {0, 0, 0, 0};
    double degrees;
    mo_estimate e = mo_estimate_of(same, 4);
    assert_true(e.deviation <= 0 && e.low >= 2 && e.high <= 2);
    MO_CHECK_NEAR(mo__between(same, group, 4, 2), 0, 0);
    MO_CHECK_NEAR(mo__between((double[]){1, 2, 1, 2}, group, 4, 2), 0, 0); /* less between than by chance */
    assert_true(isnan(mo__between(same, own, 4, 4)));
    assert_true(isnan(mo__between(same, one, 4, 1)));
    MO_CHECK_NEAR(mo__residual(same, 2, 2, &degrees), 0, 0);
    assert_true(isnan(mo__residual(same, 4, 1, &degrees)) && isnan(mo__residual(same, 1, 4, &degrees)));
}

/* By R 4.2.2: summary(aov(x ~ factor(g))). */
static void test_by_chance(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3, 2, 3, 4, 7, 6.5}, same[] = {2, 2, 2, 2};
    const int two[] = {0, 0, 0, 1, 1, 1}, three[] = {0, 0, 0, 1, 1, 1, 2, 2}, own[] = {0, 1, 2, 3};
    MO_CHECK_NEAR(mo__between_by_chance(x, two, 6, 2), 0.287864134726691, 1e-12);
    MO_CHECK_NEAR(mo__between_by_chance(x, three, 8, 3), 0.00564375462837672, 1e-12);
    MO_CHECK_NEAR(mo__between_by_chance((double[]){1, 1, 2, 2}, (int[]){0, 0, 1, 1}, 4, 2), 0, 0);
    MO_CHECK_NEAR(mo__between_by_chance(same, (int[]){0, 0, 1, 1}, 4, 2), 1, 0);
    assert_true(isnan(mo__between_by_chance(same, own, 4, 4)));
}

/* One and two degrees have quantiles in closed form, to compare with where R's table has few digits. */
static void test_closed_forms(void **state)
{
    (void)state;
    const double off[] = {-0.49, -1e-3, -1e-7, 1e-12, 0.2, 0.4};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        double p = 0.5 + off[i], x = p - 0.5, one = tan(acos(-1) * x), two = x * sqrt(2 / (p * (1 - p)));
        MO_CHECK_NEAR(mo_student_quantile(p, 1) / one, 1, 1e-12);
        MO_CHECK_NEAR(mo_student_quantile(p, 2) / two, 1, 1e-12);
    }
}

static void test_quantile_bounds(void **state)
{
    (void)state;
    assert_true(isnan(mo_student_quantile(0, 3)) && isnan(mo_student_quantile(1, 3)));
    assert_true(isnan(mo_student_quantile(0.5, 0)) && isnan(mo_student_quantile((double)NAN, 3)));
    MO_CHECK_NEAR(mo_student_quantile(0.025, 4), -mo_student_quantile(0.975, 4), 1e-14);
    MO_CHECK_NEAR(mo_student_quantile(0.975, 1e12), 1.959963984540054, 1e-6); /* the normal distribution's */
}

static void test_allocation(void **state)
{
    (void)state;
    const double ratios[] = {2, 8};
    mo_estimate e;
    int count;
    MO_CHECK_EACH_ALLOCATION(count, mo__estimate_ratios(ratios, 2, &e));
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_no_variance),  cmocka_unit_test(test_by_chance),
        cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_quantile_bounds),
        cmocka_unit_test(test_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
