/* test_linear.c -- y = x w^T. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

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
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
