/* test_routers.c -- a router alone: what it makes of the inputs of a layer. Weights, ids and gradients of
 * those that this file knows: sigmoid, hierarchical, hash, random; weights of gshard. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/opcase.h"
#include "model/build.h"

enum { N = 24, D = 8, E = 12, K = 4, GROUPS = 4, VOCAB = 9 };

static const mo_model_config base = {.vocab_size = VOCAB,
                                     .hidden_size = D,
                                     .intermediate_size = 6,
                                     .num_hidden_layers = 1,
                                     .num_attention_heads = 2,
                                     .max_position_embeddings = N,
                                     .num_local_experts = E,
                                     .num_experts_per_tok = K,
                                     .norm_topk_prob = MO_CHOICE_DEFAULT,
                                     .noise_floor = 0.1,
                                     .rope_theta = 10000,
                                     .rms_norm_eps = 1e-5,
                                     .initializer_range = 0.4};

static mo_model_config of(int router)
{
    mo_model_config c = base;
    c.router = router;
    if (router == MO_ROUTER_HIERARCHICAL) c.n_group = GROUPS, c.topk_group = 2;
    return c;
}

static mo_model_config grouped_sigmoid(void)
{
    mo_model_config c = of(MO_ROUTER_SIGMOID);
    c.n_group = GROUPS;
    c.topk_group = 2;
    c.routed_scaling_factor = 2.5;
    return c;
}

/* A router's graph over N tokens: loss = sum of w times weights of both signs. */
typedef struct bench {
    mo_model *m;
    mo_model_graph out;
    mo__builder b;
    mo_model_graph_options options;
    mo_tensor *x_ND, *factor_NK;
    mo__routing r;
    int loss;
} bench;

static const char bias_name[] = "model.layers.0.block_sparse_moe.gate.e_score_correction_bias";

static double uniform(uint32_t stream, int64_t i)
{
    return mo_rng_uniform(7, MO_RNG_TEST, 0, stream, (uint64_t)i);
}

/* No parameter stays at zero, where all experts look alike; biases are small beside scores. */
static void fill_model(mo_model *m)
{
    mo_model_init(m, 1);
    for (int i = 0; i < m->n_params; i++)
        for (int64_t j = 0; m->params[i].init == MO_INIT_ZERO && j < m->params[i].count; j++)
            m->value[m->params[i].offset + j] = (mo_real)(uniform(20 + (uint32_t)i, j) - 0.5);
}

static void readable(bench *t, mo_tensor *x)
{
    if (x) mo_graph_output(t->b.g, x);
}

static void bench_open(bench *t, mo_model_config c, mo_graph_kind kind, bool biased)
{
    int64_t n = N;
    *t =
        (bench){.options = {.kind = kind, .batch_size = 1, .sequence_length = N, .balance = {.sequence = 1}}};
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_model_create(&c, &t->m));
    MO_CHECK_OK(mo_model_allocate(t->m, MO_ALLOCATE_TRAINING));
    fill_model(t->m);
    const mo_param *bias = mo_model_find(t->m, bias_name);
    if (bias && !biased) memset(t->m->value + bias->offset, 0, (size_t)bias->count * sizeof(mo_real));
    t->out.model = t->m;
    t->b = (mo__builder){.model = t->m, .options = &t->options, .out = &t->out};
    t->out.params = t->b.params = calloc((size_t)t->m->n_params, sizeof *t->b.params);
    assert_non_null(t->b.params);
    MO_CHECK_OK(mo_graph_create(&t->b.g));
    t->out.graph = t->b.g;
    t->out.tokens = mo_graph_input(t->b.g, "tokens", MO_I32, 1, &n, false);
    t->out.positions = mo_graph_input(t->b.g, "positions", MO_I32, 1, &n, false);
    t->x_ND = mo_graph_input(t->b.g, "x", MO_REAL, 2, (int64_t[]){N, D}, kind == MO_GRAPH_TRAIN);
    t->r = mo__router_of(&t->m->config)->build(&t->b, 0, t->x_ND);
    MO_CHECK_OK(mo_graph_status(t->b.g));
    t->factor_NK = mo_graph_input(t->b.g, "factor", MO_REAL, 2, t->r.w_NK->dim, false);
    t->loss = mo_graph_loss(t->b.g, test_weighted_sum(t->b.g, t->r.w_NK, t->factor_NK));
    mo_tensor *all[] = {t->r.z_NE,     t->r.p_NE,       t->r.ids_NK,     t->r.w_NK,
                        t->r.plain_NK, t->r.noisy.h_NE, t->r.first.h_NE, t->r.first.ids_NK};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) readable(t, all[i]);
    MO_CHECK_OK(mo_graph_plan(t->b.g, &(mo_plan){.backward = kind == MO_GRAPH_TRAIN}));
    MO_CHECK_OK(mo_graph_bind(t->b.g, NULL));
    mo_model_graph_attach(&t->out);
}

/* Tokens in the order of place; place NULL: 0, 1, 2 ... Every seventh is padding. */
static void bench_fill(bench *t, const int *place)
{
    for (int n = 0; n < N; n++) {
        int i = place ? place[n] : n;
        ((int32_t *)t->out.tokens->data)[n] = i % 7 == 6 ? -1 : (int32_t)(uniform(1, i) * VOCAB);
        ((int32_t *)t->out.positions->data)[n] = i;
        for (int d = 0; d < D; d++)
            ((mo_real *)t->x_ND->data)[n * D + d] = (mo_real)(2 * uniform(2, i * D + d) - 1);
        int64_t width = t->factor_NK->dim[1];
        for (int64_t k = 0; k < width; k++) {
            double u = 2 * uniform(3, i * width + k) - 1;
            ((mo_real *)t->factor_NK->data)[n * width + k] = (mo_real)(u < 0 ? u - 0.5 : u + 0.5);
        }
    }
}

static void bench_run(bench *t, bool training)
{
    mo_run run = {.seed = 5, .step = 2, .training = training};
    bench_fill(t, NULL);
    memset(t->m->grad, 0, (size_t)t->m->elements * sizeof(mo_real));
    mo_graph_loss_scale(t->b.g, t->loss, 1);
    mo_graph_forward(t->b.g, &run);
    if (t->options.kind == MO_GRAPH_TRAIN) mo_graph_backward(t->b.g, &run);
}

static void bench_close(bench *t)
{
    mo_graph_free(t->b.g);
    free(t->b.params);
    mo_model_free(t->m);
}

static const mo_real *reals(const mo_tensor *t)
{
    return t->data;
}

static const int32_t *ids_of(const bench *t)
{
    return t->r.ids_NK->data;
}

static bool padding(int n)
{
    return n % 7 == 6;
}

/* ---- what every router owes ---- */

/* ids: K different ones for a token, none for padding; w: `sum` in all; p: 1 in all. */
static void check_row(const bench *t, int n, double sum)
{
    const int32_t *ids = ids_of(t) + n * K;
    double w = 0, p = 0;
    for (int k = 0; k < K; k++) {
        w += (double)reals(t->r.w_NK)[n * K + k];
        if (padding(n)) {
            assert_int_equal(ids[k], -1);
            continue;
        }
        assert_in_range(ids[k], 0, E - 1);
        for (int j = 0; j < k; j++) assert_int_not_equal(ids[j], ids[k]);
        assert_true(reals(t->r.w_NK)[n * K + k] > 0);
    }
    MO_CHECK_NEAR(w, padding(n) ? 0 : sum, 2e-6);
    if (!t->r.p_NE) return;
    for (int e = 0; e < E; e++) p += (double)reals(t->r.p_NE)[n * E + e];
    MO_CHECK_NEAR(p, 1, 2e-6);
}

static void check_sums(mo_model_config c, double sum)
{
    for (int training = 0; training < 2; training++) {
        bench t;
        bench_open(&t, c, MO_GRAPH_TRAIN, true);
        bench_run(&t, training);
        for (int n = 0; n < N; n++) check_row(&t, n, sum);
        assert_true((t.r.z_NE != NULL) == (t.r.p_NE != NULL));
        bench_close(&t);
    }
}

static void test_weights_sum(void **state)
{
    (void)state;
    check_sums(of(MO_ROUTER_SIGMOID), 1);
    check_sums(grouped_sigmoid(), 2.5);
    check_sums(of(MO_ROUTER_HIERARCHICAL), 1);
    check_sums(of(MO_ROUTER_HASH), 1);
    check_sums(of(MO_ROUTER_RANDOM), 1);
}

/* Noise chooses and weighs; losses and metrics see the scores without it. */
static void test_clean_scores(void **state)
{
    (void)state;
    const int noisy[] = {MO_ROUTER_NOISY_TOPK, MO_ROUTER_HIERARCHICAL};
    for (int i = 0; i < 2; i++) {
        bench t;
        mo_real z[N * E], p[N * E], w[N * K];
        bench_open(&t, of(noisy[i]), MO_GRAPH_TRAIN, false);
        bench_run(&t, false);
        memcpy(z, t.r.z_NE->data, sizeof z);
        memcpy(p, t.r.p_NE->data, sizeof p);
        memcpy(w, t.r.w_NK->data, sizeof w);
        bench_run(&t, true);
        assert_memory_equal(t.r.z_NE->data, z, sizeof z);
        assert_memory_equal(t.r.p_NE->data, p, sizeof p);
        assert_memory_not_equal(t.r.w_NK->data, w, sizeof w);
        bench_close(&t);
    }
}

/* GShard, algorithm 1: where the second choice is left out, the first has the weight that it had beside it.
 */
static void test_gshard_weights(void **state)
{
    (void)state;
    mo_model_config c = of(MO_ROUTER_GSHARD);
    c.num_experts_per_tok = 2;
    bench t;
    bench_open(&t, c, MO_GRAPH_TRAIN, false);
    bench_run(&t, true);
    int alone = 0;
    for (int n = 0; n < N; n++) {
        const mo_real *p = reals(t.r.p_NE) + n * E, *w = reals(t.r.w_NK) + n * 2;
        if (padding(n)) continue;
        double first = 0, second = 0;
        for (int e = 0; e < E; e++) {
            double x = (double)p[e];
            second = x > first ? first : fmax(second, x);
            first = fmax(first, x);
        }
        MO_CHECK_NEAR((double)w[0], first / (first + second), 1e-6);
        MO_CHECK_NEAR((double)w[1], second / (first + second), 1e-6);
        alone += ids_of(&t)[n * 2 + 1] < 0;
    }
    assert_in_range(alone, 1, N - 1);
    bench_close(&t);
}

/* Tokens in another order have their experts and weights in that order. In float a row of a product may be
 * summed differently elsewhere in a matrix: the weights agree, and ids where no two scores are that close. */
static void check_permuted(mo_model_config c)
{
    bench t, u;
    int place[N];
    for (int n = 0; n < N; n++) place[n] = (5 * n + 3) % N;
    bench_open(&t, c, MO_GRAPH_LOSS, true);
    bench_open(&u, c, MO_GRAPH_LOSS, true);
    mo_run run = {.seed = 5, .step = 2};
    bench_fill(&t, NULL);
    bench_fill(&u, place);
    mo_graph_forward(t.b.g, &run);
    mo_graph_forward(u.b.g, &run);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) {
            assert_int_equal(ids_of(&u)[n * K + k], ids_of(&t)[place[n] * K + k]);
            MO_CHECK_NEAR((double)reals(u.r.w_NK)[n * K + k], (double)reals(t.r.w_NK)[place[n] * K + k],
                          1e-6);
        }
    bench_close(&t);
    bench_close(&u);
}

static void test_permuted(void **state)
{
    (void)state;
    check_permuted(of(MO_ROUTER_SIGMOID));
    check_permuted(grouped_sigmoid());
    check_permuted(of(MO_ROUTER_HIERARCHICAL));
    check_permuted(of(MO_ROUTER_HASH));
    check_permuted(of(MO_ROUTER_RANDOM));
}

/* Rows of a parameter's gradient: all zero, or not. */
static bool moves(const mo_model *m, const char *name, int64_t row)
{
    char full[128];
    snprintf(full, sizeof full, "model.layers.0.block_sparse_moe.%s", name);
    const mo_param *p = mo_model_find(m, full);
    assert_non_null(p);
    const mo_real *grad = m->grad + p->offset + row * p->dim[1];
    for (int64_t i = 0; i < p->dim[1]; i++)
        if (grad[i] != 0) return true;
    return false;
}

/* A gate's row learns from its own expert's tokens alone. */
static void check_unselected(mo_model_config c, const char *const *names, int n_names)
{
    bench t;
    int chosen[E] = {0}, groups[GROUPS] = {0}, unchosen = 0;
    bench_open(&t, c, MO_GRAPH_TRAIN, true);
    /* Two tokens are left. */
    mo_run run = {.seed = 5, .step = 2, .training = true};
    bench_fill(&t, NULL);
    for (int n = 2; n < N; n++) ((int32_t *)t.out.tokens->data)[n] = -1;
    memset(t.m->grad, 0, (size_t)t.m->elements * sizeof(mo_real));
    mo_graph_loss_scale(t.b.g, t.loss, 1);
    mo_graph_forward(t.b.g, &run);
    mo_graph_backward(t.b.g, &run);
    for (int i = 0; i < 2 * K; i++) chosen[ids_of(&t)[i]] = groups[ids_of(&t)[i] / (E / GROUPS)] = 1;
    for (int i = 0; i < n_names; i++) {
        bool of_groups = strstr(names[i], "group") != NULL;
        for (int row = 0; row < (of_groups ? GROUPS : E); row++) {
            bool wanted = of_groups ? groups[row] : chosen[row];
            unchosen += !wanted;
            if (moves(t.m, names[i], row) != wanted)
                fail_msg("%s, row %d: %s", names[i], row, wanted ? "no gradient" : "a gradient");
        }
    }
    assert_true(unchosen > 0);
    bench_close(&t);
}

static void test_no_gradient_to_unselected(void **state)
{
    (void)state;
    static const char *const sigmoid[] = {"gate.weight"};
    static const char *const two[] = {"gate.weight", "gate_noise.weight", "gate_group.weight",
                                      "gate_group_noise.weight"};
    check_unselected(of(MO_ROUTER_SIGMOID), sigmoid, 1);
    check_unselected(grouped_sigmoid(), sigmoid, 1);
    check_unselected(of(MO_ROUTER_HIERARCHICAL), two, 4);
}

/* ---- sigmoid ---- */

/* How many experts rank before expert e of token n, by s + b. */
static int before(const bench *t, const mo_real *bias, int n, int e)
{
    int count = 0;
    double mine = 1 / (1 + exp(-(double)reals(t->r.z_NE)[n * E + e])) + (double)bias[e];
    for (int j = 0; j < E; j++)
        count += 1 / (1 + exp(-(double)reals(t->r.z_NE)[n * E + j])) + (double)bias[j] > mine;
    return count;
}

/* Without groups: the K largest s + b; without bias the K largest s too. */
static void test_sigmoid_is_topk(void **state)
{
    (void)state;
    static const mo_real none[E] = {0};
    for (int biased = 0; biased < 2; biased++) {
        bench t;
        bench_open(&t, of(MO_ROUTER_SIGMOID), MO_GRAPH_TRAIN, biased);
        bench_run(&t, true);
        const mo_real *bias = t.m->value + mo_model_find(t.m, bias_name)->offset;
        int same = 0;
        for (int n = 0; n < N; n++) {
            const int32_t *ids = ids_of(&t) + n * K, *plain = (const int32_t *)t.r.plain_NK->data + n * K;
            same += memcmp(ids, plain, K * sizeof *plain) == 0;
            for (int k = 0; k < K && !padding(n); k++) {
                assert_int_equal(before(&t, none, n, plain[k]), k);
                assert_int_equal(before(&t, bias, n, ids[k]), k);
            }
        }
        assert_in_range(same, biased ? 3 : N, biased ? N - 5 : N); /* padding is always the same */
        bench_close(&t);
    }
}

/* The bias chooses and does not weigh; without norm_topk_prob weights are s times the factor. */
static void test_sigmoid_weights(void **state)
{
    (void)state;
    bench t;
    mo_model_config c = grouped_sigmoid();
    c.norm_topk_prob = MO_CHOICE_FALSE;
    bench_open(&t, c, MO_GRAPH_TRAIN, true);
    bench_run(&t, true);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K && !padding(n); k++) {
            double z = (double)reals(t.r.z_NE)[n * E + ids_of(&t)[n * K + k]];
            MO_CHECK_NEAR((double)reals(t.r.w_NK)[n * K + k], 2.5 / (1 + exp(-z)), 1e-6);
        }
    bench_close(&t);
}

/* K = 1 with w = s: the router learns. */
static void test_sigmoid_of_one(void **state)
{
    (void)state;
    bench t;
    mo_model_config c = of(MO_ROUTER_SIGMOID);
    c.num_experts_per_tok = 1;
    c.norm_topk_prob = MO_CHOICE_FALSE;
    bench_open(&t, c, MO_GRAPH_TRAIN, true);
    mo_run run = {.training = true};
    for (int64_t i = 0; i < N * D; i++) ((mo_real *)t.x_ND->data)[i] = (mo_real)(uniform(2, i) - 0.5);
    for (int n = 0; n < N; n++) {
        ((int32_t *)t.out.tokens->data)[n] = n % VOCAB;
        ((mo_real *)t.factor_NK->data)[n] = 1;
    }
    mo_graph_loss_scale(t.b.g, t.loss, 1);
    mo_graph_forward(t.b.g, &run);
    mo_graph_backward(t.b.g, &run);
    for (int n = 0; n < N; n++) assert_true(moves(t.m, "gate.weight", ids_of(&t)[n]));
    bench_close(&t);
}

/* ---- two levels ---- */

/* Experts come from the groups with the largest h, the best of each, group by group. */
static void test_two_levels(void **state)
{
    (void)state;
    enum { J = 2, K2 = K / J, SIZE = E / GROUPS };
    bench t;
    bench_open(&t, of(MO_ROUTER_HIERARCHICAL), MO_GRAPH_TRAIN, true);
    bench_run(&t, true);
    const mo_real *h1 = reals(t.r.first.h_NE), *h2 = reals(t.r.noisy.h_NE);
    const int32_t *groups = t.r.first.ids_NK->data;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < K && !padding(n); i++) {
            int id = ids_of(&t)[n * K + i], group = groups[n * J + i / K2], larger = 0, better = 0;
            assert_int_equal(id / SIZE, group);
            for (int g = 0; g < GROUPS; g++) larger += h1[n * GROUPS + g] > h1[n * GROUPS + group];
            for (int e = group * SIZE; e < (group + 1) * SIZE; e++) better += h2[n * E + e] > h2[n * E + id];
            assert_int_equal(larger, i / K2);
            assert_int_equal(better, i % K2);
        }
    bench_close(&t);
}

/* The noise of one level is not that of the other: with all matrices 0, h is noise of one deviation. */
static void test_noise_of_levels(void **state)
{
    (void)state;
    bench t;
    bench_open(&t, of(MO_ROUTER_HIERARCHICAL), MO_GRAPH_TRAIN, true);
    memset(t.m->value, 0, (size_t)t.m->elements * sizeof(mo_real));
    bench_run(&t, true);
    for (int g = 0; g < GROUPS; g++) {
        mo_real first = reals(t.r.first.h_NE)[g], second = reals(t.r.noisy.h_NE)[g];
        assert_true(first != 0 && second != 0 && first != second);
    }
    bench_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_scores),
        cmocka_unit_test(test_gshard_weights),
        cmocka_unit_test(test_weights_sum),
        cmocka_unit_test(test_permuted),
        cmocka_unit_test(test_no_gradient_to_unselected),
        cmocka_unit_test(test_sigmoid_is_topk),
        cmocka_unit_test(test_sigmoid_weights),
        cmocka_unit_test(test_sigmoid_of_one),
        cmocka_unit_test(test_two_levels),
        cmocka_unit_test(test_noise_of_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
