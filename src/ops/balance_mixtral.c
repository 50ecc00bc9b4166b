/* balance_mixtral.c -- the load-balancing loss of Mixtral in Hugging Face's form (load_balancing_loss_func of
 * transformers' modeling_mixtral.py): the tokens of all layers pooled
 *   loss  = E sum_e f_e P_e      f_e = assignments to e / rows      P_e = mean of p_ne over all layers' rows
 *   dp_ne = E f_e / rows         f is counted, not differentiated
 * p_NE of every layer, ids_NK of every layer, and tokens_N in; rows = tokens * layers. K when balanced. A
 * group is the same tokens of every layer. Groups and sums: balance.h. */
#include "ops/balance.h"

typedef struct {
    int64_t group;
} balance_mixtral_attr;

static mo__share share_of(const mo_node *node)
{
    return (mo__share){((const balance_mixtral_attr *)node->attr)->group, node->in[node->n_in / 2]->dim[1],
                       (double)node->in[0]->dim[1]};
}

static mo_status balance_mixtral_shape(mo_node *node)
{
    MO_TRY(mo__share_check("balance_mixtral", node, ((const balance_mixtral_attr *)node->attr)->group));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static void balance_mixtral_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share share = share_of(node);
    *(double *)node->out[0]->data = mo__share_loss(node, &share);
}

static void balance_mixtral_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    mo__share share = share_of(node);
    mo__share_loss_bwd(node, &share);
}

static size_t balance_mixtral_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    return mo__share_loss_scratch(node, share_of(node).group);
}

const mo_op mo__op_balance_mixtral = {.name = "balance_mixtral",
                                      .shape = balance_mixtral_shape,
                                      .forward = balance_mixtral_forward,
                                      .backward = balance_mixtral_backward,
                                      .needs_in = MO_NEEDS_ALL,
                                      .scratch = balance_mixtral_scratch,
                                      .cost = mo__share_loss_cost};

mo_tensor *mo_balance_mixtral(mo_graph *g, int layers, mo_tensor *const *p_NE, mo_tensor *const *ids_NK,
                              mo_tensor *tokens_N, int64_t group)
{
    if (layers < 1)
        return mo_graph_fail(g,
                             mo_error(MO_E_RANGE, "balance_mixtral: %d layers, must be at least 1", layers));
    size_t count = (size_t)layers;
    mo_tensor **in = mo_calloc(2 * count + 1, sizeof *in);
    if (!in) return mo_graph_fail(g, MO_E_MEMORY);
    memcpy(in, p_NE, count * sizeof *in);
    memcpy(in + count, ids_NK, count * sizeof *in);
    in[2 * count] = tokens_N;
    balance_mixtral_attr attr = {group};
    mo_node *node = mo_graph_node(g, &mo__op_balance_mixtral, 2 * layers + 1, in, &attr, sizeof attr);
    mo_free(in);
    return node ? node->out[0] : NULL;
}
