/* source_sum.c -- what a step's sequences cost, by source. */
#include <math.h>

#include "train/train_internal.h"

mo_status mo__source_sum_create(const mo_run_data *data, mo__source_sum *out)
{
    size_t n = (size_t)data->count;
    *out = (mo__source_sum){.count = data->count};
    out->loss = mo_calloc(n, sizeof *out->loss);
    out->predicted = mo_calloc(n, sizeof *out->predicted);
    out->reports = mo_calloc(n, sizeof *out->reports);
    if (!out->loss || !out->predicted || !out->reports) return MO_E_MEMORY;
    for (int i = 0; i < out->count; i++) out->reports[i].name = data->sources[i].name;
    return MO_OK;
}

void mo__source_sum_free(mo__source_sum *s)
{
    mo_free(s->loss);
    mo_free(s->predicted);
    mo_free(s->reports);
    *s = (mo__source_sum){0};
}

void mo__source_sum_clear(mo__source_sum *s)
{
    for (int i = 0; i < s->count; i++) {
        s->loss[i] = 0;
        s->predicted[i] = 0;
        s->reports[i].validation_loss = (double)NAN;
    }
}

void mo__source_sum_add(mo__source_sum *s, const mo_model_graph *t, const mo_batch *batch)
{
    const double *loss = t->row_loss->data;
    int64_t T = batch->sequence_length;
    for (int64_t row = 0; s->count > 0 && row < batch->batch_size; row++) {
        int source = batch->source[row];
        for (int64_t n = row * T; n < (row + 1) * T; n++) {
            if (batch->targets[n] < 0) continue;
            s->loss[source] += loss[n];
            s->predicted[source]++;
        }
    }
}

void mo__source_sum_report(mo__source_sum *s, const mo_loader *loader, int64_t steps, int64_t sequence_length)
{
    double all = 0;
    for (int i = 0; i < s->count; i++) all += (double)mo_loader_drawn(loader, i, steps);
    for (int i = 0; i < s->count; i++) {
        mo_source_report *r = &s->reports[i];
        int64_t drawn = mo_loader_drawn(loader, i, steps);
        r->tokens = drawn * sequence_length;
        r->share = (double)drawn / all;
        r->train_loss = s->predicted[i] > 0 ? s->loss[i] / (double)s->predicted[i] : (double)NAN;
    }
}
