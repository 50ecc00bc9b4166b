/* routing_log.c -- routing.jsonl: version, step, and the layers of routing_json.h without token lists. */
#include <string.h>

#include "train/lines.h"
#include "train/routing_json.h"
#include "train/routing_log.h"

enum { MOST_DOMAINS = 16 }; /* of a token file */

/* Pairs are counted, and written at every evaluation, where they are 2^18 numbers at most: 64 layers of 64
 * experts, 4 of 256. */
static const mo_routing_options options = {.limit = (uint64_t)4 << 20};

uint64_t mo__routing_log_bytes(const mo_run_config *c, const mo_model_config *resolved)
{
    int sources = c->data.mixture.count > 0 ? (int)c->data.mixture.count : 1;
    bool none = !c->log.routing || resolved->num_local_experts == 0;
    return none ? 0 : mo__routing_count_bytes(resolved, &options, sources * MOST_DOMAINS);
}

static int rows_of(const mo_run_source *source)
{
    return source->file->n_domains > 0 ? source->file->n_domains : 1;
}

static mo_status name_domains(const mo_run_data *data, mo__routing_log *log)
{
    int total = 0, at = 0;
    log->first_domain = mo_calloc((size_t)data->count, sizeof *log->first_domain);
    if (!log->first_domain) return MO_E_MEMORY;
    for (int i = 0; i < data->count; i++) {
        log->first_domain[i] = total;
        total += rows_of(&data->sources[i]);
    }
    if (data->count == 1) return MO_OK;
    log->names = mo_calloc((size_t)total, sizeof *log->names);
    if (!log->names) return MO_E_MEMORY;
    log->n_names = total;
    for (int i = 0; i < data->count; i++) {
        const mo_run_source *s = &data->sources[i];
        for (int d = 0; d < rows_of(s); d++, at++) {
            log->names[at] = s->file->n_domains > 0 ? mo_strprintf("%s/%s", s->name, s->file->domain_names[d])
                                                    : mo_strdup(s->name);
            if (!log->names[at]) return MO_E_MEMORY;
        }
    }
    return MO_OK;
}

static mo_status open_counts(const mo_model_graph *t, const mo_run_data *data, mo__routing_log *log)
{
    const mo_tokenfile *only = data->sources[0].file;
    bool mixed = data->count > 1;
    MO_TRY(name_domains(data, log));
    MO_TRY(mo__routing_count_create(t, &options,
                                    (const char *const *)(mixed ? log->names : only->domain_names),
                                    mixed ? log->n_names : only->n_domains, &log->count));
    log->mutual_information = mo_calloc((size_t)t->n_routing, sizeof *log->mutual_information);
    return log->mutual_information ? MO_OK : MO_E_MEMORY;
}

mo_status mo__routing_log_open(const char *dir, int64_t step, const mo_model_graph *t,
                               const mo_run_data *data, mo__routing_log *out)
{
    *out = (mo__routing_log){.path = mo_path_join(dir, "routing.jsonl")};
    if (!out->path) return MO_E_MEMORY;
    mo_status status = mo__lines_cut(out->path, step);
    bool logs = t && t->n_routing > 0;
    if (status == MO_OK && logs) status = open_counts(t, data, out);
    if (status != MO_OK || !logs) mo__routing_log_close(out);
    return status;
}

void mo__routing_log_close(mo__routing_log *log)
{
    for (int i = 0; i < log->n_names; i++) mo_free(log->names[i]);
    mo_free(log->names);
    mo_free(log->first_domain);
    mo_free(log->mutual_information);
    mo_free(log->path);
    mo__routing_count_free(&log->count);
    *log = (mo__routing_log){0};
}

mo__routing_count *mo__routing_log_begin(mo__routing_log *log)
{
    if (!log->path) return NULL;
    mo__routing_count_clear(&log->count);
    return &log->count;
}

mo_status mo__routing_log_finish(mo__routing_log *log, const mo_model_graph *t)
{
    if (!log->path) return MO_OK;
    MO_TRY(mo__routing_count_finish(&log->count, t));
    for (int l = 0; l < log->count.out.n_layers; l++)
        log->mutual_information[l] = log->count.out.layers[l].mutual_information;
    return MO_OK;
}

mo_status mo__routing_log_write(const mo__routing_log *log, int64_t step)
{
    if (!log->path) return MO_OK;
    json_t *layers = json_array();
    bool whole = layers != NULL;
    for (int l = 0; whole && l < log->count.out.n_layers; l++)
        whole = json_array_append_new(layers, mo__routing_layer_json(&log->count.out, l, NULL)) == 0;
    json_t *line = json_pack("{s:i, s:I, s:o}", "version", MO_METRICS_VERSION, "step", (json_int_t)step,
                             "layers", layers);
    mo_status status = mo__lines_append(log->path, whole ? line : NULL);
    json_decref(line);
    return status;
}
