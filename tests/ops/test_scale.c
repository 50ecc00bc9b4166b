/* test_scale.c -- times a constant. */
#include <math.h>

#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_scale(g, in[0], *(const double *)arg);
}

/* Beside its own input, as an adapter's output is added to the stream. */
static void build_added(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_add(g, in[0], mo_scale(g, mo_linear(g, in[0], in[1]), *(const double *)arg));
}

static const double one = 1, minus = -1.75, tenth = 0.1, nothing = 0;
#define SCALE(name, s, ...)                                                           \
    {                                                                                 \
        "scale", name, build, &s, .in = { {"x", .dim = {__VA_ARGS__}, .grad = true} } \
    }
static const op_case small = SCALE("5x7", minus, 5, 7), large = SCALE("61x70", tenth, 61, 70),
                     single = SCALE("1", minus, 1);
static const op_case added = {
    "scale", "added", build_added, &minus,
    .in = {{"x", .dim = {5, 4}, .grad = true}, {"w", MO_ROLE_PARAM, .dim = {4, 4}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&small);
    gradcheck(&single);
    gradcheck(&added);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&large);
    contract(&added);
    contract_nan(&small);
}

/* float: one product. */
static void test_golden(void **state)
{
    (void)state;
    check_golden("ops_tuning", "scale", &small, 1.2e-7);
}

static void test_constants(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){3, 4}, true);
    assert_ptr_equal(mo_scale(g, x, one), x);
    assert_int_equal(mo_graph_node_count(g), 0);
    assert_ptr_not_equal(mo_scale(g, x, nothing), x);
    mo_graph_free(g);
}

static void test_refused(void **state)
{
    (void)state;
    static const double infinite = (double)INFINITY, nan = (double)NAN;
    op_case bad = small;
    bad.arg = &infinite;
    contract_refused(&bad, MO_E_RANGE, "scale: the factor is inf, must be finite");
    bad.arg = &nan;
    contract_refused(&bad, MO_E_RANGE, "scale: the factor is nan");
    bad = small;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "scale: x int32 [5, 7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_constants),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
