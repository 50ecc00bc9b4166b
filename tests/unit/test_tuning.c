/* test_tuning.c -- what of a model trains: patterns, adapters' names and shapes, places in the slabs, counts,
 * what is refused. tests/ops/test_tuned_models.c has the gradients. */
#include <math.h>
#include <string.h>

#include "harness/small_model.h"
#include "moira/train.h"

static const mo_model_config small = {.vocab_size = 11,
                                      .hidden_size = 8,
                                      .intermediate_size = 20,
                                      .num_hidden_layers = 3,
                                      .num_attention_heads = 2,
                                      .num_key_value_heads = 1,
                                      .max_position_embeddings = 16,
                                      .num_local_experts = 4,
                                      .num_experts_per_tok = 2,
                                      .first_k_dense_replace = 1,
                                      .router = MO_ROUTER_TOPK,
                                      .norm_topk_prob = MO_CHOICE_TRUE,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.02};

/* Up to four patterns, or targets if the rank is not 0, as one text with spaces. */
typedef struct said {
    mo_tuning_config config;
    char text[120];
    mo_text list[4];
} said;

static mo_tuning_config *say(said *t, const char *freeze, int64_t rank, const char *targets)
{
    int64_t count = 0;
    const char *words = freeze ? freeze : targets;
    *t = (said){.config = {.lora = {.rank = rank, .alpha = 6}}};
    snprintf(t->text, sizeof t->text, "%s", words ? words : "");
    for (char *rest = t->text, *word; (word = strsep(&rest, " ")) != NULL;)
        if (*word) t->list[count++].text = word;
    if (freeze) {
        t->config.freeze.at = t->list;
        t->config.freeze.count = count;
    } else {
        t->config.lora.targets.at = t->list;
        t->config.lora.targets.count = count;
    }
    return &t->config;
}

static mo_model *make(const mo_model_config *c, const mo_tuning_config *tuning)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create_tuned(c, tuning, &m));
    return m;
}

static bool is_frozen(const mo_model *m, const char *name)
{
    const mo_param *p = mo_model_find(m, name);
    if (!p) fail_msg("%s is not there", name);
    return p->frozen;
}

#define L1 "model.layers.1."
static const char w1[] = L1 "block_sparse_moe.experts.w1.weight", gate[] = L1 "block_sparse_moe.gate.weight",
                  q[] = L1 "self_attn.q_proj.weight";

/* ---- patterns ---- */

static void test_patterns(void **state)
{
    (void)state;
    said t;
    mo_model *m = make(&small, say(&t, "experts", 0, NULL));
    assert_true(is_frozen(m, w1) && !is_frozen(m, gate) && !is_frozen(m, q));
    mo_model_free(m);
    m = make(&small,
             say(&t, "* !experts !*.2.self_attn.* *.w3.weight", 0, NULL)); /* the last that fits counts */
    assert_true(!is_frozen(m, w1) && is_frozen(m, gate) && is_frozen(m, q));
    assert_false(is_frozen(m, "model.layers.2.self_attn.q_proj.weight"));
    assert_true(is_frozen(m, L1 "block_sparse_moe.experts.w3.weight"));
    mo_model_free(m);
    m = make(&small, say(&t, "", 0, NULL));
    for (int i = 0; i < m->n_params; i++) assert_false(m->params[i].frozen);
    assert_false(mo_model_tuned(m));
    mo_model_free(m);
}

static void check_refused(const mo_tuning_config *tuning, const char *text)
{
    mo_model *m = NULL;
    mo_model_config unknown = small;
    unknown.vocab_size = 0;
    MO_CHECK_STATUS(mo_model_create_tuned(&small, tuning, &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
    assert_null(m);
    MO_CHECK_STATUS(mo_tuning_check(&unknown, tuning), MO_E_CONFIG);
    MO_CHECK_MESSAGE(text);
}

static void test_refused(void **state)
{
    (void)state;
    said t;
    check_refused(say(&t, "expert", 0, NULL), "freeze[0]: 'expert' fits no parameter; did you mean experts?");
    check_refused(say(&t, "norms routers", 0, NULL),
                  "freeze[1]: 'routers' fits no parameter; did you mean router?");
    check_refused(say(&t, "norms !lm_haed.weight", 0, NULL),
                  "freeze[1]: '!lm_haed.weight' fits no parameter; did you mean lm_head.weight?");
    check_refused(say(&t, "x.y.z", 0, NULL), "they are called model.embed_tokens.weight, model.layers.0.");
    check_refused(say(&t, "norms !experts", 0, NULL),
                  "freeze[1]: '!experts' trains again what is frozen, but nothing that fits it is");
    check_refused(say(&t, "*", 0, NULL), "freeze: all parameters are frozen, so there is nothing to train");
    check_refused(say(&t, "*", 2, NULL), "so there is nothing to train");
    check_refused(say(&t, NULL, 2, "q_proj gate"),
                  "lora.targets[1]: 'gate' is nothing that this model has; it has "
                  "q_proj, k_proj, v_proj, o_proj, w1, w2, w3, gate_proj, "
                  "up_proj, down_proj");
    check_refused(say(&t, NULL, -1, NULL), "lora.rank is -1; must be at least 1, or 0 for no adapters");
    say(&t, NULL, 2, NULL);
    t.config.lora.dropout = 1;
    check_refused(&t.config, "lora.dropout is 1; must be at least 0 and below 1");
    t.config.lora.dropout = 0;
    t.config.lora.alpha = 0;
    check_refused(&t.config, "lora.alpha is 0; must be above 0");
    mo_model_config dense = small;
    dense.num_local_experts = dense.num_experts_per_tok = 0;
    mo_model *m;
    MO_CHECK_STATUS(mo_model_create_tuned(&dense, say(&t, NULL, 2, "w1"), &m), MO_E_CONFIG);
    MO_CHECK_MESSAGE("lora.targets[0]: 'w1' is nothing that this model has; it has q_proj, k_proj, v_proj, "
                     "o_proj, gate_proj, up_proj, down_proj");
    MO_CHECK_OK(mo_tuning_check(&small, say(&t, NULL, 0, NULL)));
}

/* ---- adapters ---- */

static void check_adapter(const mo_model *m, const char *name, int ndim, int64_t a, int64_t b, int64_t c,
                          int init, double bound)
{
    const mo_param *p = mo_model_find(m, name);
    if (!p) fail_msg("%s is not there", name);
    assert_int_equal(p->ndim, ndim);
    assert_true(p->dim[0] == a && p->dim[1] == b && (ndim == 2 || p->dim[2] == c));
    assert_int_equal(p->init, init);
    assert_true(p->init_std == bound && p->decay && mo_param_trains(p));
}

static void test_adapters(void **state)
{
    (void)state;
    said t;
    mo_model *m = make(&small, say(&t, NULL, 3, NULL)), *base = make(&small, NULL);
    assert_int_equal(m->n_params - base->n_params, 2 * (3 * 4 + 3 + 2 * 3));
    check_adapter(m, L1 "self_attn.k_proj.lora_A.weight", 2, 3, 8, 0, MO_INIT_UNIFORM, 1 / sqrt(8));
    check_adapter(m, L1 "self_attn.k_proj.lora_B.weight", 2, 4, 3, 0, MO_INIT_ZERO, 0);
    check_adapter(m, L1 "block_sparse_moe.experts.w2.lora_A.weight", 3, 4, 3, 20, MO_INIT_UNIFORM,
                  1 / sqrt(20));
    check_adapter(m, L1 "block_sparse_moe.experts.w2.lora_B.weight", 3, 4, 8, 3, MO_INIT_ZERO, 0);
    check_adapter(m, "model.layers.0.mlp.down_proj.lora_A.weight", 2, 3, 20, 0, MO_INIT_UNIFORM,
                  1 / sqrt(20));
    assert_true(mo_model_find(m, L1 "block_sparse_moe.experts.w2.lora_A.weight")->active == 0.5);
    assert_true(m->lora_scale == 2);
    for (int i = 0; i < m->n_params; i++) {
        bool adapter = strstr(m->params[i].name, ".lora_") != NULL;
        assert_int_equal(m->params[i].frozen, !adapter);
        if (!adapter) assert_string_equal(m->params[i].name, base->params[i].name);
    }
    mo_model_free(m);
    m = make(&small, say(&t, "!router", 3, NULL)); /* beside adapters */
    assert_true(!is_frozen(m, gate) && is_frozen(m, q));
    mo_model_free(m);
    m = make(&small, say(&t, NULL, 3, "w2 q_proj"));
    assert_int_equal(m->n_params - base->n_params, 2 * (3 + 2));
    assert_null(mo_model_find(m, L1 "block_sparse_moe.experts.w1.lora_A.weight"));
    mo_model_free(m);
    mo_model_free(base);
}

/* Uniform within the bound, other numbers for other seeds, the base as without adapters. */
static void test_initial_values(void **state)
{
    (void)state;
    said t;
    mo_model_config c = small;
    c.hidden_size = 256;
    mo_model *m = make(&c, say(&t, NULL, 8, NULL)), *base = make(&c, NULL), *other = make(&c, &t.config);
    mo_model *all[] = {m, base, other};
    for (int i = 0; i < 3; i++) {
        MO_CHECK_OK(mo_model_allocate(all[i], MO_ALLOCATE_INFERENCE));
        mo_model_init(all[i], i < 2 ? 7 : 8);
    }
    for (int i = 0; i < base->n_params; i++) {
        const mo_param *p = &base->params[i], *own = mo_model_find(m, p->name);
        assert_memory_equal(m->value + own->offset, base->value + p->offset,
                            (size_t)p->count * sizeof(mo_real));
    }
    const mo_param *a = mo_model_find(m, L1 "self_attn.q_proj.lora_A.weight"),
                   *b = mo_model_find(m, L1 "self_attn.q_proj.lora_B.weight");
    double bound = 1.0 / 16, n = (double)a->count, sum = 0, squares = 0;
    for (int64_t i = 0; i < a->count; i++) {
        double x = (double)m->value[a->offset + i];
        assert_true(fabs(x) <= bound);
        sum += x;
        squares += x * x;
    }
    MO_CHECK_NEAR(sum / n, 0, 5 * bound / sqrt(3 * n));
    MO_CHECK_NEAR(squares / n, bound * bound / 3, 5 * bound * bound * sqrt(4.0 / 45 / n));
    for (int64_t i = 0; i < b->count; i++) assert_true(m->value[b->offset + i] == 0);
    assert_memory_not_equal(m->value + a->offset, other->value + a->offset,
                            (size_t)a->count * sizeof(mo_real));
    for (int i = 0; i < 3; i++) mo_model_free(all[i]);
}

/* ---- places ---- */

/* What trains first, then the rest, in order, no two at one place. */
static void check_places(const mo_model *m)
{
    int64_t end = 0, rest = m->trainable;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        const mo_segment *s = &m->segments[i];
        if (p->stored) continue;
        assert_int_equal(s->offset, p->offset);
        assert_int_equal(s->count, mo_param_trains(p) ? p->count : 0);
        int64_t *at = mo_param_trains(p) ? &end : &rest;
        assert_int_equal(p->offset, *at);
        *at += (p->count + 15) / 16 * 16;
    }
    assert_int_equal(end, m->trainable);
    assert_int_equal(rest, m->elements);
}

static void test_places(void **state)
{
    (void)state;
    said t;
    static const char *const patterns[] = {"experts", "router norms", "* !experts"};
    mo_model *plain = make(&small, NULL), *none = make(&small, say(&t, NULL, 0, NULL));
    assert_true(plain->elements == plain->trainable && none->elements == plain->elements);
    for (int i = 0; i < plain->n_params; i++)
        assert_true(plain->params[i].offset == none->params[i].offset &&
                    (i == 0 || plain->params[i].offset > plain->params[i - 1].offset));
    for (int i = 0; i < 3; i++) {
        mo_model *m = make(&small, say(&t, patterns[i], 0, NULL));
        assert_true(mo_model_tuned(m));
        assert_int_equal(m->elements, plain->elements);
        check_places(m);
        mo_model_free(m);
    }
    mo_model *m = make(&small, say(&t, NULL, 2, NULL));
    assert_int_equal(m->elements - m->trainable, plain->elements);
    check_places(m);
    mo_model_free(m);
    mo_model_free(plain);
    mo_model_free(none);
}

/* A mapped matrix leaves the slab; its values come from where it lies. */
static void test_mapped(void **state)
{
    (void)state;
    said t;
    mo_model *m = make(&small, say(&t, NULL, 2, NULL));
    int64_t elements = m->elements, trainable = m->trainable;
    float values[4 * 20 * 8];
    const void *parts[4];
    for (int i = 0; i < 4 * 20 * 8; i++) values[i] = (float)i / 64;
    for (int e = 0; e < 4; e++) parts[e] = values + e * 20 * 8;
    const mo_stored stored = {MO_F32, 4, 20 * 8, parts};
    const mo_param *p = mo_model_find(m, w1);
    mo_model_map(m, p, &stored);
    assert_ptr_equal(p->stored, &stored);
    assert_int_equal(m->elements, elements - 4 * 20 * 8);
    assert_int_equal(m->trainable, trainable);
    check_places(m);
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 3);
    mo_real merged[20 * 8];
    MO_CHECK_OK(mo_model_merged(m, p, 2, merged)); /* B is zero */
    for (int i = 0; i < 20 * 8; i++) assert_true(merged[i] == (mo_real)values[2 * 20 * 8 + i]);
    mo_real some[200];
    mo_model_values(m, p, 100, 200, some); /* of two parts */
    for (int i = 0; i < 200; i++) assert_true(some[i] == (mo_real)values[100 + i]);
    const mo_param *b = mo_model_find(m, L1 "block_sparse_moe.experts.w1.lora_B.weight"),
                   *a = mo_model_find(m, L1 "block_sparse_moe.experts.w1.lora_A.weight");
    mo_real *b2 = m->value + b->offset + 2 * 20 * 2, *a2 = m->value + a->offset + 2 * 2 * 8;
    for (int i = 0; i < 40; i++) b2[i] = (mo_real)(i % 7 - 3);
    MO_CHECK_OK(mo_model_merged(m, p, 2, merged));
    for (int o = 0; o < 20; o++)
        for (int i = 0; i < 8; i++)
            MO_CHECK_NEAR(
                (double)merged[o * 8 + i],
                (double)values[2 * 160 + o * 8 + i] +
                    3.0 * ((double)b2[2 * o] * (double)a2[i] + (double)b2[2 * o + 1] * (double)a2[8 + i]),
                1e-5);
    mo_model_free(m);
}

/* ---- what the rest sees ---- */

static void test_counts(void **state)
{
    (void)state;
    said t;
    mo_model *m = make(&small, say(&t, "experts", 0, NULL)), *plain = make(&small, NULL);
    int64_t experts = 2 * 3 * 4 * 20 * 8;
    mo_model_count n = mo_model_counts(m, 10), full = mo_model_counts(plain, 10);
    assert_true(n.total == full.total && n.active == full.active && full.trainable == full.total);
    assert_int_equal(n.trainable, full.total - experts);
    MO_CHECK_NEAR(n.flops_per_token, full.flops_per_token - 2.0 * (double)experts / 2, 1e-6);
    mo_model_free(m);
    /* the head alone: forward, and its own two products */
    m = make(&small, say(&t, "* !lm_head.weight", 0, NULL));
    n = mo_model_counts(m, 10);
    assert_int_equal(n.trainable, 88);
    double forward = full.flops_per_token / 3;
    MO_CHECK_NEAR(n.flops_per_token, forward + 4 * 88, 1e-6);
    mo_model_free(m);
    mo_model_free(plain);
}

static const mo_model_part *part_of(const mo_model_part *parts, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(parts[i].name, name) == 0) return &parts[i];
    fail_msg("no part %s", name);
    return NULL;
}

static void test_parts(void **state)
{
    (void)state;
    said t;
    mo_model_part parts[MO_MODEL_PARTS];
    mo_model *m = make(&small, say(&t, NULL, 2, NULL));
    const mo_stored stored = {MO_BF16, 1, 4 * 20 * 8, (const void *const[]){&t}};
    mo_model_map(m, mo_model_find(m, w1), &stored);
    int n = mo_model_parts(m, parts);
    assert_int_equal(n, 10);
    int64_t all = 0, trained = 0;
    for (int i = 0; i < n; i++) {
        all += parts[i].parameters;
        trained += parts[i].trained;
        uint64_t bytes = (uint64_t)parts[i].trained * sizeof(mo_real);
        assert_true(parts[i].gradient_bytes == bytes && parts[i].moment_bytes == 2 * bytes);
    }
    mo_model_count count = mo_model_counts(m, 1);
    assert_true(all == count.total && trained == count.trainable);
    const mo_model_part *experts = part_of(parts, n, "experts");
    assert_int_equal(experts->parameters, 2 * 3 * 4 * 20 * 8);
    assert_int_equal(experts->mapped_bytes, 4 * 20 * 8 * 2);
    assert_int_equal(experts->value_bytes, 5 * 4 * 20 * 8 * sizeof(mo_real));
    assert_int_equal(part_of(parts, n, "adapters of experts")->trained, 2 * 3 * 4 * 2 * (20 + 8));
    assert_int_equal(part_of(parts, n, "adapters of attention")->trained, 3 * 2 * (16 + 12 + 12 + 16));
    assert_int_equal(part_of(parts, n, "adapters of feed-forward")->trained, 3 * 2 * (20 + 8));
    assert_int_equal(part_of(parts, n, "routers")->parameters, 2 * 4 * 8);
    assert_int_equal(part_of(parts, n, "norms")->parameters, 3 * 2 * 8 + 8);
    assert_int_equal(part_of(parts, n, "head")->trained, 0);
    mo_model_free(m);
}

static void test_groups(void **state)
{
    (void)state;
    said t;
    mo_optim_group group = {(char[]){"experts"}, 0.5, (double)NAN};
    mo_optim_config config = {.groups = {&group, 1}};
    mo_model *m = make(&small, say(&t, "experts", 0, NULL));
    MO_CHECK_STATUS(mo_model_group(m, &config), MO_E_CONFIG);
    MO_CHECK_MESSAGE("optimizer.groups[0].match: 'experts' fits only what is frozen (" L1
                     "block_sparse_moe.experts.w1.weight, for one)");
    group.match = (char[]){"*.1.*"};
    MO_CHECK_OK(mo_model_group(m, &config));
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        bool in = strstr(p->name, ".1.") && !p->frozen;
        assert_true(m->segments[i].rate_scale == (in ? 0.5 : 1));
    }
    mo_model_free(m);
}

static void test_arrays(void **state)
{
    (void)state;
    said t;
    mo_model *m = make(&small, say(&t, "* !router", 0, NULL));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_checkpoint_array *all, *changed;
    int n_all, n_changed;
    MO_CHECK_OK(mo_model_arrays(m, true, &all, &n_all));
    MO_CHECK_OK(mo_model_arrays_changed(m, true, &changed, &n_changed));
    assert_int_equal(n_all, m->n_params + 2 * 2);
    assert_int_equal(n_changed, 3 * 2);
    for (int i = 0; i < n_changed; i++) {
        const mo_param *p = mo_model_find(m, changed[i].name);
        const mo_real *slab = i < 2 ? m->value : i < 4 ? m->m : m->v;
        assert_true(p && !p->frozen && changed[i].data == slab + p->offset);
    }
    mo_free(all);
    mo_free(changed);
    mo_model_free(m);
}

/* A bias that balances is frozen with its router, and then no rule moves it; else it is saved as what
 * changed. */
static void test_bias(void **state)
{
    (void)state;
    said t;
    mo_model_config c = small;
    c.router = MO_ROUTER_SIGMOID;
    static const char name[] = L1 "block_sparse_moe.gate.e_score_correction_bias";
    static const double load[] = {9, 1, 1, 1};
    static const char *const freeze[] = {"router", "experts", NULL};
    for (int i = 0; i < 3; i++) {
        bool rests = i != 1;
        mo_model *m = make(&c, say(&t, freeze[i], i == 2 ? 2 : 0, NULL));
        const mo_param *p = mo_model_find(m, name);
        assert_true(p && p->buffer && p->frozen == rests && p->offset >= m->trainable);
        check_places(m);
        MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
        mo_model_move_bias(m, 1, load, 0.01);
        assert_true((m->value[p->offset] == 0) == rests);
        mo_checkpoint_array *changed;
        int n, found = 0;
        MO_CHECK_OK(mo_model_arrays_changed(m, false, &changed, &n));
        for (int a = 0; a < n; a++) found += strcmp(changed[a].name, name) == 0;
        assert_int_equal(found, !rests);
        mo_free(changed);
        mo_model_free(m);
    }
}

static mo_status create(const mo_tuning_config *tuning)
{
    mo_model *m = NULL;
    MO_TRY(mo_model_create_tuned(&small, tuning, &m));
    mo_model_free(m);
    return MO_OK;
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    said t;
    mo_text freeze[] = {{(char[]){"!norms"}}};
    int64_t before = mo__alloc_live();
    int count;
    say(&t, NULL, 2, "w1 q_proj");
    t.config.freeze.at = freeze;
    t.config.freeze.count = 1;
    MO_CHECK_EACH_ALLOCATION(count, create(&t.config));
    assert_true(count > 33); /* a name for each parameter at least */
    assert_int_equal(mo__alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_adapters), cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_places),   cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_counts),   cmocka_unit_test(test_parts),
        cmocka_unit_test(test_groups),   cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_bias),     cmocka_unit_test(test_each_allocation_may_fail),
    };
    return mo_blas_init() == MO_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
