/* test_balance_mixtral.c -- Mixtral's balancing loss, over all layers. */
#include "checks.h"

typedef struct {
    int layers;
    int64_t group;
} setting;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const setting *s = arg;
    int layers = s->layers > 0 ? s->layers : 0;
    out[0] = mo_balance_mixtral(g, s->layers, in, in + layers, in[2 * layers], s->group);
}

/* Token 1 is padding, and so are all of group 1; expert 3 gets nobody, and some choices are dropped. What ids
 * say of padding does not count. */
static const int32_t tokens[] = {5, -1, 7, -1, -1, -2, 1, 2, 3};
static const int32_t first[] = {0, 2, -1, 1, 4, 0, -1, -1, -1, -1, -1, -1, 1, -1, -1, -1, 0, 4};
static const int32_t second[] = {2, 4, -1, -1, 2, 1, -1, -1, -1, -1, -1, -1, -1, 0, 2, 1, 2, 4};
static const setting groups_of_3 = {2, 3}, single_layer = {1, 1}, no_layers = {0, 3}, uneven = {2, 4};
static const op_case two_layers = {"balance_mixtral", "2 layers", build, &groups_of_3,
                                   .in = {{"p0", .dim = {9, 5}, .grad = true, .low = 0.05, .high = 0.4},
                                          {"p1", .dim = {9, 5}, .grad = true, .low = 0.05, .high = 0.4},
                                          {"ids0", .dtype = MO_I32, .dim = {9, 2}, .ints = first},
                                          {"ids1", .dtype = MO_I32, .dim = {9, 2}, .ints = second},
                                          {"tokens", .dtype = MO_I32, .dim = {9}, .ints = tokens}}};
static const int32_t alone[] = {1, 0};
static const op_case one_token = {"balance_mixtral", "1 token, all experts", build, &single_layer,
                                  .in = {{"p", .dim = {1, 2}, .grad = true, .low = 0.1, .high = 0.9},
                                         {"ids", .dtype = MO_I32, .dim = {1, 2}, .ints = alone},
                                         {"tokens", .dtype = MO_I32, .dim = {1}, .high = 9}}};

/* Three layers from logits, as in a model. */
static void build_model(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_tensor *p[3];
    for (int l = 0; l < 3; l++) {
        p[l] = mo_softmax(g, in[l]);
        out[1 + l] = mo_topk(g, p[l], in[3], 2);
    }
    out[0] = mo_balance_mixtral(g, 3, p, out + 1, in[3], *(const int64_t *)arg);
}

static const int64_t twelve = 12, two_hundred = 200;
static const op_case model = {"balance_mixtral", "3 layers from logits", build_model, &twelve,
                              .in = {{"z0", .dim = {12, 5}, .grad = true},
                                     {"z1", .dim = {12, 5}, .grad = true},
                                     {"z2", .dim = {12, 5}, .grad = true},
                                     {"tokens", .dtype = MO_I32, .dim = {12}, .low = -2, .high = 9}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&two_layers);
    gradcheck(&one_token);
    gradcheck(&model);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&two_layers);
    contract_nan(&two_layers);
    op_case large = model;
    for (int i = 0; i < 4; i++) large.in[i].dim[0] = 400;
    large.arg = &two_hundred;
    contract(&large);
    check_dirty_memory(&two_layers);
}

/* Hugging Face's own load_balancing_loss_func, without and with a mask. float: softmax within 3 ulp. */
static void test_golden(void **state)
{
    (void)state;
    check_moe_golden("mixtral_loss", &model, 2e-6);
    check_moe_golden("mixtral_loss_masked", &model, 2e-6);
}

/* K per token when balanced over all layers, however each layer leans. */
static void test_scale(void **state)
{
    (void)state;
    static const double left[] = {1, 0, 1, 0}, right[] = {0, 1, 0, 1};
    static const int32_t to_left[] = {0, 0}, to_right[] = {1, 1};
    static const setting s = {2, 2};
    op_case c = {"balance_mixtral", "opposite layers", build, &s,
                 .in = {{"p0", .dim = {2, 2}, .real = left},
                        {"p1", .dim = {2, 2}, .real = right},
                        {"ids0", .dtype = MO_I32, .dim = {2, 1}, .ints = to_left},
                        {"ids1", .dtype = MO_I32, .dim = {2, 1}, .ints = to_right},
                        {"tokens", .dtype = MO_I32, .dim = {2}, .high = 9}}};
    check_near("pooled layers balance each other: loss", loss_value(&c), 2 * 1, 1e-12);
    c.in[1].real = left;
    c.in[3].ints = to_left;
    check_near("collapsed loss", loss_value(&c), 2 * 2, 1e-12);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = two_layers;
    bad.arg = &no_layers;
    contract_refused(&bad, MO_E_RANGE, "balance_mixtral: 0 layers");
    bad.arg = &uneven;
    contract_refused(&bad, MO_E_SHAPE, "groups of 4 tokens do not divide 9 tokens");
    bad = two_layers;
    bad.in[1].dim[1] = 4;
    contract_refused(&bad, MO_E_SHAPE, "p of layer 1 is [9, 4]; expected [N, E], as [9, 5] of layer 0");
    bad = two_layers;
    bad.in[3].dim[1] = 3;
    contract_refused(&bad, MO_E_SHAPE, "ids of layer 1 are int32 [9, 3] and of layer 0 int32 [9, 2]");
    bad = two_layers;
    bad.in[2].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "ids are int32 [8, 2]");
    bad = two_layers;
    bad.in[1].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "p of layer 1 is int32 [9, 5]");
    bad = two_layers;
    bad.in[4].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "balance_mixtral: tokens are [9]; expected int32 [9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_scale),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
