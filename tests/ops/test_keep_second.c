/* test_keep_second.c -- second choices that stay by chance. */
#include "capacity_checks.h"

enum { LAYER = 5 };

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_keep_second(g, in[0], in[1], arg ? *(const int *)arg : LAYER);
}

static op_case case_of(const char *name, bool training)
{
    return (op_case){"keep_second", name, build, .training = training,
                     .in = {{"ids", .dtype = MO_I32, .dim = {4000, 2}, .low = 0, .high = 5},
                            {"w", .dim = {4000, 2}, .low = 0, .high = 0.5}}};
}

static void test_golden(void **state)
{
    (void)state;
    op_case training = case_of("training", true), evaluation = case_of("evaluation", false);
    check_capacity_golden("keep_second_training", &training, 0);
    check_capacity_golden("keep_second_evaluation", &evaluation, 0);
}

static int count_kept(const op_graph *t)
{
    int kept = 0;
    for (int n = 0; n < 4000; n++) kept += ((const int32_t *)t->out[0]->data)[2 * n + 1] >= 0;
    return kept;
}

/* A second choice of weight w stays with probability 2 w; first choices, and what was -1, are as before. */
static void test_probability(void **state)
{
    (void)state;
    static double w[8000];
    static const double weights[] = {0, 0.1, 0.25, 0.4, 0.5};
    for (int i = 0; i < 5; i++) {
        for (int n = 0; n < 4000; n++) {
            w[2 * n] = 1 - weights[i];
            w[2 * n + 1] = weights[i];
        }
        op_case c = case_of("probability", true);
        c.in[1].real = w;
        op_graph t;
        open_and_run(&t, &c);
        const int32_t *ids = t.in[0]->data, *kept = t.out[0]->data;
        double p = 2 * weights[i];
        check_near("kept", count_kept(&t), 4000 * p, 4 * sqrt(4000 * p * (1 - p)));
        for (int n = 0; n < 4000; n++) {
            assert_int_equal(kept[2 * n], ids[2 * n]);
            assert_true(kept[2 * n + 1] == ids[2 * n + 1] || kept[2 * n + 1] == -1);
        }
        op_graph_close(&t);
    }
}

static void test_nan_stays(void **state)
{
    (void)state;
    static double w[8000];
    for (int i = 0; i < 8000; i++) w[i] = (double)NAN;
    op_case c = case_of("nan", true);
    c.in[1].real = w;
    op_graph t;
    open_and_run(&t, &c);
    assert_int_equal(count_kept(&t), 4000);
    op_graph_close(&t);
}

/* The place in the step decides, not that in the microbatch; and the step, the seed and the layer. */
static void test_places(void **state)
{
    (void)state;
    static const int other_layer = LAYER + 1;
    op_case c = case_of("places", true), other = c;
    static double w[8000];
    for (int i = 0; i < 8000; i++) w[i] = i % 2 ? 0.25 : 0.75;
    c.in[1].real = other.in[1].real = w;
    other.arg = &other_layer;
    op_graph t, u;
    open_and_run(&t, &c);
    static bool first[4000];
    for (int n = 0; n < 4000; n++) first[n] = ((const int32_t *)t.out[0]->data)[2 * n + 1] >= 0;
    for (int change = 0; change < 4; change++) {
        open_and_run(&u, change == 3 ? &other : &c);
        if (change == 0) u.run.first_token = 100;
        if (change == 1) u.run.step++;
        if (change == 2) u.run.seed++;
        mo_graph_forward(u.g, &u.run);
        int same = 0, moved = 0;
        for (int n = 0; n < 3900; n++) {
            bool kept = ((const int32_t *)u.out[0]->data)[2 * n + 1] >= 0;
            same += kept == first[n];
            moved += kept == first[n + 100];
        }
        assert_in_range(same, 1750, 2150);
        if (change == 0) assert_int_equal(moved, 3900);
        op_graph_close(&u);
    }
    op_graph_close(&t);
}

static void test_contract(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        op_case c = case_of(training ? "training" : "evaluation", training);
        gradcheck(&c);
        contract(&c);
        check_dirty_memory(&c);
    }
}

static void test_refused(void **state)
{
    (void)state;
    op_case c = case_of("bad", true);
    c.in[0].dim[1] = c.in[1].dim[1] = 3;
    contract_refused(&c, MO_E_SHAPE, "keep_second: ids int32 [4000, 3] and weights [4000, 3] do not fit");
    c = case_of("bad", true);
    c.in[1].dim[0] = 3999;
    contract_refused(&c, MO_E_SHAPE, "weights [3999, 2]");
    c = case_of("bad", true);
    c.in[1].dtype = MO_I32;
    contract_refused(&c, MO_E_SHAPE, "weights int32 [4000, 2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),    cmocka_unit_test(test_probability),
                                       cmocka_unit_test(test_nan_stays), cmocka_unit_test(test_places),
                                       cmocka_unit_test(test_contract),  cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
