/* terminal.h -- what long work shows: on a terminal one line on stderr that is drawn again and again, in a
 * pipe a plain line now and then. Lines of results go to stdout through mo__line, above the live one. */
#ifndef MOIRA_CLI_TERMINAL_H
#define MOIRA_CLI_TERMINAL_H

#include <moira/base.h>

/* How wide a line on stdout may be: what COLUMNS says, or the terminal; INT_MAX if it is neither told nor
 * one. */
int mo__columns(void);
int mo__text_width(const char *text, size_t size); /* characters of UTF-8 */
/* Prints paragraphs. Where a line is wider than mo__columns() its paragraph is broken anew; an indented line
 * is a paragraph of its own, and goes on below at `hanging` columns. */
void mo__paragraphs(const char *text, int hanging);
/* Prints the words of one paragraph, whose lines are not broken yet, in lines of mo__columns(), 100 at most.
 * The first begins at column `at`, where the cursor is, the others at `hanging`. What would steer a terminal
 * is replaced. */
void mo__paragraph(const char *text, int at, int hanging);

bool mo__live(void); /* stderr is a terminal */
/* Redraws the live line, cut to the terminal's width, at most ten times a second. Nothing without one. */
void mo__live_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with several lines, of ASCII, at once. */
void mo__live_lines(char *const *lines, int count);
int mo__live_rows(void); /* that the screen has for them */
void mo__live_clear(void);

/* One line on stdout, seen at once; what would steer a terminal is replaced. */
void mo__line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A mo_progress_fn; user is a mo__progress_of. The first call begins the work (mo__session_begin_work), but
 * where it is the `input` that is being read: what goes wrong then may be the request's fault. */
typedef struct mo__progress_of {
    const char *what; /* "evaluating" */
    bool input;
    double begin, told; /* seconds */
    double before;      /* done at the first call */
} mo__progress_of;
void mo__progress(double done, double total, const char *unit, void *user);

#endif
