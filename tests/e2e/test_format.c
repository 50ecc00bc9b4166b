/* test_format.c -- the format policy, on files that the first programs of a format wrote: they are read,
 * evaluated and gone on from, by this program and every later one; what is newer is refused by name; what is
 * added is passed over. The figures are what that program said of them. */
#include "harness/harness.h"

#include <math.h>
#include <string.h>

#include "moira/moira.h"
#include "store/h5.h"
#include "store/stamp.h"

static const char tokens_path[] = "tests/golden/format1_tokens.h5";
static const char conversations_path[] = "tests/golden/format2_tokens.h5";
static const char checkpoint_path[] = "tests/golden/format1_checkpoint.h5";

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

static void check_hash(const void *bytes, size_t size, const char *expected)
{
    char hash[33];
    mo_hash_bytes(bytes, size, hash);
    assert_string_equal(hash, expected);
}

/* ---- files of formats 1 and 2 ---- */

static void tokens_are_read(void **state)
{
    (void)state;
    mo_tokenfile *f;
    MO_CHECK_OK(mo_tokenfile_open(tokens_path, &f));
    const mo_tokens *train = &f->split[MO_SPLIT_TRAIN], *validation = &f->split[MO_SPLIT_VALIDATION];
    assert_string_equal(f->hash, "2cd5f25cff5be8a0d42969a85bfe885e");
    assert_string_equal(mo_tokenizer_kind(f->tokenizer), "bytes");
    assert_int_equal(f->vocab_size, 256);
    assert_int_equal(f->n_domains, 3);
    assert_string_equal(f->domain_names[1], "arithmetic");
    assert_true(train->width == 1 && train->count == 21697 && train->documents == 108);
    assert_true(validation->count == 2499 && validation->documents == 12);
    check_hash(train->data, 21697, "cb66d555b8b8255d59b3ea22d5318238");
    check_hash(train->offsets, 109 * sizeof(uint64_t), "3f091cc0b1c9f9f281f130d2cf85c7d0");
    check_hash(validation->domains, 12 * sizeof(uint16_t), "b1b568b09f1a7385283949d91ff2535c");
    MO_CHECK_NEAR(validation->entropy_nats[2], 0.31053641678901972, 1e-15);
    mo_tokenfile_close(f);
}

static void add_elements(const char *name, int ndim, const int64_t *dim, void *user)
{
    (void)name;
    int64_t *total = user, n = 1;
    for (int i = 0; i < ndim; i++) n *= dim[i];
    *total += n;
}

static void checkpoint_is_read(void **state)
{
    (void)state;
    mo_checkpoint *c;
    mo_trained t;
    int64_t total = 0;
    MO_CHECK_OK(mo_checkpoint_verify(checkpoint_path));
    MO_CHECK_OK(mo_checkpoint_open(checkpoint_path, &c));
    const mo_checkpoint_state *s = mo_checkpoint_get_state(c);
    assert_true(s->step == 20 && s->tokens == 2547 && s->best_step == 20);
    MO_CHECK_NEAR(s->best_loss, 4.1317317424155418, 1e-15);
    assert_string_equal(s->data_hash, "2cd5f25cff5be8a0d42969a85bfe885e");
    assert_true(s->stale_evaluations == 0 && s->n_recent_losses == 0); /* thought of later */
    MO_CHECK_OK(mo_checkpoint_list(c, "model", add_elements, &total));
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/adamw/m", add_elements, &total));
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/adamw/v", add_elements, &total));
    assert_int_equal(total, 3 * 3176);
    mo_checkpoint_close(c);
    MO_CHECK_OK(mo_trained_open(checkpoint_path, mo_config_parse, &t));
    const mo_param *embedding = mo_model_find(t.model, "model.embed_tokens.weight");
    assert_non_null(embedding);
    if (sizeof(mo_real) == sizeof(float))
        check_hash(t.model->value + embedding->offset, 2048 * sizeof(mo_real),
                   "fc598f220191236486bdaf9cddaffa8c");
    assert_true(t.config.schedule.warmup_steps == 4 && t.config.model.router == MO_ROUTER_NOISY_TOPK);
    mo_trained_free(&t);
    mo_config_free(&t.config);
}

static void check_loss(const char *path, int64_t sequence_length, double loss, int64_t tokens)
{
    mo_trained t;
    mo_tokenfile *f;
    mo_eval_result result;
    MO_CHECK_OK(mo_trained_open(checkpoint_path, mo_config_parse, &t));
    MO_CHECK_OK(mo_tokenfile_open(path, &f));
    mo_eval_options options = {
        .file = f, .split = MO_SPLIT_VALIDATION, .sequence_length = sequence_length, .batch_size = 4};
    MO_CHECK_OK(mo_evaluate(t.model, &options, &result));
    MO_CHECK_NEAR(result.loss, loss, 1e-5);
    assert_int_equal(result.tokens, tokens);
    mo_eval_result_free(&result);
    mo_tokenfile_close(f);
    mo_trained_free(&t);
    mo_config_free(&t.config);
}

/* Tolerances leave room for another processor's rounding; neighbouring steps differ by 0.03. */
static void checkpoint_evaluates(void **state)
{
    (void)state;
    check_loss(tokens_path, 32, 4.1317317424155418, 2407);
    check_loss(conversations_path, 300, 4.1234204235864427, 315);
    check_loss(conversations_path, 169, 4.1234204235864427, 315); /* the longest conversation */
}

/* How whole documents are packed belongs to the format: a run goes on with the windows that it began with. */
static void conversations_are_read(void **state)
{
    (void)state;
    mo_tokenfile *f;
    mo_packing p;
    MO_CHECK_OK(mo_tokenfile_open(conversations_path, &f));
    const mo_tokens *train = &f->split[MO_SPLIT_TRAIN], *validation = &f->split[MO_SPLIT_VALIDATION];
    assert_string_equal(f->hash, "4cd26fe1c4112e49c4df735c0fb5e758");
    assert_true(train->whole && validation->whole && train->documents == 32 && validation->documents == 8);
    assert_true(train->count == 3426 && train->predictable == 1190 && train->unlearnt == 0);
    check_hash(train->data, 3426, "9301745193c1fe28dce6be61760716ca");
    check_hash(train->mask, 3426, "9a4afa8741664665497eee1f7f007c86");
    check_hash(train->offsets, 33 * sizeof(uint64_t), "ebe334c5d21f9f2b7f8bb5c7e7b25448");
    check_hash(validation->mask, 891, "877310e2039f0f9f1c7e5fb6de6d68f3");
    MO_CHECK_OK(mo_packing_create(train, 200, &p));
    assert_int_equal(p.windows, 21);
    check_hash(p.document, 32 * sizeof(int64_t), "27802d5fc5a7dc94d5a180bb46fcf75a");
    mo_packing_free(&p);
    mo_tokenfile_close(f);
}

/* ---- checkpoints of format 2: 16-bit arrays; and what came with it, a base elsewhere and files ---- */

static void check_evaluation(const mo_trained *t, double expected)
{
    mo_tokenfile *f;
    mo_eval_result result;
    MO_CHECK_OK(mo_tokenfile_open(tokens_path, &f));
    mo_eval_options options = {
        .file = f, .split = MO_SPLIT_VALIDATION, .sequence_length = 32, .batch_size = 4};
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_evaluate(t->model, &options, &result));
    MO_CHECK_NEAR(result.loss, expected, 1e-4);
    mo_eval_result_free(&result);
    mo_tokenfile_close(f);
}

static void check_values(const mo_trained *t, const char *name, const char *hash)
{
    const mo_param *p = mo_model_find(t->model, name);
    assert_non_null(p);
    if (sizeof(mo_real) == sizeof(float))
        check_hash(t->model->value + p->offset, (size_t)p->count * sizeof(mo_real), hash);
}

static void checkpoint_2_is_read(void **state)
{
    (void)state;
    static const char path[] = "tests/golden/format2_checkpoint.h5";
    mo_checkpoint *c;
    mo_dtype dtype;
    const mo_checkpoint_file *files;
    int count;
    mo_trained t;
    MO_CHECK_OK(mo_checkpoint_verify(path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_OK(mo_checkpoint_dtype(c, "model", "model.embed_tokens.weight", &dtype));
    assert_int_equal(dtype, MO_BF16);
    MO_CHECK_OK(mo_checkpoint_files(c, &files, &count));
    assert_int_equal(count, 3);
    for (int i = 0; i < count; i++)
        if (strcmp(files[i].name, "config.json") == 0)
            check_hash(files[i].bytes, files[i].size, "448b40468c6f9b82240cff0c16300bab");
    assert_null(mo_checkpoint_base_path(c));
    mo_checkpoint_close(c);
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &t));
    check_values(&t, "model.layers.0.block_sparse_moe.experts.w1.weight", "5946ccf830d381693b6cf01096ecc486");
    check_evaluation(&t, 6.8212244437615404);
    mo_trained_free(&t);
    mo_config_free(&t.config);
}

static void adapter_is_read(void **state)
{
    (void)state;
    static const char path[] = "tests/golden/format2_run/best.h5";
    mo_checkpoint *c;
    mo_trained t;
    MO_CHECK_OK(mo_checkpoint_verify(path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    assert_string_equal(mo_checkpoint_base_path(c), "../hf/mixtral_shards");
    assert_string_equal(mo_checkpoint_base_digest(c), "d50a5833595cbfc36fed8baabd74de8d");
    mo_checkpoint_close(c);
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &t));
    assert_true(t.state.step == 6 && t.config.tuning.lora.rank == 2);
    check_values(&t, "model.layers.1.block_sparse_moe.experts.w2.lora_B.weight",
                 "b0cc77870579c47411b3a26f078e7bbe");
    check_evaluation(&t, 6.7522957731553115);
    mo_trained_free(&t);
    mo_config_free(&t.config);
}

/* ---- going on with a run of format 1 ---- */

typedef struct curve {
    double train_loss[41], validation_loss[41];
} curve;

static void note_step(const mo_step_report *r, void *user)
{
    curve *c = user;
    assert_true(r->step <= 40);
    c->train_loss[r->step] = r->train_loss;
    if (r->evaluated) c->validation_loss[r->step] = r->validation_loss;
}

static void copy(const char *from, const char *to)
{
    char *bytes;
    size_t size;
    MO_CHECK_OK(mo_read_file(from, SIZE_MAX, &bytes, &size));
    MO_CHECK_OK(mo_write_file(to, bytes, size));
    mo_free(bytes);
}

/* The run's own config, in another folder. */
static mo_status resume(const char *dir, curve *c)
{
    mo_checkpoint *file;
    mo_run_config config;
    mo_step_report last;
    MO_CHECK_OK(mo_checkpoint_open(checkpoint_path, &file));
    MO_CHECK_OK(mo_config_parse(mo_checkpoint_config(file), checkpoint_path, &config));
    mo_checkpoint_close(file);
    mo_free(config.run.dir);
    config.run.dir = mo_strdup(dir);
    mo_train_options options = {
        .config = &config, .dump = mo_config_dump, .resume = true, .events = {.step = note_step, .user = c}};
    mo_status status = mo_train(&options, &last);
    mo_config_free(&config);
    return status;
}

static void run_goes_on(void **state)
{
    curve c = {.train_loss = {0}};
    copy(checkpoint_path, temp_path(*state, "step-00000020.h5"));
    MO_CHECK_OK(resume(*state, &c));
    MO_CHECK_NEAR(c.train_loss[21], 4.1134645460899995, 1e-4);
    MO_CHECK_NEAR(c.train_loss[30], 3.90220999995552, 1e-3);
    MO_CHECK_NEAR(c.validation_loss[30], 3.8664370079968595, 1e-3);
    MO_CHECK_NEAR(c.validation_loss[40], 3.7919669802699065, 2e-3);
}

/* ---- what is newer, and what is more ---- */

static mo_status open_checkpoint(const char *path)
{
    mo_checkpoint *c;
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_checkpoint_close(c);
    return MO_OK;
}

static mo_status open_tokens(const char *path)
{
    mo_tokenfile *f;
    MO_TRY(mo_tokenfile_open(path, &f));
    mo_tokenfile_close(f);
    return MO_OK;
}

/* Opened to be changed; the stamp is wrong from here on. */
static hid_t reopen(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    assert_true(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    assert_true(file >= 0);
    return file;
}

/* A copy that says the version after the newest in its stamp, or only in its root's attribute. */
static void refuse_newer(const char *golden, const char *path, const mo__stamp_kind *kind, const char *noun,
                         mo_status (*open)(const char *path))
{
    mo__stamp_kind newer = *kind;
    newer.version++;
    char *expected = mo_strprintf("%s: is %s of version %d, moira " MO_VERSION_STRING
                                  " reads versions up to %d; use a newer moira",
                                  path, noun, newer.version, kind->version);
    copy(golden, path);
    MO_CHECK_OK(mo__stamp_write(path, &newer));
    MO_CHECK_STATUS(open(path), MO_E_VERSION);
    assert_string_equal(mo_last_error(), expected);
    mo_free(expected);

    hid_t file = reopen(path);
    assert_true(H5Adelete(file, "version") >= 0);
    MO_CHECK_OK(mo__h5_put_int(file, "version", newer.version));
    assert_true(H5Fclose(file) >= 0);
    MO_CHECK_OK(mo__stamp_write(path, kind));
    MO_CHECK_STATUS(open(path), MO_E_VERSION);
    MO_CHECK_MESSAGE(newer.version == 2 ? ": is a file of version 2, moira "
                                        : ": is a file of version 3, moira ");
}

static void newer_versions_are_refused(void **state)
{
    refuse_newer(tokens_path, temp_path(*state, "t.h5"), &mo__stamp_tokens, "a token file", open_tokens);
    refuse_newer(checkpoint_path, temp_path(*state, "c.h5"), &mo__stamp_checkpoint, "a checkpoint",
                 open_checkpoint);
}

/* An attribute and a data set of texts, which no program of format 1 reads anywhere. */
static void add_unknown(hid_t at)
{
    hsize_t dim = 3;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &dim, NULL);
    MO_CHECK_OK(mo__h5_put_text(at, "mood", "unknown to format 1"));
    assert_true(H5Tset_size(type, H5T_VARIABLE) >= 0);
    hid_t dataset = H5Dcreate2(at, "diary", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Tclose(type);
    H5Sclose(space);
}

static void add_everywhere(const char *path, const mo__stamp_kind *kind, const char *const *groups)
{
    hid_t file = reopen(path), group;
    add_unknown(file);
    for (; *groups; groups++) {
        MO_CHECK_OK(mo__h5_path_create(file, *groups, &group));
        add_unknown(group);
        mo__h5_release(&group);
    }
    assert_true(H5Fclose(file) >= 0);
    MO_CHECK_OK(mo__stamp_write(path, kind));
}

static void additions_are_passed_over(void **state)
{
    mo_tokenfile *f;
    curve c = {.train_loss = {0}};
    const char *tokens = temp_path(*state, "t.h5");
    copy(tokens_path, tokens);
    add_everywhere(tokens, &mo__stamp_tokens, (const char *const[]){"train", "validation", "extra", NULL});
    MO_CHECK_OK(mo_tokenfile_open(tokens, &f));
    assert_int_equal(f->split[MO_SPLIT_TRAIN].count, 21697);
    mo_tokenfile_close(f);

    const char *step = temp_path(*state, "step-00000020.h5");
    copy(checkpoint_path, step);
    add_everywhere(step, &mo__stamp_checkpoint,
                   (const char *const[]){"trainer", "extra", "optimizer/other/m", NULL});
    MO_CHECK_OK(mo_checkpoint_verify(step));
    MO_CHECK_OK(resume(*state, &c));
    MO_CHECK_NEAR(c.validation_loss[40], 3.7919669802699065, 2e-3);
}

/* Lines without a version, as the first programs wrote them, and with one that is not known. */
static void metrics_have_versions(void **state)
{
    static const char old[] = "{\"step\":19,\"train_loss\":4.5}\n{\"step\":20,\"train_loss\":4}\n";
    static const char newer[] = "{\"step\":19}\n{\"version\":2,\"step\":20}\n{\"version\":1,\"step\":21}\n";
    const char *metrics = temp_path(*state, "metrics.jsonl");
    curve c;
    char *text;
    size_t size;
    copy(checkpoint_path, temp_path(*state, "step-00000020.h5"));
    MO_CHECK_OK(mo_write_file(metrics, newer, strlen(newer)));
    MO_CHECK_STATUS(resume(*state, &c), MO_E_VERSION);
    MO_CHECK_MESSAGE("metrics.jsonl: is a metrics file of version 2, moira ");
    MO_CHECK_MESSAGE(" reads versions up to 1; use a newer moira");
    MO_CHECK_OK(mo_read_file(metrics, SIZE_MAX, &text, &size));
    assert_string_equal(text, newer);
    mo_free(text);
    MO_CHECK_OK(mo_write_file(metrics, old, strlen(old)));
    MO_CHECK_OK(resume(*state, &c));
    MO_CHECK_OK(mo_read_file(metrics, SIZE_MAX, &text, &size));
    assert_memory_equal(text, old, strlen(old));
    assert_memory_equal(text + strlen(old), "{\"version\":1,\"step\":21,", 23);
    mo_free(text);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_read),
        cmocka_unit_test(checkpoint_is_read),
        cmocka_unit_test(checkpoint_evaluates),
        cmocka_unit_test(checkpoint_2_is_read),
        cmocka_unit_test(adapter_is_read),
        cmocka_unit_test(conversations_are_read),
        WITH_FOLDER(run_goes_on),
        WITH_FOLDER(newer_versions_are_refused),
        WITH_FOLDER(additions_are_passed_over),
        WITH_FOLDER(metrics_have_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
