/* glu.c -- gated linear units (Shazeer 2020, arXiv:2002.05202): SwiGLU with silu, GeGLU with gelu
 *   y_n = w_n f(g_n) u_n                      dw_n = sum_i dy_ni f(g_ni) u_ni
 *   dg_n = w_n dy_n u_n f'(g_n)               du_n = w_n dy_n f(g_n)
 * gate_NF, up_NF and, if rows have weights, w_N in (else w = 1), y_NF out; f is one of activation.h. Backward
 * reads all of them. Threads: over rows. */
#include "ops/activation.h"

enum { PIECE = 1024 };

typedef struct {
    mo_act_kind kind;
} glu_attr;

MO_ACT_INLINE void row_fwd(mo_act_kind kind, mo_real *y, const mo_real *gate, const mo_real *up, mo_real w,
                           int64_t F)
{
#pragma omp simd
    for (int64_t i = 0; i < F; i++) y[i] = w * (mo__activate(kind, gate[i]).f * up[i]);
}

static void glu_fwd(mo_real *y_NF, const mo_real *gate_NF, const mo_real *up_NF, const mo_real *w_N,
                    mo_act_kind kind, int64_t N, int64_t F)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        MO_ACT_CALL(kind, row_fwd, y_NF + n * F, gate_NF + n * F, up_NF + n * F, w_N ? w_N[n] : 1, F)
}

/* What backward writes; any may be NULL. accumulate: of gate, of up, of w. */
typedef struct {
    mo_real *gate_NF, *up_NF, *w_N;
    const bool *accumulate;
} glu_grads;

/* n elements of a row; returns their part of dw. */
MO_ACT_INLINE mo_real piece_bwd(mo_act_kind kind, mo_real *dgate, mo_real *dup, const mo_real *dy,
                                const mo_real *gate, const mo_real *up, mo_real w, bool add_gate, bool add_up,
                                int64_t n)
{
    mo_real dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < n; i++) {
        mo__act a = mo__activate(kind, gate[i]);
        mo_real d = w * dy[i];
        dot += dy[i] * (a.f * up[i]);
        dgate[i] = (add_gate ? dgate[i] : 0) + d * up[i] * a.slope;
        dup[i] = (add_up ? dup[i] : 0) + d * a.f;
    }
    return dot;
}

MO_ACT_INLINE void row_bwd(mo_act_kind kind, const glu_grads *d, const mo_real *dy, const mo_real *gate,
                           const mo_real *up, const mo_real *w_N, int64_t n, int64_t F)
{
    mo_real no_gate[PIECE], no_up[PIECE], dot = 0;
    for (int64_t at = n * F; at < (n + 1) * F; at += PIECE) {
        // cppcheck-suppress legacyUninitvar -- only written
        mo_real *dgate = d->gate_NF ? d->gate_NF + at : no_gate;
        // cppcheck-suppress legacyUninitvar -- only written
        mo_real *dup = d->up_NF ? d->up_NF + at : no_up;
        dot += piece_bwd(kind, dgate, dup, dy + at, gate + at, up + at, w_N ? w_N[n] : 1,
                         d->gate_NF && d->accumulate[0], d->up_NF && d->accumulate[1],
                         mo_min(PIECE, (n + 1) * F - at));
    }
    if (d->w_N) d->w_N[n] = (d->accumulate[2] ? d->w_N[n] : 0) + dot;
}

static void glu_bwd(const glu_grads *d, const mo_real *dy_NF, const mo_real *gate_NF, const mo_real *up_NF,
                    const mo_real *w_N, mo_act_kind kind, int64_t N, int64_t F)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) MO_ACT_CALL(kind, row_bwd, d, dy_NF, gate_NF, up_NF, w_N, n, F)
}

static mo_status glu_shape(mo_node *node)
{
    const mo_tensor *gate = node->in[0], *up = node->in[1], *w = node->n_in > 2 ? node->in[2] : NULL;
    mo_act_kind kind = ((const glu_attr *)node->attr)->kind;
    if (!mo__act_known(kind)) return mo_error(MO_E_RANGE, "glu: no activation has number %d", (int)kind);
    if (kind == MO_ACT_KIND_SIGMOID)
        return mo_error(MO_E_RANGE, "glu: sigmoid makes scores for routers; a gate is silu, gelu or relu");
    if (gate->dtype != MO_REAL || up->dtype != MO_REAL || gate->ndim != 2 || up->ndim != 2 ||
        gate->dim[0] != up->dim[0] || gate->dim[1] != up->dim[1])
        return mo_error(MO_E_SHAPE, "glu: gate %s and up %s do not fit; expected [N, F] twice",
                        mo_shape(gate).text, mo_shape(up).text);
    if (w && (w->dtype != MO_REAL || w->ndim != 1 || w->dim[0] != gate->dim[0]))
        return mo_error(MO_E_SHAPE, "glu: weights %s of the rows of gate %s; expected [N]", mo_shape(w).text,
                        mo_shape(gate).text);
    return mo_node_output(node, "", MO_REAL, 2, gate->dim);
}

static const mo_real *weights_of(const mo_node *node)
{
    return node->n_in > 2 ? node->in[2]->data : NULL;
}

static void glu_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->out[0];
    glu_fwd(y->data, node->in[0]->data, node->in[1]->data, weights_of(node),
            ((const glu_attr *)node->attr)->kind, y->dim[0], y->dim[1]);
}

static void glu_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *gate = node->in[0], *up = node->in[1], *y = node->out[0];
    glu_grads d = {gate->grad, up->grad, node->n_in > 2 ? node->in[2]->grad : NULL, node->accumulate};
    glu_bwd(&d, y->grad, gate->data, up->data, weights_of(node), ((const glu_attr *)node->attr)->kind,
            y->dim[0], y->dim[1]);
}

static mo_cost glu_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->out[0]);
    return phase == MO_FORWARD ? (mo_cost){17 * n, 3 * n * sizeof(mo_real)}
                               : (mo_cost){27 * n, 5 * n * sizeof(mo_real)};
}

const mo_op mo__op_glu = {.name = "glu",
                          .shape = glu_shape,
                          .forward = glu_forward,
                          .backward = glu_backward,
                          .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2),
                          .grad_over_data = MO_NEEDS(0) | MO_NEEDS(1),
                          .flags = MO_OP_CHEAP,
                          .cost = glu_cost};

mo_tensor *mo_glu_weighted(mo_graph *g, mo_tensor *gate_NF, mo_tensor *up_NF, mo_tensor *w_N,
                           mo_act_kind kind)
{
    glu_attr attr = {kind};
    mo_tensor *in[] = {gate_NF, up_NF, w_N};
    mo_node *node = mo_graph_node(g, &mo__op_glu, 3, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}

mo_tensor *mo_glu(mo_graph *g, mo_tensor *gate_NF, mo_tensor *up_NF, mo_act_kind kind)
{
    glu_attr attr = {kind};
    mo_node *node = mo_graph_node(g, &mo__op_glu, 2, (mo_tensor *[]){gate_NF, up_NF}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
