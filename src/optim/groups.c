/* groups.c -- which parameters a group of the optimizer is for. */
#include <stdio.h>
#include <string.h>

#include "moira/optim.h"

/* Words that stand for globs, after what parameters are called (model/). */
static const struct word {
    const char *word, *globs[2];
} words[] = {{"router", {"*.block_sparse_moe.gate*", NULL}},
             {"embeddings", {"model.embed_*", "lm_head.*"}},
             {"attention", {"*.self_attn.*", NULL}},
             {"experts", {"*experts.*", NULL}},
             {"norms", {"*norm.*", NULL}}};
enum { WORDS = sizeof words / sizeof *words };

bool mo_optim_matches(const char *match, const char *name)
{
    for (int w = 0; w < WORDS; w++) {
        if (strcmp(words[w].word, match) != 0) continue;
        const char *const *globs = words[w].globs;
        return mo_glob_match(globs[0], name) || (globs[1] && mo_glob_match(globs[1], name));
    }
    return mo_glob_match(match, name);
}

int mo_optim_group_of(const mo_optim_config *config, const char *name)
{
    for (int64_t g = 0; g < config->groups.count; g++)
        if (mo_optim_matches(config->groups.at[g].match, name)) return (int)g;
    return -1;
}

static mo_status refuse(int64_t group, const char *match, const char *const *names, int n, const char *taken)
{
    if (taken)
        return mo_error(MO_E_CONFIG,
                        "optimizer.groups[%lld].match: '%s' fits no parameter that an earlier group has not "
                        "got (%s, for one); the first group that fits counts, so put the special ones first",
                        (long long)group, match, taken);
    const char *nearest = mo_nearest_name(match, names, (size_t)n);
    if (nearest)
        return mo_error(MO_E_CONFIG, "optimizer.groups[%lld].match: '%s' fits no parameter; did you mean %s?",
                        (long long)group, match, nearest);
    return mo_error(MO_E_CONFIG,
                    "optimizer.groups[%lld].match: '%s' fits no parameter of this model; they are called %s, "
                    "%s and the like (moira inspect CONFIG --parameters has all), or use router, embeddings, "
                    "attention, experts or norms",
                    (long long)group, match, names[0], names[n > 1]);
}

mo_status mo_optim_groups_check(const mo_optim_config *config, const char *const *names, int n)
{
    for (int64_t g = 0; g < config->groups.count; g++) {
        const char *match = config->groups.at[g].match, *taken = NULL;
        bool used = false;
        for (int i = 0; i < n && !used; i++) {
            used = mo_optim_group_of(config, names[i]) == (int)g;
            if (!used && !taken && mo_optim_matches(match, names[i])) taken = names[i];
        }
        if (!used) return refuse(g, match, names, n, taken);
    }
    return MO_OK;
}
