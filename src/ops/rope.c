/* rope.c -- rotary position embedding (Su et al. 2021, arXiv:2104.09864)
 *   phi_ni    = position_n theta^(-2i/h), i < h/2
 *   y_i       = x_i cos phi_ni - x_{i+h/2} sin phi_ni
 *   y_{i+h/2} = x_{i+h/2} cos phi_ni + x_i sin phi_ni
 *   dx        = dy turned by -phi
 * Dimensions i and i + h/2 of a head of size h turn together: the order of Hugging Face's LLaMA and Mixtral.
 * x [N, heads*h] and positions_N (int32) in, y like x out; backward reads positions only.
 * cos and sin are made in double, once per token: directly for the first of TOKENS tokens and where positions
 * jump, else from the token before by the angle-addition formulas, which add errors below TOKENS * 2^-52.
 * Threads: over blocks of TOKENS tokens. */
#include "ops/kernels.h"

typedef struct {
    int64_t head_dim;
    double theta;
} rope_attr;

enum { TOKENS = 32 };

/* Of one position: phi's cosine and sine, in double and as the kernel multiplies by them. [half] each. */
typedef struct {
    double *cos, *sin;
    mo_real *c, *s;
} turn;

/* The frequencies, their cosines and sines (the turn from one position to the next): [3, half] in scratch. */
static void make_step(double *step, int64_t half, double theta)
{
    for (int64_t i = 0; i < half; i++) {
        step[i] = pow(theta, -(double)i / (double)half);
        step[half + i] = cos(step[i]);
        step[2 * half + i] = sin(step[i]);
    }
}

static void turn_to(turn t, const double *step, int64_t half, int32_t position)
{
    for (int64_t i = 0; i < half; i++) {
        t.cos[i] = cos(position * step[i]);
        t.sin[i] = sin(position * step[i]);
    }
}

static void turn_on(turn t, const double *step, int64_t half)
{
    const double *c1 = step + half, *s1 = step + 2 * half;
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        double c = t.cos[i], s = t.sin[i];
        t.cos[i] = c * c1[i] - s * s1[i];
        t.sin[i] = s * c1[i] + c * s1[i];
    }
}

static void rotate_heads(mo_real *y, const mo_real *x, turn t, bool accumulate, int64_t heads, int64_t half)
{
    for (int64_t j = 0; j < heads; j++, x += 2 * half, y += 2 * half) {
#pragma omp simd
        for (int64_t i = 0; i < half; i++) {
            mo_real a = x[i], b = x[half + i];
            y[i] = (accumulate ? y[i] : 0) + (a * t.c[i] - b * t.s[i]);
            y[half + i] = (accumulate ? y[half + i] : 0) + (b * t.c[i] + a * t.s[i]);
        }
    }
}

static size_t turn_bytes(int64_t half)
{
    size_t size = (size_t)half * 2 * (sizeof(double) + sizeof(mo_real));
    return (size + 63) & ~(size_t)63;
}

static turn turn_at(void *turns, int64_t block, int64_t half)
{
    char *at = (char *)turns + (size_t)block * turn_bytes(half);
    void *table = at, *real = at + (size_t)half * 2 * sizeof(double);
    return (turn){table, (double *)table + half, real, (mo_real *)real + half};
}

/* sign 1 turns by phi, -1 back. turns: a turn for each block of tokens. */
static void rope(mo_real *y, const mo_real *x, const int32_t *positions_N, const double *step, void *turns,
                 mo_real sign, bool accumulate, int64_t N, int64_t heads, int64_t half)
{
    int64_t D = heads * 2 * half;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < N; first += TOKENS) {
        turn t = turn_at(turns, first / TOKENS, half);
        for (int64_t n = first; n < mo_min(first + TOKENS, N); n++) {
            if (n > first && (int64_t)positions_N[n] - 1 == positions_N[n - 1])
                turn_on(t, step, half);
            else if (n == first || positions_N[n] != positions_N[n - 1])
                turn_to(t, step, half, positions_N[n]);
            for (int64_t i = 0; i < half; i++) {
                t.c[i] = (mo_real)t.cos[i];
                t.s[i] = sign * (mo_real)t.sin[i];
            }
            rotate_heads(y + n * D, x + n * D, t, accumulate, heads, half);
        }
    }
}

static mo_status rope_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *positions = node->in[1];
    const rope_attr *attr = node->attr;
    if (attr->head_dim < 2 || attr->head_dim % 2 != 0 || !(attr->theta > 0))
        return mo_error(MO_E_RANGE,
                        "rope: head_dim %lld and theta %g; expected an even head_dim and theta > 0",
                        (long long)attr->head_dim, attr->theta);
    if (x->dtype != MO_REAL || x->ndim != 2 || x->dim[1] % attr->head_dim != 0 ||
        positions->dtype != MO_I32 || positions->ndim != 1 || positions->dim[0] != x->dim[0])
        return mo_error(MO_E_SHAPE,
                        "rope: x %s and positions %s do not fit; expected [N, heads * %lld] and int32 [N]",
                        mo_shape(x).text, mo_shape(positions).text, (long long)attr->head_dim);
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static size_t step_bytes(int64_t half)
{
    return ((size_t)half * 3 * sizeof(double) + 63) & ~(size_t)63;
}

static size_t rope_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    int64_t half = ((const rope_attr *)node->attr)->head_dim / 2, N = node->in[0]->dim[0];
    return step_bytes(half) + (size_t)((N + TOKENS - 1) / TOKENS) * turn_bytes(half);
}

static void run_rope(const mo_node *node, mo_real *y, const mo_real *x, mo_real sign, bool accumulate)
{
    const rope_attr *attr = node->attr;
    int64_t half = attr->head_dim / 2, N = node->in[0]->dim[0], heads = node->in[0]->dim[1] / attr->head_dim;
    make_step(node->scratch, half, attr->theta);
    rope(y, x, node->in[1]->data, node->scratch, (char *)node->scratch + step_bytes(half), sign, accumulate,
         N, heads, half);
}

static void rope_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    run_rope(node, node->out[0]->data, node->in[0]->data, 1, false);
}

static void rope_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    run_rope(node, node->in[0]->grad, node->out[0]->grad, -1, node->accumulate[0]);
}

static mo_cost rope_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return (mo_cost){3 * n, (phase == MO_BACKWARD && node->accumulate[0] ? 3 : 2) * n * sizeof(mo_real)};
}

const mo_op mo__op_rope = {.name = "rope",
                           .shape = rope_shape,
                           .forward = rope_forward,
                           .backward = rope_backward,
                           .needs_in = MO_NEEDS(1),
                           .scratch = rope_scratch,
                           .cost = rope_cost};

mo_tensor *mo_rope(mo_graph *g, mo_tensor *x, mo_tensor *positions_N, int64_t head_dim, double theta)
{
    rope_attr attr = {head_dim, theta};
    mo_node *node = mo_graph_node(g, &mo__op_rope, 2, (mo_tensor *[]){x, positions_N}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
