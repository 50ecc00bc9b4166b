/* value.h -- one value of one key: text to field and back. Messages have no place in front. */
#ifndef MOIRA_CONFIG_VALUE_H
#define MOIRA_CONFIG_VALUE_H

#include "buffer.h"
#include "schema.h"

/* How the text was written: a plain word of YAML can be null; quoted text is text, never a number; a word of
 * the command line is taken as it is. */
typedef enum mo__writing { MO__PLAIN, MO__QUOTED, MO__WORD } mo__writing;

/* `owner` is the struct that the key's offset counts in: a run config, or a record of a list. */

/* Parses `text`, checks the range and stores it in the key's field, which is no list. MO_E_CONFIG says what
 * would be right. */
mo_status mo__value_set(const mo__key *key, const char *text, mo__writing writing, void *owner);
/* Stores the default; "" for a text that has none. The field is zero before. */
mo_status mo__value_set_default(const mo__key *key, void *owner);
void mo__value_free(const mo__key *key, void *owner);
/* Appends the value as YAML that mo__value_set reads back to the last bit. MO_E_CONFIG for a field that holds
 * no value of the key (an enum without a name, text that is not UTF-8, a number that is not finite). */
mo_status mo__value_add(const mo__key *key, const void *owner, mo__buffer *out);
/* Whether the field holds a value: false for an optional number that is not given. */
bool mo__value_given(const mo__key *key, const void *owner);
bool mo__value_equal(const mo__key *key, const void *a, const void *b);
/* Appends what the key takes: "1 to 1024", "one of topk, noisy_topk", "true or false". */
void mo__value_add_expected(const mo__key *key, mo__buffer *out);
/* "a whole number", "a number", "text", ... */
const char *mo__value_kind(const mo__key *key);

/* ---- lists ---- */

/* The field of any list, whatever it holds. Elements are `record->size` bytes apart. */
typedef struct mo__list {
    void *at;
    int64_t count;
} mo__list;
mo__list mo__list_get(const mo__key *key, const void *owner);
/* Makes it the field; what was there is the caller's to free. */
void mo__list_put(const mo__key *key, mo__list list, void *owner);
void *mo__list_element(const mo__key *key, mo__list list, int64_t index);
/* Frees elements and array. */
void mo__list_free(const mo__key *key, mo__list list);
mo_status mo__list_add(const mo__key *key, const void *owner, mo__buffer *out);
bool mo__list_equal(const mo__key *key, const void *a, const void *b);
/* "{path, weight}" or "texts" */
void mo__record_add_shape(const mo__record *record, mo__buffer *out);
/* "data.mixture[1].weight", or "freeze[1]" for a bare field; field NULL: the element itself. */
typedef struct mo__element_name {
    char text[120];
} mo__element_name;
mo__element_name mo__name_element(const char *list, int64_t index, const mo__key *field);

#endif
