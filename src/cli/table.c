/* table.c -- cells gathered first, printed when every width is known. */
#include "table.h"

#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"
#include "terminal.h"

static void add(mo__table *t, char *owned)
{
    if (t->count == t->room) {
        int room = t->room ? 2 * t->room : 64;
        char **grown = mo_realloc(t->cells, (size_t)room * sizeof *grown);
        if (!grown) {
            mo_free(owned);
            t->failed = true;
            return;
        }
        t->cells = grown;
        t->room = room;
    }
    if (!owned) t->failed = true;
    t->cells[t->count++] = owned;
}

/* In one line, and safe to show. */
static char *line_of(const char *text)
{
    char *line = mo__printable(text, strlen(text));
    for (char *at = line; at && *at; at++)
        if (*at == '\n' || *at == '\t') *at = ' ';
    return line;
}

void mo__table_column(mo__table *t, bool right, const char *heading)
{
    MO_ASSERT(t->columns < MO__MOST_COLUMNS && t->count == t->columns);
    t->right[t->columns++] = right;
    add(t, line_of(heading));
}

mo__table mo__table_begin(const char *headings)
{
    mo__table t = {0};
    char name[64];
    while (*headings) {
        size_t length = strcspn(headings + 1, "|");
        snprintf(name, sizeof name, "%.*s", (int)length, headings + 1);
        mo__table_column(&t, *headings == '>', name);
        headings += 1 + length;
        if (*headings == '|') headings++;
    }
    return t;
}

void mo__cell(mo__table *t, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(t, line_of(text));
}

enum { GAP = 2 }; /* between columns */

static int width_of(const char *text)
{
    return mo__text_width(text, strlen(text));
}

static void print_cell(const mo__table *t, int at, int width, bool last)
{
    int c = at % t->columns, padding = width - width_of(t->cells[at]);
    printf("%s%*s%s%*s", c ? "  " : "", t->right[c] ? padding : 0, "", t->cells[at],
           t->right[c] || last ? 0 : padding, "");
}

/* The first column, which names the rows, and those from `from` up to `to`. */
static void print_part(const mo__table *t, const int *widths, int from, int to)
{
    for (int row = 0; row + t->columns <= t->count; row += t->columns) {
        print_cell(t, row, widths[0], to == 1);
        for (int c = from; c < to; c++) print_cell(t, row + c, widths[c], c == to - 1);
        putchar('\n');
    }
}

/* Columns that do not fit beside the others go below them, the first column again in front. */
static void print_parts(const mo__table *t, const int *widths)
{
    int limit = mo__columns();
    for (int from = 1, to; from == 1 || from < t->columns; from = to) {
        int width = widths[0];
        for (to = from; to < t->columns && (to == from || width + GAP + widths[to] <= limit); to++)
            width += GAP + widths[to];
        if (from > 1) putchar('\n');
        print_part(t, widths, from, to);
    }
}

mo_status mo__table_print(mo__table *t)
{
    int widths[MO__MOST_COLUMNS] = {0};
    bool whole = !t->failed;
    for (int i = 0; whole && i < t->count; i++) {
        int width = width_of(t->cells[i]), c = i % t->columns;
        if (width > widths[c]) widths[c] = width;
    }
    if (whole && t->columns) print_parts(t, widths);
    for (int i = 0; i < t->count; i++) mo_free(t->cells[i]);
    mo_free(t->cells);
    *t = (mo__table){0};
    return whole ? MO_OK : MO_E_MEMORY;
}
