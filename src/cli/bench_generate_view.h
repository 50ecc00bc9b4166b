/* bench_generate_view.h -- moira bench --generate. */
#ifndef MOIRA_CLI_BENCH_GENERATE_VIEW_H
#define MOIRA_CLI_BENCH_GENERATE_VIEW_H

#include "args.h"

/* words: a config and settings, whose weights are drawn, or a checkpoint or model folder; none: a standard
 * model. tokens: to time; threads: "" or a number. */
mo_status mo__bench_generate(const mo__words *words, int64_t tokens, const char *threads, bool json);

#endif
