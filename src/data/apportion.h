/* apportion.h -- a stream of sequences shared out between weighted sources, in closed form. */
#ifndef MOIRA_DATA_APPORTION_H
#define MOIRA_DATA_APPORTION_H

#include <moira/base.h>

/* A tree whose leaves are the sources; a node's stream is split between its two children. */
typedef struct mo__apportion_node {
    int parent, light, heavy; /* nodes; -1 = none. light weighs no more than heavy */
    double weight;
    uint64_t ratio; /* of the stream that the light child gets, times 2^64; at most 2^63 */
} mo__apportion_node;

typedef struct mo__apportion {
    int count;                 /* of sources; source i is node i */
    mo__apportion_node *nodes; /* 2 count - 1, the root last */
} mo__apportion;

/* Weights must be positive and finite. */
mo_status mo__apportion_create(const double *weights, int count, mo__apportion *out);
void mo__apportion_free(mo__apportion *a);
/* The source that has place `place` >= 0 of the stream, and how many places it had before. */
int mo__apportion_at(const mo__apportion *a, int64_t place, int64_t *before);
/* How many of the first `places` places the source has. */
int64_t mo__apportion_count(const mo__apportion *a, int source, int64_t places);

#endif
