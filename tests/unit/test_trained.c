/* test_trained.c -- opening trained models: whole folders, adapters upon a base that lies elsewhere, wherever
 * the two are; a wrong base, none, damage. */
#include "moira/pretrained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/harness.h"
#include "harness/small_model.h"
#include "moira/config.h"

static const char folder[] = "tests/golden/hf/mixtral_shards";
enum { TOKENS = 12 };

/* Logits [TOKENS, V] of some tokens; owned. */
static mo_real *logits_of(const mo_model *m)
{
    const mo_model_config *c = &m->config;
    mo_kv_cache caches[8];
    int64_t kv = c->num_key_value_heads * c->head_dim, V = c->vocab_size;
    mo_real *room = mo_calloc((size_t)(2 * c->num_hidden_layers * TOKENS * kv), sizeof *room);
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        caches[l] = (mo_kv_cache){.k = room + 2 * l * TOKENS * kv,
                                  .v = room + (2 * l + 1) * TOKENS * kv,
                                  .capacity = TOKENS,
                                  .length = 0};
    mo_model_graph *t = small_model_graph(
        m, (mo_model_graph_options){
               .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = TOKENS, .caches = caches});
    int32_t *tokens = t->tokens->data, *positions = t->positions->data, *starts = t->starts->data;
    for (int32_t i = 0; i < TOKENS; i++) {
        tokens[i] = (int32_t)((i * 37 + 5) % V);
        positions[i] = i;
        starts[i] = 0;
    }
    mo_run run = {.training = false};
    mo_graph_forward(t->graph, &run);
    mo_real *out = mo_malloc((size_t)(TOKENS * V) * sizeof *out);
    memcpy(out, t->logits->data, (size_t)(TOKENS * V) * sizeof *out);
    mo_model_graph_free(t);
    mo_free(room);
    return out;
}

static double difference(const mo_real *a, const mo_real *b, int64_t V)
{
    double most = 0;
    for (int64_t i = 0; i < TOKENS * V; i++) most = fmax(most, fabs((double)(a[i] - b[i])));
    return most;
}

/* ---- a run's folder with what was trained upon the golden model ---- */

typedef struct fixture {
    char *dir; /* holds base (a folder), run/best.h5 */
    mo_pretrained *base;
    mo_model *tuned; /* what best.h5 has */
    mo_real *logits;
    char *back; /* where the tests run from */
} fixture;

static void copy_folder(const char *from, const char *to)
{
    char command[600];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static const char yaml[] = "run: {name: tuned}\ndata: {path: none}\n"
                           "train: {steps: 1, batch_size: 1, sequence_length: 8}\n"
                           "optimizer: {learning_rate: 1e-3}\n"
                           "lora: {rank: 3, alpha: 6}\nfreeze: ['!router']\n";

/* The config of the run, whose model is the base's. */
static void make_config(const fixture *f, mo_run_config *out)
{
    const mo_model_config *m = &mo_pretrained_config(f->base)->model;
    char *text = mo_strprintf("%smodel: {vocab_size: %d, hidden_size: %d, intermediate_size: %d, "
                              "num_hidden_layers: %d, num_attention_heads: %d, num_local_experts: 4}\n",
                              yaml, (int)m->vocab_size, (int)m->hidden_size, (int)m->intermediate_size,
                              (int)m->num_hidden_layers, (int)m->num_attention_heads);
    MO_CHECK_OK(mo_config_parse(text, "test", out));
    out->model = *m;
    mo_free(text);
}

/* Adapters of a size that shows, and routers that have moved. */
static mo_model *make_tuned(mo_pretrained *base, const mo_run_config *config)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create_tuned(&config->model, &config->tuning, &m));
    MO_CHECK_OK(mo_pretrained_map(base, m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 9);
    MO_CHECK_OK(mo_pretrained_load(base, m));
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        bool adapter = strstr(p->name, "lora_B"), router = strstr(p->name, "gate.weight");
        for (int64_t j = 0; (adapter || router) && j < p->count; j++)
            m->value[p->offset + j] +=
                (mo_real)(0.1 * mo_rng_normal(3, MO_RNG_TEST, 0, (uint32_t)i, (uint64_t)j));
    }
    return m;
}

static void save_tuned(const fixture *f, const mo_run_config *config, const char *dir)
{
    mo_checkpoint_array *arrays;
    mo_checkpoint_content content = {.state = {.step = 77, .best_loss = 2}, .compression = 1};
    char *text, *path, *base_path;
    MO_CHECK_OK(mo_config_dump(config, &text));
    MO_CHECK_OK(mo_path_from(dir, mo_pretrained_path(f->base), &base_path));
    MO_CHECK_OK(mo_pretrained_content(f->base, f->tuned, true, base_path, &arrays, &content));
    content.config = text;
    path = mo_path_join(dir, "best.h5");
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    mo_free(path);
    mo_free(base_path);
    mo_free(arrays);
    mo_free(text);
}

static int setup(void **state)
{
    fixture *f = mo_calloc(1, sizeof *f);
    mo_run_config config;
    MO_CHECK_OK(mo_blas_init());
    f->back = getcwd(NULL, 0);
    f->dir = temp_make();
    copy_folder(folder, temp_path(f->dir, "base"));
    assert_int_equal(chdir(f->dir), 0);
    MO_CHECK_OK(mo_make_dirs("run"));
    MO_CHECK_OK(mo_pretrained_open("base", mo_config_parse, mo_config_free, &f->base));
    make_config(f, &config);
    f->tuned = make_tuned(f->base, &config);
    f->logits = logits_of(f->tuned);
    save_tuned(f, &config, "run");
    mo_config_free(&config);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    assert_int_equal(chdir(f->back), 0);
    mo_free(f->logits);
    mo_model_free(f->tuned);
    mo_pretrained_close(f->base);
    temp_remove(f->dir);
    free(f->back);
    mo_free(f);
    return 0;
}

static void check_same(const fixture *f, const mo_trained_paths *paths)
{
    mo_trained t;
    MO_CHECK_OK(mo_trained_open_paths(paths, mo_config_parse, &t));
    mo_real *logits = logits_of(t.model);
    assert_memory_equal(logits, f->logits, (size_t)(TOKENS * f->tuned->config.vocab_size) * sizeof *logits);
    assert_true(t.state.step == 77 && t.tokenizer && t.config.tuning.lora.rank == 3);
    mo_free(logits);
    mo_trained_free(&t);
    mo_config_free(&t.config);
}

/* ---- tests ---- */

static void adapters_come_back_upon_their_base(void **state)
{
    const fixture *f = *state;
    check_same(f, &(mo_trained_paths){.model = "run/best.h5"});
    check_same(f, &(mo_trained_paths){.model = "base", .adapter = "run/best.h5"});
    check_same(f, &(mo_trained_paths){.model = "run/best.h5", .base = "base"});
    assert_int_equal(chdir(f->back), 0); /* from another folder */
    char *path = mo_path_join(f->dir, "run/best.h5");
    check_same(f, &(mo_trained_paths){.model = path});
    mo_free(path);
    assert_int_equal(chdir(f->dir), 0);
    MO_CHECK_OK(mo_make_dirs("elsewhere/deep")); /* both are moved */
    assert_int_equal(rename("run", "elsewhere/deep/run"), 0);
    MO_CHECK_OK(mo_make_dirs("elsewhere"));
    assert_int_equal(rename("base", "elsewhere/deep/base"), 0);
    check_same(f, &(mo_trained_paths){.model = "elsewhere/deep/run/best.h5"});
    assert_int_equal(rename("elsewhere/deep/base", "other"), 0); /* the base alone */
    mo_trained t;
    MO_CHECK_STATUS(mo_trained_open("elsewhere/deep/run/best.h5", mo_config_parse, &t), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("was trained upon ../base (digest ");
    MO_CHECK_MESSAGE("which is not at elsewhere/deep/run/../base; --base PATH says where it is");
    mo_config_free(&t.config);
    check_same(f, &(mo_trained_paths){.model = "elsewhere/deep/run/best.h5", .base = "other"});
}

/* The sum of a matrix and its adapters is the model without adapters. */
static void merged_is_the_same(void **state)
{
    const fixture *f = *state;
    mo_model *whole;
    MO_CHECK_OK(mo_model_create(&f->tuned->config, &whole));
    MO_CHECK_OK(mo_model_allocate(whole, MO_ALLOCATE_INFERENCE));
    for (int i = 0; i < whole->n_params; i++) {
        const mo_param *own = &whole->params[i], *from = mo_model_find(f->tuned, own->name);
        int64_t parts = own->ndim == 3 ? own->dim[0] : 1;
        for (int64_t part = 0; part < parts; part++)
            MO_CHECK_OK(mo_model_merged(f->tuned, from, part,
                                        whole->value + own->offset + part * (own->count / parts)));
    }
    mo_real *merged = logits_of(whole), *base;
    double off = difference(merged, f->logits, whole->config.vocab_size);
    if (!(off <= 1e-5)) fail_msg("logits differ by %g", off);
    MO_CHECK_OK(mo_pretrained_load(f->base, whole));
    base = logits_of(whole);
    assert_true(difference(base, f->logits, whole->config.vocab_size) > 0.01); /* they say something */
    mo_free(base);
    mo_free(merged);
    mo_model_free(whole);
}

/* A folder alone is the base, all of it mapped. */
static void a_folder_is_mapped(void **state)
{
    const fixture *f = *state;
    mo_trained t;
    mo_model *whole;
    MO_CHECK_OK(mo_trained_open("base/", mo_config_parse, &t));
    for (int i = 0; i < t.model->n_params; i++)
        assert_true((t.model->params[i].stored != NULL) == (t.model->params[i].ndim > 1));
    assert_true(t.tokenizer && isnan(t.state.best_loss) && t.state.step == 0);
    MO_CHECK_OK(mo_model_create(&t.config.model, &whole));
    MO_CHECK_OK(mo_model_allocate(whole, MO_ALLOCATE_INFERENCE));
    MO_CHECK_OK(mo_pretrained_load(f->base, whole));
    mo_real *a = logits_of(t.model), *b = logits_of(whole);
    assert_true(difference(a, b, whole->config.vocab_size) <= 1e-5);
    mo_free(a);
    mo_free(b);
    mo_model_free(whole);
    mo_trained_free(&t);
    mo_config_free(&t.config);
}

static void refused(const mo_trained_paths *paths, mo_status status, const char *message)
{
    mo_trained t;
    MO_CHECK_STATUS(mo_trained_open_paths(paths, mo_config_parse, &t), status);
    MO_CHECK_MESSAGE(message);
    assert_null(t.model);
    assert_null(t.base);
    mo_config_free(&t.config);
}

static void save_whole(const fixture *f, const char *path)
{
    mo_checkpoint_array *arrays;
    mo_run_config config;
    mo_model *whole;
    char *text;
    mo_checkpoint_content content = {.compression = 1};
    make_config(f, &config);
    config.tuning.lora.rank = 0;
    config.tuning.freeze.count = 0;
    MO_CHECK_OK(mo_config_dump(&config, &text));
    MO_CHECK_OK(mo_model_create(&config.model, &whole));
    MO_CHECK_OK(mo_model_allocate(whole, MO_ALLOCATE_INFERENCE));
    MO_CHECK_OK(mo_pretrained_load(f->base, whole));
    MO_CHECK_OK(mo_pretrained_content(f->base, whole, false, NULL, &arrays, &content));
    content.config = text;
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    config.tuning.freeze.count = 1;
    mo_config_free(&config);
    mo_model_free(whole);
    mo_free(arrays);
    mo_free(text);
}

static void what_does_not_go_together(void **state)
{
    const fixture *f = *state;
    refused(&(mo_trained_paths){.model = "run/best.h5", .base = "nowhere"}, MO_E_NOT_FOUND, "nowhere");
    refused(&(mo_trained_paths){.model = "base", .base = "base"}, MO_E_USAGE, "is a whole model");
    refused(&(mo_trained_paths){.model = "base", .base = "base", .adapter = "run/best.h5"}, MO_E_USAGE,
            "one of them");
    refused(&(mo_trained_paths){.model = "run/best.h5", .adapter = "run/best.h5"}, MO_E_MISMATCH,
            "has only what was trained upon ../base");
    refused(&(mo_trained_paths){.model = "base", .adapter = "run/none.h5"}, MO_E_NOT_FOUND, "none.h5");
    refused(&(mo_trained_paths){.model = "run"}, MO_E_FORMAT, "run: is a folder without config.json");
    save_whole(f, "whole.h5");
    refused(&(mo_trained_paths){.model = "whole.h5", .base = "base"}, MO_E_USAGE, "holds all of its model");
    refused(&(mo_trained_paths){.model = "base", .adapter = "whole.h5"}, MO_E_MISMATCH,
            "whole.h5: is a checkpoint of all of a model");
    refused(&(mo_trained_paths){.model = "whole.h5", .adapter = "run/best.h5"}, MO_E_MISMATCH,
            "and whole.h5 has digest ");
    copy_folder("run/best.h5", "cut.h5");
    assert_int_equal(truncate("cut.h5", 4000), 0);
    refused(&(mo_trained_paths){.model = "base", .adapter = "cut.h5"}, MO_E_CORRUPT, "cut.h5: is cut short");

    /* the base changes in one byte of its weights */
    FILE *file = fopen("base/model-00002-of-00003.safetensors", "r+b");
    assert_non_null(file);
    fseek(file, -5, SEEK_END);
    int byte = fgetc(file);
    fseek(file, -5, SEEK_END);
    fputc(byte ^ 1, file);
    fclose(file);
    refused(&(mo_trained_paths){.model = "run/best.h5"}, MO_E_MISMATCH, "or they have changed since");
    assert_int_equal(unlink("base/model-00002-of-00003.safetensors"), 0);
    refused(&(mo_trained_paths){.model = "run/best.h5"}, MO_E_NOT_FOUND, "model-00002-of-00003");
}

static mo_status open_close(const char *path)
{
    mo_trained t;
    mo_status status = mo_trained_open(path, mo_config_parse, &t);
    if (status == MO_OK) mo_trained_free(&t);
    mo_config_free(&t.config);
    return status;
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_close("run/best.h5"));
    assert_true(failed > 100);
    assert_int_equal(mo__alloc_live(), live);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(adapters_come_back_upon_their_base),
        WITH_FIXTURE(merged_is_the_same),
        WITH_FIXTURE(a_folder_is_mapped),
        WITH_FIXTURE(what_does_not_go_together),
        WITH_FIXTURE(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
