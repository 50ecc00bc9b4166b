/* profile.c -- where the time of training steps went: every op, and what a step does besides.
 *
 * The first step of a process is left out if there are others: it touches the pages and wakes the threads. */
#include "train/profile.h"

#include <stdlib.h>
#include <string.h>

static mo_bench_op *op_row(mo_bench_op *ops, int *n, const char *name, mo_phase phase)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(ops[i].name, name) == 0 && ops[i].phase == phase) return &ops[i];
    ops[*n] = (mo_bench_op){.name = name, .phase = phase};
    return &ops[(*n)++];
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const mo_bench_op *)a)->seconds, y = ((const mo_bench_op *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

mo_status mo__profile_ops(const mo_graph *g, int64_t steps, mo_bench_op **out, int *n)
{
    mo_bench_op *ops = mo_calloc((size_t)mo_graph_node_count(g) * 2, sizeof *ops);
    if (!ops) return MO_E_MEMORY;
    *n = 0;
    for (int i = 0; i < mo_graph_node_count(g); i++)
        for (int phase = MO_FORWARD; phase <= MO_BACKWARD; phase++) {
            const mo_node *node = mo_graph_node_at(g, i);
            int64_t calls = 0;
            double seconds = mo_graph_node_seconds(g, i, (mo_phase)phase, &calls);
            if (calls == 0) continue;
            mo_bench_op *row = op_row(ops, n, node->op->name, (mo_phase)phase);
            mo_cost cost = node->op->cost ? node->op->cost(node, (mo_phase)phase) : (mo_cost){0, 0};
            double per_step = (double)calls / (double)steps;
            row->calls += calls / steps;
            row->seconds += seconds / (double)steps;
            row->flops += cost.flops * per_step;
            row->bytes += cost.bytes * per_step;
        }
    qsort(ops, (size_t)*n, sizeof *ops, by_seconds);
    *out = ops;
    return MO_OK;
}

/* ---- the steps of a run ---- */

void mo__profile_start(mo__profile *p, mo_graph *g)
{
    *p = (mo__profile){.on = true};
    mo_graph_profile(g, true);
}

void mo__profile_begin_step(mo__profile *p, mo_graph *g, const mo_loader *loader)
{
    if (!p->on || p->warm || p->steps == 0) return;
    *p = (mo__profile){.on = true, .warm = true, .waited_before = mo_loader_waited(loader)};
    mo_graph_profile(g, true);
}

void mo__profile_end_step(mo__profile *p, const mo_loader *loader, double seconds)
{
    if (!p->on) return;
    p->steps++;
    p->seconds += seconds;
    p->waited = mo_loader_waited(loader) - p->waited_before;
}

void mo__profile_add(mo__profile *p, mo__profile_part part, double begin)
{
    if (!p->on) return;
    p->part[part] += mo_clock() - begin;
    p->readings += 2;
}

/* Seconds of one reading of the clock. */
static double clock_cost(void)
{
    enum { READINGS = 10000 };
    double begin = mo_clock(), end = begin;
    for (int i = 0; i < READINGS; i++) end = mo_clock();
    return (end - begin) / READINGS;
}

mo_status mo__profile_result(const mo__profile *p, const mo_graph *g, mo_profile *out)
{
    double n = (double)p->steps, readings = (double)p->readings / n;
    *out = (mo_profile){0};
    mo_profile all = {.steps = p->steps,
                      .step_seconds = p->seconds / n,
                      .optimizer_seconds = p->part[MO__PROFILE_OPTIMIZER] / n,
                      .statistics_seconds = p->part[MO__PROFILE_STATISTICS] / n,
                      .waited_seconds = p->waited / n};
    MO_TRY(mo__profile_ops(g, p->steps, &all.ops, &all.n_ops));
    for (int i = 0; i < all.n_ops; i++) readings += 2 * (double)all.ops[i].calls;
    all.clock_seconds = readings * clock_cost();
    *out = all;
    return MO_OK;
}

void mo__profile_free(mo_profile *profile)
{
    mo_free(profile->ops);
    *profile = (mo_profile){0};
}
