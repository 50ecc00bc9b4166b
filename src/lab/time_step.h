/* time_step.h -- how long a step of a model takes here: a short run of it, alone, with all cores. */
#ifndef MOIRA_LAB_TIME_STEP_H
#define MOIRA_LAB_TIME_STEP_H

#include "moira/lab.h"

enum { MO__STEPS_TIMED = 30 };

typedef struct mo__step_clock {
    const mo_lab_run_options *options;
    bool stopped; /* options->stop was seen */
} mo__step_clock;

/* A mo_lab_time_fn; user is a mo__step_clock. The run's folder goes away again. */
double mo__step_seconds(const char *config, const mo_lab_settings *settings, void *user);

#endif
