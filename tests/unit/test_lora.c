/* test_lora.c -- adapters on a tiny Mixtral of Hugging Face's transformers, computed there in double
 * (tests/golden/make_lora.py), against ours: logits, choices, every adapter's gradient; and merged. */
#include "harness/golden_model.h"

#include <string.h>

static golden *file;
static golden_model reference;
static const int64_t whole[] = {12}, pieces[] = {5, 1, 1, 4, 1};

static void test_logits(void **state)
{
    (void)state;
    mo_model *m = golden_model_load(&reference);
    golden_model_check_logits(&reference, m, whole, 1, 1e-5);
    golden_model_check_logits(&reference, m, pieces, 5, 1e-5);
    golden_model_check_ids(&reference, m);
    mo_model_free(m);
}

static void test_gradients(void **state)
{
    (void)state;
    golden_array ce = golden_read(file, "cross_entropy"), aux = golden_read(file, "aux_loss");
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        mo_model *m = golden_model_load(&reference);
        mo_model_graph *t = golden_model_graph(
            &reference, m,
            (mo_model_graph_options){.kind = MO_GRAPH_TRAIN,
                                     .balance = {.mixtral = 0.02, .scope = MO_SCOPE_MICROBATCH},
                                     .recompute = (mo_recompute)policy});
        double got, balance[MO_BALANCE_LOSSES];
        golden_model_train(t, &got, balance);
        MO_CHECK_NEAR(got, ce.real[0], 1e-5);
        MO_CHECK_NEAR(balance[MO_BALANCE_MIXTRAL], aux.real[0], 1e-6);
        golden_model_check_gradients(&reference, m, 1e-4);
        mo_model_graph_free(t);
        mo_model_free(m);
    }
    golden_array_free(&ce);
    golden_array_free(&aux);
}

/* The model without adapters, with merged matrices in place of its own. */
static void test_merged(void **state)
{
    (void)state;
    mo_model *m = golden_model_load(&reference);
    golden_model bare = reference;
    bare.tuning = (mo_tuning_config){0};
    mo_model *merged = golden_model_load(&bare);
    int changed = 0;
    for (int i = 0; i < merged->n_params; i++) {
        const mo_param *p = &merged->params[i], *own = mo_model_find(m, p->name);
        int64_t parts = p->ndim == 3 ? p->dim[0] : 1, count = p->count / parts;
        mo_real *w = merged->value + p->offset;
        for (int64_t part = 0; part < parts; part++)
            MO_CHECK_OK(mo_model_merged(m, own, part, w + part * count));
        changed += memcmp(w, m->value + own->offset, (size_t)p->count * sizeof *w) != 0;
    }
    assert_int_equal(changed, 2 * 7);
    golden_model_check_logits(&bare, merged, whole, 1, 1e-5);
    mo_model_free(m);
    mo_model_free(merged);
}

static int setup(void **state)
{
    (void)state;
    file = golden_open("lora_tiny");
    reference = golden_model_open(file, "");
    reference.config.norm_topk_prob = MO_CHOICE_TRUE;
    reference.tuning.lora.rank = (int64_t)golden_model_setting(&reference, "lora_rank");
    reference.tuning.lora.alpha = golden_model_setting(&reference, "lora_alpha");
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logits), cmocka_unit_test(test_gradients),
                                       cmocka_unit_test(test_merged)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
