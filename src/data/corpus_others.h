/* corpus_others.h -- the files of folders that no one asked for: how many, and of which extensions. */
#ifndef MOIRA_DATA_CORPUS_OTHERS_H
#define MOIRA_DATA_CORPUS_OTHERS_H

#include <moira/base.h>

enum { MO__OTHERS_SHOWN = 6 };

/* Starts as {0}. */
typedef struct mo__others {
    int64_t files;
    int kinds;                       /* that are kept */
    bool more;                       /* there are others */
    char kind[MO__OTHERS_SHOWN][16]; /* the first ones by their bytes, in order */
} mo__others;

void mo__others_add(mo__others *others, const char *name);

typedef struct mo__others_text {
    char text[192];
} mo__others_text;
/* "3 files of other kinds: .csv, .json" */
mo__others_text mo__others_show(const mo__others *others);

#endif
