/* describe.c -- what a model is made of and what training it takes. */
#include "describe.h"

#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "json_out.h"
#include "table.h"
#include "base/units.h"

/* ---- the model ---- */

static void print_experts(const mo_model_config *c)
{
    bool chosen = mo_router_describe(c->router)->traits & MO_ROUTER_FUTURE;
    printf("%lld experts of %lld, ", (long long)c->num_local_experts, (long long)c->moe_intermediate_size);
    if (chosen)
        printf("%g per token on average (%s", mo_model_config_experts_per_token(c),
               mo_router_names[c->router]);
    else
        printf("%lld per token (%s", (long long)c->num_experts_per_tok, mo_router_names[c->router]);
    bool limited = c->capacity_factor > 0 && !chosen;
    if (limited) printf(", capacity %g", c->capacity_factor);
    if (c->eval_capacity_factor > 0)
        printf(", %s%g in evaluation", limited ? "" : "capacity ", c->eval_capacity_factor);
    putchar(')');
}

static void print_blocks(const mo_model_config *c)
{
    int64_t layers = mo_model_config_moe_layers(c), dense = c->num_hidden_layers - layers;
    if (layers > 0) print_experts(c);
    if (c->n_shared_experts > 0) printf(" and %lld shared", (long long)c->n_shared_experts);
    if (layers > 0 && dense > 0) printf(" in %s, ", mo__counted(layers, "layer").text);
    if (dense > 0) printf("dense blocks of %lld", (long long)c->intermediate_size);
    if (layers > 0 && dense > 0) printf(" in %lld", (long long)dense);
}

/* What is not as in most models: nothing, or a line. */
static void print_norms(const mo_model_config *c)
{
    static const char *const where[] = {
        [MO_QK_NORM_LAYER] = "over all heads", [MO_QK_NORM_HEAD] = "per head"};
    const char *between = "norms        ";
    if (c->norm != MO_NORM_RMS) {
        printf("%s%s", between, mo_norm_names[c->norm]);
        between = ", ";
    }
    if (c->qk_norm != MO_QK_NORM_NONE) {
        printf("%squeries and keys normed %s", between, where[c->qk_norm]);
        between = ", ";
    }
    if (c->clip_qkv > 0) {
        printf("%squeries, keys and values clipped to %g", between, c->clip_qkv);
        between = ", ";
    }
    if (*between == ',') putchar('\n');
}

void mo__describe_model(const mo_model *m)
{
    const mo_model_config *c = &m->config;
    mo_model_count n = mo_model_counts(m, 0);
    long long layers = c->num_hidden_layers, heads = c->num_attention_heads, kv = c->num_key_value_heads;
    printf("model        %lld layer%s of width %lld, %lld heads of %lld (%lld for keys and values), ", layers,
           layers == 1 ? "" : "s", (long long)c->hidden_size, heads, (long long)c->head_dim, kv);
    print_blocks(c);
    printf(", %s, vocabulary %lld\n", mo_activation_names[c->hidden_act], (long long)c->vocab_size);
    print_norms(c);
    if (c->embd_pdrop > 0 || c->resid_pdrop > 0 || c->attention_dropout > 0)
        printf("dropout      %g of embeddings, %g of blocks' outputs, %g of attention's probabilities\n",
               c->embd_pdrop, c->resid_pdrop, c->attention_dropout);
    printf("parameters   %s, of which a token uses %s", mo__count(n.total).text, mo__count(n.active).text);
    if (mo_model_tuned(m))
        printf("; %s train (%.3g%%)", mo__count(n.trainable).text,
               100 * (double)n.trainable / (double)n.total);
    putchar('\n');
}

json_t *mo__model_json(const mo_model_config *c)
{
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"vocab_size", c->vocab_size},
                 {"hidden_size", c->hidden_size},
                 {"intermediate_size", c->intermediate_size},
                 {"moe_intermediate_size", c->moe_intermediate_size},
                 {"num_hidden_layers", c->num_hidden_layers},
                 {"num_attention_heads", c->num_attention_heads},
                 {"num_key_value_heads", c->num_key_value_heads},
                 {"head_dim", c->head_dim},
                 {"max_position_embeddings", c->max_position_embeddings},
                 {"sliding_window", c->sliding_window},
                 {"num_local_experts", c->num_local_experts},
                 {"num_experts_per_tok", c->num_experts_per_tok},
                 {"n_shared_experts", c->n_shared_experts},
                 {"first_k_dense_replace", c->first_k_dense_replace},
                 {"moe_layer_freq", c->moe_layer_freq},
                 {"moe_layers", mo_model_config_moe_layers(c)}};
    json_t *model = json_object();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        mo__json_set(model, sizes[i].key, mo__json_integer(sizes[i].value));
    mo__json_set(model, "router", json_string(mo_router_names[c->router]));
    mo__json_set(model, "capacity_factor",
                 c->capacity_factor > 0 ? mo__json_real(c->capacity_factor) : json_null());
    mo__json_set(model, "eval_capacity_factor",
                 c->eval_capacity_factor > 0 ? mo__json_real(c->eval_capacity_factor) : json_null());
    mo__json_set(model, "hidden_act", json_string(mo_activation_names[c->hidden_act]));
    mo__json_set(model, "norm", json_string(mo_norm_names[c->norm]));
    mo__json_set(model, "qk_norm", json_string(mo_qk_norm_names[c->qk_norm]));
    mo__json_set(model, "clip_qkv", c->clip_qkv > 0 ? mo__json_real(c->clip_qkv) : json_null());
    mo__json_set(model, "embd_pdrop", mo__json_real(c->embd_pdrop));
    mo__json_set(model, "resid_pdrop", mo__json_real(c->resid_pdrop));
    mo__json_set(model, "attention_dropout", mo__json_real(c->attention_dropout));
    return model;
}

/* ---- parameters ---- */

/* "model.layers.12.mlp" -> ".mlp"; false for a name outside the layers. */
static bool layer_name(const char *name, const char **rest)
{
    static const char PREFIX[] = "model.layers.";
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0) return false;
    char *end;
    strtol(name + sizeof PREFIX - 1, &end, 10);
    *rest = end;
    return *end == '.';
}

static bool same_in_layers(const mo_param *a, const mo_param *b, const mo_optim_config *optimizer)
{
    const char *x, *y;
    return layer_name(a->name, &x) && layer_name(b->name, &y) && strcmp(x, y) == 0 && a->ndim == b->ndim &&
           memcmp(a->dim, b->dim, sizeof a->dim) == 0 && a->frozen == b->frozen &&
           mo_optim_group_of(optimizer, a->name) == mo_optim_group_of(optimizer, b->name);
}

/* How many parameters fold into this one; 0 if an earlier one stands for it. */
static int fold(const mo_model *m, const mo_optim_config *optimizer, int i)
{
    int copies = 1;
    for (int j = 0; j < m->n_params; j++) {
        if (j == i || !same_in_layers(&m->params[i], &m->params[j], optimizer)) continue;
        if (j < i) return 0;
        copies++;
    }
    return copies;
}

static void add_parameter(mo__table *t, const mo_param *p, int copies)
{
    const char *rest;
    char shape[96];
    int at = 0;
    for (int d = 0; d < p->ndim; d++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", d ? " x " : "", (long long)p->dim[d]);
    if (copies > 1 && layer_name(p->name, &rest))
        mo__cell(t, "model.layers.*%s", rest);
    else
        mo__cell(t, "%s", p->name);
    mo__cell(t, "%d", copies);
    mo__cell(t, "%s", shape);
    mo__cell(t, "%s", mo__count(p->count * copies).text);
    mo__cell(t, "%.3g%%", 100 * p->active);
}

static const char *idle_word(const mo_param *p)
{
    return p->buffer ? "buffer" : "frozen";
}

/* The group by what it matches, and what comes of it. */
static void add_rates(mo__table *t, const mo_model *m, const mo_optim_config *optimizer, int i)
{
    int group = mo_optim_group_of(optimizer, m->params[i].name);
    if (!mo_param_trains(&m->params[i])) { /* not the optimizer's */
        mo__cell(t, "%s", idle_word(&m->params[i]));
        mo__cell(t, "-");
        mo__cell(t, "-");
        return;
    }
    mo__cell(t, "%s", group < 0 ? "-" : optimizer->groups.at[group].match);
    mo__cell(t, "%.4g", m->segments[i].rate_scale);
    mo__cell(t, "%.4g", mo_segment_decay(&m->segments[i], optimizer));
}

mo_status mo__describe_parameters(const mo_model *m, const mo_optim_config *optimizer, bool folded)
{
    bool grouped = optimizer->groups.count > 0;
    mo__table t = mo__table_begin("<parameter|>copies|<shape|>elements|>used by a token");
    if (grouped) {
        mo__table_column(&t, false, "group");
        mo__table_column(&t, true, "rate scale");
        mo__table_column(&t, true, "weight decay");
    } else {
        mo__table_column(&t, false, "decays");
    }
    bool buffers = false;
    for (int i = 0; i < m->n_params; i++) {
        int copies = folded ? fold(m, optimizer, i) : 1;
        buffers |= m->params[i].buffer;
        if (copies == 0) continue;
        add_parameter(&t, &m->params[i], copies);
        if (grouped)
            add_rates(&t, m, optimizer, i);
        else if (!mo_param_trains(&m->params[i]))
            mo__cell(&t, "%s", idle_word(&m->params[i]));
        else
            mo__cell(&t, "%s", m->params[i].decay ? "yes" : "no");
    }
    MO_TRY(mo__table_print(&t));
    printf("weight decay applies to parameters of two and more dimensions, routers among them%s\n",
           grouped ? "; a group's own to all of the group" : "");
    if (buffers)
        printf("buffers are moved by a rule of their own, not by the optimizer, and are not counted\n");
    return MO_OK;
}

json_t *mo__parameters_json(const mo_model *m, const mo_optim_config *optimizer)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        json_t *one = json_object(), *shape = json_array();
        for (int d = 0; d < p->ndim; d++) mo__json_add(shape, mo__json_integer(p->dim[d]));
        mo__json_set(one, "name", json_string(p->name));
        mo__json_set(one, "shape", shape);
        mo__json_set(one, "elements", mo__json_integer(p->count));
        mo__json_set(one, "active", mo__json_real(p->active));
        bool decay = !p->frozen && mo_segment_decay(&m->segments[i], optimizer) > 0;
        mo__json_set(one, "decay", json_boolean(decay));
        mo__json_set(one, "buffer", json_boolean(p->buffer));
        mo__json_set(one, "frozen", json_boolean(p->frozen));
        int group = !mo_param_trains(p) ? -1 : mo_optim_group_of(optimizer, p->name);
        mo__json_set(one, "group", group < 0 ? json_null() : mo__json_integer(group));
        mo__json_set(one, "learning_rate_scale", mo__json_real(m->segments[i].rate_scale));
        mo__json_set(one, "weight_decay", mo__json_real(mo_segment_decay(&m->segments[i], optimizer)));
        mo__json_add(list, one);
    }
    return list;
}

/* ---- memory ---- */

typedef struct memory_row {
    const char *key, *what;
    size_t offset;
    bool part; /* of the row before it, not of the sum */
} memory_row;

static const memory_row memory_rows[] = {
    {"parameters", "parameters", offsetof(mo_run_memory, parameters), false},
    {"gradients", "gradients", offsetof(mo_run_memory, gradients), false},
    {"optimizer", "optimizer (two moments)", offsetof(mo_run_memory, optimizer), false},
    {"activations", "activations", offsetof(mo_run_memory, activations), false},
    {"kept", "  of it, kept for backward", offsetof(mo_run_memory, kept), true},
    {"scratch", "  of it, scratch of one op", offsetof(mo_run_memory, scratch), true},
    {"data", "data and batches", offsetof(mo_run_memory, data), false},
    {"snapshot", "checkpoint snapshot", offsetof(mo_run_memory, snapshot), false},
    {"checkpoint", "saving and sampling", offsetof(mo_run_memory, checkpoint), false},
    {"runtime", "program, libraries, threads", offsetof(mo_run_memory, runtime), false},
    {"total", "total", offsetof(mo_run_memory, total), false},
    {"mapped", "mapped from the base's files", offsetof(mo_run_memory, mapped), true},
};
enum { MEMORY_ROWS = sizeof memory_rows / sizeof *memory_rows };

static uint64_t memory_of(const mo_run_memory *memory, const memory_row *row)
{
    uint64_t bytes;
    memcpy(&bytes, (const char *)memory + row->offset, sizeof bytes);
    return bytes;
}

mo_status mo__describe_memory(const mo_run_memory *memory)
{
    mo__table t = mo__table_begin("<memory of training|>bytes|>");
    for (int i = 0; i < MEMORY_ROWS; i++) {
        uint64_t bytes = memory_of(memory, &memory_rows[i]);
        if (memory_rows[i].offset == offsetof(mo_run_memory, mapped) && bytes == 0) continue;
        mo__cell(&t, "%s", memory_rows[i].what);
        mo__cell(&t, "%s", mo__count((int64_t)bytes).text);
        mo__cell(&t, "%s", mo__bytes((double)bytes).text);
    }
    MO_TRY(mo__table_print(&t));
    uint64_t available = mo_memory_available();
    if (available)
        printf("%s available here: it %s\n", mo__bytes((double)available).text,
               memory->total <= available ? "fits" : "does not fit");
    return MO_OK;
}

json_t *mo__memory_json(const mo_run_memory *memory)
{
    json_t *object = json_object();
    char key[40];
    for (int i = 0; i < MEMORY_ROWS; i++) {
        snprintf(key, sizeof key, "%s_bytes", memory_rows[i].key);
        mo__json_set(object, key, mo__json_integer((int64_t)memory_of(memory, &memory_rows[i])));
    }
    mo__json_set(object, "available_bytes", mo__json_integer((int64_t)mo_memory_available()));
    return object;
}
