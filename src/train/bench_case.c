/* bench_case.c -- one model of a bench, and a step of it. */
#include <stdlib.h>

#include "train/bench_case.h"

/* AdamW's arithmetic is that of any rate; at this one weights, and so the routing, stay what they were. */
static const double STILL = 1e-12;

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

mo_spread mo_spread_of(double *samples, int64_t count)
{
    MO_ASSERT(count >= 1);
    qsort(samples, (size_t)count, sizeof *samples, rising);
    int64_t quarter = (count - 1) / 4;
    return (mo_spread){.median = (samples[(count - 1) / 2] + samples[count / 2]) / 2,
                       .low = samples[0],
                       .high = samples[count - 1],
                       .quartile = {samples[quarter], samples[count - 1 - quarter]}};
}

static mo_status make_model(mo__bench_case *c)
{
    const mo_run_config *k = c->asked->config;
    MO_TRY(mo_model_create_tuned(&k->model, &k->tuning, &c->model));
    MO_TRY(mo_model_group(c->model, &k->optimizer));
    MO_TRY(mo_model_allocate(c->model, MO_ALLOCATE_TRAINING));
    mo_model_init(c->model, k->run.seed);
    if (c->asked->skew > 0) MO_TRY(mo__skew_weights(c->model, c->asked->skew));
    mo_model_graph_options options = mo_run_graph_options(k, MO_GRAPH_TRAIN);
    MO_TRY(mo_model_graph_create(c->model, &options, &c->graph));
    MO_TRY(mo_graph_bind(c->graph->graph, NULL));
    mo_model_graph_attach(c->graph);
    return mo__routing_sum_create(c->model, &c->routing);
}

mo_status mo__bench_case_open(mo__bench_case *c, const mo_bench_case *asked, int64_t steps)
{
    const mo_run_config *k = asked->config;
    *c = (mo__bench_case){.asked = asked, .steps = steps};
    mo_threads_set((int)k->run.threads);
    c->threads = mo_threads();
    MO_TRY(make_model(c));
    MO_TRY(mo_batch_create(k->train.batch_size, k->train.sequence_length, &c->batch));
    c->seconds = mo_calloc((size_t)steps, sizeof(double));
    c->optimizer = mo_calloc((size_t)steps, sizeof(double));
    c->work = mo_calloc((size_t)steps, sizeof(double));
    return c->seconds && c->optimizer && c->work ? MO_OK : MO_E_MEMORY;
}

void mo__bench_case_close(mo__bench_case *c)
{
    mo__op_samples_free(&c->ops);
    mo__routing_sum_free(&c->routing);
    mo_free(c->seconds);
    mo_free(c->optimizer);
    mo_free(c->work);
    mo_batch_free(c->batch);
    mo_model_graph_free(c->graph);
    mo_model_free(c->model);
}

static void random_batch(const mo__bench_case *c, int64_t step)
{
    mo_batch *batch = c->batch;
    int64_t N = batch->batch_size * batch->sequence_length, vocab = c->model->config.vocab_size;
    for (int64_t n = 0; n < N; n++) {
        uint32_t bits[4];
        mo_rng_bits(c->asked->config->run.seed, MO_RNG_TEST, (uint64_t)step, 0, (uint64_t)n, bits);
        batch->tokens[n] = (int32_t)(bits[0] % (uint64_t)vocab);
        batch->targets[n] = (int32_t)(bits[1] % (uint64_t)vocab);
        batch->starts[n] = 0;
    }
}

/* Microbatches of a step are the same tokens. */
static void gradients(mo__bench_case *c, int64_t step)
{
    const mo_run_config *k = c->asked->config;
    int64_t N = c->batch->batch_size * c->batch->sequence_length;
    int64_t micro = k->train.gradient_accumulation_steps;
    for (int64_t i = 0; i < micro; i++) {
        mo_model_graph_feed(c->graph, c->batch);
        mo_model_graph_scale(c->graph, micro * N, micro * N);
        mo_run run = {.seed = k->run.seed, .step = step, .first_token = i * N, .training = true};
        mo_graph_train(c->graph->graph, &run);
    }
}

mo_status mo__bench_case_step(mo__bench_case *c, int64_t step, int64_t sample)
{
    mo_threads_set(c->threads);
    random_batch(c, step);
    if (sample >= 0) mo_graph_profile(c->graph->graph, true);
    double begin = mo_clock();
    gradients(c, step);
    double middle = mo_clock();
    mo_slabs slabs = mo_model_slabs(c->model);
    mo_adamw_step(&slabs, &c->asked->config->optimizer, STILL, mo_grad_norm(&slabs), step);
    double end = mo_clock();
    mo__routing_sum_clear(&c->routing);
    mo__routing_sum_add(&c->routing, c->graph);
    if (sample < 0) return MO_OK;
    c->seconds[sample] = end - begin;
    c->work[sample] = middle - begin;
    c->optimizer[sample] = end - middle;
    return mo__op_samples_take(&c->ops, c->graph->graph, sample, c->steps);
}

static double busiest_share(mo__bench_case *c)
{
    double sum = 0;
    mo__routing_sum_report(&c->routing, c->graph);
    for (int l = 0; l < c->routing.n_layers; l++) {
        const mo_layer_report *r = &c->routing.reports[l];
        double most = 0;
        for (int64_t e = 0; e < r->experts; e++) most = fmax(most, r->load[e]);
        sum += most;
    }
    return c->routing.n_layers > 0 ? sum / c->routing.n_layers : 0;
}

mo_status mo__bench_case_result(mo__bench_case *c, mo_bench_result *out)
{
    const mo_run_config *k = c->asked->config;
    const mo_model *m = c->model;
    double tokens =
        (double)(k->train.batch_size * k->train.sequence_length * k->train.gradient_accumulation_steps);
    mo_model_count count = mo_model_counts(m, k->train.sequence_length);
    out->step_seconds = mo_spread_of(c->seconds, c->steps);
    out->optimizer_seconds = mo_spread_of(c->optimizer, c->steps);
    out->work_seconds = mo_spread_of(c->work, c->steps);
    out->flops_per_token = count.flops_per_token;
    out->tokens_per_second = tokens / out->step_seconds.median;
    out->gflops = out->tokens_per_second * count.flops_per_token / 1e9;
    out->threads = c->threads;
    out->steps = c->steps;
    out->parameters = count.total;
    out->slab_bytes = (uint64_t)(m->elements + 3 * m->trainable) * sizeof(mo_real);
    out->busiest = busiest_share(c);
    if (c->asked->skew > 0) MO_TRY(mo__skew_held(&c->routing, m, c->asked->skew));
    return mo__op_samples_summary(&c->ops, &out->ops, &out->n_ops);
}
