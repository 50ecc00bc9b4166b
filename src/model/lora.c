/* lora.c -- low-rank adapters (Hu et al. 2021, arXiv:2106.09685, eq. 3) beside matrices that may be frozen
 *   y = W x + B (s A drop(x)),  s = alpha / rank
 * A [rank, I] ~ U(-1/sqrt(I), 1/sqrt(I)) as in Hugging Face's PEFT, B [O, rank] = 0, so the model begins as
 * its base to the bit. Experts have a pair each, stacked like their matrices: A [E, rank, I], B [E, O, rank].
 * The scale is on the rank-wide values, the cheapest place, and leaves the sum a plain one. */
#include <math.h>
#include <string.h>

#include "model/build.h"

static const char *const target_names[] = {"q_proj", "k_proj", "v_proj",    "o_proj",  "w1",
                                           "w2",     "w3",     "gate_proj", "up_proj", "down_proj"};
enum { TARGETS = sizeof target_names / sizeof *target_names };

/* "model.layers.0.self_attn.q_proj.weight" -> q_proj; -1 for what is no target. */
static int target_of(const char *name)
{
    const char *end = strrchr(name, '.');
    if (!end || strcmp(end, ".weight") != 0) return -1;
    for (int t = 0; t < TARGETS; t++) {
        size_t length = strlen(target_names[t]);
        if ((size_t)(end - name) > length && end[-(ptrdiff_t)length - 1] == '.' &&
            memcmp(end - length, target_names[t], length) == 0)
            return t;
    }
    return -1;
}

/* Which targets the model has. */
static void find_targets(const mo_model *m, bool has[TARGETS])
{
    for (int t = 0; t < TARGETS; t++) has[t] = false;
    for (int i = 0; i < m->n_params; i++) {
        int t = target_of(m->params[i].name);
        if (t >= 0) has[t] = true;
    }
}

static mo_status refuse_target(const bool has[TARGETS], int64_t index, const char *text)
{
    char list[160] = "";
    size_t at = 0;
    for (int t = 0; t < TARGETS; t++)
        if (has[t])
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", target_names[t]);
    return mo_error(MO_E_CONFIG, "lora.targets[%lld]: '%s' is nothing that this model has; it has %s",
                    (long long)index, text, list);
}

static mo_status choose_targets(const mo_model *m, const mo_tuning_config *tuning, bool chosen[TARGETS])
{
    bool has[TARGETS];
    find_targets(m, has);
    for (int t = 0; t < TARGETS; t++) chosen[t] = has[t] && tuning->lora.targets.count == 0;
    for (int64_t i = 0; i < tuning->lora.targets.count; i++) {
        const char *text = tuning->lora.targets.at[i].text;
        int t = 0;
        while (t < TARGETS && strcmp(target_names[t], text) != 0) t++;
        if (t == TARGETS || !has[t]) return refuse_target(has, i, text);
        chosen[t] = true;
    }
    return MO_OK;
}

static mo_status declare_pair(mo_model *m, int base, int64_t rank)
{
    mo_param w = m->params[base]; /* a copy: declaring moves them */
    int n = w.ndim, stem = (int)(strrchr(w.name, '.') - w.name);
    int64_t I = w.dim[n - 1], a[4], b[4];
    memcpy(a, w.dim, sizeof a);
    memcpy(b, w.dim, sizeof b);
    a[n - 2] = b[n - 1] = rank;
    MO_TRY(mo__declare_owned(m, mo_strprintf("%.*s.lora_A.weight", stem, w.name), n, a, MO_INIT_UNIFORM,
                             1 / sqrt((double)I), w.active));
    return mo__declare_owned(m, mo_strprintf("%.*s.lora_B.weight", stem, w.name), n, b, MO_INIT_ZERO, 0,
                             w.active);
}

static mo_status check(const mo_tuning_config *tuning)
{
    if (tuning->lora.rank < 1)
        return mo_error(MO_E_CONFIG, "lora.rank is %lld; must be at least 1, or 0 for no adapters",
                        (long long)tuning->lora.rank);
    if (!(tuning->lora.alpha > 0 && tuning->lora.alpha <= 1e6))
        return mo_error(MO_E_CONFIG, "lora.alpha is %g; must be above 0 and at most 1e6", tuning->lora.alpha);
    if (!(tuning->lora.dropout >= 0 && tuning->lora.dropout < 1))
        return mo_error(MO_E_CONFIG, "lora.dropout is %g; must be at least 0 and below 1",
                        tuning->lora.dropout);
    return MO_OK;
}

mo_status mo__lora_declare(mo_model *m, const mo_tuning_config *tuning)
{
    bool chosen[TARGETS];
    if (tuning->lora.rank == 0) return MO_OK;
    MO_TRY(check(tuning));
    MO_TRY(choose_targets(m, tuning, chosen));
    int n_base = m->n_params;
    for (int i = 0; i < n_base; i++) {
        int t = target_of(m->params[i].name);
        if (t >= 0 && chosen[t]) MO_TRY(declare_pair(m, i, tuning->lora.rank));
    }
    for (int i = 0; i < n_base; i++) m->params[i].frozen = true;
    m->lora_scale = tuning->lora.alpha / (double)tuning->lora.rank;
    m->lora_dropout = tuning->lora.dropout;
    return MO_OK;
}

/* ---- graphs ---- */

typedef struct adapter {
    mo_tensor *a, *b; /* NULL: the matrix has none */
    double dropout;
    int stream;
} adapter;

static adapter adapter_of(mo__builder *b, int64_t layer, const char *weight)
{
    char name[160];
    int stem = (int)(strrchr(weight, '.') - weight);
    snprintf(name, sizeof name, "model.layers.%lld.%.*s.lora_A.weight", (long long)layer, stem, weight);
    if (!mo_model_find(b->model, name)) return (adapter){0};
    adapter found = {.a = mo__param(b, name), .dropout = mo__drop_probability(b, b->model->lora_dropout)};
    *strrchr(name, 'A') = 'B';
    found.b = mo__param(b, name);
    found.stream = mo__drop_stream(layer, MO__DROP_ADAPTERS + target_of(weight));
    return found;
}

mo_tensor *mo__adapted_linear(mo__builder *b, int64_t layer, const char *weight, mo_tensor *x_NI)
{
    mo_tensor *y = mo_linear(b->g, x_NI, mo__layer_param(b, layer, weight));
    adapter d = adapter_of(b, layer, weight);
    if (!d.a) return y;
    mo_tensor *low = mo_linear(b->g, mo_dropout(b->g, x_NI, d.dropout, d.stream), d.a);
    return mo_add(b->g, y, mo_linear(b->g, mo_scale(b->g, low, b->model->lora_scale), d.b));
}

mo_tensor *mo__adapted_experts(mo__builder *b, int64_t layer, const char *weight, mo_tensor *x_RI,
                               const mo_dispatch_map *map)
{
    mo_tensor *y = mo_experts(b->g, x_RI, mo__layer_param(b, layer, weight), map);
    adapter d = adapter_of(b, layer, weight);
    if (!d.a) return y;
    mo_tensor *low = mo_experts(b->g, mo_dropout_rows(b->g, x_RI, map, d.dropout, d.stream), d.a, map);
    return mo_add(b->g, y, mo_experts(b->g, mo_scale(b->g, low, b->model->lora_scale), d.b, map));
}

/* ---- merging ---- */

static const mo_param *adapter_param(const mo_model *m, const mo_param *p, char which)
{
    char name[192];
    snprintf(name, sizeof name, "%.*s.lora_%c.weight", (int)(strrchr(p->name, '.') - p->name), p->name,
             which);
    return mo_model_find(m, name);
}

mo_status mo_model_merged(const mo_model *m, const mo_param *p, int64_t part, mo_real *out)
{
    int64_t O = p->ndim > 1 ? p->dim[p->ndim - 2] : 1, I = p->dim[p->ndim - 1];
    MO_ASSERT(part >= 0 && (part == 0 || (p->ndim == 3 && part < p->dim[0])));
    mo_model_values(m, p, part * O * I, O * I, out);
    const mo_param *a = m->lora_scale > 0 ? adapter_param(m, p, 'A') : NULL;
    if (!a) return MO_OK;
    int64_t r = a->dim[a->ndim - 2];
    const mo_param *b = adapter_param(m, p, 'B');
    mo_gemm(false, false, O, I, r, (mo_real)m->lora_scale, m->value + b->offset + part * O * r, r,
            m->value + a->offset + part * r * I, I, 1, out, I);
    return MO_OK;
}
