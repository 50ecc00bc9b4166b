/* schema.h -- the one table behind run configs: parsing, overrides, range checks, help, the resolved dump and
 * the resume comparison all read it. A new key is one entry in schema.c. */
#ifndef MOIRA_CONFIG_SCHEMA_H
#define MOIRA_CONFIG_SCHEMA_H

#include <moira/config.h>

typedef enum mo__key_type {
    MO__INT,
    MO__UINT64,
    MO__REAL,
    MO__BOOL,
    MO__STRING,
    MO__ENUM,
    MO__LIST
} mo__key_type;

enum {
    MO__RESUMABLE = 1,   /* --resume may change it */
    MO__ABOVE_MIN = 2,   /* real: min itself is not allowed */
    MO__BELOW_MAX = 4,   /* real: max itself is not allowed */
    MO__FOLDER_NAME = 8, /* string: names a folder */
    MO__FROM_DATA = 16,  /* 0 = the data's: agrees with any value when runs are compared */
    MO__OPTIONAL =
        32, /* real: NaN = not given; `initial` names what holds then, and only null can be written */
    MO__SHAPES = 64,      /* of a model: which parameters it has, and their shapes, may hang on it */
    MO__IN_TRAINING = 128 /* of a model: changes nothing outside training */
};

/* What a list holds: records with fields of their own, {path: a.h5, weight: 2}, or, if bare, the one field
 * (whose name is "") without braces. */
typedef struct mo__record {
    size_t size;
    const struct mo__key *fields; /* offsets count from the record; no field is a list */
    int n_fields;
    bool bare;
} mo__record;

typedef struct mo__key {
    const char *name; /* "section.key", "key" at the top; of a field of a record, its own alone */
    mo__key_type type;
    size_t offset;       /* of the field in mo_run_config or in its record */
    const char *initial; /* the default, written as in a file; NULL = the key is required */
    double min, max;     /* int, real: of the value; string: of the length in bytes; list: of the count */
    unsigned flags;      /* MO__RESUMABLE ... */
    const char *const *names; /* enum: by value, ends with NULL */
    const char *unit;         /* "" = none */
    const char *help;         /* one sentence */
    const mo__record *record; /* list: the field is struct {T *at; int64_t count;}, and this is T */
} mo__key;

/* Keys at the top of a file are the section "". */
typedef struct mo__section {
    const char *name, *help;
} mo__section;

extern const mo__key mo__keys[];
extern const mo__section mo__sections[];
extern const int mo__key_count, mo__section_count;

/* The part of a key's name after the dot, if it has one. */
const char *mo__key_leaf(const mo__key *key);
bool mo__key_in_section(const mo__key *key, const char *section);
/* Index in mo__sections and mo__keys, or -1. */
int mo__section_find(const char *name);
int mo__key_find(const char *section, const char *leaf);

/* MO_E_CONFIG "unknown section ..." or "unknown key ..." with the nearest valid name; no place in front. */
mo_status mo__section_unknown(const char *name);
mo_status mo__key_unknown(const char *section, const char *leaf);
mo_status mo__field_unknown(const mo__record *record, const char *name);
/* The section or key, by its full or short name, that is nearest to `topic`, or NULL. */
const char *mo__topic_nearest(const char *topic);

#endif
