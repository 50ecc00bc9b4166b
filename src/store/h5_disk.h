/* h5_disk.h -- the file under HDF5 while we write one. A write that the system refuses (a full disk) leaves
 * HDF5 1.10 with a file it can neither flush nor close, and it crashes at the end of the process. So this
 * driver tells HDF5 that every write went well, remembers the first that did not, and mo__h5_close reports
 * it. */
#ifndef MOIRA_STORE_H5_DISK_H
#define MOIRA_STORE_H5_DISK_H

#include "h5.h"

typedef struct mo__disk mo__disk;
mo_status mo__disk_create(mo__disk **out);
void mo__disk_free(mo__disk *disk);
/* Makes files that are created with `access` go through `disk`. */
mo_status mo__disk_use(mo__disk *disk, hid_t access);
mo__disk *mo__disk_of(hid_t file);
/* MO_OK, or MO_E_IO with the system's reason if a write failed so far. */
mo_status mo__disk_status(const mo__disk *disk);

#endif
