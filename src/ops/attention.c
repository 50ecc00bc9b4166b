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
 * q [N, H d], k and v [N, Hkv d], starts_N in; o [N, H d] and lse [N, H], in bits (of base 2), out. No T x T
 * matrix: attention_forward.c, attention_backward.c and, for one query and its cache, attention_decode.c go
 * through it in blocks that stay in cache, and past blocks that no query sees. */
#include "ops/attention.h"

#include "ops/attention_lanes.h"

/* Threads that scratch has room for, whatever the machine: a graph may be run by more than built it. */
enum { LEAST_SLOTS = 4 };

mo__head mo__head_view(const mo__attention *a, const mo_node *node, const mo_run *run, const mo_real *k,
                       const mo_real *v, int64_t row, int64_t kv_row, int64_t head)
{
    int64_t kv = (kv_row * a->Hkv + head / (a->H / a->Hkv)) * a->d;
    mo__head h = {.q = (const mo_real *)node->in[0]->data + (row * a->H + head) * a->d,
                  .k = k + kv,
                  .v = v + kv,
                  .starts = (const int32_t *)node->in[3]->data + row,
                  .q_stride = a->H * a->d,
                  .kv_stride = a->Hkv * a->d,
                  .d = a->d,
                  .window = a->window,
                  .scale = (mo_real)(1 / sqrt((double)a->d)),
                  .bits = (mo_real)(1.44269504088896341 / sqrt((double)a->d))};
    if (a->dropout.p <= 0 || !run->training) return h;
    uint64_t keys = (uint64_t)(a->T + 3) / 4 * 4; /* so that a block of keys begins a Philox call */
    h.dropout = &a->dropout;
    h.run = run;
    h.drop_stride = (uint64_t)a->H * keys;
    h.drop_first = (uint64_t)(run->first_token + row) * h.drop_stride + (uint64_t)head * keys;
    return h;
}

static mo_status attention_shape(mo_node *node)
{
    mo__attention *a = node->attr;
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
    if (a->cache && a->T > 1 && q->dim[0] != a->T)
        return mo_error(MO_E_SHAPE,
                        "attention: caches of %lld sequences take a token of each at a time, not %lld",
                        (long long)(q->dim[0] / a->T), (long long)a->T);
    a->slots = (int)mo_max(mo_threads(), mo_max(mo_cores(), LEAST_SLOTS));
    MO_TRY(mo_node_output(node, "", MO_REAL, 2, q->dim));
    return mo_node_output(node, "lse", MO_REAL, 2, (int64_t[]){q->dim[0], a->H});
}

static void attention_forward(const mo_node *node, const mo_run *run)
{
    const mo__attention *a = node->attr;
    if (!a->cache) {
        mo__attention_forward(node, run, node->in[1]->data, node->in[2]->data, a->T, 0);
        return;
    }
    int64_t width = a->Hkv * a->d, B = node->in[0]->dim[0] / a->T;
    size_t bytes = (size_t)(a->T * width) * sizeof(mo_real);
    for (int64_t b = 0; b < B; b++) {
        const mo_kv_cache *c = &a->cache[b];
        MO_ASSERT(c->length + a->T <= c->capacity);
        memcpy(c->k + c->length * width, (const mo_real *)node->in[1]->data + b * width, bytes);
        memcpy(c->v + c->length * width, (const mo_real *)node->in[2]->data + b * width, bytes);
    }
    if (a->T == 1)
        mo__attention_decode(node);
    else
        mo__attention_forward(node, run, a->cache->k, a->cache->v, a->cache->capacity, a->cache->length);
}

static void attention_backward(const mo_node *node, const mo_run *run)
{
    MO_ASSERT(!((const mo__attention *)node->attr)->cache);
    mo__attention_backward(node, run);
}

static size_t attention_scratch(const mo_node *node, mo_phase phase)
{
    const mo__attention *a = node->attr;
    int64_t numbers = phase == MO_FORWARD
                          ? a->slots * mo__attention_forward_space(a)
                          : a->slots * mo__attention_backward_space(a) + node->in[0]->dim[0] * a->H;
    if (a->cache && a->T == 1) numbers = node->in[0]->dim[0] * mo__attention_decode_space(a);
    return (size_t)numbers * sizeof(mo_real);
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
    const mo__attention *a = node->attr;
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
                                .grad_over_data = MO_NEEDS(1) | MO_NEEDS(2),
                                .scratch = attention_scratch,
                                .cost = attention_cost};

mo_tensor *mo_attention(mo_graph *g, mo_tensor *q, mo_tensor *k, mo_tensor *v, mo_tensor *starts_N,
                        const mo_attention_options *options)
{
    mo__attention attr = {.T = options->sequence_length,
                          .d = options->head_dim,
                          .window = options->sliding_window,
                          .cache = options->cache,
                          .dropout = {options->dropout, options->dropout_stream}};
    mo_node *node =
        mo_graph_node(g, &mo__op_attention, 4, (mo_tensor *[]){q, k, v, starts_N}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
