/* attention_decode.c -- one query of each head of each sequence against its cache
 *   s_s = q . k_s / sqrt(d)      o = sum_s 2^(c (s_s - m)) v_s / sum_s 2^(c (s_s - m))
 * Bound by reading k and v, which all query heads of a key-value head share and are read once. Keys are cut
 * into spans of SPAN; each has a maximum, a sum and an output of its own, which are then brought under one
 * maximum and added in order, so the bits do not depend on the threads.
 * Threads: over (sequence, key-value head, span), then over heads. */
#include "ops/attention.h"
#include "ops/attention_lanes.h"

enum { SPAN = 256 };

/* Of one head and span: maximum, sum, then o_d. */
static int64_t part_size(const mo__attention *a)
{
    return 2 + a->d;
}

static int64_t spans_of(int64_t keys)
{
    return (keys + SPAN - 1) / SPAN;
}

int64_t mo__attention_decode_space(const mo__attention *a)
{
    return a->H * spans_of(a->cache->capacity) * part_size(a);
}

/* s[n] = q . k_s, four keys at a time, so that their sums go on side by side. */
static void score_keys(const mo_real *q, const mo_real *k, int64_t stride, int64_t n, int64_t d, mo_real *s)
{
    int64_t i = 0;
    for (; i + 4 <= n; i += 4, k += 4 * stride) {
        const mo_real *k1 = k + stride, *k2 = k1 + stride, *k3 = k2 + stride;
        mo_real s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (int64_t c = 0; c < d; c++) {
            s0 += q[c] * k[c];
            s1 += q[c] * k1[c];
            s2 += q[c] * k2[c];
            s3 += q[c] * k3[c];
        }
        s[i] = s0;
        s[i + 1] = s1;
        s[i + 2] = s2;
        s[i + 3] = s3;
    }
    for (; i < n; i++, k += stride) s[i] = mo_row_dot(q, k, d);
}

/* o_d = sum_s p_s v_s. */
static void add_values(const mo_real *p, const mo_real *v, int64_t stride, int64_t n, int64_t d, mo_real *o)
{
    for (int64_t c = 0; c < d; c++) o[c] = 0;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const mo_real *v0 = v + i * stride, *v1 = v0 + stride, *v2 = v1 + stride, *v3 = v2 + stride;
#pragma omp simd
        for (int64_t c = 0; c < d; c++)
            o[c] = o[c] + p[i] * v0[c] + p[i + 1] * v1[c] + (p[i + 2] * v2[c] + p[i + 3] * v3[c]);
    }
    for (; i < n; i++)
#pragma omp simd
        for (int64_t c = 0; c < d; c++) o[c] += p[i] * v[i * stride + c];
}

/* What keys [s0, s1), at most SPAN, give to a head. */
static void attend_span(const mo__head *h, int64_t s0, int64_t s1, mo_real *part)
{
    mo_real p[SPAN], sum = 0;
    MO_ASSERT(s1 > s0);
    int64_t n = s1 - s0;
    score_keys(h->q, h->k + s0 * h->kv_stride, h->kv_stride, n, h->d, p);
    mo_real maximum = mo_row_max(p, n), bits = h->scale;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        p[i] = mo_exp((p[i] - maximum) * bits);
        sum += p[i];
    }
    part[0] = maximum;
    part[1] = sum;
    add_values(p, h->v + s0 * h->kv_stride, h->kv_stride, n, h->d, part + 2);
}

static void join_spans(const mo__head *h, int64_t count, const mo_real *parts, int64_t size, mo_real *o,
                       mo_real *lse)
{
    mo_real maximum = parts[0], sum = 0;
    for (int64_t i = 1; i < count; i++) maximum = mo_fmax(maximum, parts[i * size]);
    for (int64_t c = 0; c < h->d; c++) o[c] = 0;
    for (int64_t i = 0; i < count; i++) {
        const mo_real *part = parts + i * size;
        mo_real weight = mo_exp((part[0] - maximum) * h->scale);
        sum += weight * part[1];
        for (int64_t c = 0; c < h->d; c++) o[c] += weight * part[2 + c];
    }
    for (int64_t c = 0; c < h->d; c++) o[c] /= sum;
    *lse = maximum * h->bits + mo_ln(sum) * MO_C(1.44269504088896341);
}

static mo__head head_of(const mo__attention *a, const mo_node *node, int64_t b, int64_t head)
{
    return mo__head_view(a, node, &(mo_run){0}, a->cache[b].k, a->cache[b].v, b, 0, head);
}

/* Which keys the query of sequence b sees, and the spans that have any. */
typedef struct seen {
    int64_t first, end, begin, count;
} seen;

static seen seen_by(const mo__attention *a, const mo_node *node, int64_t b)
{
    mo__head h = head_of(a, node, b, 0);
    h.past = a->cache[b].length;
    seen s = {.first = mo__first_seen(&h, 0), .end = h.past + 1};
    s.begin = s.first / SPAN;
    s.count = spans_of(s.end) - s.begin;
    return s;
}

/* parts [B, H, spans of the capacity] */
void mo__attention_decode(const mo_node *node)
{
    const mo__attention *a = node->attr;
    mo_real *parts = node->scratch, *o = node->out[0]->data, *lse = node->out[1]->data;
    int64_t B = node->in[0]->dim[0], group = a->H / a->Hkv, size = part_size(a), most = 0,
            room = spans_of(a->cache->capacity) * size;
    for (int64_t b = 0; b < B; b++) most = mo_max(most, seen_by(a, node, b).count);
#pragma omp parallel
    {
#pragma omp for collapse(3) schedule(dynamic, 1)
        for (int64_t b = 0; b < B; b++)
            for (int64_t kv_head = 0; kv_head < a->Hkv; kv_head++)
                for (int64_t i = 0; i < most; i++) {
                    seen s = seen_by(a, node, b);
                    if (i >= s.count) continue;
                    int64_t s0 = mo_max((s.begin + i) * SPAN, s.first),
                            s1 = mo_min((s.begin + i + 1) * SPAN, s.end);
                    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
                        mo__head h = head_of(a, node, b, head);
                        attend_span(&h, s0, s1, parts + (b * a->H + head) * room + i * size);
                    }
                }
#pragma omp for schedule(static)
        for (int64_t r = 0; r < B * a->H; r++) {
            mo__head h = head_of(a, node, r / a->H, r % a->H);
            join_spans(&h, seen_by(a, node, r / a->H).count, parts + r * room, size, o + r * a->d, lse + r);
        }
    }
}
