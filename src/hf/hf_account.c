/* hf_account.c -- every parameter finds its tensors, every tensor its parameter. What does not is gathered
 * and named, the first of each kind, since one wrong number in config.json makes many tensors wrong. */
#include <stdarg.h>
#include <string.h>

#include "hf/hf_internal.h"
#include "hf/places.h"

enum { MOST_TOLD = 3 };

/* What is wrong, in words. */
typedef struct findings {
    char text[1600];
    size_t used;
    int missing, wrong, extra;
} findings;

static void tell(findings *f, int *kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void tell(findings *f, int *kind, const char *format, ...)
{
    if (++*kind > MOST_TOLD || f->used >= sizeof f->text) return;
    va_list arguments;
    va_start(arguments, format);
    f->used += (size_t)snprintf(f->text + f->used, sizeof f->text - f->used, "%s", f->used ? "; " : "");
    if (f->used < sizeof f->text)
        f->used += (size_t)vsnprintf(f->text + f->used, sizeof f->text - f->used, format, arguments);
    va_end(arguments);
}

static mo_status conclude(const mo_hf *hf, findings *f)
{
    int all = f->missing + f->wrong + f->extra, told = 0;
    const int kinds[] = {f->missing, f->wrong, f->extra};
    for (int i = 0; i < 3; i++) told += kinds[i] < MOST_TOLD ? kinds[i] : MOST_TOLD;
    if (all == 0) return MO_OK;
    char more[64] = "";
    if (all > told) snprintf(more, sizeof more, "; and %d more", all - told);
    return mo_error(MO_E_MISMATCH, "%s: config.json and the tensors disagree: %s%s", hf->dir, f->text, more);
}

/* ---- a parameter's tensors ---- */

/* Which numbers of config.json make a shape: what a message should say besides the shape. */
static const char *sizes_of(const char *name)
{
    if (strstr(name, "embed_tokens") || strstr(name, "lm_head")) return "vocab_size, hidden_size";
    if (strstr(name, "self_attn.q_proj") || strstr(name, "self_attn.o_proj"))
        return "hidden_size, num_attention_heads, head_dim";
    if (strstr(name, "self_attn.")) return "hidden_size, num_key_value_heads, head_dim";
    if (strstr(name, ".experts.")) return "num_local_experts, hidden_size, intermediate_size";
    if (strstr(name, "gate.weight")) return "num_local_experts, hidden_size";
    if (strstr(name, "mlp.")) return "hidden_size, intermediate_size";
    return "hidden_size";
}

static bool same_shape(const mo__place *place, const mo__shard_tensor *t)
{
    if (place->ndim != t->ndim) return false;
    for (int i = 0; i < t->ndim; i++)
        if (place->dim[i] != t->dim[i]) return false;
    return true;
}

static mo__found_tensor *find(mo_hf *hf, const mo__place *place, findings *f)
{
    mo__found_tensor *found = mo__shards_find(&hf->shards, place->name);
    if (!found) {
        tell(f, &f->missing, "tensor %s of shape %s is missing", place->name,
             mo__shape_show(place->ndim, place->dim).text);
        return NULL;
    }
    found->used = true;
    if (same_shape(place, found->tensor)) return found;
    tell(f, &f->wrong, "%s is %s in %s, and %s by config.json's %s", place->name,
         mo__shape_show(found->tensor->ndim, found->tensor->dim).text, found->shard->name,
         mo__shape_show(place->ndim, place->dim).text, sizes_of(place->name));
    return NULL;
}

static mo_status check_type(const mo__found_tensor *found, const mo_stored *s, bool first)
{
    const mo__shard_dtype *type = found->tensor->dtype;
    if (type->dtype < 0)
        return mo_error(MO_E_UNSUPPORTED, "%s: tensor %s is of type %s; weights must be F32, F16 or BF16",
                        found->shard->path, found->name, type->name);
    if (!first && type->dtype != (int)s->dtype)
        return mo_error(MO_E_UNSUPPORTED,
                        "%s: tensor %s is of type %s, and the experts before it of %s; all of a layer "
                        "must be of one type",
                        found->shard->path, found->name, type->name, mo__shard_dtype_of(s->dtype)->name);
    return MO_OK;
}

static mo_status place_param(mo_hf *hf, const mo_param *p, mo_stored *s, const void **part, findings *f)
{
    int64_t n = 0, places = mo__place_count(p, hf->fused);
    s->parts = mo__is_experts(p) ? p->dim[0] : 1;
    s->part_elements = p->count / s->parts;
    s->part = part;
    for (int64_t i = 0; i < places; i++) {
        mo__place place;
        mo__place_of(p, hf->fused, i, &place);
        mo__found_tensor *found = find(hf, &place, f);
        if (!found) continue;
        MO_TRY(check_type(found, s, n == 0));
        s->dtype = (mo_dtype)found->tensor->dtype->dtype;
        int64_t size = (int64_t)mo_dtype_size(s->dtype);
        for (int64_t k = 0; k < place.parts; k++)
            part[n++] = found->tensor->data + (place.first + k * place.part_stride) * size;
    }
    return MO_OK;
}

/* ---- tensors without a parameter ---- */

/* Tables of old Llamas that are computed from rope_theta and that transformers passes over too. */
static bool is_computed(const char *name)
{
    return mo_glob_match("model.layers.*.self_attn.rotary_emb.inv_freq", name);
}

/* Some files have the tied head a second time. */
static mo_status take_tied_head(mo_hf *hf)
{
    mo__found_tensor *head = mo__shards_find(&hf->shards, "lm_head.weight"),
                     *table = mo__shards_find(&hf->shards, "model.embed_tokens.weight");
    if (!hf->config.model.tie_word_embeddings || !head || !table) return MO_OK;
    const mo__shard_tensor *a = head->tensor, *b = table->tensor;
    head->used = true;
    if (a->dtype == b->dtype && a->end - a->begin == b->end - b->begin &&
        memcmp(a->data, b->data, (size_t)(a->end - a->begin)) == 0)
        return MO_OK;
    return mo_error(MO_E_MISMATCH,
                    "%s: tie_word_embeddings is true in config.json, and lm_head.weight is there and not "
                    "the same as model.embed_tokens.weight",
                    hf->dir);
}

static void find_extra(mo_hf *hf, findings *f)
{
    for (int64_t i = 0; i < hf->shards.n_tensors; i++) {
        const mo__found_tensor *t = &hf->shards.tensors[i];
        if (!t->used && !is_computed(t->name))
            tell(f, &f->extra, "tensor %s %s in %s is none of this model's", t->name,
                 mo__shape_show(t->tensor->ndim, t->tensor->dim).text, t->shard->name);
    }
}

static void warn_of_type(const mo_hf *hf)
{
    for (int64_t i = 0; hf->config.dtype >= 0 && i < hf->shards.n_tensors; i++) {
        const mo__found_tensor *t = &hf->shards.tensors[i];
        if (is_computed(t->name) || t->tensor->dtype->dtype == hf->config.dtype) continue;
        mo_log(MO_LOG_WARNING,
               "%s: config.json says %s, and tensor %s is %s (others may be too): each keeps its own type",
               hf->dir, mo_dtype_name((mo_dtype)hf->config.dtype), t->name, t->tensor->dtype->name);
        return;
    }
}

/* A config.json can claim more matrices in a line than could be looked for in a day. Each has a tensor, or in
 * the fused layout at least one element of two bytes. */
static mo_status check_claim(const mo_hf *hf, int64_t matrices)
{
    const mo_model_config *c = &hf->config.model;
    int64_t bytes = 0, tensors = hf->shards.n_tensors;
    for (int64_t i = 0; i < tensors; i++)
        bytes += hf->shards.tensors[i].tensor->end - hf->shards.tensors[i].tensor->begin;
    int64_t most = hf->fused ? bytes / 2 : 2 * tensors + 1000; /* up to there what is missing is named */
    if (matrices <= most) return MO_OK;
    return mo_error(MO_E_MISMATCH,
                    "%s: config.json and the tensors disagree: num_hidden_layers %lld and num_local_experts "
                    "%lld make %lld matrices; there are %lld tensors of %lld bytes",
                    hf->dir, (long long)c->num_hidden_layers, (long long)c->num_local_experts,
                    (long long)matrices, (long long)tensors, (long long)bytes);
}

mo_status mo__hf_account(mo_hf *hf)
{
    findings f = {.used = 0};
    const mo_model *m = hf->model;
    int64_t parts = 0;
    for (int64_t i = 0; i < hf->shards.n_tensors && !hf->fused; i++)
        hf->fused = mo__is_fused_name(hf->shards.tensors[i].name);
    for (int i = 0; i < m->n_params; i++) parts += mo__is_experts(&m->params[i]) ? m->params[i].dim[0] : 1;
    MO_TRY(check_claim(hf, parts));
    hf->stored = mo_calloc((size_t)m->n_params, sizeof *hf->stored);
    hf->parts = mo_calloc((size_t)parts, sizeof *hf->parts);
    if (!hf->stored || !hf->parts) return MO_E_MEMORY;
    const void **part = hf->parts;
    for (int i = 0; i < m->n_params; i++) {
        MO_TRY(place_param(hf, &m->params[i], &hf->stored[i], part, &f));
        part += hf->stored[i].parts;
    }
    MO_TRY(take_tied_head(hf));
    find_extra(hf, &f);
    MO_TRY(conclude(hf, &f));
    warn_of_type(hf);
    return MO_OK;
}
