/* report_run.h -- the report of one run: how it went, and what its routers did.
 *
 * Parts write into the page that is open; what goes wrong is in report->status. */
#ifndef MOIRA_LAB_REPORT_RUN_H
#define MOIRA_LAB_REPORT_RUN_H

#include "lab/plot.h"
#include "lab/run_metrics.h"

/* Writes the page `output`, and its data beside it. Works for runs that have not logged a line yet. */
mo_status mo__report_run(const char *dir, const char *output, mo_report_made *made);

typedef struct mo__run_page {
    mo__report *report;
    const mo__run_metrics *m;
    double *tokens; /* [n_lines] positions read so far: where a line is on plots */
    int n_layers;   /* with experts, as lines have them; 0 of a dense model */
    int64_t experts;
} mo__run_page;

/* A number of a line: `which` says which of several; NaN where the line has none. */
typedef double mo__line_value(const mo_step_report *line, int which);
/* [n_lines] of them, owned; NULL, and told to the report, without memory. */
double *mo__run_column(const mo__run_page *p, mo__line_value *value, int which);

/* The same without gaps, with where the lines are: evaluations are few among the lines. */
typedef struct mo__run_track {
    double *x, *y;
    int64_t count; /* 0: there is nothing to be drawn, or no memory */
} mo__run_track;
mo__run_track mo__run_track_of(const mo__run_page *p, mo__line_value *value, int which);
void mo__run_track_free(mo__run_track *track);
/* The track as a curve, with points where it has few. */
mo__curve mo__run_track_curve(const mo__run_track *track, const char *name, int colour);

typedef struct mo__run_plot {
    const char *name, *title, *note, *y_label;
    bool log_y, zero_y, whole_y;
} mo__run_plot;
/* One curve over the tokens read. */
void mo__run_track_plot(const mo__run_page *p, const mo__run_plot *plot, const mo__run_track *track);
void mo__run_curve(const mo__run_page *p, const mo__run_plot *plot, mo__line_value *value);
/* A curve for each of `count`: things with names, or, where names is NULL, layers. Of more layers than
 * colours tell apart, their mean, with a band from the lowest to the highest. reference: a dashed line; NaN:
 * none. */
void mo__run_curves(const mo__run_page *p, const mo__run_plot *plot, mo__line_value *value, int count,
                    const char *const *names, double reference, const char *reference_name);

void mo__run_report_facts(const mo__run_page *p);   /* how the run is, and what it is of */
void mo__run_report_loss(const mo__run_page *p);    /* losses, sources, the course of training */
void mo__run_report_routing(const mo__run_page *p); /* balance over the run */
void mo__run_report_experts(const mo__run_page *p); /* load, domains */
void mo__run_report_spikes(const mo__run_page *p);  /* spikes.jsonl */
void mo__run_report_texts(const mo__run_page *p);   /* the last sample, config.yaml */

#endif
