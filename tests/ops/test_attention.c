/* test_attention.c -- causal grouped-query attention over packed documents, whole and from a cache. */
#include <math.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

typedef struct {
    int64_t T, d;
    double dropout;
} sizes;

enum { STREAM = 77 };

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const sizes *s = arg;
    mo_attention_options options = {
        .sequence_length = s->T, .head_dim = s->d, .dropout = s->dropout, .dropout_stream = STREAM};
    out[0] = mo_attention(g, in[0], in[1], in[2], in[3], &options);
}

/* B sequences; documents begin at 0 and at each of `firsts` (ends with -1), the same in every other
 * sequence. The rest is one document each. */
static void fill_starts(int32_t *starts, int64_t B, int64_t T, const int64_t *firsts)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++) {
            starts[b * T + t] = 0;
            for (const int64_t *first = firsts; b % 2 == 0 && *first >= 0; first++)
                if (*first <= t) starts[b * T + t] = (int32_t)*first;
        }
}

#define QKV(N, H, Hkv, d, starts_N)                                                                     \
    {                                                                                                   \
        {"q", .dim = {N, (H) * (d)}, .grad = true, .low = -2, .high = 2},                               \
            {"k", .dim = {N, (Hkv) * (d)}, .grad = true}, {"v", .dim = {N, (Hkv) * (d)}, .grad = true}, \
            {"starts", .dtype = MO_I32, .dim = {N}, .ints = starts_N},                                  \
    }

static int32_t starts_3x9[27], starts_70[70], starts_150[300], starts_200[200], one_start[1];
static const sizes of_9 = {9, 4, 0}, of_70 = {70, 2, 0}, of_150 = {150, 1, 0}, of_200 = {200, 2, 0},
                   of_1 = {1, 4, 0}, dropped_9 = {9, 4, 0.3}, dropped_70 = {70, 2, 0.6},
                   dropped_150 = {150, 1, 0.1};

static const op_case grouped = {"attention", "3 x 9, 4/2 heads", build, &of_9,
                                .in = QKV(27, 4, 2, 4, starts_3x9)};
static const op_case queries = {"attention", "70, 2/1 heads", build, &of_70,
                                .in = QKV(70, 2, 1, 2, starts_70)};
static const op_case keys = {"attention", "2 x 150, 2/1 heads", build, &of_150,
                             .in = QKV(300, 2, 1, 1, starts_150)};
static const op_case late = {"attention", "200, last document at 140", build, &of_200,
                             .in = QKV(200, 2, 2, 2, starts_200)};

static const op_case dropped = {"attention",      "dropout 0.3, 3 x 9, 4/2 heads",   build, &dropped_9,
                                .training = true, .in = QKV(27, 4, 2, 4, starts_3x9)};
static const op_case dropped_queries = {
    "attention",      "dropout 0.6, 70, 2/1 heads",     build, &dropped_70,
    .training = true, .in = QKV(70, 2, 1, 2, starts_70)};
static const op_case dropped_keys = {
    "attention",      "dropout 0.1, 2 x 150, 2/1 heads",  build, &dropped_150,
    .training = true, .in = QKV(300, 2, 1, 1, starts_150)};

static int setup(void **state)
{
    (void)state;
    fill_starts(starts_3x9, 3, 9, (int64_t[]){3, 4, 8, -1});
    fill_starts(starts_70, 1, 70, (int64_t[]){17, 65, -1});
    fill_starts(starts_150, 2, 150, (int64_t[]){1, 64, 100, 131, -1});
    fill_starts(starts_200, 1, 200, (int64_t[]){140, -1});
    return 0;
}

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&grouped);
    gradcheck(&queries);
    gradcheck(&keys);
    gradcheck(&dropped);
    gradcheck(&dropped_queries);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&grouped);
    contract(&keys);
    contract_nan(&grouped);
    contract_nan(&queries);
    contract(&late);
    contract(&dropped);
    contract(&dropped_keys);
    contract_nan(&dropped);
}

/* A token alone attends to itself: o = v, whatever q and k; v gets all of the gradient. */
static void test_alone(void **state)
{
    (void)state;
    const op_case c = {"attention", "1", build, &of_1, .in = QKV(1, 2, 1, 4, one_start)};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    mo_graph_forward(t.g, &t.run);
    mo_graph_backward(t.g, &t.run);
    const mo_real *o = t.out[0]->data, *v = t.in[2]->data, *R = t.weight[0]->data;
    for (int i = 0; i < 8; i++) {
        assert_true(o[i] == v[i % 4]);
        MO_CHECK_NEAR((double)t.in[0]->grad[i], 0, 1e-6);
    }
    for (int i = 0; i < 4; i++) {
        MO_CHECK_NEAR((double)t.in[1]->grad[i], 0, 1e-6);
        MO_CHECK_NEAR((double)t.in[2]->grad[i], (double)(R[i] + R[i + 4]), 1e-6);
    }
    op_graph_close(&t);
}

/* float: scores are sums of d products, exp is within 2 ulp of an argument that carries the score's own
 * rounding (up to |s| 2^-24 of the result, |s| about 100 where scores are sharp), outputs sums of T terms. */
static void test_golden(void **state)
{
    (void)state;
    static const struct {
        const char *group;
        sizes s;
        double tolerance;
    } cases[] = {{"grouped", {11, 4, 0}, 2e-6},          {"one_kv_head", {7, 6, 0}, 2e-6},
                 {"own_kv_heads", {5, 2, 0}, 2e-6},      {"sharp", {9, 4, 0}, 1e-5},
                 {"blocks", {150, 4, 0}, 3e-6},          {"late", {200, 2, 0}, 3e-6},
                 {"dropped", {11, 4, 0.25}, 2e-6},       {"dropped_heads", {6, 2, 0.5}, 2e-6},
                 {"dropped_blocks", {150, 4, 0.1}, 3e-6}};
    golden *plain = golden_open("ops_attention"), *drops = golden_open("ops_dropout");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const op_case c = {"attention",
                           cases[i].group,
                           build,
                           &cases[i].s,
                           .training = true,
                           .in = {{.name = "q"}, {.name = "k"}, {.name = "v"}, {"starts", .dtype = MO_I32}}};
        golden_check(cases[i].s.dropout > 0 ? drops : plain, cases[i].group, &c, cases[i].tolerance);
    }
    golden_close(plain);
    golden_close(drops);
}

/* ---- dropout ---- */

static void run_forward(op_graph *t, const op_case *c, int64_t first_token)
{
    op_graph_open(t, c, (op_mode){.readable = true, .forward_only = true});
    t->run.first_token = first_token;
    mo_graph_forward(t->g, &t->run);
}

/* In evaluation the bits are those of attention without dropout. */
static void test_dropout_in_evaluation(void **state)
{
    (void)state;
    op_case still = dropped, none = dropped;
    op_graph a, b, c;
    still.training = false;
    none.arg = &of_9;
    run_forward(&a, &still, 0);
    run_forward(&b, &none, 0);
    run_forward(&c, &dropped, 0);
    size_t size = mo_tensor_bytes(a.out[0]);
    assert_memory_equal(a.out[0]->data, b.out[0]->data, size);
    assert_memory_not_equal(a.out[0]->data, c.out[0]->data, size);
    op_graph_close(&a);
    op_graph_close(&b);
    op_graph_close(&c);
}

/* A microbatch of the third sequence alone drops what the whole step drops of it. */
static void test_dropout_of_a_microbatch(void **state)
{
    (void)state;
    op_graph whole, part;
    op_case third = dropped;
    for (int i = 0; i < 4; i++) third.in[i].dim[0] = 9;
    third.in[3].ints = starts_3x9 + 18;
    run_forward(&whole, &dropped, 0);
    op_graph_open(&part, &third, (op_mode){.readable = true, .forward_only = true});
    for (int i = 0; i < 3; i++) {
        size_t size = mo_tensor_bytes(part.in[i]);
        memcpy(part.in[i]->data, (char *)whole.in[i]->data + 2 * size, size);
    }
    part.run.first_token = 18;
    mo_graph_forward(part.g, &part.run);
    size_t size = mo_tensor_bytes(part.out[0]);
    assert_memory_equal(part.out[0]->data, (char *)whole.out[0]->data + 2 * size, size);
    part.run.first_token = 9;
    mo_graph_forward(part.g, &part.run);
    assert_memory_not_equal(part.out[0]->data, (char *)whole.out[0]->data + 2 * size, size);
    op_graph_close(&part);
    op_graph_close(&whole);
}

/* ---- cache ---- */

enum { PAST = 150, WIDTH_Q = 8, WIDTH_KV = 4, HEAD = 2 };

static mo_real whole_q[PAST * WIDTH_Q], whole_k[PAST * WIDTH_KV], whole_v[PAST * WIDTH_KV],
    whole_o[PAST * WIDTH_Q];

/* Queries [first, first + T) of the whole sequence; the output to o. */
static void run_part(int64_t first, int64_t T, mo_kv_cache *cache, mo_real *o)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *q = mo_graph_input(g, "q", MO_REAL, 2, (int64_t[]){T, WIDTH_Q}, false);
    mo_tensor *k = mo_graph_input(g, "k", MO_REAL, 2, (int64_t[]){T, WIDTH_KV}, false);
    mo_tensor *v = mo_graph_input(g, "v", MO_REAL, 2, (int64_t[]){T, WIDTH_KV}, false);
    mo_tensor *starts = mo_graph_input(g, "starts", MO_I32, 1, &T, false);
    mo_tensor *out = mo_attention(
        g, q, k, v, starts, &(mo_attention_options){.sequence_length = T, .head_dim = HEAD, .cache = cache});
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

static void check_parts(const int64_t *parts)
{
    enum { CAPACITY = 160 };
    mo_real k[CAPACITY * WIDTH_KV], v[CAPACITY * WIDTH_KV], o[PAST * WIDTH_Q];
    for (int i = 0; i < CAPACITY * WIDTH_KV; i++) k[i] = v[i] = MO_C(NAN); /* nobody may read past the end */
    mo_kv_cache cache = {k, v, CAPACITY, 0};
    int64_t at = 0;
    for (; *parts; at += *parts++) run_part(at, *parts, &cache, o);
    for (; at < PAST; at++) run_part(at, 1, &cache, o);
    assert_memory_equal(k, whole_k, sizeof whole_k);
    assert_memory_equal(v, whole_v, sizeof whole_v);
    double tolerance = sizeof(mo_real) == sizeof(double) ? 1e-14 : 1e-6;
    for (int i = 0; i < PAST * WIDTH_Q; i++) MO_CHECK_NEAR((double)o[i], (double)whole_o[i], tolerance);
}

/* Prefill in parts and token by token is the sequence at once, up to the order of sums (values below 1). */
static void test_cache(void **state)
{
    (void)state;
    MO_CHECK_OK(mo_blas_init());
    op_input_fill(&(op_input){"q", .dim = {PAST, WIDTH_Q}, .low = -3, .high = 3}, 0, whole_q);
    op_input_fill(&(op_input){"k", .dim = {PAST, WIDTH_KV}}, 1, whole_k);
    op_input_fill(&(op_input){"v", .dim = {PAST, WIDTH_KV}}, 2, whole_v);
    run_part(0, PAST, NULL, whole_o);
    check_parts((int64_t[]){PAST, 0});
    check_parts((int64_t[]){70, 1, 61, 2, 0});
    check_parts((int64_t[]){0});
}

/* ---- shapes and memory ---- */

static mo_kv_cache some_cache;

static void build_cached(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const sizes *s = arg;
    mo_attention_options options = {
        .sequence_length = s->T, .head_dim = s->d, .cache = &some_cache, .dropout = s->dropout};
    out[0] = mo_attention(g, in[0], in[1], in[2], in[3], &options);
}

static op_case with(int input, const int64_t *dim)
{
    op_case c = grouped;
    memset(c.in[input].dim, 0, sizeof c.in[input].dim);
    for (int i = 0; dim[i]; i++) c.in[input].dim[i] = dim[i];
    return c;
}

static void test_refused(void **state)
{
    (void)state;
    static const char fit[] = "do not fit sequence length 9 and head_dim 4";
    op_case bad = with(0, (int64_t[]){27, 15, 0});
    contract_refused(&bad, MO_E_SHAPE, "q [27, 15]");
    contract_refused(&bad, MO_E_SHAPE, fit);
    bad = with(0, (int64_t[]){27, 4, 4, 0});
    contract_refused(&bad, MO_E_SHAPE, "q [27, 4, 4]");
    bad = with(1, (int64_t[]){18, 8, 0});
    contract_refused(&bad, MO_E_SHAPE, "k [18, 8]");
    bad = with(1, (int64_t[]){27, 6, 0});
    contract_refused(&bad, MO_E_SHAPE, "k [27, 6]");
    bad = with(2, (int64_t[]){27, 4, 0});
    contract_refused(&bad, MO_E_SHAPE, "v [27, 4]");
    bad = with(2, (int64_t[]){26, 8, 0});
    contract_refused(&bad, MO_E_SHAPE, "v [26, 8]");
    bad = with(3, (int64_t[]){26, 0});
    contract_refused(&bad, MO_E_SHAPE, "starts int32 [26]");
    bad = grouped;
    bad.in[3] = (op_input){"starts", .dim = {27}};
    contract_refused(&bad, MO_E_SHAPE, "starts [27]");
    for (int i = 0; i < 3; i++) {
        bad = grouped;
        bad.in[i].dtype = MO_I32;
        bad.in[i].grad = false;
        contract_refused(&bad, MO_E_SHAPE, fit);
    }
    bad = grouped;
    bad.arg = &(sizes){10, 4, 0};
    contract_refused(&bad, MO_E_SHAPE, "N a multiple of the length");
    bad.arg = &(sizes){0, 4, 0};
    contract_refused(&bad, MO_E_SHAPE, "sequence length 0");
    bad.arg = &(sizes){9, -4, 0};
    contract_refused(&bad, MO_E_SHAPE, "head_dim -4");
}

static void test_refused_heads(void **state)
{
    (void)state;
    op_case bad = grouped;
    bad.in[0].dim[1] = 20;
    contract_refused(&bad, MO_E_SHAPE, "5 query heads are no multiple of 2 key-value heads");
    bad = grouped;
    bad.build = build_cached;
    contract_refused(&bad, MO_E_SHAPE, "caches of 3 sequences take a token of each at a time, not 9");
    bad.arg = &dropped_9;
    contract_refused(&bad, MO_E_RANGE, "attention: dropout 0.3 does not go with a cache");
    bad = grouped;
    bad.arg = &(sizes){9, 4, 1};
    contract_refused(&bad, MO_E_RANGE, "attention: dropout probability is 1, must be at least 0 and below 1");
}

static mo_graph_memory memory_at(int64_t T)
{
    op_case c = {"attention", "memory", build, &(sizes){T, 8, 0.5}, .in = QKV(T, 2, 1, 8, NULL)};
    mo_graph *g;
    mo_tensor *in[4], *out[1];
    MO_CHECK_OK(mo_graph_create(&g));
    for (int i = 0; i < 4; i++)
        in[i] = mo_graph_input(g, c.in[i].name, c.in[i].dtype, i < 3 ? 2 : 1, c.in[i].dim, i < 3);
    build(g, in, out, c.arg);
    mo_tensor *R = mo_graph_input(g, "R", MO_REAL, 2, out[0]->dim, false);
    mo_graph_loss(g, test_weighted_sum(g, out[0], R));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = true}));
    mo_graph_memory memory = mo_graph_memory_use(g);
    mo_graph_free(g);
    return memory;
}

/* No T x T matrix anywhere: q, k, v, o, lse, R, gradients and a number for each query and head are all there
 * is beside the blocks of each thread, which do not grow. */
static void test_memory(void **state)
{
    (void)state;
    mo_graph_memory half = memory_at(2048), full = memory_at(4096);
    size_t products = 2048 * 2 * sizeof(mo_real), blocks = half.scratch - products;
    assert_int_equal(full.scratch - half.scratch, products);
    assert_in_range(blocks, 1, (size_t)(mo_cores() + mo_threads() + 4) * (32 << 10) * sizeof(mo_real));
    size_t values = 2 * (16 + 8 + 8) + 3 * 16 + 2; /* q, k, v and theirs; o, do, R; lse */
    size_t most = 4096 * (values * sizeof(mo_real) + sizeof(int32_t)) + full.scratch + 4096;
    assert_in_range(full.arena, 1, most);
    assert_in_range(full.arena, 1, 2 * half.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient),
                                       cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_alone),
                                       cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_dropout_in_evaluation),
                                       cmocka_unit_test(test_dropout_of_a_microbatch),
                                       cmocka_unit_test(test_cache),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_refused_heads),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
