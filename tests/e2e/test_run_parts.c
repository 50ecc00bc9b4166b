/* test_run_parts.c -- whole runs of a model with LayerNorm, query-key norm, clipping, shared experts and
 * layers without experts: the same bits whatever the threads, the recompute policy and an interruption; an
 * evaluation tells the MoE layers by their numbers. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "harness/small_run.h"

static char *reference;

/* The run's folder, owned. */
static char *train(const char *name, const char *setting, mo_train_options options, mo_status wanted)
{
    char *dir = run_path(name), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where,
                              setting,
                              "model.norm=layernorm",
                              "model.qk_norm=head",
                              "model.clip_qkv=1.5",
                              "model.n_shared_experts=2",
                              "model.moe_intermediate_size=12",
                              "model.first_k_dense_replace=1",
                              "model.moe_layer_freq=2"};
    MO_CHECK_STATUS(run_train(settings, sizeof settings / sizeof *settings, options, NULL), wanted);
    mo_free(where);
    return dir;
}

static void check_same(const char *name, const char *setting)
{
    char *dir = train(name, setting, (mo_train_options){0}, MO_OK);
    assert_same_run(reference, dir);
    mo_free(dir);
}

static void test_threads_and_recompute(void **state)
{
    (void)state;
    reference = train("t1", "run.threads=1", (mo_train_options){0}, MO_OK);
    check_same("t2", "run.threads=2");
    check_same("t4", "run.threads=4");
    check_same("block", "train.recompute=block");
    check_same("full", "train.recompute=full");
}

/* Of the layers 0, 1, 2 only 2 has experts: one entry a line, with its number. */
static void test_layers(void **state)
{
    (void)state;
    char *metrics = timeless_metrics(reference), *events = timeless_events(reference);
    int lines = 0, layers = 0;
    for (const char *at = metrics; (at = strstr(at, "\"layer\"")); at++) {
        layers++;
        char *end;
        assert_int_equal(strtol(strchr(at, ':') + 1, &end, 10), 2);
    }
    for (const char *at = metrics; (at = strchr(at, '\n')); at++) lines++;
    assert_int_equal(lines, 12);
    assert_int_equal(layers, lines);
    assert_non_null(strstr(events, "routing/layer_2/load"));
    assert_null(strstr(events, "routing/layer_0/"));
    assert_null(strstr(events, "routing/layer_1/"));
    free(metrics);
    free(events);
}

static volatile sig_atomic_t stop_flag;

static void stop_at_seven(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 7) stop_flag = 1;
}

static void test_interrupted(void **state)
{
    (void)state;
    mo_train_options stopping = {.events.tick = stop_at_seven, .stop = &stop_flag};
    mo_free(train("stopped", "run.threads=1", stopping, MO_E_INTERRUPTED));
    char *dir = train("stopped", "run.threads=1", (mo_train_options){.resume = true}, MO_OK);
    assert_same_run(reference, dir);
    mo_free(dir);
}

static int teardown(void **state)
{
    mo_free(reference);
    return run_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_and_recompute),
                                       cmocka_unit_test(test_layers), cmocka_unit_test(test_interrupted)};
    return cmocka_run_group_tests(tests, run_setup, teardown);
}
