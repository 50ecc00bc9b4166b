/* attention_block.c -- rotary grouped-query self-attention, without the norm before and the sum after it:
 *   q, k, v = x Wq^T, x Wk^T, x Wv^T;  rope(q), rope(k);  out = attention(q, k, v) Wo^T */
#include "model/build.h"

mo_status mo__attention_declare(mo_model *m, int64_t layer)
{
    const mo_model_config *c = &m->config;
    int64_t D = c->hidden_size, q = c->num_attention_heads * c->head_dim,
            kv = c->num_key_value_heads * c->head_dim;
    double std = c->initializer_range;
    MO_TRY(
        mo__declare_layer(m, layer, "self_attn.q_proj.weight", 2, (int64_t[]){q, D}, MO_INIT_NORMAL, std, 1));
    MO_TRY(mo__declare_layer(m, layer, "self_attn.k_proj.weight", 2, (int64_t[]){kv, D}, MO_INIT_NORMAL, std,
                             1));
    MO_TRY(mo__declare_layer(m, layer, "self_attn.v_proj.weight", 2, (int64_t[]){kv, D}, MO_INIT_NORMAL, std,
                             1));
    return mo__declare_layer(m, layer, "self_attn.o_proj.weight", 2, (int64_t[]){D, q}, MO_INIT_NORMAL,
                             mo__residual_std(c), 1);
}

mo_tensor *mo__attention_build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    mo_model_graph *t = b->out;
    mo_tensor *q = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "self_attn.q_proj.weight"));
    mo_tensor *k = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "self_attn.k_proj.weight"));
    mo_tensor *v = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "self_attn.v_proj.weight"));
    q = mo_rope(b->g, q, t->positions, c->head_dim, c->rope_theta);
    k = mo_rope(b->g, k, t->positions, c->head_dim, c->rope_theta);
    mo_attention_options options = {.sequence_length = t->sequence_length,
                                    .head_dim = c->head_dim,
                                    .cache = b->options->kind == MO_GRAPH_DECODE ? &b->options->caches[layer]
                                                                                 : NULL,
                                    .dropout = mo__drop_probability(b, c->attention_dropout),
                                    .dropout_stream = mo__drop_stream(layer, MO__DROP_PROBABILITIES)};
    mo_tensor *o = mo_attention(b->g, q, k, v, t->starts, &options);
    return mo_linear(b->g, o, mo__layer_param(b, layer, "self_attn.o_proj.weight"));
}
