/* metrics_read.c -- a line of metrics.jsonl as the report that it was written from: numbers have 17 digits,
 * so nothing is lost. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "train/train_internal.h"

static const size_t METRICS_LIMIT = (size_t)4 << 30;

/* The last line of that step, parsed; NULL if there is none. */
static json_t *find_line(const char *text, size_t size, int64_t step)
{
    json_t *found = NULL;
    for (const char *at = text, *end; (end = memchr(at, '\n', (size_t)(text + size - at))); at = end + 1) {
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        if (json_integer_value(json_object_get(line, "step")) != step) {
            json_decref(line);
            continue;
        }
        json_decref(found);
        found = line;
    }
    return found;
}

static bool get(const json_t *object, const char *key, double *out)
{
    const json_t *value = json_object_get(object, key);
    *out = json_number_value(value);
    return json_is_number(value);
}

/* null, and keys that older programs did not write, are NaN. */
static double get_or_nan(const json_t *object, const char *key)
{
    double value;
    return get(object, key, &value) ? value : (double)NAN;
}

static bool read_layer(const json_t *line, mo_layer_report *layer, double *load)
{
    const json_t *loads = json_object_get(line, "load");
    if (json_array_size(loads) != (size_t)layer->experts) return false;
    for (int64_t e = 0; e < layer->experts; e++)
        load[e] = json_number_value(json_array_get(loads, (size_t)e));
    layer->load = load;
    layer->layer = (int)json_integer_value(json_object_get(line, "layer"));
    mo__load_measure(layer); /* cv and dead, which older lines lack; the same numbers where they do not */
    layer->entropy = get_or_nan(line, "entropy");
    layer->top1 = get_or_nan(line, "top1");
    layer->top1_weight = get_or_nan(line, "top1_weight");
    layer->z = get_or_nan(line, "z");
    return get(line, "max_vio", &layer->max_vio) && get(line, "dropped", &layer->dropped);
}

static bool read_source(const json_t *line, mo_source_report *source)
{
    const json_t *tokens = json_object_get(line, "tokens");
    source->tokens = json_integer_value(tokens);
    source->validation_loss = (double)NAN;
    if (!get(line, "train_loss", &source->train_loss)) source->train_loss = (double)NAN; /* had no sequence */
    return json_is_integer(tokens) && get(line, "share", &source->share);
}

static bool read_line(const json_t *line, mo_step_report *r, mo__routing_sum *routing,
                      mo__source_sum *sources)
{
    const json_t *parts = json_object_get(line, "sources");
    if (json_array_size(parts) != (size_t)sources->count) return false;
    for (int i = 0; i < sources->count; i++)
        if (!read_source(json_array_get(parts, (size_t)i), &sources->reports[i])) return false;
    const json_t *layers = json_object_get(line, "layers"), *balance = json_object_get(line, "balance");
    if (json_array_size(layers) != (size_t)routing->n_layers) return false;
    for (int l = 0; l < routing->n_layers; l++) {
        routing->reports[l] = (mo_layer_report){.experts = routing->experts};
        if (!read_layer(json_array_get(layers, (size_t)l), &routing->reports[l],
                        routing->loads + l * routing->experts))
            return false;
    }
    r->step = json_integer_value(json_object_get(line, "step"));
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        if (!get(balance, mo_balance_names[k], &r->balance[k])) r->balance[k] = (double)NAN; /* off */
    return get(line, "train_loss", &r->train_loss) && get(line, "balance_loss", &r->balance_loss) &&
           get(line, "learning_rate", &r->learning_rate) && get(line, "grad_norm", &r->grad_norm) &&
           get(line, "tokens_per_second", &r->tokens_per_second);
}

mo_status mo__metrics_read(const char *dir, int64_t step, mo_step_report *report, mo__routing_sum *routing,
                           mo__source_sum *sources)
{
    char *path = mo_path_join(dir, "metrics.jsonl"), *text = NULL;
    size_t size = 0;
    if (!path) return MO_E_MEMORY;
    mo_status status = mo_read_file(path, METRICS_LIMIT, &text, &size);
    json_t *line = status == MO_OK ? find_line(text, size, step) : NULL;
    *report = (mo_step_report){0};
    if (status == MO_OK && !line)
        status = mo_error(MO_E_NOT_FOUND, "%s: has no line of step %lld", path, (long long)step);
    if (status == MO_OK && !read_line(line, report, routing, sources))
        status = mo_error(MO_E_FORMAT, "%s: the line of step %lld is not whole", path, (long long)step);
    json_decref(line);
    mo_free(text);
    mo_free(path);
    return status;
}
