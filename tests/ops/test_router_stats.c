/* test_router_stats.c -- what a router did, against a plain transcription in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/gradcheck.h"

/* in: z, tokens; routing as a router does it. */
static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_tensor *p = mo_softmax(g, in[0]), *ids = mo_topk(g, p, in[1], *(const int64_t *)arg);
    out[0] = ids;
    out[1] = p;
}

/* [E + 4] float64 is no loss: it cannot be an output of a case. */
static void build_stats(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    build(g, in, out, arg);
    mo_tensor *stats = mo_router_stats(g, in[0], out[1], out[0]);
    mo_graph_output(g, stats);
    out[1] = NULL;
    if (!stats) out[0] = NULL;
}

static const int64_t one = 1, two = 2, three = 3;
static const op_case chunks = {"router_stats", "600x7, 3 of 7", build_stats, &three,
                               .in = {{"z", .dim = {600, 7}, .low = -3, .high = 4},
                                      {"tokens", .dtype = MO_I32, .dim = {600}, .low = -2, .high = 9}}};
static const op_case single = {
    "router_stats", "1x1", build_stats, &one,
    .in = {{"z", .dim = {1, 1}}, {"tokens", .dtype = MO_I32, .dim = {1}, .low = 0, .high = 1}}};

static const mo_tensor *stats_of(const op_graph *t)
{
    for (int n = mo_graph_node_count(t->g) - 1; n >= 0; n--) {
        const mo_node *node = mo_graph_node_at(t->g, n);
        if (strcmp(node->op->name, "router_stats") == 0) return node->out[0];
    }
    fail_msg("there is no router_stats");
    return NULL;
}

/* The definition, from z alone: nothing is shared with the op but the ids. */
static void reference(double *stats, const mo_real *z, const int32_t *tokens, const int32_t *ids, int64_t N,
                      int64_t E, int64_t K)
{
    memset(stats, 0, (size_t)(E + 4) * sizeof *stats);
    for (int64_t n = 0; n < N; n++) {
        if (tokens[n] < 0) continue;
        double sum = 0, entropy = 0, top = 0;
        for (int64_t e = 0; e < E; e++) sum += exp((double)z[n * E + e]);
        for (int64_t e = 0; e < E; e++) {
            double p = exp((double)z[n * E + e]) / sum;
            entropy -= p * log(p);
            top = fmax(top, p);
        }
        for (int64_t k = 0; k < K; k++) stats[ids[n * K + k]] += 1;
        stats[E] += 1;
        stats[E + 1] += entropy;
        stats[E + 2] += top;
        stats[E + 3] += log(sum) * log(sum);
    }
}

static void check_values(const op_case *c)
{
    op_graph t;
    op_graph_open(&t, c, (op_mode){.forward_only = true, .readable = true});
    mo_graph_forward(t.g, &t.run);
    int64_t N = c->in[0].dim[0], E = c->in[0].dim[1], K = *(const int64_t *)c->arg;
    double *want = malloc((size_t)(E + 4) * sizeof *want);
    assert_non_null(want);
    reference(want, t.in[0]->data, t.in[1]->data, t.out[0]->data, N, E, K);
    const double *got = stats_of(&t)->data;
    double sum = 0;
    for (int64_t e = 0; e <= E; e++) {
        assert_true(got[e] == want[e]); /* counts are exact */
        sum += e < E ? got[e] : 0;
    }
    assert_true(sum == (double)K * got[E]);
    double epsilon = sizeof(mo_real) == sizeof(double) ? 1e-13 : 1e-6; /* p is a rounded softmax */
    for (int64_t i = E + 1; i < E + 4; i++) MO_CHECK_NEAR(got[i], want[i], epsilon * (1 + fabs(want[i])));
    free(want);
    op_graph_close(&t);
}

static void test_values(void **state)
{
    (void)state;
    op_case all = chunks;
    all.arg = &(int64_t){7};
    check_values(&chunks);
    check_values(&all);
    check_values(&single);
}

/* Even logits: entropy log E, top 1/E, logsumexp z + log E. */
static void test_even(void **state)
{
    (void)state;
    static const double z[] = {-1.5, -1.5, -1.5, -1.5, -1.5, -1.5, -1.5, -1.5};
    static const int32_t tokens[] = {-1, 0};
    const op_case c = {
        "router_stats", "even", build_stats, &two,
        .in = {{"z", .dim = {2, 4}, .real = z}, {"tokens", .dtype = MO_I32, .dim = {2}, .ints = tokens}}};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.forward_only = true});
    mo_graph_forward(t.g, &t.run);
    const double *got = stats_of(&t)->data, lse = -1.5 + log(4);
    static const double counts[] = {1, 1, 0, 0, 1};
    assert_memory_equal(got, counts, sizeof counts);
    MO_CHECK_NEAR(got[5], log(4), 1e-6);
    MO_CHECK_NEAR(got[6], 0.25, 1e-7);
    MO_CHECK_NEAR(got[7], lse * lse, 1e-6);
    op_graph_close(&t);
}

/* Nobody but padding: zeros, though z is not a number. */
static void test_padding(void **state)
{
    (void)state;
    static const double z[] = {(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    static const int32_t tokens[] = {-1, -7};
    const op_case c = {
        "router_stats", "padding", build_stats, &one,
        .in = {{"z", .dim = {2, 2}, .real = z}, {"tokens", .dtype = MO_I32, .dim = {2}, .ints = tokens}}};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.forward_only = true});
    mo_graph_forward(t.g, &t.run);
    const double *got = stats_of(&t)->data;
    for (int i = 0; i < 6; i++) assert_true(got[i] == 0);
    op_graph_close(&t);
}

static void test_threads(void **state)
{
    (void)state;
    double first[11];
    int before = mo_threads();
    for (int threads = 1; threads <= 4; threads++) {
        op_graph t;
        op_graph_open(&t, &chunks, (op_mode){.forward_only = true});
        mo_threads_set(threads);
        mo_graph_forward(t.g, &t.run);
        mo_threads_set(before);
        assert_int_equal(mo_tensor_bytes(stats_of(&t)), sizeof first);
        if (threads == 1) memcpy(first, stats_of(&t)->data, sizeof first);
        assert_memory_equal(first, stats_of(&t)->data, sizeof first);
        op_graph_close(&t);
    }
}

static void test_contract(void **state)
{
    (void)state;
    gradcheck(&chunks); /* it has no gradient */
    contract(&chunks);
}

static void build_bare(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_router_stats(g, in[0], in[1], in[2]);
}

static void test_refused(void **state)
{
    (void)state;
    const op_case good = {
        "router_stats", "bad", build_bare,
        .in = {{"z", .dim = {5, 4}}, {"p", .dim = {5, 4}}, {"ids", .dtype = MO_I32, .dim = {5, 2}}}};
    op_case bad = good;
    bad.in[1].dim[1] = 3;
    contract_refused(&bad, MO_E_SHAPE, "router_stats: z [5, 4], p [5, 3], ids int32 [5, 2]");
    bad = good;
    bad.in[1].dim[0] = 6;
    contract_refused(&bad, MO_E_SHAPE, "p [6, 4]");
    bad = good;
    bad.in[2].dim[0] = 4;
    contract_refused(&bad, MO_E_SHAPE, "ids int32 [4, 2]");
    bad = good;
    bad.in[2].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "ids [5, 2]");
    bad = good;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "z int32 [5, 4]");
    bad = good;
    bad.in[1].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "p int32 [5, 4]");
    bad = good;
    bad.in[2].dim[1] = 5;
    contract_refused(&bad, MO_E_SHAPE, "ids int32 [5, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),   cmocka_unit_test(test_even),
                                       cmocka_unit_test(test_padding),  cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_contract), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
