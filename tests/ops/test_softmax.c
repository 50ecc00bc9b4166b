/* test_softmax.c -- softmax over the last dimension. */
#include <math.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_softmax(g, in[0]);
}

static const op_case plain = {"softmax", "6x9", build,
                              .in = {{"z", .dim = {6, 9}, .grad = true, .low = -3, .high = 3}}};
static const op_case pair = {"softmax", "1x2", build,
                             .in = {{"z", .dim = {1, 2}, .grad = true, .low = -3, .high = 3}}};
static const op_case large = {"softmax", "90x130", build, .in = {{"z", .dim = {90, 130}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&pair);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&large);
    contract_nan(&plain);
}

/* float: exp, a sum of 12, a product; the file's logits reach +-60. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "softmax", &plain, 1e-6);
    golden_close(file);
}

/* Huge logits, one expert masked by -inf, all equal: finite and summing to 1. */
static void test_extremes(void **state)
{
    (void)state;
    static const double z[] = {3e38, 3e38, -3e38, -(double)INFINITY, 1, 2, 7, 7, 7};
    static const double want[] = {0.5,     0.5,     0,      0, 0.26894142136999512, 0.73105857863000488,
                                  1 / 3.0, 1 / 3.0, 1 / 3.0};
    op_case c = plain;
    c.in[0] = (op_input){"z", .dim = {3, 3}, .real = z};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true, .forward_only = true});
    op_graph_forward(&t);
    for (int i = 0; i < 9; i++) {
        double p = (double)((const mo_real *)t.out[0]->data)[i];
        if (!(fabs(p - want[i]) <= 2e-7)) fail_msg("p[%d] = %.9g, expected %.9g", i, p, want[i]);
    }
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[0].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "softmax: z [6]; expected [N, E]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
