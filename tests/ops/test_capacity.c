/* test_capacity.c -- choices that find their expert full. */
#include "capacity_checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const mo_capacity_options *o = arg;
    out[0] = mo_capacity(g, in[0], in[1], o->drop == MO_DROP_PROBABILITY ? in[2] : NULL, o);
}

/* The ids are the K best of the scores; out[1]: ids, out[2]: rows within the bound. */
static void build_random(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const mo_capacity_options *o = arg;
    int64_t N = in[0]->dim[0];
    out[1] = mo_topk(g, in[0], in[1], 3);
    out[0] = mo_capacity(g, out[1], in[1], in[0], o);
    out[2] = mo_dispatch(g, out[0], o->experts, mo_capacity_rows(o, N, 3)).token_R;
}

#define MANY(name, options, tokens_low)                                                \
    {                                                                                  \
        "capacity", name, build_random, &(options), .in = {                            \
            {"scores", .dim = {480, 9}},                                               \
            {"tokens", .dtype = MO_I32, .dim = {480}, .low = (tokens_low), .high = 20} \
        }                                                                              \
    }
static const mo_capacity_options by_position = {9, 0.9, MO_DROP_POSITION, 480},
                                 by_score = {9, 0.9, MO_DROP_PROBABILITY, 480},
                                 position_groups = {9, 1.1, MO_DROP_POSITION, 60},
                                 score_groups = {9, 1.1, MO_DROP_PROBABILITY, 60},
                                 tight = {9, 0.05, MO_DROP_PROBABILITY, 48},
                                 wide = {9, 100, MO_DROP_PROBABILITY, 60};
static const op_case many[] = {MANY("position, one group", by_position, -3),
                               MANY("probability, one group", by_score, -3),
                               MANY("position, groups", position_groups, -9),
                               MANY("probability, groups", score_groups, -9),
                               MANY("tight", tight, -3),
                               MANY("wide", wide, 0)};
enum { MANIES = sizeof many / sizeof *many };

/* Whether choice (m, j) comes before (n, k) at the same expert e. */
static bool before(const mo_capacity_options *o, const mo_real *scores, int64_t m, int64_t j, int64_t n,
                   int64_t k, int32_t e)
{
    if (j != k) return j < k;
    double a = (double)scores[m * o->experts + e], b = (double)scores[n * o->experts + e];
    if (o->drop == MO_DROP_PROBABILITY && (outranks(a, b) || outranks(b, a))) return outranks(a, b);
    return m < n;
}

static int64_t before_in_group(const mo_capacity_options *o, const mo_real *scores, const int32_t *ids,
                               const int32_t *tokens, int64_t n, int64_t k)
{
    int64_t start = n - n % o->group, count = 0;
    for (int64_t m = start; m < start + o->group; m++)
        for (int64_t j = 0; j < 3; j++)
            count += tokens[m] >= 0 && ids[m * 3 + j] == ids[n * 3 + k] &&
                     before(o, scores, m, j, n, k, ids[n * 3 + k]);
    return count;
}

/* Every choice stays exactly where fewer than C come before it: the definition, from which follow that counts
 * are at most C, that what is kept was chosen, and that first choices go before second ones. */
static void check_definition(const op_case *c, bool drops)
{
    const mo_capacity_options *o = c->arg;
    op_graph t;
    open_and_run(&t, c);
    const mo_real *scores = t.in[0]->data;
    const int32_t *tokens = t.in[1]->data, *kept = t.out[0]->data, *ids = t.out[1]->data;
    int64_t dropped = 0, N = t.in[0]->dim[0];
    for (int64_t n = 0; n < N; n++) {
        int64_t start = n - n % o->group, valid = valid_tokens(tokens, start, start + o->group);
        double C = ceil(o->factor * 3 * (double)valid / (double)o->experts - 1e-9);
        for (int64_t k = 0; k < 3; k++) {
            bool stays = tokens[n] >= 0 && (double)before_in_group(o, scores, ids, tokens, n, k) < C;
            assert_int_equal(kept[n * 3 + k], stays ? ids[n * 3 + k] : -1);
            dropped += tokens[n] >= 0 && !stays;
        }
    }
    if (drops)
        assert_in_range(dropped, N / 20, 3 * N);
    else
        assert_int_equal(dropped, 0);
    op_graph_close(&t);
}

static void test_definition(void **state)
{
    (void)state;
    for (int i = 0; i < MANIES; i++) check_definition(&many[i], many[i].arg != &wide);
}

/* Equal scores everywhere: earlier tokens first, whatever way they are dropped. */
static void test_all_equal(void **state)
{
    (void)state;
    static double same[480 * 9];
    op_case c = many[1];
    c.in[0].real = same;
    check_definition(&c, true);
}

static void test_nan_first(void **state)
{
    (void)state;
    static double some[480 * 9];
    for (int i = 0; i < 480 * 9; i++) some[i] = i % 7 == 3 ? copysign((double)NAN, i % 2 ? 1 : -1) : sin(i);
    op_case c = many[1];
    c.in[0].real = some;
    check_definition(&c, true);
}

/* Without ties, dropping by probability does not care in what order the tokens stand. */
static void test_permuted(void **state)
{
    (void)state;
    enum { N = 480, STEP = 77 }; /* no common divisor */
    op_graph t, u;
    open_and_run(&t, &many[1]);
    static double scores[N * 9];
    static int32_t tokens[N];
    for (int n = 0; n < N; n++) {
        int from = n * STEP % N;
        tokens[n] = ((const int32_t *)t.in[1]->data)[from];
        for (int e = 0; e < 9; e++)
            scores[n * 9 + e] = (double)((const mo_real *)t.in[0]->data)[from * 9 + e];
    }
    op_case c = many[1];
    c.in[0].real = scores;
    c.in[1].ints = tokens;
    open_and_run(&u, &c);
    const int32_t *kept = t.out[0]->data, *moved = u.out[0]->data;
    for (int n = 0; n < N; n++)
        for (int k = 0; k < 3; k++) assert_int_equal(moved[n * 3 + k], kept[n * STEP % N * 3 + k]);
    op_graph_close(&t);
    op_graph_close(&u);
}

/* More padding, the same valid tokens: what they get is the same, and padding gets nothing. */
static void test_padding(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 0, 1, 0, 1, 0, 1, 2}, all[] = {5, 5, 5, 5};
    static const int32_t padded_ids[] = {1, 0, 1, 2, 1, 0, 2, 1, 1, 0, 1, 2, 1, 2, 0, 2};
    static const int32_t padded[] = {5, -1, 5, -1, 5, 5, -1, -1};
    const mo_capacity_options four = {3, 0.75, MO_DROP_POSITION, 4}, eight = {3, 0.75, MO_DROP_POSITION, 8};
    const op_case plain = {"capacity", "4 tokens", build, &four,
                           .in = {{"ids", .dtype = MO_I32, .dim = {4, 2}, .ints = ids},
                                  {"tokens", .dtype = MO_I32, .dim = {4}, .ints = all}}};
    const op_case holes = {"capacity", "4 of 8 tokens", build, &eight,
                           .in = {{"ids", .dtype = MO_I32, .dim = {8, 2}, .ints = padded_ids},
                                  {"tokens", .dtype = MO_I32, .dim = {8}, .ints = padded}}};
    op_graph t, u;
    open_and_run(&t, &plain);
    open_and_run(&u, &holes);
    static const int32_t want[] = {1, 0, 1, 0, -1, -1, -1, 2}; /* C = 2 */
    static const int at[] = {0, 2, 4, 5};
    assert_memory_equal(t.out[0]->data, want, sizeof want);
    const int32_t *kept = u.out[0]->data;
    for (int i = 0; i < 4; i++) assert_memory_equal(kept + 2 * at[i], want + 2 * i, 2 * sizeof *want);
    for (int n = 0; n < 8; n++)
        if (padded[n] < 0) assert_true(kept[2 * n] == -1 && kept[2 * n + 1] == -1);
    op_graph_close(&t);
    op_graph_close(&u);
}

static void check_group(const char *group, mo_capacity_options options)
{
    op_case c = {"capacity", group, build, &options,
                 .in = {{"ids", .dtype = MO_I32}, {"tokens", .dtype = MO_I32}, {"scores", .dtype = MO_REAL}}};
    if (options.drop == MO_DROP_POSITION) c.in[2].name = NULL;
    check_capacity_golden(group, &c, 0);
}

static void test_golden(void **state)
{
    (void)state;
    check_group("position_k2_group8", (mo_capacity_options){5, 1, MO_DROP_POSITION, 8});
    check_group("position_k3_group24", (mo_capacity_options){5, 0.8, MO_DROP_POSITION, 24});
    check_group("position_holes", (mo_capacity_options){5, 0.8, MO_DROP_POSITION, 12});
    check_group("probability_k2_group8", (mo_capacity_options){5, 1, MO_DROP_PROBABILITY, 8});
    check_group("probability_k3_group24", (mo_capacity_options){5, 0.8, MO_DROP_PROBABILITY, 24});
    check_group("probability_all_group12", (mo_capacity_options){5, 0.5, MO_DROP_PROBABILITY, 12});
    check_group("probability_ties", (mo_capacity_options){5, 0.6, MO_DROP_PROBABILITY, 24});
    check_group("probability_holes", (mo_capacity_options){5, 0.8, MO_DROP_PROBABILITY, 12});
    check_group("probability_k1_by_topk", (mo_capacity_options){5, 0.7, MO_DROP_PROBABILITY, 24});
}

/* ceil of the product as a decimal would have it, a place at least, a token once at most. */
static void test_rows(void **state)
{
    (void)state;
    struct {
        mo_capacity_options o;
        int64_t N, K, rows;
    } all[] = {{{10, 1.1, MO_DROP_POSITION, 100}, 100, 1, 100},  /* C = 11: room for 110 */
               {{10, 0.55, MO_DROP_POSITION, 100}, 300, 2, 330}, /* C = 11 */
               {{8, 1, MO_DROP_POSITION, 10}, 20, 1, 20},        /* C = 2: room for 16 of 10 */
               {{8, 1e-9, MO_DROP_POSITION, 10}, 20, 1, 16},     /* C = 1 */
               {{4, 0.5, MO_DROP_POSITION, 8}, 8, 2, 8},         /* C = 2 */
               {{2, 1e300, MO_DROP_POSITION, 8}, 8, 2, 16}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(mo_capacity_rows(&all[i].o, all[i].N, all[i].K), all[i].rows);
}

static void test_contract(void **state)
{
    (void)state;
    for (int i = 0; i < MANIES; i++) {
        gradcheck(&many[i]);
        contract(&many[i]);
        check_dirty_memory(&many[i]);
    }
}

static void refused(mo_capacity_options options, op_case c, mo_status status, const char *text)
{
    c.arg = &options;
    contract_refused(&c, status, text);
}

static void build_without_scores(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_capacity(g, in[0], in[1], NULL, arg);
}

static void test_refused(void **state)
{
    (void)state;
    const op_case c = {"capacity", "bad", build, NULL,
                       .in = {{"ids", .dtype = MO_I32, .dim = {8, 2}},
                              {"tokens", .dtype = MO_I32, .dim = {8}},
                              {"scores", .dim = {8, 4}}}};
    const mo_capacity_options good = {4, 1, MO_DROP_PROBABILITY, 4};
    mo_capacity_options o = good;
    o.group = 3;
    refused(o, c, MO_E_SHAPE, "capacity: groups of 3 tokens do not divide 8 tokens");
    o = good;
    o.factor = 0;
    refused(o, c, MO_E_RANGE, "capacity factor is 0, must be above 0");
    o.factor = (double)NAN;
    refused(o, c, MO_E_RANGE, "capacity factor is nan");
    o.factor = (double)INFINITY;
    refused(o, c, MO_E_RANGE, "capacity factor is inf");
    o = good;
    o.experts = 1;
    refused(o, c, MO_E_SHAPE,
            "capacity: ids are int32 [8, 2]; expected int32 [8, K], K at most the 1 experts");
    o.experts = 5;
    refused(o, c, MO_E_SHAPE, "capacity: scores are [8, 4]; expected [8, 5]");
    o = good;
    o.drop = (mo_drop)2;
    refused(o, c, MO_E_RANGE, "2 is no way to drop");
    op_case bad = c;
    bad.in[0].dim[0] = bad.in[1].dim[0] = bad.in[2].dim[0] = INT64_C(1) << 30;
    refused(good, bad, MO_E_RANGE, "capacity: ids int32 [1073741824, 2] are 2147483648 choices");
    bad = c;
    bad.build = build_without_scores;
    refused(good, bad, MO_E_SHAPE, "dropping by probability needs scores");
    bad = c;
    bad.in[1].dtype = MO_REAL;
    refused(good, bad, MO_E_SHAPE, "capacity: tokens are [8]");
    bad = c;
    bad.in[0].dim[0] = 7;
    refused(good, bad, MO_E_SHAPE, "ids are int32 [7, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_all_equal), cmocka_unit_test(test_nan_first),
        cmocka_unit_test(test_permuted),   cmocka_unit_test(test_padding),   cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_contract),  cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
