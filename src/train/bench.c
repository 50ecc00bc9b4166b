/* bench.c -- whole training steps against the machine's matrix-product peak, measured in the same process.
 *
 * The peak (peak.c) is measured before, between and after the timed steps because machines drift. Times are
 * medians. */
#include <stdlib.h>
#include <string.h>

#include "train/profile.h"
#include "train/train_internal.h"

enum { PEAK_ROUNDS = 3, WARMUP = 2 };

typedef struct bench {
    const mo_run_config *config;
    mo_model *model;
    mo_model_graph *graph;
    double *step_seconds, *optimizer_seconds;
    double peaks[2 * PEAK_ROUNDS];
    int n_peaks;
    uint64_t rss; /* after the warm-up, before the peak's own matrices */
} bench;

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void random_batch(const bench *b, mo_batch *batch, int64_t step)
{
    int64_t N = batch->batch_size * batch->sequence_length, vocab = b->model->config.vocab_size;
    for (int64_t n = 0; n < N; n++) {
        uint32_t bits[4];
        mo_rng_bits(b->config->run.seed, MO_RNG_TEST, (uint64_t)step, 0, (uint64_t)n, bits);
        batch->tokens[n] = (int32_t)(bits[0] % (uint64_t)vocab);
        batch->targets[n] = (int32_t)(bits[1] % (uint64_t)vocab);
        batch->starts[n] = 0;
    }
}

static void one_step(bench *b, mo_batch *batch, int64_t step, double *seconds, double *optimizer)
{
    const mo_run_config *c = b->config;
    int64_t N = batch->batch_size * batch->sequence_length, micro = c->train.gradient_accumulation_steps;
    double begin = mo_clock();
    for (int64_t k = 0; k < micro; k++) {
        mo_model_graph_feed(b->graph, batch);
        mo_model_graph_scale(b->graph, micro * N, micro * N);
        mo_run run = {.seed = c->run.seed, .step = step, .first_token = k * N, .training = true};
        mo_graph_train(b->graph->graph, &run);
    }
    double middle = mo_clock();
    mo_slabs slabs = mo_model_slabs(b->model);
    mo_adamw_step(&slabs, &c->optimizer, c->optimizer.learning_rate, mo_grad_norm(&slabs), step);
    double end = mo_clock();
    *seconds = end - begin;
    *optimizer = end - middle;
}

static mo_status run_steps(bench *b, int64_t steps)
{
    mo_batch *batch = NULL;
    MO_TRY(mo_batch_create(b->config->train.batch_size, b->config->train.sequence_length, &batch));
    mo_status status = MO_OK;
    double ignored[2];
    for (int64_t s = 0; s < WARMUP + steps && status == MO_OK; s++) {
        random_batch(b, batch, s);
        if (s == WARMUP) {
            b->rss = mo_memory_peak_rss();
            mo_graph_profile(b->graph->graph, true);
        }
        bool peak_due = s == WARMUP || s == WARMUP + steps / 2;
        for (int i = 0; peak_due && i < PEAK_ROUNDS / 2 + 1 && status == MO_OK; i++)
            status = mo__measure_peak(&b->peaks[b->n_peaks++]);
        if (s < WARMUP)
            one_step(b, batch, s, &ignored[0], &ignored[1]);
        else
            one_step(b, batch, s, &b->step_seconds[s - WARMUP], &b->optimizer_seconds[s - WARMUP]);
    }
    if (status == MO_OK) status = mo__measure_peak(&b->peaks[b->n_peaks++]);
    mo_batch_free(batch);
    return status;
}

static void summarise(bench *b, int64_t steps, mo_bench_result *out)
{
    size_t n = (size_t)steps;
    qsort(b->step_seconds, n, sizeof(double), rising);
    qsort(b->optimizer_seconds, n, sizeof(double), rising);
    qsort(b->peaks, (size_t)b->n_peaks, sizeof(double), rising);
    const mo_run_config *c = b->config;
    double tokens =
        (double)(c->train.batch_size * c->train.sequence_length * c->train.gradient_accumulation_steps);
    out->step_seconds = b->step_seconds[n / 2];
    out->step_seconds_low = b->step_seconds[0];
    out->step_seconds_high = b->step_seconds[n - 1];
    out->optimizer_seconds = b->optimizer_seconds[n / 2];
    out->peak_gflops = b->peaks[b->n_peaks / 2];
    out->peak_low = b->peaks[0];
    out->peak_high = b->peaks[b->n_peaks - 1];
    out->tokens_per_second = tokens / out->step_seconds;
    out->gflops =
        out->tokens_per_second * mo_model_counts(b->model, c->train.sequence_length).flops_per_token / 1e9;
    out->share_of_peak = out->gflops / out->peak_gflops;
    out->peak_rss_bytes = b->rss;
    out->threads = mo_threads();
    out->steps = steps;
}

static mo_status measure(bench *b, int64_t steps, mo_bench_result *out)
{
    const mo_run_config *c = b->config;
    MO_TRY(mo_model_create_tuned(&c->model, &c->tuning, &b->model));
    MO_TRY(mo_model_group(b->model, &c->optimizer));
    MO_TRY(mo_model_allocate(b->model, MO_ALLOCATE_TRAINING));
    mo_model_init(b->model, c->run.seed);
    mo_model_graph_options options = mo_run_graph_options(c, MO_GRAPH_TRAIN);
    MO_TRY(mo_model_graph_create(b->model, &options, &b->graph));
    MO_TRY(mo_graph_bind(b->graph->graph, NULL));
    mo_model_graph_attach(b->graph);
    b->step_seconds = mo_calloc((size_t)steps, sizeof(double));
    b->optimizer_seconds = mo_calloc((size_t)steps, sizeof(double));
    if (!b->step_seconds || !b->optimizer_seconds) return MO_E_MEMORY;
    MO_TRY(run_steps(b, steps));
    MO_TRY(mo__profile_ops(b->graph->graph, steps, &out->ops, &out->n_ops));
    MO_TRY(mo__measure_bandwidth(&out->peak_gbytes));
    summarise(b, steps, out);
    return MO_OK;
}

mo_status mo_bench(const mo_run_config *config, int64_t steps, mo_bench_result *out)
{
    *out = (mo_bench_result){0};
    if (steps < 1) return mo_error(MO_E_RANGE, "bench: %lld steps; expected at least 1", (long long)steps);
    mo_threads_set((int)config->run.threads);
    MO_TRY(mo_blas_init());
    bench b = {.config = config};
    mo_status status = measure(&b, steps, out);
    mo_free(b.step_seconds);
    mo_free(b.optimizer_seconds);
    mo_model_graph_free(b.graph);
    mo_model_free(b.model);
    if (status != MO_OK) mo_bench_result_free(out);
    return status;
}

void mo_bench_result_free(mo_bench_result *r)
{
    mo_free(r->ops);
    *r = (mo_bench_result){0};
}
