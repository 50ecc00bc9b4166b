/* cmd_upcycle.c -- moira upcycle: a dense model becomes one with experts. */
#include <math.h>

#include <moira/pretrained.h>
#include <moira/upcycle.h>

#include "commands.h"
#include "describe.h"
#include "inputs.h"
#include "output.h"
#include "session.h"
#include "base/units.h"

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

/* A folder, or a checkpoint without data, was made by no run of ours, and what comes of it says no more. */
static mo_status dump(const mo_run_config *config, const mo_pretrained *source, char **out)
{
    bool trained = *config->data.path || config->data.mixture.count > 0;
    if (trained && !mo_path_is_dir(mo_pretrained_path(source))) return mo_config_dump(config, out);
    return mo_config_dump_model(config->run.name, &config->model, &config->balance, out);
}

static mo_status save(const char *path, const mo_upcycled *u, const mo_pretrained *source,
                      const mo_run_config *config)
{
    char *text = NULL;
    MO_TRY(dump(config, source, &text));
    mo_checkpoint_content content = {.arrays = u->arrays,
                                     .n_arrays = u->n_arrays,
                                     .state = {.best_loss = (double)NAN, .patience_loss = (double)NAN},
                                     .config = text,
                                     .tokenizer = mo_pretrained_tokenizer(source),
                                     .compression = (int)config->checkpoint.compression};
    content.files = mo_pretrained_files(source, &content.n_files);
    mo_status status = mo_checkpoint_save(path, &content);
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

/* All but a norm is frozen, so that what lies in the source's files may stay there. */
static mo_status load(mo_pretrained *source, mo_model **out)
{
    static char all[] = "*", norm[] = "!model.norm.weight";
    mo_text patterns[] = {{all}, {norm}};
    mo_tuning_config frozen = {.freeze = {patterns, 2}};
    mo_model *m = NULL;
    MO_TRY(mo_model_create_tuned(&mo_pretrained_config(source)->model, &frozen, &m));
    mo_status status = mo_pretrained_map(source, m);
    if (status == MO_OK)
        status =
            mo__check_fits((uint64_t)m->elements * sizeof(mo_real), "free some memory for the dense model");
    if (status == MO_OK) status = mo_model_allocate(m, MO_ALLOCATE_INFERENCE);
    if (status == MO_OK) status = mo_pretrained_load(source, m);
    if (status == MO_OK)
        *out = m;
    else
        mo_model_free(m);
    return status;
}

static mo_status convert(const choices *c, const mo_upcycle_options *o, mo_pretrained *source,
                         const mo_run_config *config)
{
    mo_model *dense = NULL, *sparse = NULL;
    mo_upcycled u = {0};
    mo_status status = load(source, &dense);
    if (status == MO_OK) status = mo_model_create(&config->model, &sparse);
    if (status == MO_OK && o->noise > 0)
        status = mo__check_fits((uint64_t)(sparse->elements - dense->elements) * sizeof(mo_real),
                                "fewer --experts need less, and without --noise next to nothing is needed");
    if (status == MO_OK) {
        mo__session_begin_work();
        status = mo_upcycle(dense, o, sparse, &u);
    }
    if (status == MO_OK) status = save(c->output, &u, source, config);
    if (status == MO_OK) print_summary(c, mo_pretrained_path(source), dense, sparse);
    mo_upcycled_free(&u);
    mo_model_free(sparse);
    mo_model_free(dense);
    return status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_upcycle_options o = {c->experts, c->top_k, c->noise, c->seed};
    static char nowhere[] = "";
    mo_pretrained *source;
    MO_TRY(mo__check_output(c->output, NULL));
    MO_TRY(mo_pretrained_open(words->at[0], mo_config_parse, mo_config_free, &source));
    mo_run_config config = *mo_pretrained_config(source); /* its strings stay the source's */
    config.init.from = nowhere;                           /* it does not begin there any more */
    mo_status status = mo_upcycle_config(&o, &config);
    if (status != MO_OK)
        mo_error_context(status, "%s", words->at[0]);
    else
        status = convert(c, &o, source, &config);
    mo_pretrained_close(source);
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
        "DENSE is a checkpoint or a folder in Hugging Face's layout (Mistral, Llama), of which weights of "
        "16\n"
        "bits stay so. Without noise no more memory is needed than the dense model takes; with noise the\n"
        "experts must fit.\n"
        "\n"
        "The config of the result has Mixtral's routing, num_local_experts and num_experts_per_tok as asked\n"
        "for, and balance.mixtral 0.02; its other balancing losses and its capacity are off, and nothing is\n"
        "frozen.\n",
    .example = "  moira upcycle dense.h5 -o moe.h5 --experts 8 --top-k 2\n"
               "  moira train configs/mine.yaml init.from=moe.h5\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "DENSE",
    .least = 1,
    .most = 1,
    .run = run,
};
