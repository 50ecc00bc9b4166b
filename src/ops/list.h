/* list.h -- the name of every op, once. The gradient-check runner fails for an op that it has no case for. */
#ifndef MOIRA_OPS_LIST_H
#define MOIRA_OPS_LIST_H

#include "moira/autograd.h"

#define MO_OP_LIST(X)     \
    X(embedding)          \
    X(linear)             \
    X(rmsnorm)            \
    X(layernorm)          \
    X(clamp)              \
    X(add)                \
    X(dropout)            \
    X(dropout_rows)       \
    X(scale)              \
    X(scale_rows)         \
    X(rope)               \
    X(act)                \
    X(glu)                \
    X(softmax)            \
    X(attention)          \
    X(cross_entropy)      \
    X(noisy_logits)       \
    X(row_shares)         \
    X(jitter)             \
    X(two_level_logits)   \
    X(topk)               \
    X(topk_limited)       \
    X(topk_within)        \
    X(hash_choice)        \
    X(random_choice)      \
    X(expert_choice)      \
    X(keep_second)        \
    X(capacity)           \
    X(gate)               \
    X(gate_even)          \
    X(gate_product)       \
    X(dispatch)           \
    X(gather)             \
    X(row_weights)        \
    X(experts)            \
    X(combine)            \
    X(router_stats)       \
    X(balance_switch)     \
    X(balance_mixtral)    \
    X(balance_gshard)     \
    X(balance_importance) \
    X(balance_load)       \
    X(balance_load_two)   \
    X(z_loss)

#define X(name) extern const mo_op mo__op_##name;
MO_OP_LIST(X)
#undef X

#endif
