/* test_select_layers.c -- whole layers of the routers by sigmoid and in two levels, from x to what they add.
 */
#include "checks.h"

enum { N = 14, E = 12, K = 4, D = 6, H = 5, GROUPS = 4, KEPT = 2, LAYER = 5, FIRST = LAYER + (1 << 20) };

static mo_tensor *ffn(mo_graph *g, mo_tensor *x, mo_tensor *w1, mo_tensor *w3, mo_tensor *w2)
{
    mo_tensor *h = mo_glu(g, mo_linear(g, x, w1), mo_linear(g, x, w3), MO_ACT_KIND_SILU);
    return mo_linear(g, h, w2);
}

/* DeepSeek-V3's block: routed experts beside shared ones. */
static void build_deepseek(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *x = in[0], *s = mo_act(g, mo_linear(g, x, in[1]), MO_ACT_KIND_SIGMOID);
    out[1] = mo_topk_limited(g, s, in[2], in[9], K, GROUPS, KEPT);
    mo_tensor *w = mo_gate_scaled(g, s, out[1], MO_GATE_NORMALISE, 2.5);
    mo_dispatch_map map = mo_dispatch(g, out[1], E, 0);
    mo_tensor *xr = mo_gather(g, x, &map);
    mo_tensor *h = mo_glu_weighted(g, mo_experts(g, xr, in[3], &map), mo_experts(g, xr, in[4], &map),
                                   mo_row_weights(g, w, &map), MO_ACT_KIND_SILU);
    mo_tensor *routed = mo_combine(g, mo_experts(g, h, in[5], &map), &map);
    out[0] = mo_add(g, routed, ffn(g, x, in[6], in[7], in[8]));
}

/* float: four products deep, sums of 6 and 10, weights of 2.5; values reach 40. */
static void test_deepseek(void **state)
{
    (void)state;
    const op_case c = {"topk_limited", "DeepSeek-V3's layer", build_deepseek,
                       .in = {{"x", .dim = {N, D}, .grad = true},
                              {"wg", MO_ROLE_PARAM, .dim = {E, D}, .grad = true},
                              {"bias", .dim = {E}},
                              {"w1", MO_ROLE_PARAM, .dim = {E, H, D}, .grad = true},
                              {"w3", MO_ROLE_PARAM, .dim = {E, H, D}, .grad = true},
                              {"w2", MO_ROLE_PARAM, .dim = {E, D, H}, .grad = true},
                              {"s1", MO_ROLE_PARAM, .dim = {2 * H, D}, .grad = true},
                              {"s3", MO_ROLE_PARAM, .dim = {2 * H, D}, .grad = true},
                              {"s2", MO_ROLE_PARAM, .dim = {D, 2 * H}, .grad = true},
                              {"tokens", .dtype = MO_I32, .dim = {N}, .low = -3, .high = 20}}};
    gradcheck(&c);
    contract(&c);
    check_golden("ops_select", "deepseek_layer", &c, 5e-6);
}

/* Shazeer's two levels, each noisy, in front of linear experts. */
static void build_two(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *x = in[0], *sigma;
    mo_tensor *h1 = mo_noisy_logits(g, mo_linear(g, x, in[1]), mo_linear(g, x, in[2]), 0.01, FIRST, &sigma);
    mo_tensor *h2 = mo_noisy_logits(g, mo_linear(g, x, in[3]), mo_linear(g, x, in[4]), 0.01, LAYER, &sigma);
    mo_tensor *groups = mo_topk(g, h1, in[6], KEPT);
    mo_tensor *ids = mo_topk_within(g, h2, groups, GROUPS, K / KEPT);
    mo_tensor *w = mo_gate_product(g, mo_gate(g, h1, groups, MO_GATE_SOFTMAX), h2, ids);
    mo_dispatch_map map = mo_dispatch(g, ids, E, 0);
    out[1] = ids;
    out[0] = weighted_combine(g, mo_experts(g, mo_gather(g, x, &map), in[5], &map), w, &map);
}

/* float: noise times a softplus, two softmaxes, products of 6. */
static void test_two_levels(void **state)
{
    (void)state;
    const op_case c = {"topk_within", "two levels", build_two, .training = true,
                       .in = {{"x", .dim = {N, D}, .grad = true},
                              {"wg1", MO_ROLE_PARAM, .dim = {GROUPS, D}, .grad = true},
                              {"wn1", MO_ROLE_PARAM, .dim = {GROUPS, D}, .grad = true},
                              {"wg2", MO_ROLE_PARAM, .dim = {E, D}, .grad = true},
                              {"wn2", MO_ROLE_PARAM, .dim = {E, D}, .grad = true},
                              {"w", MO_ROLE_PARAM, .dim = {E, 3, D}, .grad = true},
                              {"tokens", .dtype = MO_I32, .dim = {N}, .low = -3, .high = 20}}};
    gradcheck(&c);
    contract(&c);
    check_golden("ops_select", "hierarchical", &c, 5e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_deepseek), cmocka_unit_test(test_two_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
