/* collapse_report.c -- a router that has collapsed, in words: what is the matter, and which settings may
 * help. Published values are proposed where a setting is off, three times as much where it is on. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "train/trainer.h"

enum { LISTED = 6 }; /* experts by number */

typedef struct sentence {
    char text[2048];
    size_t length;
} sentence;

static void say(sentence *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(sentence *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(s->text + s->length, sizeof s->text - s->length, format, arguments);
    va_end(arguments);
    s->length += (size_t)length;
    if (s->length >= sizeof s->text) s->length = sizeof s->text - 1;
}

/* ---- what is the matter ---- */

/* Whether expert a stands before b: by load, then by number. */
static bool before(const mo_layer_report *r, int64_t a, int64_t b)
{
    double of_a = r->load[a], of_b = r->load[b];
    return of_a < of_b || (of_a == of_b && a < b);
}

/* The first expert behind `last` (-1: of all), or -1. */
static int64_t next_expert(const mo_layer_report *r, int64_t last)
{
    int64_t next = -1;
    for (int64_t e = 0; e < r->experts; e++) {
        if (last >= 0 && !before(r, last, e)) continue;
        if (next < 0 || before(r, e, next)) next = e;
    }
    return next;
}

static void say_dead(sentence *s, const mo_layer_report *r, int64_t window)
{
    say(s, "%lld of its %lld experts %s dead: of the choices of the last %lld steps ", (long long)r->dead,
        (long long)r->experts, r->dead == 1 ? "is" : "are", (long long)window);
    int64_t shown = r->dead > LISTED ? LISTED : r->dead;
    for (int64_t i = 0, e = -1; i < shown; i++) {
        e = next_expert(r, e);
        say(s, "%sexpert %lld got %.3g%%", i ? ", " : "", (long long)e, 100 * r->load[e]);
    }
    if (r->dead > shown) say(s, ", %lld more hardly better", (long long)(r->dead - shown));
    say(s, ", where a fair share is %.3g%% (MaxVio %.2f", 100 / (double)r->experts, r->max_vio);
    if (!isnan(r->entropy)) say(s, ", entropy %.3g of %.3g nats", r->entropy, log((double)r->experts));
    say(s, ")");
}

static void say_sharp(sentence *s, const mo_layer_report *r, int64_t window)
{
    double most = log((double)r->experts);
    say(s,
        "its probabilities leave no choice: over the last %lld steps their entropy was %.2g of %.2f nats "
        "and in no step %.2g, the largest was %.4f on average (MaxVio %.2f)",
        (long long)window, r->entropy, most, MO__SHARP * most, r->top1, r->max_vio);
}

/* ---- what may help ---- */

static void try_value(sentence *s, const char *key, double published, double now)
{
    say(s, "%s%s=%g (now %g)", s->length ? ", " : "", key, now > 0 ? 3 * now : published, now);
}

/* Papers add the losses of layers up and the trainer averages them: published coefficients are times the
 * layers, but for mixtral's, which pools them. */
static void try_loss(sentence *s, const mo_run_config *c, int kind, double published)
{
    char key[64];
    if (kind != MO_BALANCE_MIXTRAL) published *= (double)mo_model_config_moe_layers(&c->model);
    snprintf(key, sizeof key, "balance.%s", mo_balance_names[kind]);
    if (!mo_balance_objection(kind, c->model.router))
        try_value(s, key, published, mo_balance_coefficient(&c->balance, kind));
}

/* Where no loss is on: those of the papers that the router is from. */
static void try_own_losses(sentence *s, const mo_run_config *c)
{
    unsigned traits = mo_router_describe(c->model.router)->traits;
    if (traits & MO_ROUTER_BIAS) {
        try_loss(s, c, MO_BALANCE_SEQUENCE, 1e-4);
    } else if (traits & MO_ROUTER_NOISE) {
        try_loss(s, c, MO_BALANCE_IMPORTANCE, 0.1);
        try_loss(s, c, MO_BALANCE_LOAD, 0.1);
    } else {
        try_loss(s, c, c->model.router == MO_ROUTER_GSHARD ? MO_BALANCE_GSHARD : MO_BALANCE_SWITCH, 0.01);
        try_loss(s, c, MO_BALANCE_MIXTRAL, 0.02);
    }
}

static void try_balance(sentence *s, const mo_run_config *c)
{
    bool any = false;
    if (mo_router_describe(c->model.router)->traits & MO_ROUTER_BIAS)
        try_value(s, "balance.bias_update_rate", 1e-3, c->balance.bias_update_rate);
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++) {
        if (kind == MO_BALANCE_Z_LOSS || !(mo_balance_coefficient(&c->balance, kind) > 0)) continue;
        try_loss(s, c, kind, 0);
        any = true;
    }
    if (!any) try_own_losses(s, c);
}

/* Of the layer's router, as optimizer.groups has it. */
static double rate_scale(const mo_model *m, int layer)
{
    char glob[96];
    snprintf(glob, sizeof glob, "model.layers.%d.block_sparse_moe.gate*", layer);
    for (int i = 0; i < m->n_params; i++)
        if (!m->params[i].buffer && mo_glob_match(glob, m->params[i].name)) return m->segments[i].rate_scale;
    return (double)NAN;
}

static void try_router(sentence *s, const mo_run_config *c, const mo_model *m, int layer)
{
    try_loss(s, c, MO_BALANCE_Z_LOSS, 1e-3);
    if (mo_router_describe(c->model.router)->traits & MO_ROUTER_NOISE)
        try_value(s, "model.noise_floor", 0.01, c->model.noise_floor);
    else if (3 * c->model.router_jitter_noise < 1) /* what it may be */
        try_value(s, "model.router_jitter_noise", 0.01, c->model.router_jitter_noise);
    double scale = rate_scale(m, layer);
    say(s, ", optimizer.groups {match: router, learning_rate_scale: %g} (now %g)", scale > 0 ? scale / 10 : 1,
        scale);
}

static void say_advice(sentence *s, const mo_run_config *c, const mo_model *m, int layer,
                       mo__collapse_kind kind)
{
    const mo_router_info *router = mo_router_describe(c->model.router);
    if (!(router->traits & MO_ROUTER_SCORES)) {
        say(s, "another model.router (now %s, which learns nothing), model.num_local_experts below %lld",
            router->name, (long long)c->model.num_local_experts);
        return;
    }
    if (kind == MO__COLLAPSE_LOAD) try_balance(s, c);
    try_router(s, c, m, layer);
    bool unlimited = !(c->model.capacity_factor > 0);
    if (kind == MO__COLLAPSE_LOAD && unlimited && router->traits & MO_ROUTER_CAPACITY)
        say(s, ", model.capacity_factor=1.25 (now null)");
}

/* ---- the warning ---- */

static mo_status tell(mo__trainer *t, int64_t step, const mo_layer_report *r, mo__collapse_kind kind)
{
    bool of_load = kind == MO__COLLAPSE_LOAD;
    sentence found = {.length = 0}, advice = {.length = 0};
    if (of_load)
        say_dead(&found, r, t->collapse.window);
    else
        say_sharp(&found, r, t->collapse.window);
    say_advice(&advice, &t->config, t->model, r->layer, kind);
    char *text = mo_strprintf("step %lld: the routing of layer %d collapses: %s. To try in a new run: %s",
                              (long long)step, r->layer, found.text, advice.text),
         *tag = mo_strprintf("routing/layer_%d/%s", r->layer, of_load ? "dead_experts" : "no_entropy");
    mo_status status = text && tag ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) {
        mo_log(MO_LOG_WARNING, "%s", text);
        status = mo__events_text(&t->events, step, tag, text, strlen(text));
    }
    mo_free(text);
    mo_free(tag);
    return status;
}

mo_status mo__collapse_tell(mo__trainer *t, int64_t step)
{
    for (int l = 0; l < t->collapse.n_layers; l++)
        for (mo__collapse_kind kind = 0; kind < MO__COLLAPSES; kind++)
            if (mo__collapse_found(&t->collapse, l, kind))
                MO_TRY(tell(t, step, &t->collapse.layers[l].mean, kind));
    return MO_OK;
}
