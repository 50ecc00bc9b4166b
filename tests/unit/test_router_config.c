/* test_router_config.c -- what each router takes and refuses, and the names of its parameters. */
#include "moira/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

static const mo_model_config base = {.vocab_size = 11,
                                     .hidden_size = 8,
                                     .intermediate_size = 20,
                                     .num_hidden_layers = 2,
                                     .num_attention_heads = 2,
                                     .max_position_embeddings = 16,
                                     .num_local_experts = 12,
                                     .num_experts_per_tok = 4,
                                     .router = MO_ROUTER_TOPK,
                                     .norm_topk_prob = MO_CHOICE_DEFAULT,
                                     .rope_theta = 10000,
                                     .rms_norm_eps = 1e-5,
                                     .initializer_range = 0.02};

/* `base` under this router with these groups. */
static mo_model_config with(int router, int64_t K, int64_t n_group, int64_t topk_group)
{
    mo_model_config c = base;
    c.router = router;
    c.num_experts_per_tok = K;
    c.n_group = n_group;
    c.topk_group = topk_group;
    return c;
}

static void refused(mo_model_config c, const char *text)
{
    MO_CHECK_STATUS(mo_model_config_check(&c, NULL), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
    mo_model *m = NULL;
    MO_CHECK_STATUS(mo_model_create(&c, &m), MO_E_CONFIG);
    assert_null(m);
}

static void accepted(mo_model_config c)
{
    mo_model *m = NULL;
    MO_CHECK_OK(mo_model_create(&c, &m));
    mo_model_free(m);
}

static void test_groups(void **state)
{
    (void)state;
    const int with_groups[] = {MO_ROUTER_SIGMOID, MO_ROUTER_HIERARCHICAL};
    for (int i = 0; i < 2; i++) {
        int r = with_groups[i];
        refused(with(r, 4, 5, 2), "model.n_group 5 does not divide model.num_local_experts 12");
        refused(with(r, 4, 4, 5), "model.topk_group 5 > model.n_group 4");
        refused(with(r, 8, 4, 2),
                "model.num_experts_per_tok 8 > 6, the experts of model.topk_group 2 groups of 3");
        refused(with(r, 13, 4, 2), "model.num_experts_per_tok 13 > model.num_local_experts 12");
        accepted(with(r, 6, 4, 2));
        accepted(with(r, 12, 4, 0)); /* 0: all groups */
    }
    accepted(with(MO_ROUTER_SIGMOID, 3, 4, 1));
    accepted(with(MO_ROUTER_SIGMOID, 4, 1, 1));
    const int without[] = {MO_ROUTER_TOPK, MO_ROUTER_NOISY_TOPK, MO_ROUTER_HASH, MO_ROUTER_RANDOM};
    for (int i = 0; i < 4; i++) {
        refused(with(without[i], 4, 4, 2), "model.n_group 4 does not go with model.router");
        refused(with(without[i], 4, 1, 2), "model.topk_group 2 does not go with model.router");
        refused(with(without[i], 4, 1, 2), "choose sigmoid or hierarchical");
        accepted(with(without[i], 4, 1, 1));
    }
}

static void test_hierarchical(void **state)
{
    (void)state;
    const int r = MO_ROUTER_HIERARCHICAL;
    refused(with(r, 4, 0, 0), "model.router hierarchical needs model.n_group of at least 2, it is 1");
    refused(with(r, 3, 4, 1),
            "model.topk_group 1 with model.router hierarchical gives every chosen group weight 1");
    refused(with(r, 5, 4, 2), "model.num_experts_per_tok 5 is not divisible by model.topk_group 2");
    refused(with(r, 2, 4, 2), "a softmax over one is 1 and gives the second gate no gradient");
    refused(with(r, 2, 4, 2), "set num_experts_per_tok to at least 4");
    mo_model_config c = with(r, 4, 4, 2);
    c.norm_topk_prob = MO_CHOICE_FALSE;
    refused(c, "model.norm_topk_prob false does not go with model.router hierarchical");
}

/* A weight of 1 whatever the score leaves the router without a gradient; s itself has one. */
static void test_one_expert(void **state)
{
    (void)state;
    mo_model_config c = with(MO_ROUTER_SIGMOID, 1, 1, 1);
    refused(c, "the router no gradient; set model.norm_topk_prob to false");
    c.norm_topk_prob = MO_CHOICE_FALSE;
    accepted(c);
    accepted(with(MO_ROUTER_HASH, 1, 1, 1)); /* has none to lose */
    accepted(with(MO_ROUTER_RANDOM, 1, 1, 1));
    c = with(MO_ROUTER_HASH, 4, 1, 1);
    c.norm_topk_prob = MO_CHOICE_FALSE;
    refused(c, "model.norm_topk_prob false does not go with model.router hash, whose weights are 1 / K each");
    c.router = MO_ROUTER_RANDOM;
    refused(c, "model.norm_topk_prob false does not go with model.router random");
}

/* One expert, of which nobody said how many a token visits; two choices of it there are none. */
static void test_only_expert(void **state)
{
    (void)state;
    for (int r = 0; r < MO_ROUTERS; r++) {
        mo_model_config c = with(r, 0, 0, 0);
        c.num_local_experts = 1;
        if (r == MO_ROUTER_GSHARD)
            refused(c, "model.num_experts_per_tok 2 > model.num_local_experts 1");
        else if (r == MO_ROUTER_HIERARCHICAL)
            refused(c, "model.router hierarchical needs model.n_group of at least 2");
        else
            accepted(c);
    }
}

static void test_unused(void **state)
{
    (void)state;
    for (int r = 0; r < MO_ROUTERS; r++) {
        const mo_router_info *info = mo_router_describe(r);
        mo_model_config c = with(r, 0, info->traits & MO_ROUTER_LEVELS ? 3 : 1, 0);
        if (info->traits & MO_ROUTER_LEVELS) c.num_experts_per_tok = 6;
        accepted(c);
        c.routed_scaling_factor = 2.5;
        if (info->traits & MO_ROUTER_BIAS)
            accepted(c);
        else
            refused(c, "model.routed_scaling_factor 2.5 does not go with model.router");
        c.routed_scaling_factor = 1;
        c.router_jitter_noise = 0.01;
        if (info->traits & MO_ROUTER_SCORES)
            accepted(c);
        else
            refused(c, "model.router_jitter_noise 0.01 does not go with model.router");
        c.router_jitter_noise = 0;
        c.jitter_experts = true;
        refused(c, "model.jitter_experts true has no jitter to give");
    }
}

static void test_ranges(void **state)
{
    (void)state;
    const double wrong[] = {-1, (double)NAN, (double)INFINITY};
    for (int i = 0; i < 3; i++) {
        mo_model_config c = with(MO_ROUTER_SIGMOID, 4, 1, 1);
        c.routed_scaling_factor = wrong[i];
        refused(c, "model.routed_scaling_factor is");
        c = base;
        c.router_jitter_noise = i ? wrong[i] : 1;
        refused(c, "model.router_jitter_noise is");
    }
    refused(with(MO_ROUTER_SIGMOID, 4, -1, 1), "model.n_group is -1");
    refused(with(MO_ROUTER_SIGMOID, 4, 1, -1), "model.topk_group is -1");
}

/* Names, shapes and first values; `optimizer.groups` finds routers by "*.block_sparse_moe.gate*". */
static void check_params(mo_model_config c, const char *const *names, int count)
{
    mo_model *m = NULL;
    int found = 0;
    MO_CHECK_OK(mo_model_create(&c, &m));
    for (int i = 0; i < m->n_params; i++)
        found += mo_glob_match("model.layers.1.block_sparse_moe.gate*", m->params[i].name);
    assert_int_equal(found, count);
    for (int i = 0; i < count; i++) {
        char full[128];
        snprintf(full, sizeof full, "model.layers.1.block_sparse_moe.%s", names[i]);
        const mo_param *p = mo_model_find(m, full);
        if (!p) fail_msg("there is no %s", full);
        bool bias = strstr(full, "bias") != NULL, group = strstr(full, "group") != NULL;
        assert_int_equal(p->buffer, bias);
        assert_int_equal(p->decay, !bias);
        assert_int_equal(p->ndim, bias ? 1 : 2);
        assert_int_equal(p->dim[0], group ? 4 : 12);
        if (!bias) assert_int_equal(p->dim[1], 8);
        assert_int_equal(p->init, c.router == MO_ROUTER_HIERARCHICAL || bias ? MO_INIT_ZERO : MO_INIT_NORMAL);
    }
    mo_model_free(m);
}

static void test_params(void **state)
{
    (void)state;
    static const char *const sigmoid[] = {"gate.weight", "gate.e_score_correction_bias"};
    static const char *const two[] = {"gate.weight", "gate_noise.weight", "gate_group.weight",
                                      "gate_group_noise.weight"};
    check_params(with(MO_ROUTER_SIGMOID, 4, 4, 2), sigmoid, 2);
    check_params(with(MO_ROUTER_HIERARCHICAL, 4, 4, 2), two, 4);
    check_params(with(MO_ROUTER_HASH, 4, 1, 1), NULL, 0);
    check_params(with(MO_ROUTER_RANDOM, 4, 1, 1), NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),     cmocka_unit_test(test_hierarchical),
        cmocka_unit_test(test_one_expert), cmocka_unit_test(test_only_expert),
        cmocka_unit_test(test_unused),     cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
