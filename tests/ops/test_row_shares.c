/* test_row_shares.c -- scores as shares of their sum. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_row_shares(g, in[0]);
}

#define SHARES(name, N, E)                                                                             \
    {                                                                                                  \
        "row_shares", name, build, .in = { {"s", .dim = {N, E}, .grad = true, .low = 0.1, .high = 1} } \
    }
static const op_case small = SHARES("5x7", 5, 7), large = SHARES("61x70", 61, 70), one = SHARES("1x2", 1, 2);

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&small);
    gradcheck(&one);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&large);
    contract_nan(&small);
}

/* float: a sum of 12, a quotient; the gradient is a difference of such. */
static void test_golden(void **state)
{
    (void)state;
    check_golden("ops_select", "row_shares", &small, 1e-6);
}

/* Scores of 0: shares of 0, gradients finite. */
static void test_zero(void **state)
{
    (void)state;
    static const double s[] = {0, 0, 0, 0, 0.5, 0};
    op_case c = small;
    c.in[0] = (op_input){"s", .dim = {2, 3}, .grad = true, .real = s};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    forward_backward(&t);
    const mo_real *p = t.out[0]->data;
    for (int i = 0; i < 6; i++) {
        assert_true(p[i] == (i == 4));
        assert_true(isfinite(op_graph_grad(&t, 0)[i]));
    }
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = small;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "row_shares: scores int32 [5, 7]");
    bad = small;
    bad.in[0].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "row_shares: scores [5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_zero),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
