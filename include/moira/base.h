/* base.h -- what every other module stands on: status codes with a message, the log, heap and mapped
 * memory, counter-based random numbers, the clock, files that are replaced whole, threads.
 *
 * Lifetime: nothing here owns state except the thread-local error text and the process-wide log callback.
 * The library never prints, exits or aborts: a function that can fail returns mo_status and leaves the
 * details, with the values that were wrong, in mo_last_error().
 *
 *     if (n <= 0) return mo_error(MO_E_RANGE, "batch: size is %lld, must be positive", (long long)n);
 *     MO_TRY(mo_something(...));                // returns its status at once if it is not MO_OK
 */
#ifndef MOIRA_BASE_H
#define MOIRA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the program and the library; the only place (the Makefile reads it here). */
#define MO_VERSION_STRING "0.1.0"

/* ---- status ---- */

/* code, name, what it means. The command line turns RUN-class codes into exit 1, the others into exit 2. */
#define MO_STATUS_MAP(X)                                                            \
    X(MO_OK, "ok", "no error")                                                      \
    X(MO_E_USAGE, "usage", "the request itself is wrong")                           \
    X(MO_E_CONFIG, "config", "a configuration key or value is wrong")               \
    X(MO_E_RANGE, "range", "a value is out of its range")                           \
    X(MO_E_SHAPE, "shape", "shapes do not fit together")                            \
    X(MO_E_NOT_FOUND, "not found", "a file or name does not exist")                 \
    X(MO_E_EXISTS, "exists", "a file or folder is there already")                   \
    X(MO_E_FORMAT, "format", "a file is not of the expected format")                \
    X(MO_E_CORRUPT, "corrupt", "a file is damaged or cut short")                    \
    X(MO_E_VERSION, "version", "a file is of a version this program does not know") \
    X(MO_E_MISMATCH, "mismatch", "two things that must agree do not")               \
    X(MO_E_MEMORY, "memory", "there is not enough memory")                          \
    X(MO_E_IO, "io", "the system refused to read or write")                         \
    X(MO_E_NONFINITE, "non-finite", "a loss or gradient is not a finite number")    \
    X(MO_E_INTERRUPTED, "interrupted", "a signal asked for the end")                \
    X(MO_E_UNSUPPORTED, "unsupported", "this build or machine cannot do it")        \
    X(MO_E_INTERNAL, "internal", "a bug in Moira")

typedef enum mo_status {
#define X(code, name, text) code,
    MO_STATUS_MAP(X)
#undef X
        MO_STATUS_COUNT
} mo_status;

const char *mo_status_name(mo_status status); /* "not found"; static text */
const char *mo_status_text(mo_status status); /* one sentence; static text */

/* Stores a formatted message for this thread and returns `status`. */
mo_status mo_error(mo_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " in front of this thread's message and returns `status`: adds the file or place. */
mo_status mo_error_context(mo_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* This thread's last message; never NULL; valid until the next failing call on the thread. */
const char *mo_last_error(void);
void mo_error_clear(void);

#define MO_TRY(call)                                        \
    do {                                                    \
        mo_status mo_try_status_ = (call);                  \
        if (mo_try_status_ != MO_OK) return mo_try_status_; \
    } while (0)

/* For our own bugs only; compiled in everywhere, calls __builtin_trap. */
#define MO_ASSERT(condition)                \
    do {                                    \
        if (!(condition)) __builtin_trap(); \
    } while (0)

/* ---- log ---- */

typedef enum mo_log_level { MO_LOG_INFO, MO_LOG_WARNING } mo_log_level;
typedef void (*mo_log_fn)(mo_log_level level, const char *message, void *user);
/* Process-wide; NULL (the default) is silence. Set it before starting threads. */
void mo_log_set(mo_log_fn fn, void *user);
void mo_log(mo_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How far long work is, in `unit`s. */
typedef void (*mo_progress_fn)(double done, double total, const char *unit, void *user);

/* ---- memory ---- */

/* Every heap allocation of the library goes through these, so that tests can count and fail them.
 * They return NULL when out of memory and set MO_E_MEMORY's message. Sizes in bytes. */
void *mo_malloc(size_t size);
void *mo_calloc(size_t count, size_t size); /* refuses count*size overflow */
void *mo_realloc(void *old, size_t size);
char *mo_strdup(const char *text);
char *mo_strprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mo_free(void *memory);

/* Large, zeroed, 64-byte aligned anonymous memory straight from the system, with huge pages where the
 * system gives them. Pages cost nothing until touched. */
mo_status mo_pages_alloc(size_t size, void **out);
void mo_pages_free(void *memory, size_t size);

/* Bytes of memory this process may still take, by the system's own estimate (MemAvailable, and the
 * cgroup limit where there is one). 0 if unknown. */
uint64_t mo_memory_available(void);
/* Peak resident set of this process so far, in bytes. */
uint64_t mo_memory_peak_rss(void);

/* ---- random numbers: pure functions of what they are for (Philox 4x32-10, Salmon et al. 2011) ---- */

typedef enum mo_rng_purpose {
    MO_RNG_INIT = 1,    /* weights:        layer = parameter index, index = element */
    MO_RNG_NOISE = 2,   /* router noise:   step, layer, index = token * E + expert */
    MO_RNG_DATA = 3,    /* data order:     step = epoch */
    MO_RNG_SAMPLE = 4,  /* text sampling:  step = position */
    MO_RNG_SYNTH = 5,   /* synthetic text: layer = domain, step = document, index = draw */
    MO_RNG_DROPOUT = 6, /* dropout masks:  step, layer = stream, index = element / 4 */
    MO_RNG_TEST = 7,
    MO_RNG_SPLIT = 8,    /* documents that validate: step = run of documents */
    MO_RNG_JITTER = 9,   /* router's input: step, layer, index = token * ceil(D/4) + d/4 */
    MO_RNG_HASH = 10,    /* experts of a token id: layer, index as src/ops/choose.c has it */
    MO_RNG_CHOICE = 11,  /* experts at random: the same, and step (evaluation: = position) */
    MO_RNG_SECOND = 12,  /* second choices that stay: step, layer, index = token */
    MO_RNG_UPCYCLE = 13, /* noise of copied experts: layer = parameter, index = element */
    MO_RNG_DRAW = 14     /* hyperparameters: step = try, layer = parameter */
} mo_rng_purpose;

/* 128 random bits for one place; the same arguments always give the same bits on every machine. */
void mo_rng_bits(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index,
                 uint32_t out[4]);
/* The same for the places index .. index+count-1, several at once: out[4 i + w] is word w of place index+i.
 */
void mo_rng_words(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index,
                  int64_t count, uint32_t *out);
/* Uniform in [0, 1) with 53 bits. */
double mo_rng_uniform(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index);
/* Standard normal by Box-Muller. */
double mo_rng_normal(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index);
/* The same numbers for the places index .. index+count-1, several at once. */
void mo_rng_normals(uint64_t seed, mo_rng_purpose purpose, uint64_t step, uint32_t layer, uint64_t index,
                    int64_t count, double *out);
/* A permutation of [0, n): where `index` goes, by a keyed Feistel network with cycle walking. */
uint64_t mo_rng_permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t index);

/* ---- clock, threads ---- */

double mo_clock(void);           /* seconds, monotonic */
double mo_process_seconds(void); /* since this process was started, to 0.01; 0 if that is not known */
int mo_cores(void);              /* cores this process may run on */
void mo_threads_set(int count);  /* team size of later parallel regions from this thread; <= 0 = mo_cores() */
int mo_threads(void);            /* that size */
/* The vector instructions that the library which runs was built for: "AVX2 and FMA, vectors of 256 bits". A
 * portable build is several libraries, of which the dynamic loader picks one by the processor. */
const char *mo_instructions(void);

/* ---- files ---- */

/* Replacing a file whole: write to mo_replace.path (in the same folder), then commit: fsync, rename over
 * the target, fsync the folder. A kill at any instant leaves the old file or the new one. */
typedef struct mo_replace {
    char *path;   /* owned: the temporary file to write */
    char *target; /* owned: where it goes */
} mo_replace;
mo_status mo_replace_begin(mo_replace *replace, const char *target);
mo_status mo_replace_commit(mo_replace *replace); /* on failure the temporary file is removed */
void mo_replace_abort(mo_replace *replace);       /* removes the temporary file; harmless after commit */
/* `target` becomes, as whole, a second name of the file at `existing`. MO_E_IO where that cannot be. */
mo_status mo_link_file(const char *existing, const char *target);

bool mo_path_exists(const char *path);
bool mo_path_is_dir(const char *path);
mo_status mo_make_dirs(const char *path);                                         /* like mkdir -p */
mo_status mo_read_file(const char *path, size_t limit, char **out, size_t *size); /* owned, NUL-terminated */
mo_status mo_write_file(const char *path, const void *bytes, size_t size);        /* replaced whole */
/* Directory part ("." if none) and join; owned results, NULL when out of memory. */
char *mo_path_dir(const char *path);
char *mo_path_join(const char *dir, const char *name);
/* Where a folder or file that exists is as seen from the folder `from`, links resolved: "../models/m". Owned;
 * a `to` that is absolute as it is. MO_E_NOT_FOUND. */
mo_status mo_path_from(const char *from, const char *to, char **out);
/* XXH3-128 of a file's bytes [offset, end) as 32 hex digits. */
mo_status mo_hash_file(const char *path, uint64_t offset, char hex[33]);
void mo_hash_bytes(const void *bytes, size_t size, char hex[33]);

/* The longest useful edit distance for "did you mean": best match of `word` among `names`, or NULL. */
const char *mo_nearest_name(const char *word, const char *const *names, size_t count);
/* Bytes of text[size] that are no part of valid UTF-8: what a SentencePiece tokenizer replaces. */
int64_t mo_utf8_invalid(const char *text, size_t size);
/* Shell-style match with * and ? (fnmatch without special slashes). */
bool mo_glob_match(const char *pattern, const char *text);

#ifdef __cplusplus
}
#endif
#endif
