/* hf.h -- model folders as Hugging Face's transformers saves them: config.json, one or several safetensors
 * files (with model.safetensors.index.json), tokenizer files.
 *
 *     mo_hf *hf; MO_TRY(mo_hf_open("Mixtral-8x7B-v0.1", &hf));
 *     mo_model *m; MO_TRY(mo_model_create(mo_hf_config(hf), &m));
 *     const mo_stored *w; MO_TRY(mo_hf_stored(hf, &m->params[i], &w));     where that parameter lies
 *     mo_hf_close(hf);
 *
 * Architectures: MixtralForCausalLM (experts one by one, block_sparse_moe.experts.M.w1/w2/w3, or fused,
 * mlp.experts.gate_up_proj and down_proj), MistralForCausalLM, LlamaForCausalLM. What config.json asks for
 * and Moira does not do is refused by name. Nothing is read but config.json, the headers, small files and
 * at most 4 MiB of each tensor (mo_hf_digest) until weights are touched. */
#ifndef MOIRA_HF_H
#define MOIRA_HF_H

#include "moira/checkpoint.h"
#include "moira/model.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo_hf mo_hf;

/* Maps every shard and accounts for every tensor: one that is missing, not known, of another shape than
 * config.json says, of a type that is none of F32, F16 and BF16, outside its file or over another one is
 * named and refused. A type that is not the one in config.json is kept, and warned of. MO_E_NOT_FOUND,
 * MO_E_FORMAT, MO_E_CORRUPT (cut short, overlapping), MO_E_MISMATCH (config.json and tensors disagree),
 * MO_E_UNSUPPORTED (an architecture or setting that Moira does not have). */
mo_status mo_hf_open(const char *dir, mo_hf **out);
void mo_hf_close(mo_hf *hf);
const mo_model_config *mo_hf_config(const mo_hf *hf); /* resolved; borrowed, as all that follows */
double mo_hf_router_aux_loss_coef(const mo_hf *hf);   /* 0 if config.json has none */
const mo_tokenizer *mo_hf_tokenizer(const mo_hf *hf); /* of tokenizer.model; NULL without */
/* config.json and all small files beside it that belong to the model: tokenizer, generation config, template.
 */
const mo_checkpoint_file *mo_hf_files(const mo_hf *hf, int *count);
/* 32 hex digits, of config.json and of every shard its header, size and of each tensor's bytes 4 MiB: all of
 * one that is no larger, else 64 pieces of 64 KiB, the first at the tensor's begin, the last at its end, the
 * others evenly between. A change that lies between two pieces is not seen. hf_digest.c has the formula. */
const char *mo_hf_digest(const mo_hf *hf);
/* Where a parameter of a model of mo_hf_config lies; NULL in *out for the buffers that files do not have. */
mo_status mo_hf_stored(const mo_hf *hf, const mo_param *p, const mo_stored **out);

typedef struct mo_hf_facts {
    const char *architecture; /* "MixtralForCausalLM" */
    bool fused;               /* the newer layout, experts in one tensor */
    int shards;               /* files */
    int64_t tensors, bytes;   /* of all files */
    int64_t elements[3];      /* of the model's weights in F32, F16, BF16 */
} mo_hf_facts;
mo_hf_facts mo_hf_describe(const mo_hf *hf);
/* Reads every weight. MO_E_NONFINITE: how many are no finite number, and the first tensor that has such;
 * MO_E_INTERRUPTED. stop and progress (bytes) may be NULL. */
mo_status mo_hf_verify(const mo_hf *hf, const volatile sig_atomic_t *stop, mo_progress_fn progress,
                       void *user);

/* ---- writing ---- */

/* One matrix of a parameter: part is the expert of a stack of three dimensions, else 0. */
typedef mo_status mo_hf_values_fn(const mo_param *p, int64_t part, mo_real *out, void *user);
typedef struct mo_hf_export_options {
    const mo_model *model; /* names and shapes; its values are asked of `values` */
    double router_aux_loss_coef;
    const mo_dtype *dtypes;          /* per parameter of the model: MO_F32, MO_F16, MO_BF16 */
    bool fused;                      /* the newer layout, experts in one tensor */
    int64_t max_shard_bytes;         /* 0 = 5 GB */
    const mo_checkpoint_file *files; /* to carry through; config.json among them is built upon */
    int n_files;
    const mo_tokenizer *tokenizer; /* its tokenizer.model is written if files has none; NULL: none */
    mo_hf_values_fn *values;
    void *user;
    const volatile sig_atomic_t *stop; /* may be NULL */
    mo_progress_fn progress;           /* may be NULL; in bytes of tensors; gets `user` of its own */
    void *progress_user;
} mo_hf_export_options;
/* Makes the folder, which must not exist or be empty. It appears whole or not at all. MO_E_EXISTS,
 * MO_E_UNSUPPORTED (a model that none of the architectures can say: names the setting), MO_E_IO. */
mo_status mo_hf_export(const char *dir, const mo_hf_export_options *options);

#ifdef __cplusplus
}
#endif
#endif
