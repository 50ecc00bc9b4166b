/* hf_json.h -- JSON objects read with an eye on each value: what is wrong is named with its file and key.
 *
 *     MO_TRY(mo__hf_json_read(path, text, size, &root));           an object without a key twice
 *     mo__hf_json_place at = {path, root};
 *     MO_TRY(mo__hf_json_int(&at, "hidden_size", 4096, 1, 1 << 20, &c->hidden_size)); ... json_decref(root);
 *
 * An absent key and null are the default. */
#ifndef MOIRA_HF_HF_JSON_H
#define MOIRA_HF_HF_JSON_H

#include <jansson.h>

#include "moira/base.h"

typedef struct mo__hf_json_place {
    const char *path;
    const json_t *object;
} mo__hf_json_place;

/* MO_E_FORMAT: not JSON, not an object, a key twice. `what` is put before messages: a path. */
mo_status mo__hf_json_read(const char *what, const char *text, size_t size, json_t **out);
/* A whole file of at most `limit` bytes. */
mo_status mo__hf_json_read_file(const char *path, size_t limit, json_t **out);

/* A name that can be shown: no control characters. */
bool mo__hf_json_plain(const char *text);
/* NULL if absent or null. */
const json_t *mo__hf_json_get(const mo__hf_json_place *at, const char *key);
mo_status mo__hf_json_int(const mo__hf_json_place *at, const char *key, int64_t initial, int64_t min,
                          int64_t max, int64_t *out);
mo_status mo__hf_json_real(const mo__hf_json_place *at, const char *key, double initial, double min,
                           double max, double *out);
mo_status mo__hf_json_bool(const mo__hf_json_place *at, const char *key, bool initial, bool *out);
/* Borrowed; "" if absent. Control characters are refused, as it may come to be shown. */
mo_status mo__hf_json_text(const mo__hf_json_place *at, const char *key, const char **out);

/* Sets a key; value is taken over, NULL is out of memory. MO_E_MEMORY. */
mo_status mo__hf_json_put(json_t *object, const char *key, json_t *value);
/* As text, keys in order, two spaces a level, every real number in its shortest form that reads back the
 * same. Owned. MO_E_MEMORY. */
mo_status mo__hf_json_dump(const json_t *root, char **out);

#endif
