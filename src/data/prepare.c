/* prepare.c -- text files to a token file, streamed: every file is one training document, the first
 * floor((1 - validation_fraction) n) of its n bytes, and one validation document, the rest. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <moira/data.h>

#include "base/file.h"
#include "tokenizer/tokenizer_kind.h"

enum { PIECE = 1 << 20 }; /* bytes read at a time */

typedef struct {
    const mo_prepare_options *options;
    mo_corpus_summary *summary;
    mo_tokenwriter *writer;
    char *piece;
    int64_t done, total; /* bytes, over all inputs */
} job;

static mo_status append_text(job *j, mo_split split, const char *text, size_t size)
{
    const mo_tokenizer *tokenizer = j->options->tokenizer;
    int64_t count = (int64_t)size;
    if (mo__tokenizer_byte_ids(tokenizer)) {
        MO_TRY(mo_tokenwriter_append_bytes(j->writer, split, text, count));
    } else {
        int32_t *ids;
        MO_TRY(mo_tokenizer_encode(tokenizer, text, size, &ids, &count));
        mo_status status = mo_tokenwriter_append(j->writer, split, ids, count);
        mo_free(ids);
        MO_TRY(status);
    }
    j->summary->tokens[split] += count;
    return MO_OK;
}

/* The next `size` bytes of the file as one document. */
static mo_status copy_document(job *j, const char *path, int file, mo_split split, int64_t size)
{
    if (size == 0) return MO_OK;
    for (int64_t left = size; left;) {
        if (j->options->stop && *j->options->stop)
            return mo_error(MO_E_INTERRUPTED, "prepare: interrupted; %s is not written", j->options->output);
        ssize_t got = read(file, j->piece, (size_t)(left < PIECE ? left : PIECE));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return mo__file_error(path, "read");
        if (got == 0) return mo_error(MO_E_IO, "%s: became shorter while it was read", path);
        MO_TRY(append_text(j, split, j->piece, (size_t)got));
        left -= got;
        j->done += got;
        if (j->options->progress)
            j->options->progress((double)j->done, (double)j->total, "bytes", j->options->user);
    }
    j->summary->documents[split]++;
    return mo_tokenwriter_end_document(j->writer, split, 0);
}

static mo_status copy_file(job *j, const char *path, int file)
{
    struct stat info;
    if (fstat(file, &info) != 0) return mo__file_error(path, "look at");
    int64_t train = (int64_t)((1 - j->options->validation_fraction) * (double)info.st_size);
    MO_TRY(copy_document(j, path, file, MO_SPLIT_TRAIN, train));
    return copy_document(j, path, file, MO_SPLIT_VALIDATION, info.st_size - train);
}

static mo_status add_input(job *j, const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return mo__file_error(path, "open");
    mo_status status = copy_file(j, path, file);
    close(file);
    return status;
}

/* Before anything is written: every input is there, is a file with text, and is not the output. */
static mo_status check_inputs(job *j)
{
    struct stat output, input;
    bool replaces = stat(j->options->output, &output) == 0;
    for (int i = 0; i < j->options->n_inputs; i++) {
        const char *path = j->options->inputs[i];
        if (stat(path, &input) != 0) return mo__file_error(path, "look at");
        if (!S_ISREG(input.st_mode)) return mo_error(MO_E_FORMAT, "%s: is not a regular file", path);
        if (input.st_size == 0) return mo_error(MO_E_FORMAT, "%s: is empty, a text is needed", path);
        if (replaces && input.st_dev == output.st_dev && input.st_ino == output.st_ino)
            return mo_error(MO_E_USAGE, "%s: is both an input and the output", path);
        j->total += input.st_size;
    }
    return MO_OK;
}

/* Owned: "prepared from a.txt, b.txt and 3 more". */
static char *describe_source(const mo_prepare_options *o)
{
    const char *second = o->n_inputs > 1 ? o->inputs[1] : "";
    if (o->n_inputs <= 2)
        return mo_strprintf("prepared from %s%s%s", o->inputs[0], o->n_inputs > 1 ? ", " : "", second);
    return mo_strprintf("prepared from %s, %s and %d more", o->inputs[0], second, o->n_inputs - 2);
}

static mo_status write_all(job *j)
{
    const mo_prepare_options *o = j->options;
    char *source = describe_source(o);
    if (!source) return MO_E_MEMORY;
    mo_tokenwriter_options writer = {
        .path = o->output, .tokenizer = o->tokenizer, .source = source, .compression = o->compression};
    mo_status status = mo_tokenwriter_open(&writer, &j->writer);
    mo_free(source);
    for (int i = 0; status == MO_OK && i < o->n_inputs; i++) status = add_input(j, o->inputs[i]);
    if (status == MO_OK) return mo_tokenwriter_finish(j->writer);
    mo_tokenwriter_abort(j->writer);
    return status;
}

mo_status mo_prepare(const mo_prepare_options *options, mo_corpus_summary *summary)
{
    double start = mo_clock();
    *summary = (mo_corpus_summary){.bytes = 0};
    if (options->n_inputs < 1) return mo_error(MO_E_USAGE, "prepare: no input");
    if (!(options->validation_fraction >= 0 && options->validation_fraction < 1))
        return mo_error(MO_E_RANGE, "prepare: validation_fraction is %g, must be at least 0 and below 1",
                        options->validation_fraction);
    job j = {.options = options, .summary = summary};
    MO_TRY(check_inputs(&j));
    j.piece = mo_malloc(PIECE);
    if (!j.piece) return MO_E_MEMORY;
    mo_status status = write_all(&j);
    mo_free(j.piece);
    summary->bytes = j.done;
    summary->seconds = mo_clock() - start;
    return status;
}
