/* test_expert_choice.c -- the tokens that experts choose. */
#include "capacity_checks.h"

typedef struct {
    double factor;
    int64_t group;
} choice_sizes;

static void build_ids(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const choice_sizes *c = arg;
    out[0] = mo_expert_choice(g, in[0], in[1], c->factor, c->group);
}

/* Also the rows, which fit into their bound. */
static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const choice_sizes *c = arg;
    build_ids(g, in, out, arg);
    int64_t rows = mo_expert_choice_rows(in[0]->dim[0], in[0]->dim[1], c->factor, c->group);
    out[1] = mo_dispatch(g, out[0], in[0]->dim[1], rows).token_R;
}

#define RANDOM(name, E, choices, tokens_low)                                           \
    {                                                                                  \
        "expert_choice", name, build, &(choices), .in = {                              \
            {"p", .dim = {240, E}},                                                    \
            {"tokens", .dtype = MO_I32, .dim = {240}, .low = (tokens_low), .high = 20} \
        }                                                                              \
    }
static const choice_sizes two = {2, 240}, two_groups = {2, 40}, little = {0.01, 60}, soft = {7, 40},
                          half = {3.5, 48}, most = {6.8, 40}; /* C = 39 */
/* Experts in more than one block, and in a part of one. */
static const op_case many[] = {RANDOM("one group", 7, two, -4),
                               RANDOM("groups, 40 experts", 40, two_groups, -9),
                               RANDOM("one token each", 7, little, -4),
                               RANDOM("all", 7, soft, -4),
                               RANDOM("half", 7, half, -4),
                               RANDOM("all but one", 7, most, 0)};
enum { MANIES = sizeof many / sizeof *many };

/* Expert e has token n exactly where fewer than C valid tokens of the group come before n. */
static void check_definition(const op_case *c)
{
    const choice_sizes *choice = c->arg;
    op_graph t;
    open_and_run(&t, c);
    const mo_real *p = t.in[0]->data;
    const int32_t *tokens = t.in[1]->data, *ids = t.out[0]->data;
    int64_t N = t.in[0]->dim[0], E = t.in[0]->dim[1], G = choice->group;
    for (int64_t n = 0; n < N; n++)
        for (int32_t e = 0; e < E; e++) {
            int64_t start = n - n % G, valid = valid_tokens(tokens, start, start + G), ahead = 0;
            for (int64_t m = start; m < start + G; m++) {
                double a = (double)p[m * E + e], b = (double)p[n * E + e];
                ahead += tokens[m] >= 0 && (outranks(a, b) || (!outranks(b, a) && m < n));
            }
            bool taken =
                tokens[n] >= 0 && (double)ahead < ceil(choice->factor * (double)valid / (double)E - 1e-9);
            assert_int_equal(ids[n * E + e], taken ? e : -1);
        }
    op_graph_close(&t);
}

static void test_definition(void **state)
{
    (void)state;
    for (int i = 0; i < MANIES; i++) check_definition(&many[i]);
}

/* Ties, of zeros of either sign too: the first. NaN of either sign, infinities: in the order of topk. A group
 * of padding: nobody. */
static void test_odd_values(void **state)
{
    (void)state;
    static double same[240 * 7], steps[240 * 7], odd[240 * 7], lowest[240 * 7], zeros[240 * 7];
    for (int i = 0; i < 240 * 7; i++) {
        steps[i] = floor(4 * sin(i));
        zeros[i] = sin(i) > 0.9 ? sin(i) : sin(i) > 0 ? 0.0 : -0.0;
        lowest[i] = i % 17 == 0 ? -1e30 : (double)-INFINITY;
        odd[i] = i % 11 == 3   ? copysign((double)NAN, i % 2 ? 1 : -1)
                 : i % 11 == 5 ? (double)-INFINITY
                 : i % 13 == 1 ? (double)INFINITY
                               : cos(i);
    }
    const double *all[] = {same, steps, odd, lowest, zeros};
    for (int i = 0; i < 5; i++) {
        op_case c = many[0];
        c.in[0].real = all[i];
        check_definition(&c);
    }
    static int32_t tokens[240];
    for (int n = 0; n < 240; n++) tokens[n] = n < 60 || n == 100 ? -1 : 1;
    op_case c = many[2];
    c.in[1].ints = tokens;
    check_definition(&c);
}

static void check_group(const char *group, choice_sizes choice)
{
    const op_case c = {"expert_choice", group, build_ids, &choice,
                       .in = {{"p", .dtype = MO_REAL}, {"tokens", .dtype = MO_I32}}};
    check_capacity_golden(group, &c, 0);
}

static void test_golden(void **state)
{
    (void)state;
    check_group("expert_choice_group8", (choice_sizes){2, 8});
    check_group("expert_choice_group24", (choice_sizes){1.3, 24});
    check_group("expert_choice_group12", (choice_sizes){0.4, 12});
    check_group("expert_choice_all", (choice_sizes){5, 8});
    check_group("expert_choice_ties", (choice_sizes){2, 12});
}

/* Tokens in another order are chosen by the same experts. */
static void test_permuted(void **state)
{
    (void)state;
    enum { N = 240, E = 7, STEP = 77 }; /* no common divisor */
    static double p[N * E];
    static int32_t tokens[N];
    op_graph t, u;
    open_and_run(&t, &many[0]);
    for (int n = 0; n < N; n++) {
        int from = n * STEP % N;
        tokens[n] = ((const int32_t *)t.in[1]->data)[from];
        for (int e = 0; e < E; e++) p[n * E + e] = (double)((const mo_real *)t.in[0]->data)[from * E + e];
    }
    op_case c = many[0];
    c.in[0].real = p;
    c.in[1].ints = tokens;
    open_and_run(&u, &c);
    const int32_t *ids = t.out[0]->data, *moved = u.out[0]->data;
    for (int n = 0; n < N; n++) assert_memory_equal(moved + n * E, ids + n * STEP % N * E, E * sizeof *ids);
    op_graph_close(&t);
    op_graph_close(&u);
}

static void test_rows(void **state)
{
    (void)state;
    assert_int_equal(mo_expert_choice_rows(240, 8, 2, 240), 480);
    assert_int_equal(mo_expert_choice_rows(240, 8, 2, 30), 8 * 8 * 8); /* C = ceil(7.5) */
    assert_int_equal(mo_expert_choice_rows(100, 10, 1.1, 100), 110);   /* and not 120 */
    assert_int_equal(mo_expert_choice_rows(240, 8, 8, 60), 240 * 8);
    assert_int_equal(mo_expert_choice_rows(240, 8, 1e300, 60), 240 * 8); /* a token once at most */
    assert_int_equal(mo_expert_choice_rows(240, 8, 1e-9, 60), 4 * 8);
}

static void test_contract(void **state)
{
    (void)state;
    for (int i = 0; i < MANIES; i++) {
        gradcheck(&many[i]);
        contract(&many[i]);
        check_dirty_memory(&many[i]);
    }
}

static void test_refused(void **state)
{
    (void)state;
    choice_sizes choice = {2, 3};
    op_case c = {"expert_choice", "bad", build_ids, &choice,
                 .in = {{"p", .dim = {8, 4}}, {"tokens", .dtype = MO_I32, .dim = {8}}}};
    contract_refused(&c, MO_E_SHAPE, "expert_choice: groups of 3 tokens do not divide 8 tokens");
    choice.group = 0;
    contract_refused(&c, MO_E_SHAPE, "groups of 0 tokens");
    choice.group = 4;
    choice.factor = -1;
    contract_refused(&c, MO_E_RANGE, "expert_choice: capacity factor is -1, must be above 0");
    choice.factor = 2;
    c.in[1].dim[0] = 4;
    contract_refused(&c, MO_E_SHAPE, "expert_choice: p [8, 4] and tokens int32 [4] do not fit");
    c.in[1].dim[0] = 8;
    c.in[0].dtype = MO_I32;
    contract_refused(&c, MO_E_SHAPE, "p int32 [8, 4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition), cmocka_unit_test(test_odd_values),
                                       cmocka_unit_test(test_golden),     cmocka_unit_test(test_permuted),
                                       cmocka_unit_test(test_rows),       cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
