/* test_jitter.c -- the router's input times noise: how much, where from, and only in training. */
#include "checks.h"

enum { LAYER = 5 };
typedef struct {
    double eps;
    int layer;
} noise;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const noise *a = arg;
    out[0] = mo_jitter(g, in[0], a->eps, a->layer);
}

static const noise hundredth = {0.01, LAYER}, third = {0.3, LAYER}, other = {0.3, LAYER + 1};
#define JITTER(name, a, ...)                                                                             \
    {                                                                                                    \
        "jitter", name, build, &a, .training = true, .in = { {"x", .dim = {__VA_ARGS__}, .grad = true} } \
    }
static const op_case small = JITTER("5x7", third, 5, 7), large = JITTER("30x515", third, 30, 515);
static const op_case evaluation = {"jitter", "evaluation", build, &third,
                                   .in = {{"x", .dim = {5, 7}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&small);
    gradcheck(&evaluation);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&large);
    contract(&evaluation);
    contract_nan(&small);
}

/* float: u is rounded twice, then a product. */
static void test_golden(void **state)
{
    (void)state;
    op_case c = small;
    c.arg = &hundredth;
    check_golden("ops_select", "jitter", &c, 3e-7);
    c.arg = &third;
    check_golden("ops_select", "jitter_wide", &c, 3e-7);
}

static void test_evaluation_is_exact(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &evaluation, (op_mode){.readable = true});
    forward_backward(&t);
    assert_memory_equal(t.out[0]->data, t.in[0]->data, mo_tensor_bytes(t.in[0]));
    assert_memory_equal(t.in[0]->grad, t.weight[0]->data, mo_tensor_bytes(t.in[0]));
    op_graph_close(&t);
}

/* The op on N x D ones; the caller frees. */
static mo_real *on_ones(int64_t N, int64_t D, const noise *a, mo_run run)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){N, D}, false);
    mo_tensor *y = mo_jitter(g, x, a->eps, a->layer);
    mo_graph_output(g, y);
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = false}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    for (int64_t i = 0; i < N * D; i++) ((mo_real *)x->data)[i] = 1;
    mo_graph_forward(g, &run);
    mo_real *copy = malloc(mo_tensor_bytes(y));
    assert_non_null(copy);
    memcpy(copy, y->data, mo_tensor_bytes(y));
    mo_graph_free(g);
    return copy;
}

/* Mean 1, variance eps^2 / 3, within 5 standard errors; all in [1 - eps, 1 + eps]; neighbours independent. */
static void test_distribution(void **state)
{
    (void)state;
    enum { N = 500, D = 401, n = N * D };
    mo_real *y = on_ones(N, D, &third, (mo_run){.seed = 11, .step = 2, .training = true});
    double sum = 0, squares = 0, products = 0, low = 2, high = 0;
    for (int i = 0; i < n; i++) {
        double u = ((double)y[i] - 1) / 0.3;
        sum += u;
        squares += u * u;
        products += i ? u * ((double)y[i - 1] - 1) / 0.3 : 0;
        low = fmin(low, u);
        high = fmax(high, u);
    }
    check_near("mean", sum / n, 0, 5 * sqrt(1.0 / 3 / n));
    check_near("variance", squares / n, 1.0 / 3, 5 * sqrt(4.0 / 45 / n));
    check_near("covariance", products / n, 0, 5 * sqrt(1.0 / 9 / n));
    check_near("lowest", low, -1, 1e-4);
    check_near("highest", high, 1, 1e-4);
    assert_true(low >= -1 - 1e-6 && high <= 1 + 1e-6);
    free(y);
}

/* A step cut into microbatches draws the noise of the whole step; seed, step, layer and token matter. */
static void test_place_of_noise(void **state)
{
    (void)state;
    enum { N = 40, D = 5, CUT = 7 };
    const mo_run first = {.seed = 3, .step = 8, .training = true};
    const mo_run others[] = {{.seed = 4, .step = 8, .training = true},
                             {.seed = 3, .step = 9, .training = true},
                             {.seed = 3, .step = 8, .first_token = CUT, .training = true}};
    mo_real *whole = on_ones(N, D, &third, first), *part = on_ones(N - CUT, D, &third, others[2]);
    assert_memory_equal(part, whole + CUT * D, (N - CUT) * D * sizeof *part);
    free(part);
    for (int i = 0; i < 4; i++) {
        mo_real *y = on_ones(N, D, i == 3 ? &other : &third, i == 3 ? first : others[i]);
        int same = 0;
        for (int j = 0; j < N * D; j++) same += y[j] == whole[j];
        assert_in_range(same, 0, 1);
        free(y);
    }
    free(whole);
}

/* Which word of the generator is whose, where a row ends with a place and where it does not. */
static void test_words(void **state)
{
    (void)state;
    const mo_run run = {.seed = 3, .step = 8, .first_token = 6, .training = true};
    for (int64_t D = 5; D <= 9; D++) {
        mo_real *y = on_ones(4, D, &third, run);
        for (int64_t i = 0; i < 4 * D; i++) {
            uint32_t word[4];
            uint64_t place = (uint64_t)((6 + i / D) * ((D + 3) / 4) + i % D / 4);
            mo_rng_bits(3, MO_RNG_JITTER, 8, LAYER, place, word);
            check_near("u", (double)y[i], 0.7 + 0.6 * (word[i % D % 4] >> 8) * 0x1p-24, 2e-7);
        }
        free(y);
    }
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){3, 4}, true);
    assert_ptr_equal(mo_jitter(g, x, 0, LAYER), x);
    assert_int_equal(mo_graph_node_count(g), 0);
    mo_graph_free(g);
}

static void test_refused(void **state)
{
    (void)state;
    static const noise wrong[] = {{1, LAYER}, {-0.25, LAYER}, {(double)NAN, LAYER}};
    op_case bad = small;
    for (int i = 0; i < 3; i++) {
        bad.arg = &wrong[i];
        contract_refused(&bad, MO_E_RANGE, "must be at least 0 and below 1");
    }
    bad.arg = &(noise){0.5, -1};
    contract_refused(&bad, MO_E_RANGE, "jitter: layer is -1");
    bad.arg = &(noise){0.5, 1 << 24};
    contract_refused(&bad, MO_E_RANGE, "jitter: layer is 16777216");
    bad = small;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "jitter: x int32 [5, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),     cmocka_unit_test(test_contract),
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_evaluation_is_exact),
        cmocka_unit_test(test_distribution), cmocka_unit_test(test_place_of_noise),
        cmocka_unit_test(test_words),        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
