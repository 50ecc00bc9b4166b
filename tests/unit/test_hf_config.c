/* test_hf_config.c -- config.json: the defaults of transformers' classes (5.23: MixtralConfig, MistralConfig,
 * LlamaConfig), both forms of rotary settings, what is refused; tensors beside those of the model. */
#include "harness/harness.h"

#include <string.h>

#include "hf/hf_config.h"
#include "hf/shard_write.h"
#include "hf/shards.h"
#include "moira/config.h"
#include "moira/hf.h"

static mo_status parse(const char *text, mo__hf_config *out)
{
    json_t *root;
    MO_TRY(mo__hf_json_read("config.json", text, strlen(text), &root));
    mo_status status = mo__hf_config_read("config.json", root, out);
    json_decref(root);
    return status;
}

static mo__hf_config good(const char *text)
{
    mo__hf_config c;
    MO_CHECK_OK(parse(text, &c));
    return c;
}

static void bad(const char *text, mo_status status, const char *message)
{
    mo__hf_config c;
    MO_CHECK_STATUS(parse(text, &c), status);
    MO_CHECK_MESSAGE("config.json: ");
    MO_CHECK_MESSAGE(message);
}

/* ---- what absent keys are ---- */

static void test_mixtral(void **state)
{
    (void)state;
    mo__hf_config c = good("{\"architectures\": [\"MixtralForCausalLM\"]}");
    assert_int_equal(c.architecture, MO__MIXTRAL);
    assert_int_equal(c.model.vocab_size, 32000);
    assert_int_equal(c.model.hidden_size, 4096);
    assert_int_equal(c.model.intermediate_size, 14336);
    assert_int_equal(c.model.moe_intermediate_size, 14336);
    assert_int_equal(c.model.num_hidden_layers, 32);
    assert_int_equal(c.model.num_attention_heads, 32);
    assert_int_equal(c.model.num_key_value_heads, 8);
    assert_int_equal(c.model.head_dim, 128);
    assert_int_equal(c.model.max_position_embeddings, 131072);
    assert_int_equal(c.model.sliding_window, 0);
    assert_int_equal(c.model.num_local_experts, 8);
    assert_int_equal(c.model.num_experts_per_tok, 2);
    assert_int_equal(c.model.norm_topk_prob, MO_CHOICE_TRUE);
    assert_int_equal(c.model.router, MO_ROUTER_TOPK);
    assert_true(c.model.rope_theta == 1e6 && c.model.rms_norm_eps == 1e-5 &&
                c.model.initializer_range == 0.02);
    assert_true(c.model.router_jitter_noise == 0 && !c.model.jitter_experts && !c.model.tie_word_embeddings);
    assert_true(c.router_aux_loss_coef == 0.001 && c.model.attention_dropout == 0);
    assert_int_equal(c.dtype, -1);
}

static void test_dense(void **state)
{
    (void)state;
    mo__hf_config c = good("{\"model_type\": \"mistral\"}");
    assert_int_equal(c.architecture, MO__MISTRAL);
    assert_int_equal(c.model.intermediate_size, 14336);
    assert_int_equal(c.model.num_key_value_heads, 8);
    assert_int_equal(c.model.max_position_embeddings, 131072);
    assert_int_equal(c.model.sliding_window, 4096);
    assert_int_equal(c.model.num_local_experts, 0);
    assert_true(c.model.rope_theta == 1e4 && c.model.rms_norm_eps == 1e-6 && c.router_aux_loss_coef == 0);
    c = good("{\"model_type\": \"llama\", \"sliding_window\": 7}"); /* which Llama does not look at */
    assert_int_equal(c.architecture, MO__LLAMA);
    assert_int_equal(c.model.intermediate_size, 11008);
    assert_int_equal(c.model.num_key_value_heads, 32);
    assert_int_equal(c.model.max_position_embeddings, 2048);
    assert_int_equal(c.model.sliding_window, 0);
    assert_true(c.model.rope_theta == 1e4 && c.model.rms_norm_eps == 1e-6);
}

#define MIXTRAL "\"model_type\": \"mixtral\""
#define MISTRAL "\"model_type\": \"mistral\""

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(good("{" MIXTRAL ", \"num_key_value_heads\": null}").model.num_key_value_heads, 32);
    assert_int_equal(good("{" MISTRAL ", \"sliding_window\": null}").model.sliding_window, 0);
    assert_int_equal(good("{" MIXTRAL ", \"sliding_window\": 9}").model.sliding_window, 9);
    assert_int_equal(good("{" MIXTRAL ", \"head_dim\": null}").model.head_dim, 128);
    assert_int_equal(good("{" MIXTRAL ", \"head_dim\": 64}").model.head_dim, 64);
    assert_int_equal(good("{" MIXTRAL ", \"num_experts\": 16}").model.num_local_experts, 16);
    assert_int_equal(good("{" MIXTRAL ", \"dtype\": \"bfloat16\"}").dtype, MO_BF16);
    assert_int_equal(good("{" MIXTRAL ", \"torch_dtype\": \"float16\"}").dtype, MO_F16);
    assert_true(good("{" MIXTRAL ", \"hidden_act\": \"swish\"}").model.hidden_act == MO_ACT_SWIGLU);
    assert_true(good("{" MIXTRAL ", \"attention_dropout\": 0.25}").model.attention_dropout == 0.25);
    mo__hf_config c = good("{" MIXTRAL ", \"router_jitter_noise\": 0.01}");
    assert_true(c.model.router_jitter_noise == 0.01 && c.model.jitter_experts);
}

static double theta_of(const char *text)
{
    return good(text).model.rope_theta;
}

static void test_rope(void **state)
{
    (void)state;
    assert_true(theta_of("{" MISTRAL ", \"rope_theta\": 5000}") == 5000);
    assert_true(theta_of("{" MISTRAL ", \"rope_theta\": 5000.5, \"rope_scaling\": null}") == 5000.5);
    assert_true(theta_of("{" MISTRAL
                         ", \"rope_parameters\": {\"rope_theta\": 7e3, \"rope_type\": \"default\"}}") == 7e3);
    assert_true(theta_of("{" MISTRAL ", \"rope_theta\": 5, \"rope_parameters\": {\"rope_theta\": 7}}") == 7);
    assert_true(theta_of("{" MIXTRAL ", \"rope_scaling\": {\"type\": \"default\"}}") == 1e6);
    bad("{" MISTRAL ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}}", MO_E_UNSUPPORTED,
        "rope_scaling has rope_type \"yarn\"; Moira has \"default\"");
    bad("{" MISTRAL ", \"rope_scaling\": {\"factor\": 4}}", MO_E_UNSUPPORTED,
        "rope_scaling has no rope_type");
    bad("{" MISTRAL ", \"rope_parameters\": {\"partial_rotary_factor\": 0.5, \"rope_theta\": 7}}",
        MO_E_UNSUPPORTED, "rope_parameters has partial_rotary_factor 0.5");
    bad("{" MISTRAL ", \"partial_rotary_factor\": 0.5}", MO_E_UNSUPPORTED, "partial_rotary_factor is 0.5");
    bad("{" MISTRAL ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 7}}}", MO_E_UNSUPPORTED,
        "no rope_type");
    bad("{" MISTRAL ", \"rope_parameters\": 7}", MO_E_FORMAT, "rope_parameters must be an object");
    bad("{" MISTRAL ", \"rope_theta\": 0}", MO_E_RANGE, "rope_theta is 0, must be");
}

static void test_refused(void **state)
{
    (void)state;
    bad("{}", MO_E_UNSUPPORTED, "names no architecture");
    bad("{\"model_type\": \"qwen3\"}", MO_E_UNSUPPORTED, "model_type is \"qwen3\"");
    bad("{\"architectures\": [\"Qwen3ForCausalLM\"], " MISTRAL "}", MO_E_UNSUPPORTED,
        "the architecture is Qwen3ForCausalLM");
    bad("{\"architectures\": [\"LlamaForCausalLM\"], " MISTRAL "}", MO_E_MISMATCH,
        "and model_type is \"mistral\"");
    bad("{" MISTRAL ", \"hidden_size\": 4096.0}", MO_E_FORMAT,
        "hidden_size must be a whole number, and is a real number");
    bad("{" MISTRAL ", \"hidden_size\": -1}", MO_E_RANGE, "hidden_size is -1, must be 1 to 1048576");
    bad("{" MISTRAL ", \"rms_norm_eps\": \"small\"}", MO_E_FORMAT,
        "rms_norm_eps must be a number, and is a text");
    bad("{" MISTRAL ", \"tie_word_embeddings\": 1}", MO_E_FORMAT,
        "tie_word_embeddings must be true or false");
    bad("{" MISTRAL ", \"hidden_act\": 1}", MO_E_FORMAT, "hidden_act must be a text");
    bad("{" MISTRAL ", \"layer_types\": [\"sliding_attention\", \"full_attention\"]}", MO_E_UNSUPPORTED,
        "layer_types[1] is \"full_attention\"; with sliding_window 4096");
    bad("{" MIXTRAL ", \"num_experts_per_tok\": 9}", MO_E_CONFIG, "num_experts_per_tok 9");
    bad("{" MIXTRAL ", \"per_layer_config\": {}}", MO_E_UNSUPPORTED, "per_layer_config");
    good("{" MISTRAL ", \"layer_types\": [\"sliding_attention\"]}");
    good("{" MISTRAL ", \"attention_bias\": null, \"mlp_bias\": false, \"quantization_config\": null}");
}

/* ---- tensors beside those of the model ---- */

static int warnings;
static void count_warning(mo_log_level level, const char *message, void *user)
{
    (void)user;
    assert_int_equal(level, MO_LOG_WARNING);
    if (strstr(message, "each keeps its own type")) warnings++;
}

/* The golden Llama, whose head is tied, with two tensors more. changed: what is added to one of the head's
 * values. */
static mo_status open_with_more(const char *dir, mo_dtype dtype, double changed, const char *table)
{
    mo__shards s;
    mo__shard_writer w;
    mo__shard_entry all[40] = {{.dtype = dtype}}, *entries[40];
    char *config;
    size_t size;
    mo_real values[2000];
    MO_CHECK_OK(mo_read_file("tests/golden/hf/llama/config.json", 1 << 20, &config, &size));
    MO_CHECK_OK(mo_write_file(temp_path(dir, "config.json"), config, size));
    mo_free(config);
    MO_CHECK_OK(mo__shards_open("tests/golden/hf/llama", &s));
    int n = (int)s.n_tensors;
    remove(temp_path(dir, "model.safetensors"));
    for (int i = 0; i < n + 2; i++) {
        const mo__shard_tensor *t =
            i < n ? s.tensors[i].tensor : mo__shards_find(&s, "model.embed_tokens.weight")->tensor;
        all[i] = (mo__shard_entry){.dtype = dtype, .ndim = t->ndim, .dim = {t->dim[0], t->dim[1]}};
        if (i == n + 1) all[i].dim[0] = 4, all[i].ndim = 1;
        snprintf(all[i].name, sizeof all[i].name, "%s", i < n ? t->name : i == n ? "lm_head.weight" : table);
        all[i].bytes = all[i].dim[0] * (all[i].ndim > 1 ? all[i].dim[1] : 1) * (int64_t)mo_dtype_size(dtype);
        entries[i] = &all[i];
    }
    MO_CHECK_OK(mo__shard_begin(temp_path(dir, "model.safetensors"), (const mo__shard_entry *const *)entries,
                                n + 2, &w));
    for (int i = 0; i < n + 2; i++) {
        const mo__shard_tensor *t =
            i < n ? s.tensors[i].tensor : mo__shards_find(&s, "model.embed_tokens.weight")->tensor;
        int64_t count = all[i].bytes / (int64_t)mo_dtype_size(dtype);
        for (int64_t k = 0; k < count; k++) {
            float x;
            memcpy(&x, t->data + 4 * k, sizeof x);
            values[k] = (mo_real)x + (i == n && k == 5 ? (mo_real)changed : 0);
        }
        MO_CHECK_OK(mo__shard_values(&w, &all[i], values, count));
    }
    MO_CHECK_OK(mo__shard_end(&w, MO_OK));
    mo__shards_close(&s);
    mo_hf *hf;
    MO_TRY(mo_hf_open(dir, &hf));
    mo_hf_close(hf);
    return MO_OK;
}

static void test_more_tensors(void **state)
{
    (void)state;
    char *dir = temp_make();
    const char *table = "model.layers.1.self_attn.rotary_emb.inv_freq";
    MO_CHECK_OK(open_with_more(dir, MO_F32, 0, table));
    MO_CHECK_STATUS(open_with_more(dir, MO_F32, 1, table), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("lm_head.weight is there and not the same as model.embed_tokens.weight");
    MO_CHECK_STATUS(open_with_more(dir, MO_F32, 0, "model.layers.1.self_attn.q_proj.bias"), MO_E_MISMATCH);
    MO_CHECK_MESSAGE(
        "tensor model.layers.1.self_attn.q_proj.bias [4] in model.safetensors is none of this model's");
    temp_remove(dir);
}

static void test_other_type(void **state)
{
    (void)state;
    char *dir = temp_make();
    warnings = 0;
    mo_log_set(count_warning, NULL);
    MO_CHECK_OK(open_with_more(dir, MO_F32, 0, "model.layers.0.self_attn.rotary_emb.inv_freq"));
    assert_int_equal(warnings, 0);
    MO_CHECK_OK(open_with_more(dir, MO_BF16, 0, "model.layers.0.self_attn.rotary_emb.inv_freq"));
    assert_int_equal(warnings, 1);
    mo_log_set(NULL, NULL);
    temp_remove(dir);
}

/* ---- the config of a model that no run made ---- */

static void test_model_alone(void **state)
{
    (void)state;
    mo__hf_config c = good("{" MIXTRAL ", \"sliding_window\": 77, \"router_jitter_noise\": 0.125}");
    mo_balance_config balance = {.mixtral = 0.25, .scope = MO_SCOPE_MICROBATCH};
    mo_run_config run;
    char *text, *again;
    MO_CHECK_OK(mo_config_dump_model("some", &c.model, &balance, &text));
    assert_null(strstr(text, "train:"));
    MO_CHECK_OK(mo_config_parse(text, "here", &run));
    assert_true(run.balance.mixtral == 0.25 && run.train.batch_size == 1 &&
                run.train.sequence_length == 2048);
    MO_CHECK_OK(mo_config_dump_model(run.run.name, &run.model, &run.balance, &again));
    assert_string_equal(text, again);
    mo_config_free(&run);
    mo_free(text);
    mo_free(again);
    c.model.max_position_embeddings = 0;
    MO_CHECK_OK(mo_config_dump_model("some", &c.model, &balance, &text));
    MO_CHECK_STATUS(mo_config_parse(text, "here", &run), MO_E_CONFIG);
    MO_CHECK_MESSAGE("here: model.max_position_embeddings is 0");
    mo_free(text);
}

/* ---- JSON as text ---- */

static void test_dump(void **state)
{
    (void)state;
    static const char text[] =
        "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1e-05,\n    0.0001,\n    1000000.0,\n    "
        "1e+16,\n    0.1,\n    2.5e-07,\n    -0.30000000000000004,\n    0.0,\n    "
        "123456789012345.6,\n    1.7976931348623157e+308\n  ],\n  \"d\": {\n    \"\\\"\\n\": "
        "true\n  },\n  \"e\": null,\n  \"f\": -9223372036854775808,\n  \"g\": false\n}\n";
    json_t *root;
    char *out;
    MO_CHECK_OK(mo__hf_json_read("text", text, strlen(text), &root));
    MO_CHECK_OK(mo__hf_json_dump(root, &out));
    assert_string_equal(out, text);
    mo_free(out);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mixtral),    cmocka_unit_test(test_dense),
                                       cmocka_unit_test(test_values),     cmocka_unit_test(test_rope),
                                       cmocka_unit_test(test_refused),    cmocka_unit_test(test_more_tensors),
                                       cmocka_unit_test(test_other_type), cmocka_unit_test(test_model_alone),
                                       cmocka_unit_test(test_dump)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
