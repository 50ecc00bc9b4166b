/* test_balance_switch.c -- the Switch Transformer's balancing loss. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_balance_switch(g, in[0], in[1], in[2], *(const int64_t *)arg);
}

static const int64_t one = 1, two = 2, three = 3, six = 6, twelve = 12, zero = 0;
/* Token 1 is padding, and so are all of group 1 (tokens 3 to 5); expert 3 gets nobody, token 6's first and
 * both of token 7's choices are dropped. What ids say of padding does not count. */
static const int32_t tokens[] = {5, -1, 7, -1, -1, -2, 1, 2, 3};
static const int32_t some[] = {0, 2, 3, -1, 4, 0, -1, -1, -1, -1, -1, -1, -1, 0, -1, -1, 0, 4};
static const op_case grouped = {"balance_switch", "3 groups of 3", build, &three,
                                .in = {{"p", .dim = {9, 5}, .grad = true, .low = 0.05, .high = 0.4},
                                       {"ids", .dtype = MO_I32, .dim = {9, 2}, .ints = some},
                                       {"tokens", .dtype = MO_I32, .dim = {9}, .ints = tokens}}};
static const int32_t alone[] = {1, 0};
static const op_case one_token = {"balance_switch", "1 token, all experts", build, &one,
                                  .in = {{"p", .dim = {1, 2}, .grad = true, .low = 0.1, .high = 0.9},
                                         {"ids", .dtype = MO_I32, .dim = {1, 2}, .ints = alone},
                                         {"tokens", .dtype = MO_I32, .dim = {1}, .high = 9}}};

/* More rows than a block of the sums. */
static void build_large(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[1] = mo_topk(g, in[0], in[1], 2);
    out[0] = mo_balance_switch(g, in[0], out[1], in[1], *(const int64_t *)arg);
}

static const int64_t three_hundred = 300;
static const op_case large = {"balance_switch", "600x9", build_large, &three_hundred,
                              .in = {{"p", .dim = {600, 9}, .grad = true, .low = 0.05, .high = 0.4},
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

static void check_exact(const char *group, const op_case *c)
{
    /* The loss sums in double; its inputs are float32 in the file. */
    check_golden("ops_losses", group, c, 1e-6);
}

static void test_golden(void **state)
{
    (void)state;
    op_case c = grouped;
    c.arg = &twelve;
    check_exact("balance_switch_microbatch", &c);
    static const int64_t four = 4;
    c.arg = &four;
    check_exact("balance_switch_sequence", &c);
}

static void build_softmax(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_tensor *p = mo_softmax(g, in[0]);
    out[1] = mo_topk(g, p, in[1], 3);
    out[0] = mo_balance_switch(g, p, out[1], in[1], *(const int64_t *)arg);
}

static void build_sigmoid(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_tensor *s = mo_act(g, in[0], MO_ACT_KIND_SIGMOID);
    out[1] = mo_topk(g, s, in[1], 3);
    out[0] = mo_balance_switch(g, mo_row_shares(g, s), out[1], in[1], *(const int64_t *)arg);
}

/* DeepSeek's losses over each sequence, from logits: V2's of softmax, V3's of sigmoids. float: softmax within
 * 3 ulp. */
static void test_deepseek(void **state)
{
    (void)state;
    static const int64_t four = 4;
    op_case v2 = {"balance_switch", "DeepSeek-V2", build_softmax, &four,
                  .in = {{"z", .dim = {12, 6}, .grad = true},
                         {"tokens", .dtype = MO_I32, .dim = {12}, .low = -2, .high = 20}}};
    check_golden("ops_losses", "deepseek_v2", &v2, 2e-6);
    op_case v3 = v2;
    v3.name = "DeepSeek-V3";
    v3.build = build_sigmoid;
    check_golden("ops_losses", "deepseek_v3", &v3, 2e-6);
    gradcheck(&v2);
    gradcheck(&v3);
}

/* 1 per token when balanced; E when all goes to one expert. */
static void test_scale(void **state)
{
    (void)state;
    static const double even[] = {.25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25,
                                  .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25, .25};
    static const int32_t balanced[] = {0, 1, 2, 3, 1, 0, 3, 2, 0, 2, 1, 3};
    op_case c = {"balance_switch", "balanced", build, &six,
                 .in = {{"p", .dim = {6, 4}, .real = even},
                        {"ids", .dtype = MO_I32, .dim = {6, 2}, .ints = balanced},
                        {"tokens", .dtype = MO_I32, .dim = {6}, .high = 9}}};
    check_near("balanced loss", loss_value(&c), 6, 1e-12);
    static const double certain[] = {0, 0, 1, 0, 0, 0, 1, 0};
    static const int32_t collapsed[] = {2, 2};
    c = (op_case){"balance_switch", "collapsed", build, &two,
                  .in = {{"p", .dim = {2, 4}, .real = certain},
                         {"ids", .dtype = MO_I32, .dim = {2, 1}, .ints = collapsed},
                         {"tokens", .dtype = MO_I32, .dim = {2}, .high = 9}}};
    check_near("collapsed loss", loss_value(&c), 2 * 4, 1e-12);
}

/* A group's padding changes nothing, whatever its p: the tokens of group 2 alone, and with two more. */
static void test_padding(void **state)
{
    (void)state;
    static const double p[] = {.1, .2, .7, .3, .3, .4, 9, 9, 9, -7, 2, (double)NAN};
    static const int32_t ids[] = {2, 0, -1, 1}, two_tokens[] = {4, 0, -1, -1};
    op_case c = {"balance_switch", "padding", build, &two,
                 .in = {{"p", .dim = {2, 3}, .real = p},
                        {"ids", .dtype = MO_I32, .dim = {2, 1}, .ints = ids},
                        {"tokens", .dtype = MO_I32, .dim = {2}, .ints = two_tokens}}};
    double bare = loss_value(&c);
    check_near("loss", bare, 2 * 3 * (0.5 * 0.2 + 0.5 * 0.55), 1e-7);
    static const int64_t four = 4;
    c.in[0].dim[0] = c.in[1].dim[0] = c.in[2].dim[0] = 4;
    c.arg = &four;
    assert_true(loss_value(&c) == bare);
}

/* Groups of several blocks, summed by hand. */
static void test_blocks(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &large);
    const mo_real *p = t.in[0]->data;
    const int32_t *ids = t.out[1]->data;
    double want = 0;
    for (int g = 0; g < 2; g++) {
        double valid = 0, count[9] = {0}, mass[9] = {0};
        for (int n = 300 * g; n < 300 * (g + 1); n++) {
            if (ids[2 * n] < 0) continue;
            valid++;
            count[ids[2 * n]]++;
            count[ids[2 * n + 1]]++;
            for (int e = 0; e < 9; e++) mass[e] += (double)p[9 * n + e];
        }
        assert_in_range(valid, 200, 299);
        for (int e = 0; e < 9; e++) want += 9.0 / 2 * count[e] * mass[e] / valid;
    }
    check_near("loss", mo_graph_loss_value(t.g, 0), want, 1e-12 * want);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = grouped;
    bad.arg = &two;
    contract_refused(&bad, MO_E_SHAPE, "balance_switch: groups of 2 tokens do not divide 9 tokens");
    bad.arg = &zero;
    contract_refused(&bad, MO_E_SHAPE, "groups of 0 tokens");
    bad = grouped;
    bad.in[1].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "balance_switch: ids are int32 [8, 2]; expected int32 [9, K]");
    bad = grouped;
    bad.in[1].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "ids are [9, 2]");
    bad = grouped;
    bad.in[1].dim[1] = 6;
    contract_refused(&bad, MO_E_SHAPE, "K at most the 5 experts");
    bad = grouped;
    bad.in[0].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "p is [9]; expected [N, E]");
    bad = grouped;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "p is int32 [9, 5]");
    bad = grouped;
    bad.in[2].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "balance_switch: tokens are int32 [8]; expected int32 [9]");
    bad = grouped;
    bad.in[2].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "tokens are [9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),   cmocka_unit_test(test_scale),
                                       cmocka_unit_test(test_deepseek), cmocka_unit_test(test_padding),
                                       cmocka_unit_test(test_blocks),   cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
