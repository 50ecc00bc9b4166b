/* gnuplot.c -- gnuplot, asked to draw: script, drawing and complaints are files in memory, so neither side
 * ever waits for the other. */
#include "lab/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

enum { IN, OUT, ERR, FILES };

extern char **environ;

static mo_status spawn(const int files[FILES], pid_t *child)
{
    static char program[] = "gnuplot", no_settings[] = "-d", standard_input[] = "-";
    char *words[] = {program, no_settings, standard_input, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0); /* what interrupts this program lets the drawing end */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    for (int i = 0; i < FILES; i++) posix_spawn_file_actions_adddup2(&actions, files[i], i);
    int error = posix_spawnp(child, program, &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error ? mo_error(MO_E_UNSUPPORTED, "gnuplot: cannot be started: %s", strerror(error)) : MO_OK;
}

static mo_status write_script(int file, const char *script)
{
    size_t size = strlen(script);
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(file, script + done, size - done);
        if (wrote <= 0)
            return mo_error(MO_E_IO, "gnuplot: its script cannot be written: %s", strerror(errno));
        done += (size_t)wrote;
    }
    lseek(file, 0, SEEK_SET);
    return MO_OK;
}

static mo_status read_back(int file, char **out)
{
    off_t size = lseek(file, 0, SEEK_END);
    char *text = mo_malloc((size_t)size + 1);
    if (!text) return MO_E_MEMORY;
    ssize_t got = pread(file, text, (size_t)size, 0);
    text[got > 0 ? got : 0] = '\0';
    *out = text;
    return MO_OK;
}

/* The last line that has anything in it. */
static mo_status complaint(int file)
{
    char *said = NULL;
    MO_TRY(read_back(file, &said));
    size_t end = strlen(said);
    while (end > 0 && strchr(" \n\r\t", said[end - 1])) end--;
    said[end] = '\0';
    const char *line = strrchr(said, '\n');
    mo_status status =
        mo_error(MO_E_INTERNAL, "gnuplot: did not draw: %s", mo__show(line ? line + 1 : said).text);
    mo_free(said);
    return status;
}

/* A child that does not end in time is ended. */
static mo_status wait_for(pid_t child, double seconds, int *how)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    double begin = mo_clock();
    bool late = false;
    for (pid_t ended; (ended = waitpid(child, how, late ? 0 : WNOHANG)) != child; nanosleep(&nap, NULL)) {
        if (ended < 0 && errno != EINTR)
            return mo_error(MO_E_INTERNAL, "gnuplot: its end was not seen: %s", strerror(errno));
        if (late || mo_clock() - begin < seconds) continue;
        kill(child, SIGKILL);
        late = true;
    }
    if (!late) return MO_OK;
    return mo_error(MO_E_UNSUPPORTED, "gnuplot: had not drawn after %g s, and was ended", seconds);
}

static mo_status draw(const int files[FILES], const char *script, double seconds, char **out)
{
    pid_t child;
    int how = 0;
    MO_TRY(write_script(files[IN], script));
    MO_TRY(spawn(files, &child));
    MO_TRY(wait_for(child, seconds, &how));
    if (WIFEXITED(how) && WEXITSTATUS(how) == 127 && lseek(files[OUT], 0, SEEK_END) == 0)
        return mo_error(MO_E_UNSUPPORTED, "gnuplot: cannot be started");
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) return complaint(files[ERR]);
    return read_back(files[OUT], out);
}

mo_status mo__gnuplot(const char *script, char **out)
{
    return mo__gnuplot_within(MO__GNUPLOT_SECONDS, script, out);
}

mo_status mo__gnuplot_within(double seconds, const char *script, char **out)
{
    int files[FILES] = {-1, -1, -1};
    mo_status status = MO_OK;
    for (int i = 0; i < FILES; i++) {
        files[i] = memfd_create("moira-gnuplot", MFD_CLOEXEC);
        if (files[i] < 0) status = mo_error(MO_E_IO, "gnuplot: no file in memory: %s", strerror(errno));
    }
    if (status == MO_OK) status = draw(files, script, seconds, out);
    for (int i = 0; i < FILES; i++)
        if (files[i] >= 0) close(files[i]);
    return status;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(" .,-", c);
}

/* Doubling quotes would not do: gnuplot 5.4 takes two of them at the begin of a constant for an empty one. */
void mo__gnuplot_quote(mo__buffer *script, const char *text, int most)
{
    mo__buffer_add(script, "'");
    for (int length, written = 0; *text; text += length, written++) {
        uint32_t point = 0;
        length = mo__utf8_next(text, &point);
        bool strange = length == 0 || point < 0x20 || (point >= 0x7F && point < 0xA0);
        if (length == 0) length = 1;
        if (written + 1 == most && text[length]) {
            mo__buffer_add(script, "\xE2\x80\xA6");
            break;
        }
        unsigned mark = strange ? '?' : (unsigned)*text;
        if (strange || (length == 1 && !is_plain(*text)))
            mo__buffer_add(script, "\xEE%c%c", 0x80 | mark >> 6, 0x80 | (mark & 0x3F));
        else
            mo__buffer_add(script, "%.*s", length, text);
    }
    mo__buffer_add(script, "'");
}
