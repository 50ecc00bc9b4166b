/* test_scale_rows.c -- rows times numbers. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_scale_rows(g, in[0], in[1]);
}

static const op_case small = {"scale_rows", "5x7", build,
                              .in = {{"x", .dim = {5, 7}, .grad = true}, {"w", .dim = {5}, .grad = true}}};
static const op_case large = {"scale_rows", "33x70", build,
                              .in = {{"x", .dim = {33, 70}, .grad = true}, {"w", .dim = {33}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&small);
    op_case one = small;
    one.in[0].grad = false;
    gradcheck(&one);
    one = small;
    one.in[1].grad = false;
    gradcheck(&one);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&large);
    contract_nan(&small);
}

static void test_values(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &small);
    const mo_real *y = t.out[0]->data, *x = t.in[0]->data, *w = t.in[1]->data;
    for (int i = 0; i < 35; i++) assert_true(y[i] == w[i / 7] * x[i]);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = small;
    bad.in[1].dim[0] = 4;
    contract_refused(&bad, MO_E_SHAPE, "scale_rows: x [5, 7] and weights [4] do not fit");
    bad = small;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "x int32 [5, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_values), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
