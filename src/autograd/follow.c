/* follow.c -- stored weights brought into memory ahead of the step that reads them.
 *
 * A run tells at each step; from here the schedule is followed some steps ahead, a bounded number of bytes,
 * and what those steps read is asked for, in their order. The step's own weights are waited for: pages
 * fetched in order by few threads come faster than by faults all over a matrix. Which experts have rows is
 * asked of the op (reads) once its inputs are there; before, only if probably all of them have.
 *
 * Where all stored weights together take no more than half of the memory that is free, each is fetched once,
 * and afterwards nothing is done at all. */
#include "autograd/graph.h"
#include "autograd/prefetch.h"
#include "base/resident.h"

#include <stdlib.h>

static const size_t AHEAD = (size_t)2 << 30; /* bytes at most, and no more than an eighth of the memory */

/* A part of a stored weight that a step reads. */
typedef struct use {
    int step;
    int64_t part;
    const void *at;
    size_t size;
    int64_t request; /* of this pass; 0: not asked for */
    int same;        /* the first use of this part */
    bool seen;       /* of that one: the part has been fetched once */
} use;

struct mo__follow {
    mo__prefetch *prefetch;
    use *uses; /* in the order of steps */
    int n, at; /* the first use of this step, or of a later one */
    int step;  /* the last that was run */
    mo__follow_options options;
    double waited;
};

static size_t part_bytes(const mo_stored *s)
{
    return (size_t)s->part_elements * mo_dtype_size(s->dtype);
}

/* Each part of each stored input of each step, into `uses` unless that is NULL; their number. */
static int each_use(const mo_graph *g, use *uses)
{
    int n = 0;
    for (int s = 0; s < g->n_steps; s++) {
        const mo_node *node = g->steps[s].node;
        for (int i = 0; i < node->n_in; i++) {
            const mo_stored *w = node->in[i]->stored;
            bool reads = w && (g->steps[s].kind != STEP_BACKWARD || mo__needs(node->op->needs_in, i));
            for (int64_t p = 0; reads && p < w->parts; p++, n++)
                if (uses)
                    uses[n] = (use){.step = s, .part = p, .at = w->part[p], .size = part_bytes(w), .same = n};
        }
    }
    return n;
}

typedef struct place {
    const void *at;
    int use;
} place;

static int by_place(const void *a, const void *b)
{
    const place *x = a, *y = b;
    uintptr_t u = (uintptr_t)x->at, v = (uintptr_t)y->at;
    return u != v ? (u > v) - (u < v) : (x->use > y->use) - (x->use < y->use);
}

/* Sorted, for many small experts make very many parts. */
static mo_status find_same(use *uses, int n)
{
    place *all = mo_malloc((size_t)n * sizeof *all);
    if (!all) return MO_E_MEMORY;
    for (int i = 0; i < n; i++) all[i] = (place){uses[i].at, i};
    qsort(all, (size_t)n, sizeof *all, by_place);
    for (int i = 1; i < n; i++)
        if (all[i].at == all[i - 1].at) uses[all[i].use].same = uses[all[i - 1].use].same;
    mo_free(all);
    return MO_OK;
}

static size_t all_bytes(const mo_graph *g)
{
    size_t bytes = 0;
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->stored) bytes += mo_tensor_bytes(g->tensors[t]);
    return bytes;
}

static mo__follow_options suitable(const mo_graph *g)
{
    uint64_t memory = mo_memory_available();
    mo__follow_options options = {.fetch = mo__make_resident, .ahead = AHEAD};
    options.once = memory == 0 || all_bytes(g) <= memory / 2;
    if (memory > 0 && memory / 8 < AHEAD) options.ahead = memory / 8;
    return options;
}

mo_status mo__follow_create(mo_graph *g, const mo__follow_options *options)
{
    int n = each_use(g, NULL);
    if (n == 0 || g->follow) return MO_OK;
    mo__follow *f = mo_calloc(1, sizeof *f);
    if (!f) return MO_E_MEMORY;
    g->follow = f;
    f->uses = mo_calloc((size_t)n, sizeof *f->uses);
    if (!f->uses) return MO_E_MEMORY;
    f->n = each_use(g, f->uses);
    MO_TRY(find_same(f->uses, f->n));
    f->options = options ? *options : suitable(g);
    f->step = g->n_steps;
    mo_status status = mo__prefetch_create(n + 1, f->options.fetch, &f->prefetch);
    if (status == MO_E_MEMORY) return status;
    if (status != MO_OK) mo__follow_free(g); /* no threads: weights come when they are touched */
    return MO_OK;
}

void mo__follow_free(mo_graph *g)
{
    if (!g->follow) return;
    mo__prefetch_free(g->follow->prefetch);
    mo_free(g->follow->uses);
    mo_free(g->follow);
    g->follow = NULL;
}

/* Whether the integer inputs of step `at` (which expert has which rows) hold this run's values as `now`
 * begins. */
static bool is_known(const mo_graph *g, int at, int now)
{
    const mo_node *node = g->steps[at].node;
    for (int i = 0; i < node->n_in; i++) {
        const mo_tensor *t = node->in[i];
        if (t->dtype != MO_I32 || !mo__is_value(t)) continue;
        if (now < g->n_forward ? t->producer->id >= now : !g->values[t->id].kept) return false;
    }
    return true;
}

static bool reads(const mo_graph *g, const use *u, bool known)
{
    const mo_node *node = g->steps[u->step].node;
    return !node->op->reads || node->op->reads(node, u->part, known);
}

static void begin_pass(mo__follow *f)
{
    mo__prefetch_drop(f->prefetch);
    for (int i = 0; i < f->n; i++) f->uses[i].request = 0;
    f->at = 0;
}

/* Asks for what the step reads, and the steps after it up to the bound. */
static void ask(const mo_graph *g, mo__follow *f, int now)
{
    size_t ahead = 0;
    for (int i = f->at; i < f->n && ahead < f->options.ahead; i++) {
        use *u = &f->uses[i];
        bool known = is_known(g, u->step, now), wanted = reads(g, u, known);
        /* Beyond a choice that is not made yet, later weights would come before those that it needs. */
        if (!known && !wanted) return;
        if (!wanted) continue;
        if (u->step > now) ahead += u->size;
        bool *seen = &f->uses[u->same].seen;
        if (u->request || (f->options.once && *seen)) continue;
        u->request = mo__prefetch_ask(f->prefetch, u->at, u->size);
        *seen = *seen || u->request > 0;
    }
}

void mo__follow_step(mo_graph *g, int now)
{
    mo__follow *f = g->follow;
    if (now <= f->step) begin_pass(f);
    f->step = now;
    while (f->at < f->n && f->uses[f->at].step < now) f->at++;
    if (f->at == f->n) return;
    ask(g, f, now);
    int64_t last = 0;
    for (int i = f->at; i < f->n && f->uses[i].step == now; i++)
        if (f->uses[i].request > last) last = f->uses[i].request;
    if (last == 0) return;
    double begin = mo_clock();
    mo__prefetch_wait(f->prefetch, last);
    f->waited += mo_clock() - begin;
}

double mo_graph_waited(const mo_graph *g)
{
    return g->follow ? g->follow->waited : 0;
}
