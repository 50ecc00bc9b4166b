/* peft_read.c -- PEFT's adapters, tensor by tensor, as ours. Which matrices have some is told by the tensors
 * alone; adapter_config.json has rank, scale, and what there is no way to do. */
#include <math.h>
#include <string.h>

#include "hf/peft_config.h"
#include "hf/safetensors.h"
#include "moira/peft.h"

#define PREFIX "base_model.model."
static const char *const target_names[] = {"q_proj", "k_proj", "v_proj",    "o_proj",  "w1",
                                           "w2",     "w3",     "gate_proj", "up_proj", "down_proj"};
enum { TARGETS = 10, NAME = 256 };

/* A pair of tensors, and whose it is. */
typedef struct pair {
    const mo__shard_tensor *a, *b;
    const mo_param *w[2]; /* of gate_up_proj w1 and w3, else one and NULL */
    int64_t part;         /* expert; -1: a pair for all of them */
    int64_t rank;         /* of each matrix */
    bool diagonal;        /* gate_up_proj whose halves have ranks of their own */
} pair;

struct mo_peft {
    char *path; /* of the tensors */
    mo__peft_config config;
    mo__shard shard;
    mo_model *plain; /* names and shapes of the base */
    pair *pairs;
    int64_t n;
    mo_text targets[TARGETS]; /* text owned */
    mo_tuning_config tuning;
};

/* ---- whose a pair is ---- */

static mo_status refuse(const mo_peft *p, const char *name, const char *why)
{
    return mo_error(MO_E_UNSUPPORTED, "%s: %s %s", p->path, name, why);
}

static int target_of(const mo_param *w)
{
    const char *end = strrchr(w->name, '.');
    for (int t = 0; t < TARGETS; t++) {
        size_t length = strlen(target_names[t]);
        if ((size_t)(end - w->name) > length && end[-(ptrdiff_t)length - 1] == '.' &&
            memcmp(end - length, target_names[t], length) == 0)
            return t;
    }
    return -1;
}

static const mo_param *find(const mo_peft *p, const char *stem, size_t length, const char *end)
{
    char name[NAME];
    snprintf(name, sizeof name, "%.*s%s.weight", (int)length, stem, end);
    return mo_model_find(p->plain, name);
}

/* "<layer>.block_sparse_moe.experts.3.w1": the stack's name has no number. */
static bool find_expert(const mo_peft *p, const char *module, pair *out)
{
    static const char block[] = ".block_sparse_moe.experts.";
    const char *at = strstr(module, block);
    int expert = 0, used = 0;
    if (!at) return false;
    at += sizeof block - 1;
    if (sscanf(at, "%6d.%n", &expert, &used) != 1 || used == 0 || at[0] < '0' || at[0] > '9') return false;
    out->w[0] = find(p, module, (size_t)(at - module), at + used);
    out->part = expert;
    return out->w[0] && out->w[0]->ndim == 3 && expert < out->w[0]->dim[0];
}

/* "<layer>.mlp.experts", with ".base_layer" or without: which parameter it is for is told by the shapes. */
static bool find_fused(const mo_peft *p, const char *module, pair *out)
{
    const char *at = strstr(module, ".mlp.experts");
    if (!at || (strcmp(at, ".mlp.experts") != 0 && strcmp(at, ".mlp.experts.base_layer") != 0)) return false;
    size_t layer = (size_t)(at - module);
    const mo_param *w1 = find(p, module, layer, ".block_sparse_moe.experts.w1"),
                   *w2 = find(p, module, layer, ".block_sparse_moe.experts.w2"),
                   *w3 = find(p, module, layer, ".block_sparse_moe.experts.w3");
    if (!w1 || !w2 || !w3) return false;
    bool down = out->a->dim[1] == w2->dim[2] && out->b->dim[0] == w2->dim[1];
    out->w[0] = down ? w2 : w1;
    out->w[1] = down ? NULL : w3;
    out->part = -1;
    return true;
}

static bool find_plain(const mo_peft *p, const char *module, pair *out)
{
    out->w[0] = find(p, module, strlen(module), "");
    out->part = 0;
    return out->w[0] && out->w[0]->ndim == 2 && target_of(out->w[0]) >= 0;
}

/* ---- shapes ---- */

static mo_status check_shapes(const mo_peft *p, pair *own)
{
    const mo_param *w = own->w[0];
    int64_t E = own->part < 0 ? w->dim[0] : 1, O = w->dim[w->ndim - 2] * (own->w[1] ? 2 : 1),
            I = w->dim[w->ndim - 1], rows = own->a->dim[0];
    if (own->a->dim[1] != I || own->b->dim[0] != O || rows < 1 || rows % E != 0 || own->b->dim[1] != rows)
        return mo_error(
            MO_E_MISMATCH,
            "%s: %s is %s and its lora_B %s; beside %s %lld columns and %lld rows are needed, and "
            "one rank",
            p->path, own->a->name, mo__shape_show(2, own->a->dim).text, mo__shape_show(2, own->b->dim).text,
            w->name, (long long)I, (long long)O);
    own->rank = rows / E;
    if (p->config.rank == 0 || p->config.rank == own->rank) return MO_OK;
    return mo_error(MO_E_MISMATCH, "%s: %s is of rank %lld, and adapter_config.json's r is %lld", p->path,
                    own->a->name, (long long)own->rank, (long long)p->config.rank);
}

static mo_status values_of(const mo__shard_tensor *t, mo_real **out)
{
    const void *data = t->data;
    const mo_stored s = {(mo_dtype)t->dtype->dtype, 1, t->dim[0] * t->dim[1], &data};
    *out = mo_malloc((size_t)s.part_elements * sizeof **out);
    if (!*out) return MO_E_MEMORY;
    mo_stored_expand(&s, 0, 0, s.part_elements, *out);
    return MO_OK;
}

/* Whether the upper rows of B use but the first half of the ranks, and the lower ones the other. */
static mo_status find_diagonal(pair *own)
{
    mo_real *b;
    if (!own->w[1] || own->rank % 2 != 0) return MO_OK;
    MO_TRY(values_of(own->b, &b));
    int64_t rows = own->b->dim[0], columns = own->b->dim[1];
    own->diagonal = true;
    for (int64_t o = 0; o < rows; o++)
        for (int64_t c = 0; c < columns; c++)
            if ((o < rows / 2) != (c < columns / 2) && b[o * columns + c] != 0) own->diagonal = false;
    if (own->diagonal) own->rank /= 2;
    mo_free(b);
    return MO_OK;
}

/* ---- pairs ---- */

static const mo__shard_tensor *partner(const mo_peft *p, const mo__shard_tensor *t, char letter)
{
    char name[NAME + 32];
    snprintf(name, sizeof name, "%s", t->name);
    char *at = strstr(name, ".lora_");
    at[6] = letter;
    for (int64_t i = 0; i < p->shard.n_tensors; i++)
        if (strcmp(p->shard.tensors[i].name, name) == 0) return &p->shard.tensors[i];
    return NULL;
}

static bool shares_matrix(const pair *x, const pair *y)
{
    bool part = x->part < 0 || y->part < 0 || x->part == y->part;
    return part && (x->w[0] == y->w[0] || x->w[0] == y->w[1] || x->w[1] == y->w[0]);
}

/* Both layouts in one file, or one expert under two spellings of its number. */
static mo_status check_once(const mo_peft *p, const pair *own)
{
    for (int64_t i = 0; i < p->n; i++)
        if (shares_matrix(&p->pairs[i], own))
            return mo_error(MO_E_MISMATCH, "%s: %s and %s are beside the same matrix", p->path,
                            p->pairs[i].a->name, own->a->name);
    return MO_OK;
}

static mo_status add_pair(mo_peft *p, const mo__shard_tensor *a)
{
    char module[NAME];
    const char *begin = a->name + sizeof PREFIX - 1, *end = strstr(a->name, ".lora_A.weight");
    pair own = {.a = a, .b = partner(p, a, 'B')};
    if (!own.b) return mo_error(MO_E_MISMATCH, "%s: %s has no lora_B", p->path, a->name);
    if (a->ndim != 2 || own.b->ndim != 2) return refuse(p, a->name, "is no matrix");
    snprintf(module, sizeof module, "%.*s", (int)(end - begin), begin);
    if (!find_expert(p, module, &own) && !find_fused(p, module, &own) && !find_plain(p, module, &own))
        return refuse(p, a->name, "is beside nothing in this model that Moira has adapters for");
    MO_TRY(check_shapes(p, &own));
    MO_TRY(check_once(p, &own));
    MO_TRY(find_diagonal(&own));
    p->pairs[p->n++] = own;
    return MO_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static bool is_a(const mo__shard_tensor *t)
{
    return ends_with(t->name, ".lora_A.weight");
}

/* Name and type of each tensor, before the values of any are looked at. */
static mo_status check_tensor(const mo_peft *p, const mo__shard_tensor *t)
{
    bool known = is_a(t) || ends_with(t->name, ".lora_B.weight");
    if (strlen(t->name) >= NAME || strncmp(t->name, PREFIX, sizeof PREFIX - 1) != 0 || !known)
        return refuse(p, t->name, "is no part of an adapter as Moira has them");
    if (t->dtype->dtype < 0) return refuse(p, t->name, "is of a type that is not read: F32, F16, BF16 are");
    return MO_OK;
}

static mo_status find_pairs(mo_peft *p)
{
    const mo__shard_tensor *all = p->shard.tensors;
    p->pairs = mo_calloc((size_t)p->shard.n_tensors + 1, sizeof *p->pairs);
    if (!p->pairs) return MO_E_MEMORY;
    for (int64_t i = 0; i < p->shard.n_tensors; i++) MO_TRY(check_tensor(p, &all[i]));
    for (int64_t i = 0; i < p->shard.n_tensors; i++) {
        if (is_a(&all[i]))
            MO_TRY(add_pair(p, &all[i]));
        else if (!partner(p, &all[i], 'A'))
            return mo_error(MO_E_MISMATCH, "%s: %s has no lora_A", p->path, all[i].name);
    }
    return p->n > 0 ? MO_OK : mo_error(MO_E_UNSUPPORTED, "%s: has no adapters", p->path);
}

/* ---- what the model is to be ---- */

static mo_status settle(mo_peft *p)
{
    bool has[TARGETS] = {false};
    int64_t rank = 1;
    mo_tuning_config *t = &p->tuning;
    for (int64_t i = 0; i < p->n; i++) {
        if (p->pairs[i].rank > rank) rank = p->pairs[i].rank;
        for (int k = 0; k < 2; k++)
            if (p->pairs[i].w[k]) has[target_of(p->pairs[i].w[k])] = true;
    }
    t->lora.rank = rank;
    t->lora.alpha = p->config.scale * (double)rank;
    t->lora.dropout = p->config.dropout;
    t->lora.targets.at = p->targets;
    for (int k = 0; k < TARGETS; k++) {
        if (!has[k]) continue;
        char *text = mo_strdup(target_names[k]);
        if (!text) return MO_E_MEMORY;
        p->targets[t->lora.targets.count++].text = text;
    }
    return MO_OK;
}

static mo_status open_parts(mo_peft *p, const char *dir, const mo_model_config *config)
{
    MO_TRY(mo__peft_config_read(dir, &p->config));
    if (!(p->path = mo_path_join(dir, "adapter_model.safetensors"))) return MO_E_MEMORY;
    if (!mo_path_exists(p->path))
        return mo_error(MO_E_NOT_FOUND, "%s: there is no such file; adapters are read from safetensors alone",
                        p->path);
    MO_TRY(mo__shard_open(p->path, &p->shard));
    MO_TRY(mo_model_create(config, &p->plain));
    MO_TRY(find_pairs(p));
    return settle(p);
}

mo_status mo_peft_open(const char *dir, const mo_model_config *config, mo_peft **out)
{
    *out = NULL;
    mo_peft *p = mo_calloc(1, sizeof *p);
    if (!p) return MO_E_MEMORY;
    mo_status status = open_parts(p, dir, config);
    if (status == MO_OK)
        *out = p;
    else
        mo_peft_close(p);
    return status;
}

void mo_peft_close(mo_peft *p)
{
    if (!p) return;
    for (int t = 0; t < TARGETS; t++) mo_free(p->targets[t].text);
    mo_free(p->pairs);
    mo_model_free(p->plain);
    mo__shard_close(&p->shard);
    mo_free(p->config.base);
    mo_free(p->path);
    mo_free(p);
}

const char *mo_peft_base(const mo_peft *p)
{
    return p->config.base;
}

const mo_tuning_config *mo_peft_tuning(const mo_peft *p)
{
    return &p->tuning;
}

/* ---- loading ---- */

/* Where an adapter's matrix of expert e is: A [R, I] or B [O, R]. */
static mo_real *place_of(const mo_model *m, const mo_param *w, char letter, int64_t e)
{
    char name[NAME];
    const char *end = strrchr(w->name, '.');
    snprintf(name, sizeof name, "%.*s.lora_%c.weight", (int)(end - w->name), w->name, letter);
    const mo_param *p = mo_model_find(m, name);
    MO_ASSERT(p);
    return m->value + p->offset + e * p->dim[p->ndim - 2] * p->dim[p->ndim - 1];
}

/* Expert e of the E that a and b hold, for the i-th of the pair's matrices. */
static void fill(const mo_model *m, const pair *own, const mo_real *a, const mo_real *b, int i, int64_t e,
                 int64_t E, int64_t R)
{
    const mo_param *w = own->w[i];
    int64_t O = w->dim[w->ndim - 2], I = w->dim[w->ndim - 1], r = own->rank, in_file = own->a->dim[0] / E;
    int64_t first = own->diagonal ? i * r : 0, to = own->part < 0 ? e : own->part;
    memcpy(place_of(m, w, 'A', to), a + (e * in_file + first) * I, (size_t)(r * I) * sizeof *a);
    mo_real *out = place_of(m, w, 'B', to);
    for (int64_t o = 0; o < O; o++)
        for (int64_t k = 0; k < r; k++)
            out[o * R + k] = b[(i * O + o) * own->b->dim[1] + (first + k) * E + e];
}

static mo_status load_pair(const mo_peft *p, const mo_model *m, const pair *own)
{
    mo_real *a = NULL, *b = NULL;
    int64_t E = own->part < 0 ? own->w[0]->dim[0] : 1;
    mo_status status = values_of(own->a, &a);
    if (status == MO_OK) status = values_of(own->b, &b);
    for (int i = 0; i < 2 && status == MO_OK; i++)
        for (int64_t e = 0; e < E && own->w[i]; e++) fill(m, own, a, b, i, e, E, p->tuning.lora.rank);
    mo_free(a);
    mo_free(b);
    return status;
}

mo_status mo_peft_load(const mo_peft *p, mo_model *m)
{
    for (int i = 0; i < m->n_params; i++)
        if (strstr(m->params[i].name, ".lora_"))
            memset(m->value + m->params[i].offset, 0, (size_t)m->params[i].count * sizeof *m->value);
    for (int64_t i = 0; i < p->n; i++) MO_TRY(load_pair(p, m, &p->pairs[i]));
    return MO_OK;
}
