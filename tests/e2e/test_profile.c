/* test_profile.c -- moira train --profile: the same bits, and times that add up. */
#include "harness/small_run.h"

#include <math.h>
#include <string.h>

typedef struct told {
    int calls;
    mo_profile profile; /* ops gone */
    double ops, flops;
    int backward;
} told;

static void on_profile(const mo_profile *p, void *user)
{
    told *t = user;
    t->calls++;
    t->profile = *p;
    t->profile.ops = NULL;
    for (int i = 0; i < p->n_ops; i++) {
        const mo_bench_op *op = &p->ops[i];
        assert_true(op->calls > 0 && op->seconds >= 0);
        assert_true(i == 0 || op->seconds <= op[-1].seconds);
        t->ops += op->seconds;
        t->flops += op->flops;
        t->backward += op->phase == MO_BACKWARD;
    }
}

static void profiled_runs_have_the_same_bits(void **state)
{
    (void)state;
    told t = {0};
    char *plain = run_named("plain", NULL), *dir = run_path("profiled"),
         *where = mo_strprintf("run.dir=%s", dir);
    mo_train_options options = {.events = {.profile = on_profile, .user = &t}};
    mo_step_report last;
    MO_CHECK_OK(run_train((const char *[]){where}, 1, options, &last));
    assert_same_run(plain, dir);
    const mo_profile *p = &t.profile;
    assert_true(t.calls == 1 && p->steps == 11 && p->n_ops >= 30 && t.backward >= 12);
    double parts = t.ops + p->optimizer_seconds + p->statistics_seconds + p->waited_seconds;
    assert_true(p->optimizer_seconds > 0 && p->statistics_seconds > 0 && p->waited_seconds >= 0);
    assert_true(parts <= p->step_seconds * (1 + 1e-9) && parts > 0.5 * p->step_seconds);
    assert_true(11 * p->step_seconds < last.seconds && 12 * 100 * p->step_seconds > last.seconds);
    assert_true(p->clock_seconds > 0 && p->clock_seconds < p->step_seconds);
    assert_true(p->peak_gflops > 0 && p->peak_gbytes > 0 && t.flops > 0);
    t = (told){0};
    options.resume = true; /* nothing is left to do */
    MO_CHECK_OK(run_train((const char *[]){where}, 1, options, NULL));
    assert_int_equal(t.calls, 0);
    mo_free(where);
    mo_free(dir);
    mo_free(plain);
}

static volatile sig_atomic_t stop;

static void stop_at_once(int64_t step, double loss, double rate, void *user)
{
    (void)step;
    (void)loss;
    (void)rate;
    (void)user;
    stop = 1;
}

/* One step is better than none. */
static void interrupted_runs_tell_too(void **state)
{
    (void)state;
    told t = {0};
    char *dir = run_path("interrupted"), *where = mo_strprintf("run.dir=%s", dir);
    mo_train_options options = {.stop = &stop,
                                .events = {.profile = on_profile, .tick = stop_at_once, .user = &t}};
    MO_CHECK_STATUS(run_train((const char *[]){where}, 1, options, NULL), MO_E_INTERRUPTED);
    MO_CHECK_MESSAGE("interrupted after step 1;");
    assert_true(t.calls == 1 && t.profile.steps == 1 && t.ops > 0);
    assert_true(t.ops <= t.profile.step_seconds);
    mo_free(where);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(profiled_runs_have_the_same_bits),
                                       cmocka_unit_test(interrupted_runs_tell_too)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
