/* test_router_stats.c -- what a router did, against a plain transcription in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/gradcheck.h"

/* What is there of a routing; probabilities that are no softmax of z. */
typedef struct parts {
    int64_t E;
    bool no_z, no_p, dropless;
} parts;

/* in: z, s (p = softmax(s)), ids, kept, w, tokens. [E + ...] float64 is no loss: it cannot be an output of a
 * case, so ids stand in for it. */
static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const parts *a = arg;
    mo_router_view view = {a->no_z ? NULL : in[0],
                           a->no_p ? NULL : mo_softmax(g, in[1]),
                           in[2],
                           a->dropless ? in[2] : in[3],
                           in[4],
                           in[5]};
    mo_tensor *stats = mo_router_stats(g, &view, a->E);
    mo_graph_output(g, stats);
    out[0] = stats ? mo_topk(g, in[0], in[5], 1) : NULL;
    if (view.p_NE && stats) {
        mo_graph_output(g, view.p_NE);
        out[1] = view.p_NE;
    }
}

static const parts seven = {.E = 7}, one = {.E = 1};
/* ids -1 .. 6 at random: holes anywhere, and the same expert twice, which does not matter here. */
static const op_case chunks = {"router_stats", "600x7, 3", build, &seven,
                               .in = {{"z", .dim = {600, 7}, .low = -3, .high = 4},
                                      {"s", .dim = {600, 7}, .low = -30, .high = 4},
                                      {"ids", .dtype = MO_I32, .dim = {600, 3}, .low = -1, .high = 7},
                                      {"kept", .dtype = MO_I32, .dim = {600, 3}, .low = -1, .high = 2},
                                      {"w", .dim = {600, 3}, .low = 0, .high = 1},
                                      {"tokens", .dtype = MO_I32, .dim = {600}, .low = -2, .high = 9}}};
static const op_case single = {"router_stats", "1x1", build, &one,
                               .in = {{"z", .dim = {1, 1}},
                                      {"s", .dim = {1, 1}},
                                      {"ids", .dtype = MO_I32, .dim = {1, 1}, .low = 0, .high = 1},
                                      {"kept", .dtype = MO_I32, .dim = {1, 1}, .low = 0, .high = 1},
                                      {"w", .dim = {1, 1}, .low = 0, .high = 1},
                                      {"tokens", .dtype = MO_I32, .dim = {1}, .low = 0, .high = 1}}};

static const mo_tensor *stats_of(const op_graph *t)
{
    for (int n = mo_graph_node_count(t->g) - 1; n >= 0; n--) {
        const mo_node *node = mo_graph_node_at(t->g, n);
        if (strcmp(node->op->name, "router_stats") == 0) return node->out[0];
    }
    fail_msg("there is no router_stats");
    return NULL;
}

/* x[E] as probabilities and logsumexp. */
static double softmax(double *p, const mo_real *x, int64_t E)
{
    double sum = 0;
    for (int64_t e = 0; e < E; e++) sum += exp((double)x[e]);
    for (int64_t e = 0; e < E; e++) p[e] = exp((double)x[e]) / sum;
    return log(sum);
}

static void reference_choices(double *load, double *sums, const op_graph *t, int64_t n)
{
    const int32_t *ids = t->in[2]->data, *kept = t->in[((const parts *)t->c->arg)->dropless ? 2 : 3]->data;
    const mo_real *w = t->in[4]->data;
    int64_t K = t->in[2]->dim[1];
    double top = 0;
    bool routed = false;
    for (int64_t i = n * K; i < (n + 1) * K; i++) {
        if (ids[i] < 0) continue;
        load[ids[i]] += 1;
        sums[MO_SUM_WANTED] += 1;
        sums[MO_SUM_KEPT] += kept[i] >= 0;
        routed = routed || kept[i] >= 0;
        top = fmax(top, (double)w[i]);
    }
    sums[MO_SUM_TOP1_WEIGHT] += top;
    sums[MO_SUM_UNROUTED] += !routed;
}

/* The definitions, from the inputs alone: nothing is shared with the op. */
static void reference(double *stats, const op_graph *t)
{
    const parts *a = t->c->arg;
    const mo_real *z = t->in[0]->data, *s = t->in[1]->data;
    const int32_t *tokens = t->in[5]->data;
    int64_t N = t->in[0]->dim[0], E = a->E;
    double *sums = stats + E, p[64];
    memset(stats, 0, (size_t)(E + MO_ROUTER_SUMS) * sizeof *stats);
    for (int64_t n = 0; n < N; n++) {
        if (tokens[n] < 0) continue;
        sums[MO_SUM_TOKENS] += 1;
        reference_choices(stats, sums, t, n);
        double lse = softmax(p, z + n * E, E), entropy = 0, top = 0;
        sums[MO_SUM_Z] += lse * lse;
        softmax(p, s + n * E, E);
        for (int64_t e = 0; e < E; e++) {
            entropy -= p[e] * log(p[e]);
            top = fmax(top, p[e]);
        }
        sums[MO_SUM_ENTROPY] += entropy;
        sums[MO_SUM_TOP1] += top;
    }
    if (a->no_z) sums[MO_SUM_Z] = (double)NAN;
    if (a->no_p) sums[MO_SUM_ENTROPY] = sums[MO_SUM_TOP1] = (double)NAN;
}

static void check_values(const op_case *c)
{
    op_graph t;
    op_graph_open(&t, c, (op_mode){.forward_only = true, .readable = true});
    mo_graph_forward(t.g, &t.run);
    int64_t E = ((const parts *)c->arg)->E;
    double *want = malloc((size_t)(E + MO_ROUTER_SUMS) * sizeof *want), sum = 0;
    assert_non_null(want);
    reference(want, &t);
    const double *got = stats_of(&t)->data, *sums = got + E;
    for (int64_t e = 0; e < E; e++) sum += got[e];
    assert_true(sum == sums[MO_SUM_WANTED]);
    double epsilon = sizeof(mo_real) == sizeof(double) ? 1e-13 : 1e-6; /* p is a rounded softmax */
    for (int64_t i = 0; i < E + MO_ROUTER_SUMS; i++) {
        bool rounded = i == E + MO_SUM_ENTROPY || i == E + MO_SUM_TOP1 || i == E + MO_SUM_Z;
        if (isnan(want[i]))
            assert_true(isnan(got[i]));
        else if (rounded)
            MO_CHECK_NEAR(got[i], want[i], epsilon * (1 + fabs(want[i])));
        else if (i != E + MO_SUM_TOP1_WEIGHT)
            assert_true(got[i] == want[i]); /* counts are exact */
        else
            MO_CHECK_NEAR(got[i], want[i], 1e-12 * want[i]);
    }
    free(want);
    op_graph_close(&t);
}

static void test_values(void **state)
{
    (void)state;
    static const parts all[] = {{.E = 7, .dropless = true},
                                {.E = 7, .no_z = true},
                                {.E = 7, .no_p = true},
                                {.E = 7, .no_z = true, .no_p = true, .dropless = true}};
    check_values(&chunks);
    check_values(&single);
    for (int i = 0; i < 4; i++) {
        op_case c = chunks;
        c.arg = &all[i];
        check_values(&c);
    }
}

/* By hand: three tokens and padding, whose values are not numbers. */
static void test_small(void **state)
{
    (void)state;
    static const double nan = (double)NAN;
    const double z[] = {-1.5, -1.5, -1.5, -1.5, nan, nan, nan, nan, 0, 0, 0, 0, 0, 0, 0, 0};
    const double s[] = {0, 0, 0, 0, nan, nan, nan, nan, 0, 0, -200, -200, 0, -200, -200, -200};
    const double w[] = {0.75, 0.25, nan, nan, 0.5, 0.625, 1, 9};
    static const int32_t tokens[] = {0, -1, 255, 3};
    static const int32_t ids[] = {2, 0, -1, -1, 0, 3, 3, -1}, kept[] = {2, 0, -1, -1, -1, 3, -1, -1};
    const parts four = {.E = 4};
    const op_case c = {"router_stats", "by hand", build, &four,
                       .in = {{"z", .dim = {4, 4}, .real = z},
                              {"s", .dim = {4, 4}, .real = s},
                              {"ids", .dtype = MO_I32, .dim = {4, 2}, .ints = ids},
                              {"kept", .dtype = MO_I32, .dim = {4, 2}, .ints = kept},
                              {"w", .dim = {4, 2}, .real = w},
                              {"tokens", .dtype = MO_I32, .dim = {4}, .ints = tokens}}};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.forward_only = true});
    mo_graph_forward(t.g, &t.run);
    const double *got = stats_of(&t)->data, *sums = got + 4, shift = log(4) - 1.5;
    static const double load[] = {2, 0, 1, 2};
    assert_memory_equal(got, load, sizeof load);
    assert_true(sums[MO_SUM_TOKENS] == 3 && sums[MO_SUM_WANTED] == 5 && sums[MO_SUM_KEPT] == 3);
    assert_true(sums[MO_SUM_UNROUTED] == 1 && sums[MO_SUM_TOP1_WEIGHT] == 0.75 + 0.625 + 1);
    MO_CHECK_NEAR(sums[MO_SUM_ENTROPY], log(4) + log(2), 1e-6);
    MO_CHECK_NEAR(sums[MO_SUM_TOP1], 0.25 + 0.5 + 1, 1e-7);
    MO_CHECK_NEAR(sums[MO_SUM_Z], shift * shift + 2 * log(4) * log(4), 1e-5);
    op_graph_close(&t);
}

/* A NaN of a token that counts is seen. */
static void test_nan(void **state)
{
    (void)state;
    for (int input = 0; input < 2; input++) {
        op_graph t;
        op_graph_open(&t, &single, (op_mode){.forward_only = true});
        mo_real *values = t.in[input]->data;
        values[0] = (mo_real)NAN;
        mo_graph_forward(t.g, &t.run);
        const double *sums = (const double *)stats_of(&t)->data + 1;
        bool of_z = isnan(sums[MO_SUM_Z]), of_p = isnan(sums[MO_SUM_ENTROPY]);
        assert_true(of_z == (input == 0) && of_p == (input == 1));
        op_graph_close(&t);
    }
}

static void test_threads(void **state)
{
    (void)state;
    double first[7 + MO_ROUTER_SUMS];
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
    out[0] = mo_router_stats(g, &(mo_router_view){in[0], in[1], in[2], in[3], in[4], in[5]}, 4);
}

static void test_refused(void **state)
{
    (void)state;
    const op_case good = {"router_stats", "bad", build_bare,
                          .in = {{"z", .dim = {5, 4}},
                                 {"p", .dim = {5, 4}},
                                 {"ids", .dtype = MO_I32, .dim = {5, 2}},
                                 {"kept", .dtype = MO_I32, .dim = {5, 2}},
                                 {"w", .dim = {5, 2}},
                                 {"tokens", .dtype = MO_I32, .dim = {5}}}};
    static const struct {
        int input, dim, size;
        const char *text;
    } sizes[] = {{0, 1, 3, "router_stats: 4 experts, z [5, 3], p [5, 4], ids int32 [5, 2]"},
                 {0, 0, 6, "z [6, 4]"},
                 {1, 1, 3, "p [5, 3]"},
                 {1, 0, 6, "p [6, 4]"},
                 {2, 0, 4, "ids int32 [4, 2]"},
                 {2, 1, 5, "ids int32 [5, 5]"},
                 {3, 1, 3, "kept int32 [5, 3]"},
                 {4, 1, 1, "w [5, 1]"},
                 {5, 0, 6, "tokens int32 [6]"}};
    static const char *const types[] = {"z int32 [5, 4]", "p int32 [5, 4]", "ids [5, 2]",
                                        "kept [5, 2]",    "w int32 [5, 2]", "tokens [5]"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        op_case bad = good;
        bad.in[sizes[i].input].dim[sizes[i].dim] = sizes[i].size;
        contract_refused(&bad, MO_E_SHAPE, sizes[i].text);
    }
    for (int i = 0; i < 6; i++) {
        op_case bad = good;
        bad.in[i].dtype = bad.in[i].dtype == MO_I32 ? MO_REAL : MO_I32;
        contract_refused(&bad, MO_E_SHAPE, types[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),   cmocka_unit_test(test_small),
                                       cmocka_unit_test(test_nan),      cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_contract), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
