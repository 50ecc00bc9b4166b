/* cmd_import.c -- moira import: a model folder of Hugging Face's layout as a checkpoint. */
#include <math.h>
#include <string.h>

#include "commands.h"
#include "describe.h"
#include "hf_view.h"
#include "output.h"
#include "session.h"
#include "terminal.h"
#include "base/units.h"

typedef struct choices {
    const char *output;
    int64_t compression;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "X.h5", NULL, "the checkpoint to write"),
    MO__OPTION_INT(choices, compression, "compression", "LEVEL", "1", 0, 9,
                   "deflate level; 0 stores without compression"),
    {.name = NULL},
};

static mo_status list_arrays(const mo_hf *hf, const mo_model *m, mo_checkpoint_array *arrays)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        arrays[i] = (mo_checkpoint_array){.group = "model", .name = p->name, .ndim = p->ndim};
        memcpy(arrays[i].dim, p->dim, sizeof arrays[i].dim);
        MO_TRY(mo_hf_stored(hf, p, &arrays[i].stored));
        MO_ASSERT(arrays[i].stored);
    }
    return MO_OK;
}

static mo_status save(const mo_hf *hf, const mo_model *m, const char *config, const choices *c)
{
    mo__progress_of progress = {.what = "importing"};
    mo_checkpoint_content content = {.n_arrays = m->n_params,
                                     .config = config,
                                     .tokenizer = mo_hf_tokenizer(hf),
                                     .compression = (int)c->compression,
                                     .stop = &mo__stop,
                                     .progress = mo__progress,
                                     .progress_user = &progress};
    content.state.best_loss = content.state.patience_loss = (double)NAN;
    content.files = mo_hf_files(hf, &content.n_files);
    mo_checkpoint_array *arrays = mo_calloc((size_t)m->n_params, sizeof *arrays);
    if (!arrays) return MO_E_MEMORY;
    content.arrays = arrays;
    mo_status status = list_arrays(hf, m, arrays);
    if (status == MO_OK) status = mo_checkpoint_save(c->output, &content);
    mo__live_clear();
    mo_free(arrays);
    return status;
}

static void print_result(const mo_hf *hf, const mo_model *m, const char *dir, const char *output)
{
    mo_hf_facts facts = mo_hf_describe(hf);
    int n = 0;
    const mo_checkpoint_file *files = mo_hf_files(hf, &n);
    printf("imported     %s, %s in %s\n", dir, mo__bytes((double)facts.bytes).text,
           mo__counted(facts.shards, "file").text);
    printf("checkpoint   %s\n", output);
    mo__describe_model(m);
    if (!mo_hf_tokenizer(hf)) printf("tokenizer    none\n");
    printf("carried      ");
    for (int i = 0; i < n; i++) printf("%s%s", i ? ", " : "", files[i].name);
    putchar('\n');
}

/* They are imported as they are. */
static mo_status warn_nonfinite(const mo_hf *hf)
{
    mo__progress_of progress = {.what = "checking"};
    mo_status status = mo_hf_verify(hf, &mo__stop, mo__progress, &progress);
    mo__live_clear();
    if (status != MO_E_NONFINITE) return status;
    mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    mo_error_clear();
    return MO_OK;
}

static mo_status import(const mo_hf *hf, const char *dir, const choices *c)
{
    mo_model *m = NULL;
    char *config = NULL;
    mo_status status = mo_model_create(mo_hf_config(hf), &m);
    if (status == MO_OK) status = mo__hf_dump_config(hf, dir, &config);
    if (status == MO_OK) status = warn_nonfinite(hf);
    if (status == MO_OK) status = save(hf, m, config, c);
    if (status == MO_OK) print_result(hf, m, dir, c->output);
    mo_free(config);
    mo_model_free(m);
    return status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_hf *hf;
    MO_TRY(mo__check_output(c->output, NULL));
    MO_TRY(mo_hf_open(words->at[0], &hf));
    mo_status status = import(hf, words->at[0], c);
    mo_hf_close(hf);
    return status;
}

const mo__command mo__cmd_import = {
    .name = "import",
    .summary = "make a checkpoint of a Hugging Face model folder",
    .synopsis = "HF_DIR -o X.h5 [--compression LEVEL]",
    .text = "Reads a folder as transformers saves it: config.json, model.safetensors or several files with\n"
            "model.safetensors.index.json, tokenizer.model. Architectures: MixtralForCausalLM, with a tensor "
            "for\n"
            "each expert or with the experts in one, MistralForCausalLM and LlamaForCausalLM. What "
            "config.json asks\n"
            "for and Moira does not have (biases, scaled rotary positions, quantised weights) is refused by "
            "name.\n"
            "\n"
            "Every tensor is accounted for: one that is missing, left over, of another shape than "
            "config.json says\n"
            "or of a type that is not F32, F16 or BF16 ends it. Weights keep their type. The files are "
            "mapped, not\n"
            "loaded, so the model may be larger than memory; X.h5, which must\n"
            "not exist, appears when it is whole. The tokenizer "
            "and the\n"
            "small files of the folder go along, and moira export writes them out again.\n",
    .example = "  moira import Mixtral-8x7B-v0.1 -o mixtral.h5\n"
               "  moira generate mixtral.h5 --prompt 'The Moirai'\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "HF_DIR",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
