/* test_cross_entropy.c -- LM head and cross-entropy in one. */
#include <math.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"
#include "harness/storedcase.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_cross_entropy(g, in[0], in[1], in[2], NULL);
}

static void build_rows(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_cross_entropy(g, in[0], in[1], in[2], &out[1]);
    mo_graph_output(g, out[1]);
    out[1] = NULL;
}

static const int32_t targets[] = {3, 0, -1, 12, 5, -100, 3};
#define CASE(name, N, D, V, w_role, ...)                                      \
    {                                                                         \
        "cross_entropy", name, build, .in = {                                 \
            {"x", .dim = {N, D}, .grad = true, .low = -2, .high = 2},         \
            {"w", w_role, .dim = {V, D}, .grad = true, .low = -2, .high = 2}, \
            {"targets", .dtype = MO_I32, .dim = {N}, __VA_ARGS__}             \
        }                                                                     \
    }
static const op_case plain = CASE("7x5, 13 words", 7, 5, 13, MO_ROLE_PARAM, .ints = targets);
static const op_case written = CASE("weight is a value", 7, 5, 13, MO_ROLE_INPUT, .ints = targets);
static const op_case one = CASE("one row", 1, 3, 2, MO_ROLE_PARAM, .ints = targets + 1);
/* 2^24 / 130000 is less than 128: two chunks, the second of 3 rows; the sum of exponentials has parts. */
static const op_case chunks = CASE("two chunks", 131, 2, 130000, MO_ROLE_PARAM, .low = -2, .high = 130000);
static const op_case chunks_written =
    CASE("two chunks, value", 131, 2, 130000, MO_ROLE_INPUT, .low = -2, .high = 130000);

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&written);
    gradcheck(&one);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&written);
    contract_nan(&plain);
}

/* float: logits are sums of 24 products; they reach +-40. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "cross_entropy", &plain, 3e-6);
    golden_close(file);
}

/* loss_n computed plainly. */
static double row_loss(const op_graph *t, int64_t n, int32_t target)
{
    int64_t D = t->in[0]->dim[1], V = t->in[1]->dim[0];
    const mo_real *x = (const mo_real *)t->in[0]->data + n * D, *w = t->in[1]->data;
    double sum = 0, at_target = 0;
    if (target < 0) return 0;
    for (int64_t v = 0; v < V; v++) {
        double z = 0;
        for (int64_t d = 0; d < D; d++) z += (double)x[d] * (double)w[v * D + d];
        sum += exp(z);
        if (v == target) at_target = z;
    }
    return log(sum) - at_target;
}

/* Rows of both chunks, their sum, in forward and in backward (which writes them too). */
static void test_rows(void **state)
{
    (void)state;
    op_graph t;
    op_case c = chunks;
    c.build = build_rows;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    const mo_node *node = mo_graph_node_at(t.g, 0);
    const double *rows = node->out[1]->data;
    const int32_t *target = t.in[2]->data;
    for (int pass = 0; pass < 2; pass++) {
        double sum = 0;
        if (pass == 0) mo_graph_forward(t.g, &t.run);
        if (pass == 1) mo_graph_train(t.g, &t.run);
        for (int n = 0; n < 131; n++) {
            double want = n % 10 < 2 || target[n] < 0 ? row_loss(&t, n, target[n]) : rows[n];
            if (!(fabs(rows[n] - want) <= 3e-6 * (1 + want)))
                fail_msg("row %d: %.9g, expected %.9g", n, rows[n], want);
            sum += rows[n];
        }
        assert_true(sum == mo_graph_loss_value(t.g, 0));
        for (int n = 0; n < 131; n++) ((double *)node->out[1]->data)[n] = (double)NAN;
    }
    op_graph_close(&t);
}

/* dx_nd = dloss (sum_v p_v w_vd - w_td), plainly. */
static double row_dx(const op_graph *t, int64_t n, int64_t d)
{
    int64_t D = t->in[0]->dim[1], V = t->in[1]->dim[0], target = ((const int32_t *)t->in[2]->data)[n];
    const mo_real *x = (const mo_real *)t->in[0]->data + n * D, *w = t->in[1]->data;
    double sum = 0, weighted = 0;
    for (int64_t v = 0; v < V; v++) {
        double z = 0;
        for (int64_t k = 0; k < D; k++) z += (double)x[k] * (double)w[v * D + k];
        sum += exp(z);
        weighted += exp(z) * (double)w[v * D + d];
    }
    return target < 0 ? 0 : t->scale[0] * (weighted / sum - (double)w[target * D + d]);
}

/* The weight gradient of a word that is a target: minus the inputs of its rows, and the softmax's small
 * share. A chunk that overwrites another's gradient, or adds to what was there, is seen. The weight is once a
 * parameter, with one thread, and once a value, with four: the same bits. */
static void test_two_chunks(void **state)
{
    (void)state;
    op_graph t, u;
    op_graph_open(&t, &chunks, (op_mode){.readable = true});
    op_graph_open(&u, &chunks_written, (op_mode){.readable = true});
    int threads = mo_threads();
    mo_threads_set(1);
    mo_graph_train(t.g, &t.run);
    mo_threads_set(4);
    mo_graph_train(u.g, &u.run);
    mo_threads_set(threads);
    const int32_t *target = t.in[2]->data;
    for (int n = 0; n < 131; n++)
        for (int d = 0; target[n] >= 0 && d < 2; d++) {
            const mo_real *x = t.in[0]->data;
            double want = 0, got = (double)t.in[1]->grad[target[n] * 2 + d];
            for (int m = 0; m < 131; m++)
                if (target[m] == target[n]) want -= t.scale[0] * (double)x[m * 2 + d];
            /* The softmax's share is about 1 / V per row. */
            if (!(fabs(got - want) <= 131 * 40.0 / 130000 + 1e-3))
                fail_msg("dw of row %d: %g, expected %g", n, got, want);
        }
        /* Sums over 130,000 columns: the reference product adds them one after another in float. */
#ifdef MO_BLAS_REFERENCE
    const double tolerance = 1e-4;
#else
    const double tolerance = 1e-5;
#endif
    for (int n = 0; n < 131; n += 26)
        for (int d = 0; d < 2; d++)
            MO_CHECK_NEAR((double)t.in[0]->grad[n * 2 + d], row_dx(&t, n, d), tolerance);
    for (int i = 0; i < 2; i++) assert_memory_equal(t.in[i]->grad, u.in[i]->grad, mo_tensor_bytes(t.in[i]));
    op_graph_close(&t);
    op_graph_close(&u);
}

/* Logits of +-1e4 and a target that is far from the largest. */
static void test_extremes(void **state)
{
    (void)state;
    static const double x[] = {100}, w[] = {100, -100, 99};
    static const int32_t target[] = {1};
    op_case c = plain;
    c.in[0] = (op_input){"x", .dim = {1, 1}, .grad = true, .real = x};
    c.in[1] = (op_input){"w", MO_ROLE_PARAM, .dim = {3, 1}, .grad = true, .real = w};
    c.in[2].dim[0] = 1;
    c.in[2].ints = target;
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    mo_graph_train(t.g, &t.run);
    assert_true(mo_graph_loss_value(t.g, 0) == 20000);
    assert_true(fabs((double)t.in[0]->grad[0] - t.scale[0] * 200) <= 1e-4);
    op_graph_close(&t);
}

static void test_stored(void **state)
{
    (void)state;
    const double rounding = sizeof(mo_real) == sizeof(double) ? 1e-13 : 1e-5;
    stored_check(&plain, 1, rounding);
    stored_check(&one, 1, rounding);
    stored_check(&chunks, 1, rounding);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[2].dim[0] = 6;
    contract_refused(&bad, MO_E_SHAPE,
                     "cross_entropy: x [7, 5], weight [13, 5] and targets int32 [6] do not fit");
    bad = plain;
    bad.in[1].dim[1] = 4;
    contract_refused(&bad, MO_E_SHAPE, "weight [13, 4]");
    bad = plain;
    bad.in[2].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "targets [7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient),   cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),     cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_two_chunks), cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_stored),     cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
