/* test_run_routers.c -- whole runs under other routers: the same bits with other threads and policies, and
 * when a run is stopped and resumed. */
#include "harness/small_run.h"

#include <signal.h>
#include <string.h>

enum { SETTINGS = 12 };

/* What a router needs beside the config of small_run.c, whose losses are for noisy_topk; NULL ends it. */
static const char *const sigmoid[] = {"model.router=sigmoid",
                                      "model.n_group=2",
                                      "model.topk_group=1",
                                      "model.routed_scaling_factor=2.5",
                                      "model.router_jitter_noise=0.1",
                                      "balance.load=0",
                                      "balance.importance=0",
                                      "balance.sequence=0.01",
                                      "balance.bias_update_rate=0.01",
                                      NULL};
static const char *const hierarchical[] = {
    "model.router=hierarchical",     "model.num_experts_per_tok=4", "model.n_group=2",  "model.topk_group=2",
    "model.router_jitter_noise=0.1", "model.jitter_experts=true",   "balance.z_loss=0", NULL};

static const char *const by_chance[] = {"model.router=random",
                                        "model.num_experts_per_tok=1",
                                        "balance.load=0",
                                        "balance.importance=0",
                                        "balance.switch=0",
                                        "balance.z_loss=0",
                                        NULL};

/* Room for three more. */
static int with(const char **all, const char *const *router)
{
    int n = 0;
    while (router[n]) all[n] = router[n], n++;
    assert_true(n + 3 <= SETTINGS);
    return n;
}

static volatile sig_atomic_t stop_flag;

static void stop_at_seven(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 7) stop_flag = 1;
}

static void check(const char *name, const char *const *router)
{
    const char *all[SETTINGS];
    int n = with(all, router);
    char *first = mo_strprintf("%s/%s-1", run_folder, name),
         *second = mo_strprintf("%s/%s-2", run_folder, name);
    char *here = mo_strprintf("run.dir=%s", first), *there = mo_strprintf("run.dir=%s", second);
    all[n] = here;
    all[n + 1] = "run.threads=1";
    MO_CHECK_OK(run_train(all, n + 2, (mo_train_options){0}, NULL));
    all[n] = there;
    all[n + 1] = "run.threads=2";
    all[n + 2] = "train.recompute=full";
    stop_flag = 0;
    MO_CHECK_STATUS(
        run_train(all, n + 3, (mo_train_options){.events.tick = stop_at_seven, .stop = &stop_flag}, NULL),
        MO_E_INTERRUPTED);
    MO_CHECK_OK(run_train(all, n + 3, (mo_train_options){.resume = true}, NULL));
    assert_same_run(first, second);
    mo_free(first);
    mo_free(second);
    mo_free(here);
    mo_free(there);
}

static void test_sigmoid(void **state)
{
    (void)state;
    check("sigmoid", sigmoid);
}

static void test_hierarchical(void **state)
{
    (void)state;
    check("hierarchical", hierarchical);
}

static void test_random(void **state)
{
    (void)state;
    check("random", by_chance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sigmoid), cmocka_unit_test(test_hierarchical),
                                       cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
