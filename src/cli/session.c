/* session.c -- messages, exit status, signals, and what can happen to standard output. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"

enum { DONE = 0, FAILED = 1, REFUSED = 2, INTERRUPTED = 130 };

volatile sig_atomic_t mo__stop;

static const char *program_name, *command_name;
static bool working;
static mo__stops stops_how;

static void on_signal(int number)
{
    (void)number;
    static const char saves[] = "\nstopping when what is at hand is saved; a second signal leaves at once\n";
    static const char leaves[] = "\nstopping; a second signal leaves at once\n";
    if (mo__stop) _exit(INTERRUPTED);
    mo__stop = 1;
    ssize_t told = stops_how == MO__STOPS_SAVING ? write(STDERR_FILENO, saves, sizeof saves - 1)
                                                 : write(STDERR_FILENO, leaves, sizeof leaves - 1);
    (void)told;
}

static void on_log(mo_log_level level, const char *message, void *user)
{
    (void)user;
    mo__say("%s%s", level == MO_LOG_WARNING ? "warning: " : "", message);
}

/* A file opened by the library must not become what printf writes to. Opened for reading only, so that
 * writing to a standard output that was closed is still an error. */
static void fill_standard_files(void)
{
    for (int file = 0; file <= 2; file++)
        if (fcntl(file, F_GETFD) == -1 && open("/dev/null", O_RDONLY) != file) _exit(REFUSED);
}

void mo__session_open(const char *program)
{
    program_name = program;
    fill_standard_files();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* where whoever started this ignores it, nobody would learn how programs end */
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
    mo_log_set(on_log, NULL);
}

const char *mo__program(void)
{
    return program_name;
}

void mo__session_command(const char *name, mo__stops stops)
{
    command_name = name;
    stops_how = stops;
    if (stops == MO__STOPS_AT_ONCE) return;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

void mo__session_begin_work(void)
{
    working = true;
}

int mo__exit_code(mo_status status, bool at_work)
{
    switch (status) {
    case MO_OK:
        return DONE;
    case MO_E_INTERRUPTED:
        return INTERRUPTED;
    case MO_E_NONFINITE:
    case MO_E_INTERNAL:
        return FAILED;
    default:
        return at_work ? FAILED : REFUSED;
    }
}

void mo__say(const char *format, ...)
{
    mo__live_clear();
    fflush(stdout);
    fprintf(stderr, "moira%s%s: ", command_name ? " " : "", command_name ? command_name : "");
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* The error of the write that failed may be long gone: the pipe itself is asked. */
static bool reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && output.revents & (POLLERR | POLLHUP);
}

bool mo__stdout_flush(void)
{
    return (fflush(stdout) == 0 && !ferror(stdout)) || !reader_is_gone();
}

/* A reader that left early (moira help | head) has what it wanted; a full disk is a failure. */
static int close_stdout(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    int error = errno;
    if (reader_is_gone()) return code;
    mo__say("standard output: cannot be written%s%s", error ? ": " : "", error ? strerror(error) : "");
    return code == DONE ? FAILED : code;
}

/* The library's message without the command's name, which mo__say puts in front. */
static const char *message_of(const char *name)
{
    const char *message = mo_last_error();
    size_t length = strlen(name);
    return length && !strncmp(message, name, length) && !strncmp(message + length, ": ", 2)
               ? message + length + 2
               : message;
}

/* What was asked for is wrong: where to read how it is asked. */
static void say_usage(void)
{
    const char *name = command_name ? command_name : "", *message = message_of(name);
    size_t length = strlen(message);
    bool asks = length > 0 && message[length - 1] == '?';
    mo__say("%s%s 'moira help%s%s'", message, asks ? " See" : "; see", *name ? " " : "", name);
}

int mo__session_close(mo_status status)
{
    mo__live_clear();
    if (status == MO_E_USAGE)
        say_usage();
    else if (status != MO_OK)
        mo__say("%s", message_of(command_name ? command_name : ""));
    return close_stdout(mo__exit_code(status, working));
}
