/* test_glu.c -- act(gate) * up. */
#include <math.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_glu(g, in[0], in[1], *(const mo_act_kind *)arg);
}

static void build_weighted(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_glu_weighted(g, in[0], in[1], in[2], *(const mo_act_kind *)arg);
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

/* Rows longer than the kernel's pieces; and with weights, one of them 0. */
static const op_case long_rows = GLU("swiglu 2x1030", silu, 2, 1030);
static const double weights[] = {0.5, -1.25, 0, 2};
static op_case weighted(const op_case *c, const char *name)
{
    op_case w = *c;
    w.name = name;
    w.build = build_weighted;
    w.in[2] = (op_input){"w", .dim = {c->in[0].dim[0]}, .grad = true, .real = weights};
    return w;
}

static void test_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) gradcheck(&cases[i]);
    op_case c = weighted(&cases[0], "weighted swiglu"), d = weighted(&cases[1], "weighted geglu");
    gradcheck(&c);
    gradcheck(&d);
    c.in[0].grad = false;
    gradcheck(&c);
    c.in[0].grad = true;
    c.in[1].grad = false;
    gradcheck(&c);
}

/* A weight is as if the row of up had it, in values and gradients; across pieces too. */
static void test_weights(void **state)
{
    (void)state;
    op_case c = weighted(&long_rows, "weighted 2x1030");
    op_graph plain, t;
    op_graph_open(&plain, &long_rows, (op_mode){.readable = true});
    op_graph_open(&t, &c, (op_mode){.readable = true});
    mo_graph_forward(plain.g, &plain.run);
    mo_graph_backward(plain.g, &plain.run);
    mo_graph_forward(t.g, &t.run);
    mo_graph_backward(t.g, &t.run);
    const mo_real *y = plain.out[0]->data, *wy = t.out[0]->data, *r = t.weight[0]->data;
    for (int n = 0; n < 2; n++) {
        double dot = 0, size = 0;
        for (int i = n * 1030; i < (n + 1) * 1030; i++) {
            double product = (double)y[i] * (double)r[i] * t.scale[0];
            dot += product, size += fabs(product);
            assert_true(wy[i] == (mo_real)weights[n] * y[i]);
            assert_true(fabs((double)(op_graph_grad(&t, 1)[i] -
                                      (mo_real)weights[n] * op_graph_grad(&plain, 1)[i])) < 1e-6);
        }
        assert_true(fabs((double)op_graph_grad(&t, 2)[n] - dot) < 1e-6 * size);
    }
    op_graph_close(&plain);
    op_graph_close(&t);
}

static void test_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) contract(&cases[i]);
    contract(&large);
    contract(&long_rows);
    op_case c = weighted(&cases[0], "weighted swiglu");
    contract(&c);
    contract_nan(&c);
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
    bad = weighted(&cases[0], "weighted");
    bad.in[2].dim[0] = 3;
    contract_refused(&bad, MO_E_SHAPE, "glu: weights [3] of the rows of gate [4, 11]; expected [N]");
    bad = cases[0];
    bad.arg = &none;
    contract_refused(&bad, MO_E_RANGE, "glu: no activation has number 7");
    bad.arg = &sigmoid;
    contract_refused(&bad, MO_E_RANGE, "glu: sigmoid makes scores for routers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
