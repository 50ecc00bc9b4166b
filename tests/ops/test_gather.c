/* test_gather.c -- tokens to rows. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const int64_t *sizes = arg;
    mo_dispatch_map map = mo_dispatch(g, in[1], sizes[0], sizes[1]);
    out[0] = mo_gather(g, in[0], &map);
}

/* Experts, and room for rows. */
static const int64_t one[] = {1, 0}, three[] = {3, 0}, five[] = {5, 0}, five_in_6[] = {5, 6};
static const int32_t mixed[] = {0, 3, 3, 1, -1, -1, 1, 0, 3, 0};
static const int32_t holes[] = {-1, 3, 3, -1, -1, -1, 1, 0, -1, 0};
static const int32_t single[] = {0, 0, 0, 0};
static const int32_t every[] = {2, 0, 1};

/* Experts 2 and 4 get nobody; token 2 is padding. */
static const op_case padded = {
    "gather", "5x7", build, five,
    .in = {{"x", .dim = {5, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
/* Token 0 and others lack a choice, token 2 all; room for 6 rows, of which 5 are used. */
static const op_case dropped = {
    "gather", "holes", build, five_in_6,
    .in = {{"x", .dim = {5, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = holes}}};
static const op_case one_expert = {
    "gather", "one expert", build, one,
    .in = {{"x", .dim = {4, 3}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {4, 1}, .ints = single}}};
static const op_case one_token = {
    "gather", "one token", build, three,
    .in = {{"x", .dim = {1, 5}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {1, 3}, .ints = every}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&padded);
    gradcheck(&dropped);
    gradcheck(&one_expert);
    gradcheck(&one_token);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&padded);
    contract(&dropped);
    contract(&one_token);
    contract_nan(&padded);
    check_dirty_memory(&padded);
    check_dirty_memory(&dropped);
}

/* A copy is exact; the gradient sums two numbers. */
static void test_golden(void **state)
{
    (void)state;
    check_moe_golden("gather", &padded, 2e-7);
}

static void test_rows_past_the_last(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &padded);
    const mo_real *xr = t.out[0]->data;
    for (int i = 8 * 7; i < 10 * 7; i++) assert_true(xr[i] == 0);
    op_graph_close(&t);
    open_and_run(&t, &dropped);
    assert_int_equal(t.out[0]->dim[0], 6);
    const mo_real *rows = t.out[0]->data, *x = t.in[0]->data;
    static const int token[] = {3, 4, 3, 0, 1};
    for (int i = 0; i < 5 * 7; i++) assert_true(rows[i] == x[token[i / 7] * 7 + i % 7]);
    for (int i = 5 * 7; i < 6 * 7; i++) assert_true(rows[i] == 0);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = padded;
    bad.in[0].dim[0] = 6;
    contract_refused(&bad, MO_E_SHAPE, "gather: x [6, 7] and a map of rows int32 [5, 2]");
    bad = padded;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "x int32 [5, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract), cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rows_past_the_last), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
