/* routing_measures.c -- entropy, mutual information, and pairs under quasi-independence: see routing.h. */
#include <math.h>
#include <string.h>

#include "moira/routing.h"

static double xlog2(double x)
{
    return x > 0 ? x * log2(x) : 0;
}

/* H = log2 n - 1/n sum_i n_i log2 n_i. */
double mo_entropy_bits(const int64_t *counts, int64_t n)
{
    double all = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        all += (double)counts[i];
        sum += xlog2((double)counts[i]);
    }
    return all > 0 ? log2(all) - sum / all : (double)NAN;
}

static double column_sum(const int64_t *counts, int64_t rows, int64_t columns, int64_t j)
{
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += (double)counts[i * columns + j];
    return sum;
}

void mo_mutual_information(const int64_t *counts, int64_t rows, int64_t columns, double *bits,
                           double *corrected)
{
    double all = 0, sum = 0;
    int64_t excess = 1; /* m_ij - m_i - m_j + 1 */
    for (int64_t i = 0; i < rows * columns; i++) all += (double)counts[i];
    *bits = *corrected = (double)NAN;
    if (all <= 0) return;
    for (int64_t j = 0; j < columns; j++) excess -= column_sum(counts, rows, columns, j) > 0;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t *row = counts + i * columns;
        double of_row = 0;
        for (int64_t j = 0; j < columns; j++) of_row += (double)row[j];
        excess -= of_row > 0;
        for (int64_t j = 0; j < columns; j++) {
            if (row[j] == 0) continue;
            double n = (double)row[j];
            excess++;
            sum += n * log2(n * all / (of_row * column_sum(counts, rows, columns, j)));
        }
    }
    *bits = sum / all;
    *corrected = *bits - (double)excess / (2 * all * log(2));
}

/* t_a = r_a / sum_(b != a) t_b, one after the other, r_a = sum_(b != a) n_ab: each step raises the likelihood
 * sum_(a<b) n_ab log(t_a t_b) - t_a t_b, which is concave in log t. Returns the largest relative move. */
static double fit_sweep(const double *r, int64_t E, double *t)
{
    double most = 0, sum = 0;
    for (int64_t a = 0; a < E; a++) sum += t[a];
    for (int64_t a = 0; a < E; a++) {
        double others = sum - t[a], now = others > 0 ? r[a] / others : 0;
        if (t[a] > 0) most = fmax(most, fabs(now / t[a] - 1));
        sum = others + now;
        t[a] = now;
    }
    return most;
}

mo_status mo_independent_pairs(const int64_t *pairs, int64_t E, double *expected)
{
    enum { SWEEPS = 300 };
    double *r = mo_calloc((size_t)E, 2 * sizeof *r), all = 0;
    if (!r) return MO_E_MEMORY;
    double *t = r + E;
    for (int64_t a = 0; a < E; a++) {
        for (int64_t b = 0; b < E; b++) r[a] += b != a ? (double)pairs[a * E + b] : 0;
        all += r[a];
    }
    for (int64_t a = 0; a < E; a++) t[a] = all > 0 ? r[a] / sqrt(all) : 0;
    for (int i = 0; i < SWEEPS && fit_sweep(r, E, t) > 1e-12; i++) continue;
    for (int64_t a = 0; a < E; a++)
        for (int64_t b = 0; b < E; b++) expected[a * E + b] = a == b ? 0 : t[a] * t[b];
    mo_free(r);
    return MO_OK;
}
