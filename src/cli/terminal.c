/* terminal.c -- the live line, progress, text that is safe to show. */
#include "terminal.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "session.h"
#include "base/units.h"
#include "base/utf8.h"

static const double REDRAW_SECONDS = 0.1, PLAIN_SECONDS = 10;

static int drawn; /* live lines that are on the screen */
static double drawn_at;

bool mo__live(void)
{
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDERR_FILENO);
    return terminal;
}

/* 0: not a terminal, or one that does not say. */
static int terminal_width(int file)
{
    struct winsize size;
    return ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col >= 2 ? size.ws_col : 0;
}

int mo__columns(void)
{
    const char *told = getenv("COLUMNS");
    int width = told ? atoi(told) : 0;
    if (width <= 0) width = terminal_width(STDOUT_FILENO);
    return width > 0 ? width : INT_MAX;
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
    int width = terminal_width(STDERR_FILENO);
    /* One column stays free: in the last one some terminals wrap. ESC [K clears what was longer before. */
    fprintf(stderr, "\r%.*s\033[K", (width ? width : 80) - 1, text);
    drawn = 1;
    drawn_at = now;
}

void mo__live_clear(void)
{
    if (!drawn) return;
    if (drawn > 1) fprintf(stderr, "\033[%dA", drawn - 1);
    fputs("\r\033[J", stderr);
    drawn = 0;
}

int mo__live_rows(void)
{
    struct winsize size;
    int rows = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 ? size.ws_row : 24;
    return rows - 2;
}

void mo__live_lines(char *const *lines, int count)
{
    int width = terminal_width(STDERR_FILENO);
    if (!mo__live()) return;
    fflush(stdout);
    mo__live_clear();
    for (int i = 0; i < count; i++)
        fprintf(stderr, "%s%.*s", i ? "\n" : "", (width ? width : 80) - 1, lines[i]);
    fflush(stderr);
    drawn = count;
    drawn_at = mo_clock();
}

void mo__line(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    mo__live_clear();
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    char *shown = size < 0 ? NULL : mo__printable(text, (size_t)size);
    puts(shown ? shown : "no memory for this line");
    mo_free(shown);
    if (size >= 0) free(text);
    fflush(stdout);
}

int mo__text_width(const char *text, size_t size)
{
    int width = 0;
    for (size_t i = 0; i < size; i++)
        width += ((unsigned char)text[i] & 0xC0) != 0x80; /* continues no other */
    return width;
}

/* The words of text[size] in lines, spaces between those on one line as they are; `at` is the column where
 * the first begins. */
static void fill(const char *text, size_t size, int at, int hanging, int limit)
{
    for (size_t i = 0, gap, length; i < size; i += length) {
        gap = strspn(text + i, " \n");
        if (i + gap >= size) break;
        length = strcspn(text + i + gap, " \n");
        int width = mo__text_width(text + i + gap, length);
        if (i > 0 && at + (int)gap + width > limit) {
            printf("\n%*s", hanging, "");
            at = hanging;
        } else {
            printf("%*s", (int)gap, "");
            at += (int)gap;
        }
        i += gap;
        printf("%.*s", (int)length, text + i);
        at += width;
    }
    putchar('\n');
}

void mo__paragraph(const char *text, int at, int hanging)
{
    int limit = mo__columns();
    char *shown = mo__printable(text, strlen(text));
    if (shown) fill(shown, strlen(shown), at, hanging, limit < 100 ? limit : 100);
    mo_free(shown);
}

/* Bytes of the paragraph at `text`, its last line break with them; *widest: of its lines. */
static size_t paragraph(const char *text, int *widest)
{
    size_t size = 0;
    *widest = 0;
    do {
        size_t length = strcspn(text + size, "\n");
        int width = mo__text_width(text + size, length);
        if (width > *widest) *widest = width;
        size += length + (text[size + length] == '\n');
    } while (*text != ' ' && *text != '\n' && text[size] && !strchr(" \n", text[size]));
    return size;
}

void mo__paragraphs(const char *text, int hanging)
{
    int limit = mo__columns(), widest = 0;
    for (size_t size; *text; text += size) {
        size = paragraph(text, &widest);
        int indent = (int)strspn(text, " ");
        printf("%*s", indent, "");
        if (widest > limit)
            fill(text + indent, size - (size_t)indent, indent, indent ? hanging : 0, limit);
        else
            printf("%.*s", (int)size - indent, text + indent);
    }
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
