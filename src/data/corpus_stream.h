/* corpus_stream.h -- the bytes of one file of a corpus, unpacked if it is gzip. A byte order mark at their
 * begin is left out. */
#ifndef MOIRA_DATA_CORPUS_STREAM_H
#define MOIRA_DATA_CORPUS_STREAM_H

#include "corpus_files.h"

typedef struct mo__stream mo__stream;

/* `file` is borrowed while the stream is open. */
mo_status mo__stream_open(const mo__corpus_file *file, mo__stream **out);
/* Fills text[size]; *got is less only at the end of the file. MO_E_CORRUPT for gzip data that are damaged or
 * cut short, MO_E_FORMAT for bytes that no text has: both say where. */
mo_status mo__stream_read(mo__stream *s, char *text, size_t size, size_t *got);
bool mo__stream_had_mark(const mo__stream *s);   /* a byte order mark was left out */
uint64_t mo__stream_stored(const mo__stream *s); /* bytes of the file that were taken so far */
void mo__stream_close(mo__stream *s);

#endif
