/* balance_switch.c -- the load-balancing loss of the Switch Transformer (Fedus et al. 2021, arXiv:2101.03961,
 * eq. 4-6), for K choices
 *   loss  = E/K sum_e f_e P_e      f_e = assignments to e / tokens      P_e = mean_n p_ne
 *   dp_ne = E/K f_e / tokens       f is counted, not differentiated
 * p_NE (over all experts, each row a sum of 1), ids_NK and tokens_N in. 1 when balanced: sum_e f_e = K.
 * Over each sequence it is DeepSeek's expert-level loss (DeepSeek-V2, arXiv:2405.04434, eq. 23-25) and, with
 * p = s / sum s and the choices of s without the bias, DeepSeek-V3's (arXiv:2412.19437, eq. 17-20).
 * Groups and sums: balance.h. */
#include "ops/balance.h"

typedef struct {
    int64_t group;
} balance_switch_attr;

static mo__share share_of(const mo_node *node)
{
    int64_t E = node->in[0]->dim[1], K = node->in[1]->dim[1];
    return (mo__share){((const balance_switch_attr *)node->attr)->group, K, (double)E / (double)K};
}

static mo_status balance_switch_shape(mo_node *node)
{
    MO_TRY(mo__share_check("balance_switch", node, ((const balance_switch_attr *)node->attr)->group));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static void balance_switch_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share share = share_of(node);
    *(double *)node->out[0]->data = mo__share_loss(node, &share);
}

static void balance_switch_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share share = share_of(node);
    mo__share_loss_bwd(node, &share);
}

static size_t balance_switch_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    return mo__share_loss_scratch(node, share_of(node).group);
}

const mo_op mo__op_balance_switch = {.name = "balance_switch",
                                     .shape = balance_switch_shape,
                                     .forward = balance_switch_forward,
                                     .backward = balance_switch_backward,
                                     .needs_in = MO_NEEDS(1) | MO_NEEDS(2),
                                     .scratch = balance_switch_scratch,
                                     .cost = mo__share_loss_cost};

mo_tensor *mo_balance_switch(mo_graph *g, mo_tensor *p_NE, mo_tensor *ids_NK, mo_tensor *tokens_N,
                             int64_t group)
{
    balance_switch_attr attr = {group};
    mo_tensor *in[] = {p_NE, ids_NK, tokens_N};
    mo_node *node = mo_graph_node(g, &mo__op_balance_switch, 3, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
