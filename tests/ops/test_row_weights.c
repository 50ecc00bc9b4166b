/* test_row_weights.c -- weights of choices in the order of rows. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const int64_t *sizes = arg;
    mo_dispatch_map map = mo_dispatch(g, in[1], sizes[0], sizes[1]);
    out[0] = mo_row_weights(g, in[0], &map);
}

/* Experts, and room for rows. */
static const int64_t five[] = {5, 0}, five_in_6[] = {5, 6};
static const int32_t mixed[] = {0, 3, 3, 1, -1, -1, 1, 0, 3, 0};
static const int32_t holes[] = {-1, 3, 3, -1, -1, -1, 1, 0, -1, 0};

static const op_case padded = {
    "row_weights", "5x2", build, five,
    .in = {{"w", .dim = {5, 2}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
static const op_case dropped = {
    "row_weights", "holes", build, five_in_6,
    .in = {{"w", .dim = {5, 2}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = holes}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&padded);
    gradcheck(&dropped);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&padded);
    contract(&dropped);
    contract_nan(&padded);
    check_dirty_memory(&padded);
    check_dirty_memory(&dropped);
}

/* Rows: tokens 3 and 4 of expert 0, 3 of 1, 0 and 1 of 3; the sixth is used by nobody. */
static void test_places(void **state)
{
    (void)state;
    static const int choice[] = {7, 9, 6, 1, 2};
    op_graph t;
    op_graph_open(&t, &dropped, (op_mode){.readable = true});
    forward_backward(&t);
    const mo_real *wr = t.out[0]->data, *w = t.in[0]->data, *dw = op_graph_grad(&t, 0);
    for (int r = 0; r < 5; r++) assert_true(wr[r] == w[choice[r]]);
    assert_true(wr[5] == 0);
    for (int i = 0; i < 10; i++) assert_true((holes[i] < 0) == (dw[i] == 0));
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = padded;
    bad.in[0].dim[1] = 3;
    contract_refused(&bad, MO_E_SHAPE, "row_weights: weights [5, 3] and a map of rows int32 [5, 2]");
    bad = padded;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "weights int32 [5, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_places), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
