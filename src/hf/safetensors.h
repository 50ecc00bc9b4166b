/* safetensors.h -- one safetensors file, mapped (github.com/huggingface/safetensors, "Format").
 *
 *     8 bytes           N, the header's size, little-endian
 *     N bytes           a JSON object {"name": {"dtype": "BF16", "shape": [..],
 *                       "data_offsets": [begin, end]}, ...}, and perhaps "__metadata__": {"key": "text"};
 *                       may end in spaces
 *     the rest          the tensors, row-major, little-endian, one behind the other; offsets count from here
 *
 * Nothing of it is believed before it is checked, as the reference implementation does: the header is at most
 * 100 MB, every tensor's bytes are its shape's, and they cover the rest without a gap and without a byte
 * twice. A file that is cut short is refused before a page of its data is touched. */
#ifndef MOIRA_HF_SAFETENSORS_H
#define MOIRA_HF_SAFETENSORS_H

#include "moira/tensor.h"

enum { MO__SHARD_DIMS = 8 };

typedef struct mo__shard_dtype {
    const char *name; /* "BF16" */
    int bits;
    int dtype; /* mo_dtype, or -1: a type that nothing is computed in here */
} mo__shard_dtype;
/* NULL: not a type of the format. */
const mo__shard_dtype *mo__shard_dtype_named(const char *name);
const mo__shard_dtype *mo__shard_dtype_of(mo_dtype dtype); /* MO_F32, MO_F16, MO_BF16 */

typedef struct mo__shard_tensor {
    char *name;
    const mo__shard_dtype *dtype;
    int ndim;
    int64_t dim[MO__SHARD_DIMS];
    int64_t begin, end; /* bytes behind the header */
    const char *data;   /* in the mapping */
} mo__shard_tensor;

typedef struct mo__shard {
    char *path;
    const char *name;          /* in path: without the folder */
    const char *map;           /* the whole file, read-only */
    size_t size, header_size;  /* bytes; of the JSON */
    mo__shard_tensor *tensors; /* by their place in the file */
    int64_t n_tensors;
} mo__shard;

/* MO_E_NOT_FOUND, MO_E_FORMAT (not such a file), MO_E_CORRUPT (cut short, gaps, overlaps, sizes that are not
 * the shape's), MO_E_UNSUPPORTED (a type that the format does not have today). */
mo_status mo__shard_open(const char *path, mo__shard *out);
void mo__shard_close(mo__shard *s);

/* "[8, 14336, 4096]", by value. */
typedef struct mo__shape_text {
    char text[200];
} mo__shape_text;
mo__shape_text mo__shape_show(int ndim, const int64_t *dim);

#endif
