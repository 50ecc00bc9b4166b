/* test_topk_limited.c -- DeepSeek-V3's selection: by score and bias, within the best groups. */
#include "checks.h"

typedef struct {
    int64_t K, n_group, topk_group;
} groups;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const groups *a = arg;
    out[0] = mo_topk_limited(g, in[0], in[1], in[2], a->K, a->n_group, a->topk_group);
}

static const groups plain = {3, 1, 1}, limited = {3, 4, 2};
static const op_case random_scores = {"topk_limited", "40x12", build, &limited,
                                      .in = {{"s", .dim = {40, 12}, .low = 0, .high = 1},
                                             {"bias", .dim = {12}},
                                             {"tokens", .dtype = MO_I32, .dim = {40}, .low = -3, .high = 9}}};

static void test_golden(void **state)
{
    (void)state;
    static const groups all[] = {{4, 1, 1}, {4, 4, 2}, {3, 4, 1}, {8, 3, 2}, {5, 12, 5}, {12, 4, 4}};
    char group[48];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int ties = 0; ties < 2; ties++) {
            op_case c = random_scores;
            c.arg = &all[i];
            snprintf(group, sizeof group, "limited_%d_%d_%d%s", (int)all[i].n_group, (int)all[i].topk_group,
                     (int)all[i].K, ties ? "_ties" : "");
            check_golden("ops_select", group, &c, 0);
        }
}

/* DeepSeek-V3's router from the logits on, its weights and the gradient of its matrix. */
static void build_router(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    mo_tensor *s = mo_act(g, mo_linear(g, in[0], in[1]), MO_ACT_KIND_SIGMOID);
    out[1] = mo_topk_limited(g, s, in[2], in[3], 4, 4, 2);
    out[0] = mo_gate_scaled(g, s, out[1], MO_GATE_NORMALISE, 2.5);
}

/* float: a product of 6 terms, an exponential, a quotient by a sum of 4. */
static void test_router(void **state)
{
    (void)state;
    const op_case c = {"topk_limited", "router", build_router,
                       .in = {{.name = "x"},
                              {.name = "wg", .role = MO_ROLE_PARAM},
                              {.name = "bias"},
                              {.name = "tokens", .dtype = MO_I32}}};
    check_golden("ops_select", "deepseek_router", &c, 1e-6);
}

/* One row, its choices. */
static void check_row(const double *s, const double *bias, int64_t E, const groups *a, const int32_t *want)
{
    static const int32_t token[] = {0};
    const op_case c = {"topk_limited", "row", build, a,
                       .in = {{"s", .dim = {1, E}, .real = s},
                              {"bias", .dim = {E}, .real = bias},
                              {"tokens", .dtype = MO_I32, .dim = {1}, .ints = token}}};
    op_graph t;
    open_and_run(&t, &c);
    const int32_t *ids = t.out[0]->data;
    for (int64_t k = 0; k < a->K; k++)
        if (ids[k] != want[k]) fail_msg("choice %d is expert %d, expected %d", (int)k, ids[k], want[k]);
    op_graph_close(&t);
}

/* Whatever its s + b, an expert of a group that lost is not chosen: masking with 0 would choose expert 2. */
static void test_negative_choices(void **state)
{
    (void)state;
    check_row((double[]){0.5, 0.4, 0.1, 0.1}, (double[]){-0.6, -0.6, -0.9, -0.9}, 4, &(groups){2, 2, 1},
              (int32_t[]){0, 1});
}

/* The bias decides who, a group is as good as its best two, and of equal groups the first wins. */
static void test_by_hand(void **state)
{
    (void)state;
    const double none[6] = {0};
    check_row((double[]){0.9, 0.1, 0.5}, (double[]){-0.5, 0.2, 0.1}, 3, &(groups){2, 1, 1},
              (int32_t[]){2, 0});
    check_row((double[]){0.9, 0, 0, 0.5, 0.5, 0}, none, 6, &(groups){2, 2, 1}, (int32_t[]){3, 4});
    check_row((double[]){0, 0, 0, 0.5, 0.5, 0.9}, none, 6, &(groups){2, 2, 1}, (int32_t[]){5, 3});
    check_row((double[]){0, 0.5, 0.5, 0.5, 0, 0.5}, none, 6, &(groups){2, 3, 1}, (int32_t[]){2, 3});
    check_row((double[]){1, 1, 1, 1, 1, 1}, none, 6, &(groups){3, 3, 2}, (int32_t[]){0, 1, 2});
}

/* A NaN wins for its group and in it, so that it reaches the loss. */
static void test_not_finite(void **state)
{
    (void)state;
    const double nan = (double)NAN, inf = (double)INFINITY, none[6] = {0};
    check_row((double[]){0.9, 0.9, 0.9, 0.9, 0, nan}, none, 6, &(groups){2, 3, 1}, (int32_t[]){5, 4});
    check_row((double[]){nan, nan, nan, nan, nan, nan}, none, 6, &(groups){3, 3, 2}, (int32_t[]){0, 1, 2});
    check_row((double[]){0, 1, 0, 1, 0, 1}, (double[]){0, inf, 0, 0, -inf, nan}, 6, &(groups){2, 3, 1},
              (int32_t[]){5, 4});
}

/* Without groups and bias it is mo_topk. */
static void build_both(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_topk_limited(g, in[0], in[1], in[2], 3, 1, 1);
    out[1] = mo_topk(g, in[0], in[2], 3);
}

static void test_plain(void **state)
{
    (void)state;
    static const double none[12] = {0};
    op_case c = random_scores;
    c.build = build_both;
    c.in[1].real = none;
    op_graph t;
    open_and_run(&t, &c);
    assert_memory_equal(t.out[0]->data, t.out[1]->data, mo_tensor_bytes(t.out[0]));
    op_graph_close(&t);
}

static void test_contract(void **state)
{
    (void)state;
    op_case ungrouped = random_scores;
    ungrouped.arg = &plain;
    gradcheck(&random_scores);
    contract(&random_scores);
    contract(&ungrouped);
    check_dirty_memory(&random_scores);
}

static void refuse(groups a, const char *text)
{
    op_case bad = random_scores;
    bad.arg = &a;
    contract_refused(&bad, MO_E_RANGE, text);
}

static void test_refused(void **state)
{
    (void)state;
    refuse((groups){3, 5, 2}, "topk_limited: n_group is 5, must divide the 12 experts");
    refuse((groups){3, 0, 1}, "n_group is 0");
    refuse((groups){3, 4, 5}, "topk_group is 5, must be from 1 to the 4 groups");
    refuse((groups){3, 4, 0}, "topk_group is 0");
    refuse((groups){7, 4, 2}, "num_experts_per_tok is 7, must be from 1 to the 6 experts of 2 groups");
    refuse((groups){0, 4, 2}, "num_experts_per_tok is 0");
    op_case bad = random_scores;
    bad.in[1].dim[0] = 11;
    contract_refused(&bad, MO_E_SHAPE, "topk_limited: scores [40, 12], bias [11] and tokens int32 [40]");
    bad = random_scores;
    bad.in[2].dim[0] = 39;
    contract_refused(&bad, MO_E_SHAPE, "tokens int32 [39]");
    bad = random_scores;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "scores int32 [40, 12]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_router),
        cmocka_unit_test(test_by_hand),    cmocka_unit_test(test_negative_choices),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_contract),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
