/* main.c -- from the command line to one command and its exit status. */
#include <string.h>

#include "commands.h"
#include "session.h"

static const mo__command *const commands[] = {
#define X(name) &mo__cmd_##name,
    MO__COMMANDS(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands };

const mo__command *mo__command_find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

mo_status mo__command_unknown(const char *name)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) names[i] = commands[i]->name;
    const char *nearest = mo_nearest_name(name, names, COMMANDS);
    if (nearest) return mo_error(MO_E_USAGE, "'%.60s' is no command; did you mean %s?", name, nearest);
    return mo_error(MO_E_USAGE, "'%.60s' is no command", name);
}

static mo_status run(const mo__command *command, int argc, char **argv)
{
    _Alignas(max_align_t) char options[MO__OPTIONS_SIZE];
    mo__words words = {NULL, 0};
    bool help = false;
    MO_ASSERT(command->options_size <= sizeof options);
    mo__session_command(command->name, command->stops);
    MO_TRY(mo__args_parse(command, argc, argv, options, &words, &help));
    if (!help) return command->run(options, &words);
    mo__help_command(command);
    return MO_OK;
}

int main(int argc, char **argv)
{
    mo__session_open();
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        mo__help_overview(stderr);
        return 2;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    const mo__command *command = mo__command_find(name);
    return mo__session_close(command ? run(command, argc - 2, argv + 2) : mo__command_unknown(name));
}
