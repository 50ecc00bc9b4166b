/* cmd_completion.c -- moira completion: a shell's script for completing command lines, from the tables of the
 * commands and of the config's keys. */
#include <string.h>

#include "commands.h"
#include "config/schema.h"

/* ---- _moira_look, the same text for both shells ----
 *
 * in:  $command, "" at its own place; $count, how many words without dashes follow it; $before, the word in
 *      front of the cursor's, or --option of --option=...; $key of key=...; $current, what is typed so far
 *      behind these
 * out: $choices, words; $files, not empty: file names too; $open, not empty: no space follows */

static void print_commands(void)
{
    for (int i = 0; mo__command_at(i); i++) printf("%s%s", i ? " " : "", mo__command_at(i)->name);
}

static void print_sections(const char *end)
{
    const char *between = "";
    for (int s = 0; s < mo__section_count; s++) {
        if (!*mo__sections[s].name) continue;
        printf("%s%s%s", between, mo__sections[s].name, end);
        between = " ";
    }
}

static void print_keys(const char *end)
{
    for (int k = 0; k < mo__key_count; k++) printf("%s%s%s", k ? " " : "", mo__keys[k].name, end);
}

static void print_top_keys(const char *end)
{
    for (int k = 0; k < mo__key_count; k++)
        if (mo__key_in_section(&mo__keys[k], "")) printf(" %s%s", mo__keys[k].name, end);
}

static void print_names(const char *const *names)
{
    for (int i = 0; names[i]; i++) printf("%s%s", i ? " " : "", names[i]);
}

/* What stands for the value in help says what it may be: "bytes|FILE.model" is the word bytes, or a file. */
static void print_option(const mo__option *o)
{
    char value[64], *rest = value, *part;
    bool file = false, any = false;
    snprintf(value, sizeof value, "%s", o->value);
    printf("        --%s", o->name);
    if (o->letter) printf(" | -%c", o->letter);
    printf(") choices='");
    while ((part = strsep(&rest, "|")) != NULL) {
        bool is_word = strpbrk(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL;
        if (is_word) printf("%s%s", any ? " " : "", part);
        any = any || is_word;
        file = file || strstr(part, "FILE") || strstr(part, "DIR");
    }
    printf("' files=%s; return ;;\n", file ? "1" : "");
}

/* The words of a command that are no options. */
static void print_words(const mo__command *c)
{
    if (c == &mo__cmd_help) {
        printf("        choices='");
        print_commands();
        printf(" config routers losses'\n        if [ \"$before\" = config ]; then choices='");
        print_sections("");
        putchar(' ');
        print_keys("");
        printf("'; fi\n        if [ \"$before\" = routers ]; then choices='");
        print_names(mo_router_names);
        printf("'; fi\n        if [ \"$before\" = losses ]; then choices='");
        for (int i = 0; i < MO_BALANCE_LOSSES; i++) printf("%s%s", i ? " " : "", mo_balance_names[i]);
        printf("'; fi\n");
    } else if (c == &mo__cmd_completion) {
        printf("        choices='bash zsh'\n");
    } else if (c->least > 0 || mo__takes_settings(c)) {
        printf("        files=1\n");
    }
    if (mo__takes_settings(c)) printf("        if [ \"$count\" -gt 0 ]; then _moira_setting; fi\n");
}

static void print_command(const mo__command *c)
{
    printf("    %s)\n        case $before in\n", c->name);
    for (int i = 0; c->options && c->options[i].name; i++)
        if (c->options[i].kind != MO__FLAG_OPTION) print_option(&c->options[i]);
    printf("        esac\n");
    print_words(c);
    printf("        case $current in -*) files= choices='--help");
    for (int i = 0; c->options && c->options[i].name; i++) printf(" --%s", c->options[i].name);
    printf("' ;; esac\n        ;;\n");
}

static void print_key(const mo__key *key)
{
    const char *leaf = mo__key_leaf(key);
    bool path = strcmp(leaf, "path") == 0 || strcmp(leaf, "dir") == 0;
    if (key->type == MO__BOOL) printf("    %s) choices='true false' ;;\n", key->name);
    if (path) printf("    %s) files=1 ;;\n", key->name);
    if (key->type != MO__ENUM) return;
    printf("    %s) choices='", key->name);
    print_names(key->names);
    printf("' ;;\n");
}

/* Settings are many: sections first, then the keys of one, then what the key takes. */
static void print_setting(void)
{
    printf("_moira_setting() {\n    files=\n    case $key in\n");
    for (int k = 0; k < mo__key_count; k++) print_key(&mo__keys[k]);
    printf("    '')\n        open=1\n        case $current in\n        *.*) choices='");
    print_keys("=");
    printf("' ;;\n        *) choices='");
    print_sections(".");
    print_top_keys("=");
    printf("' ;;\n        esac\n        ;;\n    esac\n}\n");
}

static void print_look(void)
{
    print_setting();
    printf("_moira_look() {\n    choices= files= open=\n    case $command in\n    '') choices='");
    print_commands();
    printf(" --help --version' ;;\n");
    for (int i = 0; mo__command_at(i); i++) print_command(mo__command_at(i));
    printf("    esac\n}\n");
}

/* ---- the shells ---- */

/* Bash cuts words at =, zsh does not: what is typed in front of it is no part of the replies, or is. */
static const char bash_end[] =
    "_moira() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} command= count=0 before= key= current prefix= choices files "
    "open word\n"
    "    local -a given\n"
    "    current=${line##*[[:space:]]}\n"
    "    read -ra given <<<\"${line%\"$current\"}\"\n"
    "    command=${given[1]-}\n"
    "    for word in \"${given[@]:2}\"; do\n"
    "        if [[ $word != -* ]]; then count=$((count + 1)); fi\n"
    "        before=$word\n"
    "    done\n"
    "    case $current in\n"
    "    --*=*) before=${current%%=*} prefix=$before= ;;\n"
    "    *=*) key=${current%%=*} prefix=$key= ;;\n"
    "    esac\n"
    "    current=${current#\"$prefix\"}\n"
    "    _moira_look\n"
    "    COMPREPLY=()\n"
    "    if [[ $files ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    fi\n"
    "    for word in $choices; do\n"
    "        if [[ $word == \"$current\"* ]]; then COMPREPLY+=(\"$word\"); fi\n"
    "    done\n"
    "    if [[ $COMP_WORDBREAKS != *=* ]]; then COMPREPLY=(\"${COMPREPLY[@]/#/$prefix}\"); fi\n"
    "    if [[ $open ]]; then compopt -o nospace 2>/dev/null; fi\n"
    "}\n"
    "complete -F _moira moira\n";

static const char zsh_end[] =
    "_moira() {\n"
    "    local line command= count=0 before= key= current=$PREFIX choices files open word\n"
    "    local -a given\n"
    "    given=(\"${(@)words[2,CURRENT-1]}\")\n"
    "    command=${given[1]-}\n"
    "    for word in \"${(@)given[2,-1]}\"; do\n"
    "        if [[ $word != -* ]]; then count=$((count + 1)); fi\n"
    "        before=$word\n"
    "    done\n"
    "    case $current in\n"
    "    --*=*) before=${current%%=*} current=${current#*=} ;;\n"
    "    *=*) key=${current%%=*} current=${current#*=} ;;\n"
    "    esac\n"
    "    _moira_look\n"
    "    if [[ $PREFIX == *=* ]]; then compset -P 1 '*='; fi\n"
    "    if [[ -n $choices && -n $open ]]; then compadd -S '' -- ${=choices}; fi\n"
    "    if [[ -n $choices && -z $open ]]; then compadd -- ${=choices}; fi\n"
    "    if [[ -n $files ]]; then _files; fi\n"
    "}\n"
    "if [[ ${funcstack[1]-} == _moira ]]; then _moira \"$@\"; else compdef _moira moira; fi\n";

static mo_status run(const void *options, const mo__words *words)
{
    (void)options;
    bool bash = strcmp(words->at[0], "bash") == 0;
    if (!bash && strcmp(words->at[0], "zsh") != 0)
        return mo_error(MO_E_USAGE, "'%.60s' is none of the shells: bash, zsh", words->at[0]);
    printf("%s# Completion of moira's command lines; made by: moira completion %s\n",
           bash ? "" : "#compdef moira\n", words->at[0]);
    print_look();
    fputs(bash ? bash_end : zsh_end, stdout);
    return MO_OK;
}

const mo__command mo__cmd_completion = {
    .name = "completion",
    .summary = "a script that lets bash or zsh complete moira's command lines",
    .synopsis = "bash | zsh",
    .text =
        "Prints the script; make install puts it where the shells look. It completes commands, options,\n"
        "files, and settings: the sections of a config, their keys, and the values of those that take one\n"
        "of a few words.\n",
    .example = "  source <(moira completion bash)\n",
    .word = "bash or zsh",
    .least = 1,
    .most = 1,
    .run = run,
};
