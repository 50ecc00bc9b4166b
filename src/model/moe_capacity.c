/* moe_capacity.c -- what of a router's selection is dispatched where experts take so many tokens and no more.
 *
 * Decoding never drops: a token's neighbours are not there to compete with. */
#include "model/build.h"

double mo__capacity_factor(const mo__builder *b)
{
    const mo_model_config *c = &b->model->config;
    if (mo__decodes(b)) return 0;
    if (b->options->kind == MO_GRAPH_LOSS && c->eval_capacity_factor > 0) return c->eval_capacity_factor;
    return c->capacity_factor > 0 ? c->capacity_factor : 0;
}

int64_t mo__capacity_group(const mo__builder *b)
{
    bool sequence = b->model->config.capacity_scope == MO_SCOPE_SEQUENCE;
    return b->out->sequence_length * (sequence ? 1 : b->out->batch_size);
}

void mo__capacity_apply(mo__builder *b, mo__routing *r)
{
    const mo_model_config *c = &b->model->config;
    mo_capacity_options options = {.experts = c->num_local_experts,
                                   .factor = mo__capacity_factor(b),
                                   .drop = (mo_drop)c->capacity_drop,
                                   .group = mo__capacity_group(b)};
    r->kept_NK = r->ids_NK;
    if (options.factor == 0 || !(mo__router_of(c)->info.traits & MO_ROUTER_CAPACITY)) return;
    r->kept_NK = mo_capacity(b->g, r->ids_NK, b->out->tokens, r->p_NE, &options);
    r->rows =
        mo_capacity_rows(&options, b->out->batch_size * b->out->sequence_length, c->num_experts_per_tok);
}

double mo_model_config_experts_per_token(const mo_model_config *c)
{
    bool chosen = mo__router_of(c)->info.traits & MO_ROUTER_FUTURE;
    return chosen && c->capacity_factor > 0 ? c->capacity_factor : (double)c->num_experts_per_tok;
}

static mo_status refuse_factor(const char *key, double factor, const mo_router_info *info)
{
    return mo_error(MO_E_CONFIG,
                    "model.%s %g does not go with model.router %s, which sends every token to every expert; "
                    "set it to null",
                    key, factor, info->name);
}

/* What a config file's ranges guarantee, for callers who fill the struct themselves. */
static mo_status check_ranges(const mo_model_config *c)
{
    if (c->capacity_factor < 0 || c->eval_capacity_factor < 0)
        return mo_error(MO_E_CONFIG, "model.%scapacity_factor is %g; must be above 0, or null for no limit",
                        c->capacity_factor < 0 ? "" : "eval_",
                        c->capacity_factor < 0 ? c->capacity_factor : c->eval_capacity_factor);
    if (c->capacity_drop < MO_DROP_POSITION || c->capacity_drop > MO_DROP_PROBABILITY)
        return mo_error(MO_E_CONFIG, "model.capacity_drop %d is none of the ways to drop", c->capacity_drop);
    if (c->capacity_scope < MO_SCOPE_SEQUENCE || c->capacity_scope > MO_SCOPE_BATCH)
        return mo_error(MO_E_CONFIG, "model.capacity_scope %d is none of the scopes", c->capacity_scope);
    return MO_OK;
}

mo_status mo__capacity_check(const mo_model_config *c, const mo_router_info *info)
{
    MO_TRY(check_ranges(c));
    bool fills = info->traits & (MO_ROUTER_CAPACITY | MO_ROUTER_FUTURE);
    if (c->capacity_factor > 0 && !fills) return refuse_factor("capacity_factor", c->capacity_factor, info);
    if (c->eval_capacity_factor > 0 && !fills)
        return refuse_factor("eval_capacity_factor", c->eval_capacity_factor, info);
    bool ranks = (info->traits & MO_ROUTER_SCORES) && (info->traits & MO_ROUTER_CAPACITY);
    if (c->capacity_drop == MO_DROP_PROBABILITY && !ranks)
        return mo_error(MO_E_CONFIG,
                        "model.capacity_drop probability does not go with model.router %s, %s; use position",
                        info->name,
                        info->traits & MO_ROUTER_SCORES ? "whose experts are never too full"
                                                        : "which has no probabilities");
    return MO_OK;
}
