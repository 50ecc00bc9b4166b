/* args.c -- the option parser. */
#include "args.h"

#include <string.h>

#include "config/buffer.h"
#include "config/number.h"

enum { MOST_OPTIONS = 32 };

typedef struct parser {
    const mo__command *command;
    char *fields;             /* the options struct */
    bool given[MOST_OPTIONS]; /* by position in the table */
} parser;

static void *field_of(const parser *p, const mo__option *o)
{
    return p->fields + o->offset;
}

/* ---- values ---- */

static mo_status refuse_value(const mo__option *o, const char *text, const char *problem)
{
    return mo_error(MO_E_USAGE, "--%s: '%s' %s", o->name, mo__show(text).text, problem);
}

/* "--steps: 0 is out of range: it takes 1 to 1000" */
static mo_status refuse_range(const mo__option *o, const char *text)
{
    return mo_error(MO_E_USAGE, "--%s: %s is out of range: it takes %.15g to %.15g", o->name,
                    mo__show(text).text, o->min, o->max);
}

static mo_status set_int(const mo__option *o, const char *text, bool check, int64_t *field)
{
    bool negative;
    uint64_t magnitude;
    mo__number why = mo__number_whole(text, &negative, &magnitude);
    if (why == MO__NUMBER_TOO_LARGE || (why == MO__NUMBER_OK && magnitude > INT64_MAX))
        return refuse_range(o, text);
    if (why != MO__NUMBER_OK) return refuse_value(o, text, "is not a whole number");
    int64_t value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (check && !((double)value >= o->min && (double)value <= o->max)) return refuse_range(o, text);
    *field = value;
    return MO_OK;
}

static mo_status set_seed(const mo__option *o, const char *text, uint64_t *field)
{
    bool negative;
    mo__number why = mo__number_whole(text, &negative, field);
    if (why == MO__NUMBER_OK && !(negative && *field)) return MO_OK;
    if (why == MO__NUMBER_OK || why == MO__NUMBER_TOO_LARGE)
        return mo_error(MO_E_USAGE, "--%s: %s is out of range: it takes 0 to %llu", o->name,
                        mo__show(text).text, (unsigned long long)UINT64_MAX);
    return refuse_value(o, text, "is not a whole number");
}

static mo_status set_real(const mo__option *o, const char *text, bool check, double *field)
{
    double value = 0;
    mo__number why = mo__number_real(text, &value);
    if (why == MO__NUMBER_TOO_LARGE) return refuse_range(o, text);
    if (why != MO__NUMBER_OK) return refuse_value(o, text, "is not a number");
    if (check && !(value >= o->min && value <= o->max)) return refuse_range(o, text);
    *field = value;
    return MO_OK;
}

/* check: what was given must be in range; a default need not be. */
static mo_status set_value(const parser *p, const mo__option *o, const char *text, bool check)
{
    switch (o->kind) {
    case MO__FLAG_OPTION:
        *(bool *)field_of(p, o) = check;
        return MO_OK;
    case MO__TEXT_OPTION:
        *(const char **)field_of(p, o) = text;
        return MO_OK;
    case MO__INT_OPTION:
        return set_int(o, text, check, field_of(p, o));
    case MO__SEED_OPTION:
        return set_seed(o, text, field_of(p, o));
    case MO__REAL_OPTION:
        break;
    }
    return set_real(o, text, check, field_of(p, o));
}

/* ---- options ---- */

static const mo__option *option_at(const parser *p, int i)
{
    static const mo__option none = {.name = NULL};
    return p->command->options ? &p->command->options[i] : &none;
}

static mo_status set_defaults(parser *p)
{
    memset(p->fields, 0, p->command->options_size);
    for (int i = 0; option_at(p, i)->name; i++) {
        MO_ASSERT(i < MOST_OPTIONS);
        const mo__option *o = option_at(p, i);
        if (o->initial) MO_TRY(set_value(p, o, o->initial, false));
    }
    return MO_OK;
}

/* text: the argument without its dashes, the first `length` bytes being the name. */
static mo_status refuse_unknown(const parser *p, const char *argument, const char *text, size_t length)
{
    const char *names[MOST_OPTIONS + 1] = {"help"};
    char word[64];
    size_t count = 1;
    while (option_at(p, (int)count - 1)->name) {
        names[count] = option_at(p, (int)count - 1)->name;
        count++;
    }
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), text);
    const char *nearest = mo_nearest_name(word, names, count);
    if (memchr(text, '.', length) && p->command->most < 0)
        return mo_error(MO_E_USAGE, "unknown option %s; a setting is written without dashes, as %s=VALUE",
                        mo__show(argument).text, word);
    if (nearest)
        return mo_error(MO_E_USAGE, "unknown option %s; did you mean --%s?", mo__show(argument).text,
                        nearest);
    return mo_error(MO_E_USAGE, "unknown option %s", mo__show(argument).text);
}

/* The option that an argument names, or -1; *value is what follows its '=', or NULL. */
static int find_option(const parser *p, const char *argument, const char **value)
{
    bool is_long = argument[1] == '-';
    const char *text = argument + (is_long ? 2 : 1);
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    *value = equals ? equals + 1 : NULL;
    for (int i = 0; option_at(p, i)->name; i++) {
        const mo__option *o = option_at(p, i);
        if (is_long ? strlen(o->name) == length && memcmp(o->name, text, length) == 0
                    : o->letter && length == 1 && text[0] == o->letter)
            return i;
    }
    refuse_unknown(p, argument, text, length);
    return -1;
}

static bool looks_like_option(const char *text)
{
    return strncmp(text, "--", 2) == 0;
}

/* Takes the option at argv[*i], and the argument after it if that is its value. */
static mo_status take_option(parser *p, int argc, char **argv, int *i)
{
    const char *value;
    int at = find_option(p, argv[*i], &value);
    if (at < 0) return MO_E_USAGE;
    const mo__option *o = option_at(p, at);
    if (p->given[at]) return mo_error(MO_E_USAGE, "--%s is given twice", o->name);
    p->given[at] = true;
    if (o->kind == MO__FLAG_OPTION) {
        if (value) return mo_error(MO_E_USAGE, "--%s takes no value", o->name);
        return set_value(p, o, NULL, true);
    }
    if (!value && *i + 1 < argc && !looks_like_option(argv[*i + 1])) value = argv[++*i];
    if (!value && *i + 1 < argc)
        return mo_error(MO_E_USAGE,
                        "--%s needs a value: --%s %s (a value that begins with -- is written --%s=VALUE)",
                        o->name, o->name, o->value, o->name);
    if (!value) return mo_error(MO_E_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->value);
    return set_value(p, o, value, true);
}

static mo_status check_given(const parser *p, int words)
{
    const mo__command *c = p->command;
    if (words < c->least) return mo_error(MO_E_USAGE, "%s is missing", c->word);
    for (int i = 0; option_at(p, i)->name; i++) {
        const mo__option *o = option_at(p, i);
        if (!o->initial && !p->given[i]) return mo_error(MO_E_USAGE, "--%s %s is missing", o->name, o->value);
    }
    return MO_OK;
}

mo_status mo__args_parse(const mo__command *command, int argc, char **argv, void *options, mo__words *words,
                         bool *help)
{
    parser p = {.command = command, .fields = options};
    int count = 0;
    *help = false;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) *help = true;
    if (*help) return MO_OK;
    MO_TRY(set_defaults(&p));
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
            MO_TRY(take_option(&p, argc, argv, &i));
        else if (command->most >= 0 && count == command->most)
            return mo_error(MO_E_USAGE, "'%s' is one argument too many", mo__show(argv[i]).text);
        else
            argv[count++] = argv[i];
    }
    *words = (mo__words){(const char *const *)argv, count};
    return check_given(&p, count);
}
