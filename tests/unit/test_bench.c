/* test_bench.c -- what a bench counts: the formula of its FLOPs, medians and quartiles, skews that can be. */
#include <string.h>

#include "harness/harness.h"
#include "moira/bench.h"
#include "moira/config.h"
#include "train/bench_case.h"

/* What moira help bench says. */
static double formula(const mo_run_config *c)
{
    const mo_model_config *m = &c->model;
    double d = (double)m->hidden_size, L = (double)m->num_hidden_layers, h = (double)m->num_attention_heads;
    double v = (double)m->num_key_value_heads, f = (double)m->intermediate_size, V = (double)m->vocab_size;
    double E = (double)m->num_local_experts, k = (double)m->num_experts_per_tok;
    double T = (double)c->train.sequence_length;
    double feed_forward = E > 0 ? d * E + 3 * k * d * f : 3 * d * f;
    return 6 * (L * (2 * d * d + 2 * d * d * v / h + feed_forward) + d * V) + 6 * L * T * d;
}

static void flops_are_those_of_the_formula(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double megaflops;
    } sizes[] = {{"bench-a", 25.6}, {"bench-b", 214}, {"bench-c", 969}};
    for (int i = 0; i < 6; i++) {
        char *path = mo_strprintf("configs/%s%s.yaml", sizes[i / 2].name, i % 2 ? "-dense" : "");
        mo_run_config c;
        mo_model *m;
        MO_CHECK_OK(mo_config_load(path, NULL, 0, &c));
        MO_CHECK_OK(mo_model_create(&c.model, &m));
        mo_model_count count = mo_model_counts(m, c.train.sequence_length);
        double E = (double)c.model.num_local_experts;
        assert_true(count.flops_per_token == formula(&c));
        assert_true(fabs(count.flops_per_token / 1e6 / sizes[i / 2].megaflops - 1) < (i % 2 ? 0.005 : 0.002));
        assert_true(i % 2 ? E == 0 : E == 8);
        mo_model_free(m);
        mo_config_free(&c);
        mo_free(path);
    }
}

static void check_spread(const char *numbers, double low, double quarter, double median, double three,
                         double high)
{
    double x[16];
    int64_t n = 0;
    for (const char *c = numbers; *c; c++) x[n++] = *c - '0';
    mo_spread s = mo_spread_of(x, n);
    assert_true(s.low == low && s.high == high && s.median == median);
    assert_true(s.quartile[0] == quarter && s.quartile[1] == three);
}

static void spreads_are_those_of_the_sorted_samples(void **state)
{
    (void)state;
    check_spread("7", 7, 7, 7, 7, 7);
    check_spread("31", 1, 1, 2, 3, 3);
    check_spread("52143", 1, 2, 3, 4, 5);
    check_spread("918273645", 1, 3, 5, 7, 9);
    check_spread("4231", 1, 1, 2.5, 4, 4);
}

static void skews_that_cannot_be_are_refused(void **state)
{
    (void)state;
    mo_run_config c;
    MO_CHECK_OK(mo_config_load("configs/bench-a.yaml", NULL, 0, &c));
    MO_CHECK_OK(mo__skew_check(&c.model, 0.5));
    MO_CHECK_OK(mo__skew_check(&c.model, 0.01));
    MO_CHECK_STATUS(mo__skew_check(&c.model, 0.51), MO_E_RANGE);
    MO_CHECK_STATUS(mo__skew_check(&c.model, -0.5), MO_E_RANGE);
    MO_CHECK_STATUS(mo__skew_check(&c.model, (double)NAN), MO_E_RANGE);
    c.model.num_experts_per_tok = 1;
    MO_CHECK_OK(mo__skew_check(&c.model, 1));
    c.model.num_local_experts = 0;
    MO_CHECK_STATUS(mo__skew_check(&c.model, 0.1), MO_E_RANGE);
    mo_config_free(&c);
}

/* Two cases in turn: each has its own figures, and the plan of the larger one is larger. */
static void cases_are_measured_apart(void **state)
{
    (void)state;
    mo_run_config small, large;
    mo_bench_result r[2];
    uint64_t planned;
    const char *set[] = {"model.vocab_size=64",
                         "model.hidden_size=32",
                         "model.intermediate_size=32",
                         "model.num_hidden_layers=2",
                         "train.batch_size=2",
                         "train.sequence_length=32",
                         "run.threads=1",
                         "train.gradient_accumulation_steps=2"};
    MO_CHECK_OK(mo_config_load("configs/bench-a.yaml", set, 8, &small));
    MO_CHECK_OK(mo_config_load("configs/bench-a.yaml", set, 8, &large));
    large.model.num_local_experts = 128;
    large.model.intermediate_size = 128;
    large.run.threads = 2;
    mo_bench_case cases[] = {{.config = &small, .skew = 0.25}, {.config = &large}};
    MO_CHECK_OK(mo_bench(cases, 2, 2, r));
    for (int i = 0; i < 2; i++) {
        assert_true(r[i].threads == i + 1 && r[i].steps == 2 && r[i].n_ops > 20);
        assert_true(r[i].step_seconds.low > 0 && r[i].work_seconds.median < r[i].step_seconds.median);
        assert_true(r[i].optimizer_seconds.median > 0 && r[i].peak_own.median > 0 && r[i].peak_gbytes > 0);
        assert_true(r[i].peak_gflops >= r[i].peak_own.median &&
                    r[i].slab_bytes >= 4 * sizeof(mo_real) * (uint64_t)r[i].parameters);
        assert_true(fabs(r[i].tokens_per_second * r[i].step_seconds.median - 128) < 1e-6);
        for (int k = 1; k < r[i].n_ops; k++) assert_true(r[i].ops[k].seconds <= r[i].ops[k - 1].seconds);
    }
    assert_true(fabs(r[0].busiest - 0.25) < 0.05 && r[1].busiest < 0.1);
    assert_true(r[0].startup_seconds > 0 && r[1].startup_seconds == 0);
    assert_true(r[1].peak_rss_bytes > r[0].peak_rss_bytes + (12 << 20)); /* 16 bytes of 3 M parameters */
    MO_CHECK_OK(mo_bench_memory(&large, &planned));
    assert_true(planned == r[1].planned_bytes && planned > r[0].planned_bytes);
    mo_bench_result_free(&r[0]);
    mo_bench_result_free(&r[1]);
    MO_CHECK_STATUS(mo_bench(cases, 2, 0, r), MO_E_RANGE);
    MO_CHECK_STATUS(mo_bench(cases, 0, 1, r), MO_E_RANGE);
    mo_config_free(&small);
    mo_config_free(&large);
}

static void the_age_of_a_process_is_told(void **state)
{
    (void)state;
    double outer = mo_clock(), before = mo_process_seconds(), begin = mo_clock();
    while (mo_clock() - begin < 0.05) continue;
    double passed = mo_process_seconds() - before;
    assert_true(before >= 0 && before < 3600);
    assert_true(passed > 0.03 && passed < mo_clock() - outer + 0.02); /* both are to 0.01 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_are_those_of_the_formula),
        cmocka_unit_test(spreads_are_those_of_the_sorted_samples),
        cmocka_unit_test(skews_that_cannot_be_are_refused),
        cmocka_unit_test(cases_are_measured_apart),
        cmocka_unit_test(the_age_of_a_process_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
