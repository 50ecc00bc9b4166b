/* launch.h -- a trial's program: started, watched, told to stop, and what became of it.
 *
 * Whoever starts a trial claims its folder and gives the claim to the program that it starts. The claim then
 * lasts as long as either of them, so that after a kill of whoever started it nobody starts the trial anew
 * while it still runs; there is no moment between start and claim. Programs that others start (mo_lab_list)
 * hold the folder's lock alone (mo_run_held). */
#ifndef MOIRA_LAB_LAUNCH_H
#define MOIRA_LAB_LAUNCH_H

#include <sys/types.h>

#include "lab/settings.h"

typedef struct mo__launch {
    char *dir;   /* owned */
    pid_t pid;   /* 0: another's, which is waited for */
    int claim;   /* descriptor; -1 */
    off_t spoke; /* where log.txt ended when the program began */
    bool told;   /* to stop */
    bool beyond; /* it is to stop, but runs on another machine: it counts as ended, and goes on */
} mo__launch;

/* How a program ended. */
typedef struct mo__ending {
    bool known;       /* it was ours */
    bool interrupted; /* from outside: by a signal that programs are stopped with; it says nothing of the
                         trial */
    int exit_code;    /* -1: by a signal */
    int signal;       /* 0 */
} mo__ending;

/* Makes the folder, and claims it. *free is false where another process has it or trains in it: *out then
 * waits for that. */
mo_status mo__launch_claim(const char *dir, mo__launch *out, bool *free);
/* Starts words[0] with the other words, its output to the end of log.txt in the folder. */
mo_status mo__launch_start(mo__launch *launch, const mo__word_list *words);
/* Whether it has ended by now. */
bool mo__launch_ended(mo__launch *launch, mo__ending *out);
/* SIGTERM, once, also to another's program on this machine. One of another machine is not waited for any
 * more. */
void mo__launch_stop(mo__launch *launch);
/* Gives the claim back, and frees. */
void mo__launch_end(mo__launch *launch);
/* What the program said last, or how it ended. Owned. */
char *mo__launch_message(const mo__launch *launch, const mo__ending *ending);

#endif
