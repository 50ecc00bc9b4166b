/* balance_switch.c -- the load-balancing loss of the Switch Transformer (Fedus et al. 2021, arXiv:2101.03961,
 * eq. 4-6), for K choices
 *   loss  = E/K sum_e f_e P_e      f_e = assignments to e / tokens      P_e = mean_n p_ne
 *   dp_ne = E/K f_e / tokens       f is counted, not differentiated
 * p_NE (the full softmax) and ids_NK in. 1 when balanced: sum_e f_e = K.
 * Groups and sums: balance.h. */
#include "ops/balance.h"

typedef struct {
    int64_t group;
} balance_switch_attr;

static int64_t group_of(const mo_node *node)
{
    return ((const balance_switch_attr *)node->attr)->group;
}

static double scale_of(const mo_node *node)
{
    return (double)node->in[0]->dim[1] / (double)node->in[1]->dim[1];
}

static mo_status balance_switch_shape(mo_node *node)
{
    const mo_tensor *p = node->in[0];
    if (p->dtype != MO_REAL || p->ndim != 2)
        return mo_error(MO_E_SHAPE, "balance_switch: p is %s; expected [N, E]", mo_shape(p).text);
    MO_TRY(mo__ids_check("balance_switch", node->in[1], p->dim[0], p->dim[1]));
    MO_TRY(mo__group_check("balance_switch", p->dim[0], group_of(node)));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static void balance_switch_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    *(double *)node->out[0]->data = mo__share_loss(node, group_of(node), scale_of(node));
}

static void balance_switch_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share_loss_bwd(node, group_of(node), scale_of(node));
}

static size_t balance_switch_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    return mo__share_loss_scratch(node, group_of(node));
}

const mo_op mo__op_balance_switch = {.name = "balance_switch",
                                     .shape = balance_switch_shape,
                                     .forward = balance_switch_forward,
                                     .backward = balance_switch_backward,
                                     .needs_in = MO_NEEDS(1),
                                     .scratch = balance_switch_scratch,
                                     .cost = mo__share_loss_cost};

mo_tensor *mo_balance_switch(mo_graph *g, mo_tensor *p_NE, mo_tensor *ids_NK, int64_t group)
{
    balance_switch_attr attr = {group};
    mo_node *node =
        mo_graph_node(g, &mo__op_balance_switch, 2, (mo_tensor *[]){p_NE, ids_NK}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
