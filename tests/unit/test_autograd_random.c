/* test_autograd_random.c -- random graphs: whatever the planner decides, losses, gradients and outputs are
 * the bits of a run in which nothing shares memory and nothing is recomputed. */
#include <math.h>

#include "graph_reference.h"
#include "harness/opcase.h"

/* ---- test ops ---- */

/* halves = x / 2, bounded = tanh x; dx = dhalves / 2 + (1 - bounded^2) dbounded. Two outputs, one of which
 * backward reads; either may have no gradient. */
static mo_status fork_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0];
    MO_TRY(mo_node_output(node, "halves", MO_REAL, x->ndim, x->dim));
    return mo_node_output(node, "bounded", MO_REAL, x->ndim, x->dim);
}

static void fork_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_real *x = node->in[0]->data;
    mo_real *halves = node->out[0]->data, *bounded = node->out[1]->data;
    for (int64_t i = 0, n = mo_tensor_count(node->in[0]); i < n; i++) {
        halves[i] = x[i] / 2;
        bounded[i] = (mo_real)tanh((double)x[i]);
    }
}

/* Scratch on purpose: a step's scratch must not meet what it reads or writes. */
static size_t fork_scratch(const mo_node *node, mo_phase phase)
{
    return phase == MO_BACKWARD ? mo_tensor_bytes(node->in[0]) : 0;
}

static void fork_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_real *bounded = node->out[1]->data, *d0 = node->out[0]->grad, *d1 = node->out[1]->grad;
    mo_real *dx = node->in[0]->grad, *slope = node->scratch;
    int64_t n = mo_tensor_count(node->in[0]);
    for (int64_t i = 0; i < n; i++) slope[i] = 1 - bounded[i] * bounded[i];
    for (int64_t i = 0; i < n; i++)
        dx[i] = (node->accumulate[0] ? dx[i] : 0) + (d0 ? d0[i] / 2 : 0) + (d1 ? slope[i] * d1[i] : 0);
}

static const mo_op op_fork = {.name = "fork",
                              .shape = fork_shape,
                              .forward = fork_forward,
                              .backward = fork_backward,
                              .scratch = fork_scratch,
                              .needs_out = MO_NEEDS(1),
                              .flags = MO_OP_CHEAP};

/* ---- a random graph ---- */

enum { ROWS = 6, NARROW = 8, WIDE = 12, WORDS = 10, VALUES = 96, PARAMS = 64, LOSSES = 16 };

typedef struct built {
    mo_graph *g;
    uint64_t seed, draws;
    mo_tensor *value[VALUES]; /* [ROWS, NARROW or WIDE] */
    int n_values;
    mo_tensor *param[PARAMS];
    mo_real *weight[PARAMS], *grad[PARAMS]; /* owned; grad NULL: frozen */
    int n_params;
    mo_tensor *tokens;
    double scale[LOSSES];
} built;

static int draw(built *b, int n)
{
    uint32_t bits[4];
    mo_rng_bits(b->seed, MO_RNG_TEST, 0, 1, b->draws++, bits);
    return (int)(bits[0] % (uint32_t)n);
}

static mo_real uniform(const built *b, int stream, int64_t i)
{
    return (mo_real)(2 * mo_rng_uniform(b->seed, MO_RNG_TEST, 1, (uint32_t)stream, (uint64_t)i) - 1);
}

static mo_tensor *param(built *b, int ndim, int64_t rows, int64_t columns, bool trained)
{
    int64_t dim[] = {rows, columns}, count = ndim == 1 ? rows : rows * columns;
    /* Every third time one that is there already: tied weights. */
    for (int i = 0; i < b->n_params && draw(b, 3) == 0; i++)
        if (b->param[i]->ndim == ndim && b->param[i]->dim[0] == rows && mo_tensor_count(b->param[i]) == count)
            return b->param[i];
    int p = b->n_params++;
    assert_true(p < PARAMS);
    b->weight[p] = dirty_memory((size_t)count * sizeof(mo_real));
    if (trained) b->grad[p] = dirty_memory((size_t)count * sizeof(mo_real));
    for (int64_t i = 0; i < count; i++) b->weight[p][i] = uniform(b, 1000 + p, i) / 2;
    return b->param[p] = mo_graph_param(b->g, "w", ndim, dim, b->weight[p], b->grad[p]);
}

static void keep(built *b, mo_tensor *t)
{
    assert_non_null(t);
    assert_true(b->n_values < VALUES);
    b->value[b->n_values++] = t;
}

/* A value so far, mostly of the last few. width 0: any. */
static mo_tensor *pick(built *b, int64_t width)
{
    for (;;) {
        int back = draw(b, 4) ? draw(b, 5) : draw(b, VALUES);
        if (back >= b->n_values) continue;
        mo_tensor *t = b->value[b->n_values - 1 - back];
        if (width == 0 || t->dim[1] == width) return t;
    }
}

static void add_loss(built *b, mo_tensor *t)
{
    int index = mo_graph_loss(b->g, t);
    assert_in_range(index, 0, LOSSES - 1);
    b->scale[index] = (double)uniform(b, 1, index) + 1.5;
}

static void add_weighted_loss(built *b, mo_tensor *t)
{
    add_loss(b, test_weighted_sum(b->g, t, mo_graph_input(b->g, "R", MO_REAL, 2, t->dim, false)));
}

static void add_head(built *b)
{
    mo_tensor *rows, *x = pick(b, 0), *w = param(b, 2, WORDS, x->dim[1], draw(b, 4));
    mo_tensor *targets = mo_graph_input(b->g, "targets", MO_I32, 1, (int64_t[]){ROWS}, false);
    add_loss(b, mo_cross_entropy(b->g, x, w, targets, &rows));
    if (draw(b, 2)) mo_graph_output(b->g, rows);
}

static void add_fork(built *b)
{
    mo_tensor *x = pick(b, 0);
    const mo_node *node = mo_graph_node(b->g, &op_fork, 1, &x, NULL, 0);
    assert_non_null(node);
    if (draw(b, 3)) keep(b, node->out[0]);
    if (draw(b, 3)) keep(b, node->out[1]);
}

/* Kept choices, and a gradient that reads them. */
static void add_gate(built *b)
{
    mo_tensor *scores = pick(b, 0), *ids = mo_topk(b->g, scores, b->tokens, 2);
    add_weighted_loss(b, mo_gate(b->g, scores, ids, MO_GATE_SOFTMAX));
}

static void add_node(built *b)
{
    mo_tensor *x = pick(b, 0);
    int64_t width = x->dim[1];
    switch (draw(b, 13)) {
    case 0:
        return keep(b, mo_linear(b->g, x, param(b, 2, draw(b, 2) ? NARROW : WIDE, width, draw(b, 4))));
    case 1:
        return keep(b, mo_rmsnorm(b->g, x, param(b, 1, width, 1, draw(b, 4)), 1e-5));
    case 2:
        return keep(b, mo_act(b->g, x, (mo_act_kind)draw(b, 3)));
    case 3:
        return keep(b, mo_glu(b->g, x, pick(b, width), MO_ACT_KIND_SILU));
    case 4:
        return keep(b, mo_softmax(b->g, x));
    case 5:
        return add_fork(b);
    case 6:
        if (b->g->n_losses < LOSSES - 4) add_gate(b);
        return;
    case 7:
        if (b->g->n_losses < LOSSES - 4) add_weighted_loss(b, x);
        return;
    case 8:
        if (draw(b, 3) == 0) mo_graph_output(b->g, x);
        return;
    default:
        return keep(b, mo_add(b->g, x, pick(b, width)));
    }
}

static built build(uint64_t seed)
{
    built b = {.seed = seed};
    MO_CHECK_OK(mo_graph_create(&b.g));
    int64_t dim[] = {ROWS, NARROW};
    b.tokens = mo_graph_input(b.g, "tokens", MO_I32, 1, dim, false);
    keep(&b, mo_graph_input(b.g, "x", MO_REAL, 2, dim, draw(&b, 2)));
    keep(&b, mo_graph_input(b.g, "y", MO_REAL, 2, dim, draw(&b, 2)));
    keep(&b, mo_embedding(b.g, b.tokens, param(&b, 2, WORDS, NARROW, true)));
    for (int i = 4 + draw(&b, 30); i > 0; i--) {
        if (draw(&b, 4) == 0) mo_graph_scope(b.g, draw(&b, 4) - 1, draw(&b, 7) - 1);
        add_node(&b);
    }
    if (draw(&b, 2)) mo_graph_scope(b.g, -1, -1);
    if (draw(&b, 2)) add_head(&b);
    add_weighted_loss(&b, pick(&b, 0));
    MO_CHECK_OK(mo_graph_status(b.g));
    return b;
}

/* Every input and parameter has a place by now. */
static void fill(const built *b)
{
    for (int t = 0; t < b->g->n_tensors; t++) {
        const mo_tensor *in = b->g->tensors[t];
        if (in->role != MO_ROLE_INPUT) continue;
        for (int64_t i = 0; i < mo_tensor_count(in); i++) {
            mo_real u = uniform(b, 2000 + t, i);
            if (in->dtype == MO_REAL)
                ((mo_real *)in->data)[i] = u;
            else
                ((int32_t *)in->data)[i] = (int32_t)((u + 1) / 2 * (WORDS + 2)) - 2;
        }
    }
}

static void zero_grads(const built *b)
{
    for (int p = 0; p < b->n_params; p++)
        if (b->grad[p]) memset(b->grad[p], 0, grad_size(b->param[p]));
}

static void free_params(built *b)
{
    for (int p = 0; p < b->n_params; p++) {
        free(b->weight[p]);
        free(b->grad[p]);
    }
}

/* ---- the comparison ---- */

static void check_bits(const built *b, const void *want, const void *got, size_t size, const char *what,
                       int id, const char *how)
{
    if (memcmp(want, got, size) != 0)
        fail_msg("graph %d, %s: other bits in %s %d", (int)b->seed, how, what, id);
}

static void check_values(const built *want, const built *got, const char *how)
{
    for (int i = 0; i < want->g->n_losses; i++) {
        const mo_tensor *a = want->g->losses[i].tensor, *z = got->g->losses[i].tensor;
        check_bits(want, a->data, z->data, sizeof(double), "loss", i, how);
    }
    for (int t = 0; t < want->g->n_tensors; t++) {
        const mo_tensor *a = want->g->tensors[t], *z = got->g->tensors[t];
        if (a->role == MO_ROLE_OUTPUT)
            check_bits(want, a->data, z->data, mo_tensor_bytes(a), "output", t, how);
    }
}

static void check_same(const built *want, const built *got, const char *how)
{
    check_values(want, got, how);
    for (int p = 0; p < want->n_params; p++)
        if (want->grad[p])
            check_bits(want, want->grad[p], got->grad[p], grad_size(want->param[p]), "parameter", p, how);
    for (int t = 0; t < want->g->n_tensors; t++) {
        const mo_tensor *a = want->g->tensors[t], *z = got->g->tensors[t];
        if (a->role != MO_ROLE_INPUT) continue;
        assert_true((a->grad != NULL) == (z->grad != NULL));
        if (a->grad) check_bits(want, a->grad, z->grad, grad_size(a), "input", t, how);
    }
}

/* ---- what the plan promises ---- */

static void check_places(const built *b)
{
    const mo_graph *g = b->g;
    for (int i = 0; i < g->n_lives; i++) {
        const life *a = &g->lives[i];
        assert_true(a->begin <= a->end && a->offset % 64 == 0 && a->offset + a->size <= g->memory.arena);
        for (int j = 0; j < i; j++) {
            const life *z = &g->lives[j];
            bool meet = a->begin <= z->end && z->begin <= a->end;
            if (meet && a->offset < z->offset + z->size && z->offset < a->offset + a->size)
                fail_msg("graph %d: lives %d and %d share bytes at a step", (int)b->seed, i, j);
        }
    }
}

static void bind_outputs(const mo_graph *g, const step *st)
{
    for (int j = 0, next = st->born; st->kind != STEP_BACKWARD && j < st->node->n_out; j++) {
        mo_tensor *t = st->node->out[j];
        int which = mo__writes(g, st->kind, t) ? next++ : g->values[t->id].data;
        t->data = g->arena + g->lives[which].offset;
    }
}

/* The schedule with every life overwritten by NaNs before it begins and after it ends, so that whatever is
 * read too late or too early is found, wherever the packing put it. */
static void run_expiring(const built *b, const mo_run *run)
{
    const mo_graph *g = b->g;
    for (int s = 0; s < g->n_steps; s++) {
        const step *st = &g->steps[s];
        for (int l = 0; l < g->n_lives; l++)
            if (g->lives[l].begin == s && s > 0)
                memset(g->arena + g->lives[l].offset, 0xff, g->lives[l].size);
        bind_outputs(g, st);
        st->node->scratch = st->scratch == NO_LIFE ? NULL : g->arena + g->lives[st->scratch].offset;
        (st->kind == STEP_BACKWARD ? st->node->op->backward : st->node->op->forward)(st->node, run);
        for (int l = 0; l < g->n_lives; l++)
            if (g->lives[l].end == s && s + 1 < g->n_steps)
                memset(g->arena + g->lives[l].offset, 0xff, g->lives[l].size);
    }
}

typedef struct tally {
    int graphs, shared, over, recomputed, two_lives, not_finite;
} tally;

static void count(const built *b, tally *n)
{
    n->graphs++;
    for (int t = 0; t < b->g->n_tensors; t++) {
        const value *v = &b->g->values[t];
        n->shared += v->grad_of != t;
        n->two_lives += v->again != NO_LIFE;
        n->over += v->grad != NO_LIFE && (v->grad == v->data || v->grad == v->again);
    }
    for (int s = 0; s < b->g->n_steps; s++) n->recomputed += b->g->steps[s].kind == STEP_RECOMPUTE;
}

static void check_policy(const built *want, mo_recompute policy, const mo_run *run, tally *n)
{
    static const char *const names[] = {"none", "block", "full"};
    built b = build(want->seed);
    MO_CHECK_OK(mo_graph_plan(b.g, &(mo_plan){.backward = true, .recompute = policy}));
    check_places(&b);
    count(&b, n);
    void *arena = dirty_memory(mo_graph_memory_use(b.g).arena);
    MO_CHECK_OK(mo_graph_bind(b.g, arena));
    fill(&b);
    for (int i = 0; i < b.g->n_losses; i++) mo_graph_loss_scale(b.g, i, b.scale[i]);
    zero_grads(&b);
    mo_graph_forward(b.g, run);
    check_values(want, &b, "forward");
    mo_graph_backward(b.g, run);
    check_same(want, &b, names[policy]);
    zero_grads(&b);
    mo_graph_train(b.g, run);
    check_same(want, &b, "train");
    zero_grads(&b);
    run_expiring(&b, run);
    check_same(want, &b, "expiring memory");
    mo_graph_free(b.g);
    free(arena);
    free_params(&b);
}

static void check_graph(uint64_t seed, tally *n)
{
    const mo_run run = {.seed = 1, .training = true};
    built want = build(seed);
    reference r = reference_open(want.g);
    fill(&want);
    zero_grads(&want);
    reference_run(&r, &run, want.scale);
    for (int i = 0; i < want.g->n_losses; i++)
        n->not_finite += !isfinite(*(const double *)want.g->losses[i].tensor->data);
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++)
        check_policy(&want, (mo_recompute)policy, &run, n);
    reference_close(&r);
    free_params(&want);
}

static void test_random_graphs(void **state)
{
    (void)state;
    tally n = {0};
    MO_CHECK_OK(mo_blas_init());
    mo_threads_set(1); /* the graphs are tiny */
    for (uint64_t seed = 0; seed < 1000; seed++) check_graph(seed, &n);
    assert_int_equal(n.not_finite, 0); /* a NaN would look like overwritten memory */
    assert_in_range(n.shared, n.graphs, INT32_MAX);
    assert_in_range(n.over, n.graphs / 2, INT32_MAX);
    assert_in_range(n.two_lives, n.graphs, INT32_MAX);
    assert_in_range(n.recomputed, n.graphs, INT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
