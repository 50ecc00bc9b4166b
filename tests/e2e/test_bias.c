/* test_bias.c -- balancing by the selection bias in whole runs: moved once a step by the whole step's loads,
 * whatever evaluates, accumulates or is killed; and it balances. */
#include "harness/small_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 3, E = 4 };
#define RATE 0.0625

/* The config of small_run.c without its losses. */
static const char *const bias_alone[] = {"model.router=sigmoid", "balance.load=0",
                                         "balance.importance=0", "balance.switch=0",
                                         "balance.z_loss=0",     "balance.bias_update_rate=0.0625"};
enum { ALONE = sizeof bias_alone / sizeof *bias_alone };

/* What the biases are to be, from what the metrics say of each step. */
typedef struct {
    double bias[LAYERS][E], moved;
    double max_vio; /* of layers and steps past 100, the mean */
    int64_t steps;
} follower;

static void follow(const mo_step_report *r, void *user)
{
    follower *f = user;
    f->steps++;
    assert_true(r->n_layers <= LAYERS);
    for (int l = 0; l < r->n_layers; l++) {
        double signs = 0, sign[E];
        for (int e = 0; e < E; e++) {
            double below = 1.0 / E - r->layers[l].load[e];
            signs += sign[e] = (below > 1e-9) - (below < -1e-9);
        }
        for (int e = 0; e < E; e++) f->bias[l][e] += RATE * (sign[e] - signs / E);
        f->moved += fabs(signs);
        if (r->step > 100) f->max_vio += r->layers[l].max_vio / (r->n_layers * 20);
    }
}

/* Trains in <run_folder>/<name> and returns the folder, owned. */
static char *train(const char *name, const char *const *more, int n, follower *f)
{
    const char *settings[ALONE + 8];
    char *dir = run_path(name), *where = mo_strprintf("run.dir=%s", dir);
    memcpy(settings, bias_alone, sizeof bias_alone);
    settings[ALONE] = where;
    for (int i = 0; i < n; i++) settings[ALONE + 1 + i] = more[i];
    mo_train_options options = {0};
    if (f) options.events.step = follow;
    options.events.user = f;
    MO_CHECK_OK(run_train(settings, ALONE + 1 + n, options, NULL));
    mo_free(where);
    return dir;
}

static void count_bias(const char *name, int ndim, const int64_t *dim, void *user)
{
    int *count = user;
    *count += strstr(name, ".e_score_correction_bias") && ndim == 1 && dim[0] == E;
}

/* In the newest checkpoint, among the values and without moments. */
static void check_biases(const char *dir, const double want[LAYERS][E])
{
    char *path = NULL;
    mo_checkpoint *c = NULL;
    mo_trained trained;
    int in_model = 0, in_moments = 0;
    MO_CHECK_OK(mo_run_latest(dir, &path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_OK(mo_checkpoint_list(c, "model", count_bias, &in_model));
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/adamw/v", count_bias, &in_moments));
    assert_int_equal(in_model, LAYERS);
    assert_int_equal(in_moments, 0);
    mo_checkpoint_close(c);
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &trained));
    for (int l = 0; l < LAYERS; l++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.gate.e_score_correction_bias", l);
        const mo_param *p = mo_model_find(trained.model, name);
        assert_non_null(p);
        for (int e = 0; e < E; e++)
            MO_CHECK_NEAR((double)trained.model->value[p->offset + e], want[l][e], 1e-6);
    }
    mo_trained_free(&trained);
    mo_config_free(&trained.config);
    mo_free(path);
}

/* Microbatches and evaluations between the steps move nothing; the loads of the step's report do. */
static void test_once_a_step(void **state)
{
    (void)state;
    static const char *const cuts[] = {"train.gradient_accumulation_steps=4", "train.batch_size=2",
                                       "eval.every=2"};
    follower f = {0};
    char *dir = train("cut", cuts, 3, &f);
    assert_int_equal(f.steps, 12);
    assert_true(f.moved > 0); /* signs that do not cancel: the mean is taken off */
    check_biases(dir, (const double(*)[E])f.bias);
    mo_free(dir);
}

static void test_frozen(void **state)
{
    (void)state;
    static const char *const still[] = {"balance.bias_update_rate=0"};
    static const double zeros[LAYERS][E];
    char *dir = train("frozen", still, 1, NULL);
    check_biases(dir, zeros);
    mo_free(dir);
}

/* A process that was killed in the middle and resumed ends with the bits of one that was not. */
static void test_killed(void **state)
{
    (void)state;
    char *reference = train("whole", NULL, 0, NULL);
    for (int round = 0; round < 2; round++) {
        const char *settings[ALONE + 1];
        char *dir = mo_strprintf("%s/killed%d", run_folder, round), *where = mo_strprintf("run.dir=%s", dir);
        char *until = mo_strprintf("%s/step-%08d.h5", dir, round ? 8 : 4);
        memcpy(settings, bias_alone, sizeof bias_alone);
        settings[ALONE] = where;
        assert_true(run_killed(settings, ALONE + 1, 60, until));
        MO_CHECK_OK(run_train(settings, ALONE + 1, (mo_train_options){.resume = true}, NULL));
        assert_same_run(reference, dir);
        mo_free(until);
        mo_free(where);
        mo_free(dir);
    }
    mo_free(reference);
}

/* Without any loss the bias alone evens the loads out; without the bias they are far from it. */
static void test_balances(void **state)
{
    (void)state;
    static const char *const with_bias[] = {"train.steps=120",
                                            "train.batch_size=16",
                                            "eval.every=1000",
                                            "model.num_hidden_layers=1",
                                            "checkpoint.every=1000",
                                            "train.gradient_accumulation_steps=1",
                                            "balance.bias_update_rate=0.005"};
    enum { COUNT = sizeof with_bias / sizeof *with_bias };
    const char *without_bias[COUNT];
    memcpy(without_bias, with_bias, sizeof with_bias);
    without_bias[COUNT - 1] = "balance.bias_update_rate=0";
    follower with = {0}, without = {0};
    mo_free(train("with", with_bias, COUNT, &with));
    mo_free(train("without", without_bias, COUNT, &without));
    if (!(with.max_vio < 0.2 && without.max_vio > 0.35))
        fail_msg("max_vio is %.3f with the bias, %.3f without", with.max_vio, without.max_vio);
    print_message("max_vio is %.3f with the bias, %.3f without\n", with.max_vio, without.max_vio);
}

int main(int argc, char **argv)
{
    int code = run_as_child(argc, argv);
    if (code >= 0) return code;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_once_a_step), cmocka_unit_test(test_frozen),
                                       cmocka_unit_test(test_killed), cmocka_unit_test(test_balances)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
