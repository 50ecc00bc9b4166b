/* main.c -- from the command line to one command and its exit status. */
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "commands.h"
#include "session.h"

static const mo__command *const commands[] = {
#define X(name) &mo__cmd_##name,
    MO__COMMANDS(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands };

const mo__command *mo__command_at(int i)
{
    return i < COMMANDS ? commands[i] : NULL;
}

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
    return help ? mo__help_command(command) : command->run(options, &words);
}

/* GCC's OpenMP lets waiting threads spin for milliseconds, which is right on an idle machine alone: with
 * another program on two cores, training took 7 steps in the time of 16. The library reads the setting before
 * main, so the program starts itself once more with a short spin, unless the environment says how to wait. */
static void wait_briefly(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    if (getauxval(AT_BASE) == 0) return; /* the loader was called by name: it is /proc/self/exe */
    char path[4096];
    ssize_t length =
        readlink("/proc/self/exe", path, sizeof path - 1); /* by its path: the name in ps stays */
    if (length <= 0 || length == sizeof path - 1) return;
    path[length] = '\0';
    if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0) execv(path, argv);
}

int main(int argc, char **argv)
{
    wait_briefly(argv);
    mo__session_open(argc > 0 ? argv[0] : "moira");
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
