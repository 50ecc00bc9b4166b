/* test_gate.c -- the weights of a token's experts. */
#include "checks.h"

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_gate(g, in[0], in[1], *(const mo_gate_mode *)arg);
}

static const mo_gate_mode modes[] = {MO_GATE_SELECT, MO_GATE_NORMALISE, MO_GATE_SOFTMAX};
static const char *const names[] = {"select", "normalise", "softmax"};
/* Expert 4 gets nobody, token 2 is padding, choices are in no order of id. */
static const int32_t some[] = {0, 3, 5, 1, -1, -1, 2, 0, 3, 5, 5, 3};
/* The same with choices dropped: first, second, both. */
static const int32_t holes[] = {-1, 3, 5, -1, -1, -1, 2, 0, 3, -1, -1, 3};
static const int32_t every[] = {2, 0, 1};
static const int32_t same[] = {1, 1, 1, 1};

static op_case case_of(int mode)
{
    return (op_case){"gate", names[mode], build, &modes[mode],
                     .in = {{"scores", .dim = {6, 6}, .grad = true, .low = 0.1, .high = 1.1},
                            {"ids", .dtype = MO_I32, .dim = {6, 2}, .ints = some}}};
}

static op_case dropped(int mode)
{
    op_case c = case_of(mode);
    c.name = "holes";
    c.in[1].ints = holes;
    return c;
}

/* Scores that nobody else needs for the backward pass. */
static void build_product(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_gate(g, mo_linear(g, in[0], in[1]), in[2], *(const mo_gate_mode *)arg);
}

static const op_case product = {"gate", "scores of a product", build_product, &modes[MO_GATE_SOFTMAX],
                                .in = {{"x", .dim = {6, 3}, .grad = true},
                                       {"w", MO_ROLE_PARAM, .dim = {6, 3}, .grad = true},
                                       {"ids", .dtype = MO_I32, .dim = {6, 2}, .ints = some}}};

/* N = 1 and K = E. */
static op_case one_token(int mode)
{
    op_case c = case_of(mode);
    c.name = "1 token, all experts";
    c.in[0].dim[0] = 1;
    c.in[0].dim[1] = 3;
    c.in[1] = (op_input){"ids", .dtype = MO_I32, .dim = {1, 3}, .ints = every};
    return c;
}

static void test_gradient(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        op_case c = case_of(mode), one = one_token(mode), gone = dropped(mode);
        gradcheck(&gone);
        gradcheck(&c);
        gradcheck(&one);
    }
    gradcheck(&product);
}

static void test_contract(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        op_case c = case_of(mode), one = one_token(mode), gone = dropped(mode);
        contract(&gone);
        check_dirty_memory(&gone);
        contract(&c);
        contract(&one);
        contract_nan(&c);
    }
}

/* float: an exponential, a sum of 2, a quotient. */
static void test_golden(void **state)
{
    (void)state;
    char group[32];
    for (int mode = 0; mode < 3; mode++) {
        op_case c = case_of(mode);
        snprintf(group, sizeof group, "gate_%s", names[mode]);
        check_moe_golden(group, &c, 1e-6);
    }
}

/* Times a constant: the values and gradients of DeepSeek's routed_scaling_factor. */
static void build_scaled(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_gate_scaled(g, in[0], in[1], *(const mo_gate_mode *)arg, 2.5);
}

static void build_scaled_wrong(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    out[0] = mo_gate_scaled(g, in[0], in[1], MO_GATE_SELECT, *(const double *)arg);
}

static void test_scaled(void **state)
{
    (void)state;
    char group[32];
    for (int mode = 0; mode < 3; mode++) {
        op_case c = dropped(mode);
        c.build = build_scaled;
        gradcheck(&c);
        contract(&c);
        snprintf(group, sizeof group, "gate_%s", names[mode]);
        check_golden("ops_select", group, &c, 1e-6);
    }
    static const double wrong[] = {0, -1, (double)NAN, (double)INFINITY};
    for (int i = 0; i < 4; i++) {
        op_case bad = case_of(0);
        bad.build = build_scaled_wrong;
        bad.arg = &wrong[i];
        contract_refused(&bad, MO_E_RANGE, "gate: routed_scaling_factor is");
    }
}

/* Scores that underflowed to 0 share nothing, and the gradient stays finite. */
static void test_zero_scores(void **state)
{
    (void)state;
    static const double scores[] = {0, 0, 0.5};
    static const int32_t ids[] = {0, 1};
    op_case c = case_of(MO_GATE_NORMALISE);
    c.in[0] = (op_input){"scores", .dim = {1, 3}, .grad = true, .real = scores};
    c.in[1] = (op_input){"ids", .dtype = MO_I32, .dim = {1, 2}, .ints = ids};
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true});
    forward_backward(&t);
    for (int i = 0; i < 2; i++) assert_true(((const mo_real *)t.out[0]->data)[i] == 0);
    for (int i = 0; i < 3; i++) assert_true(isfinite(op_graph_grad(&t, 0)[i]));
    op_graph_close(&t);
}

/* K = 1: the score, or 1; the router learns only through the score. */
static void test_one_choice(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        op_case c = case_of(mode);
        c.in[0].dim[0] = 4;
        c.in[1] = (op_input){"ids", .dtype = MO_I32, .dim = {4, 1}, .ints = same};
        op_graph t;
        op_graph_open(&t, &c, (op_mode){.readable = true});
        forward_backward(&t);
        const mo_real *scores = t.in[0]->data, *w = t.out[0]->data, *r = t.weight[0]->data;
        for (int n = 0; n < 4; n++) {
            assert_true(w[n] == (mode == MO_GATE_SELECT ? scores[n * 6 + 1] : 1));
            for (int e = 0; e < 6; e++)
                assert_true(op_graph_grad(&t, 0)[n * 6 + e] == (mode == MO_GATE_SELECT && e == 1 ? r[n] : 0));
        }
        op_graph_close(&t);
    }
}

/* A hole has weight 0 and the rest are weighed as if it were not there. */
static void test_holes(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        op_case c = dropped(mode);
        op_graph t;
        open_and_run(&t, &c);
        const mo_real *scores = t.in[0]->data, *w = t.out[0]->data;
        for (int i = 0; i < 12; i++) {
            bool alone = holes[i] >= 0 && holes[i ^ 1] < 0;
            if (holes[i] < 0) assert_true(w[i] == 0);
            if (alone) assert_true(w[i] == (mode == MO_GATE_SELECT ? scores[i / 2 * 6 + holes[i]] : 1));
        }
        op_graph_close(&t);
    }
}

/* Scores far out of exp's range and far apart, of any sign. */
static void test_large_scores(void **state)
{
    (void)state;
    static const double scores[] = {-2000, -2001, 5, 3000, 3001, 5, -2000, 2000, 5};
    static const double want[] = {
        0.2689414213699951, 0.7310585786300049, 0.2689414213699951, 0.7310585786300049, 0, 1};
    static const int32_t ids[] = {1, 0, 0, 1, 0, 1};
    op_case c = case_of(MO_GATE_SOFTMAX);
    c.in[0] = (op_input){"scores", .dim = {3, 3}, .real = scores};
    c.in[1] = (op_input){"ids", .dtype = MO_I32, .dim = {3, 2}, .ints = ids};
    op_graph t;
    open_and_run(&t, &c);
    for (int i = 0; i < 6; i++) check_near("w", (double)((const mo_real *)t.out[0]->data)[i], want[i], 1e-7);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = case_of(0);
    bad.in[1].dim[0] = 5;
    contract_refused(&bad, MO_E_SHAPE, "gate: scores [6, 6] and ids int32 [5, 2]");
    bad = case_of(0);
    bad.in[1].dim[1] = 7;
    contract_refused(&bad, MO_E_SHAPE, "ids int32 [6, 7]");
    bad = case_of(0);
    bad.in[1].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "ids [6, 2]");
    bad = case_of(0);
    bad.in[0].dtype = MO_I32;
    contract_refused(&bad, MO_E_SHAPE, "scores int32 [6, 6]");
    static const mo_gate_mode none = (mo_gate_mode)3;
    bad = case_of(0);
    bad.arg = &none;
    contract_refused(&bad, MO_E_RANGE, "gate: 3 is no way to make weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient),   cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden),     cmocka_unit_test(test_one_choice),
                                       cmocka_unit_test(test_holes),      cmocka_unit_test(test_large_scores),
                                       cmocka_unit_test(test_refused),    cmocka_unit_test(test_scaled),
                                       cmocka_unit_test(test_zero_scores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
