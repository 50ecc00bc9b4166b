#include "harness/opcase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- weighted_sum: loss = sum_i y_i w_i, dy_i = dloss w_i ---- */

static mo_status weighted_sum_shape(mo_node *node)
{
    if (mo_tensor_count(node->in[0]) != mo_tensor_count(node->in[1]))
        return mo_error(MO_E_SHAPE, "weighted_sum: %lld values and %lld weights",
                        (long long)mo_tensor_count(node->in[0]), (long long)mo_tensor_count(node->in[1]));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static void weighted_sum_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_real *y = node->in[0]->data, *w = node->in[1]->data;
    double sum = 0;
    for (int64_t i = 0, n = mo_tensor_count(node->in[0]); i < n; i++) sum += (double)y[i] * (double)w[i];
    *(double *)node->out[0]->data = sum;
}

static void weighted_sum_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_real *w = node->in[1]->data;
    mo_real *dy = node->in[0]->grad, d = node->out[0]->grad[0];
    for (int64_t i = 0, n = mo_tensor_count(node->in[0]); i < n; i++)
        dy[i] = (node->accumulate[0] ? dy[i] : 0) + d * w[i];
}

static const mo_op op_weighted_sum = {.name = "weighted_sum",
                                      .shape = weighted_sum_shape,
                                      .forward = weighted_sum_forward,
                                      .backward = weighted_sum_backward,
                                      .needs_in = MO_NEEDS(1)};

mo_tensor *test_weighted_sum(mo_graph *g, mo_tensor *y, mo_tensor *w)
{
    mo_node *node = mo_graph_node(g, &op_weighted_sum, 2, (mo_tensor *[]){y, w}, NULL, 0);
    return node ? node->out[0] : NULL;
}

/* ---- values: the stream of an input is its index, of the weights of output i WEIGHTS + i ---- */

enum { SEED = 20240917, WEIGHTS = 100, SHARED = 200 };

static double uniform(uint32_t stream, int64_t i)
{
    return mo_rng_uniform(SEED, MO_RNG_TEST, 0, stream, (uint64_t)i);
}

static int rank(const op_input *in)
{
    int n = 0;
    while (n < MO_MAX_DIMS && in->dim[n] > 0) n++;
    return n;
}

int64_t op_input_count(const op_input *in)
{
    int64_t n = 1;
    for (int i = 0; i < rank(in); i++) n *= in->dim[i];
    return n;
}

void op_input_fill(const op_input *in, uint32_t stream, void *data)
{
    bool plain = in->low == 0 && in->high == 0;
    double low = plain ? -1 : in->low, high = plain ? 1 : in->high;
    for (int64_t i = 0, n = op_input_count(in); i < n; i++) {
        double value = low + (high - low) * uniform(stream, i);
        if (in->dtype == MO_I32)
            ((int32_t *)data)[i] = in->ints ? in->ints[i] : (int32_t)(value < 0 ? value - 1 : value);
        else
            ((mo_real *)data)[i] = (mo_real)(in->real ? in->real[i] : value);
    }
    if (in->rounded == MO_REAL) return;
    mo_real *x = data;
    for (int64_t i = 0, n = op_input_count(in); i < n; i++) {
        char as_file[sizeof(mo_real)];
        const void *part = as_file;
        mo_narrow(in->rounded, &x[i], 1, as_file);
        mo_stored_expand(&(mo_stored){in->rounded, 1, 1, &part}, 0, 0, 1, &x[i]);
    }
}

/* Both signs, never near zero. */
static void fill_weights(mo_tensor *t, uint32_t stream)
{
    for (int64_t i = 0, n = mo_tensor_count(t); i < n; i++) {
        double u = 2 * uniform(stream, i) - 1;
        ((mo_real *)t->data)[i] = (mo_real)(u < 0 ? u - 0.5 : u + 0.5);
    }
}

/* ---- the graph ---- */

static void require(mo_status status, const op_case *c)
{
    if (status != MO_OK) fail_msg("%s, %s: %s", c->op, c->name, mo_last_error());
}

static void *storage(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory) fail_msg("out of memory");
    return memory;
}

/* NaNs, or -1 as integers: an op that reads what nobody wrote is found out. */
static void *poisoned(size_t size)
{
    void *memory = aligned_alloc(64, (size + 64) & ~(size_t)63);
    if (!memory) fail_msg("out of memory");
    return memset(memory, 0xff, size);
}

/* Owned in one piece: description, pointers, then the last part first, each at an odd address. */
static mo_stored *store(const op_input *in, const mo_real *value)
{
    int64_t parts = rank(in) == 3 ? in->dim[0] : 1, elements = op_input_count(in) / parts;
    size_t bytes = (size_t)elements * mo_dtype_size(in->rounded), room = (bytes + 64) & ~(size_t)63;
    size_t head = (sizeof(mo_stored) + (size_t)parts * sizeof(void *) + 63) & ~(size_t)63;
    char *memory = storage(head + (size_t)parts * room + 1);
    const void **part = (const void **)(memory + sizeof(mo_stored));
    for (int64_t p = 0; p < parts; p++) {
        char *place = memory + head + (size_t)(parts - 1 - p) * room + 1;
        mo_narrow(in->rounded, value + p * elements, elements, place);
        part[p] = place;
    }
    *(mo_stored *)memory = (mo_stored){in->rounded, parts, elements, part};
    return (mo_stored *)memory;
}

static void add_inputs(op_graph *t)
{
    for (const op_input *in = t->c->in; t->n_in < OP_CASE_INPUTS && in->name; in++) {
        int i = t->n_in++;
        if (in->role == MO_ROLE_PARAM) {
            t->value[i] = storage((size_t)op_input_count(in) * sizeof(mo_real));
            if (in->grad) t->grad[i] = storage((size_t)op_input_count(in) * sizeof(mo_real));
            op_input_fill(in, (uint32_t)i, t->value[i]);
            if (in->stored) {
                t->stored[i] = store(in, t->value[i]);
                t->in[i] = mo_graph_param_stored(t->g, in->name, rank(in), in->dim, t->stored[i]);
            } else
                t->in[i] = mo_graph_param(t->g, in->name, rank(in), in->dim, t->value[i], t->grad[i]);
        } else
            t->in[i] = mo_graph_input(t->g, in->name, in->dtype, rank(in), in->dim, in->grad);
    }
}

bool op_is_loss(const mo_tensor *y)
{
    return y->dtype == MO_F64 && mo_tensor_count(y) == 1;
}

static void add_loss(op_graph *t, mo_tensor *loss, double scale)
{
    int index = mo_graph_loss(t->g, loss);
    if (index != t->n_loss) fail_msg("%s: loss %d got index %d", t->c->op, t->n_loss, index);
    t->scale[t->n_loss++] = scale;
}

static mo_tensor *weighted(op_graph *t, mo_tensor *y, const char *name)
{
    mo_tensor *w = mo_graph_input(t->g, name, MO_REAL, y->ndim, y->dim, false);
    add_loss(t, test_weighted_sum(t->g, y, w), 1);
    return w;
}

static void add_outputs(op_graph *t, bool readable)
{
    char name[32];
    while (t->n_out < OP_CASE_OUTPUTS && t->out[t->n_out]) {
        mo_tensor *y = t->out[t->n_out];
        snprintf(name, sizeof name, "weight%d", t->n_out);
        if (op_is_loss(y)) add_loss(t, y, -0.75 - 0.5 * t->n_out);
        if (y->dtype == MO_REAL) t->weight[t->n_out] = weighted(t, y, name);
        if (readable || y->dtype != MO_REAL) mo_graph_output(t->g, y);
        t->n_out++;
    }
    if (!t->n_out) fail_msg("%s, %s: build set no output", t->c->op, t->c->name);
}

/* Built after the op, these readers of its inputs run before it in the backward pass. */
static void add_shared(op_graph *t, unsigned inputs, mo_tensor **weight)
{
    char name[32];
    for (int i = 0; i < t->n_in; i++) {
        const op_input *in = &t->c->in[i];
        if (!(inputs >> i & 1) || !in->grad || in->role == MO_ROLE_PARAM) continue;
        snprintf(name, sizeof name, "shared%d", i);
        weight[i] = weighted(t, t->in[i], name);
    }
}

void op_graph_open(op_graph *t, const op_case *c, op_mode mode)
{
    mo_tensor *shared[OP_CASE_INPUTS] = {NULL};
    *t = (op_graph){.c = c, .run = {.seed = SEED, .step = 3, .training = c->training}};
    require(mo_blas_init(), c);
    require(mo_graph_create(&t->g), c);
    add_inputs(t);
    mo_graph_scope(t->g, 0, 0);
    c->build(t->g, t->in, t->out, c->arg);
    mo_graph_scope(t->g, -1, -1);
    require(mo_graph_status(t->g), c);
    add_outputs(t, mode.readable);
    add_shared(t, mode.shared, shared);
    require(mo_graph_status(t->g), c);
    require(mo_graph_plan(t->g, &(mo_plan){.backward = !mode.forward_only, .recompute = mode.recompute}), c);
    t->arena = poisoned(mo_graph_memory_use(t->g).arena);
    require(mo_graph_bind(t->g, t->arena), c);
    for (int i = 0; i < t->n_in; i++) {
        if (c->in[i].role != MO_ROLE_PARAM) op_input_fill(&c->in[i], (uint32_t)i, t->in[i]->data);
        if (shared[i]) fill_weights(shared[i], SHARED + (uint32_t)i);
    }
    for (int i = 0; i < t->n_out; i++)
        if (t->weight[i]) fill_weights(t->weight[i], WEIGHTS + (uint32_t)i);
    for (int i = 0; i < t->n_loss; i++) mo_graph_loss_scale(t->g, i, t->scale[i]);
}

void op_graph_close(op_graph *t)
{
    mo_graph_free(t->g);
    free(t->arena);
    for (int i = 0; i < t->n_in; i++) {
        free(t->value[i]);
        free(t->grad[i]);
        free(t->stored[i]);
    }
    *t = (op_graph){0};
}

double op_graph_loss(const op_graph *t)
{
    double loss = 0;
    for (int i = 0; i < t->n_loss; i++) loss += t->scale[i] * mo_graph_loss_value(t->g, i);
    return loss;
}

double op_graph_forward(op_graph *t)
{
    mo_graph_forward(t->g, &t->run);
    return op_graph_loss(t);
}

void op_graph_zero_grads(op_graph *t)
{
    for (int i = 0; i < t->n_in; i++)
        if (t->grad[i]) memset(t->grad[i], 0, (size_t)op_input_count(&t->c->in[i]) * sizeof(mo_real));
}

mo_real *op_graph_grad(const op_graph *t, int i)
{
    return t->c->in[i].grad ? t->in[i]->grad : NULL;
}
