/* small_lab.h -- an experiment of two variants and two seeds, for tests of what keeps it. */
#ifndef MOIRA_TESTS_SMALL_LAB_H
#define MOIRA_TESTS_SMALL_LAB_H

#include "harness/harness.h"
#include "moira/lab.h"

enum { SMALL_LAB_VARIANTS = 2 };

typedef struct small_lab {
    mo_lab_spec spec;                            /* a sweep, a grid, "name: NAME\nbudget: {steps: 40}\n" */
    mo_lab_variant variants[SMALL_LAB_VARIANTS]; /* v0001 and, matched to it, dense */
} small_lab;

/* In the folder parent/name. All strings are by mo_malloc, and may be replaced. */
small_lab small_lab_make(const char *parent, const char *name);
void small_lab_free(small_lab *lab);

/* Writes results as they are into dir/results.db, which must not be there. */
void lab_store(const char *dir, const mo_lab_results *results);

#endif
