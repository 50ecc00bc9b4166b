/* checkpoint_read.c -- opening, listing, reading and verifying checkpoints. */
#include <moira/checkpoint.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "h5_root.h"
#include "stamp.h"

struct mo_checkpoint {
    hid_t file;
    char *path, *config, *data_hashes;
    mo_tokenizer *tokenizer;
    mo_checkpoint_state state;
};

void mo_checkpoint_close(mo_checkpoint *c)
{
    if (!c) return;
    if (c->file >= 0) {
        MO__H5_LOCK();
        H5Fclose(c->file);
    }
    mo_tokenizer_free(c->tokenizer);
    mo_free(c->config);
    mo_free(c->data_hashes);
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

static mo_status open_content(mo_checkpoint *c)
{
    MO__H5_LOCK();
    MO_TRY(mo__h5_open(c->path, &c->file));
    MO_TRY(mo__root_read(c->file, "moira-checkpoint", mo__stamp_checkpoint.version, &c->tokenizer));
    MO_TRY(mo__h5_get_text(c->file, "config", &c->config));
    return read_state(c->file, &c->state, &c->data_hashes);
}

mo_status mo_checkpoint_open(const char *path, mo_checkpoint **out)
{
    *out = NULL;
    MO_TRY(mo__stamp_check(path, &mo__stamp_checkpoint, NULL));
    mo_checkpoint *c = mo_calloc(1, sizeof *c);
    if (!c) return MO_E_MEMORY;
    c->file = H5I_INVALID_HID;
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

/* ---- what does not fit, gathered into one message ---- */

typedef struct {
    char text[3000];
    size_t used;
    int total, unlisted;
} complaint;

static void complain(complaint *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(complaint *c, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t length = strlen(line), comma = c->total ? 2 : 0;
    c->total++;
    if (c->unlisted || c->used + comma + length >= sizeof c->text) {
        c->unlisted++;
        return;
    }
    memcpy(c->text + c->used, "; ", comma);
    memcpy(c->text + c->used + comma, line, length + 1);
    c->used += comma + length;
}

static const char *shape_text(char text[96], int ndim, const int64_t *dim)
{
    int at = 0;
    for (int i = 0; i < ndim; i++)
        at += snprintf(text + at, 96 - (size_t)at, "%s%lld", i ? "," : "", (long long)dim[i]);
    return text;
}

static mo_status compare_shape(complaint *c, const mo_checkpoint_array *wanted, const mo__h5_dataset *stored)
{
    if (stored->type != H5T_FLOAT || (stored->width != 4 && stored->width != 8))
        return mo_error(MO_E_FORMAT, "%s/%s: does not hold float32 or float64", wanted->group, wanted->name);
    bool same = stored->shape.ndim == wanted->ndim;
    int64_t dim[4] = {0};
    for (int i = 0; i < stored->shape.ndim; i++) {
        dim[i] = (int64_t)stored->shape.dim[i];
        same = same && dim[i] == wanted->dim[i];
    }
    char is[96], must[96];
    if (!same)
        complain(c, "%s/%s is [%s], [%s] is needed", wanted->group, wanted->name,
                 shape_text(is, stored->shape.ndim, dim), shape_text(must, wanted->ndim, wanted->dim));
    return MO_OK;
}

/* ---- reading ---- */

typedef struct {
    const char *path; /* of the group */
    hid_t group;
    const mo_checkpoint_array **wanted; /* sorted by name */
    int n;
    complaint *complaint;
} matcher;

static int by_name(const void *a, const void *b)
{
    const mo_checkpoint_array *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int name_against(const void *name, const void *array)
{
    const mo_checkpoint_array *const *a = array;
    return strcmp(name, (*a)->name);
}

static mo_status match_stored(const char *name, void *user)
{
    matcher *m = user;
    if (!bsearch(name, m->wanted, (size_t)m->n, sizeof *m->wanted, name_against))
        complain(m->complaint, "%s/%s is unexpected", m->path, name);
    return MO_OK;
}

static mo_status match_wanted(matcher *m, const mo_checkpoint_array *array)
{
    if (m->group < 0 || !mo__h5_has(m->group, array->name)) {
        complain(m->complaint, "%s/%s is missing", m->path, array->name);
        return MO_OK;
    }
    mo__h5_dataset dataset;
    MO_TRY(mo__h5_dataset_open(m->group, array->name, &dataset));
    mo_status status = compare_shape(m->complaint, array, &dataset);
    mo__h5_dataset_close(&dataset);
    return status;
}

static mo_status match_group(mo_checkpoint *c, matcher *m)
{
    MO__H5_ID(group);
    bool found;
    MO_TRY(mo__h5_path_open(c->file, m->path, &found, &group));
    m->group = group;
    for (int i = 0; i < m->n; i++) MO_TRY(match_wanted(m, m->wanted[i]));
    return found ? mo__h5_each(group, true, match_stored, m) : MO_OK;
}

/* Each group that the arrays name is matched once, as a whole. */
static mo_status match_all(mo_checkpoint *c, const mo_checkpoint_array *arrays, int n, complaint *found)
{
    const mo_checkpoint_array **wanted = mo_malloc((size_t)n * sizeof *wanted);
    if (!wanted) return MO_E_MEMORY;
    mo_status status = MO_OK;
    for (int i = 0; status == MO_OK && i < n; i++) {
        bool seen = false;
        for (int j = 0; j < i && !seen; j++) seen = !strcmp(arrays[j].group, arrays[i].group);
        if (seen) continue;
        matcher m = {.path = arrays[i].group, .wanted = wanted, .complaint = found};
        for (int j = i; j < n; j++)
            if (!strcmp(arrays[j].group, m.path)) wanted[m.n++] = &arrays[j];
        qsort(wanted, (size_t)m.n, sizeof *wanted, by_name);
        status = match_group(c, &m);
    }
    mo_free(wanted);
    return status;
}

static mo_status read_array(hid_t file, const mo_checkpoint_array *array)
{
    MO__H5_ID(group);
    bool found;
    MO_TRY(mo__h5_path_open(file, array->group, &found, &group));
    mo__h5_dataset dataset;
    MO_TRY(mo__h5_dataset_open(group, array->name, &dataset));
    hid_t type = sizeof(mo_real) == 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    mo_status status = mo__h5_dataset_read(&dataset, array->name, type, array->data);
    mo__h5_dataset_close(&dataset);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", array->group);
}

mo_status mo_checkpoint_read(mo_checkpoint *c, const mo_checkpoint_array *arrays, int n_arrays)
{
    MO__H5_LOCK();
    complaint found = {.used = 0};
    mo_status status = match_all(c, arrays, n_arrays, &found);
    if (status == MO_OK && found.total > 0) {
        char more[48] = "";
        if (found.unlisted) snprintf(more, sizeof more, "; and %d more", found.unlisted);
        status = mo_error(MO_E_MISMATCH, "does not fit what is asked of it: %s%s", found.text, more);
    }
    for (int i = 0; status == MO_OK && i < n_arrays; i++) status = read_array(c->file, &arrays[i]);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", c->path);
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
    static const char *const groups[] = {"model", "optimizer/adamw/m", "optimizer/adamw/v"};
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
