/* test_model_parts.c -- norms, clipping, shared experts and layers without experts: what is refused, which
 * parameters there are, how many a token uses, what a balancing loss is averaged over. */
#include <math.h>
#include <string.h>

#include "harness/harness.h"

#include "moira/model.h"

/* Five layers, of which 2 and 4 have experts. */
static const mo_model_config parts = {.vocab_size = 11,
                                      .hidden_size = 8,
                                      .intermediate_size = 20,
                                      .moe_intermediate_size = 6,
                                      .num_hidden_layers = 5,
                                      .num_attention_heads = 4,
                                      .num_key_value_heads = 2,
                                      .max_position_embeddings = 16,
                                      .num_local_experts = 4,
                                      .num_experts_per_tok = 3,
                                      .n_shared_experts = 2,
                                      .first_k_dense_replace = 1,
                                      .moe_layer_freq = 2,
                                      .norm_topk_prob = MO_CHOICE_TRUE,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.02};

#define WITH(field, value) (*(c = parts, c.field = (value), &c))

/* ---- what is refused ---- */

static void check_refused(mo_model_config c, const char *text)
{
    mo_model *m = NULL;
    MO_CHECK_STATUS(mo_model_create(&c, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
    assert_null(m);
}

static void test_refused(void **state)
{
    (void)state;
    mo_model_config c;
    check_refused(WITH(n_shared_experts, -1), "model.n_shared_experts is -1");
    check_refused(WITH(first_k_dense_replace, -1), "model.first_k_dense_replace is -1");
    check_refused(WITH(moe_layer_freq, -1), "model.moe_layer_freq is -1");
    check_refused(WITH(norm, 2), "model.norm 2 is none of the norms");
    check_refused(WITH(norm, -1), "model.norm -1");
    check_refused(WITH(qk_norm, 3), "model.qk_norm 3 is none");
    check_refused(WITH(qk_norm, -1), "model.qk_norm -1");
    check_refused(WITH(clip_qkv, -8), "model.clip_qkv is -8; must be more than 0");
    check_refused(WITH(first_k_dense_replace, 5),
                  "model.first_k_dense_replace 5 and model.moe_layer_freq 2 leave none of the 5 layers to "
                  "the 4 experts");
    (void)WITH(moe_layer_freq, 5);
    check_refused(c, "model.first_k_dense_replace 1 and model.moe_layer_freq 5 leave none");
    check_refused(WITH(num_local_experts, 0), "model.n_shared_experts 2 stand beside routed experts");
}

/* ---- which layers have experts ---- */

static void check_layers(mo_model_config c, const char *pattern)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&c, &m));
    int64_t layers = 0;
    for (int64_t l = 0; l < c.num_hidden_layers; l++) {
        char name[80];
        bool moe = pattern[l] == 'x';
        layers += moe;
        snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.gate.weight", (int)l);
        assert_true((mo_model_find(m, name) != NULL) == moe);
        snprintf(name, sizeof name, "model.layers.%d.mlp.shared_experts.up_proj.weight", (int)l);
        assert_true((mo_model_find(m, name) != NULL) == (moe && c.n_shared_experts > 0));
        snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", (int)l);
        assert_true((mo_model_find(m, name) != NULL) == !moe);
        assert_true(mo_model_config_is_moe(&m->config, l) == moe);
    }
    assert_int_equal(mo_model_config_moe_layers(&m->config), layers);
    mo_model_free(m);
}

static void test_layers(void **state)
{
    (void)state;
    mo_model_config c;
    check_layers(parts, "--x-x");
    check_layers(WITH(first_k_dense_replace, 0), "x-x-x");
    check_layers(WITH(first_k_dense_replace, 4), "----x");
    check_layers(WITH(moe_layer_freq, 1), "-xxxx");
    check_layers(WITH(moe_layer_freq, 3), "---x-");
    (void)WITH(moe_layer_freq, 0); /* 1 */
    c.first_k_dense_replace = 0;
    check_layers(c, "xxxxx");
    c.n_shared_experts = 0;
    check_layers(c, "xxxxx");
    c.num_local_experts = 0;
    check_layers(c, "-----");
}

/* ---- parameters ---- */

static void check_shape(const mo_model *m, const char *name, int64_t rows, int64_t columns)
{
    const mo_param *p = mo_model_find(m, name);
    if (!p) fail_msg("there is no %s", name);
    assert_int_equal(p->ndim, columns ? 2 : 1);
    assert_int_equal(p->dim[0], rows);
    if (columns) assert_int_equal(p->dim[1], columns);
    assert_true(p->active == 1 && p->decay == (columns > 0));
    assert_int_equal(p->init, columns ? MO_INIT_NORMAL : MO_INIT_ONE);
}

/* Four query heads and two for keys, of 2 or of 6. */
static void test_shapes(void **state)
{
    (void)state;
    static const char q[] = "model.layers.1.self_attn.q_norm.weight",
                      k[] = "model.layers.1.self_attn.k_norm.weight";
    mo_model *m;
    mo_model_config c;
    MO_CHECK_OK(mo_model_create(&parts, &m));
    assert_null(mo_model_find(m, q));
    assert_null(mo_model_find(m, k));
    check_shape(m, "model.layers.0.mlp.gate_proj.weight", 20, 8);
    check_shape(m, "model.layers.0.mlp.up_proj.weight", 20, 8);
    check_shape(m, "model.layers.0.mlp.down_proj.weight", 8, 20);
    check_shape(m, "model.layers.2.mlp.shared_experts.gate_proj.weight", 12, 8);
    check_shape(m, "model.layers.2.mlp.shared_experts.up_proj.weight", 12, 8);
    check_shape(m, "model.layers.2.mlp.shared_experts.down_proj.weight", 8, 12);
    mo_model_free(m);
    (void)WITH(hidden_act, MO_ACT_RELU);
    c.qk_norm = MO_QK_NORM_LAYER;
    c.head_dim = 6;
    MO_CHECK_OK(mo_model_create(&c, &m));
    check_shape(m, q, 24, 0);
    check_shape(m, k, 12, 0);
    assert_null(mo_model_find(m, "model.layers.2.mlp.shared_experts.gate_proj.weight"));
    mo_model_free(m);
    c.qk_norm = MO_QK_NORM_HEAD;
    MO_CHECK_OK(mo_model_create(&c, &m));
    check_shape(m, q, 6, 0);
    check_shape(m, k, 6, 0);
    mo_model_free(m);
}

static void check_count(mo_model_config c, int64_t total, int64_t active, double flops)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&c, &m));
    mo_model_count n = mo_model_counts(m, 16);
    assert_int_equal(n.total, total);
    assert_int_equal(n.active, active);
    if (flops > 0) MO_CHECK_NEAR(n.flops_per_token, flops, 1e-6);
    mo_model_free(m);
}

/* By hand: the table and the head 11 x 8 each; attention of a layer, with heads of 2, 8x8 twice and 4x8
 * twice; a dense block 3 matrices of 20x8; an expert 3 of 6x8; the shared two 3 of 12x8; a router 4x8; two
 * norms of 8 a layer and a last one. A token uses 3 of 4 experts. Scores: 6 L T d. */
static void test_counts(void **state)
{
    (void)state;
    enum {
        TABLE = 88,
        NORMS = 8 * 11,
        ATTENTION = 5 * 192,
        DENSE = 3 * 480,
        SHARED = 2 * 288,
        GATE = 2 * 32
    };
    enum { EXPERTS = 2 * 4 * 144, REST = 2 * TABLE + NORMS + ATTENTION + DENSE + SHARED + GATE };
    mo_model_config c;
    int64_t active = REST + EXPERTS * 3 / 4;
    double scores = 6.0 * 5 * 16 * 8;
    check_count(parts, REST + EXPERTS, active, 6.0 * (double)(active - TABLE - NORMS) + scores);
    (void)WITH(qk_norm, MO_QK_NORM_LAYER);
    c.norm = MO_NORM_LAYER; /* no bias: as many as RMSNorm */
    c.clip_qkv = 8;
    check_count(c, REST + EXPERTS + 5 * (8 + 4), active + 5 * (8 + 4),
                6.0 * (double)(active - TABLE - NORMS) + scores);
    c.qk_norm = MO_QK_NORM_HEAD;
    check_count(c, REST + EXPERTS + 5 * (2 + 2), active + 5 * (2 + 2), 0);
    check_count(WITH(n_shared_experts, 0), REST - SHARED + EXPERTS, active - SHARED, 0);
    (void)WITH(router, MO_ROUTER_SOFT); /* all experts */
    c.num_experts_per_tok = 0;
    check_count(c, REST + EXPERTS, REST + EXPERTS, 6.0 * (double)(REST + EXPERTS - TABLE - NORMS) + scores);
    (void)WITH(router, MO_ROUTER_EXPERT_CHOICE); /* as many as want the token: 1.5 of 4 on average */
    c.num_experts_per_tok = 0;
    c.norm_topk_prob = MO_CHOICE_DEFAULT;
    c.capacity_factor = 1.5;
    active = REST + EXPERTS * 3 / 8;
    check_count(c, REST + EXPERTS, active, 6.0 * (double)(active - TABLE - NORMS) + scores);
    (void)WITH(router, MO_ROUTER_SIGMOID); /* its bias is no parameter */
    check_count(c, REST + EXPERTS, REST + EXPERTS * 3 / 4, 0);
}

/* Dai et al. 2024 (arXiv:2401.06066), section 5.1: 16.4 and 2.8 thousand million. Muennighoff et al. 2024
 * (arXiv:2409.02060), table 1: 6.9 and 1.3. */
static void test_published(void **state)
{
    (void)state;
    mo_model_config c = {.vocab_size = 102400,
                         .hidden_size = 2048,
                         .intermediate_size = 10944,
                         .moe_intermediate_size = 1408,
                         .num_hidden_layers = 28,
                         .num_attention_heads = 16,
                         .max_position_embeddings = 4096,
                         .num_local_experts = 64,
                         .num_experts_per_tok = 6,
                         .n_shared_experts = 2,
                         .first_k_dense_replace = 1,
                         .norm_topk_prob = MO_CHOICE_FALSE,
                         .rope_theta = 1e4,
                         .rms_norm_eps = 1e-6,
                         .initializer_range = 0.006};
    check_count(c, INT64_C(16375728128), INT64_C(2828650496), 0);
    c.vocab_size = 50304;
    c.intermediate_size = 1024;
    c.moe_intermediate_size = 0;
    c.num_hidden_layers = 16;
    c.num_experts_per_tok = 8;
    c.n_shared_experts = c.first_k_dense_replace = 0;
    c.qk_norm = MO_QK_NORM_LAYER;
    check_count(c, INT64_C(6919161856), INT64_C(1282017280), 0);
}

/* ---- the average over the layers that have experts ---- */

enum { B = 2, T = 8 };

/* Routers at zero: all experts are as likely in each of the MoE layers, so their mean is that of one. */
static void test_balanced_values(void **state)
{
    (void)state;
    for (int64_t dense = 0; dense < 5; dense++) {
        mo_model_config c;
        (void)WITH(first_k_dense_replace, dense);
        c.moe_layer_freq = 1;
        mo_model *m;
        MO_CHECK_OK(mo_blas_init());
        MO_CHECK_OK(mo_model_create(&c, &m));
        MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
        mo_model_init(m, 3);
        for (int i = 0; i < m->n_params; i++)
            if (strstr(m->params[i].name, "moe.gate"))
                memset(m->value + m->params[i].offset, 0, (size_t)m->params[i].count * sizeof(mo_real));
        mo_model_graph *t;
        mo_model_graph_options options = {.kind = MO_GRAPH_TRAIN,
                                          .batch_size = B,
                                          .sequence_length = T,
                                          .balance = {.switch_loss = 1, .mixtral = 1, .z_loss = 1}};
        MO_CHECK_OK(mo_model_graph_create(m, &options, &t));
        assert_int_equal(t->n_routing, 5 - dense);
        for (int r = 0; r < t->n_routing; r++) assert_int_equal(t->routing[r].layer, dense + r);
        MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
        mo_model_graph_attach(t);
        for (int n = 0; n < B * T; n++) {
            ((int32_t *)t->tokens->data)[n] = n % 11;
            ((int32_t *)t->targets->data)[n] = (n + 1) % 11;
            ((int32_t *)t->positions->data)[n] = n % T;
            ((int32_t *)t->starts->data)[n] = 0;
        }
        mo_model_graph_scale(t, B * T, B * T);
        mo_run run = {.training = true};
        mo_graph_train(t->graph, &run);
        /* What the step's loss has: each term by its coefficient, over the tokens. */
        double sum[MO_BALANCE_LOSSES] = {0};
        for (int i = 0; i < t->n_terms; i++)
            sum[t->terms[i].kind] +=
                t->terms[i].coefficient * mo_graph_loss_value(t->graph, t->terms[i].loss) / (B * T);
        for (int k = 0; k < MO_BALANCE_LOSSES; k++) {
            double want = strcmp(mo_balance_names[k], "switch") == 0    ? 1
                          : strcmp(mo_balance_names[k], "mixtral") == 0 ? 3
                          : strcmp(mo_balance_names[k], "z_loss") == 0  ? log(4) * log(4)
                                                                        : 0;
            MO_CHECK_NEAR(sum[k], want, 1e-5);
        }
        mo_model_graph_free(t);
        mo_model_free(m);
    }
}

/* Running out of memory at any place of creating such a model is an error, and loses nothing. */
static void test_allocations(void **state)
{
    (void)state;
    mo_model_config c;
    (void)WITH(qk_norm, MO_QK_NORM_HEAD);
    mo_model *m = NULL;
    int64_t tried;
    MO_CHECK_EACH_ALLOCATION(tried, mo_model_create(&c, &m));
    assert_true(tried > 40);
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_layers),
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_counts),
        cmocka_unit_test(test_published),  cmocka_unit_test(test_balanced_values),
        cmocka_unit_test(test_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
