/* sampler.c -- draws as from the sorted vocabulary, without sorting it.
 *
 * A token's weight is exp((logit - largest) / temperature), in [0, 1]. Weights are counted and summed by the
 * upper bits of the float, its exponent and BITS of its mantissa: KEYS classes that come one after another in
 * the sorted order. Each question (the k-th token, the one that reaches a sum) has its answer in one class,
 * and only the tokens of that one are sorted. Sums are of doubles, a class at a time. */
#include "train/sampler.h"

#include <stdlib.h>

#include "tensor/rows.h"

enum { BITS = 5, SHIFT = 23 - BITS, KEYS = (127 << BITS) + 1 }; /* the key of 1.0 is the last */

static const double COLDEST = 1e-30; /* whose inverse a float holds */

typedef struct class
{
    double mass;
    int64_t count;
} class;

typedef struct candidate {
    float p;
    int32_t id;
} candidate;

struct mo__sampler {
    int64_t vocab_size;
    float *p;           /* [vocab_size] */
    candidate *members; /* [vocab_size] those of class `sorted`, in order */
    int sorted;         /* -1: none */
    int last;           /* the lowest class that has any */
    class classes[KEYS];
};

/* The first tokens of the sorted order: all of the classes above `key`, and `inside` of its own. */
typedef struct prefix {
    int key;
    int64_t inside;
    double mass;
} prefix;

mo_status mo__sampler_create(int64_t vocab_size, mo__sampler **out)
{
    mo__sampler *s = mo_calloc(1, sizeof *s);
    *out = s;
    if (!s) return MO_E_MEMORY;
    s->vocab_size = vocab_size;
    s->p = mo_malloc((size_t)vocab_size * sizeof *s->p);
    s->members = mo_malloc((size_t)vocab_size * sizeof *s->members);
    if (s->p && s->members) return MO_OK;
    mo__sampler_free(s);
    *out = NULL;
    return MO_E_MEMORY;
}

void mo__sampler_free(mo__sampler *s)
{
    if (!s) return;
    mo_free(s->p);
    mo_free(s->members);
    mo_free(s);
}

static int key_of(float p)
{
    uint32_t bits;
    memcpy(&bits, &p, sizeof bits);
    return (int)(bits >> SHIFT);
}

static int32_t likeliest(const mo_real *logits, int64_t n)
{
    mo_real most = mo_row_max(logits, n);
    int32_t id = 0;
    while (id < n - 1 && logits[id] != most) id++;
    return id;
}

static void weigh(mo__sampler *s, const mo_real *logits, mo_real largest, double temperature)
{
    mo_real scale = (mo_real)(1 / (temperature > COLDEST ? temperature : COLDEST));
    float *p = s->p;
#pragma omp simd
    for (int64_t i = 0; i < s->vocab_size; i++) p[i] = (float)mo_exp((logits[i] - largest) * scale);
    memset(s->classes, 0, sizeof s->classes);
    s->sorted = -1;
    s->last = KEYS - 1;
    for (int64_t i = 0; i < s->vocab_size; i++) {
        p[i] = p[i] > 1 ? 1 : p[i] >= 0 ? p[i] : 0; /* NaN, of undefined logits */
        int key = key_of(p[i]);
        s->classes[key].mass += (double)p[i];
        s->classes[key].count++;
        if (key < s->last) s->last = key;
    }
}

static int likelier_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->p < y->p || x->p > y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

static const candidate *members_of(mo__sampler *s, int key)
{
    if (s->sorted == key) return s->members;
    int64_t n = 0;
    for (int64_t i = 0; i < s->vocab_size; i++)
        if (key_of(s->p[i]) == key) s->members[n++] = (candidate){s->p[i], (int32_t)i};
    qsort(s->members, (size_t)n, sizeof *s->members, likelier_first);
    s->sorted = key;
    return s->members;
}

static prefix first_tokens(mo__sampler *s, int64_t count)
{
    prefix all = {.key = KEYS - 1};
    for (;; all.key--) {
        const class *c = &s->classes[all.key];
        if (count < c->count) break;
        all.mass += c->mass;
        all.inside = c->count;
        count -= c->count;
        if (count == 0 || all.key == s->last) return all;
    }
    const candidate *members = members_of(s, all.key);
    for (all.inside = 0; all.inside < count; all.inside++) all.mass += (double)members[all.inside].p;
    return all;
}

/* The fewest of the first tokens that reach a mass, or, if it is to be passed, pass it; all if none do. */
static prefix reach(mo__sampler *s, prefix all, double mass, bool pass)
{
    prefix some = {.key = KEYS - 1};
    for (; some.key > all.key; some.key--) {
        double next = some.mass + s->classes[some.key].mass;
        if (s->classes[some.key].count > 0 && (pass ? mass < next : mass <= next)) break;
        some.mass = next;
    }
    const candidate *members = members_of(s, some.key);
    int64_t count = some.key == all.key ? all.inside : s->classes[some.key].count;
    while (some.inside < count) {
        some.mass += (double)members[some.inside++].p;
        if (pass ? mass < some.mass : mass <= some.mass) break;
    }
    return some;
}

int32_t mo__sample(mo__sampler *s, const mo_real *logits, double temperature, int64_t top_k, double top_p,
                   double u)
{
    int32_t top = likeliest(logits, s->vocab_size);
    if (temperature <= 0) return top;
    weigh(s, logits, logits[top], temperature);
    prefix kept = first_tokens(s, top_k > 0 && top_k < s->vocab_size ? top_k : s->vocab_size);
    if (top_p < 1) kept = reach(s, kept, top_p * kept.mass, false);
    prefix drawn = reach(s, kept, u * kept.mass, true);
    return members_of(s, drawn.key)[drawn.inside - 1].id;
}
