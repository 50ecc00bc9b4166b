/* test_hash_choice.c -- experts by a fixed hash of the token's id. */
#include "checks.h"

typedef struct {
    int64_t E, K;
    int layer;
} experts;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const experts *a = arg;
    out[0] = mo_hash_choice(g, in[0], a->E, a->K, a->layer);
}

static const experts four = {12, 4, 5};
static const op_case random_tokens = {"hash_choice", "40x12", build, &four,
                                      .in = {{"tokens", .dtype = MO_I32, .dim = {40}, .low = -3, .high = 9}}};

static void test_golden(void **state)
{
    (void)state;
    static const experts all[] = {{12, 1, 5}, {12, 4, 5}, {5, 5, 5}, {300, 9, 5}};
    char group[32];
    for (int i = 0; i < 4; i++) {
        op_case c = random_tokens;
        c.arg = &all[i];
        snprintf(group, sizeof group, "hash_%d_%d", (int)all[i].E, (int)all[i].K);
        check_golden("ops_select", group, &c, 0);
    }
}

/* Whatever the seed, step, place and mode: the id alone decides. */
static void test_fixed(void **state)
{
    (void)state;
    op_graph t, u;
    op_case training = random_tokens;
    training.training = true;
    open_and_run(&t, &random_tokens);
    op_graph_open(&u, &training, (op_mode){.readable = true, .forward_only = true});
    u.run.seed++;
    u.run.step++;
    u.run.first_token = 77;
    mo_graph_forward(u.g, &u.run);
    assert_memory_equal(t.out[0]->data, u.out[0]->data, mo_tensor_bytes(t.out[0]));
    const int32_t *tokens = t.in[0]->data, *ids = t.out[0]->data;
    for (int n = 0; n < 40; n++)
        for (int m = 0; m < n; m++)
            if (tokens[m] == tokens[n]) assert_memory_equal(ids + 4 * m, ids + 4 * n, 4 * sizeof *ids);
    op_graph_close(&t);
    op_graph_close(&u);
}

/* Counts of first and last choices over 20,000 ids: chi squared of 11 degrees of freedom below 31.3 (one in
 * 1,000), and ids of a token all different. */
static void test_even(void **state)
{
    (void)state;
    enum { N = 20000, E = 12, K = 4 };
    int32_t *tokens = malloc(N * sizeof *tokens);
    assert_non_null(tokens);
    for (int n = 0; n < N; n++) tokens[n] = 3 * n;
    op_case c = random_tokens;
    c.in[0] = (op_input){"tokens", .dtype = MO_I32, .dim = {N}, .ints = tokens};
    op_graph t;
    open_and_run(&t, &c);
    const int32_t *ids = t.out[0]->data;
    double count[K][E] = {{0}};
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) {
            assert_in_range(ids[n * K + k], 0, E - 1);
            count[k][ids[n * K + k]]++;
            for (int j = 0; j < k; j++) assert_int_not_equal(ids[n * K + j], ids[n * K + k]);
        }
    for (int k = 0; k < K; k++) {
        double chi = 0, want = (double)N / E;
        for (int e = 0; e < E; e++) chi += (count[k][e] - want) * (count[k][e] - want) / want;
        if (!(chi < 31.3)) fail_msg("choice %d: chi squared is %g", k, chi);
    }
    op_graph_close(&t);
    free(tokens);
}

/* Layers hash differently. */
static void test_layers(void **state)
{
    (void)state;
    static const experts one = {12, 1, 5}, another = {12, 1, 6};
    op_graph t, u;
    op_case c = random_tokens, d = random_tokens;
    c.in[0] = d.in[0] = (op_input){"tokens", .dtype = MO_I32, .dim = {1000}, .low = 0, .high = 1e6};
    c.arg = &one;
    d.arg = &another;
    open_and_run(&t, &c);
    open_and_run(&u, &d);
    int same = 0;
    for (int n = 0; n < 1000; n++)
        same += ((const int32_t *)t.out[0]->data)[n] == ((const int32_t *)u.out[0]->data)[n];
    assert_in_range(same, 40, 127); /* 1000 / 12 +- 5 deviations */
    op_graph_close(&t);
    op_graph_close(&u);
}

static void test_contract(void **state)
{
    (void)state;
    gradcheck(&random_tokens);
    contract(&random_tokens);
    check_dirty_memory(&random_tokens);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = random_tokens;
    bad.arg = &(experts){3, 4, 5};
    contract_refused(&bad, MO_E_RANGE,
                     "hash_choice: num_experts_per_tok is 4, must be from 1 to the 3 experts");
    bad.arg = &(experts){3, 0, 5};
    contract_refused(&bad, MO_E_RANGE, "num_experts_per_tok is 0");
    bad = random_tokens;
    bad.in[0].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "hash_choice: tokens [40]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),   cmocka_unit_test(test_fixed),
                                       cmocka_unit_test(test_even),     cmocka_unit_test(test_layers),
                                       cmocka_unit_test(test_contract), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
