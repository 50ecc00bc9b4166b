/* routing_drift.c -- two models run in lockstep over the same batches; see mo_layer_drift for the equations.
 *
 * Threads: a layer's sums are one thread's, in the order of its tokens. */
#include "train/routing_drift.h"

#include <math.h>
#include <string.h>

#include "train/train_internal.h"

static const double LEAST_P = 1e-37;

mo_status mo__drift_check(const mo_model_config *a, const mo_model_config *b)
{
    if (a->num_local_experts == 0 || b->num_local_experts == 0)
        return mo_error(MO_E_MISMATCH, "the %s is a dense model; it routes nothing",
                        b->num_local_experts ? "reference" : "model");
    const struct {
        const char *what;
        int64_t a, b;
    } sizes[] = {{"experts", a->num_local_experts, b->num_local_experts},
                 {"layers", a->num_hidden_layers, b->num_hidden_layers},
                 {"token ids", a->vocab_size, b->vocab_size}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].a != sizes[i].b)
            return mo_error(MO_E_MISMATCH,
                            "the two cannot be compared: the model has %lld %s, the reference %lld",
                            (long long)sizes[i].b, sizes[i].what, (long long)sizes[i].a);
    for (int64_t l = 0; l < a->num_hidden_layers; l++)
        if (mo_model_config_is_moe(a, l) != mo_model_config_is_moe(b, l))
            return mo_error(MO_E_MISMATCH,
                            "the two cannot be compared: layer %lld has experts in the %s alone",
                            (long long)l, mo_model_config_is_moe(a, l) ? "reference" : "model");
    return MO_OK;
}

mo_status mo__drift_sum_create(const mo_model_graph *t, mo__drift_sum *s)
{
    size_t layers = (size_t)t->n_routing;
    *s = (mo__drift_sum){.n_layers = t->n_routing, .experts = t->model->config.num_local_experts};
    s->layers = mo_calloc(layers, sizeof *s->layers);
    s->counts = mo_calloc(2 * layers, (size_t)s->experts * sizeof *s->counts);
    if (s->layers && s->counts) return MO_OK;
    mo__drift_sum_free(s);
    return MO_E_MEMORY;
}

void mo__drift_sum_free(mo__drift_sum *s)
{
    mo_free(s->layers);
    mo_free(s->counts);
    *s = (mo__drift_sum){0};
}

/* ---- a token ---- */

/* What one router did with a token. */
typedef struct choice {
    const int32_t *ids; /* [K] with holes */
    const mo_real *w;   /* [K] */
    const mo_real *p;   /* [E] or NULL */
    int64_t K;
} choice;

static choice choice_of(const mo_layer_routing *r, int64_t n)
{
    int64_t K = r->ids_NK->dim[1];
    return (choice){.ids = (const int32_t *)r->ids_NK->data + n * K,
                    .w = (const mo_real *)r->w_NK->data + n * K,
                    .p = r->p_NE ? (const mo_real *)r->p_NE->data + n * r->p_NE->dim[1] : NULL,
                    .K = K};
}

static int64_t size_of(const choice *c)
{
    int64_t size = 0;
    for (int64_t k = 0; k < c->K; k++) size += c->ids[k] >= 0;
    return size;
}

/* The expert of largest weight, the first among equals; -1 if there is none. */
static int32_t first_of(const choice *c)
{
    int64_t best = -1;
    for (int64_t k = 0; k < c->K; k++)
        if (c->ids[k] >= 0 && (best < 0 || c->w[k] > c->w[best])) best = k;
    return best < 0 ? -1 : c->ids[best];
}

double mo__share_changed(int64_t a, int64_t b, int64_t both)
{
    int64_t most = a > b ? a : b;
    return most > 0 ? 1 - (double)both / (double)most : 0;
}

static double changed(const choice *a, const choice *b)
{
    int64_t both = 0;
    for (int64_t i = 0; i < a->K; i++)
        for (int64_t j = 0; a->ids[i] >= 0 && j < b->K; j++) both += a->ids[i] == b->ids[j];
    return mo__share_changed(size_of(a), size_of(b), both);
}

/* With q - p, whose sum is 0, a term of KL is never negative, and rounding cannot make the sum so. */
static void add_divergences(const mo_real *p, const mo_real *q, int64_t E, mo__layer_sums *s)
{
    double kl = 0, js = 0;
    for (int64_t e = 0; e < E; e++) {
        double x = fmax((double)p[e], LEAST_P), y = fmax((double)q[e], LEAST_P), m = (x + y) / 2;
        kl += x * log(x / y) + (y - x);
        js += (x * log(x / m) + y * log(y / m)) / 2;
    }
    s->kl += kl;
    s->js += fmax(js, 0);
}

/* ---- a batch ---- */

static void count_choices(int64_t *counts, const choice *c)
{
    for (int64_t k = 0; k < c->K; k++)
        if (c->ids[k] >= 0) counts[c->ids[k]]++;
}

static void add_layer(mo__layer_sums *s, int64_t *counts, const mo_layer_routing *reference,
                      const mo_layer_routing *r, const int32_t *tokens, int64_t E)
{
    s->has_p = reference->p_NE && r->p_NE;
    for (int64_t n = 0; n < r->ids_NK->dim[0]; n++) {
        if (tokens[n] < 0) continue;
        choice a = choice_of(reference, n), b = choice_of(r, n);
        s->changed += changed(&a, &b);
        s->first_changed += first_of(&a) != first_of(&b);
        if (s->has_p) add_divergences(a.p, b.p, E, s);
        count_choices(counts, &a);
        count_choices(counts + E, &b);
    }
}

void mo__drift_sum_add(mo__drift_sum *s, const mo_model_graph *reference, const mo_model_graph *t,
                       const int32_t *tokens)
{
    int64_t N = t->batch_size * t->sequence_length;
    for (int64_t n = 0; n < N; n++) s->tokens += tokens[n] >= 0;
#pragma omp parallel for schedule(static)
    for (int l = 0; l < s->n_layers; l++)
        add_layer(&s->layers[l], s->counts + 2 * l * s->experts, &reference->routing[l], &t->routing[l],
                  tokens, s->experts);
}

/* ---- the end ---- */

static bool is_router_matrix(const char *name, int layer)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "model.layers.%d.block_sparse_moe.gate*.weight", layer);
    return mo_glob_match(pattern, name) && !mo_glob_match("*_noise.weight", name);
}

enum { CHUNK = 1024 };

/* Elements first .. first + count of both, at most CHUNK. */
static void add_moved(const mo_model *a, const mo_param *p, const mo_model *b, const mo_param *q,
                      int64_t first, int64_t count, double *moved, double *size)
{
    mo_real x[CHUNK], y[CHUNK];
    mo_model_values(a, p, first, count, x);
    mo_model_values(b, q, first, count, y);
    for (int64_t j = 0; j < count; j++) {
        double d = (double)y[j] - (double)x[j];
        *moved += d * d;
        *size += (double)x[j] * (double)x[j];
    }
}

/* Over all matrices of the layer's router, W_noise left out: one, or two in a router with two levels. */
static double weights_moved(const mo_model *a, const mo_model *b, int layer)
{
    double moved = 0, size = 0;
    bool any = false;
    for (int i = 0; i < a->n_params; i++) {
        const mo_param *p = &a->params[i], *q = NULL;
        if (!is_router_matrix(p->name, layer)) continue;
        q = mo_model_find(b, p->name);
        if (!q || q->count != p->count) return (double)NAN;
        for (int64_t j = 0; j < p->count; j += CHUNK)
            add_moved(a, p, b, q, j, p->count - j < CHUNK ? p->count - j : CHUNK, &moved, &size);
        any = true;
    }
    if (any && moved == 0) return 0;
    return size > 0 ? sqrt(moved / size) : (double)NAN;
}

static void loads_of(const int64_t *counts, int64_t E, double *out)
{
    int64_t total = 0;
    for (int64_t e = 0; e < E; e++) total += counts[e];
    for (int64_t e = 0; e < E; e++) out[e] = total > 0 ? (double)counts[e] / (double)total : 0;
}

mo_status mo__drift_sum_finish(const mo__drift_sum *s, const mo_model_graph *reference,
                               const mo_model_graph *t, mo_drift *out)
{
    int64_t E = s->experts;
    double n = s->tokens > 0 ? (double)s->tokens : 1;
    *out = (mo_drift){.n_layers = s->n_layers, .experts = E, .tokens = s->tokens};
    out->layers = mo_calloc((size_t)s->n_layers, sizeof *out->layers);
    out->loads = mo_calloc(2 * (size_t)s->n_layers, (size_t)E * sizeof *out->loads);
    if (!out->layers || !out->loads) {
        mo_drift_free(out);
        return MO_E_MEMORY;
    }
    for (int l = 0; l < s->n_layers; l++) {
        const mo__layer_sums *sums = &s->layers[l];
        double *before = out->loads + 2 * l * E, *after = before + E, moved = 0;
        loads_of(s->counts + 2 * l * E, E, before);
        loads_of(s->counts + (2 * l + 1) * E, E, after);
        for (int64_t e = 0; e < E; e++) moved += fabs(after[e] - before[e]) / 2;
        int layer = t->routing[l].layer;
        out->layers[l] = (mo_layer_drift){.layer = layer,
                                          .changed = sums->changed / n,
                                          .first_changed = (double)sums->first_changed / n,
                                          .kl = sums->has_p ? sums->kl / n : (double)NAN,
                                          .js = sums->has_p ? sums->js / n : (double)NAN,
                                          .weights_moved = weights_moved(reference->model, t->model, layer),
                                          .load_moved = moved,
                                          .load = after,
                                          .reference_load = before};
    }
    return MO_OK;
}

void mo_drift_free(mo_drift *d)
{
    mo_free(d->layers);
    mo_free(d->loads);
    *d = (mo_drift){0};
}

/* ---- the whole ---- */

static mo_status open_graph(const mo_model *m, const mo_eval_options *o, mo_model_graph **out)
{
    mo_model_graph_options options = {.kind = MO_GRAPH_LOSS,
                                      .batch_size = o->batch_size,
                                      .sequence_length = o->sequence_length,
                                      .routing = true};
    MO_TRY(mo_model_graph_create(m, &options, out));
    MO_TRY(mo_graph_bind((*out)->graph, NULL));
    mo_model_graph_attach(*out);
    return MO_OK;
}

static mo_status run_both(mo_model_graph *graphs[2], const mo_eval_options *o, const mo_eval_order *order,
                          int64_t windows, mo_batch *batch, mo__drift_sum *sum)
{
    mo_run run = {.training = false};
    for (int64_t w = 0; w < windows; w += o->batch_size) {
        if (o->stop && *o->stop) return mo_error(MO_E_INTERRUPTED, "the comparison was interrupted");
        MO_TRY(mo_eval_batch(order, o->file->tokenizer, w, batch));
        for (int i = 0; i < 2; i++) {
            mo_model_graph_feed(graphs[i], batch);
            mo_graph_forward(graphs[i]->graph, &run);
        }
        mo__drift_sum_add(sum, graphs[0], graphs[1], batch->tokens);
        if (o->progress) o->progress((double)(w + o->batch_size), (double)windows, "windows", o->user);
    }
    return MO_OK;
}

static mo_status compare(mo_model_graph *graphs[2], const mo_eval_options *o, mo_drift *out)
{
    mo__drift_sum sum;
    mo_batch *batch = NULL;
    mo_eval_order order = {0};
    int64_t windows = 0;
    MO_TRY(mo__drift_sum_create(graphs[1], &sum));
    mo_status status = mo_batch_create(o->batch_size, o->sequence_length, &batch);
    if (status == MO_OK) status = mo__eval_order(o, &order, &windows);
    if (status == MO_OK) status = run_both(graphs, o, &order, windows, batch, &sum);
    if (status == MO_OK) status = mo__drift_sum_finish(&sum, graphs[0], graphs[1], out);
    mo_batch_free(batch);
    mo_eval_order_free(&order);
    mo__drift_sum_free(&sum);
    return status;
}

mo_status mo_routing_drift(const mo_model *reference, const mo_model *model, const mo_eval_options *o,
                           mo_drift *out)
{
    *out = (mo_drift){0};
    MO_TRY(mo__drift_check(&reference->config, &model->config));
    MO_TRY(mo__check_tokens(o->file, model->config.vocab_size));
    MO_TRY(mo_blas_init());
    mo_model_graph *graphs[2] = {NULL, NULL};
    mo_status status = open_graph(reference, o, &graphs[0]);
    if (status == MO_OK) status = open_graph(model, o, &graphs[1]);
    if (status == MO_OK) status = compare(graphs, o, out);
    mo_model_graph_free(graphs[0]);
    mo_model_graph_free(graphs[1]);
    return status;
}
