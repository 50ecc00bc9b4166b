/* h5_column.c -- buffers a column and writes it a round of chunks at a time. */
#include "h5_column.h"

#include <string.h>

enum { ROUND = 16 }; /* chunks; not by the number of threads, so that the file's layout is not either */

struct mo__column {
    hid_t dataset;
    mo__pack *pack;
    size_t width, chunk_bytes;
    hsize_t written; /* elements in the file */
    size_t used, room;
    unsigned char *buffer;
    mo__pack_chunk chunks[ROUND];
};

void mo__column_free(mo__column *column)
{
    if (!column) return;
    mo__h5_release(&column->dataset);
    mo_free(column->buffer);
    mo_free(column);
}

mo_status mo__column_create(hid_t group, const char *name, hid_t type, size_t width, size_t chunk_bytes,
                            int level, mo__pack *pack, mo__column **out)
{
    *out = NULL;
    mo__column *c = mo_calloc(1, sizeof *c);
    if (!c) return MO_E_MEMORY;
    *c = (mo__column){.dataset = H5I_INVALID_HID, .pack = pack, .width = width, .chunk_bytes = chunk_bytes};
    c->room = ROUND * chunk_bytes;
    c->buffer = mo_malloc(c->room);
    mo__h5_shape shape = {.ndim = 1, .dim = {0}, .chunk = {chunk_bytes / width}};
    mo_status status = c->buffer ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) status = mo__h5_dataset_create(group, name, type, &shape, level, true, &c->dataset);
    if (status != MO_OK)
        mo__column_free(c);
    else
        *out = c;
    return status;
}

/* The extent only grows: shrinking would make HDF5 unpack and repack the edge chunk. */
static mo_status flush(mo__column *c)
{
    hsize_t extent = c->written + c->used / c->width;
    if (H5Dset_extent(c->dataset, &extent) < 0) return mo__h5_error(MO_E_IO, "cannot lengthen a dataset");
    int n = 0;
    for (size_t done = 0; done < c->used; done += c->chunk_bytes, n++) {
        size_t left = c->used - done;
        c->chunks[n] = (mo__pack_chunk){.dataset = c->dataset,
                                        .offset = {c->written + done / c->width},
                                        .data = c->buffer + done,
                                        .valid = left < c->chunk_bytes ? left : c->chunk_bytes,
                                        .full = c->chunk_bytes,
                                        .width = c->width};
    }
    c->written = extent;
    c->used = 0;
    return mo__pack_write(c->pack, c->chunks, n);
}

mo_status mo__column_append(mo__column *column, const void *elements, int64_t count)
{
    const unsigned char *from = elements;
    for (size_t left = (size_t)count * column->width; left;) {
        size_t room = column->room - column->used, take = left < room ? left : room;
        memcpy(column->buffer + column->used, from, take);
        column->used += take;
        from += take;
        left -= take;
        if (column->used == column->room) MO_TRY(flush(column));
    }
    return MO_OK;
}

mo_status mo__column_finish(mo__column *column)
{
    return column->used ? flush(column) : MO_OK;
}
