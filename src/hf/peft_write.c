/* peft_write.c -- adapters as a folder that PEFT reads. */
#include <math.h>
#include <string.h>

#include "hf/hf_config.h"
#include "hf/hf_json.h"
#include "hf/new_folder.h"
#include "hf/shard_write.h"
#include "moira/peft.h"

/* One tensor and what it is made of. */
typedef struct piece {
    mo__shard_entry entry;
    const mo_param *from[2]; /* one and NULL; of gate_up_proj w1 and w3, either of which may be NULL */
    int64_t part;            /* -1: of the fused layout, all experts */
    bool is_b;
} piece;

typedef struct job {
    const mo_peft_export_options *o;
    piece *pieces;
    int64_t n, room;
    bool has[10]; /* targets, as in target_names */
    char *dir;
} job;

static const char *const target_names[] = {"q_proj", "k_proj", "v_proj",    "o_proj",  "w1",
                                           "w2",     "w3",     "gate_proj", "up_proj", "down_proj"};
enum { TARGETS = 10, W1 = 4, W2 = 5, W3 = 6 };

/* ---- which tensors ---- */

static const mo_param *sibling(const mo_model *m, const char *stem, size_t length, const char *end)
{
    char name[MO__PLACE_NAME];
    snprintf(name, sizeof name, "%.*s%s", (int)length, stem, end);
    return mo_model_find(m, name);
}

static piece *add(job *j, const mo_param *a, const mo_param *b, int64_t part, bool is_b)
{
    piece *p = &j->pieces[j->n++];
    *p = (piece){.from = {a, b}, .part = part, .is_b = is_b};
    p->entry.dtype = MO_F32;
    p->entry.ndim = 2;
    return p;
}

static void settle(piece *p, int64_t rows, int64_t columns)
{
    p->entry.dim[0] = rows;
    p->entry.dim[1] = columns;
    p->entry.bytes = rows * columns * (int64_t)sizeof(float);
}

/* "model.layers.0.self_attn.q_proj" + ".lora_A.weight"; of experts "...experts.w1" becomes "...experts.3.w1".
 */
static void add_plain(job *j, const mo_param *p, bool is_b)
{
    int64_t parts = p->ndim == 3 ? p->dim[0] : 1;
    const char *suffix = strstr(p->name, ".lora_");
    size_t stem = (size_t)(suffix - p->name);
    for (int64_t e = 0; e < parts; e++) {
        piece *own = add(j, p, NULL, e, is_b);
        if (p->ndim == 3)
            snprintf(own->entry.name, sizeof own->entry.name, "base_model.model.%.*s.%lld%s", (int)(stem - 3),
                     p->name, (long long)e, p->name + stem - 3);
        else
            snprintf(own->entry.name, sizeof own->entry.name, "base_model.model.%s", p->name);
        settle(own, p->dim[p->ndim - 2], p->dim[p->ndim - 1]);
    }
}

/* module: "mlp.experts" or "mlp.experts.base_layer". */
static void add_fused(job *j, const mo_param *first, const mo_param *second, const char *module, bool is_b,
                      bool halves)
{
    const mo_param *p = first ? first : second;
    MO_ASSERT(p);
    int64_t pairs = (first != NULL) + (second != NULL), E = p->dim[0];
    size_t layer = (size_t)(strstr(p->name, "block_sparse_moe") - p->name);
    piece *own = add(j, first, second, -1, is_b);
    snprintf(own->entry.name, sizeof own->entry.name, "base_model.model.%.*s%s.lora_%c.weight", (int)layer,
             p->name, module, is_b ? 'B' : 'A');
    if (is_b)
        settle(own, (halves ? 2 : 1) * p->dim[1], pairs * p->dim[2] * E);
    else
        settle(own, pairs * p->dim[1] * E, p->dim[2]);
}

static void plan_fused(job *j, const mo_param *p)
{
    const mo_model *m = j->o->model;
    size_t stem = (size_t)(strstr(p->name, ".lora_") - p->name) - 2;
    static const char *const ends[3][2] = {{"w1.lora_A.weight", "w1.lora_B.weight"},
                                           {"w2.lora_A.weight", "w2.lora_B.weight"},
                                           {"w3.lora_A.weight", "w3.lora_B.weight"}};
    const mo_param *w[3][2];
    for (int k = 0; k < 3; k++)
        for (int b = 0; b < 2; b++) w[k][b] = sibling(m, p->name, stem, ends[k][b]);
    const mo_param *begins = w[0][0] ? w[0][0] : w[1][0] ? w[1][0] : w[2][0];
    if (p != begins) return; /* a layer once */
    bool gate_up = w[0][0] || w[2][0];
    for (int b = 0; b < 2 && gate_up; b++)
        add_fused(j, w[0][b], w[2][b], w[1][0] ? "mlp.experts.base_layer" : "mlp.experts", b == 1, true);
    for (int b = 0; b < 2 && w[1][0]; b++) add_fused(j, w[1][b], NULL, "mlp.experts", b == 1, false);
}

static void note_target(job *j, const char *name)
{
    const char *end = strstr(name, ".lora_");
    for (int t = 0; t < TARGETS; t++) {
        size_t length = strlen(target_names[t]);
        if ((size_t)(end - name) > length && end[-(ptrdiff_t)length - 1] == '.' &&
            memcmp(end - length, target_names[t], length) == 0)
            j->has[t] = true;
    }
}

static mo_status refuse(const mo_param *p)
{
    return mo_error(MO_E_UNSUPPORTED,
                    "%s was trained itself, which a PEFT folder of adapters cannot say; moira export --merge "
                    "writes the whole model",
                    p->name);
}

static mo_status plan(job *j)
{
    const mo_model *m = j->o->model;
    mo__architecture architecture;
    MO_TRY(mo__hf_express(&m->config, -1, &architecture));
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        bool adapter = strstr(p->name, ".lora_") != NULL;
        if (!adapter && !p->frozen) return refuse(p);
        if (adapter) j->room += p->ndim == 3 ? p->dim[0] : 1;
    }
    if (j->room == 0)
        return mo_error(MO_E_UNSUPPORTED, "has no adapters; moira export --merge writes the whole model");
    j->pieces = mo_calloc((size_t)j->room, sizeof *j->pieces);
    if (!j->pieces) return MO_E_MEMORY;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        const char *suffix = strstr(p->name, ".lora_");
        if (!suffix) continue;
        note_target(j, p->name);
        if (p->ndim == 3 && j->o->fused) {
            if (strcmp(suffix, ".lora_A.weight") == 0) plan_fused(j, p);
        } else {
            add_plain(j, p, strcmp(suffix, ".lora_B.weight") == 0);
        }
    }
    return MO_OK;
}

/* ---- values ---- */

static const mo_real *values_of(const job *j, const mo_param *p, int64_t part)
{
    return j->o->model->value + p->offset + part * p->dim[1] * p->dim[2];
}

static void fill_a(const job *j, const piece *p, mo_real *out)
{
    const mo_param *any = p->from[0] ? p->from[0] : p->from[1];
    int64_t size = any->dim[1] * any->dim[2];
    for (int64_t e = 0; e < any->dim[0]; e++)
        for (int i = 0; i < 2; i++)
            if (p->from[i]) {
                memcpy(out, values_of(j, p->from[i], e), (size_t)size * sizeof *out);
                out += size;
            }
}

/* B of `from[i]` goes to rows i * O on and to ranks of its own. */
static void fill_b(const job *j, const piece *p, mo_real *out)
{
    int64_t columns = p->entry.dim[1], rank = 0;
    memset(out, 0, (size_t)(p->entry.dim[0] * columns) * sizeof *out);
    for (int i = 0; i < 2; i++) {
        const mo_param *b = p->from[i];
        if (!b) continue;
        int64_t E = b->dim[0], O = b->dim[1], r = b->dim[2];
        for (int64_t e = 0; e < E; e++) {
            const mo_real *x = values_of(j, b, e);
            for (int64_t o = 0; o < O; o++)
                for (int64_t k = 0; k < r; k++)
                    out[(i * O + o) * columns + (rank + k) * E + e] = x[o * r + k];
        }
        rank += r;
    }
}

static mo_status write_piece(const job *j, mo__shard_writer *w, const piece *p)
{
    int64_t count = p->entry.dim[0] * p->entry.dim[1];
    if (p->part >= 0)
        return mo__shard_values(w, &p->entry, j->o->model->value + p->from[0]->offset + p->part * count,
                                count);
    mo_real *values = mo_malloc((size_t)count * sizeof *values);
    if (!values) return MO_E_MEMORY;
    if (p->is_b)
        fill_b(j, p, values);
    else
        fill_a(j, p, values);
    mo_status status = mo__shard_values(w, &p->entry, values, count);
    mo_free(values);
    return status;
}

static mo_status write_tensors(const job *j)
{
    mo__shard_writer w;
    const mo__shard_entry **entries = mo_malloc((size_t)j->n * sizeof *entries);
    char *path = mo_path_join(j->dir, "adapter_model.safetensors");
    mo_status status = entries && path ? MO_OK : MO_E_MEMORY;
    for (int64_t i = 0; i < j->n && status == MO_OK; i++) entries[i] = &j->pieces[i].entry;
    if (status == MO_OK) status = mo__shard_begin(path, entries, j->n, &w);
    if (status == MO_OK) {
        for (int64_t i = 0; i < j->n && status == MO_OK; i++) status = write_piece(j, &w, &j->pieces[i]);
        status = mo__shard_end(&w, status);
    }
    mo_free(entries);
    mo_free(path);
    return status;
}

/* ---- settings ---- */

static json_t *number(double x)
{
    return floor(x) == x && fabs(x) < 1e15 ? json_integer((json_int_t)x) : json_real(x);
}

static bool is_expert(int target)
{
    return target >= W1 && target <= W3;
}

static json_t *list_targets(const job *j, bool experts)
{
    json_t *list = json_array();
    for (int t = 0; list && t < TARGETS; t++)
        if (j->has[t] && (experts || !is_expert(t)))
            json_array_append_new(list, json_string(target_names[t]));
    return list;
}

/* gate_up_proj of two adapters has twice the rank, and the same scale. */
static mo_status put_fused(const job *j, json_t *root)
{
    const mo_tuning_config *t = j->o->tuning;
    json_t *parameters = json_array(), *ranks = json_object(), *alphas = json_object();
    bool two = j->has[W1] && j->has[W3];
    if (parameters && (j->has[W1] || j->has[W3]))
        json_array_append_new(parameters, json_string("mlp.experts.gate_up_proj"));
    if (parameters && j->has[W2]) json_array_append_new(parameters, json_string("mlp.experts.down_proj"));
    if (two && ranks && alphas) {
        json_object_set_new(ranks, ".*\\.gate_up_proj", json_integer(2 * t->lora.rank));
        json_object_set_new(alphas, ".*\\.gate_up_proj", number(2 * t->lora.alpha));
    }
    mo_status status = mo__hf_json_put(root, "target_parameters", parameters);
    if (status == MO_OK)
        status = mo__hf_json_put(root, "rank_pattern", ranks);
    else
        json_decref(ranks);
    if (status == MO_OK) return mo__hf_json_put(root, "alpha_pattern", alphas);
    json_decref(alphas);
    return status;
}

static mo_status put_settings(const job *j, json_t *root)
{
    const mo_tuning_config *t = j->o->tuning;
    bool experts = j->has[W1] || j->has[W2] || j->has[W3], fused = experts && j->o->fused;
    MO_TRY(mo__hf_json_put(root, "peft_type", json_string("LORA")));
    MO_TRY(mo__hf_json_put(root, "task_type", json_string("CAUSAL_LM")));
    MO_TRY(mo__hf_json_put(root, "base_model_name_or_path", json_string(j->o->base)));
    MO_TRY(mo__hf_json_put(root, "r", json_integer(t->lora.rank)));
    MO_TRY(mo__hf_json_put(root, "lora_alpha", number(t->lora.alpha)));
    /* PEFT refuses dropout on the parameters that experts are to it; it would only matter in training. */
    MO_TRY(mo__hf_json_put(root, "lora_dropout", json_real(experts ? 0 : t->lora.dropout)));
    MO_TRY(mo__hf_json_put(root, "bias", json_string("none")));
    MO_TRY(mo__hf_json_put(root, "target_modules", list_targets(j, !fused)));
    if (fused) MO_TRY(put_fused(j, root));
    MO_TRY(mo__hf_json_put(root, "fan_in_fan_out", json_false()));
    MO_TRY(mo__hf_json_put(root, "init_lora_weights", json_true()));
    MO_TRY(mo__hf_json_put(root, "use_rslora", json_false()));
    MO_TRY(mo__hf_json_put(root, "use_dora", json_false()));
    MO_TRY(mo__hf_json_put(root, "modules_to_save", json_null()));
    return mo__hf_json_put(root, "inference_mode", json_true());
}

static mo_status write_settings(const job *j)
{
    char *text = NULL, *path = mo_path_join(j->dir, "adapter_config.json");
    json_t *root = json_object();
    mo_status status = path && root ? put_settings(j, root) : MO_E_MEMORY;
    if (status == MO_OK) status = mo__hf_json_dump(root, &text);
    if (status == MO_OK) status = mo_write_file(path, text, strlen(text));
    json_decref(root);
    mo_free(text);
    mo_free(path);
    return status;
}

mo_status mo_peft_export(const char *dir, const mo_peft_export_options *options)
{
    mo__new_folder folder;
    job j = {.o = options};
    mo_status status = plan(&j);
    if (status == MO_OK) status = mo__new_folder_begin(dir, &folder);
    if (status == MO_OK) {
        j.dir = folder.path;
        status = write_settings(&j);
        if (status == MO_OK) status = write_tensors(&j);
        status = mo__new_folder_end(&folder, status);
    }
    mo_free(j.pieces);
    return status;
}
