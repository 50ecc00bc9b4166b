/* test_balance_load_two.c -- Shazeer's load loss for a router in two levels. */
#include "checks.h"

enum { G = 3, J = 2 };

typedef struct {
    int64_t group;
} setting;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[1] = mo_topk(g, in[1], in[7], J);
    mo_noisy_choice first = {in[0], in[1], in[2], out[1]}, second = {in[3], in[4], in[5], in[6]};
    out[0] = mo_balance_load_two(g, &first, &second, in[7], ((const setting *)arg)->group);
}

/* The order of all groups too: the gradient check sees that no threshold moves to another group. */
static void build_ordered(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    build(g, in, out, arg);
    out[2] = mo_topk(g, in[1], in[7], G);
}

/* Scores of `rows` rows in groups of `within`: all at least 0.05 apart, in an order that differs from row to
 * row and group to group. */
static double score(int64_t n, int64_t e, int64_t within)
{
    int64_t g = e / within, place = (e % within * (n % (within - 1) + 1) + g + n) % within;
    if (within == 4) place = (e % 4 + n + g) % 4 ^ (n & 1);
    return 0.35 * (double)place - 0.4 + 0.1 * sin((double)(7 * n + e));
}

enum { ROWS = 600, WIDTH = 12 };
typedef struct {
    double h1[ROWS * G], h2[ROWS * WIDTH];
    int32_t ids2[ROWS * J * WIDTH / G];
    op_case c;
} two_levels;

static int by_score(const void *a, const void *b, void *scores)
{
    double x = ((double *)scores)[*(const int32_t *)a], y = ((double *)scores)[*(const int32_t *)b];
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The k best of the n scores at `from`, called `base` and on. */
static void best(int32_t *ids, double *from, int n, int k, int base)
{
    int32_t all[WIDTH];
    for (int i = 0; i < n; i++) all[i] = i;
    qsort_r(all, (size_t)n, sizeof *all, by_score, from);
    for (int i = 0; i < k; i++) ids[i] = all[i] + base;
}

/* N tokens, G groups of `within` experts, J*K of them chosen. */
static const op_case *fill(two_levels *t, const char *name, int N, int within, int K, const setting *s)
{
    for (int n = 0; n < N; n++) {
        int32_t groups[G];
        for (int g = 0; g < G; g++) t->h1[n * G + g] = score(n, g, G);
        for (int e = 0; e < G * within; e++) t->h2[n * G * within + e] = score(n, e, within);
        best(groups, t->h1 + n * G, G, J, 0);
        for (int j = 0; j < J; j++)
            best(t->ids2 + (n * J + j) * K, t->h2 + (n * G + groups[j]) * within, within, K,
                 groups[j] * within);
    }
    t->c = (op_case){"balance_load_two",
                     name,
                     build_ordered,
                     s,
                     .training = true,
                     .in = {{"z1", .dim = {N, G}, .grad = true},
                            {"h1", .dim = {N, G}, .grad = true, .real = t->h1},
                            {"sigma1", .dim = {N, G}, .grad = true, .low = 0.3, .high = 1.3},
                            {"z2", .dim = {N, G * within}, .grad = true},
                            {"h2", .dim = {N, G * within}, .grad = true, .real = t->h2},
                            {"sigma2", .dim = {N, G * within}, .grad = true, .low = 0.3, .high = 1.3},
                            {"ids2", .dtype = MO_I32, .dim = {N, J * K}, .ints = t->ids2},
                            {"tokens", .dtype = MO_I32, .dim = {N}, .low = -1, .high = 6}}};
    return &t->c;
}

static const setting threes = {3}, halves = {300}, four = {4}, twelve = {12}, alone = {1};
/* Token 1 is padding, and so are all of group 1. */
static const int32_t padded[] = {5, -1, 7, -1, -1, -1, 1, 2, 3};
static two_levels narrow, wide, whole, single, large;

static int set_up(void **state)
{
    (void)state;
    fill(&narrow, "3 groups of 2", 9, 2, 1, &threes);
    fill(&wide, "3 groups of 4", 9, 4, 2, &threes);
    fill(&whole, "all of a group", 9, 3, 3, &threes);
    fill(&single, "1 token", 1, 4, 2, &alone);
    fill(&large, "600 tokens", ROWS, 4, 2, &halves);
    narrow.c.in[7].ints = wide.c.in[7].ints = whole.c.in[7].ints = padded;
    single.c.in[7].low = 0;
    for (int i = 3; i < 6; i++)
        whole.c.in[i].grad = false; /* taken whole, the second level has no gradient */
    return 0;
}

/* The scores are what the gradient check moves: they keep their distance. */
static void test_margin(void **state)
{
    (void)state;
    const two_levels *all[] = {&narrow, &wide, &whole};
    const int within[] = {2, 4, 3};
    for (int i = 0; i < 3; i++)
        for (int n = 0; n < 9; n++)
            for (int a = 0; a < G * within[i]; a++)
                for (int b = a - a % within[i]; b < a; b++) {
                    const double *h = all[i]->h2 + n * G * within[i];
                    if (!(fabs(h[a] - h[b]) > 0.05))
                        fail_msg("%s: token %d, experts %d and %d", all[i]->c.name, n, a, b);
                }
}

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&narrow.c);
    gradcheck(&wide.c);
    gradcheck(&whole.c);
    gradcheck(&single.c);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&wide.c);
    contract(&large.c);
    check_dirty_memory(&wide.c);
}

/* float: each Phi within 3e-7, and CV^2 is of the size of 1. */
static void test_golden(void **state)
{
    (void)state;
    const char *const shapes[] = {"", "_wide", "_whole"};
    op_case c = narrow.c;
    c.build = build;
    for (int i = 0; i < 12; i++) {
        char name[64];
        bool training = i % 2, sequence = i / 2 % 2;
        c.training = training;
        c.arg = sequence ? &four : &twelve;
        snprintf(name, sizeof name, "load_two%s_%s%s", shapes[i / 4], sequence ? "sequence" : "microbatch",
                 training ? "" : "_hard");
        check_golden("ops_losses", name, &c, 2e-6);
    }
    c.training = true;
    c.arg = &twelve;
    check_golden("ops_losses", "load_two_empty", &c, 2e-6);
}

static void build_router(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const setting *s = arg;
    mo_noisy_choice first = {in[0], in[1], in[2], mo_topk(g, in[1], in[6], J)};
    out[3] = mo_topk_within(g, in[4], first.ids_NK, G, 2);
    mo_noisy_choice second = {in[3], in[4], in[5], out[3]};
    out[0] = mo_gate_product(g, mo_gate(g, in[1], first.ids_NK, MO_GATE_SOFTMAX), in[4], out[3]);
    out[1] = mo_balance_importance(g, out[0], out[3], in[6], 12, s->group);
    out[2] = mo_balance_load_two(g, &first, &second, in[6], s->group);
}

/* The whole router: weights of eq. 12, importance of eq. 13, load of eq. 14. float: the slopes of CV^2 all
 * but cancel within a group, whose sum is the first level's gradient. */
static void test_router(void **state)
{
    (void)state;
    op_case c = wide.c;
    c.name = "whole router";
    c.build = build_router;
    c.in[6] = c.in[7];
    c.in[7] = (op_input){0};
    gradcheck(&c);
    c.arg = &twelve;
    check_golden("ops_losses", "hierarchical", &c, 1e-5);
}

/* In evaluation the load of both levels is the number of tokens that went to each expert. */
static void test_hard_counts(void **state)
{
    (void)state;
    op_case c = large.c;
    c.training = false;
    c.build = build;
    op_graph t;
    open_and_run(&t, &c);
    const int32_t *ids = t.in[6]->data, *tokens = t.in[7]->data;
    double want = 0;
    for (int part = 0; part < 2; part++) {
        double count[12] = {0}, mean = 0, variance = 0, valid = 0;
        for (int n = part * 300; n < (part + 1) * 300; n++)
            for (int k = 0; k < 4 && tokens[n] >= 0; k++) {
                count[ids[n * 4 + k]]++;
                valid += k == 0;
            }
        for (int e = 0; e < 12; e++) mean += count[e] / 12;
        for (int e = 0; e < 12; e++) variance += (count[e] - mean) * (count[e] - mean) / 12;
        want += valid * variance / (mean * mean);
    }
    check_near("loss", mo_graph_loss_value(t.g, 0), want, 1e-12 * want);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    static const setting two = {2};
    op_case bad = wide.c;
    bad.arg = &two;
    contract_refused(&bad, MO_E_SHAPE, "balance_load_two: groups of 2 tokens do not divide 9 tokens");
    bad = wide.c;
    bad.in[3].dim[1] = bad.in[4].dim[1] = bad.in[5].dim[1] = 10;
    contract_refused(&bad, MO_E_SHAPE,
                     "balance_load_two: groups [9, 3], int32 [9, 2] chosen, and experts [9, 10]");
    bad = wide.c;
    bad.in[6].dim[1] = 3;
    contract_refused(&bad, MO_E_SHAPE, "int32 [9, 3] chosen, do not fit");
    bad = narrow.c;
    bad.in[6].dim[1] = 6;
    contract_refused(&bad, MO_E_SHAPE, "K at most E/G");
    bad = wide.c;
    bad.in[5].dim[1] = 4;
    contract_refused(&bad, MO_E_SHAPE, "balance_load_two: z [9, 12], h [9, 12] and sigma [9, 4]");
    bad = wide.c;
    bad.in[2].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "sigma int32 [9, 3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_margin),   cmocka_unit_test(test_gradient),
                                       cmocka_unit_test(test_contract), cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_router),   cmocka_unit_test(test_hard_counts),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
