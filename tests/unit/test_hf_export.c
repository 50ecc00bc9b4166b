/* test_hf_export.c -- folders of transformers to a checkpoint and back: every tensor has the same name, type,
 * shape and bytes. The other layout says the same; what cannot be written is refused, and leaves nothing. */
#include "harness/damage.h"
#include "harness/harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hf/new_folder.h"
#include "hf/shards.h"
#include "moira/config.h"
#include "moira/hf.h"

static const char *const folders[] = {"mixtral_shards", "mixtral_fused", "mixtral_f32",
                                      "fused_f32",      "mistral",       "llama"};
enum { FOLDERS = sizeof folders / sizeof *folders };

typedef struct golden_path {
    char text[100];
} golden_path;
static golden_path path_of(const char *name)
{
    golden_path path;
    snprintf(path.text, sizeof path.text, "tests/golden/hf/%s", name);
    return path;
}

/* ---- through a checkpoint ---- */

typedef struct through {
    mo_hf *hf;
    mo_model *model;
    mo_checkpoint *checkpoint;
    mo_dtype dtypes[100];
    int bad_at; /* parameter whose values are too large for 16 bits; -1: none */
    int parts;  /* asked for so far; stop is set at stop_at of them */
    int stop_at;
    volatile sig_atomic_t stop;
} through;

static mo_checkpoint_array array_of(const through *t, const mo_param *p)
{
    mo_checkpoint_array a = {.group = "model", .name = p->name, .ndim = p->ndim};
    memcpy(a.dim, p->dim, sizeof a.dim);
    MO_CHECK_OK(mo_hf_stored(t->hf, p, &a.stored));
    return a;
}

static void import(const char *dir, const char *path, through *t)
{
    static mo_checkpoint_array arrays[100];
    *t = (through){.bad_at = -1};
    MO_CHECK_OK(mo_hf_open(dir, &t->hf));
    MO_CHECK_OK(mo_model_create(mo_hf_config(t->hf), &t->model));
    mo_checkpoint_content content = {
        .arrays = arrays, .n_arrays = t->model->n_params, .config = "", .tokenizer = mo_hf_tokenizer(t->hf)};
    content.files = mo_hf_files(t->hf, &content.n_files);
    for (int i = 0; i < t->model->n_params; i++) arrays[i] = array_of(t, &t->model->params[i]);
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    MO_CHECK_OK(mo_checkpoint_open(path, &t->checkpoint));
    for (int i = 0; i < t->model->n_params; i++)
        MO_CHECK_OK(mo_checkpoint_dtype(t->checkpoint, "model", t->model->params[i].name, &t->dtypes[i]));
}

static void forget(through *t)
{
    mo_checkpoint_close(t->checkpoint);
    mo_model_free(t->model);
    mo_hf_close(t->hf);
}

static mo_status values(const mo_param *p, int64_t part, mo_real *out, void *user)
{
    through *t = user;
    if (++t->parts == t->stop_at) t->stop = 1;
    mo_checkpoint_array a = array_of(t, p);
    MO_TRY(mo_checkpoint_read_part(t->checkpoint, &a, part, out));
    if (t->bad_at >= 0 && p == &t->model->params[t->bad_at]) out[1] = MO_C(70000.0);
    return MO_OK;
}

static mo_hf_export_options options_of(through *t)
{
    mo_hf_export_options o = {.model = t->model,
                              .router_aux_loss_coef = mo_hf_router_aux_loss_coef(t->hf),
                              .dtypes = t->dtypes,
                              .tokenizer = mo_checkpoint_tokenizer(t->checkpoint),
                              .values = values,
                              .user = t};
    MO_CHECK_OK(mo_checkpoint_files(t->checkpoint, &o.files, &o.n_files));
    return o;
}

/* ---- bytes ---- */

static void same_tensors(const char *one, const char *other)
{
    mo__shards a, b;
    MO_CHECK_OK(mo__shards_open(one, &a));
    MO_CHECK_OK(mo__shards_open(other, &b));
    assert_int_equal(a.n_tensors, b.n_tensors);
    for (int64_t i = 0; i < a.n_tensors; i++) {
        const mo__shard_tensor *x = a.tensors[i].tensor, *y = b.tensors[i].tensor;
        assert_string_equal(x->name, y->name);
        assert_ptr_equal(x->dtype, y->dtype);
        assert_int_equal(x->ndim, y->ndim);
        assert_memory_equal(x->dim, y->dim, sizeof x->dim);
        assert_int_equal(x->end - x->begin, y->end - y->begin);
        assert_memory_equal(x->data, y->data, (size_t)(x->end - x->begin));
    }
    mo__shards_close(&a);
    mo__shards_close(&b);
}

static void same_file(const char *one, const char *other, const char *name)
{
    char *x, *y;
    size_t n, m;
    MO_CHECK_OK(mo_read_file(temp_path(one, name), 1 << 20, &x, &n));
    MO_CHECK_OK(mo_read_file(temp_path(other, name), 1 << 20, &y, &m));
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    mo_free(x);
    mo_free(y);
}

/* In both layouts and several sizes of files; the layout that the folder does not have goes there and back.
 */
static void check_folder(const char *dir, const char *name)
{
    through t, back;
    golden_path folder = path_of(name);
    import(folder.text, temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    bool fused = mo_hf_describe(t.hf).fused;
    for (int size = 0; size < 2; size++) {
        o.max_shard_bytes = size ? 9000 : 0;
        o.fused = fused;
        char same[64], other[64], again[64];
        snprintf(same, sizeof same, "same-%d-%s", size, name);
        snprintf(other, sizeof other, "other-%d-%s", size, name);
        snprintf(again, sizeof again, "again-%d-%s", size, name);
        MO_CHECK_OK(mo_hf_export(temp_path(dir, same), &o));
        same_tensors(folder.text, temp_path(dir, same));
        same_file(folder.text, temp_path(dir, same), "config.json");
        assert_int_equal(mo_path_exists(temp_path(temp_path(dir, same), MO__INDEX_NAME)), size);
        o.fused = !fused;
        MO_CHECK_OK(mo_hf_export(temp_path(dir, other), &o));
        import(temp_path(dir, other), temp_path(dir, "y.h5"), &back);
        assert_int_equal(mo_hf_describe(back.hf).fused, o.fused && t.model->config.num_local_experts > 0);
        mo_hf_export_options p = options_of(&back);
        p.fused = fused;
        MO_CHECK_OK(mo_hf_export(temp_path(dir, again), &p));
        same_tensors(folder.text, temp_path(dir, again));
        forget(&back);
    }
    forget(&t);
}

static void test_round_trip(void **state)
{
    (void)state;
    char *dir = temp_make();
    for (int i = 0; i < FOLDERS; i++) check_folder(dir, folders[i]);
    temp_remove(dir);
}

static void test_files_carried(void **state)
{
    (void)state;
    char *dir = temp_make();
    through t;
    import("tests/golden/hf/mixtral_shards", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    MO_CHECK_OK(mo_hf_export(temp_path(dir, "out/"), &o));
    same_file("tests/golden/hf/mixtral_shards", temp_path(dir, "out"), "tokenizer.model");
    same_file("tests/golden/hf/mixtral_shards", temp_path(dir, "out"), "tokenizer_config.json");
    forget(&t);
    temp_remove(dir);
}

static char *text_of(const char *folder, const char *name)
{
    char *text;
    MO_CHECK_OK(mo_read_file(temp_path(folder, name), 1 << 20, &text, NULL));
    return text;
}

/* What has changed is changed, what nobody knows is kept. */
static void test_config_built_upon(void **state)
{
    (void)state;
    char *dir = temp_make();
    through t;
    import("tests/golden/hf/mixtral_f32", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    for (int i = 0; i < t.model->n_params; i++) t.dtypes[i] = MO_BF16;
    o.router_aux_loss_coef = 0.05;
    t.model->config.rope_theta = 7000;
    t.model->config.sliding_window = 9;
    MO_CHECK_OK(mo_hf_export(temp_path(dir, "out"), &o));
    char *text = text_of(temp_path(dir, "out"), "config.json");
    assert_non_null(strstr(text, "\"torch_dtype\": \"bfloat16\""));
    assert_non_null(strstr(text, "\"router_aux_loss_coef\": 0.05,"));
    assert_non_null(strstr(text, "\"rope_theta\": 7000.0,"));
    assert_non_null(strstr(text, "\"sliding_window\": 9,"));
    assert_non_null(strstr(text, "\"kept\": [\n      1,\n      2.5e-07,\n      null,\n      \"ü\"\n    ]"));
    assert_non_null(strstr(text, "\"transformers_version\": \"4.36.0\""));
    mo_free(text);
    mo_hf *hf;
    MO_CHECK_OK(mo_hf_open(temp_path(dir, "out"), &hf));
    assert_true(mo_hf_config(hf)->rope_theta == 7000 && mo_hf_config(hf)->sliding_window == 9);
    assert_int_equal(mo_hf_describe(hf).elements[2], 12496);
    mo_hf_close(hf);
    forget(&t);
    temp_remove(dir);
}

/* Where transformers 5 has the base of the rotary frequencies. */
static void test_rope_parameters(void **state)
{
    (void)state;
    char *dir = temp_make();
    through t;
    import("tests/golden/hf/fused_f32", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    t.model->config.rope_theta = 7000;
    MO_CHECK_OK(mo_hf_export(temp_path(dir, "out"), &o));
    char *text = text_of(temp_path(dir, "out"), "config.json");
    assert_non_null(strstr(text, "\"rope_parameters\": {\n    \"rope_theta\": 7000.0,"));
    assert_null(strstr(text, "\n  \"rope_theta\"")); /* not by itself too */
    mo_free(text);
    forget(&t);
    temp_remove(dir);
}

static void same_config(const mo_model_config *a, const mo_model_config *b)
{
    mo_balance_config balance = {.scope = MO_SCOPE_MICROBATCH};
    char *x, *y;
    MO_CHECK_OK(mo_config_dump_model("same", a, &balance, &x));
    MO_CHECK_OK(mo_config_dump_model("same", b, &balance, &y));
    assert_string_equal(x, y);
    mo_free(x);
    mo_free(y);
}

/* A model that came from no folder. */
static void check_new(const char *name, int64_t window, const char *architecture)
{
    char *dir = temp_make();
    through t;
    golden_path folder = path_of(name);
    import(folder.text, temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    o.n_files = 0;
    t.model->config.sliding_window = window;
    MO_CHECK_OK(mo_hf_export(temp_path(dir, "out"), &o));
    same_tensors(folder.text, temp_path(dir, "out"));
    mo_hf *hf;
    MO_CHECK_OK(mo_hf_open(temp_path(dir, "out"), &hf));
    assert_string_equal(mo_hf_describe(hf).architecture, architecture);
    same_config(mo_hf_config(hf), &t.model->config);
    assert_true(mo_hf_router_aux_loss_coef(hf) == mo_hf_router_aux_loss_coef(t.hf));
    assert_int_equal(mo_hf_tokenizer(hf) != NULL, mo_hf_tokenizer(t.hf) != NULL);
    mo_hf_close(hf);
    forget(&t);
    temp_remove(dir);
}

static void test_new(void **state)
{
    (void)state;
    check_new("mixtral_shards", 0, "MixtralForCausalLM");
    check_new("mixtral_f32", 3, "MixtralForCausalLM");
    check_new("mistral", 5, "MistralForCausalLM");
    check_new("mistral", 0, "LlamaForCausalLM");
    check_new("llama", 0, "LlamaForCausalLM");
}

/* ---- refused ---- */

static void refuse(const char *dir, const mo_hf_export_options *o, mo_status status, const char *message)
{
    int before = damage_count_files(dir);
    MO_CHECK_STATUS(mo_hf_export(temp_path(dir, "out"), o), status);
    MO_CHECK_MESSAGE(message);
    assert_int_equal(damage_count_files(dir), before);
}

static void test_cannot_say(void **state)
{
    (void)state;
    char *dir = temp_make();
    through t;
    import("tests/golden/hf/mixtral_f32", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    mo_model_config good = t.model->config, *c = &t.model->config;
    c->norm = MO_NORM_LAYER;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.norm is layernorm");
    *c = good;
    c->hidden_act = MO_ACT_GEGLU;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.hidden_act is geglu");
    *c = good;
    c->qk_norm = MO_QK_NORM_HEAD;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.qk_norm is head");
    *c = good;
    c->clip_qkv = 8;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.clip_qkv is 8");
    *c = good;
    c->router = MO_ROUTER_SIGMOID;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.router is sigmoid");
    *c = good;
    c->norm_topk_prob = MO_CHOICE_FALSE;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.norm_topk_prob is false");
    *c = good;
    c->n_shared_experts = 1;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.n_shared_experts is 1");
    *c = good;
    c->first_k_dense_replace = 1;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.first_k_dense_replace is 1");
    *c = good;
    c->moe_layer_freq = 2;
    refuse(dir, &o, MO_E_UNSUPPORTED, "model.moe_layer_freq is 2");
    *c = good;
    forget(&t);
    temp_remove(dir);
}

static void test_too_large(void **state)
{
    (void)state;
    char *dir = temp_make();
    through t;
    import("tests/golden/hf/llama", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    t.bad_at = 3;
    for (int i = 0; i < t.model->n_params; i++) t.dtypes[i] = MO_F16;
    char message[200];
    snprintf(message, sizeof message, "tensor %s has a value of 70000, which is too large for float16",
             t.model->params[3].name);
    refuse(dir, &o, MO_E_RANGE, message);
    for (int i = 0; i < t.model->n_params; i++) t.dtypes[i] = MO_BF16;
    MO_CHECK_OK(mo_hf_export(temp_path(dir, "out"), &o));
    forget(&t);
    temp_remove(dir);
}

static void test_places(void **state)
{
    (void)state;
    char *dir = temp_make();
    through t;
    import("tests/golden/hf/mixtral_f32", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    MO_CHECK_STATUS(mo_hf_export(dir, &o), MO_E_EXISTS);
    MO_CHECK_MESSAGE("is a folder with files in it");
    MO_CHECK_STATUS(mo_hf_export(temp_path(dir, "x.h5"), &o), MO_E_EXISTS);
    MO_CHECK_STATUS(mo_hf_export(temp_path(dir, "none/out"), &o), MO_E_NOT_FOUND);
    o.stop = &t.stop;
    o.max_shard_bytes = 20000;
    for (t.stop_at = 1; t.stop_at < 36; t.stop_at += 6) {
        t.parts = 0;
        t.stop = 0;
        refuse(dir, &o, MO_E_INTERRUPTED, "interrupted");
        assert_int_equal(t.parts, t.stop_at);
    }
    o.stop = NULL;
    MO_CHECK_OK(mo_make_dirs(temp_path(dir, "out")));
    MO_CHECK_OK(mo_hf_export(temp_path(dir, "out"), &o)); /* empty: taken over */
    same_tensors("tests/golden/hf/mixtral_f32", temp_path(dir, "out"));
    forget(&t);
    temp_remove(dir);
}

/* A link in place of the temporary folder: what it leads to is not emptied. */
static void test_link(void **state)
{
    (void)state;
    char *dir = temp_make(), *name = mo_strprintf(".out.tmp.%ld", (long)getpid());
    mo__new_folder folder;
    MO_CHECK_OK(mo_make_dirs(temp_path(dir, "precious")));
    MO_CHECK_OK(mo_write_file(temp_path(dir, "precious/file"), "x", 1));
    assert_int_equal(symlink("precious", temp_path(dir, name)), 0);
    MO_CHECK_STATUS(mo__new_folder_begin(temp_path(dir, "out"), &folder), MO_E_EXISTS);
    assert_true(mo_path_exists(temp_path(dir, "precious/file")));
    mo_free(name);
    temp_remove(dir);
}

static void test_memory(void **state)
{
    (void)state;
    char *dir = temp_make(), out[200];
    through t;
    int n = 0;
    import("tests/golden/hf/mixtral_f32", temp_path(dir, "x.h5"), &t);
    mo_hf_export_options o = options_of(&t);
    o.fused = true;
    snprintf(out, sizeof out, "%s/out", dir);
    int64_t live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(n, mo_hf_export(out, &o));
    assert_true(n > 10);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(damage_count_files(dir), 2);
    forget(&t);
    temp_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_files_carried),
                                       cmocka_unit_test(test_config_built_upon),
                                       cmocka_unit_test(test_rope_parameters),
                                       cmocka_unit_test(test_new),
                                       cmocka_unit_test(test_cannot_say),
                                       cmocka_unit_test(test_too_large),
                                       cmocka_unit_test(test_places),
                                       cmocka_unit_test(test_link),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
