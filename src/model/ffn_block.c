/* ffn_block.c -- the dense feed-forward block: down(act(gate(x)) * up(x)), or down(act(up(x))) without a
 * gate. */
#include "model/build.h"
#include "model/ffn.h"

mo_status mo__ffn_declare(mo_model *m, int64_t layer)
{
    const mo_model_config *c = &m->config;
    int64_t in[] = {c->intermediate_size, c->hidden_size}, out[] = {c->hidden_size, c->intermediate_size};
    double std = c->initializer_range;
    if (mo__gated(c->hidden_act))
        MO_TRY(mo__declare_layer(m, layer, "mlp.gate_proj.weight", 2, in, MO_INIT_NORMAL, std, 1));
    MO_TRY(mo__declare_layer(m, layer, "mlp.up_proj.weight", 2, in, MO_INIT_NORMAL, std, 1));
    return mo__declare_layer(m, layer, "mlp.down_proj.weight", 2, out, MO_INIT_NORMAL, mo__residual_std(c),
                             1);
}

mo_tensor *mo__ffn_build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    mo_tensor *gate = NULL;
    if (mo__gated(c->hidden_act))
        gate = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "mlp.gate_proj.weight"));
    mo_tensor *up = mo_linear(b->g, x_ND, mo__layer_param(b, layer, "mlp.up_proj.weight"));
    mo_tensor *h = mo__activate(b->g, c->hidden_act, gate ? gate : up, up);
    return mo_linear(b->g, h, mo__layer_param(b, layer, "mlp.down_proj.weight"));
}
