/* test_clamp.c -- values held within a limit. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

#include <math.h>

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_clamp(g, in[0], *(const double *)arg);
}

static const double limit = 1.5;
/* Half of [-3, 3) is held; none lies within a gradient check's step of the limit. */
static const op_case plain = {"clamp", "half held", build, &limit,
                              .in = {{"x", .dim = {7, 37}, .grad = true, .low = -3, .high = 3}}};
static const op_case inside = {"clamp", "none held", build, &limit,
                               .in = {{"x", .dim = {3, 1, 5}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&inside);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract_nan(&plain);
}

/* Nothing is computed, so nothing is rounded. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_parts");
    golden_check(file, "clamp", &plain, 1e-7);
    golden_close(file);
}

/* At the limit itself the gradient passes; beyond it, by the least there is, none does. */
static void test_limit(void **state)
{
    (void)state;
    const double beyond = 1.5 + (sizeof(mo_real) == sizeof(double) ? 0x1p-52 : 0x1p-23);
    const double x[] = {1.5, -1.5, beyond, -beyond, 0, (double)INFINITY};
    const double y[] = {1.5, -1.5, 1.5, -1.5, 0, 1.5};
    op_case at = {"clamp", "the limit", build, &limit, .in = {{"x", .dim = {1, 6}, .grad = true, .real = x}}};
    op_graph t;
    op_graph_open(&t, &at, (op_mode){.readable = true});
    op_graph_forward(&t);
    mo_graph_backward(t.g, &t.run);
    const bool passes[] = {true, true, false, false, true, false};
    for (int i = 0; i < 6; i++) {
        assert_true((double)((mo_real *)t.out[0]->data)[i] == y[i]);
        assert_true((op_graph_grad(&t, 0)[i] != 0) == passes[i]);
    }
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    const double wrong[] = {0, -1, __builtin_nan("")};
    for (int i = 0; i < 3; i++) {
        bad.arg = &wrong[i];
        contract_refused(&bad, MO_E_RANGE, "clamp: the limit is");
    }
    bad.arg = &limit;
    bad.in[0].dtype = MO_I32;
    bad.in[0].grad = false;
    contract_refused(&bad, MO_E_SHAPE, "clamp: x int32 [7, 37]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_limit),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
