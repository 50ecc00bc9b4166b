/* table.h -- columns that line up; where the terminal is too narrow for all, in parts one below the other.
 *
 *     mo__table t = mo__table_begin("<domain|>tokens|>loss");          < left, > right
 *     mo__cell(&t, "%s", name); mo__cell(&t, "%s", ...); mo__cell(&t, "%.4f", loss);     row after row
 *     return mo__table_print(&t);                                      prints and frees */
#ifndef MOIRA_CLI_TABLE_H
#define MOIRA_CLI_TABLE_H

#include <moira/base.h>

enum { MO__MOST_COLUMNS = 24 };

typedef struct mo__table {
    int columns;
    bool right[MO__MOST_COLUMNS];
    char **cells; /* owned, row after row, the headings first */
    int count, room;
    bool failed;
} mo__table;

mo__table mo__table_begin(const char *headings);
/* One more column, before the first cell of a row. */
void mo__table_column(mo__table *t, bool right, const char *heading);
/* Line breaks become blanks, and what would steer a terminal is replaced. */
void mo__cell(mo__table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* MO_E_MEMORY if a cell was lost. The rows filled so far are printed only if none was. */
mo_status mo__table_print(mo__table *t);

#endif
