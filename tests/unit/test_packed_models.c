/* test_packed_models.c -- a window of several documents is the documents: the same losses, the same gradients
 * and the same evaluation as one by one, for dense models and for experts; windows without anything to
 * predict, or without tokens, do no harm. */
#include <math.h>
#include <string.h>

#include "data/batch.h"
#include "harness/small_model.h"
#include "moira/train.h"

enum { VOCAB = 29, DOCUMENTS = 41, LONGEST = 24, L = 96 };

static const mo_model_config dense = {.vocab_size = VOCAB,
                                      .hidden_size = 16,
                                      .intermediate_size = 24,
                                      .num_hidden_layers = 2,
                                      .num_attention_heads = 4,
                                      .num_key_value_heads = 2,
                                      .max_position_embeddings = 4 * L,
                                      .rope_theta = 10000,
                                      .rms_norm_eps = 1e-5,
                                      .initializer_range = 0.4};

static mo_model_config with_experts(void)
{
    mo_model_config c = dense;
    c.num_local_experts = 4;
    c.num_experts_per_tok = 2;
    c.router = MO_ROUTER_TOPK;
    c.norm_topk_prob = true;
    return c;
}

/* ---- documents ---- */

static uint8_t ids[DOCUMENTS * LONGEST], mask[DOCUMENTS * LONGEST];
static uint64_t offsets[DOCUMENTS + 1];
static mo_tokens all = {.width = 1, .data = ids, .offsets = offsets, .mask = mask, .whole = true};
static mo_tokenizer *tokenizer;

/* Of 1 to LONGEST tokens, the first of them read only; every seventh has nothing to predict. */
static int setup(void **state)
{
    (void)state;
    for (int d = 0; d < DOCUMENTS; d++) {
        int n = 1 + (int)(mo_rng_uniform(8, MO_RNG_TEST, 0, 1, (uint64_t)d) * LONGEST);
        for (int i = 0; i < n; i++, all.count++) {
            ids[all.count] = (uint8_t)(mo_rng_uniform(8, MO_RNG_TEST, 0, 2, (uint64_t)all.count) * VOCAB);
            mask[all.count] = i > n / 3 && d % 7 != 2;
        }
        offsets[++all.documents] = (uint64_t)all.count;
    }
    MO_CHECK_OK(mo_tokenizer_bytes(&tokenizer));
    return mo_blas_init() == MO_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    mo_tokenizer_free(tokenizer);
    return 0;
}

/* ---- one by one, and packed ---- */

typedef struct outcome {
    double loss, balance[MO_BALANCE_LOSSES];
    double row_loss[DOCUMENTS * LONGEST]; /* by the token's place in the split */
    mo_real *gradient;
    int64_t predicted, valid;
} outcome;

static void add(mo_model_graph *t, const mo_batch *batch, outcome *out)
{
    double balance[MO_BALANCE_LOSSES];
    mo_run run = {.training = true};
    mo_model_graph_feed(t, batch);
    mo_model_graph_scale(t, 300, 400);
    mo_graph_train(t->graph, &run);
    out->loss += mo_model_graph_loss(t, balance);
    for (int b = 0; b < MO_BALANCE_LOSSES; b++) out->balance[b] += balance[b];
    for (int64_t n = 0; n < batch->batch_size * batch->sequence_length; n++) {
        int64_t at = batch->at[n];
        if (at < 0) continue;
        out->row_loss[at] = ((double *)t->row_loss->data)[n];
        /* rotary attention cannot tell, but routers may */
        assert_int_equal(((int32_t *)t->positions->data)[n],
                         at - (int64_t)offsets[mo__document_at(&all, at)]);
    }
    out->predicted += batch->predicted;
    out->valid += batch->valid;
}

/* Windows of `length` tokens, B at once, with a document each or packed. */
static void run_all(const mo_model_config *config, bool packed, int64_t B, int64_t length, outcome *out)
{
    mo_model *m = small_model_make(*config);
    mo_model_graph *t = small_model_graph(
        m, (mo_model_graph_options){.kind = MO_GRAPH_TRAIN,
                                    .batch_size = B,
                                    .sequence_length = length,
                                    .balance = {.z_loss = config->num_local_experts ? 0.1 : 0}});
    mo_packing p;
    mo_batch *batch;
    int64_t first[DOCUMENTS + 1], document[DOCUMENTS];
    for (int d = 0; d <= DOCUMENTS; d++) first[d] = d;
    for (int d = 0; d < DOCUMENTS; d++) document[d] = d;
    MO_CHECK_OK(mo_packing_create(&all, length, &p));
    MO_CHECK_OK(mo_batch_create(B, length, &batch));
    mo_packing single = {.windows = DOCUMENTS, .first = first, .document = document};
    const mo_packing *used = packed ? &p : &single;
    if (packed) assert_true(p.windows * 3 < DOCUMENTS); /* several documents in a window */
    memset(out, 0, sizeof *out);
    for (int64_t w = 0; w < used->windows; w += B) {
        mo__batch_clear(batch);
        for (int64_t row = 0; row < B; row++) {
            if (w + row < used->windows)
                mo__batch_fill_packed(&all, tokenizer, used, w + row, batch, row);
            else
                mo__batch_pad_row(batch, row);
        }
        add(t, batch, out);
    }
    out->gradient = mo_malloc((size_t)m->elements * sizeof(mo_real));
    memcpy(out->gradient, m->grad, (size_t)m->elements * sizeof(mo_real));
    mo_packing_free(&p);
    mo_batch_free(batch);
    mo_model_graph_free(t);
    mo_model_free(m);
}

/* float: sums of a few hundred terms of rounding 2^-24; double leaves room for the same in 2^-53. */
static const double TOLERANCE = sizeof(mo_real) == sizeof(float) ? 2e-5 : 1e-12;

static void check_same(const mo_model_config *config)
{
    outcome one, packed;
    mo_model *m = small_model_make(*config);
    run_all(config, false, 1, LONGEST, &one);
    for (int64_t B = 1; B <= 3; B += 2) {
        run_all(config, true, B, L, &packed);
        assert_true(one.predicted == packed.predicted && one.valid == packed.valid && one.valid == all.count);
        MO_CHECK_NEAR(packed.loss / one.loss, 1, TOLERANCE);
        for (int64_t i = 0; i < all.count; i++)
            MO_CHECK_NEAR(packed.row_loss[i], one.row_loss[i], TOLERANCE * 10);
        double z = one.balance[MO_BALANCE_Z_LOSS];
        if (config->num_local_experts) MO_CHECK_NEAR(packed.balance[MO_BALANCE_Z_LOSS] / z, 1, TOLERANCE);
        for (int i = 0; i < m->n_params; i++) {
            const mo_param *p = &m->params[i];
            double d =
                small_model_difference(one.gradient + p->offset, packed.gradient + p->offset, p->count);
            if (!(d <= TOLERANCE)) fail_msg("%s: gradients differ by %g", p->name, d);
        }
        mo_free(packed.gradient);
    }
    mo_free(one.gradient);
    mo_model_free(m);
}

static void dense_models_see_single_documents(void **state)
{
    (void)state;
    check_same(&dense);
}

static void experts_see_single_documents(void **state)
{
    (void)state;
    mo_model_config c = with_experts();
    check_same(&c);
    c.sliding_window = 7;
    check_same(&c);
}

/* ---- nothing to predict, nothing at all ---- */

static void empty_windows_do_no_harm(void **state)
{
    (void)state;
    mo_model_config c = with_experts();
    const mo_balance_config every = {.switch_loss = 0.1,
                                     .mixtral = 0.1,
                                     .gshard = 0.1,
                                     .sequence = 0.1,
                                     .importance = 0.1,
                                     .z_loss = 0.1,
                                     .scope = MO_SCOPE_SEQUENCE};
    c.capacity_factor = 1;
    mo_model *m = small_model_make(c);
    mo_model_graph *t = small_model_graph(
        m, (mo_model_graph_options){
               .kind = MO_GRAPH_TRAIN, .batch_size = 2, .sequence_length = LONGEST, .balance = every});
    mo_batch *batch;
    outcome *out = mo_calloc(1, sizeof *out);
    MO_CHECK_OK(mo_batch_create(2, LONGEST, &batch));
    mo__batch_clear(batch);
    mo__batch_pad_row(batch, 0);
    mo__batch_pad_row(batch, 1);
    add(t, batch, out);
    assert_true(out->loss == 0 && batch->predicted == 0 && batch->valid == 0);
    for (int b = 0; b < MO_BALANCE_LOSSES; b++) assert_true(out->balance[b] == 0);
    for (int64_t i = 0; i < m->elements; i++) assert_true(m->grad[i] == 0);

    static const int64_t first[] = {0, 1}, document[] = {2}; /* read only */
    mo_packing one = {
        .windows = 1, .first = (int64_t *)(uintptr_t)first, .document = (int64_t *)(uintptr_t)document};
    mo__batch_clear(batch);
    mo__batch_fill_packed(&all, tokenizer, &one, 0, batch, 0);
    mo__batch_pad_row(batch, 1);
    add(t, batch, out);
    assert_true(out->loss == 0 && batch->predicted == 0 && batch->valid > 1);
    double sum = 0; /* the balancing losses still have something to say */
    for (int64_t i = 0; i < m->elements; i++) sum += fabs((double)m->grad[i]);
    assert_true(isfinite(sum) && sum > 0);
    mo_model_graph_scale(t, 0, 0); /* a step of such windows alone */
    mo_graph_train(t->graph, &(mo_run){.training = true});
    for (int64_t i = 0; i < m->elements; i++) assert_true(isfinite((double)m->grad[i]));
    mo_batch_free(batch);
    mo_free(out);
    mo_model_graph_free(t);
    mo_model_free(m);
}

/* ---- evaluation ---- */

/* Whatever the windows' length, and however many at once: every predicted token once, and the same loss. */
static void evaluation_hangs_on_no_length(void **state)
{
    (void)state;
    mo_model_config c = with_experts();
    mo_model *m = small_model_make(c);
    mo_tokenfile file = {.path = (char[]){"t.h5"}, .tokenizer = tokenizer, .vocab_size = VOCAB};
    file.split[MO_SPLIT_VALIDATION] = all;
    double first = 0;
    int64_t predicted = 0;
    for (int i = 1; i < all.count; i++) predicted += mask[i]; /* no document begins with a 1 */
    static const int64_t lengths[] = {LONGEST, 31, 4 * LONGEST, 4 * L};
    for (int k = 0; k < 4; k++) {
        mo_eval_result r;
        mo_eval_options o = {.file = &file,
                             .split = MO_SPLIT_VALIDATION,
                             .sequence_length = lengths[k],
                             .batch_size = 1 + k % 3};
        MO_CHECK_OK(mo_evaluate(m, &o, &r));
        if (k == 0) first = r.loss;
        assert_int_equal(r.tokens, predicted);
        assert_int_equal(r.bytes, predicted);
        MO_CHECK_NEAR(r.loss, first, 1e-6);
        MO_CHECK_NEAR(r.perplexity, exp(r.loss), 1e-9);
        MO_CHECK_NEAR(r.bits_per_byte, r.loss / log(2), 1e-9);
        mo_eval_result_free(&r);
    }
    mo_eval_result r;
    mo_eval_options o = {
        .file = &file, .split = MO_SPLIT_VALIDATION, .sequence_length = LONGEST - 1, .batch_size = 1};
    MO_CHECK_STATUS(mo_evaluate(m, &o, &r), MO_E_RANGE);
    MO_CHECK_MESSAGE("t.h5: validation: document ");
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_models_see_single_documents),
        cmocka_unit_test(experts_see_single_documents),
        cmocka_unit_test(empty_windows_do_no_harm),
        cmocka_unit_test(evaluation_hangs_on_no_length),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
