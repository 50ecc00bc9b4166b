/* test_checkpoint_stored.c -- arrays saved from where they lie, with their own type; files that go with a
 * model; the base of what was trained upon one. */
#include <moira/checkpoint.h>

#include <string.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "store/h5.h"
#include "store/stamp.h"

enum { ARRAYS = 5, PARTS = 3 };

/* In one part and in several; cut in the first dimension, within a part, and not at all. */
static const struct {
    mo_dtype dtype;
    int64_t parts;
    int ndim;
    int64_t dim[4];
} SHAPES[ARRAYS] = {
    {MO_BF16, 1, 2, {700, 1001}},  {MO_BF16, PARTS, 3, {PARTS, 5, 7}}, {MO_F16, PARTS, 3, {PARTS, 900, 801}},
    {MO_F16, 1, 3, {PARTS, 5, 7}}, {MO_F32, PARTS, 3, {PARTS, 9, 4}},
};

typedef struct fixture {
    char *dir;
    mo_checkpoint_array arrays[ARRAYS];
    mo_stored stored[ARRAYS];
    const void *part[ARRAYS][PARTS];
    unsigned char *memory[ARRAYS];
    mo_real *expected[ARRAYS];
    mo_checkpoint_content content;
} fixture;

static const char *const NAMES[ARRAYS] = {"a", "b", "c", "d", "e"};

static int64_t count_of(int k)
{
    int64_t n = 1;
    for (int i = 0; i < SHAPES[k].ndim; i++) n *= SHAPES[k].dim[i];
    return n;
}

/* The parts lie in the wrong order, a gap of an odd number of bytes between them. */
static void lay(fixture *f, int k)
{
    int64_t count = count_of(k), each = count / SHAPES[k].parts;
    size_t bytes = (size_t)each * mo_dtype_size(SHAPES[k].dtype), place = bytes + 3;
    f->memory[k] = mo_calloc(1, place * PARTS);
    f->expected[k] = mo_calloc((size_t)count, sizeof(mo_real));
    for (int64_t p = 0; p < SHAPES[k].parts; p++) {
        unsigned char *at = f->memory[k] + (size_t)(SHAPES[k].parts - 1 - p) * place + 1;
        mo_real *x = f->expected[k] + p * each;
        for (int64_t i = 0; i < each; i++)
            x[i] = (mo_real)(mo_rng_normal(3, MO_RNG_TEST, 0, (uint32_t)k, (uint64_t)(p * each + i)));
        mo_narrow(SHAPES[k].dtype, x, each, at);
        f->part[k][p] = at;
    }
    f->stored[k] = (mo_stored){SHAPES[k].dtype, SHAPES[k].parts, each, f->part[k]};
    for (int64_t p = 0; p < SHAPES[k].parts; p++)
        mo_stored_expand(&f->stored[k], p, 0, each, f->expected[k] + p * each);
    f->arrays[k] = (mo_checkpoint_array){
        .group = "model", .name = NAMES[k], .ndim = SHAPES[k].ndim, .stored = &f->stored[k]};
    memcpy(f->arrays[k].dim, SHAPES[k].dim, sizeof SHAPES[k].dim);
}

static int setup(void **state)
{
    fixture *f = mo_calloc(1, sizeof *f);
    f->dir = temp_make();
    for (int k = 0; k < ARRAYS; k++) lay(f, k);
    f->content = (mo_checkpoint_content){
        .arrays = f->arrays, .n_arrays = ARRAYS, .config = "run:\n", .compression = 1};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    for (int k = 0; k < ARRAYS; k++) {
        mo_free(f->memory[k]);
        mo_free(f->expected[k]);
    }
    temp_remove(f->dir);
    mo_free(f);
    return 0;
}

static int version_of(const char *path)
{
    char *bytes;
    size_t size;
    MO_CHECK_OK(mo_read_file(path, SIZE_MAX, &bytes, &size));
    int version = bytes[17] - '0';
    mo_free(bytes);
    return version;
}

/* ---- there and back ---- */

static void check_values(const fixture *f, mo_checkpoint *c)
{
    mo_checkpoint_array read[ARRAYS];
    for (int k = 0; k < ARRAYS; k++) {
        read[k] = f->arrays[k];
        read[k].stored = NULL;
        read[k].data = mo_calloc((size_t)count_of(k), sizeof(mo_real));
    }
    MO_CHECK_OK(mo_checkpoint_read(c, read, ARRAYS));
    for (int k = 0; k < ARRAYS; k++) {
        mo_dtype dtype;
        size_t bytes = (size_t)count_of(k) * sizeof(mo_real);
        assert_memory_equal(read[k].data, f->expected[k], bytes);
        int64_t parts = read[k].ndim == 3 ? read[k].dim[0] : 1, each = count_of(k) / parts;
        memset(read[k].data, 0, bytes);
        for (int64_t p = parts - 1; p >= 0; p--)
            MO_CHECK_OK(mo_checkpoint_read_part(c, &read[k], p, read[k].data + p * each));
        assert_memory_equal(read[k].data, f->expected[k], bytes);
        MO_CHECK_OK(mo_checkpoint_dtype(c, "model", NAMES[k], &dtype));
        assert_int_equal(dtype, SHAPES[k].dtype);
        mo_free(read[k].data);
    }
}

static void own_types_come_back_exactly(void **state)
{
    const fixture *f = *state;
    const int levels[] = {0, 1, 6};
    for (int i = 0; i < 3; i++) {
        mo_checkpoint_content content = f->content;
        const char *path = temp_path(f->dir, "c.h5");
        mo_checkpoint *c;
        content.compression = levels[i];
        MO_CHECK_OK(mo_checkpoint_save(path, &content));
        MO_CHECK_OK(mo_checkpoint_verify(path));
        assert_int_equal(version_of(path), 2);
        MO_CHECK_OK(mo_checkpoint_open(path, &c));
        check_values(f, c);
        mo_checkpoint_close(c);
    }
    assert_int_equal(damage_count_files(f->dir), 1);
}

/* Halves are uint16 whose attribute tells what they are, bit for bit; single precision is what it always was.
 */
static void as_others_read_them(void **state)
{
    const fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    hid_t file, group;
    uint16_t *bits = mo_malloc((size_t)count_of(2) * sizeof *bits);
    MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
    MO_CHECK_OK(mo__h5_open(path, &file));
    MO_CHECK_OK(mo__h5_group_open(file, "model", &group));
    const char *const names[] = {"bfloat16", "bfloat16", "float16", "float16", NULL};
    for (int k = 0; k < ARRAYS; k++) {
        mo__h5_dataset d;
        char *name;
        MO_CHECK_OK(mo__h5_dataset_open(group, NAMES[k], &d));
        assert_int_equal(d.type, names[k] ? H5T_INTEGER : H5T_FLOAT);
        assert_int_equal(d.width, mo_dtype_size(SHAPES[k].dtype));
        assert_true(names[k] || !mo__h5_has_attribute(d.id, "dtype"));
        if (names[k]) {
            MO_CHECK_OK(mo__h5_get_text(d.id, "dtype", &name));
            assert_string_equal(name, names[k]);
            mo_free(name);
            MO_CHECK_OK(mo__h5_dataset_read(&d, NAMES[k], H5T_NATIVE_UINT16, bits));
            size_t bytes = (size_t)f->stored[k].part_elements * 2;
            for (int64_t p = 0; p < SHAPES[k].parts; p++)
                assert_memory_equal(bits + p * f->stored[k].part_elements, f->part[k][p], bytes);
        }
        mo__h5_dataset_close(&d);
    }
    mo__h5_release(&group);
    mo__h5_release(&file);
    mo_free(bits);
}

static void single_precision_is_version_1(void **state)
{
    fixture *f = *state;
    char hash[2][33];
    const char *path = temp_path(f->dir, "c.h5");
    f->content.arrays = &f->arrays[4];
    f->content.n_arrays = 1;
    MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
    assert_int_equal(version_of(path), 1);
    if (sizeof(mo_real) != sizeof(float)) return;
    f->stored[4].parts = 1; /* as it would lie in one piece, it is the bytes of an ordinary array */
    f->stored[4].part_elements = count_of(4);
    const void *whole = f->expected[4];
    f->stored[4].part = &whole;
    MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
    MO_CHECK_OK(mo_hash_file(path, 0, hash[0]));
    f->arrays[4].stored = NULL;
    f->arrays[4].data = f->expected[4];
    MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
    MO_CHECK_OK(mo_hash_file(path, 0, hash[1]));
    assert_string_equal(hash[0], hash[1]);
}

static void what_does_not_fit_is_told(void **state)
{
    const fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    mo_checkpoint *c;
    mo_dtype dtype;
    mo_real *out = mo_malloc(4096 * sizeof *out);
    MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    mo_checkpoint_array a = f->arrays[1];
    a.dim[2] = 8;
    MO_CHECK_STATUS(mo_checkpoint_read_part(c, &a, 0, out), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("model/b is [3,5,7], [3,5,8] is needed");
    a.name = "z";
    MO_CHECK_STATUS(mo_checkpoint_read_part(c, &a, 0, out), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("model/z is missing");
    MO_CHECK_STATUS(mo_checkpoint_dtype(c, "model", "z", &dtype), MO_E_NOT_FOUND);
    mo_checkpoint_close(c);

    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access), dataset = H5Dopen2(file, "model/b", H5P_DEFAULT);
    H5Pclose(access);
    assert_true(H5Adelete(dataset, "dtype") >= 0);
    MO_CHECK_OK(mo__h5_put_text(dataset, "dtype", "float8"));
    mo__h5_release(&dataset);
    assert_true(H5Fclose(file) >= 0);
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_STATUS(mo_checkpoint_read_part(c, &f->arrays[1], 0, out), MO_E_FORMAT);
    MO_CHECK_MESSAGE("b: attribute dtype is \"float8\", must be \"bfloat16\" or \"float16\"");
    mo_checkpoint_close(c);
    mo_free(out);
}

static void what_cannot_be_stored_is_not(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    f->stored[0].part_elements--;
    MO_CHECK_STATUS(mo_checkpoint_save(path, &f->content), MO_E_SHAPE);
    MO_CHECK_MESSAGE("model/a is stored as 1 parts of 700699 elements");
    f->stored[0].part_elements++;
    f->stored[2].parts = 2;
    MO_CHECK_STATUS(mo_checkpoint_save(path, &f->content), MO_E_SHAPE);
    f->stored[2].parts = PARTS;
    f->stored[2].dtype = MO_F64;
    MO_CHECK_STATUS(mo_checkpoint_save(path, &f->content), MO_E_RANGE);
    MO_CHECK_MESSAGE("model/c is stored as float64");
    assert_int_equal(damage_count_files(f->dir), 0);
}

static void the_writer_takes_them_without_background(void **state)
{
    const fixture *f = *state;
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    char hash[2][33];
    const char *path = temp_path(f->dir, "c.h5"), *other = temp_path(f->dir, "w.h5");
    MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
    MO_CHECK_OK(mo_hash_file(path, 0, hash[0]));
    MO_CHECK_OK(mo_checkpoint_writer_create(1 << 20, true, &w));
    MO_CHECK_STATUS(mo_checkpoint_writer_begin(w, &other, 1, &f->content), MO_E_UNSUPPORTED);
    MO_CHECK_MESSAGE("checkpoint.background=false");
    mo_checkpoint_writer_free(w);
    assert_int_equal(damage_count_files(f->dir), 1);
    MO_CHECK_OK(mo_checkpoint_writer_create(0, false, &w));
    MO_CHECK_OK(mo_checkpoint_writer_begin(w, &other, 1, &f->content));
    MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
    mo_checkpoint_writer_free(w);
    MO_CHECK_OK(mo_hash_file(other, 0, hash[1]));
    assert_string_equal(hash[0], hash[1]);
}

/* ---- files ---- */

static mo_status save_files(const char *path, const mo_checkpoint_file *files, int count)
{
    mo_checkpoint_content content = {.config = "", .files = files, .n_files = count, .compression = 1};
    return mo_checkpoint_save(path, &content);
}

static void files_come_back(void **state)
{
    const fixture *f = *state;
    size_t large = ((size_t)5 << 20) / 2 + 1;
    char *bytes = mo_malloc(large);
    for (size_t i = 0; i < large; i++) bytes[i] = (char)(i * i >> 7);
    const mo_checkpoint_file files[] = {{"tokenizer.model", bytes, large},
                                        {"config.json", "{}\n", 3},
                                        {".a ä..b", "\0\n", 2},
                                        {"empty", "", 0}};
    const char *path = temp_path(f->dir, "c.h5");
    mo_checkpoint *c;
    const mo_checkpoint_file *found;
    int count;
    MO_CHECK_OK(save_files(path, files, 4));
    assert_int_equal(version_of(path), 1);
    MO_CHECK_OK(mo_checkpoint_verify(path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    for (int again = 0; again < 2; again++) {
        MO_CHECK_OK(mo_checkpoint_files(c, &found, &count));
        assert_int_equal(count, 4);
        for (int i = 0; i < 4; i++) {
            assert_string_equal(found[i].name, files[i].name);
            assert_int_equal(found[i].size, files[i].size);
            assert_memory_equal(found[i].bytes, files[i].bytes, files[i].size);
        }
    }
    mo_checkpoint_close(c);
    MO_CHECK_OK(save_files(path, NULL, 0));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    MO_CHECK_OK(mo_checkpoint_files(c, &found, &count));
    assert_int_equal(count, 0);
    mo_checkpoint_close(c);
    mo_free(bytes);
}

static void bad_files_are_not_saved(void **state)
{
    const fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    char longest[257];
    memset(longest, 'n', 256);
    longest[256] = '\0';
    const char *const names[] = {"", ".", "..", "a/b", "/", "a\nb", "\x7f", longest};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mo_checkpoint_file one = {names[i], "x", 1};
        MO_CHECK_STATUS(save_files(path, &one, 1), MO_E_RANGE);
        MO_CHECK_MESSAGE("is no name of a file");
    }
    mo_checkpoint_file huge = {"huge", "x", (size_t)MO_CHECKPOINT_FILE_BYTES + 1};
    MO_CHECK_STATUS(save_files(path, &huge, 1), MO_E_RANGE);
    MO_CHECK_MESSAGE("files/huge: has 268435457 bytes");
    mo_checkpoint_file twice[] = {{"a", "x", 1}, {"a", "y", 1}};
    MO_CHECK_STATUS(save_files(path, twice, 2), MO_E_RANGE);
    MO_CHECK_STATUS(save_files(path, twice, MO_CHECKPOINT_FILES + 1), MO_E_RANGE);
    assert_int_equal(damage_count_files(f->dir), 0);
    longest[255] = '\0';
    mo_checkpoint_file one = {longest, "x", 1};
    MO_CHECK_OK(save_files(path, &one, 1));
}

/* What another program put there must not lead out of a folder, nor be anything but bytes. */
static void bad_files_are_not_read(void **state)
{
    const fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    const struct {
        const char *name, *message;
        hid_t type;
    } cases[] = {{"..", "'..' is no name of a file", H5T_STD_U8LE},
                 {"a\nb", "is no name", H5T_STD_U8LE},
                 {"wide", "files/wide: is not a row of bytes", H5T_STD_U16LE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mo_checkpoint *c;
        const mo_checkpoint_file *files;
        int count;
        hsize_t dim = 4;
        MO_CHECK_OK(save_files(path, NULL, 0));
        hid_t access = H5Pcreate(H5P_FILE_ACCESS), group, space = H5Screate_simple(1, &dim, NULL);
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
        H5Pclose(access);
        MO_CHECK_OK(mo__h5_group_create(file, "files", &group));
        hid_t dataset =
            H5Dcreate2(group, cases[i].name, cases[i].type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(dataset >= 0);
        H5Dclose(dataset);
        H5Sclose(space);
        mo__h5_release(&group);
        assert_true(H5Fclose(file) >= 0);
        MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint));
        MO_CHECK_OK(mo_checkpoint_open(path, &c));
        MO_CHECK_STATUS(mo_checkpoint_files(c, &files, &count), MO_E_FORMAT);
        MO_CHECK_MESSAGE(cases[i].message);
        mo_checkpoint_close(c);
    }
}

/* ---- the base, and the digest of a checkpoint that is one ---- */

static void a_base_is_told(void **state)
{
    const fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    mo_checkpoint *c;
    char hash[33];
    mo_checkpoint_content content = {
        .config = "", .base_path = "../mixtral", .base_digest = "0123456789abcdef0123456789abcdef"};
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    assert_string_equal(mo_checkpoint_base_path(c), content.base_path);
    assert_string_equal(mo_checkpoint_base_digest(c), content.base_digest);
    MO_CHECK_OK(mo_hash_file(path, 512, hash));
    assert_string_equal(mo_checkpoint_digest(c), hash);
    mo_checkpoint_close(c);
    content.base_path = NULL;
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    assert_null(mo_checkpoint_base_path(c));
    assert_null(mo_checkpoint_base_digest(c));
    mo_checkpoint_close(c);
}

static mo_status read_all(const char *path, mo_real *out)
{
    mo_checkpoint *c;
    const mo_checkpoint_file *files;
    int count;
    const mo_checkpoint_array array = {"model", "b", 3, {PARTS, 5, 7}, NULL, NULL};
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_status status = mo_checkpoint_files(c, &files, &count);
    if (status == MO_OK) status = mo_checkpoint_read_part(c, &array, 1, out);
    mo_checkpoint_close(c);
    return status;
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    const mo_checkpoint_file files[] = {{"a", "1", 1}, {"b", "", 0}};
    mo_real out[35];
    int64_t live = mo__alloc_live(), failed;
    f->content.files = files;
    f->content.n_files = 2;
    f->content.base_path = "x";
    f->content.base_digest = "y";
    MO_CHECK_EACH_ALLOCATION(failed, mo_checkpoint_save(path, &f->content));
    assert_true(failed > 10);
    assert_int_equal(damage_count_files(f->dir), 1);
    MO_CHECK_EACH_ALLOCATION(failed, read_all(path, out));
    assert_true(failed > 10);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(own_types_come_back_exactly),
        WITH_FIXTURE(as_others_read_them),
        WITH_FIXTURE(single_precision_is_version_1),
        WITH_FIXTURE(what_does_not_fit_is_told),
        WITH_FIXTURE(what_cannot_be_stored_is_not),
        WITH_FIXTURE(the_writer_takes_them_without_background),
        WITH_FIXTURE(files_come_back),
        WITH_FIXTURE(bad_files_are_not_saved),
        WITH_FIXTURE(bad_files_are_not_read),
        WITH_FIXTURE(a_base_is_told),
        WITH_FIXTURE(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
