/* tuning.c -- what of a model trains: adapters alone where there are any, else everything; then the patterns
 * of `freeze` in order, each of which freezes what it fits, or with ! thaws it. */
#include <string.h>

#include "model/build.h"

static mo_status refuse_pattern(const mo_model *m, int64_t index, const char *pattern)
{
    static const char *const words[] = {"router", "embeddings", "attention", "experts", "norms"};
    enum { WORDS = sizeof words / sizeof *words };
    const char *match = pattern + (*pattern == '!');
    size_t count = WORDS + (size_t)m->n_params;
    const char **names = mo_malloc(count * sizeof *names);
    if (!names) return MO_E_MEMORY;
    memcpy(names, words, sizeof words);
    for (int i = 0; i < m->n_params; i++) names[WORDS + i] = m->params[i].name;
    const char *nearest = mo_nearest_name(match, names, count);
    mo_free(names);
    if (nearest)
        return mo_error(MO_E_CONFIG, "freeze[%lld]: '%s' fits no parameter; did you mean %s?",
                        (long long)index, pattern, nearest);
    return mo_error(MO_E_CONFIG,
                    "freeze[%lld]: '%s' fits no parameter of this model; they are called %s, %s and the like "
                    "(moira inspect CONFIG --parameters has all), or use router, embeddings, attention, "
                    "experts or norms",
                    (long long)index, pattern, m->params[0].name, m->params[1].name);
}

static mo_status apply_pattern(mo_model *m, int64_t index, const char *pattern)
{
    bool thaw = *pattern == '!', fits = false, changes = false;
    for (int i = 0; i < m->n_params; i++) {
        if (!mo_optim_matches(pattern + thaw, m->params[i].name)) continue;
        fits = true;
        changes = changes || m->params[i].frozen == thaw;
        m->params[i].frozen = !thaw;
    }
    if (!fits) return refuse_pattern(m, index, pattern);
    if (thaw && !changes)
        return mo_error(MO_E_CONFIG,
                        "freeze[%lld]: '%s' trains again what is frozen, but nothing that fits it is; put it "
                        "after the pattern that freezes more than it should, or leave it out",
                        (long long)index, pattern);
    return MO_OK;
}

mo_status mo__tuning_apply(mo_model *m, const mo_tuning_config *tuning)
{
    for (int64_t f = 0; f < tuning->freeze.count; f++) MO_TRY(apply_pattern(m, f, tuning->freeze.at[f].text));
    for (int i = 0; i < m->n_params; i++)
        if (mo_param_trains(&m->params[i])) return MO_OK;
    return mo_error(MO_E_CONFIG, "freeze: all parameters are frozen, so there is nothing to train; leave a "
                                 "pattern out, or add one with ! that lets some train");
}

bool mo_tuning_given(const mo_tuning_config *tuning)
{
    return tuning->freeze.count > 0 || tuning->lora.rank != 0;
}

bool mo_model_tuned(const mo_model *m)
{
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].frozen) return true;
    return false;
}

mo_status mo_tuning_check(const mo_model_config *config, const mo_tuning_config *tuning)
{
    mo_model_config known = *config;
    mo_model *m = NULL;
    if (!mo_tuning_given(tuning)) return MO_OK;
    if (known.vocab_size < 1) known.vocab_size = 1;
    MO_TRY(mo_model_create_tuned(&known, tuning, &m));
    mo_model_free(m);
    return MO_OK;
}
