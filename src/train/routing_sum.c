/* routing_sum.c -- router statistics of several graph runs, added up and turned into a report. */
#include <math.h>
#include <string.h>

#include "train/train_internal.h"

static int64_t width_of(const mo__routing_sum *s)
{
    return s->experts + MO_ROUTER_SUMS;
}

mo_status mo__routing_sum_create(const mo_model *m, mo__routing_sum *out)
{
    const mo_model_config *c = &m->config;
    *out = (mo__routing_sum){.n_layers = (int)mo_model_config_moe_layers(c),
                             .experts = c->num_local_experts,
                             .experts_choose = mo_router_describe(c->router)->traits & MO_ROUTER_EVEN};
    if (out->n_layers == 0) return MO_OK;
    size_t layers = (size_t)out->n_layers;
    out->sums = mo_calloc(layers * (size_t)width_of(out), sizeof *out->sums);
    out->loads = mo_calloc(layers * (size_t)out->experts, sizeof *out->loads);
    out->reports = mo_calloc(layers, sizeof *out->reports);
    if (out->sums && out->loads && out->reports) return MO_OK;
    mo__routing_sum_free(out);
    return MO_E_MEMORY;
}

void mo__routing_sum_free(mo__routing_sum *s)
{
    mo_free(s->sums);
    mo_free(s->loads);
    mo_free(s->reports);
    *s = (mo__routing_sum){0};
}

void mo__routing_sum_clear(mo__routing_sum *s)
{
    if (s->sums) memset(s->sums, 0, (size_t)(s->n_layers * width_of(s)) * sizeof *s->sums);
}

void mo__routing_sum_add(mo__routing_sum *s, const mo_model_graph *t)
{
    for (int l = 0; l < s->n_layers; l++) {
        const double *stats = t->routing[l].stats->data;
        for (int64_t i = 0; i < width_of(s); i++) s->sums[l * width_of(s) + i] += stats[i];
    }
}

const double *mo__routing_sum_counts(const mo__routing_sum *s, int l)
{
    return s->sums + l * width_of(s);
}

double mo__dead_load(const mo_layer_report *r)
{
    double total = 0;
    for (int64_t e = 0; e < r->experts; e++) total += r->load[e];
    return MO_DEAD_PART * (total / (double)r->experts);
}

void mo__load_measure(mo_layer_report *r)
{
    double total = 0, most = 0, squares = 0, dead = mo__dead_load(r);
    for (int64_t e = 0; e < r->experts; e++) {
        total += r->load[e];
        if (r->load[e] > most) most = r->load[e];
    }
    double fair = total / (double)r->experts;
    r->max_vio = r->cv = 0;
    r->dead = 0;
    if (!(total > 0)) return;
    for (int64_t e = 0; e < r->experts; e++) {
        squares += (r->load[e] - fair) * (r->load[e] - fair);
        r->dead += r->load[e] < dead;
    }
    r->max_vio = most / fair - 1;
    r->cv = sqrt(squares / (double)r->experts) / fair;
}

static double ratio(double part, double whole)
{
    return mo__unsigned_nan(part / (whole > 0 ? whole : 1));
}

void mo__routing_sum_report(mo__routing_sum *s, const mo_model_graph *t)
{
    for (int l = 0; l < s->n_layers; l++) {
        double *load = s->loads + l * s->experts, total = 0;
        const double *count = mo__routing_sum_counts(s, l), *sum = count + s->experts;
        for (int64_t e = 0; e < s->experts; e++) total += count[e];
        for (int64_t e = 0; e < s->experts; e++) load[e] = ratio(count[e], total);
        double n = sum[MO_SUM_TOKENS], lost = sum[MO_SUM_WANTED] - sum[MO_SUM_KEPT];
        s->reports[l] = (mo_layer_report){.layer = t->routing[l].layer,
                                          .load = load,
                                          .experts = s->experts,
                                          .entropy = ratio(sum[MO_SUM_ENTROPY], n),
                                          .top1 = ratio(sum[MO_SUM_TOP1], n),
                                          .top1_weight = ratio(sum[MO_SUM_TOP1_WEIGHT], n),
                                          .dropped = s->experts_choose ? ratio(sum[MO_SUM_UNROUTED], n)
                                                                       : ratio(lost, sum[MO_SUM_WANTED]),
                                          .z = ratio(sum[MO_SUM_Z], n)};
        mo__load_measure(&s->reports[l]);
    }
}
