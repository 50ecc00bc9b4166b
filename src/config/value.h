/* value.h -- one value of one key: text to field and back. Messages have no place in front. */
#ifndef MOIRA_CONFIG_VALUE_H
#define MOIRA_CONFIG_VALUE_H

#include "buffer.h"
#include "schema.h"

/* How the text was written: a plain word of YAML can be null; quoted text is text, never a number; a word of
 * the command line is taken as it is. */
typedef enum mo__writing { MO__PLAIN, MO__QUOTED, MO__WORD } mo__writing;

/* Parses `text`, checks the range and stores it in the key's field. MO_E_CONFIG says what would be right. */
mo_status mo__value_set(const mo__key *key, const char *text, mo__writing writing, mo_run_config *config);
/* Appends the value as YAML that mo__value_set reads back to the last bit. MO_E_CONFIG for a field that holds
 * no value of the key (an enum without a name, text that is not UTF-8, a number that is not finite). */
mo_status mo__value_add(const mo__key *key, const mo_run_config *config, mo__buffer *out);
bool mo__value_equal(const mo__key *key, const mo_run_config *a, const mo_run_config *b);
/* Appends what the key takes: "1 to 1024", "one of topk, noisy_topk", "true or false". */
void mo__value_add_expected(const mo__key *key, mo__buffer *out);
/* "a whole number", "a number", "text", ... */
const char *mo__value_kind(const mo__key *key);

#endif
