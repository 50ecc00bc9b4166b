/* html_check.h -- whether a page is what our reports have to be. */
#ifndef MOIRA_TESTS_HTML_CHECK_H
#define MOIRA_TESTS_HTML_CHECK_H

#include "harness/harness.h"

/* The page at `path` is read tag by tag. The test fails where an element is not one of those that reports are
 * made of, is not closed, or is closed out of turn; where an attribute is unknown or not quoted; where a link
 * leads anywhere but to a file beside the page that is there; where anything would be fetched; where a &
 * begins no character. Returns the page, owned. */
char *html_check(const char *path);
/* How often `text` is in it. */
int html_count(const char *page, const char *text);

#endif
