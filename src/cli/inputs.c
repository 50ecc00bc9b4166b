/* inputs.c -- opening what commands are given, and checking that it belongs together. */
#include "inputs.h"

#include <string.h>

#include "base/units.h"

mo_status mo__trained_load_upon(const char *path, const char *base, const char *adapter, mo_trained *out)
{
    const mo_trained_paths paths = {
        .model = path, .base = *base ? base : NULL, .adapter = *adapter ? adapter : NULL};
    mo_status status = mo_trained_open_paths(&paths, mo_config_parse, out);
    if (status != MO_OK) mo_config_free(&out->config);
    return status;
}

mo_status mo__trained_load(const char *path, mo_trained *out)
{
    return mo__trained_load_upon(path, "", "", out);
}

void mo__trained_close(mo_trained *t)
{
    mo_trained_free(t);
    mo_config_free(&t->config);
}

mo_status mo__tokens_suit(const mo_trained *t, const char *checkpoint, const mo_tokenfile *file)
{
    const mo_tokenizer *model = t->tokenizer, *tokens = file->tokenizer;
    if (!model || !tokens || mo_tokenizer_equal(model, tokens)) return MO_OK;
    char model_hash[33], tokens_hash[33];
    mo_tokenizer_hash(model, model_hash);
    mo_tokenizer_hash(tokens, tokens_hash);
    return mo_error(
        MO_E_MISMATCH,
        "%s was made with tokenizer %s (%s), but the model in %s was trained with tokenizer %s (%s); "
        "prepare the text again with the model's tokenizer",
        file->path, mo_tokenizer_kind(tokens), tokens_hash, checkpoint, mo_tokenizer_kind(model), model_hash);
}

mo_status mo__tokens_for(const mo_trained *t, const char *checkpoint, const char *path, mo_tokenfile **out)
{
    MO_TRY(mo_tokenfile_open(path, out));
    mo_status status = mo__tokens_suit(t, checkpoint, *out);
    if (status != MO_OK) {
        mo_tokenfile_close(*out);
        *out = NULL;
    }
    return status;
}

mo_status mo__split_parse(const char *name, mo_split *out)
{
    if (strcmp(name, "train") == 0)
        *out = MO_SPLIT_TRAIN;
    else if (strcmp(name, "validation") == 0)
        *out = MO_SPLIT_VALIDATION;
    else
        return mo_error(MO_E_USAGE, "--split: '%s' is no split; it is train or validation", name);
    return MO_OK;
}

const char *mo__split_name(mo_split split)
{
    return split == MO_SPLIT_TRAIN ? "train" : "validation";
}

/* The first file of the data that is not there, or NULL. */
static const char *missing_file(const mo_run_config *c)
{
    if (*c->data.path && !mo_path_exists(c->data.path)) return c->data.path;
    for (int64_t i = 0; i < c->data.mixture.count; i++)
        if (!mo_path_exists(c->data.mixture.at[i].path)) return c->data.mixture.at[i].path;
    return NULL;
}

mo_status mo__config_data(mo_run_config *config, mo_run_data *data)
{
    const char *missing = missing_file(config);
    *data = (mo_run_data){0};
    bool none = !*config->data.path && config->data.mixture.count == 0; /* of a model that no run made */
    if (none && config->model.vocab_size > 0) return MO_OK;
    if (missing && config->model.vocab_size > 0) return MO_OK;
    if (missing)
        return mo_error(MO_E_NOT_FOUND,
                        "data.%s %s does not exist, and without it the vocabulary is not known; make the "
                        "file with moira prepare, or give model.vocab_size",
                        *config->data.path ? "path" : "mixture", missing);
    MO_TRY(mo_run_data_open(config, data));
    if (config->model.vocab_size == 0) config->model.vocab_size = data->sources[0].file->vocab_size;
    return MO_OK;
}

mo_status mo__config_vocabulary(mo_run_config *config, uint64_t *data_bytes)
{
    mo_run_data data;
    *data_bytes = 0;
    MO_TRY(mo__config_data(config, &data));
    *data_bytes = mo_run_data_bytes(&data, config->train.sequence_length);
    mo_run_data_close(&data);
    return MO_OK;
}

mo_status mo__check_fits(uint64_t bytes, const char *advice)
{
    uint64_t available = mo_memory_available();
    if (available == 0 || bytes <= available) return MO_OK;
    return mo_error(MO_E_MEMORY, "this needs %s and %s are available; %s", mo__bytes((double)bytes).text,
                    mo__bytes((double)available).text, advice);
}

mo_status mo__check_eval_fits(const mo_model *model, int64_t batch_size, int64_t sequence_length)
{
    mo_model_graph_options options = {
        .kind = MO_GRAPH_LOSS, .batch_size = batch_size, .sequence_length = sequence_length};
    mo_model_graph *t;
    MO_TRY(mo_model_graph_create(model, &options, &t));
    uint64_t arena = mo_graph_memory_use(t->graph).arena;
    mo_model_graph_free(t);
    return mo__check_fits(arena, "a smaller --batch-size or --sequence-length needs less");
}
