/* cmd_finetune.c -- moira finetune: a run that starts from a model, or the rest of one. */
#include <moira/config.h>

#include "commands.h"
#include "training.h"

typedef struct choices {
    bool resume, profile;
} choices;

static const mo__option options[] = {
    MO__OPTION_FLAG(choices, resume, "resume", "go on with the run in its folder, to the bit"),
    MO__OPTION_FLAG(choices, profile, "profile", "time every op, and say at the end where the time went"),
    {.name = NULL},
};

static mo_status finetune(const mo_run_config *config, const char *path, const choices *c)
{
    if (!*config->init.from)
        return mo_error(
            MO_E_CONFIG,
            "%s: init.from is not given, so there is no model to start from; name a checkpoint or "
            "a folder in Hugging Face's layout, as in init.from=checkpoints/demo/best.h5, or train "
            "from random weights with moira train",
            path);
    return mo__training(config, &(mo__training_options){.command = mo__cmd_finetune.name,
                                                        .resume = c->resume,
                                                        .profile = c->profile});
}

static mo_status run(const void *given, const mo__words *words)
{
    mo_run_config config;
    MO_TRY(mo_config_load(words->at[0], words->at + 1, words->count - 1, &config));
    mo_status status = finetune(&config, words->at[0], given);
    mo_config_free(&config);
    return status;
}

const mo__command mo__cmd_finetune = {
    .name = "finetune",
    .summary = "train a model further, on data of its own",
    .synopsis = "CONFIG [section.key=value...] [--resume] [--profile]",
    .text =
        "Trains as moira train does, from the weights of init.from: a checkpoint, say best.h5 of a run, or "
        "a\n"
        "folder in Hugging Face's layout. What CONFIG leaves out of the sections model and balance is as in "
        "that\n"
        "model, so that CONFIG needs neither; what would change the shape of its weights is refused. The "
        "tokens\n"
        "must be of the model's own tokenizer: moira prepare --tokenizer takes it.\n"
        "\n"
        "freeze leaves parts as they are, lora adds adapters and freezes the rest; frozen matrices of a "
        "folder\n"
        "stay in its files, so the model may be larger than memory. The table of what trains comes before "
        "the\n"
        "run, the model's own validation loss before the first step, and how far the routers have gone from\n"
        "it (routing drift) at every evaluation.\n"
        "\n"
        "The files of init.from are never written to. Where something is frozen, checkpoints have what "
        "trains\n"
        "and where the rest is; moira export --merge makes one model of the two. --resume needs the same "
        "model\n"
        "(known by its digest) and takes init.from=PATH where it has moved.\n",
    .example = "  moira finetune finetune.yaml init.from=checkpoints/demo/best.h5\n"
               "  moira finetune finetune.yaml init.from=Mixtral-8x7B-v0.1 lora.rank=16\n"
               "  moira finetune checkpoints/tuned/config.yaml --resume\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CONFIG",
    .least = 1,
    .most = -1,
    .stops = MO__STOPS_SAVING,
    .run = run,
};
