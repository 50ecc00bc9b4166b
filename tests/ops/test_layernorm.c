/* test_layernorm.c -- layer normalisation without a bias. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_layernorm(g, in[0], in[1], *(const double *)arg);
}

static const double eps = 1e-5, large_eps = 0.5;
static const op_case plain = {
    "layernorm", "7x19", build, &eps,
    .in = {{"x", .dim = {7, 19}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {19}, .grad = true}}};
/* eps as large as the variance, and one row. */
static const op_case damped = {
    "layernorm", "eps 0.5", build, &large_eps,
    .in = {{"x", .dim = {1, 5}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {5}, .grad = true}}};
/* More columns than a block of the weight's gradient; a mean far from zero. */
static const op_case wide = {"layernorm", "9x150", build, &eps,
                             .in = {{"x", .dim = {9, 150}, .grad = true, .low = 2, .high = 5},
                                    {"w", MO_ROLE_PARAM, .dim = {150}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&damped);
    gradcheck(&wide);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&wide);
    contract_nan(&plain);
}

/* float: sums of 150 differences and products, each within an ulp; a row with a mean of 30 deviations loses
 * five bits of each difference. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_parts");
    golden_check(file, "layernorm", &plain, 1e-5);
    golden_close(file);
}

/* Values that do not differ are zero, not noise over noise, wherever they lie. */
static void test_constant_row(void **state)
{
    (void)state;
    op_graph t;
    op_case constant = plain;
    constant.in[0].low = 1000;
    constant.in[0].high = 1000;
    op_graph_open(&t, &constant, (op_mode){.forward_only = true, .readable = true});
    op_graph_forward(&t);
    const mo_real *y = t.out[0]->data;
    for (int i = 0; i < 7 * 19; i++) assert_true(y[i] == 0);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[1].dim[0] = 18;
    contract_refused(&bad, MO_E_SHAPE, "layernorm: x [7, 19] and weight [18]");
    bad.in[1].dim[0] = 38;
    contract_refused(&bad, MO_E_SHAPE, "[38]");
    bad.in[1].dim[0] = 19;
    bad.in[1].dim[1] = 1;
    contract_refused(&bad, MO_E_SHAPE, "[19, 1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_constant_row),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
