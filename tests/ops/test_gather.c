/* test_gather.c -- tokens to rows. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_dispatch_map map = mo_dispatch(g, in[1], *(const int64_t *)arg);
    out[0] = mo_gather(g, in[0], &map);
}

static const int64_t one = 1, three = 3, five = 5;
static const int32_t mixed[] = {0, 3, 3, 1, -1, -1, 1, 0, 3, 0};
static const int32_t single[] = {0, 0, 0, 0};
static const int32_t every[] = {2, 0, 1};

/* Experts 2 and 4 get nobody; token 2 is padding. */
static const op_case padded = {
    "gather", "5x7", build, &five,
    .in = {{"x", .dim = {5, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
static const op_case one_expert = {
    "gather", "one expert", build, &one,
    .in = {{"x", .dim = {4, 3}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {4, 1}, .ints = single}}};
static const op_case one_token = {
    "gather", "one token", build, &three,
    .in = {{"x", .dim = {1, 5}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {1, 3}, .ints = every}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&padded);
    gradcheck(&one_expert);
    gradcheck(&one_token);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&padded);
    contract(&one_token);
    contract_nan(&padded);
    check_dirty_memory(&padded);
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
