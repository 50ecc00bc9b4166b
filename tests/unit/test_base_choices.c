/* test_base_choices.c -- choices kept in few bytes, and what is counted against them. */
#include "harness/harness.h"

#include <string.h>

#include "train/base_choices.h"

enum { LAYERS = 2, ROWS = 4, CHOICES = 2 };

/* A graph as far as its choices go. */
typedef struct fake {
    mo_model model;
    mo_model_graph graph;
    mo_layer_routing routing[LAYERS];
    mo_tensor tensors[LAYERS];
} fake;

static void fake_open(fake *f, int64_t experts, int64_t rows, int32_t *ids)
{
    *f = (fake){.model.config.num_local_experts = experts};
    f->graph = (mo_model_graph){.model = &f->model, .routing = f->routing, .n_routing = LAYERS};
    for (int l = 0; l < LAYERS; l++) {
        f->tensors[l].ndim = 2;
        f->tensors[l].dim[0] = rows;
        f->tensors[l].dim[1] = CHOICES;
        f->tensors[l].data = ids + l * rows * CHOICES;
        f->routing[l] = (mo_layer_routing){.layer = l, .ids_NK = &f->tensors[l]};
    }
}

/* Layer 0: unchanged but in order, half, all, and a token that is none. Layer 1: a choice more, one less, two
 * that are none, and a token that is none. `last` is the expert of the highest number. */
static void check_drift(int64_t experts)
{
    const int32_t last = (int32_t)experts - 1, tokens[ROWS] = {5, 6, 7, -1};
    const int32_t before[LAYERS][ROWS][CHOICES] = {{{0, last}, {2, last}, {0, 1}, {0, 1}},
                                                   {{-1, last}, {0, 1}, {-1, -1}, {0, 1}}};
    const int32_t after[LAYERS][ROWS][CHOICES] = {{{last, 0}, {2, 1}, {2, last}, {2, last}},
                                                  {{last, 1}, {1, -1}, {-1, -1}, {2, 3}}};
    int32_t ids[LAYERS * ROWS * CHOICES];
    mo__base_choices b;
    fake f;
    fake_open(&f, experts, ROWS, ids);
    MO_CHECK_OK(mo__base_choices_create(&f.graph, 1, &b));
    mo__base_choices_source(&b, 0);
    memcpy(ids, before, sizeof ids);
    MO_CHECK_OK(mo__base_choices_add(&b, &f.graph, tokens));
    mo__base_choices_recorded(&b);
    memcpy(ids, after, sizeof ids);
    for (int round = 0; round < 2; round++) {
        mo__base_choices_begin(&b);
        mo__base_choices_source(&b, 0);
        MO_CHECK_OK(mo__base_choices_add(&b, &f.graph, tokens));
        mo__base_choices_finish(&b);
        MO_CHECK_NEAR(b.drift[0], (0 + 0.5 + 1) / 3, 1e-15);
        MO_CHECK_NEAR(b.drift[1], (0.5 + 0.5 + 0) / 3, 1e-15);
        MO_CHECK_NEAR(b.mean, 2.5 / 6, 1e-15);
    }
    memcpy(ids, before, sizeof ids);
    mo__base_choices_begin(&b);
    mo__base_choices_source(&b, 0);
    MO_CHECK_OK(mo__base_choices_add(&b, &f.graph, tokens));
    mo__base_choices_finish(&b);
    assert_true(b.mean == 0);
    mo__base_choices_free(&b);
}

/* 255 experts are the most whose ids, with that of no choice, fit a byte; 65535 those of two. */
static void drift_is_of_the_tokens_whatever_an_id_takes(void **state)
{
    (void)state;
    static const struct {
        int64_t experts;
        int bytes;
    } all[] = {{4, 1}, {255, 1}, {256, 2}, {300, 2}, {65535, 2}, {65536, 4}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int32_t ids[LAYERS * ROWS * CHOICES] = {0};
        mo__base_choices b;
        fake f;
        fake_open(&f, all[i].experts, ROWS, ids);
        MO_CHECK_OK(mo__base_choices_create(&f.graph, 1, &b));
        assert_int_equal(b.id_bytes, all[i].bytes);
        mo__base_choices_free(&b);
        check_drift(all[i].experts);
    }
}

static int told;

static void listen(mo_log_level level, const char *message, void *user)
{
    (void)level;
    (void)user;
    told += strstr(message, "is of 2 of the 4 batches") != NULL;
}

/* 16 MiB a batch leave room for one of each of four sources: the first of one that has three, and that of
 * another. */
static void no_more_is_kept_than_there_is_room_for(void **state)
{
    (void)state;
    enum { MANY = 1 << 22 };
    int32_t *ids = mo_calloc(LAYERS * MANY * CHOICES, sizeof *ids), *tokens = mo_calloc(MANY, sizeof *tokens);
    mo__base_choices b;
    fake f;
    fake_open(&f, 8, MANY, ids);
    MO_CHECK_OK(mo__base_choices_create(&f.graph, 4, &b));
    assert_int_equal(b.most, 1);
    mo_log_set(listen, NULL);
    for (int source = 0; source < 2; source++) {
        mo__base_choices_source(&b, source);
        for (int i = 0; i < (source ? 1 : 3); i++) MO_CHECK_OK(mo__base_choices_add(&b, &f.graph, tokens));
    }
    mo__base_choices_recorded(&b);
    mo_log_set(NULL, NULL);
    assert_int_equal(told, 1);
    for (int64_t i = 0; i < LAYERS * MANY * CHOICES; i++) ids[i] = 1;
    mo__base_choices_begin(&b);
    for (int source = 0; source < 2; source++) {
        mo__base_choices_source(&b, source);
        for (int i = 0; i < (source ? 1 : 3); i++) MO_CHECK_OK(mo__base_choices_add(&b, &f.graph, tokens));
    }
    assert_int_equal(b.tokens, 2 * (int64_t)MANY);
    mo__base_choices_finish(&b);
    assert_true(b.mean == 1);
    mo__base_choices_free(&b);
    mo_free(ids);
    mo_free(tokens);
}

/* A dense model routes nothing. */
static void nothing_is_kept_of_a_dense_model(void **state)
{
    (void)state;
    mo_model_graph dense = {.n_routing = 0};
    mo__base_choices b;
    MO_CHECK_OK(mo__base_choices_create(&dense, 3, &b));
    mo__base_choices_source(&b, 2);
    MO_CHECK_OK(mo__base_choices_add(&b, &dense, NULL));
    mo__base_choices_recorded(&b);
    mo__base_choices_begin(&b);
    mo__base_choices_finish(&b);
    assert_true(b.drift == NULL && b.mean == 0);
    mo__base_choices_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(drift_is_of_the_tokens_whatever_an_id_takes),
                                       cmocka_unit_test(no_more_is_kept_than_there_is_room_for),
                                       cmocka_unit_test(nothing_is_kept_of_a_dense_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
