/* test_rng.c -- Philox against its published vectors, the counter's layout, moments, permutations. */
#include "harness/harness.h"

#include <math.h>
#include <string.h>

static void bits_equal(const uint32_t actual[4], uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    assert_int_equal(actual[0], a);
    assert_int_equal(actual[1], b);
    assert_int_equal(actual[2], c);
    assert_int_equal(actual[3], d);
}

/* The three philox4x32-10 vectors of Random123's kat_vectors: counter and key of zeros, of ones, and of the
 * digits of pi. They also pin how a place is packed into the counter. */
static void philox_gives_the_published_vectors(void **state)
{
    (void)state;
    uint32_t bits[4];
    mo_rng_bits(0, (mo_rng_purpose)0, 0, 0, 0, bits);
    bits_equal(bits, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    uint64_t ones48 = (UINT64_C(1) << 48) - 1;
    mo_rng_bits(UINT64_MAX, (mo_rng_purpose)255, ones48, 0xffffff, ones48, bits);
    bits_equal(bits, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    mo_rng_bits(0x299f31d0a4093822, (mo_rng_purpose)0x03, 0x85a313198a2e, 0x707344, 0x08d3243f6a88, bits);
    bits_equal(bits, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
}

/* Many places at once are the places one by one: in parts of any length, across the words of the counter and
 * past the places that fit it. */
static void words_are_the_bits_of_their_places(void **state)
{
    (void)state;
    enum { MOST = 150 };
    static const uint64_t starts[] = {0, 5, (UINT64_C(1) << 32) - 70, (UINT64_C(1) << 48) - 70,
                                      UINT64_MAX - 70};
    static const uint64_t steps[] = {3, (UINT64_C(1) << 40) + 3, (UINT64_C(1) << 50) + 3};
    uint32_t words[4 * MOST + 1], bits[4];
    for (int s = 0; s < 15; s++)
        for (int64_t count = 0; count <= MOST; count += count < 70 ? 1 : 40) {
            uint64_t start = starts[s % 5], step = steps[s / 5];
            words[4 * count] = 77;
            mo_rng_words(0x123456789abc, MO_RNG_DROPOUT, step, 70, start, count, words);
            for (int64_t i = 0; i < count; i++) {
                mo_rng_bits(0x123456789abc, MO_RNG_DROPOUT, step, 70, start + (uint64_t)i, bits);
                assert_memory_equal(words + 4 * i, bits, sizeof bits);
            }
            assert_int_equal(words[4 * count], 77);
        }
}

/* Flipping any one bit of seed, step, layer or index, or naming another purpose, gives other bits, and no two
 * flips give the same. */
static void every_bit_of_a_place_matters(void **state)
{
    (void)state;
    uint32_t bits[3 * 64 + 32 + 2][4];
    size_t count = 0;
    mo_rng_bits(1, MO_RNG_TEST, 1, 1, 1, bits[count++]);
    mo_rng_bits(1, MO_RNG_NOISE, 1, 1, 1, bits[count++]);
    for (int b = 0; b < 64; b++) {
        uint64_t flip = UINT64_C(1) << b;
        mo_rng_bits(1 ^ flip, MO_RNG_TEST, 1, 1, 1, bits[count++]);
        mo_rng_bits(1, MO_RNG_TEST, 1 ^ flip, 1, 1, bits[count++]);
        mo_rng_bits(1, MO_RNG_TEST, 1, 1, 1 ^ flip, bits[count++]);
        if (b < 32) mo_rng_bits(1, MO_RNG_TEST, 1, 1 ^ (uint32_t)flip, 1, bits[count++]);
    }
    assert_int_equal(count, sizeof bits / sizeof *bits);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) assert_memory_not_equal(bits[i], bits[j], sizeof *bits);
}

enum { DRAWS = 200000 };

/* Mean 1/2, variance 1/12, and no correlation between neighbours; 5 standard errors. */
static void uniform_has_its_moments(void **state)
{
    (void)state;
    double sum = 0, squares = 0, products = 0, before = 0.5, least = 1, most = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double u = mo_rng_uniform(7, MO_RNG_TEST, 3, 2, i);
        sum += u;
        squares += (u - 0.5) * (u - 0.5);
        products += (u - 0.5) * (before - 0.5);
        before = u;
        least = fmin(least, u);
        most = fmax(most, u);
    }
    assert_true(least >= 0 && most < 1);
    MO_CHECK_NEAR(sum / DRAWS, 0.5, 5 * sqrt(1.0 / 12 / DRAWS));
    MO_CHECK_NEAR(squares / DRAWS, 1.0 / 12, 5 * sqrt(1.0 / 180 / DRAWS));
    MO_CHECK_NEAR(products / DRAWS, 0, 5 * sqrt(1.0 / 144 / DRAWS));
}

/* E z = 0, E z^2 = 1, E z^3 = 0, E z^4 = 3 with variances 1, 2, 15, 96; P(|z| < 1) = 0.6827; 5 standard
 * errors. */
/* Against the C library's functions: a few units in the last place, of 1 where the cosine is small. */
static void normals_are_those_of_the_formula(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    double z[COUNT];
    int largest = 0;
    for (uint64_t step = 0; step < 200; step++) {
        mo_rng_normals(3, MO_RNG_TEST, step, 5, step * 1001, COUNT, z);
        for (uint64_t i = 0; i < COUNT; i++) {
            uint32_t w[4];
            mo_rng_bits(3, MO_RNG_TEST, step, 5, step * 1001 + i, w);
            double u = 1 - (double)(((uint64_t)w[0] << 32 | w[1]) >> 11) * 0x1p-53;
            double a = 6.283185307179586 * ((double)(((uint64_t)w[2] << 32 | w[3]) >> 11) * 0x1p-53);
            double radius = sqrt(-2 * log(u)), want = radius * cos(a);
            assert_true(fabs(z[i] - want) <= 6e-16 * fabs(want) + 1e-16 * radius);
            largest += fabs(z[i]) > 3.5;
        }
    }
    assert_true(largest > 50 && largest < 160); /* 93 of 200,000 are beyond 3.5 */
}

static void normals_are_the_same_alone_and_together(void **state)
{
    (void)state;
    double z[100];
    uint64_t far = (UINT64_C(1) << 48) - 50;
    for (int64_t count = 1; count <= 100; count += 11) {
        mo_rng_normals(1, MO_RNG_TEST, 2, 3, far, count, z);
        for (int64_t i = 0; i < count; i++)
            assert_true(z[i] == mo_rng_normal(1, MO_RNG_TEST, 2, 3, far + (uint64_t)i));
    }
}

static void normal_has_its_moments(void **state)
{
    (void)state;
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, inside = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double z = mo_rng_normal(7, MO_RNG_TEST, i, 2, 11);
        assert_true(fabs(z) < 8.7);
        m1 += z;
        m2 += z * z;
        m3 += z * z * z;
        m4 += z * z * z * z;
        inside += fabs(z) < 1;
    }
    MO_CHECK_NEAR(m1 / DRAWS, 0, 5 * sqrt(1.0 / DRAWS));
    MO_CHECK_NEAR(m2 / DRAWS, 1, 5 * sqrt(2.0 / DRAWS));
    MO_CHECK_NEAR(m3 / DRAWS, 0, 5 * sqrt(15.0 / DRAWS));
    MO_CHECK_NEAR(m4 / DRAWS, 3, 5 * sqrt(96.0 / DRAWS));
    MO_CHECK_NEAR(inside / DRAWS, 0.682689492, 5 * sqrt(0.2166 / DRAWS));
}

static void check_bijection(uint64_t n, uint64_t epoch)
{
    unsigned char *seen = mo_calloc(n, 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t to = mo_rng_permute(5, epoch, n, i);
        assert_true(to < n);
        assert_int_equal(seen[to], 0);
        seen[to] = 1;
    }
    mo_free(seen);
}

static void permutation_is_a_bijection(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 300; n++) check_bijection(n, n % 3);
    static const uint64_t LARGER[] = {1023, 1024, 1025, 4096, 4097, 10007, 65536, 65537};
    for (size_t i = 0; i < sizeof LARGER / sizeof *LARGER; i++) check_bijection(LARGER[i], 9);
}

static void permutation_of_a_huge_range_stays_in_it(void **state)
{
    (void)state;
    static const uint64_t SIZES[] = {(UINT64_C(1) << 40) + 1, UINT64_C(1) << 62, UINT64_MAX};
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
        uint64_t n = SIZES[s], above_half = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t to = mo_rng_permute(5, 0, n, n - 1 - i);
            assert_true(to < n);
            above_half += to > n / 2;
        }
        assert_in_range(above_half, 420, 580);
    }
}

/* Over epochs and seeds every order of three items comes up about equally often (within 5 standard errors of
 * 1/6). */
static void small_permutations_are_fair(void **state)
{
    (void)state;
    int counts[27] = {0};
    enum { TRIALS = 6000 };
    for (uint64_t t = 0; t < TRIALS; t++) {
        uint64_t a = mo_rng_permute(t / 100, t % 100, 3, 0), b = mo_rng_permute(t / 100, t % 100, 3, 1);
        counts[a * 3 + b]++;
    }
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            if (a != b) MO_CHECK_NEAR(counts[a * 3 + b], TRIALS / 6.0, 5 * sqrt(TRIALS * 5 / 36.0));
}

/* Where item 0 of ten goes, over epochs: chi-square with 9 degrees of freedom, 99.99% point 33.7. */
static void an_item_goes_everywhere(void **state)
{
    (void)state;
    enum { TRIALS = 5000 };
    int counts[10] = {0};
    for (uint64_t epoch = 0; epoch < TRIALS; epoch++) counts[mo_rng_permute(1337, epoch, 10, 0)]++;
    double chi = 0;
    for (int i = 0; i < 10; i++) chi += pow(counts[i] - TRIALS / 10.0, 2) / (TRIALS / 10.0);
    MO_CHECK_NEAR(chi, 0, 33.7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(words_are_the_bits_of_their_places),
        cmocka_unit_test(every_bit_of_a_place_matters),
        cmocka_unit_test(uniform_has_its_moments),
        cmocka_unit_test(normal_has_its_moments),
        cmocka_unit_test(normals_are_those_of_the_formula),
        cmocka_unit_test(normals_are_the_same_alone_and_together),
        cmocka_unit_test(permutation_is_a_bijection),
        cmocka_unit_test(permutation_of_a_huge_range_stays_in_it),
        cmocka_unit_test(small_permutations_are_fair),
        cmocka_unit_test(an_item_goes_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
