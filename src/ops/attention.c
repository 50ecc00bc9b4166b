/* attention.c -- causal grouped-query attention in blocks with an online softmax
 *   (FlashAttention: Dao 2022, arXiv:2205.14135; online softmax: Milakov & Gimelshein 2018, arXiv:1805.02867)
 *   s_ts = q_t . k_s / sqrt(d)  for first_t <= s <= t      p_ts = exp(s_ts - lse_t)      o_t = sum_s p_ts v_s
 *   first_t = max(start_t, t - window + 1): a window of the last keys, t's own included (Longformer: Beltagy
 *   et al. 2020, arXiv:2004.05150; as in Mistral 7B: Jiang et al. 2023, arXiv:2310.06825)
 *   D_t  = do_t . o_t           ds_ts = p_ts (do_t . v_s - D_t)
 *   dq_t = sum_s ds_ts k_s / sqrt(d)    dk_s = sum_t ds_ts q_t / sqrt(d)    dv_s = sum_t p_ts do_t
 * With dropout, m_ts = 0 or 1 / (1 - dropout) (dropout.h): p_ts m_ts takes the place of p_ts in o_t and dv_s,
 * and m_ts do_t . v_s that of do_t . v_s; lse_t and D_t stay what they are. The stream's element of m_ts is
 * (t H + head) 4 ceil(T / 4) + s, t counted in the step and s in its sequence.
 * q [N, H d], k and v [N, Hkv d], starts_N in; o [N, H d] and lse [N, H] out. No T x T matrix: a block of
 * QUERIES rows meets one block of KEYS columns at a time, both products through one-thread GEMM tiles; key
 * blocks that lie before every first_t of the rows are not visited.
 * Threads: forward over (sequence, head, query block); backward over (sequence, kv head), which owns its dq,
 * dk and dv, so nothing is added across threads. */
#include "ops/dropout.h"
#include "ops/kernels.h"

enum { QUERIES = 64, KEYS = 128 };

typedef struct {
    int64_t T, d, H, Hkv, window; /* window 0: all */
    mo_kv_cache *cache;
    mo__dropout dropout;
} attention_attr;

/* One head's view of the arrays of one sequence. */
typedef struct {
    const mo_real *q, *k, *v;
    const int32_t *starts;
    int64_t q_stride, kv_stride, d, past, window; /* query t is position past + t */
    mo_real scale;
    /* NULL without dropout; element of query t and key s: drop_first + t drop_stride + s. */
    const mo__dropout *dropout;
    const mo_run *run;
    uint64_t drop_first, drop_stride;
} head_view;

/* What to drop of one head, whose query 0 is token `row` of the microbatch. */
static void set_dropout(head_view *h, const attention_attr *a, const mo_run *run, int64_t row, int64_t head)
{
    if (a->dropout.p <= 0 || !run->training) return;
    uint64_t keys = (uint64_t)(a->T + 3) / 4 * 4; /* so that a block of keys begins a Philox call */
    h->dropout = &a->dropout;
    h->run = run;
    h->drop_stride = (uint64_t)a->H * keys;
    h->drop_first = (uint64_t)(run->first_token + row) * h->drop_stride + (uint64_t)head * keys;
}

/* m of query t and keys s0 .. s0+n. */
static void drop_factors(const head_view *h, int64_t t, int64_t s0, int64_t n, mo_real *m)
{
    mo__dropout_factors(h->dropout, h->run, h->drop_first + (uint64_t)t * h->drop_stride + (uint64_t)s0, n,
                        m);
}

/* First key that query t sees. */
static int64_t first_seen(const head_view *h, int64_t t)
{
    int64_t start = h->past ? 0 : h->starts[t];
    return h->window > 0 ? mo_max(start, h->past + t - h->window + 1) : start;
}

/* First key that any of queries [t0, t1) sees. */
static int64_t first_key(const head_view *h, int64_t t0, int64_t t1)
{
    int64_t first = first_seen(h, t0);
    for (int64_t t = t0 + 1; t < t1; t++) first = mo_min(first, first_seen(h, t));
    return first;
}

/* s[t1-t0, KEYS] = scaled scores of keys [s0, s1), -inf where masked. */
static void scores(mo_real *s, const head_view *h, int64_t t0, int64_t t1, int64_t s0, int64_t s1)
{
    mo_gemm_tile(false, true, t1 - t0, s1 - s0, h->d, h->scale, h->q + t0 * h->q_stride, h->q_stride,
                 h->k + s0 * h->kv_stride, h->kv_stride, 0, s, KEYS);
    for (int64_t t = t0; t < t1; t++) {
        mo_real *row = s + (t - t0) * KEYS;
        int64_t begin = first_seen(h, t), end = h->past + t + 1;
        for (int64_t j = s0; j < mo_min(begin, s1); j++) row[j - s0] = -(mo_real)INFINITY;
        for (int64_t j = mo_max(end, s0); j < s1; j++) row[j - s0] = -(mo_real)INFINITY;
    }
}

/* Folds scores row[n] into the running maximum and sum of a query; row becomes exp(row - maximum). Returns
 * what the output so far must be multiplied by. A row that is masked whole changes nothing. */
static mo_real fold_row(mo_real *row, int64_t n, mo_real *maximum, mo_real *sum)
{
    mo_real m = mo_fmax(*maximum, mo_row_max(row, n)), added = 0;
    if (m == -(mo_real)INFINITY) {
        memset(row, 0, (size_t)n * sizeof *row);
        return 1;
    }
#pragma omp simd reduction(+ : added)
    for (int64_t j = 0; j < n; j++) {
        row[j] = mo_exp(row[j] - m);
        added += row[j];
    }
    mo_real shrink = *maximum == -(mo_real)INFINITY ? 0 : mo_exp(*maximum - m);
    *sum = *sum * shrink + added;
    *maximum = m;
    return shrink;
}

static void drop_row(mo_real *row, const head_view *h, int64_t t, int64_t s0, int64_t n)
{
    mo_real m[KEYS];
    drop_factors(h, t, s0, n, m);
    for (int64_t j = 0; j < n; j++) row[j] *= m[j];
}

static void attend_block(mo_real *o, int64_t o_stride, mo_real *lse, int64_t lse_stride, const head_view *h,
                         int64_t t0, int64_t t1)
{
    mo_real s[QUERIES * KEYS], maximum[QUERIES], sum[QUERIES];
    for (int64_t i = 0; i < t1 - t0; i++) {
        maximum[i] = -(mo_real)INFINITY;
        sum[i] = 0;
        memset(o + (t0 + i) * o_stride, 0, (size_t)h->d * sizeof *o);
    }
    int64_t end = h->past + t1;
    for (int64_t s0 = first_key(h, t0, t1) / KEYS * KEYS; s0 < end; s0 += KEYS) {
        int64_t s1 = mo_min(s0 + KEYS, end);
        scores(s, h, t0, t1, s0, s1);
        for (int64_t i = 0; i < t1 - t0; i++) {
            mo_real shrink = fold_row(s + i * KEYS, s1 - s0, &maximum[i], &sum[i]);
            mo_real *row = o + (t0 + i) * o_stride;
            if (shrink != MO_C(1))
                for (int64_t c = 0; c < h->d; c++) row[c] *= shrink;
            if (h->dropout) drop_row(s + i * KEYS, h, t0 + i, s0, s1 - s0);
        }
        mo_gemm_tile(false, false, t1 - t0, h->d, s1 - s0, 1, s, KEYS, h->v + s0 * h->kv_stride, h->kv_stride,
                     1, o + t0 * o_stride, o_stride);
    }
    for (int64_t i = 0; i < t1 - t0; i++) {
        mo_real *row = o + (t0 + i) * o_stride, inverse = 1 / sum[i];
        for (int64_t c = 0; c < h->d; c++) row[c] *= inverse;
        lse[(t0 + i) * lse_stride] = maximum[i] + mo_ln(sum[i]);
    }
}

static void attention_fwd(mo_real *o, mo_real *lse, const mo_real *q, const mo_real *k, const mo_real *v,
                          const int32_t *starts, int64_t kv_rows, int64_t past, int64_t B,
                          const attention_attr *a, const mo_run *run)
{
    int64_t blocks = (a->T + QUERIES - 1) / QUERIES, group = a->H / a->Hkv;
#pragma omp parallel for collapse(3) schedule(dynamic, 1)
    for (int64_t b = 0; b < B; b++)
        for (int64_t r = 0; r < blocks; r++)
            for (int64_t head = 0; head < a->H; head++) {
                int64_t t0 = (blocks - 1 - r) * QUERIES; /* longest first */
                int64_t row = b * a->T, kv = b * kv_rows * a->Hkv * a->d + head / group * a->d;
                head_view h = {.q = q + (row * a->H + head) * a->d,
                               .k = k + kv,
                               .v = v + kv,
                               .starts = starts + row,
                               .q_stride = a->H * a->d,
                               .kv_stride = a->Hkv * a->d,
                               .d = a->d,
                               .past = past,
                               .window = a->window,
                               .scale = (mo_real)(1 / sqrt((double)a->d))};
                set_dropout(&h, a, run, row, head);
                attend_block(o + (row * a->H + head) * a->d, a->H * a->d, lse + row * a->H + head, a->H, &h,
                             t0, mo_min(t0 + QUERIES, a->T));
            }
}

/* Gradients of one query block of one head, added to those of dq, dk, dv that are not NULL. */
typedef struct {
    const mo_real *o, *lse, *dout;
    mo_real *dq, *dk, *dv;
    int64_t H;
} head_grads;

/* Of query t and keys s0 .. s0+n: scores p to (dropped) probabilities, dp = do . v to ds / sqrt(d). */
static void backward_row(mo_real *p, mo_real *dp, mo_real lse, mo_real D, const head_view *h, int64_t t,
                         int64_t s0, int64_t n)
{
    if (!h->dropout) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            p[j] = mo_exp(p[j] - lse);
            dp[j] = p[j] * (dp[j] - D) * h->scale;
        }
        return;
    }
    mo_real m[KEYS];
    drop_factors(h, t, s0, n, m);
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        mo_real undropped = mo_exp(p[j] - lse);
        dp[j] = undropped * (m[j] * dp[j] - D) * h->scale;
        p[j] = undropped * m[j];
    }
}

static void backward_block(const head_view *h, const head_grads *g, int64_t t0, int64_t t1)
{
    mo_real p[QUERIES * KEYS], dp[QUERIES * KEYS], D[QUERIES];
    int64_t rows = t1 - t0;
    for (int64_t i = 0; i < rows; i++)
        D[i] = mo_row_dot(g->dout + (t0 + i) * h->q_stride, g->o + (t0 + i) * h->q_stride, h->d);
    for (int64_t s0 = first_key(h, t0, t1) / KEYS * KEYS; s0 < t1; s0 += KEYS) {
        int64_t s1 = mo_min(s0 + KEYS, t1), n = s1 - s0;
        const mo_real *dout = g->dout + t0 * h->q_stride, *q = h->q + t0 * h->q_stride;
        scores(p, h, t0, t1, s0, s1);
        mo_gemm_tile(false, true, rows, n, h->d, 1, dout, h->q_stride, h->v + s0 * h->kv_stride, h->kv_stride,
                     0, dp, KEYS);
        for (int64_t i = 0; i < rows; i++)
            backward_row(p + i * KEYS, dp + i * KEYS, g->lse[(t0 + i) * g->H], D[i], h, t0 + i, s0, n);
        mo_real *dv = g->dv ? g->dv + s0 * h->kv_stride : NULL,
                *dk = g->dk ? g->dk + s0 * h->kv_stride : NULL;
        if (dv) mo_gemm_tile(true, false, n, h->d, rows, 1, p, KEYS, dout, h->q_stride, 1, dv, h->kv_stride);
        if (dk) mo_gemm_tile(true, false, n, h->d, rows, 1, dp, KEYS, q, h->q_stride, 1, dk, h->kv_stride);
        if (g->dq)
            mo_gemm_tile(false, false, rows, h->d, n, 1, dp, KEYS, h->k + s0 * h->kv_stride, h->kv_stride, 1,
                         g->dq + t0 * h->q_stride, h->q_stride);
    }
}

/* All query heads of one kv head of one sequence. */
static void backward_group(const mo_node *node, const mo_run *run, int64_t b, int64_t kv_head)
{
    const attention_attr *a = node->attr;
    int64_t row = b * a->T, group = a->H / a->Hkv, kv = (row * a->Hkv + kv_head) * a->d;
    mo_tensor *const *in = node->in;
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        int64_t at = (row * a->H + head) * a->d;
        head_view h = {.q = (mo_real *)in[0]->data + at,
                       .k = (mo_real *)in[1]->data + kv,
                       .v = (mo_real *)in[2]->data + kv,
                       .starts = (int32_t *)in[3]->data + row,
                       .q_stride = a->H * a->d,
                       .kv_stride = a->Hkv * a->d,
                       .d = a->d,
                       .window = a->window,
                       .scale = (mo_real)(1 / sqrt((double)a->d))};
        set_dropout(&h, a, run, row, head);
        head_grads g = {(mo_real *)node->out[0]->data + at,
                        (mo_real *)node->out[1]->data + row * a->H + head,
                        node->out[0]->grad + at,
                        in[0]->grad ? in[0]->grad + at : NULL,
                        in[1]->grad ? in[1]->grad + kv : NULL,
                        in[2]->grad ? in[2]->grad + kv : NULL,
                        a->H};
        for (int64_t t0 = 0; t0 < a->T; t0 += QUERIES) backward_block(&h, &g, t0, mo_min(t0 + QUERIES, a->T));
    }
}

static mo_status attention_shape(mo_node *node)
{
    attention_attr *a = node->attr;
    const mo_tensor *q = node->in[0], *k = node->in[1], *v = node->in[2], *starts = node->in[3];
    bool fits = q->dtype == MO_REAL && k->dtype == MO_REAL && v->dtype == MO_REAL && starts->dtype == MO_I32;
    fits = fits && q->ndim == 2 && k->ndim == 2 && v->ndim == 2 && a->d > 0 && a->T > 0;
    fits = fits && q->dim[1] % a->d == 0 && k->dim[1] % a->d == 0 && k->dim[1] == v->dim[1];
    fits = fits && k->dim[0] == q->dim[0] && v->dim[0] == q->dim[0] && mo_tensor_count(starts) == q->dim[0];
    if (!fits || q->dim[0] % a->T != 0)
        return mo_error(
            MO_E_SHAPE,
            "attention: q %s, k %s, v %s, starts %s do not fit sequence length %lld and head_dim %lld; "
            "expected [N, H*head_dim], twice [N, Hkv*head_dim] and int32 [N], N a multiple of the length",
            mo_shape(q).text, mo_shape(k).text, mo_shape(v).text, mo_shape(starts).text, (long long)a->T,
            (long long)a->d);
    a->H = q->dim[1] / a->d;
    a->Hkv = k->dim[1] / a->d;
    if (a->H % a->Hkv != 0)
        return mo_error(MO_E_SHAPE, "attention: %lld query heads are no multiple of %lld key-value heads",
                        (long long)a->H, (long long)a->Hkv);
    if (a->window < 0)
        return mo_error(MO_E_RANGE,
                        "attention: a sliding window of %lld keys; it is at least 1, or 0 for all",
                        (long long)a->window);
    MO_TRY(mo__dropout_check("attention", &a->dropout));
    if (a->cache && a->dropout.p > 0)
        return mo_error(MO_E_RANGE, "attention: dropout %g does not go with a cache, which is for decoding",
                        a->dropout.p);
    if (a->cache && q->dim[0] != a->T)
        return mo_error(MO_E_SHAPE, "attention: a cache serves one sequence, not %lld",
                        (long long)(q->dim[0] / a->T));
    MO_TRY(mo_node_output(node, "", MO_REAL, 2, q->dim));
    return mo_node_output(node, "lse", MO_REAL, 2, (int64_t[]){q->dim[0], a->H});
}

static void attention_forward(const mo_node *node, const mo_run *run)
{
    const attention_attr *a = node->attr;
    mo_real *o = node->out[0]->data, *lse = node->out[1]->data;
    int64_t N = node->in[0]->dim[0], width = a->Hkv * a->d;
    if (!a->cache) {
        attention_fwd(o, lse, node->in[0]->data, node->in[1]->data, node->in[2]->data, node->in[3]->data,
                      a->T, 0, N / a->T, a, run);
        return;
    }
    mo_kv_cache *c = a->cache;
    MO_ASSERT(c->length + a->T <= c->capacity);
    size_t bytes = (size_t)(a->T * width) * sizeof(mo_real);
    memcpy(c->k + c->length * width, node->in[1]->data, bytes);
    memcpy(c->v + c->length * width, node->in[2]->data, bytes);
    attention_fwd(o, lse, node->in[0]->data, c->k, c->v, node->in[3]->data, c->capacity, c->length, 1, a,
                  run);
}

static void attention_backward(const mo_node *node, const mo_run *run)
{
    const attention_attr *a = node->attr;
    MO_ASSERT(!a->cache);
    int64_t B = node->in[0]->dim[0] / a->T;
#pragma omp parallel for collapse(2) schedule(dynamic, 1)
    for (int64_t b = 0; b < B; b++)
        for (int64_t head = 0; head < a->Hkv; head++) {
            for (int i = 0; i < 3; i++) {
                if (node->accumulate[i] || !node->in[i]->grad) continue; /* the kernels add */
                int64_t width = node->in[i]->dim[1], span = i == 0 ? a->H / a->Hkv * a->d : a->d;
                for (int64_t t = 0; t < a->T; t++)
                    memset(node->in[i]->grad + (b * a->T + t) * width + head * span, 0,
                           (size_t)span * sizeof(mo_real));
            }
            backward_group(node, run, b, head);
        }
}

/* Keys that a query of a sequence of T sees, on average: t + 1 of them, at most the window. */
static double mean_keys(int64_t T, int64_t window)
{
    double all = (double)T, w = window > 0 ? (double)mo_min(window, T) : all;
    return w * (2 * all - w + 1) / (2 * all);
}

/* Multiply-adds of what is seen: QK and PV forward, and S, dP, dV, dK, dQ backward. */
static mo_cost attention_cost(const mo_node *node, mo_phase phase)
{
    const attention_attr *a = node->attr;
    double pairs = (double)node->in[0]->dim[0] * (double)a->H * mean_keys(a->T, a->window);
    double bytes = (double)(mo_tensor_bytes(node->in[0]) * 2 + mo_tensor_bytes(node->in[1]) * 2);
    double products = phase == MO_FORWARD ? 2 : 5, drops = a->dropout.p > 0 ? MO_DROPOUT_OPERATIONS : 0;
    return (mo_cost){pairs * (products * 2 * (double)a->d + drops), phase == MO_FORWARD ? bytes : 2 * bytes};
}

const mo_op mo__op_attention = {.name = "attention",
                                .shape = attention_shape,
                                .forward = attention_forward,
                                .backward = attention_backward,
                                .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2) | MO_NEEDS(3),
                                .needs_out = MO_NEEDS(0) | MO_NEEDS(1),
                                .cost = attention_cost};

mo_tensor *mo_attention(mo_graph *g, mo_tensor *q, mo_tensor *k, mo_tensor *v, mo_tensor *starts_N,
                        const mo_attention_options *options)
{
    attention_attr attr = {.T = options->sequence_length,
                           .d = options->head_dim,
                           .window = options->sliding_window,
                           .cache = options->cache,
                           .dropout = {options->dropout, options->dropout_stream}};
    mo_node *node =
        mo_graph_node(g, &mo__op_attention, 4, (mo_tensor *[]){q, k, v, starts_N}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
