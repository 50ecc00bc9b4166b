/* test_sampler.c -- draws against those from the sorted vocabulary, and how often they come. */
#include "train/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

/* ---- the same by sorting ---- */

typedef struct token {
    double p;
    int32_t id;
} token;

static int likelier_first(const void *a, const void *b)
{
    const token *x = a, *y = b;
    if (x->p < y->p || x->p > y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* -1 where the answer hangs on rounding: u, or the cut at top_p, falls between two tokens within `margin`. */
static int32_t by_sorting(const mo_real *logits, int64_t n, double temperature, int64_t top_k, double top_p,
                          double u, double margin)
{
    token *all = malloc((size_t)n * sizeof *all);
    assert_non_null(all);
    mo_real most = logits[0];
    for (int64_t i = 1; i < n; i++) most = logits[i] > most ? logits[i] : most;
    for (int64_t i = 0; i < n; i++)
        all[i] = (token){exp((double)(logits[i] - most) / temperature), (int32_t)i};
    qsort(all, (size_t)n, sizeof *all, likelier_first);
    int64_t kept = top_k > 0 && top_k < n ? top_k : n;
    double total = 0, mass = 0, reached = 0;
    bool close = false;
    for (int64_t i = 0; i < kept; i++) total += all[i].p;
    for (int64_t i = 0; i < kept && top_p < 1; i++) {
        mass += all[i].p;
        close = close || fabs(mass - top_p * total) < margin * total;
        if (mass >= top_p * total) kept = i + 1;
    }
    if (top_p < 1) total = mass;
    int32_t id = all[kept - 1].id;
    for (int64_t i = 0; i < kept; i++) {
        reached += all[i].p;
        close = close || (i + 1 < kept && fabs(reached - u * total) < margin * total);
        if (u * total < reached) {
            id = all[i].id;
            break;
        }
    }
    free(all);
    return close ? -1 : id;
}

/* Flat, peaked, many equal, all equal, and with logits that are infinite. */
static void fill(mo_real *logits, int64_t n, int kind)
{
    for (int64_t i = 0; i < n; i++) {
        double u = mo_rng_uniform(3, MO_RNG_TEST, (uint64_t)kind, 0, (uint64_t)i);
        switch (kind) {
        case 0:
            logits[i] = (mo_real)u;
            break;
        case 1:
            logits[i] = (mo_real)(-30 * sqrt(u));
            break;
        case 2:
            logits[i] = (mo_real)floor(6 * u);
            break;
        case 3:
            logits[i] = MO_C(-2.5);
            break;
        default:
            logits[i] = u < 0.5 ? -(mo_real)INFINITY : (mo_real)(4 * u);
        }
    }
}

static void test_as_sorted(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 37, 3000}, ks[] = {0, 1, 2, 36, 500, 5000};
    static const double temperatures[] = {0.05, 1, 3}, ps[] = {1, 1e-6, 0.3, 0.95};
    mo_real logits[3000];
    int64_t compared = 0, all = 0;
    for (int s = 0; s < 4; s++) {
        mo__sampler *sampler;
        MO_CHECK_OK(mo__sampler_create(sizes[s], &sampler));
        for (int kind = 0; kind < 5; kind++)
            for (int t = 0; t < 3; t++)
                for (int k = 0; k < 6; k++)
                    for (int p = 0; p < 4; p++) {
                        double u = mo_rng_uniform(4, MO_RNG_TEST, 0, 0, (uint64_t)all++);
                        if (all % 7 == 0) u = all % 2 ? 0 : 0x1.fffffffffffffp-1;
                        fill(logits, sizes[s], kind);
                        int32_t want = by_sorting(logits, sizes[s], temperatures[t], ks[k], ps[p], u, 1e-5);
                        int32_t got = mo__sample(sampler, logits, temperatures[t], ks[k], ps[p], u);
                        assert_in_range(got, 0, sizes[s] - 1);
                        if (want < 0) continue;
                        compared++;
                        if (got != want)
                            fail_msg("%lld tokens of kind %d, temperature %g, top-k %lld, top-p %g, u %.17g: "
                                     "%d, sorted %d",
                                     (long long)sizes[s], kind, temperatures[t], (long long)ks[k], ps[p], u,
                                     got, want);
                    }
        mo__sampler_free(sampler);
    }
    assert_true(compared > all * 3 / 4);
}

/* Probabilities 1/2, 1/4, 1/8, 1/8, of equals the lower id first. */
static void test_cuts(void **state)
{
    (void)state;
    enum { N = 6 };
    const mo_real half = (mo_real)log(0.5);
    const mo_real logits[N] = {2 * half, 0, 2 * half, -(mo_real)INFINITY, half, -(mo_real)INFINITY};
    mo__sampler *s;
    MO_CHECK_OK(mo__sampler_create(N, &s));
    static const struct {
        int64_t top_k;
        double top_p, u;
        int32_t id;
    } cases[] = {{0, 1, 0, 1},      {0, 1, 0.49, 1},   {0, 1, 0.51, 4},   {0, 1, 0.76, 0},  {0, 1, 0.88, 2},
                 {0, 1, 0.999, 2},  {1, 1, 0.999, 1},  {2, 1, 0.66, 1},   {2, 1, 0.67, 4},  {3, 1, 0.999, 0},
                 {0, 0.4, 0.99, 1}, {0, 0.6, 0.99, 4}, {0, 0.8, 0.99, 0}, {2, 0.6, 0.99, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (mo__sample(s, logits, 1, cases[i].top_k, cases[i].top_p, cases[i].u) != cases[i].id)
            fail_msg("case %zu: %d", i, mo__sample(s, logits, 1, cases[i].top_k, cases[i].top_p, cases[i].u));
    mo__sampler_free(s);
}

static void test_greedy(void **state)
{
    (void)state;
    mo__sampler *s;
    MO_CHECK_OK(mo__sampler_create(4, &s));
    assert_int_equal(mo__sample(s, (mo_real[]){1, 3, 3, 2}, 0, 0, 1, 0.99), 1);
    assert_int_equal(mo__sample(s, (mo_real[]){5, 3, 3, 2}, 0, 0, 1, 0.99), 0);
    assert_int_equal(mo__sample(s, (mo_real[]){1, 3, 3, 2}, 1e-45, 0, 1, 0.2), 1); /* as good as 0 */
    /* What is not a number is never drawn, and harms nobody. */
    assert_in_range(mo__sample(s, (mo_real[]){(mo_real)NAN, 3, 3, 2}, 1, 0, 1, 0.5), 0, 3);
    assert_int_equal(mo__sample(s, (mo_real[]){1, (mo_real)NAN, 9, 1}, 0.1, 0, 1, 0.5), 2);
    mo__sampler_free(s);
}

/* Each token as often as its probability says: chi squared of 63 degrees of freedom is below 120 but for one
 * time in 50,000. */
static void test_distribution(void **state)
{
    (void)state;
    enum { N = 64, DRAWS = 40000 };
    mo_real logits[N];
    double p[N], total = 0, chi = 0;
    int64_t count[N] = {0};
    mo__sampler *s;
    MO_CHECK_OK(mo__sampler_create(N, &s));
    for (int i = 0; i < N; i++) {
        logits[i] = (mo_real)(2 * mo_rng_uniform(8, MO_RNG_TEST, 0, 0, (uint64_t)i));
        total += p[i] = exp((double)logits[i] / 0.7);
    }
    for (int i = 0; i < DRAWS; i++)
        count[mo__sample(s, logits, 0.7, 0, 1, mo_rng_uniform(9, MO_RNG_TEST, 0, 0, (uint64_t)i))]++;
    for (int i = 0; i < N; i++) {
        double expected = DRAWS * p[i] / total, off = (double)count[i] - expected;
        chi += off * off / expected;
    }
    assert_true(chi < 120);
    mo__sampler_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_sorted),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
