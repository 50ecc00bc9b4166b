/* terminal.c -- the live line, progress, text that is safe to show. */
#include "terminal.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "session.h"
#include "units.h"

static const double REDRAW_SECONDS = 0.1, PLAIN_SECONDS = 10;

static bool drawn; /* the live line is on the screen */
static double drawn_at;

bool mo__live(void)
{
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDERR_FILENO);
    return terminal;
}

static int width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 80;
    return size.ws_col;
}

void mo__live_line(const char *format, ...)
{
    char text[512];
    double now = mo_clock();
    if (!mo__live() || (drawn && now - drawn_at < REDRAW_SECONDS)) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fflush(stdout);
    /* One column stays free: in the last one some terminals wrap. ESC [K clears what was longer before. */
    fprintf(stderr, "\r%.*s\033[K", width() - 1, text);
    drawn = true;
    drawn_at = now;
}

void mo__live_clear(void)
{
    if (!drawn) return;
    fputs("\r\033[K", stderr);
    drawn = false;
}

void mo__line(const char *format, ...)
{
    mo__live_clear();
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static bool is_bytes(const char *unit)
{
    return strcmp(unit, "bytes") == 0;
}

static mo__shown_number amount(double value, const char *unit)
{
    return is_bytes(unit) ? mo__bytes(value) : mo__count((int64_t)value);
}

void mo__progress(double done, double total, const char *unit, void *user)
{
    mo__progress_of *p = user;
    double now = mo_clock();
    if (p->begin == 0) {
        mo__session_begin_work();
        p->begin = p->told = now;
    }
    if (done > total) done = total;
    double spent = now - p->begin, share = total > 0 ? done / total : 0;
    double left = share > 0 ? spent * (1 - share) / share : 0;
    const char *space = is_bytes(unit) ? "" : " ", *noun = is_bytes(unit) ? "" : unit;
    if (mo__live()) {
        mo__live_line("%s  %3.0f%%  %s of %s%s%s  %s left", p->what, 100 * share, amount(done, unit).text,
                      amount(total, unit).text, space, noun, mo__duration(left).text);
    } else if (now - p->told >= PLAIN_SECONDS) {
        p->told = now;
        mo__say("%s: %s of %s%s%s, %s left", p->what, amount(done, unit).text, amount(total, unit).text,
                space, noun, mo__duration(left).text);
    }
}
