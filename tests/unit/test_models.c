/* test_models.c -- tiny models of Hugging Face's transformers with other parts than Mixtral's, computed there
 * in double (tests/golden/make_models.py), against ours: logits, key-value cache, choices, losses, every
 * gradient. */
#include "harness/golden_model.h"

#include <string.h>

static golden *file;

/* Double: what the file rounds to, relative to the largest (2^-20; 2^-22 of logits of about 4). Float: some
 * hundred sums in a row. */
static const bool wide = sizeof(mo_real) == sizeof(double);
static double gradient_tolerance(void)
{
    return wide ? 1.1e-6 : 1e-4;
}
static double logit_tolerance(void)
{
    return wide ? 1e-6 : 1e-5;
}

static void check_logits(const golden_model *g)
{
    mo_model *m = golden_model_load(g);
    golden_model_check_logits(g, m, (const int64_t[]){12}, 1, logit_tolerance());
    golden_model_check_logits(g, m, (const int64_t[]){5, 1, 1, 3, 2}, 5, logit_tolerance());
    golden_model_check_ids(g, m);
    mo_model_free(m);
}

static void check_gradients(const golden_model *g, mo_recompute recompute)
{
    mo_model *m = golden_model_load(g);
    double coefficient = golden_model_setting(g, "aux_coefficient"), got, balance[MO_BALANCE_LOSSES];
    mo_model_graph_options options = {.kind = MO_GRAPH_TRAIN,
                                      .balance = {.mixtral = coefficient, .scope = MO_SCOPE_MICROBATCH},
                                      .recompute = recompute};
    mo_model_graph *t = golden_model_graph(g, m, options);
    golden_model_train(t, &got, balance);
    golden_array ce = golden_model_read(g, "cross_entropy", ""), aux = golden_model_read(g, "aux_loss", "");
    MO_CHECK_NEAR(got, ce.real[0], wide ? 1e-12 : 1e-5);
    MO_CHECK_NEAR(balance[1], aux.real[0], wide ? 1e-12 : 1e-5);
    golden_model_check_gradients(g, m, gradient_tolerance());
    golden_array_free(&ce);
    golden_array_free(&aux);
    mo_model_graph_free(t);
    mo_model_free(m);
}

static void check(const golden_model *g)
{
    assert_string_equal(mo_balance_names[1], "mixtral");
    check_logits(g);
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++)
        check_gradients(g, (mo_recompute)policy);
}

static void test_olmoe(void **state)
{
    (void)state;
    golden_model g = golden_model_open(file, "olmoe/");
    g.config.norm_topk_prob = MO_CHOICE_FALSE;
    g.config.qk_norm = MO_QK_NORM_LAYER;
    g.config.clip_qkv = golden_model_setting(&g, "clip_qkv");
    check(&g);
}

static void test_dbrx(void **state)
{
    (void)state;
    golden_model g = golden_model_open(file, "dbrx/");
    g.config.norm_topk_prob = MO_CHOICE_TRUE;
    g.config.norm = MO_NORM_LAYER;
    g.config.clip_qkv = golden_model_setting(&g, "clip_qkv");
    check(&g);
}

static void test_deepseek(void **state)
{
    (void)state;
    golden_model g = golden_model_open(file, "deepseek/");
    g.config.norm_topk_prob = MO_CHOICE_FALSE;
    g.config.qk_norm = MO_QK_NORM_HEAD;
    g.config.head_dim = (int64_t)golden_model_setting(&g, "head_dim");
    g.config.moe_intermediate_size = (int64_t)golden_model_setting(&g, "moe_intermediate_size");
    g.config.n_shared_experts = (int64_t)golden_model_setting(&g, "n_shared_experts");
    g.config.first_k_dense_replace = (int64_t)golden_model_setting(&g, "first_k_dense_replace");
    g.config.moe_layer_freq = (int64_t)golden_model_setting(&g, "moe_layer_freq");
    check(&g);
}

/* The bias moves choices and has no gradient; groups are at work. */
static void test_dots1(void **state)
{
    (void)state;
    golden_model g = golden_model_open(file, "dots1/");
    g.config.router = MO_ROUTER_SIGMOID;
    g.config.norm_topk_prob = MO_CHOICE_TRUE;
    g.config.qk_norm = MO_QK_NORM_HEAD;
    g.config.head_dim = (int64_t)golden_model_setting(&g, "head_dim");
    g.config.moe_intermediate_size = (int64_t)golden_model_setting(&g, "moe_intermediate_size");
    g.config.n_shared_experts = (int64_t)golden_model_setting(&g, "n_shared_experts");
    g.config.first_k_dense_replace = (int64_t)golden_model_setting(&g, "first_k_dense_replace");
    g.config.n_group = (int64_t)golden_model_setting(&g, "n_group");
    g.config.topk_group = (int64_t)golden_model_setting(&g, "topk_group");
    g.config.routed_scaling_factor = golden_model_setting(&g, "routed_scaling_factor");
    check(&g);
}

static int setup(void **state)
{
    (void)state;
    file = golden_open("models_tiny");
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_olmoe), cmocka_unit_test(test_dbrx),
                                       cmocka_unit_test(test_deepseek), cmocka_unit_test(test_dots1)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
