/* inspect_routing.c -- where a checkpoint's routers send the tokens of a split. */
#include <math.h>

#include "describe.h"
#include "inspect.h"
#include "json_out.h"
#include "routing_view.h"
#include "session.h"
#include "terminal.h"
#include "train/routing_json.h"
#include "base/units.h"

enum { LISTED = 10 };

typedef struct routed {
    const char *path;
    const mo_trained *trained;
    const mo_eval_options *options;
    const mo_eval_result *result;
} routed;

/* ---- text ---- */

static void say_left_out(const mo_routing *r)
{
    if (r->pairs_left_out > 0)
        printf("\nwhich experts go together is left out: counting it takes %s; --layer N is one layer's\n",
               mo__bytes((double)r->pairs_left_out).text);
    if (r->listed_layers < r->n_layers)
        printf("\ntokens are left out from layer %d on: counting them takes %s a layer;\n--layer N is one "
               "layer's\n",
               r->layers[r->listed_layers].report.layer, mo__bytes((double)r->listed_bytes).text);
}

static mo_status print_text(const routed *r)
{
    const mo_routing *routing = r->result->routing;
    const mo_tokenfile *file = r->options->file;
    printf("checkpoint   %s, step %s\n", r->path, mo__count(r->trained->state.step).text);
    mo__describe_model(r->trained->model);
    printf("data         %s, %s: %s, loss %.4f\n\n", file->path, mo__split_name(r->options->split),
           mo__counted(r->result->tokens, "predicted token").text, r->result->loss);
    MO_TRY(mo__routing_print_layers(routing));
    if (routing->n_domains)
        printf("load is an expert's share of all choices; under a domain, of that domain's\n");
    for (int l = 0; l < routing->n_layers; l++)
        MO_TRY(mo__routing_print_layer(routing, l, file->tokenizer, routing->n_layers == 1));
    say_left_out(routing);
    return MO_OK;
}

/* ---- JSON ---- */

static mo_status print_json(const routed *r)
{
    const mo_routing *routing = r->result->routing;
    json_t *root = json_object(), *parts = json_object(), *layers = json_array();
    for (int l = 0; l < routing->n_layers; l++)
        mo__json_add(layers, mo__routing_layer_json(routing, l, r->options->file->tokenizer));
    mo__json_set(root, "kind", json_string("checkpoint"));
    mo__json_set(root, "path", mo__json_text(r->path));
    mo__json_set(root, "step", mo__json_integer(r->trained->state.step));
    mo__json_set(root, "data", mo__json_text(r->options->file->path));
    mo__json_set(root, "split", json_string(mo__split_name(r->options->split)));
    mo__json_set(root, "loss", mo__json_real(r->result->loss));
    mo__json_set(root, "tokens", mo__json_integer(r->result->tokens));
    mo__json_set(parts, "layers", layers);
    mo__json_set(root, "routing", parts);
    return mo__json_print(root);
}

/* ---- the whole ---- */

static mo_status route(const char *path, const mo_trained *t, const mo_tokenfile *file, mo_split split,
                       const mo__inspect_choices *c)
{
    mo__progress_of progress = {.what = "routing"};
    mo_eval_result result;
    mo_routing_options wanted = {.single = c->layer >= 0, .layer = (int)c->layer, .listed = LISTED};
    mo_eval_options options = {.file = file,
                               .split = split,
                               .sequence_length = t->config.train.sequence_length,
                               .batch_size = t->config.train.batch_size,
                               .routing = &wanted,
                               .stop = &mo__stop,
                               .progress = mo__progress,
                               .user = &progress};
    MO_TRY(mo__check_eval_fits(t->model, options.batch_size, options.sequence_length));
    MO_TRY(mo_evaluate(t->model, &options, &result));
    mo__live_clear();
    routed r = {.path = path, .trained = t, .options = &options, .result = &result};
    mo_status status = c->json ? print_json(&r) : print_text(&r);
    mo_eval_result_free(&result);
    return status;
}

mo_status mo__inspect_routing(const char *path, const mo__inspect_choices *c)
{
    mo_trained t;
    mo_tokenfile *file;
    mo_split split;
    MO_TRY(mo__split_parse(*c->split ? c->split : "validation", &split));
    mo_threads_set(0);
    MO_TRY(mo__trained_load_upon(path, c->base, c->adapter, &t));
    mo_status status = MO_OK;
    if (t.config.model.num_local_experts == 0)
        status = mo_error(MO_E_MISMATCH, "%s: is a dense model; it routes nothing", path);
    if (status == MO_OK) status = mo__tokens_for(&t, path, c->data, &file);
    if (status == MO_OK) {
        status = route(path, &t, file, split, c);
        mo_tokenfile_close(file);
    }
    mo__trained_close(&t);
    return status;
}
