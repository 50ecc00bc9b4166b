/* test_embedding.c -- rows of a table by token id. */
#include <string.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"
#include "harness/storedcase.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_embedding(g, in[0], in[1]);
}

/* Repeated, unused (id 2) and padding ids. */
static const int32_t ids[] = {3, 0, 3, -1, 4, 1, 3, -7, 0};
static const op_case plain = {"embedding", "padding", build,
                              .in = {{"tokens", .dtype = MO_I32, .dim = {9}, .ints = ids},
                                     {"table", MO_ROLE_PARAM, .dim = {5, 6}, .grad = true}}};
/* A table whose gradient is written, not added to. */
static const op_case written = {
    "embedding", "table is a value", build,
    .in = {{"tokens", .dtype = MO_I32, .dim = {9}, .ints = ids}, {"table", .dim = {5, 6}, .grad = true}}};
static const op_case large = {"embedding", "200 tokens", build,
                              .in = {{"tokens", .dtype = MO_I32, .dim = {200}, .low = -3, .high = 50},
                                     {"table", MO_ROLE_PARAM, .dim = {50, 70}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&written);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&written);
    contract(&large);
    contract_nan(&plain);
}

/* float: sums of a few gradients. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "embedding", &plain, 1e-6);
    golden_close(file);
}

static void test_padding_is_zero(void **state)
{
    (void)state;
    op_graph t;
    op_graph_open(&t, &plain, (op_mode){.readable = true});
    memset(t.out[0]->data, 0x7f, mo_tensor_bytes(t.out[0]));
    op_graph_forward(&t);
    const mo_real *y = t.out[0]->data, *table = t.value[1];
    for (int n = 0; n < 9; n++)
        for (int d = 0; d < 6; d++) assert_true(y[n * 6 + d] == (ids[n] < 0 ? 0 : table[ids[n] * 6 + d]));
    op_graph_close(&t);
}

/* Nothing is left to differentiate, and nothing rounds. */
static void test_stored(void **state)
{
    (void)state;
    stored_check(&plain, 1, 0);
    stored_check(&large, 1, 0);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[0].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "embedding: tokens [9] and table [5, 6]; expected int32 [N]");
    bad = plain;
    bad.in[1].dim[1] = 0;
    contract_refused(&bad, MO_E_SHAPE, "table [5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_padding_is_zero),
        cmocka_unit_test(test_stored),   cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
