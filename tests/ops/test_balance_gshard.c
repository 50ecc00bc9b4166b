/* test_balance_gshard.c -- GShard's auxiliary loss. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_balance_gshard(g, in[0], in[1], in[2], *(const int64_t *)arg);
}

static const int64_t one = 1, two = 2, three = 3, four = 4, twelve = 12;
/* Token 1 is padding, and so are all of group 1; token 6 has no first choice, token 0 no second. */
static const int32_t tokens[] = {5, -1, 7, -1, -1, -2, 1, 2, 3};
static const int32_t some[] = {0, -1, 3, -1, 4, 0, -1, -1, -1, -1, -1, -1, -1, 0, 2, 1, 2, 4};
static const op_case grouped = {"balance_gshard", "3 groups of 3", build, &three,
                                .in = {{"p", .dim = {9, 5}, .grad = true, .low = 0.05, .high = 0.4},
                                       {"ids", .dtype = MO_I32, .dim = {9, 2}, .ints = some},
                                       {"tokens", .dtype = MO_I32, .dim = {9}, .ints = tokens}}};

static op_case from_scores(int64_t N, const int64_t *group)
{
    return (op_case){"balance_gshard", "from logits", build, group,
                     .in = {{"p", .dim = {N, 9}, .grad = true, .low = 0.05, .high = 0.4},
                            {"ids", .dtype = MO_I32, .dim = {N, 2}, .low = -1, .high = 9},
                            {"tokens", .dtype = MO_I32, .dim = {N}, .low = -2, .high = 20}}};
}

static void test_gradient(void **state)
{
    (void)state;
    op_case alone = from_scores(1, &one);
    static const int32_t choices[] = {3, 8};
    alone.in[1].ints = choices;
    alone.in[2].low = 0;
    gradcheck(&grouped);
    gradcheck(&alone);
}

static void test_contract(void **state)
{
    (void)state;
    static const int64_t three_hundred = 300;
    op_case large = from_scores(600, &three_hundred);
    contract(&grouped);
    contract(&large);
    contract_nan(&grouped);
    check_dirty_memory(&grouped);
}

/* The loss sums in double; its inputs are float32 in the file. */
static void test_golden(void **state)
{
    (void)state;
    op_case c = grouped;
    c.arg = &twelve;
    check_golden("ops_losses", "balance_gshard_microbatch", &c, 1e-6);
    c.arg = &four;
    check_golden("ops_losses", "balance_gshard_sequence", &c, 1e-6);
}

/* 1 per token when first choices are balanced, whatever the second are; E when all first go to one expert. */
static void test_scale(void **state)
{
    (void)state;
    static const double even[] = {.25, .25, .25, .25, .25, .25, .25, .25,
                                  .25, .25, .25, .25, .25, .25, .25, .25};
    static const int32_t balanced[] = {0, 3, 1, 3, 2, 3, 3, 0};
    op_case c = {"balance_gshard", "balanced", build, &four,
                 .in = {{"p", .dim = {4, 4}, .real = even},
                        {"ids", .dtype = MO_I32, .dim = {4, 2}, .ints = balanced},
                        {"tokens", .dtype = MO_I32, .dim = {4}, .high = 9}}};
    check_near("balanced loss", loss_value(&c), 4, 1e-12);
    static const double certain[] = {0, 0, 1, 0, 0, 0, 1, 0};
    static const int32_t collapsed[] = {2, 1, 2, 3};
    c = (op_case){"balance_gshard", "collapsed", build, &two,
                  .in = {{"p", .dim = {2, 4}, .real = certain},
                         {"ids", .dtype = MO_I32, .dim = {2, 2}, .ints = collapsed},
                         {"tokens", .dtype = MO_I32, .dim = {2}, .high = 9}}};
    check_near("collapsed loss", loss_value(&c), 2 * 4, 1e-12);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = grouped;
    bad.arg = &two;
    contract_refused(&bad, MO_E_SHAPE, "balance_gshard: groups of 2 tokens do not divide 9 tokens");
    bad = grouped;
    bad.in[1].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "balance_gshard: ids are int32 [8, 2]; expected int32 [9, K]");
    bad = grouped;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "balance_gshard: p is int32 [9, 5]; expected [N, E]");
    bad = grouped;
    bad.in[2].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "balance_gshard: tokens are int32 [8]; expected int32 [9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_scale),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
