/* report_run_routing.c -- what a run's routers did: balance over the run, and where it was at the end. */
#include <math.h>

#include "base/units.h"
#include "lab/report_run.h"
#include "lab/run_facts.h"

/* ---- over the run ---- */

static const mo_layer_report *layer_of(const mo_step_report *l, int which)
{
    return which < l->n_layers ? &l->layers[which] : NULL;
}

static double max_vio(const mo_step_report *l, int which)
{
    return layer_of(l, which) ? layer_of(l, which)->max_vio : (double)NAN;
}

static double entropy(const mo_step_report *l, int which)
{
    return layer_of(l, which) ? layer_of(l, which)->entropy : (double)NAN;
}

/* Of a run that drops nothing there is nothing to see. */
static double dropped(const mo_step_report *l, int which)
{
    return layer_of(l, which) ? 100 * layer_of(l, which)->dropped : (double)NAN;
}

static double dead(const mo_step_report *l, int which)
{
    return layer_of(l, which) ? (double)layer_of(l, which)->dead : (double)NAN;
}

static double information(const mo_step_report *l, int which)
{
    return l->mutual_information && which < l->n_layers ? l->mutual_information[which] : (double)NAN;
}

static double drift(const mo_step_report *l, int which)
{
    return l->drift && which < l->n_layers ? 100 * l->drift[which] : (double)NAN;
}

static double balance(const mo_step_report *l, int which)
{
    return l->n_layers > 0 ? l->balance[which] : (double)NAN;
}

static bool ever_above_zero(const mo__run_page *p, mo__line_value *value)
{
    for (int64_t i = 0; i < p->m->n_lines; i++)
        for (int k = 0; k < p->n_layers; k++)
            if (value(&p->m->lines[i], k) > 0) return true;
    return false;
}

static void plot_losses(const mo__run_page *p)
{
    const mo_balance_config *c = &p->m->config.balance;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) {
        if (!(mo_balance_coefficient(c, k) > 0)) continue;
        char name[48], title[80], note[160];
        const char *balanced = mo_balance_describe(k)->balanced;
        snprintf(name, sizeof name, "balance-%.30s", mo_balance_names[k]);
        for (char *at = name; *at; at++)
            if (*at == '_') *at = '-';
        snprintf(title, sizeof title, "Balancing loss %s", mo_balance_names[k]);
        snprintf(note, sizeof note, "Without its coefficient of %g.%s%s%s", mo_balance_coefficient(c, k),
                 *balanced ? " Balanced: " : "", balanced, *balanced ? "." : "");
        mo__run_plot plot = {.name = name, .title = title, .note = note, .y_label = "mean of the layers"};
        mo__run_track track = mo__run_track_of(p, balance, k);
        mo__run_track_plot(p, &plot, &track);
        mo__run_track_free(&track);
    }
}

static void plot_balance(const mo__run_page *p)
{
    static const mo__run_plot vio = {
        .name = "max-vio",
        .title = "Imbalance of the load, MaxVio",
        .y_label = "max / mean load - 1",
        .zero_y = true,
        .note = "0: all experts get the same; 1: the busiest gets twice its fair share."};
    static const mo__run_plot sure = {.name = "entropy",
                                      .title = "Entropy of the router",
                                      .y_label = "nats",
                                      .zero_y = true,
                                      .note = "Mean over tokens. Low: the router is sure of its choice."};
    static const mo__run_plot lost = {
        .name = "dropped", .title = "Dropped by capacity", .y_label = "% of the choices", .zero_y = true};
    static const mo__run_plot starved = {.name = "dead",
                                         .title = "Dead experts",
                                         .y_label = "experts",
                                         .zero_y = true,
                                         .whole_y = true,
                                         .note =
                                             "Those with less than a tenth of their fair share in a step."};
    static const mo__run_plot told = {.name = "mutual-information",
                                      .title = "What experts say of the domain",
                                      .y_label = "bits per choice",
                                      .zero_y = true,
                                      .note =
                                          "Mutual information of expert and domain, of the validation data."};
    static const mo__run_plot moved = {.name = "drift",
                                       .title = "Drift from the base's routing",
                                       .y_label = "% of a token's experts",
                                       .zero_y = true,
                                       .note = "Experts that the model begun from would not have chosen."};
    mo__run_curves(p, &vio, max_vio, p->n_layers, NULL, (double)NAN, NULL);
    mo__run_curves(p, &sure, entropy, p->n_layers, NULL, log((double)p->experts), "all experts alike");
    if (ever_above_zero(p, dropped)) mo__run_curves(p, &lost, dropped, p->n_layers, NULL, (double)NAN, NULL);
    if (ever_above_zero(p, dead)) mo__run_curves(p, &starved, dead, p->n_layers, NULL, (double)NAN, NULL);
    mo__run_curves(p, &told, information, p->n_layers, NULL, (double)NAN, NULL);
    mo__run_curves(p, &moved, drift, p->n_layers, NULL, (double)NAN, NULL);
    plot_losses(p);
}

static void table_layers(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    const mo_step_report *l = mo__run_last_routed(p->m);
    char caption[64];
    snprintf(caption, sizeof caption, "Routers at step %s", mo__count(l->step).text);
    mo__html_table_begin(
        h, caption,
        ">Layer|>MaxVio|>CV of the load|>Dead experts|>Dropped, %|>Entropy, nats|>Largest probability, "
        "mean|>Largest weight, mean|>z: mean squared logsumexp");
    for (int k = 0; k < l->n_layers; k++) {
        const mo_layer_report *r = &l->layers[k];
        mo__html_cell(h, "%d", r->layer);
        mo__html_cell(h, "%s", mo__fixed(r->max_vio, 3).text);
        mo__html_cell(h, "%s", mo__fixed(r->cv, 3).text);
        mo__html_cell(h, "%lld", (long long)r->dead);
        mo__html_cell(h, "%s", mo__fixed(100 * r->dropped, 1).text);
        mo__html_cell(h, "%s", mo__fixed(r->entropy, 3).text);
        mo__html_cell(h, "%s", mo__fixed(r->top1, 3).text);
        mo__html_cell(h, "%s", mo__fixed(r->top1_weight, 3).text);
        mo__html_cell(h, "%s", mo__fixed(r->z, 2).text);
    }
    mo__html_table_end(h);
}

void mo__run_report_routing(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    mo__html_section_begin(h, "Routing");
    mo__html_grid_begin(h);
    plot_balance(p);
    mo__html_grid_end(h);
    table_layers(p);
    mo__html_section_end(h);
}
