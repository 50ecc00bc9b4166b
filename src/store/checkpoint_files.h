/* checkpoint_files.h -- files of a model's folder that a checkpoint carries, as datasets of bytes in /files.
 */
#ifndef MOIRA_STORE_CHECKPOINT_FILES_H
#define MOIRA_STORE_CHECKPOINT_FILES_H

#include <moira/checkpoint.h>

#include "h5.h"

/* MO_E_RANGE for names and sizes that are not stored; two of one name. */
mo_status mo__files_check(const mo_checkpoint_file *files, int count);
mo_status mo__files_write(hid_t file, const mo_checkpoint_file *files, int count, int compression);
/* *files is owned (mo__files_free), NULL if there are none. Names are held to the same rules. */
mo_status mo__files_read(hid_t file, mo_checkpoint_file **files, int *count);
void mo__files_free(mo_checkpoint_file *files, int count);

#endif
