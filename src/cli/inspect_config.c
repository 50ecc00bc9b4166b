/* inspect_config.c -- what a config asks for, known before anything is allocated. */
#include <string.h>
#include <strings.h>

#include <moira/pretrained.h>

#include "describe.h"
#include "inputs.h"
#include "inspect.h"
#include "json_out.h"
#include "output.h"
#include "source_view.h"
#include "base/units.h"

mo_status mo__write_dot(const mo_run_config *config, const mo_model *model, const char *path)
{
    mo_model_graph_options options = mo_run_graph_options(config, MO_GRAPH_TRAIN);
    mo_model_graph *t;
    char *text = NULL;
    MO_TRY(mo__check_output(path, &mo__output_dot));
    MO_TRY(mo_model_graph_create(model, &options, &t));
    mo_status status = mo_graph_dot(t->graph, &text);
    if (status == MO_OK) status = mo_write_file(path, text, strlen(text));
    mo_free(text);
    mo_model_graph_free(t);
    return status;
}

/* "training     2,000 steps of 32 sequences: 8,192,000 tokens" */
static void print_training(const mo_run_config *c)
{
    int64_t steps = mo_run_steps(c), step_tokens = mo_run_step_tokens(c), tokens;
    long long sequences = c->train.batch_size * c->train.gradient_accumulation_steps;
    if (__builtin_mul_overflow(steps, step_tokens, &tokens)) tokens = INT64_MAX;
    printf("training     ");
    if (c->train.seconds > 0)
        printf("%s%s", mo__duration(c->train.seconds).text, steps > 0 ? ", or at most " : ", ");
    if (steps > 0)
        printf("%s of %s: %s\n", mo__counted(steps, "step").text, mo__counted(sequences, "sequence").text,
               mo__counted(tokens, "token").text);
    else
        printf("in steps of %s: %s\n", mo__counted(sequences, "sequence").text,
               mo__counted(step_tokens, "token").text);
}

static mo_status print_text(const char *path, const mo_run_config *config, const mo_run_data *data,
                            const mo_model *m, const mo_run_memory *memory, const mo__inspect_choices *c)
{
    int64_t length = config->train.sequence_length;
    double flops = mo_model_counts(m, length).flops_per_token;
    printf("config       %s, run %s\n", path, config->run.name);
    if (data->count > 0) MO_TRY(mo__describe_data(config, data));
    mo__describe_model(m);
    bool windowed = m->config.sliding_window > 0 && m->config.sliding_window < length;
    printf("operations   %sFLOP a token in training, at sequence length %lld: 6 N %s+ 6 L T d%s\n",
           mo__short(flops).text, (long long)length, mo_model_tuned(m) ? "(4 N of what is frozen) " : "",
           windowed ? ", with T (2 - T / length) for a sliding window T" : "");
    print_training(config);
    putchar('\n');
    if (mo_model_tuned(m) || *config->init.from) {
        MO_TRY(mo__describe_tuning(m));
        putchar('\n');
    }
    MO_TRY(mo__describe_parameters(m, &config->optimizer, !c->parameters));
    if (!c->memory) return MO_OK;
    putchar('\n');
    return mo__describe_memory(memory);
}

/* null for a budget that is not given. */
static json_t *training_json(const mo_run_config *c)
{
    json_t *training = json_object();
    int64_t steps = mo_run_steps(c);
    mo__json_set(training, "steps", steps > 0 ? mo__json_integer(steps) : json_null());
    mo__json_set(training, "seconds", c->train.seconds > 0 ? mo__json_real(c->train.seconds) : json_null());
    mo__json_set(training, "tokens_per_step", mo__json_integer(mo_run_step_tokens(c)));
    return training;
}

static mo_status print_json(const char *path, const mo_run_config *config, const mo_run_data *data,
                            const mo_model *m, const mo_run_memory *memory, const mo__inspect_choices *c)
{
    mo_model_count n = mo_model_counts(m, config->train.sequence_length);
    json_t *root = json_object(), *parameters = json_object();
    mo__json_set(root, "kind", json_string("config"));
    mo__json_set(root, "path", mo__json_text(path));
    mo__json_set(root, "name", mo__json_text(config->run.name));
    mo__json_set(parameters, "total", mo__json_integer(n.total));
    mo__json_set(parameters, "active", mo__json_integer(n.active));
    mo__json_set(parameters, "trainable", mo__json_integer(n.trainable));
    mo__json_set(parameters, "embedding", mo__json_integer(n.embedding));
    mo__json_set(parameters, "parts", mo__tuning_json(m));
    if (c->parameters) mo__json_set(parameters, "list", mo__parameters_json(m, &config->optimizer));
    mo__json_set(root, "parameters", parameters);
    mo__json_set(root, "data", mo__data_json(config, data));
    mo__json_set(root, "flops_per_token", mo__json_real(n.flops_per_token));
    mo__json_set(root, "training", training_json(config));
    mo__json_set(root, "model", mo__model_json(&m->config));
    mo__json_set(root, "memory", mo__memory_json(memory));
    return mo__json_print(root);
}

/* What stays in the files of the base in a run. */
static mo_status map_base(const mo_run_config *config, mo_model *model, mo_pretrained **base)
{
    if (!*config->init.from) return MO_OK;
    mo_status status = mo_pretrained_open(config->init.from, NULL, NULL, base);
    if (status == MO_OK) status = mo_pretrained_map(*base, model);
    return status == MO_OK ? MO_OK : mo_error_context(status, "init.from");
}

static mo_status inspect(const char *path, const mo_run_config *config, const mo_run_data *data,
                         const mo__inspect_choices *c)
{
    mo_run_memory memory;
    mo_model *model;
    mo_pretrained *base = NULL;
    MO_TRY(mo_run_memory_estimate(config, mo_run_data_bytes(data, config->train.sequence_length), &memory));
    MO_TRY(mo_model_create_tuned(&config->model, &config->tuning, &model));
    mo_status status = mo_model_group(model, &config->optimizer);
    if (status == MO_OK) status = map_base(config, model, &base);
    if (status == MO_OK && *c->dot) status = mo__write_dot(config, model, c->dot);
    if (status == MO_OK)
        status = c->json ? print_json(path, config, data, model, &memory, c)
                         : print_text(path, config, data, model, &memory, c);
    mo_model_free(model);
    mo_pretrained_close(base);
    return status;
}

static bool is_yaml(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (!strcasecmp(dot, ".yaml") || !strcasecmp(dot, ".yml"));
}

/* Whatever is neither of ours is read as a config: of a text the parser's words alone tell nothing. */
static mo_status refuse_other(const char *path)
{
    char *problem = mo_strdup(mo_last_error());
    mo_status status = !problem ? MO_E_MEMORY
                                : mo_error(MO_E_CONFIG,
                                           "%s: is no config, checkpoint or token file (moira prepare makes "
                                           "token files of texts and JSONL); as a config: %s",
                                           path, problem);
    mo_free(problem);
    return status;
}

mo_status mo__inspect_config(const mo__words *words, const mo__inspect_choices *c)
{
    const char *path = words->at[0];
    mo_run_config config;
    MO_TRY(mo__refuse_option(c->verify, "--verify", "a checkpoint or a token file", path, "a config"));
    MO_TRY(mo__refuse_option(c->routing, "--routing", "a checkpoint", path, "a config"));
    mo_status loaded = mo_config_load(path, words->at + 1, words->count - 1, &config);
    if (loaded == MO_E_CONFIG && !is_yaml(path)) return refuse_other(path);
    MO_TRY(loaded);
    mo_run_data data;
    mo_status status = mo__config_data(&config, &data);
    if (status == MO_OK) {
        status = inspect(path, &config, &data, c);
        mo_run_data_close(&data);
    }
    mo_config_free(&config);
    return status;
}
