/* checkpoint_write.c -- writing a checkpoint, a round of chunks at a time. */
#include "checkpoint_save.h"

#include <string.h>

#include "base/file.h"
#include "checkpoint_files.h"
#include "checkpoint_values.h"
#include "h5_pack.h"
#include "h5_root.h"
#include "stamp.h"

/* Chunks gathered over arrays, so that small arrays keep all threads busy too. The order of what is created
 * and written in the file hangs on it, so it does not hang on the number of threads. */
enum { QUEUE = 64 };

struct mo__save {
    const mo_checkpoint_content *content;
    mo_replace replace;
    hid_t file;
    mo__pack *pack;
    const char *group_path; /* of `group`, the last array's */
    hid_t group;

    mo__stamp_kind stamp;
    int array;             /* the one being cut into chunks */
    hid_t dataset;         /* its own, once it is begun */
    mo__h5_shape shape;    /* its own */
    mo_dtype dtype;        /* in the file */
    int cut;               /* the first dim with more than one element in a chunk; all behind it are whole */
    hsize_t chunk, chunks; /* next, of */

    mo__pack_chunk queue[QUEUE]; /* each holds a reference to its dataset */
    int n, written;              /* in the queue; of them written */
    uint64_t bytes;              /* of arrays, written so far */
};

/* ---- arrays as chunks ---- */

static mo_status enter_group(mo__save *s, const char *path)
{
    if (s->group_path && !strcmp(s->group_path, path)) return MO_OK;
    mo__h5_release(&s->group);
    s->group_path = path;
    return mo__h5_path_create(s->file, path, &s->group);
}

static hsize_t parts(hsize_t dim, hsize_t chunk)
{
    return (dim + chunk - 1) / chunk;
}

static mo_status begin_array(mo__save *s, const mo_checkpoint_array *array)
{
    MO_TRY(enter_group(s, array->group));
    s->shape = (mo__h5_shape){.ndim = array->ndim};
    for (int i = 0; i < array->ndim; i++) s->shape.dim[i] = (hsize_t)array->dim[i];
    s->dtype = array->stored ? array->stored->dtype : MO_REAL;
    mo__h5_choose_chunk(&s->shape, mo_dtype_size(s->dtype));
    if (array->stored && array->stored->parts > 1) s->shape.chunk[0] = 1; /* none spans two parts */
    MO_TRY(mo__h5_dataset_create(s->group, array->name, mo__values_type(s->dtype), &s->shape,
                                 s->content->compression, false, &s->dataset));
    MO_TRY(mo__values_mark(s->dataset, s->dtype));
    s->chunk = 0;
    s->chunks = 1;
    for (s->cut = 0; s->cut < s->shape.ndim - 1 && s->shape.chunk[s->cut] == 1; s->cut++)
        s->chunks *= s->shape.dim[s->cut];
    s->chunks *= parts(s->shape.dim[s->cut], s->shape.chunk[s->cut]);
    return MO_OK;
}

/* Where the array's element number `first` lies. */
static const void *element_at(const mo_checkpoint_array *a, size_t first)
{
    if (!a->stored) return a->data + first;
    size_t part = first / (size_t)a->stored->part_elements, at = first % (size_t)a->stored->part_elements;
    return (const char *)a->stored->part[part] + at * mo_dtype_size(a->stored->dtype);
}

/* Every chunk is one run of the array (mo__h5_choose_chunk): rows of the dim that is cut, fewer at its end.
 */
static mo__pack_chunk chunk_at(const mo__save *s, hsize_t k)
{
    const mo__h5_shape *shape = &s->shape;
    hsize_t dim = shape->dim[s->cut], most = shape->chunk[s->cut], inner = 1;
    for (int i = s->cut + 1; i < shape->ndim; i++) inner *= shape->dim[i];
    hsize_t outer = k / parts(dim, most), row = k % parts(dim, most) * most;
    hsize_t rows = dim - row < most ? dim - row : most;
    size_t width = mo_dtype_size(s->dtype);
    mo__pack_chunk chunk = {.dataset = s->dataset,
                            .data = element_at(&s->content->arrays[s->array], (outer * dim + row) * inner),
                            .valid = rows * inner * width,
                            .full = most * inner * width,
                            .width = width};
    chunk.offset[s->cut] = row;
    for (int i = s->cut - 1; i >= 0; outer /= shape->dim[i], i--) chunk.offset[i] = outer % shape->dim[i];
    return chunk;
}

static mo_status gather(mo__save *s)
{
    while (s->n < QUEUE && s->array < s->content->n_arrays) {
        if (s->dataset < 0) MO_TRY(begin_array(s, &s->content->arrays[s->array]));
        s->queue[s->n++] = chunk_at(s, s->chunk++);
        H5Iinc_ref(s->dataset);
        if (s->chunk < s->chunks) continue;
        mo__h5_release(&s->dataset);
        s->array++;
    }
    return MO_OK;
}

static void empty_queue(mo__save *s)
{
    for (int i = 0; i < s->n; i++) mo__h5_release(&s->queue[i].dataset);
    s->n = s->written = 0;
}

mo_status mo__save_round(mo__save *s, bool *more)
{
    if (s->n == 0) {
        MO__H5_LOCK();
        MO_TRY(gather(s));
    }
    int left = s->n - s->written, slots = mo__pack_slots(s->pack), now = left < slots ? left : slots;
    MO_TRY(mo__pack_write(s->pack, s->queue + s->written, now));
    for (int i = s->written; i < s->written + now; i++) s->bytes += s->queue[i].valid;
    s->written += now;
    *more = s->written < s->n || s->array < s->content->n_arrays;
    if (s->written == s->n) {
        MO__H5_LOCK();
        empty_queue(s);
    }
    return MO_OK;
}

/* ---- everything else in the file ---- */

static mo_status save_state(hid_t file, const mo_checkpoint_state *state, const char *data_hashes)
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
    if (data_hashes) MO_TRY(mo__h5_put_text(group, "data_hashes", data_hashes));
    if (*state->init_digest) MO_TRY(mo__h5_put_text(group, "init_digest", state->init_digest));
    MO_TRY(mo__h5_put_int(group, "stale_evaluations", state->stale_evaluations));
    MO_TRY(mo__h5_put_real(group, "patience_loss", state->patience_loss));
    MO_TRY(mo__h5_put_int(group, "evaluation_due", state->evaluation_due));
    MO_TRY(mo__h5_put_reals(group, "recent_losses", state->recent_losses, state->n_recent_losses));
    hsize_t none = 0;
    space = H5Screate_simple(1, &none, NULL);
    list = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && list >= 0 && H5Pset_obj_track_times(list, false) >= 0)
        data = H5Dcreate2(group, "data", H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (data < 0) return mo__h5_error(MO_E_IO, "trainer/data: cannot create");
    return MO_OK;
}

static mo_status save_base(hid_t file, const mo_checkpoint_content *content)
{
    if (!content->base_path) return MO_OK;
    MO_TRY(mo__h5_put_text(file, "base_path", content->base_path));
    return mo__h5_put_text(file, "base_digest", content->base_digest ? content->base_digest : "");
}

static mo_status save_head(hid_t file, int version, const mo_checkpoint_content *content)
{
    MO_TRY(mo__root_write(file, "moira-checkpoint", version, content->tokenizer));
    MO_TRY(mo__h5_put_text(file, "config", content->config ? content->config : ""));
    MO_TRY(save_base(file, content));
    MO_TRY(mo__files_write(file, content->files, content->n_files, content->compression));
    return save_state(file, &content->state, content->data_hashes);
}

/* The oldest that can say it. */
static int version_of(const mo_checkpoint_content *content)
{
    for (int i = 0; i < content->n_arrays; i++)
        if (content->arrays[i].stored && mo__values_are_halves(content->arrays[i].stored->dtype)) return 2;
    return 1;
}

static mo_status check_stored(const mo_checkpoint_array *a)
{
    const mo_stored *s = a->stored;
    int64_t count = 1;
    for (int i = 0; i < a->ndim; i++) count *= a->dim[i];
    if (s->dtype != MO_F32 && !mo__values_are_halves(s->dtype))
        return mo_error(MO_E_RANGE, "checkpoint: %s/%s is stored as %s, must be float32, float16 or bfloat16",
                        a->group, a->name, mo_dtype_name(s->dtype));
    if ((s->parts != 1 && s->parts != a->dim[0]) || s->parts * s->part_elements != count)
        return mo_error(MO_E_SHAPE,
                        "checkpoint: %s/%s is stored as %lld parts of %lld elements, must have %lld in one "
                        "part or in %lld",
                        a->group, a->name, (long long)s->parts, (long long)s->part_elements, (long long)count,
                        (long long)a->dim[0]);
    return MO_OK;
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
    return a->stored ? check_stored(a) : MO_OK;
}

mo_status mo__save_check(const mo_checkpoint_content *content)
{
    if (content->compression < 0 || content->compression > 9)
        return mo_error(MO_E_RANGE, "checkpoint: compression is %d, must be 0 to 9", content->compression);
    if (content->state.n_recent_losses < 0 || content->state.n_recent_losses > MO_RECENT_LOSSES)
        return mo_error(MO_E_RANGE, "checkpoint: %d recent losses, must be 0 to %d",
                        content->state.n_recent_losses, MO_RECENT_LOSSES);
    for (int i = 0; i < content->n_arrays; i++) MO_TRY(check_array(&content->arrays[i]));
    return mo__files_check(content->files, content->n_files);
}

/* ---- from begin to end ---- */

static mo_status begin_file(mo__save *s)
{
    MO__H5_LOCK();
    MO_TRY(mo__h5_create(s->replace.path, &s->file));
    return save_head(s->file, s->stamp.version, s->content);
}

mo_status mo__save_begin(const char *path, const mo_checkpoint_content *content, mo__save **out)
{
    *out = NULL;
    MO_TRY(mo__save_check(content));
    mo__save *s = mo_calloc(1, sizeof *s);
    if (!s) return MO_E_MEMORY;
    s->content = content;
    s->stamp = mo__stamp_checkpoint;
    s->stamp.version = version_of(content);
    s->file = s->group = s->dataset = H5I_INVALID_HID;
    mo_status status = mo_replace_begin(&s->replace, path);
    if (status != MO_OK) {
        mo_free(s);
        return status;
    }
    status = mo__pack_create(content->compression, true, &s->pack);
    if (status == MO_OK) status = begin_file(s);
    if (status != MO_OK) return mo__save_end(s, status);
    *out = s;
    return MO_OK;
}

static mo_status end_file(mo__save *s, mo_status status)
{
    MO__H5_LOCK();
    empty_queue(s);
    mo__h5_release(&s->dataset);
    mo__h5_release(&s->group);
    return s->file < 0 ? status : mo__h5_close(s->file, status);
}

mo_status mo__save_end(mo__save *s, mo_status status)
{
    status = end_file(s, status);
    mo__pack_free(s->pack);
    if (status == MO_OK) status = mo__stamp_write(s->replace.path, &s->stamp);
    if (status != MO_OK) mo__replace_error(&s->replace, status);
    if (status == MO_OK)
        status = mo_replace_commit(&s->replace);
    else
        mo_replace_abort(&s->replace);
    mo_free(s);
    return status;
}

static uint64_t bytes_of(const mo_checkpoint_content *content)
{
    uint64_t sum = 0;
    for (int i = 0; i < content->n_arrays; i++) {
        const mo_checkpoint_array *a = &content->arrays[i];
        uint64_t bytes = mo_dtype_size(a->stored ? a->stored->dtype : MO_REAL);
        for (int d = 0; d < a->ndim; d++) bytes *= (uint64_t)a->dim[d];
        sum += bytes;
    }
    return sum;
}

static mo_status tell_progress(const mo__save *s, uint64_t total)
{
    const mo_checkpoint_content *c = s->content;
    if (c->progress) c->progress((double)s->bytes, (double)total, "B", c->progress_user);
    return c->stop && *c->stop ? mo_error(MO_E_INTERRUPTED, "interrupted; nothing was kept") : MO_OK;
}

mo_status mo_checkpoint_save(const char *path, const mo_checkpoint_content *content)
{
    mo__save *save;
    bool more = true;
    MO_TRY(mo__save_begin(path, content, &save));
    uint64_t total = bytes_of(content); /* of arrays that have passed the checks */
    mo_status status = MO_OK;
    while (status == MO_OK && more) {
        status = mo__save_round(save, &more);
        if (status == MO_OK) status = tell_progress(save, total);
    }
    return mo__save_end(save, status);
}
