/* test_rope.c -- rotary embedding. */
#include <math.h>
#include <string.h>

#include "harness/contract.h"
#include "harness/golden.h"
#include "harness/gradcheck.h"

typedef struct {
    int64_t head_dim;
    double theta;
} rope_arg;

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const rope_arg *a = arg;
    out[0] = mo_rope(g, in[0], in[1], a->head_dim, a->theta);
}

static const rope_arg four = {4, 10000}, two = {2, 10}, odd = {3, 10000}, cold = {4, 0}, eight = {8, 10000};
/* Steps of one, repeats, jumps and a restart. */
static const int32_t jumps[] = {0, 1, 2, 2, 7, 8, 0, 1, 31000};
static const op_case plain = {
    "rope", "3 heads of 4", build, &four,
    .in = {{"x", .dim = {9, 12}, .grad = true}, {"positions", .dtype = MO_I32, .dim = {9}, .ints = jumps}}};
static const op_case single = {
    "rope", "1 head of 2", build, &two,
    .in = {{"x", .dim = {9, 2}, .grad = true}, {"positions", .dtype = MO_I32, .dim = {9}, .ints = jumps}}};
static const op_case large = {
    "rope", "100 tokens", build, &eight,
    .in = {{"x", .dim = {100, 48}, .grad = true}, {"positions", .dtype = MO_I32, .dim = {100}, .high = 3}}};

static void test_gradient(void **state)
{
    (void)state;
    gradcheck(&plain);
    gradcheck(&single);
}

static void test_contract(void **state)
{
    (void)state;
    contract(&plain);
    contract(&large);
    contract_nan(&plain);
}

/* float: two products each, angles in double. */
static void test_golden(void **state)
{
    (void)state;
    golden *file = golden_open("ops_plain");
    golden_check(file, "rope", &plain, 3e-7);
    golden_close(file);
}

/* Angles reached by steps of one are those that cos and sin give: rotate (1, 0) along 5000 positions. */
static void test_angles(void **state)
{
    (void)state;
    enum { N = 5000, HALF = 16 };
    static int32_t positions[N];
    static double ones[N * 2 * HALF];
    rope_arg arg = {2 * HALF, 10000};
    op_case c = {"rope", "5000 positions", build, &arg,
                 .in = {{"x", .dim = {N, 2 * HALF}, .real = ones},
                        {"positions", .dtype = MO_I32, .dim = {N}, .ints = positions}}};
    for (int n = 0; n < N; n++) positions[n] = n + 27000;
    for (int i = 0; i < N * 2 * HALF; i++) ones[i] = i % (2 * HALF) < HALF;
    op_graph t;
    op_graph_open(&t, &c, (op_mode){.readable = true, .forward_only = true});
    op_graph_forward(&t);
    const mo_real *y = t.out[0]->data;
    double worst = 0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < HALF; i++) {
            double angle = positions[n] * pow(arg.theta, -i / (double)HALF);
            worst = fmax(worst, fabs((double)y[n * 2 * HALF + i] - cos(angle)));
            worst = fmax(worst, fabs((double)y[n * 2 * HALF + HALF + i] - sin(angle)));
        }
    /* In double the rounding of the angle itself, up to 32000, is what is left. */
    double allowed = sizeof(mo_real) == sizeof(double) ? 32000 * 0x1p-52 : 0x1p-24;
    if (!(worst <= allowed)) fail_msg("cos or sin is off by %.3g, allowed %.3g", worst, allowed);
    op_graph_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    op_case bad = plain;
    bad.arg = &odd;
    contract_refused(&bad, MO_E_RANGE, "rope: head_dim 3 and theta 10000");
    bad.arg = &cold;
    contract_refused(&bad, MO_E_RANGE, "theta 0");
    bad = plain;
    bad.arg = &eight;
    contract_refused(&bad, MO_E_SHAPE,
                     "rope: x [9, 12] and positions int32 [9] do not fit; expected [N, heads * 8]");
    bad = plain;
    bad.in[1].dim[0] = 8;
    contract_refused(&bad, MO_E_SHAPE, "int32 [8]");
    bad = plain;
    bad.in[1].dtype = MO_REAL;
    contract_refused(&bad, MO_E_SHAPE, "positions [9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradient), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_golden), cmocka_unit_test(test_angles),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
