/* lines.c -- appending to a file of JSON objects, one a line, numbers with all their digits. */
#include "train/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

mo_status mo__lines_append(const char *path, const json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text) return mo_error(MO_E_INTERNAL, "%s: a line of it cannot be written as JSON", path);
    FILE *f = fopen(path, "ae");
    bool written = f && fprintf(f, "%s\n", text) > 0;
    if (f && fclose(f) != 0) written = false;
    free(text);
    return written ? MO_OK : mo_error(MO_E_IO, "%s: %s", path, strerror(errno));
}
