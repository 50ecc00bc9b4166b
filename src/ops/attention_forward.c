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

/* What all heads of the group share. */
static query_block place_block(const mo__head *h, int64_t t0, int64_t t1, mo_real *space)
{
    query_block b = {.t0 = t0,
                     .t1 = t1,
                     .base = h->past + t0,
                     .used = (int)((t1 - t0 + MO_LANE - 1) / MO_LANE),
                     .firsts = mo__first_keys(h, t0, t1),
                     .qt = space,
                     .ot = space + h->d * MO_LANES,
                     .p = space + 2 * h->d * MO_LANES};
    mo__lane_int position[MO_LANES], first[MO_LANES] = {0};
    for (int j = 0; j < MO_LANES; j++) position[j] = (mo__lane_int)b.base + j;
    for (int64_t t = t0; t < t1; t++) first[t - t0] = mo__first_seen(h, t);
    memcpy(b.position, position, sizeof position);
    memcpy(b.first, first, sizeof first);
    return b;
}

static void begin_head(query_block *b, const mo__head *h)
{
    b->h = h;
    for (int v = 0; v < MO_LANE_VECTORS; v++) {
        b->maximum[v] = (mo_vector){0} + NOTHING;
        b->sum[v] = (mo_vector){0};
    }
    if ((b->t1 - b->t0) % MO_LANE != 0) memset(b->qt, 0, (size_t)(h->d * MO_LANES) * sizeof *b->qt);
    mo__turn(b->t1 - b->t0, h->d, h->q + b->t0 * h->q_stride, h->q_stride, b->qt, MO_LANES);
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

/* End of the keys from s on, in steps of MO_LANE_ROWS, that the same vectors meet. */
static int64_t run_end(const query_block *b, int64_t s, int64_t s1)
{
    int from = first_vector(b, s);
    int64_t end = mo_min(s + MO_LANE_ROWS, s1);
    while (end < s1 && first_vector(b, end) == from) end = mo_min(end + MO_LANE_ROWS, s1);
    return end;
}

static void scores(query_block *b, int64_t s0, int64_t s1)
{
    const mo__head *h = b->h;
    for (int64_t s = s0, end; s < s1; s = end) {
        end = run_end(b, s, s1);
        int from = first_vector(b, s);
        mo_real *rows = b->p + (s - s0) * MO_LANES;
        mo__lanes_rows(end - s, b->used - from, h->d, h->k + s * h->kv_stride, h->kv_stride,
                       b->qt + from * MO_LANE, MO_LANES, false, rows + from * MO_LANE, MO_LANES);
        for (int v = from; v < b->used; v++) {
            b->rows[v] = end - s0;
            if (s < b->firsts.most || b->base + v * MO_LANE < end - 1) mask_scores(b, v, s, end - s, rows);
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
        end = run_end(b, s, s1);
        int from = first_vector(b, s);
        mo__lanes_columns(h->d, b->used - from, end - s, h->v + s * h->kv_stride, h->kv_stride,
                          b->p + (s - s0) * MO_LANES + from * MO_LANE, MO_LANES, add, b->ot + from * MO_LANE,
                          MO_LANES);
    }
}

static void end_head(query_block *b, mo_real *o, mo_real *lse, int64_t lse_stride)
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

/* first, last: of the heads of the group. What comes next from far away is asked for beforehand: the first
 * head's keys and values, the next head's queries, and what is written. */
static void attend(query_block *b, const mo__head *h, mo_real *o, mo_real *lse, int64_t lse_stride,
                   bool first, bool last)
{
    begin_head(b, h);
    mo__want_rows_to_write(o, h->q_stride, b->t0, b->t1, h->d);
    if (!last) mo__want_rows(h->q + h->d, h->q_stride, b->t0, b->t1, h->d);
    bool first_block = true;
    int64_t end = h->past + b->t1;
    for (int64_t s0 = b->firsts.least, s1; s0 < end; s0 = s1, first_block = false) {
        s1 = mo_min((s0 / KEYS + 1) * KEYS, end);
        if (first) {
            mo__want_rows(h->k, h->kv_stride, s1, mo_min(s1 + KEYS, end), h->d);
            mo__want_rows(h->v, h->kv_stride, s1, mo_min(s1 + KEYS, end), h->d);
        }
        scores(b, s0, s1);
        for (int v = first_vector(b, s0); v < b->used; v++) fold(b, v, first_block);
        if (h->dropout) drop(b, s0, s1);
        add_values(b, s0, s1, first_block);
    }
    end_head(b, o, lse, lse_stride);
}

typedef struct keys_values {
    const mo_real *k, *v;
    int64_t rows, past; /* of a sequence; positions before query 0 */
} keys_values;

/* Block r of the queries of a group of heads. */
static void attend_group(const mo_node *node, const mo_run *run, const keys_values *kv, int64_t sequence,
                         int64_t kv_head, int64_t r, mo_real *space)
{
    const mo__attention *a = node->attr;
    int64_t row = sequence * a->T, group = a->H / a->Hkv, end = (kv_head + 1) * group;
    query_block b;
    for (int64_t head = kv_head * group; head < end; head++) {
        mo__head h = mo__head_view(a, node, run, kv->k, kv->v, row, sequence * kv->rows, head);
        h.past = kv->past;
        if (head == kv_head * group)
            b = place_block(&h, mo__lanes_begin(a->T, r), mo__lanes_begin(a->T, r + 1), space);
        attend(&b, &h, (mo_real *)node->out[0]->data + (row * a->H + head) * a->d,
               (mo_real *)node->out[1]->data + row * a->H + head, a->H, head == kv_head * group,
               head == end - 1);
    }
}

void mo__attention_forward(const mo_node *node, const mo_run *run, const mo_real *k, const mo_real *v,
                           int64_t kv_rows, int64_t past)
{
    const mo__attention *a = node->attr;
    const keys_values kv = {k, v, kv_rows, past};
    mo_real *scratch = node->scratch;
    int64_t blocks = mo__lanes_count(a->T), B = node->in[0]->dim[0] / a->T;
    int64_t space = mo__attention_forward_space(a);
#pragma omp parallel for collapse(3) schedule(dynamic, 1) num_threads(mo__attention_team(a))
    for (int64_t b = 0; b < B; b++)
        for (int64_t kv_head = 0; kv_head < a->Hkv; kv_head++)
            for (int64_t r = 0; r < blocks; r++) /* longest first */
                attend_group(node, run, &kv, b, kv_head, blocks - 1 - r,
                             scratch + omp_get_thread_num() * space);
}
