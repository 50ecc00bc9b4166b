/* hf_files.c -- the small files of a folder, kept as they are, and its tokenizer. */
#include <string.h>

#include "hf/hf_internal.h"

enum { MOST_FILE = 64 << 20 };

/* What belongs to the model: transformers', sentencepiece's and Mistral's names. */
static const char *const names[] = {"config.json",
                                    "generation_config.json",
                                    "tokenizer.model",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "vocab.json",
                                    "merges.txt",
                                    NULL};

static mo_status read_one(mo_hf *hf, const char *name)
{
    char *path = mo_path_join(hf->dir, name), *bytes;
    size_t size;
    if (!path) return MO_E_MEMORY;
    mo_status status = MO_OK;
    if (mo_path_exists(path)) {
        status = mo_read_file(path, MOST_FILE, &bytes, &size);
        if (status == MO_OK) hf->files[hf->n_files++] = (mo_checkpoint_file){name, bytes, size};
    }
    mo_free(path);
    return status;
}

static mo_status open_tokenizer(mo_hf *hf)
{
    char *path = mo_path_join(hf->dir, "tokenizer.model");
    if (!path) return MO_E_MEMORY;
    mo_status status = mo_path_exists(path) ? mo_tokenizer_open(path, &hf->tokenizer) : MO_OK;
    mo_free(path);
    if (status != MO_E_UNSUPPORTED) return status;
    mo_log(MO_LOG_WARNING, "%s; going on without a tokenizer", mo_last_error());
    return MO_OK;
}

mo_status mo__hf_read_files(mo_hf *hf)
{
    hf->files = mo_calloc(sizeof names / sizeof *names, sizeof *hf->files);
    if (!hf->files) return MO_E_MEMORY;
    for (int i = 0; names[i]; i++) MO_TRY(read_one(hf, names[i]));
    MO_TRY(open_tokenizer(hf));
    long long ids = hf->tokenizer ? mo_tokenizer_vocab_size(hf->tokenizer) : 0,
              rows = hf->config.model.vocab_size;
    if (ids <= rows) return MO_OK;
    return mo_error(MO_E_MISMATCH, "%s: tokenizer.model has %lld ids, and config.json's vocab_size is %lld",
                    hf->dir, ids, rows);
}

void mo__hf_free_files(mo_hf *hf)
{
    for (int i = 0; i < hf->n_files; i++) mo_free((void *)(uintptr_t)hf->files[i].bytes);
    mo_free(hf->files);
    mo_tokenizer_free(hf->tokenizer);
}
