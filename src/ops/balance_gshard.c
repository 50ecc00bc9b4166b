/* balance_gshard.c -- the auxiliary loss of GShard (Lepikhin et al. 2020, arXiv:2006.16668, algorithm 1)
 *   loss  = E sum_e c_e/S m_e      c_e = tokens whose first choice is e      m_e = mean_n p_ne
 *   dp_ne = E c_e/S / S            c is counted, not differentiated
 * p_NE (softmax), ids_NK and tokens_N in; S: tokens of the group. The paper's is 1/E sum_e c_e/S m_e, of
 * which this is E^2 times: 1 when balanced. Its c_e counts a choice that finds its expert full as well (line
 * 11 stands behind the test of the capacity): ids are those of the selection. Groups and sums: balance.h. */
#include "ops/balance.h"

typedef struct {
    int64_t group;
} balance_gshard_attr;

static mo__share share_of(const mo_node *node)
{
    return (mo__share){((const balance_gshard_attr *)node->attr)->group, 1, (double)node->in[0]->dim[1]};
}

static mo_status balance_gshard_shape(mo_node *node)
{
    MO_TRY(mo__share_check("balance_gshard", node, ((const balance_gshard_attr *)node->attr)->group));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static void balance_gshard_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share share = share_of(node);
    *(double *)node->out[0]->data = mo__share_loss(node, &share);
}

static void balance_gshard_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share share = share_of(node);
    mo__share_loss_bwd(node, &share);
}

static size_t balance_gshard_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    return mo__share_loss_scratch(node, share_of(node).group);
}

const mo_op mo__op_balance_gshard = {.name = "balance_gshard",
                                     .shape = balance_gshard_shape,
                                     .forward = balance_gshard_forward,
                                     .backward = balance_gshard_backward,
                                     .needs_in = MO_NEEDS(1) | MO_NEEDS(2),
                                     .scratch = balance_gshard_scratch,
                                     .cost = mo__share_loss_cost};

mo_tensor *mo_balance_gshard(mo_graph *g, mo_tensor *p_NE, mo_tensor *ids_NK, mo_tensor *tokens_N,
                             int64_t group)
{
    balance_gshard_attr attr = {group};
    mo_tensor *in[] = {p_NE, ids_NK, tokens_N};
    mo_node *node = mo_graph_node(g, &mo__op_balance_gshard, 3, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
