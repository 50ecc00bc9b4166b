/* test_linear.c -- y = x w^T. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"
#include "harness/storedcase.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_linear(g, in[0], in[1]);
}

#define LINEAR(name, N, I, O, w_role)                  \
    {                                                  \
        "linear", name, build, .in = {                 \
            {"x", .dim = {N, I}, .grad = true},        \
            {"w", w_role, .dim = {O, I}, .grad = true} \
        }                                              \
    }
static const op_case plain = LINEAR("11x7 -> 5", 11, 7, 5, MO_ROLE_PARAM);
static const op_case one_row = LINEAR("1x3 -> 4", 1, 3, 4, MO_ROLE_PARAM);
static const op_case one_output = LINEAR("6x1 -> 1", 6, 1, 1, MO_ROLE_PARAM);
static const op_case weight_is_value = LINEAR("weight is a value", 3, 5, 2, MO_ROLE_INPUT);
/* Several tiles in every product. */
static const op_case large = LINEAR("300x170 -> 260", 300, 170, 260, MO_ROLE_PARAM);

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&one_row);
    gradcheck(&one_output);
    gradcheck(&weight_is_value);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&weight_is_value);
    contract(&large);
    contract_nan(&plain);
}

/* float: dot products of up to 40 terms. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "linear", &plain, 3e-6);
    golden_close(file);
}

/* 8 rows and fewer have a path of their own; `deep` has several blocks of the sum, `strips` several of the
 * output, whose sums are other ones than with the weight in memory: 1000 roundings at most. */
static void test_stored(void **state)
{
    (void)state;
    static const op_case deep = LINEAR("30x1100 -> 20", 30, 1100, 20, MO_ROLE_PARAM),
                         strips = LINEAR("40x70 -> 600", 40, 70, 600, MO_ROLE_PARAM),
                         thin = LINEAR("8x700 -> 70", 8, 700, 70, MO_ROLE_PARAM);
    const double rounding = sizeof(mo_real) == sizeof(double) ? 1e-13 : 1e-5;
    stored_check(&plain, 1, rounding);
    stored_check(&one_row, 1, rounding);
    stored_check(&one_output, 1, rounding);
    stored_check(&large, 1, rounding);
    stored_check(&deep, 1, rounding);
    stored_check(&strips, 1, rounding);
    stored_check(&thin, 1, rounding);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[1].dim[1] = 8;
    contract_refused(&bad, MO_E_SHAPE, "linear: x [11, 7] and weight [5, 8] do not fit");
    bad = plain;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "x int32 [11, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_stored),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
