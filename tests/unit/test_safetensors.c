/* test_safetensors.c -- files that lie: every header is read, or refused with a message, and no byte outside
 * the file is touched. */
#include "harness/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hf/safetensors.h"

static char *dir;

/* A file of this header and so many bytes of data; size: what the first 8 bytes say, 0: the truth. */
static const char *write_file(const char *header, uint64_t size, size_t data)
{
    const char *path = temp_path(dir, "x.safetensors");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (size == 0) size = strlen(header);
    for (int i = 0; i < 8; i++) fputc((int)(size >> 8 * i & 255), file);
    fputs(header, file);
    for (size_t i = 0; i < data; i++) fputc((int)i & 255, file);
    fclose(file);
    return path;
}

static void refused(const char *header, uint64_t size, size_t data, mo_status status, const char *message)
{
    mo__shard s;
    int64_t live = mo__alloc_live();
    MO_CHECK_STATUS(mo__shard_open(write_file(header, size, data), &s), status);
    MO_CHECK_MESSAGE("x.safetensors: ");
    MO_CHECK_MESSAGE(message);
    assert_null(s.map);
    assert_int_equal(mo__alloc_live(), live);
}

static void test_good(void **state)
{
    (void)state;
    mo__shard s;
    MO_CHECK_OK(
        mo__shard_open(write_file("{\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                                  "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                                  "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[16,16]},"
                                  "\"f4\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[16,19]},"
                                  "\"__metadata__\":{\"format\":\"pt\"}}   ",
                                  0, 19),
                       &s));
    assert_int_equal(s.n_tensors, 4);
    assert_string_equal(s.tensors[0].name, "a");
    assert_int_equal(s.tensors[0].ndim, 0);
    assert_string_equal(s.tensors[1].name, "b");
    assert_int_equal(s.tensors[1].dtype->dtype, MO_BF16);
    assert_string_equal(mo__shape_show(s.tensors[1].ndim, s.tensors[1].dim).text, "[2, 3]");
    assert_int_equal(s.tensors[1].data[0], 4);
    assert_int_equal(s.tensors[2].dtype->dtype, -1);
    assert_string_equal(s.tensors[3].name, "f4");
    assert_int_equal(s.tensors[3].data - s.map, (int64_t)s.size - 3);
    mo__shard_close(&s);
    MO_CHECK_OK(mo__shard_open(write_file("{}", 0, 0), &s));
    assert_int_equal(s.n_tensors, 0);
    mo__shard_close(&s);
}

static void test_size_of_header(void **state)
{
    (void)state;
    refused("{}", 100000001, 0, MO_E_FORMAT, "its header would have 100000001 bytes");
    refused("{}", UINT64_MAX, 0, MO_E_FORMAT, "its header would have 18446744073709551615 bytes");
    refused("{}", 100, 7, MO_E_CORRUPT, "is cut short: of its header's 100 bytes there are 9");
    refused(" {}", 0, 0, MO_E_FORMAT, "does not begin with {");
    refused("[]", 0, 0, MO_E_FORMAT, "does not begin with {");
    refused("{\"a\"", 0, 0, MO_E_FORMAT, "its JSON");
    refused("{} x", 0, 0, MO_E_FORMAT, "its JSON");
    mo__shard s;
    const char *path = temp_path(dir, "short.safetensors");
    MO_CHECK_OK(mo_write_file(path, "1234567", 7));
    MO_CHECK_STATUS(mo__shard_open(path, &s), MO_E_CORRUPT);
    MO_CHECK_OK(
        mo_write_file(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", 64));
    MO_CHECK_STATUS(mo__shard_open(path, &s), MO_E_FORMAT);
    MO_CHECK_MESSAGE("git lfs pull");
    MO_CHECK_STATUS(mo__shard_open(temp_path(dir, "none"), &s), MO_E_NOT_FOUND);
    MO_CHECK_STATUS(mo__shard_open(dir, &s), MO_E_FORMAT);
    MO_CHECK_MESSAGE("is no regular file");
}

#define ENTRY(dtype, shape, offsets) \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_entries(void **state)
{
    (void)state;
    refused(ENTRY("F99", "[2]", "[0,4]"), 0, 4, MO_E_UNSUPPORTED,
            "tensor t has the type \"F99\", which safetensors does "
            "not have");
    refused(ENTRY("F16", "[3]", "[0,4]"), 0, 4, MO_E_CORRUPT,
            "tensor t of shape [3] and type F16 needs 6 bytes");
    refused(ENTRY("F16", "[2]", "[0,6]"), 0, 6, MO_E_CORRUPT,
            "needs 4 bytes, its data_offsets [0, 6] give it 6");
    refused(ENTRY("F16", "[2]", "[4,0]"), 0, 4, MO_E_CORRUPT, "data_offsets [4, 0]");
    refused(ENTRY("F16", "[2]", "[-4,0]"), 0, 4, MO_E_CORRUPT, "data_offsets [-4, 0]");
    refused(ENTRY("F16", "[2]", "[2,6]"), 0, 4, MO_E_CORRUPT,
            "is cut short: tensor t ends at byte 6 of the data, of "
            "which there are 4");
    refused(ENTRY("F16", "[4294967296,4294967296]", "[0,4]"), 0, 4, MO_E_CORRUPT,
            "more elements than can be counted");
    refused(ENTRY("F64", "[1152921504606846976]", "[0,4]"), 0, 4, MO_E_CORRUPT,
            "more elements than can be counted");
    refused(ENTRY("F16", "[18446744073709551616]", "[0,4]"), 0, 4, MO_E_FORMAT, "too big integer");
    refused(ENTRY("F4", "[3]", "[0,2]"), 0, 2, MO_E_CORRUPT, "does not end with a whole byte");
    refused(ENTRY("F16", "[-2]", "[0,4]"), 0, 4, MO_E_FORMAT, "that are not negative");
    refused(ENTRY("F16", "[2.0]", "[0,4]"), 0, 4, MO_E_FORMAT, "whole numbers");
    refused(ENTRY("F16", "2", "[0,4]"), 0, 4, MO_E_FORMAT, "tensor t has no \"shape\"");
    refused(ENTRY("F16", "[1,1,1,1,1,1,1,1,2]", "[0,4]"), 0, 4, MO_E_UNSUPPORTED, "9 dimensions");
    refused(ENTRY("F16", "[2]", "[0]"), 0, 4, MO_E_FORMAT, "\"data_offsets\": [begin, end]");
    refused(ENTRY("F16", "[2]", "[0,4,8]"), 0, 4, MO_E_FORMAT, "\"data_offsets\": [begin, end]");
    refused(ENTRY("F16", "[2]", "[0,4.0]"), 0, 4, MO_E_FORMAT, "\"data_offsets\": [begin, end]");
    refused("{\"t\":{\"dtype\":16,\"shape\":[2],\"data_offsets\":[0,4]}}", 0, 4, MO_E_FORMAT,
            "\"dtype\": \"type\"");
    refused("{\"t\":7}", 0, 0, MO_E_FORMAT, "tensor t has no");
    refused("{\"__metadata__\":{\"format\":1}}", 0, 0, MO_E_FORMAT, "__metadata__");
    refused("{\"__metadata__\":[]}", 0, 0, MO_E_FORMAT, "__metadata__");
}

#define PAIR(a, b)                                                \
    "{\"x\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":" a \
    "},\"y\":{\"dtype\":\"F16\",\"shape\":[2],"                   \
    "\"data_offsets\":" b "}}"

static void test_cover(void **state)
{
    (void)state;
    refused(PAIR("[0,4]", "[2,6]"), 0, 6, MO_E_CORRUPT,
            "tensors x and y overlap: the one ends at byte 4 of the data, the "
            "other begins at 2");
    refused(PAIR("[0,4]", "[0,4]"), 0, 4, MO_E_CORRUPT, "overlap");
    refused(PAIR("[6,10]", "[0,4]"), 0, 10, MO_E_CORRUPT,
            "bytes 4 to 6 of the data, before tensor x, belong to no tensor");
    refused(PAIR("[2,6]", "[6,10]"), 0, 10, MO_E_CORRUPT, "bytes 0 to 2");
    refused(PAIR("[0,4]", "[4,8]"), 0, 9, MO_E_CORRUPT,
            "has 9 bytes of data, of which the header's tensors are 8");
    refused("{\"x\":{},\"x\":{}}", 0, 0, MO_E_FORMAT, "duplicate object key");
    refused(ENTRY("F16", "[2],\"shape\":[2]", "[0,4]"), 0, 4, MO_E_FORMAT, "duplicate object key");
}

/* Real files: cut at every length, and with each byte of the header changed in several ways. */
static mo_status open_close(const char *path)
{
    mo__shard s;
    MO_TRY(mo__shard_open(path, &s));
    mo__shard_close(&s);
    return MO_OK;
}

/* A copy of a golden file in the test's folder, without the wait of a sync. */
static const char *copy_of(const char *name, size_t *size)
{
    char *bytes;
    MO_CHECK_OK(mo_read_file(name, 1 << 20, &bytes, size));
    const char *path = temp_path(dir, "copy.safetensors");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, *size, file), *size);
    fclose(file);
    mo_free(bytes);
    return path;
}

static void test_cut(void **state)
{
    (void)state;
    size_t size;
    const char *path = copy_of("tests/golden/hf/llama/model.safetensors", &size);
    for (size_t cut = size; cut-- > 0; cut -= cut > 3000 && cut + 50 < size ? 37 : 0) {
        assert_int_equal(truncate(path, (off_t)cut), 0);
        mo_status status = open_close(path);
        if (status != MO_E_CORRUPT && status != MO_E_FORMAT)
            fail_msg("cut to %zu bytes: %s", cut, mo_status_name(status));
    }
}

static void test_changed_header(void **state)
{
    (void)state;
    static const char others[] = {0, '"', '9', '0', '-', '}', '{', ',', ':', '[', 'x', (char)0xff};
    size_t size;
    int opened = 0;
    const char *path = copy_of("tests/golden/hf/mixtral_shards/model-00001-of-00003.safetensors", &size);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    for (off_t at = 0; at < 120; at++) {
        char was;
        assert_int_equal(pread(file, &was, 1, at), 1);
        for (size_t k = 0; k < sizeof others; k++) {
            assert_int_equal(pwrite(file, &others[k], 1, at), 1);
            opened += open_close(path) == MO_OK;
        }
        assert_int_equal(pwrite(file, &was, 1, at), 1);
    }
    close(file);
    assert_true(opened > 0 && opened < 800); /* names and metadata may be anything */
}

/* Nobody writes to it: opening must not wait. */
static void test_pipe(void **state)
{
    (void)state;
    mo__shard s;
    const char *path = temp_path(dir, "pipe.safetensors");
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    MO_CHECK_STATUS(mo__shard_open(path, &s), MO_E_FORMAT);
    alarm(0);
    MO_CHECK_MESSAGE("is no regular file");
}

/* What a terminal would obey. */
static void test_control_characters(void **state)
{
    (void)state;
    refused("{\"a\\u001b[2J\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, MO_E_FORMAT,
            "the name of a tensor has control characters");
    refused("{\"a\":{\"dtype\":\"F\\u001b\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, MO_E_UNSUPPORTED,
            "tensor a has the type \"?\"");
}

static int setup(void **state)
{
    (void)state;
    dir = temp_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_size_of_header),
        cmocka_unit_test(test_entries), cmocka_unit_test(test_cover),
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_changed_header),
        cmocka_unit_test(test_pipe),    cmocka_unit_test(test_control_characters)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
