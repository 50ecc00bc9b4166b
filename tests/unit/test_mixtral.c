/* test_mixtral.c -- a tiny Mixtral of Hugging Face's transformers, computed there in double
 * (tests/golden/make_mixtral.py), against ours: logits, losses, every gradient, five AdamW steps. */
#include "harness/golden_model.h"

#include <math.h>
#include <string.h>

enum { STEPS = 5, MIXTRAL = 1 };
static const double AUX = 0.02;

static golden *file;
static golden_model reference;

static mo_model_graph *train_graph(const mo_model *m, mo_recompute recompute)
{
    return golden_model_graph(
        &reference, m,
        (mo_model_graph_options){.kind = MO_GRAPH_TRAIN,
                                 .balance = {.mixtral = AUX, .scope = MO_SCOPE_MICROBATCH},
                                 .recompute = recompute});
}

static void train_once(mo_model_graph *t, double *cross_entropy, double *aux)
{
    double balance[MO_BALANCE_LOSSES];
    golden_model_train(t, cross_entropy, balance);
    *aux = balance[MIXTRAL];
    assert_string_equal(mo_balance_names[MIXTRAL], "mixtral");
}

/* The whole sequence at once, and in pieces through the key-value cache. */
static void test_logits(void **state)
{
    (void)state;
    mo_model *m = golden_model_load(&reference);
    golden_model_check_logits(&reference, m, (const int64_t[]){16}, 1, 1e-5);
    golden_model_check_logits(&reference, m, (const int64_t[]){7, 1, 1, 5, 2}, 5, 1e-5);
    mo_model_free(m);
}

static void test_routing(void **state)
{
    (void)state;
    mo_model *m = golden_model_load(&reference);
    golden_model_check_ids(&reference, m);
    mo_model_free(m);
}

static void test_gradients(void **state)
{
    (void)state;
    golden_array ce = golden_read(file, "cross_entropy"), aux = golden_read(file, "aux_loss");
    golden_array norm = golden_read(file, "grad_norm");
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        mo_model *m = golden_model_load(&reference);
        mo_model_graph *t = train_graph(m, (mo_recompute)policy);
        double got_ce, got_aux;
        train_once(t, &got_ce, &got_aux);
        MO_CHECK_NEAR(got_ce, ce.real[0], 1e-5);
        MO_CHECK_NEAR(got_aux, aux.real[0], 1e-6);
        golden_model_check_gradients(&reference, m, 1e-4);
        mo_slabs slabs = mo_model_slabs(m);
        MO_CHECK_NEAR(mo_grad_norm(&slabs), norm.real[0], 1e-5 * norm.real[0]);
        mo_model_graph_free(t);
        mo_model_free(m);
    }
    golden_array_free(&ce);
    golden_array_free(&aux);
    golden_array_free(&norm);
}

static void test_adamw_steps(void **state)
{
    (void)state;
    golden_array ce = golden_read(file, "cross_entropy"), norm = golden_read(file, "grad_norm");
    mo_model *m = golden_model_load(&reference), *start = golden_model_load(&reference);
    mo_model_graph *t = train_graph(m, MO_RECOMPUTE_NONE);
    mo_optim_config optim = {.learning_rate = 1e-3,
                             .weight_decay = 0.1,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .epsilon = 1e-8,
                             .max_grad_norm = 1};
    mo_slabs slabs = mo_model_slabs(m);
    double got, aux;
    for (int step = 0; step < STEPS; step++) {
        train_once(t, &got, &aux);
        MO_CHECK_NEAR(got, ce.real[step], 2e-5);
        double grad_norm = mo_grad_norm(&slabs);
        MO_CHECK_NEAR(grad_norm, norm.real[step], 1e-3 * norm.real[step]);
        assert_true(grad_norm > 1); /* clipping is at work */
        mo_adamw_step(&slabs, &optim, optim.learning_rate, grad_norm, step);
    }
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        golden_array update = golden_model_read(&reference, "updates/", p->name);
        double moved = 0;
        for (int64_t j = 0; j < p->count; j++) {
            double before = (double)start->value[p->offset + j];
            MO_CHECK_NEAR((double)m->value[p->offset + j], before + update.real[j], 1e-5);
            moved = fmax(moved, fabs(update.real[j]));
        }
        assert_true(moved > 1e-3); /* the comparison has something to see */
        golden_array_free(&update);
    }
    mo_model_graph_free(t);
    mo_model_free(m);
    mo_model_free(start);
    golden_array_free(&ce);
    golden_array_free(&norm);
}

static int setup(void **state)
{
    (void)state;
    file = golden_open("mixtral_tiny");
    reference = golden_model_open(file, "");
    reference.config.norm_topk_prob = MO_CHOICE_TRUE;
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logits), cmocka_unit_test(test_routing),
                                       cmocka_unit_test(test_gradients), cmocka_unit_test(test_adamw_steps)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
