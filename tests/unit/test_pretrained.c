/* test_pretrained.c -- a model folder and a checkpoint behind one door: settings, weights mapped and loaded,
 * what checkpoints of a model that began as one hold. */
#include "moira/pretrained.h"

#include <string.h>

#include "harness/harness.h"
#include "harness/small_model.h"
#include "moira/config.h"

static const char folder[] = "tests/golden/hf/mixtral_shards";

static mo_pretrained *open_base(const char *path)
{
    mo_pretrained *p = NULL;
    MO_CHECK_OK(mo_pretrained_open(path, mo_config_parse, mo_config_free, &p));
    return p;
}

static void check_param(const mo_hf *hf, const mo_model *m, const mo_param *p)
{
    const mo_stored *s;
    MO_CHECK_OK(mo_hf_stored(hf, p, &s));
    assert_non_null(s);
    if (p->stored) {
        for (int64_t e = 0; e < s->parts; e++)
            assert_memory_equal(p->stored->part[e], s->part[e],
                                (size_t)s->part_elements * mo_dtype_size(s->dtype));
        return;
    }
    mo_real *x = mo_malloc((size_t)s->part_elements * sizeof *x);
    for (int64_t e = 0; e < s->parts; e++) {
        mo_stored_expand(s, e, 0, s->part_elements, x);
        assert_memory_equal(m->value + p->offset + e * s->part_elements, x,
                            (size_t)s->part_elements * sizeof *x);
    }
    mo_free(x);
}

static void a_folder(void **state)
{
    (void)state;
    mo_hf *hf;
    mo_pretrained *p = open_base(folder);
    const mo_run_config *config = mo_pretrained_config(p);
    MO_CHECK_OK(mo_hf_open(folder, &hf));
    assert_memory_equal(&config->model, mo_hf_config(hf), sizeof config->model);
    MO_CHECK_NEAR(config->balance.mixtral, 0.02, 1e-15);
    assert_true(config->balance.switch_loss == 0 && config->balance.z_loss == 0);
    assert_true(config->train.sequence_length == 64 && config->train.batch_size == 1);
    assert_string_equal(config->run.name, "mixtral_shards");
    assert_string_equal(mo_pretrained_digest(p), mo_hf_digest(hf));
    assert_non_null(mo_pretrained_tokenizer(p));
    int count;
    assert_non_null(mo_pretrained_files(p, &count));
    assert_true(count >= 3);
    for (int frozen = 0; frozen < 2; frozen++) {
        mo_model *m;
        int mapped = 0;
        MO_CHECK_OK(mo_model_create(&config->model, &m));
        if (frozen) mo_model_freeze(m);
        MO_CHECK_OK(mo_pretrained_map(p, m));
        MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
        MO_CHECK_OK(mo_pretrained_load(p, m));
        for (int i = 0; i < m->n_params; i++) {
            check_param(hf, m, &m->params[i]);
            assert_true((m->params[i].stored != NULL) == (frozen && m->params[i].ndim > 1));
            mapped += m->params[i].stored != NULL;
        }
        assert_true(frozen ? mapped > 10 && m->elements < 200 : mapped == 0);
        mo_model_free(m);
    }
    mo_hf_close(hf);
    mo_pretrained_close(p);
}

static void another_model_is_refused(void **state)
{
    (void)state;
    mo_pretrained *p = open_base(folder);
    mo_model_config config = mo_pretrained_config(p)->model;
    mo_model *m;
    config.num_hidden_layers = 1;
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    MO_CHECK_STATUS(mo_pretrained_load(p, m), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("has model.layers.1.input_layernorm.weight, and the model has not");
    mo_model_free(m);
    config = mo_pretrained_config(p)->model;
    config.n_shared_experts = 1;
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    MO_CHECK_STATUS(mo_pretrained_load(p, m), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("has no model.layers.0.");
    mo_model_free(m);
    mo_pretrained_close(p);
}

/* ---- checkpoints ---- */

static const char yaml[] =
    "run: {name: small}\ndata: {path: none}\ntrain: {steps: 1, batch_size: 1, sequence_length: 8}\n"
    "model: {vocab_size: 11, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, "
    "num_attention_heads: 2, num_local_experts: 4, num_experts_per_tok: 2, router: sigmoid}\n"
    "optimizer: {learning_rate: 1e-3}\n";

static mo_model *make_model(const mo_tuning_config *tuning)
{
    mo_run_config config;
    mo_model *m;
    MO_CHECK_OK(mo_config_parse(yaml, "test", &config));
    MO_CHECK_OK(mo_model_create_tuned(&config.model, tuning, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 5);
    mo_config_free(&config);
    return m;
}

static void save(const char *path, const mo_model *m, const mo_pretrained *base, const char *base_path,
                 const char *text)
{
    mo_checkpoint_array *arrays;
    const mo_checkpoint_file files[] = {{"tokenizer.json", "{}", 2}};
    mo_checkpoint_content content = {.config = text, .compression = 1};
    MO_CHECK_OK(mo_pretrained_content(base, m, true, base_path, &arrays, &content));
    if (!base) {
        content.files = files;
        content.n_files = 1;
    }
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    mo_free(arrays);
}

static void count_one(const char *name, int ndim, const int64_t *dim, void *user)
{
    (void)name;
    (void)ndim;
    (void)dim;
    ++*(int *)user;
}

static void check_arrays(const char *path, int model, int moments)
{
    mo_checkpoint *c;
    int in_model = 0, in_m = 0, in_v = 0;
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_OK(mo_checkpoint_list(c, "model", count_one, &in_model));
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/adamw/m", count_one, &in_m));
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/adamw/v", count_one, &in_v));
    assert_true(in_model == model && in_m == moments && in_v == moments);
    mo_checkpoint_close(c);
}

static void a_checkpoint_and_what_was_made_of_it(void **state)
{
    const char *base_path = temp_path(*state, "base.h5"), *path = temp_path(*state, "tuned.h5");
    mo_text pattern = {(char[]){"attention"}};
    const mo_tuning_config frozen = {.freeze = {&pattern, 1}}, lora = {.lora = {.rank = 2, .alpha = 4}};
    mo_model *m = make_model(NULL), *tuned = make_model(&lora);
    save(base_path, m, NULL, NULL, yaml);
    mo_pretrained *p = open_base(base_path), *q = NULL;
    assert_int_equal(mo_pretrained_config(p)->model.hidden_size, 8);
    int count;
    assert_string_equal(mo_pretrained_files(p, &count)[0].name, "tokenizer.json");

    /* adapters are left alone, all else becomes the base's */
    for (int64_t i = 0; i < tuned->elements; i++) tuned->value[i] = 7;
    MO_CHECK_OK(mo_pretrained_map(p, tuned));
    MO_CHECK_OK(mo_pretrained_load(p, tuned));
    int adapters = 0;
    for (int i = 0; i < tuned->n_params; i++) {
        const mo_param *own = &tuned->params[i], *from = mo_model_find(m, own->name);
        adapters += !from;
        assert_true(from ? !memcmp(tuned->value + own->offset, m->value + from->offset,
                                   (size_t)own->count * sizeof(mo_real))
                         : tuned->value[own->offset] == 7);
    }
    assert_true(adapters == 2 * 7 && adapters + m->n_params == tuned->n_params);

    save(path, tuned, p, "base.h5", yaml);
    check_arrays(path, adapters, adapters);
    MO_CHECK_STATUS(mo_pretrained_open(path, mo_config_parse, mo_config_free, &q), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("tuned.h5: has only what was trained upon base.h5; moira export --merge");
    mo_model_free(tuned);

    tuned = make_model(&frozen); /* four matrices are; the bias of the router is a buffer */
    save(path, tuned, p, "base.h5", yaml);
    check_arrays(path, m->n_params - 4, m->n_params - 5);
    save(path, m, p, "base.h5", yaml); /* nothing is: a checkpoint that stands alone, files and all */
    check_arrays(path, m->n_params, m->n_params - 1);
    q = open_base(path);
    assert_string_equal(mo_pretrained_files(q, &count)[0].name, "tokenizer.json");
    mo_pretrained_close(q);
    mo_pretrained_close(p);
    mo_model_free(tuned);
    mo_model_free(m);
}

static void what_is_not_there(void **state)
{
    mo_pretrained *p;
    MO_CHECK_STATUS(mo_pretrained_open(temp_path(*state, "x.h5"), mo_config_parse, mo_config_free, &p),
                    MO_E_NOT_FOUND);
    MO_CHECK_STATUS(mo_pretrained_open(*state, mo_config_parse, mo_config_free, &p), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("config.json");
    MO_CHECK_OK(mo_write_file(temp_path(*state, "x.h5"), "x", 1));
    MO_CHECK_STATUS(mo_pretrained_open(temp_path(*state, "x.h5"), mo_config_parse, mo_config_free, &p),
                    MO_E_FORMAT);
}

static mo_status open_close(const char *path)
{
    mo_pretrained *p = NULL;
    mo_status status = mo_pretrained_open(path, mo_config_parse, mo_config_free, &p);
    mo_pretrained_close(p);
    return status;
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_close("tests/golden/hf/mixtral_f32"));
    assert_true(failed > 10);
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
        cmocka_unit_test(a_folder),
        cmocka_unit_test(another_model_is_refused),
        WITH_FOLDER(a_checkpoint_and_what_was_made_of_it),
        WITH_FOLDER(what_is_not_there),
        cmocka_unit_test(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
