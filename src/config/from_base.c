/* from_base.c -- the model that a run starts from gives the settings of the model. */
#include "from_base.h"

#include <string.h>

#include <moira/pretrained.h>

#include "value.h"

static bool comes_from_base(const mo__key *key)
{
    return mo__key_in_section(key, "model") || mo__key_in_section(key, "balance");
}

/* Numbers, choices and truth values: nothing in these sections owns memory. */
static size_t field_size(const mo__key *key)
{
    switch (key->type) {
    case MO__INT:
        return sizeof(int64_t);
    case MO__REAL:
        return sizeof(double);
    case MO__ENUM:
        return sizeof(int);
    case MO__BOOL:
        return sizeof(bool);
    case MO__UINT64:
    case MO__STRING:
    case MO__LIST:
        break;
    }
    MO_ASSERT(false); /* keys of model and balance are plain values */
    return 0;
}

static bool left_to_data(const mo__key *key, const char *field)
{
    int64_t value = 0;
    if (key->flags & MO__FROM_DATA) memcpy(&value, field, sizeof value);
    return key->flags & MO__FROM_DATA && value == 0;
}

static void take_defaults(const mo_run_config *base, mo_run_config *config, int *given)
{
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        if (!comes_from_base(key)) continue;
        char *field = (char *)config + key->offset;
        if (!given[i] || left_to_data(key, field))
            memcpy(field, (const char *)base + key->offset, field_size(key));
        given[i] = 1;
    }
}

/* ---- what differs ---- */

static bool same_parameters(const mo_model *a, const mo_model *b)
{
    if (a->n_params != b->n_params) return false;
    for (int i = 0; i < a->n_params; i++) {
        const mo_param *p = &a->params[i], *q = &b->params[i];
        if (p->ndim != q->ndim || strcmp(p->name, q->name) != 0 || memcmp(p->dim, q->dim, sizeof p->dim) != 0)
            return false;
    }
    return true;
}

/* A config as it is, and with every 0-means-default of its model filled in. */
typedef struct side {
    const mo_run_config *said;
    mo_run_config resolved; /* shallow */
} side;

/* Not where one is the base's own word and only follows another setting, nor 0 against what 0 stands for. */
static bool differs(const mo__key *key, const side *base, const side *mine)
{
    return !mo__value_equal(key, base->said, mine->said) &&
           !mo__value_equal(key, &base->resolved, &mine->resolved);
}

/* "model.hidden_size is 64 and was 32" of every key that differs and has one of the flags (0: any), and none
 * of `but`. */
static mo_status add_differences(const side *base, const side *mine, unsigned flags, unsigned but,
                                 mo__buffer *text)
{
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        bool told = mo__key_in_section(key, "model") && !(key->flags & but) && (!flags || key->flags & flags);
        if (!told || !differs(key, base, mine)) continue;
        mo__buffer_add(text, "%s%s is ", text->size ? ", " : "", key->name);
        MO_TRY(mo__value_add(key, &mine->resolved, text));
        mo__buffer_add(text, " and was ");
        MO_TRY(mo__value_add(key, &base->resolved, text));
    }
    return MO_OK;
}

static mo_status refuse(const char *path, const char *differences)
{
    return mo_error(MO_E_MISMATCH,
                    "init.from: the weights of %s do not fit the model: %s; leave these keys out to take the "
                    "base's, or train such a model from the start, without init.from",
                    path, differences);
}

static void warn(const char *path, const char *differences)
{
    mo_log(MO_LOG_WARNING,
           "init.from: %s in %s; its weights fit, but what they compute before the first step is not what "
           "they were trained for",
           differences, path);
}

/* fits: the parameters are the same. */
static mo_status tell(const side *base, const side *mine, bool fits)
{
    const char *path = mine->said->init.from;
    mo__buffer text = {0};
    char *differences = NULL;
    mo_status status = add_differences(base, mine, fits ? 0 : MO__SHAPES, fits ? MO__IN_TRAINING : 0, &text);
    MO_TRY(mo__buffer_finish(&text, status, &differences));
    if (!fits) status = refuse(path, differences);
    if (fits && *differences) warn(path, differences);
    mo_free(differences);
    return status;
}

static side side_of(const mo_run_config *config)
{
    side s = {config, *config};
    mo_model_config_resolve(&s.resolved.model);
    return s;
}

static mo_status compare(const mo_pretrained *p, const mo_run_config *config)
{
    side base = side_of(mo_pretrained_config(p)), mine = side_of(config);
    mo_model *a = NULL, *b = NULL;
    mo_status status = mo_model_create(&base.resolved.model, &a);
    if (status == MO_OK) status = mo_model_create(&mine.resolved.model, &b);
    if (status == MO_OK) status = tell(&base, &mine, same_parameters(a, b));
    mo_model_free(a);
    mo_model_free(b);
    return status;
}

mo_status mo__base_apply(mo_run_config *config, int *given)
{
    mo_pretrained *base = NULL;
    if (!*config->init.from) return MO_OK;
    mo_status status = mo_pretrained_open(config->init.from, mo_config_parse, mo_config_free, &base);
    const char *from = config->init.from;
    if (status == MO_E_NOT_FOUND && *from != '/' && !mo_path_exists(from))
        mo_error(status,
                 "%s; it is a path as seen from the working directory, and init.from=PATH names another",
                 mo_last_error());
    if (status != MO_OK) return mo_error_context(status, "init.from");
    take_defaults(mo_pretrained_config(base), config, given);
    status = compare(base, config);
    mo_pretrained_close(base);
    return status;
}
