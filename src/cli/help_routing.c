/* help_routing.c -- moira help routers and moira help losses, from mo_router_info and mo_balance_info alone:
 * a new router or loss needs nothing here. */
#include "help_routing.h"

#include <string.h>

#include "terminal.h"

enum { LABEL = 13 }; /* columns in front of a formula */

const char mo__router_letters[] =
    "A router sends each token to K of the E experts: K is model.num_experts_per_tok, E is "
    "model.num_local_experts. Below, x is the token's vector in front of the experts (a row), Wg is the "
    "router's matrix, and _sel marks the experts that were selected. What an expert gives is multiplied by "
    "its weight. With model.capacity_factor a full expert drops choices after the weights are made.";

const char mo__loss_letters[] =
    "A balancing loss is added to the cross-entropy with its coefficient, balance.NAME; several may be on. "
    "All "
    "are on one scale: means over the layers with experts and over tokens, so that depth and batch change "
    "nothing. A paper that sums over layers has a coefficient that is multiplied by their number here. "
    "Below, f_e is how often expert e was chosen, in shares of the tokens, P_e the mean of its probability, "
    "CV the standard deviation over the mean. f is counted and has no gradient.";

/* ---- lists of names ---- */

static void append(mo__names *out, const char *names)
{
    size_t used = strlen(out->text);
    snprintf(out->text + used, sizeof out->text - used, "%s%s", used ? ", " : "", names);
}

mo__names mo__router_settings(int router)
{
    static const struct {
        unsigned trait;
        const char *names;
    } of_traits[] = {
        {MO_ROUTER_GROUPS, "n_group, topk_group"},
        {MO_ROUTER_NOISE, "noise_floor"},
        {MO_ROUTER_BIAS, "routed_scaling_factor, balance.bias_update_rate"},
        {MO_ROUTER_SCORES, "router_jitter_noise, jitter_experts"},
        {MO_ROUTER_CAPACITY, "capacity_factor, eval_capacity_factor, capacity_drop, capacity_scope"},
        {MO_ROUTER_FUTURE, "capacity_factor, eval_capacity_factor, capacity_scope"}};
    const mo_router_info *info = mo_router_describe(router);
    mo__names out = {""};
    if (info->experts == 0) append(&out, "num_experts_per_tok");
    if (info->normalises == MO_CHOICE_DEFAULT) append(&out, "norm_topk_prob");
    for (size_t i = 0; i < sizeof of_traits / sizeof *of_traits; i++)
        if (info->traits & of_traits[i].trait) append(&out, of_traits[i].names);
    return out;
}

mo__names mo__router_losses(int router)
{
    mo__names out = {""};
    for (int kind = 0; kind < MO_BALANCE_LOSSES; kind++)
        if (!mo_balance_objection(kind, router)) append(&out, mo_balance_names[kind]);
    return out;
}

mo__names mo__loss_routers(int kind)
{
    mo__names out = {""};
    for (int router = 0; router < MO_ROUTERS; router++)
        if (!mo_balance_objection(kind, router)) append(&out, mo_router_names[router]);
    return out;
}

mo__names mo__loss_scope(int kind)
{
    const mo_balance_info *info = mo_balance_describe(kind);
    mo__names out = {""};
    if (info->over)
        append(&out, info->over);
    else
        snprintf(out.text, sizeof out.text,
                 "balance.%s_scope, or balance.scope: each sequence, microbatch or batch",
                 mo_balance_names[kind]);
    return out;
}

/* ---- printing ---- */

static void print_part(const char *label, const char *text)
{
    if (!*text) return;
    printf("  %-*s", LABEL - 2, label);
    mo__paragraph(text, LABEL, LABEL);
}

static void print_about(const char *text)
{
    printf("\n  ");
    mo__paragraph(text, 2, 2);
}

static void print_router(int router)
{
    const mo_router_info *info = mo_router_describe(router);
    printf("%s\n", info->name);
    print_part("scores", info->scores);
    print_part("selection", info->selection);
    print_part("weights", info->weights);
    print_part("settings", mo__router_settings(router).text);
    print_part("losses", mo__router_losses(router).text);
    print_part("source", info->source);
    print_about(info->about);
}

static void print_loss(int kind)
{
    const mo_balance_info *info = mo_balance_describe(kind);
    printf("%s\n", mo_balance_names[kind]);
    print_part("loss", info->formula);
    print_part("balanced", info->balanced);
    print_part("over", mo__loss_scope(kind).text);
    print_part("routers", mo__loss_routers(kind).text);
    print_part("source", info->source);
    print_about(info->about);
}

/* The one of that name, or all with `letters` above. */
static mo_status print_named(const char *topic, const char *name, const char *const *names, int count,
                             void (*print)(int), const char *letters)
{
    if (!name) mo__paragraph(letters, 0, 0);
    for (int i = 0; i < count; i++) {
        if (name && strcmp(name, names[i]) != 0) continue;
        if (!name) putchar('\n');
        print(i);
        if (name) return MO_OK;
    }
    if (!name) return MO_OK;
    const char *nearest = mo_nearest_name(name, names, (size_t)count);
    if (nearest)
        return mo_error(MO_E_USAGE, "help %s: there is no '%.60s'; did you mean %s?", topic, name, nearest);
    return mo_error(MO_E_USAGE, "help %s: there is no '%.60s'; moira help %s lists all", topic, name, topic);
}

mo_status mo__help_routers(const char *name)
{
    return print_named("routers", name, mo_router_names, MO_ROUTERS, print_router, mo__router_letters);
}

mo_status mo__help_losses(const char *name)
{
    return print_named("losses", name, mo_balance_names, MO_BALANCE_LOSSES, print_loss, mo__loss_letters);
}
