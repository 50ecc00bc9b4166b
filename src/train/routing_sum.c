/* routing_sum.c -- router statistics of several graph runs, added up and turned into a report. */
#include <string.h>

#include "train/train_internal.h"

enum { EXTRA = 4 }; /* tokens, entropy, top probability, squared logsumexp: see mo_router_stats */

mo_status mo__routing_sum_create(const mo_model *m, mo__routing_sum *out)
{
    *out = (mo__routing_sum){.experts = m->config.num_local_experts};
    if (out->experts == 0) return MO_OK;
    out->n_layers = (int)mo_model_config_moe_layers(&m->config);
    size_t layers = (size_t)out->n_layers, experts = (size_t)out->experts;
    out->sums = mo_calloc(layers * (experts + EXTRA), sizeof *out->sums);
    out->loads = mo_calloc(layers * experts, sizeof *out->loads);
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
    if (s->sums) memset(s->sums, 0, (size_t)(s->n_layers * (s->experts + EXTRA)) * sizeof *s->sums);
}

void mo__routing_sum_add(mo__routing_sum *s, const mo_model_graph *t)
{
    for (int l = 0; l < s->n_layers; l++) {
        const double *stats = t->routing[l].stats->data;
        for (int64_t i = 0; i < s->experts + EXTRA; i++) s->sums[l * (s->experts + EXTRA) + i] += stats[i];
    }
}

const double *mo__routing_sum_counts(const mo__routing_sum *s, int l)
{
    return s->sums + l * (s->experts + EXTRA);
}

void mo__routing_sum_report(mo__routing_sum *s, const mo_model_graph *t)
{
    for (int l = 0; l < s->n_layers; l++) {
        const double *sum = s->sums + l * (s->experts + EXTRA), tokens = sum[s->experts];
        double *load = s->loads + l * s->experts, total = 0, most = 0;
        for (int64_t e = 0; e < s->experts; e++) {
            total += sum[e];
            if (sum[e] > most) most = sum[e];
        }
        for (int64_t e = 0; e < s->experts; e++) load[e] = total > 0 ? sum[e] / total : 0;
        double n = tokens > 0 ? tokens : 1;
        s->reports[l] = (mo_layer_report){.layer = t->routing[l].layer,
                                          .load = load,
                                          .experts = s->experts,
                                          .max_vio = total > 0 ? most * (double)s->experts / total - 1 : 0,
                                          .entropy = sum[s->experts + 1] / n,
                                          .top1 = sum[s->experts + 2] / n,
                                          .z = sum[s->experts + 3] / n};
    }
}
