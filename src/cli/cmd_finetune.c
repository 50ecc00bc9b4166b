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
        "Trains as moira train does, from the weights of init.from: a checkpoint of Moira's, say best.h5 of "
        "a\n"
        "run. What CONFIG leaves out of the sections model and balance is as in that model, so that CONFIG\n"
        "needs neither; what would change the shape of its weights is refused. The tokens must be of the\n"
        "model's own tokenizer: moira prepare --tokenizer takes the checkpoint for it.\n"
        "\n"
        "The files of init.from are never written to. --resume needs the same model (known by its digest) "
        "and\n"
        "takes init.from=PATH where it has moved.\n",
    .example = "  moira finetune finetune.yaml init.from=checkpoints/demo/best.h5\n"
               "  moira finetune checkpoints/tuned/config.yaml --resume\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CONFIG",
    .least = 1,
    .most = -1,
    .stops = MO__STOPS_SAVING,
    .run = run,
};
