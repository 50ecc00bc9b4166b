/* inspect_hf.c -- a model folder of Hugging Face's layout: what lies in its files, and the model that they
 * make. */
#include "describe.h"
#include "hf_view.h"
#include "inspect.h"
#include "json_out.h"
#include "session.h"
#include "terminal.h"
#include "base/units.h"

typedef struct subject {
    const char *path;
    mo_hf *hf;
    mo_run_config config;
    mo_model *model;
} subject;

static const mo_dtype types[] = {MO_F32, MO_F16, MO_BF16};

static void print_files(const subject *s)
{
    mo_hf_facts f = mo_hf_describe(s->hf);
    const mo_tokenizer *tokenizer = mo_hf_tokenizer(s->hf);
    const char *layout = f.fused ? "the experts of a layer in one tensor" : "a tensor for each expert",
               *and = "";
    int n = 0;
    const mo_checkpoint_file *files = mo_hf_files(s->hf, &n);
    printf("folder       %s, %s%s%s\n", s->path, f.architecture,
           s->model->config.num_local_experts ? ", " : "", s->model->config.num_local_experts ? layout : "");
    printf("weights      %s, %s in %s: ", mo__bytes((double)f.bytes).text,
           mo__counted(f.tensors, "tensor").text, mo__counted(f.shards, "file").text);
    for (int k = 0; k < 3; k++)
        if (f.elements[k] > 0) {
            printf("%s%s %s", and, mo__count(f.elements[k]).text, mo_dtype_name(types[k]));
            and = ", ";
        }
    printf("\nfiles        ");
    for (int i = 0; i < n; i++) printf("%s%s", i ? ", " : "", files[i].name);
    printf("\ndigest       %s\n", mo_hf_digest(s->hf));
    if (tokenizer)
        printf("tokenizer    %s, %s ids\n", mo_tokenizer_kind(tokenizer),
               mo__count(mo_tokenizer_vocab_size(tokenizer)).text);
    else
        printf("tokenizer    none\n");
}

static mo_status print_text(const subject *s, const mo_run_memory *memory, const mo__inspect_choices *c)
{
    print_files(s);
    mo__describe_model(s->model);
    if (s->config.balance.mixtral > 0) printf("balance      mixtral %g\n", s->config.balance.mixtral);
    if (c->verify) printf("verified     every header, and that every weight is a finite number\n");
    putchar('\n');
    MO_TRY(mo__describe_parameters(s->model, &s->config.optimizer, !c->parameters));
    if (!c->memory) return MO_OK;
    printf("\nTraining all of it, one sequence of %lld tokens at once:\n\n",
           (long long)s->config.train.sequence_length);
    return mo__describe_memory(memory);
}

static json_t *dtypes_json(const mo_hf_facts *f)
{
    json_t *all = json_object();
    for (int k = 0; k < 3; k++)
        if (f->elements[k] > 0) mo__json_set(all, mo_dtype_name(types[k]), mo__json_integer(f->elements[k]));
    return all;
}

static mo_status print_json(const subject *s, const mo_run_memory *memory, const mo__inspect_choices *c)
{
    mo_hf_facts f = mo_hf_describe(s->hf);
    mo_model_count n = mo_model_counts(s->model, s->config.train.sequence_length);
    json_t *root = json_object(), *parameters = json_object();
    mo__json_set(root, "kind", json_string("folder"));
    mo__json_set(root, "path", mo__json_text(s->path));
    mo__json_set(root, "architecture", json_string(f.architecture));
    mo__json_set(root, "layout", json_string(f.fused ? "fused" : "per-expert"));
    mo__json_set(root, "shards", mo__json_integer(f.shards));
    mo__json_set(root, "tensors", mo__json_integer(f.tensors));
    mo__json_set(root, "bytes", mo__json_integer(f.bytes));
    mo__json_set(root, "dtypes", dtypes_json(&f));
    mo__json_set(root, "digest", json_string(mo_hf_digest(s->hf)));
    mo__json_set(root, "tokenizer", mo__tokenizer_json(mo_hf_tokenizer(s->hf)));
    mo__json_set(root, "router_aux_loss_coef", mo__json_real(mo_hf_router_aux_loss_coef(s->hf)));
    mo__json_set(parameters, "total", mo__json_integer(n.total));
    mo__json_set(parameters, "active", mo__json_integer(n.active));
    mo__json_set(parameters, "embedding", mo__json_integer(n.embedding));
    if (c->parameters) mo__json_set(parameters, "list", mo__parameters_json(s->model, &s->config.optimizer));
    mo__json_set(root, "parameters", parameters);
    mo__json_set(root, "flops_per_token", mo__json_real(n.flops_per_token));
    mo__json_set(root, "model", mo__model_json(&s->model->config));
    if (c->memory) mo__json_set(root, "memory", mo__memory_json(memory));
    if (c->verify) mo__json_set(root, "verified", json_true());
    return mo__json_print(root);
}

static mo_status verify(const subject *s)
{
    mo__progress_of progress = {.what = "verifying"};
    mo_status status = mo_hf_verify(s->hf, &mo__stop, mo__progress, &progress);
    mo__live_clear();
    return status;
}

static mo_status inspect(subject *s, const mo__inspect_choices *c)
{
    mo_run_memory memory = {0};
    char *text = NULL;
    MO_TRY(mo__hf_dump_config(s->hf, s->path, &text));
    mo_status status = mo_config_parse(text, s->path, &s->config);
    mo_free(text);
    MO_TRY(status);
    MO_TRY(mo_model_create(&s->config.model, &s->model));
    MO_TRY(mo_model_group(s->model, &s->config.optimizer));
    if (c->memory) MO_TRY(mo_run_memory_estimate(&s->config, 0, &memory));
    if (*c->dot) MO_TRY(mo__write_dot(&s->config, s->model, c->dot));
    if (c->verify) MO_TRY(verify(s));
    return c->json ? print_json(s, &memory, c) : print_text(s, &memory, c);
}

mo_status mo__inspect_hf(const char *path, const mo__inspect_choices *c)
{
    subject s = {.path = path};
    MO_TRY(mo_hf_open(path, &s.hf));
    mo_status status = inspect(&s, c);
    mo_config_free(&s.config);
    mo_model_free(s.model);
    mo_hf_close(s.hf);
    return status;
}
