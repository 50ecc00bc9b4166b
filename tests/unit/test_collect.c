/* test_collect.c -- what a run folder says of a trial, and results as CSV. */
#include "harness/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/small_lab.h"
#include "lab/collect.h"
#include "lab/run_metrics.h"
#include "moira/config.h"

static char *dir;

static const char yaml[] =
    "run: {name: t, seed: 7}\n"
    "data: {path: none.h5}\n"
    "model: {vocab_size: 50, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 2,\n"
    "        num_attention_heads: 2, num_key_value_heads: 2, num_local_experts: 4,\n"
    "        num_experts_per_tok: 2}\n"
    "train: {steps: 40, batch_size: 3, sequence_length: 20}\n"
    "optimizer: {learning_rate: 3.0e-3}\n";

static int make_dir(void **state)
{
    (void)state;
    dir = temp_make();
    mo_run_config config;
    char *text;
    MO_CHECK_OK(mo_write_file(temp_path(dir, "c.yaml"), yaml, strlen(yaml)));
    MO_CHECK_OK(mo_config_load(temp_path(dir, "c.yaml"), NULL, 0, &config));
    MO_CHECK_OK(mo_config_dump(&config, &text));
    MO_CHECK_OK(mo_make_dirs(temp_path(dir, "run")));
    MO_CHECK_OK(mo_write_file(temp_path(dir, "run/config.yaml"), text, strlen(text)));
    mo_config_free(&config);
    mo_free(text);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    temp_remove(dir);
    return 0;
}

/* Step i takes so long: less and less. Exact in binary. */
static double step_seconds(double i)
{
    return 16 - i / 8;
}

static double seconds_of(int s)
{
    double all = 0;
    for (int i = 1; i <= s; i++) all += step_seconds(i);
    return all;
}

/* A run of so many steps, a line each, evaluations every 10. Step s has the losses 100/s and, at evaluations,
 * 50/s; MaxVio of layer l is s + l. */
static void write_run(int steps)
{
    FILE *f = fopen(temp_path(dir, "run/metrics.jsonl"), "wb");
    assert_non_null(f);
    for (int s = 1; s <= steps; s++) {
        fprintf(f, "{\"version\":1,\"step\":%d,\"train_loss\":%.17g,\"seconds\":%.17g,", s, 100.0 / s,
                seconds_of(s));
        if (s % 10 == 0) fprintf(f, "\"validation_loss\":%.17g,\"bits_per_byte\":1.0,", 50.0 / s);
        fprintf(f, "\"layers\":[");
        for (int l = 0; l < 2; l++)
            fprintf(f,
                    "%s{\"layer\":%d,\"load\":[0.25,0.25,0.25,0.25],\"max_vio\":%d,\"entropy\":%s,"
                    "\"dropped\":0.5}",
                    l ? "," : "", l, s + l, l ? "null" : "1.25");
        fprintf(f, "]}\n");
    }
    assert_int_equal(fclose(f), 0);
}

static mo_lab_trial trial(int64_t target)
{
    return (mo_lab_trial){.id = 3,
                          .dir = mo_path_join(dir, "run"),
                          .seed = 7,
                          .target_step = target,
                          .state = MO_TRIAL_RUNNING,
                          .started = 5};
}

static void forget(mo_lab_trial *t)
{
    mo_free(t->dir);
    mo_free(t->evaluations);
}

static void to_the_end(void **state)
{
    (void)state;
    int64_t live = mo__alloc_live();
    write_run(40);
    mo_lab_trial t = trial(40);
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_int_equal(t.state, MO_TRIAL_DONE);
    assert_int_equal(t.step, 40);
    assert_true(t.loss == 50.0 / 40 && t.seconds == seconds_of(40) && t.started == 5);
    assert_int_equal(t.n_evaluations, 4);
    for (int i = 0; i < 4; i++) {
        const mo_lab_evaluation *e = &t.evaluations[i];
        int s = 10 * (i + 1);
        assert_int_equal(e->step, s);
        assert_int_equal(e->tokens, 60 * s);
        assert_true(e->train_loss == 100.0 / s && e->validation_loss == 50.0 / s);
        assert_true(e->seconds == seconds_of(s));
    }
    /* By hand: 6 N + 6 L T d with N the active matrices. Attention 4 d d = 256 a layer, router 4 d = 32, two
     * experts 2 * 3 * d * 12 = 576: N = 2 * 864 + head 50 d = 2128; L T d = 2 * 20 * 8. */
    MO_CHECK_NEAR(t.evaluations[3].flops, 2400.0 * (6 * 2128 + 6 * 320), 1e-3);
    /* The middle one of steps 9 to 40: of 39 spans between lines the first seven are left out. */
    assert_true(t.step_seconds == step_seconds(24.5));
    /* The last four of forty lines: steps 37 to 40, layers 0 and 1. */
    MO_CHECK_NEAR(t.max_vio, 39, 1e-12);
    assert_true(t.entropy == 1.25 && t.dropped == 0.5);
    MO_CHECK_OK(mo__trial_collect(&t)); /* again: the same, and what it had is freed */
    assert_int_equal(t.n_evaluations, 4);
    forget(&t);
    assert_int_equal(mo__alloc_live(), live);
}

static void first_steps_do_not_count(void **state)
{
    (void)state;
    write_run(6);
    mo_lab_trial t = trial(40);
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_true(t.step_seconds == step_seconds(4.5)); /* of steps 3 to 6 */
    write_run(1);
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_true(isnan(t.step_seconds));
    assert_int_equal(t.step, 1);
    forget(&t);
}

static void on_the_way(void **state)
{
    (void)state;
    write_run(25);
    mo_lab_trial t = trial(40);
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_int_equal(t.state, MO_TRIAL_RUNNING);
    assert_int_equal(t.step, 25);
    assert_int_equal(t.n_evaluations, 2);
    assert_true(isnan(t.loss) && t.seconds == seconds_of(25));
    forget(&t);
    /* At its step, before the evaluation of it. */
    t = trial(25);
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_int_equal(t.state, MO_TRIAL_RUNNING);
    assert_true(isnan(t.loss));
    forget(&t);
    /* A rung: the run goes on past it later. */
    for (int longer = 0; longer < 2; longer++) {
        write_run(longer ? 40 : 20);
        t = trial(20);
        MO_CHECK_OK(mo__trial_collect(&t));
        assert_int_equal(t.state, MO_TRIAL_DONE);
        assert_int_equal(t.step, 20);
        assert_int_equal(t.n_evaluations, 2);
        assert_true(t.loss == 2.5 && t.seconds == seconds_of(20));
        forget(&t);
    }
}

static void not_begun(void **state)
{
    (void)state;
    mo_lab_trial t = trial(40);
    unlink(temp_path(dir, "run/metrics.jsonl"));
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_int_equal(t.step, 0);
    assert_int_equal(t.n_evaluations, 0);
    assert_true(isnan(t.loss) && isnan(t.seconds) && isnan(t.max_vio) && isnan(t.step_seconds));
    mo_free(t.dir);
    t.dir = mo_path_join(dir, "nowhere");
    t.step = 9;
    MO_CHECK_OK(mo__trial_collect(&t));
    assert_int_equal(t.step, 0);
    assert_int_equal(t.state, MO_TRIAL_RUNNING);
    forget(&t);
}

static void another_run(void **state)
{
    (void)state;
    write_run(40);
    mo_lab_trial t = trial(40);
    t.seed = 8;
    MO_CHECK_STATUS(mo__trial_collect(&t), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("the seed 7, and the trial has 8");
    assert_int_equal(t.state, MO_TRIAL_RUNNING);
    assert_null(t.evaluations);
    t.seed = 7;
    MO_CHECK_OK(mo_write_file(temp_path(dir, "run/metrics.jsonl"), "x\n{\"step\":1}\n", 13));
    MO_CHECK_STATUS(mo__trial_collect(&t), MO_E_CORRUPT);
    forget(&t);
}

/* ---- CSV ---- */

static char *read_text(const char *name)
{
    char *text;
    size_t size;
    MO_CHECK_OK(mo_read_file(temp_path(dir, name), 1 << 20, &text, &size));
    return text;
}

static void expect_text(const char *name, const char *expected)
{
    char *text = read_text(name);
    assert_string_equal(text, expected);
    mo_free(text);
}

static void tables(void **state)
{
    (void)state;
    small_lab lab = small_lab_make("/x", "csv");
    mo_free(lab.variants[1].name);
    lab.variants[1].name = mo_strdup("a \"b\",\nc");
    mo_lab_evaluation e[] = {{10, 4800, 3000000001, 0.1, 2.5, 0.1 + 0.2},
                             {20, 9600, 6000000002, 1.25, (double)NAN, 2}};
    double none = (double)NAN;
    mo_lab_trial trials[] = {{.id = 1,
                              .name = (char[]){"v0001.s1"},
                              .variant = 0,
                              .stage = MO_STAGE_MAIN,
                              .seed = UINT64_MAX,
                              .target_step = 20,
                              .step = 20,
                              .state = MO_TRIAL_DONE,
                              .started = 1500000001,
                              .ended = 1500000001.25,
                              .loss = 2,
                              .seconds = 1.25,
                              .step_seconds = 0.0625,
                              .max_vio = 0.5,
                              .entropy = none,
                              .dropped = 0,
                              .evaluations = e,
                              .n_evaluations = 2},
                             {.id = 2,
                              .name = (char[]){"t"},
                              .variant = 1,
                              .stage = MO_STAGE_TUNE,
                              .seed = 1,
                              .tuned = (char[]){"3e-3"},
                              .rung = 1,
                              .target_step = 9,
                              .state = MO_TRIAL_FAILED,
                              .message = (char[]){"step 3, loss \"nan\""},
                              .started = none,
                              .ended = none,
                              .loss = none,
                              .seconds = none,
                              .step_seconds = none,
                              .max_vio = none,
                              .entropy = none,
                              .dropped = none}};
    mo_lab_results r = {.variants = lab.variants, .n_variants = 2, .trials = trials, .n_trials = 2};
    MO_CHECK_OK(mo_lab_results_csv(&r, temp_path(dir, "a/tables")));
    expect_text(
        "a/tables/variants.csv",
        "variant,config,match,matched_to,wanted,got,steps,tokens_per_step,parameters,active_parameters,"
        "experts,training_flops_per_token,memory_bytes,model.router,model.num_local_experts\n"
        "v0001,/x/base.yaml,none,,,,40,480,5000000000,123456,8,625000,12884901888,sigmoid,\n"
        "\"a \"\"b\"\",\nc\",/x/base.yaml,flops,v0001,625000,625000.01,40,480,1,1,0,625000.01,0,,0\n");
    expect_text("a/tables/trials.csv",
                "trial,variant,stage,seed,tuned,rung,target_step,step,state,validation_loss,seconds,"
                "step_seconds,max_vio,entropy,dropped,started,ended,message,model.router,"
                "model.num_local_experts\n"
                "v0001.s1,v0001,main,18446744073709551615,,0,20,20,done,2,1.25,0.0625,0.5,,0,1500000001,"
                "1500000001.25,,sigmoid,\n"
                "t,\"a \"\"b\"\",\nc\",tune,1,3e-3,1,9,0,failed,,,,,,,,,\"step 3, loss \"\"nan\"\"\",,0\n");
    expect_text("a/tables/evaluations.csv",
                "trial,variant,stage,seed,step,tokens,training_flops,seconds,train_loss,validation_loss\n"
                "v0001.s1,v0001,main,18446744073709551615,10,4800,3000000001,0.1,2.5,0.30000000000000004\n"
                "v0001.s1,v0001,main,18446744073709551615,20,9600,6000000002,1.25,,2\n");
    small_lab_free(&lab);
}

static void tables_and_memory(void **state)
{
    (void)state;
    small_lab lab = small_lab_make("/x", "csv");
    mo_lab_results r = {.variants = lab.variants, .n_variants = 2};
    int64_t failed, live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, mo_lab_results_csv(&r, temp_path(dir, "b")));
    assert_true(failed > 8);
    assert_int_equal(mo__alloc_live(), live);
    mo_lab_results empty = {0};
    MO_CHECK_OK(mo_lab_results_csv(&empty, temp_path(dir, "b")));
    MO_CHECK_STATUS(mo_lab_results_csv(&r, temp_path(dir, "run/config.yaml")), MO_E_EXISTS);
    small_lab_free(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_end),       cmocka_unit_test(first_steps_do_not_count),
        cmocka_unit_test(on_the_way),       cmocka_unit_test(not_begun),
        cmocka_unit_test(another_run),      cmocka_unit_test(tables),
        cmocka_unit_test(tables_and_memory)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
