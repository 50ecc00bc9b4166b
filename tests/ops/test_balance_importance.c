/* test_balance_importance.c -- Shazeer's importance loss. */
#include "checks.h"

typedef struct {
    int64_t E, group;
} setting;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const setting *s = arg;
    out[0] = mo_balance_importance(g, in[0], in[1], in[2], s->E, s->group);
}

/* Token 1 is padding, and so are all of group 1; expert 3 gets nobody, token 6's first and both of token 7's
 * choices are dropped. What ids say of padding does not count. */
static const int32_t tokens[] = {5, -1, 7, -1, -1, -2, 1, 2, 3};
static const int32_t some[] = {0, 2, 3, -1, 4, 0, -1, -1, -1, -1, -1, -1, -1, 0, -1, -1, 0, 4};
static const setting groups_of_3 = {5, 3}, microbatch = {6, 12}, sequence = {6, 4}, uneven = {5, 2},
                     few = {1, 3};
static const op_case grouped = {"balance_importance", "3 groups of 3", build, &groups_of_3,
                                .in = {{"w", .dim = {9, 2}, .grad = true, .low = 0.1, .high = 1},
                                       {"ids", .dtype = MO_I32, .dim = {9, 2}, .ints = some},
                                       {"tokens", .dtype = MO_I32, .dim = {9}, .ints = tokens}}};
static const setting single = {3, 1};
static const int32_t alone[] = {1, 2, 0};
static const op_case one_token = {"balance_importance", "1 token, all experts", build, &single,
                                  .in = {{"w", .dim = {1, 3}, .grad = true, .low = 0.1, .high = 1},
                                         {"ids", .dtype = MO_I32, .dim = {1, 3}, .ints = alone},
                                         {"tokens", .dtype = MO_I32, .dim = {1}, .high = 9}}};

static void build_large(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    build(g, (mo_tensor *[]){in[0], mo_topk(g, in[1], in[2], 2), in[2]}, out, arg);
}

static const setting halves = {9, 300};
static const op_case large = {"balance_importance", "600 tokens", build_large, &halves,
                              .in = {{"w", .dim = {600, 2}, .grad = true, .low = 0.1, .high = 1},
                                     {"scores", .dim = {600, 9}},
                                     {"tokens", .dtype = MO_I32, .dim = {600}, .low = -2, .high = 20}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&grouped);
    gradcheck(&one_token);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&grouped);
    contract(&large);
    contract_nan(&grouped);
    check_dirty_memory(&grouped);
}

/* Sums are in double; the float32 inputs of the file are exact. */
static void test_golden(void **state)
{
    (void)state;
    op_case c = grouped;
    c.arg = &microbatch;
    check_golden("ops_losses", "balance_importance_microbatch", &c, 1e-6);
    c.arg = &sequence;
    check_golden("ops_losses", "balance_importance_sequence", &c, 1e-6);
}

/* 0 when even; E - 1 when all goes to one expert; 0, and a gradient of 0, when there is no weight at all. */
static void test_values(void **state)
{
    (void)state;
    static const double ones[] = {1, 1, 1, 1}, zeros[] = {0, 0, 0, 0};
    static const int32_t even[] = {3, 1, 0, 2}, collapsed[] = {2, 2, 2, 2};
    static const setting s = {4, 4};
    op_case c = {"balance_importance", "values", build, &s,
                 .in = {{"w", .dim = {4, 1}, .grad = true, .real = ones},
                        {"ids", .dtype = MO_I32, .dim = {4, 1}, .ints = even},
                        {"tokens", .dtype = MO_I32, .dim = {4}, .high = 9}}};
    check_near("even loss", loss_value(&c), 0, 1e-12);
    c.in[1].ints = collapsed;
    check_near("collapsed loss", loss_value(&c), 4 * 3, 1e-12);
    c.in[0].real = zeros;
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    forward_backward(&t);
    check_near("loss without weights", mo_graph_loss_value(t.g, 0), 0, 0);
    for (int i = 0; i < 4; i++) check_near("dw", (double)op_graph_grad(&t, 0)[i], 0, 0);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = grouped;
    bad.arg = &uneven;
    contract_refused(&bad, MO_E_SHAPE, "balance_importance: groups of 2 tokens do not divide 9 tokens");
    bad.arg = &few;
    contract_refused(&bad, MO_E_SHAPE, "K at most the 1 experts");
    bad = grouped;
    bad.in[1].dim[1] = 3;
    contract_refused(&bad, MO_E_SHAPE, "balance_importance: w [9, 2] and ids int32 [9, 3]");
    bad = grouped;
    bad.in[0].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "w is [9]; expected [N, K]");
    bad = grouped;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "w is int32 [9, 2]");
    bad = grouped;
    bad.in[2].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "balance_importance: tokens are int32 [8]; expected int32 [9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
