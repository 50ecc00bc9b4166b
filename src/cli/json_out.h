/* json_out.h -- results as JSON on standard output. */
#ifndef MOIRA_CLI_JSON_OUT_H
#define MOIRA_CLI_JSON_OUT_H

#include <jansson.h>

#include <moira/base.h>

/* value is taken over; one that could not be made (out of memory) makes mo__json_print fail. */
void mo__json_set(json_t *object, const char *key, json_t *value);
void mo__json_add(json_t *array, json_t *value);
json_t *mo__json_real(double value);     /* null if it is not finite */
json_t *mo__json_text(const char *text); /* bytes that are not UTF-8 become U+FFFD */
json_t *mo__json_integer(int64_t value);
/* Prints and frees. Every number keeps all its bits. */
mo_status mo__json_print(json_t *root);

#endif
