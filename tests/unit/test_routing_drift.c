/* test_routing_drift.c -- how far two routers are from each other: sums made by hand, models against
 * themselves, against others, and those that cannot be compared. */
#include "harness/harness.h"

#include <math.h>
#include <string.h>

#include "moira/routing.h"
#include "train/routing_drift.h"

/* ---- by hand: one layer, 3 experts, 2 for each token ---- */

enum { E = 3, K = 2, N = 6 };
static const int32_t tokens[N] = {1, 2, 3, 4, 5, -1};
/* The same in another order; one of two; both gone; none in either; one more; padding. */
static int32_t before_ids[N * K] = {0, 1, 0, 1, 2, -1, -1, -1, 1, -1, 0, 1};
static int32_t after_ids[N * K] = {1, 0, 0, 2, -1, -1, -1, -1, 1, 2, 2, -1};
static mo_real before_w[N * K] = {0.75, 0.25, 0.5, 0.5, 1, 0, 0, 0, 1, 0, 1, 1};
static mo_real after_w[N * K] = {0.25, 0.75, 0.5, 0.5, 0, 0, 0, 0, 0.75, 0.25, 1, 1};
static mo_real before_p[N * E] = {0.5,   0.25,  0.25, 1,    0,   0,    0.5, 0.25, 0.25,
                                  0.125, 0.375, 0.5,  0.25, 0.5, 0.25, 9,   9,    9};
static mo_real after_p[N * E] = {0.25,  0.625, 0.125, 1,    0,   0,    0.25, 0.5, 0.25,
                                 0.125, 0.375, 0.5,   0.25, 0.5, 0.25, 1,    0,   0};

typedef struct side {
    mo_model model;
    mo_tensor ids, w, p;
    mo_layer_routing routing;
    mo_model_graph graph;
} side;

static void make_side(side *s, int32_t *ids, mo_real *w, mo_real *p)
{
    *s = (side){.model.config.num_local_experts = E,
                .ids = {.ndim = 2, .dim = {N, K}, .data = ids},
                .w = {.ndim = 2, .dim = {N, K}, .data = w},
                .p = {.ndim = 2, .dim = {N, E}, .data = p}};
    s->routing = (mo_layer_routing){.layer = 4, .ids_NK = &s->ids, .w_NK = &s->w, .p_NE = p ? &s->p : NULL};
    s->graph = (mo_model_graph){
        .model = &s->model, .batch_size = 1, .sequence_length = N, .routing = &s->routing, .n_routing = 1};
}

static mo_drift by_hand(const side *a, const side *b)
{
    mo__drift_sum sum;
    mo_drift d;
    MO_CHECK_OK(mo__drift_sum_create(&b->graph, &sum));
    mo__drift_sum_add(&sum, &a->graph, &b->graph, tokens);
    MO_CHECK_OK(mo__drift_sum_finish(&sum, &a->graph, &b->graph, &d));
    mo__drift_sum_free(&sum);
    return d;
}

static void test_by_hand(void **state)
{
    (void)state;
    side a, b;
    make_side(&a, before_ids, before_w, before_p);
    make_side(&b, after_ids, after_w, after_p);
    mo_drift d = by_hand(&a, &b);
    const mo_layer_drift *l = &d.layers[0];
    assert_int_equal(d.tokens, 5);
    assert_int_equal(l->layer, 4);
    MO_CHECK_NEAR(l->changed, (0 + 0.5 + 1 + 0 + 0.5) / 5, 1e-15);
    MO_CHECK_NEAR(l->first_changed, 1.0 / 5, 1e-15); /* 2 to none; of equal weights the first counts */
    MO_CHECK_NEAR(l->kl, (0.75 * log(2) + 0.25 * log(0.4) + 0.25 * log(2)) / 5, 1e-7);
    MO_CHECK_NEAR(l->js, 0.028959943771728083 * 4 / 5, 1e-7); /* by numpy */
    MO_CHECK_NEAR(l->reference_load[0], 2.0 / 6, 1e-15);
    MO_CHECK_NEAR(l->load[2], 2.0 / 6, 1e-15);
    MO_CHECK_NEAR(l->load_moved, 1.0 / 6, 1e-15);
    assert_true(isnan(l->weights_moved)); /* no matrix at all */
    mo_drift_free(&d);

    make_side(&b, before_ids, before_w, NULL); /* no probabilities */
    d = by_hand(&a, &b);
    assert_true(isnan(d.layers[0].kl) && isnan(d.layers[0].js));
    assert_true(d.layers[0].changed == 0 && d.layers[0].first_changed == 0 && d.layers[0].load_moved == 0);
    mo_drift_free(&d);
}

/* An expert that the model gives no probability at all: much, and finite. */
static void test_impossible(void **state)
{
    (void)state;
    side a, b;
    mo_real none[N * E] = {0, 0.5, 0.5, 0, 0.5, 0.5, 0, 0.5, 0.5, 0, 0.5, 0.5, 0, 0.5, 0.5};
    make_side(&a, before_ids, before_w, before_p);
    make_side(&b, after_ids, after_w, none);
    mo_drift d = by_hand(&a, &b);
    assert_true(d.layers[0].kl > 20 && d.layers[0].kl < 86);
    assert_true(d.layers[0].js > 0 && d.layers[0].js <= log(2));
    mo_drift_free(&d);
}

/* ---- models ---- */

static char *folder;
static mo_tokenfile *file;

static int setup(void **state)
{
    (void)state;
    mo_corpus_summary summary;
    folder = temp_make();
    mo_synth_options synth = {.output = temp_path(folder, "d.h5"),
                              .domains = 2,
                              .tokens = 12000,
                              .validation_fraction = 0.1,
                              .seed = 3,
                              .compression = 1};
    MO_CHECK_OK(mo_synth(&synth, &summary));
    MO_CHECK_OK(mo_tokenfile_open(temp_path(folder, "d.h5"), &file));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mo_tokenfile_close(file);
    temp_remove(folder);
    return 0;
}

static const mo_model_config small = {.vocab_size = 256,
                                      .hidden_size = 16,
                                      .intermediate_size = 16,
                                      .num_hidden_layers = 3,
                                      .num_attention_heads = 2,
                                      .max_position_embeddings = 64,
                                      .num_local_experts = 4,
                                      .num_experts_per_tok = 2,
                                      .norm_topk_prob = MO_CHOICE_DEFAULT,
                                      .first_k_dense_replace = 1,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.05};

static mo_model *make_model(mo_model_config config, uint64_t seed)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    mo_model_init(m, seed);
    return m;
}

static mo_eval_options options_of(void)
{
    return (mo_eval_options){
        .file = file, .split = MO_SPLIT_VALIDATION, .sequence_length = 32, .batch_size = 5, .batches = 2};
}

static void test_itself(void **state)
{
    (void)state;
    mo_model *a = make_model(small, 1), *b = make_model(small, 1);
    mo_eval_options o = options_of();
    mo_drift d;
    MO_CHECK_OK(mo_routing_drift(a, b, &o, &d));
    assert_int_equal(d.n_layers, 2);
    assert_int_equal(d.tokens, 2 * 5 * 32);
    for (int l = 0; l < 2; l++) {
        const mo_layer_drift *x = &d.layers[l];
        assert_int_equal(x->layer, l + 1);
        assert_true(x->changed == 0 && x->first_changed == 0 && x->kl == 0 && x->js == 0);
        assert_true(x->load_moved == 0 && x->weights_moved == 0);
        MO_CHECK_NEAR(x->load[0] + x->load[1] + x->load[2] + x->load[3], 1, 1e-12);
    }
    mo_drift_free(&d);
    mo_model_free(a);
    mo_model_free(b);
}

/* One router's matrix is turned round: its probabilities stay the same numbers, for other experts. */
static void test_turned(void **state)
{
    (void)state;
    mo_model *a = make_model(small, 1), *b = make_model(small, 1);
    const mo_param *w = mo_model_find(b, "model.layers.2.block_sparse_moe.gate.weight");
    double moved = 0, size = 0;
    for (int64_t e = 0; e < 4; e++)
        for (int64_t i = 0; i < 16; i++) {
            const mo_real *x = a->value + w->offset;
            b->value[w->offset + e * 16 + i] = x[(3 - e) * 16 + i];
            double by = (double)x[(3 - e) * 16 + i] - (double)x[e * 16 + i];
            moved += by * by;
            size += (double)x[e * 16 + i] * (double)x[e * 16 + i];
        }
    mo_eval_options o = options_of();
    mo_drift d;
    MO_CHECK_OK(mo_routing_drift(a, b, &o, &d));
    assert_true(d.layers[0].changed == 0 && d.layers[0].kl == 0 && d.layers[0].weights_moved == 0);
    const mo_layer_drift *x = &d.layers[1];
    MO_CHECK_NEAR(x->weights_moved, sqrt(moved / size), 1e-12);
    assert_true(x->first_changed == 1); /* expert e has become 3 - e */
    assert_true(x->changed > 0 && x->kl > 0 && x->js > 0 && x->js < x->kl);
    for (int e = 0; e < 4; e++) MO_CHECK_NEAR(x->load[e], x->reference_load[3 - e], 1e-15);
    mo_drift_free(&d);
    mo_model_free(a);
    mo_model_free(b);
}

/* The noise is not in the way of what a router does to the tokens. */
static void test_noise(void **state)
{
    (void)state;
    mo_model_config c = small;
    c.router = MO_ROUTER_NOISY_TOPK;
    mo_model *a = make_model(c, 1), *b = make_model(c, 1);
    const mo_param *w = mo_model_find(a, "model.layers.1.block_sparse_moe.gate.weight"),
                   *noise = mo_model_find(a, "model.layers.1.block_sparse_moe.gate_noise.weight");
    for (int64_t i = 0; i < w->count; i++) /* both start at zero */
        a->value[w->offset + i] = b->value[w->offset + i] = (mo_real)(i % 5) / 16;
    for (int64_t i = 0; i < noise->count; i++) b->value[noise->offset + i] = 1;
    mo_eval_options o = options_of();
    mo_drift d;
    MO_CHECK_OK(mo_routing_drift(a, b, &o, &d));
    assert_true(d.layers[0].weights_moved == 0 && d.layers[1].weights_moved == 0);
    assert_true(d.layers[0].changed == 0 && d.layers[1].changed == 0);
    mo_drift_free(&d);
    b->value[mo_model_find(b, "model.layers.2.block_sparse_moe.gate.weight")->offset] = 1;
    MO_CHECK_OK(mo_routing_drift(a, b, &o, &d)); /* from zero: no measure */
    assert_true(d.layers[0].weights_moved == 0 && isnan(d.layers[1].weights_moved));
    mo_drift_free(&d);
    mo_model_free(a);
    mo_model_free(b);
}

/* Both of a two-level router's matrices count, and neither's noise. */
static void test_two_levels(void **state)
{
    (void)state;
    mo_model_config c = small;
    c.router = MO_ROUTER_HIERARCHICAL;
    c.num_experts_per_tok = 4;
    c.n_group = 2;
    mo_model *a = make_model(c, 1), *b = make_model(c, 1);
    static const char *const names[] = {"gate", "gate_group", "gate_group_noise"};
    for (int i = 0; i < 3; i++) {
        char *name = mo_strprintf("model.layers.1.block_sparse_moe.%s.weight", names[i]);
        const mo_param *w = mo_model_find(a, name);
        a->value[w->offset] = 3;
        b->value[w->offset] = i == 0 ? 3 : 6;
        mo_free(name);
    }
    mo_eval_options o = options_of();
    mo_drift d;
    MO_CHECK_OK(mo_routing_drift(a, b, &o, &d));
    MO_CHECK_NEAR(d.layers[0].weights_moved, 3 / sqrt(18), 1e-15);
    mo_drift_free(&d);
    mo_model_free(a);
    mo_model_free(b);
}

static void refuse(mo_model_config other, const char *message)
{
    mo_model *a = make_model(small, 1), *b = make_model(other, 1);
    mo_eval_options o = options_of();
    mo_drift d;
    MO_CHECK_STATUS(mo_routing_drift(a, b, &o, &d), MO_E_MISMATCH);
    MO_CHECK_MESSAGE(message);
    assert_null(d.layers);
    mo_model_free(a);
    mo_model_free(b);
}

static void test_refused(void **state)
{
    (void)state;
    mo_model_config c = small;
    c.num_local_experts = 0;
    refuse(c, "the model is a dense model; it routes nothing");
    c = small;
    c.num_local_experts = 8;
    refuse(c, "the model has 8 experts, the reference 4");
    c = small;
    c.num_hidden_layers = 4;
    refuse(c, "the model has 4 layers, the reference 3");
    c = small;
    c.vocab_size = 300;
    refuse(c, "the model has 300 token ids, the reference 256");
    c = small;
    c.first_k_dense_replace = 0;
    refuse(c, "layer 0 has experts in the model alone");

    mo_model *a = make_model(small, 1);
    mo_eval_options o = options_of();
    mo_drift d;
    o.sequence_length = 5000;
    MO_CHECK_STATUS(mo_routing_drift(a, a, &o, &d), MO_E_RANGE);
    MO_CHECK_MESSAGE("fewer than one window of 5000");
    o = options_of();
    o.stop = &(volatile sig_atomic_t){1};
    MO_CHECK_STATUS(mo_routing_drift(a, a, &o, &d), MO_E_INTERRUPTED);
    o.stop = NULL;
    int failed;
    MO_CHECK_EACH_ALLOCATION(failed, mo_routing_drift(a, a, &o, &d));
    assert_true(failed > 20);
    mo_drift_free(&d);
    mo_model_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_impossible),
                                       cmocka_unit_test(test_itself),  cmocka_unit_test(test_turned),
                                       cmocka_unit_test(test_noise),   cmocka_unit_test(test_two_levels),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
