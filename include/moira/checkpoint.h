/* checkpoint.h -- checkpoints in HDF5: self-contained, or what was trained upon a base that lies elsewhere.
 *
 * On disk, format versions 1 and 2. An HDF5 file (libver bounds V110) with a 512-byte user block of text:
 *     "MOIRA CHECKPOINT <version>\n" "xxh3_128=<32 hex digits>\n" "bytes=<decimal>\n", zero-padded,
 * the hash being over every byte after the user block and `bytes` the size of the whole file; it is checked
 * before the HDF5 library is let near the file.
 *     /model/<name>                 float32 (float64 from a double build), the parameter's own shape.
 *                                   Version 2 alone: or uint16 with an attribute dtype, "bfloat16" or
 *                                   "float16", and those are the bits of such numbers
 *     /optimizer/adamw/m/<name>     first moment, same shape (absent for frozen parameters)
 *     /optimizer/adamw/v/<name>     second moment
 *       <name> is the registry's name, dots and all: /model/model.layers.0.mlp.up_proj.weight
 *       chunked (at most 1 MiB a chunk), shuffle + deflate (level 0: no filter) + fletcher32
 *     /trainer                      group with attributes: step (int64: steps done), tokens (int64),
 *                                   best_loss, best_step, seconds (of training so far),
 *                                   data_hash (of the token file, hex; of a mixture, of its files' hashes),
 *                                   data_hashes (of each file, 32 digits each; absent: not known),
 *                                   init_digest (of the model of init.from; absent: there was none),
 *                                   stale_evaluations (int64; absent: 0),
 *                                   patience_loss (float64; absent: best_loss),
 *                                   evaluation_due (int64, 0 or 1; absent: 0),
 *                                   recent_losses (float64[at most 64], oldest first; absent: none)
 *     /trainer/data                 byte array: state the data loader needs (empty here)
 *     /files/<name>                 uint8: a file of the folder that the model came from, as it was
 *                                   (packed as arrays are; an empty one is contiguous). name: see
 *                                   mo_checkpoint_file
 *     root attributes: format "moira-checkpoint", version, config (resolved YAML text), tokenizer_kind,
 *         tokenizer_blob, tokenizer_hash, created_by;
 *         base_path, base_digest (32 hex digits; absent: all is here): /model has only what was trained, and
 *         the rest is the model there, a checkpoint or a folder in Hugging Face's layout. A relative path
 *         begins at the folder of this file. The digest is a checkpoint's hash in its stamp, a folder's
 *         mo_hf_digest.
 * Versions: a program reads its own version and older ones, and refuses newer ones with MO_E_VERSION. The
 * version rises only when an older program would misread the file: one that has 16-bit arrays is of version
 * 2, and every other one still of version 1. What an older program can do without is added under the same
 * version: attributes, groups, and datasets outside of /model and the groups of /optimizer above; readers
 * pass over what they do not know, and take a stated default where such a thing is absent.
 *
 * Saving writes a temporary file, fsyncs it, renames it over the target and fsyncs the folder: a kill at any
 * instant leaves the previous checkpoint whole. It packs chunks in parallel, at most 4.8 MiB for each thread
 * (16 of them count), and needs no other memory but HDF5's metadata. The bytes of the file depend on the
 * content alone. */
#ifndef MOIRA_CHECKPOINT_H
#define MOIRA_CHECKPOINT_H

#include "moira/tensor.h"
#include "moira/tokenizer.h"

#include <signal.h>

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
    const mo_stored *stored; /* to save: the values lie there, not in data, and keep its dtype; else NULL. As
                                one part, or one for each index of the first dimension */
} mo_checkpoint_array;

/* A file that goes with the model and is kept as it is: tokenizer.json, generation_config.json ... */
typedef struct mo_checkpoint_file {
    const char *name; /* 1 to 255 bytes without '/' and control characters, not "." or ".." */
    const void *bytes;
    size_t size;
} mo_checkpoint_file;
/* Most files of a checkpoint, and most bytes of one. */
enum { MO_CHECKPOINT_FILES = 256, MO_CHECKPOINT_FILE_BYTES = 1 << 28 };

enum { MO_RECENT_LOSSES = 64 };

typedef struct mo_checkpoint_state {
    int64_t step, tokens;
    double best_loss; /* NaN if there was no evaluation */
    int64_t best_step;
    double seconds;
    char data_hash[33];        /* of what the run learns from (mo_run_data); "" if unknown */
    char init_digest[33];      /* of the model that the run began with (mo_pretrained_digest); "" if none */
    int64_t stale_evaluations; /* since the one that gave patience_loss */
    double patience_loss;      /* the last new best by at least eval.min_delta; NaN if there was none */
    bool evaluation_due;       /* the evaluation after this step was interrupted and is still to be made */
    int n_recent_losses;       /* of the last steps, oldest first */
    double recent_losses[MO_RECENT_LOSSES];
} mo_checkpoint_state;

typedef struct mo_checkpoint_content {
    const mo_checkpoint_array *arrays;
    int n_arrays;
    mo_checkpoint_state state;
    const char *config;              /* resolved YAML */
    const mo_tokenizer *tokenizer;   /* may be NULL */
    const char *data_hashes;         /* of each token file, 32 hex digits each; NULL = not known */
    int compression;                 /* 0..9 */
    const mo_checkpoint_file *files; /* of the model's folder, where it came from one */
    int n_files;
    /* Where only what trains is saved: the model (checkpoint or folder) that has the rest, and its digest. */
    const char *base_path, *base_digest; /* NULL: all is here */
    /* Of mo_checkpoint_save: may end it (MO_E_INTERRUPTED, nothing is left), and how far it is, in bytes of
     * the arrays. Both may be NULL. */
    const volatile sig_atomic_t *stop;
    mo_progress_fn progress;
    void *progress_user;
} mo_checkpoint_content;

/* Arrays that are stored elsewhere are read a chunk at a time, so they may be larger than memory.
 * MO_E_RANGE, MO_E_SHAPE: cannot be stored; MO_E_IO. */
mo_status mo_checkpoint_save(const char *path, const mo_checkpoint_content *content);

/* ---- saving while training goes on ----
 *
 * A writer copies what is to be saved into memory of its own, which it takes once, and a thread of low
 * priority packs and writes the copy. Files are the same, to the byte, as those of mo_checkpoint_save.
 *
 *     MO_TRY(mo_checkpoint_writer_create(bytes, true, &w));
 *     MO_TRY(mo_checkpoint_writer_begin(w, paths, 1, &content));     arrays may change from here on
 *     ... if (!mo_checkpoint_writer_busy(w)) MO_TRY(mo_checkpoint_writer_finish(w, &saved)); ...
 *     mo_checkpoint_writer_free(w);
 *
 * One thread owns a writer and makes all calls. */
typedef struct mo_checkpoint_writer mo_checkpoint_writer;

typedef struct mo_checkpoint_saved {
    int n_paths;               /* 0: there was no save to finish */
    uint64_t bytes;            /* of the file */
    double blocked_seconds;    /* that the owner spent in begin and finish */
    double background_seconds; /* that the thread was at it */
} mo_checkpoint_saved;

/* bytes: of the arrays of the largest save to come; the copy takes as much from now on. Without `background`
 * there is no copy and no thread, and begin does it all. MO_E_MEMORY. */
mo_status mo_checkpoint_writer_create(uint64_t bytes, bool background, mo_checkpoint_writer **out);
/* Starts a save; the one before must be finished. The file appears at paths[0] first; the others become names
 * of it, or files of their own where there are no hard links. Of content, the arrays' names and groups, the
 * tokenizer, data_hashes, files and the base's path and digest are borrowed until the save is finished.
 * Statuses of mo_checkpoint_save without background; MO_E_USAGE, MO_E_RANGE (more than `bytes`),
 * MO_E_UNSUPPORTED (no thread to be had; an array that is stored elsewhere, which is never copied: save such
 * without background). */
mo_status mo_checkpoint_writer_begin(mo_checkpoint_writer *w, const char *const *paths, int n_paths,
                                     const mo_checkpoint_content *content);
/* Whether finish would wait. */
bool mo_checkpoint_writer_busy(const mo_checkpoint_writer *w);
/* Ends the save that was begun, whatever is still to do: the owner takes it over from the thread, with all
 * its own threads. The status and message are the save's, which has left nothing where it failed. */
mo_status mo_checkpoint_writer_finish(mo_checkpoint_writer *w, mo_checkpoint_saved *out);
/* Finishes, and forgets how that went. */
void mo_checkpoint_writer_free(mo_checkpoint_writer *w);

/* Opening checks the stamp and reads state, config and tokenizer; arrays are read when asked for.
 * MO_E_NOT_FOUND, MO_E_FORMAT (not a checkpoint), MO_E_CORRUPT (truncated or damaged), MO_E_VERSION. */
typedef struct mo_checkpoint mo_checkpoint;
mo_status mo_checkpoint_open(const char *path, mo_checkpoint **out);
void mo_checkpoint_close(mo_checkpoint *c);
const mo_checkpoint_state *mo_checkpoint_get_state(const mo_checkpoint *c);
const char *mo_checkpoint_config(const mo_checkpoint *c);            /* borrowed */
const char *mo_checkpoint_data_hashes(const mo_checkpoint *c);       /* borrowed, "" if not known */
const mo_tokenizer *mo_checkpoint_tokenizer(const mo_checkpoint *c); /* borrowed, NULL if none */
const char *mo_checkpoint_digest(const mo_checkpoint *c);            /* borrowed: the hash in its stamp */
/* Where the model is that this one was trained upon, as the file says it, and its digest; borrowed, NULL if
 * all is here. */
const char *mo_checkpoint_base_path(const mo_checkpoint *c);
const char *mo_checkpoint_base_digest(const mo_checkpoint *c);
/* The files of /files, in their order there; borrowed until c is closed, read at the first call. */
mo_status mo_checkpoint_files(mo_checkpoint *c, const mo_checkpoint_file **files, int *count);
/* Fills every array (16-bit numbers and float32 to float64 exactly, float64 to float32 rounded), or fails
 * with MO_E_MISMATCH and one message that lists every name that is missing, unexpected in its group, or of
 * another shape. */
mo_status mo_checkpoint_read(mo_checkpoint *c, const mo_checkpoint_array *arrays, int n_arrays);
/* One matrix of an array, into out: of three dimensions that at index `part` of the first, else (part 0) the
 * whole. array's data is not looked at. MO_E_MISMATCH: absent, or of another shape. */
mo_status mo_checkpoint_read_part(mo_checkpoint *c, const mo_checkpoint_array *array, int64_t part,
                                  mo_real *out);
/* As what an array's numbers are stored: MO_F32, MO_F64, MO_F16, MO_BF16. MO_E_NOT_FOUND. */
mo_status mo_checkpoint_dtype(mo_checkpoint *c, const char *group, const char *name, mo_dtype *out);
/* Names and shapes of a group's arrays, for inspect: calls fn for each in stored order. */
typedef void (*mo_checkpoint_visit)(const char *name, int ndim, const int64_t *dim, void *user);
mo_status mo_checkpoint_list(mo_checkpoint *c, const char *group, mo_checkpoint_visit fn, void *user);
/* The tokenizer that a token file or a checkpoint embeds; nothing else of it is kept. MO_E_NOT_FOUND: no such
 * file, or it embeds none; MO_E_FORMAT: neither of the two; MO_E_CORRUPT, MO_E_VERSION. */
mo_status mo_tokenizer_from_file(const char *path, mo_tokenizer **out);
/* End-to-end check of a file: stamp, then every chunk of every array unpacked and summed. */
mo_status mo_checkpoint_verify(const char *path);
/* For a checkpoint or token file that other tools have changed on purpose, after which its stamp is wrong:
 * makes a copy with the right one, calls check (mo_checkpoint_verify, say) with the copy's path, and puts it
 * in the file's place if that is content. Statuses are check's, MO_E_FORMAT, MO_E_VERSION, MO_E_CORRUPT and
 * those of files. */
mo_status mo_restamp(const char *path, mo_status (*check)(const char *path));

#ifdef __cplusplus
}
#endif
#endif
