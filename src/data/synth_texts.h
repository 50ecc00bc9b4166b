/* synth_texts.h -- synthetic documents as a file of JSONL: {"text": "...", "domain": "stories"} a line. */
#ifndef MOIRA_DATA_SYNTH_TEXTS_H
#define MOIRA_DATA_SYNTH_TEXTS_H

#include <stdio.h>

#include <moira/base.h>

typedef struct mo__synth_texts {
    mo_replace replace;
    FILE *file; /* NULL: none is written */
} mo__synth_texts;

/* path NULL: all that follows does nothing. */
mo_status mo__synth_texts_open(mo__synth_texts *t, const char *path);
/* Trouble with the disk is told by mo__synth_texts_close. */
void mo__synth_texts_append(mo__synth_texts *t, const char *text, int length, const char *domain);
/* What is written is on its way to the disk, still under its temporary name. */
mo_status mo__synth_texts_close(mo__synth_texts *t);
mo_status mo__synth_texts_commit(mo__synth_texts *t);
void mo__synth_texts_abort(mo__synth_texts *t); /* harmless after commit */

#endif
