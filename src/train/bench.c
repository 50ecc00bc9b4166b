/* bench.c -- cases timed in turn, a step of each, and the machine's peaks before, between and after.
 *
 * Machines drift, so medians are told, and every second round goes the other way. */
#include <stdlib.h>

#include "train/bench_case.h"

enum { PEAKS_BETWEEN = 4, MOST_PEAKS = PEAKS_BETWEEN + 1, WARMUP = 2 };

/* Of one number of threads. */
typedef struct peaks {
    int threads, count;
    double own[MOST_PEAKS], blas[MOST_PEAKS];
} peaks;

typedef struct bench {
    mo__bench_case *cases;
    peaks *peaks; /* [count] of different numbers of threads: the first n_peaks */
    int count, n_peaks;
    int64_t steps;
    uint64_t rss; /* before the first case */
    double startup;
} bench;

/* ---- peaks ---- */

static peaks *peaks_of(const bench *b, int threads)
{
    int i = 0;
    while (i < b->n_peaks && b->peaks[i].threads != threads) i++;
    return &b->peaks[i];
}

static void list_threads(bench *b)
{
    for (int i = 0; i < b->count; i++) {
        peaks *p = peaks_of(b, b->cases[i].threads);
        if (p == &b->peaks[b->n_peaks]) b->n_peaks++;
        p->threads = b->cases[i].threads;
    }
}

static mo_status measure_peaks(bench *b)
{
    for (int i = 0; i < b->n_peaks; i++) {
        peaks *p = &b->peaks[i];
        MO_ASSERT(p->count < MOST_PEAKS);
        mo_threads_set(p->threads);
        MO_TRY(mo__measure_peak(MO__PEAK_OWN, &p->own[p->count]));
        MO_TRY(mo__measure_peak(MO__PEAK_BLAS, &p->blas[p->count]));
        p->count++;
    }
    return MO_OK;
}

/* Before the first step, and at each further quarter. */
static bool peaks_due(int64_t step, int64_t steps)
{
    return step == 0 || step * PEAKS_BETWEEN / steps != (step - 1) * PEAKS_BETWEEN / steps;
}

static void tell_peaks(const bench *b, int threads, mo_bench_result *out)
{
    peaks *p = peaks_of(b, threads);
    double own[MOST_PEAKS], blas[MOST_PEAKS];
    memcpy(own, p->own, sizeof own);
    memcpy(blas, p->blas, sizeof blas);
    out->peak_own = mo_spread_of(own, p->count);
    out->peak_blas = mo_spread_of(blas, p->count);
    out->peak_gflops = fmax(out->peak_own.median, out->peak_blas.median);
    out->share_of_peak = out->gflops / out->peak_gflops;
}

/* ---- steps ---- */

/* What is resident after the warm-up is all that a case touches. */
static mo_status open_case(bench *b, int i, const mo_bench_case *asked)
{
    mo__bench_case *c = &b->cases[i];
    uint64_t before = mo_memory_peak_rss();
    MO_TRY(mo__bench_case_open(c, asked, b->steps));
    for (int64_t s = 0; s < WARMUP; s++) {
        MO_TRY(mo__bench_case_step(c, s, -1));
        if (i == 0 && s == 0) b->startup = mo_process_seconds();
    }
    c->rss = mo_memory_peak_rss() - before;
    return MO_OK;
}

static mo_status run_round(bench *b, int64_t round)
{
    for (int i = 0; i < b->count; i++) {
        int at = round % 2 == 0 ? i : b->count - 1 - i;
        MO_TRY(mo__bench_case_step(&b->cases[at], WARMUP + round, round));
    }
    return MO_OK;
}

static mo_status measure(bench *b, const mo_bench_case *asked)
{
    b->rss = mo_memory_peak_rss();
    for (int i = 0; i < b->count; i++) MO_TRY(open_case(b, i, &asked[i]));
    list_threads(b);
    for (int64_t s = 0; s < b->steps; s++) {
        if (peaks_due(s, b->steps)) MO_TRY(measure_peaks(b));
        MO_TRY(run_round(b, s));
    }
    return measure_peaks(b);
}

static mo_status tell_case(bench *b, int i, mo_bench_result *out)
{
    mo__bench_case *c = &b->cases[i];
    MO_TRY(mo__bench_case_result(c, out));
    tell_peaks(b, c->threads, out);
    mo_threads_set(c->threads);
    MO_TRY(mo__measure_bandwidth(&out->peak_gbytes));
    MO_TRY(mo_bench_memory(c->asked->config, &out->planned_bytes));
    out->peak_rss_bytes = b->rss ? b->rss + c->rss : 0;
    if (i == 0) out->startup_seconds = b->startup;
    return MO_OK;
}

static mo_status check(const mo_bench_case *cases, int count, int64_t steps)
{
    if (steps < 1) return mo_error(MO_E_RANGE, "bench: %lld steps; expected at least 1", (long long)steps);
    if (count < 1) return mo_error(MO_E_RANGE, "bench: %d cases; expected at least 1", count);
    for (int i = 0; i < count; i++)
        if (cases[i].skew != 0) MO_TRY(mo__skew_check(&cases[i].config->model, cases[i].skew));
    return MO_OK;
}

mo_status mo_bench(const mo_bench_case *cases, int count, int64_t steps, mo_bench_result *out)
{
    MO_TRY(check(cases, count, steps));
    for (int i = 0; i < count; i++) out[i] = (mo_bench_result){0};
    bench b = {.count = count, .steps = steps};
    b.cases = mo_calloc((size_t)count, sizeof *b.cases);
    b.peaks = mo_calloc((size_t)count, sizeof *b.peaks);
    mo_status status = b.cases && b.peaks ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) status = measure(&b, cases);
    for (int i = 0; i < count && status == MO_OK; i++) status = tell_case(&b, i, &out[i]);
    for (int i = 0; i < count && status != MO_OK; i++) mo_bench_result_free(&out[i]);
    for (int i = 0; i < count && b.cases; i++) mo__bench_case_close(&b.cases[i]);
    mo_free(b.cases);
    mo_free(b.peaks);
    return status;
}

mo_status mo_bench_memory(const mo_run_config *config, uint64_t *bytes)
{
    mo_run_memory m;
    *bytes = 0;
    MO_TRY(mo_run_memory_estimate(config, 0, &m));
    *bytes = m.parameters + m.gradients + m.optimizer + m.activations + m.runtime;
    return MO_OK;
}

void mo_bench_result_free(mo_bench_result *r)
{
    mo_free(r->ops);
    *r = (mo_bench_result){0};
}
