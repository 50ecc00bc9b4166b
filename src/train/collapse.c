/* collapse.c -- windows of routing reports, and what is wrong with them: see collapse.h. */
#include "train/collapse.h"

#include <math.h>
#include <string.h>

#include "train/train_internal.h"

static int64_t window_of(const mo_run_config *c, const mo_model_config *m)
{
    double choices = (double)mo_run_step_tokens(c) * mo_model_config_experts_per_token(m),
           least = ceil(MO__COLLAPSE_LEAST * (double)m->num_local_experts / choices);
    return least > (double)c->log.collapse_window ? (int64_t)least : c->log.collapse_window;
}

static double *sums_of(const mo__collapse_watch *w, int l)
{
    return w->loads + 2 * l * w->experts;
}

mo_status mo__collapse_open(const mo_run_config *c, const mo_model_config *m, mo__collapse_watch *out)
{
    *out = (mo__collapse_watch){.n_layers = (int)mo_model_config_moe_layers(m),
                                .experts = m->num_local_experts,
                                .even = mo_router_describe(m->router)->traits & MO_ROUTER_EVEN,
                                .single = m->num_experts_per_tok == 1};
    if (c->log.collapse_window == 0 || out->n_layers == 0) return MO_OK;
    out->window = window_of(c, m);
    out->loads = mo_calloc((size_t)out->n_layers * 2 * (size_t)out->experts, sizeof *out->loads);
    out->layers = mo_calloc((size_t)out->n_layers, sizeof *out->layers);
    if (out->loads && out->layers) return MO_OK;
    mo__collapse_close(out);
    return MO_E_MEMORY;
}

void mo__collapse_close(mo__collapse_watch *w)
{
    mo_free(w->loads);
    mo_free(w->layers);
    *w = (mo__collapse_watch){0};
}

static void begin(mo__collapse_watch *w, int l)
{
    mo__collapse_layer *layer = &w->layers[l];
    memset(sums_of(w, l), 0, (size_t)w->experts * sizeof *w->loads);
    layer->entropy = layer->top1 = 0;
    layer->sharp = true;
}

static void add(mo__collapse_watch *w, int l, const mo_layer_report *r)
{
    mo__collapse_layer *layer = &w->layers[l];
    double *sums = sums_of(w, l);
    for (int64_t e = 0; e < w->experts; e++) sums[e] += r->load[e];
    layer->entropy += r->entropy;
    layer->top1 += r->top1;
    layer->sharp = layer->sharp && r->entropy < MO__SHARP * log((double)w->experts); /* not if it is NaN */
    layer->mean.layer = r->layer;
}

static void finish(mo__collapse_watch *w, int l)
{
    mo__collapse_layer *layer = &w->layers[l];
    double *sums = sums_of(w, l), *load = sums + w->experts, n = (double)w->steps;
    for (int64_t e = 0; e < w->experts; e++) load[e] = sums[e] / n;
    layer->mean.load = load;
    layer->mean.experts = w->experts;
    layer->mean.entropy = layer->entropy / n;
    layer->mean.top1 = layer->top1 / n;
    mo__load_measure(&layer->mean);
}

bool mo__collapse_step(mo__collapse_watch *w, const mo_layer_report *reports)
{
    if (w->window == 0) return false;
    if (w->steps == w->window) w->steps = 0;
    for (int l = 0; l < w->n_layers; l++) {
        if (w->steps == 0) begin(w, l);
        add(w, l, &reports[l]);
    }
    if (++w->steps < w->window) return false;
    for (int l = 0; l < w->n_layers; l++) finish(w, l);
    return true;
}

bool mo__collapse_found(mo__collapse_watch *w, int l, mo__collapse_kind kind)
{
    mo__collapse_layer *layer = &w->layers[l];
    bool of_load = !w->even && layer->mean.dead > 0,
         of_entropy = layer->sharp && (!w->single || layer->mean.max_vio > 1);
    if (layer->told[kind] || !(kind == MO__COLLAPSE_LOAD ? of_load : of_entropy)) return false;
    layer->told[kind] = true;
    return true;
}
