/* checkpoint_read.c -- opening, listing, reading and verifying checkpoints. */
#include <moira/checkpoint.h>

#include <string.h>

#include "checkpoint_files.h"
#include "checkpoint_match.h"
#include "checkpoint_values.h"
#include "h5_root.h"
#include "stamp.h"

struct mo_checkpoint {
    hid_t file;
    char *path, *config, *data_hashes, *base_path, *base_digest;
    char digest[33];
    mo_tokenizer *tokenizer;
    mo_checkpoint_state state;
    mo_checkpoint_file *files; /* NULL until asked for */
    int n_files;
};

void mo_checkpoint_close(mo_checkpoint *c)
{
    if (!c) return;
    if (c->file >= 0) {
        MO__H5_LOCK();
        H5Fclose(c->file);
    }
    mo__files_free(c->files, c->n_files);
    mo_tokenizer_free(c->tokenizer);
    mo_free(c->config);
    mo_free(c->data_hashes);
    mo_free(c->base_path);
    mo_free(c->base_digest);
    mo_free(c->path);
    mo_free(c);
}

/* What files of this version may lack, because programs wrote them before it was thought of. */
static mo_status read_later_state(hid_t group, mo_checkpoint_state *state, char **data_hashes)
{
    if (mo__h5_has_attribute(group, "data_hashes"))
        MO_TRY(mo__h5_get_text(group, "data_hashes", data_hashes));
    if (mo__h5_has_attribute(group, "stale_evaluations"))
        MO_TRY(mo__h5_get_int(group, "stale_evaluations", &state->stale_evaluations));
    state->patience_loss = state->best_loss;
    if (mo__h5_has_attribute(group, "patience_loss"))
        MO_TRY(mo__h5_get_real(group, "patience_loss", &state->patience_loss));
    int64_t due = 0;
    if (mo__h5_has_attribute(group, "evaluation_due")) MO_TRY(mo__h5_get_int(group, "evaluation_due", &due));
    state->evaluation_due = due != 0;
    if (mo__h5_has_attribute(group, "recent_losses"))
        MO_TRY(mo__h5_get_reals_upto(group, "recent_losses", MO_RECENT_LOSSES, state->recent_losses,
                                     &state->n_recent_losses));
    return MO_OK;
}

static mo_status read_state(hid_t file, mo_checkpoint_state *state, char **data_hashes)
{
    MO__H5_ID(group);
    MO_TRY(mo__h5_group_open(file, "trainer", &group));
    MO_TRY(mo__h5_get_int(group, "step", &state->step));
    MO_TRY(mo__h5_get_int(group, "tokens", &state->tokens));
    MO_TRY(mo__h5_get_real(group, "best_loss", &state->best_loss));
    MO_TRY(mo__h5_get_int(group, "best_step", &state->best_step));
    MO_TRY(mo__h5_get_real(group, "seconds", &state->seconds));
    char *hash = NULL;
    MO_TRY(mo__h5_get_text(group, "data_hash", &hash));
    snprintf(state->data_hash, sizeof state->data_hash, "%s", hash);
    mo_free(hash);
    if (mo__h5_has_attribute(group, "init_digest")) {
        MO_TRY(mo__h5_get_text(group, "init_digest", &hash));
        snprintf(state->init_digest, sizeof state->init_digest, "%s", hash);
        mo_free(hash);
    }
    return read_later_state(group, state, data_hashes);
}

static mo_status read_base(mo_checkpoint *c)
{
    if (!mo__h5_has_attribute(c->file, "base_path")) return MO_OK;
    MO_TRY(mo__h5_get_text(c->file, "base_path", &c->base_path));
    return mo__h5_get_text(c->file, "base_digest", &c->base_digest);
}

static mo_status open_content(mo_checkpoint *c)
{
    MO__H5_LOCK();
    MO_TRY(mo__h5_open(c->path, &c->file));
    MO_TRY(mo__root_read(c->file, "moira-checkpoint", mo__stamp_checkpoint.version, &c->tokenizer));
    MO_TRY(mo__h5_get_text(c->file, "config", &c->config));
    MO_TRY(read_base(c));
    return read_state(c->file, &c->state, &c->data_hashes);
}

mo_status mo_checkpoint_open(const char *path, mo_checkpoint **out)
{
    *out = NULL;
    char digest[33];
    MO_TRY(mo__stamp_check(path, &mo__stamp_checkpoint, digest));
    mo_checkpoint *c = mo_calloc(1, sizeof *c);
    if (!c) return MO_E_MEMORY;
    c->file = H5I_INVALID_HID;
    memcpy(c->digest, digest, sizeof digest);
    c->path = mo_strdup(path);
    mo_status status = c->path ? open_content(c) : MO_E_MEMORY;
    if (status != MO_OK) {
        mo_checkpoint_close(c);
        return mo_error_context(status, "%s", path);
    }
    *out = c;
    return MO_OK;
}

const mo_checkpoint_state *mo_checkpoint_get_state(const mo_checkpoint *c)
{
    return &c->state;
}

const char *mo_checkpoint_config(const mo_checkpoint *c)
{
    return c->config;
}

const char *mo_checkpoint_data_hashes(const mo_checkpoint *c)
{
    return c->data_hashes ? c->data_hashes : "";
}

const mo_tokenizer *mo_checkpoint_tokenizer(const mo_checkpoint *c)
{
    return c->tokenizer;
}

const char *mo_checkpoint_digest(const mo_checkpoint *c)
{
    return c->digest;
}

const char *mo_checkpoint_base_path(const mo_checkpoint *c)
{
    return c->base_path;
}

const char *mo_checkpoint_base_digest(const mo_checkpoint *c)
{
    return c->base_digest;
}

/* ---- listing ---- */

typedef struct {
    hid_t group;
    mo_checkpoint_visit fn;
    void *user;
} lister;

static mo_status list_one(const char *name, void *user)
{
    lister *l = user;
    mo__h5_dataset dataset;
    MO_TRY(mo__h5_dataset_open(l->group, name, &dataset));
    int64_t dim[4] = {0};
    for (int i = 0; i < dataset.shape.ndim; i++) dim[i] = (int64_t)dataset.shape.dim[i];
    l->fn(name, dataset.shape.ndim, dim, l->user);
    mo__h5_dataset_close(&dataset);
    return MO_OK;
}

mo_status mo_checkpoint_list(mo_checkpoint *c, const char *group, mo_checkpoint_visit fn, void *user)
{
    MO__H5_LOCK();
    MO__H5_ID(id);
    bool found;
    mo_status status = mo__h5_path_open(c->file, group, &found, &id);
    lister l = {id, fn, user};
    if (status == MO_OK && found) status = mo__h5_each(id, false, list_one, &l);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s: %s", c->path, group);
}

/* ---- reading ---- */

static mo_status read_array(hid_t file, const mo_checkpoint_array *array)
{
    mo__h5_dataset dataset;
    MO_TRY(mo__match_one(file, array, &dataset));
    mo_status status = mo__values_read(&dataset, array->name, -1, array->data);
    mo__h5_dataset_close(&dataset);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", array->group);
}

mo_status mo_checkpoint_read(mo_checkpoint *c, const mo_checkpoint_array *arrays, int n_arrays)
{
    MO__H5_LOCK();
    mo_status status = mo__match_arrays(c->file, arrays, n_arrays);
    for (int i = 0; status == MO_OK && i < n_arrays; i++) status = read_array(c->file, &arrays[i]);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", c->path);
}

static mo_status read_part(hid_t file, const mo_checkpoint_array *array, int64_t part, mo_real *out)
{
    mo__h5_dataset dataset;
    MO_TRY(mo__match_one(file, array, &dataset));
    mo_status status = mo__values_read(&dataset, array->name, array->ndim == 3 ? part : -1, out);
    mo__h5_dataset_close(&dataset);
    return status;
}

mo_status mo_checkpoint_read_part(mo_checkpoint *c, const mo_checkpoint_array *array, int64_t part,
                                  mo_real *out)
{
    MO_ASSERT(part >= 0 && part < (array->ndim == 3 ? array->dim[0] : 1));
    MO__H5_LOCK();
    mo_status status = read_part(c->file, array, part, out);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", c->path);
}

static mo_status find_dtype(hid_t file, const char *path, const char *name, mo_dtype *out)
{
    MO__H5_ID(group);
    bool found;
    MO_TRY(mo__h5_path_open(file, path, &found, &group));
    if (!found || !mo__h5_has(group, name))
        return mo_error(MO_E_NOT_FOUND, "%s/%s: is not there", path, name);
    mo__h5_dataset dataset;
    MO_TRY(mo__h5_dataset_open(group, name, &dataset));
    mo_status status = mo__values_dtype(&dataset, name, out);
    mo__h5_dataset_close(&dataset);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", path);
}

mo_status mo_checkpoint_dtype(mo_checkpoint *c, const char *group, const char *name, mo_dtype *out)
{
    MO__H5_LOCK();
    mo_status status = find_dtype(c->file, group, name, out);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", c->path);
}

mo_status mo_checkpoint_files(mo_checkpoint *c, const mo_checkpoint_file **files, int *count)
{
    MO__H5_LOCK();
    if (!c->files) {
        mo_status status = mo__files_read(c->file, &c->files, &c->n_files);
        if (status != MO_OK) return mo_error_context(status, "%s", c->path);
    }
    *files = c->files;
    *count = c->n_files;
    return MO_OK;
}

/* ---- verifying ---- */

static mo_status verify_one(const char *name, void *user)
{
    const hid_t *group = user;
    mo__h5_dataset dataset;
    MO_TRY(mo__h5_dataset_open(*group, name, &dataset));
    mo_status status = mo__h5_dataset_verify(&dataset, name);
    mo__h5_dataset_close(&dataset);
    return status;
}

/* What else there may be in the file, from a later program, has the stamp to vouch for it. */
static mo_status verify_groups(hid_t file)
{
    static const char *const groups[] = {"model", "optimizer/adamw/m", "optimizer/adamw/v", "files"};
    MO__H5_LOCK();
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        MO__H5_ID(group);
        bool found;
        MO_TRY(mo__h5_path_open(file, groups[i], &found, &group));
        mo_status status = found ? mo__h5_each(group, true, verify_one, &group) : MO_OK;
        if (status != MO_OK) return mo_error_context(status, "%s", groups[i]);
    }
    return MO_OK;
}

mo_status mo_checkpoint_verify(const char *path)
{
    mo_checkpoint *c;
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_status status = verify_groups(c->file);
    if (status != MO_OK) mo_error_context(status, "%s", path);
    mo_checkpoint_close(c);
    return status;
}
