/* lines.h -- files of a JSON object a line. */
#ifndef MOIRA_TRAIN_LINES_H
#define MOIRA_TRAIN_LINES_H

#include <jansson.h>

#include "moira/base.h"

/* Appends the object, which may be NULL where memory has run out, as a line; it stays the caller's. */
mo_status mo__lines_append(const char *path, const json_t *line);

#endif
