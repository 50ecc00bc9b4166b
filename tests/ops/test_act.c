/* test_act.c -- silu, gelu, relu, sigmoid. */
#include <math.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_act(g, in[0], *(const mo_act_kind *)arg);
}

static const mo_act_kind silu = MO_ACT_KIND_SILU, gelu = MO_ACT_KIND_GELU, relu = MO_ACT_KIND_RELU,
                         sigmoid = MO_ACT_KIND_SIGMOID, none = (mo_act_kind)7;
#define ACT(name, kind, N, F)                                                                         \
    {                                                                                                 \
        "act", name, build, &kind, .in = { {"x", .dim = {N, F}, .grad = true, .low = -4, .high = 4} } \
    }
/* relu's random inputs are further from 0 than h. */
static const op_case cases[] = {ACT("silu", silu, 5, 13), ACT("gelu", gelu, 5, 13), ACT("relu", relu, 5, 13),
                                ACT("silu 1x1", silu, 1, 1), ACT("sigmoid", sigmoid, 5, 13)};
static const op_case large[] = {ACT("silu", silu, 60, 70), ACT("gelu", gelu, 60, 70),
                                ACT("relu", relu, 60, 70), ACT("sigmoid", sigmoid, 60, 70)};

static void test_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) gradcheck(&cases[i]);
}

static void test_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        contract(&large[i]);
        contract_nan(&large[i]);
    }
}

/* float: exp and the normal distribution within a few ulp of 1. The inputs reach +-90. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "act/silu", &cases[0], 1e-6);
    golden_check(file, "act/gelu", &cases[1], 1e-6);
    golden_check(file, "act/relu", &cases[2], 1e-7);
    golden_close(file);
    file = golden_open("ops_select");
    golden_check(file, "sigmoid", &cases[4], 1e-6);
    golden_close(file);
}

static void test_extremes(void **state)
{
    (void)state;
    static const double x[] = {-1e30, -200, -88.5, 88.5, 200, 1e30};
    for (int k = 0; k < 4; k++) {
        op_case c = large[k];
        c.in[0] = (op_input){"x", .dim = {1, 6}, .grad = true, .real = x};
        op_graph t;
        op_graph_open(&t, &c, (op_mode){.readable = true});
        op_graph_forward(&t);
        mo_graph_backward(t.g, &t.run);
        const mo_real *y = t.out[0]->data;
        for (int i = 0; i < 6; i++) {
            double want = x[i] <= 0 ? 0 : k == 3 ? 1 : x[i];
            if (!(fabs((double)y[i] - (double)(mo_real)want) <= 1e-30))
                fail_msg("%s(%g) = %g", c.name, x[i], (double)y[i]);
            if (!isfinite(t.in[0]->grad[i])) fail_msg("%s'(%g) = %g", c.name, x[i], (double)t.in[0]->grad[i]);
        }
        op_graph_close(&t);
    }
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = cases[0];
    bad.arg = &none;
    contract_refused(&bad, MO_E_RANGE, "act: no activation has number 7");
    bad = cases[0];
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "act: x int32 [5, 13]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
