/* test_dropout_rows.c -- dropout of rows sorted by expert: masks hang on token and choice, not on the row. */
#include "checks.h"

enum { STREAM = 9 };
typedef struct {
    double p;
    int64_t experts, rows;
} rows_arg;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const rows_arg *a = arg;
    mo_dispatch_map map = mo_dispatch(g, in[1], a->experts, a->rows);
    out[0] = mo_dropout_rows(g, mo_gather(g, in[0], &map), &map, a->p, STREAM);
}

/* Of rows that are no gathered ones, whose own gradient is checked. */
static void build_plain(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const rows_arg *a = arg;
    mo_dispatch_map map = mo_dispatch(g, in[1], a->experts, a->rows);
    out[0] = mo_dropout_rows(g, in[0], &map, a->p, STREAM);
}

static const rows_arg third = {0.3, 5, 0}, dropped_arg = {0.5, 5, 6}, none = {0, 5, 0}, certain = {1, 5, 0};
static const int32_t mixed[] = {0, 3, 3, 1, -1, -1, 1, 0, 3, 0};
static const int32_t holes[] = {-1, 3, 3, -1, -1, -1, 1, 0, -1, 0};

static const op_case padded = {
    "dropout_rows",
    "5x7",
    build,
    &third,
    .training = true,
    .in = {{"x", .dim = {5, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
static const op_case plain = {
    "dropout_rows",
    "rows",
    build_plain,
    &third,
    .training = true,
    .in = {{"x", .dim = {10, 6}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
static const op_case dropped = {
    "dropout_rows",
    "holes",
    build_plain,
    &dropped_arg,
    .training = true,
    .in = {{"x", .dim = {6, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = holes}}};
static const op_case evaluation = {
    "dropout_rows", "evaluation", build, &third,
    .in = {{"x", .dim = {5, 7}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};
/* Longer than a block of factors, and no multiple of a Philox call. */
static const op_case wide = {
    "dropout_rows",
    "wide",
    build,
    &third,
    .training = true,
    .in = {{"x", .dim = {5, 1031}, .grad = true}, {"ids", .dtype = MO_I32, .dim = {5, 2}, .ints = mixed}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&padded);
    gradcheck(&plain);
    gradcheck(&dropped);
    gradcheck(&evaluation);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&padded);
    contract(&plain);
    contract(&dropped);
    contract(&wide);
    contract_nan(&padded);
    check_dirty_memory(&padded);
    check_dirty_memory(&dropped);
}

/* float: one product with 1 / (1 - p). */
static void test_golden(void **state)
{
    (void)state;
    check_golden("ops_tuning", "dropout_rows", &plain, 1.5e-7);
}

enum { N = 5, K = 2, I = 7 };

/* Ones of every choice (n, k), in that order; choices without a row are left 0. */
static void masks_of(const int32_t *ids_NK, int64_t first_token, mo_real out_NKI[N * K * I])
{
    op_case c = padded;
    op_graph t;
    c.in[1].ints = ids_NK;
    double ones[N * I];
    for (int i = 0; i < N * I; i++) ones[i] = 1;
    c.in[0].real = ones;
    op_graph_open(&t, &c, (op_mode){.readable = true, .forward_only = true});
    t.run.first_token = first_token;
    mo_graph_forward(t.g, &t.run);
    const mo_real *y = t.out[0]->data;
    memset(out_NKI, 0, N * K * I * sizeof *out_NKI);
    for (int64_t e = 0, row = 0; e < 5; e++) /* a stable sort by expert */
        for (int64_t c_NK = 0; c_NK < N * K; c_NK++)
            if (ids_NK[c_NK] == e) memcpy(out_NKI + c_NK * I, y + I * row++, I * sizeof *y);
    op_graph_close(&t);
}

/* Another choice of experts sorts the rows otherwise; a later microbatch begins at a token of its own. */
static void test_masks_belong_to_tokens(void **state)
{
    (void)state;
    static const int32_t one[] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, two[] = {4, 0, 2, 3, 1, 0, 3, 4, 2, 1};
    mo_real a[N * K * I], b[N * K * I], later[N * K * I];
    masks_of(one, 0, a);
    masks_of(two, 0, b);
    masks_of(two, 2, later);
    int64_t kept = 0;
    for (int i = 0; i < N * K * I; i++) kept += a[i] > 0;
    assert_in_range(kept, 30, 62); /* of 70, 49 on average, deviation 3.8 */
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(later, a + 2 * K * I, (N - 2) * K * I * sizeof *a);
    bool choices_differ = memcmp(a, a + I, I * sizeof *a) != 0;
    assert_true(choices_differ);
}

static void test_nothing_to_drop(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){4, 3}, true);
    mo_dispatch_map map = {0};
    assert_ptr_equal(mo_dropout_rows(g, x, &map, none.p, STREAM), x);
    assert_int_equal(mo_graph_node_count(g), 0);
    mo_graph_free(g);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.in[0].dim[0] = 9;
    contract_refused(&bad, MO_E_SHAPE,
                     "dropout_rows: x [9, 6] does not fit a map of 10 rows; expected [10, I]");
    bad = plain;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "x int32 [10, 6]");
    bad = plain;
    bad.arg = &certain;
    contract_refused(&bad, MO_E_RANGE,
                     "dropout_rows: dropout probability is 1, must be at least 0 and below 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_masks_belong_to_tokens),
        cmocka_unit_test(test_nothing_to_drop), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
