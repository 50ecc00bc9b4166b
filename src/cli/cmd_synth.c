/* cmd_synth.c -- moira synth: a synthetic corpus whose entropy is known. */
#include <math.h>

#include <moira/data.h>

#include "commands.h"
#include "output.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "base/units.h"

typedef struct choices {
    const char *output, *texts;
    int64_t domains, tokens, compression;
    double validation;
    uint64_t seed;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "FILE.h5", NULL, "token file to write"),
    MO__OPTION_TEXT(choices, texts, "jsonl", 0, "FILE.jsonl", "",
                    "write the documents that train there too, as JSONL"),
    MO__OPTION_INT(choices, domains, "domains", "N", "0", 1, MO_SYNTH_DOMAINS,
                   "how many of the domains (all)"),
    MO__OPTION_INT(choices, tokens, "tokens", "N", "4000000", 1000, 1e12, "bytes of text, over both splits"),
    MO__OPTION_SEED(choices, seed, "seed", "S", "1337", "same seed, same corpus"),
    MO__OPTION_REAL(choices, validation, "validation", "SHARE", "0.1", 0, 0.99, "share that validates"),
    MO__OPTION_INT(choices, compression, "compression", "N", "1", 0, 9, "deflate level; 0 stores as it is"),
    {.name = NULL},
};

static mo_status print_summary(const char *output, const mo_corpus_summary *s)
{
    mo__table t = mo__table_begin("<domain|>train tokens|>validation tokens|>entropy floor, nats per byte");
    for (int d = 0; d < s->n_domains; d++) {
        mo__cell(&t, "%s", s->domain_names[d]);
        for (int split = 0; split < 2; split++)
            mo__cell(&t, "%s", mo__count(s->domain_tokens[split][d]).text);
        int split = s->domain_tokens[MO_SPLIT_VALIDATION][d] > 0 ? MO_SPLIT_VALIDATION : MO_SPLIT_TRAIN;
        mo__cell(&t, "%s", mo__fixed(s->entropy_nats[split][d], 4).text);
    }
    mo__cell(&t, "all");
    for (int split = 0; split < 2; split++) mo__cell(&t, "%s", mo__count(s->tokens[split]).text);
    mo__cell(&t, "%s", "");
    MO_TRY(mo__table_print(&t));
    printf("\nwrote        %s\ndocuments    %s train, %s validation\ntook         %s, %.1f MB/s\n", output,
           mo__count(s->documents[0]).text, mo__count(s->documents[1]).text, mo__duration(s->seconds).text,
           s->seconds > 0 ? (double)s->bytes / s->seconds / 1e6 : 0);
    return MO_OK;
}

static mo_status run(const void *given, const mo__words *words)
{
    (void)words;
    const choices *c = given;
    mo__progress_of progress = {.what = "writing"};
    mo_corpus_summary summary;
    mo_synth_options synth = {.output = c->output,
                              .texts = c->texts[0] ? c->texts : NULL,
                              .domains = c->domains > 0 ? (int)c->domains : MO_SYNTH_DOMAINS,
                              .tokens = c->tokens,
                              .validation_fraction = c->validation,
                              .seed = c->seed,
                              .compression = (int)c->compression,
                              .stop = &mo__stop,
                              .progress = mo__progress,
                              .user = &progress};
    MO_TRY(mo__check_output(c->output, &mo__output_tokens));
    if (synth.texts) MO_TRY(mo__check_output(synth.texts, &mo__output_texts));
    MO_TRY(mo_synth(&synth, &summary));
    mo__live_clear();
    return print_summary(c->output, &summary);
}

const mo__command mo__cmd_synth = {
    .name = "synth",
    .summary = "make a synthetic corpus of labelled domains, its entropy known",
    .synopsis = "-o FILE.h5 [options]",
    .text =
        "Writes a token file of short documents from several very different domains, each labelled. Every\n"
        "random choice of the generators has a known entropy, so the least loss that any model can reach\n"
        "is known too: the entropy floor, to be compared with `moira eval --by-domain`. Experts that\n"
        "specialise can be seen with `moira inspect --routing`.\n"
        "\n"
        "An existing FILE.h5 is replaced if it is a token file, and only by a whole one.\n"
        "\n"
        "--jsonl writes the training texts as well, for moira prepare: with another tokenizer, or beside\n"
        "other texts.\n",
    .example = "  moira synth -o data/demo.h5 --domains 4 --tokens 2000000\n",
    .options = options,
    .options_size = sizeof(choices),
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
