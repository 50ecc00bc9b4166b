/* cmd_upcycle.c -- moira upcycle: a dense model becomes one with experts. */
#include <math.h>

#include <moira/upcycle.h>

#include "commands.h"
#include "describe.h"
#include "inputs.h"
#include "session.h"
#include "units.h"

typedef struct choices {
    const char *output;
    int64_t experts, top_k;
    double noise;
    uint64_t seed;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "MOE.h5", NULL, "checkpoint to write"),
    MO__OPTION_INT(choices, experts, "experts", "N", "8", 2, 65536, "experts of each layer"),
    MO__OPTION_INT(choices, top_k, "top-k", "K", "2", 1, 65536, "experts of a token"),
    MO__OPTION_REAL(choices, noise, "noise", "S", "0", 0, 1000,
                    "noise on each expert's matrices, in their own standard deviations"),
    MO__OPTION_SEED(choices, seed, "seed", "S", "1337", "seed of the routers and the noise"),
    {.name = NULL},
};

/* dense->config is the new model's by now. */
static mo_status save(const char *path, const mo_model *m, const mo_trained *dense)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    char *text = NULL;
    mo_status status = mo_config_dump(&dense->config, &text);
    if (status == MO_OK) status = mo_model_arrays(m, false, &arrays, &count);
    mo_checkpoint_content content = {.arrays = arrays,
                                     .n_arrays = count,
                                     .state = {.best_loss = (double)NAN, .patience_loss = (double)NAN},
                                     .config = text,
                                     .tokenizer = dense->tokenizer,
                                     .compression = (int)dense->config.checkpoint.compression};
    if (status == MO_OK) status = mo_checkpoint_save(path, &content);
    mo_free(arrays);
    mo_free(text);
    return status;
}

static void print_summary(const choices *c, const char *source, const mo_model *dense, const mo_model *m)
{
    mo_model_count before = mo_model_counts(dense, 1), after = mo_model_counts(m, 1);
    printf("source       %s: dense, %s parameters\n", source, mo__count(before.total).text);
    mo__describe_model(m);
    printf("growth       %.2f times the parameters, %.2f times those that a token uses\n",
           (double)after.total / (double)before.total, (double)after.active / (double)before.active);
    if (c->noise > 0)
        printf("experts      copies with noise of %g standard deviations\n", c->noise);
    else
        printf("experts      copies; the same function as the dense model's\n");
    printf("wrote        %s\n", c->output);
}

static mo_status convert(const choices *c, const char *source, mo_trained *dense)
{
    mo_upcycle_options o = {c->experts, c->top_k, c->noise, c->seed};
    mo_model *m = NULL;
    mo_status status = mo_upcycle_config(&o, &dense->config);
    if (status != MO_OK) return mo_error_context(status, "%s", source);
    if (dense->config.init.from) dense->config.init.from[0] = '\0'; /* it does not begin there any more */
    MO_TRY(mo_model_create(&dense->config.model, &m));
    status = mo__check_fits((uint64_t)m->elements * sizeof(mo_real), "fewer --experts need less");
    if (status == MO_OK) status = mo_model_allocate(m, MO_ALLOCATE_INFERENCE);
    if (status == MO_OK) {
        mo__session_begin_work();
        mo_upcycle(dense->model, &o, m);
        status = save(c->output, m, dense);
    }
    if (status == MO_OK) print_summary(c, source, dense->model, m);
    mo_model_free(m);
    return status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_trained dense;
    mo_replace probe;
    if (mo_path_exists(c->output))
        return mo_error(MO_E_EXISTS, "%s: is there already; remove it, or name another file", c->output);
    MO_TRY(mo_replace_begin(&probe, c->output)); /* whether it can be written at all */
    mo_replace_abort(&probe);
    MO_TRY(mo__trained_load(words->at[0], &dense));
    mo_status status = convert(c, words->at[0], &dense);
    mo__trained_close(&dense);
    return status;
}

const mo__command mo__cmd_upcycle = {
    .name = "upcycle",
    .summary = "make a dense model one with experts, which begins as the same function",
    .synopsis = "DENSE -o MOE.h5 [options]",
    .text =
        "Copies the feed-forward block of each layer into every expert of that layer and gives each layer a\n"
        "new router (sparse upcycling: Komatsuzaki et al. 2022, arXiv:2212.05055). All else stays. The\n"
        "weights of a token's experts are scaled to sum to 1, so whatever the routers say, the model "
        "computes\n"
        "what the dense one did; training goes on from there, with init.from or moira finetune.\n"
        "\n"
        "Copies that are equal grow apart only by the tokens that they get. --noise S adds normal noise of "
        "S\n"
        "times a matrix's own standard deviation, drawn for each expert by itself, so that they differ from\n"
        "the start (random noise upcycling in Nakamura et al. 2025, arXiv:2502.19261); the function is then\n"
        "near the dense one's, the nearer the smaller S.\n"
        "\n"
        "The config of the result has Mixtral's routing, num_local_experts and num_experts_per_tok as asked\n"
        "for, and balance.mixtral 0.02; its other balancing losses and its capacity are off.\n",
    .example = "  moira upcycle dense.h5 -o moe.h5 --experts 8 --top-k 2\n"
               "  moira train configs/mine.yaml init.from=moe.h5\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "DENSE",
    .least = 1,
    .most = 1,
    .run = run,
};
