/* test_peft.c -- adapters in PEFT's folders: the logits that PEFT computes (tests/golden/make_peft.py), there
 * and back in both layouts, and what is refused. */
#include "moira/peft.h"

#include <stdlib.h>
#include <string.h>

#include "harness/damage.h"
#include "harness/golden_model.h"
#include "hf/safetensors.h"
#include "moira/config.h"
#include "moira/pretrained.h"

static mo_trained open_with(const char *base, const char *adapter)
{
    mo_trained t;
    const mo_trained_paths paths = {.model = base, .adapter = adapter};
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_trained_open_paths(&paths, mo_config_parse, &t));
    return t;
}

static void close_it(mo_trained *t)
{
    mo_trained_free(t);
    mo_config_free(&t->config);
}

static void check_logits(const mo_model *m, const char *group)
{
    golden *file = golden_open("peft_logits");
    golden_model g = {.file = file, .batch = 1, .sequence = 12};
    snprintf(g.group, sizeof g.group, "%s/", group);
    double tolerance = sizeof(mo_real) == sizeof(double) ? 1e-9 : 1e-4;
    golden_model_check_logits(&g, m, (const int64_t[]){12}, 1, tolerance);
    golden_close(file);
}

static mo_status export(const mo_trained *t, const char *dir, bool fused)
{
    const mo_peft_export_options o = {
        .model = t->model, .tuning = &t->config.tuning, .base = "base", .fused = fused};
    return mo_peft_export(dir, &o);
}

/* Written by us in either layout, it computes the same. */
static void there_and_back(const char *dir, const char *base, const char *adapter, const char *group)
{
    mo_trained t = open_with(base, adapter);
    check_logits(t.model, group);
    for (int fused = 0; fused < 2; fused++) {
        char *path = mo_strprintf("%s/%s-%d", dir, group, fused);
        MO_CHECK_OK(export(&t, path, fused));
        mo_trained again = open_with(base, path);
        check_logits(again.model, group);
        assert_int_equal(again.model->elements, t.model->elements);
        assert_memory_equal(again.model->value, t.model->value, (size_t)t.model->elements * sizeof(mo_real));
        close_it(&again);
        mo_free(path);
    }
    close_it(&t);
}

static void same_tensors(const char *a, const char *b)
{
    mo__shard x, y;
    MO_CHECK_OK(mo__shard_open(a, &x));
    MO_CHECK_OK(mo__shard_open(b, &y));
    assert_int_equal(x.n_tensors, y.n_tensors);
    for (int64_t i = 0; i < x.n_tensors; i++) {
        int64_t k = 0;
        while (k < y.n_tensors && strcmp(x.tensors[i].name, y.tensors[k].name) != 0) k++;
        assert_true(k < y.n_tensors);
        const mo__shard_tensor *p = &x.tensors[i], *q = &y.tensors[k];
        assert_true(p->dtype == q->dtype && p->end - p->begin == q->end - q->begin);
        assert_memory_equal(p->dim, q->dim, 2 * sizeof *p->dim);
        assert_memory_equal(p->data, q->data, (size_t)(p->end - p->begin));
    }
    mo__shard_close(&x);
    mo__shard_close(&y);
}

static void experts_one_by_one(void **state)
{
    there_and_back(*state, "tests/golden/hf/mixtral_f32", "tests/golden/peft/per_expert", "per_expert");
    same_tensors(temp_path(*state, "per_expert-0/adapter_model.safetensors"),
                 "tests/golden/peft/per_expert/adapter_model.safetensors");
}

static void experts_fused(void **state)
{
    there_and_back(*state, "tests/golden/hf/mixtral_f32", "tests/golden/peft/fused", "fused");
}

static void some_matrices_of_a_dense_model(void **state)
{
    mo_trained t = open_with("tests/golden/hf/llama", "tests/golden/peft/dense");
    assert_non_null(mo_model_find(t.model, "model.layers.1.mlp.down_proj.lora_A.weight"));
    assert_null(mo_model_find(t.model, "model.layers.1.mlp.up_proj.lora_A.weight"));
    close_it(&t);
    there_and_back(*state, "tests/golden/hf/llama", "tests/golden/peft/dense", "dense");
}

/* The base in the newer layout, or as a checkpoint of ours, makes no difference. */
static void any_base(void **state)
{
    (void)state;
    mo_trained t = open_with("tests/golden/hf/fused_f32", "tests/golden/peft/per_expert");
    check_logits(t.model, "per_expert");
    close_it(&t);
}

/* ---- what is refused ---- */

static void write_config(const char *dir, const char *text)
{
    char *path = mo_path_join(dir, "adapter_config.json");
    MO_CHECK_OK(mo_write_file(path, text, strlen(text)));
    mo_free(path);
}

typedef struct shape {
    const char *name;
    int rows, columns;
    const char *type; /* of four bytes; NULL: F32 */
} shape;

static void write_tensors(const char *dir, const shape *shapes, int n)
{
    char header[2000];
    size_t used = 0, bytes = 0;
    for (int i = 0; i < n; i++) {
        size_t size = (size_t)(shapes[i].rows * shapes[i].columns) * 4;
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                                 i ? "," : "{", shapes[i].name, shapes[i].type ? shapes[i].type : "F32",
                                 shapes[i].rows, shapes[i].columns, bytes, bytes + size);
        bytes += size;
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "%s}", n ? "" : "{");
    char *file = mo_calloc(1, 8 + used + bytes), *path = mo_path_join(dir, "adapter_model.safetensors");
    uint64_t size = used;
    memcpy(file, &size, sizeof size);
    memcpy(file + 8, header, used);
    MO_CHECK_OK(mo_write_file(path, file, 8 + used + bytes));
    mo_free(path);
    mo_free(file);
}

#define A(module) "base_model.model.model.layers.0." module ".lora_A.weight"
#define B(module) "base_model.model.model.layers.0." module ".lora_B.weight"
static const shape q_pair[] = {{A("self_attn.q_proj"), 2, 16, NULL}, {B("self_attn.q_proj"), 24, 2, NULL}};

static void check_refused(const char *dir, mo_status status, const char *message)
{
    mo_hf *hf;
    mo_peft *p;
    MO_CHECK_OK(mo_hf_open("tests/golden/hf/mixtral_f32", &hf));
    MO_CHECK_STATUS(mo_peft_open(dir, mo_hf_config(hf), &p), status);
    MO_CHECK_MESSAGE(message);
    mo_hf_close(hf);
}

static void settings_are_refused_by_name(void **state)
{
    const struct {
        const char *text, *message;
    } cases[] = {
        {"\"use_dora\": true", "has use_dora"},
        {"\"bias\": \"lora_only\"", "bias is \"lora_only\"; Moira has none"},
        {"\"peft_type\": \"IA3\"", "peft_type is \"IA3\""},
        {"\"modules_to_save\": [\"lm_head\"]", "has modules_to_save"},
        {"\"fan_in_fan_out\": true", "has fan_in_fan_out"},
        {"\"init_lora_weights\": \"pissa\"", "init_lora_weights is \"pissa\""},
        {"\"layer_replication\": [[0, 1]]", "has layer_replication"},
        {"\"some_new_idea\": {\"x\": 1}", "has some_new_idea"},
        {"\"rank_pattern\": {\"q_proj\": 2}", "give \"q_proj\" a scale of its own"},
        {"\"alpha_pattern\": {\"q_proj\": 2}", "give \"q_proj\" a scale of its own"},
        {"\"lora_alpha\": 0", "lora_alpha is 0"},
    };
    write_tensors(*state, q_pair, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = mo_strprintf("{\"r\": 2, %s}", cases[i].text);
        write_config(*state, text);
        check_refused(*state, MO_E_UNSUPPORTED, cases[i].message);
        mo_free(text);
    }
    write_config(*state, "{\"r\": 4, \"lora_alpha\": 8, \"rank_pattern\": {\"q_proj\": 2}, "
                         "\"alpha_pattern\": {\"q_proj\": 4}, \"use_dora\": false, \"loftq_config\": {}}");
    mo_trained t = open_with("tests/golden/hf/mixtral_f32", *state); /* the same scale: fine */
    assert_true(t.model->lora_scale == 2 && t.config.tuning.lora.rank == 2);
    close_it(&t);
}

static void tensors_are_accounted_for(void **state)
{
    const struct {
        shape shapes[4];
        int n;
        mo_status status;
        const char *message;
    } cases[] = {
        {{q_pair[0]}, 1, MO_E_MISMATCH, "layers.0.self_attn.q_proj.lora_A.weight has no lora_B"},
        {{q_pair[1]}, 1, MO_E_MISMATCH, "layers.0.self_attn.q_proj.lora_B.weight has no lora_A"},
        {{q_pair[0], {B("self_attn.q_proj"), 24, 3, NULL}}, 2, MO_E_MISMATCH, "its lora_B [24, 3]; beside "},
        {{{A("self_attn.q_proj"), 2, 17, NULL}, q_pair[1]},
         2,
         MO_E_MISMATCH,
         "16 columns and 24 rows are needed"},
        {{{A("block_sparse_moe.experts.4.w1"), 2, 16, NULL},
          {B("block_sparse_moe.experts.4.w1"), 24, 2, NULL}},
         2,
         MO_E_UNSUPPORTED,
         "is beside nothing in this model"},
        {{{A("block_sparse_moe.gate"), 2, 16, NULL}, {B("block_sparse_moe.gate"), 4, 2, NULL}},
         2,
         MO_E_UNSUPPORTED,
         "gate.lora_A.weight is beside nothing"},
        {{{A("self_attn.q_proj"), 4, 16, NULL}, {B("self_attn.q_proj"), 24, 4, NULL}},
         2,
         MO_E_MISMATCH,
         "q_proj.lora_A.weight is of rank 4, and adapter_config.json's r is 2"},
        {{{A("mlp.experts"), 7, 24, NULL}, {B("mlp.experts"), 16, 7, NULL}},
         2,
         MO_E_MISMATCH,
         "and one rank"},
        {{{A("mlp.experts"), 8, 16, NULL}, {B("mlp.experts"), 48, 8, "I32"}},
         2,
         MO_E_UNSUPPORTED,
         "mlp.experts.lora_B.weight is of a type that is not read"},
        {{{A("mlp.experts"), 8, 16, NULL},
          {B("mlp.experts"), 48, 8, NULL},
          {A("block_sparse_moe.experts.3.w3"), 2, 16, NULL},
          {B("block_sparse_moe.experts.3.w3"), 24, 2, NULL}},
         4,
         MO_E_MISMATCH,
         "experts.3.w3.lora_A.weight are beside the same matrix"},
        {{{A("block_sparse_moe.experts.3.w1"), 2, 16, NULL},
          {B("block_sparse_moe.experts.3.w1"), 24, 2, NULL},
          {A("block_sparse_moe.experts.03.w1"), 2, 16, NULL},
          {B("block_sparse_moe.experts.03.w1"), 24, 2, NULL}},
         4,
         MO_E_MISMATCH,
         "experts.03.w1.lora_A.weight are beside the same matrix"},
        {{{"base_model.model.lm_head.weight", 2, 2, NULL}}, 1, MO_E_UNSUPPORTED, "lm_head.weight is no part"},
        {{{"x", 2, 2, NULL}}, 1, MO_E_UNSUPPORTED, "x is no part of an adapter"},
        {{{"", 0, 0, NULL}}, 0, MO_E_UNSUPPORTED, "has no adapters"},
    };
    check_refused(*state, MO_E_NOT_FOUND, "has no adapter_config.json");
    write_config(*state, "{\"r\": 2}");
    check_refused(*state, MO_E_NOT_FOUND, "adapters are read from safetensors alone");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_tensors(*state, cases[i].shapes, cases[i].n);
        check_refused(*state, cases[i].status, cases[i].message);
    }
    write_config(*state, "{\"r\": 2");
    check_refused(*state, MO_E_FORMAT, "adapter_config.json");
}

static void what_peft_cannot_say_is_not_written(void **state)
{
    mo_hf *hf;
    mo_model *m;
    char thaw[] = "!router", some[] = "experts";
    mo_text pattern = {thaw};
    mo_tuning_config tuning = {.freeze = {&pattern, 1}, .lora = {.rank = 2, .alpha = 4}};
    MO_CHECK_OK(mo_hf_open("tests/golden/hf/mixtral_f32", &hf));
    const char *path = temp_path(*state, "out");
    for (int k = 0; k < 2; k++) {
        MO_CHECK_OK(mo_model_create_tuned(mo_hf_config(hf), &tuning, &m));
        MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
        const mo_peft_export_options o = {.model = m, .tuning = &tuning, .base = "base"};
        MO_CHECK_STATUS(mo_peft_export(path, &o), MO_E_UNSUPPORTED);
        MO_CHECK_MESSAGE(k ? "model.embed_tokens.weight was trained itself"
                           : "layers.0.block_sparse_moe.gate.weight was trained itself");
        MO_CHECK_MESSAGE("moira export --merge");
        mo_model_free(m);
        tuning.lora.rank = 0;
        pattern.text = some;
    }
    assert_int_equal(damage_count_files(*state), 0);
    mo_hf_close(hf);
    mo_trained t = open_with("tests/golden/hf/llama", "tests/golden/peft/dense");
    MO_CHECK_OK(mo_make_dirs(temp_path(*state, "out/in")));
    MO_CHECK_STATUS(export(&t, path, false), MO_E_EXISTS);
    close_it(&t);
}

static mo_status open_close(void)
{
    mo_trained t;
    const mo_trained_paths paths = {.model = "tests/golden/hf/mixtral_f32",
                                    .adapter = "tests/golden/peft/fused"};
    mo_status status = mo_trained_open_paths(&paths, mo_config_parse, &t);
    if (status == MO_OK) mo_trained_free(&t);
    mo_config_free(&t.config);
    return status;
}

static mo_status write_again(const mo_trained *t, const char *path)
{
    char file[300];
    mo_status status = export(t, path, true);
    snprintf(file, sizeof file, "rm -rf '%s'", path);
    assert_int_equal(system(file), 0);
    return status;
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_close());
    assert_true(failed > 50);
    mo_trained t = open_with("tests/golden/hf/mixtral_f32", "tests/golden/peft/fused");
    MO_CHECK_EACH_ALLOCATION(failed, write_again(&t, temp_path(*state, "out")));
    assert_true(failed > 10);
    assert_int_equal(damage_count_files(*state), 0);
    close_it(&t);
    assert_int_equal(mo__alloc_live(), live);
}

static int make_folder(void **state)
{
    *state = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(experts_one_by_one),
        WITH_FOLDER(experts_fused),
        WITH_FOLDER(some_matrices_of_a_dense_model),
        WITH_FOLDER(any_base),
        WITH_FOLDER(settings_are_refused_by_name),
        WITH_FOLDER(tensors_are_accounted_for),
        WITH_FOLDER(what_peft_cannot_say_is_not_written),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
