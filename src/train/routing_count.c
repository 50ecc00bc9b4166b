/* routing_count.c -- counting choices by layer, domain, pair of experts and token.
 *
 * Threads: a layer's counts are one thread's; whole numbers in any case. */
#include <string.h>

#include "train/routing_count.h"

static const uint64_t LIMIT = UINT64_C(1) << 30;
enum { LEAST = 5 };

/* ---- memory ---- */

/* 0 where a token has one expert; where experts choose, it may have any of them. */
static uint64_t pair_bytes(const mo_model_config *c, int64_t layers)
{
    bool several = c->num_experts_per_tok > 1 || mo_router_describe(c->router)->traits & MO_ROUTER_FUTURE;
    uint64_t E = (uint64_t)c->num_local_experts;
    return several ? (uint64_t)layers * E * E * (sizeof(int64_t) + sizeof(double)) : 0;
}

static uint64_t limit_of(const mo_routing_options *o)
{
    return o->limit ? o->limit : LIMIT;
}

uint64_t mo__routing_count_bytes(const mo_model_config *c, const mo_routing_options *o, int n_domains)
{
    int64_t layers = mo_model_config_moe_layers(c), E = c->num_local_experts;
    uint64_t pairs = pair_bytes(c, layers);
    uint64_t rows = (uint64_t)(n_domains > 0 ? n_domains : 1);
    return (uint64_t)layers * (uint64_t)E * rows * sizeof(int64_t) + (pairs <= limit_of(o) ? pairs : 0);
}

static mo_status choose_layers(mo__routing_count *c, const mo_model_graph *t, const mo_routing_options *o)
{
    c->first = 0;
    c->out.n_layers = t->n_routing;
    if (!o->single) return MO_OK;
    for (int l = 0; l < t->n_routing; l++)
        if (t->routing[l].layer == o->layer) {
            c->first = l;
            c->out.n_layers = 1;
            return MO_OK;
        }
    if (o->layer < 0 || o->layer >= t->model->config.num_hidden_layers)
        return mo_error(MO_E_RANGE, "layer %d is none; the model has layers 0 to %lld", o->layer,
                        (long long)t->model->config.num_hidden_layers - 1);
    if (t->n_routing == 0)
        return mo_error(MO_E_RANGE, "layer %d has no experts; the model is dense", o->layer);
    return mo_error(MO_E_RANGE, "layer %d has no experts; the first that has is layer %d", o->layer,
                    t->routing[0].layer);
}

static mo_status allocate(mo__routing_count *c, const mo_model *m)
{
    size_t layers = (size_t)c->out.n_layers, E = (size_t)c->out.experts;
    uint64_t pairs = pair_bytes(&m->config, c->out.n_layers);
    MO_TRY(mo__routing_sum_create(m, &c->sum));
    c->out.layers = mo_calloc(layers, sizeof *c->out.layers);
    c->choices = mo_calloc(layers * (size_t)c->rows, E * sizeof *c->choices);
    if (!c->out.layers || !c->choices) return MO_E_MEMORY;
    c->bytes = layers * (size_t)c->rows * E * sizeof *c->choices;
    if (pairs > c->limit) c->out.pairs_left_out = pairs;
    if (pairs == 0 || pairs > c->limit) return MO_OK;
    c->bytes += pairs;
    c->pairs = mo_calloc(layers * E, E * sizeof *c->pairs);
    c->expected = mo_calloc(layers * E, E * sizeof *c->expected);
    return c->pairs && c->expected ? MO_OK : MO_E_MEMORY;
}

mo_status mo__routing_count_create(const mo_model_graph *t, const mo_routing_options *o,
                                   const char *const *domain_names, int n_domains, mo__routing_count *c)
{
    const mo_model_config *config = &t->model->config;
    *c = (mo__routing_count){.out = {.experts = config->num_local_experts,
                                     .experts_per_token = config->num_experts_per_tok,
                                     .n_domains = n_domains,
                                     .domain_names = domain_names},
                             .rows = n_domains > 0 ? n_domains : 1,
                             .listed = o->listed,
                             .least = o->least ? o->least : LEAST,
                             .limit = limit_of(o)};
    mo_status status = choose_layers(c, t, o);
    if (status == MO_OK && c->out.n_layers > 0) status = allocate(c, t->model);
    if (status != MO_OK) mo__routing_count_free(c);
    return status;
}

/* place[id] = 0 for every id that occurs, then its index among them. */
static mo_status find_ids(mo__routing_count *c, const mo_tokens *tokens, int64_t end, int64_t vocab_size)
{
    c->place = mo_malloc((size_t)vocab_size * sizeof *c->place);
    if (!c->place) return MO_E_MEMORY;
    memset(c->place, 0xFF, (size_t)vocab_size * sizeof *c->place);
    for (int64_t i = 0; i < end; i++) c->place[mo_token_at(tokens, i)] = 0;
    for (int64_t v = 0; v < vocab_size; v++) c->n_ids += c->place[v] == 0;
    c->ids = mo_malloc((size_t)c->n_ids * sizeof *c->ids + 1);
    if (!c->ids) return MO_E_MEMORY;
    int32_t at = 0;
    for (int64_t v = 0; v < vocab_size; v++)
        if (c->place[v] == 0) {
            c->place[v] = at;
            c->ids[at++] = (int32_t)v;
        }
    return MO_OK;
}

mo_status mo__routing_count_listed(mo__routing_count *c, const mo_tokens *tokens, int64_t end,
                                   int64_t vocab_size)
{
    if (c->listed <= 0 || c->out.n_layers == 0) return MO_OK;
    MO_TRY(find_ids(c, tokens, end, vocab_size));
    uint64_t layer = (uint64_t)c->n_ids * (uint64_t)c->out.experts * sizeof *c->tokens;
    uint64_t room = c->limit > c->bytes ? (c->limit - c->bytes) / layer : 0;
    c->out.listed_bytes = layer;
    c->out.listed_layers = room < (uint64_t)c->out.n_layers ? (int)room : c->out.n_layers;
    if (c->out.listed_layers == 0) return MO_OK;
    c->tokens = mo_calloc((size_t)c->out.listed_layers, layer);
    return c->tokens ? MO_OK : MO_E_MEMORY;
}

void mo__routing_count_free(mo__routing_count *c)
{
    mo__routing_sum_free(&c->sum);
    mo_free(c->out.layers);
    mo_free(c->choices);
    mo_free(c->pairs);
    mo_free(c->expected);
    mo_free(c->tokens);
    mo_free(c->place);
    mo_free(c->ids);
    mo_free(c->expert_tokens);
    mo_free(c->routed);
    *c = (mo__routing_count){0};
}

void mo__routing_count_clear(mo__routing_count *c)
{
    size_t layers = (size_t)c->out.n_layers, E = (size_t)c->out.experts;
    mo__routing_sum_clear(&c->sum);
    c->out.tokens = 0;
    if (c->choices) memset(c->choices, 0, layers * (size_t)c->rows * E * sizeof *c->choices);
    if (c->pairs) memset(c->pairs, 0, layers * E * E * sizeof *c->pairs);
    if (c->tokens)
        memset(c->tokens, 0, (size_t)c->out.listed_layers * (size_t)c->n_ids * E * sizeof *c->tokens);
}

/* ---- counting ---- */

/* A token's experts, in any order, with holes. */
static void add_pairs(int64_t *pairs, const int32_t *ids, int64_t K, int64_t E)
{
    for (int64_t i = 0; i < K; i++) {
        int64_t a = ids[i];
        if (a < 0) continue;
        pairs[a * E + a]++;
        for (int64_t j = i + 1; j < K; j++) {
            int64_t b = ids[j];
            if (b >= 0) pairs[a < b ? a * E + b : b * E + a]++;
        }
    }
}

static void add_layer(mo__routing_count *c, int l, const mo_tensor *ids_NK, const mo_batch *batch,
                      int first_domain)
{
    int64_t E = c->out.experts, K = ids_NK->dim[1], N = batch->batch_size * batch->sequence_length;
    int64_t *choices = c->choices + l * c->rows * E, *pairs = c->pairs ? c->pairs + l * E * E : NULL;
    uint32_t *tokens = l < c->out.listed_layers ? c->tokens + l * c->n_ids * E : NULL;
    for (int64_t n = 0; n < N; n++) {
        const int32_t *ids = (const int32_t *)ids_NK->data + n * K;
        int32_t token = batch->tokens[n],
                domain = c->out.n_domains == 0 || batch->domains[n] < 0 ? 0 : batch->domains[n];
        if (token < 0) continue;
        int64_t *row = choices + (first_domain + domain) * E;
        uint32_t *own = tokens ? tokens + c->place[token] * E : NULL;
        for (int64_t k = 0; k < K; k++) {
            if (ids[k] < 0) continue;
            row[ids[k]]++;
            if (own && own[ids[k]] < UINT32_MAX) own[ids[k]]++;
        }
        if (pairs) add_pairs(pairs, ids, K, E);
    }
}

void mo__routing_count_add(mo__routing_count *c, const mo_model_graph *t, const mo_batch *batch,
                           int first_domain)
{
    if (c->out.n_layers == 0) return;
    mo__routing_sum_add(&c->sum, t);
    c->out.tokens += batch->valid;
#pragma omp parallel for schedule(static)
    for (int l = 0; l < c->out.n_layers; l++)
        add_layer(c, l, t->routing[c->first + l].ids_NK, batch, first_domain);
}

/* ---- the report ---- */

static void mirror(int64_t *pairs, int64_t E)
{
    for (int64_t a = 0; a < E; a++)
        for (int64_t b = 0; b < a; b++) pairs[a * E + b] = pairs[b * E + a];
}

static mo_status domains_of(const mo__routing_count *c, mo_layer_choices *out)
{
    int64_t E = c->out.experts;
    int64_t *totals = mo_calloc((size_t)c->rows, sizeof *totals);
    if (!totals) return MO_E_MEMORY;
    for (int64_t i = 0; i < c->rows * E; i++) totals[i / E] += out->choices[i];
    out->total = 0;
    for (int d = 0; d < c->rows; d++) out->total += totals[d];
    out->mutual_information = out->corrected = out->domain_entropy = (double)NAN;
    if (c->out.n_domains > 0) {
        mo_mutual_information(out->choices, c->rows, E, &out->mutual_information, &out->corrected);
        out->domain_entropy = mo_entropy_bits(totals, c->rows);
    }
    mo_free(totals);
    return MO_OK;
}

mo_status mo__routing_count_finish(mo__routing_count *c, const mo_model_graph *t)
{
    int64_t E = c->out.experts;
    if (c->out.n_layers == 0) return MO_OK;
    mo__routing_sum_report(&c->sum, t);
    for (int l = 0; l < c->out.n_layers; l++) {
        mo_layer_choices *out = &c->out.layers[l];
        *out = (mo_layer_choices){.report = c->sum.reports[c->first + l],
                                  .choices = c->choices + l * c->rows * E};
        MO_TRY(domains_of(c, out));
        if (!c->pairs) continue;
        mirror(c->pairs + l * E * E, E);
        MO_TRY(mo_independent_pairs(c->pairs + l * E * E, E, c->expected + l * E * E));
        out->pairs = c->pairs + l * E * E;
        out->expected = c->expected + l * E * E;
    }
    return c->tokens ? mo__routing_tokens(c) : MO_OK;
}
