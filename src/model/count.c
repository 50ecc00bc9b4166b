/* count.c -- parameters, total and active, and floating-point operations, from shapes alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moira/model.h"

/* T/2 for a causal sequence, w - w^2/(2T) with a window w. */
static double mean_keys(const mo_model_config *c, int64_t sequence_length)
{
    double T = (double)sequence_length, w = (double)c->sliding_window;
    return w > 0 && w < T ? w - w * w / (2 * T) : T / 2;
}

/* The layer that uses a parameter: -1 for the embedding, num_hidden_layers for what comes after all. */
static int64_t layer_of(const mo_model *m, const mo_param *p)
{
    static const char layers[] = "model.layers.";
    if (strncmp(p->name, layers, sizeof layers - 1) == 0)
        return strtol(p->name + sizeof layers - 1, NULL, 10);
    return strncmp(p->name, "model.embed_", 12) == 0 ? -1 : m->config.num_hidden_layers;
}

static int64_t first_trained_layer(const mo_model *m)
{
    int64_t first = m->config.num_hidden_layers;
    for (int i = 0; i < m->n_params; i++)
        if (mo_param_trains(&m->params[i]) && layer_of(m, &m->params[i]) < first)
            first = layer_of(m, &m->params[i]);
    return first;
}

/* Of an element of a matrix: a product forward, one for its own gradient if it trains, one for its input's if
 * anything before it does, to the layer. */
static double flops_of(const mo_model *m, const mo_param *p, int64_t first_trained, bool tied_head)
{
    int64_t layer = tied_head ? m->config.num_hidden_layers : layer_of(m, p);
    return 2 + 2 * mo_param_trains(p) + 2 * (layer >= first_trained);
}

mo_model_count mo_model_counts(const mo_model *m, int64_t sequence_length)
{
    const mo_model_config *c = &m->config;
    mo_model_count n = {0};
    double active = 0, flops = 0;
    int64_t first = first_trained_layer(m), layers = c->num_hidden_layers;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (p->buffer) continue;
        double used = (double)p->count * p->active;
        bool embedding = strcmp(p->name, "model.embed_tokens.weight") == 0;
        n.total += p->count;
        if (mo_param_trains(p)) n.trainable += p->count;
        active += used;
        if (embedding) n.embedding = p->count;
        if (p->ndim >= 2 && (!embedding || c->tie_word_embeddings))
            flops += used * flops_of(m, p, first, embedding);
    }
    n.active = (int64_t)llround(active);
    /* Attention has 4 forward and 8 backward: for each key. */
    double width = (double)(c->num_attention_heads * c->head_dim);
    double passes = 4 * (double)layers + 8 * (double)(layers - (first < 0 ? 0 : first));
    n.flops_per_token = flops + passes * mean_keys(c, sequence_length) * width;
    return n;
}
