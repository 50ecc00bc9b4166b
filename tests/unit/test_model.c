/* test_model.c -- configurations that are refused, parameters: names, counts, initial values, decay. */
#include "moira/model.h"

#include <math.h>
#include <string.h>

#include "harness/harness.h"

static const mo_model_config small = {.vocab_size = 11,
                                      .hidden_size = 8,
                                      .intermediate_size = 20,
                                      .num_hidden_layers = 3,
                                      .num_attention_heads = 2,
                                      .num_key_value_heads = 1,
                                      .max_position_embeddings = 16,
                                      .num_local_experts = 4,
                                      .num_experts_per_tok = 2,
                                      .router = MO_ROUTER_TOPK,
                                      .norm_topk_prob = true,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.02};
static const mo_balance_config no_balance = {0};

/* ---- configurations ---- */

static void check_refused(mo_model_config c, mo_balance_config b, const char *text)
{
    MO_CHECK_STATUS(mo_model_config_check(&c, &b), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
    if (memcmp(&b, &no_balance, sizeof b) != 0) return;
    mo_model *m = NULL;
    MO_CHECK_STATUS(mo_model_create(&c, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
    assert_null(m);
}

/* `small` with one thing changed, in the variable c. */
#define WITH(field, value) (*(c = small, c.field = (value), &c))

static void test_sizes_refused(void **state)
{
    (void)state;
    mo_model_config c;
    check_refused(WITH(hidden_size, 0), no_balance, "model.hidden_size is 0; must be at least 1");
    check_refused(WITH(intermediate_size, -1), no_balance,
                  "model.intermediate_size is -1; must be at least 1");
    check_refused(WITH(num_hidden_layers, 0), no_balance, "model.num_hidden_layers is 0");
    check_refused(WITH(num_attention_heads, 0), no_balance, "model.num_attention_heads is 0");
    check_refused(WITH(num_experts_per_tok, -1), no_balance, "model.num_experts_per_tok is -1");
    check_refused(WITH(num_key_value_heads, -1), no_balance, "model.num_key_value_heads is -1");
    check_refused(WITH(moe_intermediate_size, -1), no_balance, "model.moe_intermediate_size is -1");
    check_refused(WITH(head_dim, -2), no_balance, "model.head_dim is -2");
    check_refused(WITH(num_local_experts, -2), no_balance, "model.num_local_experts is -2");
    check_refused(WITH(router, -1), no_balance, "model.router -1 is none of the routers");
    check_refused(WITH(hidden_act, -1), no_balance, "model.hidden_act -1 is none of the activations");
    check_refused((mo_model_config){0}, no_balance, "is 0; must be at least 1");
    check_refused(WITH(embd_pdrop, 1), no_balance, "model.embd_pdrop is 1; must be at least 0 and below 1");
    check_refused(WITH(resid_pdrop, -0.5), no_balance, "model.resid_pdrop is -0.5;");
    check_refused(WITH(attention_dropout, (double)NAN), no_balance, "model.attention_dropout is nan;");
    mo_model *m;
    MO_CHECK_STATUS(mo_model_create(&WITH(hidden_size, INT64_C(1) << 60), &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("more elements than fit any memory");
    mo_model_config together = WITH(hidden_size, INT64_C(1) << 24); /* no parameter alone is too large */
    together.intermediate_size = INT64_C(1) << 30;
    MO_CHECK_STATUS(mo_model_create(&together, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("the model would have more elements than fit any memory");
}

static void test_attention_refused(void **state)
{
    (void)state;
    mo_model_config c;
    check_refused(WITH(num_attention_heads, 3), no_balance,
                  "model.hidden_size 8 is not divisible by model.num_attention_heads 3");
    check_refused(WITH(num_key_value_heads, 3), no_balance,
                  "model.num_attention_heads 2 is not a multiple of model.num_key_value_heads 3");
    check_refused(WITH(num_attention_heads, 8), no_balance, "model.head_dim is 1 (hidden_size 8 /");
    check_refused(WITH(head_dim, 5), no_balance, "model.head_dim is 5");
}

static void test_experts_refused(void **state)
{
    (void)state;
    mo_model_config c;
    check_refused(WITH(num_experts_per_tok, 5), no_balance,
                  "model.num_experts_per_tok 5 > model.num_local_experts 4");
    check_refused(WITH(num_experts_per_tok, 1), no_balance,
                  "the router no gradient; set model.norm_topk_prob to false");
    (void)WITH(num_experts_per_tok, 1);
    c.router = MO_ROUTER_NOISY_TOPK;
    check_refused(c, no_balance, "noisy_topk needs num_experts_per_tok of at least 2");
    (void)WITH(router, MO_ROUTER_NOISY_TOPK);
    c.norm_topk_prob = false;
    check_refused(c, no_balance, "model.norm_topk_prob false does not go with model.router noisy_topk");
}

static void test_balance_refused(void **state)
{
    (void)state;
    mo_model_config c;
    static const char dense[] = "model.num_local_experts 0 is a dense model";
    static const char *const keys[] = {"it needs balance.switch=0",     "it needs balance.mixtral=0",
                                       "it needs balance.gshard=0",     "it needs balance.sequence=0",
                                       "it needs balance.importance=0", "it needs balance.load=0",
                                       "it needs balance.z_loss=0"};
    for (int i = 0; i < MO_BALANCE_LOSSES; i++) {
        mo_balance_config b = no_balance;
        *(&b.switch_loss + i) = 0.5;
        check_refused(WITH(num_local_experts, 0), b, keys[i]);
        check_refused(WITH(num_local_experts, 0), b, dense);
    }
    check_refused(WITH(num_local_experts, 0), (mo_balance_config){.bias_update_rate = 1e-3},
                  "it needs balance.bias_update_rate=0");
    check_refused(
        small, (mo_balance_config){.load = 0.5},
        "balance.load 0.5 does not go with model.router topk: the load is estimated from the router's "
        "own noise");
    check_refused(
        small, (mo_balance_config){.bias_update_rate = 1e-3},
        "balance.bias_update_rate 0.001 moves the selection bias of model.router sigmoid; router topk "
        "has none");
}

/* A graph checks its losses itself: nothing that was asked for is left out in silence. */
static void test_graph_refused(void **state)
{
    (void)state;
    mo_model *m;
    mo_model_graph *t = NULL;
    mo_model_graph_options options = {
        .kind = MO_GRAPH_TRAIN, .batch_size = 1, .sequence_length = 4, .balance = {.load = 1}};
    MO_CHECK_OK(mo_model_create(&small, &m));
    MO_CHECK_STATUS(mo_model_graph_create(m, &options, &t), MO_E_CONFIG);
    MO_CHECK_MESSAGE("balance.load 1 does not go with model.router topk");
    options.balance.load = 0;
    options.batch_size = 0;
    MO_CHECK_STATUS(mo_model_graph_create(m, &options, &t), MO_E_SHAPE);
    assert_null(t);
    mo_model_free(m);
}

static void test_accepted(void **state)
{
    (void)state;
    mo_model_config c;
    const mo_balance_config all = {.switch_loss = 1,
                                   .mixtral = 1,
                                   .importance = 1,
                                   .load = 1,
                                   .z_loss = 1,
                                   .scope = MO_SCOPE_SEQUENCE},
                            no_load = {.switch_loss = 1, .mixtral = 1, .importance = 1, .z_loss = 1};
    MO_CHECK_OK(mo_model_config_check(&small, &no_load));
    MO_CHECK_OK(mo_model_config_check(&WITH(router, MO_ROUTER_NOISY_TOPK), &all));
    MO_CHECK_OK(mo_model_config_check(&WITH(num_experts_per_tok, 4), &no_load));
    MO_CHECK_OK(mo_model_config_check(&WITH(num_local_experts, 0), &no_balance));
    MO_CHECK_OK(mo_model_config_check(&WITH(head_dim, 6), NULL));
    (void)WITH(num_experts_per_tok, 1);
    c.norm_topk_prob = false;
    MO_CHECK_OK(mo_model_config_check(&c, NULL));
    (void)WITH(head_dim, 6);
    c.num_attention_heads = c.num_key_value_heads = 3; /* 8 wide, 3 heads of 6 */
    MO_CHECK_OK(mo_model_config_check(&c, NULL));
    (void)WITH(num_experts_per_tok, 1);
    c.num_local_experts = 1; /* the one expert always has weight 1 */
    MO_CHECK_OK(mo_model_config_check(&c, NULL));
    mo_model *m;
    MO_CHECK_STATUS(mo_model_create(&WITH(vocab_size, 0), &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("model.vocab_size is 0");
}

static void test_resolved(void **state)
{
    (void)state;
    mo_model_config c = small;
    c.num_key_value_heads = 0;
    mo_model_config_resolve(&c);
    assert_true(c.num_key_value_heads == 2 && c.head_dim == 4 && c.moe_intermediate_size == 20);
    c = small;
    c.head_dim = 6;
    c.moe_intermediate_size = 7;
    mo_model_config_resolve(&c);
    assert_true(c.num_key_value_heads == 1 && c.head_dim == 6 && c.moe_intermediate_size == 7);
}

/* ---- counts ---- */

static void check_count(mo_model_config c, int64_t total, int64_t active, int64_t embedding, double flops)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&c, &m));
    mo_model_count n = mo_model_counts(m, 10);
    assert_int_equal(n.total, total);
    assert_int_equal(n.active, active);
    assert_int_equal(n.embedding, embedding);
    if (flops > 0) MO_CHECK_NEAR(n.flops_per_token, flops, 1e-9 * flops);
    assert_null(m->value);
    mo_model_free(m);
}

enum {
    TABLE = 11 * 8,
    NORMS = 3 * 2 * 8 + 8,
    ATTENTION = 3 * (8 * 8 + 4 * 8 + 4 * 8 + 8 * 8),
    MATRIX = 8 * 20,
    SCORES = 6 * 3 * 10 * 8 /* flops of attention at 10 tokens: 6 L T d */
};

static void test_counts(void **state)
{
    (void)state;
    mo_model_config c;
    (void)WITH(num_local_experts, 0);
    int64_t n = 2 * TABLE + NORMS + ATTENTION + 3 * 3 * MATRIX;
    check_count(c, n, n, TABLE, 6.0 * (double)(n - NORMS - TABLE) + SCORES);
    c.hidden_act = MO_ACT_GELU; /* no gate */
    n -= 3 * MATRIX;
    check_count(c, n, n, TABLE, 6.0 * (double)(n - NORMS - TABLE) + SCORES);
    c.tie_word_embeddings = true; /* the head's product stays */
    n -= TABLE;
    check_count(c, n, n, TABLE, 6.0 * (double)(n - NORMS) + SCORES);

    int64_t router = 3 * 4 * 8, expert = 3 * 3 * MATRIX, rest = 2 * TABLE + NORMS + ATTENTION;
    n = rest + router + 2 * expert;
    check_count(small, rest + router + 4 * expert, n, TABLE, 6.0 * (double)(n - NORMS - TABLE) + SCORES);
    (void)WITH(router, MO_ROUTER_NOISY_TOPK);
    c.moe_intermediate_size = 10;
    n = rest + 2 * router + expert;
    check_count(c, rest + 2 * router + 2 * expert, n, TABLE, 6.0 * (double)(n - NORMS - TABLE) + SCORES);
    (void)WITH(head_dim, 6); /* 12 wide queries, 6 wide keys and values */
    check_count(c, rest - ATTENTION + 3 * 8 * (12 + 6 + 6 + 12) + router + 4 * expert,
                rest - ATTENTION + 3 * 8 * (12 + 6 + 6 + 12) + router + 2 * expert, TABLE, 0);
}

/* Jiang et al. 2024: 46.7 and 12.9 thousand million; the shape is published, the memory is not touched. */
static void test_mixtral(void **state)
{
    (void)state;
    const mo_model_config c = {.vocab_size = 32000,
                               .hidden_size = 4096,
                               .intermediate_size = 14336,
                               .num_hidden_layers = 32,
                               .num_attention_heads = 32,
                               .num_key_value_heads = 8,
                               .max_position_embeddings = 32768,
                               .num_local_experts = 8,
                               .num_experts_per_tok = 2,
                               .norm_topk_prob = true,
                               .rope_theta = 1e6,
                               .rms_norm_eps = 1e-5,
                               .initializer_range = 0.02};
    uint64_t before = mo_memory_peak_rss();
    check_count(c, INT64_C(46702792704), INT64_C(12879925248), 32000 * 4096, 0);
    assert_in_range(mo_memory_peak_rss() - before, 0, 1 << 24);
}

/* ---- names and places ---- */

static void test_layout(void **state)
{
    (void)state;
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&small, &m));
    static const char *const names[] = {
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.block_sparse_moe.gate.weight",
        "model.layers.0.block_sparse_moe.experts.w1.weight",
        "model.layers.0.block_sparse_moe.experts.w2.weight",
        "model.layers.0.block_sparse_moe.experts.w3.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(m->params[i].name, names[i]);
    assert_int_equal(m->n_params, 1 + 3 * 10 + 2);
    assert_string_equal(m->params[31].name, "model.norm.weight");
    assert_string_equal(m->params[32].name, "lm_head.weight");
    int64_t end = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        assert_true(p->offset % 16 == 0 && p->offset >= end && p->offset < end + 16);
        end = p->offset + p->count;
        assert_ptr_equal(mo_model_find(m, p->name), p);
    }
    assert_in_range(m->elements, end, end + 15);
    const mo_param *w2 = mo_model_find(m, "model.layers.2.block_sparse_moe.experts.w2.weight");
    assert_true(w2->ndim == 3 && w2->dim[0] == 4 && w2->dim[1] == 8 && w2->dim[2] == 20 && w2->active == 0.5);
    assert_null(mo_model_find(m, "model.layers.3.input_layernorm.weight"));
    assert_null(mo_model_find(m, "model"));
    mo_model_free(m);
}

/* Matrices decay, routers too; what has one dimension does not. */
static void test_decay(void **state)
{
    (void)state;
    mo_model *m;
    mo_model_config c;
    (void)WITH(router, MO_ROUTER_NOISY_TOPK);
    MO_CHECK_OK(mo_model_create(&c, &m));
    mo_slabs slabs = mo_model_slabs(m);
    assert_int_equal(slabs.n_segments, m->n_params);
    int free_of_it = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        const mo_segment *s = &slabs.segments[i];
        bool norm = strstr(p->name, "norm") != NULL;
        assert_true(p->decay == !norm && s->decay == p->decay);
        assert_true(s->offset == p->offset && s->count == p->count && s->rate_scale == 1);
        free_of_it += norm;
    }
    assert_int_equal(free_of_it, 7);
    assert_true(mo_model_find(m, "model.layers.1.block_sparse_moe.gate.weight")->decay);
    mo_model_free(m);
}

/* ---- initial values ---- */

static mo_model *initialised(mo_model_config c, uint64_t seed)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&c, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    assert_null(m->grad);
    mo_model_init(m, seed);
    return m;
}

static bool same(const mo_model *a, const mo_model *b, const char *name_a, const char *name_b)
{
    const mo_param *p = mo_model_find(a, name_a), *q = mo_model_find(b, name_b);
    assert_true(p && q && p->count == q->count);
    return memcmp(a->value + p->offset, b->value + q->offset, (size_t)p->count * sizeof(mo_real)) == 0;
}

static bool all_same(const mo_model *a, const mo_model *b)
{
    assert_int_equal(a->elements, b->elements);
    return memcmp(a->value, b->value, (size_t)a->elements * sizeof(mo_real)) == 0;
}

static const char q0[] = "model.layers.0.self_attn.q_proj.weight",
                  q1[] = "model.layers.1.self_attn.q_proj.weight",
                  o0[] = "model.layers.0.self_attn.o_proj.weight";

/* The seed and the name decide; neither threads nor what else the model has. */
static void test_init_repeats(void **state)
{
    (void)state;
    int threads = mo_threads();
    mo_model_config c;
    mo_model *m = initialised(small, 1), *other = initialised(small, 2);
    for (int n = 1; n <= 4; n *= 2) {
        mo_threads_set(n);
        mo_model *again = initialised(small, 1);
        mo_threads_set(threads);
        assert_true(all_same(m, again));
        mo_model_free(again);
    }
    assert_false(same(m, other, q0, q0));
    assert_false(same(m, m, q0, q1));
    assert_false(same(m, m, q0, o0));
    mo_model *dense = initialised(WITH(num_local_experts, 0), 1),
             *deep = initialised(WITH(num_hidden_layers, 5), 1);
    assert_true(same(m, dense, q1, q1) && same(m, deep, q1, q1));
    assert_false(same(m, deep, o0, o0)); /* scaled by the depth */
    mo_model_free(m);
    mo_model_free(other);
    mo_model_free(dense);
    mo_model_free(deep);
}

/* Mean and deviation of n normal numbers, within 5 standard errors. */
static void check_normal(const mo_model *m, const char *name, double std)
{
    const mo_param *p = mo_model_find(m, name);
    assert_non_null(p);
    double n = (double)p->count, sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < p->count; i++) {
        double x = (double)m->value[p->offset + i];
        sum += x;
        squares += x * x;
        largest = fmax(largest, fabs(x));
    }
    MO_CHECK_NEAR(sum / n, 0, 5 * std / sqrt(n));
    MO_CHECK_NEAR(sqrt(squares / n), std, 5 * std / sqrt(2 * n));
    assert_true(largest > 2 * std);
}

static void check_constant(const mo_model *m, const char *name, mo_real want)
{
    const mo_param *p = mo_model_find(m, name);
    assert_non_null(p);
    for (int64_t i = 0; i < p->count; i++) assert_true(m->value[p->offset + i] == want);
}

static void test_init_values(void **state)
{
    (void)state;
    mo_model_config c = small;
    c.hidden_size = 64;
    c.initializer_range = 0.3;
    double residual = 0.3 / sqrt(2 * 3);
    mo_model *m = initialised(c, 9);
    check_normal(m, "model.embed_tokens.weight", 0.3);
    check_normal(m, "lm_head.weight", 0.3);
    check_normal(m, q1, 0.3);
    check_normal(m, "model.layers.2.self_attn.o_proj.weight", residual);
    check_normal(m, "model.layers.1.block_sparse_moe.gate.weight", 0.3);
    check_normal(m, "model.layers.1.block_sparse_moe.experts.w1.weight", 0.3);
    check_normal(m, "model.layers.1.block_sparse_moe.experts.w3.weight", 0.3);
    check_normal(m, "model.layers.1.block_sparse_moe.experts.w2.weight", residual);
    check_constant(m, "model.norm.weight", 1);
    check_constant(m, "model.layers.1.input_layernorm.weight", 1);
    check_constant(m, "model.layers.2.post_attention_layernorm.weight", 1);
    mo_model_free(m);
    c.num_local_experts = 0;
    m = initialised(c, 9);
    check_normal(m, "model.layers.0.mlp.gate_proj.weight", 0.3);
    check_normal(m, "model.layers.0.mlp.up_proj.weight", 0.3);
    check_normal(m, "model.layers.0.mlp.down_proj.weight", residual);
    mo_model_free(m);
}

/* Shazeer 2017, appendix A: the first steps spread tokens by noise alone. */
static void test_init_noisy_topk(void **state)
{
    (void)state;
    mo_model_config c;
    (void)WITH(router, MO_ROUTER_NOISY_TOPK);
    mo_model *m = initialised(c, 3);
    check_constant(m, "model.layers.0.block_sparse_moe.gate.weight", 0);
    check_constant(m, "model.layers.2.block_sparse_moe.gate_noise.weight", 0);
    mo_model_free(m);
}

static mo_status create_all(void)
{
    mo_model *m;
    mo_model_graph *t = NULL;
    mo_model_graph_options options = {.kind = MO_GRAPH_TRAIN,
                                      .batch_size = 1,
                                      .sequence_length = 4,
                                      .balance = {.mixtral = 1, .switch_loss = 1}};
    MO_TRY(mo_model_create(&small, &m));
    mo_status status = mo_model_allocate(m, MO_ALLOCATE_TRAINING);
    if (status == MO_OK) status = mo_model_graph_create(m, &options, &t);
    if (status == MO_OK) status = mo_graph_bind(t->graph, NULL);
    mo_model_graph_free(t);
    mo_model_free(m);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    int64_t count, live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(count, create_all());
    for (int64_t n = count; n < count + 20; n++) { /* the run that went well was not one that hid a failure */
        mo__alloc_fail_after(n);
        MO_CHECK_OK(create_all());
        mo__alloc_fail_after(-1);
    }
    assert_in_range(count, 50, 1000);
    assert_int_equal(mo__alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_refused),   cmocka_unit_test(test_attention_refused),
        cmocka_unit_test(test_experts_refused), cmocka_unit_test(test_balance_refused),
        cmocka_unit_test(test_graph_refused),   cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_resolved),        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_mixtral),         cmocka_unit_test(test_layout),
        cmocka_unit_test(test_decay),           cmocka_unit_test(test_init_repeats),
        cmocka_unit_test(test_init_values),     cmocka_unit_test(test_init_noisy_topk),
        cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
