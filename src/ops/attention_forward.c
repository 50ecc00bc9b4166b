/* attention_forward.c -- softmax of scores times values, MO_LANES queries at a time
 *   m_t = max_s s_ts      l_t = sum_s 2^(c (s_ts - m_t)), c = log2(e) / sqrt(d)      o_t = sum_s 2^.. v_s /
 * l_t Queries lie in lanes: S^T = K Q^T [keys, queries], and o^T = V^T S^T [d, queries], so maxima, sums and
 * rescaling are elementwise, K and V are read where they lie, and a block of queries is turned once on its
 * way in and once on its way out. Keys come in blocks of KEYS, cut at their multiples; when a block raises a
 * query's maximum, what was summed before shrinks. Vectors of queries that all lie before a key are left out
 * of its products. What a query gets does not depend on the queries beside it. */
#include "ops/attention.h"
#include "ops/attention_lanes.h"

enum { KEYS = 96 };

typedef struct query_block {
    const mo__head *h;
    int64_t t0, t1, base; /* queries; the position of t0 */
    int used;             /* vectors that have queries */
    mo__firsts firsts;
    mo_real *qt, *ot, *p; /* [d, MO_LANES], the same, [KEYS, MO_LANES] */
    mo__lane_ints position[MO_LANE_VECTORS], first[MO_LANE_VECTORS];
    mo_vector maximum[MO_LANE_VECTORS], sum[MO_LANE_VECTORS];
    int64_t rows[MO_LANE_VECTORS]; /* keys of the block that a vector meets */
} query_block;

int64_t mo__attention_forward_space(const mo__attention *a)
{
    return (2 * a->d + KEYS) * MO_LANES;
}

/* Finite, so that less the maximum is no NaN; far below any score. */
#define NOTHING MO_C(-1e30)

static void begin_block(query_block *b, const mo__head *h, int64_t t0, int64_t t1, mo_real *space)
{
    *b = (query_block){.h = h, .t0 = t0, .t1 = t1, .base = h->past + t0};
    b->used = (int)((t1 - t0 + MO_LANE - 1) / MO_LANE);
    b->firsts = mo__first_keys(h, t0, t1);
    b->qt = space;
    b->ot = space + h->d * MO_LANES;
    b->p = b->ot + h->d * MO_LANES;
    for (int64_t j = 0; j < MO_LANES; j++) { /* lanes without a query take the last one's place */
        int64_t t = mo_min(t0 + j, t1 - 1);
        b->position[j / MO_LANE][j % MO_LANE] = (mo__lane_int)(h->past + t);
        b->first[j / MO_LANE][j % MO_LANE] = (mo__lane_int)mo__first_seen(h, t);
    }
    for (int v = 0; v < MO_LANE_VECTORS; v++) b->maximum[v] = (mo_vector){0} + NOTHING;
    if ((t1 - t0) % MO_LANE != 0) memset(b->qt, 0, (size_t)(h->d * MO_LANES) * sizeof *b->qt);
    mo__turn(t1 - t0, h->d, h->q + t0 * h->q_stride, h->q_stride, b->qt, MO_LANES);
}

/* First vector with a query that is not before key s. */
static int first_vector(const query_block *b, int64_t s)
{
    return s > b->base ? (int)((s - b->base) / MO_LANE) : 0;
}

/* Scores of keys [s, s + n) and vector v that a query does not see become -infinity. */
static void mask_scores(const query_block *b, int v, int64_t s, int64_t n, mo_real *scores)
{
    const mo_vector never = (mo_vector){0} - (mo_real)INFINITY;
    for (int64_t i = 0; i < n; i++) {
        mo__lane_int key = (mo__lane_int)(s + i);
        mo__lane_ints seen = (b->position[v] >= key) & (b->first[v] <= key);
        mo_vector *at = mo__lane_at(scores + i * MO_LANES, v);
        *at = mo__lane_choose(seen, *at, never);
    }
}

static void scores(query_block *b, int64_t s0, int64_t s1)
{
    const mo__head *h = b->h;
    for (int64_t s = s0; s < s1; s += MO_LANE_ROWS) {
        int64_t n = mo_min(MO_LANE_ROWS, s1 - s);
        int from = first_vector(b, s);
        mo_real *tile = b->p + (s - s0) * MO_LANES;
        mo__lanes_rows(n, b->used - from, h->d, h->k + s * h->kv_stride, h->kv_stride, b->qt + from * MO_LANE,
                       MO_LANES, false, tile + from * MO_LANE, MO_LANES);
        for (int v = from; v < b->used; v++) {
            b->rows[v] = s - s0 + n;
            if (s < b->firsts.most || b->base + v * MO_LANE < s + n - 1) mask_scores(b, v, s, n, tile);
        }
    }
}

/* At least `least`; NaN is passed over. */
static mo_vector column_max(const mo_real *column, int64_t rows, mo_vector least)
{
    const mo_vector *x = (const mo_vector *)column;
    mo_vector a = least, b = least, c = least, d = least;
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        a = mo__lane_max(x[i * MO_LANE_VECTORS], a);
        b = mo__lane_max(x[(i + 1) * MO_LANE_VECTORS], b);
        c = mo__lane_max(x[(i + 2) * MO_LANE_VECTORS], c);
        d = mo__lane_max(x[(i + 3) * MO_LANE_VECTORS], d);
    }
    for (; i < rows; i++) a = mo__lane_max(x[i * MO_LANE_VECTORS], a);
    return mo__lane_max(mo__lane_max(a, b), mo__lane_max(c, d));
}

/* Vector v's sums so far, under a larger maximum. */
static void shrink(query_block *b, int v, mo_vector maximum)
{
    mo_vector factor = mo__lane_exp2((b->maximum[v] - maximum) * b->h->bits);
    b->sum[v] *= factor;
    for (int64_t c = 0; c < b->h->d; c++) *mo__lane_at(b->ot + c * MO_LANES, v) *= factor;
}

/* Scores become 2^(c (s - m)), and are added up. */
static void fold(query_block *b, int v, bool first_block)
{
    mo_real *column = b->p + v * MO_LANE, bits = b->h->bits;
    mo_vector maximum = column_max(column, b->rows[v], b->maximum[v]);
    if (!first_block && memcmp(&maximum, &b->maximum[v], sizeof maximum) != 0) shrink(b, v, maximum);
    b->maximum[v] = maximum;
    mo_vector sum = b->sum[v];
    for (int64_t i = 0; i < b->rows[v]; i++) {
        mo_vector *at = (mo_vector *)(column + i * MO_LANES);
        *at = mo__lane_exp2((*at - maximum) * bits);
        sum += *at;
    }
    b->sum[v] = sum;
}

static void drop(const query_block *b, int64_t s0, int64_t s1)
{
    mo_real m[KEYS];
    for (int64_t t = b->t0; t < b->t1; t++) {
        mo__head_drops(b->h, t, s0, s1 - s0, m);
        mo_real *column = b->p + (t - b->t0);
        int64_t rows = b->rows[(t - b->t0) / MO_LANE];
        for (int64_t i = 0; i < rows; i++) column[i * MO_LANES] *= m[i];
    }
}

/* o^T (+)= V^T p, key by key with the vectors that see them. */
static void add_values(query_block *b, int64_t s0, int64_t s1, bool first_block)
{
    const mo__head *h = b->h;
    bool add = !first_block;
    for (int64_t s = s0, end; s < s1; s = end, add = true) {
        int from = first_vector(b, s);
        for (end = s; end < s1 && first_vector(b, end) == from;) end = mo_min(end + MO_LANE_ROWS, s1);
        mo__lanes_columns(h->d, b->used - from, end - s, h->v + s * h->kv_stride, h->kv_stride,
                          b->p + (s - s0) * MO_LANES + from * MO_LANE, MO_LANES, add, b->ot + from * MO_LANE,
                          MO_LANES);
    }
}

static void end_block(query_block *b, mo_real *o, mo_real *lse, int64_t lse_stride)
{
    const mo__head *h = b->h;
    MO_ALIGNED mo_real bits[MO_LANES];
    for (int v = 0; v < b->used; v++) {
        mo_vector inverse = MO_C(1) / b->sum[v];
        for (int64_t c = 0; c < h->d; c++) *mo__lane_at(b->ot + c * MO_LANES, v) *= inverse;
        memcpy(bits + v * MO_LANE, &b->sum[v], sizeof b->sum[v]);
    }
    int64_t n = b->t1 - b->t0;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) bits[j] = mo_ln(bits[j]) * MO_C(1.44269504088896341);
    for (int64_t j = 0; j < n; j++)
        lse[(b->t0 + j) * lse_stride] = b->maximum[j / MO_LANE][j % MO_LANE] * h->bits + bits[j];
    mo__turn(h->d, n, b->ot, MO_LANES, o + b->t0 * h->q_stride, h->q_stride);
}

/* Asks for rows [t0, t1) of d numbers, for writing or reading, before they are needed. */
static void want_rows(const mo_real *x, int64_t stride, int64_t t0, int64_t t1, int64_t d, bool write)
{
    enum { LINE = 64 / sizeof(mo_real) };
    for (int64_t t = t0; t < t1; t++)
        for (int64_t c = 0; c < d; c += LINE) {
            if (write)
                __builtin_prefetch(x + t * stride + c, 1);
            else
                __builtin_prefetch(x + t * stride + c, 0);
        }
}

static void attend(const mo__head *h, int64_t t0, int64_t t1, mo_real *o, mo_real *lse, int64_t lse_stride,
                   bool more, mo_real *space)
{
    query_block b;
    begin_block(&b, h, t0, t1, space);
    want_rows(o, h->q_stride, t0, t1, h->d, true);
    if (more) want_rows(h->q + h->d, h->q_stride, t0, t1, h->d, false); /* the next head's */
    bool first_block = true;
    int64_t end = h->past + t1;
    for (int64_t s0 = b.firsts.least, s1; s0 < end; s0 = s1, first_block = false) {
        s1 = mo_min((s0 / KEYS + 1) * KEYS, end);
        scores(&b, s0, s1);
        for (int v = first_vector(&b, s0); v < b.used; v++) fold(&b, v, first_block);
        if (h->dropout) drop(&b, s0, s1);
        add_values(&b, s0, s1, first_block);
    }
    end_block(&b, o, lse, lse_stride);
}

void mo__attention_forward(const mo_node *node, const mo_run *run, const mo_real *k, const mo_real *v,
                           int64_t kv_rows, int64_t past)
{
    const mo__attention *a = node->attr;
    mo_real *o = node->out[0]->data, *lse = node->out[1]->data, *scratch = node->scratch;
    int64_t blocks = (a->T + MO_LANES - 1) / MO_LANES, group = a->H / a->Hkv, B = node->in[0]->dim[0] / a->T,
            space = mo__attention_forward_space(a);
#pragma omp parallel for collapse(3) schedule(dynamic, 1) num_threads(mo__attention_team(a))
    for (int64_t b = 0; b < B; b++)
        for (int64_t kv_head = 0; kv_head < a->Hkv; kv_head++)
            for (int64_t r = 0; r < blocks; r++) {
                int64_t t0 = (blocks - 1 - r) * MO_LANES, row = b * a->T; /* longest first */
                for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
                    mo__head h = mo__head_view(a, node, run, k, v, row, b * kv_rows, head);
                    h.past = past;
                    attend(&h, t0, mo_min(t0 + MO_LANES, a->T), o + (row * a->H + head) * a->d,
                           lse + row * a->H + head, a->H, head + 1 < (kv_head + 1) * group,
                           scratch + omp_get_thread_num() * space);
                }
            }
}
