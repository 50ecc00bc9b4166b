/* test_mixtral.c -- a tiny Mixtral of Hugging Face's transformers, computed there in double
 * (tests/golden/make_mixtral.py), against ours: logits, losses, every gradient, five AdamW steps. */
#include "harness/golden.h"

#include <math.h>
#include <string.h>

#include "moira/model.h"

enum { B = 2, T = 16, STEPS = 5 };
static const double AUX = 0.02;

static golden *file;

static int64_t setting(const char *name)
{
    return (int64_t)golden_attribute(file, "config", name);
}

static mo_model *load(void)
{
    mo_model_config config = {.vocab_size = setting("vocab_size"),
                              .hidden_size = setting("hidden_size"),
                              .intermediate_size = setting("intermediate_size"),
                              .num_hidden_layers = setting("num_hidden_layers"),
                              .num_attention_heads = setting("num_attention_heads"),
                              .num_key_value_heads = setting("num_key_value_heads"),
                              .max_position_embeddings = setting("max_position_embeddings"),
                              .num_local_experts = setting("num_local_experts"),
                              .num_experts_per_tok = setting("num_experts_per_tok"),
                              .norm_topk_prob = true,
                              .rope_theta = 10000,
                              .rms_norm_eps = 1e-5};
    mo_model *m = NULL;
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    for (int i = 0; i < m->n_params; i++) {
        char path[160];
        snprintf(path, sizeof path, "parameters/%s", m->params[i].name);
        golden_array a = golden_read(file, path);
        assert_int_equal(a.count, m->params[i].count);
        for (int64_t j = 0; j < a.count; j++) m->value[m->params[i].offset + j] = (mo_real)a.real[j];
        golden_array_free(&a);
    }
    return m;
}

static void fill(mo_model_graph *t, int64_t first_row, int64_t rows)
{
    golden_array tokens = golden_read(file, "tokens"), targets = golden_read(file, "targets");
    for (int64_t n = 0; n < rows * T; n++) {
        ((int32_t *)t->tokens->data)[n] = tokens.ints[first_row * T + n];
        ((int32_t *)t->positions->data)[n] = (int32_t)(n % T);
        ((int32_t *)t->starts->data)[n] = 0;
        if (t->targets) ((int32_t *)t->targets->data)[n] = targets.ints[first_row * T + n];
    }
    golden_array_free(&tokens);
    golden_array_free(&targets);
}

static mo_model_graph *train_graph(const mo_model *m, mo_recompute recompute)
{
    mo_model_graph_options options = {.kind = MO_GRAPH_TRAIN,
                                      .batch_size = B,
                                      .sequence_length = T,
                                      .balance = {.mixtral = AUX, .scope = MO_SCOPE_MICROBATCH},
                                      .recompute = recompute};
    mo_model_graph *t = NULL;
    MO_CHECK_OK(mo_model_graph_create(m, &options, &t));
    MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
    mo_model_graph_attach(t);
    return t;
}

static void train_once(mo_model_graph *t, double *cross_entropy, double *aux)
{
    double balance[MO_BALANCE_LOSSES];
    fill(t, 0, B);
    mo_model_graph_scale(t, B * T, B * T);
    mo_run run = {.training = true};
    mo_graph_train(t->graph, &run);
    *cross_entropy = mo_model_graph_loss(t, balance) / (B * T);
    *aux = balance[1] / (B * T);
    assert_string_equal(mo_balance_names[1], "mixtral");
}

/* The whole sequence at once, and in pieces through the key-value cache. */
static void check_logits(const mo_model *m, int64_t row, const int64_t *pieces, int n_pieces)
{
    enum { WIDTH = 16, LAYERS = 3 };
    mo_real storage[LAYERS * 2 * T * WIDTH];
    mo_kv_cache caches[LAYERS];
    for (int l = 0; l < LAYERS; l++)
        caches[l] = (mo_kv_cache){storage + 2 * l * T * WIDTH, storage + (2 * l + 1) * T * WIDTH, T, 0};
    golden_array want = golden_read(file, "logits"), tokens = golden_read(file, "tokens");
    int64_t V = m->config.vocab_size, at = 0;
    for (int p = 0; p < n_pieces; p++) {
        mo_model_graph_options options = {
            .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = pieces[p], .caches = caches};
        mo_model_graph *t = NULL;
        MO_CHECK_OK(mo_model_graph_create(m, &options, &t));
        MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
        mo_model_graph_attach(t);
        for (int64_t i = 0; i < pieces[p]; i++) {
            ((int32_t *)t->tokens->data)[i] = tokens.ints[row * T + at + i];
            ((int32_t *)t->positions->data)[i] = (int32_t)(at + i);
            ((int32_t *)t->starts->data)[i] = 0;
        }
        mo_run run = {.training = false};
        mo_graph_forward(t->graph, &run);
        const mo_real *got = t->logits->data;
        for (int64_t i = 0; i < pieces[p] * V; i++)
            MO_CHECK_NEAR((double)got[i], want.real[(row * T + at) * V + i], 1e-5);
        at += pieces[p];
        for (int l = 0; l < LAYERS; l++) caches[l].length = at;
        mo_model_graph_free(t);
    }
    assert_int_equal(at, T);
    golden_array_free(&want);
    golden_array_free(&tokens);
}

static void test_logits(void **state)
{
    (void)state;
    mo_model *m = load();
    for (int64_t row = 0; row < B; row++) {
        check_logits(m, row, (const int64_t[]){16}, 1);
        check_logits(m, row, (const int64_t[]){7, 1, 1, 5, 2}, 5);
    }
    mo_model_free(m);
}

static void test_routing(void **state)
{
    (void)state;
    mo_model *m = load();
    mo_model_graph_options options = {.kind = MO_GRAPH_LOSS, .batch_size = B, .sequence_length = T};
    mo_model_graph *t = NULL;
    MO_CHECK_OK(mo_model_graph_create(m, &options, &t));
    MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
    mo_model_graph_attach(t);
    fill(t, 0, B);
    mo_run run = {.training = false};
    mo_graph_forward(t->graph, &run);
    golden_array ids = golden_read(file, "ids");
    for (int l = 0; l < 3; l++)
        assert_memory_equal(t->routing[l].ids_NK->data, ids.ints + l * B * T * 2,
                            B * T * 2 * sizeof(int32_t));
    golden_array_free(&ids);
    mo_model_graph_free(t);
    mo_model_free(m);
}

/* largest |got - want| over the largest |want| of a parameter */
static void check_gradients(const mo_model *m)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        char path[160];
        snprintf(path, sizeof path, "gradients/%s", p->name);
        golden_array want = golden_read(file, path);
        golden_compare(p->name, m->grad + p->offset, &want, 1e-4);
        golden_array_free(&want);
    }
}

static void test_gradients(void **state)
{
    (void)state;
    golden_array ce = golden_read(file, "cross_entropy"), aux = golden_read(file, "aux_loss");
    golden_array norm = golden_read(file, "grad_norm");
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        mo_model *m = load();
        mo_model_graph *t = train_graph(m, (mo_recompute)policy);
        double got_ce, got_aux;
        train_once(t, &got_ce, &got_aux);
        MO_CHECK_NEAR(got_ce, ce.real[0], 1e-5);
        MO_CHECK_NEAR(got_aux, aux.real[0], 1e-6);
        check_gradients(m);
        mo_slabs slabs = mo_model_slabs(m);
        MO_CHECK_NEAR(mo_grad_norm(&slabs), norm.real[0], 1e-5 * norm.real[0]);
        mo_model_graph_free(t);
        mo_model_free(m);
    }
    golden_array_free(&ce);
    golden_array_free(&aux);
    golden_array_free(&norm);
}

static void test_adamw_steps(void **state)
{
    (void)state;
    golden_array ce = golden_read(file, "cross_entropy"), norm = golden_read(file, "grad_norm");
    mo_model *m = load(), *start = load();
    mo_model_graph *t = train_graph(m, MO_RECOMPUTE_NONE);
    mo_optim_config optim = {.learning_rate = 1e-3,
                             .weight_decay = 0.1,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .epsilon = 1e-8,
                             .max_grad_norm = 1};
    mo_slabs slabs = mo_model_slabs(m);
    double got, aux;
    for (int step = 0; step < STEPS; step++) {
        train_once(t, &got, &aux);
        MO_CHECK_NEAR(got, ce.real[step], 2e-5);
        double grad_norm = mo_grad_norm(&slabs);
        MO_CHECK_NEAR(grad_norm, norm.real[step], 1e-3 * norm.real[step]);
        assert_true(grad_norm > 1); /* clipping is at work */
        mo_adamw_step(&slabs, &optim, optim.learning_rate, grad_norm, step);
    }
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        char path[160];
        snprintf(path, sizeof path, "updates/%s", p->name);
        golden_array update = golden_read(file, path);
        double moved = 0;
        for (int64_t j = 0; j < p->count; j++) {
            double before = (double)start->value[p->offset + j];
            MO_CHECK_NEAR((double)m->value[p->offset + j], before + update.real[j], 1e-5);
            moved = fmax(moved, fabs(update.real[j]));
        }
        assert_true(moved > 1e-3); /* the comparison has something to see */
        golden_array_free(&update);
    }
    mo_model_graph_free(t);
    mo_model_free(m);
    mo_model_free(start);
    golden_array_free(&ce);
    golden_array_free(&norm);
}

static int setup(void **state)
{
    (void)state;
    file = golden_open("mixtral_tiny");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    golden_close(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logits), cmocka_unit_test(test_routing),
                                       cmocka_unit_test(test_gradients), cmocka_unit_test(test_adamw_steps)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
