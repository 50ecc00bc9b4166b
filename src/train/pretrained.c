/* pretrained.c -- the model that a run starts from: a checkpoint of ours. */
#include "moira/pretrained.h"

#include <string.h>

#include "train/train_internal.h"

struct mo_pretrained {
    char *path;
    mo_checkpoint *checkpoint;
    mo_run_config config;
    mo_config_release_fn *release; /* NULL: the config is not parsed yet */
    char digest[33];
};

/* Of the stamp, which is a hash of the whole file. */
static mo_status digest_of(const char *path, char out[33])
{
    char head[512] = "";
    FILE *file = fopen(path, "rbe");
    if (!file) return mo_error(MO_E_IO, "%s: cannot be read", path);
    size_t size = fread(head, 1, sizeof head - 1, file);
    fclose(file);
    head[size] = '\0';
    const char *at = strstr(head, "xxh3_128=");
    if (!at || strlen(at) < 9 + 32) return mo_error(MO_E_FORMAT, "%s: has no stamp", path);
    memcpy(out, at + 9, 32);
    out[32] = '\0';
    return MO_OK;
}

static mo_status open_checkpoint(mo_pretrained *p, mo_config_parse_fn *parse, mo_config_release_fn *release)
{
    if (mo_path_is_dir(p->path))
        return mo_error(MO_E_UNSUPPORTED, "%s: is a folder; moira import makes a checkpoint of it", p->path);
    MO_TRY(mo_checkpoint_open(p->path, &p->checkpoint));
    MO_TRY(digest_of(p->path, p->digest));
    MO_TRY(parse(mo_checkpoint_config(p->checkpoint), p->path, &p->config));
    p->release = release;
    const mo_tokenizer *t = mo_checkpoint_tokenizer(p->checkpoint);
    if (p->config.model.vocab_size == 0 && t) p->config.model.vocab_size = mo_tokenizer_vocab_size(t);
    return MO_OK;
}

mo_status mo_pretrained_open(const char *path, mo_config_parse_fn *parse, mo_config_release_fn *release,
                             mo_pretrained **out)
{
    *out = NULL;
    mo_pretrained *p = mo_calloc(1, sizeof *p);
    if (!p) return MO_E_MEMORY;
    p->path = mo_strdup(path);
    mo_status status = p->path ? open_checkpoint(p, parse, release) : MO_E_MEMORY;
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
    if (p->release) p->release(&p->config);
    mo_free(p->path);
    mo_free(p);
}

const mo_run_config *mo_pretrained_config(const mo_pretrained *p)
{
    return &p->config;
}

const mo_tokenizer *mo_pretrained_tokenizer(const mo_pretrained *p)
{
    return mo_checkpoint_tokenizer(p->checkpoint);
}

const char *mo_pretrained_path(const mo_pretrained *p)
{
    return p->path;
}

const char *mo_pretrained_digest(const mo_pretrained *p)
{
    return p->digest;
}

const mo_checkpoint_file *mo_pretrained_files(const mo_pretrained *p, int *count)
{
    (void)p;
    *count = 0;
    return NULL;
}

mo_status mo_pretrained_map(mo_pretrained *p, mo_model *m)
{
    (void)p;
    (void)m;
    return MO_OK;
}

mo_status mo_pretrained_load(mo_pretrained *p, mo_model *m)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0, own = 0;
    MO_TRY(mo_model_arrays(m, false, &arrays, &count));
    for (int i = 0; i < count; i++)
        if (!strstr(arrays[i].name, ".lora_")) arrays[own++] = arrays[i];
    mo_status status = mo_checkpoint_read(p->checkpoint, arrays, own);
    mo_free(arrays);
    return status;
}
