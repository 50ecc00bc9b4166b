/* bench.h -- whole training steps, timed against what the machine can do.
 *
 *     mo_bench_case cases[] = {{.config = &config}};
 *     mo_bench_result result;
 *     MO_TRY(mo_bench(cases, 1, 10, &result));
 *     printf("%.1f%% of the peak\n", 100 * result.share_of_peak);
 *     mo_bench_result_free(&result);
 *
 * A step is forward, backward, clip and AdamW, on random tokens, with weights as they are drawn: the learning
 * rate is so small that they stay, and every step routes alike. Several cases are timed in turn, a step of
 * each, so that their ratios hold on a machine that drifts. */
#ifndef MOIRA_BENCH_H
#define MOIRA_BENCH_H

#include "moira/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of samples. Quartiles: a quarter of them is not above the first, a quarter not below the second. */
typedef struct mo_spread {
    double median, low, high, quartile[2];
} mo_spread;
/* Of count >= 1 samples, which it sorts. */
mo_spread mo_spread_of(double *samples, int64_t count);

typedef struct mo_bench_case {
    const mo_run_config *config; /* its data is not read; vocab_size must be given. run.threads counts */
    /* Share of all choices that the first expert of every layer is made to take, in (0, 1/k]; 0: weights
     * are as they are drawn. See mo_bench. */
    double skew;
} mo_bench_case;

typedef struct mo_bench_result {
    mo_spread step_seconds, optimizer_seconds; /* optimizer: norm, clip, AdamW; within the step */
    mo_spread work_seconds;                    /* a step without its optimizer */
    double flops_per_token;                    /* model FLOPs: mo_model_count.flops_per_token */
    double tokens_per_second, gflops;          /* of the median step; model FLOPs */
    /* GFLOP/s of 2048^3 products, one on each thread, all at once: by this library and by OpenBLAS, the best
     * kernel that it has; all 0 where that is not installed. */
    mo_spread peak_own, peak_blas;
    double peak_gflops, share_of_peak; /* the better of both medians, and gflops as a share of it */
    double peak_gbytes;                /* GB/s through memory */
    int threads;
    int64_t steps;
    double startup_seconds; /* from the start of the process to the end of the first step; the first case's */
    int64_t parameters;
    uint64_t slab_bytes;     /* values, gradients, moments: 16 bytes for each parameter that trains */
    uint64_t planned_bytes;  /* mo_bench_memory */
    uint64_t peak_rss_bytes; /* that the process would have had with this case alone; 0: not known */
    double
        busiest; /* of all choices, the share of a layer's busiest expert, the mean over layers; 0: dense */
    /* By op and phase, the slowest first; seconds are medians over the steps. */
    mo_bench_op *ops;
    int n_ops;
} mo_bench_result;

/* Bytes that a case's process takes, by its plan: slabs, arena, runtime. */
mo_status mo_bench_memory(const mo_run_config *config, uint64_t *bytes);

/* Times `steps` steps of every case, after two that are not counted; peaks are measured before, between and
 * after them. out: one for each case, to be freed only if MO_OK.
 *
 * skew works through the weights: one column of the embedding says which tokens the first expert is for, and
 * its router reads that column alone. MO_E_RANGE: a skew that cannot be; MO_E_UNSUPPORTED: the routers did
 * not follow (those without scores of their own cannot). */
mo_status mo_bench(const mo_bench_case *cases, int count, int64_t steps, mo_bench_result *out);
void mo_bench_result_free(mo_bench_result *r);

/* ---- generation ---- */

enum { MO_BENCH_GENERATE_SIZES = 5 };
typedef struct mo_bench_generate_size {
    int64_t batch;          /* texts at once */
    mo_spread step_seconds; /* a token of each */
    double tokens_per_second;
} mo_bench_generate_size;
typedef struct mo_bench_generate_result {
    int threads;
    int64_t tokens; /* timed in each round */
    mo_bench_generate_size at[MO_BENCH_GENERATE_SIZES];
    /* Of one text: bytes of weights, keys and values that a token must read; of them so many GB/s; what all
     * threads reach who only read memory; the former as a share of it. */
    double active_bytes, gbytes;
    mo_spread read_gbytes;
    double share;
    int64_t prompt_tokens; /* of a prompt that is read, and the speed of that */
    double prompt_tokens_per_second;
} mo_bench_generate_result;
/* Times the drawing of tokens, after prompts of random ids. */
mo_status mo_bench_generate(const mo_model *model, int64_t tokens, mo_bench_generate_result *out);

#ifdef __cplusplus
}
#endif
#endif
