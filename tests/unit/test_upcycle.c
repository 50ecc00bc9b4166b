/* test_upcycle.c -- dense models become models with experts: the same function, other shapes, noise. */
#include <math.h>
#include <string.h>

#include "harness/small_model.h"
#include "moira/upcycle.h"

static const mo_model_config dense_config = {.vocab_size = 23,
                                             .hidden_size = 16,
                                             .intermediate_size = 24,
                                             .num_hidden_layers = 3,
                                             .num_attention_heads = 4,
                                             .num_key_value_heads = 2,
                                             .max_position_embeddings = 16,
                                             .sliding_window = 7,
                                             .rope_theta = 10000,
                                             .rms_norm_eps = 1e-5,
                                             .initializer_range = 0.3,
                                             .tie_word_embeddings = true};

static void fill(mo_model *m, const mo_upcycled *u)
{
    assert_int_equal(u->n_arrays, m->n_params);
    for (int i = 0; i < m->n_params; i++) {
        const mo_checkpoint_array *a = &u->arrays[i];
        const mo_param *p = mo_model_find(m, a->name);
        assert_non_null(p);
        assert_string_equal(a->group, "model");
        assert_int_equal(a->ndim, p->ndim);
        assert_memory_equal(a->dim, p->dim, sizeof p->dim);
        mo_real *w = m->value + p->offset;
        if (a->data) memcpy(w, a->data, (size_t)p->count * sizeof *w);
        for (int64_t e = 0; a->stored && e < a->stored->parts; e++)
            mo_stored_expand(a->stored, e, 0, a->stored->part_elements, w + e * a->stored->part_elements);
    }
}

static mo_model *upcycled(const mo_model *dense, const mo_model_config *config, const mo_upcycle_options *o)
{
    mo_run_config run = {.model = *config};
    mo_model *m;
    MO_CHECK_OK(mo_upcycle_config(o, &run));
    MO_CHECK_OK(mo_model_create(&run.model, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    mo_upcycled u;
    MO_CHECK_OK(mo_upcycle(dense, o, m, &u));
    fill(m, &u);
    mo_upcycled_free(&u);
    return m;
}

enum { T = 16 };

/* Of T tokens, from the begin; out [T, V]. */
static void logits(const mo_model *m, mo_real *out)
{
    const mo_model_config *c = &m->config;
    mo_kv_cache caches[3];
    mo_real storage[3 * 2 * T * 8];
    for (int l = 0; l < 3; l++) caches[l] = (mo_kv_cache){storage + l * 256, storage + l * 256 + 128, T, 0};
    mo_model_graph *t = small_model_graph(
        m, (mo_model_graph_options){
               .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = T, .caches = caches});
    for (int n = 0; n < T; n++) {
        ((int32_t *)t->tokens->data)[n] = (n * 7 + 3) % 23;
        ((int32_t *)t->positions->data)[n] = n;
        ((int32_t *)t->starts->data)[n] = 0;
    }
    mo_graph_forward(t->graph, &(mo_run){.training = false});
    memcpy(out, t->logits->data, (size_t)(T * c->vocab_size) * sizeof *out);
    mo_model_graph_free(t);
}

/* Largest difference of logits, in the largest logit. */
static double difference(const mo_model *a, const mo_model *b)
{
    mo_real x[T * 23], y[T * 23];
    logits(a, x);
    logits(b, y);
    return small_model_difference(x, y, T * 23);
}

static mo_model *dense_of(mo_model_config config)
{
    MO_CHECK_OK(mo_blas_init());
    return small_model_make(config);
}

/* Weights sum to 1 within rounding, and equal experts give equal rows: float's 2^-24, some sums in a row. */
static const double same = sizeof(mo_real) == sizeof(double) ? 1e-13 : 3e-6;

static void test_same_function(void **state)
{
    (void)state;
    static const int acts[] = {MO_ACT_SWIGLU, MO_ACT_GEGLU, MO_ACT_GELU, MO_ACT_RELU};
    static const int64_t sizes[][2] = {{8, 2}, {2, 2}, {5, 3}};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) {
            mo_model_config c = dense_config;
            c.hidden_act = acts[i];
            c.moe_layer_freq = 2; /* means nothing without experts */
            c.first_k_dense_replace = 1;
            mo_upcycle_options o = {.experts = sizes[j][0], .experts_per_token = sizes[j][1], .seed = i};
            mo_model *dense = dense_of(c), *m = upcycled(dense, &c, &o);
            assert_int_equal(mo_model_config_moe_layers(&m->config), 3);
            double off = difference(dense, m);
            if (!(off <= same)) fail_msg("activation %zu, sizes %zu: logits are off by %g", i, j, off);
            mo_model_free(m);
            mo_model_free(dense);
        }
}

static const mo_real *values(const mo_model *m, const char *name)
{
    const mo_param *p = mo_model_find(m, name);
    assert_non_null(p);
    return m->value + p->offset;
}

/* gate is w1, up is w3, down is w2, in every expert; all else but the router is as it was, to the bit. */
static void test_copies(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"mlp.gate_proj", "w1"}, {"mlp.up_proj", "w3"}, {"mlp.down_proj", "w2"}};
    mo_upcycle_options o = {.experts = 4, .experts_per_token = 2, .seed = 5};
    mo_model *dense = dense_of(dense_config), *m = upcycled(dense, &dense_config, &o);
    int copied = 0;
    for (int l = 0; l < 3; l++)
        for (int k = 0; k < 3; k++)
            for (int e = 0; e < 4; e++, copied++) {
                char from[80], to[80];
                snprintf(from, sizeof from, "model.layers.%d.%s.weight", l, pairs[k][0]);
                snprintf(to, sizeof to, "model.layers.%d.block_sparse_moe.experts.%s.weight", l, pairs[k][1]);
                assert_memory_equal(values(m, to) + e * 16 * 24, values(dense, from),
                                    16 * 24 * sizeof(mo_real));
            }
    assert_int_equal(copied, 36);
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (strstr(p->name, "block_sparse_moe")) continue;
        assert_memory_equal(m->value + p->offset, values(dense, p->name), (size_t)p->count * sizeof(mo_real));
    }
    mo_model_free(m);
    mo_model_free(dense);
}

/* The router is new: of the seed, normal(0, initializer_range). */
static void test_router(void **state)
{
    (void)state;
    static const char gate[] = "model.layers.1.block_sparse_moe.gate.weight";
    mo_upcycle_options o = {.experts = 64, .experts_per_token = 2, .seed = 5}, other = o;
    other.seed = 6;
    mo_model *dense = dense_of(dense_config);
    mo_model *a = upcycled(dense, &dense_config, &o), *b = upcycled(dense, &dense_config, &o),
             *c = upcycled(dense, &dense_config, &other);
    assert_memory_equal(a->value, b->value, (size_t)a->elements * sizeof(mo_real));
    assert_memory_not_equal(values(a, gate), values(c, gate), 64 * 16 * sizeof(mo_real));
    double sum = 0, squares = 0;
    for (int i = 0; i < 64 * 16; i++) {
        double w = (double)values(a, gate)[i];
        sum += w;
        squares += w * w;
    }
    MO_CHECK_NEAR(sum / 1024, 0, 0.03);
    MO_CHECK_NEAR(sqrt(squares / 1024), 0.3, 0.03);
    mo_model_free(a);
    mo_model_free(b);
    mo_model_free(c);
    mo_model_free(dense);
}

/* Of as many standard deviations as asked for, another in each expert, matrix and layer; the function is near
 * the dense one. */
static void test_noise(void **state)
{
    (void)state;
    mo_upcycle_options o = {.experts = 8, .experts_per_token = 2, .noise = 0.05, .seed = 5};
    mo_model *dense = dense_of(dense_config), *m = upcycled(dense, &dense_config, &o);
    enum { N = 16 * 24 };
    const mo_real *w = values(dense, "model.layers.2.mlp.down_proj.weight"),
                  *all = values(m, "model.layers.2.block_sparse_moe.experts.w2.weight"),
                  *layer = values(m, "model.layers.1.block_sparse_moe.experts.w2.weight"),
                  *before = values(dense, "model.layers.1.mlp.down_proj.weight");
    double mean = 0, squares = 0, noise = 0, between = 0, layers = 0;
    for (int i = 0; i < N; i++) mean += (double)w[i] / N;
    for (int i = 0; i < N; i++) squares += ((double)w[i] - mean) * ((double)w[i] - mean);
    for (int i = 0; i < 8 * N; i++) {
        double n = (double)all[i] - (double)w[i % N];
        noise += n * n / 8;
        between += n * ((double)all[(i + N) % (8 * N)] - (double)w[i % N]) / 8;
        layers += n * ((double)layer[i] - (double)before[i % N]) / 8;
    }
    MO_CHECK_NEAR(sqrt(noise / squares), 0.05, 0.002); /* of 3072 draws: 1.3% each way */
    MO_CHECK_NEAR(between / noise, 0, 0.1);
    MO_CHECK_NEAR(layers / noise, 0, 0.1);
    double off = difference(dense, m);
    assert_true(off > 1e-3 && off < 0.2);
    mo_model_free(m);
    mo_model_free(dense);
}

/* Matrices that lie in a file of 16 bits stay there, or get noise in that type. */
static void test_stored(void **state)
{
    (void)state;
    mo_text patterns[] = {{(char[]){"*"}}, {(char[]){"!model.norm.weight"}}};
    mo_tuning_config frozen = {.freeze = {patterns, 2}};
    mo_model *m, *wide = dense_of(dense_config), *sparse;
    static uint16_t bits[16 * 24];
    mo_narrow(MO_BF16, values(wide, "model.layers.1.mlp.up_proj.weight"), 16 * 24, bits);
    mo_stored stored = {MO_BF16, 1, 16 * 24, (const void *[]){bits}};
    MO_CHECK_OK(mo_model_create_tuned(&dense_config, &frozen, &m));
    mo_model_map(m, mo_model_find(m, "model.layers.1.mlp.up_proj.weight"), &stored);
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    mo_upcycle_options o = {.experts = 3, .experts_per_token = 2, .seed = 5};
    mo_run_config run = {.model = dense_config};
    MO_CHECK_OK(mo_upcycle_config(&o, &run));
    MO_CHECK_OK(mo_model_create(&run.model, &sparse));
    for (int noisy = 0; noisy < 2; noisy++) {
        o.noise = noisy * 1e-3;
        mo_upcycled u;
        MO_CHECK_OK(mo_upcycle(m, &o, sparse, &u));
        const mo_param *p = mo_model_find(sparse, "model.layers.1.block_sparse_moe.experts.w3.weight");
        const mo_checkpoint_array *a = &u.arrays[p - sparse->params];
        assert_string_equal(a->name, p->name);
        assert_true(a->stored && a->stored->dtype == MO_BF16 && a->stored->parts == 3);
        assert_int_equal(a->stored->part_elements, 16 * 24);
        for (int e = 0; e < 3; e++) {
            assert_int_equal(a->stored->part[e] == (const void *)bits, !noisy);
            int changed = 0;
            for (int i = 0; i < 16 * 24; i++) {
                uint16_t got;
                memcpy(&got, (const char *)a->stored->part[e] + 2 * i, 2);
                changed += got != bits[i];
            }
            assert_in_range(changed, noisy ? 30 : 0, noisy ? 300 : 0);
        }
        mo_upcycled_free(&u);
    }
    mo_model_free(sparse);
    mo_model_free(m);
    mo_model_free(wide);
}

static void refused(mo_model_config model, mo_upcycle_options o, mo_status status, const char *text)
{
    mo_run_config run = {.model = model};
    assert_int_equal(mo_upcycle_config(&o, &run), status);
    if (!strstr(mo_last_error(), text)) fail_msg("'%s' is not in '%s'", text, mo_last_error());
}

/* The dense run's patterns fit no parameter of the new model, whose file could then not be opened. */
static void test_nothing_stays_frozen(void **state)
{
    (void)state;
    mo_text pattern = {"model.layers.*.mlp.up_proj.*"};
    mo_run_config run = {.model = dense_config, .tuning = {.freeze = {&pattern, 1}}};
    mo_upcycle_options o = {.experts = 4, .experts_per_token = 2};
    MO_CHECK_OK(mo_tuning_check(&run.model, &run.tuning));
    MO_CHECK_OK(mo_upcycle_config(&o, &run));
    MO_CHECK_OK(mo_tuning_check(&run.model, &run.tuning));
}

static void test_refused(void **state)
{
    (void)state;
    mo_model_config moe = dense_config;
    moe.num_local_experts = 4;
    refused(moe, (mo_upcycle_options){8, 2, 0, 0}, MO_E_CONFIG, "has 4 experts in its layers already");
    refused(dense_config, (mo_upcycle_options){1, 1, 0, 0}, MO_E_CONFIG,
            "1 experts: a router needs at least 2");
    refused(dense_config, (mo_upcycle_options){4, 5, 0, 0}, MO_E_CONFIG,
            "model.num_experts_per_tok 5 > model.num_local_experts 4");
    refused(dense_config, (mo_upcycle_options){4, 1, 0, 0}, MO_E_CONFIG, "the router no gradient");
    refused(dense_config, (mo_upcycle_options){4, 2, -1, 0}, MO_E_RANGE, "noise of -1");
    refused(dense_config, (mo_upcycle_options){4, 2, (double)NAN, 0}, MO_E_RANGE, "must be 0 or more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_function), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_router),        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_stored),        cmocka_unit_test(test_nothing_stays_frozen),
        cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
