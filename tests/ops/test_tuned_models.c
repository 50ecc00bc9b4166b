/* test_tuned_models.c -- whole models of which only a part trains, with adapters and with frozen parts:
 * gradients against central differences (double), the base's function and bytes, merged matrices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "harness/small_model.h"
#include "ops/dropout.h"

enum { B = 2, T = 6, N = B * T, VOCAB = 11 };

/* A dense layer, and one with routed and shared experts: every kind of matrix is there. */
static const mo_model_config small = {.vocab_size = VOCAB,
                                      .hidden_size = 8,
                                      .intermediate_size = 6,
                                      .moe_intermediate_size = 5,
                                      .num_hidden_layers = 2,
                                      .num_attention_heads = 2,
                                      .num_key_value_heads = 1,
                                      .max_position_embeddings = T,
                                      .num_local_experts = 3,
                                      .num_experts_per_tok = 2,
                                      .n_shared_experts = 1,
                                      .first_k_dense_replace = 1,
                                      .router = MO_ROUTER_TOPK,
                                      .norm_topk_prob = MO_CHOICE_TRUE,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.5};
static const mo_balance_config losses = {.mixtral = 0.3, .z_loss = 0.05};

/* ---- tunings ---- */

static mo_tuning_config adapted(int64_t rank, double dropout)
{
    mo_tuning_config tuning = {0};
    tuning.lora.rank = rank;
    tuning.lora.alpha = 3;
    tuning.lora.dropout = dropout;
    return tuning;
}

static mo_text experts_frozen[] = {{(char[]){"experts"}}}, routers_frozen[] = {{(char[]){"router"}}},
               experts_alone[] = {{(char[]){"*"}}, {(char[]){"!experts"}}},
               norms_too[] = {{(char[]){"!norms"}}};

static mo_tuning_config frozen(mo_text *patterns, int64_t count)
{
    mo_tuning_config tuning = {0};
    tuning.freeze.at = patterns;
    tuning.freeze.count = count;
    return tuning;
}

/* Every initial zero is drawn too, so that A has a gradient; the base has the same values in all tunings. */
static mo_model *make(const mo_tuning_config *tuning, bool zeros)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create_tuned(&small, tuning, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 1);
    for (int i = 0; i < m->n_params && !zeros; i++)
        for (int64_t j = 0; m->params[i].init == MO_INIT_ZERO && j < m->params[i].count; j++)
            m->value[m->params[i].offset + j] =
                (mo_real)(0.5 * mo_rng_normal(4, MO_RNG_TEST, 0, (uint32_t)i, (uint64_t)j));
    return m;
}

/* ---- a step ---- */

static const mo_run run = {.seed = 5, .step = 2, .training = true};

static mo_model_graph *open_graph(const mo_model *m, mo_graph_kind kind, mo_recompute recompute)
{
    mo_model_graph *t = small_model_graph(
        m,
        (mo_model_graph_options){
            .kind = kind, .batch_size = B, .sequence_length = T, .balance = losses, .recompute = recompute});
    for (int i = 0; i < N; i++) {
        ((int32_t *)t->tokens->data)[i] =
            (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)i) * VOCAB);
        ((int32_t *)t->targets->data)[i] =
            (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 1, (uint64_t)i) * VOCAB);
        ((int32_t *)t->positions->data)[i] = i % T;
        ((int32_t *)t->starts->data)[i] = 0;
    }
    mo_model_graph_scale(t, N, N);
    return t;
}

/* What the step's gradient is the gradient of. */
static double loss_of(const mo_model_graph *t)
{
    double loss = mo_graph_loss_value(t->graph, t->loss) / N;
    for (int i = 0; i < t->n_terms; i++)
        loss += t->terms[i].coefficient / N * mo_graph_loss_value(t->graph, t->terms[i].loss);
    return loss;
}

static void check_element(mo_model *m, const mo_model_graph *t, const mo_param *p, int64_t j, double largest)
{
    const double h = 1e-6;
    mo_real *w = &m->value[p->offset + j], kept = *w;
    *w = (mo_real)((double)kept + h);
    mo_graph_forward(t->graph, &run);
    double above = loss_of(t);
    *w = (mo_real)((double)kept - h);
    mo_graph_forward(t->graph, &run);
    double numeric = (above - loss_of(t)) / (2 * h), exact = (double)m->grad[p->offset + j];
    *w = kept;
    double error = fabs(exact - numeric) / fmax(fmax(fabs(exact), fabs(numeric)), 0.01 * largest);
    if (!(error <= 1e-5))
        fail_msg("%s[%lld]: gradient %.10g, by differences %.10g", p->name, (long long)j, exact, numeric);
}

static double largest_gradient(const mo_model *m, const mo_param *p)
{
    double largest = 0;
    for (int64_t j = 0; j < p->count; j++) largest = fmax(largest, fabs((double)m->grad[p->offset + j]));
    return largest;
}

/* Every element of everything that trains, which must be `parameters` of the model's and have a gradient. */
static void check_gradients(const mo_tuning_config *tuning, int parameters)
{
    mo_model *m = make(tuning, false);
    mo_model_graph *t = open_graph(m, MO_GRAPH_TRAIN, MO_RECOMPUTE_NONE);
    omp_set_num_threads(1); /* a model this small gains nothing from more */
    mo_graph_train(t->graph, &run);
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (t->params[i]) assert_int_equal(t->params[i]->grad != NULL, mo_param_trains(p));
        if (!mo_param_trains(p)) continue;
        parameters--;
        double largest = largest_gradient(m, p);
        if (!(largest > 1e-5)) fail_msg("%s: no gradient to check", p->name);
        for (int64_t j = 0; j < p->count && sizeof(mo_real) == sizeof(double); j++)
            check_element(m, t, p, j, largest);
    }
    omp_set_num_threads(2);
    assert_int_equal(parameters, 0);
    mo_model_graph_free(t);
    mo_model_free(m);
}

static void test_gradients_of_adapters(void **state)
{
    (void)state;
    mo_tuning_config plain = adapted(2, 0), dropping = adapted(3, 0.25), narrow = adapted(1, 0);
    /* attention 4 of both layers, 3 of the dense block, 3 of the shared, 3 of the routed experts; pairs */
    check_gradients(&plain, 2 * (2 * 4 + 3 + 3 + 3));
    check_gradients(&dropping, 34);
    mo_text targets[] = {{(char[]){"w2"}}, {(char[]){"o_proj"}}};
    narrow.lora.targets.at = targets;
    narrow.lora.targets.count = 2;
    check_gradients(&narrow, 2 * (1 + 2));
    narrow.freeze.at = norms_too;
    narrow.freeze.count = 1;
    check_gradients(&narrow, 6 + 2 * 2 + 1);
}

static void test_gradients_beside_what_is_frozen(void **state)
{
    (void)state;
    mo_tuning_config a = frozen(experts_frozen, 1), b = frozen(routers_frozen, 1),
                     c = frozen(experts_alone, 2);
    /* of 24: embedding, head, last norm; norms 4, attention 8, dense 3, router 1, experts 3 and 3 shared */
    check_gradients(&a, 25 - 6);
    check_gradients(&b, 25 - 1);
    check_gradients(&c, 6);
}

/* ---- the same bits ---- */

static mo_real *gradients_of(const mo_tuning_config *tuning, mo_recompute recompute, int threads)
{
    omp_set_num_threads(threads);
    mo_model *m = make(tuning, false);
    mo_model_graph *t = open_graph(m, MO_GRAPH_TRAIN, recompute);
    mo_graph_train(t->graph, &run);
    size_t size = (size_t)m->trainable * sizeof(mo_real);
    mo_real *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, m->grad, size);
    mo_model_graph_free(t);
    mo_model_free(m);
    omp_set_num_threads(2);
    return copy;
}

static void test_same_bits(void **state)
{
    (void)state;
    mo_tuning_config tunings[] = {adapted(2, 0.25), frozen(experts_frozen, 1), frozen(experts_alone, 2)};
    for (int k = 0; k < 3; k++) {
        mo_model *m = make(&tunings[k], false);
        size_t size = (size_t)m->trainable * sizeof(mo_real);
        mo_real *want = gradients_of(&tunings[k], MO_RECOMPUTE_NONE, 1);
        for (int recompute = MO_RECOMPUTE_NONE; recompute <= MO_RECOMPUTE_FULL; recompute++)
            for (int threads = 1; threads <= 4; threads *= 2) {
                mo_real *got = gradients_of(&tunings[k], (mo_recompute)recompute, threads);
                assert_memory_equal(got, want, size);
                free(got);
            }
        free(want);
        mo_model_free(m);
    }
}

/* ---- what is left out ---- */

/* How often ops of this name ran in layer `layer` during one step. */
static int64_t runs_of(const mo_tuning_config *tuning, const char *op, int layer, mo_phase phase)
{
    mo_model *m = make(tuning, false);
    mo_model_graph *t = open_graph(m, MO_GRAPH_TRAIN, MO_RECOMPUTE_NONE);
    mo_graph_profile(t->graph, true);
    mo_graph_train(t->graph, &run);
    int64_t all = 0;
    for (int i = 0; i < mo_graph_node_count(t->graph); i++) {
        const mo_node *node = mo_graph_node_at(t->graph, i);
        int64_t count;
        mo_graph_node_seconds(t->graph, i, phase, &count);
        if (node->layer == layer && (!op || strcmp(node->op->name, op) == 0)) all += count;
    }
    mo_model_graph_free(t);
    mo_model_free(m);
    return all;
}

static void test_what_is_left_out(void **state)
{
    (void)state;
    mo_text head[] = {{(char[]){"*"}}, {(char[]){"!lm_head.weight"}}},
            last[] = {{(char[]){"*"}}, {(char[]){"!*experts.w1.weight"}}};
    mo_tuning_config a = frozen(head, 2), b = frozen(last, 2), experts = frozen(experts_frozen, 1);
    /* Nothing before the first that trains has a backward pass. */
    assert_int_equal(runs_of(&a, NULL, 0, MO_BACKWARD) + runs_of(&a, NULL, 1, MO_BACKWARD), 0);
    assert_int_equal(runs_of(&a, "cross_entropy", -1, MO_BACKWARD), 1);
    assert_int_equal(runs_of(&b, NULL, 0, MO_BACKWARD), 0);
    assert_int_equal(runs_of(&b, "attention", 1, MO_BACKWARD), 0);
    assert_int_equal(runs_of(&b, "experts", 1, MO_BACKWARD), 3 - 1); /* w3's input needs none */
    /* Inputs of frozen matrices are not made again, here those of three experts' and three shared ones. */
    assert_int_equal(runs_of(NULL, "glu", 1, MO_FORWARD), 2 + 2);
    assert_int_equal(runs_of(&experts, "glu", 1, MO_FORWARD), 2);
    assert_int_equal(runs_of(NULL, "gather", 1, MO_FORWARD), 1 + 1);
    assert_int_equal(runs_of(&experts, "gather", 1, MO_FORWARD), 1);
}

/* Every adapter's input has masks of its own, none of which a block's output has; and none outside training.
 */
static void test_streams_of_masks(void **state)
{
    (void)state;
    mo_tuning_config tuning = adapted(2, 0.25);
    mo_model_config dropping = small;
    dropping.embd_pdrop = dropping.resid_pdrop = 0.1;
    mo_model *m;
    MO_CHECK_OK(mo_model_create_tuned(&dropping, &tuning, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    for (int kind = MO_GRAPH_TRAIN; kind <= MO_GRAPH_LOSS; kind++) {
        mo_model_graph *t = open_graph(m, (mo_graph_kind)kind, MO_RECOMPUTE_NONE);
        int streams[64], n = 0;
        for (int i = 0; i < mo_graph_node_count(t->graph); i++) {
            const mo_node *node = mo_graph_node_at(t->graph, i);
            if (strncmp(node->op->name, "dropout", 7) != 0) continue;
            streams[n] = ((const mo__dropout *)node->attr)->stream;
            for (int j = 0; j < n; j++) assert_int_not_equal(streams[j], streams[n]);
            n++;
        }
        assert_int_equal(n, kind == MO_GRAPH_TRAIN ? 17 + 1 + 4 : 0);
        mo_model_graph_free(t);
    }
    mo_model_free(m);
}

/* ---- the base's function ---- */

static void losses_of(const mo_model *m, double out_N[N])
{
    mo_model_graph *t = open_graph(m, MO_GRAPH_LOSS, MO_RECOMPUTE_NONE);
    mo_graph_forward(t->graph, &(mo_run){.seed = 5});
    memcpy(out_N, t->row_loss->data, N * sizeof *out_N);
    mo_model_graph_free(t);
}

/* Logits of the first sequence, a token at a time with a cache, or all at once. */
static void decode(const mo_model *m, int64_t chunk, mo_real out_TV[T * VOCAB])
{
    mo_kv_cache caches[2];
    mo_real storage[2][2][T * 8] = {{{0}}};
    for (int l = 0; l < 2; l++)
        caches[l] = (mo_kv_cache){.k = storage[l][0], .v = storage[l][1], .capacity = T};
    mo_model_graph *t = small_model_graph(
        m, (mo_model_graph_options){
               .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = chunk, .caches = caches});
    for (int64_t at = 0; at < T; at += chunk) {
        for (int64_t i = 0; i < chunk; i++) {
            ((int32_t *)t->tokens->data)[i] = (int32_t)((at + i) * 3 % VOCAB);
            ((int32_t *)t->positions->data)[i] = (int32_t)(at + i);
            ((int32_t *)t->starts->data)[i] = 0;
        }
        mo_graph_forward(t->graph, &(mo_run){0});
        for (int l = 0; l < 2; l++) caches[l].length += chunk;
        memcpy(out_TV + at * VOCAB, t->logits->data, (size_t)(chunk * VOCAB) * sizeof *out_TV);
    }
    mo_model_graph_free(t);
}

static void test_begins_as_its_base(void **state)
{
    (void)state;
    mo_tuning_config tuning = adapted(2, 0.25);
    mo_model *base = make(NULL, true), *m = make(&tuning, true);
    double want[N], got[N];
    mo_real want_logits[T * VOCAB], got_logits[T * VOCAB];
    losses_of(base, want);
    decode(base, T, want_logits);
    for (int threads = 1; threads <= 4; threads *= 2) {
        omp_set_num_threads(threads);
        losses_of(m, got);
        decode(m, T, got_logits);
        assert_memory_equal(got, want, sizeof want);
        assert_memory_equal(got_logits, want_logits, sizeof want_logits);
    }
    omp_set_num_threads(2);
    mo_model_free(base);
    mo_model_free(m);
}

static double worst(const mo_real *a, const mo_real *b, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d;
    }
    return most;
}

static void test_decodes_with_a_cache(void **state)
{
    (void)state;
    mo_tuning_config tuning = adapted(2, 0.25);
    mo_model *m = make(&tuning, false);
    mo_real whole[T * VOCAB], steps[T * VOCAB];
    decode(m, T, whole);
    decode(m, 1, steps);
    assert_true(worst(whole, steps, T * VOCAB) < (sizeof(mo_real) == sizeof(double) ? 1e-12 : 2e-5));
    mo_model_free(m);
}

static void merge_into(const mo_model *m, mo_model *base)
{
    for (int i = 0; i < base->n_params; i++) {
        mo_param *p = &base->params[i];
        const mo_param *own = mo_model_find(m, p->name);
        int64_t parts = p->ndim == 3 ? p->dim[0] : 1, count = p->count / parts;
        for (int64_t part = 0; part < parts; part++)
            MO_CHECK_OK(mo_model_merged(m, own, part, base->value + p->offset + part * count));
    }
}

static void test_merged(void **state)
{
    (void)state;
    mo_tuning_config tuning = adapted(2, 0.25);
    mo_model *base = make(NULL, true), *m = make(&tuning, false), *untouched = make(NULL, true);
    mo_real a[T * VOCAB], b[T * VOCAB], before[T * VOCAB];
    decode(m, T, a);
    decode(base, T, before);
    merge_into(m, base);
    decode(base, T, b);
    assert_true(worst(a, before, T * VOCAB) > 0.05); /* adapters do something */
    double d = worst(a, b, T * VOCAB);
    if (!(d <= (sizeof(mo_real) == sizeof(double) ? 1e-12 : 1e-5))) fail_msg("merged: %g", d);
    const mo_param *norm = mo_model_find(base, "model.norm.weight"),
                   *w = mo_model_find(base, "lm_head.weight");
    assert_memory_equal(base->value + norm->offset, untouched->value + norm->offset,
                        (size_t)norm->count * sizeof(mo_real));
    assert_memory_equal(base->value + w->offset, untouched->value + w->offset,
                        (size_t)w->count * sizeof(mo_real));
    mo_model_free(base);
    mo_model_free(m);
    mo_model_free(untouched);
}

/* ---- steps of the optimizer ---- */

static const mo_optim_config adamw = {
    .learning_rate = 0.02, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8};

/* No clipping: its norm would be another with less parameters. */
static void train(mo_model *m, int steps)
{
    mo_model_graph *t = open_graph(m, MO_GRAPH_TRAIN, MO_RECOMPUTE_NONE);
    mo_slabs slabs = mo_model_slabs(m);
    for (int s = 0; s < steps; s++) {
        mo_graph_train(t->graph, &(mo_run){.seed = 5, .step = s, .training = true});
        mo_adamw_step(&slabs, &adamw, adamw.learning_rate, mo_grad_norm(&slabs), s);
    }
    mo_model_graph_free(t);
}

static void test_base_stays(void **state)
{
    (void)state;
    mo_tuning_config tunings[] = {adapted(2, 0.25), frozen(experts_frozen, 1), frozen(experts_alone, 2)};
    for (int k = 0; k < 3; k++) {
        mo_model *m = make(&tunings[k], true), *before = make(&tunings[k], true);
        train(m, 4);
        for (int i = 0; i < m->n_params; i++) {
            const mo_param *p = &m->params[i];
            size_t size = (size_t)p->count * sizeof(mo_real);
            bool same = memcmp(m->value + p->offset, before->value + p->offset, size) == 0;
            if (same != p->frozen) fail_msg("%s %s", p->name, same ? "stood still" : "moved");
        }
        mo_model_free(m);
        mo_model_free(before);
    }
}

/* What trains goes the same way, to the bit, as when the rest is held by a learning rate of 0. */
static void test_as_with_rates_of_zero(void **state)
{
    (void)state;
    mo_tuning_config tuning = frozen(experts_frozen, 1);
    mo_optim_group group = {(char[]){"experts"}, 0, (double)NAN};
    mo_optim_config config = adamw;
    config.groups.at = &group;
    config.groups.count = 1;
    mo_model *m = make(&tuning, true), *full = make(NULL, true);
    MO_CHECK_OK(mo_model_group(full, &config));
    train(m, 4);
    train(full, 4);
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i], *q = mo_model_find(full, p->name);
        if (memcmp(m->value + p->offset, full->value + q->offset, (size_t)p->count * sizeof(mo_real)) != 0)
            fail_msg("%s went another way", p->name);
    }
    mo_model_free(m);
    mo_model_free(full);
}

static int setup(void **state)
{
    (void)state;
    return mo_blas_init() == MO_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_adapters),
        cmocka_unit_test(test_gradients_beside_what_is_frozen),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_streams_of_masks),
        cmocka_unit_test(test_begins_as_its_base),
        cmocka_unit_test(test_decodes_with_a_cache),
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_base_stays),
        cmocka_unit_test(test_as_with_rates_of_zero),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
