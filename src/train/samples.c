/* samples.c -- samples.txt: text that a run generated, each behind a line that names its step. */
#include <errno.h>
#include <string.h>

#include "train/train_internal.h"

static const char MARK[] = "--- step ";
static const size_t SAMPLES_LIMIT = (size_t)1 << 30;

/* Bytes before the first mark of a step past `step`. */
static size_t good_bytes(const char *text, size_t size, int64_t step)
{
    const size_t mark = sizeof MARK - 1;
    for (const char *at = text; (at = memmem(at, (size_t)(text + size - at), MARK, mark)); at += mark) {
        long long marked = 0;
        bool line_start = at == text || at[-1] == '\n';
        if (line_start && sscanf(at + mark, "%lld ---", &marked) == 1 && marked > step)
            return (size_t)(at - text);
    }
    return size;
}

mo_status mo__samples_cut(const char *dir, int64_t step)
{
    char *path = mo_path_join(dir, "samples.txt"), *text = NULL;
    if (!path) return MO_E_MEMORY;
    size_t size = 0;
    mo_status status = MO_OK;
    if (mo_path_exists(path)) {
        status = mo_read_file(path, SAMPLES_LIMIT, &text, &size);
        size_t good = status == MO_OK ? good_bytes(text, size, step) : size;
        if (good < size) status = mo_write_file(path, text, good);
    }
    mo_free(text);
    mo_free(path);
    return status;
}

mo_status mo__samples_append(const char *dir, int64_t step, const char *text, size_t size)
{
    char *path = mo_path_join(dir, "samples.txt");
    if (!path) return MO_E_MEMORY;
    FILE *f = fopen(path, "ae");
    bool written = f && fprintf(f, "%s%lld ---\n", MARK, (long long)step) > 0 &&
                   fwrite(text, 1, size, f) == size && fputc('\n', f) != EOF;
    if (f && fclose(f) != 0) written = false;
    mo_status status = written ? MO_OK : mo_error(MO_E_IO, "%s: %s", path, strerror(errno));
    mo_free(path);
    return status;
}
