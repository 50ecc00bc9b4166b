/* new_folder.h -- a folder that appears whole or not at all: filled under a temporary name beside its place,
 * then renamed. A folder that is there and empty is taken over. */
#ifndef MOIRA_HF_NEW_FOLDER_H
#define MOIRA_HF_NEW_FOLDER_H

#include "moira/base.h"

typedef struct mo__new_folder {
    char *path;   /* to fill with files */
    char *target; /* where it goes, without a slash at its end */
} mo__new_folder;

/* MO_E_EXISTS: the target is there and not an empty folder. */
mo_status mo__new_folder_begin(const char *target, mo__new_folder *out);
/* Commits where status is MO_OK, else removes what there is; gives the status. Frees. */
mo_status mo__new_folder_end(mo__new_folder *f, mo_status status);

#endif
