/* metrics.c -- metrics.jsonl: one object a line, cut back to the resumed step, whole lines only. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/train_internal.h"

static const size_t METRICS_LIMIT = (size_t)4 << 30;

/* Bytes of the leading lines that are whole and of steps up to `step`. */
static mo_status good_bytes(const char *path, const char *text, size_t size, int64_t step, size_t *out)
{
    size_t good = 0;
    for (*out = 0; good < size; *out = good) {
        const char *end = memchr(text + good, '\n', size - good);
        if (!end) break;
        size_t length = (size_t)(end - text) - good;
        json_t *line = json_loadb(text + good, length, 0, NULL);
        json_t *value = json_object_get(line, "step");
        bool keep = json_is_integer(value) && json_integer_value(value) <= step;
        json_int_t version = json_integer_value(json_object_get(line, "version")); /* 0: absent */
        json_decref(line);
        if (version > MO_METRICS_VERSION)
            return mo_error_context(mo__version_error("a metrics file", version, MO_METRICS_VERSION), "%s",
                                    path);
        if (!keep) break;
        good += length + 1;
    }
    return MO_OK;
}

mo_status mo__lines_cut(const char *path, int64_t step)
{
    if (!mo_path_exists(path)) return MO_OK;
    char *text = NULL;
    size_t size = 0;
    MO_TRY(mo_read_file(path, METRICS_LIMIT, &text, &size));
    size_t good = 0;
    mo_status status = good_bytes(path, text, size, step, &good);
    if (status == MO_OK && good < size) status = mo_write_file(path, text, good);
    mo_free(text);
    return status;
}

mo_status mo__metrics_open(const char *dir, int64_t step, mo__metrics *out)
{
    *out = (mo__metrics){.path = mo_path_join(dir, "metrics.jsonl")};
    if (!out->path) return MO_E_MEMORY;
    mo_status status = mo__lines_cut(out->path, step);
    if (status == MO_OK) {
        out->file = fopen(out->path, "ae");
        if (!out->file) status = mo_error(MO_E_IO, "%s: %s", out->path, strerror(errno));
    }
    if (status != MO_OK) {
        mo_free(out->path);
        *out = (mo__metrics){0};
    }
    return status;
}

static json_t *real_or_null(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *layer_json(const mo_layer_report *layer)
{
    json_t *load = json_array();
    for (int64_t e = 0; e < layer->experts; e++) json_array_append_new(load, json_real(layer->load[e]));
    return json_pack("{s:i, s:o, s:f, s:f, s:o, s:o, s:o, s:f, s:o, s:I}", "layer", layer->layer, "load",
                     load, "max_vio", layer->max_vio, "cv", layer->cv, "entropy",
                     real_or_null(layer->entropy), "top1", real_or_null(layer->top1), "top1_weight",
                     real_or_null(layer->top1_weight), "dropped", layer->dropped, "z", real_or_null(layer->z),
                     "dead", (json_int_t)layer->dead);
}

static json_t *sources_json(const mo_step_report *r)
{
    json_t *sources = json_array();
    for (int i = 0; i < r->n_sources; i++) {
        const mo_source_report *s = &r->sources[i];
        json_t *one = json_pack("{s:s, s:I, s:f, s:o}", "source", s->name, "tokens", (json_int_t)s->tokens,
                                "share", s->share, "train_loss", real_or_null(s->train_loss));
        if (r->evaluated) json_object_set_new(one, "validation_loss", real_or_null(s->validation_loss));
        json_array_append_new(sources, one);
    }
    return sources;
}

static json_t *report_json(const mo_step_report *r)
{
    json_t *line =
        json_pack("{s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o}", "version", MO_METRICS_VERSION,
                  "step", (json_int_t)r->step, "tokens", (json_int_t)r->tokens, "train_loss",
                  real_or_null(r->train_loss), "balance_loss", real_or_null(r->balance_loss), "learning_rate",
                  real_or_null(r->learning_rate), "grad_norm", real_or_null(r->grad_norm),
                  "tokens_per_second", real_or_null(r->tokens_per_second), "gflops", real_or_null(r->gflops),
                  "seconds", r->seconds, "waited_seconds", real_or_null(r->waited_seconds));
    if (!line) return NULL;
    if (r->evaluated) {
        json_object_set_new(line, "validation_loss", json_real(r->validation_loss));
        json_object_set_new(line, "bits_per_byte", json_real(r->bits_per_byte));
    }
    if (r->drift) json_object_set_new(line, "drift", json_real(r->mean_drift));
    if (r->n_sources > 0) json_object_set_new(line, "sources", sources_json(r));
    if (r->n_layers == 0) return line;
    json_t *balance = json_object(), *layers = json_array();
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        if (!isnan(r->balance[k]))
            json_object_set_new(balance, mo_balance_names[k], json_real(r->balance[k]));
    for (int l = 0; l < r->n_layers; l++) {
        json_t *layer = layer_json(&r->layers[l]);
        if (r->mutual_information)
            json_object_set_new(layer, "mutual_information", real_or_null(r->mutual_information[l]));
        if (r->drift) json_object_set_new(layer, "drift", json_real(r->drift[l]));
        json_array_append_new(layers, layer);
    }
    json_object_set_new(line, "balance", balance);
    json_object_set_new(line, "layers", layers);
    return line;
}

mo_status mo__metrics_write(mo__metrics *m, const mo_step_report *report)
{
    json_t *line = report_json(report);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(line);
    if (!text) return mo_error(MO_E_INTERNAL, "%s: a metrics line cannot be written as JSON", m->path);
    bool written = fprintf(m->file, "%s\n", text) > 0 && fflush(m->file) == 0;
    free(text);
    return written ? MO_OK : mo_error(MO_E_IO, "%s: %s", m->path, strerror(errno));
}

mo_status mo__metrics_close(mo__metrics *m)
{
    mo_status status = MO_OK;
    if (m->file && fclose(m->file) != 0) status = mo_error(MO_E_IO, "%s: %s", m->path, strerror(errno));
    mo_free(m->path);
    *m = (mo__metrics){0};
    return status;
}
