/* corpus_files.h -- the files that a corpus is read from, in order, each once. */
#ifndef MOIRA_DATA_CORPUS_FILES_H
#define MOIRA_DATA_CORPUS_FILES_H

#include <sys/types.h>

#include <moira/data.h>

typedef struct mo__corpus_file {
    char *path;      /* owned */
    bool jsonl;      /* else a text */
    bool gzip;       /* by its first bytes */
    uint64_t stored; /* its size */
    dev_t device;    /* device and inode: who it is, whatever its name */
    ino_t inode;
} mo__corpus_file;

typedef struct mo__corpus_files {
    mo__corpus_file *at;
    int64_t count, room;
    int64_t repeated; /* that were named again, and are not counted again */
    uint64_t stored;  /* bytes of all files */
} mo__corpus_files;

/* Finds the files of a corpus: each is there, can be read and does not look like anything but text. Folders
 * are walked to their ends, their files in the order of their paths' bytes; hidden ones are left out.
 * MO_E_NOT_FOUND, MO_E_FORMAT, MO_E_IO; MO_E_USAGE for options that nothing among the inputs is for. Starts
 * from {0}; free what there is whatever the status. */
mo_status mo__corpus_files_find(const mo_corpus *corpus, mo__corpus_files *files);
void mo__corpus_files_free(mo__corpus_files *files);

/* MO_E_USAGE if `output` is one of the files. */
mo_status mo__corpus_files_spare(const mo__corpus_files *files, const char *output);

/* The error of a file that cannot be opened or looked at, by errno: may be a link that leads nowhere. */
mo_status mo__corpus_file_absent(const char *path, const char *verb);
/* One file by its path: opened, looked into, its kind found (corpus_look.c). */
mo_status mo__corpus_file_look(const char *path, mo_corpus_format format, mo__corpus_file *out);

#endif
