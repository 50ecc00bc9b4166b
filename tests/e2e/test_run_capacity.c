/* test_run_capacity.c -- whole runs where experts drop choices, by position, by probability and at random:
 * the same bits whatever the threads, the recompute policy and an interruption. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "harness/small_run.h"

static const char *const routers[] = {"gshard", "switch", "expert_choice"};
enum { ROUTERS = sizeof routers / sizeof *routers };

static char *reference[ROUTERS];

/* The run's folder, owned. */
static char *train(int router, const char *name, const char *setting, mo_train_options options,
                   mo_status wanted)
{
    char *folder = mo_strprintf("%s-%s", routers[router], name), *dir = run_path(folder);
    char *where = mo_strprintf("run.dir=%s", dir), *which = mo_strprintf("model.router=%s", routers[router]);
    const char *settings[] = {
        where,
        setting,
        which,
        "model.num_experts_per_tok=0",
        "model.capacity_factor=0.8",
        "model.eval_capacity_factor=1.5",
        router == 0 ? "model.capacity_drop=probability" : "model.capacity_drop=position",
        router == 1 ? "model.capacity_scope=microbatch" : "model.capacity_scope=sequence",
        "balance.load=0",
        router == 2 ? "balance.importance=0" : "balance.importance=0.1",
        router == 2 ? "balance.switch=0" : "balance.switch=0.01"};
    MO_CHECK_STATUS(run_train(settings, sizeof settings / sizeof *settings, options, NULL), wanted);
    mo_free(where);
    mo_free(which);
    mo_free(folder);
    return dir;
}

static void check_same(int router, const char *name, const char *setting)
{
    char *dir = train(router, name, setting, (mo_train_options){0}, MO_OK);
    assert_same_run(reference[router], dir);
    mo_free(dir);
}

static void test_threads_and_recompute(void **state)
{
    (void)state;
    for (int r = 0; r < ROUTERS; r++) {
        reference[r] = train(r, "t1", "run.threads=1", (mo_train_options){0}, MO_OK);
        check_same(r, "t2", "run.threads=2");
        check_same(r, "t4", "run.threads=4");
        check_same(r, "block", "train.recompute=block");
        check_same(r, "full", "train.recompute=full");
    }
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
    for (int r = 0; r < ROUTERS; r++) {
        stop_flag = 0;
        mo_free(train(r, "stopped", "run.threads=1", stopping, MO_E_INTERRUPTED));
        char *dir = train(r, "stopped", "run.threads=2", (mo_train_options){.resume = true}, MO_OK);
        assert_same_run(reference[r], dir);
        mo_free(dir);
    }
}

/* A run whose router looks ahead has no samples; the others have. */
static void test_samples(void **state)
{
    (void)state;
    for (int r = 0; r < ROUTERS; r++) {
        char *samples = mo_path_join(reference[r], "samples.txt");
        assert_true(mo_path_exists(samples) == (strcmp(routers[r], "expert_choice") != 0));
        mo_free(samples);
    }
}

static int teardown(void **state)
{
    for (int r = 0; r < ROUTERS; r++) mo_free(reference[r]);
    return run_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_and_recompute),
                                       cmocka_unit_test(test_interrupted), cmocka_unit_test(test_samples)};
    return cmocka_run_group_tests(tests, run_setup, teardown);
}
