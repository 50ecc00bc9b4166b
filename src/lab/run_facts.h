/* run_facts.h -- what pages and terminals both say of a run. */
#ifndef MOIRA_LAB_RUN_FACTS_H
#define MOIRA_LAB_RUN_FACTS_H

#include "lab/run_metrics.h"

/* Positions read when the line was written. */
double mo__run_tokens(const mo__run_metrics *m, const mo_step_report *line);
/* The evaluation of lowest loss, the first of equals; NULL before the first one. */
const mo_step_report *mo__run_best(const mo__run_metrics *m);
/* The last line that tells of layers with experts; NULL. */
const mo_step_report *mo__run_last_routed(const mo__run_metrics *m);
/* Why a run that is over is, as a clause: "all of its steps are done". */
const char *mo__run_end_words(mo_run_end end);

typedef enum mo__run_rate { MO__RUN_SPEED, MO__RUN_GFLOPS } mo__run_rate;
/* Median over the lines; NaN if none has it, or without memory. */
double mo__run_median(const mo__run_metrics *m, mo__run_rate rate);

#endif
