/* test_model_balance.c -- the balancing losses of whole models: which goes with which router, that each is
 * the same however a step is cut where its scope says so, and the selection bias, which no loss moves. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/small_model.h"

enum { SEQUENCES = 8, T = 12, TOKENS = SEQUENCES * T, VOCAB = 17, E = 8 };

static mo_model_config with_router(const char *name)
{
    mo_model_config c = {.vocab_size = VOCAB,
                         .hidden_size = 16,
                         .intermediate_size = 12,
                         .num_hidden_layers = 2,
                         .num_attention_heads = 4,
                         .num_key_value_heads = 2,
                         .max_position_embeddings = T,
                         .num_local_experts = E,
                         .norm_topk_prob = MO_CHOICE_DEFAULT,
                         .noise_floor = 0.5,
                         .rope_theta = 10000,
                         .rms_norm_eps = 1e-5,
                         .initializer_range = 0.4};
    while (mo_router_names[c.router] && strcmp(mo_router_names[c.router], name) != 0) c.router++;
    if (!mo_router_names[c.router]) fail_msg("no router %s", name);
    if (strcmp(name, "hierarchical") == 0) {
        c.n_group = 4;
        c.topk_group = 2;
        c.num_experts_per_tok = 4;
        c.num_local_experts =
            16; /* 4 in a group, of which 2 are chosen: the load is estimated in both levels */
    }
    if (strcmp(name, "sigmoid") == 0) {
        c.n_group = 4;
        c.topk_group = 2;
    }
    return c;
}

static double *coefficient(mo_balance_config *b, int kind)
{
    return &b->switch_loss + kind;
}

/* ---- which loss goes with which router ---- */

/* A column per loss in the order of mo_balance_kind: y: goes; else why not. */
static const struct {
    const char *router, *losses;
} compatible[] = {{"topk", "yyyyyNy"},          {"noisy_topk", "yyyyyyy"}, {"switch", "yyyyyNy"},
                  {"gshard", "yyyyyNy"},        {"sigmoid", "yyyyyNy"},    {"hierarchical", "yyyyyyL"},
                  {"expert_choice", "CCCCCCy"}, {"soft", "EEEEyEy"},       {"hash", "SSSSSSS"},
                  {"random", "SSSSSSS"}};
enum { PAIRS = sizeof compatible / sizeof *compatible };
_Static_assert((int)PAIRS == (int)MO_ROUTERS, "a line for each router");

static const char *reason(char letter)
{
    switch (letter) {
    case 'N':
        return "the load is estimated from the router's own noise";
    case 'L':
        return "a softmax over groups and one within each group";
    case 'C':
        return "its experts choose their tokens";
    case 'E':
        return "each of its experts gets every token";
    default:
        return "its choice hangs on no scores";
    }
}

static void check_pair(const char *router, int kind, char letter)
{
    char want[128];
    mo_model_config c = with_router(router);
    mo_balance_config b = {0};
    *coefficient(&b, kind) = 0.25;
    mo_status status = mo_model_config_check(&c, &b);
    if (letter == 'y') {
        if (status != MO_OK) fail_msg("%s with %s: %s", mo_balance_names[kind], router, mo_last_error());
        return;
    }
    snprintf(want, sizeof want, "balance.%s 0.25 does not go with model.router %s: ", mo_balance_names[kind],
             router);
    if (status != MO_E_CONFIG) fail_msg("%s with %s is taken", mo_balance_names[kind], router);
    MO_CHECK_MESSAGE(want);
    MO_CHECK_MESSAGE(reason(letter));
}

static void test_compatible(void **state)
{
    (void)state;
    for (int i = 0; i < PAIRS; i++)
        for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++)
            check_pair(compatible[i].router, kind, compatible[i].losses[kind]);
}

/* The rate belongs to routers with a bias; none is a frozen bias. */
static void test_rate(void **state)
{
    (void)state;
    for (int i = 0; mo_router_names[i]; i++) {
        mo_model_config c = with_router(mo_router_names[i]);
        const mo_balance_config some = {.bias_update_rate = 1e-3}, none = {0};
        MO_CHECK_OK(mo_model_config_check(&c, &none));
        if (mo_router_describe(i)->traits & MO_ROUTER_BIAS) {
            MO_CHECK_OK(mo_model_config_check(&c, &some));
            continue;
        }
        MO_CHECK_STATUS(mo_model_config_check(&c, &some), MO_E_CONFIG);
        MO_CHECK_MESSAGE(
            "balance.bias_update_rate 0.001 moves the selection bias of model.router sigmoid; router ");
    }
}

/* ---- a step ---- */

static int32_t tokens[TOKENS], targets[TOKENS], positions[TOKENS];
static int64_t predicted, valid;

/* Sequence s ends in s % 4 tokens of padding; the first predicts one token only. */
static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < TOKENS; i++) {
        int s = i / T, t = i % T;
        bool padding = t >= T - s % 4, ignored = (s == 0 && t != 3) || t == T - 1;
        tokens[i] = padding ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)i) * VOCAB);
        targets[i] =
            padding || ignored ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 1, (uint64_t)i) * VOCAB);
        positions[i] = t;
        predicted += targets[i] >= 0;
        valid += tokens[i] >= 0;
    }
    return mo_blas_init() == MO_OK ? 0 : -1;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

typedef struct {
    double loss, balance[MO_BALANCE_LOSSES]; /* the step's means */
} step_loss;

static void load(const mo_model_graph *t, int64_t first)
{
    size_t size = (size_t)(t->batch_size * T) * sizeof(int32_t);
    memcpy(t->tokens->data, tokens + first, size);
    memcpy(t->targets->data, targets + first, size);
    memcpy(t->positions->data, positions + first, size);
    memset(t->starts->data, 0, size);
}

/* One step in microbatches of `batch` sequences; the gradient is left in the model. ce: with cross-entropy.
 */
static step_loss run_step(mo_model *m, int64_t batch, mo_balance_config balance, bool ce)
{
    mo_model_graph_options options = {
        .kind = MO_GRAPH_TRAIN, .batch_size = batch, .sequence_length = T, .balance = balance};
    mo_model_graph *t = small_model_graph(m, options);
    step_loss step = {0};
    double part[MO_BALANCE_LOSSES];
    memset(m->grad, 0, (size_t)m->elements * sizeof(mo_real));
    mo_model_graph_scale(t, ce ? predicted : 0, valid);
    for (int64_t first = 0; first < TOKENS; first += batch * T) {
        mo_run run = {.seed = 5, .step = 2, .first_token = first, .training = true};
        load(t, first);
        mo_graph_train(t->graph, &run);
        step.loss += mo_model_graph_loss(t, part) / (double)predicted;
        for (int k = 0; k < MO_BALANCE_LOSSES; k++) step.balance[k] += part[k] / (double)valid;
    }
    for (int i = 0; i < m->n_params; i++)
        if (t->params[i]) assert_true(m->params[i].buffer == !t->params[i]->grad);
    mo_model_graph_free(t);
    return step;
}

/* ---- cutting a step ---- */

/* Sums in another order, some hundred terms of both signs. */
#define TOLERANCE (sizeof(mo_real) == sizeof(double) ? 1e-12 : 4e-5)

/* A gradient that other parameters' dwarf is rounding. */
static void check_cut(mo_model *m, const char *what, mo_balance_config b, bool ce)
{
    size_t size = (size_t)m->elements * sizeof(mo_real);
    step_loss whole = run_step(m, SEQUENCES, b, ce);
    mo_real *want = malloc(size);
    assert_non_null(want);
    memcpy(want, m->grad, size);
    double largest = 0;
    for (int64_t i = 0; i < m->elements; i++) largest = fmax(largest, fabs((double)want[i]));
    assert_true(largest > 0);
    for (int64_t batch = 4; batch >= 1; batch /= 4) {
        step_loss cut = run_step(m, batch, b, ce);
        MO_CHECK_NEAR(cut.loss, whole.loss, 1e-6 * whole.loss);
        for (int k = 0; k < MO_BALANCE_LOSSES; k++)
            MO_CHECK_NEAR(cut.balance[k], whole.balance[k], 1e-5 * whole.balance[k]);
        for (int i = 0; i < m->n_params; i++) {
            const mo_param *p = &m->params[i];
            double own = 0;
            for (int64_t j = 0; j < p->count; j++) own = fmax(own, fabs((double)want[p->offset + j]));
            double d = small_model_difference(want + p->offset, m->grad + p->offset, p->count);
            if (own > 1e-4 * largest && !(d <= TOLERANCE))
                fail_msg("%s, microbatches of %d: the gradient of %s differs by %.3g", what, (int)batch,
                         p->name, d);
        }
    }
    free(want);
}

static void check_gates(const mo_model *m, const char *what)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        int64_t nonzero = 0;
        if (!ends_with(p->name, "gate.weight")) continue;
        for (int64_t j = 0; j < p->count; j++) nonzero += m->grad[p->offset + j] != 0;
        if (2 * nonzero < p->count) fail_msg("%s: %s has little gradient", what, p->name);
    }
}

/* Every loss with every router that it goes with, over sequences; and the cross-entropy alone. Each reaches
 * every gate. */
static void test_sequence_scope(void **state)
{
    (void)state;
    for (int i = 0; i < PAIRS; i++) {
        mo_model *m = small_model_make(with_router(compatible[i].router));
        check_cut(m, compatible[i].router, (mo_balance_config){0}, true);
        for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
            char what[64];
            mo_balance_config b = {.scope = MO_SCOPE_SEQUENCE};
            if (compatible[i].losses[kind] != 'y') continue;
            *coefficient(&b, kind) = 0.7;
            snprintf(what, sizeof what, "%s with %s", mo_balance_names[kind], compatible[i].router);
            check_cut(m, what, b, false);
            check_gates(m, what);
        }
        mo_model_free(m);
    }
}

static bool is_invariant(mo_model *m, mo_balance_config b)
{
    step_loss whole = run_step(m, SEQUENCES, b, false), cut = run_step(m, 1, b, false);
    double most = 0;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        most = fmax(most, fabs(cut.balance[k] - whole.balance[k]) / fmax(1e-9, whole.balance[k]));
    return most < 1e-5;
}

/* A loss's own scope comes before the common one; `batch` is a microbatch where there is but one. */
static void test_own_scope(void **state)
{
    (void)state;
    mo_model *m = small_model_make(with_router("noisy_topk"));
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        bool fixed = kind == MO_BALANCE_SEQUENCE || kind == MO_BALANCE_Z_LOSS;
        for (int common = MO_SCOPE_SEQUENCE; common <= MO_SCOPE_BATCH; common++)
            for (int own = MO_LOSS_SCOPE_DEFAULT; own <= MO_LOSS_SCOPE_BATCH; own++) {
                mo_balance_config b = {.scope = common};
                *coefficient(&b, kind) = 1;
                int *const scopes[MO_BALANCE_LOSSES] = {&b.switch_scope,
                                                        &b.mixtral_scope,
                                                        &b.gshard_scope,
                                                        NULL,
                                                        &b.importance_scope,
                                                        &b.load_scope,
                                                        NULL};
                if (scopes[kind]) *scopes[kind] = own;
                bool sequence =
                    own == MO_LOSS_SCOPE_SEQUENCE || (!own && common == MO_SCOPE_SEQUENCE) || fixed;
                if (is_invariant(m, b) != sequence)
                    fail_msg("%s, scope %s, own %s", mo_balance_names[kind], mo_scope_names[common],
                             mo_loss_scope_names[own]);
                int got = (int)mo_balance_scope(&b, kind), want = fixed ? MO_SCOPE_SEQUENCE
                                                                  : own ? own - MO_LOSS_SCOPE_SEQUENCE
                                                                        : common;
                assert_int_equal(got, want);
            }
    }
    mo_model_free(m);
}

/* The sequence loss counts the choices that the scores would make without the bias: however the bias stands,
 * it is the same. The switch loss counts what was chosen. */
static void test_sequence_without_bias(void **state)
{
    (void)state;
    mo_model_config c = with_router("sigmoid");
    c.num_hidden_layers = 1; /* later layers see other inputs */
    c.n_group = c.topk_group = 1;
    mo_balance_config b = {.switch_loss = 1, .sequence = 1, .scope = MO_SCOPE_SEQUENCE};
    mo_model *m = small_model_make(c);
    const mo_param *p = mo_model_find(m, "model.layers.0.block_sparse_moe.gate.e_score_correction_bias");
    memset(m->value + p->offset, 0, E * sizeof(mo_real));
    step_loss plain = run_step(m, 4, b, false);
    MO_CHECK_NEAR(plain.balance[MO_BALANCE_SEQUENCE], plain.balance[MO_BALANCE_SWITCH], 1e-12);
    m->value[p->offset + 3] = 1;
    step_loss moved = run_step(m, 4, b, false);
    assert_true(moved.balance[MO_BALANCE_SEQUENCE] == plain.balance[MO_BALANCE_SEQUENCE]);
    assert_true(fabs(moved.balance[MO_BALANCE_SWITCH] - plain.balance[MO_BALANCE_SWITCH]) > 1e-3);
    mo_model_free(m);
}

/* ---- the selection bias ---- */

static mo_real *bias_of(const mo_model *m, int layer)
{
    char name[96];
    snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.gate.e_score_correction_bias", layer);
    const mo_param *p = mo_model_find(m, name);
    assert_non_null(p);
    assert_true(p->buffer && !p->decay && p->count == E);
    return m->value + p->offset;
}

/* Differences are the paper's, rate * sign(mean - load); the sum stays. */
static void test_bias_moves(void **state)
{
    (void)state;
    const double load_E[E] = {9, 1, 4, 4, 4, 4, 2, 4}, even[E] = {3, 3, 3, 3, 3, 3, 3, 3},
                 rate = 0.125; /* mean 4 */
    mo_model *m = small_model_make(with_router("sigmoid"));
    size_t size = (size_t)m->elements * sizeof(mo_real);
    mo_real *before = malloc(size), *bias = bias_of(m, 1);
    assert_non_null(before);
    for (int e = 0; e < E; e++) bias[e] = (mo_real)e;
    memcpy(before, m->value, size);
    mo_model_move_bias(m, 1, even, rate);
    assert_memory_equal(m->value, before, size);
    mo_model_move_bias(m, 1, load_E, rate);
    double sum = 0;
    for (int e = 0; e < E; e++) {
        int sign = e == 0 ? -1 : e == 1 || e == 6 ? 1 : 0;
        MO_CHECK_NEAR((double)bias[e] - e, rate * (sign - 1.0 / E), 1e-15);
        sum += (double)bias[e] - e;
        bias[e] = (mo_real)e;
    }
    MO_CHECK_NEAR(sum, 0, 1e-15);
    assert_memory_equal(m->value, before, size); /* nothing else has moved */
    free(before);
    mo_model_free(m);
}

/* Against loads that hang on the bias, the bias settles near what evens them out, and its mean stays 0. */
static void test_bias_settles(void **state)
{
    (void)state;
    enum { STEPS = 3000 };
    mo_model *m = small_model_make(with_router("sigmoid"));
    mo_real *bias = bias_of(m, 0);
    memset(bias, 0, E * sizeof *bias);
    double load_E[E], sum = 0;
    for (int step = 0; step < STEPS; step++) {
        for (int e = 0; e < E; e++) load_E[e] = floor(1000 * exp(8 * ((double)bias[e] - 0.05 * e)));
        mo_model_move_bias(m, 0, load_E, 1e-3);
    }
    for (int e = 0; e < E; e++) {
        MO_CHECK_NEAR((double)(bias[e] - bias[0]), 0.05 * e, 5e-3);
        sum += (double)bias[e];
    }
    MO_CHECK_NEAR(sum / E, 0, 1e-6);
    mo_model_free(m);
}

/* A buffer gets no gradient, the optimizer leaves it where it is, whatever its groups say, and it is no
 * parameter that is counted. */
static void test_buffer(void **state)
{
    (void)state;
    mo_model_config c = with_router("sigmoid"), plain = with_router("topk");
    mo_model *m = small_model_make(c), *other = small_model_make(plain);
    assert_int_equal(mo_model_counts(m, T).total, mo_model_counts(other, T).total);
    run_step(m, 8, (mo_balance_config){.sequence = 0.1}, true);
    mo_optim_group group = {.match = (char[]){"router"}, .learning_rate_scale = 3, .weight_decay = 0.5};
    mo_optim_config optimizer = {.learning_rate = 0.1,
                                 .weight_decay = 0.1,
                                 .beta1 = 0.9,
                                 .beta2 = 0.95,
                                 .epsilon = 1e-8,
                                 .groups = {&group, 1}};
    mo_real before[E], *bias = bias_of(m, 1);
    memcpy(before, bias, sizeof before);
    mo_real *grad = m->grad + (bias - m->value);
    for (int e = 0; e < E; e++) {
        assert_true(grad[e] == 0 && before[e] != 0);
        grad[e] = 1; /* nobody's business */
    }
    MO_CHECK_OK(mo_model_group(m, &optimizer));
    mo_slabs slabs = mo_model_slabs(m);
    mo_adamw_step(&slabs, &optimizer, 0.1, mo_grad_norm(&slabs), 0);
    assert_memory_equal(bias, before, sizeof before);
    mo_model_free(m);
    mo_model_free(other);
}

static void test_groups_of_buffers(void **state)
{
    (void)state;
    mo_model *m = small_model_make(with_router("sigmoid"));
    mo_optim_group groups[] = {{.match = (char[]){"experts"}, .learning_rate_scale = 1},
                               {.match = (char[]){"*correction_bias"}, .learning_rate_scale = 2}};
    mo_optim_config optimizer = {.groups = {groups, 2}};
    MO_CHECK_STATUS(mo_model_group(m, &optimizer), MO_E_CONFIG);
    MO_CHECK_MESSAGE("optimizer.groups[1].match: '*correction_bias' fits buffers alone "
                     "(model.layers.0.block_sparse_moe.gate.e_score_correction_bias, for one)");
    groups[1].match = (char[]){"*.gate.*"};
    MO_CHECK_OK(mo_model_group(m, &optimizer));
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compatible),
                                       cmocka_unit_test(test_rate),
                                       cmocka_unit_test(test_sequence_scope),
                                       cmocka_unit_test(test_own_scope),
                                       cmocka_unit_test(test_sequence_without_bias),
                                       cmocka_unit_test(test_bias_moves),
                                       cmocka_unit_test(test_bias_settles),
                                       cmocka_unit_test(test_buffer),
                                       cmocka_unit_test(test_groups_of_buffers)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
