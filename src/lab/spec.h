/* spec.h -- how the files of sweeps and comparisons are read: one table of keys (spec_table.c) for parsing
 * and help, and readers for what is no plain value. */
#ifndef MOIRA_LAB_SPEC_H
#define MOIRA_LAB_SPEC_H

#include <moira/lab.h>

#include "config/document.h"
#include "lab/match.h"
#include "settings.h"

typedef struct mo__spec_reader {
    const char *origin; /* the file's path, in front of messages */
    mo_lab_spec *spec;
    const mo__doc *parameters; /* all of them, while they are read */
    mo_run_config config;      /* the base with `set`, for keys that come after these */
} mo__spec_reader;

/* Reads what stands beside a key. Messages have their place. */
typedef mo_status mo__spec_read_fn(mo__spec_reader *r, const mo__doc *doc);
mo__spec_read_fn mo__spec_read_base, mo__spec_read_set, mo__spec_read_seeds, mo__spec_read_budget,
    mo__spec_read_halving, mo__spec_read_timing;
mo__spec_read_fn mo__spec_read_parameters, mo__spec_read_rules;                       /* sweeps */
mo__spec_read_fn mo__spec_read_variants, mo__spec_read_reference, mo__spec_read_tune; /* comparisons */
/* The seeds 1 to count. */
mo_status mo__spec_make_seeds(mo_lab_spec *spec, int count);
/* Where the file names no reference: the first dense variant, or else the first. */
mo_status mo__spec_choose_reference(mo__spec_reader *r);

/* A key at the top of a file. They are read in the order of the table. */
enum { MO__SPEC_SWEEP = 1, MO__SPEC_COMPARE = 2 };
typedef struct mo__spec_key {
    const char *name;
    unsigned of;
    mo__key value; /* of those without `read` */
    mo__spec_read_fn *read;
    const char *form, *initial, *help; /* in words; initial NULL: required */
} mo__spec_key;
extern const mo__spec_key mo__spec_keys[];
extern const int mo__spec_key_count;

/* Puts the place of `doc` in front of this thread's message. */
mo_status mo__spec_at(const mo__spec_reader *r, const mo__doc *doc, mo_status status);
/* Stores one value in the key's field of `owner`. */
mo_status mo__spec_value(const mo__spec_reader *r, const mo__doc *doc, const mo__key *key, void *owner);
/* The same for each key of a map; an unknown one is refused, but for those that `others` (NULL at the end)
 * names. */
mo_status mo__spec_map(const mo__spec_reader *r, const mo__doc *map, const mo__key *keys, int n_keys,
                       const char *const *others, void *owner);
/* MO_E_CONFIG "unknown key; did you mean steps?", or all there are. */
mo_status mo__spec_unknown(const char *name, const char *const *names, size_t count);
/* The item of that name, or NULL. */
const mo__doc *mo__spec_find(const mo__doc *map, const char *name);
/* A map of "section.key: value", each of which a run would take. */
mo_status mo__spec_settings(const mo__spec_reader *r, const mo__doc *map, mo_lab_settings *out);
/* Refuses a section in place of its keys. */
mo_status mo__spec_refuse_section(const mo__spec_reader *r, const mo__doc *item);
/* Index of the config key `name`, at `doc`. MO_E_CONFIG where experiments see to it themselves; `varied`: or
 * where it would make losses that cannot be compared. */
mo_status mo__spec_config_key(const mo__spec_reader *r, const mo__doc *doc, const char *name, bool varied,
                              int *key);
/* A list of values that the key takes, none twice; or one value where `one` allows that. */
mo_status mo__spec_values(const mo__spec_reader *r, const mo__doc *doc, int key, bool one,
                          mo__word_list *out);
/* The path of a config as seen from the file's folder, if it is there. Owned. */
mo_status mo__spec_config(const mo__spec_reader *r, const mo__doc *doc, const char *text, char **out);
/* A number in few digits: "0.003162", "1e-5". */
typedef struct mo__number_text {
    char text[32];
} mo__number_text;
mo__number_text mo__number_in_digits(double value, int digits);

/* Whether matching decides this key, so that nothing else may. */
bool mo__match_sets(const char *key);

/* What is set for all, and a length, so that a config that leaves it to the budget loads. */
mo_status mo__spec_common(const mo_lab_spec *spec, mo_lab_settings *out);
/* A config with these. */
mo_status mo__spec_load_config(const mo_lab_spec *spec, const char *path, mo_run_config *out);

/* What is asked, a line for each thing. Owned. */
mo_status mo__spec_describe(const mo_lab_spec *spec, char **out);
/* spec->asked, and lines with the hashes of the data, and of the models that trials begin with. Owned. */
mo_status mo__spec_content(const mo_lab_spec *spec, char **out);

#endif
