/* test_topk.c -- the ids of the K largest scores. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_topk(g, in[0], in[1], *(const int64_t *)arg);
}

static const int64_t one = 1, two = 2, three = 3, five = 5, six = 6, nothing = 0;
static const op_case random_scores = {
    "topk", "40x6", build, &two,
    .in = {{"scores", .dim = {40, 6}}, {"tokens", .dtype = MO_I32, .dim = {40}, .low = -3, .high = 9}}};

/* One row of scores, its K best. */
static void check_row(const double *scores, int64_t E, const int64_t *K, const int32_t *want)
{
    static const int32_t token[] = {0};
    const op_case c = {"topk", "row", build, K,
                       .in = {{"scores", .dim = {1, E}, .real = scores},
                              {"tokens", .dtype = MO_I32, .dim = {1}, .ints = token}}};
    op_graph t;
    open_and_run(&t, &c);
    const int32_t *ids = t.out[0]->data;
    for (int64_t k = 0; k < *K; k++)
        if (ids[k] != want[k]) fail_msg("choice %d is expert %d, expected %d", (int)k, ids[k], want[k]);
    op_graph_close(&t);
}

static void test_order(void **state)
{
    (void)state;
    static const double scores[] = {0.1, -2, 0.7, 0.3, 0.5};
    check_row(scores, 5, &one, (int32_t[]){2});
    check_row(scores, 5, &three, (int32_t[]){2, 4, 3});
    check_row(scores, 5, &five, (int32_t[]){2, 4, 3, 0, 1});
    check_row(scores, 1, &one, (int32_t[]){0});
}

static void test_ties(void **state)
{
    (void)state;
    check_row((double[]){1, 1, 1, 1, 1}, 5, &three, (int32_t[]){0, 1, 2});
    check_row((double[]){0, 2, 1, 2, 2}, 5, &two, (int32_t[]){1, 3});
    check_row((double[]){3, 1, 3, 1, 0}, 5, &five, (int32_t[]){0, 2, 1, 3, 4});
    check_row((double[]){-0.0, 0.0, -1, -1, -1}, 5, &two, (int32_t[]){0, 1});
}

/* Valid, different ids whatever the scores; NaN last, after -infinity. */
static void test_not_finite(void **state)
{
    (void)state;
    const double nan = (double)NAN, inf = (double)INFINITY;
    check_row((double[]){nan, 1, nan, 2, -1}, 5, &three, (int32_t[]){0, 2, 3});
    check_row((double[]){nan, nan, nan, nan, nan}, 5, &three, (int32_t[]){0, 1, 2});
    check_row((double[]){nan, -inf, 0, inf, nan}, 5, &five, (int32_t[]){0, 4, 3, 2, 1});
    check_row((double[]){-inf, -inf, -inf, 1, nan}, 5, &three, (int32_t[]){4, 3, 0});
}

/* Against sorting by hand, with padding. */
static void test_random(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &random_scores);
    const mo_real *scores = t.in[0]->data;
    const int32_t *tokens = t.in[1]->data, *ids = t.out[0]->data;
    int padding = 0;
    for (int n = 0; n < 40; n++) {
        int best = 0, next = -1;
        for (int e = 1; e < 6; e++)
            if (scores[n * 6 + e] > scores[n * 6 + best]) best = e;
        for (int e = 0; e < 6; e++)
            if (e != best && (next < 0 || scores[n * 6 + e] > scores[n * 6 + next])) next = e;
        if (tokens[n] < 0) best = next = -1;
        padding += tokens[n] < 0;
        assert_int_equal(ids[n * 2], best);
        assert_int_equal(ids[n * 2 + 1], next);
    }
    assert_in_range(padding, 3, 20);
    op_graph_close(&t);
}

static void test_golden(void **state)
{
    (void)state;
    op_case all = random_scores;
    all.arg = &five;
    check_moe_golden("topk_2", &random_scores, 0);
    check_moe_golden("topk_5", &all, 0);
}

static void test_contract(void **state)
{
    (void)state;
    gradcheck(&random_scores);
    contract(&random_scores);
    check_dirty_memory(&random_scores);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = random_scores;
    bad.arg = &nothing;
    contract_refused(&bad, MO_E_RANGE, "num_experts_per_tok is 0");
    bad = random_scores;
    bad.in[0].dim[1] = 5;
    bad.arg = &six;
    contract_refused(&bad, MO_E_RANGE, "num_experts_per_tok is 6, must be from 1 to the 5 experts");
    bad = random_scores;
    bad.in[1].dim[0] = 39;
    contract_refused(&bad, MO_E_SHAPE, "topk: scores [40, 6] and tokens int32 [39]");
    bad = random_scores;
    bad.in[1].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "topk: scores [40, 6] and tokens [40]");
    bad = random_scores;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "scores int32 [40, 6]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order),      cmocka_unit_test(test_ties),
                                       cmocka_unit_test(test_not_finite), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_golden),     cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
