/* cmd_sweep.c -- moira sweep: many settings of one config, tried and ranked. */
#include <moira/lab.h>

#include "commands.h"
#include "lab_work.h"

static const mo__option options[] = {MO__LAB_OPTIONS};

static mo_status run(const void *given, const mo__words *words)
{
    return mo__lab_work(given, words, false);
}

static mo_status help(char **out)
{
    return mo_lab_spec_help(false, out);
}

const mo__command mo__cmd_sweep = {
    .name = "sweep",
    .summary = "try many settings of a config, and rank them",
    .synopsis = "SWEEP.yaml [--jobs N] [--list | --collect] [--retry] [--yes]",
    .text = "Trains a model for each combination of the file's parameters: all of them (grid), some that are "
            "drawn\n"
            "(random), or drawn ones of which the better go on (halving), with each of its seeds, and says "
            "what the\n"
            "parameters do: a ranking, the effect of each, the losses that time can buy.\n"
            "\n" MO__LAB_HELP("sweep"),
    .more = help,
    .example = "  moira sweep experiments/gating-sweep/sweep.yaml --jobs 2\n",
    .options = options,
    .options_size = sizeof(mo__lab_choices),
    .word = "SWEEP.yaml",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_SAVING,
    .run = run,
};
