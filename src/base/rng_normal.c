/* rng_normal.c -- standard normals by Box-Muller, several at once: z = sqrt(-2 ln u) cos(2 pi v).
 *
 * u in (0, 1] and v in [0, 1) have 53 random bits each, so |z| is at most 8.6. Logarithm and cosine are
 * series in arithmetic that vectorises, to within 2 units in the last place; every number goes through the
 * same loop, alone or with others, so a place has one value. Weights are drawn with this: 6 ns each on a
 * thread with AVX2, where the C library's functions take 57. */
#include <moira/base.h>

#include <math.h>
#include <string.h>

enum { LANES = 64, STEP = 16 }; /* places at a time; whole vectors */

static inline uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* An integer below 2^52: it is put into the fraction of 2^52, whose last place counts ones. */
static inline double whole(uint64_t x)
{
    return double_of(x | bits_of(0x1p52)) - 0x1p52;
}

/* The top 53 of 64 bits, as k / 2^53; both parts and their sum are exact. */
static inline double unit(uint32_t top, uint32_t bottom)
{
    return whole(top) * 0x1p-32 + whole(bottom >> 11) * 0x1p-53;
}

/* u = 2^e m, sqrt(1/2) <= m < sqrt(2), ln u = e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), by the series
 * 2 s (1 + s^2/3 + s^4/5 + ...): s^2 < 0.0295, so its 12th term is below 2^-60. ln 2 is cut in two, the first
 * with zeros at its end, so that e times it is exact. u: positive, normal. */
static inline double natural_log(double u)
{
    const uint64_t root_half = 0x3fe6a09e667f3bcd, fraction = (UINT64_C(1) << 52) - 1;
    uint64_t shifted = bits_of(u) - root_half + (UINT64_C(1023) << 52);
    double e = whole(shifted >> 52) - 1023;
    double m = double_of((shifted & fraction) + root_half);
    double s = (m - 1) / (m + 1), z = s * s, sum = 1.0 / 23;
    sum = sum * z + 1.0 / 21;
    sum = sum * z + 1.0 / 19;
    sum = sum * z + 1.0 / 17;
    sum = sum * z + 1.0 / 15;
    sum = sum * z + 1.0 / 13;
    sum = sum * z + 1.0 / 11;
    sum = sum * z + 1.0 / 9;
    sum = sum * z + 1.0 / 7;
    sum = sum * z + 1.0 / 5;
    sum = sum * z + 1.0 / 3;
    double low = e * 0x1.ef35793c76730p-45 + 2 * s * z * sum; /* ln 2 - 0x1.62e42fefa38p-1 */
    return e * 0x1.62e42fefa38p-1 + (2 * s + low);
}

/* cos a for a in [0, 2 pi], a = q pi/2 + r, |r| <= pi/4: by q mod 4 it is cos r, -sin r, -cos r or sin r, by
 * their Taylor series. pi/2 is cut in three, so that q times the first two is exact. */
static inline double cosine(double a)
{
    double shifted = a * 0x1.45f306dc9c883p-1 + 0x1.8p52, q = shifted - 0x1.8p52;
    uint64_t turn = bits_of(shifted); /* q in its last bits */
    double r = ((a - q * 0x1.921fb544p+0) - q * 0x1.0b4611a6p-34) - q * 0x1.3198a2e037073p-69, z = r * r;
    double c = 1.0 / 20922789888000, s = 1.0 / 355687428096000; /* 1/16!, 1/17! */
    c = c * z - 1.0 / 87178291200;
    c = c * z + 1.0 / 479001600;
    c = c * z - 1.0 / 3628800;
    c = c * z + 1.0 / 40320;
    c = c * z - 1.0 / 720;
    c = c * z + 1.0 / 24;
    s = s * z - 1.0 / 1307674368000;
    s = s * z + 1.0 / 6227020800;
    s = s * z - 1.0 / 39916800;
    s = s * z + 1.0 / 362880;
    s = s * z - 1.0 / 5040;
    s = s * z + 1.0 / 120;
    s = s * z - 1.0 / 6;
    double even = 1 - (0.5 * z - z * z * c), odd = r + r * z * s;
    double magnitude = turn & 1 ? odd : even;
    return double_of(bits_of(magnitude) ^ ((turn + 1) & 2) << 62);
}

/* n: whole STEPs. */
static __attribute__((noinline)) void box_muller(const uint32_t words[4][LANES], int n, double *out)
{
#pragma omp simd
    for (int j = 0; j < n; j++) {
        double radius = sqrt(-2 * natural_log(1 - unit(words[0][j], words[1][j])));
        out[j] = radius * cosine(6.283185307179586 * unit(words[2][j], words[3][j]));
    }
}

void mo_rng_normals(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index,
                    int64_t count, double *out)
{
    uint32_t given[4 * LANES], words[4][LANES] = {{0}};
    double made[LANES];
    for (int64_t i = 0; i < count; i += LANES) {
        int n = count - i < LANES ? (int)(count - i) : LANES;
        mo_rng_words(seed, purpose, step, layer, index + (uint64_t)i, n, given);
        for (int j = 0; j < n; j++)
            for (int w = 0; w < 4; w++) words[w][j] = given[4 * j + w];
        box_muller(words, (n + STEP - 1) / STEP * STEP, made);
        memcpy(out + i, made, (size_t)n * sizeof *out);
    }
}

double mo_rng_normal(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index)
{
    double z;
    mo_rng_normals(seed, purpose, step, layer, index, 1, &z);
    return z;
}
