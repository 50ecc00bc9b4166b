/* run_view.c -- what came of a run: where it is, its evaluations, its routers. */
#include "run_view.h"

#include <math.h>

#include "base/units.h"
#include "lab/run_facts.h"
#include "table.h"

enum { MOST_ROWS = 10 };

static void print_head(const mo__run_metrics *m)
{
    const mo_step_report *last = m->n_lines > 0 ? &m->lines[m->n_lines - 1] : NULL;
    const mo_step_report *best = mo__run_best(m);
    int64_t steps = mo_run_steps(&m->config);
    printf("run          %s: ", m->config.run.name);
    if (!last) {
        printf("has not written a line of metrics yet\n");
        return;
    }
    printf("step %s", mo__count(last->step).text);
    if (steps) printf(" of %s", mo__count(steps).text);
    printf(", %s\n", m->end != MO_RUN_GOES_ON ? mo__run_end_words(m->end)
                     : mo_run_held(m->dir)    ? "goes on"
                                              : "stopped before its end");
    printf("read         %s tokens in %s", mo__short(mo__run_tokens(m, last)).text,
           mo__duration(last->seconds).text);
    double speed = mo__run_median(m, MO__RUN_SPEED);
    if (isfinite(speed)) printf(", %s tokens/s (median)", mo__count(llround(speed)).text);
    printf("\n");
    if (m->count.total > 0)
        printf("parameters   %s, of which a token uses %s\n", mo__count(m->count.total).text,
               mo__count(m->count.active).text);
    if (!best) return;
    printf("best         %.4f nats per token at step %s (perplexity %.4g", best->validation_loss,
           mo__count(best->step).text, exp(best->validation_loss));
    if (isfinite(best->bits_per_byte)) printf(", %.4f bits per byte", best->bits_per_byte);
    printf(")\n");
}

static mo_status print_evaluations(const mo__run_metrics *m)
{
    int64_t n = 0, at = 0;
    for (int64_t i = 0; i < m->n_lines; i++) n += m->lines[i].evaluated;
    if (n == 0) return MO_OK;
    int64_t every = (n + MOST_ROWS - 1) / MOST_ROWS;
    mo__table t = mo__table_begin(">step|>tokens|>time|>train loss|>validation loss|>bits per byte");
    for (int64_t i = 0; i < m->n_lines; i++) {
        const mo_step_report *l = &m->lines[i];
        if (!l->evaluated || (n - ++at) % every != 0) continue;
        mo__cell(&t, "%s", mo__count(l->step).text);
        mo__cell(&t, "%s", mo__short(mo__run_tokens(m, l)).text);
        mo__cell(&t, "%s", mo__duration(l->seconds).text);
        mo__cell(&t, "%s", mo__fixed(l->train_loss, 4).text);
        mo__cell(&t, "%s", mo__fixed(l->validation_loss, 4).text);
        mo__cell(&t, "%s", mo__fixed(l->bits_per_byte, 4).text);
    }
    printf("\n");
    return mo__table_print(&t);
}

static mo_status print_layers(const mo__run_metrics *m)
{
    const mo_step_report *l = mo__run_last_routed(m);
    if (!l) return MO_OK;
    mo__table t = mo__table_begin(">layer|>max vio|>cv|>dead|>dropped|>entropy|>top1|>weight");
    for (int k = 0; k < l->n_layers; k++) {
        const mo_layer_report *r = &l->layers[k];
        mo__cell(&t, "%d", r->layer);
        mo__cell(&t, "%s", mo__fixed(r->max_vio, 3).text);
        mo__cell(&t, "%s", mo__fixed(r->cv, 3).text);
        mo__cell(&t, "%lld", (long long)r->dead);
        mo__cell(&t, "%.1f%%", 100 * r->dropped);
        mo__cell(&t, "%s", mo__fixed(r->entropy, 3).text);
        mo__cell(&t, "%s", mo__fixed(r->top1, 3).text);
        mo__cell(&t, "%s", mo__fixed(r->top1_weight, 3).text);
    }
    printf("\nrouters at step %s, entropy in nats:\n", mo__count(l->step).text);
    return mo__table_print(&t);
}

mo_status mo__run_print(const mo__run_metrics *m)
{
    print_head(m);
    MO_TRY(print_evaluations(m));
    return print_layers(m);
}
