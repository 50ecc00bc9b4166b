/* csv.c -- tables as text, RFC 4180 but for line feeds alone at the ends of lines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "lab/plot.h"

static void begin_cell(mo__csv *csv)
{
    if (csv->inside) mo__buffer_add(&csv->out, ",");
    csv->inside = true;
}

/* What spreadsheets would compute, which can start programs; numbers are none. */
static bool is_formula(const char *text)
{
    char *end;
    if (!*text || !strchr("=+-@\t", *text)) return false;
    (void)strtod(text, &end);
    return end == text || *end;
}

static void add_cell(mo__csv *csv, const char *text)
{
    const char *mark = is_formula(text) ? "'" : "";
    if (!text[strcspn(text, ",\"\r\n")]) {
        mo__buffer_add(&csv->out, "%s%s", mark, text);
        return;
    }
    mo__buffer_add(&csv->out, "\"%s", mark);
    for (const char *quote; (quote = strchr(text, '"')); text = quote + 1)
        mo__buffer_add(&csv->out, "%.*s\"\"", (int)(quote - text), text);
    mo__buffer_add(&csv->out, "%s\"", text);
}

static bool is_plain(const char *text)
{
    while (*text >= ' ' && *text <= '~') text++;
    return !*text;
}

void mo__csv_text(mo__csv *csv, const char *text)
{
    begin_cell(csv);
    if (is_plain(text)) {
        add_cell(csv, text);
        return;
    }
    char *clean = mo__printable(text, strlen(text));
    if (clean)
        add_cell(csv, clean);
    else
        csv->out.failed = true;
    mo_free(clean);
}

/* The shortest text that reads back as the same number; counts without an exponent. */
void mo__csv_number(mo__csv *csv, double value)
{
    char text[32];
    begin_cell(csv);
    if (isnan(value)) return;
    if (value == rint(value) && fabs(value) < 1e15) {
        mo__buffer_add(&csv->out, "%.0f", value);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    mo__buffer_add(&csv->out, "%s", text);
}

void mo__csv_whole(mo__csv *csv, int64_t value)
{
    begin_cell(csv);
    mo__buffer_add(&csv->out, "%lld", (long long)value);
}

void mo__csv_end_row(mo__csv *csv)
{
    mo__buffer_add(&csv->out, "\n");
    csv->inside = false;
}
