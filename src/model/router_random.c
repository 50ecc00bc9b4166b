/* router_random.c -- experts at random, each with the same weight: the control that any router must beat. */
#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    (void)x_ND;
    const mo_model_config *c = &b->model->config;
    mo__routing r = {0};
    r.ids_NK = mo_random_choice(b->g, b->out->tokens, b->out->positions, c->num_local_experts,
                                c->num_experts_per_tok, (int)layer);
    r.w_NK = mo_gate_even(b->g, r.ids_NK);
    return r;
}

const mo__router mo__router_random = {
    .info = {.name = "random",
             .scores = "none",
             .selection = "K experts drawn by (seed, step, layer, token within the step) in training, by "
                          "(layer, position, token id) else",
             .weights = "1 / K each",
             .source = "a control, as in Roller et al. 2021, arXiv:2106.04426, and Zuo et al. 2022, "
                       "arXiv:2110.04260",
             .about = "A control: every token visits K experts at random, so that no expert can learn what "
                      "others do not, yet all see as many tokens. No parameters, no gradient, no balancing "
                      "loss. In evaluation and generation the draw hangs on position and token alone and is "
                      "the same in both. Whatever a router does better than this is what its choices are "
                      "worth.",
             .traits = MO_ROUTER_CAPACITY,
             .normalises = MO_CHOICE_TRUE},
    .build = build};
