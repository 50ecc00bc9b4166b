/* pack.c -- from lifetimes to places in the arena: one after the other, each at the lowest place where it
 * meets nobody whose lifetime overlaps its own.
 *
 * Which bytes are taken during a span of steps is told by a tree over the steps: each of its nodes has the
 * bytes that some life takes during all of its steps (`always`), and those that are taken at some of them
 * (`ever`), as runs that do not touch. Lives of one size lie side by side and make few runs, so that placing
 * one costs little more than a walk from the root, however many are alive with it. */
#include <stdlib.h>
#include <string.h>

#include "autograd/graph.h"

typedef struct run {
    size_t begin, end;
    int next; /* of its list, in rising order; 0: none */
} run;

enum { DEPTH = 32 };

typedef struct tree {
    int leaves;         /* node i has children 2i and 2i+1; the leaves, [leaves, 2 leaves), are the steps */
    int *always, *ever; /* per node: its first run */
    run *runs;          /* runs[0] is not used */
    int n_runs, cap_runs, unused;
    int64_t work;
} tree;

static mo_status new_run(tree *t, run what, int *out)
{
    *out = t->unused ? t->unused : t->n_runs;
    if (t->unused)
        t->unused = t->runs[t->unused].next;
    else
        MO_TRY(mo__graph_grow((void **)&t->runs, t->n_runs++, &t->cap_runs, sizeof *t->runs));
    t->runs[*out] = what;
    return MO_OK;
}

/* Adds [begin, end) to the list that begins at *head. */
static mo_status add_run(tree *t, int *head, size_t begin, size_t end)
{
    int before = 0, at = *head;
    for (; at && t->runs[at].end < begin; at = t->runs[at].next, t->work++) before = at;
    if (!at || t->runs[at].begin > end) {
        int made;
        MO_TRY(new_run(t, (run){begin, end, at}, &made));
        *(before ? &t->runs[before].next : head) = made;
        return MO_OK;
    }
    run *r = &t->runs[at]; /* grows to hold the new one, and then what it reaches */
    if (r->begin > begin) r->begin = begin;
    if (r->end < end) r->end = end;
    for (int next = r->next; next && t->runs[next].begin <= r->end; next = r->next, t->work++) {
        if (t->runs[next].end > r->end) r->end = t->runs[next].end;
        r->next = t->runs[next].next;
        t->runs[next].next = t->unused;
        t->unused = next;
    }
    return MO_OK;
}

/* The nodes whose steps make up the life, and all nodes above its first and last step with these. Their
 * numbers; both arrays have room for 2 DEPTH. */
static void nodes_of(const tree *t, const life *l, int *whole, int *n_whole, int *above, int *n_above)
{
    *n_whole = *n_above = 0;
    int from = l->begin + t->leaves, to = l->end + t->leaves;
    for (int a = from, z = to + 1; a < z; a /= 2, z /= 2) {
        if (a & 1) whole[(*n_whole)++] = a++;
        if (z & 1) whole[(*n_whole)++] = --z;
    }
    for (int a = from; a > 0; a /= 2) above[(*n_above)++] = a;
    for (int z = to; z > 0 && z != from; z /= 2, from /= 2) above[(*n_above)++] = z;
}

/* The lowest place for `size` bytes beside the runs of these lists. */
static size_t lowest(tree *t, int *lists, int n, size_t size)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            for (; lists[i] && t->runs[lists[i]].end <= at; t->work++) lists[i] = t->runs[lists[i]].next;
            if (!lists[i] || t->runs[lists[i]].begin >= at + size) continue;
            at = t->runs[lists[i]].end;
            moved = true;
        }
    }
    return at;
}

static mo_status place(mo_graph *g, tree *t, life *l)
{
    int whole[2 * DEPTH], above[2 * DEPTH], lists[4 * DEPTH], n_whole, n_above;
    nodes_of(t, l, whole, &n_whole, above, &n_above);
    for (int i = 0; i < n_whole; i++) lists[i] = t->ever[whole[i]];
    for (int i = 0; i < n_above; i++) lists[n_whole + i] = t->always[above[i]];
    l->offset = lowest(t, lists, n_whole + n_above, l->size);
    size_t end = l->offset + l->size;
    if (end > g->memory.arena) g->memory.arena = end;
    for (int i = 0; i < n_whole; i++) {
        MO_TRY(add_run(t, &t->always[whole[i]], l->offset, end));
        MO_TRY(add_run(t, &t->ever[whole[i]], l->offset, end));
    }
    for (int i = 0; i < n_above; i++) MO_TRY(add_run(t, &t->ever[above[i]], l->offset, end));
    t->work += n_whole + n_above;
    return MO_OK;
}

/* Orders to place lives in; which is best differs. What is kept for backward comes first, the last to end
 * before the others: that lies as a stack. Then the rest, the largest first, or those that live longest.
 * MIXED: all by how long they live, which leaves many gaps, so it is for graphs of fewer than MANY lives. */
typedef enum order { LARGEST, LONGEST, MIXED, ORDERS } order;
enum { MANY = 1 << 14 };

typedef struct turn {
    bool kept;
    int begin, end, which;
    size_t size;
    order by;
} turn;

/* What comes first: more of it, or what was listed first. */
static int more(int64_t x, int64_t y)
{
    return (x < y) - (x > y);
}

static int in_order(const void *a, const void *b)
{
    const turn *x = a, *y = b;
    int by_size = x->size == y->size ? 0 : x->size < y->size ? 1 : -1;
    int by_kept = more(x->kept, y->kept), by_end = more(x->end, y->end), by_begin = more(y->begin, x->begin);
    int by_length = more(x->end - x->begin, y->end - y->begin), kept = by_end ? by_end : by_begin;
    if (by_kept) return by_kept;
    if (x->kept && kept) return kept;
    if (x->by != LARGEST && by_length) return by_length;
    if (by_size) return by_size;
    return by_end ? by_end : more(y->which, x->which);
}

static bool is_kept(const mo_graph *g, const life *l)
{
    return l->begin < g->n_forward && l->end >= g->n_forward;
}

static mo_status place_all(mo_graph *g, tree *t, turn *turns, order by)
{
    g->memory.arena = 0;
    for (int i = 0; i < g->n_lives; i++) {
        const life *l = &g->lives[i];
        turns[i] = (turn){by != MIXED && is_kept(g, l), l->begin, l->end, i, l->size, by};
    }
    qsort(turns, (size_t)g->n_lives, sizeof *turns, in_order);
    for (int i = 0; i < g->n_lives; i++) MO_TRY(place(g, t, &g->lives[turns[i].which]));
    return MO_OK;
}

static mo_status pack(mo_graph *g, order by)
{
    size_t nodes = 2 * (size_t)g->n_steps + 2;
    tree t = {.leaves = g->n_steps + 1, .n_runs = 1};
    t.always = mo_calloc(nodes, sizeof *t.always);
    t.ever = mo_calloc(nodes, sizeof *t.ever);
    turn *turns = mo_malloc(((size_t)g->n_lives + 1) * sizeof *turns);
    mo_status status = t.always && t.ever && turns ? place_all(g, &t, turns, by) : MO_E_MEMORY;
    g->work += t.work;
    mo_free(t.always);
    mo_free(t.ever);
    mo_free(t.runs);
    mo_free(turns);
    return status;
}

/* The largest sum of sizes at one step, where `change` has what begins at each less what has ended. */
static size_t largest_sum(const int64_t *change, int n)
{
    int64_t sum = 0, largest = 0;
    for (int s = 0; s < n; s++) {
        sum += change[s];
        if (sum > largest) largest = sum;
    }
    return (size_t)largest;
}

static void count(int64_t *change, const life *l, int begin, int end)
{
    change[begin] += (int64_t)l->size;
    change[end + 1] -= (int64_t)l->size;
}

static mo_status measure(mo_graph *g)
{
    int64_t *all = mo_calloc((size_t)g->n_steps + 2, sizeof *all),
            *gradients = mo_calloc((size_t)g->n_steps + 2, sizeof *gradients);
    mo_status status = all && gradients ? MO_OK : MO_E_MEMORY;
    for (int i = 0; status == MO_OK && i < g->n_lives; i++) {
        const life *l = &g->lives[i];
        count(all, l, l->begin, l->end);
        if (is_kept(g, l)) g->memory.kept += l->size;
    }
    for (int t = 0; status == MO_OK && t < g->n_tensors; t++) {
        const value *v = &g->values[t];
        if (v->grad != NO_LIFE && v->grad_of == t)
            count(gradients, &g->lives[v->grad], v->first_write, v->grad_end);
    }
    if (status == MO_OK) g->memory.needed = largest_sum(all, g->n_steps);
    if (status == MO_OK) g->memory.gradients = largest_sum(gradients, g->n_steps);
    mo_free(all);
    mo_free(gradients);
    return status;
}

/* Places within 1/200 of what is needed anyway are good enough. */
mo_status mo__plan_pack(mo_graph *g)
{
    size_t best = SIZE_MAX;
    order by = LARGEST;
    MO_TRY(measure(g));
    order end = g->n_lives < MANY ? ORDERS : MIXED;
    for (order o = LARGEST; o < end && best > g->memory.needed + g->memory.needed / 200; o++) {
        MO_TRY(pack(g, o));
        if (g->memory.arena < best) {
            best = g->memory.arena;
            by = o;
        } else {
            MO_TRY(pack(g, by));
        }
    }
    return MO_OK;
}
