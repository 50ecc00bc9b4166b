/* op_table.h -- where the time of a step goes, op by op. */
#ifndef MOIRA_CLI_OP_TABLE_H
#define MOIRA_CLI_OP_TABLE_H

#include <moira/train.h>

typedef struct mo__op_row {
    const char *name;
    double seconds; /* of a step */
} mo__op_row;

typedef struct mo__op_table {
    const mo_bench_op *ops;
    int n_ops;
    const mo__op_row *rows; /* what a step does besides */
    int n_rows;
    double step_seconds; /* what the rows leave of it is the last row */
    double peak_gflops, peak_gbytes;
} mo__op_table;

mo_status mo__op_table_print(const mo__op_table *table);
/* What the columns mean, for help pages. */
#define MO__OP_TABLE_HELP                                                                                \
    "GFLOP/s and GB/s are of the operations and bytes that an op says it must do; roofline is the time " \
    "that\n"                                                                                             \
    "the machine would need for them at its measured peaks, of products or of memory, whichever is "     \
    "longer,\n"                                                                                          \
    "as a share of the time taken (work in cache can pass 100%).\n"

/* Time at the machine's peaks over the time taken; 0 if the op has neither operations nor bytes. */
double mo__roofline(const mo_bench_op *op, double peak_gflops, double peak_gbytes);

#endif
