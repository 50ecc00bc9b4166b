/* test_attention_blocks.c -- attention against its equations in double, at sizes around its blocks: any head
 * size, lengths beside multiples of vectors and blocks, windows and documents that end within one. */
#include <math.h>
#include <string.h>

#include "harness/contract.h"

typedef struct {
    int64_t B, T, H, Hkv, d, window;
    int64_t documents[4]; /* where documents begin, -1 ends the list; the same in every sequence */
} shape;

enum { MOST = 1 << 17 };
static int32_t starts[2048];
static double ref_o[MOST], ref_dq[MOST], ref_dk[MOST], ref_dv[MOST];

static void build(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const shape *s = arg;
    mo_attention_options options = {.sequence_length = s->T, .head_dim = s->d, .sliding_window = s->window};
    out[0] = mo_attention(g, in[0], in[1], in[2], in[3], &options);
}

static op_case case_of(const shape *s)
{
    int64_t N = s->B * s->T;
    for (int64_t n = 0; n < N; n++) {
        starts[n] = 0;
        for (const int64_t *first = s->documents; *first >= 0; first++)
            if (*first <= n % s->T) starts[n] = (int32_t)*first;
    }
    return (op_case){"attention", "blocks", build, s,
                     .in = {{"q", .dim = {N, s->H * s->d}, .grad = true, .low = -2, .high = 2},
                            {"k", .dim = {N, s->Hkv * s->d}, .grad = true},
                            {"v", .dim = {N, s->Hkv * s->d}, .grad = true},
                            {"starts", .dtype = MO_I32, .dim = {N}, .ints = starts}}};
}

static double dot(const mo_real *a, const mo_real *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Output and gradients of query n (token) of one head. */
static void reference_query(const op_graph *g, const shape *s, int64_t n, int64_t head)
{
    int64_t t = n % s->T, kv = head / (s->H / s->Hkv), d = s->d, first = starts[n];
    if (s->window > 0 && t - s->window + 1 > first) first = t - s->window + 1;
    int64_t at = (n * s->H + head) * d;
    const mo_real *q = (mo_real *)g->in[0]->data + at, *R = (mo_real *)g->weight[0]->data + at;
    double p[1024], scale = 1 / sqrt((double)d), top = -(double)INFINITY, sum = 0, D = 0;
    for (int64_t key = first; key <= t; key++) {
        int64_t from = ((n - t + key) * s->Hkv + kv) * d;
        p[key] = dot(q, (mo_real *)g->in[1]->data + from, d) * scale;
        top = fmax(top, p[key]);
    }
    for (int64_t key = first; key <= t; key++) sum += exp(p[key] - top);
    for (int64_t key = first; key <= t; key++) {
        const mo_real *v = (mo_real *)g->in[2]->data + ((n - t + key) * s->Hkv + kv) * d;
        p[key] = exp(p[key] - top) / sum;
        for (int64_t c = 0; c < d; c++) ref_o[at + c] += p[key] * (double)v[c];
        D += p[key] * dot(R, v, d);
    }
    for (int64_t key = first; key <= t; key++) {
        int64_t from = ((n - t + key) * s->Hkv + kv) * d;
        const mo_real *k = (mo_real *)g->in[1]->data + from, *v = (mo_real *)g->in[2]->data + from;
        double ds = p[key] * (dot(R, v, d) - D) * scale;
        for (int64_t c = 0; c < d; c++) {
            ref_dq[at + c] += ds * (double)k[c];
            ref_dk[from + c] += ds * (double)q[c];
            ref_dv[from + c] += p[key] * (double)R[c];
        }
    }
}

static void reference(const op_graph *g, const shape *s)
{
    memset(ref_o, 0, sizeof ref_o);
    memset(ref_dq, 0, sizeof ref_dq);
    memset(ref_dk, 0, sizeof ref_dk);
    memset(ref_dv, 0, sizeof ref_dv);
    assert_true(s->B * s->T * s->H * s->d <= MOST && s->T <= 1024 && s->B * s->T <= 2048);
    for (int64_t n = 0; n < s->B * s->T; n++)
        for (int64_t head = 0; head < s->H; head++) reference_query(g, s, n, head);
}

static void near(const shape *s, const char *what, const mo_real *got, const double *want, int64_t count)
{
    /* float: sums of up to some hundred terms of about 1, scores up to 10 */
    double tolerance = sizeof(mo_real) == sizeof(double) ? 1e-13 : 2e-6, largest = 1;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * largest))
            fail_msg("B %d, T %d, heads %d/%d of %d, window %d: %s[%d] is %.9g, expected %.9g", (int)s->B,
                     (int)s->T, (int)s->H, (int)s->Hkv, (int)s->d, (int)s->window, what, (int)i,
                     (double)got[i], want[i]);
}

static void check(const shape *s)
{
    op_graph g;
    op_case c = case_of(s);
    op_graph_open(&g, &c, (op_mode){.readable = true});
    mo_graph_forward(g.g, &g.run);
    mo_graph_backward(g.g, &g.run);
    reference(&g, s);
    int64_t queries = s->B * s->T * s->H * s->d, keys = s->B * s->T * s->Hkv * s->d;
    near(s, "o", g.out[0]->data, ref_o, queries);
    near(s, "dq", g.in[0]->grad, ref_dq, queries);
    near(s, "dk", g.in[1]->grad, ref_dk, keys);
    near(s, "dv", g.in[2]->grad, ref_dv, keys);
    op_graph_close(&g);
}

static void test_head_sizes(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1,  2,  7,  8,  15, 16,  17,  31,  33, 48,
                                    63, 64, 65, 80, 96, 112, 128, 144, 200};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check(&(shape){1, 101, 2, 1, sizes[i], 0, {-1}});
}

static void test_lengths(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1,  2,  7,  8,  9,  15, 16, 17, 23,  24,  25,  31,  32, 33,
                                      47, 48, 49, 63, 65, 95, 96, 97, 143, 144, 145, 191, 193};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check(&(shape){2, lengths[i], 3, 3, 5, 0, {-1}});
}

static void test_windows(void **state)
{
    (void)state;
    static const int64_t windows[] = {1, 2, 15, 16, 17, 40, 48, 95, 96, 97, 150, 260};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        check(&(shape){1, 259, 2, 1, 6, windows[i], {-1}});
        check(&(shape){1, 259, 2, 1, 6, windows[i], {30, 111, 200, -1}});
    }
}

static void test_documents(void **state)
{
    (void)state;
    check(&(shape){2, 200, 4, 2, 33, 0, {1, 50, 97, -1}});
    check(&(shape){2, 200, 4, 2, 8, 0, {96, 144, -1}});
    check(&(shape){1, 300, 2, 2, 8, 0, {3, 290, 299, -1}});
}

/* Padding begins at itself, in the middle of a row: first keys need not rise. */
static void test_first_keys_fall(void **state)
{
    (void)state;
    shape s = {1, 150, 2, 1, 4, 0, {-1}};
    op_graph g;
    op_case c = case_of(&s);
    for (int n = 0; n < 150; n++) starts[n] = n % 7 == 3 ? n : n > 100 ? 60 : 0;
    op_graph_open(&g, &c, (op_mode){.readable = true});
    mo_graph_forward(g.g, &g.run);
    mo_graph_backward(g.g, &g.run);
    reference(&g, &s);
    near(&s, "o", g.out[0]->data, ref_o, 150 * 8);
    near(&s, "dq", g.in[0]->grad, ref_dq, 150 * 8);
    near(&s, "dk", g.in[1]->grad, ref_dk, 150 * 4);
    near(&s, "dv", g.in[2]->grad, ref_dv, 150 * 4);
    op_graph_close(&g);
}

/* Bits for 1, 2 and 4 threads: with four, few key-value heads are shared out in another way. */
static void test_contract(void **state)
{
    (void)state;
    static const shape shapes[] = {
        {1, 203, 4, 1, 33, 0, {-1}}, {1, 300, 2, 2, 20, 70, {-1}}, {2, 150, 6, 1, 16, 0, {10, 60, 149, -1}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        op_case c = case_of(&shapes[i]);
        contract(&c);
    }
}

/* What a token gets does not depend on how many come after it. */
static void test_bits_of_a_shorter_sequence(void **state)
{
    (void)state;
    enum { SHORT = 133, LONG = 250, WIDTH = 40 };
    const shape shorter = {1, SHORT, 2, 1, 20, 0, {-1}}, longer = {1, LONG, 2, 1, 20, 0, {-1}};
    op_graph a, b;
    op_case of_a = case_of(&shorter), of_b = case_of(&longer);
    op_graph_open(&a, &of_a, (op_mode){.readable = true, .forward_only = true});
    op_graph_open(&b, &of_b, (op_mode){.readable = true, .forward_only = true});
    for (int i = 0; i < 3; i++) memcpy(a.in[i]->data, b.in[i]->data, mo_tensor_bytes(a.in[i]));
    mo_graph_forward(a.g, &a.run);
    mo_graph_forward(b.g, &b.run);
    assert_memory_equal(a.out[0]->data, b.out[0]->data, SHORT * WIDTH * sizeof(mo_real));
    op_graph_close(&a);
    op_graph_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_head_sizes),
                                       cmocka_unit_test(test_lengths),
                                       cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_documents),
                                       cmocka_unit_test(test_first_keys_fall),
                                       cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_bits_of_a_shorter_sequence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
