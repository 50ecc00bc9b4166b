/* stamp.h -- the text in the first 512 bytes (HDF5's user block) of every file of ours:
 *     "MOIRA <KIND> <version>\n" "xxh3_128=<32 hex digits>\n" "bytes=<decimal>\n", zero-padded,
 * the hash being over all bytes behind the block and `bytes` the size of the whole file. HDF5 1.10 can crash
 * on, or misread, a damaged file; with the stamp checked first it never sees one. */
#ifndef MOIRA_STORE_STAMP_H
#define MOIRA_STORE_STAMP_H

#include <moira/base.h>

enum { MO__STAMP_SIZE = 512 };

typedef struct mo__stamp_kind {
    const char *magic; /* "MOIRA TOKENS " */
    const char *noun;  /* "a token file" */
    int version;       /* the newest that this program knows */
} mo__stamp_kind;

extern const mo__stamp_kind mo__stamp_checkpoint, mo__stamp_tokens;

/* Stamps a file that HDF5 has closed, with the kind's version: a copy with an older one stamps as that. */
mo_status mo__stamp_write(const char *path, const mo__stamp_kind *kind);
/* MO_E_NOT_FOUND, MO_E_IO; MO_E_FORMAT: not a file of this kind; MO_E_VERSION: newer than this program;
 * MO_E_CORRUPT: cut short or damaged. Reads the whole file once. hash, if not NULL, receives the file's. */
mo_status mo__stamp_check(const char *path, const mo__stamp_kind *kind, char hash[33]);

#endif
