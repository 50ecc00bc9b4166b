/* attention_block.c -- rotary grouped-query self-attention, without the norm before and the sum after it:
 *   q, k, v = x Wq^T, x Wk^T, x Wv^T;  q, k = RMSNorm(q), RMSNorm(k);  q, k, v held within +-clip_qkv;
 *   rope(q), rope(k);  out = attention(q, k, v) Wo^T
 * The norm of queries and keys spans all heads (OLMoE: Muennighoff et al. 2024, arXiv:2409.02060,
 * "QK-Norm") or each by itself (Qwen3: arXiv:2505.09388, section 2). It comes before the clipping, as in
 * Hugging Face's OLMoE. */
#include "model/build.h"

static mo_status declare_norm(mo_model *m, int64_t layer, const char *name, int64_t width)
{
    const mo_model_config *c = &m->config;
    if (c->qk_norm == MO_QK_NORM_NONE) return MO_OK;
    int64_t dim = c->qk_norm == MO_QK_NORM_HEAD ? c->head_dim : width;
    return mo__declare_layer(m, layer, name, 1, &dim, MO_INIT_ONE, 0, 1);
}

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
    MO_TRY(mo__declare_layer(m, layer, "self_attn.o_proj.weight", 2, (int64_t[]){D, q}, MO_INIT_NORMAL,
                             mo__residual_std(c), 1));
    MO_TRY(declare_norm(m, layer, "self_attn.q_norm.weight", q));
    return declare_norm(m, layer, "self_attn.k_norm.weight", kv);
}

/* x Wp^T, normed and clipped where the config says so; norm NULL: never normed. */
static mo_tensor *project(mo__builder *b, int64_t layer, mo_tensor *x_ND, const char *weight,
                          const char *norm)
{
    const mo_model_config *c = &b->model->config;
    mo_tensor *y = mo__adapted_linear(b, layer, weight, x_ND);
    if (norm && c->qk_norm != MO_QK_NORM_NONE)
        y = mo_rmsnorm(b->g, y, mo__layer_param(b, layer, norm), c->rms_norm_eps);
    return c->clip_qkv > 0 ? mo_clamp(b->g, y, c->clip_qkv) : y;
}

mo_tensor *mo__attention_build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    mo_model_graph *t = b->out;
    mo_tensor *q = project(b, layer, x_ND, "self_attn.q_proj.weight", "self_attn.q_norm.weight");
    mo_tensor *k = project(b, layer, x_ND, "self_attn.k_proj.weight", "self_attn.k_norm.weight");
    mo_tensor *v = project(b, layer, x_ND, "self_attn.v_proj.weight", NULL);
    q = mo_rope(b->g, q, t->positions, c->head_dim, c->rope_theta);
    k = mo_rope(b->g, k, t->positions, c->head_dim, c->rope_theta);
    mo_attention_options options = {.sequence_length = t->sequence_length,
                                    .head_dim = c->head_dim,
                                    .sliding_window = c->sliding_window,
                                    .cache =
                                        mo__decodes(b) ? b->options->caches + layer * t->batch_size : NULL,
                                    .dropout = mo__drop_probability(b, c->attention_dropout),
                                    .dropout_stream = mo__drop_stream(layer, MO__DROP_PROBABILITIES)};
    mo_tensor *o = mo_attention(b->g, q, k, v, t->starts, &options);
    if (mo__ends_at_cache(b, layer)) return o;
    return mo__adapted_linear(b, layer, "self_attn.o_proj.weight", o);
}
