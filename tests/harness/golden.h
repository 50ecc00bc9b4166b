/* golden.h -- reference values made elsewhere (tests/golden/make_*.py), read from tests/golden/<name>.h5.
 *
 * A group per case: in/<input>, weight/<i> (R of output i, or the scalar that scales a loss), out/<i>,
 * grad/<input>. Floating-point arrays may be float32 or float64, integers of any width. */
#ifndef MOIRA_TESTS_GOLDEN_H
#define MOIRA_TESTS_GOLDEN_H

#include "harness/opcase.h"

typedef struct golden golden;
/* Fails the running test if the file is missing or has no "format" attribute "moira-golden-1". */
golden *golden_open(const char *name);
void golden_close(golden *file);

typedef struct golden_array {
    int ndim;
    int64_t dim[MO_MAX_DIMS], count;
    double *real;  /* the values; */
    int32_t *ints; /* integers too, else NULL */
} golden_array;
bool golden_has(const golden *file, const char *path);
golden_array golden_read(const golden *file, const char *path); /* fails the test if it is not there */
void golden_array_free(golden_array *a);
double golden_attribute(const golden *file, const char *object, const char *name);

/* |got_i - want_i| <= tolerance * max(max_j |want_j|, 1e-30) for all i, else the test fails, naming the
 * worst. */
void golden_compare(const char *what, const mo_real *got, const golden_array *want, double tolerance);
/* Runs the case with the shapes and values of in/ in `group`, weights of weight/, and compares every output
 * (integers exactly) and every gradient that the group has. In the double build tolerance is 1e-11 if the
 * given one is larger. */
void golden_check(const golden *file, const char *group, const op_case *c, double tolerance);

#endif
