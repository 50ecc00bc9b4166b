/* steps.c -- training steps of a config, on tokens that were given, as many as stdin asks for:
 *
 *     steps CONFIG.yaml WEIGHTS BATCHES [section.key=value...]
 *
 * For comparisons with other programs (tests/bench/peers). WEIGHTS is a folder in Hugging Face's layout, or -
 * for weights of the run's seed. BATCHES holds int32 ids [batches][B][T+1]; step s trains on batch s modulo
 * their number, and each token's target is the next one. A line "N" on stdin is answered by N lines "loss
 * seconds" (nats per token; a step is forward, backward, clip, AdamW) and one "peak BYTES" (resident). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moira/moira.h"

typedef struct steps {
    mo_run_config config;
    mo_pretrained *weights;
    mo_model *model;
    mo_model_graph *graph;
    mo_batch batch;
    char *ids; /* the file, int32 [batches][B][T+1] */
    int64_t batches;
} steps;

static mo_status load_model(steps *s, const char *weights)
{
    if (!strcmp(weights, "-")) {
        MO_TRY(mo_model_create(&s->config.model, &s->model));
        MO_TRY(mo_model_allocate(s->model, MO_ALLOCATE_TRAINING));
        mo_model_init(s->model, s->config.run.seed);
        return MO_OK;
    }
    MO_TRY(mo_pretrained_open(weights, mo_config_parse, mo_config_free, &s->weights));
    MO_TRY(mo_model_create(&mo_pretrained_config(s->weights)->model, &s->model));
    MO_TRY(mo_model_allocate(s->model, MO_ALLOCATE_TRAINING));
    return mo_pretrained_load(s->weights, s->model);
}

static mo_status load_batches(steps *s, const char *path)
{
    int64_t B = s->config.train.batch_size, T = s->config.train.sequence_length;
    size_t size, N = (size_t)(B * T), one = (size_t)(B * (T + 1)) * sizeof(int32_t);
    MO_TRY(mo_read_file(path, SIZE_MAX / 2, &s->ids, &size));
    s->batches = (int64_t)(size / one);
    if (s->batches == 0 || size % one)
        return mo_error(MO_E_FORMAT, "%s has %zu bytes, a batch has %zu", path, size, one);
    s->batch = (mo_batch){.batch_size = B, .sequence_length = T, .valid = B * T, .predicted = B * T};
    s->batch.tokens = mo_malloc(N * sizeof(int32_t));
    s->batch.targets = mo_malloc(N * sizeof(int32_t));
    s->batch.starts = mo_calloc(N, sizeof(int32_t));
    return s->batch.tokens && s->batch.targets && s->batch.starts ? MO_OK : MO_E_MEMORY;
}

static void fill_batch(steps *s, int64_t step)
{
    int64_t B = s->batch.batch_size, T = s->batch.sequence_length;
    const char *row = s->ids + (step % s->batches) * B * (T + 1) * (int64_t)sizeof(int32_t);
    for (int64_t b = 0; b < B; b++, row += (size_t)(T + 1) * sizeof(int32_t)) {
        memcpy(s->batch.tokens + b * T, row, (size_t)T * sizeof(int32_t));
        memcpy(s->batch.targets + b * T, row + sizeof(int32_t), (size_t)T * sizeof(int32_t));
    }
}

static double train_step(steps *s, int64_t step)
{
    const mo_run_config *c = &s->config;
    int64_t N = s->batch.valid;
    double balance[MO_BALANCE_LOSSES];
    mo_slabs slabs = mo_model_slabs(s->model);
    mo_run run = {.seed = c->run.seed, .step = step, .training = true};
    mo_model_graph_feed(s->graph, &s->batch);
    mo_model_graph_scale(s->graph, N, N);
    mo_graph_train(s->graph->graph, &run);
    mo_adamw_step(&slabs, &c->optimizer, c->optimizer.learning_rate, mo_grad_norm(&slabs), step);
    return mo_model_graph_loss(s->graph, balance) / (double)N;
}

static void answer(steps *s)
{
    int64_t done = 0;
    long long wanted;
    while (scanf("%lld", &wanted) == 1) {
        for (; wanted > 0; wanted--, done++) {
            fill_batch(s, done);
            double begin = mo_clock(), loss = train_step(s, done);
            printf("%.7f %.6f\n", loss, mo_clock() - begin);
        }
        printf("peak %llu\n", (unsigned long long)mo_memory_peak_rss());
        fflush(stdout);
    }
}

static mo_status prepare(steps *s, int argc, char **argv)
{
    MO_TRY(mo_blas_init());
    MO_TRY(mo_config_load(argv[1], (const char *const *)argv + 4, argc - 4, &s->config));
    mo_threads_set((int)s->config.run.threads);
    MO_TRY(load_model(s, argv[2]));
    MO_TRY(load_batches(s, argv[3]));
    mo_model_graph_options options = mo_run_graph_options(&s->config, MO_GRAPH_TRAIN);
    MO_TRY(mo_model_graph_create(s->model, &options, &s->graph));
    MO_TRY(mo_graph_bind(s->graph->graph, NULL));
    mo_model_graph_attach(s->graph);
    return MO_OK;
}

static void release(steps *s)
{
    mo_model_graph_free(s->graph);
    mo_model_free(s->model);
    mo_pretrained_close(s->weights);
    mo_free(s->batch.tokens);
    mo_free(s->batch.targets);
    mo_free(s->batch.starts);
    mo_free(s->ids);
    mo_config_free(&s->config);
}

int main(int argc, char **argv)
{
    steps s = {.model = NULL};
    if (argc < 4) {
        fputs("usage: steps CONFIG.yaml WEIGHTS|- BATCHES [section.key=value...]\n", stderr);
        return 2;
    }
    mo_status status = prepare(&s, argc, argv);
    if (status == MO_OK)
        answer(&s);
    else
        fprintf(stderr, "steps: %s\n", mo_last_error());
    release(&s);
    return status == MO_OK ? 0 : 1;
}
