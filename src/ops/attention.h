/* attention.h -- what the parts of attention share: the op's options, one head's view of its arrays, who sees
 * whom. The equations are in attention.c. */
#ifndef MOIRA_OPS_ATTENTION_H
#define MOIRA_OPS_ATTENTION_H

#include <omp.h>

#include "ops/dropout.h"
#include "ops/kernels.h"

typedef struct mo__attention {
    int64_t T, d, H, Hkv, window; /* window 0: all */
    mo_kv_cache *cache;
    mo__dropout dropout;
    int slots; /* threads that scratch has room for */
} mo__attention;

static inline int mo__attention_team(const mo__attention *a)
{
    int threads = mo_threads();
    return threads < a->slots ? threads : a->slots;
}

/* One head's view of the arrays of one sequence. */
typedef struct mo__head {
    const mo_real *q, *k, *v;
    const int32_t *starts;
    int64_t q_stride, kv_stride, d, past, window; /* query t is position past + t */
    mo_real scale, bits;                          /* 1 / sqrt(d), log2(e) / sqrt(d) */
    /* NULL without dropout; element of query t and key s: drop_first + t drop_stride + s. */
    const mo__dropout *dropout;
    const mo_run *run;
    uint64_t drop_first, drop_stride;
} mo__head;

/* Head `head` of the sequence whose query 0 is token `row` of the microbatch; keys and values begin at row
 * kv_row of k and v. */
mo__head mo__head_view(const mo__attention *a, const mo_node *node, const mo_run *run, const mo_real *k,
                       const mo_real *v, int64_t row, int64_t kv_row, int64_t head);

/* m of query t and keys s0 .. s0+n. */
static inline void mo__head_drops(const mo__head *h, int64_t t, int64_t s0, int64_t n, mo_real *m)
{
    mo__dropout_factors(h->dropout, h->run, h->drop_first + (uint64_t)t * h->drop_stride + (uint64_t)s0, n,
                        m);
}

/* The window's first key of query t is t + this, if that is not before all documents. */
static inline int32_t mo__window_shift(const mo__head *h)
{
    enum { NO_WINDOW = -(1 << 30) };
    if (h->window <= 0) return NO_WINDOW;
    return (int32_t)mo_max(h->past - h->window + 1, NO_WINDOW);
}

/* First key that query t sees. */
static inline int32_t mo__first_seen(const mo__head *h, int64_t t)
{
    int32_t start = h->past ? 0 : h->starts[t], in_window = (int32_t)t + mo__window_shift(h);
    return start > in_window ? start : in_window;
}

/* Smallest and largest first key of queries [t0, t1). */
typedef struct mo__firsts {
    int64_t least, most;
} mo__firsts;
static inline mo__firsts mo__first_keys(const mo__head *h, int64_t t0, int64_t t1)
{
    if (h->past) return (mo__firsts){mo__first_seen(h, t0), mo__first_seen(h, t1 - 1)};
    int32_t least = INT32_MAX, most = 0, shift = mo__window_shift(h);
#pragma omp simd reduction(min : least) reduction(max : most)
    for (int64_t t = t0; t < t1; t++) {
        int32_t in_window = (int32_t)t + shift, first = h->starts[t] > in_window ? h->starts[t] : in_window;
        least = first < least ? first : least;
        most = first > most ? first : most;
    }
    return (mo__firsts){least, most};
}

/* Scratch: the numbers that one thread needs, a multiple of 64 bytes; attention.c hands them out. */
int64_t mo__attention_forward_space(const mo__attention *a);
int64_t mo__attention_backward_space(const mo__attention *a);
int64_t mo__attention_decode_space(const mo__attention *a); /* of all threads, each sequence */

/* past: positions before query 0, whose keys and values begin k and v; kv_rows: of a sequence in k and v. */
void mo__attention_forward(const mo_node *node, const mo_run *run, const mo_real *k, const mo_real *v,
                           int64_t kv_rows, int64_t past);
/* A query of each sequence against its cache, which its own key and value have been added to. */
void mo__attention_decode(const mo_node *node);
void mo__attention_backward(const mo_node *node, const mo_run *run);

#endif
