/* test_capacity_layers.c -- whole layers whose experts are full, or choose: values and every gradient. */
#include "capacity_checks.h"

enum { N = 24, E = 5, D = 6, H = 4, LAYER = 5 };

static mo_tensor *experts_of(mo_graph *g, mo_tensor *const *in, mo_tensor *w, mo_tensor *ids, int64_t rows)
{
    mo_dispatch_map map = mo_dispatch(g, ids, E, rows);
    mo_tensor *xr = mo_gather(g, in[0], &map);
    mo_tensor *h = mo_glu_weighted(g, mo_experts(g, xr, in[2], &map), mo_experts(g, xr, in[3], &map),
                                   mo_row_weights(g, w, &map), MO_ACT_KIND_SILU);
    return mo_combine(g, mo_experts(g, h, in[4], &map), &map);
}

static void build_gshard(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const mo_capacity_options *o = arg;
    mo_tensor *p = mo_softmax(g, mo_linear(g, in[0], in[1])), *ids = mo_topk(g, p, in[5], 2);
    mo_tensor *w = mo_gate(g, p, ids, MO_GATE_NORMALISE);
    out[1] = mo_capacity(g, mo_keep_second(g, ids, w, LAYER), in[5], NULL, o);
    out[0] = experts_of(g, in, w, out[1], mo_capacity_rows(o, in[0]->dim[0], 2));
}

static void build_switch(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const mo_capacity_options *o = arg;
    mo_tensor *p = mo_softmax(g, mo_linear(g, in[0], in[1])), *ids = mo_topk(g, p, in[5], 1);
    mo_tensor *w = mo_gate(g, p, ids, MO_GATE_SELECT);
    out[1] = mo_capacity(g, ids, in[5], NULL, o);
    out[0] = experts_of(g, in, w, out[1], mo_capacity_rows(o, in[0]->dim[0], 1));
}

static void build_choice(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg)
{
    const mo_capacity_options *o = arg;
    mo_tensor *p = mo_softmax(g, mo_linear(g, in[0], in[1]));
    out[1] = mo_expert_choice(g, p, in[5], o->factor, o->group);
    out[0] = experts_of(g, in, p, out[1], mo_expert_choice_rows(in[0]->dim[0], E, o->factor, o->group));
}

typedef void build_layer(mo_graph *g, mo_tensor *const *in, mo_tensor **out, const void *arg);
static const mo_capacity_options gshard = {E, 1.1, MO_DROP_POSITION, 12},
                                 switch1 = {E, 0.7, MO_DROP_POSITION, 24},
                                 choice = {E, 1.5, MO_DROP_POSITION, 12};

static op_case layer(const char *name, const char *op, build_layer *build, const mo_capacity_options *o,
                     bool training)
{
    static const int32_t tokens[N] = {3,  1,  -1, 7,  2, 9, 4, 4, -1, -1, -1, -1,
                                      -1, -1, -1, -1, 5, 6, 7, 8, 9,  1,  2,  -1};
    return (op_case){op,
                     name,
                     build,
                     o,
                     training,
                     .in = {{"x", .dim = {N, D}, .grad = true},
                            {"wg", MO_ROLE_PARAM, .dim = {E, D}, .grad = true, .low = -0.5, .high = 0.5},
                            {"w1", MO_ROLE_PARAM, .dim = {E, H, D}, .grad = true},
                            {"w3", MO_ROLE_PARAM, .dim = {E, H, D}, .grad = true},
                            {"w2", MO_ROLE_PARAM, .dim = {E, D, H}, .grad = true},
                            {"tokens", .dtype = MO_I32, .dim = {N}, .ints = tokens}}};
}

/* float: four products deep, sums of 6 and 4. */
static void check(const op_case *c, const char *group)
{
    gradcheck(c);
    contract(c);
    check_dirty_memory(c);
    check_capacity_golden(group, c, 5e-6);
}

static void test_gshard(void **state)
{
    (void)state;
    op_case training = layer("GShard layer", "keep_second", build_gshard, &gshard, true),
            evaluation = layer("GShard layer, evaluation", "capacity", build_gshard, &gshard, false);
    check(&training, "gshard_layer");
    check(&evaluation, "gshard_layer_evaluation");
}

static void test_switch(void **state)
{
    (void)state;
    op_case c = layer("Switch layer", "capacity", build_switch, &switch1, true);
    check(&c, "switch_layer");
}

static void test_expert_choice(void **state)
{
    (void)state;
    op_case c = layer("expert choice layer", "expert_choice", build_choice, &choice, true);
    check(&c, "expert_choice_layer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gshard), cmocka_unit_test(test_switch),
                                       cmocka_unit_test(test_expert_choice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
