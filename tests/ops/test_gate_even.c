/* test_gate_even.c -- the same weight for every choice. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_gate_even(g, in[0]);
}

static const int32_t ids[] = {4, 0, 2, -1, -1, -1, 1, -1, 3};
static const op_case three = {"gate_even", "3x3", build,
                              .in = {{"ids", .dtype = MO_I32, .dim = {3, 3}, .ints = ids}}};

static void test_values(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &three);
    const mo_real *w = t.out[0]->data;
    for (int i = 0; i < 9; i++) assert_true(w[i] == (ids[i] < 0 ? 0 : MO_C(1) / MO_C(3)));
    op_graph_close(&t);
}

static void test_contract(void **state)
{
    (void)state;
    gradcheck(&three);
    contract(&three);
    check_dirty_memory(&three);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = three;
    bad.in[0].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "gate_even: ids [3, 3]");
    bad = three;
    bad.in[0].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "gate_even: ids int32 [3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
