/* adamw.c -- AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) and the global gradient norm.
 *   g *= clip                       m = b1 m + (1-b1) g          v = b2 v + (1-b2) g^2
 *   w -= lr wd w (where decayed)    w -= lr / (1-b1^t) m / (sqrt(v / (1-b2^t)) + eps)
 * Work is cut into chunks of CHUNK elements of a segment, whatever the number of threads. The norm adds
 * squares in CHUNK-long sums and those in order. */
#include <math.h>

#include "moira/optim.h"
#include "tensor/rows.h"

enum { CHUNK = 1 << 14 };

typedef struct constants {
    mo_real clip, beta1, beta2, rate, decay, inverse_correction2, epsilon;
} constants;

static int64_t chunks_of(const mo_segment *s)
{
    return (s->count + CHUNK - 1) / CHUNK;
}

/* Sum of squares of one chunk, in LANES sums of their own: a sum waits for the one before it, not for memory.
 */
static double chunk_squares(const mo_real *g, int64_t count)
{
    enum { LANES = 32 };
    double lane[LANES] = {0}, sum = 0;
    int64_t whole = count / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
#pragma omp simd
        for (int64_t j = 0; j < LANES; j++) lane[j] += (double)g[i + j] * (double)g[i + j];
    for (int64_t i = whole; i < count; i++) lane[i - whole] += (double)g[i] * (double)g[i];
    for (int64_t j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

double mo_grad_norm(const mo_slabs *slabs)
{
    enum { BATCH = 256 }; /* chunk sums held at once */
    double total = 0;
    for (int s = 0; s < slabs->n_segments; s++) {
        const mo_segment *segment = &slabs->segments[s];
        const mo_real *g = slabs->grad + segment->offset;
        int64_t chunks = chunks_of(segment);
        for (int64_t first = 0; first < chunks; first += BATCH) {
            double sums[BATCH];
            int64_t count = chunks - first < BATCH ? chunks - first : BATCH;
#pragma omp parallel for schedule(static) if (count > 1)
            for (int64_t c = 0; c < count; c++) {
                int64_t at = (first + c) * CHUNK;
                sums[c] = chunk_squares(g + at, segment->count - at < CHUNK ? segment->count - at : CHUNK);
            }
            for (int64_t c = 0; c < count; c++) total += sums[c];
        }
    }
    return sqrt(total);
}

static void update_chunk(mo_real *w, mo_real *grad, mo_real *m, mo_real *v, int64_t count, constants k)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        mo_real g = grad[i] * k.clip;
        m[i] = k.beta1 * m[i] + (MO_C(1) - k.beta1) * g;
        v[i] = k.beta2 * v[i] + (MO_C(1) - k.beta2) * g * g;
        mo_real kept = w[i] - k.decay * w[i];
        w[i] = kept - k.rate * m[i] / (mo_sqrt(v[i] * k.inverse_correction2) + k.epsilon);
        grad[i] = 0;
    }
}

double mo_segment_decay(const mo_segment *segment, const mo_optim_config *config)
{
    if (!isnan(segment->weight_decay)) return segment->weight_decay;
    return segment->decay ? config->weight_decay : 0;
}

void mo_adamw_step(const mo_slabs *slabs, const mo_optim_config *config, double learning_rate,
                   double grad_norm, int64_t step)
{
    double correction1 = 1 - pow(config->beta1, (double)(step + 1));
    double correction2 = 1 - pow(config->beta2, (double)(step + 1));
    double clip = 1;
    if (config->max_grad_norm > 0) clip = fmin(1, config->max_grad_norm / (grad_norm + 1e-6));
#pragma omp parallel
    for (int s = 0; s < slabs->n_segments; s++) {
        const mo_segment *segment = &slabs->segments[s];
        double rate = learning_rate * segment->rate_scale;
        constants k = {.clip = (mo_real)clip,
                       .beta1 = (mo_real)config->beta1,
                       .beta2 = (mo_real)config->beta2,
                       .rate = (mo_real)(rate / correction1),
                       .decay = (mo_real)(rate * mo_segment_decay(segment, config)),
                       .inverse_correction2 = (mo_real)(1 / correction2),
                       .epsilon = (mo_real)config->epsilon};
        int64_t chunks = chunks_of(segment);
#pragma omp for schedule(static) nowait
        for (int64_t c = 0; c < chunks; c++) {
            int64_t at = c * CHUNK, count = segment->count - at < CHUNK ? segment->count - at : CHUNK;
            int64_t o = segment->offset + at;
            update_chunk(slabs->value + o, slabs->grad + o, slabs->m + o, slabs->v + o, count, k);
        }
    }
}
