#include "harness/golden_model.h"

#include <stddef.h>
#include <stdlib.h>

golden_array golden_model_read(const golden_model *g, const char *path, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s%s%s", g->group, path, name);
    return golden_read(g->file, full);
}

double golden_model_setting(const golden_model *g, const char *name)
{
    char path[32];
    snprintf(path, sizeof path, "%sconfig", g->group);
    return golden_attribute(g->file, path, name);
}

golden_model golden_model_open(const golden *file, const char *group)
{
    golden_model g = {.file = file};
    mo_model_config *c = &g.config;
    snprintf(g.group, sizeof g.group, "%s", group);
    const struct {
        const char *name;
        int64_t *field;
    } sizes[] = {{"vocab_size", &c->vocab_size},
                 {"hidden_size", &c->hidden_size},
                 {"intermediate_size", &c->intermediate_size},
                 {"num_hidden_layers", &c->num_hidden_layers},
                 {"num_attention_heads", &c->num_attention_heads},
                 {"num_key_value_heads", &c->num_key_value_heads},
                 {"max_position_embeddings", &c->max_position_embeddings},
                 {"num_local_experts", &c->num_local_experts},
                 {"num_experts_per_tok", &c->num_experts_per_tok}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        *sizes[i].field = (int64_t)golden_model_setting(&g, sizes[i].name);
    c->rope_theta = golden_model_setting(&g, "rope_theta");
    c->rms_norm_eps = golden_model_setting(&g, "rms_norm_eps");
    golden_array tokens = golden_model_read(&g, "tokens", "");
    g.batch = tokens.dim[0];
    g.sequence = tokens.dim[1];
    golden_array_free(&tokens);
    return g;
}

mo_model *golden_model_load(const golden_model *g)
{
    mo_model *m = NULL;
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_model_create_tuned(&g->config, &g->tuning, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        golden_array a = golden_model_read(g, "parameters/", p->name);
        assert_int_equal(a.ndim, p->ndim);
        for (int d = 0; d < a.ndim; d++) assert_int_equal(a.dim[d], p->dim[d]);
        for (int64_t j = 0; j < a.count; j++) m->value[p->offset + j] = (mo_real)a.real[j];
        golden_array_free(&a);
    }
    return m;
}

/* Tokens first .. first + T of the batch's rows laid end to end, at positions from `position` on. */
static void fill(const golden_model *g, mo_model_graph *t, int64_t first, int64_t position)
{
    golden_array tokens = golden_model_read(g, "tokens", ""), targets = golden_model_read(g, "targets", "");
    for (int64_t n = 0; n < t->batch_size * t->sequence_length; n++) {
        ((int32_t *)t->tokens->data)[n] = tokens.ints[first + n];
        ((int32_t *)t->positions->data)[n] = (int32_t)(position + n % t->sequence_length);
        ((int32_t *)t->starts->data)[n] = 0;
        if (t->targets) ((int32_t *)t->targets->data)[n] = targets.ints[first + n];
    }
    golden_array_free(&tokens);
    golden_array_free(&targets);
}

static mo_model_graph *open_graph(const mo_model *m, const mo_model_graph_options *options)
{
    mo_model_graph *t = NULL;
    MO_CHECK_OK(mo_model_graph_create(m, options, &t));
    MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
    mo_model_graph_attach(t);
    return t;
}

mo_model_graph *golden_model_graph(const golden_model *g, const mo_model *m, mo_model_graph_options options)
{
    options.batch_size = g->batch;
    options.sequence_length = g->sequence;
    mo_model_graph *t = open_graph(m, &options);
    fill(g, t, 0, 0);
    return t;
}

void golden_model_train(mo_model_graph *t, double *cross_entropy, double balance[MO_BALANCE_LOSSES])
{
    int64_t tokens = t->batch_size * t->sequence_length;
    mo_model_graph_scale(t, tokens, tokens);
    mo_run run = {.training = true};
    mo_graph_train(t->graph, &run);
    *cross_entropy = mo_model_graph_loss(t, balance) / (double)tokens;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) balance[k] /= (double)tokens;
}

/* ---- checks ---- */

static void check_piece(const golden_model *g, const mo_model *m, int64_t row, int64_t at, int64_t length,
                        mo_kv_cache *caches, double tolerance)
{
    mo_model_graph_options options = {
        .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = length, .caches = caches};
    mo_model_graph *t = open_graph(m, &options);
    fill(g, t, row * g->sequence + at, at);
    mo_run run = {.training = false};
    mo_graph_forward(t->graph, &run);
    golden_array want = golden_model_read(g, "logits", "");
    const mo_real *got = t->logits->data;
    int64_t V = m->config.vocab_size;
    for (int64_t i = 0; i < length * V; i++)
        MO_CHECK_NEAR((double)got[i], want.real[(row * g->sequence + at) * V + i], tolerance);
    golden_array_free(&want);
    mo_model_graph_free(t);
}

void golden_model_check_logits(const golden_model *g, const mo_model *m, const int64_t *pieces, int n_pieces,
                               double tolerance)
{
    int64_t layers = m->config.num_hidden_layers, T = g->sequence;
    int64_t size = T * m->config.num_key_value_heads * m->config.head_dim;
    mo_real *storage = calloc((size_t)(layers * 2 * size), sizeof *storage);
    mo_kv_cache *caches = calloc((size_t)layers, sizeof *caches);
    if (!storage || !caches) fail_msg("out of memory");
    for (int64_t row = 0; row < g->batch; row++) {
        int64_t at = 0;
        for (int64_t l = 0; l < layers; l++)
            caches[l] = (mo_kv_cache){storage + 2 * l * size, storage + (2 * l + 1) * size, T, 0};
        for (int p = 0; p < n_pieces; p++) {
            check_piece(g, m, row, at, pieces[p], caches, tolerance);
            at += pieces[p];
            for (int64_t l = 0; l < layers; l++) caches[l].length = at;
        }
        assert_int_equal(at, T);
    }
    free(storage);
    free(caches);
}

void golden_model_check_ids(const golden_model *g, const mo_model *m)
{
    mo_model_graph *t = golden_model_graph(g, m, (mo_model_graph_options){.kind = MO_GRAPH_LOSS});
    mo_run run = {.training = false};
    mo_graph_forward(t->graph, &run);
    golden_array want = golden_model_read(g, "ids", "");
    int64_t each = g->batch * g->sequence * m->config.num_experts_per_tok;
    assert_int_equal(want.count, t->n_routing * each);
    for (int l = 0; l < t->n_routing; l++)
        assert_memory_equal(t->routing[l].ids_NK->data, want.ints + l * each, (size_t)each * sizeof(int32_t));
    golden_array_free(&want);
    mo_model_graph_free(t);
}

void golden_model_check_gradients(const golden_model *g, const mo_model *m, double tolerance)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (!mo_param_trains(p)) continue;
        golden_array want = golden_model_read(g, "gradients/", p->name);
        golden_compare(p->name, m->grad + p->offset, &want, tolerance);
        golden_array_free(&want);
    }
}
