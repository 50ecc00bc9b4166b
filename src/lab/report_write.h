/* report_write.h -- what a path is that a report is asked of. */
#ifndef MOIRA_LAB_REPORT_WRITE_H
#define MOIRA_LAB_REPORT_WRITE_H

#include "moira/lab.h"

typedef enum mo__report_of { MO__REPORT_OF_RUN, MO__REPORT_OF_EXPERIMENT } mo__report_of;
/* A folder with results.db, or a file, is an experiment's; a folder with config.yaml a run's. MO_E_NOT_FOUND.
 */
mo_status mo__report_kind(const char *path, mo__report_of *out);
/* Where its report goes if nothing else is said: report.html in its folder. Owned; NULL without memory. */
char *mo__report_default(const char *path);

/* The first bytes of every report, which tell it from other pages. */
#define MO__REPORT_BEGINS "<!DOCTYPE html><!--moira report"

#endif
