/* run_json.c -- JSON lines of a run folder; null, and keys that older programs did not write, are NaN. */
#include "lab/run_json.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 1 << 16 };

void *mo__run_take(struct mo__run_block **blocks, int64_t count, size_t size)
{
    size_t bytes;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) || bytes > SIZE_MAX - 2 * BLOCK) {
        mo_error(MO_E_MEMORY, "memory: %lld items of %zu bytes are more than can be addressed",
                 (long long)count, size);
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    struct mo__run_block *block = *blocks;
    if (!block || block->room - block->used < bytes) {
        size_t room = bytes > BLOCK ? bytes : BLOCK;
        block = mo_calloc(1, sizeof *block + room);
        if (!block) return NULL;
        *block = (struct mo__run_block){.before = *blocks, .room = room};
        *blocks = block;
    }
    void *found = block->content + block->used;
    block->used += bytes;
    return found;
}

void mo__run_blocks_free(struct mo__run_block *blocks)
{
    while (blocks) {
        struct mo__run_block *before = blocks->before;
        mo_free(blocks);
        blocks = before;
    }
}

mo_status mo__run_line_parse(const char *text, size_t size, json_t **out, int64_t *step)
{
    json_t *line = json_loadb(text, size, 0, NULL), *value = json_object_get(line, "step");
    json_int_t version = json_integer_value(json_object_get(line, "version")); /* 0: absent */
    bool usable = json_is_integer(value) && json_integer_value(value) >= 0;
    *step = json_integer_value(value);
    *out = usable ? line : NULL;
    if (!usable || version > MO_METRICS_VERSION) {
        json_decref(line);
        *out = NULL;
    }
    if (usable && version > MO_METRICS_VERSION)
        return mo_error(MO_E_VERSION,
                        "is of version %lld, moira %s reads versions up to %d; use a newer moira",
                        (long long)version, MO_VERSION_STRING, MO_METRICS_VERSION);
    return MO_OK;
}

static mo_status wrong(const char *what)
{
    return mo_error(MO_E_CORRUPT, "its %s are not what a run writes", what);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static int64_t whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static double *numbers(const json_t *list, struct mo__run_block **blocks)
{
    size_t n = json_array_size(list);
    double *out = mo__run_take(blocks, (int64_t)n, sizeof *out);
    for (size_t i = 0; out && i < n; i++) {
        const json_t *value = json_array_get(list, i);
        out[i] = json_is_number(value) ? json_number_value(value) : (double)NAN;
    }
    return out;
}

/* `load` is left for the caller. */
static void read_layer(const json_t *line, mo_layer_report *out)
{
    *out = (mo_layer_report){.layer = (int)whole(line, "layer"),
                             .experts = (int64_t)json_array_size(json_object_get(line, "load")),
                             .max_vio = number(line, "max_vio"),
                             .cv = number(line, "cv"),
                             .entropy = number(line, "entropy"),
                             .top1 = number(line, "top1"),
                             .top1_weight = number(line, "top1_weight"),
                             .dropped = number(line, "dropped"),
                             .z = number(line, "z"),
                             .dead = whole(line, "dead")};
}

/* A figure of each layer; *out stays NULL where the first layer does not have it. */
static mo_status read_column(const json_t *layers, const char *key, struct mo__run_block **blocks,
                             const double **out)
{
    size_t n = json_array_size(layers);
    if (n == 0 || !json_object_get(json_array_get(layers, 0), key)) return MO_OK;
    double *column = mo__run_take(blocks, (int64_t)n, sizeof *column);
    if (!column) return MO_E_MEMORY;
    for (size_t l = 0; l < n; l++) column[l] = number(json_array_get(layers, l), key);
    *out = column;
    return MO_OK;
}

static mo_status read_layers(const json_t *layers, bool loads, struct mo__run_block **blocks,
                             mo_step_report *r)
{
    if (!layers) return MO_OK;
    if (!json_is_array(layers)) return wrong("layers");
    size_t n = json_array_size(layers);
    mo_layer_report *reports = mo__run_take(blocks, (int64_t)n, sizeof *reports);
    if (!reports) return MO_E_MEMORY;
    for (size_t l = 0; l < n; l++) {
        const json_t *layer = json_array_get(layers, l);
        if (!json_is_array(json_object_get(layer, "load"))) return wrong("layers");
        read_layer(layer, &reports[l]);
        if (loads && !(reports[l].load = numbers(json_object_get(layer, "load"), blocks))) return MO_E_MEMORY;
    }
    r->layers = reports;
    r->n_layers = (int)n;
    MO_TRY(read_column(layers, "mutual_information", blocks, &r->mutual_information));
    return read_column(layers, "drift", blocks, &r->drift);
}

static const char *text_of(const json_t *value, struct mo__run_block **blocks)
{
    size_t size = json_string_length(value);
    char *text = mo__run_take(blocks, (int64_t)size + 1, 1);
    if (text) memcpy(text, json_string_value(value), size);
    return text;
}

static mo_status read_sources(const json_t *sources, struct mo__run_block **blocks, mo_step_report *r)
{
    if (!sources) return MO_OK;
    if (!json_is_array(sources)) return wrong("sources");
    size_t n = json_array_size(sources);
    mo_source_report *reports = mo__run_take(blocks, (int64_t)n, sizeof *reports);
    if (!reports) return MO_E_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const json_t *source = json_array_get(sources, i), *name = json_object_get(source, "source");
        if (!json_is_string(name)) return wrong("sources");
        reports[i] = (mo_source_report){.name = text_of(name, blocks),
                                        .tokens = whole(source, "tokens"),
                                        .share = number(source, "share"),
                                        .train_loss = number(source, "train_loss"),
                                        .validation_loss = number(source, "validation_loss")};
        if (!reports[i].name) return MO_E_MEMORY;
    }
    r->sources = reports;
    r->n_sources = (int)n;
    return MO_OK;
}

mo_status mo__run_report_read(const json_t *line, bool loads, struct mo__run_block **blocks,
                              mo_step_report *r)
{
    *r = (mo_step_report){.step = whole(line, "step"),
                          .tokens = whole(line, "tokens"),
                          .train_loss = number(line, "train_loss"),
                          .balance_loss = number(line, "balance_loss"),
                          .learning_rate = number(line, "learning_rate"),
                          .grad_norm = number(line, "grad_norm"),
                          .seconds = number(line, "seconds"),
                          .tokens_per_second = number(line, "tokens_per_second"),
                          .gflops = number(line, "gflops"),
                          .waited_seconds = number(line, "waited_seconds"),
                          .validation_loss = number(line, "validation_loss"),
                          .bits_per_byte = number(line, "bits_per_byte"),
                          .mean_drift = number(line, "drift"),
                          .base_loss = (double)NAN};
    r->evaluated = !isnan(r->validation_loss);
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        r->balance[k] = number(json_object_get(line, "balance"), mo_balance_names[k]);
    if (!blocks) return MO_OK;
    MO_TRY(read_layers(json_object_get(line, "layers"), loads, blocks, r));
    return read_sources(json_object_get(line, "sources"), blocks, r);
}

/* ---- routing.jsonl ---- */

/* out[0 .. count) of a list that has to be as long. */
static mo_status read_counts(const json_t *list, int64_t count, int64_t *out)
{
    if (!json_is_array(list) || json_array_size(list) != (size_t)count) return wrong("counts");
    for (int64_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        if (!json_is_integer(value)) return wrong("counts");
        out[i] = json_integer_value(value);
    }
    return MO_OK;
}

static mo_status read_pairs(const json_t *rows, int64_t E, struct mo__run_block **blocks, const int64_t **out)
{
    if (!json_is_array(rows)) return MO_OK; /* null: they were not counted */
    if (json_array_size(rows) != (size_t)E) return wrong("coactivations");
    int64_t *pairs = mo__run_take(blocks, E, (size_t)E * sizeof *pairs);
    if (!pairs) return MO_E_MEMORY;
    for (int64_t a = 0; a < E; a++) MO_TRY(read_counts(json_array_get(rows, (size_t)a), E, pairs + a * E));
    *out = pairs;
    return MO_OK;
}

static mo_status read_choices(const json_t *layer, const mo_routing *routing, struct mo__run_block **blocks,
                              mo_layer_choices *out)
{
    int64_t E = routing->experts;
    const json_t *domains = json_object_get(layer, "domains");
    if (json_array_size(domains) != (size_t)routing->n_domains) return wrong("domains");
    read_layer(layer, &out->report);
    out->total = whole(layer, "choices");
    out->mutual_information = number(layer, "mutual_information");
    out->corrected = number(layer, "mutual_information_corrected");
    out->domain_entropy = number(layer, "domain_entropy");
    out->report.load = numbers(json_object_get(layer, "load"), blocks);
    int64_t *choices =
        mo__run_take(blocks, routing->n_domains > 0 ? routing->n_domains : 1, (size_t)E * sizeof *choices);
    if (!choices || !out->report.load) return MO_E_MEMORY;
    out->choices = choices;
    for (int d = 0; d < routing->n_domains; d++)
        MO_TRY(
            read_counts(json_object_get(json_array_get(domains, (size_t)d), "choices"), E, choices + d * E));
    return read_pairs(json_object_get(layer, "coactivation"), E, blocks, &out->pairs);
}

static mo_status read_domains(const json_t *domains, struct mo__run_block **blocks, mo_routing *out)
{
    size_t n = json_array_size(domains);
    const char **names = mo__run_take(blocks, (int64_t)n, sizeof *names);
    if (!names) return MO_E_MEMORY;
    for (size_t d = 0; d < n; d++) {
        const json_t *name = json_object_get(json_array_get(domains, d), "name");
        if (!json_is_string(name)) return wrong("domains");
        if (!(names[d] = text_of(name, blocks))) return MO_E_MEMORY;
    }
    out->domain_names = names;
    out->n_domains = (int)n;
    return MO_OK;
}

mo_status mo__run_routing_read(const json_t *line, struct mo__run_block **blocks, mo_routing *out)
{
    const json_t *layers = json_object_get(line, "layers"), *first = json_array_get(layers, 0);
    size_t n = json_array_size(layers);
    if (n == 0) return wrong("layers");
    *out = (mo_routing){.n_layers = (int)n,
                        .experts = (int64_t)json_array_size(json_object_get(first, "load")),
                        .tokens = whole(first, "tokens")};
    if (out->experts == 0) return wrong("layers");
    MO_TRY(read_domains(json_object_get(first, "domains"), blocks, out));
    out->layers = mo__run_take(blocks, (int64_t)n, sizeof *out->layers);
    if (!out->layers) return MO_E_MEMORY;
    for (size_t l = 0; l < n; l++) {
        const json_t *layer = json_array_get(layers, l);
        if (json_array_size(json_object_get(layer, "load")) != (size_t)out->experts) return wrong("layers");
        MO_TRY(read_choices(layer, out, blocks, &out->layers[l]));
    }
    return MO_OK;
}
