/* test_glu.c -- act(gate) * up. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_glu(g, in[0], in[1], *(const mo_act_kind *)arg);
}

static const mo_act_kind silu = MO_ACT_KIND_SILU, gelu = MO_ACT_KIND_GELU, relu = MO_ACT_KIND_RELU,
                         none = (mo_act_kind)7, sigmoid = MO_ACT_KIND_SIGMOID;
#define GLU(name, kind, N, F)                                            \
    {                                                                    \
        "glu", name, build, &kind, .in = {                               \
            {"gate", .dim = {N, F}, .grad = true, .low = -3, .high = 3}, \
            {"up", .dim = {N, F}, .grad = true, .low = -2, .high = 2}    \
        }                                                                \
    }
static const op_case cases[] = {GLU("swiglu", silu, 4, 11), GLU("geglu", gelu, 4, 11),
                                GLU("reglu", relu, 4, 11)};
static const op_case large = GLU("swiglu 60x70", silu, 60, 70);

static void test_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) gradcheck(&cases[i]);
}

static void test_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) contract(&cases[i]);
    contract(&large);
    contract_nan(&cases[0]);
}

/* float: as act, and two more products. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "glu/silu", &cases[0], 1e-6);
    golden_check(file, "glu/gelu", &cases[1], 1e-6);
    golden_check(file, "glu/relu", &cases[2], 3e-7);
    golden_close(file);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = cases[0];
    bad.in[1].dim[0] = 5;
    contract_refused(&bad, MO_E_SHAPE, "glu: gate [4, 11] and up [5, 11] do not fit");
    bad = cases[0];
    bad.arg = &none;
    contract_refused(&bad, MO_E_RANGE, "glu: no activation has number 7");
    bad.arg = &sigmoid;
    contract_refused(&bad, MO_E_RANGE, "glu: sigmoid makes scores for routers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
