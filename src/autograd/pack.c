/* pack.c -- from lifetimes to places in the arena: largest first, each at the lowest place where it meets
 * nobody whose lifetime overlaps its own. */
#include <stdlib.h>

#include "autograd/graph.h"

static const life *sorting; /* qsort has no context; one plan sorts at a time per thread */
#pragma omp threadprivate(sorting)

static int by_size(const void *a, const void *b)
{
    const life *x = &sorting[*(const int *)a], *y = &sorting[*(const int *)b];
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return *(const int *)a < *(const int *)b ? -1 : 1;
}

static bool meet(const life *a, const life *b)
{
    return a->begin <= b->end && b->begin <= a->end;
}

/* placed: indices in rising order of offset. Returns where in `placed` the life was put. */
static void place(mo_graph *g, int *placed, int n_placed, int which)
{
    life *l = &g->lives[which];
    size_t at = 0;
    for (int i = 0; i < n_placed; i++) {
        const life *other = &g->lives[placed[i]];
        if (!meet(l, other)) continue;
        if (other->offset >= at + l->size) break;
        if (other->offset + other->size > at) at = other->offset + other->size;
    }
    l->offset = at;
    int i = n_placed;
    for (; i > 0 && g->lives[placed[i - 1]].offset > at; i--) placed[i] = placed[i - 1];
    placed[i] = which;
    if (at + l->size > g->memory.arena) g->memory.arena = at + l->size;
}

/* Sizes alive at a step; gradients only, or everything that spans it. */
static void measure(mo_graph *g)
{
    for (int i = 0; i < g->n_lives; i++) {
        const life *l = &g->lives[i];
        if (l->begin < g->n_forward && l->end >= g->n_forward) g->memory.kept += l->size;
    }
    for (int s = g->n_forward; s < g->n_steps; s++) {
        size_t sum = 0;
        for (int t = 0; t < g->n_tensors; t++) {
            const value *v = &g->values[t];
            if (v->grad == NO_LIFE || v->grad_of != t) continue;
            const life *l = &g->lives[v->grad];
            if (l->begin <= s && s <= l->end) sum += l->size;
        }
        if (sum > g->memory.gradients) g->memory.gradients = sum;
    }
}

mo_status mo__plan_pack(mo_graph *g)
{
    size_t bytes = ((size_t)g->n_lives + 1) * sizeof(int);
    int *order = mo_malloc(bytes), *placed = mo_malloc(bytes);
    if (!order || !placed) {
        mo_free(order);
        mo_free(placed);
        return MO_E_MEMORY;
    }
    for (int i = 0; i < g->n_lives; i++) order[i] = i;
    sorting = g->lives;
    qsort(order, (size_t)g->n_lives, sizeof *order, by_size);
    for (int i = 0; i < g->n_lives; i++) place(g, placed, i, order[i]);
    mo_free(order);
    mo_free(placed);
    measure(g);
    return MO_OK;
}
