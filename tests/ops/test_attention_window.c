/* test_attention_window.c -- attention to a sliding window of keys: gradients, PyTorch's values, what is
 * never read, caches, operations. */
#include <math.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

typedef struct {
    int64_t T, d, window;
    double dropout;
} sizes;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const sizes *s = arg;
    mo_attention_options options = {.sequence_length = s->T,
                                    .head_dim = s->d,
                                    .sliding_window = s->window,
                                    .dropout = s->dropout,
                                    .dropout_stream = 78};
    out[0] = mo_attention(g, in[0], in[1], in[2], in[3], &options);
}

#define QKV(N, H, Hkv, d, starts_N)                                                                     \
    {                                                                                                   \
        {"q", .dim = {N, (H) * (d)}, .grad = true, .low = -2, .high = 2},                               \
            {"k", .dim = {N, (Hkv) * (d)}, .grad = true}, {"v", .dim = {N, (Hkv) * (d)}, .grad = true}, \
            {"starts", .dtype = MO_I32, .dim = {N}, .ints = starts_N},                                  \
    }

static int32_t starts_2x9[18], starts_140[140], no_starts[512];
static const sizes of_9 = {9, 4, 3, 0}, of_140 = {140, 2, 10, 0}, of_200 = {200, 1, 60, 0},
                   dropped_140 = {140, 2, 10, 0.4};
static const op_case small = {"attention", "window 3, 2 x 9", build, &of_9,
                              .in = QKV(18, 4, 2, 4, starts_2x9)};
static const op_case packed = {"attention", "window 10, 140, documents", build, &of_140,
                               .in = QKV(140, 2, 1, 2, starts_140)};
static const op_case wide = {"attention", "window 60, 200", build, &of_200,
                             .in = QKV(200, 1, 1, 1, no_starts)};
static const op_case dropped = {
    "attention",      "window 10, 140, documents, dropout 0.4", build, &dropped_140,
    .training = true, .in = QKV(140, 2, 1, 2, starts_140)};

static int setup(void **state)
{
    (void)state;
    for (int t = 0; t < 9; t++) starts_2x9[t] = t < 4 ? 0 : 4;
    for (int t = 0; t < 140; t++) starts_140[t] = t < 17 ? 0 : t < 20 ? 17 : t < 131 ? 20 : 131;
    return 0;
}

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&small);
    gradcheck(&packed);
    gradcheck(&wide);
    gradcheck(&dropped);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&packed);
    contract(&wide);
    contract(&dropped);
    contract_nan(&small);
    op_case bad = small;
    bad.arg = &(sizes){9, 4, -1, 0};
    contract_refused(&bad, MO_E_RANGE,
                     "attention: a sliding window of -1 keys; it is at least 1, or 0 for all");
}

/* float: as in test_attention.c. */
static void test_golden(void **state)
{
    (void)state;
    static const struct {
        const char *group;
        sizes s;
    } cases[] = {{"short", {11, 4, 3, 0}}, {"blocks", {150, 4, 20, 0}}, {"skips", {300, 2, 64, 0}}};
    golden *file = golden_open("ops_window");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const op_case c = {"attention", cases[i].group, build, &cases[i].s,
                           .in = {{.name = "q"}, {.name = "k"}, {.name = "v"}, {"starts", .dtype = MO_I32}}};
        golden_check(file, cases[i].group, &c, 3e-6);
    }
    golden_close(file);
}

static void run_both(op_graph *t, const op_case *c, const sizes *s)
{
    op_case with = *c;
    with.arg = s;
    op_graph_open(t, &with, (op_mode){.readable = true});
    mo_graph_forward(t->g, &t->run);
    mo_graph_backward(t->g, &t->run);
}

/* As wide as the sequence or wider: the bits of no window. One narrower: other ones. */
static void test_as_wide_as_the_sequence(void **state)
{
    (void)state;
    op_graph all, t;
    run_both(&all, &wide, &(sizes){200, 1, 0, 0});
    static const int64_t windows[] = {200, 201, INT64_MAX, 199};
    for (int i = 0; i < 4; i++) {
        run_both(&t, &wide, &(sizes){200, 1, windows[i], 0});
        for (int j = 0; j < 4; j++) {
            const mo_real *got = j < 3 ? t.in[j]->grad : t.out[0]->data;
            bool same = memcmp(got, j < 3 ? all.in[j]->grad : all.out[0]->data, 200 * sizeof(mo_real)) == 0;
            assert_int_equal(same, i < 3);
        }
        op_graph_close(&t);
    }
    op_graph_close(&all);
}

/* A window of 1 is the token itself: o = v. */
static void test_window_of_one(void **state)
{
    (void)state;
    op_graph t;
    run_both(&t, &small, &(sizes){9, 4, 1, 0});
    const mo_real *o = t.out[0]->data, *v = t.in[2]->data;
    for (int n = 0; n < 18; n++)
        for (int head = 0; head < 4; head++)
            for (int c = 0; c < 4; c++) assert_true(o[n * 16 + head * 4 + c] == v[n * 8 + head / 2 * 4 + c]);
    op_graph_close(&t);
}

/* Key blocks outside every window of a block of queries are not even read: a NaN there goes nowhere, neither
 * forward nor backward. The first block of queries whose first key (t - 63) lies past the first 128 is at
 * 192. */
static void test_reads_no_block_outside(void **state)
{
    (void)state;
    enum { T = 400 };
    const op_case c = {"attention", "NaN", build, &(sizes){T, 1, 64, 0}, .in = QKV(T, 1, 1, 1, no_starts)};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    ((mo_real *)t.in[1]->data)[0] = ((mo_real *)t.in[2]->data)[0] = MO_C(NAN);
    mo_graph_forward(t.g, &t.run);
    mo_graph_backward(t.g, &t.run);
    const mo_real *o = t.out[0]->data, *dq = t.in[0]->grad;
    assert_true(isnan((double)o[0]) && isnan((double)dq[63]));
    for (int i = 192; i < T; i++) assert_true(isfinite((double)o[i]) && isfinite((double)dq[i]));
    op_graph_close(&t);
}

/* ---- operations ---- */

static double operations(int64_t T, int64_t window, mo_phase phase)
{
    const op_case c = {"attention", "cost", build, &(sizes){T, 2, window, 0},
                       .in = QKV(T, 3, 1, 2, no_starts)};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    const mo_node *node = t.out[0]->producer;
    double flops = node->op->cost(node, phase).flops;
    op_graph_close(&t);
    return flops;
}

/* Pairs of queries and keys counted one by one; 3 heads of 2, a multiply and an add, 2 products or 5. */
static void test_operations(void **state)
{
    (void)state;
    static const int64_t all[][2] = {{512, 64}, {512, 0}, {512, 1}, {512, 512}, {512, 9999}, {9, 4}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t T = all[i][0], window = all[i][1], pairs = 0;
        for (int64_t q = 0; q < T; q++)
            for (int64_t key = 0; key <= q; key++) pairs += window == 0 || key > q - window;
        MO_CHECK_NEAR(operations(T, window, MO_FORWARD), (double)(pairs * 3 * 2 * 2 * 2), 1e-6);
        MO_CHECK_NEAR(operations(T, window, MO_BACKWARD), (double)(pairs * 3 * 2 * 2 * 5), 1e-6);
    }
}

/* ---- cache ---- */

enum { LENGTH = 330, WINDOW = 40, WIDTH_Q = 8, WIDTH_KV = 4, HEAD = 2 };

static mo_real whole_q[LENGTH * WIDTH_Q], whole_k[LENGTH * WIDTH_KV], whole_v[LENGTH * WIDTH_KV],
    whole_o[LENGTH * WIDTH_Q];

/* Queries [first, first + T) of the whole sequence; the output to o. */
static void run_part(int64_t first, int64_t T, mo_kv_cache *cache, mo_real *o)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *q = mo_graph_input(g, "q", MO_REAL, 2, (int64_t[]){T, WIDTH_Q}, false);
    mo_tensor *k = mo_graph_input(g, "k", MO_REAL, 2, (int64_t[]){T, WIDTH_KV}, false);
    mo_tensor *v = mo_graph_input(g, "v", MO_REAL, 2, (int64_t[]){T, WIDTH_KV}, false);
    mo_tensor *starts = mo_graph_input(g, "starts", MO_I32, 1, &T, false);
    mo_attention_options options = {
        .sequence_length = T, .head_dim = HEAD, .sliding_window = WINDOW, .cache = cache};
    mo_tensor *out = mo_attention(g, q, k, v, starts, &options);
    mo_graph_output(g, out);
    MO_CHECK_OK(mo_graph_status(g));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = false}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    memcpy(q->data, whole_q + first * WIDTH_Q, mo_tensor_bytes(q));
    memcpy(k->data, whole_k + first * WIDTH_KV, mo_tensor_bytes(k));
    memcpy(v->data, whole_v + first * WIDTH_KV, mo_tensor_bytes(v));
    memset(starts->data, 0, mo_tensor_bytes(starts));
    mo_graph_forward(g, &(mo_run){0});
    memcpy(o + first * WIDTH_Q, out->data, mo_tensor_bytes(out));
    mo_graph_free(g);
    if (cache) cache->length += T;
}

/* Parts that go on from one another, then token by token. What lies a block before every window is made NaN:
 * it is not read again. */
static void check_parts(const int64_t *parts)
{
    mo_real k[LENGTH * WIDTH_KV], v[LENGTH * WIDTH_KV], o[LENGTH * WIDTH_Q];
    for (int i = 0; i < LENGTH * WIDTH_KV; i++) k[i] = v[i] = MO_C(NAN);
    mo_kv_cache cache = {k, v, LENGTH, 0};
    for (int64_t at = 0; at < LENGTH; at = cache.length) {
        for (int64_t i = 0; i < (at - WINDOW + 1) / 128 * 128 * WIDTH_KV; i++) k[i] = v[i] = MO_C(NAN);
        run_part(at, *parts ? *parts++ : 1, &cache, o);
    }
    double tolerance = sizeof(mo_real) == sizeof(double) ? 1e-14 : 1e-6;
    for (int i = 0; i < LENGTH * WIDTH_Q; i++) MO_CHECK_NEAR((double)o[i], (double)whole_o[i], tolerance);
}

static void test_cache(void **state)
{
    (void)state;
    MO_CHECK_OK(mo_blas_init());
    op_input_fill(&(op_input){"q", .dim = {LENGTH, WIDTH_Q}, .low = -3, .high = 3}, 0, whole_q);
    op_input_fill(&(op_input){"k", .dim = {LENGTH, WIDTH_KV}}, 1, whole_k);
    op_input_fill(&(op_input){"v", .dim = {LENGTH, WIDTH_KV}}, 2, whole_v);
    run_part(0, LENGTH, NULL, whole_o);
    check_parts((int64_t[]){LENGTH, 0});
    check_parts((int64_t[]){170, 130, 0});
    check_parts((int64_t[]){30, 9, 1, 2, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),      cmocka_unit_test(test_contract),
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_as_wide_as_the_sequence),
        cmocka_unit_test(test_window_of_one), cmocka_unit_test(test_reads_no_block_outside),
        cmocka_unit_test(test_operations),    cmocka_unit_test(test_cache)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
