/* test_gate_product.c -- the weights of a two-level selection. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_gate_product(g, in[0], in[1], in[2]);
}

/* 6 experts, two blocks of two; token 1 is padding, token 3 lost a choice of either block. */
static const int32_t some[] = {5, 4, 0, 1, -1, -1, -1, -1, 2, 3, 5, 4, -1, 1, 3, -1};
static const op_case product = {"gate_product", "4x6", build,
                                .in = {{"u", .dim = {4, 2}, .grad = true, .low = 0.2, .high = 1},
                                       {"h", .dim = {4, 6}, .grad = true, .low = -2, .high = 2},
                                       {"ids", .dtype = MO_I32, .dim = {4, 4}, .ints = some}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&product);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&product);
    contract_nan(&product);
    check_dirty_memory(&product);
}

/* float: an exponential, a sum of 2, a quotient and a product. */
static void test_golden(void **state)
{
    (void)state;
    check_golden("ops_select", "gate_product", &product, 1e-6);
}

/* A block's weights add up to its group's. */
static void test_sums(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &product);
    const mo_real *u = t.in[0]->data, *w = t.out[0]->data;
    for (int b = 0; b < 8; b++) {
        bool none = some[2 * b] < 0 && some[2 * b + 1] < 0;
        check_near("sum", (double)(w[2 * b] + w[2 * b + 1]), none ? 0 : (double)u[b], 1e-6);
    }
    op_graph_close(&t);
}

static void test_large_logits(void **state)
{
    (void)state;
    static const double h[] = {-2000, -2001, 3000, -5000}, u[] = {0.5, 0.5};
    static const double want[] = {0.13447071068499755, 0.36552928931500245, 0.5, 0};
    static const int32_t ids[] = {1, 0, 2, 3};
    op_case c = product;
    c.in[0] = (op_input){"u", .dim = {1, 2}, .real = u};
    c.in[1] = (op_input){"h", .dim = {1, 4}, .real = h};
    c.in[2] = (op_input){"ids", .dtype = MO_I32, .dim = {1, 4}, .ints = ids};
    op_graph t;
    open_and_run(&t, &c);
    for (int i = 0; i < 4; i++) check_near("w", (double)((const mo_real *)t.out[0]->data)[i], want[i], 1e-7);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = product;
    bad.in[2].dim[1] = 3;
    contract_refused(&bad, MO_E_SHAPE,
                     "gate_product: groups' weights [4, 2], logits [4, 6] and ids int32 [4, 3]");
    bad = product;
    bad.in[2].dim[1] = 8;
    contract_refused(&bad, MO_E_SHAPE, "ids int32 [4, 8]");
    bad = product;
    bad.in[0].dim[0] = 3;
    contract_refused(&bad, MO_E_SHAPE, "weights [3, 2]");
    bad = product;
    bad.in[2].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "ids [4, 4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient),     cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),       cmocka_unit_test(test_sums),
                                       cmocka_unit_test(test_large_logits), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
