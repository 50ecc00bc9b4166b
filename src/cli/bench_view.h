/* bench_view.h -- what moira bench found, for people and for programs. */
#ifndef MOIRA_CLI_BENCH_VIEW_H
#define MOIRA_CLI_BENCH_VIEW_H

#include <jansson.h>

#include "bench_cases.h"

/* Results in the order of the list. */
mo_status mo__bench_print(const mo__bench_list *list, const mo_bench_result *results);

/* The first result, and under "against" the others, with their ratios to it. Owned. It begins with
 * MO__BENCH_BEGINS: that is what tells a bench's file. */
json_t *mo__bench_json(const mo__bench_list *list, const mo_bench_result *results);
#define MO__BENCH_BEGINS "{\n  \"bench\": "

/* ---- ratios of a variant to the first ---- */

typedef struct mo__bench_ratios {
    double step, work, flops, memory; /* flops: model FLOPs of a step; work: without the optimizer */
    double efficiency;                /* tokens a second for each thread */
} mo__bench_ratios;
mo__bench_ratios mo__bench_ratios_of(const mo_bench_result *base, const mo_bench_result *r);

/* ---- bench_compare.c: moira bench --compare ---- */

/* base, now: files that -o has written, or folders of them. MO_E_FORMAT for what is none. */
mo_status mo__bench_compare(const char *base, const char *now);

#endif
