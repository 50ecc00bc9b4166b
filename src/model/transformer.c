/* transformer.c -- the decoder: embedding, L times (norm, attention, sum; norm, FFN, sum), norm, head. */
#include "model/build.h"

static mo_tensor *norm(mo__builder *b, mo_tensor *x, mo_tensor *weight)
{
    const mo_model_config *c = &b->model->config;
    return c->norm == MO_NORM_LAYER ? mo_layernorm(b->g, x, weight, c->rms_norm_eps)
                                    : mo_rmsnorm(b->g, x, weight, c->rms_norm_eps);
}

static mo_tensor *layer(mo__builder *b, int64_t l, mo_tensor *x)
{
    const mo_model_config *c = &b->model->config;
    mo_graph_scope(b->g, (int)l, (int)(2 * l));
    mo_tensor *h = norm(b, x, mo__layer_param(b, l, "input_layernorm.weight"));
    mo_tensor *y = mo__attention_build(b, l, h);
    if (mo__ends_at_cache(b, l)) return y;
    x = mo_add(b->g, x, mo__drop(b, y, c->resid_pdrop, l, MO__DROP_ATTENTION));
    mo_graph_scope(b->g, (int)l, (int)(2 * l + 1));
    h = norm(b, x, mo__layer_param(b, l, "post_attention_layernorm.weight"));
    y = mo_model_config_is_moe(c, l) ? mo__moe_build(b, l, h) : mo__ffn_build(b, l, "mlp", h);
    return mo_add(b->g, x, mo__drop(b, y, c->resid_pdrop, l, MO__DROP_FFN));
}

static void build(mo__builder *b)
{
    mo_model_graph *t = b->out;
    const mo_model_config *c = &b->model->config;
    int64_t N = t->batch_size * t->sequence_length;
    t->tokens = mo_graph_input(b->g, "tokens", MO_I32, 1, &N, false);
    t->positions = mo_graph_input(b->g, "positions", MO_I32, 1, &N, false);
    t->starts = mo_graph_input(b->g, "starts", MO_I32, 1, &N, false);
    mo_tensor *x = mo_embedding(b->g, t->tokens, mo__param(b, "model.embed_tokens.weight"));
    x = mo__drop(b, x, c->embd_pdrop, 0, MO__DROP_EMBEDDING);
    for (int64_t l = 0; l < c->num_hidden_layers; l++) x = layer(b, l, x);
    mo_graph_scope(b->g, -1, -1);
    if (b->options->kind == MO_GRAPH_READ) return;
    x = norm(b, x, mo__param(b, "model.norm.weight"));
    mo_tensor *head = mo__param(b, c->tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    if (b->options->kind == MO_GRAPH_DECODE) {
        t->logits = mo_linear(b->g, x, head);
        mo_graph_output(b->g, t->logits);
        return;
    }
    t->targets = mo_graph_input(b->g, "targets", MO_I32, 1, &N, false);
    t->loss = mo_graph_loss(b->g, mo_cross_entropy(b->g, x, head, t->targets, &t->row_loss));
    mo_graph_output(b->g, t->row_loss);
    mo__balance_pooled(b);
}

static mo_status create(mo__builder *b)
{
    size_t layers = (size_t)b->model->config.num_hidden_layers;
    mo_model_graph *t = b->out;
    b->params = mo_calloc((size_t)b->model->n_params, sizeof *b->params);
    b->routings = mo_calloc(layers, sizeof *b->routings);
    t->routing = mo_calloc(layers, sizeof *t->routing);
    t->terms = mo_calloc(layers * MO_BALANCE_LOSSES, sizeof *t->terms);
    t->params = b->params;
    if (!b->params || !b->routings || !t->routing || !t->terms) return MO_E_MEMORY;
    MO_TRY(mo_graph_create(&b->g));
    t->graph = b->g;
    build(b);
    MO_TRY(mo_graph_status(b->g));
    bool train = b->options->kind == MO_GRAPH_TRAIN;
    return mo_graph_plan(b->g, &(mo_plan){.backward = train, .recompute = b->options->recompute});
}

mo_status mo_model_graph_create(const mo_model *m, const mo_model_graph_options *options,
                                mo_model_graph **out)
{
    if (options->kind == MO_GRAPH_TRAIN) MO_TRY(mo_model_config_check(&m->config, &options->balance));
    if (options->kind == MO_GRAPH_DECODE || options->kind == MO_GRAPH_READ)
        MO_TRY(mo_model_decode_check(&m->config));
    mo_model_graph *t = mo_calloc(1, sizeof *t);
    if (!t) return MO_E_MEMORY;
    *t = (mo_model_graph){.model = m,
                          .batch_size = options->batch_size,
                          .sequence_length = options->sequence_length,
                          .loss = -1};
    mo__builder b = {.model = m, .options = options, .out = t};
    mo_status status = create(&b);
    mo_free(b.routings);
    if (status != MO_OK) {
        mo_model_graph_free(t);
        return status;
    }
    *out = t;
    return MO_OK;
}

void mo_model_graph_free(mo_model_graph *t)
{
    if (!t) return;
    mo_graph_free(t->graph);
    mo_free(t->params);
    mo_free(t->routing);
    mo_free(t->terms);
    mo_free(t);
}

void mo_model_graph_attach(mo_model_graph *t)
{
    const mo_model *m = t->model;
    MO_ASSERT(m->value);
    for (int i = 0; i < m->n_params; i++) {
        if (!t->params[i] || t->params[i]->stored) continue;
        t->params[i]->data = m->value + m->params[i].offset;
        if (t->params[i]->grad) t->params[i]->grad = m->grad + m->params[i].offset;
    }
}

void mo_model_graph_scale(mo_model_graph *t, int64_t predicted, int64_t valid)
{
    mo_graph_loss_scale(t->graph, t->loss, predicted > 0 ? 1.0 / (double)predicted : 0);
    for (int i = 0; i < t->n_terms; i++)
        mo_graph_loss_scale(t->graph, t->terms[i].loss,
                            valid > 0 ? t->terms[i].coefficient / (double)valid : 0);
}

double mo_model_graph_loss(const mo_model_graph *t, double balance[MO_BALANCE_LOSSES])
{
    double total = mo_graph_loss_value(t->graph, t->loss);
    int count[MO_BALANCE_LOSSES] = {0};
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) balance[k] = 0;
    for (int i = 0; i < t->n_terms; i++) {
        balance[t->terms[i].kind] += mo_graph_loss_value(t->graph, t->terms[i].loss);
        count[t->terms[i].kind]++;
    }
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        if (count[k]) balance[k] /= count[k];
    return total;
}
