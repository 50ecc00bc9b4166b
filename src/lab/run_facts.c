/* run_facts.c -- what pages and terminals both say of a run. */
#include "lab/run_facts.h"

#include <math.h>
#include <stdlib.h>

double mo__run_tokens(const mo__run_metrics *m, const mo_step_report *line)
{
    return (double)line->step * (double)m->step_tokens;
}

const mo_step_report *mo__run_best(const mo__run_metrics *m)
{
    const mo_step_report *best = NULL;
    for (int64_t i = 0; i < m->n_lines; i++) {
        const mo_step_report *l = &m->lines[i];
        if (!l->evaluated || !isfinite(l->validation_loss)) continue;
        if (!best || l->validation_loss < best->validation_loss) best = l;
    }
    return best;
}

const mo_step_report *mo__run_last_routed(const mo__run_metrics *m)
{
    for (int64_t i = m->n_lines - 1; i >= 0; i--)
        if (m->lines[i].n_layers > 0) return &m->lines[i];
    return NULL;
}

const char *mo__run_end_words(mo_run_end end)
{
    static const char *const words[] = {[MO_RUN_GOES_ON] = "it goes on",
                                        [MO_RUN_STEPS] = "all of its steps are done",
                                        [MO_RUN_TOKENS] = "all of its tokens are read",
                                        [MO_RUN_SECONDS] = "its time is spent",
                                        [MO_RUN_PATIENCE] = "the validation loss no longer fell"};
    return words[end];
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double mo__run_median(const mo__run_metrics *m, mo__run_rate rate)
{
    double *values = mo_calloc((size_t)m->n_lines + 1, sizeof *values), median = (double)NAN;
    int64_t n = 0;
    for (int64_t i = 0; values && i < m->n_lines; i++) {
        double value = rate == MO__RUN_SPEED ? m->lines[i].tokens_per_second : m->lines[i].gflops;
        if (isfinite(value)) values[n++] = value;
    }
    if (n > 0) {
        qsort(values, (size_t)n, sizeof *values, ascending);
        median = (values[(n - 1) / 2] + values[n / 2]) / 2;
    }
    mo_free(values);
    return median;
}
