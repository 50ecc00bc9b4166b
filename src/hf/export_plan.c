/* export_plan.c -- parameters as tensors, in the model's order; a file is full when the next tensor would not
 * fit. */
#include "hf/export_plan.h"

#include <string.h>

static const int64_t usual_shard = INT64_C(5) * 1000 * 1000 * 1000; /* transformers' own */

static bool is_exported(const mo_param *p)
{
    return !p->buffer && !strstr(p->name, ".lora_");
}

/* w1 brings w3 along in the fused layout. */
static bool is_third(const mo_param *p)
{
    return mo__is_experts(p) && strstr(p->name, ".w3.weight");
}

static const mo_param *partner(const mo_model *m, const mo_param *p)
{
    char name[MO__PLACE_NAME];
    snprintf(name, sizeof name, "%s", p->name);
    char *at = strstr(name, ".w1.weight");
    if (!mo__is_experts(p) || !at) return NULL;
    at[2] = '3';
    return mo_model_find(m, name);
}

static mo_dtype dtype_of(const mo_hf_export_options *o, const mo_param *p, const mo_param *other)
{
    mo_dtype dtype = o->dtypes[p - o->model->params];
    if (!other || o->dtypes[other - o->model->params] == dtype) return dtype;
    return MO_F32; /* one tensor of both: the type that holds all values of either */
}

static void add(const mo_hf_export_options *o, mo__plan *plan, const mo_param *p, int64_t i)
{
    mo__place place;
    mo__planned *t = &plan->at[plan->n++];
    bool experts = mo__is_experts(p);
    mo__place_of(p, o->fused, i, &place);
    const mo_param *other = o->fused ? partner(o->model, p) : NULL;
    *t = (mo__planned){.from = {p, other}, .first = experts && !o->fused ? i : 0, .parts = place.parts};
    mo__shard_entry *e = &t->entry;
    memcpy(e->name, place.name, sizeof e->name);
    memcpy(e->dim, place.dim, sizeof e->dim);
    e->ndim = place.ndim;
    e->dtype = dtype_of(o, p, other);
    e->bytes = (int64_t)mo_dtype_size(e->dtype);
    for (int d = 0; d < e->ndim; d++) e->bytes *= e->dim[d];
    int64_t part = experts ? p->dim[1] * p->dim[2] : p->count;
    if (part > plan->part_elements) plan->part_elements = part;
}

static void assign_shards(mo__plan *plan, int64_t most)
{
    int64_t size = 0, of[3] = {0, 0, 0};
    const mo_dtype types[] = {MO_BF16, MO_F16, MO_F32};
    for (int64_t i = 0; i < plan->n; i++) {
        mo__planned *t = &plan->at[i];
        if (i > 0 && size + t->entry.bytes > most) {
            plan->shards++;
            size = 0;
        }
        t->shard = plan->shards;
        size += t->entry.bytes;
        plan->bytes += t->entry.bytes;
        for (int k = 0; k < 3; k++) of[k] += t->entry.dtype == types[k] ? t->entry.bytes : 0;
    }
    plan->shards++;
    int most_of = 0;
    for (int k = 1; k < 3; k++)
        if (of[k] > of[most_of]) most_of = k;
    plan->dtype = types[most_of];
}

mo_status mo__plan_make(const mo_hf_export_options *o, mo__plan *out)
{
    const mo_model *m = o->model;
    int64_t n = 0;
    *out = (mo__plan){0};
    for (int i = 0; i < m->n_params; i++)
        if (is_exported(&m->params[i])) n += mo__place_count(&m->params[i], o->fused);
    out->at = mo_calloc((size_t)n, sizeof *out->at);
    if (!out->at) return MO_E_MEMORY;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (!is_exported(p) || (o->fused && is_third(p))) continue;
        for (int64_t k = 0; k < mo__place_count(p, o->fused); k++) add(o, out, p, k);
    }
    assign_shards(out, o->max_shard_bytes > 0 ? o->max_shard_bytes : usual_shard);
    return MO_OK;
}

void mo__plan_free(mo__plan *plan)
{
    mo_free(plan->at);
    *plan = (mo__plan){0};
}
