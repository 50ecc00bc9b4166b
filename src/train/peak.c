/* peak.c -- what the machine can do: products in cache, and streams through memory. */
#include "tensor/blas.h"
#include "train/profile.h"

enum { PEAK_N = 2048, PEAK_ROUNDS = 2, STREAM = 1 << 24, STREAM_ROUNDS = 6 };

static void product(mo__peak_of of, mo_real *a)
{
    const mo_real *b = a + (size_t)PEAK_N * PEAK_N;
    mo_real *c = a + 2 * (size_t)PEAK_N * PEAK_N;
    if (of == MO__PEAK_OWN)
        mo_gemm_tile(false, false, PEAK_N, PEAK_N, PEAK_N, 1, a, PEAK_N, b, PEAK_N, 0, c, PEAK_N);
    else
        mo__blas_gemm(false, false, PEAK_N, PEAK_N, PEAK_N, 1, a, PEAK_N, b, PEAK_N, 0, c, PEAK_N);
}

/* One product on each thread, all at once; the best of two. */
mo_status mo__measure_peak(mo__peak_of of, double *out)
{
    int threads = mo_threads();
    size_t elements = (size_t)PEAK_N * PEAK_N, bytes = 3 * elements * sizeof(mo_real) * (size_t)threads;
    void *memory = NULL;
    *out = 0;
    if (of == MO__PEAK_BLAS && mo_blas_init() != MO_OK) {
        mo_error_clear();
        return MO_OK;
    }
    MO_TRY(mo_pages_alloc(bytes, &memory));
    mo_real *all = memory;
    for (size_t i = 0; i < bytes / sizeof(mo_real); i++) all[i] = (mo_real)(i % 7) - 3;
    for (int round = 0; round < PEAK_ROUNDS; round++) {
        double begin = mo_clock();
#pragma omp parallel for schedule(static, 1)
        for (int i = 0; i < threads; i++) product(of, all + (size_t)i * 3 * elements);
        double rate = 2.0 * PEAK_N * PEAK_N * PEAK_N * threads / (mo_clock() - begin) / 1e9;
        if (rate > *out) *out = rate;
    }
    mo_pages_free(memory, bytes);
    return MO_OK;
}

/* a = b + 3 c over arrays that no cache holds, as in McCalpin's STREAM: two reads and a write are counted. */
static double triad(float *a, const float *b, const float *c)
{
    double begin = mo_clock();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < STREAM; i++) a[i] = b[i] + 3 * c[i];
    return 3.0 * STREAM * sizeof(float) / (mo_clock() - begin) / 1e9;
}

mo_status mo__measure_bandwidth(double *out)
{
    void *memory = NULL;
    size_t bytes = (size_t)3 * STREAM * sizeof(float);
    MO_TRY(mo_pages_alloc(bytes, &memory));
    float *a = memory;
    *out = 0;
    for (int round = 0; round < STREAM_ROUNDS; round++) { /* the first touches the pages */
        double rate = triad(a, a + STREAM, a + 2 * (int64_t)STREAM);
        if (rate > *out) *out = rate;
    }
    mo_pages_free(memory, bytes);
    return MO_OK;
}
