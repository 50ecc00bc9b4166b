/* test_router_models.c -- whole models with the routers sigmoid, hierarchical, hash and random, and with
 * jitter: recomputation and threads change no bit, evaluation and decoding route alike, noise is of training.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/small_model.h"

enum { SEQUENCES = 4, T = 10, TOKENS = SEQUENCES * T, VOCAB = 17, E = 8, F = 12, D = 16 };

static const mo_model_config base = {.vocab_size = VOCAB,
                                     .hidden_size = D,
                                     .intermediate_size = F,
                                     .num_hidden_layers = 2,
                                     .num_attention_heads = 4,
                                     .num_key_value_heads = 2,
                                     .max_position_embeddings = T,
                                     .num_local_experts = E,
                                     .num_experts_per_tok = 4,
                                     .norm_topk_prob = MO_CHOICE_DEFAULT,
                                     .noise_floor = 0.5,
                                     .rope_theta = 10000,
                                     .rms_norm_eps = 1e-5,
                                     .initializer_range = 0.4};

static mo_model_config of(int router)
{
    mo_model_config c = base;
    c.router = router;
    if (router == MO_ROUTER_SIGMOID || router == MO_ROUTER_HIERARCHICAL) c.n_group = 4, c.topk_group = 2;
    if (router == MO_ROUTER_HASH || router == MO_ROUTER_RANDOM) c.num_experts_per_tok = 1;
    return c;
}

static mo_model_config jittery(int router, bool experts)
{
    mo_model_config c = of(router);
    c.router_jitter_noise = 0.3;
    c.jitter_experts = experts;
    return c;
}

static int32_t tokens[TOKENS], targets[TOKENS], positions[TOKENS];

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < TOKENS; i++) {
        int t = i % T;
        bool padding = i / T == 2 && t >= 7;
        tokens[i] = padding ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)i) * VOCAB);
        targets[i] = padding ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 1, (uint64_t)i) * VOCAB);
        positions[i] = t;
    }
    return mo_blas_init() == MO_OK ? 0 : -1;
}

static mo_model_graph *open_graph(const mo_model *m, mo_model_graph_options options)
{
    if (!options.sequence_length) options.sequence_length = T;
    if (!options.batch_size) options.batch_size = SEQUENCES;
    return small_model_graph(m, options);
}

static void load(const mo_model_graph *t, int first)
{
    size_t size = (size_t)(t->batch_size * t->sequence_length) * sizeof(int32_t);
    memcpy(t->tokens->data, tokens + first, size);
    memcpy(t->positions->data, positions + first, size);
    memset(t->starts->data, 0, size);
    if (t->targets) memcpy(t->targets->data, targets + first, size);
}

/* Losses of all tokens. */
static void evaluate(const mo_model *m, mo_graph_kind kind, mo_run run, double row_loss[TOKENS])
{
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = kind});
    load(t, 0);
    mo_graph_forward(t->graph, &run);
    memcpy(row_loss, t->row_loss->data, TOKENS * sizeof *row_loss);
    mo_model_graph_free(t);
}

static bool same(const mo_model *m, mo_graph_kind kind, mo_run a, mo_run b)
{
    double x[TOKENS], y[TOKENS];
    evaluate(m, kind, a, x);
    evaluate(m, kind, b, y);
    return memcmp(x, y, sizeof x) == 0;
}

/* ---- the same bits ---- */

/* The gradient of one training step, in the model; returns the loss. */
static double step(mo_model *m, mo_recompute recompute, int64_t batch)
{
    const mo_router_info *info = mo_router_describe(m->config.router);
    mo_balance_config balance = {.scope = MO_SCOPE_SEQUENCE};
    if (info->traits & MO_ROUTER_SCORES) balance.switch_loss = 0.3;
    if (info->traits & MO_ROUTER_NOISE) balance.load = balance.importance = 0.2;
    mo_model_graph *t = open_graph(
        m, (mo_model_graph_options){
               .kind = MO_GRAPH_TRAIN, .balance = balance, .recompute = recompute, .batch_size = batch});
    double loss = 0, part[MO_BALANCE_LOSSES];
    memset(m->grad, 0, (size_t)m->elements * sizeof(mo_real));
    mo_model_graph_scale(t, TOKENS, TOKENS);
    for (int first = 0; first < TOKENS; first += (int)batch * T) {
        mo_run run = {.seed = 5, .step = 2, .first_token = first, .training = true};
        load(t, first);
        mo_graph_train(t->graph, &run);
        loss += mo_model_graph_loss(t, part);
    }
    mo_model_graph_free(t);
    return loss;
}

static mo_real *grad_of(const mo_model *m)
{
    size_t size = (size_t)m->elements * sizeof(mo_real);
    mo_real *copy = malloc(size);
    assert_non_null(copy);
    return memcpy(copy, m->grad, size);
}

static void check_bits(mo_model_config c)
{
    mo_model *m = small_model_make(c);
    size_t size = (size_t)m->elements * sizeof(mo_real);
    double want = step(m, MO_RECOMPUTE_NONE, SEQUENCES);
    mo_real *grad = grad_of(m);
    for (int policy = MO_RECOMPUTE_BLOCK; policy <= MO_RECOMPUTE_FULL; policy++) {
        assert_true(step(m, (mo_recompute)policy, SEQUENCES) == want);
        assert_memory_equal(m->grad, grad, size);
    }
    int before = mo_threads();
    for (int threads = 1; threads <= 3; threads += 2) {
        mo_threads_set(threads);
        assert_true(step(m, MO_RECOMPUTE_NONE, SEQUENCES) == want);
        mo_threads_set(before);
        assert_memory_equal(m->grad, grad, size);
    }
    free(grad);
    mo_model_free(m);
}

/* In microbatches: sums in another order, the same choices and noise. */
static void check_microbatches(mo_model_config c)
{
    mo_model *m = small_model_make(c);
    double want = step(m, MO_RECOMPUTE_NONE, SEQUENCES);
    mo_real *grad = grad_of(m);
    double largest = 0;
    for (int64_t i = 0; i < m->elements; i++) largest = fmax(largest, fabs((double)grad[i]));
    MO_CHECK_NEAR(step(m, MO_RECOMPUTE_NONE, 1), want, 1e-5 * want);
    for (int64_t i = 0; i < m->elements; i++)
        MO_CHECK_NEAR((double)m->grad[i], (double)grad[i], 2e-5 * largest);
    free(grad);
    mo_model_free(m);
}

static void test_same_bits(void **state)
{
    (void)state;
    const mo_model_config all[] = {of(MO_ROUTER_SIGMOID),
                                   of(MO_ROUTER_HIERARCHICAL),
                                   of(MO_ROUTER_HASH),
                                   of(MO_ROUTER_RANDOM),
                                   jittery(MO_ROUTER_TOPK, false),
                                   jittery(MO_ROUTER_SIGMOID, true),
                                   jittery(MO_ROUTER_HIERARCHICAL, false)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        check_bits(all[i]);
        check_microbatches(all[i]);
    }
}

/* ---- training, evaluation, decoding ---- */

/* Randomness is of the place in the step, in training alone; without training the graph is that of losses. */
static void check_noise(mo_model_config c, bool noisy)
{
    mo_model *m = small_model_make(c);
    const mo_run train = {.seed = 1, .training = true}, still = {.seed = 1};
    const mo_run others[] = {{.seed = 2}, {.seed = 1, .step = 1}, {.seed = 1, .first_token = 5}};
    for (int i = 0; i < 3; i++) {
        mo_run changed = others[i];
        changed.training = true;
        assert_int_equal(same(m, MO_GRAPH_TRAIN, train, changed), !noisy);
        assert_true(same(m, MO_GRAPH_LOSS, still, others[i]));
        assert_true(same(m, MO_GRAPH_TRAIN, still, others[i]));
    }
    double x[TOKENS], y[TOKENS];
    evaluate(m, MO_GRAPH_LOSS, still, x);
    evaluate(m, MO_GRAPH_TRAIN, still, y);
    assert_memory_equal(x, y, sizeof x);
    assert_int_equal(same(m, MO_GRAPH_TRAIN, train, still), !noisy);
    mo_model_free(m);
}

static void test_noise(void **state)
{
    (void)state;
    check_noise(of(MO_ROUTER_SIGMOID), false);
    check_noise(of(MO_ROUTER_HASH), false);
    check_noise(of(MO_ROUTER_RANDOM), true);
    check_noise(of(MO_ROUTER_HIERARCHICAL), true);
    const int with_scores[] = {MO_ROUTER_TOPK, MO_ROUTER_NOISY_TOPK, MO_ROUTER_SIGMOID,
                               MO_ROUTER_HIERARCHICAL};
    for (int i = 0; i < 4; i++) check_noise(jittery(with_scores[i], i % 2), true);
}

/* -log softmax(logits)[target] */
static double loss_of(const mo_real *logits, int32_t target)
{
    double max = (double)logits[0], sum = 0;
    for (int v = 1; v < VOCAB; v++) max = fmax(max, (double)logits[v]);
    for (int v = 0; v < VOCAB; v++) sum += exp((double)logits[v] - max);
    return max + log(sum) - (double)logits[target];
}

/* The losses of sequence 0, decoded in pieces from positions `shift` on. */
static void decode(const mo_model *m, const int *pieces, int32_t shift, double losses[T])
{
    const mo_model_config *c = &m->config;
    int64_t width = c->num_key_value_heads * c->head_dim, at = 0;
    mo_real *storage = calloc((size_t)(c->num_hidden_layers * 2 * T * width), sizeof *storage);
    mo_kv_cache caches[2];
    assert_non_null(storage);
    for (int l = 0; l < 2; l++)
        caches[l] = (mo_kv_cache){storage + 2 * l * T * width, storage + (2 * l + 1) * T * width, T, 0};
    for (int p = 0; at < T; at += pieces[p++]) {
        mo_model_graph *t = open_graph(
            m, (mo_model_graph_options){
                   .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = pieces[p], .caches = caches});
        load(t, (int)at);
        for (int i = 0; i < pieces[p]; i++) ((int32_t *)t->positions->data)[i] += shift;
        for (int l = 0; l < 2; l++) caches[l].length = at;
        mo_run run = {.seed = 99, .step = (int64_t)p};
        mo_graph_forward(t->graph, &run);
        for (int i = 0; i < pieces[p]; i++)
            losses[at + i] = loss_of((const mo_real *)t->logits->data + i * VOCAB, targets[at + i]);
        mo_model_graph_free(t);
    }
    free(storage);
}

static double difference(const double *a, const double *b)
{
    double most = 0;
    for (int i = 0; i < T; i++) most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

/* Token by token, in pieces or at once: the experts of evaluation, so its losses. Rotary positions know no
 * shift, so that one changes the losses of `random` alone, whose evaluation hangs on the position. */
static void check_decoding(mo_model_config c)
{
    mo_model *m = small_model_make(c);
    double want[TOKENS], got[T];
    static const int at_once[] = {T}, pieces[] = {3, 1, 1, 5}, single[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int *const cuts[] = {at_once, pieces, single};
    evaluate(m, MO_GRAPH_LOSS, (mo_run){.seed = 1}, want);
    for (int i = 0; i < 3; i++) {
        decode(m, cuts[i], 0, got);
        if (!(difference(want, got) <= 1e-4))
            fail_msg("%s: decoded losses are off by %g", mo_router_describe(c.router)->name,
                     difference(want, got));
    }
    decode(m, at_once, 3, got);
    assert_int_equal(difference(want, got) > 0.01, c.router == MO_ROUTER_RANDOM);
    mo_model_free(m);
}

static void test_decoding(void **state)
{
    (void)state;
    const int routers[] = {MO_ROUTER_SIGMOID, MO_ROUTER_HIERARCHICAL, MO_ROUTER_HASH, MO_ROUTER_RANDOM};
    for (int i = 0; i < 4; i++) check_decoding(of(routers[i]));
    check_decoding(jittery(MO_ROUTER_TOPK, true));
}

/* ---- experts ---- */

/* Experts that nobody chose have gradients of exactly 0, the others not. */
static void check_experts(mo_model_config c)
{
    static const char *const names[] = {"w1", "w2", "w3"};
    mo_model *m = small_model_make(c);
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = MO_GRAPH_TRAIN, .batch_size = 1});
    mo_model_graph *look = open_graph(m, (mo_model_graph_options){.kind = MO_GRAPH_LOSS, .batch_size = 1});
    mo_run run = {.seed = 1};
    memset(m->grad, 0, (size_t)m->elements * sizeof(mo_real));
    mo_model_graph_scale(t, 1, 1);
    load(t, 0);
    load(look, 0);
    for (int i = 1; i < T; i++) {
        ((int32_t *)t->tokens->data)[i] = ((int32_t *)look->tokens->data)[i] = -1;
        ((int32_t *)t->targets->data)[i] = ((int32_t *)look->targets->data)[i] = -1;
    }
    mo_graph_train(t->graph, &run);
    mo_graph_forward(look->graph, &run);
    for (int l = 0; l < 2; l++) {
        bool chosen[E] = {false};
        const int32_t *ids = look->routing[l].ids_NK->data;
        for (int64_t k = 0; k < c.num_experts_per_tok; k++) chosen[ids[k]] = true;
        for (int w = 0; w < 3; w++) {
            char name[128];
            snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.experts.%s.weight", l, names[w]);
            const mo_real *grad = m->grad + mo_model_find(m, name)->offset;
            for (int e = 0; e < E; e++) {
                int moved = 0;
                for (int i = 0; i < F * D; i++) moved += grad[e * F * D + i] != 0;
                if (chosen[e] != (moved > 0)) fail_msg("%s: expert %d has %d gradients", name, e, moved);
            }
        }
    }
    mo_model_graph_free(t);
    mo_model_graph_free(look);
    mo_model_free(m);
}

static void test_unselected_experts(void **state)
{
    (void)state;
    check_experts(of(MO_ROUTER_SIGMOID));
    check_experts(of(MO_ROUTER_HIERARCHICAL));
    check_experts(of(MO_ROUTER_HASH));
    check_experts(of(MO_ROUTER_RANDOM));
}

/* One expert of weight 1 takes the router out of the sum: what jitter reaches it can be seen. */
static void test_whom_jitter_reaches(void **state)
{
    (void)state;
    for (int experts = 0; experts < 2; experts++) {
        mo_model_config c = jittery(MO_ROUTER_TOPK, experts);
        c.num_local_experts = c.num_experts_per_tok = 1;
        mo_model *m = small_model_make(c);
        assert_int_equal(same(m, MO_GRAPH_TRAIN, (mo_run){.training = true}, (mo_run){.training = false}),
                         !experts);
        mo_model_free(m);
    }
}

/* Shared experts get the plain input, also where the routed ones, here of weight 0, get the router's. */
static void test_jitter_and_shared_experts(void **state)
{
    (void)state;
    mo_model_config c = jittery(MO_ROUTER_TOPK, true);
    c.num_local_experts = c.num_experts_per_tok = c.n_shared_experts = 1;
    mo_model *m = small_model_make(c);
    for (int i = 0; i < m->n_params; i++)
        if (strstr(m->params[i].name, "experts.w2"))
            memset(m->value + m->params[i].offset, 0, (size_t)m->params[i].count * sizeof(mo_real));
    assert_true(same(m, MO_GRAPH_TRAIN, (mo_run){.training = true}, (mo_run){.training = false}));
    mo_model_free(m);
}

/* No graph but that of training has a place for it. */
static void test_nodes(void **state)
{
    (void)state;
    mo_model *m = small_model_make(jittery(MO_ROUTER_TOPK, false));
    for (int kind = MO_GRAPH_TRAIN; kind <= MO_GRAPH_LOSS; kind++) {
        mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = (mo_graph_kind)kind});
        int count = 0;
        for (int i = 0; i < mo_graph_node_count(t->graph); i++)
            count += strcmp(mo_graph_node_at(t->graph, i)->op->name, "jitter") == 0;
        assert_int_equal(count, kind == MO_GRAPH_TRAIN ? 2 : 0);
        mo_model_graph_free(t);
    }
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits),
                                       cmocka_unit_test(test_noise),
                                       cmocka_unit_test(test_decoding),
                                       cmocka_unit_test(test_unselected_experts),
                                       cmocka_unit_test(test_whom_jitter_reaches),
                                       cmocka_unit_test(test_jitter_and_shared_experts),
                                       cmocka_unit_test(test_nodes)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
