/* test_generate.c -- texts side by side: each is the text that it would be alone. */
#include <stdlib.h>
#include <string.h>

#include "harness/small_model.h"
#include "moira/train.h"

enum { PROMPTS = 23, MOST = 24, ROOM = PROMPTS * MOST, END = 5 };

static const mo_model_config small = {.vocab_size = 41,
                                      .hidden_size = 16,
                                      .intermediate_size = 24,
                                      .num_hidden_layers = 2,
                                      .num_attention_heads = 4,
                                      .num_key_value_heads = 2,
                                      .max_position_embeddings = 64,
                                      .num_local_experts = 4,
                                      .num_experts_per_tok = 2,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.5};

typedef struct texts {
    int32_t ids[PROMPTS][MOST];
    int64_t count[PROMPTS], ended[PROMPTS], stop_after, emitted;
    int64_t most_open, open; /* texts that have begun and not ended */
} texts;

static int32_t prompt_ids[PROMPTS][70];
static mo_prompt prompts[PROMPTS];

/* From one token to more than the context holds. */
static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < PROMPTS; i++) {
        prompts[i] = (mo_prompt){prompt_ids[i], i == 7 ? 70 : 1 + i * 11 % 37};
        for (int j = 0; j < 70; j++) prompt_ids[i][j] = (i * 7 + j * j) % 41;
    }
    return mo_blas_init() == MO_OK ? 0 : -1;
}

static mo_emitted collect(int64_t prompt, int32_t id, void *user)
{
    texts *t = user;
    assert_in_range(prompt, 0, PROMPTS - 1);
    assert_int_equal(t->ended[prompt], 0);
    if (t->count[prompt] == 0) t->open++;
    if (t->open > t->most_open) t->most_open = t->open;
    t->ids[prompt][t->count[prompt]++] = id;
    if (++t->emitted == t->stop_after) return MO_EMITTED_STOP;
    return id == END ? MO_EMITTED_END : MO_EMITTED_GO_ON;
}

static void end(int64_t prompt, void *user)
{
    texts *t = user;
    t->ended[prompt]++;
    t->open--;
}

static void generate(const mo_model *m, int64_t first, int64_t count, int64_t slots, mo_sampling sampling,
                     texts *t)
{
    mo_generate_batch_options options = {.prompts = prompts + first,
                                         .n_prompts = count,
                                         .slots = slots,
                                         .max_tokens = MOST,
                                         .sampling = sampling,
                                         .emit = collect,
                                         .end = end,
                                         .user = t};
    MO_CHECK_OK(mo_generate_batch(m, &options));
}

/* Slots of any number, and any number of threads: the bits of logits may not differ, for many texts hang on
 * draws. */
static void check_model(mo_model_config config)
{
    mo_model *m = small_model_make(config);
    static texts one, many;
    int before = mo_threads();
    for (int greedy = 0; greedy < 2; greedy++) {
        mo_sampling sampling = {.temperature = greedy ? 0 : 1, .top_k = 30, .top_p = 0.98, .seed = 11};
        memset(&one, 0, sizeof one);
        generate(m, 0, PROMPTS, 1, sampling, &one);
        assert_int_equal(one.most_open, 1);
        int64_t shorter = 0;
        for (int i = 0; i < PROMPTS; i++) {
            assert_int_equal(one.ended[i], 1);
            shorter += one.count[i] < MOST;
        }
        if (!greedy) assert_in_range(shorter, 3, PROMPTS - 3);
        for (int64_t slots = 0; slots <= 6; slots += 3) {
            memset(&many, 0, sizeof many);
            mo_threads_set(1 + (int)slots % 3);
            generate(m, 0, PROMPTS, slots, sampling, &many);
            assert_int_equal(many.most_open, slots ? slots : MO_GENERATE_MOST);
            assert_memory_equal(one.count, many.count, sizeof one.count);
            assert_memory_equal(one.ids, many.ids, sizeof one.ids);
        }
    }
    mo_threads_set(before);
    mo_model_free(m);
}

static void test_side_by_side(void **state)
{
    (void)state;
    check_model(small);
    mo_model_config c = small;
    c.num_local_experts = 0;
    c.sliding_window = 9;
    check_model(c);
    c = small;
    c.router = MO_ROUTER_SIGMOID;
    c.n_shared_experts = 1;
    c.qk_norm = MO_QK_NORM_HEAD;
    check_model(c);
    c = small;
    c.router = MO_ROUTER_HASH;
    c.num_experts_per_tok = 0;
    c.norm_topk_prob = MO_CHOICE_DEFAULT;
    check_model(c);
    c.router = MO_ROUTER_SOFT;
    check_model(c);
}

static bool collect_one(int32_t id, void *user)
{
    texts *t = user;
    return collect(0, id, t) == MO_EMITTED_GO_ON;
}

/* A single prompt is the first of several; without draws any prompt is. */
static void test_single(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    static texts many, one;
    for (int greedy = 0; greedy < 2; greedy++) {
        mo_sampling sampling = {.temperature = greedy ? 0 : 1, .top_p = 1, .seed = 4};
        memset(&many, 0, sizeof many);
        generate(m, 0, PROMPTS, 16, sampling, &many);
        for (int i = 0; i < (greedy ? PROMPTS : 1); i++) {
            memset(&one, 0, sizeof one);
            MO_CHECK_OK(mo_generate(m, &(mo_generate_options){.prompt = prompts[i].ids,
                                                              .prompt_count = prompts[i].count,
                                                              .max_tokens = MOST,
                                                              .temperature = sampling.temperature,
                                                              .top_p = 1,
                                                              .seed = 4,
                                                              .emit = collect_one,
                                                              .user = &one}));
            assert_int_equal(one.count[0], many.count[i]);
            assert_memory_equal(one.ids[0], many.ids[i], sizeof one.ids[0]);
        }
    }
    /* Draws of different texts are not the same ones. */
    mo_prompt same[2] = {prompts[3], prompts[3]};
    memset(&many, 0, sizeof many);
    MO_CHECK_OK(mo_generate_batch(m, &(mo_generate_batch_options){.prompts = same,
                                                                  .n_prompts = 2,
                                                                  .max_tokens = MOST,
                                                                  .sampling = {1, 0, 1, 4},
                                                                  .emit = collect,
                                                                  .user = &many}));
    assert_memory_not_equal(many.ids[0], many.ids[1], sizeof many.ids[0]);
    mo_model_free(m);
}

static void test_stop(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    static texts t;
    for (int64_t after = 1; after < 60; after += 13) {
        memset(&t, 0, sizeof t);
        t.stop_after = after;
        generate(m, 0, PROMPTS, 4, (mo_sampling){1, 0, 1, 2}, &t);
        assert_int_equal(t.emitted, after);
    }
    mo_model_free(m);
}

static void test_refused(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    static texts t;
    mo_prompt bad[2] = {prompts[0], {prompt_ids[1], 0}};
    mo_generate_batch_options o = {
        .prompts = bad, .n_prompts = 2, .sampling = {1, 0, 1, 2}, .emit = collect, .user = &t};
    assert_int_equal(mo_generate_batch(m, &o), MO_E_RANGE);
    bad[1] = (mo_prompt){(int32_t[]){3, 41}, 2};
    assert_int_equal(mo_generate_batch(m, &o), MO_E_RANGE);
    assert_non_null(strstr(mo_last_error(), "id 41"));
    bad[1] = prompts[1];
    o.slots = MO_GENERATE_MOST + 1;
    assert_int_equal(mo_generate_batch(m, &o), MO_E_RANGE);
    o.slots = 0;
    o.sampling.top_p = 0;
    assert_int_equal(mo_generate_batch(m, &o), MO_E_RANGE);
    o.sampling.top_p = 1;
    o.end = end;
    memset(&t, 0, sizeof t);
    MO_CHECK_OK(mo_generate_batch(m, &o)); /* no tokens */
    assert_int_equal(t.emitted, 0);
    assert_int_equal(t.ended[0] + t.ended[1], 2);
    o.n_prompts = 0;
    MO_CHECK_OK(mo_generate_batch(m, &o));
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
