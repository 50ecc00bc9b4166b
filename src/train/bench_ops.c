/* bench_ops.c -- what each op took in each step of a bench. */
#include <stdlib.h>
#include <string.h>

#include "train/bench_case.h"

void mo__op_samples_free(mo__op_samples *s)
{
    mo_free(s->ops);
    mo_free(s->seconds);
    *s = (mo__op_samples){0};
}

/* All steps of a graph run the same ops, so the first says which there are. */
static mo_status begin(mo__op_samples *s, mo_bench_op *ops, int n, int64_t steps)
{
    *s = (mo__op_samples){.ops = ops, .n = n, .steps = steps};
    s->seconds = mo_calloc((size_t)(n * steps) + 1, sizeof *s->seconds);
    return s->seconds ? MO_OK : MO_E_MEMORY;
}

static int find(const mo__op_samples *s, const mo_bench_op *op)
{
    for (int i = 0; i < s->n; i++)
        if (s->ops[i].phase == op->phase && strcmp(s->ops[i].name, op->name) == 0) return i;
    return -1;
}

mo_status mo__op_samples_take(mo__op_samples *s, const mo_graph *g, int64_t step, int64_t steps)
{
    mo_bench_op *ops = NULL;
    int n = 0;
    MO_TRY(mo__profile_ops(g, 1, &ops, &n));
    if (step == 0) {
        MO_TRY(begin(s, ops, n, steps));
        for (int i = 0; i < n; i++) s->seconds[i * steps] = ops[i].seconds;
        return MO_OK;
    }
    for (int i = 0; i < n; i++) {
        int row = find(s, &ops[i]);
        if (row >= 0) s->seconds[row * s->steps + step] = ops[i].seconds;
    }
    mo_free(ops);
    return MO_OK;
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const mo_bench_op *)a)->seconds, y = ((const mo_bench_op *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

mo_status mo__op_samples_summary(mo__op_samples *s, mo_bench_op **out, int *n)
{
    mo_bench_op *ops = mo_calloc((size_t)s->n + 1, sizeof *ops);
    if (!ops) return MO_E_MEMORY;
    for (int i = 0; i < s->n; i++) {
        mo_spread spread = mo_spread_of(s->seconds + i * s->steps, s->steps);
        ops[i] = s->ops[i];
        ops[i].seconds = spread.median;
        memcpy(ops[i].quartile, spread.quartile, sizeof spread.quartile);
    }
    qsort(ops, (size_t)s->n, sizeof *ops, by_seconds);
    *out = ops;
    *n = s->n;
    return MO_OK;
}
