/* checkpoint.h -- self-contained checkpoints in HDF5.
 *
 * On disk, format version 1. An HDF5 file (libver bounds V110) with a 512-byte user block that holds text:
 *     "MOIRA CHECKPOINT 1\n" "xxh3_128=<32 hex digits>\n" "bytes=<decimal>\n", zero-padded,
 * the hash being over every byte after the user block and `bytes` the size of the whole file; it is checked
 * before the HDF5 library is let near the file.
 *     /model/<name>                 float32 (float64 from a double build), the parameter's own shape
 *     /optimizer/adamw/m/<name>     first moment, same shape (absent for frozen parameters)
 *     /optimizer/adamw/v/<name>     second moment
 *       <name> is the registry's name, dots and all: /model/model.layers.0.mlp.up_proj.weight
 *       chunked (at most 1 MiB a chunk), shuffle + deflate (level 0: no filter) + fletcher32
 *     /trainer                      group with attributes: step (int64: steps done), tokens (int64),
 *                                   best_loss, best_step, seconds (of training so far),
 *                                   data_hash (of the token file, hex),
 *                                   stale_evaluations (int64; absent: 0),
 *                                   recent_losses (float64[at most 64], oldest first; absent: none)
 *     /trainer/data                 byte array: state the data loader needs (empty here)
 *     root attributes: format "moira-checkpoint", version 1, config (resolved YAML text), tokenizer_kind,
 *         tokenizer_blob, tokenizer_hash, created_by.
 * A program reads its own version and older ones, and refuses newer ones with MO_E_VERSION.
 *
 * Saving writes a temporary file, fsyncs it, renames it over the target and fsyncs the folder: a kill at any
 * instant leaves the previous checkpoint whole. It packs chunks in parallel, at most 4.8 MiB for each thread
 * (16 of them count), and needs no other memory but HDF5's metadata. The bytes of the file depend on the
 * content alone. */
#ifndef MOIRA_CHECKPOINT_H
#define MOIRA_CHECKPOINT_H

#include "moira/tensor.h"
#include "moira/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One array to save or to fill. group: "model", "optimizer/adamw/m", "optimizer/adamw/v". Data of mo_real. */
typedef struct mo_checkpoint_array {
    const char *group;
    const char *name;
    int ndim;
    int64_t dim[4];
    mo_real *data;
} mo_checkpoint_array;

enum { MO_RECENT_LOSSES = 64 };

typedef struct mo_checkpoint_state {
    int64_t step, tokens;
    double best_loss; /* NaN if there was no evaluation */
    int64_t best_step;
    double seconds;
    char data_hash[33];        /* of the token file that the run learns from; "" if unknown */
    int64_t stale_evaluations; /* since the one that gave best_loss */
    int n_recent_losses;       /* of the last steps, oldest first */
    double recent_losses[MO_RECENT_LOSSES];
} mo_checkpoint_state;

typedef struct mo_checkpoint_content {
    const mo_checkpoint_array *arrays;
    int n_arrays;
    mo_checkpoint_state state;
    const char *config;            /* resolved YAML */
    const mo_tokenizer *tokenizer; /* may be NULL */
    int compression;               /* 0..9 */
} mo_checkpoint_content;

mo_status mo_checkpoint_save(const char *path, const mo_checkpoint_content *content);

/* Opening checks the stamp and reads state, config and tokenizer; arrays are read when asked for.
 * MO_E_NOT_FOUND, MO_E_FORMAT (not a checkpoint), MO_E_CORRUPT (truncated or damaged), MO_E_VERSION. */
typedef struct mo_checkpoint mo_checkpoint;
mo_status mo_checkpoint_open(const char *path, mo_checkpoint **out);
void mo_checkpoint_close(mo_checkpoint *c);
const mo_checkpoint_state *mo_checkpoint_get_state(const mo_checkpoint *c);
const char *mo_checkpoint_config(const mo_checkpoint *c);            /* borrowed */
const mo_tokenizer *mo_checkpoint_tokenizer(const mo_checkpoint *c); /* borrowed, NULL if none */
/* Fills every array (converting between float32 and float64), or fails with MO_E_MISMATCH and one message
 * that lists every name that is missing, unexpected in its group, or of another shape. */
mo_status mo_checkpoint_read(mo_checkpoint *c, const mo_checkpoint_array *arrays, int n_arrays);
/* Names and shapes of a group's arrays, for inspect: calls fn for each in stored order. */
typedef void (*mo_checkpoint_visit)(const char *name, int ndim, const int64_t *dim, void *user);
mo_status mo_checkpoint_list(mo_checkpoint *c, const char *group, mo_checkpoint_visit fn, void *user);
/* End-to-end check of a file: stamp, then every chunk decompressed and summed. */
mo_status mo_checkpoint_verify(const char *path);

#ifdef __cplusplus
}
#endif
#endif
