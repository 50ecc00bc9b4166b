/* h5_pack.h -- chunks packed by all threads and written straight into their datasets.
 *
 * A chunk goes through the filters that mo__h5_dataset_create names, exactly as HDF5 would do it: shuffle
 * (byte j of every element into plane j), deflate, then the Fletcher sum of the packed bytes as 4 bytes, low
 * first. An edge chunk is full size, zero-padded. The bytes of the file do not depend on the number of
 * threads.
 *
 * Memory: at most 2.4 MiB for each of twice as many slots as threads (at most 16 of these count). */
#ifndef MOIRA_STORE_H5_PACK_H
#define MOIRA_STORE_H5_PACK_H

#include "h5.h"

typedef struct mo__pack mo__pack;
typedef struct mo__pack_chunk {
    hid_t dataset;
    hsize_t offset[4];  /* of the chunk's first element in the dataset */
    const void *data;   /* borrowed until written */
    size_t valid, full; /* bytes given; bytes of the whole chunk, at most MO__H5_CHUNK */
    size_t width;       /* bytes of an element */
} mo__pack_chunk;

/* level 0..9 as the datasets were created with. entropy_only: at level 1, Huffman coding without a search for
 * repeats, and of those planes alone that it shortens: on floats ten times as fast, and it packs better. */
mo_status mo__pack_create(int level, bool entropy_only, mo__pack **out);
void mo__pack_free(mo__pack *pack);
/* Chunks that are packed at a time. */
int mo__pack_slots(const mo__pack *pack);
/* Packs chunks[n] in parallel, without HDF5's lock, and writes them in order under it. */
mo_status mo__pack_write(mo__pack *pack, const mo__pack_chunk *chunks, int n);

#endif
