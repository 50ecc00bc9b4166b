/* args.h -- one parser for the options of every command, driven by each command's table.
 *
 * --name value, --name=value, a letter where the table has one (-o value), flags, words in between; after --
 * everything is a word. A value that begins with -- must be written --name=value. Each option fills one field
 * of the command's options struct: its default first, then what was given.
 *
 *     typedef struct { const char *output; int64_t tokens; bool json; } choices;
 *     static const mo__option options[] = {
 *         MO__OPTION_TEXT(choices, output, "output", 'o', "FILE.h5", NULL, "the token file to write"),
 *         MO__OPTION_INT(choices, tokens, "tokens", "N", "1000000", 1, 1e12, "bytes wanted"),
 *         MO__OPTION_FLAG(choices, json, "json", "print JSON"),
 *         {.name = NULL}};
 */
#ifndef MOIRA_CLI_ARGS_H
#define MOIRA_CLI_ARGS_H

#include "session.h"

typedef enum mo__option_kind {
    MO__FLAG_OPTION,
    MO__TEXT_OPTION,
    MO__INT_OPTION,
    MO__SEED_OPTION,
    MO__REAL_OPTION
} mo__option_kind;

typedef struct mo__option {
    const char *name; /* without dashes; NULL ends a table */
    char letter;      /* 0 = none */
    mo__option_kind kind;
    size_t offset;
    const char *value;   /* what stands for the value in help */
    const char *initial; /* default; NULL = must be given. Outside min..max it means "not given" */
    double min, max;
    const char *help;
} mo__option;

/* The field's offset, and a compile error if the field is not of that type. */
#define MO__FIELD(type, choices, field) _Generic(((choices *)0)->field, type : offsetof(choices, field))
/* clang-format off */
#define MO__OPTION_FLAG(choices, field, name, help) \
    {name, 0, MO__FLAG_OPTION, MO__FIELD(bool, choices, field), "", "", 0, 0, help}
#define MO__OPTION_TEXT(choices, field, name, letter, value, initial, help) \
    {name, letter, MO__TEXT_OPTION, MO__FIELD(const char *, choices, field), value, initial, 0, 0, help}
#define MO__OPTION_INT(choices, field, name, value, initial, min, max, help) \
    {name, 0, MO__INT_OPTION, MO__FIELD(int64_t, choices, field), value, initial, min, max, help}
#define MO__OPTION_SEED(choices, field, name, value, initial, help) \
    {name, 0, MO__SEED_OPTION, MO__FIELD(uint64_t, choices, field), value, initial, 0, 18446744073709551615.0, help}
#define MO__OPTION_REAL(choices, field, name, value, initial, min, max, help) \
    {name, 0, MO__REAL_OPTION, MO__FIELD(double, choices, field), value, initial, min, max, help}
/* clang-format on */

typedef struct mo__words {
    const char *const *at; /* borrowed from argv */
    int count;
} mo__words;

typedef struct mo__command {
    const char *name;
    const char *summary;        /* one line, for the list of commands */
    const char *synopsis;       /* what follows the name */
    const char *text;           /* paragraphs: what it does */
    mo_status (*more)(char **); /* makes further paragraphs, owned; NULL = none */
    const char *example;        /* lines */
    const mo__option *options;  /* ends with a NULL name; NULL = none */
    size_t options_size;        /* of the struct that they fill, at most MO__OPTIONS_SIZE */
    const char *word;           /* what the first word is: "CONFIG" */
    int least, most;            /* words taken; most < 0: any number */
    mo__stops stops;
    mo_status (*run)(const void *options, const mo__words *words);
} mo__command;

enum { MO__OPTIONS_SIZE = 256 };

/* Parses argv[0 .. argc), whose order it changes: words come first. *help: --help or -h was there, and
 * nothing else was looked at. MO_E_USAGE says what is wrong and what would be right. */
mo_status mo__args_parse(const mo__command *command, int argc, char **argv, void *options, mo__words *words,
                         bool *help);

#endif
