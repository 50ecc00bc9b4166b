/* test_hf.c -- model folders that transformers wrote (tests/golden/make_hf.py), opened: configs, where
 * parameters lie, and the logits that transformers computes from the same files. */
#include "harness/golden_model.h"

#include <math.h>
#include <string.h>

#include "moira/hf.h"

static mo_hf *open_folder(const char *name)
{
    char path[100];
    mo_hf *hf = NULL;
    snprintf(path, sizeof path, "tests/golden/hf/%s", name);
    MO_CHECK_OK(mo_hf_open(path, &hf));
    return hf;
}

/* ---- values, decoded here by the definition of the formats ---- */

static double decode(unsigned bits, int exponent_bits, int fraction_bits)
{
    unsigned fraction = bits & ((1u << fraction_bits) - 1);
    int exponent = (int)(bits >> fraction_bits & ((1u << exponent_bits) - 1)),
        bias = (1 << (exponent_bits - 1)) - 1;
    double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1 : 1;
    if (exponent == 0) return sign * ldexp((double)fraction, 1 - bias - fraction_bits);
    return sign * ldexp((double)(fraction | 1u << fraction_bits), exponent - bias - fraction_bits);
}

static double value_at(const mo_stored *s, int64_t i)
{
    const char *at =
        (const char *)s->part[i / s->part_elements] + i % s->part_elements * (int64_t)mo_dtype_size(s->dtype);
    uint16_t half;
    float whole;
    memcpy(&half, at, sizeof half);
    if (s->dtype == MO_BF16) return decode(half, 8, 7);
    if (s->dtype == MO_F16) return decode(half, 5, 10);
    memcpy(&whole, at, sizeof whole);
    return (double)whole;
}

static const mo_stored *stored_of(const mo_hf *hf, const mo_param *p)
{
    const mo_stored *s = NULL;
    MO_CHECK_OK(mo_hf_stored(hf, p, &s));
    assert_non_null(s);
    assert_int_equal(s->parts * s->part_elements, p->count);
    return s;
}

static mo_model *load(const mo_hf *hf)
{
    mo_model *m = NULL;
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_model_create(mo_hf_config(hf), &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    for (int i = 0; i < m->n_params; i++) {
        const mo_stored *s = stored_of(hf, &m->params[i]);
        for (int64_t j = 0; j < m->params[i].count; j++)
            m->value[m->params[i].offset + j] = (mo_real)value_at(s, j);
    }
    return m;
}

static void check_logits(const char *folder, const char *group)
{
    golden *file = golden_open("hf_logits");
    mo_hf *hf = open_folder(folder);
    mo_model *m = load(hf);
    golden_model g = {.file = file, .batch = 1, .sequence = 12};
    snprintf(g.group, sizeof g.group, "%s/", group);
    double tolerance = sizeof(mo_real) == sizeof(double) ? 1e-9 : 1e-4;
    golden_model_check_logits(&g, m, (const int64_t[]){12}, 1, tolerance);
    golden_model_check_logits(&g, m, (const int64_t[]){7, 1, 4}, 3, tolerance);
    mo_model_free(m);
    mo_hf_close(hf);
    golden_close(file);
}

static void test_logits(void **state)
{
    (void)state;
    check_logits("mixtral_shards", "mixtral");
    check_logits("mixtral_fused", "mixtral");
    check_logits("mixtral_f32", "mixtral_f32");
    check_logits("fused_f32", "mixtral_f32");
    check_logits("mistral", "mistral");
    check_logits("llama", "llama");
}

/* The same weights in both layouts: every part has the same bytes. */
static void check_same(const char *one, const char *other, mo_dtype dtype)
{
    mo_hf *a = open_folder(one), *b = open_folder(other);
    mo_model *m = NULL;
    MO_CHECK_OK(mo_model_create(mo_hf_config(a), &m));
    for (int i = 0; i < m->n_params; i++) {
        const mo_stored *s = stored_of(a, &m->params[i]), *t = stored_of(b, &m->params[i]);
        assert_int_equal(s->dtype, dtype);
        assert_int_equal(t->dtype, dtype);
        assert_int_equal(s->parts, m->params[i].ndim == 3 ? 4 : 1);
        assert_int_equal(t->parts, s->parts);
        for (int64_t k = 0; k < s->parts; k++)
            assert_memory_equal(s->part[k], t->part[k], (size_t)s->part_elements * mo_dtype_size(dtype));
    }
    assert_string_not_equal(mo_hf_digest(a), mo_hf_digest(b));
    mo_model_free(m);
    mo_hf_close(a);
    mo_hf_close(b);
}

static void test_layouts(void **state)
{
    (void)state;
    check_same("mixtral_shards", "mixtral_fused", MO_BF16);
    check_same("mixtral_f32", "fused_f32", MO_F32);
}

static void test_config(void **state)
{
    (void)state;
    mo_hf *hf = open_folder("mixtral_f32");
    const mo_model_config *c = mo_hf_config(hf);
    assert_int_equal(c->vocab_size, 48);
    assert_int_equal(c->head_dim, 6);
    assert_int_equal(c->num_key_value_heads, 2);
    assert_int_equal(c->num_local_experts, 4);
    assert_int_equal(c->num_experts_per_tok, 2);
    assert_int_equal(c->norm_topk_prob, MO_CHOICE_TRUE);
    assert_int_equal(c->sliding_window, 0);
    assert_int_equal(c->max_position_embeddings, 64);
    assert_true(c->tie_word_embeddings);
    assert_true(c->rope_theta == 5000 && c->rms_norm_eps == 1e-5 && c->initializer_range == 0.25);
    assert_true(mo_hf_router_aux_loss_coef(hf) == 0.02);
    assert_null(mo_hf_tokenizer(hf));
    mo_hf_close(hf);
    hf = open_folder("mistral");
    assert_int_equal(mo_hf_config(hf)->sliding_window, 5);
    assert_int_equal(mo_hf_config(hf)->num_local_experts, 0);
    assert_true(mo_hf_router_aux_loss_coef(hf) == 0);
    mo_hf_close(hf);
}

static void test_files(void **state)
{
    (void)state;
    mo_hf *hf = open_folder("mixtral_shards");
    int n = 0;
    const mo_checkpoint_file *files = mo_hf_files(hf, &n);
    assert_int_equal(n, 3);
    assert_string_equal(files[0].name, "config.json");
    assert_string_equal(files[1].name, "tokenizer.model");
    assert_string_equal(files[2].name, "tokenizer_config.json");
    assert_int_equal(files[2].size, 86);
    assert_non_null(mo_hf_tokenizer(hf));
    assert_int_equal(mo_tokenizer_vocab_size(mo_hf_tokenizer(hf)), 600);
    mo_hf_close(hf);
}

/* Parameters that the folder does not have, and one of another shape. */
static void test_other_parameters(void **state)
{
    (void)state;
    mo_hf *hf = open_folder("mixtral_fused");
    const mo_stored *s = NULL;
    mo_param p = {.name = (char *)(uintptr_t) "model.layers.0.self_attn.q_proj.lora_A.weight", .ndim = 2};
    MO_CHECK_OK(mo_hf_stored(hf, &p, &s));
    assert_null(s);
    p = (mo_param){.name = (char *)(uintptr_t) "model.norm.weight", .ndim = 1, .dim = {8}};
    MO_CHECK_STATUS(mo_hf_stored(hf, &p, &s), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("model.norm.weight is [16], and the model's is [8]");
    mo_hf_close(hf);
}

static mo_status open_close(const char *path)
{
    mo_hf *hf;
    MO_TRY(mo_hf_open(path, &hf));
    mo_hf_close(hf);
    return MO_OK;
}

static void test_memory(void **state)
{
    (void)state;
    int n = 0;
    int64_t live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(n, open_close("tests/golden/hf/fused_f32"));
    assert_true(n > 20);
    assert_int_equal(mo__alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),           cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_config),           cmocka_unit_test(test_files),
        cmocka_unit_test(test_other_parameters), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
