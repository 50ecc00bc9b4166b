/* trained.c -- a checkpoint or a model folder as a model that can be evaluated or asked for text; what was
 * trained upon a base, upon it. */
#include <string.h>

#include "moira/peft.h"
#include "moira/pretrained.h"
#include "train/train_internal.h"

static mo_status read_arrays(mo_checkpoint *c, const mo_model *m, bool changed)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_TRY(changed ? mo_model_arrays_changed(m, false, &arrays, &count)
                   : mo_model_arrays(m, false, &arrays, &count));
    mo_status status = mo_checkpoint_read(c, arrays, count);
    mo_free(arrays);
    return status;
}

static mo_status copy_tokenizer(const mo_tokenizer *from, mo_trained *out)
{
    size_t size = 0;
    if (!from) return MO_OK;
    const void *blob = mo_tokenizer_blob(from, &size);
    return mo_tokenizer_restore(mo_tokenizer_kind(from), blob, size, &out->tokenizer);
}

static mo_status read_head(mo_checkpoint *c, const char *path, mo_config_parse_fn *parse, mo_trained *out)
{
    out->state = *mo_checkpoint_get_state(c);
    MO_TRY(parse(mo_checkpoint_config(c), path, &out->config));
    return copy_tokenizer(mo_checkpoint_tokenizer(c), out);
}

static void settle_vocabulary(mo_trained *t)
{
    mo_model_config *config = &t->config.model;
    if (config->vocab_size == 0 && t->tokenizer) config->vocab_size = mo_tokenizer_vocab_size(t->tokenizer);
}

/* ---- all in one place ---- */

static mo_status open_whole(mo_checkpoint *c, mo_trained *out)
{
    settle_vocabulary(out);
    /* What was frozen makes no difference any more; adapters do. */
    const mo_tuning_config *tuning = out->config.tuning.lora.rank > 0 ? &out->config.tuning : NULL;
    MO_TRY(mo_model_create_tuned(&out->config.model, tuning, &out->model));
    MO_TRY(mo_model_allocate(out->model, MO_ALLOCATE_INFERENCE));
    return read_arrays(c, out->model, false);
}

/* ---- upon a base ---- */

static mo_status check_digest(const char *path, const mo_checkpoint *c, const mo_pretrained *base)
{
    if (strcmp(mo_checkpoint_base_digest(c), mo_pretrained_digest(base)) == 0) return MO_OK;
    return mo_error(
        MO_E_MISMATCH,
        "%s: was trained upon %s, whose files had digest %s, and %s has digest %s: these are "
        "other files, or they have changed since. Name that folder or checkpoint itself, and not "
        "what was imported or exported from it; or moira export the adapters: as a folder of PEFT "
        "they go upon any model of the same shapes",
        path, mo_checkpoint_base_path(c), mo_checkpoint_base_digest(c), mo_pretrained_path(base),
        mo_pretrained_digest(base));
}

/* The model with everything of the base that is frozen where it lies. */
static mo_status make_upon(mo_trained *out, const mo_tuning_config *tuning)
{
    mo_pretrained *base = out->base;
    MO_TRY(mo_model_create_tuned(&out->config.model, tuning, &out->model));
    if (!tuning) mo_model_freeze(out->model);
    MO_TRY(mo_pretrained_map(base, out->model));
    MO_TRY(mo_model_allocate(out->model, MO_ALLOCATE_INFERENCE));
    mo_status status = mo_pretrained_load(base, out->model);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", mo_pretrained_path(base));
}

static mo_status open_upon(mo_checkpoint *c, const char *path, mo_trained *out)
{
    MO_TRY(check_digest(path, c, out->base));
    if (!out->tokenizer) MO_TRY(copy_tokenizer(mo_pretrained_tokenizer(out->base), out));
    settle_vocabulary(out);
    MO_TRY(make_upon(out, &out->config.tuning));
    return read_arrays(c, out->model, true);
}

/* The base where the checkpoint says it is. */
static mo_status find_base(const mo_checkpoint *c, const char *path, const char *given, mo_trained *out)
{
    char *dir = mo_path_dir(path);
    char *told = dir ? mo_path_join(dir, mo_checkpoint_base_path(c)) : NULL;
    mo_free(dir);
    if (!told) return MO_E_MEMORY;
    mo_status status = mo_pretrained_open(given ? given : told, NULL, NULL, &out->base);
    if (status == MO_E_NOT_FOUND && !given && !mo_path_exists(told))
        status =
            mo_error(MO_E_NOT_FOUND,
                     "%s: was trained upon %s (digest %s), which is not at %s; --base PATH says where it "
                     "is",
                     path, mo_checkpoint_base_path(c), mo_checkpoint_base_digest(c), told);
    mo_free(told);
    return status;
}

static mo_status open_checkpoint(mo_checkpoint *c, const mo_trained_paths *p, mo_config_parse_fn *parse,
                                 mo_trained *out)
{
    bool upon = mo_checkpoint_base_path(c) != NULL;
    if (p->base && !upon)
        return mo_error(MO_E_USAGE,
                        "%s: holds all of its model; --base is for one that has only what was "
                        "trained upon a base",
                        p->model);
    MO_TRY(read_head(c, p->model, parse, out));
    if (!upon) return open_whole(c, out);
    MO_TRY(find_base(c, p->model, p->base, out));
    return open_upon(c, p->model, out);
}

/* ---- a base, and what was trained upon it ---- */

static mo_status open_adapter(mo_checkpoint *c, const mo_trained_paths *p, mo_config_parse_fn *parse,
                              mo_trained *out)
{
    if (!mo_checkpoint_base_path(c))
        return mo_error(MO_E_MISMATCH,
                        "%s: is a checkpoint of all of a model and not of what was trained upon one; use it "
                        "in place of %s, without --adapter",
                        p->adapter, p->model);
    MO_TRY(read_head(c, p->adapter, parse, out));
    MO_TRY(mo_pretrained_open(p->model, NULL, NULL, &out->base));
    return open_upon(c, p->adapter, out);
}

static mo_status take_config(const mo_trained_paths *p, mo_config_parse_fn *parse, mo_trained *out)
{
    out->state.best_loss = out->state.patience_loss = (double)NAN;
    MO_TRY(mo__pretrained_open_into(p->model, parse, &out->config, &out->base));
    MO_TRY(copy_tokenizer(mo_pretrained_tokenizer(out->base), out));
    settle_vocabulary(out);
    return MO_OK;
}

static mo_status open_folder(const mo_trained_paths *p, mo_config_parse_fn *parse, mo_trained *out)
{
    if (p->base)
        return mo_error(MO_E_USAGE, "%s: is a whole model; --base is for a checkpoint of what was trained",
                        p->model);
    MO_TRY(take_config(p, parse, out));
    return make_upon(out, NULL);
}

/* ---- a base, and PEFT's adapters ---- */

static mo_status make_with(const mo_peft *peft, mo_trained *out)
{
    const mo_tuning_config *tuning = mo_peft_tuning(peft);
    MO_TRY(make_upon(out, tuning));
    /* The targets are the folder's; which they are is seen by the model's names. */
    out->config.tuning.lora.rank = tuning->lora.rank;
    out->config.tuning.lora.alpha = tuning->lora.alpha;
    out->config.tuning.lora.dropout = tuning->lora.dropout;
    return mo_peft_load(peft, out->model);
}

/* The last part of a name or path, its length without slashes behind it and ".h5". */
static const char *last_part(const char *path, size_t *length)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    if (end - begin > 3 && memcmp(path + end - 3, ".h5", 3) == 0) end -= 3;
    *length = end - begin;
    return path + begin;
}

/* Shapes fit, and PEFT has no digest: a name is all there is to compare. */
static void warn_other_base(const mo_peft *peft, const mo_trained_paths *p)
{
    size_t n = 0, m = 0;
    const char *told = mo_peft_base(peft), *a = told ? last_part(told, &n) : NULL,
               *b = last_part(p->model, &m);
    if (!a || (n == m && memcmp(a, b, n) == 0)) return;
    mo_log(MO_LOG_WARNING,
           "%s: says that it was trained upon %s, and is used upon %s; if they are not the same model, the "
           "adapters do not fit",
           p->adapter, told, p->model);
}

static mo_status open_peft(const mo_trained_paths *p, mo_config_parse_fn *parse, mo_trained *out)
{
    mo_peft *peft = NULL;
    MO_TRY(take_config(p, parse, out));
    MO_TRY(mo_peft_open(p->adapter, &out->config.model, &peft));
    mo_status status = make_with(peft, out);
    if (status == MO_OK) warn_other_base(peft, p);
    mo_peft_close(peft);
    return status;
}

/* ---- the door ---- */

typedef mo_status opener(mo_checkpoint *c, const mo_trained_paths *p, mo_config_parse_fn *parse,
                         mo_trained *out);

static mo_status with_checkpoint(const char *path, opener *open, const mo_trained_paths *p,
                                 mo_config_parse_fn *parse, mo_trained *out)
{
    mo_checkpoint *c = NULL;
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_status status = open(c, p, parse, out);
    mo_checkpoint_close(c);
    return status;
}

static mo_status check_folder(const char *path)
{
    char *config = mo_path_join(path, "config.json");
    if (!config) return MO_E_MEMORY;
    bool there = mo_path_exists(config);
    mo_free(config);
    if (there) return MO_OK;
    char *adapter = mo_path_join(path, "adapter_config.json");
    if (!adapter) return MO_E_MEMORY;
    there = mo_path_exists(adapter);
    mo_free(adapter);
    if (there)
        return mo_error(MO_E_FORMAT,
                        "%s: has PEFT's adapters and no model; name the model that they go upon first: BASE "
                        "--adapter %s",
                        path, path);
    return mo_error(MO_E_FORMAT,
                    "%s: is a folder without config.json, so no model of transformers; name a file in it, "
                    "such as best.h5",
                    path);
}

static mo_status open_any(const mo_trained_paths *p, mo_config_parse_fn *parse, mo_trained *out)
{
    if (p->adapter && p->base)
        return mo_error(MO_E_USAGE,
                        "--base and --adapter: one of them; the model before --adapter is its base");
    if (mo_path_is_dir(p->model)) MO_TRY(check_folder(p->model));
    if (p->adapter && mo_path_is_dir(p->adapter)) return open_peft(p, parse, out);
    if (p->adapter) return with_checkpoint(p->adapter, open_adapter, p, parse, out);
    if (mo_path_is_dir(p->model)) return open_folder(p, parse, out);
    return with_checkpoint(p->model, open_checkpoint, p, parse, out);
}

mo_status mo_trained_open_paths(const mo_trained_paths *paths, mo_config_parse_fn *parse, mo_trained *out)
{
    *out = (mo_trained){0};
    mo_status status = open_any(paths, parse, out);
    if (status != MO_OK) mo_trained_free(out);
    return status;
}

mo_status mo_trained_open(const char *path, mo_config_parse_fn *parse, mo_trained *out)
{
    const mo_trained_paths paths = {.model = path};
    return mo_trained_open_paths(&paths, parse, out);
}

void mo_trained_free(mo_trained *t)
{
    mo_model_free(t->model);
    mo_pretrained_close(t->base);
    mo_tokenizer_free(t->tokenizer);
    t->model = NULL;
    t->base = NULL;
    t->tokenizer = NULL;
}
