/* routing_json.c -- the JSON of a layer's routing. */
#include "train/routing_json.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "train/train_internal.h"

/* Whatever could not be made or kept leaves a mark here, looked at once at the end. */
typedef struct maker {
    const mo_routing *routing;
    const mo_layer_choices *layer;
    const mo_tokenizer *tokenizer;
    bool failed;
} maker;

static void set(maker *m, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) m->failed = true;
}

static void add(maker *m, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) m->failed = true;
}

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *whole(int64_t value)
{
    return json_integer((json_int_t)value);
}

/* Names come from files, and may be no UTF-8. */
static json_t *name_json(const char *name)
{
    json_t *value = json_string(name);
    char *clean = value ? NULL : mo__printable(name, strlen(name));
    if (clean) value = json_string(clean);
    mo_free(clean);
    return value;
}

static json_t *dead_json(maker *m)
{
    json_t *dead = json_array();
    const mo_layer_report *r = &m->layer->report;
    double least = mo__dead_load(r);
    for (int64_t e = 0; e < r->experts; e++)
        if (r->load[e] < least) add(m, dead, whole(e));
    return dead;
}

static json_t *domain_json(maker *m, int d)
{
    int64_t E = m->routing->experts, total = 0;
    const int64_t *row = m->layer->choices + d * E;
    json_t *domain = json_object(), *choices = json_array(), *shares = json_array();
    for (int64_t e = 0; e < E; e++) total += row[e];
    for (int64_t e = 0; e < E; e++) {
        add(m, choices, whole(row[e]));
        add(m, shares, real((double)row[e] / (double)total));
    }
    set(m, domain, "name", name_json(m->routing->domain_names[d]));
    set(m, domain, "choices", choices);
    if (m->tokenizer)
        set(m, domain, "share", shares);
    else
        json_decref(shares);
    return domain;
}

static json_t *pairs_json(maker *m, bool lift)
{
    int64_t E = m->routing->experts;
    if (!m->layer->pairs) return json_null();
    json_t *rows = json_array();
    for (int64_t a = 0; a < E; a++) {
        json_t *row = json_array();
        for (int64_t b = a * E; b < (a + 1) * E; b++)
            add(m, row,
                lift ? real((double)m->layer->pairs[b] / m->layer->expected[b]) : whole(m->layer->pairs[b]));
        add(m, rows, row);
    }
    return rows;
}

static json_t *tokens_json(maker *m, const mo_routed_token *tokens, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *one = json_object();
        char *text = mo_tokenizer_show(m->tokenizer, tokens[i].id);
        set(m, one, "id", whole(tokens[i].id));
        set(m, one, "text", text ? json_string(text) : NULL);
        set(m, one, "count", whole(tokens[i].count));
        set(m, one, "all", whole(tokens[i].all));
        set(m, one, "lift", real(tokens[i].lift));
        add(m, list, one);
        mo_free(text);
    }
    return list;
}

static json_t *experts_json(maker *m)
{
    if (!m->layer->tokens) return json_null();
    json_t *list = json_array();
    for (int64_t e = 0; e < m->routing->experts; e++) {
        const mo_expert_tokens *t = &m->layer->tokens[e];
        json_t *one = json_object();
        set(m, one, "frequent", tokens_json(m, t->frequent, t->n_frequent));
        set(m, one, "own", tokens_json(m, t->own, t->n_own));
        add(m, list, one);
    }
    return list;
}

static void set_report(maker *m, json_t *object)
{
    const mo_layer_report *r = &m->layer->report;
    json_t *load = json_array();
    for (int64_t e = 0; e < r->experts; e++) add(m, load, real(r->load[e]));
    set(m, object, "layer", whole(r->layer));
    set(m, object, "experts", whole(r->experts));
    set(m, object, "tokens", whole(m->routing->tokens));
    set(m, object, "choices", whole(m->layer->total));
    set(m, object, "load", load);
    set(m, object, "max_vio", real(r->max_vio));
    set(m, object, "cv", real(r->cv));
    set(m, object, "entropy", real(r->entropy));
    set(m, object, "top1", real(r->top1));
    set(m, object, "top1_weight", real(r->top1_weight));
    set(m, object, "dropped", real(r->dropped));
    set(m, object, "z", real(r->z));
    set(m, object, "dead", whole(r->dead));
    set(m, object, "dead_experts", dead_json(m));
}

json_t *mo__routing_layer_json(const mo_routing *routing, int layer, const mo_tokenizer *tokenizer)
{
    maker m = {.routing = routing, .layer = &routing->layers[layer], .tokenizer = tokenizer};
    json_t *object = json_object(), *domains = json_array();
    set_report(&m, object);
    for (int d = 0; d < routing->n_domains; d++) add(&m, domains, domain_json(&m, d));
    set(&m, object, "domains", domains);
    set(&m, object, "mutual_information", real(m.layer->mutual_information));
    set(&m, object, "mutual_information_corrected", real(m.layer->corrected));
    set(&m, object, "domain_entropy", real(m.layer->domain_entropy));
    set(&m, object, "coactivation", pairs_json(&m, false));
    if (tokenizer) {
        set(&m, object, "lift", pairs_json(&m, true));
        set(&m, object, "routed_tokens", experts_json(&m));
    }
    if (!m.failed) return object;
    json_decref(object);
    return NULL;
}
