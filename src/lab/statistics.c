/* statistics.c -- means with their uncertainty, medians, analysis of variance. */
#include "lab/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* mean +- t(0.975, n-1) s / sqrt n */
static mo_estimate estimate(double sum, double squares, int n)
{
    mo_estimate e = {(double)NAN, (double)NAN, (double)NAN, (double)NAN, n};
    if (n > 0) e.mean = sum / n;
    if (n < 2) return e;
    e.deviation = sqrt(squares / (n - 1));
    double half = mo_student_quantile(0.975, n - 1) * e.deviation / sqrt(n);
    e.low = e.mean - half;
    e.high = e.mean + half;
    return e;
}

mo_estimate mo_estimate_of(const double *values, int count)
{
    return mo_estimate_paired(values, NULL, count);
}

/* b NULL: zeros. */
mo_estimate mo_estimate_paired(const double *a, const double *b, int count)
{
    double sum = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < count; i++) {
        double x = a[i] - (b ? b[i] : 0);
        if (isnan(x)) continue;
        sum += x;
        n++;
    }
    for (int i = 0; i < count; i++) {
        double off = a[i] - (b ? b[i] : 0) - sum / n;
        if (!isnan(off)) squares += off * off;
    }
    return estimate(sum, squares, n);
}

mo_status mo__estimate_ratios(const double *ratios, int count, mo_estimate *out)
{
    double *logs = mo_malloc(sizeof *logs * (size_t)(count + 1));
    if (!logs) return MO_E_MEMORY;
    for (int i = 0; i < count; i++) logs[i] = ratios[i] > 0 ? log(ratios[i]) : (double)NAN;
    *out = mo_estimate_of(logs, count);
    mo_free(logs);
    out->mean = exp(out->mean);
    out->low = exp(out->low);
    out->high = exp(out->high);
    return MO_OK;
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

double mo__median(double *values, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(values[i])) values[n++] = values[i];
    if (n == 0) return (double)NAN;
    qsort(values, (size_t)n, sizeof *values, by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static double mean_of(const double *x, int count, int stride)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += x[(size_t)i * (size_t)stride];
    return sum / count;
}

double mo__residual(const double *x, int rows, int columns, double *degrees)
{
    *degrees = (double)(rows - 1) * (columns - 1);
    if (rows < 2 || columns < 2) return (double)NAN;
    double all = mean_of(x, rows * columns, 1), squares = 0;
    for (int c = 0; c < columns; c++) {
        double column = mean_of(x + c, rows, columns);
        for (int r = 0; r < rows; r++) {
            const double *row = x + (size_t)r * (size_t)columns;
            double left = row[c] - mean_of(row, columns, 1) - column + all;
            squares += left * left;
        }
    }
    return sqrt(squares / *degrees);
}
