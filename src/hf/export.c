/* export.c -- a model written as a folder that transformers reads. */
#include <string.h>

#include "hf/export_plan.h"
#include "hf/hf_config.h"
#include "hf/new_folder.h"
#include "hf/shards.h"

typedef struct job {
    const mo_hf_export_options *o;
    mo__plan plan;
    const char *dir;
    mo_real *part;
    double done; /* bytes of tensors */
} job;

static mo_status write_named(const job *j, const char *name, const void *bytes, size_t size)
{
    char *path = mo_path_join(j->dir, name);
    mo_status status = path ? mo_write_file(path, bytes, size) : MO_E_MEMORY;
    mo_free(path);
    return status;
}

/* ---- tensors ---- */

typedef struct shard_name {
    char text[64];
} shard_name;

static shard_name name_of(const job *j, int shard)
{
    shard_name name = {MO__SINGLE_NAME};
    if (j->plan.shards > 1)
        snprintf(name.text, sizeof name.text, "model-%05d-of-%05d.safetensors", shard + 1, j->plan.shards);
    return name;
}

static mo_status write_part(job *j, mo__shard_writer *w, const mo__planned *t, const mo_param *p,
                            int64_t part)
{
    const mo_hf_export_options *o = j->o;
    int64_t count = mo__is_experts(p) ? p->dim[1] * p->dim[2] : p->count;
    if (o->stop && *o->stop) return mo_error(MO_E_INTERRUPTED, "interrupted; nothing was kept");
    MO_TRY(o->values(p, part, j->part, o->user));
    MO_TRY(mo__shard_values(w, &t->entry, j->part, count));
    j->done += (double)count * (double)mo_dtype_size(t->entry.dtype);
    if (o->progress) o->progress(j->done, (double)j->plan.bytes, "B", o->progress_user);
    return MO_OK;
}

static mo_status write_tensor(job *j, mo__shard_writer *w, const mo__planned *t)
{
    for (int64_t k = t->first; k < t->first + t->parts; k++)
        for (int i = 0; i < 2; i++)
            if (t->from[i]) MO_TRY(write_part(j, w, t, t->from[i], k));
    return MO_OK;
}

static mo_status write_shard(job *j, int shard, const mo__planned *first, int64_t n)
{
    mo__shard_writer w;
    const mo__shard_entry **entries = mo_malloc((size_t)n * sizeof *entries);
    char *path = mo_path_join(j->dir, name_of(j, shard).text);
    mo_status status = entries && path ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) {
        for (int64_t i = 0; i < n; i++) entries[i] = &first[i].entry;
        status = mo__shard_begin(path, entries, n, &w);
        if (status == MO_OK) {
            for (int64_t i = 0; i < n && status == MO_OK; i++) status = write_tensor(j, &w, &first[i]);
            status = mo__shard_end(&w, status);
        }
    }
    mo_free(entries);
    mo_free(path);
    return status;
}

static mo_status write_tensors(job *j)
{
    const mo__plan *plan = &j->plan;
    for (int64_t i = 0, n; i < plan->n; i += n) {
        for (n = 1; i + n < plan->n && plan->at[i + n].shard == plan->at[i].shard;) n++;
        MO_TRY(write_shard(j, plan->at[i].shard, &plan->at[i], n));
    }
    return MO_OK;
}

static mo_status fill_index(const job *j, json_t *root)
{
    json_t *metadata = json_object(), *map = json_object();
    mo_status status = mo__hf_json_put(root, "metadata", metadata);
    if (status != MO_OK) {
        json_decref(map);
        return status;
    }
    MO_TRY(mo__hf_json_put(root, "weight_map", map));
    MO_TRY(mo__hf_json_put(metadata, "total_size", json_integer(j->plan.bytes)));
    for (int64_t i = 0; i < j->plan.n; i++)
        MO_TRY(mo__hf_json_put(map, j->plan.at[i].entry.name,
                               json_string(name_of(j, j->plan.at[i].shard).text)));
    return MO_OK;
}

static mo_status write_index(const job *j)
{
    char *text = NULL;
    if (j->plan.shards == 1) return MO_OK;
    json_t *root = json_object();
    mo_status status = root ? fill_index(j, root) : mo_error(MO_E_MEMORY, "no memory for %s", MO__INDEX_NAME);
    if (status == MO_OK) status = mo__hf_json_dump(root, &text);
    if (status == MO_OK) status = write_named(j, MO__INDEX_NAME, text, strlen(text));
    mo_free(text);
    json_decref(root);
    return status;
}

/* ---- the rest ---- */

static const mo_checkpoint_file *carried(const mo_hf_export_options *o, const char *name)
{
    for (int i = 0; i < o->n_files; i++)
        if (strcmp(o->files[i].name, name) == 0) return &o->files[i];
    return NULL;
}

/* The architecture that the carried config.json names, or -1. */
static mo_status read_carried(const mo_checkpoint_file *file, int *out)
{
    json_t *root;
    mo__hf_config config;
    *out = -1;
    if (!file) return MO_OK;
    MO_TRY(mo__hf_json_read("config.json", file->bytes, file->size, &root));
    mo_status status = mo__hf_config_read("config.json", root, &config);
    if (status == MO_OK) *out = (int)config.architecture;
    json_decref(root);
    return status;
}

static mo_status write_config(const job *j)
{
    const mo_hf_export_options *o = j->o;
    const mo_checkpoint_file *file = carried(o, "config.json");
    mo__hf_config config = {.model = o->model->config,
                            .router_aux_loss_coef = o->router_aux_loss_coef,
                            .dtype = (int)j->plan.dtype};
    if (config.model.num_local_experts > 0)
        config.model.intermediate_size = config.model.moe_intermediate_size;
    int like;
    char *text = NULL;
    size_t size = 0;
    MO_TRY(read_carried(file, &like));
    MO_TRY(mo__hf_express(&config.model, like, &config.architecture));
    MO_TRY(mo__hf_config_write(&config, file, o->tokenizer, &text, &size));
    mo_status status = write_named(j, "config.json", text, size);
    mo_free(text);
    return status;
}

static mo_status put_piece(json_t *root, const char *key, const mo_tokenizer *t, int32_t id)
{
    return mo__hf_json_put(root, key, id < 0 ? json_null() : json_string(mo_tokenizer_piece(t, id)));
}

/* Which of transformers' classes reads tokenizer.model, and that a document begins with <s>, as in training
 * here. */
static mo_status write_tokenizer_config(const job *j)
{
    const mo_tokenizer *t = j->o->tokenizer;
    char *text = NULL;
    json_t *root = json_object();
    mo_status status = mo__hf_json_put(root, "tokenizer_class", json_string("LlamaTokenizer"));
    if (status == MO_OK) status = put_piece(root, "bos_token", t, mo_tokenizer_bos(t));
    if (status == MO_OK) status = put_piece(root, "eos_token", t, mo_tokenizer_eos(t));
    if (status == MO_OK)
        status = mo__hf_json_put(root, "add_bos_token", json_boolean(mo_tokenizer_bos(t) >= 0));
    if (status == MO_OK) status = mo__hf_json_put(root, "add_eos_token", json_false());
    if (status == MO_OK) status = mo__hf_json_dump(root, &text);
    if (status == MO_OK) status = write_named(j, "tokenizer_config.json", text, strlen(text));
    mo_free(text);
    json_decref(root);
    return status;
}

static mo_status write_files(const job *j)
{
    const mo_hf_export_options *o = j->o;
    for (int i = 0; i < o->n_files; i++)
        if (strcmp(o->files[i].name, "config.json") != 0)
            MO_TRY(write_named(j, o->files[i].name, o->files[i].bytes, o->files[i].size));
    if (!o->tokenizer || carried(o, "tokenizer.model") ||
        strcmp(mo_tokenizer_kind(o->tokenizer), "sentencepiece") != 0)
        return MO_OK;
    size_t size = 0;
    const void *blob = mo_tokenizer_blob(o->tokenizer, &size);
    MO_TRY(write_named(j, "tokenizer.model", blob, size));
    return carried(o, "tokenizer_config.json") ? MO_OK : write_tokenizer_config(j);
}

static mo_status fill(job *j)
{
    MO_TRY(mo__plan_make(j->o, &j->plan));
    MO_TRY(write_config(j)); /* refuses what it cannot say before anything large is written */
    MO_TRY(write_files(j));
    j->part = mo_malloc((size_t)j->plan.part_elements * sizeof *j->part);
    if (!j->part) return MO_E_MEMORY;
    MO_TRY(write_tensors(j));
    return write_index(j);
}

mo_status mo_hf_export(const char *dir, const mo_hf_export_options *options)
{
    mo__new_folder folder;
    MO_TRY(mo__new_folder_begin(dir, &folder));
    job j = {.o = options, .dir = folder.path};
    mo_status status = fill(&j);
    mo__plan_free(&j.plan);
    mo_free(j.part);
    return mo__new_folder_end(&folder, status);
}
