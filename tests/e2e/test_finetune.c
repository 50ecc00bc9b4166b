/* test_finetune.c -- runs that start from a model: the same bits whatever the threads, the recompute policy
 * and the interruptions, whether all of it trains, a part, or adapters upon mapped weights; what the base
 * says before the first step; routing drift; the base stays as it was and must stay what it was. */
#include "harness/small_run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "moira/pretrained.h"
#include "moira/routing.h"

/* Nothing of the model and its balancing losses: they are the base's. */
static const char finetune_yaml[] =
    "run: {name: tuned, seed: 9}\n"
    "data: {path: PLACE/data.h5}\n"
    "init: {from: PLACE/base.h5}\n"
    "train: {steps: 9, batch_size: 3, sequence_length: 40, gradient_accumulation_steps: 2}\n"
    "optimizer: {learning_rate: 3.0e-3}\n"
    "schedule: {warmup_steps: 2}\n"
    "eval: {every: 4, batches: 2}\n"
    "checkpoint: {every: 2, keep: 2, compression: 0}\n"
    "sample: {tokens: 4}\n"
    "log: {every: 1}\n";

static char *base_path, *folder_path;

/* ---- what runs start from ---- */

static void copy_file(const char *from, const char *to)
{
    char *bytes = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(from, 1 << 28, &bytes, &size));
    MO_CHECK_OK(mo_write_file(to, bytes, size));
    mo_free(bytes);
}

static void write_config(void)
{
    char *text = NULL, *path = run_path("config.yaml");
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    for (const char *at = finetune_yaml; *at;) {
        const char *place = strstr(at, "PLACE");
        fprintf(f, "%.*s%s", (int)(place ? place - at : (long)strlen(at)), at, place ? run_folder : "");
        at = place ? place + 5 : at + strlen(at);
    }
    fclose(f);
    MO_CHECK_OK(mo_write_file(path, text, size));
    free(text);
    mo_free(path);
}

static mo_status value_of(const mo_param *p, int64_t part, mo_real *out, void *user)
{
    const mo_model *m = user;
    int64_t count = p->ndim == 3 ? p->count / p->dim[0] : p->count;
    memcpy(out, m->value + p->offset + part * count, (size_t)count * sizeof *out);
    return MO_OK;
}

/* A small Mixtral of random weights, in bf16 and several shards. */
static void make_folder(void)
{
    mo_model_config config = {.vocab_size = 256,
                              .hidden_size = 32,
                              .intermediate_size = 40,
                              .num_hidden_layers = 2,
                              .num_attention_heads = 4,
                              .num_key_value_heads = 2,
                              .num_local_experts = 4,
                              .num_experts_per_tok = 2,
                              .max_position_embeddings = 128,
                              .norm_topk_prob = MO_CHOICE_DEFAULT,
                              .rope_theta = 10000,
                              .rms_norm_eps = 1e-5,
                              .initializer_range = 0.1};
    mo_model *m = NULL;
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    mo_model_init(m, 3);
    mo_dtype *dtypes = mo_calloc((size_t)m->n_params, sizeof *dtypes);
    for (int i = 0; i < m->n_params; i++) dtypes[i] = MO_BF16;
    mo_hf_export_options options = {.model = m,
                                    .router_aux_loss_coef = 0.02,
                                    .dtypes = dtypes,
                                    .max_shard_bytes = 30000,
                                    .values = value_of,
                                    .user = m};
    MO_CHECK_OK(mo_hf_export(folder_path, &options));
    mo_free(dtypes);
    mo_model_free(m);
}

static int setup(void **state)
{
    run_setup(state);
    char *dir = run_named("first", NULL), *best = mo_path_join(dir, "best.h5");
    base_path = run_path("base.h5");
    folder_path = run_path("mixtral");
    copy_file(best, base_path);
    make_folder();
    write_config();
    mo_free(best);
    mo_free(dir);
    return 0;
}

static int teardown(void **state)
{
    mo_free(base_path);
    mo_free(folder_path);
    return run_teardown(state);
}

/* Of a file, or of all weights of the folder. */
static char *digest_of(const char *path)
{
    mo_pretrained *p = NULL;
    MO_CHECK_OK(mo_pretrained_open(path, NULL, NULL, &p));
    char *digest = mo_strdup(mo_pretrained_digest(p));
    mo_pretrained_close(p);
    return digest;
}

static uint64_t hash_files(const char *folder)
{
    uint64_t sum = 0;
    for (int shard = 1; shard < 10; shard++)
        for (int of = shard; of < 10; of++) {
            char name[64], hex[33];
            snprintf(name, sizeof name, "model-0000%d-of-0000%d.safetensors", shard, of);
            char *path = mo_path_join(folder, name), *bytes = NULL;
            size_t size = 0;
            if (mo_path_exists(path)) {
                MO_CHECK_OK(mo_read_file(path, 1 << 28, &bytes, &size));
                mo_hash_bytes(bytes, size, hex);
                sum = sum * 31 + strtoull(hex + 16, NULL, 16) + 1;
                mo_free(bytes);
            }
            mo_free(path);
        }
    assert_true(sum != 0);
    return sum;
}

/* ---- the same bits ---- */

enum { MOST_SETTINGS = 8 };

/* A way to train: its settings after run.dir. */
typedef struct way {
    const char *name;
    const char *settings[3];
    int n;
} way;

static const way full = {"full", {NULL}, 0};
static const way parts = {"parts", {"freeze=[experts, embeddings]"}, 1};
static const way adapters = {"adapters", {"lora.rank=4", "lora.dropout=0.1"}, 2};

static mo_status train_as(const way *w, const char *dir, const char *more, mo_train_options options)
{
    const char *settings[MOST_SETTINGS];
    char *where = mo_strprintf("run.dir=%s", dir), *from = NULL;
    int n = 0;
    settings[n++] = where;
    for (int i = 0; i < w->n; i++) settings[n++] = w->settings[i];
    if (strncmp(w->name, "mapped", 6) == 0) {
        from = mo_strprintf("init.from=%s", folder_path);
        settings[n++] = from;
    }
    if (more) settings[n++] = more;
    mo_status status = run_train(settings, n, options, NULL);
    mo_free(where);
    mo_free(from);
    return status;
}

static char *train_in(const way *w, const char *name, const char *more)
{
    char *both = mo_strprintf("%s-%s", w->name, name), *dir = run_path(both);
    MO_CHECK_OK(train_as(w, dir, more, (mo_train_options){0}));
    mo_free(both);
    return dir;
}

static volatile sig_atomic_t stop_flag;

static void stop_at_five(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 5) stop_flag = 1;
}

static void check_interrupted(const way *w, const char *reference)
{
    char *name = mo_strprintf("%s-stopped", w->name), *dir = run_path(name);
    stop_flag = 0;
    mo_train_options options = {.events.tick = stop_at_five, .stop = &stop_flag};
    MO_CHECK_STATUS(train_as(w, dir, NULL, options), MO_E_INTERRUPTED);
    MO_CHECK_OK(train_as(w, dir, NULL, (mo_train_options){.resume = true}));
    assert_same_run(reference, dir);
    mo_free(name);
    mo_free(dir);
}

/* Killed as soon as the run's folder has the file. */
static void check_killed(const way *w, const char *reference, const char *file)
{
    char *name = mo_strprintf("%s-killed-%s", w->name, file), *dir = run_path(name);
    char *where = mo_strprintf("run.dir=%s", dir), *from = mo_strprintf("init.from=%s", folder_path);
    char *until = mo_path_join(dir, file), *config = mo_path_join(dir, "config.yaml");
    const char *settings[MOST_SETTINGS] = {where};
    int n = 1;
    for (int i = 0; i < w->n; i++) settings[n++] = w->settings[i];
    if (strncmp(w->name, "mapped", 6) == 0) settings[n++] = from;
    run_killed(settings, n, 20, until);
    assert_true(mo_path_exists(config));
    MO_CHECK_OK(train_as(w, dir, NULL, (mo_train_options){.resume = true}));
    assert_same_run(reference, dir);
    assert_true(run_best_loss(dir) == run_best_loss(reference));
    mo_free(name);
    mo_free(dir);
    mo_free(where);
    mo_free(from);
    mo_free(until);
    mo_free(config);
}

/* all: the rest of threads and policies too. */
static void check_same_bits(const way *w, bool all)
{
    static const char *const others[][2] = {{"t2", "run.threads=2"},
                                            {"recompute-full", "train.recompute=full"},
                                            {"t4", "run.threads=4"},
                                            {"block", "train.recompute=block"}};
    char *reference = train_in(w, "t1", "run.threads=1");
    for (int i = 0; i < (all ? 4 : 2); i++) {
        char *dir = train_in(w, others[i][0], others[i][1]);
        assert_same_run(reference, dir);
        mo_free(dir);
    }
    check_interrupted(w, reference);
    if (all) check_killed(w, reference, "routing.jsonl"); /* after step 0 is told of, without a checkpoint */
    check_killed(w, reference, "step-00000004.h5");
    mo_free(reference);
}

static void test_full(void **state)
{
    (void)state;
    char *before = digest_of(base_path);
    check_same_bits(&full, true);
    char *after = digest_of(base_path);
    assert_string_equal(before, after);
    mo_free(before);
    mo_free(after);
}

static void test_parts(void **state)
{
    (void)state;
    check_same_bits(&parts, false);
}

static void test_adapters(void **state)
{
    (void)state;
    check_same_bits(&adapters, false);
}

static void test_mapped_adapters(void **state)
{
    (void)state;
    static const way mapped = {"mapped", {"lora.rank=4", "lora.dropout=0.1"}, 2};
    uint64_t before = hash_files(folder_path);
    check_same_bits(&mapped, true);
    assert_true(hash_files(folder_path) == before);
}

/* ---- what is saved ---- */

static int frozen_arrays, all_arrays;

static void count_arrays(const char *name, int ndim, const int64_t *dim, void *user)
{
    (void)ndim;
    (void)dim;
    (void)user;
    all_arrays++;
    frozen_arrays += mo_optim_matches("experts", name) || mo_optim_matches("embeddings", name);
}

static mo_checkpoint *open_best(const char *name)
{
    mo_checkpoint *c = NULL;
    char *dir = run_path(name), *best = mo_path_join(dir, "best.h5");
    MO_CHECK_OK(mo_checkpoint_open(best, &c));
    mo_free(dir);
    mo_free(best);
    all_arrays = frozen_arrays = 0;
    MO_CHECK_OK(mo_checkpoint_list(c, "model", count_arrays, NULL));
    return c;
}

static void test_checkpoints(void **state)
{
    (void)state;
    char *digest = digest_of(base_path);
    mo_checkpoint *c = open_best("full-t1");
    assert_true(frozen_arrays > 0 && !mo_checkpoint_base_path(c));
    assert_string_equal(mo_checkpoint_get_state(c)->init_digest, digest);
    mo_checkpoint_close(c);
    c = open_best("parts-t1");
    assert_true(frozen_arrays == 0 && all_arrays > 10);
    assert_string_equal(mo_checkpoint_base_path(c), base_path);
    assert_string_equal(mo_checkpoint_base_digest(c), digest);
    mo_checkpoint_close(c);
    c = open_best("mapped-t1");
    assert_int_equal(all_arrays, 2 * 2 * (4 + 3)); /* A and B of q, k, v, o, w1, w2, w3 in two layers */
    assert_string_equal(mo_checkpoint_base_path(c), folder_path);
    mo_checkpoint_close(c);
    mo_free(digest);
}

/* ---- metrics ---- */

/* The line of a step in a run's metrics. The caller frees. */
static json_t *line_of(const char *name, int64_t step)
{
    char *dir = run_path(name), *path = mo_path_join(dir, "metrics.jsonl"), *text = NULL;
    size_t size = 0;
    json_t *found = NULL;
    MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *object = json_loads(line, 0, NULL);
        if (json_integer_value(json_object_get(object, "step")) == step && !found)
            found = object;
        else
            json_decref(object);
    }
    assert_non_null(found);
    mo_free(text);
    mo_free(path);
    mo_free(dir);
    return found;
}

static double number(const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);
    assert_true(json_is_real(value));
    return json_real_value(value);
}

static mo_model *load_model(const char *path, mo_run_config *config)
{
    mo_pretrained *p = NULL;
    mo_model *m = NULL;
    MO_CHECK_OK(mo_pretrained_open(path, mo_config_parse, mo_config_free, &p));
    *config = *mo_pretrained_config(p);
    MO_CHECK_OK(mo_model_create(&config->model, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    MO_CHECK_OK(mo_pretrained_load(p, m));
    mo_pretrained_close(p);
    return m;
}

/* The first line is the base's loss; best.h5 does not know of it. */
static void test_step_zero(void **state)
{
    (void)state;
    static const char *const runs[] = {"full-t1", "parts-t1", "adapters-t1"};
    char *data = run_path("data.h5");
    mo_tokenfile *file = NULL;
    mo_run_config config;
    mo_eval_result result;
    MO_CHECK_OK(mo_tokenfile_open(data, &file));
    mo_model *m = load_model(base_path, &config);
    mo_eval_options options = {
        .file = file, .split = MO_SPLIT_VALIDATION, .sequence_length = 40, .batch_size = 3, .batches = 2};
    MO_CHECK_OK(mo_evaluate(m, &options, &result));
    for (int i = 0; i < 3; i++) {
        json_t *line = line_of(runs[i], 0);
        assert_true(number(line, "validation_loss") == result.loss);
        assert_true(json_is_null(json_object_get(line, "train_loss")));
        assert_true(json_is_null(json_object_get(line, "grad_norm")));
        assert_null(json_object_get(line, "layers"));
        json_decref(line);
        mo_checkpoint *c = open_best(runs[i]);
        assert_true(mo_checkpoint_get_state(c)->best_step >= 4);
        mo_checkpoint_close(c);
    }
    mo_eval_result_free(&result);
    mo_model_free(m);
    mo_tokenfile_close(file);
    mo_free(data);
}

/* Of the last step, as two models side by side give it. */
static void test_drift(void **state)
{
    (void)state;
    char *data = run_path("data.h5"), *dir = run_path("full-t1"), *last = NULL;
    mo_tokenfile *file = NULL;
    mo_run_config config;
    mo_drift drift;
    MO_CHECK_OK(mo_run_latest(dir, &last));
    MO_CHECK_OK(mo_tokenfile_open(data, &file));
    mo_model *before = load_model(base_path, &config), *after = load_model(last, &config);
    mo_eval_options options = {
        .file = file, .split = MO_SPLIT_VALIDATION, .sequence_length = 40, .batch_size = 3, .batches = 2};
    MO_CHECK_OK(mo_routing_drift(before, after, &options, &drift));
    json_t *line = line_of("full-t1", 9), *layers = json_object_get(line, "layers");
    double mean = 0;
    for (int l = 0; l < drift.n_layers; l++) {
        double said = number(json_array_get(layers, (size_t)l), "drift");
        MO_CHECK_NEAR(said, drift.layers[l].changed, 1e-12);
        mean += said / drift.n_layers;
    }
    assert_true(mean > 0 && mean < 1);
    MO_CHECK_NEAR(number(line, "drift"), mean, 1e-12);
    json_decref(line);
    mo_drift_free(&drift);
    mo_model_free(before);
    mo_model_free(after);
    mo_tokenfile_close(file);
    mo_free(last);
    mo_free(dir);
    mo_free(data);
}

/* ---- settings ---- */

/* A run of one step of nothing but routers, from the folder; returns its last line. */
static json_t *one_step(const char *name, const char *setting)
{
    static const way routers = {"mapped-routers", {"freeze=[\"*\", \"!router\"]", "train.steps=1"}, 2};
    char *dir = train_in(&routers, name, setting), *full_name = mo_strprintf("%s-%s", routers.name, name);
    json_t *line = line_of(full_name, 1);
    mo_free(dir);
    mo_free(full_name);
    return line;
}

/* router_aux_loss_coef holds unless it is said otherwise; it reaches the routers, and 0 takes it away. */
static void test_balance(void **state)
{
    (void)state;
    json_t *own = one_step("own", NULL), *none = one_step("none", "balance.mixtral=0"),
           *given = one_step("given", "balance.mixtral=0.02"), *more = one_step("more", "balance.mixtral=2");
    double value = number(json_object_get(own, "balance"), "mixtral");
    assert_true(value > 2 && value < 4);
    MO_CHECK_NEAR(number(own, "balance_loss"), 0.02 * value, 1e-12);
    assert_true(number(own, "grad_norm") == number(given, "grad_norm"));
    assert_int_equal(json_object_size(json_object_get(none, "balance")), 0);
    assert_true(number(none, "balance_loss") == 0);
    assert_true(number(none, "grad_norm") != number(own, "grad_norm"));
    assert_true(number(more, "grad_norm") > 1.5 * number(own, "grad_norm"));
    assert_true(number(own, "train_loss") == number(none, "train_loss"));
    json_decref(own);
    json_decref(none);
    json_decref(given);
    json_decref(more);
}

static void test_defaults(void **state)
{
    (void)state;
    char *path = run_path("config.yaml");
    mo_run_config config;
    MO_CHECK_OK(mo_config_load(path, (const char *[]){"balance.load=0.5", "model.router_jitter_noise=0.1"}, 2,
                               &config));
    assert_int_equal(config.model.hidden_size, 32);
    assert_int_equal(config.model.vocab_size, 256);
    assert_int_equal(config.model.router, MO_ROUTER_NOISY_TOPK);
    assert_true(config.model.resid_pdrop == 0.1 && config.model.router_jitter_noise == 0.1);
    assert_true(config.balance.importance == 0.1 && config.balance.load == 0.5);
    assert_int_equal(config.balance.scope, MO_SCOPE_SEQUENCE);
    mo_config_free(&config);
    char *from = mo_strprintf("init.from=%s", folder_path);
    MO_CHECK_OK(mo_config_load(path, (const char *[]){from, "model.vocab_size=0"}, 2, &config));
    assert_true(config.balance.mixtral == 0.02 && config.model.intermediate_size == 40);
    assert_int_equal(config.model.vocab_size, 256);
    mo_config_free(&config);
    mo_free(from);
    mo_free(path);
}

static void refuse(const char *const *settings, int n, bool resume, mo_status status, const char *message)
{
    MO_CHECK_STATUS(run_train(settings, n, (mo_train_options){.resume = resume}, NULL), status);
    MO_CHECK_MESSAGE(message);
}

static void test_refused(void **state)
{
    (void)state;
    char *where = mo_strprintf("run.dir=%s/refused", run_folder), *dir = run_path("refused");
    refuse((const char *[]){where, "model.hidden_size=64", "model.n_shared_experts=1"}, 3, false,
           MO_E_MISMATCH, "model.hidden_size is 64 and was 32, model.n_shared_experts is 1 and was 0");
    refuse((const char *[]){where, "model.router=topk", "balance.load=0"}, 3, false, MO_E_MISMATCH,
           "model.router is topk and was noisy_topk");
    refuse((const char *[]){where, "init.from=/nowhere/base.h5"}, 2, false, MO_E_NOT_FOUND,
           "init.from: /nowhere/base.h5");
    refuse((const char *[]){where, "freeze=[expert]"}, 2, false, MO_E_CONFIG,
           "'expert' fits no parameter; did you mean experts?");
    refuse((const char *[]){where, "freeze=[\"*\"]"}, 2, false, MO_E_CONFIG, "nothing to train");
    refuse((const char *[]){where, "train.sequence_length=81"}, 2, false, MO_E_CONFIG,
           "is longer than model.max_position_embeddings 80");
    char *from = mo_strprintf("init.from=%s/adapters-t1/best.h5", run_folder);
    refuse((const char *[]){where, from}, 2, false, MO_E_MISMATCH, "has only what was trained");
    assert_false(mo_path_exists(dir));
    mo_free(from);
    mo_free(where);
    mo_free(dir);
}

/* Same weights' shapes, other weights; a base that went away; one that moved. */
static void test_base_on_resume(void **state)
{
    (void)state;
    char *other_dir = NULL, *moved = run_path("moved.h5"), *from = mo_strprintf("init.from=%s", moved);
    char *where = mo_strprintf("run.dir=%s/adapters-t1", run_folder);
    const char *settings[] = {where, "lora.rank=4", "lora.dropout=0.1", "train.steps=11", from};
    MO_CHECK_OK(rename(base_path, moved) == 0 ? MO_OK : MO_E_IO);
    refuse(settings, 4, true, MO_E_NOT_FOUND, "base.h5");
    MO_CHECK_OK(run_train(settings, 5, (mo_train_options){.resume = true}, NULL));
    mo_checkpoint *c = open_best("adapters-t1");
    mo_checkpoint_close(c);
    MO_CHECK_OK(rename(moved, base_path) == 0 ? MO_OK : MO_E_IO);

    char *last = NULL;
    other_dir = run_path("full-t1");
    MO_CHECK_OK(mo_run_latest(other_dir, &last));
    char *other = mo_strprintf("init.from=%s", last);
    settings[3] = "train.steps=12";
    settings[4] = other;
    refuse(settings, 5, true, MO_E_MISMATCH,
           "is not the model that the run began from, or has changed since");
    settings[4] = "init.from=";
    refuse(settings, 5, true, MO_E_CONFIG, "model.hidden_size");
    mo_free(other);
    mo_free(last);
    mo_free(other_dir);
    mo_free(where);
    mo_free(from);
    mo_free(moved);
}

/* Tokens of another tokenizer than the base's. */
static void test_tokenizer(void **state)
{
    (void)state;
    char *text = run_path("text.txt"), *data = run_path("pieces.h5"), *where = run_path("pieces");
    FILE *f = fopen(text, "w");
    for (int i = 0; i < 3000; i++) fprintf(f, "Sentence %d of %d has %d words. ", i, i * 7919 % 1000, i % 9);
    fclose(f);
    const char *inputs[] = {text};
    mo_prepare_options prepare = {.corpus = {.inputs = inputs, .n_inputs = 1},
                                  .output = data,
                                  .train_vocabulary = 300,
                                  .validation_fraction = 0.1};
    mo_prepare_summary summary;
    MO_CHECK_OK(mo_prepare(&prepare, &summary));
    char *path = mo_strprintf("data.path=%s", data), *dir = mo_strprintf("run.dir=%s", where);
    refuse((const char *[]){dir, path}, 2, false, MO_E_MISMATCH, "has tokens of another tokenizer");
    MO_CHECK_MESSAGE("pieces.h5");
    MO_CHECK_MESSAGE("base.h5");
    assert_false(mo_path_exists(where));
    mo_free(path);
    mo_free(dir);
    mo_free(where);
    mo_free(data);
    mo_free(text);
}

int main(int argc, char **argv)
{
    int child = run_as_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_adapters),    cmocka_unit_test(test_mapped_adapters),
        cmocka_unit_test(test_checkpoints), cmocka_unit_test(test_step_zero),
        cmocka_unit_test(test_drift),       cmocka_unit_test(test_balance),
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tokenizer),   cmocka_unit_test(test_base_on_resume)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
