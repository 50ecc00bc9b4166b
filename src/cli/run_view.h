/* run_view.h -- what came of a run, in a screen of text. */
#ifndef MOIRA_CLI_RUN_VIEW_H
#define MOIRA_CLI_RUN_VIEW_H

#include "lab/run_metrics.h"

mo_status mo__run_print(const mo__run_metrics *m);

#endif
