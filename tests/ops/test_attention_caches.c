/* test_attention_caches.c -- sequences side by side, each with a cache of its own: the bits of each alone. */
#include "checks.h"

enum { SEQUENCES = 3, MOST = 1, CAPACITY = 320, WIDTH_Q = 12, WIDTH_KV = 6, HEAD = 3 };

static const int64_t lengths[SEQUENCES] = {0, 300, 7};

typedef struct side {
    mo_real k[SEQUENCES][CAPACITY * WIDTH_KV], v[SEQUENCES][CAPACITY * WIDTH_KV],
        o[SEQUENCES * MOST * WIDTH_Q];
    mo_kv_cache caches[SEQUENCES];
} side;

static side together, alone;

static void fill(side *s)
{
    for (uint32_t b = 0; b < SEQUENCES; b++) {
        for (int i = 0; i < CAPACITY * WIDTH_KV; i++) s->k[b][i] = s->v[b][i] = MO_C(NAN);
        op_input_fill(&(op_input){"k", .dim = {lengths[b], WIDTH_KV}}, b, s->k[b]);
        op_input_fill(&(op_input){"v", .dim = {lengths[b], WIDTH_KV}}, 3 + b, s->v[b]);
        s->caches[b] = (mo_kv_cache){s->k[b], s->v[b], CAPACITY, lengths[b]};
    }
}

/* T new tokens of sequences first .. first + B. */
static void run(side *s, int64_t first, int64_t B, int64_t T, int64_t window)
{
    int64_t N = B * T;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *in[3];
    for (int i = 0; i < 3; i++)
        in[i] = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){N, i == 0 ? WIDTH_Q : WIDTH_KV}, false);
    mo_tensor *starts = mo_graph_input(g, "starts", MO_I32, 1, &N, false);
    mo_attention_options options = {
        .sequence_length = T, .head_dim = HEAD, .sliding_window = window, .cache = s->caches + first};
    mo_tensor *out = mo_attention(g, in[0], in[1], in[2], starts, &options);
    mo_graph_output(g, out);
    MO_CHECK_OK(mo_graph_status(g));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = false}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    memset(starts->data, 0, mo_tensor_bytes(starts));
    for (uint32_t i = 0; i < 3; i++) {
        mo_real all[SEQUENCES * MOST * WIDTH_Q];
        int64_t width = in[i]->dim[1];
        op_input_fill(&(op_input){"x", .dim = {SEQUENCES * T, width}, .low = -3, .high = 3}, 10 + i, all);
        memcpy(in[i]->data, all + first * T * width, mo_tensor_bytes(in[i]));
    }
    mo_graph_forward(g, &(mo_run){0});
    memcpy(s->o + first * T * WIDTH_Q, out->data, mo_tensor_bytes(out));
    mo_graph_free(g);
}

static void test_side_by_side(void **state)
{
    (void)state;
    int before = mo_threads();
    MO_CHECK_OK(mo_blas_init());
    for (int64_t T = 1; T <= MOST; T++)
        for (int64_t window = 0; window <= 40; window += 40)
            for (int threads = 1; threads <= 4; threads += 3) {
                mo_threads_set(threads);
                fill(&together);
                fill(&alone);
                run(&together, 0, SEQUENCES, T, window);
                for (int64_t b = 0; b < SEQUENCES; b++) run(&alone, b, 1, T, window);
                size_t size = (size_t)(SEQUENCES * T * WIDTH_Q) * sizeof(mo_real);
                assert_memory_equal(together.o, alone.o, size);
                for (int b = 0; b < SEQUENCES; b++) {
                    int64_t full = (lengths[b] + T) * WIDTH_KV;
                    assert_memory_equal(together.k[b], alone.k[b], (size_t)full * sizeof(mo_real));
                    assert_memory_equal(together.v[b], alone.v[b], (size_t)full * sizeof(mo_real));
                    for (int64_t i = 0; i < full; i++)
                        if (isnan(together.k[b][i]))
                            fail_msg("key %lld of sequence %d is NaN", (long long)i, b);
                    assert_true(isnan(together.k[b][full]));
                }
            }
    mo_threads_set(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_side_by_side)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
