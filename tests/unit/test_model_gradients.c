/* test_model_gradients.c -- a step's gradient does not depend on how the step is cut, recomputed or how deep
 * the model is that a balancing loss is averaged over; noise and dropout act in training alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/small_model.h"
#include "ops/dropout.h"

enum { SEQUENCES = 8, T = 12, TOKENS = SEQUENCES * T, VOCAB = 17 };

static const mo_model_config small = {.vocab_size = VOCAB,
                                      .hidden_size = 16,
                                      .intermediate_size = 12,
                                      .num_hidden_layers = 2,
                                      .num_attention_heads = 4,
                                      .num_key_value_heads = 2,
                                      .max_position_embeddings = T,
                                      .num_local_experts = 4,
                                      .num_experts_per_tok = 2,
                                      .router = MO_ROUTER_NOISY_TOPK,
                                      .norm_topk_prob = true,
                                      .noise_floor = 0.5,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.4};
static const mo_balance_config all_losses = {.switch_loss = 0.3,
                                             .mixtral = 0.2,
                                             .gshard = 0.25,
                                             .sequence = 0.35,
                                             .importance = 0.1,
                                             .load = 0.15,
                                             .z_loss = 0.05,
                                             .scope = MO_SCOPE_SEQUENCE};

static mo_model_config dropping(double embedding, double residual, double attention)
{
    mo_model_config c = small;
    c.embd_pdrop = embedding;
    c.resid_pdrop = residual;
    c.attention_dropout = attention;
    return c;
}

/* ---- a step ---- */

static int32_t tokens[TOKENS], targets[TOKENS], positions[TOKENS], starts[TOKENS];
static int64_t predicted, valid;

/* Sequence s ends in s % 4 tokens of padding; the first predicts one token only, the second few. In every
 * third sequence a second document begins in the middle. */
static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < TOKENS; i++) {
        int s = i / T, t = i % T;
        bool padding = t >= T - s % 4, ignored = (s == 0 && t != 3) || (s == 1 && t % 4 != 0) || t == T - 1;
        tokens[i] = padding ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)i) * VOCAB);
        targets[i] =
            padding || ignored ? -1 : (int32_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 1, (uint64_t)i) * VOCAB);
        starts[i] = s % 3 == 0 && t >= 5 ? 5 : 0;
        positions[i] = t - starts[i];
        predicted += targets[i] >= 0;
        valid += tokens[i] >= 0;
    }
    return mo_blas_init() == MO_OK ? 0 : -1;
}

static mo_model_graph *open_graph(const mo_model *m, mo_model_graph_options options)
{
    options.sequence_length = T;
    return small_model_graph(m, options);
}

static void load(const mo_model_graph *t, int64_t first)
{
    size_t size = (size_t)(t->batch_size * T) * sizeof(int32_t);
    memcpy(t->tokens->data, tokens + first, size);
    memcpy(t->targets->data, targets + first, size);
    memcpy(t->positions->data, positions + first, size);
    memcpy(t->starts->data, starts + first, size);
}

typedef struct {
    double loss, balance[MO_BALANCE_LOSSES]; /* the step's means */
} step_loss;

/* One step in microbatches of `batch` sequences; the gradient is left in the model. `ce`: with the
 * cross-entropy, else balancing losses alone. */
static step_loss run_step(mo_model *m, int64_t batch, mo_balance_config balance, mo_recompute recompute,
                          bool ce)
{
    mo_model_graph *t = open_graph(
        m, (mo_model_graph_options){
               .kind = MO_GRAPH_TRAIN, .batch_size = batch, .balance = balance, .recompute = recompute});
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
    mo_model_graph_free(t);
    return step;
}

static mo_real *copy_grad(const mo_model *m)
{
    size_t size = (size_t)m->elements * sizeof(mo_real);
    mo_real *copy = malloc(size);
    assert_non_null(copy);
    return memcpy(copy, m->grad, size);
}

/* Sums in another order: some hundred terms of both signs. */
#define TOLERANCE (sizeof(mo_real) == sizeof(double) ? 1e-12 : 2e-5)

static void check_grads(const mo_model *m, const mo_real *want, const char *what)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        double d = small_model_difference(want + p->offset, m->grad + p->offset, p->count);
        if (!(d <= TOLERANCE)) fail_msg("%s: the gradient of %s differs by %.3g", what, p->name, d);
    }
}

static double share_of_nonzero(const mo_model *m, const char *name)
{
    const mo_param *p = mo_model_find(m, name);
    int64_t nonzero = 0;
    assert_non_null(p);
    for (int64_t i = 0; i < p->count; i++) nonzero += m->grad[p->offset + i] != 0;
    return (double)nonzero / (double)p->count;
}

static const char gate[] = "model.layers.1.block_sparse_moe.gate.weight";

/* ---- cutting a step into microbatches ---- */

static mo_balance_config only(int kind, mo_scope scope)
{
    mo_balance_config b = {.scope = (int)scope};
    *(&b.switch_loss + kind) = 0.7;
    return b;
}

/* Counted over sequences, a balancing loss has the same gradient and value however the step is cut. */
static void test_sequence_scope(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        mo_balance_config b = only(kind, MO_SCOPE_SEQUENCE);
        step_loss whole = run_step(m, 8, b, MO_RECOMPUTE_NONE, false);
        mo_real *want = copy_grad(m);
        assert_true(share_of_nonzero(m, gate) > 0.9);
        for (int64_t batch = 4; batch >= 1; batch /= 2) {
            step_loss cut = run_step(m, batch, b, MO_RECOMPUTE_NONE, false);
            check_grads(m, want, mo_balance_names[kind]);
            MO_CHECK_NEAR(cut.balance[kind], whole.balance[kind], 1e-5 * whole.balance[kind]);
        }
        free(want);
    }
    mo_model_free(m);
}

/* Counted over microbatches it is not, but for the z-loss, which is a mean over tokens, and the sequence
 * loss, which is always over sequences. */
static void test_microbatch_scope(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        mo_balance_config b = only(kind, MO_SCOPE_MICROBATCH);
        run_step(m, 8, b, MO_RECOMPUTE_NONE, false);
        mo_real *whole = copy_grad(m);
        run_step(m, 2, b, MO_RECOMPUTE_NONE, false);
        const mo_param *p = mo_model_find(m, gate);
        double d = small_model_difference(whole + p->offset, m->grad + p->offset, p->count);
        bool invariant = kind == MO_BALANCE_Z_LOSS || kind == MO_BALANCE_SEQUENCE;
        assert_true(invariant ? d <= TOLERANCE : d > 0.01);
        free(whole);
    }
    mo_model_free(m);
}

/* Microbatches predict 1, 3, 11 ... tokens, and have padding: each token weighs the same in the step. */
static void check_uneven_microbatches(mo_model_config c)
{
    mo_model *m = small_model_make(c);
    step_loss whole = run_step(m, 8, all_losses, MO_RECOMPUTE_NONE, true);
    mo_real *want = copy_grad(m);
    for (int64_t batch = 4; batch >= 1; batch /= 2) {
        step_loss cut = run_step(m, batch, all_losses, MO_RECOMPUTE_NONE, true);
        check_grads(m, want, "microbatches");
        MO_CHECK_NEAR(cut.loss, whole.loss, 1e-6 * whole.loss);
    }
    free(want);
    mo_model_free(m);
}

static void test_uneven_microbatches(void **state)
{
    (void)state;
    check_uneven_microbatches(small);
    check_uneven_microbatches(dropping(0.2, 0.3, 0.1));
}

/* ---- what the step's loss is ---- */

/* Mean cross-entropy of the predicted tokens, from the rows of a LOSS graph. */
static void test_loss_is_a_mean(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = MO_GRAPH_TRAIN, .batch_size = 8});
    double sum = 0, ignored[MO_BALANCE_LOSSES];
    int64_t rows = 0;
    load(t, 0);
    mo_graph_forward(t->graph, &(mo_run){.seed = 5, .training = true});
    for (int i = 0; i < TOKENS; i++) {
        double row = ((const double *)t->row_loss->data)[i];
        assert_true(targets[i] >= 0 ? row > 0 : row == 0);
        sum += row;
        rows += row > 0;
    }
    assert_int_equal(rows, predicted);
    MO_CHECK_NEAR(mo_model_graph_loss(t, ignored), sum, 1e-12 * sum);
    mo_model_graph_free(t);
    mo_model_free(m);
}

/* d(mean loss + coefficient * balance) along its own gradient, by a difference: the scale of every part is
 * what was asked for. float: a step of 1e-3 of a loss near 3, which is summed in double over rows in float.
 */
static void check_scale_of_everything(mo_model_config c)
{
    c.router = MO_ROUTER_TOPK;
    c.num_experts_per_tok = 4; /* no choice can flip */
    mo_balance_config b = all_losses;
    b.load = 0;
    mo_model *m = small_model_make(c);
    run_step(m, 2, b, MO_RECOMPUTE_NONE, true);
    mo_real *grad = copy_grad(m);
    double square = 0, at[2];
    for (int64_t i = 0; i < m->elements; i++) square += (double)grad[i] * (double)grad[i];
    for (int side = 0; side < 2; side++) {
        double h = (side ? 1 : -1) * 2e-3 / square;
        mo_real *kept = malloc((size_t)m->elements * sizeof *kept);
        assert_non_null(kept);
        memcpy(kept, m->value, (size_t)m->elements * sizeof *kept);
        for (int64_t i = 0; i < m->elements; i++) m->value[i] += (mo_real)(h * (double)grad[i]);
        step_loss step = run_step(m, 2, b, MO_RECOMPUTE_NONE, true);
        at[side] = step.loss;
        for (int k = 0; k < MO_BALANCE_LOSSES; k++) at[side] += *(&b.switch_loss + k) * step.balance[k];
        memcpy(m->value, kept, (size_t)m->elements * sizeof *kept);
        free(kept);
    }
    MO_CHECK_NEAR((at[1] - at[0]) / 4e-3, 1, 5e-3);
    free(grad);
    mo_model_free(m);
}

static void test_scale_of_everything(void **state)
{
    (void)state;
    check_scale_of_everything(small);
    check_scale_of_everything(dropping(0.2, 0.3, 0.1));
}

/* With a router at zero all experts are as likely: `switch`, `gshard` and `sequence` are 1, `mixtral` K, z
 * (log E)^2, at any depth. */
static void test_balanced_values(void **state)
{
    (void)state;
    for (int64_t layers = 1; layers <= 4; layers *= 2) {
        mo_model_config c = small;
        c.num_hidden_layers = layers;
        mo_model *m = small_model_make(c);
        mo_model_init(m, 1);
        step_loss step = run_step(m, 4, all_losses, MO_RECOMPUTE_NONE, true);
        MO_CHECK_NEAR(step.balance[MO_BALANCE_SWITCH], 1, 1e-6);
        MO_CHECK_NEAR(step.balance[MO_BALANCE_MIXTRAL], 2, 1e-6);
        MO_CHECK_NEAR(step.balance[MO_BALANCE_GSHARD], 1, 1e-6);
        MO_CHECK_NEAR(step.balance[MO_BALANCE_SEQUENCE], 1, 1e-6);
        MO_CHECK_NEAR(step.balance[MO_BALANCE_Z_LOSS], log(4) * log(4), 1e-6);
        mo_model_free(m);
    }
}

/* ---- the average over layers ---- */

static mo_real *values_of(const mo_model *m, int64_t layer, const char *name, int64_t *count)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%lld.%s", (long long)layer, name);
    const mo_param *p = mo_model_find(m, full);
    assert_non_null(p);
    *count = p->count;
    return m->value + p->offset;
}

/* Layers that add nothing to the stream and route alike: the same layer several times over. */
static mo_model *make_copies(int64_t layers)
{
    static const char *const silent[] = {"self_attn.o_proj.weight", "block_sparse_moe.experts.w2.weight"},
                             *const alike[] = {"block_sparse_moe.gate.weight"};
    mo_model_config c = small;
    c.router = MO_ROUTER_TOPK;
    c.num_hidden_layers = layers;
    mo_model *m = small_model_make(c);
    int64_t n;
    for (int64_t l = 0; l < layers; l++) {
        for (int i = 0; i < 2; i++) {
            mo_real *w = values_of(m, l, silent[i], &n);
            memset(w, 0, (size_t)n * sizeof *w);
        }
        mo_real *w = values_of(m, l, alike[0], &n);
        memcpy(w, values_of(m, 0, alike[0], &n), (size_t)n * sizeof *w);
    }
    return m;
}

/* One layer or four copies of it: the same loss, the same gradient below, in each gate its share. */
static void test_layer_average(void **state)
{
    (void)state;
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        if (kind == MO_BALANCE_LOAD) continue; /* noise differs from layer to layer */
        mo_balance_config b = only(kind, MO_SCOPE_SEQUENCE);
        mo_model *one = make_copies(1);
        step_loss want = run_step(one, 8, b, MO_RECOMPUTE_NONE, false);
        const mo_param *table = mo_model_find(one, "model.embed_tokens.weight");
        for (int64_t layers = 2; layers <= 4; layers *= 2) {
            mo_model *m = make_copies(layers);
            step_loss got = run_step(m, 8, b, MO_RECOMPUTE_NONE, false);
            MO_CHECK_NEAR(got.balance[kind], want.balance[kind], 1e-6 * want.balance[kind]);
            double d =
                small_model_difference(one->grad + table->offset, m->grad + table->offset, table->count);
            if (!(d <= TOLERANCE))
                fail_msg("%s, %d layers: dtable differs by %.3g", mo_balance_names[kind], (int)layers, d);
            int64_t n, place = values_of(one, 0, "block_sparse_moe.gate.weight", &n) - one->value;
            for (int64_t l = 0; l < layers; l++) {
                const mo_real *dgate =
                    m->grad + (values_of(m, l, "block_sparse_moe.gate.weight", &n) - m->value);
                for (int64_t i = 0; i < n; i++)
                    MO_CHECK_NEAR((double)(dgate[i] * (mo_real)layers), (double)one->grad[place + i], 1e-5);
            }
            mo_model_free(m);
        }
        mo_model_free(one);
    }
}

/* ---- recomputation, noise, tied tables ---- */

static void check_recompute(mo_model_config c)
{
    mo_model *m = small_model_make(c);
    size_t size = (size_t)m->elements * sizeof(mo_real);
    step_loss want = run_step(m, 2, all_losses, MO_RECOMPUTE_NONE, true);
    mo_real *grad = copy_grad(m);
    for (int policy = MO_RECOMPUTE_BLOCK; policy <= MO_RECOMPUTE_FULL; policy++) {
        step_loss got = run_step(m, 2, all_losses, (mo_recompute)policy, true);
        assert_memory_equal(&got, &want, sizeof got);
        assert_memory_equal(m->grad, grad, size);
    }
    free(grad);
    mo_model_free(m);
}

/* Routing, noise and what is dropped are replayed: not one bit differs. */
static void test_recompute(void **state)
{
    (void)state;
    check_recompute(small);
    check_recompute(dropping(0.2, 0.3, 0.1));
}

static void evaluate(const mo_model *m, mo_graph_kind kind, mo_run run, double row_loss[TOKENS])
{
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = kind, .batch_size = 8});
    load(t, 0);
    mo_graph_forward(t->graph, &run);
    memcpy(row_loss, t->row_loss->data, TOKENS * sizeof *row_loss);
    mo_model_graph_free(t);
}

static bool same_losses(const mo_model *m, mo_graph_kind kind, mo_run a, mo_run b)
{
    double x[TOKENS], y[TOKENS];
    evaluate(m, kind, a, x);
    evaluate(m, kind, b, y);
    return memcmp(x, y, sizeof x) == 0;
}

/* In training the noise hangs on seed, step and the token's place in the step; in evaluation there is none.
 */
static void test_noise(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    const mo_run train = {.seed = 1, .training = true}, still = {.seed = 1};
    const mo_run others[] = {{.seed = 2}, {.seed = 1, .step = 1}, {.seed = 1, .first_token = 5}};
    for (int i = 0; i < 3; i++) {
        mo_run noisy = others[i];
        noisy.training = true;
        assert_false(same_losses(m, MO_GRAPH_TRAIN, train, noisy));
        assert_true(same_losses(m, MO_GRAPH_TRAIN, still, others[i]));
        assert_true(same_losses(m, MO_GRAPH_LOSS, still, others[i]));
    }
    assert_true(same_losses(m, MO_GRAPH_TRAIN, train, train));
    assert_false(same_losses(m, MO_GRAPH_TRAIN, train, still));
    double x[TOKENS], y[TOKENS];
    evaluate(m, MO_GRAPH_LOSS, still, x);
    evaluate(m, MO_GRAPH_TRAIN, still, y);
    assert_memory_equal(x, y, sizeof x);
    mo_model_free(m);
}

/* ---- dropout ---- */

/* Each of the three drops in training, by seed, step and place, and in training alone. */
static void test_dropout_in_training(void **state)
{
    (void)state;
    const mo_run train = {.seed = 1, .training = true}, still = {.seed = 1};
    const mo_run others[] = {{.seed = 2, .training = true},
                             {.seed = 1, .step = 1, .training = true},
                             {.seed = 1, .first_token = T, .training = true}};
    double plain[TOKENS], x[TOKENS];
    for (int which = 0; which < 3; which++) {
        mo_model_config c = dropping(which == 0 ? 0.1 : 0, which == 1 ? 0.1 : 0, which == 2 ? 0.1 : 0);
        c.router = MO_ROUTER_TOPK;
        mo_model *m = small_model_make(c);
        assert_false(same_losses(m, MO_GRAPH_TRAIN, train, still));
        for (int i = 0; i < 3; i++) assert_false(same_losses(m, MO_GRAPH_TRAIN, train, others[i]));
        assert_true(same_losses(m, MO_GRAPH_LOSS, train, still));
        evaluate(m, MO_GRAPH_LOSS, still, which ? x : plain);
        if (which) assert_memory_equal(x, plain, sizeof x);
        evaluate(m, MO_GRAPH_TRAIN, still, x);
        assert_memory_equal(x, plain, sizeof x);
        mo_model_free(m);
    }
}

/* Fills what each dropout node of the graph drops; returns how many there are. */
static int drops_of(mo_model_config c, mo_graph_kind kind, mo__dropout *drops)
{
    mo_model *m = small_model_make(c);
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = kind, .batch_size = 1});
    int count = 0;
    for (int i = 0; i < mo_graph_node_count(t->graph); i++) {
        const mo_node *node = mo_graph_node_at(t->graph, i);
        if (strcmp(node->op->name, "dropout") == 0) drops[count++] = *(const mo__dropout *)node->attr;
    }
    mo_model_graph_free(t);
    mo_model_free(m);
    return count;
}

/* One node for the embedding, two for each layer, each with a stream of its own; none where p is 0, and none
 * in graphs that do not train. */
static void test_dropout_nodes(void **state)
{
    (void)state;
    mo__dropout drops[16];
    assert_int_equal(drops_of(small, MO_GRAPH_TRAIN, drops), 0);
    assert_int_equal(drops_of(dropping(0, 0, 0.5), MO_GRAPH_TRAIN, drops), 0);
    assert_int_equal(drops_of(dropping(0.5, 0.5, 0.5), MO_GRAPH_LOSS, drops), 0);
    assert_int_equal(drops_of(dropping(0, 0.5, 0), MO_GRAPH_TRAIN, drops), 4);
    assert_int_equal(drops_of(dropping(0.25, 0.5, 0), MO_GRAPH_TRAIN, drops), 5);
    for (int i = 0; i < 5; i++) {
        assert_true(drops[i].p == (i == 0 ? 0.25 : 0.5));
        for (int j = 0; j < i; j++) assert_int_not_equal(drops[i].stream, drops[j].stream);
    }
}

static mo_graph_memory memory_of(mo_model_config c, mo_recompute recompute)
{
    mo_model *m = small_model_make(c);
    mo_model_graph *t = open_graph(
        m, (mo_model_graph_options){.kind = MO_GRAPH_TRAIN, .batch_size = 4, .recompute = recompute});
    mo_graph_memory memory = mo_graph_memory_use(t->graph);
    mo_model_graph_free(t);
    mo_model_free(m);
    return memory;
}

/* No mask is stored: dropout keeps nothing for backward, and a stream's worth of room is all that it takes.
 */
static void test_dropout_memory(void **state)
{
    (void)state;
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++) {
        mo_graph_memory without = memory_of(small, (mo_recompute)policy),
                        with = memory_of(dropping(0.5, 0.5, 0.5), (mo_recompute)policy);
        size_t stream = (size_t)(4 * T * small.hidden_size) * sizeof(mo_real);
        assert_int_equal(with.kept, without.kept);
        assert_int_equal(with.scratch, without.scratch);
        assert_in_range(with.arena, without.arena, without.arena + stream);
    }
}

/* Each layer's count of assignments is K per valid token, and padding is nobody. */
static void test_routing(void **state)
{
    (void)state;
    mo_model *m = small_model_make(small);
    mo_model_graph *t = open_graph(m, (mo_model_graph_options){.kind = MO_GRAPH_LOSS, .batch_size = 8});
    load(t, 0);
    mo_graph_forward(t->graph, &(mo_run){0});
    assert_int_equal(t->n_routing, 2);
    for (int l = 0; l < 2; l++) {
        const double *stats = t->routing[l].stats->data;
        const int32_t *ids = t->routing[l].ids_NK->data;
        assert_int_equal(t->routing[l].layer, l);
        assert_true(stats[0] + stats[1] + stats[2] + stats[3] == 2 * (double)valid &&
                    stats[4] == (double)valid);
        for (int i = 0; i < TOKENS; i++) assert_true((ids[2 * i] < 0) == (tokens[i] < 0));
    }
    mo_model_graph_free(t);
    mo_model_free(m);
}

/* A tied table's gradient is the sum of the table's and the head's. */
static void test_tied(void **state)
{
    (void)state;
    mo_model_config c = small;
    mo_model *apart = small_model_make(c);
    c.tie_word_embeddings = true;
    mo_model *tied = small_model_make(c);
    const mo_param *table = mo_model_find(apart, "model.embed_tokens.weight"),
                   *head = mo_model_find(apart, "lm_head.weight");
    memcpy(apart->value + head->offset, apart->value + table->offset, (size_t)head->count * sizeof(mo_real));
    step_loss a = run_step(apart, 4, all_losses, MO_RECOMPUTE_NONE, true);
    step_loss b = run_step(tied, 4, all_losses, MO_RECOMPUTE_NONE, true);
    assert_memory_equal(&a, &b, sizeof a);
    for (int64_t i = 0; i < table->count; i++)
        apart->grad[table->offset + i] += apart->grad[head->offset + i];
    assert_true(table->offset == 0 && tied->params[0].offset == 0);
    assert_true(small_model_difference(apart->grad, tied->grad, table->count) <= TOLERANCE);
    mo_model_free(apart);
    mo_model_free(tied);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequence_scope),
                                       cmocka_unit_test(test_microbatch_scope),
                                       cmocka_unit_test(test_uneven_microbatches),
                                       cmocka_unit_test(test_loss_is_a_mean),
                                       cmocka_unit_test(test_scale_of_everything),
                                       cmocka_unit_test(test_balanced_values),
                                       cmocka_unit_test(test_layer_average),
                                       cmocka_unit_test(test_recompute),
                                       cmocka_unit_test(test_noise),
                                       cmocka_unit_test(test_dropout_in_training),
                                       cmocka_unit_test(test_dropout_nodes),
                                       cmocka_unit_test(test_dropout_memory),
                                       cmocka_unit_test(test_routing),
                                       cmocka_unit_test(test_tied)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
