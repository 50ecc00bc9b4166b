/* test_h5_pack.c -- chunks that we pack ourselves are those that HDF5 would have written, byte for byte. */
#include <string.h>

#include "harness/harness.h"
#include "store/h5_pack.h"

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

enum { ELEMENTS = 5000, CHUNK = 2048 }; /* the last of three chunks is not full */

static hid_t type_of(size_t width)
{
    return width == 1   ? H5T_STD_U8LE
           : width == 2 ? H5T_STD_U16LE
           : width == 4 ? H5T_IEEE_F32LE
                        : H5T_STD_U64LE;
}

static void write_both(hid_t file, size_t width, int level, const unsigned char *data, hid_t *ours,
                       hid_t *theirs)
{
    const mo__h5_shape shape = {.ndim = 1, .dim = {ELEMENTS}, .chunk = {CHUNK}};
    MO_CHECK_OK(mo__h5_dataset_create(file, "ours", type_of(width), &shape, level, false, ours));
    MO_CHECK_OK(mo__h5_dataset_create(file, "theirs", type_of(width), &shape, level, false, theirs));
    mo__pack_chunk chunks[3];
    for (size_t i = 0; i < 3; i++) {
        size_t valid = i < 2 ? CHUNK : ELEMENTS - 2 * CHUNK;
        chunks[i] = (mo__pack_chunk){.dataset = *ours,
                                     .offset = {i * CHUNK},
                                     .data = data + i * CHUNK * width,
                                     .valid = valid * width,
                                     .full = CHUNK * width,
                                     .width = width};
    }
    mo__pack *pack;
    MO_CHECK_OK(mo__pack_create(level, false, &pack));
    MO_CHECK_OK(mo__pack_write(pack, chunks, 3));
    mo__pack_free(pack);
    assert_true(H5Dwrite(*theirs, type_of(width), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    assert_true(H5Dflush(*theirs) >= 0);
}

static void compare(hid_t ours, hid_t theirs)
{
    static unsigned char one[1 << 16], two[1 << 16];
    for (hsize_t at = 0; at < ELEMENTS; at += CHUNK) {
        hsize_t size_one = 0, size_two = 0;
        uint32_t filters;
        assert_true(H5Dget_chunk_storage_size(ours, &at, &size_one) >= 0);
        assert_true(H5Dget_chunk_storage_size(theirs, &at, &size_two) >= 0);
        assert_int_equal(size_one, size_two);
        assert_true(size_one > 0 && size_one <= sizeof one);
        assert_true(H5Dread_chunk(ours, H5P_DEFAULT, &at, &filters, one) >= 0);
        assert_true(H5Dread_chunk(theirs, H5P_DEFAULT, &at, &filters, two) >= 0);
        assert_memory_equal(one, two, size_one);
    }
}

static void chunks_are_those_of_hdf5(void **state)
{
    static unsigned char data[ELEMENTS * 8];
    for (uint64_t i = 0; i < sizeof data; i++) {
        uint32_t bits[4];
        mo_rng_bits(1, MO_RNG_TEST, 0, 0, i / 3, bits);
        data[i] = (unsigned char)(bits[0] & 0x3f); /* some repeats, some planes that pack better */
    }
    const int levels[] = {0, 1, 6, 9};
    for (size_t width = 1; width <= 8; width *= 2) {
        for (int k = 0; k < 4; k++) {
            hid_t file, ours, theirs;
            MO_CHECK_OK(mo__h5_create(temp_path(*state, "p.h5"), &file));
            write_both(file, width, levels[k], data, &ours, &theirs);
            compare(ours, theirs);
            mo__h5_release(&ours);
            mo__h5_release(&theirs);
            MO_CHECK_OK(mo__h5_close(file, MO_OK));
        }
    }
}

/* Coding by entropy alone: byte j of an element is noise (n), noise of 3 bits (f), its index (i) or always
 * the same (c), by `kinds`; HDF5 reads the same back. Returns the stored bytes of the only chunk. */
static hsize_t pack_planes(const char *path, const char *kinds, hsize_t n)
{
    size_t width = strlen(kinds);
    unsigned char *data = mo_malloc(n * width), *back = mo_calloc(n, width);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits[4];
        mo_rng_bits(2, MO_RNG_TEST, 0, 0, i, bits);
        for (size_t j = 0; j < width; j++) {
            unsigned char noise = (unsigned char)(bits[j / 2] >> 8 * (j % 2));
            data[i * width + j] = kinds[j] == 'n'   ? noise
                                  : kinds[j] == 'f' ? noise & 7
                                  : kinds[j] == 'i' ? (unsigned char)i
                                                    : 42;
        }
    }
    hid_t file, dataset;
    mo__pack *pack;
    const mo__h5_shape shape = {.ndim = 1, .dim = {n}, .chunk = {n}};
    hsize_t at = 0, size = 0;
    MO_CHECK_OK(mo__h5_create(path, &file));
    MO_CHECK_OK(mo__h5_dataset_create(file, "x", type_of(width), &shape, 1, false, &dataset));
    MO_CHECK_OK(mo__pack_create(1, true, &pack));
    const mo__pack_chunk chunk = {
        .dataset = dataset, .data = data, .valid = n * width, .full = n * width, .width = width};
    MO_CHECK_OK(mo__pack_write(pack, &chunk, 1));
    mo__pack_free(pack);
    assert_true(H5Dget_chunk_storage_size(dataset, &at, &size) >= 0);
    mo__h5_release(&dataset);
    MO_CHECK_OK(mo__h5_close(file, MO_OK));
    MO_CHECK_OK(mo__h5_open(path, &file));
    mo__h5_dataset d;
    MO_CHECK_OK(mo__h5_dataset_open(file, "x", &d));
    MO_CHECK_OK(mo__h5_dataset_read(&d, "x", type_of(width), back));
    mo__h5_dataset_close(&d);
    H5Fclose(file);
    assert_memory_equal(back, data, n * width);
    mo_free(data);
    mo_free(back);
    return size;
}

static void only_planes_that_shrink_are_coded(void **state)
{
    const char *path = temp_path(*state, "p.h5");
    enum { SLACK = 400 };
    /* of 8 bits: f takes 3 (and an eighth: one code more, for the end of a block), c 1, n and i all */
    const struct {
        const char *kinds;
        double share;
    } cases[] = {{"nnnn", 1},     {"iiii", 1},     {"nnnf", 0.84375},   {"fnnn", 0.84375},
                 {"nfnc", 0.625}, {"cccc", 0.125}, {"ffff", 0.375},     {"cncn", 0.5625},
                 {"fn", 0.6875},  {"nf", 0.6875},  {"nnffccii", 0.625}, {"fnfnfnfn", 0.6875}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t width = strlen(cases[i].kinds);
        hsize_t n = MO__H5_CHUNK / width;
        double raw = (double)(n * width), size = (double)pack_planes(path, cases[i].kinds, n);
        if (!(size <= raw * cases[i].share * 1.05 + SLACK && size > raw * cases[i].share * 0.99))
            fail_msg("%s: %.0f of %.0f bytes", cases[i].kinds, size, raw);
    }
    const hsize_t sizes[] = {1, 2, 3, 1000, 4095, 4096, 4097, 5003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pack_planes(path, "nfci", sizes[i]);
        pack_planes(path, "nnnn", sizes[i]);
        pack_planes(path, "nncfnncf", sizes[i]);
    }
}

/* Chunks take at most MO__H5_CHUNK, are one run of the array, and waste little. */
static void chunks_are_runs_of_the_array(void **state)
{
    (void)state;
    const struct {
        int ndim;
        hsize_t dim[4], chunk[4];
    } cases[] = {
        {1, {1}, {1}},
        {1, {262144}, {262144}},
        {1, {262145}, {131073}},
        {2, {700, 500}, {350, 500}},
        {2, {2, 400001}, {1, 200001}},
        {3, {8, 512, 128}, {4, 512, 128}},
        {3, {3, 5000, 128}, {1, 1667, 128}},
        {4, {2, 3, 70001, 2}, {1, 1, 70001, 2}},
        {4, {9, 1, 1, 1}, {9, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mo__h5_shape shape = {.ndim = cases[i].ndim};
        memcpy(shape.dim, cases[i].dim, sizeof shape.dim);
        mo__h5_choose_chunk(&shape, 4);
        for (int d = 0; d < shape.ndim; d++) assert_int_equal(shape.chunk[d], cases[i].chunk[d]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chunks_are_those_of_hdf5, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(only_planes_that_shrink_are_coded, make_folder, remove_folder),
        cmocka_unit_test(chunks_are_runs_of_the_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
