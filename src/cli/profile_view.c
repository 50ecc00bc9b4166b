/* profile_view.c -- what moira train --profile prints at the end. */
#include "op_table.h"
#include "terminal.h"
#include "train_view.h"
#include "base/units.h"

void mo__train_view_profile(const mo_profile *p, void *user)
{
    (void)user;
    mo__live_clear();
    const mo__op_row rows[] = {{"adamw and norm", p->optimizer_seconds},
                               {"statistics", p->statistics_seconds},
                               {"waiting for data", p->waited_seconds}};
    printf("\nprofile      %.3f ms a step, the mean of %s step%s\n", 1e3 * p->step_seconds,
           mo__count(p->steps).text, p->steps == 1 ? "" : "s");
    if (mo__op_table_print(&(mo__op_table){.ops = p->ops,
                                           .n_ops = p->n_ops,
                                           .rows = rows,
                                           .n_rows = sizeof rows / sizeof *rows,
                                           .step_seconds = p->step_seconds,
                                           .peak_gflops = p->peak_gflops,
                                           .peak_gbytes = p->peak_gbytes}) != MO_OK)
        mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    printf("peaks        %.1f GFLOP/s in products of 2048 x 2048, one per thread; %.1f GB/s through memory\n",
           p->peak_gflops, p->peak_gbytes);
    printf("cost         the profile's own clock took %.3f ms a step, %.2f%%\n", 1e3 * p->clock_seconds,
           100 * p->clock_seconds / p->step_seconds);
}
