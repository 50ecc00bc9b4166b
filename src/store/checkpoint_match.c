/* checkpoint_match.c -- names and shapes asked for against those in the file, all complaints at once. */
#include "checkpoint_match.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_values.h"

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
    mo_dtype dtype;
    mo_status status = mo__values_dtype(stored, wanted->name, &dtype);
    if (status != MO_OK) return mo_error_context(status, "%s", wanted->group);
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

/* ---- names and shapes ---- */

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

static mo_status match_group(hid_t file, matcher *m)
{
    MO__H5_ID(group);
    bool found;
    MO_TRY(mo__h5_path_open(file, m->path, &found, &group));
    m->group = group;
    for (int i = 0; i < m->n; i++) MO_TRY(match_wanted(m, m->wanted[i]));
    return found ? mo__h5_each(group, true, match_stored, m) : MO_OK;
}

static mo_status match_all(hid_t file, const mo_checkpoint_array *arrays, int n, complaint *found)
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
        status = match_group(file, &m);
    }
    mo_free(wanted);
    return status;
}

static mo_status verdict(const complaint *found)
{
    char more[48] = "";
    if (found->total == 0) return MO_OK;
    if (found->unlisted) snprintf(more, sizeof more, "; and %d more", found->unlisted);
    return mo_error(MO_E_MISMATCH, "does not fit what is asked of it: %s%s", found->text, more);
}

mo_status mo__match_arrays(hid_t file, const mo_checkpoint_array *arrays, int n)
{
    complaint found = {.used = 0};
    MO_TRY(match_all(file, arrays, n, &found));
    return verdict(&found);
}

mo_status mo__match_one(hid_t file, const mo_checkpoint_array *array, mo__h5_dataset *out)
{
    MO__H5_ID(group);
    bool found;
    complaint other = {.used = 0};
    MO_TRY(mo__h5_path_open(file, array->group, &found, &group));
    if (!found || !mo__h5_has(group, array->name))
        return mo_error(MO_E_MISMATCH, "%s/%s is missing", array->group, array->name);
    MO_TRY(mo__h5_dataset_open(group, array->name, out));
    mo_status status = compare_shape(&other, array, out);
    if (status == MO_OK) status = verdict(&other);
    if (status != MO_OK) mo__h5_dataset_close(out);
    return status;
}
