/* test_capacity_config.c -- configs of the routers switch, gshard, expert_choice and soft, and of capacity:
 * what is refused, and how many experts a token visits. */
#include "harness/harness.h"
#include "moira/model.h"

enum { E = 5 };

static mo_model_config of(int router, double factor, mo_drop drop, mo_scope scope)
{
    return (mo_model_config){.vocab_size = 17,
                             .hidden_size = 16,
                             .intermediate_size = 12,
                             .num_hidden_layers = 2,
                             .num_attention_heads = 4,
                             .num_local_experts = E,
                             .router = router,
                             .norm_topk_prob = MO_CHOICE_DEFAULT,
                             .capacity_factor = factor,
                             .capacity_drop = (int)drop,
                             .capacity_scope = (int)scope,
                             .rope_theta = 10000,
                             .rms_norm_eps = 1e-5};
}

static void check_refused(mo_model_config c, const char *text)
{
    mo_model *m = NULL;
    MO_CHECK_STATUS(mo_model_create(&c, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
}

static void test_refused(void **state)
{
    (void)state;
    const mo_drop first = MO_DROP_POSITION, best = MO_DROP_PROBABILITY;
    const mo_scope scope = MO_SCOPE_SEQUENCE;
    check_refused(
        of(MO_ROUTER_SOFT, 2, first, scope),
        "model.capacity_factor 2 does not go with model.router soft, which sends every token to every "
        "expert; set it to null");
    mo_model_config c = of(MO_ROUTER_SOFT, 0, first, scope);
    c.eval_capacity_factor = 2;
    check_refused(c, "model.eval_capacity_factor 2 does not go with model.router soft");
    check_refused(
        of(MO_ROUTER_SOFT, 0, best, scope),
        "model.capacity_drop probability does not go with model.router soft, whose experts are never too "
        "full; use position");
    check_refused(
        of(MO_ROUTER_EXPERT_CHOICE, 2, best, scope),
        "model.capacity_drop probability does not go with model.router expert_choice, whose experts");
    check_refused(of(MO_ROUTER_RANDOM, 1, best, scope),
                  "model.capacity_drop probability does not go with model.router random, which has no "
                  "probabilities; use position");
    check_refused(of(MO_ROUTER_HASH, 1, best, scope), "model.router hash, which has no probabilities");
    check_refused(of(MO_ROUTER_EXPERT_CHOICE, 6, first, scope),
                  "model.capacity_factor 6 > model.num_local_experts 5");
    c = of(MO_ROUTER_EXPERT_CHOICE, 2, first, scope);
    c.eval_capacity_factor = 7;
    check_refused(c, "model.eval_capacity_factor 7 > model.num_local_experts 5");
    c = of(MO_ROUTER_EXPERT_CHOICE, 2, first, scope);
    c.num_experts_per_tok = 3;
    check_refused(
        c, "model.num_experts_per_tok 3 and model.capacity_factor 2: with router expert_choice each says");
    c = of(MO_ROUTER_SWITCH, 1, first, scope);
    c.num_experts_per_tok = 2;
    check_refused(c, "model.num_experts_per_tok 2 does not go with model.router switch");
    c = of(MO_ROUTER_SWITCH, 1, first, scope);
    c.norm_topk_prob = MO_CHOICE_TRUE;
    check_refused(c, "model.norm_topk_prob true does not go with model.router switch");
    c = of(MO_ROUTER_GSHARD, 1, first, scope);
    c.num_experts_per_tok = 3;
    check_refused(c, "model.num_experts_per_tok 3 does not go with model.router gshard");
    c = of(MO_ROUTER_GSHARD, 1, first, scope);
    c.num_local_experts = 1;
    check_refused(c, "model.num_experts_per_tok 2 > model.num_local_experts 1");
    c = of(MO_ROUTER_SOFT, 0, first, scope);
    c.num_experts_per_tok = 2;
    check_refused(c, "model.router soft, which sends each token to all 5");
    check_refused(of(MO_ROUTER_TOPK, -1, first, scope), "model.capacity_factor is -1; must be above 0");
    check_refused(of(MO_ROUTER_TOPK, 1, (mo_drop)2, scope),
                  "model.capacity_drop 2 is none of the ways to drop");
    check_refused(of(MO_ROUTER_TOPK, 1, first, (mo_scope)3), "model.capacity_scope 3 is none of the scopes");
}

/* num_experts_per_tok where it is left out, and the share of the experts' parameters that a token uses. */
static void test_experts_per_token(void **state)
{
    (void)state;
    const struct {
        int router;
        double factor;
        int64_t K;
        double used;
    } cases[] = {{MO_ROUTER_SWITCH, 1.25, 1, 1},
                 {MO_ROUTER_GSHARD, 2, 2, 2},
                 {MO_ROUTER_SOFT, 0, 5, 5},
                 {MO_ROUTER_EXPERT_CHOICE, 0, 2, 2},
                 {MO_ROUTER_EXPERT_CHOICE, 3, 3, 3},
                 {MO_ROUTER_EXPERT_CHOICE, 1.5, 2, 1.5},
                 {MO_ROUTER_EXPERT_CHOICE, 0.25, 1, 0.25}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mo_model *m;
        mo_model_config c = of(cases[i].router, cases[i].factor, MO_DROP_POSITION, MO_SCOPE_SEQUENCE);
        MO_CHECK_OK(mo_model_create(&c, &m));
        assert_int_equal(m->config.num_experts_per_tok, cases[i].K);
        MO_CHECK_NEAR(mo_model_config_experts_per_token(&m->config), cases[i].used, 0);
        const mo_param *p = mo_model_find(m, "model.layers.0.block_sparse_moe.experts.w1.weight");
        MO_CHECK_NEAR(p->active, cases[i].used / E, 1e-15);
        MO_CHECK_OK(mo_model_config_check(&m->config, NULL)); /* what was settled stands */
        mo_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_experts_per_token)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
