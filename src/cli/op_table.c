/* op_table.c -- the table of ops that bench and train --profile print. */
#include "op_table.h"

#include <math.h>
#include <stdio.h>

#include "table.h"
#include "base/units.h"

static const double SMALL = 0.0005; /* of a step: what takes less has no row of its own */

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

double mo__roofline(const mo_bench_op *op, double peak_gflops, double peak_gbytes)
{
    double least = fmax(ratio(op->flops, peak_gflops * 1e9), ratio(op->bytes, peak_gbytes * 1e9));
    return ratio(least, op->seconds);
}

static void add_op(mo__table *t, const mo__op_table *table, const mo_bench_op *op)
{
    bool works = op->flops > 0 || op->bytes > 0;
    mo__cell(t, "%s", op->name);
    mo__cell(t, "%s", op->phase == MO_FORWARD ? "forward" : "backward");
    mo__cell(t, "%lld", (long long)op->calls);
    mo__cell(t, "%.3f", 1e3 * op->seconds);
    mo__cell(t, "%.1f%%", 100 * ratio(op->seconds, table->step_seconds));
    mo__cell(t, "%s", op->flops > 0 ? mo__fixed(ratio(op->flops, op->seconds) / 1e9, 1).text : "-");
    mo__cell(t, "%s", op->bytes > 0 ? mo__fixed(ratio(op->bytes, op->seconds) / 1e9, 1).text : "-");
    if (works)
        mo__cell(t, "%.1f%%", 100 * mo__roofline(op, table->peak_gflops, table->peak_gbytes));
    else
        mo__cell(t, "-");
    mo__cell(t, "%s", op->flops > 0 ? mo__short(op->flops).text : "-");
}

static void add_row(mo__table *t, const mo__op_table *table, const char *name, double seconds)
{
    mo__cell(t, "%s", name);
    mo__cell(t, "%s", "");
    mo__cell(t, "%s", "");
    mo__cell(t, "%.3f", 1e3 * seconds);
    mo__cell(t, "%.1f%%", 100 * ratio(seconds, table->step_seconds));
    for (int i = 0; i < 4; i++) mo__cell(t, "%s", "");
}

mo_status mo__op_table_print(const mo__op_table *table)
{
    mo__table t = mo__table_begin("<op|<pass|>calls|>ms a step|>share|>GFLOP/s|>GB/s|>roofline|>FLOP a step");
    double told = 0, small = 0;
    int n_small = 0;
    for (int i = 0; i < table->n_ops; i++) {
        const mo_bench_op *op = &table->ops[i];
        told += op->seconds;
        if (op->seconds >= SMALL * table->step_seconds) {
            add_op(&t, table, op);
        } else {
            small += op->seconds;
            n_small++;
        }
    }
    for (int i = 0; i < table->n_rows; i++) {
        told += table->rows[i].seconds;
        add_row(&t, table, table->rows[i].name, table->rows[i].seconds);
    }
    if (n_small > 0) {
        char name[32];
        snprintf(name, sizeof name, "%d smaller ops", n_small);
        add_row(&t, table, name, small);
    }
    add_row(&t, table, "other", fmax(table->step_seconds - told, 0));
    return mo__table_print(&t);
}
