/* shards.c -- the index of a folder held against its files. */
#include "hf/shards.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "hf/hf_json.h"

enum { MOST_INDEX = 100000000, MOST_SHARDS = 100000 };

/* The index: tensor's name -> file's name; and the files without repetition. */
typedef struct listing {
    char *path; /* of the index */
    json_t *root;
    json_t *map;
    const char **files; /* sorted, borrowed from root */
    size_t n_files;
} listing;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that leads out of the folder would open a file that is not the model's. */
static mo_status check_file_name(const listing *l, const char *tensor, const json_t *value)
{
    if (!json_is_string(value))
        return mo_error(MO_E_FORMAT, "%s: weight_map has no file name for %s", l->path, tensor);
    const char *name = json_string_value(value);
    if (!mo__hf_json_plain(name) || !mo__hf_json_plain(tensor))
        return mo_error(MO_E_FORMAT, "%s: weight_map has a name with control characters", l->path);
    if (!*name || strchr(name, '/') || strchr(name, '\\') || !strcmp(name, ".") || !strcmp(name, ".."))
        return mo_error(MO_E_FORMAT,
                        "%s: weight_map has tensor %s in \"%s\", which is not the name of a file beside it",
                        l->path, tensor, name);
    return MO_OK;
}

static mo_status list_files(listing *l)
{
    const char *tensor;
    json_t *value;
    size_t n = 0;
    l->map = json_object_get(l->root, "weight_map");
    if (!json_is_object(l->map) || json_object_size(l->map) == 0)
        return mo_error(MO_E_FORMAT, "%s: has no weight_map of tensors to files", l->path);
    l->files = mo_malloc(json_object_size(l->map) * sizeof *l->files);
    if (!l->files) return MO_E_MEMORY;
    json_object_foreach(l->map, tensor, value)
    {
        MO_TRY(check_file_name(l, tensor, value));
        l->files[n++] = json_string_value(value);
    }
    qsort(l->files, n, sizeof *l->files, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(l->files[i], l->files[l->n_files - 1]) != 0)
            l->files[l->n_files++] = l->files[i];
    if (l->n_files > MOST_SHARDS)
        return mo_error(MO_E_RANGE, "%s: names %zu files, more than %d", l->path, l->n_files, MOST_SHARDS);
    return MO_OK;
}

static void forget(listing *l)
{
    mo_free(l->path);
    mo_free(l->files);
    json_decref(l->root);
}

/* ---- opening ---- */

static mo_status open_all(mo__shards *s, const char *dir, const char *const *files, size_t n)
{
    s->at = mo_calloc(n, sizeof *s->at);
    if (!s->at) return MO_E_MEMORY;
    for (size_t i = 0; i < n; i++) {
        char *path = mo_path_join(dir, files[i]);
        mo_status status = path ? mo__shard_open(path, &s->at[s->n]) : MO_E_MEMORY;
        mo_free(path);
        MO_TRY(status);
        s->n++;
    }
    return MO_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const mo__found_tensor *)a)->name, ((const mo__found_tensor *)b)->name);
}

static mo_status gather(mo__shards *s)
{
    int64_t total = 0, n = 0;
    for (int i = 0; i < s->n; i++) total += s->at[i].n_tensors;
    s->tensors = mo_malloc((size_t)(total ? total : 1) * sizeof *s->tensors);
    if (!s->tensors) return MO_E_MEMORY;
    for (int i = 0; i < s->n; i++)
        for (int64_t t = 0; t < s->at[i].n_tensors; t++) {
            const mo__shard_tensor *tensor = &s->at[i].tensors[t];
            s->tensors[n++] = (mo__found_tensor){tensor->name, tensor, &s->at[i], false};
        }
    s->n_tensors = n;
    qsort(s->tensors, (size_t)n, sizeof *s->tensors, by_name);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(s->tensors[i].name, s->tensors[i - 1].name) == 0)
            return mo_error(MO_E_MISMATCH, "tensor %s is in two files: %s and %s", s->tensors[i].name,
                            s->tensors[i - 1].shard->path, s->tensors[i].shard->path);
    return MO_OK;
}

mo__found_tensor *mo__shards_find(const mo__shards *s, const char *name)
{
    mo__found_tensor key = {.name = name};
    return bsearch(&key, s->tensors, (size_t)s->n_tensors, sizeof *s->tensors, by_name);
}

/* ---- index against files ---- */

static mo_status check_map(const mo__shards *s, const listing *l)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(l->map, tensor, value)
    {
        const mo__found_tensor *found = mo__shards_find(s, tensor);
        if (!found)
            return mo_error(MO_E_MISMATCH, "%s: weight_map has tensor %s in %s, which has no such tensor",
                            l->path, tensor, json_string_value(value));
        if (strcmp(found->shard->name, json_string_value(value)) != 0)
            return mo_error(MO_E_MISMATCH, "%s: weight_map has tensor %s in %s, and it is in %s", l->path,
                            tensor, json_string_value(value), found->shard->name);
    }
    for (int64_t i = 0; i < s->n_tensors; i++)
        if (!json_object_get(l->map, s->tensors[i].name))
            return mo_error(MO_E_MISMATCH, "%s: tensor %s is not in the weight_map of %s",
                            s->tensors[i].shard->path, s->tensors[i].name, MO__INDEX_NAME);
    return MO_OK;
}

/* A shard of a series that the index does not name: a copy that went wrong, or an index that is older. */
static mo_status check_others(const char *dir, const listing *l)
{
    DIR *folder = opendir(dir);
    if (!folder) return MO_OK; /* was readable a moment ago; the shards are open */
    mo_status status = MO_OK;
    for (struct dirent *entry; status == MO_OK && (entry = readdir(folder));) {
        const char *name = entry->d_name;
        bool shard = strcmp(name, MO__SINGLE_NAME) == 0 || mo_glob_match("model-*-of-*.safetensors", name);
        if (shard && !bsearch(&name, l->files, l->n_files, sizeof *l->files, by_text))
            status = mo_error(MO_E_MISMATCH,
                              "%s: names no tensor of %s, which lies beside it; remove the one that "
                              "does not belong to the model",
                              l->path, name);
    }
    closedir(folder);
    return status;
}

static mo_status open_indexed(mo__shards *s, const char *dir, listing *l)
{
    MO_TRY(mo__hf_json_read_file(l->path, MOST_INDEX, &l->root));
    MO_TRY(list_files(l));
    mo_status status = open_all(s, dir, l->files, l->n_files);
    if (status == MO_E_NOT_FOUND)
        return mo_error_context(status, "%s: names a file that is missing", l->path);
    MO_TRY(status);
    MO_TRY(gather(s));
    MO_TRY(check_map(s, l));
    return check_others(dir, l);
}

static mo_status open_single(mo__shards *s, const char *dir)
{
    const char *name = MO__SINGLE_NAME;
    char *path = mo_path_join(dir, name), *old = mo_path_join(dir, "pytorch_model.bin"),
         *old_index = mo_path_join(dir, "pytorch_model.bin.index.json");
    mo_status status = path && old && old_index ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK && !mo_path_exists(path)) {
        bool pickled = mo_path_exists(old) || mo_path_exists(old_index);
        status = mo_error(
            MO_E_NOT_FOUND, "%s: has neither %s nor %s%s", dir, MO__SINGLE_NAME, MO__INDEX_NAME,
            pickled ? "; its weights are in pytorch_model.bin: have transformers save them as safetensors"
                    : "");
    }
    mo_free(path);
    mo_free(old);
    mo_free(old_index);
    MO_TRY(status);
    MO_TRY(open_all(s, dir, &name, 1));
    return gather(s);
}

mo_status mo__shards_open(const char *dir, mo__shards *out)
{
    *out = (mo__shards){0};
    listing l = {.path = mo_path_join(dir, MO__INDEX_NAME)};
    if (!l.path) return MO_E_MEMORY;
    mo_status status = mo_path_exists(l.path) ? open_indexed(out, dir, &l) : open_single(out, dir);
    forget(&l);
    if (status != MO_OK) mo__shards_close(out);
    return status;
}

void mo__shards_close(mo__shards *s)
{
    for (int i = 0; i < s->n; i++) mo__shard_close(&s->at[i]);
    mo_free(s->at);
    mo_free(s->tensors);
    *s = (mo__shards){0};
}
