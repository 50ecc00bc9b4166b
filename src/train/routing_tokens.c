/* routing_tokens.c -- of each expert the tokens that it gets most, and those that are most its own. */
#include <math.h>
#include <string.h>

#include "train/routing_count.h"

/* A list of at most `room`, longest key first, lowest id among equals (they come in rising order). */
typedef struct best_list {
    mo_routed_token *at;
    double *keys;
    int count, room;
} best_list;

static void offer(best_list *list, const mo_routed_token *token, double key)
{
    int i = list->count;
    if (i == list->room && !(key > list->keys[i - 1])) return;
    if (i < list->room) list->count++;
    for (i = list->count - 1; i > 0 && key > list->keys[i - 1]; i--) {
        list->at[i] = list->at[i - 1];
        list->keys[i] = list->keys[i - 1];
    }
    list->at[i] = *token;
    list->keys[i] = key;
}

static void list_expert(const mo__routing_count *c, int l, int64_t e, const double *all, best_list *frequent,
                        best_list *own)
{
    int64_t E = c->out.experts;
    const mo_layer_choices *layer = &c->out.layers[l];
    const uint32_t *counts = c->tokens + l * c->n_ids * E;
    double of_expert = 0;
    for (int64_t i = 0; i < c->n_ids; i++) of_expert += (double)counts[i * E + e];
    for (int64_t i = 0; i < c->n_ids; i++) {
        int64_t n = counts[i * E + e];
        if (n == 0) continue;
        double lift = (double)n * (double)layer->total / (all[i] * of_expert);
        mo_routed_token token = {c->ids[i], n, (int64_t)all[i], lift};
        offer(frequent, &token, (double)n);
        if (n >= c->least && lift > 1) offer(own, &token, (double)n * log2(lift));
    }
}

/* all[i]: choices that token i makes of any expert. */
static void sum_experts(const mo__routing_count *c, int l, double *all)
{
    int64_t E = c->out.experts;
    for (int64_t i = 0; i < c->n_ids; i++) {
        const uint32_t *row = c->tokens + (l * c->n_ids + i) * E;
        all[i] = 0;
        for (int64_t e = 0; e < E; e++) all[i] += (double)row[e];
    }
}

mo_status mo__routing_tokens(mo__routing_count *c)
{
    int64_t E = c->out.experts, n = c->listed < c->n_ids ? c->listed : c->n_ids,
            experts = c->out.listed_layers * E;
    mo_free(c->expert_tokens);
    mo_free(c->routed);
    c->expert_tokens = mo_calloc((size_t)experts, sizeof *c->expert_tokens);
    c->routed = mo_calloc((size_t)(experts * 2 * n), sizeof *c->routed);
    double *all = mo_malloc((size_t)c->n_ids * sizeof *all),
           *keys = mo_malloc((size_t)(E * 2 * n) * sizeof *keys);
    bool room = c->expert_tokens && c->routed && all && keys;
    for (int l = 0; room && l < c->out.listed_layers; l++) {
        sum_experts(c, l, all);
#pragma omp parallel for schedule(static)
        for (int64_t e = 0; e < E; e++) {
            mo_routed_token *lists = c->routed + (l * E + e) * 2 * n;
            best_list frequent = {lists, keys + e * 2 * n, 0, (int)n};
            best_list own = {lists + n, keys + e * 2 * n + n, 0, (int)n};
            list_expert(c, l, e, all, &frequent, &own);
            c->expert_tokens[l * E + e] = (mo_expert_tokens){lists, lists + n, frequent.count, own.count};
        }
        c->out.layers[l].tokens = c->expert_tokens + l * E;
    }
    mo_free(all);
    mo_free(keys);
    return room ? MO_OK : MO_E_MEMORY;
}
