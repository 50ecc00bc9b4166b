/* test_statistics.c -- estimates, quantiles and analysis of variance against R
 * (tests/golden/make_statistics.R), and what no numbers at all give. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "lab/additive.h"
#include "lab/statistics.h"

enum { MOST = 64, OUTPUTS = 8 };

typedef struct line {
    char kind[16];
    int count;
    double in[MOST], out[OUTPUTS];
} line;

static int outputs_of(const char *kind)
{
    if (strcmp(kind, "estimate") == 0 || strcmp(kind, "paired") == 0 || strcmp(kind, "ratios") == 0) return 4;
    if (strcmp(kind, "additive") == 0) return OUTPUTS;
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

/* What the first factor does; the others stand before it, so that its columns are those left out. */
static void additive(const double *x, double out[OUTPUTS])
{
    int n = (int)x[0], count = (int)x[1], level[MOST];
    mo__factor factors[4];
    mo__additive with, without;
    for (int i = 0; i < n * count; i++) level[i] = (int)x[2 + n + i];
    for (int f = 0; f < count; f++) {
        mo__factor *to = &factors[(f + count - 1) % count];
        *to = (mo__factor){.level = level + f * n};
        for (int i = 0; i < n; i++) to->levels = to->level[i] >= to->levels ? to->level[i] + 1 : to->levels;
    }
    MO_CHECK_OK(mo__additive_fit(x + 2, n, factors, count, &with));
    MO_CHECK_OK(mo__additive_fit(x + 2, n, factors, count - 1, &without));
    double own = without.squares - with.squares, left = with.squares / with.degrees, variance;
    int degrees = without.degrees - with.degrees;
    double mean = mo__additive_mean(&with, factors, count - 1, 1, &variance);
    double half = mo_student_quantile(0.975, with.degrees) * sqrt(left * variance);
    memcpy(out,
           (double[]){own, degrees, with.squares, with.degrees,
                      mo__f_beyond(own / degrees / left, degrees, with.degrees), mean, mean - half,
                      mean + half},
           OUTPUTS * sizeof *out);
    mo__additive_free(&with);
    mo__additive_free(&without);
}

/* What the functions say, in the order of R's table. */
static void compute(line *l, double out[OUTPUTS])
{
    mo_estimate e = {0};
    double *x = l->in;
    int n = l->count, half = n / 2;
    if (strcmp(l->kind, "estimate") == 0) e = mo_estimate_of(x, n);
    if (strcmp(l->kind, "paired") == 0) {
        n = half;
        e = mo_estimate_paired(x, x + half, half);
    }
    if (strcmp(l->kind, "ratios") == 0) MO_CHECK_OK(mo__estimate_ratios(x, n, &e));
    assert_true(outputs_of(l->kind) != 4 || e.count == n);
    memcpy(out, (double[]){e.mean, e.deviation, e.low, e.high}, 4 * sizeof *out);
    if (strcmp(l->kind, "quantile") == 0) out[0] = mo_student_quantile(x[0], x[1]);
    if (strcmp(l->kind, "median") == 0) out[0] = mo__median(x, n);
    if (strcmp(l->kind, "residual") == 0) out[0] = mo__residual(x + 2, (int)x[0], (int)x[1], &out[1]);
    if (strcmp(l->kind, "tail") == 0) out[0] = mo__f_beyond(x[0], x[1], x[2]);
    if (strcmp(l->kind, "additive") == 0) additive(x, out);
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
    double out[OUTPUTS];
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
    assert_int_equal(seen, 11 * 11 + 5 + 3 + 2 + 4 + 3 + 18 + 4);
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
    double degrees;
    mo_estimate e = mo_estimate_of(same, 4);
    assert_true(e.deviation <= 0 && e.low >= 2 && e.high <= 2);
    MO_CHECK_NEAR(mo__residual(same, 2, 2, &degrees), 0, 0);
    assert_true(isnan(mo__residual(same, 4, 1, &degrees)) && isnan(mo__residual(same, 1, 4, &degrees)));
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

/* Two factors that go together: neither can be told, but both leave the same. */
static void test_confounded(void **state)
{
    (void)state;
    const int level[] = {0, 0, 1, 1, 2, 2};
    const double y[] = {1, 1.2, 2, 2.2, 3, 3.4};
    const mo__factor factors[] = {{level, 3}, {level, 3}};
    mo__additive one, both;
    double variance;
    MO_CHECK_OK(mo__additive_fit(y, 6, factors, 1, &one));
    MO_CHECK_OK(mo__additive_fit(y, 6, factors, 2, &both));
    assert_true(one.degrees == 3 && both.degrees == 3);
    MO_CHECK_NEAR(both.squares, 0.12, 1e-12);
    MO_CHECK_NEAR(mo__additive_mean(&one, factors, 0, 2, &variance), 3.2, 1e-12);
    MO_CHECK_NEAR(variance, 0.5, 1e-12);
    for (int f = 0; f < 2; f++) assert_true(isnan(mo__additive_mean(&both, factors, f, 2, &variance)));
    mo__additive_free(&one);
    mo__additive_free(&both);
    assert_true(isnan(mo__f_beyond((double)NAN, 1, 2)) && mo__f_beyond(0, 1, 2) >= 1);
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
        cmocka_unit_test(test_table),           cmocka_unit_test(test_missing),
        cmocka_unit_test(test_no_variance),     cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_quantile_bounds), cmocka_unit_test(test_allocation),
        cmocka_unit_test(test_confounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
