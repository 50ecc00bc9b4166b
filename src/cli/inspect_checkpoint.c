/* inspect_checkpoint.c -- how far a checkpoint's training was, and the model in it. */
#include <math.h>

#include "describe.h"
#include "inspect.h"
#include "json_out.h"
#include "base/units.h"

typedef struct subject {
    const char *path;
    mo_checkpoint *file;
    mo_run_config config;
    mo_model *model;
    int arrays, moments; /* stored */
    struct {
        char text[64]; /* ", 21 of them bfloat16", or "" */
    } halves;
    int n_files;
} subject;

static void count_array(const char *name, int ndim, const int64_t *dim, void *user)
{
    (void)name;
    (void)ndim;
    (void)dim;
    ++*(int *)user;
}

static mo_status look_at_types(subject *s)
{
    int count[2] = {0, 0};
    size_t at = 0;
    for (int i = 0; i < s->model->n_params; i++) {
        mo_dtype dtype;
        if (mo_checkpoint_dtype(s->file, "model", s->model->params[i].name, &dtype) != MO_OK)
            mo_error_clear(); /* of the base */
        else if (dtype == MO_BF16 || dtype == MO_F16)
            count[dtype == MO_F16]++;
    }
    for (int k = 0; k < 2; k++)
        if (count[k] > 0)
            at += (size_t)snprintf(s->halves.text + at, sizeof s->halves.text - at, ", %d of them %s",
                                   count[k], mo_dtype_name(k ? MO_F16 : MO_BF16));
    const mo_checkpoint_file *files;
    return mo_checkpoint_files(s->file, &files, &s->n_files);
}

static json_t *base_json(const mo_checkpoint *c)
{
    if (!mo_checkpoint_base_path(c)) return json_null();
    json_t *one = json_object();
    mo__json_set(one, "path", mo__json_text(mo_checkpoint_base_path(c)));
    mo__json_set(one, "digest", mo__json_text(mo_checkpoint_base_digest(c)));
    return one;
}

static json_t *files_json(mo_checkpoint *c)
{
    const mo_checkpoint_file *files = NULL;
    int count = 0;
    json_t *list = json_array();
    if (mo_checkpoint_files(c, &files, &count) != MO_OK) mo_error_clear(); /* they have been read before */
    for (int i = 0; i < count; i++) {
        json_t *one = json_object();
        mo__json_set(one, "name", mo__json_text(files[i].name));
        mo__json_set(one, "bytes", mo__json_integer((int64_t)files[i].size));
        mo__json_add(list, one);
    }
    return list;
}

static void print_state(const subject *s)
{
    const mo_checkpoint_state *state = mo_checkpoint_get_state(s->file);
    const mo_tokenizer *tokenizer = mo_checkpoint_tokenizer(s->file);
    printf("checkpoint   %s, run %s\n", s->path, s->config.run.name);
    printf("trained      %s, %s, %s\n", mo__counted(state->step, "step").text,
           mo__counted(state->tokens, "predicted token").text, mo__duration(state->seconds).text);
    if (!isnan(state->best_loss))
        printf("best         validation loss %.4f at step %s\n", state->best_loss,
               mo__count(state->best_step).text);
    if (tokenizer) {
        char hash[33];
        mo_tokenizer_hash(tokenizer, hash);
        printf("tokenizer    %s, %s ids, %s\n", mo_tokenizer_kind(tokenizer),
               mo__count(mo_tokenizer_vocab_size(tokenizer)).text, hash);
    } else {
        printf("tokenizer    none\n");
    }
    printf("holds        %d arrays%s, %s\n", s->arrays, s->halves.text,
           s->moments ? "and their optimizer state" : "without optimizer state");
    if (s->n_files > 0)
        printf("files        %s of the model\'s folder\n", mo__counted(s->n_files, "file").text);
    if (mo_checkpoint_base_path(s->file))
        printf("base         %s, digest %s\n", mo_checkpoint_base_path(s->file),
               mo_checkpoint_base_digest(s->file));
}

static mo_status print_text(const subject *s, const mo_run_memory *memory, const mo__inspect_choices *c)
{
    print_state(s);
    mo__describe_model(s->model);
    if (c->verify) printf("verified     every array, by its checksums\n");
    putchar('\n');
    MO_TRY(mo__describe_parameters(s->model, &s->config.optimizer, !c->parameters));
    if (!c->memory) return MO_OK;
    putchar('\n');
    return mo__describe_memory(memory);
}

json_t *mo__tokenizer_json(const mo_tokenizer *tokenizer)
{
    if (!tokenizer) return json_null();
    json_t *one = json_object();
    char hash[33];
    mo_tokenizer_hash(tokenizer, hash);
    mo__json_set(one, "kind", json_string(mo_tokenizer_kind(tokenizer)));
    mo__json_set(one, "hash", json_string(hash));
    mo__json_set(one, "vocab_size", mo__json_integer(mo_tokenizer_vocab_size(tokenizer)));
    return one;
}

static mo_status print_json(const subject *s, const mo_run_memory *memory, const mo__inspect_choices *c)
{
    const mo_checkpoint_state *state = mo_checkpoint_get_state(s->file);
    mo_model_count n = mo_model_counts(s->model, s->config.train.sequence_length);
    json_t *root = json_object(), *parameters = json_object();
    mo__json_set(root, "kind", json_string("checkpoint"));
    mo__json_set(root, "path", mo__json_text(s->path));
    mo__json_set(root, "name", mo__json_text(s->config.run.name));
    mo__json_set(root, "step", mo__json_integer(state->step));
    mo__json_set(root, "tokens", mo__json_integer(state->tokens));
    mo__json_set(root, "seconds", mo__json_real(state->seconds));
    mo__json_set(root, "best_loss", mo__json_real(state->best_loss));
    mo__json_set(root, "best_step", mo__json_integer(state->best_step));
    mo__json_set(root, "base", base_json(s->file));
    mo__json_set(root, "files", files_json(s->file));
    mo__json_set(root, "tokenizer", mo__tokenizer_json(mo_checkpoint_tokenizer(s->file)));
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

static mo_status inspect(subject *s, const mo__inspect_choices *c)
{
    const mo_tokenizer *tokenizer = mo_checkpoint_tokenizer(s->file);
    mo_run_memory memory = {0};
    uint64_t data_bytes = 0;
    if (s->config.model.vocab_size == 0 && tokenizer)
        s->config.model.vocab_size = mo_tokenizer_vocab_size(tokenizer);
    MO_TRY(mo_model_create_tuned(&s->config.model, &s->config.tuning, &s->model));
    MO_TRY(mo_model_group(s->model, &s->config.optimizer));
    MO_TRY(mo_checkpoint_list(s->file, "model", count_array, &s->arrays));
    MO_TRY(mo_checkpoint_list(s->file, "optimizer/adamw/m", count_array, &s->moments));
    MO_TRY(look_at_types(s));
    if (c->memory) {
        MO_TRY(mo__config_vocabulary(&s->config, &data_bytes));
        MO_TRY(mo_run_memory_estimate(&s->config, data_bytes, &memory));
    }
    if (*c->dot) MO_TRY(mo__write_dot(&s->config, s->model, c->dot));
    return c->json ? print_json(s, &memory, c) : print_text(s, &memory, c);
}

mo_status mo__inspect_checkpoint(const char *path, const mo__inspect_choices *c)
{
    subject s = {.path = path};
    if (c->verify) MO_TRY(mo_checkpoint_verify(path));
    MO_TRY(mo_checkpoint_open(path, &s.file));
    mo_status status = mo_config_parse(mo_checkpoint_config(s.file), path, &s.config);
    if (status == MO_OK) {
        status = inspect(&s, c);
        mo_config_free(&s.config);
    }
    mo_model_free(s.model);
    mo_checkpoint_close(s.file);
    return status;
}
