/* test_collapse.c -- the watch over routers that stop to route, with made-up reports. */
#include "harness/harness.h"

#include <math.h>
#include <string.h>

#include "train/collapse.h"

enum { E = 8, LAYERS = 3, WINDOW = 10 };

static const double even[E] = {0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125},
                    lean[E] = {0.125, 0.125, 0.125, 0.2375, 0.125, 0.125, 0.125, 0.0125 + 1e-9},
                    dead[E] = {0.125, 0.125, 0.125, 0.2375 + 2e-9, 0.125, 0.125, 0.125, 0.0125 - 1e-9},
                    none[E] = {1};

/* Three of four layers have experts; a step has enough tokens for any window. */
static mo__collapse_watch open_watch(int router, int64_t K, int64_t window, int64_t batch)
{
    mo_model_config m = {.num_hidden_layers = LAYERS + 1,
                         .first_k_dense_replace = 1,
                         .moe_layer_freq = 1,
                         .num_local_experts = E,
                         .num_experts_per_tok = K,
                         .router = router};
    mo_run_config c = {
        .model = m,
        .train = {.batch_size = batch, .sequence_length = 32, .gradient_accumulation_steps = 1},
        .log = {.collapse_window = window}};
    mo__collapse_watch w;
    MO_CHECK_OK(mo__collapse_open(&c, &m, &w));
    return w;
}

/* A step in which all layers but the last are as they should be. */
static bool step(mo__collapse_watch *w, const double *load, double entropy)
{
    mo_layer_report r[LAYERS];
    for (int l = 0; l < LAYERS; l++)
        r[l] = (mo_layer_report){.layer = l + 1, .load = even, .experts = E, .entropy = 1.5, .top1 = 0.5};
    r[LAYERS - 1].load = load;
    r[LAYERS - 1].entropy = entropy;
    return mo__collapse_step(w, r);
}

static bool window(mo__collapse_watch *w, const double *load, double entropy)
{
    for (int64_t i = 1; i < w->window; i++) assert_false(step(w, load, entropy));
    return step(w, load, entropy);
}

/* What is found in the last layer, as bits; in the others there must be nothing. */
static unsigned found(mo__collapse_watch *w)
{
    unsigned bits = 0;
    for (int l = 0; l < LAYERS; l++)
        for (mo__collapse_kind k = 0; k < MO__COLLAPSES; k++) {
            if (!mo__collapse_found(w, l, k)) continue;
            assert_int_equal(l, LAYERS - 1);
            bits |= 1u << k;
        }
    return bits;
}

enum { LOAD = 1 << MO__COLLAPSE_LOAD, ENTROPY = 1 << MO__COLLAPSE_ENTROPY };

static void an_expert_below_a_tenth(void **state)
{
    (void)state;
    mo__collapse_watch w = open_watch(MO_ROUTER_TOPK, 2, WINDOW, 32);
    assert_int_equal(w.window, WINDOW);
    assert_true(window(&w, lean, 1.5) && found(&w) == 0);
    assert_true(window(&w, dead, 1.5) && found(&w) == LOAD);
    const mo_layer_report *r = &w.layers[LAYERS - 1].mean;
    assert_true(r->layer == LAYERS && r->dead == 1);
    MO_CHECK_NEAR(r->load[3], 0.2375, 1e-8);
    MO_CHECK_NEAR(r->max_vio, 0.9, 1e-7);
    MO_CHECK_NEAR(r->entropy, 1.5, 1e-12);
    MO_CHECK_NEAR(r->top1, 0.5, 1e-12);
    assert_true(window(&w, dead, 1.5) && found(&w) == 0); /* once is enough */
    mo__collapse_close(&w);
}

/* A step without tokens for an expert is nothing; and windows do not run into each other. */
static void the_window_counts(void **state)
{
    (void)state;
    mo__collapse_watch w = open_watch(MO_ROUTER_TOPK, 2, WINDOW, 32);
    for (int i = 1; i <= WINDOW; i++) assert_int_equal(step(&w, i > 8 ? even : none, 1.5), i == WINDOW);
    assert_int_equal(found(&w), 0); /* 2 of 10 steps: 0.2 of the fair share */
    for (int i = 1; i <= WINDOW; i++) assert_int_equal(step(&w, i > 1 ? none : lean, 1.5), i == WINDOW);
    assert_int_equal(found(&w), LOAD);
    mo__collapse_close(&w);
}

static void entropy_near_0_throughout(void **state)
{
    (void)state;
    double limit = 0.02 * log(E);
    mo__collapse_watch w = open_watch(MO_ROUTER_TOPK, 2, WINDOW, 32);
    assert_true(window(&w, even, limit * 1.001) && found(&w) == 0);
    for (int i = 1; i <= WINDOW; i++) step(&w, even, i == 4 ? 1.01 * limit : 0); /* one sound step */
    assert_int_equal(found(&w), 0);
    assert_true(window(&w, even, (double)NAN) && found(&w) == 0);
    assert_true(window(&w, even, limit * 0.999) && found(&w) == ENTROPY);
    assert_true(window(&w, dead, 0) && found(&w) == LOAD);
    assert_true(window(&w, dead, 0) && found(&w) == 0);
    mo__collapse_close(&w);
}

/* One expert per token: being sure is no fault while the experts are balanced. */
static void sure_and_balanced(void **state)
{
    (void)state;
    static const double nearly[E] = {0.24, 0.1, 0.1, 0.1, 0.1, 0.1, 0.13, 0.13},
                        more[E] = {0.26, 0.1, 0.1, 0.1, 0.1, 0.1, 0.12, 0.12};
    mo__collapse_watch w = open_watch(MO_ROUTER_SWITCH, 1, WINDOW, 32);
    assert_true(window(&w, even, 0) && found(&w) == 0);
    assert_true(window(&w, nearly, 0) && found(&w) == 0);
    assert_true(window(&w, more, 0) && found(&w) == ENTROPY);
    mo__collapse_close(&w);
    w = open_watch(MO_ROUTER_SWITCH, 1, WINDOW, 32);
    assert_true(window(&w, none, 0) && found(&w) == (LOAD | ENTROPY));
    mo__collapse_close(&w);
}

/* Every expert gets everything: only the probabilities can fail. */
static void loads_that_are_even_by_construction(void **state)
{
    (void)state;
    static const int routers[] = {MO_ROUTER_SOFT, MO_ROUTER_EXPERT_CHOICE};
    for (int i = 0; i < 2; i++) {
        mo__collapse_watch w = open_watch(routers[i], E, WINDOW, 32);
        assert_true(window(&w, dead, 0) && found(&w) == ENTROPY);
        mo__collapse_close(&w);
    }
}

/* 50 choices for each expert at least: 400 in all, of which a step of 32 tokens makes 64. */
static void small_steps_make_longer_windows(void **state)
{
    (void)state;
    mo__collapse_watch w = open_watch(MO_ROUTER_TOPK, 2, 3, 1);
    assert_int_equal(w.window, 7);
    assert_true(window(&w, dead, 1.5) && found(&w) == LOAD);
    mo__collapse_close(&w);
    w = open_watch(MO_ROUTER_TOPK, 2, 8, 1);
    assert_int_equal(w.window, 8);
    mo__collapse_close(&w);
}

static void nothing_to_watch(void **state)
{
    (void)state;
    mo__collapse_watch w = open_watch(MO_ROUTER_TOPK, 2, 0, 1);
    for (int i = 0; i < 100; i++) assert_false(step(&w, none, 0));
    mo__collapse_close(&w);
    mo_run_config dense = {
        .train = {.batch_size = 1, .sequence_length = 32, .gradient_accumulation_steps = 1},
        .log = {.collapse_window = 1}};
    MO_CHECK_OK(mo__collapse_open(&dense, &dense.model, &w));
    assert_false(mo__collapse_step(&w, NULL));
    mo__collapse_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_expert_below_a_tenth),
                                       cmocka_unit_test(the_window_counts),
                                       cmocka_unit_test(entropy_near_0_throughout),
                                       cmocka_unit_test(sure_and_balanced),
                                       cmocka_unit_test(loads_that_are_even_by_construction),
                                       cmocka_unit_test(small_steps_make_longer_windows),
                                       cmocka_unit_test(nothing_to_watch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
