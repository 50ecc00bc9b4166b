/* test_random_choice.c -- experts at random, in training and, repeatably, in evaluation. */
#include "checks.h"

typedef struct {
    int64_t E, K;
    int layer;
} experts;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const experts *a = arg;
    out[0] = mo_random_choice(g, in[0], in[1], a->E, a->K, a->layer);
}

enum { N = 40, E = 12, K = 4 };
static const experts four = {E, K, 5};
static const op_case training = {"random_choice",
                                 "training",
                                 build,
                                 &four,
                                 .training = true,
                                 .in = {{"tokens", .dtype = MO_I32, .dim = {N}, .low = -3, .high = 9},
                                        {"positions", .dtype = MO_I32, .dim = {N}, .low = 0, .high = 50}}};

static op_case evaluation(void)
{
    op_case c = training;
    c.name = "evaluation";
    c.training = false;
    return c;
}

static void test_golden(void **state)
{
    (void)state;
    static const experts all[] = {{12, 1, 5}, {12, 4, 5}, {5, 5, 5}, {300, 9, 5}};
    char group[48];
    for (int i = 0; i < 4; i++) {
        op_case c = training, d = evaluation();
        c.arg = d.arg = &all[i];
        snprintf(group, sizeof group, "random_%d_%d_training", (int)all[i].E, (int)all[i].K);
        check_golden("ops_select", group, &c, 0);
        snprintf(group, sizeof group, "random_%d_%d_evaluation", (int)all[i].E, (int)all[i].K);
        check_golden("ops_select", group, &d, 0);
    }
}

/* Rows of `c` that are the same under two runs. */
static int same_rows(const op_case *c, mo_run a, mo_run b)
{
    op_graph t, u;
    op_graph_open(&t, c, (op_mode){.readable = true, .forward_only = true});
    op_graph_open(&u, c, (op_mode){.readable = true, .forward_only = true});
    mo_graph_forward(t.g, &a);
    mo_graph_forward(u.g, &b);
    const int32_t *x = t.out[0]->data, *y = u.out[0]->data;
    int same = 0;
    for (int n = 0; n < N; n++) same += memcmp(x + n * K, y + n * K, K * sizeof *x) == 0;
    op_graph_close(&t);
    op_graph_close(&u);
    return same;
}

/* In training the step's token decides; in evaluation nothing of the run does. */
static void test_what_decides(void **state)
{
    (void)state;
    op_case c = training, d = evaluation();
    c.in[0].low = d.in[0].low = 0; /* no padding */
    c.in[0].high = d.in[0].high = 9;
    const mo_run run = {.seed = 3, .step = 8, .training = true};
    const mo_run others[] = {{.seed = 4, .step = 8, .training = true},
                             {.seed = 3, .step = 9, .training = true},
                             {.seed = 3, .step = 8, .first_token = 9, .training = true}};
    for (int i = 0; i < 3; i++) {
        assert_in_range(same_rows(&c, run, others[i]), 0, 1); /* each is 1 in 11,880 */
        mo_run a = run, b = others[i];
        a.training = b.training = false;
        assert_int_equal(same_rows(&d, a, b), N);
    }
}

/* A step cut into microbatches draws what the whole step does. */
static void test_microbatches(void **state)
{
    (void)state;
    enum { CUT = 7 };
    op_graph whole, part;
    op_case c = training;
    c.in[0].low = 0;
    c.in[0].high = 9;
    open_and_run(&whole, &c);
    c.in[0].dim[0] = c.in[1].dim[0] = N - CUT;
    op_graph_open(&part, &c, (op_mode){.readable = true, .forward_only = true});
    part.run.first_token = CUT;
    mo_graph_forward(part.g, &part.run);
    assert_memory_equal(part.out[0]->data, (const int32_t *)whole.out[0]->data + CUT * K,
                        (N - CUT) * K * sizeof(int32_t));
    op_graph_close(&whole);
    op_graph_close(&part);
}

static void test_contract(void **state)
{
    (void)state;
    op_case d = evaluation();
    gradcheck(&training);
    contract(&training);
    contract(&d);
    check_dirty_memory(&training);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = training;
    bad.arg = &(experts){3, 4, 5};
    contract_refused(&bad, MO_E_RANGE, "random_choice: num_experts_per_tok is 4");
    bad = training;
    bad.in[1].dim[0] = 39;
    contract_refused(&bad, MO_E_SHAPE, "random_choice: tokens int32 [40] and positions int32 [39]");
    bad = training;
    bad.in[0].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "tokens [40]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_what_decides),
                                       cmocka_unit_test(test_microbatches), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
