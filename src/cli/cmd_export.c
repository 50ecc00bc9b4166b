/* cmd_export.c -- moira export: a checkpoint as a folder that transformers reads. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <moira/config.h>
#include <moira/hf.h>
#include <moira/peft.h>
#include <moira/pretrained.h>

#include "commands.h"
#include "inputs.h"
#include "session.h"
#include "terminal.h"
#include "base/units.h"

typedef struct choices {
    const char *output, *dtype, *layout, *base, *adapter;
    double shard_size;
    bool merge;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "HF_DIR", NULL,
                    "the folder to make: a new one, or empty"),
    MO__OPTION_FLAG(choices, merge, "merge", "adapters: write the whole model, its matrices with them added"),
    MO__OPTION_ADAPTER(choices),
    MO__OPTION_BASE(choices),
    MO__OPTION_TEXT(choices, dtype, "dtype", 0, "auto|f32|bf16|f16", "auto",
                    "type of the weights; auto: each as it is in the checkpoint, or in its base"),
    MO__OPTION_TEXT(choices, layout, "layout", 0, "per-expert|fused", "per-expert",
                    "a tensor for each expert, or all in one (transformers 5)"),
    MO__OPTION_REAL(choices, shard_size, "shard-size", "GB", "5", 1e-6, 1e6, "most of a file, in 10^9 bytes"),
    {.name = NULL},
};

/* What is exported: a checkpoint of all of a model, or one opened upon its base. */
typedef struct source {
    const char *path;
    mo_checkpoint *file; /* NULL: trained */
    mo_run_config config;
    mo_trained trained;
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

static mo_status merged_values(const mo_param *p, int64_t part, mo_real *out, void *user)
{
    const mo_model *m = ((const source *)user)->trained.model;
    return mo_model_merged(m, mo_model_find(m, p->name), part, out);
}

/* ---- what was asked for ---- */

static mo_status parse_choice(const char *option, const char *word, const char *const *words, int *out)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = i;
            return MO_OK;
        }
    char all[100] = "";
    for (int i = 0; words[i]; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", words[i]);
    return mo_error(MO_E_USAGE, "--%s: '%.60s' is none; there are %s", option, word, all);
}

/* As the matrix is that an adapter was trained upon. */
static mo_status dtype_of(const source *s, const mo_param *p, mo_dtype *out)
{
    if (s->file) return mo_checkpoint_dtype(s->file, "model", p->name, out);
    if (s->trained.base) return mo_pretrained_dtype(s->trained.base, p, out);
    *out = MO_F32;
    return MO_OK;
}

static mo_status choose_dtypes(const source *s, const char *word, mo_dtype *out)
{
    static const char *const words[] = {"auto", "f32", "bf16", "f16", NULL};
    static const mo_dtype types[] = {MO_REAL, MO_F32, MO_BF16, MO_F16};
    int choice = 0;
    MO_TRY(parse_choice("dtype", word, words, &choice));
    for (int i = 0; i < s->model->n_params; i++) {
        out[i] = types[choice];
        if (choice == 0) MO_TRY(dtype_of(s, &s->model->params[i], &out[i]));
        if (out[i] == MO_F64) out[i] = MO_F32;
    }
    return MO_OK;
}

static mo_status parse_layout(const choices *c, bool *fused)
{
    static const char *const layouts[] = {"per-expert", "fused", NULL};
    int layout = 0;
    MO_TRY(parse_choice("layout", c->layout, layouts, &layout));
    *fused = layout == 1;
    return MO_OK;
}

static void print_types(const source *s, const mo_dtype *dtypes)
{
    static const mo_dtype types[] = {MO_F32, MO_F16, MO_BF16};
    const char *separator = "weights      ";
    for (int k = 0; k < 3; k++) {
        int64_t count = 0;
        for (int i = 0; i < s->model->n_params; i++)
            count += dtypes[i] == types[k] ? s->model->params[i].count : 0;
        if (count > 0) printf("%s%s in %s", separator, mo__count(count).text, mo_dtype_name(types[k]));
        if (count > 0) separator = ", ";
    }
    putchar('\n');
}

static void print_result(const source *s, const mo_hf_export_options *o, const choices *c)
{
    double bytes = 0;
    for (int i = 0; i < s->model->n_params; i++)
        bytes += (double)s->model->params[i].count * (double)mo_dtype_size(o->dtypes[i]);
    printf("exported     %s to %s, %s of weights, %s%s\n", s->path, c->output, mo__bytes(bytes).text,
           c->layout,
           !c->merge                        ? ""
           : s->config.tuning.lora.rank > 0 ? ", adapters merged"
                                            : ", with what was trained in place of the base's");
    print_types(s, o->dtypes);
}

static mo_status find_files(const source *s, mo_hf_export_options *o)
{
    if (s->file) return mo_checkpoint_files(s->file, &o->files, &o->n_files);
    if (s->trained.base) o->files = mo_pretrained_files(s->trained.base, &o->n_files);
    return MO_OK;
}

static mo_status export_model(source *s, const choices *c)
{
    mo__progress_of progress = {.what = "exporting"};
    mo_hf_export_options o = {.model = s->model,
                              .router_aux_loss_coef = s->config.balance.mixtral,
                              .max_shard_bytes = (int64_t)(c->shard_size * 1e9),
                              .tokenizer = s->file ? mo_checkpoint_tokenizer(s->file) : s->trained.tokenizer,
                              .values = s->file ? stored_values : merged_values,
                              .user = s,
                              .stop = &mo__stop,
                              .progress = mo__progress,
                              .progress_user = &progress};
    MO_TRY(parse_layout(c, &o.fused));
    mo_dtype *dtypes = mo_malloc((size_t)s->model->n_params * sizeof *dtypes);
    if (!dtypes) return MO_E_MEMORY;
    o.dtypes = dtypes;
    mo_status status = choose_dtypes(s, c->dtype, dtypes);
    if (status == MO_OK) status = find_files(s, &o);
    if (status == MO_OK) status = mo_hf_export(c->output, &o);
    mo__live_clear();
    if (status == MO_OK) print_result(s, &o, c);
    mo_free(dtypes);
    return status;
}

static mo_status export_adapters(const source *s, const choices *c)
{
    const mo_trained *t = &s->trained;
    const char *path = t->base ? mo_pretrained_path(t->base) : s->path;
    char real[PATH_MAX]; /* PEFT looks from where it runs */
    mo_peft_export_options o = {
        .model = t->model, .tuning = &t->config.tuning, .base = realpath(path, real) ? real : path};
    MO_TRY(parse_layout(c, &o.fused));
    if (strcmp(c->dtype, "auto") != 0 && strcmp(c->dtype, "f32") != 0)
        return mo_error(MO_E_USAGE, "--dtype %s: adapters are written as f32; --merge writes a whole model",
                        c->dtype);
    mo_status status = mo_peft_export(c->output, &o);
    if (status != MO_OK) return mo_error_context(status, "%s", s->path);
    printf("exported     the adapters of %s to %s, for PEFT, %s\n", s->path, c->output, c->layout);
    return MO_OK;
}

/* ---- what there is ---- */

/* What cannot be read from the checkpoint alone: upon a base, or with adapters of its own. */
static mo_status export_trained(source *s, const choices *c)
{
    mo_trained *t = &s->trained;
    MO_TRY(mo__trained_load_upon(s->path, c->base, c->adapter, t));
    mo_status status = MO_OK;
    if (t->base || t->config.tuning.lora.rank > 0) {
        s->config = t->config;
        if (c->merge) status = mo_model_create(&t->model->config, &s->model);
        if (status == MO_OK) status = c->merge ? export_model(s, c) : export_adapters(s, c);
        s->config = (mo_run_config){0};
    }
    mo__trained_close(t);
    return status;
}

static mo_status export_whole(source *s, const choices *c)
{
    if (c->merge)
        return mo_error(MO_E_USAGE, "--merge: %s has no adapters, and is a whole model already", s->path);
    if (*c->base) return mo_error(MO_E_USAGE, "--base: %s holds all of its model", s->path);
    const mo_tokenizer *tokenizer = mo_checkpoint_tokenizer(s->file);
    if (s->config.model.vocab_size == 0 && tokenizer)
        s->config.model.vocab_size = mo_tokenizer_vocab_size(tokenizer);
    MO_TRY(mo_model_create(&s->config.model, &s->model));
    return export_model(s, c);
}

static mo_status look(source *s, bool *whole)
{
    MO_TRY(mo_checkpoint_open(s->path, &s->file));
    MO_TRY(mo_config_parse(mo_checkpoint_config(s->file), s->path, &s->config));
    *whole = !mo_checkpoint_base_path(s->file) && s->config.tuning.lora.rank == 0;
    return MO_OK;
}

static void forget(source *s)
{
    mo_model_free(s->model);
    mo_config_free(&s->config);
    mo_checkpoint_close(s->file);
    s->model = NULL;
    s->file = NULL;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    source s = {.path = words->at[0]};
    bool whole = false;
    if (mo_path_is_dir(s.path) && !*c->adapter)
        return mo_error(MO_E_USAGE, "%s: is a folder already; with --adapter it is exported with adapters",
                        s.path);
    mo_status status = *c->adapter ? MO_OK : look(&s, &whole);
    if (status == MO_OK && whole) status = export_whole(&s, c);
    forget(&s);
    if (status == MO_OK && !whole) {
        MO_TRY(mo_blas_init());
        status = export_trained(&s, c);
        mo_model_free(s.model);
    }
    return status;
}

const mo__command mo__cmd_export = {
    .name = "export",
    .summary = "make a Hugging Face model folder of a checkpoint",
    .synopsis = "X.h5 -o HF_DIR [--merge] [options]",
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
        "what only training minds, capacity for one, is told of. The folder appears when it is whole.\n"
        "\n"
        "A checkpoint of adapters becomes a folder that PEFT reads (adapter_config.json and\n"
        "adapter_model.safetensors), in the layout of its experts that --layout names: PEFT makes the one "
        "that it\n"
        "needs of per-expert, if w1 and w3 both have adapters. With --merge, and where more than adapters "
        "was\n"
        "trained, it becomes the whole model: W + alpha/rank B A, rounded to the type of the base's matrix.\n"
        "A run in which all of a model trains has its checkpoints in F32, whatever its base is in: --dtype\n"
        "bf16 rounds them.\n"
        "--adapter names adapters, ours or PEFT's, upon the model that is given first.\n",
    .example = "  moira export mixtral.h5 -o Mixtral-again\n"
               "  moira export checkpoints/demo/best.h5 -o demo-hf --dtype bf16\n"
               "  moira export checkpoints/tuned/best.h5 -o tuned-hf --merge\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "X.h5",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
