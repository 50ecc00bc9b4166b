/* test_optim.c -- AdamW against PyTorch, the gradient norm, learning-rate schedules. */
#include "moira/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/golden.h"

/* ---- slabs ---- */

typedef struct {
    mo_slabs slabs;
    int64_t count;
} block;

static mo_real *slab(int64_t count, double base)
{
    mo_real *x = malloc((size_t)count * sizeof *x);
    if (!x) fail_msg("out of memory");
    for (int64_t i = 0; i < count; i++) x[i] = (mo_real)(base + (double)(i * 7919 % 1013 - 506) / 1013);
    return x;
}

/* v is positive, as a mean of squares. */
static block block_make(int64_t count, const mo_segment *segments, int n_segments)
{
    return (block){{slab(count, 0), slab(count, 0), slab(count, 0), slab(count, 1), segments, n_segments},
                   count};
}

static void block_free(block *b)
{
    free(b->slabs.value);
    free(b->slabs.grad);
    free(b->slabs.m);
    free(b->slabs.v);
}

/* ---- AdamW ---- */

/* As a model lays them out: gaps between, a tail that no segment has. */
enum { MATRIX = 63, NORM = 13, EXPERT = 20, SLAB = 144, STEPS = 10 };
#define SEGMENT(offset, count, decay)        \
    {                                        \
        offset, count, decay, 1, (double)NAN \
    }
static const mo_segment three[] = {SEGMENT(0, MATRIX, true), SEGMENT(64, NORM, false),
                                   SEGMENT(80, EXPERT, true)};
static const char *const names[] = {"matrix", "norm", "expert"};
static const mo_optim_config adamw = {
    .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-3, .max_grad_norm = 1};

static golden_array read_array(const golden *file, const char *name, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", name, what);
    return golden_read(file, path);
}

static void load(const golden *file, mo_real *to, const char *what, int64_t first)
{
    for (int s = 0; s < 3; s++) {
        golden_array a = read_array(file, names[s], what);
        for (int64_t i = 0; i < three[s].count; i++)
            to[three[s].offset + i] = (mo_real)a.real[first * three[s].count + i];
        golden_array_free(&a);
    }
}

static void compare(const golden *file, const mo_real *got, const char *prefix, const char *what,
                    int64_t first, double tolerance)
{
    for (int s = 0; s < 3; s++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", prefix, names[s]);
        golden_array a = read_array(file, name, what);
        golden_array part = {1, {three[s].count}, three[s].count, a.real + first * three[s].count, NULL};
        golden_compare(what, got + three[s].offset, &part, tolerance);
        golden_array_free(&a);
    }
}

/* Ten steps with these segments against those under `prefix`.
 * float: some ten roundings a step of values of the size of the largest. */
static void check_ten_steps(const char *prefix, const mo_segment *segments)
{
    double tolerance = sizeof(mo_real) == sizeof(double) ? 1e-14 : 2e-6;
    golden *file = golden_open("optim");
    golden_array rate = golden_read(file, "rate"), norms = golden_read(file, "norm_of_step");
    block b = block_make(SLAB, segments, 3);
    memset(b.slabs.m, 0, SLAB * sizeof(mo_real));
    memset(b.slabs.v, 0, SLAB * sizeof(mo_real));
    load(file, b.slabs.value, "in/value", 0);
    for (int64_t step = 0; step < STEPS; step++) {
        load(file, b.slabs.grad, "in/grad", step);
        double norm = mo_grad_norm(&b.slabs);
        MO_CHECK_NEAR(norm, norms.real[step], 1e-14 * norm);
        mo_adamw_step(&b.slabs, &adamw, rate.real[step], norm, step);
        compare(file, b.slabs.value, prefix, "out/value", step, tolerance);
    }
    compare(file, b.slabs.m, prefix, "out/m", 0, tolerance);
    compare(file, b.slabs.v, prefix, "out/v", 0, tolerance);
    block_free(&b);
    golden_array_free(&rate);
    golden_array_free(&norms);
    golden_close(file);
}

static void test_adamw(void **state)
{
    (void)state;
    check_ten_steps("", three);
}

/* Rates and decays of their own; the third is frozen in effect, but has moments. */
static void test_grouped(void **state)
{
    (void)state;
    const mo_segment grouped[] = {
        {0, MATRIX, true, 0.25, 0.3}, {64, NORM, false, 2, 0.05}, {80, EXPERT, true, 0, (double)NAN}};
    check_ten_steps("grouped/", grouped);
}

static bool in_segment(int64_t i)
{
    for (int s = 0; s < 3; s++)
        if (i >= three[s].offset && i < three[s].offset + three[s].count) return true;
    return false;
}

/* Gradients are zero afterwards; what is in no segment (padding, frozen parameters) keeps its bits. */
static void test_untouched(void **state)
{
    (void)state;
    block b = block_make(SLAB, three, 3), old = block_make(SLAB, three, 3);
    mo_adamw_step(&b.slabs, &adamw, 1e-3, mo_grad_norm(&b.slabs), 0);
    mo_real *const now[] = {b.slabs.value, b.slabs.grad, b.slabs.m, b.slabs.v}, *const then[] = {
                                                                                    old.slabs.value,
                                                                                    old.slabs.grad,
                                                                                    old.slabs.m, old.slabs.v};
    for (int64_t i = 0; i < SLAB; i++) {
        if (in_segment(i)) assert_true(b.slabs.grad[i] == 0 && b.slabs.value[i] != old.slabs.value[i]);
        for (int k = 0; k < 4; k++)
            if (!in_segment(i)) assert_true(now[k][i] == then[k][i]);
    }
    block_free(&b);
    block_free(&old);
}

/* m of one step from zero: (1 - beta1) clip g, clip = min(1, max / (norm + 1e-6)). */
static mo_real moment(double max_grad_norm, double norm, mo_real g)
{
    const mo_segment one = SEGMENT(0, 1, false);
    mo_real value = 0, grad = g, m = 0, v = 0;
    mo_optim_config config = adamw;
    config.max_grad_norm = max_grad_norm;
    mo_adamw_step(&(mo_slabs){&value, &grad, &m, &v, &one, 1}, &config, 1, norm, 0);
    return m;
}

static void test_clip(void **state)
{
    (void)state;
    const double one_minus = 1 - (double)(mo_real)0.9;
    double exact = sizeof(mo_real) == sizeof(double) ? 1e-15 : 1e-7;
    MO_CHECK_NEAR((double)moment(2, 1, 3), one_minus * 3, exact * 3);    /* below: as it is */
    MO_CHECK_NEAR((double)moment(0, 1e9, 3), one_minus * 3, exact * 3);  /* 0: never */
    MO_CHECK_NEAR((double)moment(2, 8, 3), one_minus * 0.75, 2e-7);      /* a quarter */
    MO_CHECK_NEAR((double)moment(1e-6, 1e-6, 3), one_minus * 1.5, 2e-7); /* PyTorch's 1e-6 */
    MO_CHECK_NEAR((double)moment(1e-6, 0, 0), 0, 0);
}

/* Decay is of the weight before the step, by lr * weight_decay, and hangs on neither gradient nor clipping.
 */
static void test_decay(void **state)
{
    (void)state;
    mo_segment one = SEGMENT(0, 1, true);
    mo_real value = 2, grad = 0, m = 0, v = 0;
    mo_slabs slabs = {&value, &grad, &m, &v, &one, 1};
    mo_adamw_step(&slabs, &adamw, 0.5, 0, 0);
    MO_CHECK_NEAR((double)value, 2 - 0.5 * 0.1 * 2, 1e-6);
    one.rate_scale = 0.5;
    value = 2;
    mo_adamw_step(&slabs, &adamw, 0.5, 0, 0);
    MO_CHECK_NEAR((double)value, 2 - 0.25 * 0.1 * 2, 1e-6);
}

static const mo_segment large[] = {SEGMENT(0, 100000, true), SEGMENT(100000, 1, false),
                                   SEGMENT(100016, 16384, true), SEGMENT(116400, 16385, false)};
enum { LARGE = 140000 };

static void test_threads(void **state)
{
    (void)state;
    int threads = mo_threads();
    block first = {0};
    double norm = 0;
    for (int n = 1; n <= 4; n *= 2) {
        block b = block_make(LARGE, large, 4);
        mo_threads_set(n);
        double now = mo_grad_norm(&b.slabs);
        mo_adamw_step(&b.slabs, &adamw, 1e-3, now, 7);
        mo_threads_set(threads);
        if (n == 1) {
            first = b;
            norm = now;
            continue;
        }
        assert_true(now == norm);
        assert_memory_equal(b.slabs.value, first.slabs.value, LARGE * sizeof(mo_real));
        assert_memory_equal(b.slabs.grad, first.slabs.grad, LARGE * sizeof(mo_real));
        assert_memory_equal(b.slabs.m, first.slabs.m, LARGE * sizeof(mo_real));
        assert_memory_equal(b.slabs.v, first.slabs.v, LARGE * sizeof(mo_real));
        block_free(&b);
    }
    block_free(&first);
}

/* ---- the norm ---- */

static void check_norm(const mo_real *grad, int64_t count)
{
    const mo_segment one = SEGMENT(0, count, true);
    mo_real unused = 0, *g = malloc((size_t)count * sizeof *g);
    assert_non_null(g);
    memcpy(g, grad, (size_t)count * sizeof *g);
    long double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (long double)g[i] * (long double)g[i];
    double want = (double)sqrtl(sum);
    /* A sum of at most 2^14 squares, then of the 2^9 chunks here, halved by the root. */
    double tolerance = (0x1p14 + 0x1p9) * 0x1p-53 / 2 * want;
    MO_CHECK_NEAR(mo_grad_norm(&(mo_slabs){&unused, g, &unused, &unused, &one, 1}), want, tolerance);
    free(g);
}

static void test_norm(void **state)
{
    (void)state;
    enum { MOST = 300 * 16384 + 77 }; /* more chunks than are summed at once */
    mo_real *g = slab(MOST, 0.125);
    check_norm(g, 1);
    check_norm(g, 16384);
    check_norm(g, 16385);
    check_norm(g, MOST);
    g[3] = MO_C(1e25); /* whose square no float holds */
    check_norm(g, 100);
    free(g);
    block b = block_make(LARGE, large, 4);
    double sum = 0;
    for (int s = 0; s < 4; s++) {
        b.slabs.segments = large + s;
        b.slabs.n_segments = 1;
        sum += pow(mo_grad_norm(&b.slabs), 2);
    }
    b.slabs.segments = large;
    b.slabs.n_segments = 4;
    MO_CHECK_NEAR(mo_grad_norm(&b.slabs), sqrt(sum), 1e-12 * sqrt(sum));
    b.slabs.n_segments = 0;
    assert_true(mo_grad_norm(&b.slabs) == 0);
    block_free(&b);
}

/* One bad element anywhere in a segment is seen; one outside is not. */
static void test_norm_not_finite(void **state)
{
    (void)state;
    static const mo_real bad[] = {MO_C(NAN), MO_C(INFINITY), MO_C(-INFINITY)};
    static const int64_t in[] = {0, 50000, 99999, 100000, 100016, 132784}, out[] = {100001, 100015, 139999};
    block b = block_make(LARGE, large, 4);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 6; i++) {
            mo_real old = b.slabs.grad[in[i]];
            b.slabs.grad[in[i]] = bad[k];
            assert_true(!isfinite(mo_grad_norm(&b.slabs)));
            b.slabs.grad[in[i]] = old;
        }
        for (int i = 0; i < 3; i++) b.slabs.grad[out[i]] = bad[k];
        assert_true(isfinite(mo_grad_norm(&b.slabs)) != 0);
    }
    block_free(&b);
}

/* ---- schedules ---- */

static double rate(int kind, int64_t warmup, int64_t step)
{
    mo_schedule_config c = {kind, warmup, 0.1, 0.2};
    return mo_schedule_rate(&c, 2, step, 110);
}

/* Peak 2, 10 steps of warm-up, 110 steps; wsd falls from step 88. */
static void test_schedule_values(void **state)
{
    (void)state;
    static const struct {
        int kind;
        int64_t step;
        double want;
    } values[] = {{MO_SCHEDULE_COSINE, 10, 2},
                  {MO_SCHEDULE_COSINE, 60, 1.1},
                  {MO_SCHEDULE_COSINE, 35, 2 * (0.1 + 0.9 * 0.5 * (1 + M_SQRT1_2))},
                  {MO_SCHEDULE_COSINE, 110, 0.2},
                  {MO_SCHEDULE_COSINE, 5000, 0.2},
                  {MO_SCHEDULE_LINEAR, 10, 2},
                  {MO_SCHEDULE_LINEAR, 60, 1.1},
                  {MO_SCHEDULE_LINEAR, 35, 1.55},
                  {MO_SCHEDULE_LINEAR, 5000, 0.2},
                  {MO_SCHEDULE_WSD, 10, 2},
                  {MO_SCHEDULE_WSD, 88, 2},
                  {MO_SCHEDULE_WSD, 99, 1.1},
                  {MO_SCHEDULE_WSD, 110, 0.2},
                  {MO_SCHEDULE_WSD, 5000, 0.2},
                  {MO_SCHEDULE_CONSTANT, 10, 2},
                  {MO_SCHEDULE_CONSTANT, 109, 2},
                  {MO_SCHEDULE_CONSTANT, 5000, 2}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        MO_CHECK_NEAR(rate(values[i].kind, 10, values[i].step), values[i].want, 1e-12);
    for (int kind = MO_SCHEDULE_COSINE; kind <= MO_SCHEDULE_CONSTANT; kind++) {
        MO_CHECK_NEAR(rate(kind, 10, 0), 0.2, 1e-15);
        MO_CHECK_NEAR(rate(kind, 10, 4), 1, 1e-15);
        MO_CHECK_NEAR(rate(kind, 10, 9), 2, 1e-15);
        MO_CHECK_NEAR(rate(kind, 0, 0), 2, 1e-15); /* no warm-up starts at the peak */
    }
}

/* Warm-up rises by peak / warmup a step, the rest never rises and never falls faster than its steepest
 * slope: no jump where two parts meet. */
static void test_schedule_continuous(void **state)
{
    (void)state;
    static const double steepest[] = {[MO_SCHEDULE_COSINE] = 1.8 * M_PI / 2 / 100,
                                      [MO_SCHEDULE_LINEAR] = 1.8 / 100,
                                      [MO_SCHEDULE_WSD] = 1.8 / 22,
                                      [MO_SCHEDULE_CONSTANT] = 0};
    for (int kind = MO_SCHEDULE_COSINE; kind <= MO_SCHEDULE_CONSTANT; kind++)
        for (int64_t step = 0; step < 130; step++) {
            double change = rate(kind, 10, step + 1) - rate(kind, 10, step);
            if (step < 9)
                MO_CHECK_NEAR(change, 0.2, 1e-12);
            else
                assert_true(change <= 0 && change >= -steepest[kind] * (1 + 1e-9));
        }
}

/* A run that ends within its warm-up, or as it ends; wsd without a fall. */
static void test_schedule_edges(void **state)
{
    (void)state;
    mo_schedule_config c = {MO_SCHEDULE_COSINE, 10, 0.1, 0.2};
    MO_CHECK_NEAR(mo_schedule_rate(&c, 2, 4, 5), 1, 1e-15);
    MO_CHECK_NEAR(mo_schedule_rate(&c, 2, 9, 10), 2, 1e-15);
    MO_CHECK_NEAR(mo_schedule_rate(&c, 2, 10, 10), 2, 1e-15);
    c = (mo_schedule_config){MO_SCHEDULE_WSD, 0, 0.1, 0};
    for (int64_t step = 0; step < 30; step++) assert_true(mo_schedule_rate(&c, 2, step, 20) == 2);
}

/* ---- groups ---- */

static const char *const called[] = {"model.embed_tokens.weight",
                                     "model.layers.0.input_layernorm.weight",
                                     "model.layers.0.self_attn.q_proj.weight",
                                     "model.layers.0.block_sparse_moe.gate.weight",
                                     "model.layers.0.block_sparse_moe.gate_noise.weight",
                                     "model.layers.0.block_sparse_moe.experts.w1.weight",
                                     "model.layers.1.mlp.gate_proj.weight",
                                     "model.norm.weight",
                                     "lm_head.weight"};
enum { CALLED = sizeof called / sizeof *called };

/* Bit i of the result: called[i] is in the group. */
static unsigned members(const char *match)
{
    unsigned found = 0;
    for (int i = 0; i < CALLED; i++) found |= (unsigned)mo_optim_matches(match, called[i]) << i;
    return found;
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(members("embeddings"), 1u << 0 | 1u << 8);
    assert_int_equal(members("norms"), 1u << 1 | 1u << 7);
    assert_int_equal(members("attention"), 1u << 2);
    assert_int_equal(members("router"), 1u << 3 | 1u << 4);
    assert_int_equal(members("experts"), 1u << 5);
    assert_int_equal(members("*"), (1u << CALLED) - 1);
    assert_int_equal(members("*.gate*"), 1u << 3 | 1u << 4 | 1u << 6);
    assert_int_equal(members("model.layers.0.*"), 0x3eu);
    assert_int_equal(members("routers"), 0);
}

static mo_status check_groups(const char *a, const char *b, int group_of_gate)
{
    mo_optim_group groups[] = {{strdup(a), 1, (double)NAN}, {strdup(b), 1, (double)NAN}};
    mo_optim_config config = {.groups = {groups, 2}};
    assert_int_equal(mo_optim_group_of(&config, called[3]), group_of_gate);
    mo_status status = mo_optim_groups_check(&config, called, CALLED);
    free(groups[0].match);
    free(groups[1].match);
    return status;
}

static void test_groups(void **state)
{
    (void)state;
    MO_CHECK_OK(check_groups("router", "*.block_sparse_moe.*", 0));
    MO_CHECK_OK(check_groups("lm_head.*", "*", 1));
    MO_CHECK_OK(check_groups("norms", "experts", -1));
    MO_CHECK_STATUS(check_groups("*", "router", 0), MO_E_CONFIG);
    MO_CHECK_MESSAGE(
        "optimizer.groups[1].match: 'router' fits no parameter that an earlier group has not got "
        "(model.layers.0.block_sparse_moe.gate.weight, for one)");
    MO_CHECK_STATUS(check_groups("norms", "model.layers.0.block_sparse_moe.gat.weight", -1), MO_E_CONFIG);
    MO_CHECK_MESSAGE("optimizer.groups[1].match: 'model.layers.0.block_sparse_moe.gat.weight' fits no "
                     "parameter; did you mean model.layers.0.block_sparse_moe.gate.weight?");
    MO_CHECK_STATUS(check_groups("biases", "norms", -1), MO_E_CONFIG);
    MO_CHECK_MESSAGE("optimizer.groups[0].match: 'biases' fits no parameter of this model; they are called "
                     "model.embed_tokens.weight, model.layers.0.input_layernorm.weight and the like");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adamw),
                                       cmocka_unit_test(test_grouped),
                                       cmocka_unit_test(test_untouched),
                                       cmocka_unit_test(test_clip),
                                       cmocka_unit_test(test_decay),
                                       cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_norm),
                                       cmocka_unit_test(test_norm_not_finite),
                                       cmocka_unit_test(test_schedule_values),
                                       cmocka_unit_test(test_schedule_continuous),
                                       cmocka_unit_test(test_schedule_edges),
                                       cmocka_unit_test(test_words),
                                       cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
