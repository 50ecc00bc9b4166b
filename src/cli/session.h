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
/* What a first SIGINT, SIGTERM or SIGHUP does: ends the process, or asks the command, which watches mo__stop,
 * to end; then a second one ends the process, at once, with 130. */
typedef enum mo__stops {
    MO__STOPS_AT_ONCE,
    MO__STOPS_WATCHING,
    MO__STOPS_SAVING /* what it has by then */
} mo__stops;
/* The command whose name messages carry. */
void mo__session_command(const char *name, mo__stops stops);
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
