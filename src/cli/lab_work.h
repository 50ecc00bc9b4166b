/* lab_work.h -- a sweep or a comparison, done, listed or collected: what their commands share. */
#ifndef MOIRA_CLI_LAB_WORK_H
#define MOIRA_CLI_LAB_WORK_H

#include "args.h"

typedef struct mo__lab_choices {
    int64_t jobs;
    bool list, collect, retry, yes, resume;
} mo__lab_choices;

#define MO__LAB_OPTIONS                                                                                     \
    MO__OPTION_INT(mo__lab_choices, jobs, "jobs", "N", "1", 1, 1024,                                        \
                   "trials at a time, which share the cores"),                                              \
        MO__OPTION_FLAG(mo__lab_choices, list, "list",                                                      \
                        "print the commands of the trials that are due, run none"),                         \
        MO__OPTION_FLAG(mo__lab_choices, collect, "collect",                                                \
                        "record what trials got to that ran elsewhere"),                                    \
        MO__OPTION_FLAG(mo__lab_choices, retry, "retry", "failed trials once more"),                        \
        MO__OPTION_FLAG(mo__lab_choices, yes, "yes", "also more than 10,000 variants"),                     \
        MO__OPTION_FLAG(mo__lab_choices, resume, "resume", "go on where it stopped: done without it, too"), \
    {                                                                                                       \
        .name = NULL                                                                                        \
    }

/* Paragraphs of help about both. */
#define MO__LAB_HELP(name)                                                                                   \
    "The experiment's folder, experiments/NAME or `dir`, has results.db, and trials with a run folder for\n" \
    "each. A trial is a run of moira train, in a process of its own, and has the same bits however many "    \
    "run\n"                                                                                                  \
    "at a time. Ctrl-C lets the trials save and ends with status 130. Whatever stopped it, a kill of all "   \
    "of\n"                                                                                                   \
    "it too, the same command goes on: what is done stays, what was begun is gone on with, and trials "      \
    "that\n"                                                                                                 \
    "still run are waited for. A trial that fails is recorded with what it said, and the others go on; "     \
    "the\n"                                                                                                  \
    "status is then 1 at the end.\n"                                                                         \
    "\n"                                                                                                     \
    "--list prints a command a line for the trials that are due now, for other programs to run in this\n"    \
    "folder, on one machine or several that share it, and --collect records what came of them:\n"            \
    "  moira " name " FILE.yaml --list --jobs 4 | xargs -r -d '\\n' -P 4 -n 1 sh -c\n"

/* The work of the file in words[0], which must be of that kind. */
mo_status mo__lab_work(const mo__lab_choices *choices, const mo__words *words, bool compare);

#endif
