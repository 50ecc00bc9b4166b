/* help_routers.c -- moira help routers, from mo_router_info alone: a new router needs nothing here. */
#include "help_routers.h"

#include <string.h>

#include "terminal.h"

enum { LABEL = 13 }; /* columns in front of a formula */

const char mo__router_letters[] =
    "A router sends each token to K of the E experts: K is model.num_experts_per_tok, E is "
    "model.num_local_experts. Below, x is the token's vector in front of the experts (a row), Wg is the "
    "router's matrix, and _sel marks the experts that were selected. What an expert gives is multiplied by "
    "its weight. With model.capacity_factor a full expert drops choices after the weights are made.";

static void append(mo__router_settings *out, const char *names)
{
    size_t used = strlen(out->text);
    snprintf(out->text + used, sizeof out->text - used, "%s%s", used ? ", " : "", names);
}

mo__router_settings mo__router_settings_of(const mo_router_info *info)
{
    static const struct {
        unsigned trait;
        const char *names;
    } of_traits[] = {
        {MO_ROUTER_GROUPS, "n_group, topk_group"},
        {MO_ROUTER_NOISE, "noise_floor"},
        {MO_ROUTER_BIAS, "routed_scaling_factor, balance.bias_update_rate"},
        {MO_ROUTER_SCORES, "router_jitter_noise, jitter_experts"},
        {MO_ROUTER_CAPACITY, "capacity_factor, eval_capacity_factor, capacity_drop, capacity_scope"}};
    mo__router_settings out = {""};
    if (info->experts == 0) append(&out, "num_experts_per_tok");
    if (info->normalises == MO_CHOICE_DEFAULT) append(&out, "norm_topk_prob");
    for (size_t i = 0; i < sizeof of_traits / sizeof *of_traits; i++)
        if (info->traits & of_traits[i].trait) append(&out, of_traits[i].names);
    return out;
}

static void print_part(const char *label, const char *text)
{
    printf("  %-*s", LABEL - 2, label);
    mo__paragraph(text, LABEL, LABEL);
}

static void print_router(const mo_router_info *info)
{
    mo__router_settings settings = mo__router_settings_of(info);
    printf("%s\n", info->name);
    print_part("scores", info->scores);
    print_part("selection", info->selection);
    print_part("weights", info->weights);
    if (*settings.text) print_part("settings", settings.text);
    print_part("source", info->source);
    printf("\n  ");
    mo__paragraph(info->about, 2, 2);
}

mo_status mo__help_routers(const char *name)
{
    int router = 0;
    if (!name) mo__paragraph(mo__router_letters, 0, 0);
    for (; router < MO_ROUTERS; router++) {
        if (name && strcmp(name, mo_router_names[router]) != 0) continue;
        if (!name) putchar('\n');
        print_router(mo_router_describe(router));
        if (name) return MO_OK;
    }
    if (!name) return MO_OK;
    const char *nearest = mo_nearest_name(name, mo_router_names, MO_ROUTERS);
    if (nearest)
        return mo_error(MO_E_USAGE, "help routers: '%.60s' is no router; did you mean %s?", name, nearest);
    return mo_error(MO_E_USAGE, "help routers: '%.60s' is no router; moira help routers lists all", name);
}
