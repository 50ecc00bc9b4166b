/* activation.h -- the activation functions and their slopes, element by element, for act.c and glu.c
 *   silu  f = x s, s = 1 / (1 + exp(-x))                      f' = s + f (1 - s)
 *   gelu  f = x Phi(x) (Hendrycks & Gimpel 2016, exact)       f' = Phi(x) + x phi(x)
 *   relu  f = max(x, 0)                                       f' = 1 for x > 0, else 0
 *   sigmoid  f = s                                            f' = s (1 - s)
 * `kind` is a constant where these are called, so that a loop over them has no branch and vectorises. */
#ifndef MOIRA_OPS_ACTIVATION_H
#define MOIRA_OPS_ACTIVATION_H

#include "ops/kernels.h"

/* A call of function with the constant that `kind` is, before its other arguments. */
#define MO_ACT_CALL(kind, function, ...)            \
    switch (kind) {                                 \
    case MO_ACT_KIND_SILU:                          \
        function(MO_ACT_KIND_SILU, __VA_ARGS__);    \
        break;                                      \
    case MO_ACT_KIND_GELU:                          \
        function(MO_ACT_KIND_GELU, __VA_ARGS__);    \
        break;                                      \
    case MO_ACT_KIND_RELU:                          \
        function(MO_ACT_KIND_RELU, __VA_ARGS__);    \
        break;                                      \
    case MO_ACT_KIND_SIGMOID:                       \
        function(MO_ACT_KIND_SIGMOID, __VA_ARGS__); \
        break;                                      \
    }
/* Of such a function: its loops are made once for each kind. */
#define MO_ACT_INLINE static inline __attribute__((always_inline))

static inline bool mo__act_known(mo_act_kind kind)
{
    return kind == MO_ACT_KIND_SILU || kind == MO_ACT_KIND_GELU || kind == MO_ACT_KIND_RELU ||
           kind == MO_ACT_KIND_SIGMOID;
}

typedef struct mo__act {
    mo_real f, slope;
} mo__act;

/* Both; what a caller does not read is not computed. */
MO_ACT_INLINE mo__act mo__activate(mo_act_kind kind, mo_real x)
{
    mo_real s, cdf;
    switch (kind) {
    case MO_ACT_KIND_SILU:
        s = mo_sigmoid(x);
        return (mo__act){x * s, s + x * s * (1 - s)};
    case MO_ACT_KIND_GELU:
        cdf = mo_normal_cdf(x);
        return (mo__act){x * cdf, cdf + x * mo_normal_pdf(x)};
    case MO_ACT_KIND_SIGMOID:
        s = mo_sigmoid(x);
        return (mo__act){s, s * (1 - s)};
    case MO_ACT_KIND_RELU:
        break;
    }
    return (mo__act){x < 0 ? 0 : x, x > 0 ? MO_C(1) : MO_C(0)}; /* NaN stays */
}

#endif
