/* bench_case.h -- one model of a bench: its graph, its steps, what they took. */
#ifndef MOIRA_TRAIN_BENCH_CASE_H
#define MOIRA_TRAIN_BENCH_CASE_H

#include "moira/bench.h"
#include "train/profile.h"
#include "train/train_internal.h"

/* ---- bench_ops.c: seconds of every op in every step ---- */

typedef struct mo__op_samples {
    mo_bench_op *ops; /* [n] names, costs */
    double *seconds;  /* [n][steps] */
    int n;
    int64_t steps;
} mo__op_samples;

void mo__op_samples_free(mo__op_samples *s);
/* What the graph did since mo_graph_profile was called, as the sample of `step`, 0 being the first. */
mo_status mo__op_samples_take(mo__op_samples *s, const mo_graph *g, int64_t step, int64_t steps);
/* By medians, the slowest first. Owned. */
mo_status mo__op_samples_summary(mo__op_samples *s, mo_bench_op **ops, int *n);

/* ---- bench_case.c ---- */

typedef struct mo__bench_case {
    const mo_bench_case *asked;
    mo_model *model;
    mo_model_graph *graph;
    mo_batch *batch;
    mo__routing_sum routing;
    mo__op_samples ops;
    double *seconds, *optimizer, *work; /* [steps] */
    int64_t steps;
    int threads;
    uint64_t rss; /* what it added to the process */
} mo__bench_case;

/* Zeroed memory in; close it whatever the status. */
mo_status mo__bench_case_open(mo__bench_case *c, const mo_bench_case *asked, int64_t steps);
void mo__bench_case_close(mo__bench_case *c);
/* Step `step`, its time as sample number `sample` unless that is negative. */
mo_status mo__bench_case_step(mo__bench_case *c, int64_t step, int64_t sample);
/* Everything but peaks, start-up and memory. */
mo_status mo__bench_case_result(mo__bench_case *c, mo_bench_result *out);

/* ---- bench_skew.c ---- */

/* MO_E_RANGE as in mo_bench. */
mo_status mo__skew_check(const mo_model_config *config, double skew);
/* Changes drawn weights so that the first expert of every layer takes that share of the choices. */
mo_status mo__skew_weights(mo_model *m, double skew);
/* Whether it did. */
mo_status mo__skew_held(const mo__routing_sum *routing, const mo_model *m, double skew);

#endif
