/* html.c -- a page of HTML, written from its top to its bottom. */
#include "lab/html.h"

#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"

static void add(mo__html *h, const char *text, size_t size)
{
    mo__buffer_add(&h->out, "%.*s", (int)size, text);
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* HTML has no C0 and C1 controls but tab and line feed, no surrogates, no noncharacters. */
static bool allowed(uint32_t point)
{
    if (point < 0x20) return point == '\n' || point == '\t';
    if (point >= 0x7F && point < 0xA0) return false;
    return !(point >= 0xFDD0 && point <= 0xFDEF) && (point & 0xFFFE) != 0xFFFE;
}

static void escape(mo__html *h, const char *text)
{
    const char *plain = text; /* what is before it, is written */
    for (int length; *text; text += length) {
        uint32_t point = 0;
        length = mo__utf8_next(text, &point);
        bool fine = length > 0 && allowed(point);
        const char *instead = fine ? entity(*text) : "\xEF\xBF\xBD";
        if (length == 0) length = 1;
        if (!instead) continue;
        add(h, plain, (size_t)(text - plain));
        mo__html_raw(h, instead);
        plain = text + length;
    }
    add(h, plain, strlen(plain));
}

/* What the format makes, escaped. */
__attribute__((format(printf, 2, 0))) static void escape_format(mo__html *h, const char *format,
                                                                va_list arguments)
{
    char small[256], *text = small;
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(small, sizeof small, format, arguments);
    if (length >= (int)sizeof small) {
        text = mo_malloc((size_t)length + 1);
        if (text) vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    if (length < 0 || !text)
        h->out.failed = true;
    else
        escape(h, text);
    if (text != small) mo_free(text);
}

/* The statement that writes a function's `format` and what follows it. */
#define ESCAPE_ARGUMENTS(h)                   \
    do {                                      \
        va_list arguments_;                   \
        va_start(arguments_, format);         \
        escape_format(h, format, arguments_); \
        va_end(arguments_);                   \
    } while (0)

void mo__html_raw(mo__html *h, const char *markup)
{
    add(h, markup, strlen(markup));
}

void mo__html_text(mo__html *h, const char *format, ...)
{
    ESCAPE_ARGUMENTS(h);
}

static void open_element(mo__html *h, const char *element, const char *classes)
{
    mo__buffer_add(&h->out, classes ? "<%s class=\"%s\">" : "<%s>", element, classes);
}

void mo__html_element(mo__html *h, const char *element, const char *classes, const char *format, ...)
{
    open_element(h, element, classes);
    ESCAPE_ARGUMENTS(h);
    mo__buffer_add(&h->out, "</%s>\n", element);
}

void mo__html_page_begin(mo__html *h, const char *title)
{
    mo__html_raw(h,
                 "<!DOCTYPE html><!--moira report-->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=\"color-scheme\" content=\"light dark\">\n");
    mo__buffer_add(&h->out, "<meta name=\"generator\" content=\"moira %s\">\n", MO_VERSION_STRING);
    mo__html_element(h, "title", NULL, "%s", title);
    mo__html_raw(h, "<style>\n");
    mo__html_raw(h, mo__html_style);
    mo__html_levels(h);
    mo__html_raw(h, "</style>\n</head>\n<body>\n<main>\n");
    mo__html_element(h, "h1", NULL, "%s", title);
}

void mo__html_page_end(mo__html *h)
{
    mo__html_raw(h, "</main>\n</body>\n</html>\n");
}

mo_status mo__html_finish(mo__html *h, mo_status status, char **text)
{
    return mo__buffer_finish(&h->out, status, text);
}

void mo__html_section_begin(mo__html *h, const char *heading)
{
    mo__html_raw(h, "<section>\n");
    mo__html_element(h, "h2", NULL, "%s", heading);
}

void mo__html_section_end(mo__html *h)
{
    mo__html_raw(h, "</section>\n");
}

void mo__html_grid_begin(mo__html *h)
{
    mo__html_raw(h, "<div class=\"grid\">\n");
}

void mo__html_grid_end(mo__html *h)
{
    mo__html_raw(h, "</div>\n");
}

void mo__html_paragraph(mo__html *h, const char *classes, const char *format, ...)
{
    open_element(h, "p", classes);
    ESCAPE_ARGUMENTS(h);
    mo__html_raw(h, "</p>\n");
}

/* A line feed right behind <pre> would be dropped. */
void mo__html_pre(mo__html *h, const char *text)
{
    mo__html_element(h, "pre", NULL, "%s%s", *text == '\n' ? "\n" : "", text);
}

void mo__html_facts_begin(mo__html *h)
{
    mo__html_raw(h, "<ul class=\"facts\">\n");
}

void mo__html_fact(mo__html *h, const char *what, const char *format, ...)
{
    mo__html_raw(h, "<li><span>");
    escape(h, what);
    mo__html_raw(h, "</span> ");
    ESCAPE_ARGUMENTS(h);
    mo__html_raw(h, "</li>\n");
}

void mo__html_facts_end(mo__html *h)
{
    mo__html_raw(h, "</ul>\n");
}

/* Headings are written as they come; the first cell closes their row. */
void mo__html_table_begin(mo__html *h, const char *caption, const char *headings)
{
    h->columns = 0;
    h->at = -1;
    h->row = NULL;
    mo__html_raw(h, "<div class=\"table\"><table>\n");
    if (caption) mo__html_element(h, "caption", NULL, "%s", caption);
    mo__html_raw(h, "<thead><tr>");
    while (*headings) {
        char heading[128];
        size_t length = strcspn(headings, "|");
        snprintf(heading, sizeof heading, "%.*s", (int)length - 1, headings + 1);
        mo__html_column(h, *headings == '>', heading);
        if (*headings == '=') h->cell[h->columns - 1] = "k";
        headings += length + (headings[length] == '|');
    }
}

void mo__html_column(mo__html *h, bool right, const char *heading)
{
    MO_ASSERT(h->columns < MO__HTML_MOST_COLUMNS && h->at < 0);
    h->cell[h->columns++] = right ? "n" : NULL;
    open_element(h, "th", right ? "n" : NULL);
    for (const char *end; (end = strchr(heading, '_')); heading = end + 1) {
        mo__html_text(h, "%.*s", (int)(end + 1 - heading), heading);
        mo__html_raw(h, "<wbr>");
    }
    mo__html_text(h, "%s", heading);
    mo__html_raw(h, "</th>\n");
}

static void end_head(mo__html *h)
{
    mo__html_raw(h, "</tr></thead>\n<tbody>\n");
    h->at = 0;
}

void mo__html_row(mo__html *h, const char *classes)
{
    h->row = classes;
}

void mo__html_cell(mo__html *h, const char *format, ...)
{
    if (h->at < 0) end_head(h);
    if (h->at == 0) open_element(h, "tr", h->row);
    open_element(h, "td", h->cell[h->at]);
    ESCAPE_ARGUMENTS(h);
    mo__html_raw(h, "</td>");
    if (++h->at < h->columns) return;
    mo__html_raw(h, "</tr>\n");
    h->at = 0;
    h->row = NULL;
}

void mo__html_group(mo__html *h, const char *format, ...)
{
    if (h->at < 0) end_head(h);
    MO_ASSERT(h->at == 0);
    mo__buffer_add(&h->out, "<tr class=\"group\"><td colspan=\"%d\">", h->columns);
    ESCAPE_ARGUMENTS(h);
    mo__html_raw(h, "</td></tr>\n");
}

void mo__html_table_end(mo__html *h)
{
    if (h->at < 0) end_head(h);
    while (h->at > 0) mo__html_cell(h, "%s", "");
    mo__html_raw(h, "</tbody></table></div>\n");
}
