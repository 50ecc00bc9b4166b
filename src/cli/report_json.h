/* report_json.h -- what moira report says, as JSON. */
#ifndef MOIRA_CLI_REPORT_JSON_H
#define MOIRA_CLI_REPORT_JSON_H

#include <moira/lab.h>

#include "lab/run_metrics.h"

/* One object: kind ("sweep", "compare"), name, path, machine, created, answer (the sentence), notes; trials
 * [...] with their evaluations; variants [...] with what was found of each, in the order of the file; ranking
 * [names]; of a comparison reference, tune, contrasts [...]; of a sweep strategy, effects [...]. An estimate
 * is {mean, deviation, low, high, count}. What is not known is null. */
mo_status mo__experiment_json(const mo_lab_results *results, const mo_answer *answer);
/* The same of a run: kind "run", and the run as the only trial. */
mo_status mo__run_json(const mo__run_metrics *m);

#endif
