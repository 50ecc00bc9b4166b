/* session.h -- this process: its messages, its exit status, its signals, its standard output.
 *
 * main.c opens the session, runs one command and ends with mo__session_close(status). A command whose result
 * is an error returns its status; the message is mo_last_error(). */
#ifndef MOIRA_CLI_SESSION_H
#define MOIRA_CLI_SESSION_H

#include <signal.h>

#include <moira/base.h>

/* Opens what is closed of the three standard files, ignores SIGPIPE, sends the library's log to stderr. */
void mo__session_open(const char *program);
/* What this program was called by. */
const char *mo__program(void);
/* The command whose name messages carry. `stops`: it watches mo__stop, so that a first SIGINT or SIGTERM asks
 * it to end and only a second one ends the process, at once, with 130. */
void mo__session_command(const char *name, bool stops);
extern volatile sig_atomic_t mo__stop;

/* From now on what goes wrong is the run's failure (exit 1), where before it was the request's (exit 2). */
void mo__session_begin_work(void);
/* 0 done; 1 the run failed; 2 the request was wrong; 130 interrupted. */
int mo__exit_code(mo_status status, bool working);

/* "moira train: ..." on stderr, on a line of its own. */
void mo__say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Flushes; false if nobody reads standard output any more. */
bool mo__stdout_flush(void);

/* Says what went wrong, flushes standard output, and gives the exit code. */
int mo__session_close(mo_status status);

#endif
