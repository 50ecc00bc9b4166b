/* cmd_train.c -- moira train: a run from a config, or the rest of one. */
#include <moira/config.h>

#include "commands.h"
#include "op_table.h"
#include "training.h"

typedef struct choices {
    bool resume, profile;
    int64_t pause_at;
} choices;

static const mo__option options[] = {
    MO__OPTION_FLAG(choices, resume, "resume", "go on with the run in its folder, to the bit"),
    MO__OPTION_FLAG(choices, profile, "profile", "time every op, and say at the end where the time went"),
    MO__OPTION_INT(choices, pause_at, "pause-at", "STEP", "0", 1, 1e15,
                   "save at this step and end; --resume goes on"),
    {.name = NULL},
};

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_run_config config;
    MO_TRY(mo_config_load(words->at[0], words->at + 1, words->count - 1, &config));
    mo_status status = mo__training(&config, &(mo__training_options){.command = mo__cmd_train.name,
                                                                     .resume = c->resume,
                                                                     .profile = c->profile,
                                                                     .pause_at = c->pause_at});
    mo_config_free(&config);
    return status;
}

const mo__command mo__cmd_train = {
    .name = "train",
    .summary = "train a model as a config says",
    .synopsis = "CONFIG [section.key=value...] [--resume] [--profile] [--pause-at STEP]",
    .text =
        "Trains the model that a YAML config describes; settings on the command line come after the file's.\n"
        "The run's folder, checkpoints/NAME, gets the resolved config, metrics.jsonl, checkpoints, best.h5\n"
        "(the lowest validation loss), samples, TensorBoard events, routing.jsonl (what the routers did, at\n"
        "each evaluation) and, of steps whose loss jumps, spikes.jsonl. The memory that a run needs is "
        "known,\n"
        "and checked, before it starts. Ctrl-C saves a checkpoint and ends with status 130; --resume then\n"
        "goes on, and the result has the same bits as a run that was never interrupted. A resumed run may\n"
        "have other run.threads, more train.steps, tokens or seconds, and other eval, checkpoint, sample "
        "and\n"
        "log settings.\n"
        "\n"
        "A run ends at the first of its budgets that is spent: train.steps, train.tokens (a step reads\n"
        "batch_size * gradient_accumulation_steps * sequence_length of them, and the last one is whole) or\n"
        "train.seconds (of training, without evaluations and saving). The schedule follows the share that "
        "is\n"
        "spent. With eval.patience a run also ends, early and well, after so many evaluations in a row\n"
        "without a new best; a larger one goes on with --resume. Seconds hang on the clock: two runs\n"
        "that they end do not have the same bits.\n"
        "\n"
        "--pause-at STEP saves a checkpoint once so many steps are done and ends with status 0. The "
        "schedule\n"
        "stays that of the whole run, and what --resume makes of the rest has the bits of a run that was\n"
        "never paused.\n"
        "\n"
        "optimizer.groups gives parameters rates of their own: match is a glob over their names, or one of\n"
        "  router      *.block_sparse_moe.gate*\n"
        "  embeddings  model.embed_*, lm_head.*\n"
        "  attention   *.self_attn.*\n"
        "  experts     *experts.*\n"
        "  norms       *norm.*\n"
        "The first group that matches counts; moira inspect CONFIG --parameters shows what comes of it. A\n"
        "learning_rate_scale of 0 keeps weights as they are, at the cost of training them; a weight_decay\n"
        "is for all of the group, norms too.\n"
        "\n"
        "In its lines, loss is cross-entropy in nats per token, balance the sum of the weighted balancing\n"
        "losses, max vio how far the busiest expert of the worst layer is above its fair share (0: even),\n"
        "dropped the share of the choices that found their expert full (expert_choice: of the tokens that\n"
        "none took). A router that collapses is warned of, with settings to try: log.collapse_window.\n"
        "\n"
        "--profile prints a table at the end, or when interrupted: each op's time in a step, and what a "
        "step\n"
        "does besides, which add up to the step. It changes no bit of the run and states its own "
        "cost.\n" MO__OP_TABLE_HELP,
    .example = "  moira train configs/demo.yaml model.num_local_experts=16 train.steps=2000\n"
               "  moira train configs/demo.yaml train.steps=4000 --resume\n"
               "  moira train checkpoints/demo/config.yaml --resume\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CONFIG",
    .least = 1,
    .most = -1,
    .stops = MO__STOPS_SAVING,
    .run = run,
};
