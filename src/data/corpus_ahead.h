/* corpus_ahead.h -- a reader's batches, read by a thread while the one before is worked on. */
#ifndef MOIRA_DATA_CORPUS_AHEAD_H
#define MOIRA_DATA_CORPUS_AHEAD_H

#include "corpus_reader.h"

typedef struct mo__ahead mo__ahead;
/* The reader is borrowed, and used by nobody else until the stop. */
mo_status mo__ahead_start(mo__reader *reader, mo__ahead **out);
/* The next batch, valid until the next call. Not after the last one, nor after a failure. */
mo_status mo__ahead_next(mo__ahead *a, const mo__records **out);
void mo__ahead_stop(mo__ahead *a);

#endif
