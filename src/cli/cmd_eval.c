/* cmd_eval.c -- moira eval: the loss of a checkpoint on a token file. */
#include <math.h>

#include "commands.h"
#include "inputs.h"
#include "json_out.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "base/units.h"

typedef struct choices {
    const char *data, *split, *base, *adapter;
    int64_t sequence_length, batch_size, threads;
    bool by_domain, json;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, data, "data", 0, "FILE.h5", NULL, "token file to evaluate on"),
    MO__OPTION_TEXT(choices, split, "split", 0, "train|validation", "validation", "which split"),
    MO__OPTION_INT(choices, sequence_length, "sequence-length", "L", "0", 2, 2147483647,
                   "tokens of a window (as in training)"),
    MO__OPTION_INT(choices, batch_size, "batch-size", "B", "0", 1, 1048576,
                   "windows at once (as in training)"),
    MO__OPTION_ADAPTER(choices),
    MO__OPTION_BASE(choices),
    MO__OPTION_FLAG(choices, by_domain, "by-domain", "loss of each domain beside its entropy floor"),
    MO__OPTION_FLAG(choices, json, "json", "print JSON"),
    MO__OPTION_INT(choices, threads, "threads", "N", "0", 0, 1024, "threads; 0 is one for each core"),
    {.name = NULL},
};

static double floor_of(const mo_tokens *tokens, int domain)
{
    return tokens->entropy_nats ? tokens->entropy_nats[domain] : (double)NAN;
}

static mo_status print_domains(const mo_tokenfile *file, const mo_tokens *tokens, const mo_eval_result *r)
{
    if (r->n_domains == 0) {
        printf("\n%s has no domain labels\n", file->path);
        return MO_OK;
    }
    mo__table t = mo__table_begin("<domain|>tokens|>loss|>entropy floor|>gap");
    putchar('\n');
    for (int d = 0; d < r->n_domains; d++) {
        double entropy = floor_of(tokens, d);
        mo__cell(&t, "%s", file->domain_names[d]);
        mo__cell(&t, "%s", mo__count(r->domain_tokens[d]).text);
        mo__cell(&t, "%s", mo__fixed(r->domain_loss[d], 4).text);
        mo__cell(&t, "%s", mo__fixed(entropy, 4).text);
        mo__cell(&t, "%s", mo__fixed(r->domain_loss[d] - entropy, 4).text);
    }
    return mo__table_print(&t);
}

/* Mean over the layers; 0 where nothing can be dropped. */
static double dropped_share(const mo_eval_result *r)
{
    double sum = 0;
    for (int l = 0; l < r->n_layers; l++) sum += isnan(r->layers[l].dropped) ? 0 : r->layers[l].dropped;
    return r->n_layers > 0 ? sum / r->n_layers : 0;
}

static void print_result(const char *checkpoint, const mo_trained *t, const mo_eval_options *o,
                         const mo_eval_result *r)
{
    printf("checkpoint   %s, step %s\n", checkpoint, mo__count(t->state.step).text);
    const mo_tokens *tokens = &o->file->split[o->split];
    printf("data         %s, %s: ", o->file->path, mo__split_name(o->split));
    if (tokens->whole)
        printf("over %s %s token%s of %s in ", mo__count(r->tokens).text,
               tokens->mask ? "completion" : "predicted", r->tokens == 1 ? "" : "s",
               mo__counted(tokens->documents, "document").text);
    else
        printf("%s in ", mo__counted(r->tokens, "predicted token").text);
    printf("%s of %lld\n", mo__counted(r->windows, "window").text, (long long)o->sequence_length);
    printf("loss         %.6f nats per token\nperplexity   %.4f\nbits/byte    %s\n", r->loss, r->perplexity,
           mo__fixed(r->bits_per_byte, 4).text);
    bool chosen = mo_router_describe(t->model->config.router)->traits & MO_ROUTER_FUTURE;
    if (dropped_share(r) > 0)
        printf("dropped      %.2f%% %s\n", 100 * dropped_share(r),
               chosen ? "of the tokens, which no expert took"
                      : "of the routers' choices, by the capacity of evaluation");
    printf("took         %s, %s tokens/s\n", mo__duration(r->seconds).text,
           mo__count((int64_t)((double)r->tokens / r->seconds)).text);
}

static json_t *result_json(const char *checkpoint, const mo_eval_options *o, const mo_eval_result *r)
{
    const mo_tokens *tokens = &o->file->split[o->split];
    json_t *root = json_object(), *domains = json_array();
    mo__json_set(root, "checkpoint", mo__json_text(checkpoint));
    mo__json_set(root, "data", mo__json_text(o->file->path));
    mo__json_set(root, "split", json_string(mo__split_name(o->split)));
    mo__json_set(root, "sequence_length", mo__json_integer(o->sequence_length));
    mo__json_set(root, "windows", mo__json_integer(r->windows));
    if (tokens->whole) mo__json_set(root, "documents", mo__json_integer(tokens->documents));
    mo__json_set(root, "loss", mo__json_real(r->loss));
    mo__json_set(root, "tokens", mo__json_integer(r->tokens));
    mo__json_set(root, "perplexity", mo__json_real(r->perplexity));
    mo__json_set(root, "bits_per_byte", mo__json_real(r->bits_per_byte));
    mo__json_set(root, "dropped", mo__json_real(dropped_share(r)));
    mo__json_set(root, "seconds", mo__json_real(r->seconds));
    for (int d = 0; d < r->n_domains; d++) {
        json_t *one = json_object();
        mo__json_set(one, "name", mo__json_text(o->file->domain_names[d]));
        mo__json_set(one, "loss", mo__json_real(r->domain_loss[d]));
        mo__json_set(one, "entropy", mo__json_real(floor_of(tokens, d)));
        mo__json_set(one, "tokens", mo__json_integer(r->domain_tokens[d]));
        mo__json_add(domains, one);
    }
    mo__json_set(root, "domains", domains);
    return root;
}

static mo_status evaluate(const char *checkpoint, const mo_trained *t, const choices *c,
                          const mo_tokenfile *file, mo_split split)
{
    mo__progress_of progress = {.what = "evaluating"};
    mo_eval_result result;
    mo_eval_options o = {.file = file,
                         .split = split,
                         .sequence_length =
                             c->sequence_length > 0 ? c->sequence_length : t->config.train.sequence_length,
                         .batch_size = c->batch_size > 0 ? c->batch_size : t->config.train.batch_size,
                         .stop = &mo__stop,
                         .progress = mo__progress,
                         .user = &progress};
    if (mo_model_decode_check(&t->model->config) != MO_OK) {
        mo_error_clear();
        mo_log(MO_LOG_WARNING,
               "%s: the loss is that of a model that looks ahead (model.router %s), and cannot be compared "
               "with that of one that does not",
               checkpoint, mo_router_names[t->config.model.router]);
    }
    MO_TRY(mo__check_eval_fits(t->model, o.batch_size, o.sequence_length));
    MO_TRY(mo_evaluate(t->model, &o, &result));
    mo__live_clear();
    if (!isfinite(result.loss))
        mo_log(MO_LOG_WARNING,
               "%s: the loss is no finite number; weights that are none give such, and of a model folder "
               "moira inspect HF_DIR --verify names them",
               checkpoint);
    mo_status status = MO_OK;
    if (c->json) {
        status = mo__json_print(result_json(checkpoint, &o, &result));
    } else {
        print_result(checkpoint, t, &o, &result);
        if (c->by_domain) status = print_domains(file, &file->split[split], &result);
    }
    mo_eval_result_free(&result);
    return status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_trained t;
    mo_tokenfile *file;
    mo_split split;
    MO_TRY(mo__split_parse(c->split, &split));
    mo_threads_set((int)c->threads);
    MO_TRY(mo__trained_load_upon(words->at[0], c->base, c->adapter, &t));
    mo_status status = mo__tokens_for(&t, words->at[0], c->data, &file);
    if (status == MO_OK) {
        status = evaluate(words->at[0], &t, c, file, split);
        mo_tokenfile_close(file);
    }
    mo__trained_close(&t);
    return status;
}

const mo__command mo__cmd_eval = {
    .name = "eval",
    .summary = "the loss of a checkpoint on a token file",
    .synopsis = "CHECKPOINT --data FILE.h5 [options]",
    .text =
        "Reads a split in order, in windows of L tokens that do not overlap, predicts every token of a\n"
        "window but its first, and leaves out a last window that is short, so that others can compute the\n"
        "same figure. Loss is in nats per predicted token. Router noise is off. A token file made with\n"
        "another tokenizer than the checkpoint's is refused.\n"
        "\n"
        "Of instruction data, and other files of whole documents, every document is read, several in a\n"
        "window, none sees another, and the loss is over what the mask lets be predicted: completions. So\n"
        "it is the same for any L that the longest document fits in.\n",
    .example = "  moira eval checkpoints/demo/best.h5 --data data/demo.h5 --by-domain\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CHECKPOINT",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
