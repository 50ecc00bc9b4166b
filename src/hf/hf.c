/* hf.c -- a model folder behind one door. */
#include <string.h>

#include "hf/hf_internal.h"

enum { MOST_CONFIG = 1 << 20 };

static mo_status read_config(mo_hf *hf)
{
    char *path = mo_path_join(hf->dir, "config.json");
    if (!path) return MO_E_MEMORY;
    json_t *root = NULL;
    mo_status status;
    if (!mo_path_exists(path))
        status = mo_error(MO_E_NOT_FOUND, "%s: has no config.json, which a model folder of transformers has",
                          hf->dir);
    else
        status = mo__hf_json_read_file(path, MOST_CONFIG, &root);
    if (status == MO_OK) status = mo__hf_config_read(path, root, &hf->config);
    json_decref(root);
    mo_free(path);
    return status;
}

static mo_status open_parts(mo_hf *hf)
{
    MO_TRY(read_config(hf));
    MO_TRY(mo__shards_open(hf->dir, &hf->shards));
    MO_TRY(mo_model_create(&hf->config.model, &hf->model));
    MO_TRY(mo__hf_account(hf));
    MO_TRY(mo__hf_read_files(hf));
    return mo__hf_make_digest(hf);
}

mo_status mo_hf_open(const char *dir, mo_hf **out)
{
    *out = NULL;
    if (!mo_path_exists(dir)) return mo_error(MO_E_NOT_FOUND, "%s: there is no such folder", dir);
    if (!mo_path_is_dir(dir))
        return mo_error(MO_E_FORMAT, "%s: is a file; a model folder of transformers is needed", dir);
    mo_hf *hf = mo_calloc(1, sizeof *hf);
    if (!hf) return MO_E_MEMORY;
    hf->dir = mo_strdup(dir);
    mo_status status = hf->dir ? open_parts(hf) : MO_E_MEMORY;
    if (status != MO_OK) {
        mo_hf_close(hf);
        return status;
    }
    *out = hf;
    return MO_OK;
}

void mo_hf_close(mo_hf *hf)
{
    if (!hf) return;
    mo__hf_free_files(hf);
    mo_model_free(hf->model);
    mo_free(hf->stored);
    mo_free(hf->parts);
    mo__shards_close(&hf->shards);
    mo_free(hf->dir);
    mo_free(hf);
}

const mo_model_config *mo_hf_config(const mo_hf *hf)
{
    return &hf->config.model;
}

double mo_hf_router_aux_loss_coef(const mo_hf *hf)
{
    return hf->config.router_aux_loss_coef;
}

const mo_tokenizer *mo_hf_tokenizer(const mo_hf *hf)
{
    return hf->tokenizer;
}

const mo_checkpoint_file *mo_hf_files(const mo_hf *hf, int *count)
{
    *count = hf->n_files;
    return hf->files;
}

const char *mo_hf_digest(const mo_hf *hf)
{
    return hf->digest;
}

mo_status mo_hf_stored(const mo_hf *hf, const mo_param *p, const mo_stored **out)
{
    *out = NULL;
    const mo_param *own = mo_model_find(hf->model, p->name);
    if (!own) return MO_OK;
    if (own->ndim != p->ndim || memcmp(own->dim, p->dim, (size_t)p->ndim * sizeof *p->dim) != 0)
        return mo_error(MO_E_MISMATCH, "%s: %s is %s, and the model's is %s", hf->dir, p->name,
                        mo__shape_show(own->ndim, own->dim).text, mo__shape_show(p->ndim, p->dim).text);
    *out = &hf->stored[own - hf->model->params];
    return MO_OK;
}
