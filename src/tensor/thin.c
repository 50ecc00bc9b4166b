/* thin.c -- products of a few rows, at the speed of memory: W is read once, as it lies, into registers.
 *
 *   y_mn = sum_k x_mk W_nk = sum over lanes l of (sum_j x_m,jL+l W_n,jL+l),  L = 2 LANES
 *
 * Two registers of sums for each pair of rows; their lanes are added in a fixed tree. L is the same on every
 * processor, however wide its registers are, and how rows are taken together changes no sum: the bits of an
 * element are those of its row of x and its row of W.
 *
 * Memory is read fastest in long stretches: rows of W are taken one by one; several at a time, against
 * several rows of x, where products cost more than reading does. */
#include "tensor/thin.h"

#include <string.h>

enum { BYTES = 64, LANES = BYTES / (int)sizeof(mo_real), PAIR = 2 * LANES };

typedef mo_real lanes __attribute__((vector_size(BYTES)));
typedef mo_real lanes_unaligned __attribute__((vector_size(BYTES), aligned(1), may_alias));
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef float floats_unaligned __attribute__((vector_size(4 * LANES), aligned(1), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves_unaligned __attribute__((vector_size(2 * LANES), aligned(1), may_alias));

/* A block's rows of x and of W: their sums fit into the registers. */
#ifdef __AVX512F__
enum { XS = 4, WS = 3 };
#else
enum { XS = 2, WS = 1 };
#endif

/* Rows of x from which on W is taken WS rows at a time. */
enum { MANY = 5 };

#define ALWAYS static inline __attribute__((always_inline))

/* mo_dtype_size, for the compiler to see through. */
ALWAYS int64_t size_of(mo_dtype dtype)
{
    return dtype == MO_REAL ? (int64_t)sizeof(mo_real) : dtype == MO_F32 ? 4 : 2;
}

/* LANES numbers of a file; stored.c has the argument for float16. */
ALWAYS void load(mo_dtype dtype, const unsigned char *in, lanes *out)
{
    if (dtype == MO_REAL) {
        *out = *(const lanes_unaligned *)(const void *)in;
    } else if (dtype == MO_F32) {
        *out = __builtin_convertvector(*(const floats_unaligned *)(const void *)in, lanes);
    } else {
        words h = __builtin_convertvector(*(const halves_unaligned *)(const void *)in, words);
        words bits = h << 16;
        if (dtype == MO_F16) {
            words moved = (h & 0x7fffu) << 13, special = (words)((h & 0x7c00u) == 0x7c00u);
            words finite = (words)((floats)moved * 0x1p112f);
            bits = (bits & 0x80000000u) | (special & (moved | 0x7f800000u)) | (~special & finite);
        }
        *out = __builtin_convertvector((floats)bits, lanes);
    }
}

ALWAYS mo_real sum_of(const lanes *first, const lanes *second)
{
    mo_real s[LANES];
    lanes sums = *first + *second;
    memcpy(s, &sums, sizeof s);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++) s[l] += s[l + width];
    return s[0];
}

typedef struct task {
    int64_t M, K, ldx, ldy, pitch; /* pitch: bytes between rows of W */
    mo_real alpha, beta;
    const mo_real *x;
    const unsigned char *W;
    mo_real *y;
} task;

/* sums += the next PAIR numbers of xs rows of x, x_pitch bytes apart, times those of ws rows of W */
ALWAYS void add_products(mo_dtype dtype, int xs, int ws, const unsigned char *x, int64_t x_pitch,
                         const unsigned char *w, int64_t pitch, lanes sums[XS][WS][2])
{
    int64_t half = LANES * size_of(dtype);
    for (int j = 0; j < ws; j++) {
        lanes b[2];
        load(dtype, w + j * pitch, &b[0]);
        load(dtype, w + j * pitch + half, &b[1]);
        for (int i = 0; i < xs; i++) {
            sums[i][j][0] += *(const lanes_unaligned *)(const void *)(x + i * x_pitch) * b[0];
            sums[i][j][1] += *(const lanes_unaligned *)(const void *)(x + i * x_pitch + BYTES) * b[1];
        }
    }
}

/* What is left of the rows, fewer than PAIR numbers: with zeros behind. */
ALWAYS void add_rest(mo_dtype dtype, int xs, int ws, const task *t, int64_t m, int64_t n, int64_t k,
                     lanes sums[XS][WS][2])
{
    unsigned char x[XS][2 * BYTES] = {{0}}, w[WS][2 * BYTES] = {{0}};
    size_t rest = (size_t)(t->K - k), size = (size_t)size_of(dtype);
    for (int i = 0; i < xs; i++) memcpy(x[i], t->x + (m + i) * t->ldx + k, rest * sizeof(mo_real));
    for (int j = 0; j < ws; j++) memcpy(w[j], t->W + (n + j) * t->pitch + k * (int64_t)size, rest * size);
    add_products(dtype, xs, ws, x[0], 2 * BYTES, w[0], 2 * BYTES, sums);
}

ALWAYS void block(mo_dtype dtype, int xs, int ws, const task *t, int64_t m, int64_t n)
{
    int64_t size = size_of(dtype), x_pitch = t->ldx * (int64_t)sizeof(mo_real), k = 0;
    const unsigned char *x = (const unsigned char *)(t->x + m * t->ldx), *w = t->W + n * t->pitch;
    lanes sums[XS][WS][2];
    for (int i = 0; i < xs; i++)
        for (int j = 0; j < ws; j++) sums[i][j][0] = sums[i][j][1] = (lanes){0};
    for (; k + PAIR <= t->K; k += PAIR)
        add_products(dtype, xs, ws, x + k * (int64_t)sizeof(mo_real), x_pitch, w + k * size, t->pitch, sums);
    if (k < t->K) add_rest(dtype, xs, ws, t, m, n, k, sums);
    for (int i = 0; i < xs; i++)
        for (int j = 0; j < ws; j++) {
            mo_real *y = &t->y[(m + i) * t->ldy + n + j];
            mo_real sum = t->alpha * sum_of(&sums[i][j][0], &sums[i][j][1]);
            *y = t->beta == MO_C(0) ? sum : sum + t->beta * *y;
        }
}

/* All rows of x against ws rows of W, which stay in cache meanwhile. */
ALWAYS void rows(mo_dtype dtype, int ws, const task *t, int64_t n)
{
    int64_t m = 0;
    for (; m + XS <= t->M; m += XS) block(dtype, XS, ws, t, m, n);
    if (XS > 3 && t->M - m == 3) block(dtype, 3, ws, t, m, n);
    if (XS > 2 && t->M - m == 2) block(dtype, 2, ws, t, m, n);
    if (t->M - m == 1) block(dtype, 1, ws, t, m, n);
}

ALWAYS void product(mo_dtype dtype, int64_t N, const task *t)
{
    int64_t n = 0;
    for (; WS > 1 && t->M >= MANY && n + WS <= N; n += WS) rows(dtype, WS, t, n);
    for (; n < N; n++) rows(dtype, 1, t, n);
}

void mo__thin_nt(int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *x, int64_t ldx,
                 mo_dtype dtype, const void *W, int64_t ldw, mo_real beta, mo_real *y, int64_t ldy)
{
    task t = {M, K, ldx, ldy, ldw * size_of(dtype), alpha, beta, x, W, y};
    if (dtype == MO_BF16)
        product(MO_BF16, N, &t);
    else if (dtype == MO_F16)
        product(MO_F16, N, &t);
    else if (dtype == MO_F32 && sizeof(mo_real) != sizeof(float))
        product(MO_F32, N, &t);
    else
        product(MO_REAL, N, &t);
}
