/* inspect_drift.c -- how far a checkpoint's routers are from another's on the same data. */
#include <math.h>
#include <stdlib.h>

#include <moira/routing.h>

#include "inspect.h"
#include "json_out.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "base/units.h"

enum { MOST_MOVED = 3 }; /* experts of a layer, where all layers are shown */

typedef struct drifted {
    const char *path;
    const mo__inspect_choices *choices;
    const mo_trained *trained, *against;
    const mo_eval_options *options;
    const mo_drift *drift;
} drifted;

static bool is_shown(const drifted *d, int l)
{
    return d->choices->layer < 0 || d->choices->layer == d->drift->layers[l].layer;
}

/* ---- text ---- */

static double percent(double share)
{
    return 100 * share;
}

static void layer_row(mo__table *t, const mo_layer_drift *l)
{
    mo__cell(t, "%d", l->layer);
    mo__cell(t, "%.2f%%", percent(l->changed));
    mo__cell(t, "%.2f%%", percent(l->first_changed));
    mo__cell(t, isnan(l->kl) ? "-" : "%.3g", l->kl);
    mo__cell(t, isnan(l->js) ? "-" : "%.3g", l->js);
    mo__cell(t, "%.2f%%", percent(l->load_moved));
    mo__cell(t, isnan(l->weights_moved) ? "-" : "%.3g", l->weights_moved);
}

typedef struct moved {
    double by;
    int64_t expert;
} moved;

static int furthest_first(const void *a, const void *b)
{
    const moved *x = a, *y = b;
    if (fabs(x->by) != fabs(y->by)) return fabs(x->by) < fabs(y->by) ? 1 : -1;
    return x->expert < y->expert ? -1 : x->expert > y->expert;
}

static mo_status expert_rows(mo__table *t, const drifted *d, const mo_layer_drift *l)
{
    int64_t E = d->drift->experts, count = d->choices->layer < 0 && E > MOST_MOVED ? MOST_MOVED : E;
    moved *order = mo_malloc((size_t)E * sizeof *order);
    if (!order) return MO_E_MEMORY;
    for (int64_t e = 0; e < E; e++) order[e] = (moved){l->load[e] - l->reference_load[e], e};
    qsort(order, (size_t)E, sizeof *order, furthest_first);
    for (int64_t i = 0; i < count; i++) {
        int64_t e = order[i].expert;
        mo__cell(t, "%d", l->layer);
        mo__cell(t, "%lld", (long long)e);
        mo__cell(t, "%.2f%%", percent(l->reference_load[e]));
        mo__cell(t, "%.2f%%", percent(l->load[e]));
        mo__cell(t, "%+.2f%%", percent(order[i].by));
    }
    mo_free(order);
    return MO_OK;
}

static mo_status print_text(const drifted *d)
{
    const mo_drift *r = d->drift;
    printf("checkpoint   %s, step %s\n", d->path, mo__count(d->trained->state.step).text);
    printf("against      %s, step %s\n", d->choices->against, mo__count(d->against->state.step).text);
    printf("data         %s, %s: %s\n\n", d->options->file->path, mo__split_name(d->options->split),
           mo__counted(r->tokens, "token").text);
    mo__table t = mo__table_begin(">layer|>changed|>first changed|>kl|>js|>load moved|>weights moved");
    for (int l = 0; l < r->n_layers; l++)
        if (is_shown(d, l)) layer_row(&t, &r->layers[l]);
    MO_TRY(mo__table_print(&t));
    printf("changed: of a token's experts; first: the one of largest weight; kl, js: nats;\n"
           "load moved: of the choices, to other experts; weights: of the routers, by norm\n");
    if (d->choices->layer < 0 && r->experts > MOST_MOVED)
        printf("\nthe %d experts of each layer whose load moved most (--layer N: all)\n", MOST_MOVED);
    else
        printf("\nexperts, those first whose load moved most\n");
    t = mo__table_begin(">layer|>expert|>load against|>load|>change");
    mo_status status = MO_OK;
    for (int l = 0; status == MO_OK && l < r->n_layers; l++)
        if (is_shown(d, l)) status = expert_rows(&t, d, &r->layers[l]);
    mo_status printed = mo__table_print(&t);
    return status == MO_OK ? printed : status;
}

/* ---- JSON ---- */

static json_t *loads_json(const double *loads, int64_t E)
{
    json_t *list = json_array();
    for (int64_t e = 0; e < E; e++) mo__json_add(list, mo__json_real(loads[e]));
    return list;
}

static mo_status print_json(const drifted *d)
{
    const mo_drift *r = d->drift;
    json_t *root = json_object(), *parts = json_object(), *layers = json_array();
    for (int l = 0; l < r->n_layers; l++) {
        const mo_layer_drift *one = &r->layers[l];
        if (!is_shown(d, l)) continue;
        json_t *layer = json_object();
        mo__json_set(layer, "layer", mo__json_integer(one->layer));
        mo__json_set(layer, "changed", mo__json_real(one->changed));
        mo__json_set(layer, "first_changed", mo__json_real(one->first_changed));
        mo__json_set(layer, "kl", mo__json_real(one->kl));
        mo__json_set(layer, "js", mo__json_real(one->js));
        mo__json_set(layer, "load_moved", mo__json_real(one->load_moved));
        mo__json_set(layer, "weights_moved", mo__json_real(one->weights_moved));
        mo__json_set(layer, "load", loads_json(one->load, r->experts));
        mo__json_set(layer, "reference_load", loads_json(one->reference_load, r->experts));
        mo__json_add(layers, layer);
    }
    mo__json_set(root, "kind", json_string("checkpoint"));
    mo__json_set(root, "path", mo__json_text(d->path));
    mo__json_set(root, "step", mo__json_integer(d->trained->state.step));
    mo__json_set(root, "against", mo__json_text(d->choices->against));
    mo__json_set(root, "against_step", mo__json_integer(d->against->state.step));
    mo__json_set(root, "data", mo__json_text(d->options->file->path));
    mo__json_set(root, "split", json_string(mo__split_name(d->options->split)));
    mo__json_set(root, "tokens", mo__json_integer(r->tokens));
    mo__json_set(parts, "layers", layers);
    mo__json_set(root, "drift", parts);
    return mo__json_print(root);
}

/* ---- the whole ---- */

static mo_status check_layer(const mo_model_config *c, int64_t layer)
{
    if (layer < 0 || (layer < c->num_hidden_layers && mo_model_config_is_moe(c, layer))) return MO_OK;
    if (layer < c->num_hidden_layers)
        return mo_error(MO_E_RANGE, "--layer %lld: this layer has no experts", (long long)layer);
    return mo_error(MO_E_RANGE, "--layer %lld: there is none; the model has layers 0 to %lld",
                    (long long)layer, (long long)c->num_hidden_layers - 1);
}

static mo_status compare(const drifted *asked, const mo_tokenfile *file, mo_split split)
{
    mo__progress_of progress = {.what = "comparing"};
    drifted d = *asked;
    const mo_model *model = d.trained->model;
    mo_drift drift;
    mo_eval_options options = {.file = file,
                               .split = split,
                               .sequence_length = d.trained->config.train.sequence_length,
                               .batch_size = d.trained->config.train.batch_size,
                               .stop = &mo__stop,
                               .progress = mo__progress,
                               .user = &progress};
    MO_TRY(check_layer(&model->config, d.choices->layer));
    MO_TRY(mo__check_eval_fits(model, 2 * options.batch_size, options.sequence_length));
    mo_status status = mo_routing_drift(d.against->model, model, &options, &drift);
    if (status == MO_E_MISMATCH) return mo_error_context(status, "%s against %s", d.path, d.choices->against);
    MO_TRY(status);
    mo__live_clear();
    d.options = &options;
    d.drift = &drift;
    status = d.choices->json ? print_json(&d) : print_text(&d);
    mo_drift_free(&drift);
    return status;
}

static mo_status open_data(const drifted *d)
{
    mo_tokenfile *file;
    mo_split split;
    MO_TRY(mo__split_parse(*d->choices->split ? d->choices->split : "validation", &split));
    MO_TRY(mo__tokens_for(d->trained, d->path, d->choices->data, &file));
    mo_status status = mo__tokens_suit(d->against, d->choices->against, file);
    if (status == MO_OK) status = compare(d, file, split);
    mo_tokenfile_close(file);
    return status;
}

mo_status mo__inspect_drift(const char *path, const mo__inspect_choices *c)
{
    mo_trained t, against;
    mo_threads_set(0);
    MO_TRY(mo__trained_load_upon(path, c->base, c->adapter, &t));
    mo_status status = mo__trained_load(c->against, &against);
    if (status == MO_OK) {
        drifted d = {.path = path, .choices = c, .trained = &t, .against = &against};
        status = open_data(&d);
        mo__trained_close(&against);
    }
    mo__trained_close(&t);
    return status;
}
