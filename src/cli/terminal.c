/* terminal.c -- the live line, progress, text that is safe to show. */
#include "terminal.h"

#include <math.h>
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

/* "120.0 MiB of 280.0 MiB  85.0 MB/s", with `between` for the spaces. */
static mo__shown_number how_far(double done, double total, double rate, const char *unit, const char *between)
{
    mo__shown_number shown;
    if (is_bytes(unit))
        snprintf(shown.text, sizeof shown.text, "%.11s of %.11s%s%.1f MB/s", mo__bytes(done).text,
                 mo__bytes(total).text, between, rate / 1e6);
    else
        snprintf(shown.text, sizeof shown.text, "%.11s of %.11s %.10s%s%.6s/s", mo__short(done).text,
                 mo__short(total).text, unit, between, mo__short(rate).text);
    return shown;
}

void mo__progress(double done, double total, const char *unit, void *user)
{
    mo__progress_of *p = user;
    double now = mo_clock();
    if (p->begin == 0) {
        if (!p->input) mo__session_begin_work();
        p->begin = p->told = now;
        p->before = done;
    }
    if (done > total) done = total;
    double spent = now - p->begin, rate = spent > 0 ? (done - p->before) / spent : 0;
    double left = rate > 0 ? (total - done) / rate : (double)INFINITY; /* shown as unknown */
    if (mo__live()) {
        mo__live_line("%s  %3.0f%%  %s  %s left", p->what, total > 0 ? 100 * done / total : 0,
                      how_far(done, total, rate, unit, "  ").text, mo__duration(left).text);
    } else if (now - p->told >= PLAIN_SECONDS) {
        p->told = now;
        mo__say("%s: %s, %s left", p->what, how_far(done, total, rate, unit, ", ").text,
                mo__duration(left).text);
    }
}
