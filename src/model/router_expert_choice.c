/* router_expert_choice.c -- experts choose tokens (Zhou et al. 2022, arXiv:2202.09368, section 3.2, eq. 1):
 * p = softmax(x Wg^T), every expert takes the C = tokens * factor / E tokens of largest p, with weight p. The
 * factor is model.capacity_factor, or else num_experts_per_tok: how many experts a token has on average. */
#include <math.h>

#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    int64_t group = mo__capacity_group(b), E = b->model->config.num_local_experts;
    double factor = mo__capacity_factor(b);
    mo__routing r = {0};
    if (factor == 0) factor = (double)b->model->config.num_experts_per_tok;
    r.z_NE = mo__router_logits(b, layer, x_ND);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    r.ids_NK = mo_expert_choice(b->g, r.p_NE, b->out->tokens, factor, group);
    r.w_NK = r.p_NE;
    r.rows = mo_expert_choice_rows(b->out->batch_size * b->out->sequence_length, E, factor, group);
    return r;
}

static mo_status check_most(const char *key, double factor, int64_t E)
{
    if (!(factor > (double)E)) return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "model.%s %g > model.num_local_experts %lld: with router expert_choice it is how many "
                    "experts a token has on average",
                    key, factor, (long long)E);
}

/* Two names for one number must not differ. */
static mo_status check(const mo_model_config *c)
{
    MO_TRY(check_most("capacity_factor", c->capacity_factor, c->num_local_experts));
    MO_TRY(check_most("eval_capacity_factor", c->eval_capacity_factor, c->num_local_experts));
    if (!(c->capacity_factor > 0) || fabs(c->capacity_factor - (double)c->num_experts_per_tok) < 1)
        return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "model.num_experts_per_tok %lld and model.capacity_factor %g: with router expert_choice "
                    "each says how many experts a token has on average; leave one of them out",
                    (long long)c->num_experts_per_tok, c->capacity_factor);
}

const mo__router mo__router_expert_choice = {
    .info = {.name = "expert_choice",
             .scores = "p = softmax(x Wg)",
             .selection = "each expert takes its C tokens of largest p, C = tokens * capacity_factor / E",
             .weights = "p, not normalised",
             .source = "Zhou et al. 2022, arXiv:2202.09368, section 3.2, eq. 1",
             .about =
                 "Experts choose tokens, so that all have the same load without a loss, and a token has as "
                 "many experts as want it, or none: capacity_factor (2 in the paper), or else "
                 "num_experts_per_tok, on average. Which experts a token gets hangs on the tokens after it "
                 "in its capacity_scope. So its losses are lower than those of a model that writes could be: "
                 "they are not to be compared with other routers', and moira generate refuses it.",
             .traits = MO_ROUTER_SCORES | MO_ROUTER_EVEN | MO_ROUTER_FUTURE,
             .normalises = MO_CHOICE_FALSE},
    .check = check,
    .declare = mo__router_logits_declare,
    .build = build};
