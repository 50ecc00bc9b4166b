/* smooth_load.c -- see smooth_load.h. Experts are done CHUNK at a time, as many as thresholds are held. */
#include "ops/smooth_load.h"

enum { CHUNK = 64 };

static bool complete(const mo__load_row *row)
{
    for (int64_t k = 0; k < row->K; k++)
        if (row->id[k] < row->base || row->id[k] - row->base >= row->E) return false;
    return true;
}

static bool chosen(const mo__load_row *row, int64_t e)
{
    for (int64_t k = 0; k < row->K; k++)
        if (row->id[k] - row->base == e) return true;
    return false;
}

/* The (K+1)-th largest; K < E. */
static int64_t runner_up(const mo__load_row *row)
{
    int64_t best = -1;
    for (int64_t e = 0; e < row->E; e++)
        if (!chosen(row, e) && (best < 0 || row->h[e] > row->h[best])) best = e;
    return best;
}

/* The last of the chosen. */
static int64_t kth(const mo__load_row *row)
{
    return row->id[row->K - 1] - row->base;
}

/* h_j for experts [first, first + count). */
static void thresholds(mo_real *limit, const mo__load_row *row, int64_t next, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i++) limit[i] = row->h[kth(row)];
    for (int64_t k = 0; k < row->K; k++) {
        int64_t e = row->id[k] - row->base;
        if (e >= first && e < first + count) limit[e - first] = row->h[next];
    }
}

/* d / sigma, and its limit for sigma = 0. */
static mo_real scaled(mo_real d, mo_real sigma)
{
    return d == 0 ? 0 : d / sigma;
}

void mo__load_row_add(double *x_E, const mo__load_row *row)
{
    if (row->hard) {
        for (int64_t k = 0; k < row->K; k++) {
            int64_t e = row->id[k] - row->base;
            if (e >= 0 && e < row->E) x_E[e]++;
        }
        return;
    }
    if (!complete(row)) return;
    const mo_real *z = row->z, *sigma = row->sigma;
    int64_t next = runner_up(row);
    mo_real limit[CHUNK];
    for (int64_t first = 0; first < row->E; first += CHUNK) {
        int64_t count = mo_min(CHUNK, row->E - first);
        thresholds(limit, row, next, first, count);
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            x_E[first + i] += (double)mo_normal_cdf(scaled(z[first + i] - limit[i], sigma[first + i]));
    }
}

/* q and q t of experts [first, first + count); 0 where Phi is flat, as it is for sigma = 0. */
static void slopes_of(mo_real *q, mo_real *qt, const mo__load_row *row, const mo_real *limit,
                      const double *slope_E, int64_t first, int64_t count)
{
    const mo_real *z = row->z + first, *sigma = row->sigma + first;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        mo_real t = scaled(z[i] - limit[i], sigma[i]), density = mo_normal_pdf(t);
        bool flat = density == 0 || sigma[i] == 0;
        q[i] = flat ? 0 : (mo_real)slope_E[first + i] * density / sigma[i];
        qt[i] = flat ? 0 : q[i] * t;
    }
}

/* Sums of q over the experts whose threshold is the runner-up's h, and over the others. */
static void add_by_threshold(mo_real *of_chosen, mo_real *of_others, mo_real *q, const mo__load_row *row,
                             int64_t first, int64_t count)
{
    for (int64_t k = 0; k < row->K; k++) {
        int64_t e = row->id[k] - row->base;
        if (e < first || e >= first + count) continue;
        *of_chosen += q[e - first];
        q[e - first] = 0;
    }
    for (int64_t i = 0; i < count; i++) *of_others += q[i];
}

void mo__load_row_bwd(mo_real *dz, mo_real *dh, mo_real *dsigma, const mo__load_row *row,
                      const double *slope_E)
{
    if (row->hard || !complete(row)) return;
    int64_t next = runner_up(row);
    mo_real limit[CHUNK], q[CHUNK], qt[CHUNK], of_chosen = 0, of_others = 0;
    for (int64_t first = 0; first < row->E; first += CHUNK) {
        int64_t count = mo_min(CHUNK, row->E - first);
        thresholds(limit, row, next, first, count);
        slopes_of(q, qt, row, limit, slope_E, first, count);
        for (int64_t i = 0; dz && i < count; i++) dz[first + i] += q[i];
        for (int64_t i = 0; dsigma && i < count; i++) dsigma[first + i] -= qt[i];
        add_by_threshold(&of_chosen, &of_others, q, row, first, count);
    }
    if (!dh) return;
    dh[next] -= of_chosen;
    dh[kth(row)] -= of_others;
}
