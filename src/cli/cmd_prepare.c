/* cmd_prepare.c -- moira prepare: text files to a token file. */
#include <string.h>

#include <moira/data.h>

#include "commands.h"
#include "session.h"
#include "terminal.h"
#include "units.h"

typedef struct choices {
    const char *output, *tokenizer;
    double validation;
    int64_t compression;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "FILE.h5", NULL, "token file to write"),
    MO__OPTION_TEXT(choices, tokenizer, "tokenizer", 0, "KIND", "bytes", "how text becomes tokens"),
    MO__OPTION_REAL(choices, validation, "validation", "SHARE", "0.1", 0, 0.99,
                    "share of each text, at its end, that validates"),
    MO__OPTION_INT(choices, compression, "compression", "N", "1", 0, 9, "deflate level; 0 stores as it is"),
    {.name = NULL},
};

static void print_split(const char *name, const mo_prepare_summary *s, mo_split split)
{
    printf("%-12s %s tokens in %s document%s\n", name, mo__count(s->tokens[split]).text,
           mo__count(s->documents[split]).text, s->documents[split] == 1 ? "" : "s");
}

static void print_summary(const char *output, const mo_prepare_summary *s)
{
    double tokens = (double)(s->tokens[0] + s->tokens[1]);
    printf("wrote        %s\n", output);
    print_split("train", s, MO_SPLIT_TRAIN);
    print_split("validation", s, MO_SPLIT_VALIDATION);
    printf("text         %s, %.3g bytes per token\n",
           mo__bytes((double)(s->facts.text_bytes[0] + s->facts.text_bytes[1])).text,
           tokens > 0 ? (double)(s->facts.text_bytes[0] + s->facts.text_bytes[1]) / tokens : 0);
    printf("took         %s, %.1f MB/s\n", mo__duration(s->seconds).text,
           s->seconds > 0 ? (double)(s->facts.text_bytes[0] + s->facts.text_bytes[1]) / s->seconds / 1e6 : 0);
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_tokenizer *tokenizer;
    if (strcmp(c->tokenizer, "bytes") != 0)
        return mo_error(MO_E_USAGE, "--tokenizer: '%.60s' is not known; it is bytes", c->tokenizer);
    MO_TRY(mo_tokenizer_bytes(&tokenizer));
    mo__progress_of progress = {.what = "preparing"};
    mo_prepare_summary summary;
    mo_prepare_options prepare = {.corpus = {.inputs = words->at, .n_inputs = words->count},
                                  .output = c->output,
                                  .tokenizer = tokenizer,
                                  .validation_fraction = c->validation,
                                  .compression = (int)c->compression,
                                  .stop = &mo__stop,
                                  .progress = mo__progress,
                                  .user = &progress};
    mo_status status = mo_prepare(&prepare, &summary);
    mo__live_clear();
    if (status == MO_OK) print_summary(c->output, &summary);
    mo_tokenizer_free(tokenizer);
    return status;
}

const mo__command mo__cmd_prepare = {
    .name = "prepare",
    .summary = "turn text files into a token file",
    .synopsis = "INPUT... -o FILE.h5 [options]",
    .text =
        "Reads text files, each of them one document, and writes one compressed, checksummed token file.\n"
        "Of each text the first part trains and the rest validates: with 0.1, the first floor(0.9 n) of\n"
        "its n bytes train. An existing FILE.h5 is replaced only when the new one is whole.\n",
    .example = "  moira prepare shakespeare.txt -o data/shakespeare.h5\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "INPUT",
    .least = 1,
    .most = -1,
    .stops = true,
    .run = run,
};
