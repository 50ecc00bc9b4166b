/* html_check.c -- a reader of our pages that takes nothing but what they may have. */
#include "harness/html_check.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_OPEN = 32 };

static const char *const ELEMENTS[] = {
    "html",  "head",    "meta",   "title", "style", "body",   "main", "h1",     "h2",
    "h3",    "section", "div",    "p",     "a",     "ul",     "li",   "span",   "pre",
    "table", "caption", "thead",  "tbody", "tr",    "th",     "td",   "figure", "figcaption",
    "svg",   "path",    "circle", "text",  "code",  "strong", "em",   "br",     "wbr"};
static const char *const ATTRIBUTES[] = {"lang",
                                         "charset",
                                         "name",
                                         "content",
                                         "class",
                                         "href",
                                         "viewBox",
                                         "role",
                                         "aria-label",
                                         "aria-hidden",
                                         "preserveAspectRatio",
                                         "d",
                                         "stroke-width",
                                         "stroke-dasharray",
                                         "opacity",
                                         "cx",
                                         "cy",
                                         "r",
                                         "transform",
                                         "text-anchor",
                                         "colspan"};

typedef struct reader {
    const char *page, *at, *dir;
    char open[MOST_OPEN][16];
    int depth;
} reader;

static void wrong(const reader *r, const char *what)
{
    print_error("%s at byte %ld: %.80s\n", what, (long)(r->at - r->page), r->at);
    fail();
}

static bool known(const char *const *names, size_t count, const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) return true;
    return false;
}
#define KNOWN(names, name, length) known(names, sizeof(names) / sizeof *(names), name, length)

/* A character reference, and nothing that only looks like one. */
static void check_text(const reader *r, const char *text, size_t size)
{
    static const char *const references[] = {"&amp;", "&lt;",  "&gt;",  "&quot;", "&#39;",
                                             "&#38;", "&#60;", "&#62;", "&#34;"};
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool fine = c >= 0x20 || c == '\n' || c == '\t';
        if (c == '&') {
            fine = false;
            for (size_t k = 0; k < sizeof references / sizeof *references; k++)
                fine |= strncmp(text + i, references[k], strlen(references[k])) == 0;
        }
        if (c == '>' || c == '<') fine = false;
        if (!fine) wrong(r, "a character that had to be escaped");
    }
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* folder/file.csv, its parts encoded, which is there. */
static void check_link(const reader *r, const char *link, size_t size)
{
    char name[512];
    size_t length = 0;
    for (size_t i = 0; i < size && length + 1 < sizeof name; i++) {
        bool plain = strchr("-_.~/", link[i]) || (link[i] >= '0' && link[i] <= '9') ||
                     ((link[i] | 32) >= 'a' && (link[i] | 32) <= 'z');
        bool coded = link[i] == '%' && i + 2 < size && hex(link[i + 1]) >= 0 && hex(link[i + 2]) >= 0;
        if (!plain && !coded) wrong(r, "a link with a character that means something");
        name[length++] = coded ? (char)(hex(link[i + 1]) * 16 + hex(link[i + 2])) : link[i];
        if (coded) i += 2;
    }
    name[length] = '\0';
    char *path = mo_path_join(r->dir, name);
    if (name[0] == '/' || !mo_path_exists(path)) wrong(r, "a link to what is not there");
    mo_free(path);
}

static void check_attribute(reader *r)
{
    size_t length = strcspn(r->at, " =/>");
    if (!KNOWN(ATTRIBUTES, r->at, length)) wrong(r, "an unknown attribute");
    bool link = length == 4 && memcmp(r->at, "href", 4) == 0;
    r->at += length;
    if (strncmp(r->at, "=\"", 2) != 0) wrong(r, "an attribute that is not quoted");
    r->at += 2;
    size_t size = strcspn(r->at, "\"");
    check_text(r, r->at, size);
    if (link) check_link(r, r->at, size);
    r->at += size + 1;
}

static void check_tag(reader *r)
{
    bool closes = r->at[1] == '/';
    r->at += 1 + closes;
    size_t length = strcspn(r->at, " />");
    if (!KNOWN(ELEMENTS, r->at, length)) wrong(r, "an unknown element");
    char name[16];
    snprintf(name, sizeof name, "%.*s", (int)length, r->at);
    if (closes) {
        if (r->depth == 0 || strcmp(r->open[r->depth - 1], name) != 0)
            wrong(r, "an element closed out of turn");
        r->depth--;
    }
    r->at += length;
    while (*r->at == ' ') {
        r->at++;
        check_attribute(r);
    }
    bool whole = r->at[0] == '/' && r->at[1] == '>';
    r->at += whole;
    if (*r->at != '>') wrong(r, "a tag that does not end");
    r->at++;
    if (closes || whole || strcmp(name, "meta") == 0 || strcmp(name, "wbr") == 0) return;
    if (r->depth == MOST_OPEN) wrong(r, "too deep");
    memcpy(r->open[r->depth++], name, sizeof name);
    if (strcmp(name, "style") != 0) return;
    const char *end = strstr(r->at, "</style>");
    if (!end) wrong(r, "style that does not end");
    r->at = end;
}

int html_count(const char *page, const char *text)
{
    int count = 0;
    for (const char *at = page; (at = strstr(at, text)); at += strlen(text)) count++;
    return count;
}

char *html_check(const char *path)
{
    static const char begin[] = "<!DOCTYPE html><!--moira report-->\n";
    char *page = NULL, *dir = mo_path_dir(path);
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(path, (size_t)1 << 28, &page, &size));
    assert_int_equal(strlen(page), size);
    assert_int_equal(mo_utf8_invalid(page, size), 0);
    assert_int_equal(strncmp(page, begin, sizeof begin - 1), 0);
    for (const char *word = "@import\0url(\0<script\0javascript:\0"; *word; word += strlen(word) + 1)
        assert_null(strstr(page, word));
    reader r = {.page = page, .at = page + sizeof begin - 1, .dir = dir};
    while (*r.at) {
        size_t text = strcspn(r.at, "<");
        check_text(&r, r.at, text);
        r.at += text;
        if (*r.at) check_tag(&r);
    }
    assert_int_equal(r.depth, 0);
    mo_free(dir);
    return page;
}
