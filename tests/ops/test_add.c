/* test_add.c -- the sum of two tensors, whose gradients may share memory. */
#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_add(g, in[0], in[1]);
}

static void build_twice(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *x = mo_act(g, in[0], MO_ACT_KIND_SILU);
    out[0] = mo_add(g, x, x);
}

/* A residual stream: x0, x1 = x0 + f(x0), x2 = x1 + f(x1); here the planner shares gradients. */
static void build_stream(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *x0 = mo_linear(g, in[0], in[1]);
    mo_tensor *x1 = mo_add(g, x0, mo_act(g, x0, MO_ACT_KIND_SILU));
    out[0] = mo_add(g, x1, mo_rmsnorm(g, x1, in[2], 1e-5));
}

/* Both sides are values that only this sum reads. */
static void build_tree(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *a = mo_act(g, in[0], MO_ACT_KIND_SILU), *b = mo_act(g, in[1], MO_ACT_KIND_GELU);
    out[0] = mo_add(g, mo_add(g, a, b), mo_act(g, b, MO_ACT_KIND_SILU));
}

static const op_case plain = {"add", "5x7", build,
                              .in = {{"a", .dim = {5, 7}, .grad = true}, {"b", .dim = {5, 7}, .grad = true}}};
static const op_case parameter = {
    "add", "with a parameter", build,
    .in = {{"a", .dim = {3, 4}, .grad = true}, {"b", MO_ROLE_PARAM, .dim = {3, 4}, .grad = true}}};
static const op_case twice = {"add", "x + x", build_twice, .in = {{"x", .dim = {4, 5}, .grad = true}}};
static const op_case stream = {"add", "residual stream", build_stream,
                               .in = {{"x", .dim = {4, 3}, .grad = true},
                                      {"w", MO_ROLE_PARAM, .dim = {6, 3}, .grad = true},
                                      {"g", MO_ROLE_PARAM, .dim = {6}, .grad = true}}};
static const op_case tree = {"add", "tree", build_tree,
                             .in = {{"a", .dim = {2, 3}, .grad = true}, {"b", .dim = {2, 3}, .grad = true}}};
static const op_case *const cases[] = {&plain, &parameter, &twice, &stream, &tree};

static void test_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) gradcheck(cases[i]);
}

static void test_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) contract(cases[i]);
    contract_nan(&plain);
}

/* In a residual stream the sum's gradient is the stream's before it: nothing is copied. The branch has its
 * own, because its backward adds to the stream's while it reads its own. */
static void test_shared_memory(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &stream, (op_mode){.readable = true});
    const mo_node *last = mo_graph_node_at(t.g, 4);
    assert_string_equal(last->op->name, "add");
    assert_non_null(last->out[0]->grad);
    assert_ptr_equal(last->in[0]->grad, last->out[0]->grad);
    assert_ptr_not_equal(last->in[1]->grad, last->out[0]->grad);
    op_graph_close(&t);
}

/* float: one rounding. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "add", &plain, 1e-7);
    golden_close(file);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[1].dim[1] = 8;
    contract_refused(&bad, MO_E_SHAPE, "add: [5, 7] and [5, 8] do not fit");
    bad.in[1].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "[5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_shared_memory), cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
