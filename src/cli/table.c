/* table.c -- cells gathered first, printed when every width is known. */
#include "table.h"

#include <stdarg.h>
#include <string.h>

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

void mo__table_column(mo__table *t, bool right, const char *heading)
{
    MO_ASSERT(t->columns < MO__MOST_COLUMNS && t->count == t->columns);
    t->right[t->columns++] = right;
    add(t, mo_strdup(heading));
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
    add(t, mo_strdup(text));
}

/* Characters of UTF-8: bytes that do not continue one. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void print_row(const mo__table *t, int first, const int *widths)
{
    for (int c = 0; c < t->columns && first + c < t->count; c++) {
        const char *text = t->cells[first + c];
        int padding = widths[c] - width_of(text);
        bool last = c == t->columns - 1;
        printf("%s%*s%s%*s", c ? "  " : "", t->right[c] ? padding : 0, "", text,
               t->right[c] || last ? 0 : padding, "");
    }
    putchar('\n');
}

mo_status mo__table_print(mo__table *t)
{
    int widths[MO__MOST_COLUMNS] = {0};
    bool whole = !t->failed;
    for (int i = 0; whole && i < t->count; i++) {
        int width = width_of(t->cells[i]), c = i % t->columns;
        if (width > widths[c]) widths[c] = width;
    }
    for (int i = 0; whole && i < t->count; i += t->columns) print_row(t, i, widths);
    for (int i = 0; i < t->count; i++) mo_free(t->cells[i]);
    mo_free(t->cells);
    *t = (mo__table){0};
    return whole ? MO_OK : MO_E_MEMORY;
}
