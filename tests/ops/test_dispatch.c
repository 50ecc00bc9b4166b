/* test_dispatch.c -- rows sorted by expert. */
#include <string.h>

#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const int64_t *sizes = arg;
    mo_dispatch_map map = mo_dispatch(g, in[0], sizes[0], sizes[1]);
    out[0] = map.offsets_E1;
    out[1] = map.token_R;
    out[2] = map.row_NK;
}

/* Also the ids, as out[3]. */
static void build_random(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    build(g, (mo_tensor *[]){mo_topk(g, in[0], in[1], 3)}, out, arg);
    out[3] = out[2] ? out[2]->producer->in[0] : NULL;
}

/* Experts, and room for rows. */
static const int64_t one[] = {1, 0}, three[] = {3, 0}, four[] = {4, 0}, five[] = {5, 0}, nine[] = {9, 0},
                     five_in_6[] = {5, 6}, three_in_9[] = {3, 9};
static const op_case many = {
    "dispatch", "500 tokens", build_random, nine,
    .in = {{"scores", .dim = {500, 9}}, {"tokens", .dtype = MO_I32, .dim = {500}, .low = -3, .high = 20}}};

static void check_map(const op_graph *t, const int32_t *ids, int64_t N, int64_t K, int64_t E)
{
    const int32_t *offsets = t->out[0]->data, *token = t->out[1]->data, *row = t->out[2]->data;
    int32_t at = 0;
    assert_int_equal(offsets[0], 0);
    for (int32_t e = 0; e < E; e++) {
        for (int64_t i = 0; i < N * K; i++)
            if (ids[i] == e) {
                assert_int_equal(row[i], at);
                assert_int_equal(token[at], i / K);
                at++;
            }
        assert_int_equal(offsets[e + 1], at);
    }
    for (int64_t i = 0; i < N * K; i++)
        if (ids[i] < 0) assert_int_equal(row[i], -1);
    for (int64_t r = at; r < t->out[1]->dim[0]; r++) assert_int_equal(token[r], -1);
}

static void check_ids(const int32_t *ids, int64_t N, int64_t K, const int64_t *sizes)
{
    const op_case c = {"dispatch", "ids", build, sizes,
                       .in = {{"ids", .dtype = MO_I32, .dim = {N, K}, .ints = ids}}};
    op_graph t;
    open_and_run(&t, &c);
    assert_int_equal(t.out[1]->dim[0], sizes[1] ? sizes[1] : N * K);
    check_map(&t, ids, N, K, sizes[0]);
    op_graph_close(&t);
}

static void test_maps(void **state)
{
    (void)state;
    check_ids((int32_t[]){2, 0, 1, 2, 0, 2, 2, 1}, 4, 2, five);      /* experts 3 and 4 get nobody */
    check_ids((int32_t[]){3, 3, 3, 3, 3}, 5, 1, four);               /* all to the last */
    check_ids((int32_t[]){0, 0, 0}, 3, 1, one);                      /* one expert */
    check_ids((int32_t[]){2, 0, 1}, 1, 3, three);                    /* N = 1, K = E */
    check_ids((int32_t[]){-1, -1, 1, 0, -1, -1, 0, 1}, 4, 2, three); /* padding first and between */
    check_ids((int32_t[]){-1, -1, -1, -1}, 2, 2, three);             /* nothing but padding */
}

/* -1 anywhere, and less room than N*K: for more than there are rows, for just as many, for one. */
static void test_holes(void **state)
{
    (void)state;
    static const int32_t holes[] = {-1, 3, 3, -1, -1, -1, 1, 0, -1, 0};
    check_ids(holes, 5, 2, five);
    check_ids(holes, 5, 2, five_in_6);
    check_ids(holes, 5, 2, (int64_t[]){5, 5});
    check_ids((int32_t[]){-1, -1, 2, -1, -1, -1}, 2, 3, (int64_t[]){3, 1});
    check_ids((int32_t[]){0, -1, 2, -1, 1, -1, -1, 1, 2}, 3, 3, three); /* experts that choose: K = E */
}

/* A second run over fewer rows leaves nothing of the first. */
static void test_run_again(void **state)
{
    (void)state;
    static const int32_t full[] = {2, 0, 1, 2, 0, 2}, holes[] = {-1, -1, 1, 2, -1, -1};
    const op_case c = {"dispatch", "again", build, three,
                       .in = {{"ids", .dtype = MO_I32, .dim = {3, 2}, .ints = full}}};
    op_graph t;
    open_and_run(&t, &c);
    check_map(&t, full, 3, 2, 3);
    memcpy(t.in[0]->data, holes, sizeof holes);
    mo_graph_forward(t.g, &t.run);
    check_map(&t, holes, 3, 2, 3);
    op_graph_close(&t);
}

static void test_random(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &many);
    const int32_t *offsets = t.out[0]->data;
    assert_in_range(offsets[9], 3 * 350, 3 * 499);
    check_map(&t, t.out[3]->data, 500, 3, 9);
    op_graph_close(&t);
}

static void test_golden(void **state)
{
    (void)state;
    const op_case c = {"dispatch", "golden", build, five, .in = {{"ids", .dtype = MO_I32}}};
    check_moe_golden("dispatch", &c, 0);
}

static void test_contract(void **state)
{
    (void)state;
    gradcheck(&many);
    contract(&many);
    check_dirty_memory(&many);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = {"dispatch", "bad", build, three, .in = {{"ids", .dtype = MO_I32, .dim = {4, 4}}}};
    contract_refused(&bad, MO_E_RANGE, "dispatch: 3 experts are fewer than the 4 of each token");
    bad.in[0].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "dispatch: ids are int32 [4]; expected int32 [N, K]");
    bad.in[0].dim[1] = 2;
    bad.in[0].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "dispatch: ids are [4, 2]");
    bad.in[0] = (op_input){"ids", .dtype = MO_I32, .dim = {INT64_C(1) << 30, 2}};
    contract_refused(&bad, MO_E_RANGE, "2147483648 rows");
    bad = (op_case){"dispatch", "bad", build, three_in_9, .in = {{"ids", .dtype = MO_I32, .dim = {4, 2}}}};
    contract_refused(&bad, MO_E_RANGE, "dispatch: 9 rows, must be from 1 to the 8 of ids int32 [4, 2]");
    bad.arg = (int64_t[]){3, -1};
    contract_refused(&bad, MO_E_RANGE, "dispatch: -1 rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_maps),      cmocka_unit_test(test_holes),
                                       cmocka_unit_test(test_run_again), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_golden),    cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
