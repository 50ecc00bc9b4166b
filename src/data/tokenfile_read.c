/* tokenfile_read.c -- a token file is read whole, and nothing in it is believed before it is checked. */
#include <moira/tokenfile.h>

#include <string.h>

#include "store/h5_root.h"
#include "store/stamp.h"
#include "tokenfile_facts.h"

enum { MOST_DOMAINS = 1 << 16 };

static void free_split(mo_tokens *t)
{
    mo_free(t->data);
    mo_free(t->offsets);
    mo_free(t->domains);
    mo_free(t->mask);
    mo_free(t->entropy_nats);
}

void mo_tokenfile_close(mo_tokenfile *file)
{
    if (!file) return;
    free_split(&file->split[0]);
    free_split(&file->split[1]);
    mo__h5_free_texts(file->domain_names, file->n_domains);
    mo_tokenizer_free(file->tokenizer);
    mo_free(file->source);
    mo_free(file->split_by);
    mo_free(file->path);
    mo_free(file);
}

/* A one-dimensional dataset of unsigned integers of at most `width` bytes, widened to them; width 0: as
 * stored, and told. */
static mo_status read_column(hid_t group, const char *name, int *width, int64_t *count, void **out)
{
    mo__h5_dataset d;
    MO_TRY(mo__h5_dataset_open(group, name, &d));
    mo_status status = MO_OK;
    bool fits = *width ? d.width <= (size_t)*width : d.width == 1 || d.width == 2 || d.width == 4;
    if (d.type != H5T_INTEGER || d.is_signed || d.shape.ndim != 1 || !fits)
        status = mo_error(MO_E_FORMAT, "%s: is not a list of unsigned integers of the right size", name);
    if (*width == 0) *width = (int)d.width;
    *count = d.count;
    if (status == MO_OK && !(*out = mo_malloc((size_t)d.count * (size_t)*width))) status = MO_E_MEMORY;
    hid_t type = *width == 1   ? H5T_NATIVE_UINT8
                 : *width == 2 ? H5T_NATIVE_UINT16
                 : *width == 4 ? H5T_NATIVE_UINT32
                               : H5T_NATIVE_UINT64;
    if (status == MO_OK) status = mo__h5_dataset_read(&d, name, type, *out);
    mo__h5_dataset_close(&d);
    return status;
}

static mo_status check_ids(const mo_tokens *t, int64_t vocab_size)
{
    if (t->width < 4 && vocab_size >= INT64_C(1) << 8 * t->width) return MO_OK;
    for (int64_t i = 0; i < t->count; i++) {
        uint32_t id = (uint32_t)mo_token_at(t, i);
        if (id >= vocab_size || id > INT32_MAX)
            return mo_error(MO_E_CORRUPT, "tokens: id %u at %lld is outside the vocabulary of %lld",
                            (unsigned)id, (long long)i, (long long)vocab_size);
    }
    return MO_OK;
}

static mo_status check_offsets(const mo_tokens *t)
{
    for (int64_t d = 0; d < t->documents; d++)
        if (t->offsets[d] >= t->offsets[d + 1])
            return mo_error(MO_E_CORRUPT, "documents: document %lld begins at %llu and ends at %llu",
                            (long long)d, (unsigned long long)t->offsets[d],
                            (unsigned long long)t->offsets[d + 1]);
    if (t->offsets[0] != 0 || t->offsets[t->documents] != (uint64_t)t->count)
        return mo_error(MO_E_CORRUPT, "documents: cover tokens %llu to %llu, must cover 0 to %lld",
                        (unsigned long long)t->offsets[0], (unsigned long long)t->offsets[t->documents],
                        (long long)t->count);
    return MO_OK;
}

static mo_status read_offsets(hid_t group, mo_tokens *t)
{
    int width = 8;
    int64_t count = 0;
    void *offsets = NULL;
    mo_status status = read_column(group, "documents", &width, &count, &offsets);
    t->offsets = offsets;
    MO_TRY(status);
    if (count < 2 || t->count == 0)
        return mo_error(MO_E_CORRUPT, "documents: %lld offsets for %lld tokens", (long long)count,
                        (long long)t->count);
    t->documents = count - 1;
    return check_offsets(t);
}

static mo_status read_domains(hid_t group, mo_tokens *t, int n_domains)
{
    int width = 2;
    int64_t count = 0;
    void *domains = NULL;
    mo_status status = read_column(group, "domains", &width, &count, &domains);
    t->domains = domains;
    MO_TRY(status);
    if (count != t->documents)
        return mo_error(MO_E_CORRUPT, "domains: %lld labels for %lld documents", (long long)count,
                        (long long)t->documents);
    for (int64_t d = 0; d < count; d++)
        if (t->domains[d] >= n_domains)
            return mo_error(MO_E_CORRUPT, "domains: document %lld has label %u, labels are 0 to %d",
                            (long long)d, (unsigned)t->domains[d], n_domains - 1);
    return MO_OK;
}

static mo_status read_mask(hid_t group, mo_tokens *t)
{
    int width = 1;
    int64_t count = 0;
    void *mask = NULL;
    if (!mo__h5_has(group, "mask")) return MO_OK;
    mo_status status = read_column(group, "mask", &width, &count, &mask);
    t->mask = mask;
    MO_TRY(status);
    if (count != t->count)
        return mo_error(MO_E_CORRUPT, "mask: is of %lld tokens, there are %lld", (long long)count,
                        (long long)t->count);
    for (int64_t i = 0; i < count; i++)
        if (t->mask[i] > 1)
            return mo_error(MO_E_CORRUPT, "mask: is %d at %lld, must be 0 or 1", (int)t->mask[i],
                            (long long)i);
    return MO_OK;
}

/* The first token of a document has nothing that it could be predicted from. */
static void count_predictable(mo_tokens *t)
{
    for (int64_t d = 0; d < t->documents; d++) {
        int64_t first = (int64_t)t->offsets[d] + 1, end = (int64_t)t->offsets[d + 1], n = end - first;
        if (t->mask) {
            n = 0;
            for (int64_t i = first; i < end; i++) n += t->mask[i];
        }
        t->predictable += n;
        t->unlearnt += n == 0;
    }
}

static mo_status read_split(hid_t group, mo_tokens *t, int64_t vocab_size, int n_domains)
{
    MO_TRY(read_column(group, "tokens", &t->width, &t->count, &t->data));
    MO_TRY(check_ids(t, vocab_size));
    MO_TRY(read_offsets(group, t));
    MO_TRY(read_mask(group, t));
    count_predictable(t);
    if (n_domains == 0) return MO_OK;
    MO_TRY(read_domains(group, t, n_domains));
    if (!mo__h5_has_attribute(group, "entropy_nats")) return MO_OK;
    t->entropy_nats = mo_malloc((size_t)n_domains * sizeof *t->entropy_nats);
    if (!t->entropy_nats) return MO_E_MEMORY;
    return mo__h5_get_reals(group, "entropy_nats", t->entropy_nats, n_domains);
}

/* What an older file does not say stays -1, and texts "". */
static mo_status read_fact(hid_t object, const char *name, int64_t *value)
{
    *value = -1;
    if (!mo__h5_has_attribute(object, name)) return MO_OK;
    MO_TRY(mo__h5_get_int(object, name, value));
    return *value >= 0 ? MO_OK
                       : mo_error(MO_E_CORRUPT, "attribute %s: is %lld, must not be negative", name,
                                  (long long)*value);
}

static mo_status read_text(hid_t object, const char *name, char **text)
{
    if (mo__h5_has_attribute(object, name)) return mo__h5_get_text(object, name, text);
    *text = mo_strdup("");
    return *text ? MO_OK : MO_E_MEMORY;
}

static mo_status read_facts(hid_t id, mo_tokenfile *file)
{
    file->facts = MO_CORPUS_FACTS_UNKNOWN;
#define X(name) MO_TRY(read_fact(id, #name, &file->facts.name));
    MO__CORPUS_FACTS(X)
#undef X
    MO_TRY(read_text(id, "source", &file->source));
    return read_text(id, "split", &file->split_by);
}

static mo_status read_whole(hid_t id, mo_tokenfile *file)
{
    char *text = NULL;
    if (!mo__h5_has_attribute(id, "documents")) return MO_OK;
    MO_TRY(mo__h5_get_text(id, "documents", &text));
    bool whole = strcmp(text, "whole") == 0;
    mo_status status =
        whole ? MO_OK : mo_error(MO_E_FORMAT, "attribute documents: is \"%.60s\", must be \"whole\"", text);
    mo_free(text);
    file->split[0].whole = file->split[1].whole = whole;
    return status;
}

static mo_status read_splits(hid_t id, mo_tokenfile *file)
{
    static const char *const NAMES[] = {"train", "validation"};
    for (int i = 0; i < 2; i++) {
        if (!mo__h5_has(id, NAMES[i])) continue;
        MO__H5_ID(group);
        MO_TRY(mo__h5_group_open(id, NAMES[i], &group));
        mo_status status = read_split(group, &file->split[i], file->vocab_size, file->n_domains);
        if (status == MO_OK) status = read_fact(group, "text_bytes", &file->facts.text_bytes[i]);
        if (status != MO_OK) return mo_error_context(status, "%s", NAMES[i]);
    }
    return MO_OK;
}

static mo_status read_all(hid_t id, mo_tokenfile *file)
{
    MO_TRY(mo__root_read(id, "moira-tokens", mo__stamp_tokens.version, &file->tokenizer));
    MO_TRY(mo__h5_get_int(id, "vocab_size", &file->vocab_size));
    if (!file->tokenizer) return mo_error(MO_E_FORMAT, "attribute tokenizer_kind: is missing");
    if (mo_tokenizer_vocab_size(file->tokenizer) != file->vocab_size)
        return mo_error(MO_E_CORRUPT, "attribute vocab_size: is %lld, the tokenizer has %lld ids",
                        (long long)file->vocab_size, (long long)mo_tokenizer_vocab_size(file->tokenizer));
    if (mo__h5_has_attribute(id, "domain_names"))
        MO_TRY(mo__h5_get_texts(id, "domain_names", MOST_DOMAINS, &file->domain_names, &file->n_domains));
    MO_TRY(read_facts(id, file));
    MO_TRY(read_whole(id, file));
    return read_splits(id, file);
}

static uint64_t split_bytes(const mo_tokens *t)
{
    uint64_t documents = (uint64_t)t->documents;
    return (uint64_t)t->count * (uint64_t)t->width + (documents + 1) * sizeof *t->offsets +
           (t->domains ? documents * sizeof *t->domains : 0) + (t->mask ? (uint64_t)t->count : 0);
}

uint64_t mo_tokenfile_bytes(const mo_tokenfile *file)
{
    return split_bytes(&file->split[MO_SPLIT_TRAIN]) + split_bytes(&file->split[MO_SPLIT_VALIDATION]);
}

mo_status mo_tokenfile_open(const char *path, mo_tokenfile **out)
{
    *out = NULL;
    char hash[33];
    MO_TRY(mo__stamp_check(path, &mo__stamp_tokens, hash));
    mo_tokenfile *file = mo_calloc(1, sizeof *file);
    if (!file) return MO_E_MEMORY;
    memcpy(file->hash, hash, sizeof hash);
    hid_t id = H5I_INVALID_HID;
    file->path = mo_strdup(path);
    MO__H5_LOCK();
    mo_status status = file->path ? mo__h5_open(path, &id) : MO_E_MEMORY;
    if (status == MO_OK) status = read_all(id, file);
    if (id >= 0) H5Fclose(id);
    if (status == MO_OK) {
        *out = file;
        return MO_OK;
    }
    mo_tokenfile_close(file);
    return mo_error_context(status, "%s", path);
}
