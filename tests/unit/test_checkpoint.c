/* test_checkpoint.c -- checkpoints: the same bits back, and every kind of wrong file refused. */
#include <moira/checkpoint.h>

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "store/h5.h"
#include "store/h5_root.h"
#include "store/stamp.h"

enum { ARRAYS = 9 };

/* The large ones are cut in their first and in their last dimension, and between. */
static const mo_checkpoint_array SHAPES[ARRAYS] = {
    {"model", "model.embed_tokens.weight", 2, {700, 500}, NULL, NULL},
    {"model", "norm", 1, {7}, NULL, NULL},
    {"model", "model.layers.0.experts", 3, {3, 5, 4}, NULL, NULL},
    {"model", "scale", 1, {1}, NULL, NULL},
    {"model", "four", 4, {2, 3, 4, 5}, NULL, NULL},
    {"optimizer/adamw/m", "norm", 1, {7}, NULL, NULL},
    {"optimizer/adamw/m", "wide", 2, {2, 400001}, NULL, NULL},
    {"optimizer/adamw/v", "norm", 1, {7}, NULL, NULL},
    {"optimizer/adamw/v", "middle", 4, {2, 3, 70001, 2}, NULL, NULL},
};

static int64_t count_of(const mo_checkpoint_array *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->ndim; i++) n *= a->dim[i];
    return n;
}

/* Any bits: not-a-numbers with payload, infinities, negative zeros, denormals are among them. */
static void fill(mo_checkpoint_array *arrays, int n)
{
    for (int k = 0; k < n; k++) {
        int64_t count = count_of(&arrays[k]);
        uint32_t *words = (uint32_t *)(void *)arrays[k].data;
        for (int64_t i = 0; i < count * (int64_t)(sizeof(mo_real) / 4); i++) {
            uint32_t bits[4];
            mo_rng_bits(5, MO_RNG_TEST, 0, (uint32_t)k, (uint64_t)i, bits);
            words[i] = bits[0] % 16 == 0 ? 0x80000000u : bits[1];
        }
    }
}

static void make_arrays(mo_checkpoint_array *arrays, const mo_checkpoint_array *shapes, int n)
{
    for (int k = 0; k < n; k++) {
        arrays[k] = shapes[k];
        arrays[k].data = mo_calloc((size_t)count_of(&shapes[k]), sizeof(mo_real));
        assert_non_null(arrays[k].data);
    }
}

static void free_arrays(mo_checkpoint_array *arrays, int n)
{
    for (int k = 0; k < n; k++) mo_free(arrays[k].data);
}

static mo_checkpoint_content content_of(const mo_checkpoint_array *arrays, int n, int compression)
{
    return (mo_checkpoint_content){
        .arrays = arrays,
        .n_arrays = n,
        .state = {.step = 123, .tokens = 1 << 20, .best_loss = 1.5, .best_step = 100, .seconds = 61.25},
        .config = "run:\n  name: \"a\"\n",
        .compression = compression};
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

/* A small checkpoint with two arrays of the model. */
static const mo_checkpoint_array SMALL[2] = {{"model", "a", 2, {3, 4}, NULL, NULL},
                                             {"model", "b", 1, {5}, NULL, NULL}};

static mo_status save_small(const char *path)
{
    mo_checkpoint_array arrays[2];
    mo_real data[17];
    memset(data, 0, sizeof data);
    memcpy(arrays, SMALL, sizeof arrays);
    arrays[0].data = data;
    arrays[1].data = data + 12;
    mo_checkpoint_content content = content_of(arrays, 2, 1);
    return mo_checkpoint_save(path, &content);
}

static mo_status open_and_close(const char *path)
{
    mo_checkpoint *c;
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_checkpoint_close(c);
    return MO_OK;
}

/* ---- there and back ---- */

static void same_bits_back(void **state)
{
    mo_checkpoint_array saved[ARRAYS], read[ARRAYS];
    make_arrays(saved, SHAPES, ARRAYS);
    make_arrays(read, SHAPES, ARRAYS);
    fill(saved, ARRAYS);
    const int levels[] = {0, 1, 6};
    for (int k = 0; k < 3; k++) {
        const char *path = temp_path(*state, "c.h5");
        mo_checkpoint_content content = content_of(saved, ARRAYS, levels[k]);
        mo_checkpoint *c;
        MO_CHECK_OK(mo_checkpoint_save(path, &content));
        MO_CHECK_OK(mo_checkpoint_verify(path));
        MO_CHECK_OK(mo_checkpoint_open(path, &c));
        MO_CHECK_OK(mo_checkpoint_read(c, read, ARRAYS));
        for (int i = 0; i < ARRAYS; i++) {
            assert_memory_equal(read[i].data, saved[i].data, (size_t)count_of(&saved[i]) * sizeof(mo_real));
            memset(read[i].data, 0, (size_t)count_of(&saved[i]) * sizeof(mo_real));
        }
        mo_checkpoint_close(c);
    }
    assert_int_equal(damage_count_files(*state), 1);
    free_arrays(saved, ARRAYS);
    free_arrays(read, ARRAYS);
}

static void state_config_and_tokenizer_come_back(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    mo_tokenizer *t;
    mo_checkpoint *c;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    mo_checkpoint_content content = content_of(NULL, 0, 1);
    content.state.best_loss = (double)NAN;
    content.tokenizer = t;
    content.data_hashes = "0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210";
    content.state.stale_evaluations = 3;
    content.state.patience_loss = 2.25;
    content.state.evaluation_due = true;
    content.state.n_recent_losses = MO_RECENT_LOSSES;
    for (int i = 0; i < MO_RECENT_LOSSES; i++) content.state.recent_losses[i] = 2.5 - i / 3.0;
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    const mo_checkpoint_state *s = mo_checkpoint_get_state(c);
    assert_int_equal(s->step, 123);
    assert_int_equal(s->tokens, 1 << 20);
    assert_int_equal(s->best_step, 100);
    assert_true(isnan(s->best_loss) && s->seconds == 61.25);
    assert_int_equal(s->stale_evaluations, 3);
    assert_true(s->patience_loss == 2.25 && s->evaluation_due);
    assert_int_equal(s->n_recent_losses, MO_RECENT_LOSSES);
    assert_memory_equal(s->recent_losses, content.state.recent_losses, sizeof s->recent_losses);
    assert_string_equal(mo_checkpoint_config(c), content.config);
    assert_string_equal(mo_checkpoint_data_hashes(c), content.data_hashes);
    assert_true(mo_tokenizer_equal(mo_checkpoint_tokenizer(c), t));
    mo_checkpoint_close(c);

    char *config = mo_calloc(1, 200001); /* more than an attribute of the old format could hold */
    memset(config, 'k', 200000);
    content.config = config;
    content.tokenizer = NULL;
    content.data_hashes = NULL;
    content.state.n_recent_losses = 0;
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    assert_int_equal(mo_checkpoint_get_state(c)->n_recent_losses, 0);
    assert_string_equal(mo_checkpoint_config(c), config);
    assert_string_equal(mo_checkpoint_data_hashes(c), "");
    assert_null(mo_checkpoint_tokenizer(c));
    mo_checkpoint_close(c);
    mo_free(config);
    mo_tokenizer_free(t);
}

static void same_file_for_any_number_of_threads(void **state)
{
    mo_checkpoint_array arrays[ARRAYS];
    make_arrays(arrays, SHAPES, ARRAYS);
    fill(arrays, ARRAYS);
    char hash[2][33];
    for (int k = 0; k < 2; k++) {
        int before = mo_threads();
        mo_threads_set(k ? 4 : 1);
        if (k) sleep(1); /* nor on the time */
        mo_checkpoint_content content = content_of(arrays, ARRAYS, 1);
        MO_CHECK_OK(mo_checkpoint_save(temp_path(*state, "c.h5"), &content));
        mo_threads_set(before);
        MO_CHECK_OK(mo_hash_file(temp_path(*state, "c.h5"), 0, hash[k]));
    }
    assert_string_equal(hash[0], hash[1]);
    free_arrays(arrays, ARRAYS);
}

typedef struct {
    char text[1024];
} listing;

static void add_line(const char *name, int ndim, const int64_t *dim, void *user)
{
    listing *l = user;
    size_t used = strlen(l->text);
    used += (size_t)snprintf(l->text + used, sizeof l->text - used, "%s", name);
    for (int i = 0; i < ndim; i++)
        used += (size_t)snprintf(l->text + used, sizeof l->text - used, " %d", (int)dim[i]);
    snprintf(l->text + used, sizeof l->text - used, "\n");
}

static void listed_in_stored_order(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    mo_checkpoint_array arrays[ARRAYS];
    make_arrays(arrays, SHAPES, ARRAYS);
    mo_checkpoint_content content = content_of(arrays, ARRAYS, 9);
    mo_checkpoint *c;
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    listing l = {{0}};
    MO_CHECK_OK(mo_checkpoint_list(c, "model", add_line, &l));
    assert_string_equal(l.text, "model.embed_tokens.weight 700 500\nnorm 7\nmodel.layers.0.experts 3 5 4\n"
                                "scale 1\nfour 2 3 4 5\n");
    l.text[0] = '\0';
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/adamw/v", add_line, &l));
    assert_string_equal(l.text, "norm 7\nmiddle 2 3 70001 2\n");
    l.text[0] = '\0';
    MO_CHECK_OK(mo_checkpoint_list(c, "optimizer/muon", add_line, &l));
    assert_string_equal(l.text, "");
    mo_checkpoint_close(c);
    free_arrays(arrays, ARRAYS);
}

/* A checkpoint of the other build's precision is converted. */
static void other_precision_is_converted(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    hid_t file, group, dataset;
    bool wide = sizeof(mo_real) == 8;
    const float narrow[2] = {1.5f, -0.25f};
    const double broad[2] = {1.5, -0.25};
    MO_CHECK_OK(save_small(path));
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    assert_true(file >= 0);
    MO_CHECK_OK(mo__h5_path_create(file, "other", &group));
    mo__h5_shape shape = {.ndim = 1, .dim = {2}, .chunk = {2}};
    MO_CHECK_OK(mo__h5_dataset_create(group, "x", wide ? H5T_IEEE_F32LE : H5T_IEEE_F64LE, &shape, 1, false,
                                      &dataset));
    assert_true(H5Dwrite(dataset, wide ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                         wide ? (const void *)narrow : (const void *)broad) >= 0);
    mo__h5_release(&dataset);
    mo__h5_release(&group);
    assert_true(H5Fclose(file) >= 0);
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint));
    mo_real out[2];
    mo_checkpoint *c;
    mo_checkpoint_array array = {"other", "x", 1, {2}, out, NULL};
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_OK(mo_checkpoint_read(c, &array, 1));
    assert_true(out[0] == MO_C(1.5) && out[1] == MO_C(-0.25));
    mo_checkpoint_close(c);
}

/* ---- what does not fit ---- */

static void mismatches_are_listed_all_at_once(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    mo_real data[64];
    mo_checkpoint *c;
    MO_CHECK_OK(save_small(path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    for (int i = 0; i < 64; i++) data[i] = 9;
    const mo_checkpoint_array wanted[] = {
        {"model", "z", 1, {2}, data, NULL},
        {"model", "a", 2, {4, 3}, data, NULL},
        {"optimizer/adamw/m", "a", 2, {3, 4}, data, NULL},
    };
    MO_CHECK_STATUS(mo_checkpoint_read(c, wanted, 3), MO_E_MISMATCH);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_MESSAGE("model/z is missing");
    MO_CHECK_MESSAGE("model/a is [3,4], [4,3] is needed");
    MO_CHECK_MESSAGE("model/b is unexpected");
    MO_CHECK_MESSAGE("optimizer/adamw/m/a is missing");
    for (int i = 0; i < 64; i++) assert_true(data[i] == 9);
    const mo_checkpoint_array flat = {"model", "a", 1, {12}, data, NULL},
                              b = {"model", "b", 1, {5}, data + 12, NULL};
    MO_CHECK_STATUS(mo_checkpoint_read(c, (mo_checkpoint_array[]){flat, b}, 2), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("model/a is [3,4], [12] is needed");
    mo_checkpoint_close(c);
}

static void a_long_list_says_how_many_more(void **state)
{
    static char names[500][32];
    static mo_checkpoint_array wanted[500];
    mo_real data;
    mo_checkpoint *c;
    const char *path = temp_path(*state, "c.h5");
    MO_CHECK_OK(save_small(path));
    for (int i = 0; i < 500; i++) {
        snprintf(names[i], sizeof names[i], "parameter.%d", i);
        wanted[i] = (mo_checkpoint_array){"model", names[i], 1, {1}, &data, NULL};
    }
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_STATUS(mo_checkpoint_read(c, wanted, 500), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("model/parameter.0 is missing; ");
    MO_CHECK_MESSAGE(" more");
    mo_checkpoint_close(c);
}

static void bad_arrays_are_not_saved(void **state)
{
    mo_real data[8] = {0};
    const struct {
        mo_checkpoint_array array;
        mo_status status;
    } bad[] = {
        {{"model", "a/b", 1, {2}, data, NULL}, MO_E_RANGE},
        {{"model", "", 1, {2}, data, NULL}, MO_E_RANGE},
        {{"model", "..", 1, {2}, data, NULL}, MO_E_RANGE},
        {{"model", "a", 0, {2}, data, NULL}, MO_E_SHAPE},
        {{"model", "a", 2, {2, 0}, data, NULL}, MO_E_SHAPE},
        {{"model", "a", 5, {1, 1, 1, 1}, data, NULL}, MO_E_SHAPE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mo_checkpoint_content content = content_of(&bad[i].array, 1, 1);
        MO_CHECK_STATUS(mo_checkpoint_save(temp_path(*state, "c.h5"), &content), bad[i].status);
    }
    mo_checkpoint_content content = content_of(NULL, 0, 10);
    MO_CHECK_STATUS(mo_checkpoint_save(temp_path(*state, "c.h5"), &content), MO_E_RANGE);
    assert_int_equal(damage_count_files(*state), 0);
}

/* ---- wrong and damaged files ---- */

static void cut_short_is_refused(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    MO_CHECK_OK(save_small(path));
    damage_truncate(path, open_and_close);
}

static void a_flipped_byte_is_refused(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    MO_CHECK_OK(save_small(path));
    damage_flip(path, open_and_close);
}

static void longer_than_stamped_is_refused(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    MO_CHECK_OK(save_small(path));
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fputc(0, file), 0);
    assert_int_equal(fclose(file), 0);
    MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
}

static void not_a_checkpoint(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    MO_CHECK_STATUS(open_and_close(temp_path(*state, "absent.h5")), MO_E_NOT_FOUND);
    MO_CHECK_STATUS(open_and_close(*state), MO_E_FORMAT);
    MO_CHECK_OK(mo_write_file(path, "", 0));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("is empty");
    MO_CHECK_OK(mo_write_file(path, "run: {}\n", 8));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE(path);
    hid_t file;
    MO_CHECK_OK(mo__h5_create(path, &file)); /* HDF5, without a stamp */
    MO_CHECK_OK(mo__h5_close(file, MO_OK));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_tokens));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("is a token file, a checkpoint is needed");
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint)); /* HDF5 with a stamp, without content */
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("attribute format: is missing");
}

/* Nobody writes to it: opening must not wait. */
static void a_pipe_is_refused(void **state)
{
    mo_checkpoint *c = NULL;
    const char *path = temp_path(*state, "pipe.h5");
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    MO_CHECK_STATUS(mo_checkpoint_open(path, &c), MO_E_FORMAT);
    alarm(0);
    MO_CHECK_MESSAGE("pipe.h5: is no regular file");
}

static void newer_versions_are_refused(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    MO_CHECK_OK(save_small(path));
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 17, SEEK_SET);
    assert_int_equal(fputc('3', file), '3');
    assert_int_equal(fclose(file), 0);
    MO_CHECK_STATUS(open_and_close(path), MO_E_VERSION);
    MO_CHECK_MESSAGE("version 3");

    hid_t id;
    MO_CHECK_OK(mo__h5_create(path, &id));
    MO_CHECK_OK(mo__root_write(id, "moira-checkpoint", 3, NULL));
    MO_CHECK_OK(mo__h5_close(id, MO_OK));
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint));
    MO_CHECK_STATUS(open_and_close(path), MO_E_VERSION);
    MO_CHECK_MESSAGE("version 3");
}

/* Files with a right stamp whose "model/x" is not what a checkpoint has. */
typedef enum {
    SOFT_LINK,
    EXTERNAL_LINK,
    EXTERNAL_STORAGE,
    FOREIGN_FILTER,
    TEXT_TYPE,
    HUGE_CLAIM,
    TRICKS
} trick;

static void write_trick(const char *path, trick kind)
{
    hid_t file, group, list = H5Pcreate(H5P_DATASET_CREATE), type = H5T_IEEE_F32LE;
    hsize_t dim = kind == HUGE_CLAIM ? (hsize_t)1 << 50 : 16, chunk = 16;
    MO_CHECK_OK(mo__h5_create(path, &file));
    MO_CHECK_OK(mo__root_write(file, "moira-checkpoint", 1, NULL));
    MO_CHECK_OK(mo__h5_put_text(file, "config", ""));
    MO_CHECK_OK(mo__h5_path_create(file, "trainer", &group));
    const char *const ints[] = {"step", "tokens", "best_step"}, *const reals[] = {"best_loss", "seconds"};
    for (int i = 0; i < 3; i++) MO_CHECK_OK(mo__h5_put_int(group, ints[i], 0));
    for (int i = 0; i < 2; i++) MO_CHECK_OK(mo__h5_put_real(group, reals[i], 0));
    MO_CHECK_OK(mo__h5_put_text(group, "data_hash", ""));
    mo__h5_release(&group);
    MO_CHECK_OK(mo__h5_path_create(file, "model", &group));
    if (kind == FOREIGN_FILTER || kind == HUGE_CLAIM) H5Pset_chunk(list, 1, &chunk);
    if (kind == FOREIGN_FILTER) H5Pset_scaleoffset(list, H5Z_SO_FLOAT_DSCALE, 2);
    if (kind == EXTERNAL_STORAGE) H5Pset_external(list, "/etc/hostname", 0, 64);
    if (kind == TEXT_TYPE) type = H5T_C_S1;
    hid_t space = H5Screate_simple(1, &dim, NULL);
    if (kind == SOFT_LINK) {
        assert_true(H5Lcreate_soft("/trainer", group, "x", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    } else if (kind == EXTERNAL_LINK) {
        assert_true(H5Lcreate_external("other.h5", "/x", group, "x", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    } else {
        hid_t dataset = H5Dcreate2(group, "x", type, space, H5P_DEFAULT, list, H5P_DEFAULT);
        assert_true(dataset >= 0);
        H5Dclose(dataset);
    }
    H5Sclose(space);
    H5Pclose(list);
    mo__h5_release(&group);
    MO_CHECK_OK(mo__h5_close(file, MO_OK));
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint));
}

static void only_plain_data_is_read(void **state)
{
    const char *const messages[TRICKS] = {"link",     "link",    "not stored in the file itself",
                                          "filter 6", "neither", "more data than the file can hold"};
    const char *path = temp_path(*state, "c.h5");
    mo_real data[16];
    mo_checkpoint_array wanted = {"model", "x", 1, {16}, data, NULL};
    for (trick kind = SOFT_LINK; kind < TRICKS; kind++) {
        mo_checkpoint *c;
        write_trick(path, kind);
        MO_CHECK_OK(mo_checkpoint_open(path, &c));
        mo_status status = mo_checkpoint_read(c, &wanted, 1);
        if (status != MO_E_FORMAT && status != MO_E_CORRUPT)
            fail_msg("trick %d: '%s' (%s)", (int)kind, mo_status_name(status), mo_last_error());
        MO_CHECK_MESSAGE(messages[kind]);
        MO_CHECK_MESSAGE("x");
        mo_checkpoint_close(c);
    }
}

/* ---- when saving fails ---- */

/* root may write anywhere but in /proc */
static void an_unwritable_folder(void **state)
{
    const char *closed = temp_path(*state, "closed");
    assert_int_equal(mkdir(closed, 0555), 0);
    const char *target = geteuid() ? temp_path(closed, "c.h5") : "/proc/c.h5";
    MO_CHECK_STATUS(save_small(target), geteuid() ? MO_E_IO : MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("cannot create");
    MO_CHECK_MESSAGE(target);
    MO_CHECK_STATUS(save_small(temp_path(*state, "absent/c.h5")), MO_E_NOT_FOUND);
}

/* A full disk, played by the limit on the size of files. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    char before[33], after[33];
    mo_checkpoint_array arrays[ARRAYS];
    make_arrays(arrays, SHAPES, ARRAYS);
    fill(arrays, ARRAYS);
    MO_CHECK_OK(save_small(path));
    MO_CHECK_OK(mo_hash_file(path, 0, before));
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    const rlim_t sizes[] = {100, 700, 3000, 100000, 1500000};
    for (int i = 0; i < 5; i++) {
        small = limit;
        small.rlim_cur = sizes[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        mo_checkpoint_content content = content_of(arrays, ARRAYS, 1);
        mo_status status = mo_checkpoint_save(path, &content);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        if (status != MO_E_IO) fail_msg("limit %d: '%s'", (int)sizes[i], mo_status_name(status));
        MO_CHECK_OK(mo_hash_file(path, 0, after));
        assert_string_equal(before, after);
        assert_int_equal(damage_count_files(*state), 1);
    }
    signal(SIGXFSZ, handler);
    MO_CHECK_OK(open_and_close(path));
    free_arrays(arrays, ARRAYS);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    const char *path = temp_path(*state, "c.h5");
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, save_small(path));
    assert_true(failed > 10);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(damage_count_files(*state), 1);
    MO_CHECK_EACH_ALLOCATION(failed, open_and_close(path));
    assert_true(failed >= 3);
    MO_CHECK_EACH_ALLOCATION(failed, mo_checkpoint_verify(path));
    mo_checkpoint *c;
    mo_real data[17];
    mo_checkpoint_array arrays[2];
    memcpy(arrays, SMALL, sizeof arrays);
    arrays[0].data = data;
    arrays[1].data = data + 12;
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_EACH_ALLOCATION(failed, mo_checkpoint_read(c, arrays, 2));
    mo_checkpoint_close(c);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(same_bits_back),
        WITH_FOLDER(state_config_and_tokenizer_come_back),
        WITH_FOLDER(same_file_for_any_number_of_threads),
        WITH_FOLDER(listed_in_stored_order),
        WITH_FOLDER(other_precision_is_converted),
        WITH_FOLDER(mismatches_are_listed_all_at_once),
        WITH_FOLDER(a_long_list_says_how_many_more),
        WITH_FOLDER(bad_arrays_are_not_saved),
        WITH_FOLDER(cut_short_is_refused),
        WITH_FOLDER(a_flipped_byte_is_refused),
        WITH_FOLDER(longer_than_stamped_is_refused),
        WITH_FOLDER(not_a_checkpoint),
        WITH_FOLDER(a_pipe_is_refused),
        WITH_FOLDER(newer_versions_are_refused),
        WITH_FOLDER(only_plain_data_is_read),
        WITH_FOLDER(an_unwritable_folder),
        WITH_FOLDER(a_full_disk_leaves_the_old_file),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
