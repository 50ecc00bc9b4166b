/* test_z_loss.c -- the router z-loss. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    (void)arg;
    out[0] = mo_z_loss(g, in[0], in[1]);
}

static const int32_t padded[] = {4, -1, 0, 7, -1};
static const op_case five_tokens = {"z_loss", "5x6", build,
                                    .in = {{"z", .dim = {5, 6}, .grad = true, .low = -3, .high = 3},
                                           {"tokens", .dtype = MO_I32, .dim = {5}, .ints = padded}}};
static const op_case one_token = {"z_loss", "1x1", build,
                                  .in = {{"z", .dim = {1, 1}, .grad = true, .low = 1, .high = 2},
                                         {"tokens", .dtype = MO_I32, .dim = {1}, .high = 9}}};
static const op_case large = {"z_loss", "700x9", build,
                              .in = {{"z", .dim = {700, 9}, .grad = true},
                                     {"tokens", .dtype = MO_I32, .dim = {700}, .low = -2, .high = 20}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&five_tokens);
    gradcheck(&one_token);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&five_tokens);
    contract(&large);
    contract_nan(&five_tokens);
    check_dirty_memory(&five_tokens);
}

/* float: sums of 5 exponentials, each within 2 ulp. */
static void test_golden(void **state)
{
    (void)state;
    check_moe_golden("z_loss", &five_tokens, 1e-6);
}

/* Far logits neither overflow nor lose the sum; -infinity is an expert that is masked out. */
static void test_extremes(void **state)
{
    (void)state;
    static const double z[] = {1000, 1000, -1000, -1000, 2, -(double)INFINITY};
    static const int32_t tokens[] = {1, 1, 1};
    const op_case c = {
        "z_loss", "extremes", build,
        .in = {{"z", .dim = {3, 2}, .real = z}, {"tokens", .dtype = MO_I32, .dim = {3}, .ints = tokens}}};
    double ln2 = 0.69314718055994531;
    double want = (1000 + ln2) * (1000 + ln2) + (1000 - ln2) * (1000 - ln2) + 4;
    check_near("loss", loss_value(&c), want, 1e-6 * want);
}

/* Several blocks, summed by hand. float: each exponential within 2 ulp. */
static void test_blocks(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &large);
    double want = 0;
    for (int n = 0; n < 700; n++) {
        double sum = 0;
        for (int e = 0; e < 9; e++) sum += exp((double)((const mo_real *)t.in[0]->data)[9 * n + e]);
        if (((const int32_t *)t.in[1]->data)[n] >= 0) want += log(sum) * log(sum);
    }
    check_near("loss", mo_graph_loss_value(t.g, 0), want, (sizeof(mo_real) == 8 ? 1e-12 : 1e-6) * want);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = five_tokens;
    bad.in[1].dim[0] = 4;
    contract_refused(&bad, MO_E_SHAPE, "z_loss: logits [5, 6] and tokens int32 [4]");
    bad = five_tokens;
    bad.in[1].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "tokens [5]");
    bad = five_tokens;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "logits int32 [5, 6]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),   cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_blocks),   cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
