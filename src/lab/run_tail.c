/* run_tail.c -- see run_tail.h. */
#include "lab/run_tail.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/run_json.h"

/* Lines of many layers and experts are long. */
enum { LEAST = 1 << 13, MOST = 1 << 21 };

/* The last line of text[size] that has its end and, but at the file's beginning, its start. */
static const char *last_line(const char *text, size_t size, bool whole, size_t *length)
{
    const char *end = size ? memrchr(text, '\n', size) : NULL;
    const char *before = end && end > text ? memrchr(text, '\n', (size_t)(end - text)) : NULL;
    if (!end || (!before && !whole)) return NULL;
    const char *line = before ? before + 1 : text;
    *length = (size_t)(end - line);
    return line;
}

static void take(const char *line, size_t length, int64_t *step, double *train_loss)
{
    json_t *object = NULL;
    int64_t found;
    if (mo__run_line_parse(line, length, &object, &found) != MO_OK) mo_error_clear();
    if (!object) return;
    const json_t *loss = json_object_get(object, "train_loss");
    *step = found;
    *train_loss = json_is_number(loss) ? json_number_value(loss) : (double)NAN;
    json_decref(object);
}

/* False: the last line is longer than `size` bytes. */
static bool look(int file, off_t all, size_t size, int64_t *step, double *train_loss)
{
    bool whole = (off_t)size >= all;
    off_t from = whole ? 0 : all - (off_t)size;
    char *text = mo_malloc(size);
    ssize_t got = text ? pread(file, text, size, from) : -1;
    size_t length = 0;
    const char *line = got > 0 ? last_line(text, (size_t)got, whole, &length) : NULL;
    if (line) take(line, length, step, train_loss);
    mo_free(text);
    return line || whole || got < 0;
}

void mo__run_tail(const char *dir, int64_t *step, double *train_loss)
{
    char *path = mo_path_join(dir, "metrics.jsonl");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat info;
    mo_free(path);
    if (file < 0) return;
    if (fstat(file, &info) == 0)
        for (size_t size = LEAST; size <= MOST && !look(file, info.st_size, size, step, train_loss);)
            size *= 4;
    close(file);
}
