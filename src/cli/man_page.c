/* man_page.c -- moira(1) in the man macros of roff, from the tables of the commands and of the config's keys.
 */
#include <string.h>

#include "commands.h"
#include "config/value.h"
#include "help_routing.h"

/* ---- text ---- */

/* Roff would read a backslash, a control character at a line's begin, and typeset quotes and dashes. */
static void put_char(char c, bool first)
{
    static const char plain[] = "\\-'`^~\"";
    static const char *const escapes[] = {"\\e", "\\-", "\\(aq", "\\(ga", "\\(ha", "\\(ti", "\\(dq"};
    const char *at = c ? strchr(plain, c) : NULL;
    if (first && c == '.') fputs("\\&", stdout);
    if (at)
        fputs(escapes[at - plain], stdout);
    else
        putchar(c);
}

static void put(const char *text)
{
    for (const char *c = text; *c; c++) put_char(*c, c == text || c[-1] == '\n');
}

/* Lines of prose; an empty one ends a paragraph, and an indented one is an example. */
static void put_prose(const char *text)
{
    bool example = false;
    while (*text) {
        const char *end = strchr(text, '\n');
        size_t length = end ? (size_t)(end - text) : strlen(text);
        bool indented = length > 2 && text[0] == ' ' && text[1] == ' ';
        if (indented != example) fputs(indented ? ".PP\n.EX\n" : ".EE\n", stdout);
        example = indented;
        if (length == 0) fputs(".PP", stdout);
        for (size_t i = 0; i < length; i++) put_char(text[i], i == 0);
        putchar('\n');
        text += length + (end != NULL);
    }
    if (example) fputs(".EE\n", stdout);
}

static void put_head(const char *macro, const char *a, const char *b)
{
    printf("%s \"", macro);
    put(a);
    if (*b) putchar(' ');
    put(b);
    fputs("\"\n", stdout);
}

/* ---- commands ---- */

static void put_option(const mo__option *o)
{
    fputs(".TP\n.B \"", stdout);
    if (o->letter) printf("\\-%c, ", o->letter);
    fputs("\\-\\-", stdout);
    put(o->name);
    fputs("\"", stdout);
    if (*o->value) putchar(' ');
    put(o->value);
    putchar('\n');
    put(o->help);
    if (mo__option_default(o)) fputs(" (", stdout), put(mo__option_default(o)), putchar(')');
    if (!o->initial && o->kind != MO__FLAG_OPTION) fputs(" (required)", stdout);
    putchar('\n');
}

static mo_status put_command(const mo__command *c)
{
    char *more = NULL;
    if (c->more) MO_TRY(c->more(&more));
    put_head(".SS", c->name, c->synopsis);
    put_prose(c->text);
    for (int i = 0; c->options && c->options[i].name; i++) put_option(&c->options[i]);
    if (more) {
        fputs(".PP\n", stdout);
        put_prose(more);
        mo_free(more);
    }
    if (!*c->example) return MO_OK;
    fputs(".PP\nExample:\n", stdout);
    put_prose(c->example);
    return MO_OK;
}

/* ---- the keys of a config ---- */

static mo_status put_key(const mo__key *key)
{
    mo__buffer expected = {0};
    char *text;
    mo__value_add_expected(key, &expected);
    MO_TRY(mo__buffer_finish(&expected, MO_OK, &text));
    fputs(".TP\n.B ", stdout);
    put(key->name);
    putchar('\n');
    put(key->help);
    fputs(key->initial ? " Default " : " Required", stdout);
    if (key->initial) put(*key->initial ? key->initial : "empty");
    fputs("; ", stdout);
    put(text);
    if (*key->unit) putchar(' ');
    put(key->unit);
    fputs(key->flags & MO__RESUMABLE ? "; a resumed run may change it.\n" : ".\n", stdout);
    mo_free(text);
    if (key->type != MO__LIST || key->record->bare) return MO_OK;
    fputs(".RS\n", stdout);
    for (int f = 0; f < key->record->n_fields; f++) MO_TRY(put_key(&key->record->fields[f]));
    fputs(".RE\n", stdout);
    return MO_OK;
}

static mo_status put_keys(void)
{
    for (int s = 0; s < mo__section_count; s++) {
        bool named = *mo__sections[s].name;
        put_head(".SS", named ? mo__sections[s].name : mo__sections[s].help, "");
        printf(".PP\n");
        if (named) put(mo__sections[s].help);
        if (named) putchar('\n');
        for (int k = 0; k < mo__key_count; k++)
            if (mo__key_in_section(&mo__keys[k], mo__sections[s].name)) MO_TRY(put_key(&mo__keys[k]));
    }
    return MO_OK;
}

/* ---- routers and losses ---- */

static void put_part(const char *label, const char *text)
{
    if (!*text) return;
    printf(".TP\n%s\n", label);
    put(text);
    putchar('\n');
}

static void put_paragraph(const char *text)
{
    fputs(".PP\n", stdout);
    put(text);
    putchar('\n');
}

static void put_routers(void)
{
    put_paragraph(mo__router_letters);
    for (int r = 0; r < MO_ROUTERS; r++) {
        const mo_router_info *info = mo_router_describe(r);
        put_head(".SS", info->name, "");
        put_paragraph(info->about);
        put_part("scores", info->scores);
        put_part("selection", info->selection);
        put_part("weights", info->weights);
        put_part("settings", mo__router_settings(r).text);
        put_part("losses", mo__router_losses(r).text);
        put_part("source", info->source);
    }
}

static void put_losses(void)
{
    put_paragraph(mo__loss_letters);
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) {
        const mo_balance_info *info = mo_balance_describe(k);
        put_head(".SS", mo_balance_names[k], "");
        put_paragraph(info->about);
        put_part("loss", info->formula);
        put_part("balanced", info->balanced);
        put_part("over", mo__loss_scope(k).text);
        put_part("routers", mo__loss_routers(k).text);
        put_part("source", info->source);
    }
}

/* ---- the page ---- */

static const char description[] =
    "Moira trains Mixture-of-Experts language models on CPUs. A corpus becomes a token file, a YAML config\n"
    "and a token file become a run, and a run leaves checkpoints, metrics and samples in its folder. "
    "Results\n"
    "go to standard output, messages to standard error.\n";
static const char config[] =
    "A config is a YAML file of sections and keys. `extends: other.yaml`, a path relative to the file, is\n"
    "read first and built upon. On the command line section.key=value sets a key after the files are read.\n";
static const char exit_status[] =
    "0: done. 1: the run failed. 2: the request was wrong, and nothing was changed. 130: interrupted; a run\n"
    "has saved a checkpoint, and goes on with --resume.\n";
static const char environment[] =
    "OMP_WAIT_POLICY, GOMP_SPINCOUNT: how threads wait; by default they spin briefly.\n";
static const char files[] =
    "  checkpoints/NAME/config.yaml       the resolved config of run NAME\n"
    "  checkpoints/NAME/metrics.jsonl     a JSON object a line\n"
    "  checkpoints/NAME/step-00000500.h5  checkpoints\n"
    "  checkpoints/NAME/best.h5           the checkpoint of the lowest validation loss\n"
    "  checkpoints/NAME/samples.txt       text generated during training\n"
    "  checkpoints/NAME/routing.jsonl     what the routers did, at each evaluation\n"
    "  checkpoints/NAME/spikes.jsonl      the steps whose loss jumped, and their worst sequences\n"
    "  checkpoints/NAME/events.out.tfevents.moira\n"
    "                                     metrics and samples for TensorBoard\n";

mo_status mo__help_man(void)
{
    printf(".TH MOIRA 1 \"\" \"moira %s\" \"User Commands\"\n.nh\n.ad l\n.SH NAME\nmoira \\- ",
           MO_VERSION_STRING);
    put("train Mixture-of-Experts language models on CPUs\n");
    fputs(".SH SYNOPSIS\n.B moira\nCOMMAND ...\n.SH DESCRIPTION\n", stdout);
    put_prose(description);
    fputs(".SH COMMANDS\n", stdout);
    for (int i = 0; mo__command_at(i); i++) MO_TRY(put_command(mo__command_at(i)));
    fputs(".SH CONFIGS\n", stdout);
    put_prose(config);
    MO_TRY(put_keys());
    fputs(".SH ROUTERS\n", stdout);
    put_routers();
    fputs(".SH BALANCING LOSSES\n", stdout);
    put_losses();
    fputs(".SH EXIT STATUS\n", stdout);
    put_prose(exit_status);
    fputs(".SH ENVIRONMENT\n", stdout);
    put_prose(environment);
    fputs(".SH FILES\n", stdout);
    put_prose(files);
    return MO_OK;
}
