/* file.h -- one wording for what the system says about a file, and for a file that is too new. */
#ifndef MOIRA_BASE_FILE_H
#define MOIRA_BASE_FILE_H

#include <moira/base.h>

/* Sets "path: cannot `verb` (strerror of errno)"; MO_E_NOT_FOUND for a missing file or folder, MO_E_EXISTS,
 * MO_E_MEMORY, else MO_E_IO. Call it before anything else can change errno. */
mo_status mo__file_error(const char *path, const char *verb);

/* This thread's message is about writing a file that is to be replaced: puts the target's path in front, or
 * in the place of the temporary file's where the message begins with that. Returns `status`. */
mo_status mo__replace_error(const mo_replace *replace, mo_status status);
/* MO_E_VERSION: "is a checkpoint of version 2, moira 0.1.0 reads versions up to 1; use a newer moira", for
 * the noun "a checkpoint". The caller puts the path in front. */
mo_status mo__version_error(const char *noun, int64_t found, int newest);

#endif
