/* additive.c -- least squares by sweeping the matrix of cross products (Goodnight 1979, "A tutorial on the
 * SWEEP operator"): with X of the columns and y centred,
 *
 *     A = [X'X X'y]   swept on columns K:   [ (X_K'X_K)^-1    coefficients of the other columns and of y on K
 * ] [y'X y'y]                         [      ...        y'y - y'X_K (X_K'X_K)^-1 X_K'y: squares left    ]
 *
 * A column whose pivot is nothing but rounding depends on those before, and is left out. */
#include "lab/additive.h"

#include <math.h>

int mo__additive_columns(const mo__factor *factors, int count)
{
    int64_t columns = 1;
    for (int f = 0; f < count; f++) columns += factors[f].levels - 1;
    return columns < INT32_MAX ? (int)columns : INT32_MAX;
}

/* The column of a level; -1 for the first, which has none. */
static int column_of(const mo__factor *factors, int factor, int level)
{
    return level == 0 ? -1 : mo__additive_columns(factors, factor) + level - 1;
}

static double *at(const mo__additive *fit, int row, int column)
{
    return &fit->swept[(size_t)row * (size_t)(fit->columns + 1) + (size_t)column];
}

/* Adds a row's cross products; `in` is room for its columns. */
static void add_row(mo__additive *fit, const mo__factor *factors, int count, int i, double y, int *in)
{
    int used = 0;
    in[used++] = 0;
    for (int f = 0; f < count; f++) {
        int column = column_of(factors, f, factors[f].level[i]);
        if (column >= 0) in[used++] = column;
    }
    for (int a = 0; a < used; a++) {
        for (int b = 0; b < used; b++) *at(fit, in[a], in[b]) += 1;
        *at(fit, in[a], fit->columns) += y;
        *at(fit, fit->columns, in[a]) += y;
    }
    *at(fit, fit->columns, fit->columns) += y * y;
}

static void sweep(mo__additive *fit, int k)
{
    int size = fit->columns + 1;
    double pivot = *at(fit, k, k), *row = at(fit, k, 0);
    for (int j = 0; j < size; j++) row[j] /= pivot;
    for (int i = 0; i < size; i++) {
        double times = *at(fit, i, k), *other = at(fit, i, 0);
        if (i == k || fabs(times) <= 0) continue;
        for (int j = 0; j < size; j++) other[j] -= times * row[j];
        other[k] = -times / pivot;
    }
    row[k] = 1 / pivot;
}

static void solve(mo__additive *fit, int n)
{
    const double rounding = 1e-9;
    fit->degrees = n;
    for (int k = 0; k < fit->columns; k++) fit->share[k] = *at(fit, k, k) / n;
    for (int k = 0; k < fit->columns; k++) {
        fit->kept[k] = *at(fit, k, k) > rounding * n * fit->share[k];
        if (!fit->kept[k]) continue;
        sweep(fit, k);
        fit->degrees--;
    }
    fit->squares = fmax(0, *at(fit, fit->columns, fit->columns));
}

mo_status mo__additive_fit(const double *y, int n, const mo__factor *factors, int count, mo__additive *out)
{
    int columns = mo__additive_columns(factors, count);
    size_t size = (size_t)columns + 1;
    int *in = mo_malloc(sizeof *in * (size_t)(count + 1));
    *out = (mo__additive){.columns = columns,
                          .swept = mo_calloc(size * size, sizeof *out->swept),
                          .share = mo_calloc(size, sizeof *out->share),
                          .kept = mo_calloc(size, sizeof *out->kept)};
    if (!in || !out->swept || !out->share || !out->kept) {
        mo_free(in);
        mo__additive_free(out);
        return MO_E_MEMORY;
    }
    for (int i = 0; i < n; i++) out->mean += y[i] / n;
    for (int i = 0; i < n; i++) add_row(out, factors, count, i, y[i] - out->mean, in);
    mo_free(in);
    solve(out, n);
    return MO_OK;
}

void mo__additive_free(mo__additive *fit)
{
    mo_free(fit->swept);
    mo_free(fit->share);
    mo_free(fit->kept);
    *fit = (mo__additive){0};
}

/* What column k counts in the mean. */
static double weight(const mo__additive *fit, const mo__factor *factors, int factor, int level, int k)
{
    int first = mo__additive_columns(factors, factor), end = mo__additive_columns(factors, factor + 1);
    if (k < first || k >= end) return fit->share[k];
    return k == column_of(factors, factor, level) ? 1 : 0;
}

double mo__additive_mean(const mo__additive *fit, const mo__factor *factors, int factor, int level,
                         double *variance)
{
    const double rounding = 1e-7;
    double mean = fit->mean;
    *variance = 0;
    for (int k = 0; k < fit->columns; k++) {
        double told = 0, own = weight(fit, factors, factor, level, k);
        for (int i = 0; i < fit->columns; i++)
            if (fit->kept[i]) told += weight(fit, factors, factor, level, i) * *at(fit, i, k);
        if (fit->kept[k]) {
            mean += own * *at(fit, k, fit->columns);
            *variance += own * told;
        } else if (fabs(own - told) > rounding) {
            *variance = (double)NAN;
            return (double)NAN;
        }
    }
    return mean;
}
