/* test_capacity_models.c -- whole models with the routers switch, gshard, expert_choice and soft, and with
 * experts that take so many tokens and no more: who is dropped passes by, nobody else notices; the same bits
 * whatever the threads and the recompute policy; decoding drops nobody. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/small_model.h"

enum { SEQUENCES = 8, T = 12, TOKENS = SEQUENCES * T, VOCAB = 17, E = 5, D = 16 };

static const mo_model_config base = {.vocab_size = VOCAB,
                                     .hidden_size = D,
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

static mo_model_config of(int router, double factor, mo_drop drop, mo_scope scope)
{
    mo_model_config c = base;
    c.router = router;
    c.capacity_factor = factor;
    c.capacity_drop = (int)drop;
    c.capacity_scope = (int)scope;
    return c;
}

/* One layer alone, so that a token's loss hangs on its own experts and on no other token's. */
static mo_model_config one_layer(mo_model_config c)
{
    c.num_hidden_layers = 1;
    return c;
}

static mo_model_config all[16];
static int n_all;

static int32_t tokens[TOKENS], targets[TOKENS], positions[TOKENS];
static int64_t valid;

/* Sequence s ends in s % 4 tokens of padding. */
static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < TOKENS; i++) {
        bool padding = i % T >= T - i / T % 4;
        tokens[i] = padding ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)i) * VOCAB);
        targets[i] = padding ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 1, (uint64_t)i) * VOCAB);
        positions[i] = i % T;
        valid += !padding;
    }
    const mo_model_config some[] = {of(MO_ROUTER_SWITCH, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_SWITCH, 0.9, MO_DROP_POSITION, MO_SCOPE_MICROBATCH),
                                    of(MO_ROUTER_SWITCH, 0.9, MO_DROP_PROBABILITY, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_GSHARD, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_GSHARD, 0.8, MO_DROP_POSITION, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_GSHARD, 0.8, MO_DROP_PROBABILITY, MO_SCOPE_MICROBATCH),
                                    of(MO_ROUTER_TOPK, 0.8, MO_DROP_PROBABILITY, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_NOISY_TOPK, 0.8, MO_DROP_PROBABILITY, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_SIGMOID, 0.8, MO_DROP_PROBABILITY, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_RANDOM, 0.8, MO_DROP_POSITION, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_EXPERT_CHOICE, 2, MO_DROP_POSITION, MO_SCOPE_SEQUENCE),
                                    of(MO_ROUTER_EXPERT_CHOICE, 1.3, MO_DROP_POSITION, MO_SCOPE_MICROBATCH),
                                    of(MO_ROUTER_SOFT, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE)};
    n_all = sizeof some / sizeof *some;
    memcpy(all, some, sizeof some);
    return mo_blas_init() == MO_OK ? 0 : -1;
}

static mo_model_graph *open_graph(const mo_model *m, mo_model_graph_options options)
{
    if (!options.sequence_length) options.sequence_length = T;
    if (!options.batch_size) options.batch_size = SEQUENCES;
    return small_model_graph(m, options);
}

/* Row i of the graph is sequence order[i]; NULL: from `first` on as they are. */
static void load(const mo_model_graph *t, int64_t first, const int *order)
{
    for (int64_t s = 0; s < t->batch_size; s++) {
        int64_t from = order ? order[s] * T : first + s * T;
        for (int64_t i = 0; i < t->sequence_length; i++) {
            int64_t n = s * t->sequence_length + i;
            ((int32_t *)t->tokens->data)[n] = tokens[from + i];
            ((int32_t *)t->positions->data)[n] = positions[from + i];
            ((int32_t *)t->starts->data)[n] = 0;
            if (t->targets) ((int32_t *)t->targets->data)[n] = targets[from + i];
        }
    }
}

typedef struct {
    double loss[TOKENS];
    int32_t ids[TOKENS * E];
    int64_t K, kept, unrouted; /* choices that were dispatched, tokens without any */
} outcome;

/* Losses of all tokens, and the first layer's choices before capacity, as they stand in `order`. */
static outcome *evaluate(const mo_model *m, mo_graph_kind kind, mo_run run, const int *order)
{
    outcome *out = calloc(1, sizeof *out);
    assert_non_null(out);
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = kind});
    load(t, 0, order);
    mo_graph_forward(t->graph, &run);
    memcpy(out->loss, t->row_loss->data, sizeof out->loss);
    if (kind == MO_GRAPH_LOSS) {
        const mo_tensor *ids = t->routing[0].ids_NK;
        const double *sums = (const double *)t->routing[0].stats->data + m->config.num_local_experts;
        out->K = ids->dim[1];
        out->kept = (int64_t)sums[MO_SUM_KEPT];
        out->unrouted = (int64_t)sums[MO_SUM_UNROUTED];
        memcpy(out->ids, ids->data, mo_tensor_bytes(ids));
    }
    mo_model_graph_free(t);
    return out;
}

/* The gradient of one training step, in the model; returns the loss. */
static double step(mo_model *m, mo_recompute recompute, int64_t batch)
{
    mo_model_graph *t = open_graph(
        m, (mo_model_graph_options){.kind = MO_GRAPH_TRAIN, .recompute = recompute, .batch_size = batch});
    double loss = 0, part[MO_BALANCE_LOSSES];
    memset(m->grad, 0, (size_t)m->elements * sizeof(mo_real));
    mo_model_graph_scale(t, valid, valid);
    for (int64_t first = 0; first < TOKENS; first += batch * T) {
        mo_run run = {.seed = 5, .step = 2, .first_token = first, .training = true};
        load(t, first, NULL);
        mo_graph_train(t->graph, &run);
        loss += mo_model_graph_loss(t, part);
    }
    mo_model_graph_free(t);
    return loss;
}

static mo_real *grad_of(const mo_model *m)
{
    size_t size = (size_t)m->elements * sizeof(mo_real);
    mo_real *copy = malloc(size);
    assert_non_null(copy);
    return memcpy(copy, m->grad, size);
}

static mo_real *values_of(mo_model *m, int64_t layer, const char *name, const mo_param **param)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.block_sparse_moe.%s.weight", (int)layer, name);
    *param = mo_model_find(m, full);
    assert_non_null(*param);
    return m->value + (*param)->offset;
}

/* ---- the same bits ---- */

static void check_bits(mo_model_config c)
{
    mo_model *m = small_model_make(c);
    size_t size = (size_t)m->elements * sizeof(mo_real);
    double want = step(m, MO_RECOMPUTE_NONE, SEQUENCES / 2);
    mo_real *grad = grad_of(m);
    for (int policy = MO_RECOMPUTE_BLOCK; policy <= MO_RECOMPUTE_FULL; policy++) {
        assert_true(step(m, (mo_recompute)policy, SEQUENCES / 2) == want);
        assert_memory_equal(m->grad, grad, size);
    }
    int before = mo_threads();
    for (int threads = 1; threads <= 4; threads *= 2) {
        mo_threads_set(threads);
        assert_true(step(m, MO_RECOMPUTE_NONE, SEQUENCES / 2) == want);
        mo_threads_set(before);
        assert_memory_equal(m->grad, grad, size);
    }
    free(grad);
    mo_model_free(m);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < n_all; i++) check_bits(all[i]);
}

/* Capacity counted over sequences does not see how a step is cut; counted over microbatches it does. */
static void test_microbatches(void **state)
{
    (void)state;
    for (int i = 0; i < n_all; i++) {
        bool counts = all[i].capacity_factor > 0 && all[i].capacity_scope == MO_SCOPE_MICROBATCH;
        mo_model *m = small_model_make(all[i]);
        double want = step(m, MO_RECOMPUTE_NONE, SEQUENCES), largest = 0, most = 0;
        mo_real *grad = grad_of(m);
        for (int64_t j = 0; j < m->elements; j++) largest = fmax(largest, fabs((double)grad[j]));
        MO_CHECK_NEAR(step(m, MO_RECOMPUTE_NONE, 2), want, counts ? want : 1e-6 * want);
        for (int64_t j = 0; j < m->elements; j++)
            most = fmax(most, fabs((double)m->grad[j] - (double)grad[j]) / largest);
        if (counts ? !(most > 1e-3) : !(most <= 2e-5))
            fail_msg("%s, %d: another gradient by %g", mo_router_names[all[i].router], i, most);
        free(grad);
        mo_model_free(m);
    }
}

/* ---- who is dropped ---- */

/* Of the choices in `ids` those that fit: in the order of GShard's queue, by position. */
static void keep(const outcome *o, double factor, int64_t group, bool kept[TOKENS * E])
{
    for (int64_t start = 0; start < TOKENS; start += group) {
        int64_t taken[E] = {0}, here = 0;
        for (int64_t n = start; n < start + group; n++) here += tokens[n] >= 0;
        double most = ceil(factor * (double)(o->K * here) / E - 1e-9);
        for (int64_t k = 0; k < o->K; k++)
            for (int64_t n = start; n < start + group; n++) {
                int32_t id = o->ids[n * o->K + k];
                kept[n * o->K + k] = id >= 0 && (double)taken[id]++ < most;
            }
    }
}

/* With every expert's output zero, a token's loss is that of the residual alone. */
static outcome *without_experts(mo_model *m)
{
    const mo_param *p;
    mo_real *w2 = values_of(m, 0, "experts.w2", &p), *copy = malloc((size_t)p->count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, w2, (size_t)p->count * sizeof *w2);
    memset(w2, 0, (size_t)p->count * sizeof *w2);
    outcome *out = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL);
    memcpy(w2, copy, (size_t)p->count * sizeof *w2);
    free(copy);
    return out;
}

/* A token whose every choice is dropped passes by the residual, to the bit; one that keeps all has the loss
 * of a model without capacity; one that loses some has neither. Both lots are there. */
static void check_dropped(int router, mo_scope scope, double factor)
{
    mo_model_config c = one_layer(of(router, factor, MO_DROP_POSITION, scope)), free_of_it = c;
    free_of_it.capacity_factor = 0;
    mo_model *m = small_model_make(c), *dropless = small_model_make(free_of_it);
    outcome *some = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL), *none = without_experts(m),
            *whole = evaluate(dropless, MO_GRAPH_LOSS, (mo_run){0}, NULL);
    bool kept[TOKENS * E];
    int lots[3] = {0};
    int64_t in_all = 0;
    assert_memory_equal(some->ids, whole->ids, sizeof some->ids);
    keep(some, factor, scope == MO_SCOPE_SEQUENCE ? T : TOKENS, kept);
    for (int n = 0; n < TOKENS; n++) {
        if (targets[n] < 0) continue;
        int64_t stay = 0;
        for (int64_t k = 0; k < some->K; k++) stay += kept[n * some->K + k];
        in_all += stay;
        bool as_none = some->loss[n] == none->loss[n], as_whole = fabs(some->loss[n] - whole->loss[n]) < 1e-5;
        if (as_none != (stay == 0) || as_whole != (stay == some->K))
            fail_msg(
                "%s: token %d keeps %d of %d experts, and its loss is %.9g, without experts %.9g, with all "
                "%.9g",
                mo_router_names[router], n, (int)stay, (int)some->K, some->loss[n], none->loss[n],
                whole->loss[n]);
        lots[stay == 0 ? 0 : stay < some->K ? 1 : 2]++;
    }
    assert_int_equal(some->kept, in_all);
    assert_int_equal(some->unrouted, lots[0]);
    assert_int_equal(whole->kept, valid * some->K);
    assert_true(lots[0] > 2 && lots[2] > 10 && (some->K == 1 || lots[1] > 2));
    free(some);
    free(none);
    free(whole);
    mo_model_free(m);
    mo_model_free(dropless);
}

static void test_dropped_pass_by(void **state)
{
    (void)state;
    check_dropped(MO_ROUTER_SWITCH, MO_SCOPE_SEQUENCE, 0.7);
    check_dropped(MO_ROUTER_SWITCH, MO_SCOPE_MICROBATCH, 0.7);
    check_dropped(MO_ROUTER_GSHARD, MO_SCOPE_SEQUENCE, 0.5);
    check_dropped(MO_ROUTER_TOPK, MO_SCOPE_MICROBATCH, 0.5);
    check_dropped(MO_ROUTER_HASH, MO_SCOPE_SEQUENCE, 0.5);
}

/* Every valid token and nobody else; expert_choice: each expert the same number, 0 or more for a token. */
static void test_choices(void **state)
{
    (void)state;
    for (int i = 0; i < n_all; i++) {
        mo_model *m = small_model_make(all[i]);
        outcome *o = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL);
        int64_t each[E] = {0}, total = 0;
        for (int j = 0; j < TOKENS * o->K; j++) {
            if (tokens[j / o->K] < 0) assert_int_equal(o->ids[j], -1);
            if (o->ids[j] >= 0) each[o->ids[j]]++, total++;
        }
        if (all[i].router == MO_ROUTER_EXPERT_CHOICE) {
            for (int e = 1; e < E; e++) assert_int_equal(each[e], each[0]);
            double wanted = all[i].capacity_factor * (double)valid / E;
            assert_true((double)each[0] >= wanted && (double)each[0] < wanted + SEQUENCES);
        } else {
            assert_int_equal(total, valid * m->config.num_experts_per_tok);
        }
        free(o);
        mo_model_free(m);
    }
}

/* ---- a router that is another one ---- */

static void check_alike(mo_model_config a, mo_model_config b, double tolerance)
{
    mo_model *m = small_model_make(a), *other = small_model_make(b);
    outcome *x = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL),
            *y = evaluate(other, MO_GRAPH_LOSS, (mo_run){0}, NULL);
    for (int n = 0; n < TOKENS; n++) MO_CHECK_NEAR(x->loss[n], y->loss[n], tolerance);
    free(x);
    free(y);
    mo_model_free(m);
    mo_model_free(other);
}

/* In evaluation switch is topk of one, not normalised, gshard topk of two; soft is topk of all, but for the
 * order of sums, and expert_choice of factor E is soft. */
static void test_relations(void **state)
{
    (void)state;
    mo_model_config one = of(MO_ROUTER_TOPK, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE), two = one, every = one;
    one.num_experts_per_tok = 1;
    one.norm_topk_prob = MO_CHOICE_FALSE;
    every.num_experts_per_tok = E;
    check_alike(of(MO_ROUTER_SWITCH, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE), one, 0);
    check_alike(of(MO_ROUTER_GSHARD, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE), two, 0);
    mo_model_config soft = of(MO_ROUTER_SOFT, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE);
    check_alike(soft, every, 1e-5);
    check_alike(of(MO_ROUTER_EXPERT_CHOICE, E, MO_DROP_POSITION, MO_SCOPE_SEQUENCE), soft, 0);
}

/* ---- the order of sequences ---- */

/* Over sequences, or by probability without ties, it does not matter in what order sequences stand: equal
 * within the rounding of products whose rows are others. By position over the microbatch it does. */
static void test_permuted_sequences(void **state)
{
    (void)state;
    static const int order[SEQUENCES] = {3, 0, 6, 1, 7, 4, 2, 5};
    for (int i = 0; i < n_all; i++) {
        const mo_model_config *c = &all[i];
        bool minds = c->capacity_factor > 0 && c->capacity_scope == MO_SCOPE_MICROBATCH &&
                     c->capacity_drop == MO_DROP_POSITION && c->router != MO_ROUTER_EXPERT_CHOICE;
        mo_model *m = small_model_make(*c);
        outcome *plain = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL),
                *moved = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, order);
        double most = 0;
        for (int n = 0; n < TOKENS; n++)
            most = fmax(most, fabs(moved->loss[n] - plain->loss[order[n / T] * T + n % T]));
        if (minds ? !(most > 1e-2) : !(most < 1e-4))
            fail_msg("%s, %d: another loss by %g", mo_router_names[c->router], i, most);
        free(plain);
        free(moved);
        mo_model_free(m);
    }
}

/* ---- gradients ---- */

/* K = 1: the weight is the probability, so the router learns; and what it learns is the loss's slope. */
static void test_switch_router_learns(void **state)
{
    (void)state;
    mo_model *m = small_model_make(all[0]);
    const mo_param *p;
    values_of(m, 1, "gate", &p);
    step(m, MO_RECOMPUTE_NONE, SEQUENCES);
    double square = 0;
    mo_real *grad = grad_of(m), *gate = m->value + p->offset;
    for (int64_t i = 0; i < p->count; i++) square += pow((double)grad[p->offset + i], 2);
    assert_true(square > 1e-8);
    double h = 1e-3 / sqrt(square), at[2];
    for (int side = 0; side < 2; side++) { /* the second layer's choices decide about nobody else's */
        for (int64_t i = 0; i < p->count; i++)
            gate[i] += (mo_real)((side ? 2 : -1) * h * (double)grad[p->offset + i]);
        at[side] = step(m, MO_RECOMPUTE_NONE, SEQUENCES) / (double)valid;
    }
    MO_CHECK_NEAR((at[1] - at[0]) / (2 * h * square), 1, 0.05);
    free(grad);
    mo_model_free(m);
}

/* An expert that nobody was sent to has gradient zero everywhere, and one that somebody was has not. */
static void test_unselected_experts(void **state)
{
    (void)state;
    for (int i = 0; i < n_all; i++) {
        mo_model_config c = one_layer(all[i]);
        if (c.router == MO_ROUTER_SOFT || c.router == MO_ROUTER_EXPERT_CHOICE) continue; /* all get some */
        c.num_local_experts = 64; /* more than choices find */
        mo_model *m = small_model_make(c);
        outcome *o = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL);
        bool chosen[64] = {false}, known = c.router == MO_ROUTER_SWITCH || c.router == MO_ROUTER_TOPK ||
                                           c.router == MO_ROUTER_SIGMOID; /* no choice is random */
        for (int j = 0; j < TOKENS * o->K; j++)
            if (o->ids[j] >= 0) chosen[o->ids[j]] = true;
        free(o);
        step(m, MO_RECOMPUTE_NONE, SEQUENCES);
        int silent = 0;
        const mo_param *w1, *w2;
        values_of(m, 0, "experts.w1", &w1);
        values_of(m, 0, "experts.w2", &w2);
        for (int e = 0; e < 64; e++) {
            int64_t nonzero[2] = {0}, n1 = w1->count / 64, n2 = w2->count / 64;
            for (int64_t j = 0; j < n1; j++) nonzero[0] += m->grad[w1->offset + e * n1 + j] != 0;
            for (int64_t j = 0; j < n2; j++) nonzero[1] += m->grad[w2->offset + e * n2 + j] != 0;
            assert_true((nonzero[0] == 0) == (nonzero[1] == 0));
            if (known) assert_true(chosen[e] == (nonzero[0] > 0));
            silent += nonzero[0] == 0;
        }
        assert_in_range(silent, 1, 63);
        mo_model_free(m);
    }
}

/* ---- training, evaluation, decoding ---- */

static bool same(const mo_model *m, mo_graph_kind kind, mo_run a, mo_run b)
{
    outcome *x = evaluate(m, kind, a, NULL), *y = evaluate(m, kind, b, NULL);
    bool equal = memcmp(x->loss, y->loss, sizeof x->loss) == 0;
    free(x);
    free(y);
    return equal;
}

/* GShard's second choices: by seed, step and place in the step, in training alone. */
static void test_gshard_chance(void **state)
{
    (void)state;
    mo_model *m = small_model_make(all[3]);
    const mo_run train = {.seed = 1, .training = true}, still = {.seed = 1};
    const mo_run others[] = {{.seed = 2}, {.seed = 1, .step = 1}, {.seed = 1, .first_token = 5}};
    for (int i = 0; i < 3; i++) {
        mo_run moving = others[i];
        moving.training = true;
        assert_false(same(m, MO_GRAPH_TRAIN, train, moving));
        assert_true(same(m, MO_GRAPH_TRAIN, still, others[i]));
        assert_true(same(m, MO_GRAPH_LOSS, still, others[i]));
    }
    assert_true(same(m, MO_GRAPH_TRAIN, train, train));
    assert_false(same(m, MO_GRAPH_TRAIN, train, still));
    mo_model_free(m);
}

/* Rows that the first dispatch of a graph has room for. */
static int64_t room(mo_model_config c, mo_graph_kind kind)
{
    mo_model *m = small_model_make(c);
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = kind});
    int64_t rows = -1;
    for (int i = 0; i < mo_graph_node_count(t->graph) && rows < 0; i++) {
        const mo_node *node = mo_graph_node_at(t->graph, i);
        if (strcmp(node->op->name, "dispatch") == 0) rows = node->out[1]->dim[0];
    }
    mo_model_graph_free(t);
    mo_model_free(m);
    return rows;
}

/* The plan has room for what capacity lets through, which the evaluation's own factor may change. */
static void test_factors(void **state)
{
    (void)state;
    mo_model_config c = of(MO_ROUTER_GSHARD, 0.5, MO_DROP_POSITION, MO_SCOPE_MICROBATCH);
    int64_t half = E * 20; /* C = ceil(0.5 * 2 * 96 / 5) */
    assert_int_equal(room(c, MO_GRAPH_TRAIN), half);
    assert_int_equal(room(c, MO_GRAPH_LOSS), half);
    c.eval_capacity_factor = 0.25;
    assert_int_equal(room(c, MO_GRAPH_TRAIN), half);
    assert_int_equal(room(c, MO_GRAPH_LOSS), E * 10);
    c.capacity_factor = (double)NAN; /* what a config's null is */
    assert_int_equal(room(c, MO_GRAPH_TRAIN), 2 * TOKENS);
    assert_int_equal(room(c, MO_GRAPH_LOSS), E * 10);
    c.eval_capacity_factor = 0;
    assert_int_equal(room(c, MO_GRAPH_LOSS), 2 * TOKENS);
    c.capacity_factor = 0.5;
    c.capacity_scope = MO_SCOPE_SEQUENCE;
    assert_int_equal(room(c, MO_GRAPH_TRAIN), SEQUENCES * E * 3);
    c = of(MO_ROUTER_EXPERT_CHOICE, 1.5, MO_DROP_POSITION, MO_SCOPE_MICROBATCH);
    assert_int_equal(room(c, MO_GRAPH_TRAIN), E * 29);
    c.capacity_factor = 0;
    assert_int_equal(room(c, MO_GRAPH_TRAIN), E * 39); /* num_experts_per_tok: 2 */
    c.eval_capacity_factor = 5;
    assert_int_equal(room(c, MO_GRAPH_LOSS), E * TOKENS);
    assert_int_equal(room(of(MO_ROUTER_SOFT, 0, MO_DROP_POSITION, MO_SCOPE_BATCH), MO_GRAPH_TRAIN),
                     E * TOKENS);
}

/* What a step keeps, and its arena, are smaller with fewer rows: of what is kept, gates and ups have rows. */
static void test_memory(void **state)
{
    (void)state;
    mo_graph_memory use[2];
    for (int i = 0; i < 2; i++) {
        mo_model *m =
            small_model_make(of(MO_ROUTER_TOPK, i ? 0.5 : 0, MO_DROP_POSITION, MO_SCOPE_MICROBATCH));
        mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = MO_GRAPH_TRAIN});
        use[i] = mo_graph_memory_use(t->graph);
        mo_model_graph_free(t);
        mo_model_free(m);
    }
    assert_true((double)use[1].kept < 0.9 * (double)use[0].kept && use[1].arena < use[0].arena);
}

static double loss_of(const mo_real *logits, int32_t target)
{
    double most = (double)logits[0], sum = 0;
    for (int v = 1; v < VOCAB; v++) most = fmax(most, (double)logits[v]);
    for (int v = 0; v < VOCAB; v++) sum += exp((double)logits[v] - most);
    return log(sum) + most - (double)logits[target];
}

/* A decoding graph drops nobody, however little room training gives: its logits are those of a model without
 * capacity, and not of the one that it is. */
static void check_decoding(mo_model_config c)
{
    mo_model_config dropless = c;
    dropless.capacity_factor = 0;
    mo_model *m = small_model_make(c), *free_of_it = small_model_make(dropless);
    outcome *tight = evaluate(m, MO_GRAPH_LOSS, (mo_run){0}, NULL),
            *whole = evaluate(free_of_it, MO_GRAPH_LOSS, (mo_run){0}, NULL);
    enum { WIDTH = 2 * 4 }; /* of keys */
    static mo_real storage[2 * 2 * T * WIDTH];
    mo_kv_cache caches[2];
    for (int l = 0; l < 2; l++)
        caches[l] = (mo_kv_cache){storage + 2 * l * T * WIDTH, storage + (2 * l + 1) * T * WIDTH, T, 0};
    mo_model_graph *t =
        open_graph(m, (mo_model_graph_options){.kind = MO_GRAPH_DECODE, .batch_size = 1, .caches = caches});
    double most = 0, apart = 0;
    for (int s = 0; s < SEQUENCES; s += 4) { /* those without padding */
        load(t, s * T, NULL);
        mo_graph_forward(t->graph, &(mo_run){0});
        for (int i = 0; i < T; i++) {
            double loss = loss_of((const mo_real *)t->logits->data + i * VOCAB, targets[s * T + i]);
            most = fmax(most, fabs(loss - whole->loss[s * T + i]));
            apart = fmax(apart, fabs(loss - tight->loss[s * T + i]));
        }
    }
    if (!(most < 1e-4) || (c.capacity_factor > 0 && !(apart > 0.01)))
        fail_msg("%s: %g from the loss without capacity, %g from that with", mo_router_names[c.router], most,
                 apart);
    free(tight);
    free(whole);
    mo_model_graph_free(t);
    mo_model_free(m);
    mo_model_free(free_of_it);
}

static void test_decoding(void **state)
{
    (void)state;
    check_decoding(of(MO_ROUTER_SWITCH, 0.4, MO_DROP_POSITION, MO_SCOPE_SEQUENCE));
    check_decoding(of(MO_ROUTER_GSHARD, 0.4, MO_DROP_PROBABILITY, MO_SCOPE_MICROBATCH));
    check_decoding(of(MO_ROUTER_TOPK, 0.4, MO_DROP_PROBABILITY, MO_SCOPE_SEQUENCE));
    check_decoding(of(MO_ROUTER_SOFT, 0, MO_DROP_POSITION, MO_SCOPE_SEQUENCE));
}

static void test_expert_choice_cannot_decode(void **state)
{
    (void)state;
    mo_model *m = small_model_make(of(MO_ROUTER_EXPERT_CHOICE, 2, MO_DROP_POSITION, MO_SCOPE_SEQUENCE));
    mo_model_graph *t = NULL;
    mo_model_graph_options options = {.kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = 1};
    MO_CHECK_STATUS(mo_model_graph_create(m, &options, &t), MO_E_CONFIG);
    MO_CHECK_MESSAGE("model.router expert_choice cannot write text: its experts choose among all tokens");
    assert_null(t);
    m->config.num_local_experts = 0; /* a dense model has no router, whatever its config says */
    MO_CHECK_OK(mo_model_decode_check(&m->config));
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits),
                                       cmocka_unit_test(test_microbatches),
                                       cmocka_unit_test(test_dropped_pass_by),
                                       cmocka_unit_test(test_choices),
                                       cmocka_unit_test(test_relations),
                                       cmocka_unit_test(test_permuted_sequences),
                                       cmocka_unit_test(test_switch_router_learns),
                                       cmocka_unit_test(test_unselected_experts),
                                       cmocka_unit_test(test_gshard_chance),
                                       cmocka_unit_test(test_factors),
                                       cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_decoding),
                                       cmocka_unit_test(test_expert_choice_cannot_decode)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
