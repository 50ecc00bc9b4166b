/* test_experts.c -- each expert's linear map over its rows. */
#include "checks.h"
#include "harness/storedcase.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const int64_t *sizes = arg;
    mo_dispatch_map map = mo_dispatch(g, in[2], sizes[0], sizes[1]);
    out[0] = mo_experts(g, in[0], in[1], &map);
}

/* Experts, and room for rows. */
static const int64_t three[] = {3, 0}, five[] = {5, 0}, five_in_6[] = {5, 6};
static const int32_t mixed[] = {0, 3, 3, 1, -1, -1, 1, 0, 3, 0};
static const int32_t holes[] = {-1, 3, 3, -1, -1, -1, 1, 0, -1, 0};
static const int32_t single[] = {2, 2, 2, 2};
static const int32_t every[] = {2, 0, 1};

/* Experts 2 and 4 get nobody; two rows are past the last. */
static const op_case padded = {"experts", "10x7 to 4", build, five,
                               .in = {{"x", .dim = {10, 7}, .grad = true},
                                      {"w", MO_ROLE_PARAM, .dim = {5, 4, 7}, .grad = true},
                                      {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
/* Choices without a row; room for 6 rows, of which 5 are used. */
static const op_case dropped = {"experts", "holes", build, five_in_6,
                                .in = {{"x", .dim = {6, 7}, .grad = true},
                                       {"w", MO_ROLE_PARAM, .dim = {5, 4, 7}, .grad = true},
                                       {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = holes}}};
/* All rows to the last expert; the weight is a value of the graph, not a parameter. */
static const op_case crowded = {"experts", "all to one", build, three,
                                .in = {{"x", .dim = {4, 3}, .grad = true},
                                       {"w", .dim = {3, 5, 3}, .grad = true},
                                       {"ids", .dtype = MO_I32, .dim = {4, 1}, .ints = single}}};
static const op_case one_token = {"experts", "one token", build, three,
                                  .in = {{"x", .dim = {3, 5}, .grad = true},
                                         {"w", MO_ROLE_PARAM, .dim = {3, 2, 5}, .grad = true},
                                         {"ids", .dtype = MO_I32, .dim = {1, 3}, .ints = every}}};

/* Ids by top-K of random scores, so that sizes are uneven: enough rows for several tiles. */
static void build_large(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    build(g, (mo_tensor *[]){in[0], in[1], mo_topk(g, in[2], in[3], 2)}, out, arg);
}

static const op_case large = {"experts", "600x70 to 90", build_large, five,
                              .in = {{"x", .dim = {600, 70}, .grad = true},
                                     {"w", MO_ROLE_PARAM, .dim = {5, 90, 70}, .grad = true},
                                     {"scores", .dim = {300, 5}},
                                     {"tokens", .dtype = MO_I32, .dim = {300}, .low = -2, .high = 20}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&padded);
    gradcheck(&dropped);
    gradcheck(&crowded);
    gradcheck(&one_token);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&padded);
    contract(&dropped);
    contract(&crowded);
    contract(&one_token);
    contract(&large);
    contract_nan(&padded);
    check_dirty_memory(&padded);
    check_dirty_memory(&dropped);
}

/* float: sums of 6, 4 and at most 8 products. */
static void test_golden(void **state)
{
    (void)state;
    check_moe_golden("experts", &padded, 1e-6);
}

/* Rows that nobody owns count for nothing and stay zero; so does an expert without rows. */
static void test_zeros(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &padded, (op_mode){.readable = true});
    forward_backward(&t);
    const mo_real *y = t.out[0]->data, *dx = op_graph_grad(&t, 0), *dw = op_graph_grad(&t, 1);
    for (int i = 8 * 4; i < 10 * 4; i++) assert_true(y[i] == 0);
    for (int i = 8 * 7; i < 10 * 7; i++) assert_true(dx[i] == 0);
    for (int i = 0; i < 4 * 7; i++) assert_true(dw[2 * 28 + i] == 0 && dw[4 * 28 + i] == 0);
    op_graph_close(&t);
}

static void test_stored(void **state)
{
    (void)state;
    const double rounding = sizeof(mo_real) == sizeof(double) ? 1e-13 : 1e-5;
    stored_check(&padded, 1, rounding);
    stored_check(&dropped, 1, rounding);
    stored_check(&crowded, 1, rounding);
    stored_check(&one_token, 1, rounding);
    stored_check(&large, 1, rounding);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = padded;
    bad.in[1].dim[2] = 8;
    contract_refused(&bad, MO_E_SHAPE, "experts: x [10, 7], weight [5, 4, 8] and offsets int32 [6]");
    bad = padded;
    bad.arg = three;
    contract_refused(&bad, MO_E_SHAPE, "offsets int32 [4]");
    bad = padded;
    bad.in[0].dim[0] = 9;
    contract_refused(&bad, MO_E_SHAPE, "x [9, 7]");
    bad = padded;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "x int32 [10, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),   cmocka_unit_test(test_zeros),
                                       cmocka_unit_test(test_stored),   cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
