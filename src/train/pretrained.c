/* pretrained.c -- a checkpoint of ours, or a folder in Hugging Face's layout, as what a model begins with. */
#include "moira/pretrained.h"

#include <string.h>

#include "train/train_internal.h"

struct mo_pretrained {
    char *path;
    mo_checkpoint *checkpoint; /* one of the two */
    mo_hf *hf;
    mo_run_config config;
    mo_config_release_fn *release; /* NULL: the config is not read */
    const mo_checkpoint_file *files;
    int n_files;
};

/* ---- opening ---- */

static mo_status refuse_adapters(const mo_pretrained *p)
{
    if (mo_checkpoint_base_path(p->checkpoint))
        return mo_error(MO_E_MISMATCH,
                        "%s: has only what was trained upon %s; moira export --merge makes one model of the "
                        "two, which moira import reads",
                        p->path, mo_checkpoint_base_path(p->checkpoint));
    if (p->config.tuning.lora.rank > 0)
        return mo_error(MO_E_MISMATCH,
                        "%s: has adapters beside its matrices; moira export --merge makes plain ones of "
                        "them, which moira import reads",
                        p->path);
    return MO_OK;
}

static mo_status open_checkpoint(mo_pretrained *p, mo_config_parse_fn *parse)
{
    MO_TRY(mo_checkpoint_open(p->path, &p->checkpoint));
    MO_TRY(mo_checkpoint_files(p->checkpoint, &p->files, &p->n_files));
    if (parse) {
        MO_TRY(parse(mo_checkpoint_config(p->checkpoint), p->path, &p->config));
        const mo_tokenizer *t = mo_checkpoint_tokenizer(p->checkpoint);
        if (p->config.model.vocab_size == 0 && t) p->config.model.vocab_size = mo_tokenizer_vocab_size(t);
    }
    return refuse_adapters(p);
}

static mo_status open_folder(mo_pretrained *p, mo_config_parse_fn *parse)
{
    MO_TRY(mo_hf_open(p->path, &p->hf));
    p->files = mo_hf_files(p->hf, &p->n_files);
    return parse ? mo__folder_config(p->hf, p->path, parse, &p->config) : MO_OK;
}

static mo_status open_it(mo_pretrained *p, const char *path, mo_config_parse_fn *parse)
{
    p->path = mo_strdup(path);
    if (!p->path) return MO_E_MEMORY;
    return mo_path_is_dir(path) ? open_folder(p, parse) : open_checkpoint(p, parse);
}

mo_status mo_pretrained_open(const char *path, mo_config_parse_fn *parse, mo_config_release_fn *release,
                             mo_pretrained **out)
{
    *out = NULL;
    mo_pretrained *p = mo_calloc(1, sizeof *p);
    if (!p) return MO_E_MEMORY;
    p->release = parse ? release : NULL;
    mo_status status = open_it(p, path, parse);
    if (status == MO_OK)
        *out = p;
    else
        mo_pretrained_close(p);
    return status;
}

mo_status mo__pretrained_open_into(const char *path, mo_config_parse_fn *parse, mo_run_config *config,
                                   mo_pretrained **out)
{
    *out = NULL;
    mo_pretrained *p = mo_calloc(1, sizeof *p);
    if (!p) return MO_E_MEMORY;
    mo_status status = open_it(p, path, parse);
    *config = p->config;
    p->config = (mo_run_config){0};
    if (status == MO_OK)
        *out = p;
    else
        mo_pretrained_close(p);
    return status;
}

void mo_pretrained_close(mo_pretrained *p)
{
    if (!p) return;
    mo_checkpoint_close(p->checkpoint);
    mo_hf_close(p->hf);
    if (p->release) p->release(&p->config);
    mo_free(p->path);
    mo_free(p);
}

/* ---- what it is ---- */

const mo_run_config *mo_pretrained_config(const mo_pretrained *p)
{
    return &p->config;
}

const mo_tokenizer *mo_pretrained_tokenizer(const mo_pretrained *p)
{
    return p->hf ? mo_hf_tokenizer(p->hf) : mo_checkpoint_tokenizer(p->checkpoint);
}

const char *mo_pretrained_path(const mo_pretrained *p)
{
    return p->path;
}

const char *mo_pretrained_digest(const mo_pretrained *p)
{
    return p->hf ? mo_hf_digest(p->hf) : mo_checkpoint_digest(p->checkpoint);
}

const mo_checkpoint_file *mo_pretrained_files(const mo_pretrained *p, int *count)
{
    *count = p->n_files;
    return p->files;
}

/* ---- its weights ---- */

mo_status mo_pretrained_dtype(mo_pretrained *p, const mo_param *own, mo_dtype *out)
{
    const mo_stored *stored = NULL;
    if (p->checkpoint) return mo_checkpoint_dtype(p->checkpoint, "model", own->name, out);
    MO_TRY(mo_hf_stored(p->hf, own, &stored));
    if (!stored) return mo_error(MO_E_NOT_FOUND, "%s: has no %s", p->path, own->name);
    *out = stored->dtype;
    return MO_OK;
}

mo_status mo_pretrained_map(mo_pretrained *p, mo_model *m)
{
    for (int i = 0; p->hf && i < m->n_params; i++) {
        const mo_param *own = &m->params[i];
        const mo_stored *stored = NULL;
        if (!own->frozen || own->buffer || own->ndim < 2) continue;
        MO_TRY(mo_hf_stored(p->hf, own, &stored));
        if (stored) mo_model_map(m, own, stored);
    }
    return MO_OK;
}

static mo_status load_checkpoint(mo_pretrained *p, mo_model *m)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0, own = 0;
    MO_TRY(mo_model_arrays(m, false, &arrays, &count));
    for (int i = 0; i < count; i++)
        if (!mo__is_adapter(arrays[i].name)) arrays[own++] = arrays[i];
    mo_status status = mo_checkpoint_read(p->checkpoint, arrays, own);
    mo_free(arrays);
    return status;
}

/* In runs of a part, so that one large matrix keeps all threads busy. */
static void expand(const mo_stored *s, mo_real *out)
{
    enum { RUN = 1 << 18 };
    int64_t runs = (s->part_elements + RUN - 1) / RUN;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < s->parts * runs; k++) {
        int64_t part = k / runs, first = k % runs * RUN, left = s->part_elements - first;
        mo_stored_expand(s, part, first, left < RUN ? left : RUN, out + part * s->part_elements + first);
    }
}

/* What the folder has and the model has not. */
static mo_status check_left_over(const mo_pretrained *p, const mo_model *m)
{
    mo_model *whole = NULL;
    MO_TRY(mo_model_create(mo_hf_config(p->hf), &whole));
    mo_status status = MO_OK;
    for (int i = 0; status == MO_OK && i < whole->n_params; i++)
        if (!mo_model_find(m, whole->params[i].name))
            status =
                mo_error(MO_E_MISMATCH, "%s: has %s, and the model has not", p->path, whole->params[i].name);
    mo_model_free(whole);
    return status;
}

static mo_status load_folder(mo_pretrained *p, mo_model *m)
{
    MO_TRY(check_left_over(p, m));
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *own = &m->params[i];
        const mo_stored *stored = NULL;
        if (own->stored || own->buffer || mo__is_adapter(own->name)) continue;
        MO_TRY(mo_hf_stored(p->hf, own, &stored));
        if (!stored) return mo_error(MO_E_MISMATCH, "%s: has no %s, and the model has", p->path, own->name);
        expand(stored, m->value + own->offset);
    }
    return MO_OK;
}

mo_status mo_pretrained_load(mo_pretrained *p, mo_model *m)
{
    return p->hf ? load_folder(p, m) : load_checkpoint(p, m);
}

/* ---- checkpoints of what was made of it ---- */

static bool has_frozen(const mo_model *m)
{
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].frozen) return true;
    return false;
}

mo_status mo_pretrained_content(const mo_pretrained *base, const mo_model *m, bool moments,
                                const char *base_path, mo_checkpoint_array **arrays,
                                mo_checkpoint_content *content)
{
    int count = 0;
    bool upon = base && has_frozen(m);
    MO_TRY(upon ? mo_model_arrays_changed(m, moments, arrays, &count)
                : mo_model_arrays(m, moments, arrays, &count));
    content->arrays = *arrays;
    content->n_arrays = count;
    content->base_path = upon ? base_path : NULL;
    content->base_digest = upon ? mo_pretrained_digest(base) : NULL;
    content->files = base && !upon ? base->files : NULL;
    content->n_files = base && !upon ? base->n_files : 0;
    return MO_OK;
}
