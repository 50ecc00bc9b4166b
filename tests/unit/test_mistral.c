/* test_mistral.c -- a tiny Mistral of Hugging Face's transformers with a sliding window, and the same
 * without, computed there in double (tests/golden/make_window.py), against ours: logits, key-value cache,
 * loss, every gradient; and what of a window is counted. */
#include "harness/golden_model.h"

static golden *file;
static const bool wide = sizeof(mo_real) == sizeof(double);

/* Tolerances as in test_models.c. */
static void check(const char *group)
{
    golden_model g = golden_model_open(file, group);
    g.config.sliding_window = (int64_t)golden_model_setting(&g, "sliding_window");
    mo_model *m = golden_model_load(&g);
    double tolerance = wide ? 1e-6 : 1e-5;
    golden_model_check_logits(&g, m, (const int64_t[]){12}, 1, tolerance);
    golden_model_check_logits(&g, m, (const int64_t[]){7, 1, 1, 3}, 4, tolerance);
    mo_model_free(m);
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        double got, balance[MO_BALANCE_LOSSES];
        m = golden_model_load(&g);
        mo_model_graph_options options = {.kind = MO_GRAPH_TRAIN, .recompute = (mo_recompute)policy};
        mo_model_graph *t = golden_model_graph(&g, m, options);
        golden_model_train(t, &got, balance);
        golden_array want = golden_model_read(&g, "cross_entropy", "");
        MO_CHECK_NEAR(got, want.real[0], wide ? 1e-12 : 1e-5);
        golden_model_check_gradients(&g, m, wide ? 1.1e-6 : 1e-4);
        golden_array_free(&want);
        mo_model_graph_free(t);
        mo_model_free(m);
    }
}

static void test_window(void **state)
{
    (void)state;
    check("mistral/");
}

static void test_no_window(void **state)
{
    (void)state;
    check("all/");
}

/* 12 L d times the keys that a query sees on average: T/2, or w - w^2 / 2T. */
static void test_counts(void **state)
{
    (void)state;
    golden_model g = golden_model_open(file, "mistral/");
    const struct {
        int64_t window, length;
        double keys;
    } all[] = {{0, 12, 6}, {12, 12, 6}, {13, 12, 6}, {4, 12, 4 - 16 / 24.0}, {1, 12, 1 - 1 / 24.0}};
    mo_model *m;
    double matrices = -1;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        g.config.sliding_window = all[i].window;
        MO_CHECK_OK(mo_model_create(&g.config, &m));
        double attention = 12.0 * 2 * 16 * all[i].keys,
               flops = mo_model_counts(m, all[i].length).flops_per_token;
        if (i == 0) matrices = flops - attention;
        MO_CHECK_NEAR(flops, matrices + attention, 1e-6);
        mo_model_free(m);
    }
}

static void test_refused(void **state)
{
    (void)state;
    golden_model g = golden_model_open(file, "mistral/");
    g.config.sliding_window = -5;
    mo_model *m = NULL;
    assert_int_equal(mo_model_create(&g.config, &m), MO_E_CONFIG);
    assert_string_equal(mo_last_error(), "model.sliding_window is -5; must be at least 0");
}

static int setup(void **state)
{
    (void)state;
    file = golden_open("mistral_tiny");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    golden_close(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_window), cmocka_unit_test(test_no_window),
                                       cmocka_unit_test(test_counts), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
