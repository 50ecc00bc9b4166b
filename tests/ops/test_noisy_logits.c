/* test_noisy_logits.c -- noisy router logits. */
#include "checks.h"

enum { LAYER = 5 };

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_noisy_logits(g, in[0], in[1], *(const double *)arg, LAYER, &out[1]);
}

static void build_h(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    mo_tensor *sigma;
    out[0] = mo_noisy_logits(g, in[0], in[1], *(const double *)arg, LAYER, &sigma);
}

static const double none = 0, hundredth = 0.01, negative = -0.5;
static const op_case training = {
    "noisy_logits",
    "training",
    build,
    &hundredth,
    .training = true,
    .in = {{"z", .dim = {6, 3}, .grad = true}, {"s", .dim = {6, 3}, .grad = true, .low = -4, .high = 4}}};
static const op_case evaluation = {
    "noisy_logits", "evaluation", build, &none,
    .in = {{"z", .dim = {4, 5}, .grad = true}, {"s", .dim = {4, 5}, .grad = true}}};
/* sigma has no gradient here. */
static const op_case h_alone = {
    "noisy_logits",   "h alone",
    build_h,          &none,
    .training = true, .in = {{"z", .dim = {1, 7}, .grad = true}, {"s", .dim = {1, 7}, .grad = true}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&training);
    gradcheck(&evaluation);
    gradcheck(&h_alone);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&training);
    contract(&evaluation);
    contract(&h_alone);
    contract_nan(&training);
    check_dirty_memory(&training);
}

/* float: eps is rounded once, then one product and one sum; softplus within 2 ulp. */
static void test_golden(void **state)
{
    (void)state;
    check_moe_golden("noisy_logits", &training, 1e-6);
    op_case c = evaluation;
    c.arg = &hundredth;
    check_moe_golden("noisy_logits_evaluation", &c, 1e-6);
}

/* The noise is the documented function of seed, step, layer and token. */
static void test_noise(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &training);
    golden *file = golden_open("ops_moe");
    golden_array noise = golden_read(file, "noise");
    for (int64_t i = 0; i < noise.count; i++)
        check_near("noise", mo_rng_normal(t.run.seed, MO_RNG_NOISE, (uint64_t)t.run.step, LAYER, (uint64_t)i),
                   noise.real[i], 1e-13);
    golden_array_free(&noise);
    golden_close(file);
    op_graph_close(&t);
}

static void test_evaluation_is_exact(void **state)
{
    (void)state;
    op_graph t;
    open_and_run(&t, &evaluation);
    assert_memory_equal(t.out[0]->data, t.in[0]->data, mo_tensor_bytes(t.in[0]));
    op_graph_close(&t);
}

/* A step cut into microbatches draws the noise of the whole step; another layer or step draws other noise. */
static void test_place_of_noise(void **state)
{
    (void)state;
    enum { N = 6, E = 3, CUT = 4 };
    static const double zero[N * E] = {0};
    op_case c = training;
    c.in[0].real = zero;
    c.in[1].real = zero;
    op_graph whole, part;
    open_and_run(&whole, &c);
    const mo_real *h = whole.out[0]->data;
    c.in[0].dim[0] = c.in[1].dim[0] = N - CUT;
    op_graph_open(&part, &c, (op_mode){.readable = true, .forward_only = true});
    part.run.first_token = CUT;
    mo_graph_forward(part.g, &part.run);
    assert_memory_equal(part.out[0]->data, h + CUT * E, (N - CUT) * E * sizeof *h);
    part.run.step++;
    mo_graph_forward(part.g, &part.run);
    for (int i = 0; i < (N - CUT) * E; i++)
        if (((const mo_real *)part.out[0]->data)[i] == h[CUT * E + i])
            fail_msg("step does not change the noise");
    op_graph_close(&part);
    op_graph_close(&whole);
}

/* sigma = log(1 + e^s) over the whole range; underflow to 0, never infinite or NaN. */
static void test_softplus(void **state)
{
    (void)state;
    static const double s[] = {-1000, -80, -30, -10, -1e-3, 0, 1e-3, 10, 30, 80, 1000};
    static const double want[] = {0,
                                  1.8048513878454153e-35,
                                  9.3576229688397371e-14,
                                  4.5398899216864893e-05,
                                  0.69264730555994529,
                                  0.69314718055994531,
                                  0.69364730555994529,
                                  10.000045398899217,
                                  30.000000000000094,
                                  80,
                                  1000};
    op_case c = evaluation;
    c.in[0] = (op_input){"z", .dim = {1, 11}, .real = s};
    c.in[1] = (op_input){"s", .dim = {1, 11}, .real = s};
    op_graph t;
    open_and_run(&t, &c);
    for (int i = 0; i < 11; i++)
        check_near("sigma", (double)((const mo_real *)t.out[1]->data)[i], want[i], 3e-7 * want[i]);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = training;
    bad.in[1].dim[1] = 4;
    contract_refused(&bad, MO_E_SHAPE, "noisy_logits: logits [6, 3] and noise logits [6, 4]");
    bad = training;
    bad.arg = &negative;
    contract_refused(&bad, MO_E_RANGE, "noise_floor is -0.5");
    bad = training;
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "logits int32 [6, 3]");
    bad = training;
    bad.in[1].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "noise logits int32 [6, 3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),       cmocka_unit_test(test_contract),
        cmocka_unit_test(test_golden),         cmocka_unit_test(test_noise),
        cmocka_unit_test(test_place_of_noise), cmocka_unit_test(test_evaluation_is_exact),
        cmocka_unit_test(test_softplus),       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
