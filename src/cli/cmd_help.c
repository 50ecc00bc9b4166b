/* cmd_help.c -- moira help: the commands, one command, the keys of a config. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <moira/config.h>

#include "commands.h"
#include "help_routing.h"
#include "terminal.h"

typedef struct choices {
    bool man;
} choices;

static const mo__option options[] = {
    MO__OPTION_FLAG(choices, man, "man", "the whole manual, as a page for man"),
    {.name = NULL},
};

/* PREFIX/share/moira/configs of PREFIX/bin/moira, if it is there. */
static bool installed_configs(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (!slash) return false;
        *slash = '\0';
    }
    size_t used = strlen(path);
    return snprintf(path + used, size - used, "/share/moira/configs") < (int)(size - used) &&
           mo_path_is_dir(path);
}

/* An installed program is not run in the folder that has configs and data. */
static void print_first_run(FILE *out)
{
    char configs[4096];
    bool installed = installed_configs(configs, sizeof configs);
    fprintf(out, "\nA first run:\n  moira synth -o %s\n  moira train %s/demo.yaml%s\n",
            installed ? "demo.h5" : "data/demo.h5", installed ? configs : "configs",
            installed ? " data.path=demo.h5" : "");
    fprintf(out, "  moira generate checkpoints/demo/best.h5 --prompt 'Once'\n");
}

void mo__help_overview(FILE *out)
{
#define X(command) (void)fprintf(out, "  %-10s %s\n", mo__cmd_##command.name, mo__cmd_##command.summary);
    fprintf(out, "Moira trains Mixture-of-Experts language models.\n\n"
                 "usage: moira COMMAND ...\n\n");
    MO__COMMANDS(X)
#undef X
    fprintf(out, "\nmoira help COMMAND         what a command does, its options, an example\n"
                 "moira help config [KEY]    what a config file can say\n"
                 "moira help routers [NAME]  how experts can be chosen\n"
                 "moira help losses [NAME]   how they can be kept in balance\n");
    print_first_run(out);
}

/* The default is shown only if it is a value that could be given. */
const char *mo__option_default(const mo__option *o)
{
    if (!o->initial || !*o->initial) return NULL;
    if (o->kind != MO__INT_OPTION && o->kind != MO__REAL_OPTION) return o->initial;
    double value = strtod(o->initial, NULL);
    return value >= o->min && value <= o->max ? o->initial : NULL;
}

bool mo__takes_settings(const mo__command *c)
{
    return strstr(c->synopsis, "section.key=value") != NULL;
}

static void print_option(const mo__option *o)
{
    enum { LEFT = 30 };
    char left[64], line[512];
    const char *initial = mo__option_default(o);
    bool required = !o->initial && o->kind != MO__FLAG_OPTION;
    snprintf(left, sizeof left, "%s--%s%s%s", o->letter ? "-o, " : "", o->name, *o->value ? " " : "",
             o->value);
    snprintf(line, sizeof line, "  %-*s %s%s%s%s\n", LEFT, left, o->help, initial ? " (" : "",
             initial ? initial : "",
             initial    ? ")"
             : required ? " (required)"
                        : "");
    mo__paragraphs(line, 2 + LEFT + 1);
}

mo_status mo__help_command(const mo__command *c)
{
    char *more = NULL;
    if (c->more) MO_TRY(c->more(&more));
    printf("moira %s: %s\n\nusage: moira %s%s%s\n\n", c->name, c->summary, c->name, *c->synopsis ? " " : "",
           c->synopsis);
    mo__paragraphs(c->text, 4);
    if (c->options && c->options[0].name) printf("\noptions:\n");
    for (int i = 0; c->options && c->options[i].name; i++) print_option(&c->options[i]);
    if (more) {
        putchar('\n');
        mo__paragraphs(more, 4);
    }
    if (*c->example) printf("\nexample:\n%s", c->example);
    mo_free(more);
    return MO_OK;
}

static mo_status help_config(const char *topic)
{
    char *text;
    MO_TRY(mo_config_help(topic, &text));
    mo__paragraphs(text, 8);
    mo_free(text);
    return MO_OK;
}

static bool among(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* moira help balance: no command, but perhaps a router, a loss, or a part of a config. */
static mo_status refuse_topic(const char *topic)
{
    char *text;
    const char *page = "config";
    if (among(topic, mo_router_names, MO_ROUTERS))
        page = "routers";
    else if (among(topic, mo_balance_names, MO_BALANCE_LOSSES))
        page = "losses";
    else if (mo_config_help(topic, &text) == MO_OK)
        mo_free(text);
    else
        return mo__command_unknown(topic);
    return mo_error(MO_E_USAGE, "'%.60s' is no command; did you mean 'moira help %s %.60s'?", topic, page,
                    topic);
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    if (c->man && words->count > 0)
        return mo_error(MO_E_USAGE, "--man is the whole manual; '%.60s' is one argument too many",
                        words->at[0]);
    if (c->man) return mo__help_man();
    if (words->count == 0) {
        mo__help_overview(stdout);
        return MO_OK;
    }
    const char *topic = words->count > 1 ? words->at[1] : NULL;
    if (strcmp(words->at[0], "config") == 0) return help_config(topic);
    if (strcmp(words->at[0], "routers") == 0) return mo__help_routers(topic);
    if (strcmp(words->at[0], "losses") == 0) return mo__help_losses(topic);
    if (words->count > 1) return mo_error(MO_E_USAGE, "'%.60s' is one argument too many", words->at[1]);
    const mo__command *command = mo__command_find(words->at[0]);
    if (!command) return refuse_topic(words->at[0]);
    return mo__help_command(command);
}

const mo__command mo__cmd_help = {
    .name = "help",
    .summary = "this list; one command; the keys of a config; routers and losses",
    .synopsis = "[COMMAND | config [SECTION | KEY] | routers [NAME] | losses [NAME]] [--man]",
    .text =
        "Without a word, lists the commands. With a command's name, says what it does and takes.\n"
        "`moira help config` shows every key of a config file: its default, what it takes and what it is\n"
        "for; `moira help config balance` one section, `moira help config num_local_experts` one key.\n"
        "`moira help routers` shows how experts can be chosen and `moira help losses` how they can be kept\n"
        "in balance: formulas, settings, papers.\n",
    .example = "  moira help config model.router\n"
               "  moira help routers topk\n"
               "  moira help --man | man -l -\n",
    .options = options,
    .options_size = sizeof(choices),
    .most = 2,
    .run = run,
};
