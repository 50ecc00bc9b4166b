/* test_autograd.c -- what a plan keeps and what it computes again; running it; the dump. */
#include <math.h>

#include "graph_reference.h"
#include "graph_small.h"

/* ---- a deep chain: what is kept, what is computed again ---- */

enum { ROWS = 64, WIDTH = 16, INNER = 32 };

typedef struct chain {
    mo_graph *g;
    mo_tensor *x, *R;
    mo_real weight[INNER * WIDTH], grad[INNER * WIDTH];
} chain;

/* `layers` times two blocks x + act(norm(x) W^T) W, all with the same weights. */
static void chain_build(chain *c, int layers)
{
    MO_CHECK_OK(mo_graph_create(&c->g));
    for (int i = 0; i < INNER * WIDTH; i++) c->weight[i] = (mo_real)((i * 37 % 101 - 50) * 0.002);
    memset(c->grad, 0, sizeof c->grad);
    mo_tensor *x = c->x = mo_graph_input(c->g, "x", MO_REAL, 2, (int64_t[]){ROWS, WIDTH}, false);
    mo_tensor *norm = mo_graph_param(c->g, "norm", 1, (int64_t[]){WIDTH}, c->weight, NULL);
    mo_tensor *up = mo_graph_param(c->g, "up", 2, (int64_t[]){INNER, WIDTH}, c->weight, c->grad);
    mo_tensor *down = mo_graph_param(c->g, "down", 2, (int64_t[]){WIDTH, INNER}, c->weight, c->grad);
    for (int b = 0; b < 2 * layers; b++) {
        mo_graph_scope(c->g, b / 2, b);
        mo_tensor *u = mo_linear(c->g, mo_rmsnorm(c->g, x, norm, 1e-5), up);
        x = mo_add(c->g, x, mo_linear(c->g, mo_act(c->g, u, MO_ACT_KIND_SILU), down));
    }
    mo_graph_scope(c->g, -1, -1);
    c->R = mo_graph_input(c->g, "R", MO_REAL, 2, x->dim, false);
    mo_graph_loss(c->g, test_weighted_sum(c->g, x, c->R));
}

static mo_graph_memory chain_memory(int layers, mo_recompute recompute)
{
    chain c;
    chain_build(&c, layers);
    MO_CHECK_OK(mo_graph_plan(c.g, &(mo_plan){.backward = true, .recompute = recompute}));
    mo_graph_memory memory = mo_graph_memory_use(c.g);
    mo_graph_free(c.g);
    return memory;
}

/* x and R, the loss, and: none the stream and what enters each activation (norms and activations are cheap);
 * block the stream; full every second of the stream. */
static void test_kept(void **state)
{
    (void)state;
    enum { L = 12 };
    const size_t narrow = ROWS * WIDTH * sizeof(mo_real), wide = ROWS * INNER * sizeof(mo_real);
    mo_graph_memory none = chain_memory(L, MO_RECOMPUTE_NONE), block = chain_memory(L, MO_RECOMPUTE_BLOCK),
                    full = chain_memory(L, MO_RECOMPUTE_FULL);
    assert_int_equal(none.kept, 2 * narrow + 64 + (2 * L - 1) * narrow + 2 * L * wide);
    assert_int_equal(block.kept, 2 * narrow + 64 + (2 * L - 1) * narrow);
    assert_int_equal(full.kept, 2 * narrow + 64 + (L - 1) * narrow);
    assert_in_range(full.arena, full.kept, block.arena - 1);
    assert_in_range(block.arena, block.kept, none.arena - 1);
    /* Little more than what is kept: a block's or a layer's own values and gradients. */
    assert_in_range(block.arena, block.kept, block.kept + 4 * wide + 2 * narrow);
    assert_in_range(none.arena, none.kept, none.kept + 4 * wide + 2 * narrow);
}

/* What only the first step of backward reads is kept too: here the head's input, and its losses. */
static void test_kept_for_first_step(void **state)
{
    (void)state;
    mo_real weight[16 * 16] = {0}, grad[16 * 16];
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){ROWS, 16}, false);
    mo_tensor *w = mo_graph_param(g, "w", 2, (int64_t[]){16, 16}, weight, grad);
    mo_tensor *targets = mo_graph_input(g, "targets", MO_I32, 1, (int64_t[]){ROWS}, false);
    mo_graph_loss(g, mo_cross_entropy(g, mo_linear(g, x, w), w, targets, NULL));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = true}));
    assert_int_equal(mo_graph_memory_use(g).kept,
                     ROWS * (2 * 16 * sizeof(mo_real) + sizeof(int32_t) + sizeof(double)) + 64);
    mo_graph_free(g);
}

/* The stream's one gradient, and those around an activation; at any depth. */
static void test_gradient_memory(void **state)
{
    (void)state;
    const size_t narrow = ROWS * WIDTH * sizeof(mo_real), wide = ROWS * INNER * sizeof(mo_real);
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++)
        for (int layers = 2; layers <= 8; layers *= 2)
            assert_int_equal(chain_memory(layers, (mo_recompute)policy).gradients, narrow + 2 * wide);
}

static int64_t chain_work(int layers)
{
    chain c;
    chain_build(&c, layers);
    MO_CHECK_OK(mo_graph_plan(c.g, &(mo_plan){.backward = true}));
    int64_t work = c.g->work;
    mo_graph_free(c.g);
    return work;
}

/* Twice the layers, little more than twice the work, and the least memory that there can be. */
static void test_planning_work(void **state)
{
    (void)state;
    for (int layers = 500; layers <= 4000; layers *= 2)
        assert_in_range(chain_work(2 * layers), chain_work(layers), 5 * chain_work(layers) / 2);
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        mo_graph_memory memory = chain_memory(1000, (mo_recompute)policy);
        assert_in_range(memory.arena, memory.needed, memory.needed + memory.needed / 200);
    }
}

static void test_forward_only(void **state)
{
    (void)state;
    chain c;
    chain_build(&c, 8);
    MO_CHECK_OK(mo_graph_plan(c.g, &(mo_plan){.backward = false}));
    mo_graph_memory memory = mo_graph_memory_use(c.g);
    assert_true(memory.kept == 0 && memory.gradients == 0);
    assert_in_range(memory.arena, 1, (4 * WIDTH + 2 * INNER) * ROWS * sizeof(mo_real) + 64);
    mo_graph_free(c.g);
}

static int64_t executions(const mo_graph *g, int node, mo_phase phase)
{
    int64_t count;
    assert_true(mo_graph_node_seconds(g, node, phase, &count) >= 0);
    return count;
}

/* Forward runs of the nodes of both blocks of a layer: norm, up, act, down, sum. What nobody reads again
 * (the last projection and sum of a unit) does not run again. Cheap ones that are made for another
 * recomputation run once more for backward; others never. */
static void test_counts(void **state)
{
    (void)state;
    static const int runs[3][10] = {
        {2, 1, 2, 1, 1, 2, 1, 2, 1, 1}, {3, 2, 2, 1, 1, 3, 2, 2, 1, 1}, {3, 2, 3, 2, 2, 3, 2, 2, 1, 1}};
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        chain c;
        chain_build(&c, 3);
        plan_and_bind(c.g, (mo_recompute)policy);
        mo_graph_profile(c.g, true);
        mo_graph_forward(c.g, &training);
        mo_graph_forward(c.g, &training);
        mo_graph_backward(c.g, &training);
        for (int n = 0; n < 30; n++) {
            assert_int_equal(executions(c.g, n, MO_FORWARD), runs[policy][n % 10] + 1);
            /* Nothing to differentiate before the first `up`. */
            assert_int_equal(executions(c.g, n, MO_BACKWARD), n > 0);
        }
        mo_graph_profile(c.g, false);
        assert_int_equal(executions(c.g, 1, MO_FORWARD), 0);
        mo_graph_forward(c.g, &training);
        assert_int_equal(executions(c.g, 1, MO_FORWARD), 0);
        mo_graph_free(c.g);
    }
}

static void copy_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    memcpy(node->out[0]->data, node->in[0]->data, mo_tensor_bytes(node->in[0]));
}
static mo_status copy_shape(mo_node *node)
{
    return mo_node_output(node, "", MO_REAL, node->in[0]->ndim, node->in[0]->dim);
}
static void copy_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    assert_false(node->accumulate[0]);
    memcpy(node->in[0]->grad, node->out[0]->grad, mo_tensor_bytes(node->in[0]));
}

/* Decisions are made once: outputs of such an op outlive their block. */
static void test_keep(void **state)
{
    (void)state;
    static const mo_op kept = {"decide", copy_shape, copy_forward, copy_backward, .flags = MO_OP_KEEP},
                       plain = {"plain", copy_shape, copy_forward, copy_backward, .flags = 0};
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_graph_scope(g, 0, 0);
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){3, 5}, true);
    mo_tensor *a = mo_graph_node(g, &kept, 1, &x, NULL, 0)->out[0];
    mo_tensor *b = mo_graph_node(g, &plain, 1, &a, NULL, 0)->out[0];
    mo_tensor *c = mo_softmax(g, mo_act(g, b, MO_ACT_KIND_SILU));
    mo_graph_scope(g, -1, -1);
    add_loss(g, c);
    plan_and_bind(g, MO_RECOMPUTE_FULL);
    mo_graph_profile(g, true);
    mo_graph_forward(g, &training);
    mo_graph_backward(g, &training);
    assert_int_equal(executions(g, 0, MO_FORWARD), 1);
    assert_int_equal(executions(g, 1, MO_FORWARD), 2);
    mo_graph_free(g);
}

/* ---- running ---- */

/* A second pass adds the same again to parameters, up to the rounding of sums of 512 terms. */
static void test_twice(void **state)
{
    (void)state;
    static chain c;
    mo_real once[INNER * WIDTH];
    chain_build(&c, 2);
    plan_and_bind(c.g, MO_RECOMPUTE_BLOCK);
    mo_graph_forward(c.g, &training);
    mo_graph_backward(c.g, &training);
    memcpy(once, c.grad, sizeof once);
    mo_graph_forward(c.g, &training);
    mo_graph_backward(c.g, &training);
    double largest = 0, epsilon = sizeof(mo_real) == sizeof(double) ? 0x1p-44 : 0x1p-15;
    for (int i = 0; i < INNER * WIDTH; i++) largest = fmax(largest, fabs((double)once[i]));
    for (int i = 0; i < INNER * WIDTH; i++)
        MO_CHECK_NEAR((double)c.grad[i], 2 * (double)once[i], epsilon * largest);
    assert_true(largest > 0.1);
    mo_graph_free(c.g);
}

/* The scale of a loss is 1 until set, and every gradient is a multiple of it. */
static void test_loss_scale(void **state)
{
    (void)state;
    static chain c;
    mo_real once[INNER * WIDTH];
    chain_build(&c, 1);
    plan_and_bind(c.g, MO_RECOMPUTE_NONE);
    mo_graph_train(c.g, &training);
    double before = mo_graph_loss_value(c.g, 0);
    memcpy(once, c.grad, sizeof once);
    memset(c.grad, 0, sizeof c.grad);
    mo_graph_loss_scale(c.g, 0, -0.25);
    mo_graph_train(c.g, &training);
    assert_true(mo_graph_loss_value(c.g, 0) == before && isfinite(before));
    for (int i = 0; i < INNER * WIDTH; i++) assert_true(c.grad[i] == MO_C(-0.25) * once[i]);
    mo_graph_free(c.g);
}

/* Runs in the caller's memory, and in no byte more. */
static void test_own_arena(void **state)
{
    (void)state;
    enum { GUARD = 4096 };
    static chain c, own;
    chain_build(&own, 3);
    plan_and_bind(own.g, MO_RECOMPUTE_BLOCK);
    mo_graph_train(own.g, &training);
    chain_build(&c, 3);
    MO_CHECK_OK(mo_graph_plan(c.g, &(mo_plan){.backward = true, .recompute = MO_RECOMPUTE_BLOCK}));
    size_t size = mo_graph_memory_use(c.g).arena;
    char *memory = dirty_memory(size + 2 * GUARD);
    MO_CHECK_OK(mo_graph_bind(c.g, memory + GUARD));
    fill_inputs(c.g);
    mo_graph_train(c.g, &training);
    assert_memory_equal(c.grad, own.grad, sizeof c.grad);
    assert_true(mo_graph_loss_value(c.g, 0) == mo_graph_loss_value(own.g, 0));
    for (int i = 0; i < GUARD; i++)
        assert_true((unsigned char)memory[i] == 0xff &&
                    (unsigned char)memory[GUARD + size + (size_t)i] == 0xff);
    /* And moves to another when bound again. */
    memset(c.grad, 0, sizeof c.grad);
    MO_CHECK_OK(mo_graph_bind(c.g, NULL));
    memset(memory, 0, size + 2 * GUARD);
    fill_inputs(c.g);
    mo_graph_train(c.g, &training);
    assert_memory_equal(c.grad, own.grad, sizeof c.grad);
    MO_CHECK_OK(mo_graph_bind(c.g, memory + GUARD));
    assert_in_range((char *)c.x->data - memory, GUARD, GUARD + size - 1);
    mo_graph_free(c.g);
    mo_graph_free(own.g);
    free(memory);
}

/* A loss that nothing trained leads to: values, and no backward. */
static void test_all_frozen(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){3, 5}, false);
    add_loss(g, mo_softmax(g, x));
    plan_and_bind(g, MO_RECOMPUTE_NONE);
    assert_int_equal(g->n_steps, g->n_forward);
    mo_graph_train(g, &training);
    assert_true(isfinite(mo_graph_loss_value(g, 0)) && x->grad == NULL);
    mo_graph_free(g);
}

/* ---- the dump ---- */

/* A line of the body is an attribute list, a node "id [...]" or an edge "id -> id;" of nodes named before. */
static void check_line(const char *line, const char *text)
{
    char from[16], to[16], declared[24];
    if (strncmp(line, "  rankdir=", 10) == 0) return;
    if (sscanf(line, "  %15[a-z0-9] -> %15[a-z0-9];", from, to) == 2) {
        for (int i = 0; i < 2; i++) {
            snprintf(declared, sizeof declared, "  %s [", i ? to : from);
            const char *at = strstr(text, declared);
            if (!at || at > line) fail_msg("an edge to or from %s, which is not declared before", declared);
        }
        return;
    }
    int quotes = 0;
    const char *end = strchr(line, '\n');
    for (const char *c = line; c < end; c++) quotes += *c == '"';
    if (sscanf(line, "  %15[a-z0-9] [shape=", from) != 1 || strncmp(end - 3, "\"];", 3) != 0 || quotes != 2)
        fail_msg("not a node: %.60s", line);
}

static void check_dot_runs(const char *text)
{
    if (system("command -v dot >/dev/null 2>&1") != 0) return;
    FILE *dot = popen("dot -Tsvg >/dev/null", "w");
    assert_non_null(dot);
    fputs(text, dot);
    assert_int_equal(pclose(dot), 0);
}

static void test_dot(void **state)
{
    (void)state;
    static const char start[] = "digraph moira {\n", end[] = "}\n";
    chain c;
    char *text;
    chain_build(&c, 2);
    MO_CHECK_OK(mo_graph_plan(c.g, &(mo_plan){.backward = true, .recompute = MO_RECOMPUTE_BLOCK}));
    MO_CHECK_OK(mo_graph_dot(c.g, &text));
    size_t length = strlen(text);
    assert_memory_equal(text, start, sizeof start - 1);
    assert_string_equal(text + length - 2, end);
    int lines = 0;
    for (const char *line = text + sizeof start - 1; *line != '}'; line = strchr(line, '\n') + 1, lines++)
        check_line(line, text);
    /* rankdir; 3 parameters, 2 inputs; 21 nodes; an edge for each input of each node */
    assert_int_equal(lines, 1 + 5 + 21 + 4 * (2 + 2 + 1 + 2 + 2) + 2);
    assert_non_null(strstr(text, "linear (layer 1)\\n64x32, recomputed"));
    assert_non_null(strstr(text, "add (layer 0)\\n64x16, kept"));
    assert_non_null(strstr(text, "[shape=note, label=\"down\\n16x32\"]"));
    assert_null(strstr(text, "layer 2"));
    check_dot_runs(text);
    mo_free(text);
    mo_graph_free(c.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept),
                                       cmocka_unit_test(test_kept_for_first_step),
                                       cmocka_unit_test(test_gradient_memory),
                                       cmocka_unit_test(test_planning_work),
                                       cmocka_unit_test(test_forward_only),
                                       cmocka_unit_test(test_counts),
                                       cmocka_unit_test(test_keep),
                                       cmocka_unit_test(test_twice),
                                       cmocka_unit_test(test_loss_scale),
                                       cmocka_unit_test(test_own_arena),
                                       cmocka_unit_test(test_all_frozen),
                                       cmocka_unit_test(test_dot)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
