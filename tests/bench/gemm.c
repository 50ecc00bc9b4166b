/* gemm.c -- GFLOP/s of matrix products of given shapes, against one 2048^3 product on each core.
 *
 *   make build/release/tests/bench/gemm && build/release/tests/bench/gemm [THREADS [NAME]]
 *
 * Rounds are interleaved and medians shown, since machines drift. Grouped shapes have 8 experts. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moira/tensor.h"

typedef struct shape {
    const char *name;
    bool trans_a, trans_b;
    int64_t M, N, K;
    int64_t E; /* 0: one product; else experts that share M rows (NT, NN) or K rows (TN) */
} shape;

/* The products of bench-a, -b and -c. */
static const shape shapes[] = {
    {"a q NT", false, true, 4096, 256, 256, 0},        {"a q NN", false, false, 4096, 256, 256, 0},
    {"a q TN", true, false, 256, 256, 4096, 0},        {"a kv TN", true, false, 128, 256, 4096, 0},
    {"a router NT", false, true, 4096, 8, 256, 0},     {"a router TN", true, false, 8, 256, 4096, 0},
    {"a w1 NT", false, true, 8192, 512, 256, 8},       {"a w1 NN", false, false, 8192, 256, 512, 8},
    {"a w1 TN", true, false, 512, 256, 8192, 8},       {"a w2 NT", false, true, 8192, 256, 512, 8},
    {"a w2 NN", false, false, 8192, 512, 256, 8},      {"a w2 TN", true, false, 256, 512, 8192, 8},
    {"b q NT", false, true, 4096, 512, 512, 0},        {"b q NN", false, false, 4096, 512, 512, 0},
    {"b q TN", true, false, 512, 512, 4096, 0},        {"b w1 NT", false, true, 8192, 1024, 512, 8},
    {"b w1 NN", false, false, 8192, 512, 1024, 8},     {"b w1 TN", true, false, 1024, 512, 8192, 8},
    {"b E64 w1 NT", false, true, 8192, 1024, 512, 64}, {"b E64 w1 NN", false, false, 8192, 512, 1024, 64},
    {"b E64 w1 TN", true, false, 1024, 512, 8192, 64}, {"b head NT", false, true, 4096, 4096, 512, 0},
    {"b head NN", false, false, 4096, 512, 4096, 0},   {"b head TN", true, false, 4096, 512, 4096, 0},
    {"c q NT", false, true, 2048, 768, 768, 0},        {"c q TN", true, false, 768, 768, 2048, 0},
    {"c w1 NT", false, true, 4096, 2048, 768, 8},      {"c w1 NN", false, false, 4096, 768, 2048, 8},
    {"c w1 TN", true, false, 2048, 768, 4096, 8},      {"c head NT", false, true, 512, 32000, 768, 0},
    {"c head NN", false, false, 512, 768, 32000, 0},   {"c head TN", true, false, 32000, 768, 512, 0},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, ROUNDS = 5 };

static mo_real *room(int64_t count)
{
    mo_real *x = aligned_alloc(64, (size_t)(count + 15) / 16 * 16 * sizeof *x);
    if (!x) exit(1);
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++) x[i] = (mo_real)(i % 13 - 6) / 16;
    return x;
}

static void multiply(const shape *s, const mo_real *a, const mo_real *b, mo_real *c)
{
    if (!s->E) {
        mo_gemm(s->trans_a, s->trans_b, s->M, s->N, s->K, 1, a, s->trans_a ? s->M : s->K, b,
                s->trans_b ? s->K : s->N, 0, c, s->N);
        return;
    }
    int32_t offsets[65];
    int64_t rows = s->trans_a ? s->K : s->M;
    for (int64_t e = 0; e <= s->E; e++) offsets[e] = (int32_t)(rows * e / s->E);
    if (s->trans_a)
        mo_gemm_grouped(MO_GROUP_TN, s->E, offsets, s->M, s->N, a, (mo_real *)(uintptr_t)b, c, 0);
    else if (s->trans_b)
        mo_gemm_grouped(MO_GROUP_NT, s->E, offsets, s->N, s->K, a, c, (mo_real *)(uintptr_t)b, 0);
    else
        mo_gemm_grouped(MO_GROUP_NN, s->E, offsets, s->K, s->N, a, c, (mo_real *)(uintptr_t)b, 0);
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double gflops(const shape *s)
{
    int64_t E = s->E ? s->E : 1, a = s->M * s->K, b = s->N * s->K, c = s->M * s->N;
    mo_real *A = room(a), *B = room(s->trans_a ? b : b * E), *C = room(s->trans_a ? c * E : c);
    double flops = 2.0 * (double)s->M * (double)s->N * (double)s->K, seconds[ROUNDS];
    multiply(s, A, B, C);
    for (int r = 0; r < ROUNDS; r++) {
        int repeats = (int)ceil(2e10 / flops);
        double begin = mo_clock();
        for (int i = 0; i < repeats; i++) multiply(s, A, B, C);
        seconds[r] = (mo_clock() - begin) / repeats;
    }
    free(A);
    free(B);
    free(C);
    qsort(seconds, ROUNDS, sizeof *seconds, rising);
    return flops / seconds[ROUNDS / 2] / 1e9;
}

static double peak(int threads)
{
    enum { SIDE = 2048 };
    mo_real *a = room(SIDE * SIDE), *b = room(SIDE * SIDE), *c = room((int64_t)threads * SIDE * SIDE);
    double best = 0;
    for (int r = 0; r < 3; r++) {
        double begin = mo_clock();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++)
            mo_gemm_tile(false, false, SIDE, SIDE, SIDE, 1, a, SIDE, b, SIDE, 0, c + (int64_t)t * SIDE * SIDE,
                         SIDE);
        double rate = 2.0 * SIDE * SIDE * SIDE * threads / (mo_clock() - begin) / 1e9;
        if (rate > best) best = rate;
    }
    free(a);
    free(b);
    free(c);
    return best;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
    omp_set_num_threads(threads);
    double before = peak(threads);
    printf("%d threads, peak %.1f GFLOP/s\n", threads, before);
    for (int i = 0; i < SHAPES; i++) {
        if (argc > 2 && !strstr(shapes[i].name, argv[2])) continue;
        double rate = gflops(&shapes[i]);
        printf("%-14s %6lld x %5lld x %5lld  %7.1f GFLOP/s  %5.1f%%\n", shapes[i].name,
               (long long)shapes[i].M, (long long)shapes[i].N, (long long)shapes[i].K, rate,
               100 * rate / before);
    }
    printf("peak after %.1f\n", peak(threads));
    return 0;
}
