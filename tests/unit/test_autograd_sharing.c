/* test_autograd_sharing.c -- gradients share memory where that is safe, and only there. */
#include "graph_reference.h"
#include "graph_small.h"

/* ---- small graphs, planned and run, against the run without a plan ---- */

enum { N = 2, D = 5, INPUTS = 3 };

/* Builds from INPUTS inputs [N, D] that want gradients. Tensors that the test asks about go to `named`. */
typedef void build_fn(mo_graph *g, mo_tensor *const *in, mo_tensor **named);

static mo_graph *make(build_fn *build, mo_tensor **in, mo_tensor **named)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    for (int i = 0; i < INPUTS; i++) in[i] = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){N, D}, true);
    build(g, in, named);
    MO_CHECK_OK(mo_graph_status(g));
    return g;
}

/* Gradients of the inputs are the bits of the run without a plan. The planned graph is the caller's. */
static mo_graph *checked(build_fn *build, mo_tensor **named)
{
    mo_tensor *in[INPUTS], *alone[INPUTS], *ignored[4];
    mo_graph *g = make(build, in, named);
    reference r = reference_open(make(build, alone, ignored));
    double scale[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    plan_and_bind(g, MO_RECOMPUTE_NONE);
    fill_inputs(r.g);
    reference_run(&r, &training, scale);
    mo_graph_forward(g, &training);
    mo_graph_backward(g, &training);
    for (int i = 0; i < INPUTS; i++) {
        assert_true((in[i]->grad != NULL) == (alone[i]->grad != NULL));
        if (in[i]->grad) assert_memory_equal(in[i]->grad, alone[i]->grad, N * D * sizeof(mo_real));
    }
    reference_close(&r);
    return g;
}

static bool share(const mo_graph *g, const mo_tensor *a, const mo_tensor *b)
{
    assert_true(g->values[a->id].grad != NO_LIFE && g->values[b->id].grad != NO_LIFE);
    return g->values[a->id].grad == g->values[b->id].grad;
}

static void build_doubled(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    mo_tensor *y = mo_add(g, in[0], in[0]), *z = mo_add(g, y, y);
    named[0] = y;
    named[1] = z;
    add_loss(g, z);
}

/* add(x, x): both of its gradients, in memory of their own. */
static void test_doubled(void **state)
{
    (void)state;
    mo_tensor *named[4];
    mo_graph *g = checked(build_doubled, named);
    const mo_tensor *x = g->tensors[0], *R = g->tensors[INPUTS + 2];
    assert_string_equal(R->name, "R");
    assert_false(share(g, named[0], named[1]));
    for (int i = 0; i < N * D; i++) assert_true(x->grad[i] == 4 * ((const mo_real *)R->data)[i]);
    mo_graph_free(g);
}

static void build_residual(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    mo_tensor *x = mo_act(g, in[0], MO_ACT_KIND_SILU);
    for (int i = 0; i < 4; i++) {
        named[i] = x;
        x = mo_add(g, x, mo_act(g, mo_softmax(g, x), MO_ACT_KIND_GELU));
    }
    add_loss(g, x);
}

/* A residual stream has one gradient buffer, which the end of each branch shares too. */
static void test_residual(void **state)
{
    (void)state;
    mo_tensor *named[4];
    mo_graph *g = checked(build_residual, named);
    for (int i = 1; i < 4; i++) {
        assert_true(share(g, named[0], named[i]));
        assert_true(share(g, named[0], named[i]->producer->in[1]));
    }
    mo_graph_free(g);
}

static void build_two_adds(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    mo_tensor *a = mo_act(g, in[0], MO_ACT_KIND_SILU), *b = mo_act(g, in[1], MO_ACT_KIND_SILU);
    mo_tensor *c = mo_act(g, in[2], MO_ACT_KIND_SILU);
    named[0] = a;
    named[1] = mo_add(g, a, b);
    named[2] = mo_add(g, a, c);
    named[3] = c;
    add_loss(g, named[1]);
    add_loss(g, named[2]);
}

/* a + b and a + c: a lives in the memory of the sum that backward meets first, b in that of the other. c may
 * not join a: the other sum adds to a before c is read. */
static void test_two_adds(void **state)
{
    (void)state;
    mo_tensor *named[4];
    mo_graph *g = checked(build_two_adds, named);
    assert_true(share(g, named[0], named[2]));
    assert_false(share(g, named[3], named[2]));
    assert_false(share(g, named[0], named[1]));
    assert_true(share(g, named[1]->producer->in[1], named[1]));
    mo_graph_free(g);
}

static void build_sum_of_sum(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    mo_tensor *a = mo_act(g, in[0], MO_ACT_KIND_SILU), *b = mo_act(g, in[1], MO_ACT_KIND_SILU);
    named[0] = a;
    named[1] = mo_add(g, a, b);
    named[2] = mo_add(g, named[1], a);
    add_loss(g, named[2]);
}

/* (a + b) + a: the sum below is still to be read when it passes its gradient on to a. */
static void test_sum_of_sum(void **state)
{
    (void)state;
    mo_tensor *named[4];
    mo_graph *g = checked(build_sum_of_sum, named);
    assert_true(share(g, named[1], named[2]));
    assert_false(share(g, named[0], named[1]));
    mo_graph_free(g);
}

/* y = a + b with two more readers of a: one before b, and, if `again`, one after it. */
static void build_readers(mo_graph *g, mo_tensor *const *in, mo_tensor **named, bool again)
{
    mo_tensor *a = mo_act(g, in[0], MO_ACT_KIND_SILU), *first = mo_softmax(g, a);
    mo_tensor *b = mo_act(g, in[1], MO_ACT_KIND_GELU);
    if (again) add_loss(g, mo_softmax(g, a));
    named[0] = a;
    named[1] = b;
    add_loss(g, mo_add(g, a, b));
    add_loss(g, first);
}

static void build_reader_before(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    build_readers(g, in, named, false);
}
static void build_readers_around(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    build_readers(g, in, named, true);
}

/* Backward: y, [second reader adds to da,] db is read, first reader adds to da. Only without the second may
 * da and db be one. */
static void test_added_to_before_read(void **state)
{
    (void)state;
    mo_tensor *named[4];
    mo_graph *g = checked(build_reader_before, named);
    assert_true(share(g, named[0], named[1]));
    mo_graph_free(g);
    g = checked(build_readers_around, named);
    assert_false(share(g, named[0], named[1]));
    mo_graph_free(g);
}

/* x with one reader that can write over it, or with what forbids that. */
static void build_over(mo_graph *g, mo_tensor *const *in, mo_tensor **named)
{
    for (int i = 0; i < 4; i++) named[i] = mo_add(g, in[i % INPUTS], in[(i + 1) % INPUTS]);
    add_loss(g, mo_act(g, named[1], MO_ACT_KIND_RELU)); /* read again after the one below, in backward */
    for (int i = 0; i < 3; i++) add_loss(g, mo_act(g, named[i], MO_ACT_KIND_SILU));
    add_loss(g, mo_glu(g, named[3], named[3], MO_ACT_KIND_GELU)); /* both of whose inputs it is */
    mo_graph_output(g, named[2]);
}

/* The gradient is written over the data if its first writer allows it and is the last to read them. */
static void test_over_data(void **state)
{
    (void)state;
    mo_tensor *named[4];
    mo_graph *g = checked(build_over, named);
    for (int i = 0; i < 4; i++) {
        const value *v = &g->values[named[i]->id];
        assert_true(v->grad != NO_LIFE && (v->grad == v->data) == (i == 0));
    }
    mo_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_doubled),
                                       cmocka_unit_test(test_residual),
                                       cmocka_unit_test(test_two_adds),
                                       cmocka_unit_test(test_sum_of_sum),
                                       cmocka_unit_test(test_added_to_before_read),
                                       cmocka_unit_test(test_over_data)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
