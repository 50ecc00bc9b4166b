/* checkpoint_write.c -- saving a checkpoint: arrays are cut into chunks, packed by all threads a round at a
 * time, and written in order. Beyond the pack's slots (h5_pack.h) and HDF5's metadata a save needs no memory.
 */
#include <moira/checkpoint.h>

#include <string.h>

#include "h5_pack.h"
#include "h5_root.h"
#include "stamp.h"

enum { QUEUE = 64 }; /* chunks gathered over arrays, so that small arrays keep all threads busy too */

typedef struct {
    hid_t file;
    mo__pack *pack;
    int compression;
    const char *group_path; /* of `group`, the last array's */
    hid_t group;
    mo__pack_chunk queue[QUEUE];
    int n;
} saver;

/* Each queued chunk holds a reference to its dataset. */
static mo_status flush(saver *s)
{
    mo_status status = mo__pack_write(s->pack, s->queue, s->n);
    for (int i = 0; i < s->n; i++) mo__h5_release(&s->queue[i].dataset);
    s->n = 0;
    return status;
}

static void drop(saver *s)
{
    for (int i = 0; i < s->n; i++) mo__h5_release(&s->queue[i].dataset);
    mo__h5_release(&s->group);
    mo__pack_free(s->pack);
}

/* Every chunk is one run of the array (mo__h5_choose_chunk): `run` elements from `at` on, fewer at the end of
 * the dim that is cut. */
static mo_status save_chunks(saver *s, const mo_checkpoint_array *array, const mo__h5_shape *shape,
                             hid_t dataset)
{
    int cut = 0; /* the first dim with more than one element in a chunk; all behind it are whole */
    while (cut < shape->ndim - 1 && shape->chunk[cut] == 1) cut++;
    hsize_t outer = 1, inner = 1;
    for (int i = 0; i < cut; i++) outer *= shape->dim[i];
    for (int i = cut + 1; i < shape->ndim; i++) inner *= shape->dim[i];
    for (hsize_t o = 0; o < outer; o++) {
        for (hsize_t row = 0; row < shape->dim[cut]; row += shape->chunk[cut]) {
            hsize_t left = shape->dim[cut] - row, rows = left < shape->chunk[cut] ? left : shape->chunk[cut];
            mo__pack_chunk *chunk = &s->queue[s->n];
            *chunk = (mo__pack_chunk){.dataset = dataset,
                                      .data = array->data + (o * shape->dim[cut] + row) * inner,
                                      .valid = rows * inner * sizeof(mo_real),
                                      .full = shape->chunk[cut] * inner * sizeof(mo_real),
                                      .width = sizeof(mo_real)};
            hsize_t rest = o;
            for (int i = cut - 1; i >= 0; rest /= shape->dim[i], i--) chunk->offset[i] = rest % shape->dim[i];
            chunk->offset[cut] = row;
            H5Iinc_ref(dataset);
            if (++s->n == QUEUE) MO_TRY(flush(s));
        }
    }
    return MO_OK;
}

static mo_status enter_group(saver *s, const char *path)
{
    if (s->group_path && !strcmp(s->group_path, path)) return MO_OK;
    mo__h5_release(&s->group);
    s->group_path = path;
    return mo__h5_path_create(s->file, path, &s->group);
}

static mo_status save_array(saver *s, const mo_checkpoint_array *array)
{
    MO_TRY(enter_group(s, array->group));
    mo__h5_shape shape = {.ndim = array->ndim};
    for (int i = 0; i < array->ndim; i++) shape.dim[i] = (hsize_t)array->dim[i];
    mo__h5_choose_chunk(&shape, sizeof(mo_real));
    hid_t type = sizeof(mo_real) == 4 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE;
    MO__H5_ID(dataset);
    MO_TRY(mo__h5_dataset_create(s->group, array->name, type, &shape, s->compression, false, &dataset));
    return save_chunks(s, array, &shape, dataset);
}

static mo_status save_arrays(hid_t file, const mo_checkpoint_content *content)
{
    saver s = {.file = file, .group = H5I_INVALID_HID, .compression = content->compression};
    mo_status status = mo__pack_create(content->compression, true, &s.pack);
    for (int i = 0; status == MO_OK && i < content->n_arrays; i++)
        status = save_array(&s, &content->arrays[i]);
    if (status == MO_OK) status = flush(&s);
    drop(&s);
    return status;
}

static mo_status save_state(hid_t file, const mo_checkpoint_state *state)
{
    MO__H5_ID(group);
    MO__H5_ID(space);
    MO__H5_ID(list);
    MO__H5_ID(data);
    MO_TRY(mo__h5_group_create(file, "trainer", &group));
    MO_TRY(mo__h5_put_int(group, "step", state->step));
    MO_TRY(mo__h5_put_int(group, "tokens", state->tokens));
    MO_TRY(mo__h5_put_real(group, "best_loss", state->best_loss));
    MO_TRY(mo__h5_put_int(group, "best_step", state->best_step));
    MO_TRY(mo__h5_put_real(group, "seconds", state->seconds));
    MO_TRY(mo__h5_put_text(group, "data_hash", state->data_hash));
    MO_TRY(mo__h5_put_int(group, "stale_evaluations", state->stale_evaluations));
    MO_TRY(mo__h5_put_reals(group, "recent_losses", state->recent_losses, state->n_recent_losses));
    hsize_t none = 0;
    space = H5Screate_simple(1, &none, NULL);
    list = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && list >= 0 && H5Pset_obj_track_times(list, false) >= 0)
        data = H5Dcreate2(group, "data", H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (data < 0) return mo__h5_error(MO_E_IO, "trainer/data: cannot create");
    return MO_OK;
}

static mo_status save_all(const char *path, const mo_checkpoint_content *content)
{
    hid_t file = H5I_INVALID_HID;
    MO_TRY(mo__h5_create(path, &file));
    mo_status status =
        mo__root_write(file, "moira-checkpoint", mo__stamp_checkpoint.version, content->tokenizer);
    if (status == MO_OK) status = mo__h5_put_text(file, "config", content->config ? content->config : "");
    if (status == MO_OK) status = save_state(file, &content->state);
    if (status == MO_OK) status = save_arrays(file, content);
    MO_TRY(mo__h5_close(file, status));
    return mo__stamp_write(path, &mo__stamp_checkpoint);
}

static mo_status check_array(const mo_checkpoint_array *a)
{
    if (!a->name[0] || strchr(a->name, '/') || !strcmp(a->name, ".") || !strcmp(a->name, ".."))
        return mo_error(MO_E_RANGE, "checkpoint: array name \"%s\" cannot be stored", a->name);
    if (a->ndim < 1 || a->ndim > 4)
        return mo_error(MO_E_SHAPE, "checkpoint: %s/%s has %d dimensions, must have 1 to 4", a->group,
                        a->name, a->ndim);
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] < 1)
            return mo_error(MO_E_SHAPE, "checkpoint: %s/%s has dimension %d of size %lld, must be positive",
                            a->group, a->name, i, (long long)a->dim[i]);
    return MO_OK;
}

mo_status mo_checkpoint_save(const char *path, const mo_checkpoint_content *content)
{
    if (content->compression < 0 || content->compression > 9)
        return mo_error(MO_E_RANGE, "checkpoint: compression is %d, must be 0 to 9", content->compression);
    for (int i = 0; i < content->n_arrays; i++) MO_TRY(check_array(&content->arrays[i]));
    mo_replace replace;
    MO_TRY(mo_replace_begin(&replace, path));
    mo_status status = save_all(replace.path, content);
    if (status == MO_OK) return mo_replace_commit(&replace);
    mo_replace_abort(&replace);
    return mo_error_context(status, "%s", path);
}
