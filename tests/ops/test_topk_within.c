/* test_topk_within.c -- the best experts of each chosen group. */
#include "checks.h"

typedef struct {
    int64_t n_group, K;
} groups;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const groups *a = arg;
    out[0] = mo_topk_within(g, in[0], in[1], a->n_group, a->K);
}

/* Groups of 3 of 12 experts; token 2 is padding, the second group of token 4 was dropped. */
static const int32_t chosen[] = {2, 0, 3, 1, -1, -1, 0, 1, 2, -1};
static const groups two = {4, 2};
static const op_case random_scores = {
    "topk_within", "5x12", build, &two,
    .in = {{"scores", .dim = {5, 12}}, {"groups", .dtype = MO_I32, .dim = {5, 2}, .ints = chosen}}};

/* Against what mo_topk says of the group alone. */
static void test_against_sorting(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &random_scores);
    const mo_real *scores = t.in[0]->data;
    const int32_t *ids = t.out[0]->data;
    for (int i = 0; i < 10; i++) {
        const mo_real *row = scores + i / 2 * 12;
        int best = -1, next = -1, first = 3 * chosen[i];
        for (int e = first; chosen[i] >= 0 && e < first + 3; e++)
            if (best < 0 || row[e] > row[best]) best = e;
        for (int e = first; chosen[i] >= 0 && e < first + 3; e++)
            if (e != best && (next < 0 || row[e] > row[next])) next = e;
        assert_int_equal(ids[2 * i], best);
        assert_int_equal(ids[2 * i + 1], next);
    }
    op_graph_close(&t);
}

static void test_golden(void **state)
{
    (void)state;
    check_golden("ops_select", "within", &random_scores, 0);
    check_golden("ops_select", "within_ties", &random_scores, 0);
}

static void test_ties(void **state)
{
    (void)state;
    static const double scores[] = {9, 9, 9, 9, 1, 1, 1, 1, 0, 2, 2, 1};
    static const int32_t groups_of[] = {2, 1}, want[] = {9, 10, 11, 4, 5, 6};
    const op_case c = {"topk_within", "ties", build, &(groups){3, 3},
                       .in = {{"scores", .dim = {1, 12}, .real = scores},
                              {"groups", .dtype = MO_I32, .dim = {1, 2}, .ints = groups_of}}};
    op_graph t;
    open_and_run(&t, &c);
    assert_memory_equal(t.out[0]->data, want, sizeof want);
    op_graph_close(&t);
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
    bad.arg = &(groups){5, 2};
    contract_refused(&bad, MO_E_RANGE, "topk_within: n_group is 5, must divide the 12 experts");
    bad.arg = &(groups){4, 4};
    contract_refused(&bad, MO_E_RANGE,
                     "topk_within: 4 experts per group, must be from 1 to the 3 of a group");
    bad.arg = &(groups){4, 0};
    contract_refused(&bad, MO_E_RANGE, "0 experts per group");
    bad.arg = &(groups){1, 1};
    contract_refused(&bad, MO_E_SHAPE, "topk_within: groups int32 [5, 2] are more than the 1 groups");
    bad = random_scores;
    bad.in[1].dim[0] = 4;
    contract_refused(&bad, MO_E_SHAPE, "topk_within: scores [5, 12] and groups int32 [4, 2]");
    bad = random_scores;
    bad.in[1].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "groups [5, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_sorting), cmocka_unit_test(test_ties),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
