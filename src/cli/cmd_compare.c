/* cmd_compare.c -- moira compare: models against one another, on equal terms. */
#include <moira/lab.h>

#include "commands.h"
#include "lab_work.h"

static const mo__option options[] = {MO__LAB_OPTIONS};

static mo_status run(const void *given, const mo__words *words)
{
    return mo__lab_work(given, words, true);
}

static mo_status help(char **out)
{
    return mo_lab_spec_help(true, out);
}

const mo__command mo__cmd_compare = {
    .name = "compare",
    .summary = "compare models on equal terms, with the uncertainty",
    .synopsis = "COMPARE.yaml [--jobs N] [--list | --collect] [--retry] [--yes]",
    .text = "Trains the file's variants, models with experts and dense ones, with each of its seeds on the "
            "same data in the\n"
            "same order, and says how much better one is than the other at equal tokens, FLOPs and seconds, "
            "how much\n"
            "sooner it gets to the other's loss, and how sure that is. match gives a dense variant the width "
            "at which\n"
            "it has as many active parameters, parameters, or FLOPs, or takes as long; tune tries the same "
            "values for\n"
            "every variant first; timing trials run at the end, one at a time with all cores.\n"
            "\n" MO__LAB_HELP("compare"),
    .more = help,
    .example = "  moira compare experiments/moe-vs-dense/compare.yaml --jobs 2\n",
    .options = options,
    .options_size = sizeof(mo__lab_choices),
    .word = "COMPARE.yaml",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_SAVING,
    .run = run,
};
