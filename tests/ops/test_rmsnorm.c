/* test_rmsnorm.c -- RMSNorm. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_rmsnorm(g, in[0], in[1], *(const double *)arg);
}

static const double eps = 1e-5, large_eps = 0.5, head_eps = 1e-6;
static const op_case plain = {
    "rmsnorm", "7x19", build, &eps,
    .in = {{"x", .dim = {7, 19}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {19}, .grad = true}}};
/* eps as large as the mean square, and one row. */
static const op_case damped = {
    "rmsnorm", "eps 0.5", build, &large_eps,
    .in = {{"x", .dim = {1, 5}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {5}, .grad = true}}};
/* More columns than a block of the weight's gradient. */
static const op_case wide = {
    "rmsnorm", "9x150", build, &eps,
    .in = {{"x", .dim = {9, 150}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {150}, .grad = true}}};

/* Per head: five heads of 12, four of 100, so that a head has more columns than a block. */
static const op_case heads = {
    "rmsnorm", "7x5x12", build, &head_eps,
    .in = {{"x", .dim = {7, 60}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {12}, .grad = true}}};
static const op_case wide_heads = {
    "rmsnorm", "5x4x100", build, &eps,
    .in = {{"x", .dim = {5, 400}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {100}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&damped);
    gradcheck(&wide);
    gradcheck(&heads);
    gradcheck(&wide_heads);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&wide);
    contract(&heads);
    contract(&wide_heads);
    contract_nan(&plain);
}

/* float: a sum of 48 squares and products, each within an ulp. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "rmsnorm", &plain, 2e-6);
    golden_close(file);
    file = golden_open("ops_parts");
    golden_check(file, "rmsnorm/heads", &heads, 2e-6);
    golden_close(file);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[1].dim[0] = 18;
    contract_refused(&bad, MO_E_SHAPE, "rmsnorm: x [7, 19] and weight [18]");
    bad.in[1].dim[1] = 19;
    contract_refused(&bad, MO_E_SHAPE, "[18, 19]");
    bad = heads;
    bad.in[1].dim[0] = 120;
    contract_refused(&bad, MO_E_SHAPE, "x [7, 60] and weight [120]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
