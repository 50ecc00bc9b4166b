/* bench_skew.c -- weights with which one expert takes a given share of the choices.
 *
 * Column 0 of the embedding is set to +MARK for the tokens that the first expert is for and to -MARK for all
 * others. Against the other columns, whose deviation is initializer_range, it stands out; the residual stream
 * carries it through all layers, and the norm before a router brings it to some 15 times what the others
 * are. The first expert's logit is that column; the other experts do not read it, so they share what is left
 * as they do with drawn weights. A token chooses an expert once, so the first expert's share of the k choices
 * is 1/k of its share of the tokens. */
#include "train/bench_case.h"

static const double MARK = 50;        /* in units of initializer_range */
static const double TOLERANCE = 0.05; /* of all choices: tokens are drawn, and the vocabulary may be small */
static const char gate[] = ".block_sparse_moe.gate.weight";

mo_status mo__skew_check(const mo_model_config *config, double skew)
{
    mo_model_config c = *config;
    mo_model_config_resolve(&c);
    if (c.num_local_experts == 0)
        return mo_error(MO_E_RANGE, "skew: the model is dense; it has no experts (model.num_local_experts)");
    double most = 1 / (double)c.num_experts_per_tok;
    if (skew > 0 && skew <= most) return MO_OK;
    return mo_error(MO_E_RANGE,
                    "skew: %g; expected a share above 0 and up to %g: with model.num_experts_per_tok %lld an "
                    "expert has at most one of a token's %lld choices",
                    skew, most, (long long)c.num_experts_per_tok, (long long)c.num_experts_per_tok);
}

static void mark_tokens(mo_model *m, const mo_param *embedding, double tokens)
{
    int64_t V = embedding->dim[0], D = embedding->dim[1], chosen = (int64_t)(tokens * (double)V + 0.5);
    mo_real mark = (mo_real)(MARK * m->config.initializer_range);
    for (int64_t v = 0; v < V; v++) m->value[embedding->offset + v * D] = v < chosen ? mark : -mark;
}

static void read_mark(mo_model *m, const mo_param *router)
{
    int64_t E = router->dim[0], D = router->dim[1];
    mo_real *w = m->value + router->offset;
    for (int64_t e = 0; e < E; e++) w[e * D] = 0;
    for (int64_t d = 0; d < D; d++) w[d] = d == 0;
}

mo_status mo__skew_weights(mo_model *m, double skew)
{
    MO_TRY(mo__skew_check(&m->config, skew));
    const mo_param *embedding = mo_model_find(m, "model.embed_tokens.weight");
    MO_ASSERT(embedding);
    mark_tokens(m, embedding, skew * (double)m->config.num_experts_per_tok);
    for (int i = 0; i < m->n_params; i++) {
        size_t length = strlen(m->params[i].name), tail = sizeof gate - 1;
        if (length > tail && strcmp(m->params[i].name + length - tail, gate) == 0)
            read_mark(m, &m->params[i]);
    }
    return MO_OK;
}

mo_status mo__skew_held(const mo__routing_sum *routing, const mo_model *m, double skew)
{
    for (int l = 0; l < routing->n_layers; l++) {
        double load = routing->reports[l].load[0];
        if (!(fabs(load - skew) <= TOLERANCE))
            return mo_error(
                MO_E_UNSUPPORTED,
                "skew: with model.router %s the first expert of layer %d takes %.3f of the choices, "
                "not %g; routers that score every expert by itself follow, as topk does",
                mo_router_names[m->config.router], routing->reports[l].layer, load, skew);
    }
    return MO_OK;
}
