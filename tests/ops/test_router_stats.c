/* test_router_stats.c -- what a router did, in numbers. */
#include <math.h>

#include "harness/contract.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_router_stats(g, in[0], mo_softmax(g, in[0]), in[1]);
}

static void build_given(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_router_stats(g, in[0], in[1], in[2]);
}

enum { N = 600, E = 5, K = 2 };
/* Chosen by a fixed rule; every seventh token is padding. */
static int32_t ids[N * K];
static const op_case plain = {
    "router_stats", "600 tokens", build,
    .in = {{"z", .dim = {N, E}, .low = -4, .high = 4}, {"ids", .dtype = MO_I32, .dim = {N, K}, .ints = ids}}};
static const op_case given = {
    "router_stats", "given", build_given,
    .in = {{"z", .dim = {4, 3}}, {"p", .dim = {4, 3}}, {"ids", .dtype = MO_I32, .dim = {4, 2}, .high = 3}}};

static int fill_ids(void **state)
{
    (void)state;
    for (int32_t n = 0; n < N; n++)
        for (int32_t k = 0; k < K; k++) ids[n * K + k] = n % 7 == 3 ? -1 : (n * n + k + 1) % E;
    return 0;
}

static void add_row(double *want, const mo_real *z)
{
    double sum = 0, entropy = 0, top = 0;
    for (int e = 0; e < E; e++) sum += exp((double)z[e]);
    for (int e = 0; e < E; e++) {
        double p = exp((double)z[e]) / sum;
        entropy -= p * log(p);
        top = fmax(top, p);
    }
    want[E] += 1;
    want[E + 1] += entropy;
    want[E + 2] += top;
    want[E + 3] += log(sum) * log(sum);
}

static void test_values(void **state)
{
    (void)state;
    op_graph t;
    double want[E + 4] = {0};
    op_graph_open(&t, &plain, (op_mode){.readable = true, .forward_only = true});
    op_graph_forward(&t);
    for (int n = 0; n < N; n++) {
        if (ids[n * K] < 0) continue;
        add_row(want, (const mo_real *)t.in[0]->data + n * E);
        for (int k = 0; k < K; k++) want[ids[n * K + k]] += 1;
    }
    const double *stats = t.out[0]->data;
    for (int i = 0; i < E + 4; i++) {
        double allowed = i <= E ? 0 : 1e-5 * want[i];
        if (!(fabs(stats[i] - want[i]) <= allowed))
            fail_msg("stats[%d] = %.9g, expected %.9g", i, stats[i], want[i]);
    }
    op_graph_close(&t);
}

static void test_contract(void **state)
{
    (void)state;
    gradcheck(&plain);
    contract(&plain);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = given;
    bad.in[1].dim[1] = 4;
    contract_refused(&bad, MO_E_SHAPE, "router_stats: z [4, 3], p [4, 4], ids int32 [4, 2]");
    bad = given;
    bad.in[2].dim[0] = 5;
    contract_refused(&bad, MO_E_SHAPE, "ids int32 [5, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, fill_ids, NULL);
}
