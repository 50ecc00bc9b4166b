/* test_moe.c -- the parts together: Shazeer's noisy top-K router with its losses, MoE layers of Hugging Face.
 */
#include "checks.h"

enum { N = 12, E = 5, K = 2, D = 6, H = 4, LAYER = 5 };

static const int32_t all[N] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6};
static const int32_t padded[N] = {1, 2, 3, -1, 5, 6, 7, 8, -1, -1, -1, -1};

/* ---- Shazeer 2017, from x, W_g and W_noise to the weights and both losses ---- */

static void build_noisy(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *sigma, *z = mo_linear(g, in[0], in[1]);
    mo_tensor *h = mo_noisy_logits(g, z, mo_linear(g, in[0], in[2]), 0, LAYER, &sigma);
    out[3] = mo_topk(g, h, in[3], K);
    out[0] = mo_gate(g, h, out[3], MO_GATE_SOFTMAX);
    out[1] = mo_balance_importance(g, out[0], out[3], in[3], E, N);
    out[2] = mo_balance_load(g, &(mo_noisy_choice){z, h, sigma, out[3]}, in[3], N);
}

static op_case noisy(const char *name, const int32_t *tokens)
{
    return (op_case){"noisy_logits", name, build_noisy, .training = true,
                     .in = {{"x", .dim = {N, D}, .grad = true},
                            {"wg", MO_ROLE_PARAM, .dim = {E, D}, .grad = true},
                            {"wn", MO_ROLE_PARAM, .dim = {E, D}, .grad = true},
                            {"tokens", .dtype = MO_I32, .dim = {N}, .ints = tokens}}};
}

static void test_noisy_topk(void **state)
{
    (void)state;
    op_case whole = noisy("whole router", all), holes = noisy("whole router, padding", padded);
    gradcheck(&whole);
    gradcheck(&holes);
    contract(&holes);
    /* float: the losses divide by sigma and by the mean load, and x sums over three paths. */
    check_moe_golden("shazeer", &whole, 5e-6);
    check_moe_golden("shazeer_padded", &holes, 5e-6);
}

/* ---- a whole layer ---- */

static void build_layer(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_tensor *x = in[0], *p = mo_softmax(g, mo_linear(g, x, in[1]));
    out[1] = mo_topk(g, p, in[5], K);
    mo_tensor *w = mo_gate(g, p, out[1], *(const mo_gate_mode *)arg);
    mo_dispatch_map map = mo_dispatch(g, out[1], E, 0);
    mo_tensor *xr = mo_gather(g, x, &map);
    mo_tensor *act = mo_glu_weighted(g, mo_experts(g, xr, in[2], &map), mo_experts(g, xr, in[3], &map),
                                     mo_row_weights(g, w, &map), MO_ACT_KIND_SILU);
    out[0] = mo_combine(g, mo_experts(g, act, in[4], &map), &map);
}

static const mo_gate_mode normalise = MO_GATE_NORMALISE, select_only = MO_GATE_SELECT;

static op_case layer(const char *name, const mo_gate_mode *mode, const int32_t *tokens)
{
    return (op_case){"experts", name, build_layer, mode,
                     .in = {{"x", .dim = {N, D}, .grad = true},
                            {"wg", MO_ROLE_PARAM, .dim = {E, D}, .grad = true},
                            {"w1", MO_ROLE_PARAM, .dim = {E, H, D}, .grad = true},
                            {"w3", MO_ROLE_PARAM, .dim = {E, H, D}, .grad = true},
                            {"w2", MO_ROLE_PARAM, .dim = {E, D, H}, .grad = true},
                            {"tokens", .dtype = MO_I32, .dim = {N}, .ints = tokens}}};
}

/* Mixtral's block and OLMoE's, which does not normalise. float: four products deep, sums of 6 and 4. */
static void test_layer(void **state)
{
    (void)state;
    op_case mixtral = layer("whole layer, normalised", &normalise, all),
            olmoe = layer("whole layer", &select_only, all);
    op_case holes = layer("whole layer, padding", &normalise, padded);
    gradcheck(&mixtral);
    gradcheck(&olmoe);
    gradcheck(&holes);
    contract(&holes);
    check_moe_golden("mixtral_layer", &mixtral, 5e-6);
    check_moe_golden("olmoe_layer", &olmoe, 5e-6);
    check_moe_golden("mixtral_layer_padded", &holes, 5e-6);
}

/* Equal experts make the layer a dense one: with weights that sum to 1 the routing cannot be seen. */
static void test_equal_experts(void **state)
{
    (void)state;
    static double w1[E * H * D], w3[E * H * D], w2[E * D * H];
    for (int i = 0; i < E * H * D; i++) {
        w1[i] = sin(1 + i % (H * D));
        w3[i] = cos(1 + i % (H * D));
        w2[i] = sin(2 + i % (H * D));
    }
    op_case c = layer("equal experts", &normalise, all);
    c.in[2].real = w1;
    c.in[3].real = w3;
    c.in[4].real = w2;
    op_graph t;
    open_and_run(&t, &c);
    const mo_real *x = t.in[0]->data, *y = t.out[0]->data;
    for (int n = 0; n < N; n++)
        for (int d = 0; d < D; d++) {
            double want = 0;
            for (int h = 0; h < H; h++) {
                double gate = 0, up = 0;
                for (int i = 0; i < D; i++) {
                    gate += w1[h * D + i] * (double)x[n * D + i];
                    up += w3[h * D + i] * (double)x[n * D + i];
                }
                want += w2[d * H + h] * gate / (1 + exp(-gate)) * up;
            }
            check_near("y", (double)y[n * D + d], want, 3e-6);
        }
    op_graph_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_noisy_topk), cmocka_unit_test(test_layer),
                                       cmocka_unit_test(test_equal_experts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
