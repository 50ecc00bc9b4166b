/* cmd_inspect.c -- moira inspect: finds out by content what it was given. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "inspect.h"
#include "session.h"

static const mo__option options[] = {
    MO__OPTION_FLAG(mo__inspect_choices, memory, "memory",
                    "config, checkpoint, HF_DIR: what its training takes, before it starts"),
    MO__OPTION_FLAG(mo__inspect_choices, parameters, "parameters",
                    "config, checkpoint, HF_DIR: every parameter, layers not folded"),
    MO__OPTION_FLAG(mo__inspect_choices, verify, "verify",
                    "checkpoint, token file, HF_DIR: read and check every byte"),
    MO__OPTION_FLAG(mo__inspect_choices, restamp, "restamp",
                    "checkpoint, token file: check and stamp anew what other tools have changed"),
    MO__OPTION_FLAG(mo__inspect_choices, routing, "routing",
                    "checkpoint, model folder: where its routers send --data"),
    MO__OPTION_TEXT(mo__inspect_choices, data, "data", 0, "FILE.h5", "", "token file for --routing"),
    MO__OPTION_TEXT(mo__inspect_choices, split, "split", 0, "train|validation", "",
                    "which split of it (validation)"),
    MO__OPTION_TEXT(mo__inspect_choices, against, "against", 0, "OTHER.h5", "",
                    "how far its routing is from another checkpoint's"),
    MO__OPTION_ADAPTER(mo__inspect_choices),
    MO__OPTION_BASE(mo__inspect_choices),
    MO__OPTION_INT(mo__inspect_choices, layer, "layer", "N", "-1", 0, 1048576,
                   "this layer alone, with all its experts"),
    MO__OPTION_INT(mo__inspect_choices, sequence_length, "sequence-length", "L", "0", 1, 2147483647,
                   "token file of whole documents: how they fill windows of L"),
    MO__OPTION_TEXT(mo__inspect_choices, dot, "dot", 0, "FILE", "",
                    "config, checkpoint: write the training graph for Graphviz"),
    MO__OPTION_FLAG(mo__inspect_choices, json, "json", "print JSON"),
    {.name = NULL},
};

typedef enum kind { CONFIG, CHECKPOINT, TOKENS, FOLDER } kind;

mo_status mo__refuse_option(bool given, const char *option, const char *wanted, const char *path,
                            const char *found)
{
    if (!given) return MO_OK;
    return mo_error(MO_E_USAGE, "%s is for %s; %s is %s", option, wanted, path, found);
}

/* A file of ours opens with its name, or, cut short, with the first bytes of it. */
static bool opens_with(const char *head, size_t size, const char *magic)
{
    size_t length = strlen(magic);
    return size > 6 && memcmp(head, magic, size < length ? size : length) == 0;
}

static mo_status find_kind(const char *path, kind *out)
{
    char head[512];
    struct stat info;
    if (mo_path_is_dir(path)) {
        char *config = mo_path_join(path, "config.json");
        if (!config) return MO_E_MEMORY;
        *out = FOLDER;
        mo_status status = mo_path_exists(config)
                               ? MO_OK
                               : mo_error(MO_E_FORMAT,
                                          "%s: is a folder without config.json; name one in Hugging "
                                          "Face's layout, or a file in it, such as best.h5",
                                          path);
        mo_free(config);
        return status;
    }
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) { /* a pipe can be read only once */
        *out = CONFIG;
        return MO_OK;
    }
    FILE *file = fopen(path, "re");
    if (!file) return mo_error(errno == ENOENT ? MO_E_NOT_FOUND : MO_E_IO, "%s: %s", path, strerror(errno));
    size_t size = fread(head, 1, sizeof head, file);
    fclose(file);
    if (opens_with(head, size, "MOIRA CHECKPOINT "))
        *out = CHECKPOINT;
    else if (opens_with(head, size, "MOIRA TOKENS "))
        *out = TOKENS;
    else if (size == 0)
        return mo_error(MO_E_FORMAT, "%s: is empty", path);
    else if (memchr(head, '\0', size))
        return mo_error(
            MO_E_FORMAT,
            "%s: is not a checkpoint, a token file or a config (it is no text, and begins neither "
            "\"MOIRA CHECKPOINT\" nor \"MOIRA TOKENS\")",
            path);
    else
        *out = CONFIG;
    return MO_OK;
}

static mo_status check_tokens(const char *path)
{
    mo_tokenfile *file;
    MO_TRY(mo_tokenfile_open(path, &file));
    mo_tokenfile_close(file);
    return MO_OK;
}

static mo_status for_routing(const mo__inspect_choices *c, bool given, const char *option)
{
    return !given || c->routing ? MO_OK : mo_error(MO_E_USAGE, "%s is for --routing", option);
}

static mo_status run(const void *given, const mo__words *words)
{
    const mo__inspect_choices *c = given;
    const char *path = words->at[0];
    kind what;
    if (c->routing && !*c->data) return mo_error(MO_E_USAGE, "--routing needs --data FILE.h5 to route");
    MO_TRY(for_routing(c, *c->data, "--data"));
    MO_TRY(for_routing(c, *c->split, "--split"));
    MO_TRY(for_routing(c, c->layer >= 0, "--layer"));
    MO_TRY(for_routing(c, *c->against, "--against"));
    MO_TRY(for_routing(c, *c->adapter, "--adapter"));
    MO_TRY(for_routing(c, *c->base, "--base"));
    if (c->routing && (c->memory || c->parameters || c->verify || c->restamp || *c->dot))
        return mo_error(
            MO_E_USAGE,
            "--routing is shown alone, without --memory, --parameters, --verify, --restamp or --dot");
    MO_TRY(find_kind(path, &what));
    if (what != CONFIG && words->count > 1)
        return mo_error(MO_E_USAGE, "'%.60s' is one argument too many; only a config takes settings",
                        words->at[1]);
    MO_TRY(mo__refuse_option(c->restamp && (what == CONFIG || what == FOLDER), "--restamp",
                             "a checkpoint or a token file", path,
                             what == CONFIG ? "a config" : "a model folder"));
    if (c->restamp) MO_TRY(mo_restamp(path, what == CHECKPOINT ? mo_checkpoint_verify : check_tokens));
    if (what != TOKENS)
        MO_TRY(mo__refuse_option(c->sequence_length > 0, "--sequence-length", "a token file", path,
                                 what == CONFIG   ? "a config"
                                 : what == FOLDER ? "a model folder"
                                                  : "a checkpoint"));
    if (c->routing && (what == CHECKPOINT || what == FOLDER))
        return *c->against ? mo__inspect_drift(path, c) : mo__inspect_routing(path, c);
    switch (what) {
    case CHECKPOINT:
        return mo__inspect_checkpoint(path, c);
    case TOKENS:
        return mo__inspect_tokens(path, c);
    case FOLDER:
        return mo__inspect_hf(path, c);
    case CONFIG:
        break;
    }
    return mo__inspect_config(words, c);
}

const mo__command mo__cmd_inspect = {
    .name = "inspect",
    .summary = "what is in a config, a checkpoint, a token file or a model folder",
    .synopsis = "CONFIG [section.key=value...] | CHECKPOINT | FILE.h5 | HF_DIR [options]",
    .text =
        "Looks at what it is given and says what is in it. Of a config: the model's parameters, in all and "
        "as\n"
        "one token uses them, and its operations; with --memory every byte that its training will take. Of "
        "a\n"
        "checkpoint: the same, and how far its training was. Of a token file: tokens, documents, domains. Of "
        "a\n"
        "model folder of Hugging Face's layout: its files, types and layout, and the model that they make.\n"
        "\n"
        "--routing sends the validation split of --data through a model and shows, for each layer with\n"
        "experts: how even their load is, and which experts are dead (below a tenth of their fair share); "
        "how\n"
        "sure the router is; how each domain's tokens spread over the experts, and how much an expert says "
        "of\n"
        "the domain, in bits (0: nothing; and corrected for what chance alone gives); which experts a token "
        "tends\n"
        "to visit together, against what their loads alone would give; and of each expert the tokens that it "
        "gets\n"
        "most, and those that are most its own.\n"
        "\n"
        "With --against it shows how far the routers are from another checkpoint's on the same data, say "
        "from\n"
        "before the fine-tuning: how many of a token's experts, and how often its first, are other ones; how "
        "far\n"
        "the routers' probabilities are (KL divergence from the other's to this one's, and Jensen-Shannon, "
        "in\n"
        "nats); what part of the load has moved; and how far the routers' matrices have, in parts of their "
        "norm.\n"
        "\n"
        "A file that was changed with h5py or the like is refused as damaged; --restamp makes it valid "
        "again,\n"
        "if its checksums, and a token file's offsets and ids, are right.\n",
    .example = "  moira inspect configs/demo.yaml --memory train.batch_size=64\n"
               "  moira inspect checkpoints/demo/best.h5 --routing --data data/demo.h5\n"
               "  moira inspect checkpoints/tuned/best.h5 --routing --data data/demo.h5 --against "
               "checkpoints/demo/best.h5\n",
    .options = options,
    .options_size = sizeof(mo__inspect_choices),
    .word = "a config, checkpoint or token file",
    .least = 1,
    .most = -1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
