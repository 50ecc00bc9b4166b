/* bench_cases.h -- what moira bench is asked to time: a config, and what it is held against. */
#ifndef MOIRA_CLI_BENCH_CASES_H
#define MOIRA_CLI_BENCH_CASES_H

#include <moira/bench.h>
#include <moira/config.h>

#include "args.h"

typedef struct mo__bench_variant {
    char *name; /* as it was asked for; the first one's is the config's run.name */
    mo_run_config config;
    double skew;
} mo__bench_variant;

typedef struct mo__bench_list {
    mo__bench_variant *at;
    int count;
} mo__bench_list;

typedef struct mo__bench_request {
    const mo__words *words; /* CONFIG and settings; none: a standard model */
    const char *threads;    /* "", or numbers with commas between */
    const char *against;    /* "", or variants with blanks between */
    double skew;            /* of the config; below 0: not given */
} mo__bench_request;

/* The config first. MO_E_USAGE names what cannot be read. On failure nothing is left to free. */
mo_status mo__bench_list_make(const mo__bench_request *request, mo__bench_list *out);
void mo__bench_list_free(mo__bench_list *list);

/* Cuts `text` at blanks, or at commas, outside of brackets and quotes: the length of the first piece; *rest
 * is what follows it, without separators in front. */
size_t mo__bench_cut(const char *text, const char *separators, const char **rest);

#endif
