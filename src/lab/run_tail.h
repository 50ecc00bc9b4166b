/* run_tail.h -- where a run is, by the last line of its metrics alone. */
#ifndef MOIRA_LAB_RUN_TAIL_H
#define MOIRA_LAB_RUN_TAIL_H

#include <moira/base.h>

/* The last whole line's step and training loss (NaN: it has none). Both stay where there is no such line. */
void mo__run_tail(const char *dir, int64_t *step, double *train_loss);

#endif
