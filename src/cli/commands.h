/* commands.h -- every command. A new one is its cmd_<name>.c and one line here. */
#ifndef MOIRA_CLI_COMMANDS_H
#define MOIRA_CLI_COMMANDS_H

#include "args.h"

/* In the order of `moira help`. */
#define MO__COMMANDS(X) \
    X(prepare)          \
    X(synth)            \
    X(train)            \
    X(finetune)         \
    X(upcycle)          \
    X(sweep)            \
    X(compare)          \
    X(eval)             \
    X(generate)         \
    X(import)           \
    X(export)           \
    X(inspect)          \
    X(report)           \
    X(bench)            \
    X(completion)       \
    X(help)             \
    X(version)

#define X(name) extern const mo__command mo__cmd_##name;
MO__COMMANDS(X)
#undef X

const mo__command *mo__command_at(int i);              /* NULL past the last */
const mo__command *mo__command_find(const char *name); /* NULL if there is none */
/* MO_E_USAGE, with the nearest name. */
mo_status mo__command_unknown(const char *name);
void mo__help_overview(FILE *out);
mo_status mo__help_command(const mo__command *command);
/* The default of an option as help shows it, or NULL: others mean "not given". */
const char *mo__option_default(const mo__option *option);
/* Whether the command takes settings of a config: section.key=value. */
bool mo__takes_settings(const mo__command *command);
/* moira(1), all of it, for man. */
mo_status mo__help_man(void);

#endif
