/* bench_generate.c -- tokens drawn one after another, against the speed at which memory gives their weights.
 *
 * What a token must read at least: all matrices that it uses (of experts, those that its router chose), and
 * the keys and values before it. Sizes of batches are timed in turn, and between them how fast all threads
 * read a stretch of memory that no cache holds, so that shares hold on a machine that drifts. */
#include "moira/bench.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROUNDS = 5,
    PASSES = 2,
    READ_NUMBERS = 1 << 28, /* a gigabyte */
    LANES = 64,
    PROMPT = 16, /* tokens before those that are timed */
    LONG_PROMPT = 1024
};

static const int64_t sizes[MO_BENCH_GENERATE_SIZES] = {1, 2, 4, 8, 16};

/* ---- what memory gives ---- */

static float sum_of(const float *x, int64_t count)
{
    float lanes[LANES] = {0}, sum = 0;
    for (int64_t i = 0; i < count; i += LANES)
#pragma omp simd
        for (int64_t l = 0; l < LANES; l++) lanes[l] += x[i + l];
    for (int64_t l = 0; l < LANES; l++) sum += lanes[l];
    return sum;
}

/* GB/s of all threads, each its own part; the best of PASSES. */
static double read_rate(const float *x, float *sums)
{
    double best = 0;
    int64_t threads = mo_threads(), lines = READ_NUMBERS / LANES;
    for (int pass = 0; pass < PASSES; pass++) {
        double begin = mo_clock();
#pragma omp parallel for schedule(static, 1)
        for (int64_t t = 0; t < threads; t++) {
            int64_t from = lines * t / threads, to = lines * (t + 1) / threads;
            sums[t] = sum_of(x + from * LANES, (to - from) * LANES);
        }
        double rate = (double)READ_NUMBERS * sizeof *x / (mo_clock() - begin) / 1e9;
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- what a token reads ---- */

static double active_bytes(const mo_model *m, double context)
{
    const mo_model_config *c = &m->config;
    double bytes = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        bool looked_up = strcmp(p->name, "model.embed_tokens.weight") == 0 && !c->tie_word_embeddings;
        size_t size = p->stored ? mo_dtype_size(p->stored->dtype) : sizeof(mo_real);
        if (!looked_up) bytes += p->active * (double)p->count * (double)size;
    }
    double keys =
        c->sliding_window > 0 && context > (double)c->sliding_window ? (double)c->sliding_window : context;
    double width = 2 * (double)(c->num_key_value_heads * c->head_dim * c->num_hidden_layers);
    return bytes + keys * width * sizeof(mo_real);
}

/* ---- timing ---- */

typedef struct timing {
    double *at; /* when the tokens of the last text came */
    int64_t count, last;
} timing;

static mo_emitted note(int64_t prompt, int32_t id, void *user)
{
    timing *t = user;
    (void)id;
    if (prompt == t->last) t->at[t->count++] = mo_clock();
    return MO_EMITTED_GO_ON;
}

static int32_t random_id(const mo_model *m, uint64_t stream, uint64_t i)
{
    uint32_t bits[4];
    mo_rng_bits(1, MO_RNG_TEST, stream, 0, i, bits);
    return (int32_t)(bits[0] % (uint64_t)m->config.vocab_size);
}

/* Texts of `batch` random prompts; t->at: one time for each token of the last. */
static mo_status generate(const mo_model *m, int64_t batch, int64_t prompt, int64_t tokens, int32_t *ids,
                          timing *t)
{
    mo_prompt prompts[MO_GENERATE_MOST];
    for (int64_t i = 0; i < batch * prompt; i++) ids[i] = random_id(m, (uint64_t)batch, (uint64_t)i);
    for (int64_t i = 0; i < batch; i++) prompts[i] = (mo_prompt){ids + i * prompt, prompt};
    t->count = 0;
    t->last = batch - 1;
    mo_generate_batch_options options = {.prompts = prompts,
                                         .n_prompts = batch,
                                         .slots = batch,
                                         .max_tokens = tokens,
                                         .sampling = {.temperature = 0.8, .top_p = 0.95, .seed = 1},
                                         .emit = note,
                                         .user = t};
    return mo_generate_batch(m, &options);
}

typedef struct bench {
    const mo_model *model;
    int64_t tokens, long_prompt;
    float *memory, *sums;
    int32_t *ids;
    double *at, *samples[MO_BENCH_GENERATE_SIZES], rates[ROUNDS], reading[ROUNDS];
    int64_t n_samples[MO_BENCH_GENERATE_SIZES];
} bench;

/* The first two tokens are left out: graphs are made for them, pages touched. */
static mo_status time_size(bench *b, int which)
{
    timing t = {.at = b->at};
    MO_TRY(generate(b->model, sizes[which], PROMPT, b->tokens + 2, b->ids, &t));
    for (int64_t i = 2; i < t.count; i++) b->samples[which][b->n_samples[which]++] = t.at[i] - t.at[i - 1];
    return MO_OK;
}

static mo_status time_reading(bench *b, int round)
{
    timing t = {.at = b->at};
    double begin = mo_clock();
    MO_TRY(generate(b->model, 1, b->long_prompt, 1, b->ids, &t));
    b->reading[round] = t.at[0] - begin;
    return MO_OK;
}

static mo_status measure(bench *b, mo_bench_generate_result *out)
{
    for (int round = 0; round < ROUNDS; round++) {
        b->rates[round] = read_rate(b->memory, b->sums);
        for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++) MO_TRY(time_size(b, i));
        MO_TRY(time_reading(b, round));
    }
    *out = (mo_bench_generate_result){.threads = mo_threads(), .tokens = b->tokens};
    out->read_gbytes = mo_spread_of(b->rates, ROUNDS);
    for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++) {
        mo_spread step = mo_spread_of(b->samples[i], b->n_samples[i]);
        out->at[i] = (mo_bench_generate_size){sizes[i], step, (double)sizes[i] / step.median};
    }
    out->active_bytes = active_bytes(b->model, PROMPT + 2 + (double)b->tokens / 2);
    out->gbytes = out->active_bytes / out->at[0].step_seconds.median / 1e9;
    out->share = out->gbytes / out->read_gbytes.median;
    out->prompt_tokens = b->long_prompt;
    out->prompt_tokens_per_second = (double)b->long_prompt / mo_spread_of(b->reading, ROUNDS).median;
    return MO_OK;
}

static mo_status prepare(bench *b)
{
    int64_t longest = b->model->config.max_position_embeddings - 1;
    b->long_prompt = longest < LONG_PROMPT ? longest : LONG_PROMPT;
    int64_t ids = MO_GENERATE_MOST * PROMPT > b->long_prompt ? MO_GENERATE_MOST * PROMPT : b->long_prompt;
    if (longest < PROMPT + 2 + b->tokens)
        return mo_error(MO_E_RANGE, "bench: %lld tokens after %d, and max_position_embeddings is %lld",
                        (long long)b->tokens + 2, PROMPT, (long long)longest + 1);
    void *pages;
    MO_TRY(mo_pages_alloc(READ_NUMBERS * sizeof(float), &pages));
    b->memory = pages;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < READ_NUMBERS; i++) b->memory[i] = 1;
    b->sums = mo_calloc((size_t)mo_threads(), sizeof *b->sums);
    b->ids = mo_malloc((size_t)ids * sizeof *b->ids);
    b->at = mo_malloc((size_t)(b->tokens + 2) * sizeof *b->at);
    for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++)
        b->samples[i] = mo_malloc((size_t)(ROUNDS * b->tokens) * sizeof(double));
    bool all = b->sums && b->ids && b->at;
    for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++) all = all && b->samples[i];
    return all ? MO_OK : MO_E_MEMORY;
}

mo_status mo_bench_generate(const mo_model *model, int64_t tokens, mo_bench_generate_result *out)
{
    if (tokens < 1) return mo_error(MO_E_RANGE, "bench: %lld tokens; expected at least 1", (long long)tokens);
    bench b = {.model = model, .tokens = tokens};
    mo_status status = prepare(&b);
    if (status == MO_OK) status = measure(&b, out);
    mo_pages_free(b.memory, READ_NUMBERS * sizeof(float));
    mo_free(b.sums);
    mo_free(b.ids);
    mo_free(b.at);
    for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++) mo_free(b.samples[i]);
    return status;
}
