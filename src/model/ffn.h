/* ffn.h -- the inner function that dense blocks and experts share. */
#ifndef MOIRA_MODEL_FFN_H
#define MOIRA_MODEL_FFN_H

#include "moira/model.h"

static inline bool mo__gated(int activation)
{
    return activation == MO_ACT_SWIGLU || activation == MO_ACT_GEGLU;
}

static inline mo_tensor *mo__glu(mo_graph *g, mo_tensor *gate, mo_tensor *up, mo_tensor *w, mo_act_kind kind)
{
    return w ? mo_glu_weighted(g, gate, up, w, kind) : mo_glu(g, gate, up, kind);
}

static inline mo_tensor *mo__plain_act(mo_graph *g, mo_tensor *x, mo_tensor *w, mo_act_kind kind)
{
    mo_tensor *y = mo_act(g, x, kind);
    return w ? mo_scale_rows(g, y, w) : y;
}

/* act(gate) * up for gated activations (up given), act(gate) for plain ones; times the rows' weights w unless
 * that is NULL. */
static inline mo_tensor *mo__activate(mo_graph *g, int activation, mo_tensor *gate, mo_tensor *up,
                                      mo_tensor *w)
{
    switch ((mo_activation)activation) {
    case MO_ACT_SWIGLU:
        return mo__glu(g, gate, up, w, MO_ACT_KIND_SILU);
    case MO_ACT_GEGLU:
        return mo__glu(g, gate, up, w, MO_ACT_KIND_GELU);
    case MO_ACT_GELU:
        return mo__plain_act(g, gate, w, MO_ACT_KIND_GELU);
    case MO_ACT_RELU:
        break;
    }
    return mo__plain_act(g, gate, w, MO_ACT_KIND_RELU);
}

#endif
