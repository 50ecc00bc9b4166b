/* test_match.c -- parameters and FLOPs of a model counted by hand, and widths that make another one equal. */
#include <math.h>

#include "harness/harness.h"
#include "lab/match.h"

/* By hand, of V = 256, D = 64, F = 96, 4 layers, 4 heads of 16 with 2 of keys, 8 experts of which 2 work:
 *     table, head      256 x 64 each              16384, 16384
 *     attention        64x64 2x, 64x32 2x         12288 a layer    49152
 *     norms            2 of 64 a layer, 1 after   576
 *     router           8 x 64 a layer             2048
 *     an expert        3 x 64 x 96                18432; 8: 147456 a layer, 589824; 2: 147456 in all
 * and FLOPs of a token in training, 128 long: 6 for each element of a matrix in use but the table's, and for
 * each of 64 keys (half of 128) and 64 channels of attention 4 forward and 8 backward in each layer. */
enum {
    PLAIN = 16384 + 16384 + 49152 + 576, /* all but router and feed-forward */
    ROUTER = 2048,
    TOTAL = PLAIN + ROUTER + 589824,
    ACTIVE = PLAIN + ROUTER + 147456,
    SCORES = 12 * 4 * 64 * 64,
    FLOPS = 6 * (16384 + 49152 + ROUTER + 147456) + SCORES,
    WIDE = 4 * 3 * 64 /* elements of a width of 1 in the four layers of a dense model */
};

static mo_run_config moe(void)
{
    return (mo_run_config){.model = {.vocab_size = 256,
                                     .hidden_size = 64,
                                     .intermediate_size = 96,
                                     .num_hidden_layers = 4,
                                     .num_attention_heads = 4,
                                     .num_key_value_heads = 2,
                                     .max_position_embeddings = 128,
                                     .num_local_experts = 8,
                                     .num_experts_per_tok = 2,
                                     .router = MO_ROUTER_TOPK,
                                     .norm_topk_prob = MO_CHOICE_TRUE,
                                     .rope_theta = 10000,
                                     .rms_norm_eps = 1e-5,
                                     .initializer_range = 0.02},
                           .train = {.batch_size = 4, .sequence_length = 128}};
}

static mo_run_config dense(void)
{
    mo_run_config c = moe();
    c.model.num_local_experts = c.model.num_experts_per_tok = 0;
    return c;
}

static double count(mo_run_config c, mo_lab_match match)
{
    double n;
    MO_CHECK_OK(mo__match_count(&c, match, &n));
    return n;
}

static void test_counts_by_hand(void **state)
{
    (void)state;
    MO_CHECK_NEAR(count(moe(), MO_MATCH_TOTAL_PARAMS), 674368, 0);
    MO_CHECK_NEAR(count(moe(), MO_MATCH_TOTAL_PARAMS), TOTAL, 0);
    MO_CHECK_NEAR(count(moe(), MO_MATCH_ACTIVE_PARAMS), ACTIVE, 0);
    MO_CHECK_NEAR(count(moe(), MO_MATCH_FLOPS), FLOPS, 1e-6);
    MO_CHECK_NEAR(count(dense(), MO_MATCH_TOTAL_PARAMS), PLAIN + 96 * WIDE, 0);
    MO_CHECK_NEAR(count(dense(), MO_MATCH_ACTIVE_PARAMS), PLAIN + 96 * WIDE, 0);
    MO_CHECK_NEAR(count(dense(), MO_MATCH_FLOPS), 6 * (16384 + 49152 + 96 * WIDE) + SCORES, 1e-6);
}

static mo__matched solve(mo_run_config c, mo_lab_match match, double wanted)
{
    mo__matched m;
    MO_CHECK_OK(mo__match_solve(&c, match, wanted, &m));
    MO_CHECK_NEAR(m.wanted, wanted, 0);
    return m;
}

static void test_dense_widths(void **state)
{
    (void)state;
    mo__matched m = solve(dense(), MO_MATCH_ACTIVE_PARAMS, ACTIVE); /* (147456 + 2048) / 768 = 194.67 */
    assert_string_equal(m.key, "model.intermediate_size");
    assert_int_equal(m.width, 195);
    MO_CHECK_NEAR(m.got, PLAIN + 195 * WIDE, 0);
    m = solve(dense(), MO_MATCH_TOTAL_PARAMS, TOTAL); /* (589824 + 2048) / 768 = 770.67 */
    assert_int_equal(m.width, 771);
    MO_CHECK_NEAR(m.got, PLAIN + 771 * WIDE, 0);
    m = solve(dense(), MO_MATCH_FLOPS, FLOPS);
    assert_int_equal(m.width, 195);
    MO_CHECK_NEAR(m.got, 6 * (16384 + 49152 + 195 * WIDE) + SCORES, 1e-6);
    assert_int_equal(solve(dense(), MO_MATCH_TOTAL_PARAMS, PLAIN + 100 * WIDE).width, 100);
    assert_int_equal(solve(dense(), MO_MATCH_TOTAL_PARAMS, PLAIN + 100 * WIDE + WIDE / 2).width, 100);
    assert_int_equal(solve(dense(), MO_MATCH_TOTAL_PARAMS, PLAIN + 100 * WIDE + WIDE / 2 + 1).width, 101);
    assert_int_equal(solve(dense(), MO_MATCH_TOTAL_PARAMS, PLAIN + 1.0 * WIDE).width, 1);
    assert_int_equal(solve(dense(), MO_MATCH_TOTAL_PARAMS, PLAIN + 16777216.0 * WIDE).width, 16777216);
}

/* Every other key that has a say in the counts, there and back. */
static void test_other_models(void **state)
{
    (void)state;
    mo_run_config c = moe();
    c.model.hidden_act = MO_ACT_GELU; /* two matrices */
    c.model.tie_word_embeddings = true;
    c.model.n_shared_experts = 1;
    c.model.first_k_dense_replace = 1;
    c.model.sliding_window = 32;
    for (int match = MO_MATCH_ACTIVE_PARAMS; match <= MO_MATCH_FLOPS; match++) {
        c.model.intermediate_size = 137;
        double wanted = count(c, (mo_lab_match)match);
        c.model.intermediate_size = 64;
        mo__matched m = solve(c, (mo_lab_match)match, wanted);
        assert_int_equal(m.width, 137);
        MO_CHECK_NEAR(m.got, wanted, 0);
    }
    c.model.moe_intermediate_size = 40; /* experts have a width of their own */
    double wanted = count(c, MO_MATCH_TOTAL_PARAMS);
    c.model.moe_intermediate_size = 8;
    mo__matched m = solve(c, MO_MATCH_TOTAL_PARAMS, wanted);
    assert_string_equal(m.key, "model.moe_intermediate_size");
    assert_int_equal(m.width, 40);
    c = dense();
    c.model.moe_intermediate_size = 40; /* of no experts */
    assert_string_equal(solve(c, MO_MATCH_TOTAL_PARAMS, TOTAL).key, "model.intermediate_size");
}

static void test_no_solution(void **state)
{
    (void)state;
    mo__matched m;
    mo_run_config c = dense();
    MO_CHECK_STATUS(mo__match_solve(&c, MO_MATCH_TOTAL_PARAMS, PLAIN - 1000, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("match total_params: model.intermediate_size 1 gives 83264 parameters in total");
    MO_CHECK_MESSAGE("more than the 81496 that are wanted, and that is the smallest width");
    MO_CHECK_STATUS(mo__match_solve(&c, MO_MATCH_FLOPS, 1e18, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("that is the largest width");
    MO_CHECK_STATUS(mo__match_solve(&c, MO_MATCH_FLOPS, 0, &m), MO_E_RANGE);
    MO_CHECK_STATUS(mo__match_solve(&c, MO_MATCH_FLOPS, (double)NAN, &m), MO_E_RANGE);
    c = moe();
    c.model.num_local_experts = 64; /* a width of 1 is 64 * 768 parameters */
    double least = count(c, MO_MATCH_TOTAL_PARAMS) - 95.0 * 64 * WIDE;
    MO_CHECK_STATUS(mo__match_solve(&c, MO_MATCH_TOTAL_PARAMS, least + 1.5 * 64 * WIDE, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("no other width comes closer");
    c.model.num_attention_heads = 7; /* what the config itself has wrong */
    MO_CHECK_STATUS(mo__match_solve(&c, MO_MATCH_TOTAL_PARAMS, TOTAL, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("num_attention_heads 7");
}

/* ---- measured ---- */

/* A machine: seconds of a step by width. */
typedef struct machine {
    double fixed, slope, noise; /* noise: share of the whole, of both signs */
    int stair;                  /* widths that take as long as the largest of them */
    int calls, fails_at;
} machine;

static mo_status step_seconds(const char *key, int64_t width, double *seconds, void *user)
{
    machine *m = user;
    assert_string_equal(key, "model.intermediate_size");
    if (++m->calls == m->fails_at) return mo_error(MO_E_IO, "the disk is full");
    double w = (double)((width + m->stair - 1) / m->stair * m->stair);
    double u = 2 * mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)m->calls) - 1;
    *seconds = (m->fixed + m->slope * w) * (1 + m->noise * u);
    return MO_OK;
}

static mo__matched measure(machine *of, double wanted)
{
    mo__matched m;
    mo_run_config c = dense();
    MO_CHECK_OK(mo__match_measure(&c, wanted, step_seconds, of, &m));
    assert_int_equal(m.n_measured, of->calls);
    bool kept = false;
    for (int i = 0; i < m.n_measured; i++) {
        assert_true(fabs(m.got - wanted) <= fabs(m.measured[i].seconds - wanted));
        kept = kept || (m.measured[i].width == m.width && fabs(m.measured[i].seconds - m.got) <= 0);
    }
    assert_true(kept);
    return m;
}

static void test_measured(void **state)
{
    (void)state;
    machine line = {.fixed = 0.02, .slope = 1e-4, .stair = 1};
    mo__matched m = measure(&line, 0.08); /* width 600 */
    assert_int_equal(m.width, 600);
    assert_in_range(m.n_measured, 2, 4);
    line.calls = 0;
    assert_int_equal(measure(&line, 0.0296).n_measured, 1); /* as wide as it was */
    mo_run_config narrow = dense();                         /* 4% more is less than one more of 8 */
    narrow.model.intermediate_size = 8;
    line.calls = 0;
    MO_CHECK_OK(mo__match_measure(&narrow, 1.04 * 0.0208, step_seconds, &line, &m));
    assert_true(m.width == 8 && m.n_measured == 1);
    for (int noise = 0; noise < 3; noise++)
        for (int to = 1; to <= 40; to++) {
            machine rough = {.fixed = 0.01, .slope = 1e-4, .noise = 0.01 * noise, .stair = 16};
            double wanted = 0.01 + 1e-4 * 16 * to;
            m = measure(&rough, wanted);
            MO_CHECK_NEAR(m.got / wanted, 1, 0.05);
            assert_in_range(m.width, 1, 2000);
        }
}

static void test_not_to_be_measured(void **state)
{
    (void)state;
    mo__matched m;
    mo_run_config c = dense();
    machine slow = {.fixed = 0.05, .slope = 1e-4, .stair = 1};
    MO_CHECK_STATUS(mo__match_measure(&c, 0.02, step_seconds, &slow, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("0.0501 s at 1");
    MO_CHECK_MESSAGE("the 0.02 s that are wanted");
    assert_in_range(slow.calls, 2, MO__MATCH_MEASUREMENTS);
    machine breaks = {.fixed = 0.05, .slope = 1e-4, .stair = 1, .fails_at = 2};
    MO_CHECK_STATUS(mo__match_measure(&c, 0.2, step_seconds, &breaks, &m), MO_E_IO);
    machine mad = {.fixed = (double)NAN, .stair = 1};
    MO_CHECK_STATUS(mo__match_measure(&c, 0.2, step_seconds, &mad, &m), MO_E_RANGE);
    machine flat = {.fixed = 0.05, .slope = 0, .stair = 1}; /* ends, whatever it is told */
    MO_CHECK_STATUS(mo__match_measure(&c, 0.2, step_seconds, &flat, &m), MO_E_CONFIG);
    assert_int_equal(flat.calls, MO__MATCH_MEASUREMENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_by_hand), cmocka_unit_test(test_dense_widths),
        cmocka_unit_test(test_other_models),   cmocka_unit_test(test_no_solution),
        cmocka_unit_test(test_measured),       cmocka_unit_test(test_not_to_be_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
