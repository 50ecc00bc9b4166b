/* trainer_base.c -- the model that a run starts from. */
#include <string.h>
#include <sys/stat.h>

#include "train/trainer.h"

/* Ids mean the same to the base and to the data. Where one of them has no tokenizer nothing can be said. */
static mo_status check_tokenizer(const mo__trainer *t)
{
    const mo_tokenizer *base = mo_pretrained_tokenizer(t->base);
    if (!base || !t->tokenizer || mo_tokenizer_equal(base, t->tokenizer)) return MO_OK;
    char hash[33], base_hash[33];
    mo_tokenizer_hash(t->tokenizer, hash);
    mo_tokenizer_hash(base, base_hash);
    return mo_error(
        MO_E_MISMATCH,
        "%s has tokens of another tokenizer (%s, hash %s) than init.from %s was trained with (%s, hash "
        "%s); prepare the text with --tokenizer %s%s",
        t->data.sources[0].file->path, mo_tokenizer_kind(t->tokenizer), hash, t->config.init.from,
        mo_tokenizer_kind(base), base_hash, t->config.init.from,
        mo_path_is_dir(t->config.init.from) ? "/tokenizer.model" : "");
}

/* A run's files are none of a model's that others read. */
static mo_status check_apart(const mo__trainer *t)
{
    struct stat run, base;
    const char *from = t->config.init.from;
    if (stat(t->dir, &run) != 0 || stat(from, &base) != 0 || run.st_dev != base.st_dev ||
        run.st_ino != base.st_ino)
        return MO_OK;
    return mo_error(
        MO_E_CONFIG,
        "%s: is the folder of init.from, whose files are not to be added to; name another with run.dir",
        t->dir);
}

mo_status mo__trainer_open_base(mo__trainer *t)
{
    const mo_train_options *o = t->options;
    if (!*t->config.init.from) return MO_OK;
    if (!o->resume) MO_TRY(check_apart(t));
    mo_status status = mo_pretrained_open(t->config.init.from, o->parse, o->release, &t->base);
    if (status != MO_OK) return mo_error_context(status, "init.from");
    return check_tokenizer(t);
}

mo_status mo__trainer_place_base(mo__trainer *t)
{
    return t->base ? mo_path_from(t->dir, t->config.init.from, &t->base_path) : MO_OK;
}

mo_status mo__trainer_load_base(mo__trainer *t)
{
    snprintf(t->state.init_digest, sizeof t->state.init_digest, "%s", mo_pretrained_digest(t->base));
    mo_model_init(t->model, t->config.run.seed);
    mo_status status = mo_pretrained_load(t->base, t->model);
    return status == MO_OK ? MO_OK : mo_error_context(status, "init.from");
}

mo_status mo__trainer_check_base(const mo__trainer *t, const mo_checkpoint_state *state)
{
    const char *digest = t->base ? mo_pretrained_digest(t->base) : "";
    if (strcmp(digest, state->init_digest) == 0) return MO_OK;
    if (!t->base)
        return mo_error(MO_E_MISMATCH,
                        "the run began from a model (digest %s), but init.from is not given; resuming needs "
                        "it",
                        state->init_digest);
    if (!*state->init_digest)
        return mo_error(MO_E_MISMATCH,
                        "the run began with weights of its own, not with init.from %s; resume it without",
                        t->config.init.from);
    return mo_error(MO_E_MISMATCH,
                    "init.from %s is not the model that the run began from, or has changed since (its digest "
                    "is %s, was %s); resuming needs the same one, and init.from=PATH says where it is",
                    t->config.init.from, digest, state->init_digest);
}
