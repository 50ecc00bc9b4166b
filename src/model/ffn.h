/* ffn.h -- the inner function that dense blocks and experts share. */
#ifndef MOIRA_MODEL_FFN_H
#define MOIRA_MODEL_FFN_H

#include "moira/model.h"

static inline bool mo__gated(int activation)
{
    return activation == MO_ACT_SWIGLU || activation == MO_ACT_GEGLU;
}

/* act(gate) * up for gated activations (up given), act(gate) for plain ones. */
static inline mo_tensor *mo__activate(mo_graph *g, int activation, mo_tensor *gate, mo_tensor *up)
{
    switch ((mo_activation)activation) {
    case MO_ACT_SWIGLU:
        return mo_glu(g, gate, up, MO_ACT_KIND_SILU);
    case MO_ACT_GEGLU:
        return mo_glu(g, gate, up, MO_ACT_KIND_GELU);
    case MO_ACT_GELU:
        return mo_act(g, gate, MO_ACT_KIND_GELU);
    case MO_ACT_RELU:
        break;
    }
    return mo_act(g, gate, MO_ACT_KIND_RELU);
}

#endif
