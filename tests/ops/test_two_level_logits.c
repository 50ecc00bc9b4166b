/* test_two_level_logits.c -- log-probabilities under a softmax over groups and one in each. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_two_level_logits(g, in[0], in[1]);
}

#define LOGITS(name, N, G, E)                                         \
    {                                                                 \
        "two_level_logits", name, build, .in = {                      \
            {"a", .dim = {N, G}, .grad = true, .low = -2, .high = 2}, \
            {"b", .dim = {N, E}, .grad = true, .low = -3, .high = 3}  \
        }                                                             \
    }
static const op_case small = LOGITS("5x3x6", 5, 3, 6), one = LOGITS("1x1x4", 1, 1, 4),
                     single = LOGITS("groups of one", 3, 4, 4), large = LOGITS("61x4x60", 61, 4, 60);

static void test_gradient(void **state)
{
    (void)state;
    op_case few = one, experts = single; /* softmax of one is 1: a and b have no gradient there */
    few.in[0].grad = experts.in[1].grad = false;
    gradcheck(&small);
    gradcheck(&few);
    gradcheck(&experts);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&small);
    contract(&one);
    contract(&single);
    contract(&large);
    contract_nan(&small);
    check_dirty_memory(&small);
}

/* float: two logarithms of sums; z reaches -10, so 1e-6 of that. */
static void test_golden(void **state)
{
    (void)state;
    check_golden("ops_select", "two_level_logits", &small, 1e-6);
}

static void test_sums_to_one(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &large);
    const mo_real *z = t.out[0]->data;
    for (int n = 0; n < 61; n++) {
        double sum = 0;
        for (int e = 0; e < 60; e++) sum += exp((double)z[n * 60 + e]);
        check_near("sum", sum, 1, 2e-6);
    }
    op_graph_close(&t);
}

/* Logits far out of exp's range. */
static void test_extremes(void **state)
{
    (void)state;
    static const double a[] = {3000, -3000}, b[] = {-2000, -2000, 5000, 5001};
    static const double want[] = {-0.6931471805599453, -0.6931471805599453, -6001.3132616875183,
                                  -6000.3132616875183};
    op_case c = small;
    c.in[0] = (op_input){"a", .dim = {1, 2}, .real = a, .grad = true};
    c.in[1] = (op_input){"b", .dim = {1, 4}, .real = b, .grad = true};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    forward_backward(&t);
    for (int e = 0; e < 4; e++) {
        check_near("z", (double)((const mo_real *)t.out[0]->data)[e], want[e], 1e-7 * fabs(want[e]));
        assert_true(isfinite(op_graph_grad(&t, 1)[e]));
    }
    op_graph_close(&t);
}

/* What all logits have in common cancels before anything is rounded. */
static void test_shift(void **state)
{
    (void)state;
    double a[5 * 3], b[5 * 6];
    for (int i = 0; i < 5 * 3; i++) a[i] = (i * 7 % 5) / 4.0;
    for (int i = 0; i < 5 * 6; i++) b[i] = (i * 5 % 11) / 8.0;
    op_case c = small;
    c.in[0].real = a;
    c.in[1].real = b;
    op_graph t, moved;
    open_and_run(&t, &c);
    for (int i = 0; i < 5 * 3; i++) a[i] += 4096;
    for (int i = 0; i < 5 * 6; i++) b[i] -= 4096;
    open_and_run(&moved, &c);
    assert_memory_equal(moved.out[0]->data, t.out[0]->data, mo_tensor_bytes(t.out[0]));
    op_graph_close(&moved);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = small;
    bad.in[1].dim[1] = 7;
    contract_refused(&bad, MO_E_SHAPE, "two_level_logits: 3 groups do not divide the 7 experts");
    bad = small;
    bad.in[0].dim[0] = 4;
    contract_refused(&bad, MO_E_SHAPE, "groups' logits [4, 3] and experts' [5, 6]");
    bad = small;
    bad.in[1].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "experts' int32 [5, 6]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),   cmocka_unit_test(test_sums_to_one),
                                       cmocka_unit_test(test_extremes), cmocka_unit_test(test_shift),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
