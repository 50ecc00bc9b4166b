/* attention_backward.c -- gradients, MO_LANES keys at a time
 *   p_ts = 2^(c q_t . k_s - lse_t)      ds_ts = p_ts (do_t . v_s - D_t) / sqrt(d)
 *   dv_s = sum_t p_ts do_t      dk_s = sum_t ds_ts q_t      dq_t = sum_s ds_ts k_s
 * Keys lie in lanes: K^T and V^T are turned once per block of keys and meet rows of q and do where they lie;
 * p and ds [queries, keys] are the right sides of dv^T = do^T p and dk^T = q^T ds, which gather in cache over
 * all queries, and ds is the left side of dq = ds K, which is added to in memory block by block. Vectors of
 * keys that all come after a query are left out of its products.
 *
 * Every gradient is a chain of additions in an order of its own: dk and dv over heads, then queries; dq over
 * keys. So who computes it changes no bit, and there are two ways to share the work. Fused: a task is all of
 * a key-value head of a sequence, five products for each pair. Split, where there are too few such heads for
 * the threads: dq of a block of queries, then dk and dv of a block of keys, seven products. Either way the
 * keys and values of a block are read for the last time before their gradients are written, which may lie
 * there. */
#include "ops/attention.h"
#include "ops/attention_lanes.h"

enum { QUERIES = 96 };

/* All query heads of a key-value head of one sequence. */
typedef struct kv_group {
    const mo_node *node;
    const mo_run *run;
    int64_t row, kv_head; /* the sequence's first token */
    mo_real *D;           /* [N, H] D_t / sqrt(d) */
} kv_group;

/* One block of keys, and one thread's room. kt, vt, dkt, dvt: [d, MO_LANES]; kn: [MO_LANES, wide]; p, ds:
 * [QUERIES, MO_LANES]. */
typedef struct key_block {
    int64_t s0, s1;
    int used; /* vectors that have keys */
    mo__lane_ints key[MO_LANE_VECTORS];
    mo_real *kt, *vt, *kn, *dkt, *dvt, *p, *ds;
    bool begun; /* dkt and dvt have something */
} key_block;

/* One query head of a group, and which gradients are wanted; dq NULL: none. fresh: D is still to be made. */
typedef struct query_head {
    mo__head h;
    const mo_real *o, *dout, *lse;
    mo_real *D, *dq;
    bool add_dq, dk, dv, fresh;
    int64_t lse_stride;
} query_head;

static int64_t padded(int64_t d)
{
    return (d + MO_LANE - 1) / MO_LANE * MO_LANE;
}

int64_t mo__attention_backward_space(const mo__attention *a)
{
    return (4 * a->d + padded(a->d) + 2 * QUERIES) * MO_LANES + MO_LANE_ROWS * padded(a->d);
}

static query_head head_of(const kv_group *g, int64_t head, bool dq, bool dkv)
{
    const mo_node *node = g->node;
    const mo__attention *a = node->attr;
    int64_t at = (g->row * a->H + head) * a->d;
    mo_real *grad = node->in[0]->grad;
    return (query_head){
        .h = mo__head_view(a, node, g->run, node->in[1]->data, node->in[2]->data, g->row, g->row, head),
        .o = (const mo_real *)node->out[0]->data + at,
        .dout = node->out[0]->grad + at,
        .lse = (const mo_real *)node->out[1]->data + g->row * a->H + head,
        .D = g->D + g->row * a->H + head,
        .dq = dq && grad ? grad + at : NULL,
        .add_dq = node->accumulate[0],
        .dk = dkv && node->in[1]->grad,
        .dv = dkv && node->in[2]->grad,
        .fresh = dq && dkv,
        .lse_stride = a->H};
}

static void begin_block(key_block *b, const mo__head *h, int64_t s0, int64_t s1, mo_real *space)
{
    int64_t side = h->d * MO_LANES, wide = padded(h->d), n = s1 - s0;
    *b = (key_block){.s0 = s0, .s1 = s1, .used = (int)((n + MO_LANE - 1) / MO_LANE)};
    b->kt = space;
    b->vt = space + side;
    b->dkt = space + 2 * side;
    b->dvt = space + 3 * side;
    b->kn = space + 4 * side;
    b->p = b->kn + wide * MO_LANES;
    b->ds = b->p + QUERIES * MO_LANES;
    for (int64_t j = 0; j < MO_LANES; j++) b->key[j / MO_LANE][j % MO_LANE] = (mo__lane_int)(s0 + j);
    if (n % MO_LANE != 0) memset(b->kt, 0, (size_t)(2 * side) * sizeof *b->kt);
    mo__turn(n, h->d, h->k + s0 * h->kv_stride, h->kv_stride, b->kt, MO_LANES);
    mo__turn(n, h->d, h->v + s0 * h->kv_stride, h->kv_stride, b->vt, MO_LANES);
    for (int64_t s = 0; s < n; s++) {
        memcpy(b->kn + s * wide, h->k + (s0 + s) * h->kv_stride, (size_t)h->d * sizeof *b->kn);
        memset(b->kn + s * wide + h->d, 0, (size_t)(wide - h->d) * sizeof *b->kn);
    }
}

/* Vectors with a key that one of the queries before t sees. */
static int seen_vectors(const key_block *b, int64_t t)
{
    return (int)mo_min((t - 1 - b->s0) / MO_LANE + 1, b->used);
}

/* Scores and dp of query t become p and ds. */
static void gradient_row(const key_block *b, const query_head *q, int64_t t, int used, mo_real *p,
                         mo_real *ds)
{
    const mo__head *h = &q->h;
    mo_real lse = q->lse[t * q->lse_stride], D = q->D[t * q->lse_stride];
    mo__lane_int first = mo__first_seen(h, t), last = (mo__lane_int)t;
    bool masked = last < b->s0 + used * MO_LANE - 1 || first > b->s0;
    MO_ALIGNED mo_real m[MO_LANES];
    if (h->dropout) mo__head_drops(h, t, b->s0, used * MO_LANE, m);
    for (int v = 0; v < used; v++) {
        mo_vector *p_at = mo__lane_at(p, v), *ds_at = mo__lane_at(ds, v);
        mo_vector weight = mo__lane_exp2(*p_at * h->bits - lse), dropped = weight, dp = *ds_at;
        if (h->dropout) {
            dropped *= *mo__lane_at(m, v);
            dp *= *mo__lane_at(m, v);
        }
        mo_vector gradient = weight * (dp * h->scale - D);
        if (masked) {
            mo__lane_ints seen = (b->key[v] <= last) & (b->key[v] >= first);
            dropped = mo__lane_keep(seen, dropped);
            gradient = mo__lane_keep(seen, gradient);
        }
        *p_at = dropped;
        *ds_at = gradient;
    }
}

/* End of the queries from t on, in steps of MO_LANE_ROWS, that see the same vectors. */
static int64_t run_end(const key_block *b, int64_t t, int64_t t1)
{
    int64_t end = mo_min(t + MO_LANE_ROWS, t1);
    int used = seen_vectors(b, end);
    while (end < t1 && seen_vectors(b, mo_min(end + MO_LANE_ROWS, t1)) == used)
        end = mo_min(end + MO_LANE_ROWS, t1);
    return end;
}

/* p and ds of queries [t0, t1), rows from 0 on. */
static void probabilities(const key_block *b, const query_head *q, int64_t t0, int64_t t1)
{
    enum { AT_ONCE = 48 }; /* rows that stay in the first-level cache until they are looked at */
    const mo__head *h = &q->h;
    for (int64_t t = t0, end; t < t1; t = end) {
        end = mo_min(run_end(b, t, t1), t + AT_ONCE);
        int used = seen_vectors(b, end);
        mo_real *p = b->p + (t - t0) * MO_LANES, *ds = b->ds + (t - t0) * MO_LANES;
        mo__lanes_rows(end - t, used, h->d, h->q + t * h->q_stride, h->q_stride, b->kt, MO_LANES, false, p,
                       MO_LANES);
        mo__lanes_rows(end - t, used, h->d, q->dout + t * h->q_stride, h->q_stride, b->vt, MO_LANES, false,
                       ds, MO_LANES);
        for (int64_t i = 0; i < end - t; i++)
            gradient_row(b, q, t + i, used, p + i * MO_LANES, ds + i * MO_LANES);
    }
}

/* dq of rows [0, M) at t += ds K, over the first `keys` keys. */
static void add_queries(const key_block *b, const query_head *q, int64_t t, int64_t M, int64_t keys,
                        const mo_real *ds, bool add)
{
    const mo__head *h = &q->h;
    int64_t wide = padded(h->d);
    mo_real *dq = q->dq + t * h->q_stride;
    for (int64_t c = 0, vectors; c < h->d; c += vectors * MO_LANE) {
        vectors = (wide - c) / MO_LANE;
        vectors = vectors >= MO_WIDE_VECTORS && vectors % MO_LANE_VECTORS == 1
                      ? MO_WIDE_VECTORS
                      : mo_min(vectors, MO_LANE_VECTORS);
        if (c + vectors * MO_LANE <= h->d) {
            mo__lanes_rows(M, (int)vectors, keys, ds, MO_LANES, b->kn + c, wide, add, dq + c, h->q_stride);
            continue;
        }
        /* past d there are another head's numbers: a copy, with room */
        int64_t n = h->d - c;
        mo_real *copy = b->ds + QUERIES * MO_LANES;
        for (int64_t i = 0; i < M; i += MO_LANE_ROWS) {
            int64_t rows = mo_min(MO_LANE_ROWS, M - i);
            for (int64_t r = 0; r < rows && add; r++)
                memcpy(copy + r * wide, dq + (i + r) * h->q_stride + c, (size_t)n * sizeof *dq);
            mo__lanes_rows(rows, (int)vectors, keys, ds + i * MO_LANES, MO_LANES, b->kn + c, wide, add, copy,
                           wide);
            for (int64_t r = 0; r < rows; r++)
                memcpy(dq + (i + r) * h->q_stride + c, copy + r * wide, (size_t)n * sizeof *dq);
        }
    }
}

/* What queries [t0, t1) and the block's keys give to each other's gradients. add_dq: dq has something. */
static void meet(key_block *b, const query_head *q, int64_t t0, int64_t t1, bool add_dq)
{
    const mo__head *h = &q->h;
    probabilities(b, q, t0, t1);
    for (int64_t t = t0, end; t < t1; t = end) { /* runs of queries that see the same vectors */
        end = run_end(b, t, t1);
        int used = seen_vectors(b, end);
        const mo_real *p = b->p + (t - t0) * MO_LANES, *ds = b->ds + (t - t0) * MO_LANES;
        if (q->dv)
            mo__lanes_columns(h->d, used, end - t, q->dout + t * h->q_stride, h->q_stride, p, MO_LANES, true,
                              b->dvt, MO_LANES);
        if (q->dk)
            mo__lanes_columns(h->d, used, end - t, h->q + t * h->q_stride, h->q_stride, ds, MO_LANES, true,
                              b->dkt, MO_LANES);
        if (q->dq) add_queries(b, q, t, end - t, mo_min(used * MO_LANE, b->s1 - b->s0), ds, add_dq);
    }
}

/* D_t / sqrt(d) of queries [t0, t1). */
static void output_products(const query_head *q, int64_t t0, int64_t t1)
{
    const mo__head *h = &q->h;
    for (int64_t t = t0; t < t1; t++)
        q->D[t * q->lse_stride] =
            h->scale * mo_row_dot(q->o + t * h->q_stride, q->dout + t * h->q_stride, h->d);
}

/* Before a head's queries meet their first keys: D, and asks for the queries after them. */
static void first_meeting(const query_head *q, int64_t t0, int64_t t1, int64_t end)
{
    const mo__head *h = &q->h;
    int64_t next = mo_min(t1 + QUERIES, end);
    mo__want_rows(h->q, h->q_stride, t1, next, h->d);
    mo__want_rows(q->o, h->q_stride, t1, next, h->d);
    mo__want_rows(q->dout, h->q_stride, t1, next, h->d);
    if (q->dq) mo__want_rows_to_write(q->dq, h->q_stride, t1, next, h->d);
    output_products(q, t0, t1);
}

/* The block's keys with queries [begin, end) of one head, in pieces that begin at multiples of QUERIES. */
static void meet_all(key_block *b, const query_head *q, int64_t begin, int64_t end)
{
    for (int64_t t0 = mo_max(begin, b->s0), t1; t0 < end; t0 = t1) {
        t1 = mo_min((t0 / QUERIES + 1) * QUERIES, end);
        int64_t whole =
            t0 / QUERIES * QUERIES; /* the piece's first query, whether it sees the block or not */
        mo__firsts f = mo__first_keys(&q->h, whole, t1);
        if (f.least >= b->s1) continue;
        if (q->fresh && f.least >= b->s0) first_meeting(q, t0, t1, end);
        meet(b, q, t0, t1, q->add_dq || f.least < b->s0);
    }
}

static void write_keys(const key_block *b, const mo__head *h, const mo_real *gradient, bool add, mo_real *to)
{
    mo_real *room = b->p; /* [MO_LANES, d] does not fit if d is large: d in pieces */
    enum { PIECE = QUERIES };
    for (int64_t c = 0; c < h->d; c += PIECE) {
        int64_t n = mo_min(PIECE, h->d - c);
        mo__turn(n, b->s1 - b->s0, gradient + c * MO_LANES, MO_LANES, room, PIECE);
        for (int64_t s = b->s0; s < b->s1; s++) {
            mo_real *row = to + s * h->kv_stride + c;
            const mo_real *x = room + (s - b->s0) * PIECE;
            for (int64_t i = 0; i < n; i++) row[i] = add ? row[i] + x[i] : x[i];
        }
    }
}

/* dk and dv of a block of keys, and of all heads dq as far as it comes from them, where wanted. */
static void keys_gradient(const kv_group *g, int64_t block, bool dq, mo_real *space)
{
    const mo__attention *a = g->node->attr;
    int64_t group = a->H / a->Hkv;
    key_block b;
    query_head q = head_of(g, g->kv_head * group, dq, true);
    begin_block(&b, &q.h, mo__lanes_begin(a->T, block), mo__lanes_begin(a->T, block + 1), space);
    mo__want_rows(q.h.k, q.h.kv_stride, b.s1, mo_min(b.s1 + MO_LANES, a->T), a->d);
    mo__want_rows(q.h.v, q.h.kv_stride, b.s1, mo_min(b.s1 + MO_LANES, a->T), a->d);
    memset(b.dkt, 0, (size_t)(2 * a->d * MO_LANES) * sizeof *b.dkt);
    for (int64_t i = 0; i < group; i++) {
        q = head_of(g, g->kv_head * group + i, dq, true);
        meet_all(&b, &q, 0, a->T);
    }
    int64_t at = (g->row * a->Hkv + g->kv_head) * a->d;
    mo_tensor *const *in = g->node->in;
    if (q.dk) write_keys(&b, &q.h, b.dkt, g->node->accumulate[1], in[1]->grad + at);
    if (q.dv) write_keys(&b, &q.h, b.dvt, g->node->accumulate[2], in[2]->grad + at);
}

static void queries_gradient(const kv_group *g, int64_t head, int64_t t0, mo_real *space)
{
    const mo__attention *a = g->node->attr;
    query_head q = head_of(g, head, true, false);
    int64_t t1 = mo_min(t0 + QUERIES, a->T), first = mo__first_keys(&q.h, t0, t1).least;
    for (int64_t r = first / MO_LANES; mo__lanes_begin(a->T, r) < t1; r++) {
        key_block b;
        begin_block(&b, &q.h, mo__lanes_begin(a->T, r), mo__lanes_begin(a->T, r + 1), space);
        meet_all(&b, &q, t0, t1);
    }
}

static void fused(const mo_node *node, const mo_run *run, mo_real *D, mo_real *space)
{
    const mo__attention *a = node->attr;
    int64_t B = node->in[0]->dim[0] / a->T, room = mo__attention_backward_space(a);
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(mo__attention_team(a))
    for (int64_t b = 0; b < B; b++)
        for (int64_t kv_head = 0; kv_head < a->Hkv; kv_head++) {
            kv_group g = {node, run, b * a->T, kv_head, D};
            for (int64_t r = 0; r < mo__lanes_count(a->T); r++)
                keys_gradient(&g, r, true, space + omp_get_thread_num() * room);
        }
}

static void split(const mo_node *node, const mo_run *run, mo_real *D, mo_real *space)
{
    const mo__attention *a = node->attr;
    int64_t B = node->in[0]->dim[0] / a->T, room = mo__attention_backward_space(a);
    int64_t chunks = (a->T + QUERIES - 1) / QUERIES, group = a->H / a->Hkv;
#pragma omp parallel num_threads(mo__attention_team(a))
    {
#pragma omp for collapse(2) schedule(static)
        for (int64_t b = 0; b < B; b++)
            for (int64_t head = 0; head < a->H; head++) {
                query_head q = head_of(&(kv_group){node, run, b * a->T, head / group, D}, head, true, true);
                output_products(&q, 0, a->T);
            }
        mo_real *mine = space + omp_get_thread_num() * room;
#pragma omp for collapse(3) schedule(dynamic, 1)
        for (int64_t r = 0; r < chunks; r++)
            for (int64_t b = 0; b < B; b++)
                for (int64_t head = 0; head < a->H; head++)
                    if (node->in[0]->grad)
                        queries_gradient(&(kv_group){node, run, b * a->T, head / group, D}, head,
                                         (chunks - 1 - r) * QUERIES, mine);
#pragma omp for collapse(3) schedule(dynamic, 1)
        for (int64_t r = 0; r < mo__lanes_count(a->T); r++) /* longest first */
            for (int64_t b = 0; b < B; b++)
                for (int64_t kv_head = 0; kv_head < a->Hkv; kv_head++)
                    keys_gradient(&(kv_group){node, run, b * a->T, kv_head, D}, r, false, mine);
    }
}

void mo__attention_backward(const mo_node *node, const mo_run *run)
{
    const mo__attention *a = node->attr;
    int64_t tasks = node->in[0]->dim[0] / a->T * a->Hkv, team = mo__attention_team(a);
    mo_real *space = node->scratch, *D = space + a->slots * mo__attention_backward_space(a);
    /* Fused keeps team * rounds threads busy or waiting for five products; split needs seven. */
    int64_t rounds = (tasks + team - 1) / team;
    if (5 * rounds * team <= 7 * tasks)
        fused(node, run, D, space);
    else
        split(node, run, D, space);
}
