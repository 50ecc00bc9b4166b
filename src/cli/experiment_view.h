/* experiment_view.h -- what came of a sweep or a comparison, in a screen of text. */
#ifndef MOIRA_CLI_EXPERIMENT_VIEW_H
#define MOIRA_CLI_EXPERIMENT_VIEW_H

#include <moira/lab.h>

/* The answer, then tables. */
mo_status mo__experiment_print(const mo_lab_results *results, const mo_answer *answer);

#endif
