/* cmd_export.c -- moira export: a checkpoint as a folder that transformers reads. */
#include <string.h>

#include <moira/config.h>
#include <moira/hf.h>

#include "commands.h"
#include "session.h"
#include "terminal.h"
#include "units.h"

typedef struct choices {
    const char *output, *dtype, *layout;
    double shard_size;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "HF_DIR", NULL,
                    "the folder to make: a new one, or empty"),
    MO__OPTION_TEXT(choices, dtype, "dtype", 0, "auto|f32|bf16|f16", "auto",
                    "type of the weights; auto: each as it is in the checkpoint"),
    MO__OPTION_TEXT(choices, layout, "layout", 0, "per-expert|fused", "per-expert",
                    "a tensor for each expert, or all in one (transformers 5)"),
    MO__OPTION_REAL(choices, shard_size, "shard-size", "GB", "5", 1e-6, 1e6, "most of a file, in 10^9 bytes"),
    {.name = NULL},
};

/* A checkpoint, open. */
typedef struct source {
    mo_checkpoint *file;
    mo_run_config config;
    mo_model *model; /* names and shapes */
} source;

static mo_checkpoint_array array_of(const mo_param *p)
{
    mo_checkpoint_array array = {.group = "model", .name = p->name, .ndim = p->ndim};
    memcpy(array.dim, p->dim, sizeof array.dim);
    return array;
}

static mo_status stored_values(const mo_param *p, int64_t part, mo_real *out, void *user)
{
    const source *s = user;
    mo_checkpoint_array array = array_of(p);
    return mo_checkpoint_read_part(s->file, &array, part, out);
}

/* ---- what was asked for ---- */

static mo_status parse_choice(const char *option, const char *word, const char *const *words, int *out)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = i;
            return MO_OK;
        }
    return mo_error(MO_E_USAGE, "--%s: '%.60s' is none of those that there are; moira help export has them",
                    option, word);
}

static mo_status choose_dtypes(const source *s, const char *word, mo_dtype *out)
{
    static const char *const words[] = {"auto", "f32", "bf16", "f16", NULL};
    static const mo_dtype types[] = {MO_REAL, MO_F32, MO_BF16, MO_F16};
    int choice = 0;
    MO_TRY(parse_choice("dtype", word, words, &choice));
    for (int i = 0; i < s->model->n_params; i++) {
        out[i] = types[choice];
        if (choice == 0) MO_TRY(mo_checkpoint_dtype(s->file, "model", s->model->params[i].name, &out[i]));
        if (out[i] == MO_F64) out[i] = MO_F32;
    }
    return MO_OK;
}

static void print_result(const source *s, const char *path, const mo_hf_export_options *o, const choices *c)
{
    double bytes = 0;
    for (int i = 0; i < s->model->n_params; i++)
        bytes += (double)s->model->params[i].count * (double)mo_dtype_size(o->dtypes[i]);
    printf("exported     %s to %s, %s of weights, %s\n", path, c->output, mo__bytes(bytes).text, c->layout);
}

static mo_status export(source *s, const char *path, const choices *c)
{
    static const char *const layouts[] = {"per-expert", "fused", NULL};
    mo__progress_of progress = {.what = "exporting"};
    int layout = 0;
    mo_hf_export_options o = {.model = s->model,
                              .router_aux_loss_coef = s->config.balance.mixtral,
                              .max_shard_bytes = (int64_t)(c->shard_size * 1e9),
                              .tokenizer = mo_checkpoint_tokenizer(s->file),
                              .values = stored_values,
                              .user = s,
                              .stop = &mo__stop,
                              .progress = mo__progress,
                              .progress_user = &progress};
    MO_TRY(parse_choice("layout", c->layout, layouts, &layout));
    o.fused = layout == 1;
    mo_dtype *dtypes = mo_malloc((size_t)s->model->n_params * sizeof *dtypes);
    if (!dtypes) return MO_E_MEMORY;
    o.dtypes = dtypes;
    mo_status status = choose_dtypes(s, c->dtype, dtypes);
    if (status == MO_OK) status = mo_checkpoint_files(s->file, &o.files, &o.n_files);
    if (status == MO_OK) status = mo_hf_export(c->output, &o);
    mo__live_clear();
    if (status == MO_OK) print_result(s, path, &o, c);
    mo_free(dtypes);
    return status;
}

static mo_status open_source(const char *path, source *s)
{
    MO_TRY(mo_config_parse(mo_checkpoint_config(s->file), path, &s->config));
    const mo_tokenizer *tokenizer = mo_checkpoint_tokenizer(s->file);
    if (s->config.model.vocab_size == 0 && tokenizer)
        s->config.model.vocab_size = mo_tokenizer_vocab_size(tokenizer);
    if (mo_checkpoint_base_path(s->file))
        return mo_error(MO_E_UNSUPPORTED, "%s: has only what was trained upon %s", path,
                        mo_checkpoint_base_path(s->file));
    return mo_model_create(&s->config.model, &s->model);
}

static mo_status run(const void *given, const mo__words *words)
{
    source s = {.file = NULL};
    MO_TRY(mo_checkpoint_open(words->at[0], &s.file));
    mo_status status = open_source(words->at[0], &s);
    if (status == MO_OK) status = export(&s, words->at[0], given);
    mo_model_free(s.model);
    mo_config_free(&s.config);
    mo_checkpoint_close(s.file);
    return status;
}

const mo__command mo__cmd_export = {
    .name = "export",
    .summary = "make a Hugging Face model folder of a checkpoint",
    .synopsis = "X.h5 -o HF_DIR [options]",
    .text =
        "Writes a folder that transformers, vLLM and llama.cpp's converter read: config.json, safetensors "
        "(with\n"
        "an index where there are several files), the tokenizer. Where the checkpoint was made of such a "
        "folder,\n"
        "its config.json and small files are written again, changed only in what the model has otherwise.\n"
        "\n"
        "A model with experts becomes a MixtralForCausalLM, a dense one a MistralForCausalLM if it has a "
        "sliding\n"
        "window, else a LlamaForCausalLM. Settings that these cannot say (routers other than topk with "
        "weights\n"
        "that sum to 1, shared experts, dense layers between, other norms and activations) are refused by "
        "name;\n"
        "what only training minds, capacity for one, is told of. The folder appears when it is whole.\n",
    .example = "  moira export mixtral.h5 -o Mixtral-again\n"
               "  moira export checkpoints/demo/best.h5 -o demo-hf --dtype bf16\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "X.h5",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
