/* trained.c -- a checkpoint as a model that can be evaluated or asked for text. */
#include "train/train_internal.h"

static mo_status fill(mo_checkpoint *c, mo_trained *out)
{
    mo_model_config *config = &out->config.model;
    if (config->vocab_size == 0 && out->tokenizer)
        config->vocab_size = mo_tokenizer_vocab_size(out->tokenizer);
    MO_TRY(mo_model_create(config, &out->model));
    MO_TRY(mo_model_allocate(out->model, MO_ALLOCATE_INFERENCE));
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_TRY(mo_model_arrays(out->model, false, &arrays, &count));
    mo_status status = mo_checkpoint_read(c, arrays, count);
    mo_free(arrays);
    return status;
}

static mo_status open_parts(mo_checkpoint *c, mo_trained *out)
{
    out->state = *mo_checkpoint_get_state(c);
    const mo_tokenizer *tokenizer = mo_checkpoint_tokenizer(c);
    if (tokenizer) {
        size_t size = 0;
        const void *blob = mo_tokenizer_blob(tokenizer, &size);
        MO_TRY(mo_tokenizer_restore(mo_tokenizer_kind(tokenizer), blob, size, &out->tokenizer));
    }
    return fill(c, out);
}

mo_status mo_trained_open(const char *path, mo_config_parse_fn *parse, mo_trained *out)
{
    *out = (mo_trained){0};
    mo_checkpoint *c = NULL;
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_status status = parse(mo_checkpoint_config(c), path, &out->config);
    if (status == MO_OK) {
        status = open_parts(c, out);
        if (status != MO_OK) mo_trained_free(out);
    }
    mo_checkpoint_close(c);
    return status;
}

void mo_trained_free(mo_trained *t)
{
    mo_model_free(t->model);
    mo_tokenizer_free(t->tokenizer);
    t->model = NULL;
    t->tokenizer = NULL;
}
