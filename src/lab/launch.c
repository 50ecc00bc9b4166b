/* launch.c -- see launch.h. */
#include "lab/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock_file.h"

extern char **environ;

/* In a program that is started; standard files come first. */
enum { CLAIM_FILE = 3, INTERRUPTED = 130, MOST_SAID = 2000 };

/* ---- claim ---- */

static mo_status claim(mo__launch *l, bool *is_free)
{
    char *path = mo_path_join(l->dir, "claim");
    if (!path) return MO_E_MEMORY;
    mo_status status = mo__lock_file_take(path, 0, &l->claim);
    mo_free(path);
    *is_free = status == MO_OK && !mo_run_held(l->dir);
    if (status != MO_E_EXISTS) return status;
    mo_error_clear();
    return MO_OK;
}

static void unclaim(mo__launch *l)
{
    char *path = mo_path_join(l->dir, "claim");
    if (path)
        mo__lock_file_release(path, l->claim);
    else if (l->claim >= 0)
        close(l->claim);
    mo_free(path);
    l->claim = -1;
}

mo_status mo__launch_claim(const char *dir, mo__launch *out, bool *is_free)
{
    *out = (mo__launch){.dir = mo_strdup(dir), .claim = -1};
    *is_free = false;
    mo_status status = out->dir ? mo_make_dirs(dir) : MO_E_MEMORY;
    if (status == MO_OK) status = claim(out, is_free);
    if (status != MO_OK) mo__launch_end(out);
    return status;
}

void mo__launch_end(mo__launch *l)
{
    if (l->dir && l->claim >= 0) unclaim(l);
    mo_free(l->dir);
    *l = (mo__launch){.claim = -1};
}

/* ---- start ---- */

/* A descriptor above those that the program gets, and no other program. */
static int raised(int file)
{
    int high = file >= 0 ? fcntl(file, F_DUPFD_CLOEXEC, CLAIM_FILE + 1) : -1, error = errno;
    if (file >= 0) close(file);
    errno = error;
    return high;
}

/* In a process group of its own: a terminal's Ctrl-C is for whoever started it, who tells it. */
static int spawn(mo__launch *l, int nothing, int log, int claim_file, char *const *words)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawn_file_actions_adddup2(&files, nothing, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
    if (claim_file >= 0) posix_spawn_file_actions_adddup2(&files, claim_file, CLAIM_FILE);
    int error = posix_spawnp(&l->pid, words[0], &files, &how, words, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return error;
}

static mo_status start(mo__launch *l, const char *log_path, char **words)
{
    int log = raised(open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (log < 0) return mo__file_error(log_path, "open");
    struct stat info;
    l->spoke = fstat(log, &info) == 0 ? info.st_size : 0;
    int nothing = raised(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int claim_file = l->claim >= 0 ? fcntl(l->claim, F_DUPFD_CLOEXEC, CLAIM_FILE + 1) : -1;
    int error =
        nothing < 0 || (l->claim >= 0 && claim_file < 0) ? errno : spawn(l, nothing, log, claim_file, words);
    close(log);
    if (nothing >= 0) close(nothing);
    if (claim_file >= 0) close(claim_file);
    if (error == 0) return MO_OK;
    l->pid = 0;
    return mo_error(MO_E_IO, "%s: cannot be started: %s", words[0], strerror(error));
}

mo_status mo__launch_start(mo__launch *l, const mo__word_list *words)
{
    char *path = mo_path_join(l->dir, "log.txt");
    char **ended = mo_calloc((size_t)words->count + 1, sizeof *ended); /* a NULL at the end */
    mo_status status = path && ended ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) {
        memcpy(ended, words->at, (size_t)words->count * sizeof *ended);
        status = start(l, path, ended);
    }
    mo_free(ended);
    mo_free(path);
    return status;
}

/* ---- end ---- */

static bool stops_programs(int number)
{
    return number == SIGKILL || number == SIGTERM || number == SIGINT || number == SIGHUP;
}

/* Another's is over when nobody claims its folder or trains in it: the claim is ours then. */
static bool other_ended(mo__launch *l)
{
    bool is_free = false;
    if (l->claim >= 0) return !mo_run_held(l->dir);
    if (claim(l, &is_free) != MO_OK) mo_error_clear();
    return is_free;
}

bool mo__launch_ended(mo__launch *l, mo__ending *out)
{
    int how = 0;
    *out = (mo__ending){.known = l->pid > 0};
    if (l->pid == 0) return l->beyond || other_ended(l);
    pid_t ended = waitpid(l->pid, &how, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR)) return false;
    l->pid = 0;
    out->known = ended > 0;
    if (!out->known) return true;
    out->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    out->signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    out->interrupted = out->exit_code == INTERRUPTED || stops_programs(out->signal);
    return true;
}

void mo__launch_stop(mo__launch *l)
{
    char *path = l->told ? NULL : mo_path_join(l->dir, "lock");
    pid_t pid = l->pid > 0 ? l->pid : path ? mo__lock_file_holder(path) : 0;
    if (path && pid > 0) l->told = kill(pid, SIGTERM) == 0;
    l->beyond = l->beyond || pid < 0;
    mo_free(path);
}

/* ---- what it said ---- */

/* The end of log.txt, since the program began, as text. Owned. */
static char *said(const mo__launch *l)
{
    char *path = mo_path_join(l->dir, "log.txt"), *text = mo_calloc(MOST_SAID + 1, 1);
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat info;
    if (text && file >= 0 && fstat(file, &info) == 0) {
        off_t from = info.st_size - MOST_SAID > l->spoke ? info.st_size - MOST_SAID : l->spoke;
        if (pread(file, text, MOST_SAID, from) < 0) text[0] = '\0';
    }
    if (file >= 0) close(file);
    mo_free(path);
    return text;
}

/* From the last message on ("moira train: ..."), or else the last line; in one line. */
static char *last_message(char *text)
{
    static const char mark[] = "moira train: ";
    size_t length = strlen(text);
    while (length > 0 && strchr(" \n\r\t", text[length - 1])) text[--length] = '\0';
    char *last = NULL, *line = strrchr(text, '\n');
    for (char *at = text; (at = strstr(at, mark)); at++)
        if (at == text || at[-1] == '\n') last = at + strlen(mark);
    if (!last) last = line ? line + 1 : text;
    for (char *at = last; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127) *at = ' ';
    return last;
}

char *mo__launch_message(const mo__launch *l, const mo__ending *ending)
{
    char *text = said(l), *out = NULL;
    if (!text) return NULL;
    const char *last = last_message(text);
    if (ending->signal)
        out = mo_strprintf("ended by signal %d (%s)%s%s", ending->signal, strsignal(ending->signal),
                           *last ? "; its last words: " : "", last);
    else
        out = *last ? mo_strdup(last)
                    : mo_strprintf("ended with status %d and without a word", ending->exit_code);
    mo_free(text);
    return out;
}
