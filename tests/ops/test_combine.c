/* test_combine.c -- rows back to tokens. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const int64_t *sizes = arg;
    mo_dispatch_map map = mo_dispatch(g, in[1], sizes[0], sizes[1]);
    out[0] = mo_combine(g, in[0], &map);
}

static void build_weighted(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const int64_t *sizes = arg;
    mo_dispatch_map map = mo_dispatch(g, in[2], sizes[0], sizes[1]);
    out[0] = weighted_combine(g, in[0], in[1], &map);
}

/* Experts, and room for rows. */
static const int64_t one[] = {1, 0}, three[] = {3, 0}, five[] = {5, 0}, five_in_6[] = {5, 6};
static const int32_t mixed[] = {0, 3, 3, 1, -1, -1, 1, 0, 3, 0};
static const int32_t holes[] = {-1, 3, 3, -1, -1, -1, 1, 0, -1, 0};
static const int32_t single[] = {0, 0, 0, 0};
static const int32_t every[] = {2, 0, 1};

/* Experts 2 and 4 get nobody; token 2 is padding. */
static const op_case padded = {
    "combine", "5x7", build, five,
    .in = {{"y", .dim = {10, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
/* Token 0 and others lack a choice, token 2 all; room for 6 rows, of which 5 are used. */
static const op_case dropped = {
    "combine", "holes", build, five_in_6,
    .in = {{"y", .dim = {6, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = holes}}};
static const op_case one_expert = {
    "combine", "one expert", build, one,
    .in = {{"y", .dim = {4, 3}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {4, 1}, .ints = single}}};
static const op_case one_token = {
    "combine", "one token", build, three,
    .in = {{"y", .dim = {3, 5}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {1, 3}, .ints = every}}};
/* As one op: what experts without a last matrix would be. */
static const op_case weighted = {"combine", "weighted", build_weighted, five,
                                 .in = {{"y", .dim = {10, 7}, .grad = true},
                                        {"w", .dim = {5, 2}, .grad = true},
                                        {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&weighted);
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

/* float: sums of 2 and of 6 products. */
static void test_golden(void **state)
{
    (void)state;
    check_moe_golden("combine", &weighted, 1e-6);
}

static void test_padding(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &padded, (op_mode){.readable = true});
    forward_backward(&t);
    const mo_real *out = t.out[0]->data, *dy = op_graph_grad(&t, 0);
    for (int d = 0; d < 7; d++) assert_true(out[2 * 7 + d] == 0);
    for (int i = 8 * 7; i < 10 * 7; i++) assert_true(dy[i] == 0);
    op_graph_close(&t);
}

/* Choices without a row: no output, no gradient. */
static void test_dropped(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &dropped, (op_mode){.readable = true});
    forward_backward(&t);
    const mo_real *out = t.out[0]->data, *y = t.in[0]->data, *dy = op_graph_grad(&t, 0);
    for (int d = 0; d < 7; d++) {
        assert_true(out[2 * 7 + d] == 0);
        assert_true(out[d] == y[3 * 7 + d]); /* rows: token 3, 4 of expert 0; 3 of 1; 0, 1 of 3 */
        assert_true(dy[5 * 7 + d] == 0 && dy[4 * 7 + d] != 0);
    }
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = padded;
    bad.in[0].dim[0] = 9;
    contract_refused(&bad, MO_E_SHAPE, "combine: y [9, 7] does not fit a map of 10 rows");
    bad = dropped;
    bad.in[0].dim[0] = 10;
    contract_refused(&bad, MO_E_SHAPE, "expected [6, D]");
    bad = padded;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "y int32 [10, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),   cmocka_unit_test(test_padding),
                                       cmocka_unit_test(test_dropped),  cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
