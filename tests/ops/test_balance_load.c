/* test_balance_load.c -- Shazeer's load loss. */
#include "checks.h"

typedef struct {
    int64_t K, group;
} setting;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const setting *s = arg;
    mo_tensor *ids = mo_topk(g, in[1], in[3], s->K);
    mo_noisy_choice choice = {in[0], in[1], in[2], ids};
    out[0] = mo_balance_load(g, &choice, in[3], s->group);
    out[1] = ids;
}

/* The next best too: the gradient check sees that no threshold moves to another expert. */
static void build_next(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    build(g, in, out, arg);
    out[2] = mo_topk(g, in[1], in[3], ((const setting *)arg)->K + 1);
}

/* Token 1 is padding, and so are all of group 1. */
static const int32_t padded[] = {5, -1, 7, -1, -1, -1, 1, 2, 3};
static const setting groups_of_3 = {2, 3}, top1 = {1, 9}, alone = {1, 1}, all = {5, 3}, microbatch = {2, 12},
                     sequence = {2, 4}, uneven = {2, 2};
static const op_case grouped = {"balance_load",
                                "3 groups of 3",
                                build_next,
                                &groups_of_3,
                                .training = true,
                                .in = {{"z", .dim = {9, 5}, .grad = true},
                                       {"h", .dim = {9, 5}, .grad = true},
                                       {"sigma", .dim = {9, 5}, .grad = true, .low = 0.3, .high = 1.3},
                                       {"tokens", .dtype = MO_I32, .dim = {9}, .ints = padded}}};

static op_case with(const char *name, const setting *s)
{
    op_case c = grouped;
    c.name = name;
    c.arg = s;
    return c;
}

/* One token's CV^2 has a gradient too. */
static op_case one_token(void)
{
    op_case c = with("1 token", &alone);
    c.in[0].dim[0] = c.in[1].dim[0] = c.in[2].dim[0] = c.in[3].dim[0] = 1;
    return c;
}

/* More experts than are done at once. */
static op_case many_experts(void)
{
    static const setting s = {3, 2};
    op_case c = with("70 experts", &s);
    for (int i = 0; i < 3; i++) {
        c.in[i].dim[0] = 2;
        c.in[i].dim[1] = 70;
    }
    c.in[3] = (op_input){"tokens", .dtype = MO_I32, .dim = {2}, .high = 9};
    return c;
}

static void test_gradient(void **state)
{
    (void)state;
    op_case first = with("K = 1", &top1), one = one_token(), many = many_experts();
    gradcheck(&many);
    gradcheck(&grouped);
    gradcheck(&first);
    gradcheck(&one);
}

static void test_contract(void **state)
{
    (void)state;
    static const setting halves = {2, 300};
    op_case large = with("600 tokens", &halves);
    for (int i = 0; i < 4; i++) large.in[i].dim[0] = 600;
    large.in[3] = (op_input){"tokens", .dtype = MO_I32, .dim = {600}, .low = -2, .high = 20};
    contract(&grouped);
    contract(&large);
    /* A NaN in h is the best of its row; with K > 1 it is no threshold, and reaches the loss by the gate
     * alone. */
    op_case first = with("K = 1", &top1);
    contract_nan(&first);
    check_dirty_memory(&grouped);
}

/* float: each Phi within 3e-7, and CV^2 is of the size of 1. */
static void test_golden(void **state)
{
    (void)state;
    op_case c = grouped;
    c.build = build;
    c.arg = &microbatch;
    check_moe_golden("balance_load_microbatch", &c, 1e-6);
    c.training = false;
    check_moe_golden("balance_load_microbatch_hard", &c, 1e-6);
    c.arg = &sequence;
    check_moe_golden("balance_load_sequence_hard", &c, 1e-6);
    c.training = true;
    check_moe_golden("balance_load_sequence", &c, 1e-6);
}

/* The k-th largest of h without e, by counting. */
static double kth_excluding(const mo_real *h, int E, int k, int e)
{
    for (int i = 0; i < E; i++) {
        int above = 0;
        for (int j = 0; j < E; j++) above += j != e && h[j] > h[i];
        if (i != e && above == k - 1) return (double)h[i];
    }
    fail_msg("no %d-th", k);
    return 0;
}

/* float: each Phi within 1e-6. */
static void test_many_experts(void **state)
{
    (void)state;
    enum { E = 70 };
    op_case c = many_experts();
    op_graph t;
    open_and_run(&t, &c);
    const mo_real *z = t.in[0]->data, *h = t.in[1]->data, *sigma = t.in[2]->data;
    double mean = 0, variance = 0, x[E] = {0};
    for (int e = 0; e < E; e++) {
        for (int n = 0; n < 2; n++) {
            int i = n * E + e;
            double d = (double)z[i] - kth_excluding(h + n * E, E, 3, e);
            x[e] += 0.5 * erfc(-d / (double)sigma[i] / sqrt(2));
        }
        mean += x[e] / E;
    }
    for (int e = 0; e < E; e++) variance += (x[e] - mean) * (x[e] - mean) / E;
    double want = 2 * variance / (mean * mean);
    check_near("loss", mo_graph_loss_value(t.g, 0), want, (sizeof(mo_real) == 8 ? 1e-12 : 1e-5) * want);
    op_graph_close(&t);
}

static void check_no_gradient(const op_case *c, double want)
{
    op_graph t;
    op_graph_open(&t, c, (op_mode){.readable = true});
    forward_backward(&t);
    check_near("loss", mo_graph_loss_value(t.g, 0), want, 1e-12);
    for (int i = 0; i < 3; i++)
        for (int64_t e = 0; e < op_input_count(&c->in[i]); e++)
            check_near("gradient", (double)op_graph_grad(&t, i)[e], 0, 0);
    op_graph_close(&t);
}

/* Where K = E, or without noise, the load is a count and has no gradient. Counts of K = E are even. */
static void test_hard_counts(void **state)
{
    (void)state;
    op_case c = with("K = E", &all);
    c.build = build;
    check_no_gradient(&c, 0);
    static const double h[] = {3, 2, 1, 0, -1, 3, 1, 2, 0, -1, 5, 4, 3, 2, 1};
    c = with("evaluation", &groups_of_3);
    c.training = false;
    for (int i = 0; i < 4; i++) c.in[i].dim[0] = 3;
    c.in[1].real = h;
    c.in[3].ints = NULL;
    c.in[3].high = 9;
    /* Loads 3 2 1 0 0: mean 6/5, variance 34/25. */
    check_no_gradient(&c, 3 * (34.0 / 25) / (36.0 / 25));
}

/* sigma = 0: the step that Phi tends to, 1/2 at a tie, no gradient, no NaN; likewise where sigma all but
 * vanishes. Without noise h = z. */
static void test_no_sigma(void **state)
{
    (void)state;
    static const double z[] = {1, 4, 2, 7, 5, 3}, ties[] = {1, 1, 0, 3, 2, 3};
    static const double zeros[] = {0, 0, 0, 0, 0, 0}, tiny[] = {1e-30, 1e-30, 1e-30, 1e-30, 1e-30, 1e-30};
    static const setting s = {1, 2};
    op_case c = {"balance_load",
                 "sigma 0",
                 build,
                 &s,
                 .training = true,
                 .in = {{"z", .dim = {2, 3}, .grad = true, .real = z},
                        {"h", .dim = {2, 3}, .grad = true, .real = z},
                        {"sigma", .dim = {2, 3}, .grad = true, .real = zeros},
                        {"tokens", .dtype = MO_I32, .dim = {2}, .high = 9}}};
    check_no_gradient(&c, 2 * (2.0 / 9) / (4.0 / 9)); /* loads 1 1 0 */
    c.in[2].real = tiny;
    check_no_gradient(&c, 2 * (2.0 / 9) / (4.0 / 9));
    c.in[2].real = zeros;
    c.in[0].real = c.in[1].real = ties;
    check_no_gradient(&c, 2 * (1.0 / 18) / (4.0 / 9)); /* loads 1, 1/2, 1/2 */
}

static void build_given(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_noisy_choice choice = {in[0], in[1], in[2], in[3]};
    out[0] = mo_balance_load(g, &choice, in[4], ((const setting *)arg)->group);
}

/* A token that lacks a choice has no threshold: it adds nothing, and nothing before h is read. */
static void test_holes(void **state)
{
    (void)state;
    static const double h[] = {3, 2, 1, 0, -1, 3, 1, 2, 0, -1, 5, 4, 3, 2, 1};
    static const int32_t ids[] = {0, 1, 0, -1, -1, 1};
    static const setting together = {2, 3};
    op_case c = {"balance_load",
                 "holes",
                 build_given,
                 &together,
                 .training = true,
                 .in = {{"z", .dim = {3, 5}, .grad = true},
                        {"h", .dim = {3, 5}, .grad = true, .real = h},
                        {"sigma", .dim = {3, 5}, .grad = true, .low = 0.3, .high = 1.3},
                        {"ids", .dtype = MO_I32, .dim = {3, 2}, .ints = ids},
                        {"tokens", .dtype = MO_I32, .dim = {3}, .high = 9}}};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    forward_backward(&t);
    for (int i = 0; i < 3; i++)
        for (int64_t e = 5; e < 15; e++) check_near("gradient", (double)op_graph_grad(&t, i)[e], 0, 0);
    double all_three = mo_graph_loss_value(t.g, 0);
    op_graph_close(&t);
    for (int i = 0; i < 5; i++) c.in[i].dim[0] = 1; /* the first values are the same */
    c.arg = &alone;
    check_near("loss", all_three, 3 * loss_value(&c), 1e-12);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = with("bad", &uneven);
    bad.build = build;
    contract_refused(&bad, MO_E_SHAPE, "balance_load: groups of 2 tokens do not divide 9 tokens");
    bad = with("bad", &groups_of_3);
    bad.in[2].dim[1] = 4;
    contract_refused(&bad, MO_E_SHAPE, "balance_load: z [9, 5], h [9, 5] and sigma [9, 4]");
    bad = with("bad", &groups_of_3);
    bad.in[2].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "sigma int32 [9, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),   cmocka_unit_test(test_hard_counts),
                                       cmocka_unit_test(test_no_sigma), cmocka_unit_test(test_many_experts),
                                       cmocka_unit_test(test_holes),    cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
