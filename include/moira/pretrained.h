/* pretrained.h -- the model that a run starts from, or that is evaluated: a checkpoint of ours or a folder in
 * Hugging Face's layout, behind one door.
 *
 *     mo_pretrained *p; MO_TRY(mo_pretrained_open(path, mo_config_parse, mo_config_free, &p));
 *     mo_model *m; MO_TRY(mo_model_create_tuned(&mo_pretrained_config(p)->model, &tuning, &m));
 *     MO_TRY(mo_pretrained_map(p, m));        frozen matrices stay in the folder's files
 *     MO_TRY(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
 *     mo_model_init(m, seed);                 what the source does not have: adapters
 *     MO_TRY(mo_pretrained_load(p, m));       everything else
 *
 * The source must stay open while a model that is mapped from it lives. */
#ifndef MOIRA_PRETRAINED_H
#define MOIRA_PRETRAINED_H

#include "moira/hf.h"
#include "moira/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Statuses of mo_checkpoint_open and mo_hf_open; MO_E_MISMATCH for a checkpoint that has only what was
 * trained (adapters): merge it into its base first. parse NULL: the config is left empty. */
mo_status mo_pretrained_open(const char *path, mo_config_parse_fn *parse, mo_config_release_fn *release,
                             mo_pretrained **out);
void mo_pretrained_close(mo_pretrained *p);
/* model and balance say what it is: of a folder, balance.mixtral is its router_aux_loss_coef. */
const mo_run_config *mo_pretrained_config(const mo_pretrained *p);
const mo_tokenizer *mo_pretrained_tokenizer(const mo_pretrained *p); /* NULL without */
const char *mo_pretrained_path(const mo_pretrained *p);
const char *mo_pretrained_digest(const mo_pretrained *p);
const mo_checkpoint_file *mo_pretrained_files(const mo_pretrained *p, int *count);
/* The type of a parameter there: MO_F32, MO_F64, MO_F16, MO_BF16. MO_E_NOT_FOUND. */
mo_status mo_pretrained_dtype(mo_pretrained *p, const mo_param *own, mo_dtype *out);
/* Has the model's frozen matrices read from the folder's files; a checkpoint has none that can be mapped. */
mo_status mo_pretrained_map(mo_pretrained *p, mo_model *m);
/* Fills the value slab with all that is not mapped; adapters are left alone. MO_E_MISMATCH lists what is
 * missing, left over or of another shape. */
mo_status mo_pretrained_load(mo_pretrained *p, mo_model *m);

/* ---- checkpoints of a model that began as it ----
 *
 * Where nothing is frozen a checkpoint is self-contained, and takes the files of the base along; else it has
 * what was trained, and says where the base is: mo_path_from(folder of the checkpoint, path of the base). */

/* Fills arrays, base and files of content, which borrows them: *arrays is owned, base_path the caller's. base
 * NULL: all is saved. */
mo_status mo_pretrained_content(const mo_pretrained *base, const mo_model *m, bool moments,
                                const char *base_path, mo_checkpoint_array **arrays,
                                mo_checkpoint_content *content);

#ifdef __cplusplus
}
#endif
#endif
