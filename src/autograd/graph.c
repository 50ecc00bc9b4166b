/* graph.c -- building: tensors, nodes, sticky errors. */
#include "autograd/graph.h"

#include <string.h>

struct pool_block {
    pool_block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

enum { POOL_BLOCK = 1 << 16 };

void *mo__graph_alloc(mo_graph *g, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!g->pool || g->pool->used + size > g->pool->size) {
        size_t room = size > POOL_BLOCK ? size : POOL_BLOCK;
        pool_block *block = mo_calloc(1, sizeof *block + room);
        if (!block) {
            mo_graph_fail(g, MO_E_MEMORY);
            return NULL;
        }
        block->size = room;
        block->next = g->pool;
        g->pool = block;
    }
    void *memory = g->pool->bytes + g->pool->used;
    g->pool->used += size;
    return memory;
}

mo_status mo__graph_grow(void **array, int count, int *capacity, size_t element)
{
    if (count < *capacity) return MO_OK;
    int wanted = *capacity ? 2 * *capacity : 64;
    void *grown = mo_realloc(*array, (size_t)wanted * element);
    if (!grown) return MO_E_MEMORY;
    *array = grown;
    *capacity = wanted;
    return MO_OK;
}

int64_t mo_tensor_count(const mo_tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->ndim; i++) count *= t->dim[i];
    return count;
}

size_t mo_tensor_bytes(const mo_tensor *t)
{
    return (size_t)mo_tensor_count(t) * mo_dtype_size(t->stored ? t->stored->dtype : t->dtype);
}

mo_status mo_graph_create(mo_graph **out)
{
    mo_graph *g = mo_calloc(1, sizeof *g);
    if (!g) return MO_E_MEMORY;
    g->layer = g->block = -1;
    *out = g;
    return MO_OK;
}

void mo_graph_free(mo_graph *g)
{
    if (!g) return;
    while (g->pool) {
        pool_block *next = g->pool->next;
        mo_free(g->pool);
        g->pool = next;
    }
    if (g->own_arena) mo_pages_free(g->own_arena, g->memory.arena);
    mo_free(g->message);
    mo_free(g->nodes);
    mo_free(g->tensors);
    mo_free(g->losses);
    mo_free(g->steps);
    mo_free(g->lives);
    mo_free(g->values);
    mo_free(g->timings);
    mo__follow_free(g);
    mo_free(g);
}

mo_status mo_graph_status(const mo_graph *g)
{
    if (g->status == MO_OK) return MO_OK;
    return mo_error(g->status, "%s", g->message ? g->message : mo_status_text(g->status));
}

mo_tensor *mo_graph_fail(mo_graph *g, mo_status status)
{
    if (g->status == MO_OK) {
        g->status = status;
        g->message = mo_strdup(mo_last_error());
    }
    return NULL;
}

static mo_tensor *add_tensor(mo_graph *g, const char *name, mo_role role, mo_dtype dtype, int ndim,
                             const int64_t *dim)
{
    if (g->status != MO_OK) return NULL;
    MO_ASSERT(!g->planned && ndim >= 1 && ndim <= MO_MAX_DIMS);
    mo_tensor *t = mo__graph_alloc(g, sizeof *t);
    char *copy = mo__graph_alloc(g, strlen(name) + 1);
    if (!t || !copy) return NULL;
    strcpy(copy, name);
    *t = (mo_tensor){.name = copy, .role = role, .dtype = dtype, .ndim = ndim, .id = g->n_tensors};
    int64_t count = 1;
    for (int i = 0; i < ndim; i++) {
        t->dim[i] = dim[i];
        if (dim[i] < 1 || __builtin_mul_overflow(count, dim[i], &count) || count > INT64_MAX / 16)
            return mo_graph_fail(g, mo_error(MO_E_SHAPE,
                                             "%s: dimension %d is %lld; must be positive and fit memory",
                                             name, i, (long long)dim[i]));
    }
    if (mo__graph_grow((void **)&g->tensors, g->n_tensors, &g->cap_tensors, sizeof *g->tensors) != MO_OK)
        return mo_graph_fail(g, MO_E_MEMORY);
    g->tensors[g->n_tensors++] = t;
    return t;
}

mo_tensor *mo_graph_input(mo_graph *g, const char *name, mo_dtype dtype, int ndim, const int64_t *dim,
                          bool needs_grad)
{
    mo_tensor *t = add_tensor(g, name, MO_ROLE_INPUT, dtype, ndim, dim);
    if (t) t->needs_grad = needs_grad;
    return t;
}

mo_tensor *mo_graph_param(mo_graph *g, const char *name, int ndim, const int64_t *dim, mo_real *data,
                          mo_real *grad)
{
    mo_tensor *t = add_tensor(g, name, MO_ROLE_PARAM, MO_REAL, ndim, dim);
    if (!t) return NULL;
    t->data = data;
    t->grad = grad;
    t->needs_grad = grad != NULL;
    return t;
}

mo_tensor *mo_graph_param_stored(mo_graph *g, const char *name, int ndim, const int64_t *dim,
                                 const mo_stored *stored)
{
    mo_tensor *t = add_tensor(g, name, MO_ROLE_PARAM, MO_REAL, ndim, dim);
    if (!t) return NULL;
    int64_t matrix = ndim > 1 ? t->dim[ndim - 2] * t->dim[ndim - 1] : t->dim[0];
    if (stored->part_elements % matrix != 0 || stored->parts * stored->part_elements != mo_tensor_count(t))
        return mo_graph_fail(g, mo_error(MO_E_SHAPE, "%s: %lld parts of %lld elements do not make %lld", name,
                                         (long long)stored->parts, (long long)stored->part_elements,
                                         (long long)mo_tensor_count(t)));
    t->stored = stored;
    return t;
}

void mo_graph_scope(mo_graph *g, int layer, int block)
{
    g->layer = layer;
    g->block = block;
}

int mo_graph_loss(mo_graph *g, mo_tensor *t)
{
    if (g->status != MO_OK || !t) return -1;
    if (t->dtype != MO_F64 || mo_tensor_count(t) != 1) {
        mo_graph_fail(g, mo_error(MO_E_SHAPE, "%s: a loss must be one float64", t->name));
        return -1;
    }
    for (int i = 0; i < g->n_losses; i++)
        if (g->losses[i].tensor == t) {
            mo_graph_fail(g, mo_error(MO_E_SHAPE, "%s: is a loss already; two scales cannot hold", t->name));
            return -1;
        }
    if (mo__graph_grow((void **)&g->losses, g->n_losses, &g->cap_losses, sizeof *g->losses) != MO_OK) {
        mo_graph_fail(g, MO_E_MEMORY);
        return -1;
    }
    g->losses[g->n_losses] = (loss){t, MO_C(1)};
    return g->n_losses++;
}

/* Values in a file are taken by ops that say so. */
static mo_status check_stored(const mo_op *op, int n_in, mo_tensor *const *in)
{
    for (int i = 0; i < n_in; i++)
        if (in[i]->stored && !(i < 32 && (op->takes_stored & MO_NEEDS(i))))
            return mo_error(MO_E_SHAPE,
                            "%s: %s stays in its file as %s, which this op does not read; load it instead",
                            op->name, in[i]->name, mo_dtype_name(in[i]->stored->dtype));
    return MO_OK;
}

mo_node *mo_graph_node(mo_graph *g, const mo_op *op, int n_in, mo_tensor *const *in, const void *attr,
                       size_t attr_size)
{
    if (g->status != MO_OK) return NULL;
    for (int i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    mo_node *node = mo__graph_alloc(g, sizeof *node);
    mo_tensor **inputs = mo__graph_alloc(g, (size_t)n_in * sizeof *inputs);
    bool *accumulate = mo__graph_alloc(g, (size_t)n_in * sizeof *accumulate);
    void *copy = mo__graph_alloc(g, attr_size);
    if (!node || !inputs || !accumulate || !copy) return NULL;
    memcpy(inputs, in, (size_t)n_in * sizeof *inputs);
    if (attr_size) memcpy(copy, attr, attr_size);
    *node = (mo_node){.op = op,
                      .graph = g,
                      .id = g->n_nodes,
                      .layer = g->layer,
                      .block = g->block,
                      .n_in = n_in,
                      .in = inputs,
                      .accumulate = accumulate,
                      .attr = copy};
    mo_status status = check_stored(op, n_in, in);
    if (status == MO_OK) status = op->shape(node);
    if (status != MO_OK) {
        mo_graph_fail(g, status);
        return NULL;
    }
    if (mo__graph_grow((void **)&g->nodes, g->n_nodes, &g->cap_nodes, sizeof *g->nodes) != MO_OK) {
        mo_graph_fail(g, MO_E_MEMORY);
        return NULL;
    }
    g->nodes[g->n_nodes++] = node;
    return node;
}

mo_status mo_node_output(mo_node *node, const char *suffix, mo_dtype dtype, int ndim, const int64_t *dim)
{
    enum { MAX_OUTPUTS = 4 };
    mo_graph *g = node->graph;
    char name[96];
    snprintf(name, sizeof name, "%s.%d%s%s", node->op->name, node->id, *suffix ? "." : "", suffix);
    mo_tensor *t = add_tensor(g, name, MO_ROLE_VALUE, dtype, ndim, dim);
    if (!t) return g->status;
    if (!node->out) {
        node->out = mo__graph_alloc(g, MAX_OUTPUTS * sizeof(mo_tensor *));
        if (!node->out) return g->status;
    }
    MO_ASSERT(node->n_out < MAX_OUTPUTS);
    node->out[node->n_out++] = t;
    t->producer = node;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]->needs_grad && node->op->backward && mo__differentiable(t)) t->needs_grad = true;
    return MO_OK;
}

void mo_graph_output(mo_graph *g, mo_tensor *t)
{
    if (g->status != MO_OK || !t) return;
    t->role = t->role == MO_ROLE_VALUE ? MO_ROLE_OUTPUT : t->role;
}

int mo_graph_node_count(const mo_graph *g)
{
    return g->n_nodes;
}
const mo_node *mo_graph_node_at(const mo_graph *g, int i)
{
    return g->nodes[i];
}
