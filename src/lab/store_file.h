/* store_file.h -- what the files of the store share. */
#ifndef MOIRA_LAB_STORE_FILE_H
#define MOIRA_LAB_STORE_FILE_H

#include "lab/sql.h"
#include "moira/lab.h"

/* By value of the enums; NULL at the end. */
extern const char *const mo__strategy_words[], *const mo__stage_words[], *const mo__state_words[];

/* Those of the spec from number `from` on. */
mo_status mo__store_put_seeds(mo__sql *sql, const mo_lab_spec *spec, int from);

/* Is it a results file, of a version that is known, and whole? MO_E_FORMAT, MO_E_VERSION, MO_E_CORRUPT. */
mo_status mo__store_check(mo__sql *sql);
/* All of it, within a transaction of the caller's. Nothing is left to free on failure. */
mo_status mo__store_load(mo__sql *sql, mo_lab_results *out);

#endif
