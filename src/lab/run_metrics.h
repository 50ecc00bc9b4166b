/* run_metrics.h -- what a run folder says of its run, whether that is over, goes on, or was killed.
 *
 *     mo__run_metrics m;
 *     MO_TRY(mo__run_metrics_read(dir, MO__RUN_ALL, &m));
 *     for (int64_t i = 0; i < m.n_lines; i++) plot(m.lines[i].step, m.lines[i].train_loss);
 *     mo__run_metrics_free(&m);
 *
 * Reads files only: it may be called while the run writes them. */
#ifndef MOIRA_LAB_RUN_METRICS_H
#define MOIRA_LAB_RUN_METRICS_H

#include "moira/config.h"
#include "moira/routing.h"

typedef enum mo__run_parts {
    MO__RUN_LINES = 0,   /* config.yaml, and metrics.jsonl without its layers' loads */
    MO__RUN_LAYERS = 1,  /* the loads too */
    MO__RUN_ROUTING = 2, /* the last line of routing.jsonl */
    MO__RUN_ALL = 3
} mo__run_parts;

typedef struct mo__run_metrics {
    char *dir;
    mo_run_config config; /* of config.yaml */
    int64_t step_tokens;  /* positions that a step reads: those read by a line are step * step_tokens */
    mo_model_count count; /* parameters and FLOPs; all 0 where vocab_size is not known */
    /* By step. Of each report what its line says: without end and steps. A number that the line does not
     * have, or has as null, is NaN: validation_loss and bits_per_byte where `evaluated` is false, losses that
     * are off in `balance`. layers[] is as the run counts layers, those that have experts; their load is NULL
     * without MO__RUN_LAYERS. */
    mo_step_report *lines;
    int64_t n_lines;
    mo_run_end end; /* which budget was spent by the last line; MO_RUN_GOES_ON if none */
    bool torn;      /* metrics.jsonl ends in the middle of a line, which is left out */
    /* What the routers did with the validation data at the last evaluation that counted it: as in routing.h,
     * without token lists and `expected`. NULL: it was not asked for, or there is none. */
    mo_routing *routing;
    int64_t routing_step;
    struct mo__run_block *blocks; /* that all of it lies in */
} mo__run_metrics;

/* MO_E_NOT_FOUND: no folder, or no config.yaml in it. MO_E_CORRUPT names file and line: one in the middle is
 * no object, or has no step above that of the line before. MO_E_VERSION. No metrics.jsonl yet is no failure.
 * Nothing is left to free on failure. */
mo_status mo__run_metrics_read(const char *dir, mo__run_parts parts, mo__run_metrics *out);
void mo__run_metrics_free(mo__run_metrics *m);

/* The line of that step; NULL. */
const mo_step_report *mo__run_metrics_at(const mo__run_metrics *m, int64_t step);

/* How far the run is: its last whole line, without layers and sources. Reads the end of the file alone, so it
 * may be asked for every second. MO_E_NOT_FOUND: there is no line yet. */
mo_status mo__run_last_line(const char *dir, mo_step_report *out);

#endif
