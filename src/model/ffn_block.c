/* ffn_block.c -- the dense feed-forward block: down(act(gate(x)) * up(x)), or down(act(up(x))) without a
 * gate. A layer without experts is one ("mlp"), and so are the shared experts beside routed ones. */
#include "model/build.h"
#include "model/ffn.h"

typedef struct matrix_name {
    char text[64];
} matrix_name;

/* "mlp.gate_proj.weight" */
static matrix_name name_of(const char *block, const char *matrix)
{
    matrix_name name;
    snprintf(name.text, sizeof name.text, "%s.%s_proj.weight", block, matrix);
    return name;
}

mo_status mo__ffn_declare(mo_model *m, int64_t layer, const char *block, int64_t width)
{
    const mo_model_config *c = &m->config;
    int64_t in[] = {width, c->hidden_size}, out[] = {c->hidden_size, width};
    double std = c->initializer_range;
    if (mo__gated(c->hidden_act))
        MO_TRY(mo__declare_layer(m, layer, name_of(block, "gate").text, 2, in, MO_INIT_NORMAL, std, 1));
    MO_TRY(mo__declare_layer(m, layer, name_of(block, "up").text, 2, in, MO_INIT_NORMAL, std, 1));
    return mo__declare_layer(m, layer, name_of(block, "down").text, 2, out, MO_INIT_NORMAL,
                             mo__residual_std(c), 1);
}

static mo_tensor *project(mo__builder *b, int64_t layer, const char *block, const char *matrix, mo_tensor *x)
{
    return mo__adapted_linear(b, layer, name_of(block, matrix).text, x);
}

mo_tensor *mo__ffn_build(mo__builder *b, int64_t layer, const char *block, mo_tensor *x_ND)
{
    int act = b->model->config.hidden_act;
    mo_tensor *gate = mo__gated(act) ? project(b, layer, block, "gate", x_ND) : NULL;
    mo_tensor *up = project(b, layer, block, "up", x_ND);
    mo_tensor *h = mo__activate(b->g, act, gate ? gate : up, up, NULL);
    return project(b, layer, block, "down", h);
}
