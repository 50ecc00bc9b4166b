/* h5_root.h -- the attributes that the root of every file of ours has: format, version, created_by, and the
 * tokenizer as tokenizer_kind, tokenizer_blob, tokenizer_hash. */
#ifndef MOIRA_STORE_H5_ROOT_H
#define MOIRA_STORE_H5_ROOT_H

#include <moira/tokenizer.h>

#include "h5.h"

/* tokenizer may be NULL: then its attributes are absent. */
mo_status mo__root_write(hid_t file, const char *format, int version, const mo_tokenizer *tokenizer);
/* *tokenizer is owned, NULL if there is none. MO_E_FORMAT, MO_E_VERSION, MO_E_CORRUPT, MO_E_UNSUPPORTED. */
mo_status mo__root_read(hid_t file, const char *format, int version, mo_tokenizer **tokenizer);

#endif
