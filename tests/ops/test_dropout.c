/* test_dropout.c -- inverted dropout: what is dropped where, how much, and that it only happens in training.
 */
#include <math.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

enum { STREAM = 7 };
typedef struct {
    double p;
    int stream;
} drop;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const drop *d = arg;
    out[0] = mo_dropout(g, in[0], d->p, d->stream);
}

/* A residual stream with a dropped branch, as in a transformer's block. */
static void build_stream(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const drop *d = arg;
    mo_tensor *x = mo_linear(g, in[0], in[1]);
    mo_tensor *y = mo_linear(g, mo_rmsnorm(g, x, in[2], 1e-5), in[3]);
    out[0] = mo_add(g, x, mo_dropout(g, y, d->p, d->stream));
}

/* Read by an op whose backward wants it: made again under every policy. */
static void build_read(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const drop *d = arg;
    out[0] = mo_linear(g, mo_dropout(g, in[0], d->p, d->stream), in[1]);
}

static const drop none = {0, STREAM}, tenth = {0.1, STREAM}, third = {0.3, STREAM}, half = {0.5, STREAM},
                  most = {0.9, STREAM}, other = {0.5, STREAM + 1};
#define DROPOUT(name, d, ...)                                                                             \
    {                                                                                                     \
        "dropout", name, build, &d, .training = true, .in = { {"x", .dim = {__VA_ARGS__}, .grad = true} } \
    }
static const op_case small = DROPOUT("5x7", third, 5, 7), single = DROPOUT("9", half, 9),
                     large = DROPOUT("61x70", tenth, 61, 70);
static const op_case evaluation = {"dropout", "evaluation", build, &third,
                                   .in = {{"x", .dim = {5, 7}, .grad = true}}};
static const op_case stream = {"dropout",
                               "residual stream",
                               build_stream,
                               &third,
                               .training = true,
                               .in = {{"x", .dim = {4, 3}, .grad = true},
                                      {"w", MO_ROLE_PARAM, .dim = {6, 3}, .grad = true},
                                      {"g", MO_ROLE_PARAM, .dim = {6}, .grad = true},
                                      {"v", MO_ROLE_PARAM, .dim = {6, 6}, .grad = true}}};
static const op_case reader = {
    "dropout",
    "read by linear",
    build_read,
    &half,
    .training = true,
    .in = {{"x", .dim = {6, 5}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {3, 5}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&small);
    gradcheck(&single);
    gradcheck(&evaluation);
    gradcheck(&stream);
    gradcheck(&reader);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&large);
    contract(&evaluation);
    contract(&stream);
    contract(&reader);
    contract_nan(&small);
}

/* float: one product with 1 / (1 - p), rounded once. */
static void test_golden(void **state)
{
    (void)state;
    static const struct {
        const char *group;
        const drop *d;
    } cases[] = {{"tenth", &tenth}, {"half", &half}, {"most", &most}};
    golden *file = golden_open("ops_dropout");
    for (int i = 0; i < 3; i++) {
        const op_case c = {"dropout",  cases[i].group,   build,
                           cases[i].d, .training = true, .in = {{.name = "x", .grad = true}}};
        golden_check(file, cases[i].group, &c, 1.5e-7);
    }
    golden_close(file);
}

/* ---- masks ---- */

/* The op on ones, of B tokens of D numbers from first_token on; the caller frees. */
static mo_real *masked_ones(int64_t B, int64_t D, const drop *d, mo_run run)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){B, D}, false);
    mo_tensor *y = mo_dropout(g, x, d->p, d->stream);
    mo_graph_output(g, y);
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = false}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    for (int64_t i = 0; i < B * D; i++) ((mo_real *)x->data)[i] = 1;
    mo_graph_forward(g, &run);
    mo_real *copy = mo_malloc(mo_tensor_bytes(y));
    assert_non_null(copy);
    memcpy(copy, y->data, mo_tensor_bytes(y));
    mo_graph_free(g);
    return copy;
}

static double agreement(const mo_real *a, const mo_real *b, int64_t n)
{
    int64_t same = 0;
    for (int64_t i = 0; i < n; i++) same += (a[i] > 0) == (b[i] > 0);
    return (double)same / (double)n;
}

/* Shares and means over n draws within 5 standard errors; every value is 0 or 1 / (1 - p). */
static void test_share(void **state)
{
    (void)state;
    static const double ps[] = {1e-3, 0.1, 0.3, 0.5, 0.9, 0.999};
    enum { B = 1000, D = 201, n = B * D };
    for (int k = 0; k < 6; k++) {
        double p = ps[k], sum = 0, pairs = 0;
        const drop d = {p, STREAM};
        mo_real *y = masked_ones(B, D, &d, (mo_run){.seed = 11, .step = 2, .training = true}), before = 1;
        int64_t kept = 0;
        for (int64_t i = 0; i < n; i++) {
            bool is_kept = y[i] > 0;
            assert_true(y[i] == (is_kept ? (mo_real)(1 / (1 - p)) : 0));
            kept += is_kept;
            pairs += is_kept && before > 0;
            sum += (double)y[i];
            before = y[i];
        }
        double error = sqrt(p * (1 - p) / n);
        MO_CHECK_NEAR((double)kept / n, 1 - p, 5 * error);
        MO_CHECK_NEAR(sum / n, 1, 5 * error / (1 - p));
        MO_CHECK_NEAR(pairs / n, (1 - p) * (1 - p), 5 * sqrt(3.0) * error); /* neighbours are independent */
        mo_free(y);
    }
}

/* Probabilities that a 32-bit threshold could round to never or always. */
static void test_extreme_probabilities(void **state)
{
    (void)state;
    const drop hardly = {1e-15, STREAM}, nearly = {1 - 1e-15, STREAM};
    const mo_run run = {.seed = 11, .training = true};
    mo_real *y = masked_ones(100, 10, &hardly, run), *z = masked_ones(100, 10, &nearly, run);
    for (int i = 0; i < 1000; i++) {
        MO_CHECK_NEAR((double)y[i], 1, 1e-12);
        assert_true(z[i] == 0);
    }
    mo_free(y);
    mo_free(z);
}

/* Seed, step and stream each give another mask, which agrees with the first on half of the elements. */
static void test_place_of_masks(void **state)
{
    (void)state;
    enum { B = 200, D = 100, n = B * D };
    const mo_run first = {.seed = 3, .step = 8, .training = true};
    const mo_run others[] = {{.seed = 4, .step = 8, .training = true},
                             {.seed = 3, .step = 9, .training = true},
                             {.seed = 3, .step = 8, .first_token = 1, .training = true}};
    mo_real *want = masked_ones(B, D, &half, first), *again = masked_ones(B, D, &half, first);
    assert_memory_equal(want, again, n * sizeof *want);
    mo_free(again);
    for (int i = 0; i < 4; i++) {
        mo_real *y = masked_ones(B, D, i == 3 ? &other : &half, i == 3 ? first : others[i]);
        MO_CHECK_NEAR(agreement(want, y, n), 0.5, 5 * sqrt(0.25 / n));
        mo_free(y);
    }
    mo_free(want);
}

/* A step cut into microbatches anywhere, at elements that begin no Philox call too, drops the same. */
static void test_microbatches(void **state)
{
    (void)state;
    for (int64_t D = 1; D <= 7; D++) {
        enum { B = 400 };
        const mo_run run = {.seed = 3, .step = 1, .training = true};
        mo_real *whole = masked_ones(B, D, &half, run);
        for (int64_t cut = 1; cut < B; cut += 131) {
            mo_run later = run;
            later.first_token = cut;
            mo_real *part = masked_ones(B - cut, D, &half, later);
            assert_memory_equal(part, whole + cut * D, (size_t)((B - cut) * D) * sizeof *part);
            mo_free(part);
        }
        mo_free(whole);
    }
}

static void test_evaluation_is_exact(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &evaluation, (op_mode){.readable = true});
    mo_graph_forward(t.g, &t.run);
    mo_graph_backward(t.g, &t.run);
    assert_memory_equal(t.out[0]->data, t.in[0]->data, mo_tensor_bytes(t.in[0]));
    assert_memory_equal(t.in[0]->grad, t.weight[0]->data, mo_tensor_bytes(t.in[0]));
    op_graph_close(&t);
}

/* ---- the graph ---- */

static void test_nothing_to_drop(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){3, 4}, true);
    assert_ptr_equal(mo_dropout(g, x, none.p, none.stream), x);
    assert_int_equal(mo_graph_node_count(g), 0);
    mo_graph_free(g);
}

/* In a residual stream the gradient of what was dropped is the stream's own; the branch's is another. */
static void test_shared_memory(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &stream, (op_mode){.readable = true});
    const mo_node *sum = mo_graph_node_at(t.g, 4), *dropped = mo_graph_node_at(t.g, 3);
    assert_string_equal(sum->op->name, "add");
    assert_string_equal(dropped->op->name, "dropout");
    assert_ptr_equal(sum->in[0]->grad, sum->out[0]->grad);
    assert_ptr_equal(sum->in[1]->grad, sum->out[0]->grad);
    assert_ptr_not_equal(dropped->in[0]->grad, sum->out[0]->grad);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    static const char range[] = "must be at least 0 and below 1";
    op_case bad = small;
    bad.arg = &(drop){1, STREAM};
    contract_refused(&bad, MO_E_RANGE, "dropout: dropout probability is 1,");
    bad.arg = &(drop){-0.25, STREAM};
    contract_refused(&bad, MO_E_RANGE, range);
    bad.arg = &(drop){(double)NAN, STREAM};
    contract_refused(&bad, MO_E_RANGE, range);
    bad.arg = &(drop){0.5, -1};
    contract_refused(&bad, MO_E_RANGE, "dropout: dropout stream is -1, must be in 0 .. 16777215");
    bad.arg = &(drop){0.5, 1 << 24};
    contract_refused(&bad, MO_E_RANGE, "stream is 16777216");
    bad = small;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "dropout: x int32 [5, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_extreme_probabilities),
        cmocka_unit_test(test_place_of_masks),
        cmocka_unit_test(test_microbatches),
        cmocka_unit_test(test_evaluation_is_exact),
        cmocka_unit_test(test_nothing_to_drop),
        cmocka_unit_test(test_shared_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
