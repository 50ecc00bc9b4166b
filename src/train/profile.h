/* profile.h -- where the time of training steps goes. */
#ifndef MOIRA_TRAIN_PROFILE_H
#define MOIRA_TRAIN_PROFILE_H

#include "moira/train.h"

/* What a step does besides its graph. */
typedef enum mo__profile_part {
    MO__PROFILE_OPTIMIZER,  /* gradient norm and AdamW */
    MO__PROFILE_STATISTICS, /* losses and routing, summed for the report */
    MO__PROFILE_PARTS
} mo__profile_part;

/* Zero: off; then the functions that follow do nothing. */
typedef struct mo__profile {
    bool on, warm;
    int64_t steps, readings; /* of the clock, besides the graph's own */
    double seconds, part[MO__PROFILE_PARTS];
    double waited, waited_before; /* for the loader; of it, before the steps that count */
} mo__profile;

void mo__profile_start(mo__profile *p, mo_graph *g);
/* Around each step. */
void mo__profile_begin_step(mo__profile *p, mo_graph *g, const mo_loader *loader);
void mo__profile_end_step(mo__profile *p, const mo_loader *loader, double seconds);
/* Around a part of it. */
static inline double mo__profile_clock(const mo__profile *p)
{
    return p->on ? mo_clock() : 0;
}
void mo__profile_add(mo__profile *p, mo__profile_part part, double begin);

/* Everything but the machine's peaks; free with mo__profile_free. */
mo_status mo__profile_result(const mo__profile *p, const mo_graph *g, mo_profile *out);
void mo__profile_free(mo_profile *profile);

/* The ops of a graph that was profiled over `steps` steps, by op and phase, the slowest first. Owned. */
mo_status mo__profile_ops(const mo_graph *g, int64_t steps, mo_bench_op **ops, int *n);

/* ---- peak.c ---- */

typedef enum mo__peak_of { MO__PEAK_OWN, MO__PEAK_BLAS } mo__peak_of;
/* GFLOP/s of 2048^3 products, one per thread, all at once; 0 of OpenBLAS where it is not installed. */
mo_status mo__measure_peak(mo__peak_of of, double *gflops);
/* GB/s of all threads through arrays that no cache holds. */
mo_status mo__measure_bandwidth(double *gbytes);

#endif
