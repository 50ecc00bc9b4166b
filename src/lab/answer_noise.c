/* answer_noise.c -- which variants of a sweep cannot be told from the best one.
 *
 *     x_vs = mean + variant_v + seed_s + e_vs,   e ~ N(0, sigma^2)
 *
 * sigma is estimated from the better half of the variants: there the question is decided, and one variant
 * that nearly diverges would hide all differences; choosing by mean does not bend it, since a row's mean says
 * nothing about its residuals. Two means over S seeds differ by noise of sigma sqrt(2/S). The best is
 * compared with V-1 others, each at a level of 0.05/(V-1) (Bonferroni): a bound on the comparisons with the
 * best of Hsu (1981). */
#include <math.h>

#include "lab/answer.h"

/* Ranked first, whole, and with this rung ended: their number. */
static int comparable(const mo_answer *a, int rung)
{
    int n = 0;
    while (n < a->n_variants) {
        const mo_variant_answer *v = &a->variants[a->ranking[n]];
        if (!mo__whole(v) || v->rung < rung || isnan(v->loss.mean)) break;
        n++;
    }
    return n;
}

/* x[rows][seeds], of the first in the ranking. */
static mo_status losses_of(const mo__table *t, const mo_answer *a, int rows, int rung, double **out)
{
    int S = t->n_seeds;
    double *x = *out = mo_malloc(sizeof *x * ((size_t)rows * (size_t)S + 1));
    if (!x) return MO_E_MEMORY;
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < S; s++)
            x[(size_t)r * (size_t)S + (size_t)s] = mo__table_loss(t, a->ranking[r], s, rung);
    return MO_OK;
}

mo_status mo__answer_noise(const mo__table *t, mo_answer *a)
{
    int S = t->n_seeds, top = a->n_variants ? a->variants[a->ranking[0]].rung : 0, rung = top;
    double degrees, *x;
    while (rung > 0 && comparable(a, rung) < 2) rung--;
    int n = comparable(a, rung), half = n > 4 ? (n + 1) / 2 : 2;
    if (n < 2) return MO_OK;
    MO_TRY(losses_of(t, a, n, rung, &x));
    a->noise = mo__residual(x, half, S, &degrees);
    a->least_difference = mo_student_quantile(1 - 0.05 / (2 * (n - 1)), degrees) * a->noise * sqrt(2.0 / S);
    a->compared_step = rung < top ? t->rung_step[rung] : 0;
    double best = mo_estimate_of(x, S).mean;
    for (int r = 0; r < n; r++) {
        double mean = mo_estimate_of(x + (size_t)r * (size_t)S, S).mean;
        a->variants[a->ranking[r]].near_best = mean - best <= a->least_difference;
    }
    mo_free(x);
    return MO_OK;
}
