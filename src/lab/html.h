/* html.h -- a page of HTML, written from its top to its bottom: text escaped, tables with their columns.
 *
 *     mo__html h = {0};
 *     mo__html_page_begin(&h, "Run demo");
 *     mo__html_section_begin(&h, "Loss");
 *     mo__html_paragraph(&h, NULL, "%s has %d layers.", name, layers);
 *     mo__html_table_begin(&h, "Variants", "=Variant|>Loss, nats per token");        < left, > right,
 *                                                                                   = left, in one line
 *     mo__html_cell(&h, "%s", name); mo__html_cell(&h, "%.4f", loss);                 row after row
 *     mo__html_table_end(&h);
 *     mo__html_section_end(&h);
 *     mo__html_page_end(&h);
 *     return mo__html_finish(&h, status, &text);
 *
 * Whatever a format makes is escaped: & < > " ', control characters, bytes that are no UTF-8. Only
 * mo__html_raw writes markup. After a failed allocation all calls do nothing, and mo__html_finish reports it.
 *
 * The page needs nothing beside itself: its style is in it, there is no script, and it asks for nothing. */
#ifndef MOIRA_LAB_HTML_H
#define MOIRA_LAB_HTML_H

#include "config/buffer.h"

enum { MO__HTML_MOST_COLUMNS = 32 };

typedef struct mo__html {
    mo__buffer out;
    int columns, at;                         /* of the table that is open */
    const char *cell[MO__HTML_MOST_COLUMNS]; /* class of a column's cells */
    const char *row;                         /* class of the next row */
} mo__html;

/* Everything up to the first section: head, style, and the title as the first heading. */
void mo__html_page_begin(mo__html *h, const char *title);
void mo__html_page_end(mo__html *h);
/* The text, owned; it is freed if `status` or an allocation failed. */
mo_status mo__html_finish(mo__html *h, mo_status status, char **text);

void mo__html_raw(mo__html *h, const char *markup);
void mo__html_text(mo__html *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* <element class="...">text</element>; without a class where that is NULL. Both are ours, not a user's. */
void mo__html_element(mo__html *h, const char *element, const char *classes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Sections are headed (h2), and in them figures and tables may stand side by side, where the page is wide
 * enough, in a grid. A grid's own heading (h3) is its element's. */
void mo__html_section_begin(mo__html *h, const char *heading);
void mo__html_section_end(mo__html *h);
void mo__html_grid_begin(mo__html *h);
void mo__html_grid_end(mo__html *h);

/* Classes of paragraphs: NULL; "answer", the sentence that counts, large; "note", small and quiet; "warning".
 */
void mo__html_paragraph(mo__html *h, const char *classes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Text with its line breaks, in the type of code. */
void mo__html_pre(mo__html *h, const char *text);

/* What a thing is, and its value: one line each, in columns where there is room. */
void mo__html_facts_begin(mo__html *h);
void mo__html_fact(mo__html *h, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void mo__html_facts_end(mo__html *h);

/* The table scrolls within its own box where it is wider than the page. Headings have units. caption NULL:
 * none. */
void mo__html_table_begin(mo__html *h, const char *caption, const char *headings);
/* One more column, before the first cell. */
void mo__html_column(mo__html *h, bool right, const char *heading);
void mo__html_cell(mo__html *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Before a row's first cell: "best", "reference" or "failed". */
void mo__html_row(mo__html *h, const char *classes);
/* A row of one cell over all columns, between rows: what the ones below are of. */
void mo__html_group(mo__html *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Inside a row that is not whole yet the rest stays empty. */
void mo__html_table_end(mo__html *h);

/* The style sheet, html_style.c: constant, and the colours of levels, --q0 .. of what is more or less and
 * --d0 .. of what is below or above. */
enum { MO__LEVELS = 25 };
extern const char mo__html_style[];
void mo__html_levels(mo__html *h);

#endif
