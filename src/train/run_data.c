/* run_data.c -- the token files that a run learns from. */
#include <string.h>

#include "data/packing.h"
#include "train/train_internal.h"

static int source_count(const mo_run_config *c)
{
    return c->data.mixture.count > 0 ? (int)c->data.mixture.count : 1;
}

static const char *source_path(const mo_run_config *c, int i)
{
    return c->data.mixture.count > 0 ? c->data.mixture.at[i].path : c->data.path;
}

/* The file's name without folder and ".h5". */
static char *short_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name);
    if (length > 3 && strcmp(name + length - 3, ".h5") == 0) length -= 3;
    return mo_strprintf("%.*s", (int)length, name);
}

static mo_status name_sources(const mo_run_config *c, mo_run_data *data)
{
    bool distinct = true;
    for (int i = 0; i < data->count; i++) {
        if (!(data->sources[i].name = short_name(source_path(c, i)))) return MO_E_MEMORY;
        for (int j = 0; j < i; j++)
            distinct = distinct && strcmp(data->sources[i].name, data->sources[j].name) != 0;
    }
    for (int i = 0; i < data->count && !distinct; i++) {
        mo_free(data->sources[i].name);
        if (!(data->sources[i].name = mo_strdup(source_path(c, i)))) return MO_E_MEMORY;
    }
    return MO_OK;
}

/* Against the sources before it. */
static mo_status check_source(const mo_run_data *data, int i)
{
    const mo_tokenfile *file = data->sources[i].file, *first = data->sources[0].file;
    char hash[33], first_hash[33];
    for (int j = 0; j < i; j++)
        if (strcmp(file->hash, data->sources[j].file->hash) == 0)
            return mo_error(MO_E_MISMATCH,
                            "data.mixture[%d]: %s has the same content as %s; give one of them the sum of "
                            "their weights",
                            i, file->path, data->sources[j].file->path);
    if (mo_tokenizer_equal(first->tokenizer, file->tokenizer)) return MO_OK;
    mo_tokenizer_hash(file->tokenizer, hash);
    mo_tokenizer_hash(first->tokenizer, first_hash);
    return mo_error(MO_E_MISMATCH,
                    "data.mixture[%d]: %s was made with tokenizer %s (%s), but %s with %s (%s); all sources "
                    "need the same, so prepare one of them again with the other's",
                    i, file->path, mo_tokenizer_kind(file->tokenizer), hash, first->path,
                    mo_tokenizer_kind(first->tokenizer), first_hash);
}

/* How a source is cut into sequences. A stream that is too short for one is refused later
 * (mo__run_data_check). Whole documents must fit in both splits. */
static mo_status cut_source(const mo_run_config *c, mo_run_source *s)
{
    const mo_tokens *train = &s->file->split[MO_SPLIT_TRAIN],
                    *validation = &s->file->split[MO_SPLIT_VALIDATION];
    int64_t L = c->train.sequence_length;
    s->windows = 1;
    s->fill = 1;
    if (L < 1 || (!train->whole && train->count < L + 1)) return MO_OK;
    mo_status status = mo_train_windows(train, L, &s->windows);
    if (status != MO_OK) return mo_error_context(status, "%s: train", s->file->path);
    if (!train->whole) return MO_OK;
    s->fill = (double)train->count / ((double)s->windows * (double)L);
    status = mo__packing_fits(validation, L);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s: validation", s->file->path);
}

static mo_status open_sources(const mo_run_config *c, mo_run_data *data)
{
    double total = 0;
    for (int i = 0; i < data->count; i++) {
        mo_run_source *s = &data->sources[i];
        s->share = c->data.mixture.count > 0 ? c->data.mixture.at[i].weight : 1;
        total += s->share;
        MO_TRY(mo_tokenfile_open(source_path(c, i), &s->file));
        MO_TRY(check_source(data, i));
        MO_TRY(cut_source(c, s));
    }
    for (int i = 0; i < data->count; i++) data->sources[i].share /= total;
    return MO_OK;
}

char *mo__run_data_hashes(const mo_run_data *data)
{
    enum { DIGITS = 32 };
    char *all = mo_calloc((size_t)data->count * DIGITS + 1, 1);
    for (int i = 0; all && i < data->count; i++)
        memcpy(all + (size_t)i * DIGITS, data->sources[i].file->hash, DIGITS);
    return all;
}

static mo_status hash_sources(mo_run_data *data)
{
    char *all = mo__run_data_hashes(data);
    if (!all) return MO_E_MEMORY;
    if (data->count == 1)
        memcpy(data->hash, all, sizeof data->hash);
    else
        mo_hash_bytes(all, strlen(all), data->hash);
    mo_free(all);
    return MO_OK;
}

mo_status mo_run_data_open(const mo_run_config *config, mo_run_data *out)
{
    *out = (mo_run_data){.count = source_count(config)};
    out->sources = mo_calloc((size_t)out->count, sizeof *out->sources);
    mo_status status = out->sources ? open_sources(config, out) : MO_E_MEMORY;
    if (status == MO_OK) status = name_sources(config, out);
    if (status == MO_OK) status = hash_sources(out);
    if (status != MO_OK) mo_run_data_close(out);
    return status;
}

void mo_run_data_close(mo_run_data *data)
{
    for (int i = 0; data->sources && i < data->count; i++) {
        mo_tokenfile_close(data->sources[i].file);
        mo_free(data->sources[i].name);
    }
    mo_free(data->sources);
    *data = (mo_run_data){0};
}

uint64_t mo_run_data_bytes(const mo_run_data *data, int64_t sequence_length)
{
    uint64_t bytes = 0;
    for (int i = 0; i < data->count; i++) {
        const mo_tokenfile *file = data->sources[i].file;
        bytes += mo_tokenfile_bytes(file);
        for (int s = 0; s < 2; s++)
            if (file->split[s].whole) bytes += mo__packing_bytes(file->split[s].documents, sequence_length);
    }
    return bytes;
}

double mo_run_data_epochs(const mo_run_data *data, int source, const mo_run_config *c, int64_t steps)
{
    const mo_run_source *s = &data->sources[source];
    double sequences =
        (double)steps * (double)c->train.batch_size * (double)c->train.gradient_accumulation_steps;
    return sequences * s->share / (double)s->windows;
}

mo_status mo__run_data_check(const mo_run_data *data, int64_t vocab_size, int64_t sequence_length)
{
    for (int i = 0; i < data->count; i++) {
        const mo_tokenfile *file = data->sources[i].file;
        const mo_tokens *train = &file->split[MO_SPLIT_TRAIN];
        int64_t count = train->count;
        MO_TRY(mo__check_tokens(file, vocab_size));
        if (!train->whole && count < sequence_length + 1)
            return mo_error(MO_E_RANGE,
                            "train.sequence_length %lld: %s has only %lld training tokens; a sequence needs "
                            "%lld of them",
                            (long long)sequence_length, file->path, (long long)count,
                            (long long)sequence_length + 1);
        if (train->predictable == 0)
            return mo_error(MO_E_RANGE, "%s: no token of its %lld documents to train on is to be predicted",
                            file->path, (long long)train->documents);
    }
    return MO_OK;
}

bool mo__run_data_fits(const mo_run_data *data, int64_t sequence_length)
{
    bool fit = true;
    for (int i = 0; i < data->count; i++)
        for (int s = 0; s < 2; s++) {
            const mo_tokens *tokens = &data->sources[i].file->split[s];
            fit = fit && (!tokens->whole || mo__packing_fits(tokens, sequence_length) == MO_OK);
        }
    if (!fit) mo_error_clear();
    return fit;
}

/* The first source that is another than when the run began, or NULL where that cannot be told. */
static const mo_tokenfile *changed_source(const mo_run_data *data, const char *hashes)
{
    enum { DIGITS = 32 };
    if (strlen(hashes) != (size_t)data->count * DIGITS) return NULL;
    for (int i = 0; i < data->count; i++)
        if (strncmp(hashes + (size_t)i * DIGITS, data->sources[i].file->hash, DIGITS) != 0)
            return data->sources[i].file;
    return NULL;
}

mo_status mo__run_data_same(const mo_run_data *data, const char *hash, const char *hashes)
{
    if (!*hash)
        return mo_error(MO_E_MISMATCH, "it does not say which data it was trained on, so that no run can go "
                                       "on from it to the bit");
    if (strcmp(hash, data->hash) == 0) return MO_OK;
    const mo_tokenfile *file = data->count == 1 ? data->sources[0].file : changed_source(data, hashes);
    if (!file)
        return mo_error(
            MO_E_MISMATCH,
            "the sources of data.mixture are not those that the run began with (their hash is %s, "
            "was %s); resuming needs the same data in the same order",
            data->hash, hash);
    return mo_error(
        MO_E_MISMATCH,
        "%s is not the file that the run began with (its hash is %s); resuming needs the same data",
        file->path, file->hash);
}
