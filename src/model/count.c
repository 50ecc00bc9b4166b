/* count.c -- parameters, total and active, and floating-point operations, from shapes alone. */
#include <math.h>
#include <string.h>

#include "moira/model.h"

/* T/2 for a causal sequence, w - w^2/(2T) with a window w. */
static double mean_keys(const mo_model_config *c, int64_t sequence_length)
{
    double T = (double)sequence_length, w = (double)c->sliding_window;
    return w > 0 && w < T ? w - w * w / (2 * T) : T / 2;
}

mo_model_count mo_model_counts(const mo_model *m, int64_t sequence_length)
{
    const mo_model_config *c = &m->config;
    mo_model_count n = {0, 0, 0, 0};
    double active = 0, matrices = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (p->buffer) continue;
        double used = (double)p->count * p->active;
        bool embedding = strcmp(p->name, "model.embed_tokens.weight") == 0;
        n.total += p->count;
        active += used;
        if (embedding) n.embedding = p->count;
        if (p->ndim >= 2 && (!embedding || c->tie_word_embeddings)) matrices += used;
    }
    n.active = (int64_t)llround(active);
    double width = (double)(c->num_attention_heads * c->head_dim);
    n.flops_per_token =
        6 * matrices + 12 * (double)c->num_hidden_layers * mean_keys(c, sequence_length) * width;
    return n;
}
