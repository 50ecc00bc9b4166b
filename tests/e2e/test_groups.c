/* test_groups.c -- parameters with rates of their own, in whole runs. */
#include "harness/small_run.h"

#include <string.h>

static const mo_real *values_of(const mo_trained *t, const char *name, int64_t *count)
{
    const mo_param *p = mo_model_find(t->model, name);
    assert_non_null(p);
    *count = p->count;
    return t->model->value + p->offset;
}

/* noisy_topk's router begins at zero. */
static bool router_is_zero(const char *dir)
{
    char *path = mo_path_join(dir, "step-00000012.h5");
    mo_trained t;
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &t));
    bool zero = true;
    static const char *const names[] = {"model.layers.0.block_sparse_moe.gate.weight",
                                        "model.layers.2.block_sparse_moe.gate_noise.weight"};
    for (int i = 0; i < 2; i++) {
        int64_t count;
        const mo_real *w = values_of(&t, names[i], &count);
        for (int64_t j = 0; j < count; j++) zero = zero && w[j] == 0;
    }
    mo_trained_free(&t);
    mo_config_free(&t.config);
    mo_free(path);
    return zero;
}

static void a_group_of_all_that_changes_nothing(void **state)
{
    (void)state;
    char *plain = run_named("plain", NULL), *all = run_named("all", "optimizer.groups=[{match: '*'}]");
    assert_same_run(plain, all);
    assert_false(router_is_zero(plain));
    mo_free(all);
    mo_free(plain);
}

static void a_scale_of_zero_keeps_the_weights(void **state)
{
    (void)state;
    char *dir = run_named("frozen", "optimizer.groups=[{match: router, learning_rate_scale: 0}]");
    assert_true(router_is_zero(dir));
    mo_free(dir);
}

/* Half the rate of everything in a group is half the rate of the optimizer, decay included. */
static void a_scale_is_of_the_learning_rate(void **state)
{
    (void)state;
    char *scaled = run_named("scaled", "optimizer.groups=[{match: '*', learning_rate_scale: 0.5}]");
    char *slow = run_named("slow", "optimizer.learning_rate=1.5e-3");
    assert_same_weights(scaled, slow);
    mo_free(slow);
    mo_free(scaled);
}

static void a_group_of_nothing_is_refused(void **state)
{
    (void)state;
    char *dir = run_path("refused"), *where = mo_strprintf("run.dir=%s", dir);
    const char *settings[] = {where, "optimizer.groups=[{match: norms}, {match: '*.mlp.*'}]"};
    MO_CHECK_STATUS(run_train(settings, 2, (mo_train_options){0}, NULL), MO_E_CONFIG);
    MO_CHECK_MESSAGE("optimizer.groups[1].match: '*.mlp.*' fits no parameter of this model");
    assert_false(mo_path_exists(dir));
    mo_free(where);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_group_of_all_that_changes_nothing),
                                       cmocka_unit_test(a_scale_of_zero_keeps_the_weights),
                                       cmocka_unit_test(a_scale_is_of_the_learning_rate),
                                       cmocka_unit_test(a_group_of_nothing_is_refused)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
