/* hf_internal.h -- an open model folder. */
#ifndef MOIRA_HF_HF_INTERNAL_H
#define MOIRA_HF_HF_INTERNAL_H

#include "hf/hf_config.h"
#include "hf/shards.h"
#include "moira/hf.h"

struct mo_hf {
    char *dir;
    mo__hf_config config;
    mo__shards shards;
    bool fused;
    mo_model *model;    /* names and shapes, nothing allocated */
    mo_stored *stored;  /* by parameter; dtype etc. */
    const void **parts; /* what they point to */
    mo_tokenizer *tokenizer;
    mo_checkpoint_file *files; /* owned: names and bytes */
    int n_files;
    char digest[33];
};

/* hf_account.c: finds every parameter's tensors, and that there is no other tensor. */
mo_status mo__hf_account(mo_hf *hf);
/* hf_files.c: config.json, the small files beside it, and the tokenizer. */
mo_status mo__hf_read_files(mo_hf *hf);
void mo__hf_free_files(mo_hf *hf);
/* hf_digest.c */
mo_status mo__hf_make_digest(mo_hf *hf);

#endif
