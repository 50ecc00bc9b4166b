/* checkpoint_save.h -- one checkpoint on its way to disk, in rounds, so that it can change hands between
 * them.
 *
 *     MO_TRY(mo__save_begin(path, content, &save));
 *     do status = mo__save_round(save, &more); while (status == MO_OK && more);
 *     return mo__save_end(save, status);
 *
 * Calls may come from different threads, one after the other. Beyond the pack's slots (h5_pack.h) and HDF5's
 * metadata a save needs no memory. */
#ifndef MOIRA_STORE_CHECKPOINT_SAVE_H
#define MOIRA_STORE_CHECKPOINT_SAVE_H

#include <moira/checkpoint.h>

typedef struct mo__save mo__save;

/* MO_E_RANGE, MO_E_SHAPE: cannot be stored. */
mo_status mo__save_check(const mo_checkpoint_content *content);
/* Checks the content, which is borrowed until the end, and opens the temporary file. */
mo_status mo__save_begin(const char *path, const mo_checkpoint_content *content, mo__save **out);
/* Packs and writes the next few chunks, at most 1 MiB for each slot of the pack. */
mo_status mo__save_round(mo__save *save, bool *more);
/* Puts the file in place; or, if `status` is not MO_OK, leaves nothing of it and returns that status, with
 * the path before its message. Frees the save. */
mo_status mo__save_end(mo__save *save, mo_status status);

#endif
