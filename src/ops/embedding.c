/* embedding.c -- rows of a table by token id
 *   y_n = table_[tokens_n]        dtable_v = sum over n with tokens_n = v of dy_n
 * tokens_N (int32; negative is padding: a row of zeros, no gradient) and table_VD in, y_ND out.
 * Ids are checked against V where they are loaded. Backward reads tokens. A frozen table may be stored.
 * Threads: forward over tokens, backward over blocks of columns, each adding its tokens in order. */
#include "ops/kernels.h"

enum { COLUMNS = 32 };

static void table_row(mo_real *y_D, const mo_tensor *table, int64_t v, int64_t D)
{
    if (table->stored)
        mo_stored_expand(table->stored, 0, v * D, D, y_D);
    else
        memcpy(y_D, (const mo_real *)table->data + v * D, (size_t)D * sizeof *y_D);
}

static void embedding_fwd(mo_real *y_ND, const int32_t *tokens_N, const mo_tensor *table, int64_t N,
                          int64_t V, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        MO_ASSERT(tokens_N[n] < V);
        if (tokens_N[n] >= 0)
            table_row(y_ND + n * D, table, tokens_N[n], D);
        else
            memset(y_ND + n * D, 0, (size_t)D * sizeof *y_ND);
    }
}

static void embedding_bwd(mo_real *dtable_VD, const mo_real *dy_ND, const int32_t *tokens_N, bool accumulate,
                          int64_t N, int64_t V, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < D; first += COLUMNS) {
        int64_t width = mo_min(COLUMNS, D - first);
        for (int64_t v = 0; !accumulate && v < V; v++)
            memset(dtable_VD + v * D + first, 0, (size_t)width * sizeof *dtable_VD);
        for (int64_t n = 0; n < N; n++) {
            if (tokens_N[n] < 0) continue;
            mo_real *dtable = dtable_VD + tokens_N[n] * D + first;
            const mo_real *dy = dy_ND + n * D + first;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) dtable[i] += dy[i];
        }
    }
}

static mo_status embedding_shape(mo_node *node)
{
    const mo_tensor *tokens = node->in[0], *table = node->in[1];
    if (tokens->dtype != MO_I32 || tokens->ndim != 1 || table->dtype != MO_REAL || table->ndim != 2)
        return mo_error(MO_E_SHAPE, "embedding: tokens %s and table %s; expected int32 [N] and [V, D]",
                        mo_shape(tokens).text, mo_shape(table).text);
    return mo_node_output(node, "", MO_REAL, 2, (int64_t[]){tokens->dim[0], table->dim[1]});
}

static void embedding_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *tokens = node->in[0], *table = node->in[1];
    embedding_fwd(node->out[0]->data, tokens->data, table, tokens->dim[0], table->dim[0], table->dim[1]);
}

static void embedding_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *tokens = node->in[0], *table = node->in[1];
    embedding_bwd(table->grad, node->out[0]->grad, tokens->data, node->accumulate[1], tokens->dim[0],
                  table->dim[0], table->dim[1]);
}

/* Rows here and there: each comes when it is touched. */
static bool embedding_reads(const mo_node *node, int64_t part, bool known)
{
    (void)node, (void)part, (void)known;
    return false;
}

static mo_cost embedding_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->out[0]);
    return phase == MO_FORWARD ? (mo_cost){0, 2 * n * sizeof(mo_real)}
                               : (mo_cost){n, 3 * n * sizeof(mo_real)};
}

const mo_op mo__op_embedding = {.name = "embedding",
                                .shape = embedding_shape,
                                .forward = embedding_forward,
                                .backward = embedding_backward,
                                .needs_in = MO_NEEDS(0),
                                .takes_stored = MO_NEEDS(1),
                                .reads = embedding_reads,
                                .cost = embedding_cost};

mo_tensor *mo_embedding(mo_graph *g, mo_tensor *tokens_N, mo_tensor *table_VD)
{
    mo_node *node = mo_graph_node(g, &mo__op_embedding, 2, (mo_tensor *[]){tokens_N, table_VD}, NULL, 0);
    return node ? node->out[0] : NULL;
}
