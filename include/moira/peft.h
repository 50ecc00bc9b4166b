/* peft.h -- low-rank adapters as Hugging Face's PEFT saves them: a folder with adapter_config.json and
 * adapter_model.safetensors (format as of PEFT 0.21: peft.LoraConfig, peft/tuners/lora/layer.py).
 *
 * A matrix ...q_proj has `base_model.model.<module>.lora_A.weight` [r, I] and `.lora_B.weight` [O, r].
 * Experts come in two layouts:
 *     per expert   a pair for each, <layer>.block_sparse_moe.experts.M.w1 (transformers 4; PEFT makes the
 *                  other of it under transformers 5, if it has both w1 and w3 or neither)
 *     fused        a pair for all of a layer, gate_up_proj and down_proj as parameters (transformers 5):
 *                  A [E * r, I], row e * r + k; B [O, r * E], column k * E + e. gate_up_proj of rank 2r is
 *                  block-diagonal: its first r are w1's and reach its upper rows, the others w3's.
 *                  Beside down_proj its module is mlp.experts.base_layer, and down_proj's mlp.experts. */
#ifndef MOIRA_PEFT_H
#define MOIRA_PEFT_H

#include "moira/hf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo_peft_export_options {
    const mo_model *model; /* tuned, with its values */
    const mo_tuning_config *tuning;
    const char *base; /* base_model_name_or_path */
    bool fused;
} mo_peft_export_options;
/* Makes the folder, which must not exist or be empty; it appears whole or not at all. MO_E_UNSUPPORTED: more
 * was trained than adapters, or nothing of them; MO_E_EXISTS, MO_E_IO. */
mo_status mo_peft_export(const char *dir, const mo_peft_export_options *options);

/* ---- reading ---- */

typedef struct mo_peft mo_peft;
/* Opens a folder for adapters beside a model of `config`. Where ranks differ between matrices, all are padded
 * to the largest with zeros. Statuses of safetensors; MO_E_NOT_FOUND; MO_E_MISMATCH: shapes that are not the
 * model's, half a pair; MO_E_UNSUPPORTED names the setting, or the tensor, that Moira has no adapters for. */
mo_status mo_peft_open(const char *dir, const mo_model_config *config, mo_peft **out);
void mo_peft_close(mo_peft *p);
/* What the folder says it was trained upon, a name or a path; borrowed, NULL if it says nothing. */
const char *mo_peft_base(const mo_peft *p);
/* What the model is to be created with; borrowed. */
const mo_tuning_config *mo_peft_tuning(const mo_peft *p);
/* Fills the adapters of such a model; where the folder has none for one, it adds nothing. MO_E_MEMORY. */
mo_status mo_peft_load(const mo_peft *p, mo_model *m);

#ifdef __cplusplus
}
#endif
#endif
