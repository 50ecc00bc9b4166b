/* evaluate.c -- the loss on a split: windows in order, row losses added in double, by domain where labelled.
 */
#include <math.h>
#include <string.h>

#include "train/base_choices.h"
#include "train/routing_count.h"

mo_status mo__check_tokens(const mo_tokenfile *file, int64_t vocab_size)
{
    if (file->vocab_size <= vocab_size) return MO_OK;
    return mo_error(MO_E_MISMATCH, "%s has token ids up to %lld, but the model's vocab_size is %lld",
                    file->path, (long long)file->vocab_size - 1, (long long)vocab_size);
}

static mo_status allocate(mo_eval_result *out, const mo_tokenfile *file, int layers, int64_t experts)
{
    size_t domains = (size_t)file->n_domains, rows = domains ? domains : 1;
    *out = (mo_eval_result){.n_domains = file->n_domains, .n_layers = layers, .experts = experts};
    out->domain_loss = mo_calloc(rows, sizeof *out->domain_loss);
    out->domain_tokens = mo_calloc(rows, sizeof *out->domain_tokens);
    out->loads = mo_calloc((size_t)layers * (size_t)experts + 1, sizeof *out->loads);
    out->layers = mo_calloc((size_t)layers + 1, sizeof *out->layers);
    bool whole = out->domain_loss && out->domain_tokens && out->loads && out->layers;
    return whole ? MO_OK : MO_E_MEMORY;
}

void mo_eval_result_free(mo_eval_result *r)
{
    if (r->routing) mo__routing_count_free((mo__routing_count *)r->routing);
    mo_free(r->routing);
    mo_free(r->domain_loss);
    mo_free(r->domain_tokens);
    mo_free(r->loads);
    mo_free(r->layers);
    *r = (mo_eval_result){0};
}

static void add_losses(mo_eval_result *out, const mo_model_graph *t, const mo_batch *batch)
{
    const double *row = t->row_loss->data;
    int64_t N = t->batch_size * t->sequence_length;
    for (int64_t n = 0; n < N; n++) {
        if (batch->targets[n] < 0) continue;
        out->loss += row[n];
        out->tokens++;
        int32_t domain = batch->domains[n];
        if (domain < 0 || domain >= out->n_domains) continue;
        out->domain_loss[domain] += row[n];
        out->domain_tokens[domain]++;
    }
}

mo_status mo__eval_order(const mo_eval_options *o, mo_eval_order *order, int64_t *windows)
{
    const mo_tokens *tokens = &o->file->split[o->split];
    const char *split = o->split == MO_SPLIT_TRAIN ? "train" : "validation";
    mo_status status = mo_eval_order_create(tokens, o->sequence_length, order);
    if (status != MO_OK) return mo_error_context(status, "%s: %s", o->file->path, split);
    bool fewer = o->batches > 0 && order->windows / o->batch_size >= o->batches;
    *windows = fewer ? o->batches * o->batch_size : order->windows;
    if (*windows > 0) return MO_OK;
    return mo_error(MO_E_RANGE, "%s: the %s split has %lld tokens, fewer than one window of %lld",
                    o->file->path, split, (long long)tokens->count, (long long)o->sequence_length);
}

static mo_status run_windows(mo_model_graph *t, const mo_eval_options *o, const mo_eval_order *order,
                             int64_t windows, mo_batch *batch, mo__routing_sum *sum,
                             const mo__eval_watch *watch, mo_eval_result *out)
{
    int64_t bytes = 0;
    mo_run run = {.training = false};
    for (int64_t w = 0; w < windows; w += t->batch_size) {
        if (o->stop && *o->stop) return mo_error(MO_E_INTERRUPTED, "evaluation was interrupted");
        MO_TRY(mo_eval_batch(order, o->file->tokenizer, w, batch));
        mo_model_graph_feed(t, batch);
        mo_graph_forward(t->graph, &run);
        add_losses(out, t, batch);
        bytes += batch->predicted_bytes;
        mo__routing_sum_add(sum, t);
        if (watch->count) mo__routing_count_add(watch->count, t, batch, watch->first_domain);
        if (watch->base) MO_TRY(mo__base_choices_add(watch->base, t, batch->tokens));
        if (o->progress) o->progress((double)(w + t->batch_size), (double)windows, "windows", o->user);
    }
    out->windows = windows;
    out->bytes = bytes;
    if (out->tokens == 0)
        return mo_error(MO_E_RANGE, "%s: no token of the split is predicted with windows of %lld",
                        o->file->path, (long long)t->sequence_length);
    out->bits_per_byte = bytes > 0 ? out->loss / ((double)bytes * log(2)) : (double)NAN;
    out->loss = mo__unsigned_nan(out->loss / (double)out->tokens);
    out->perplexity = exp(out->loss);
    for (int d = 0; d < out->n_domains; d++)
        out->domain_loss[d] =
            out->domain_tokens[d] ? out->domain_loss[d] / (double)out->domain_tokens[d] : (double)NAN;
    return MO_OK;
}

static mo_status evaluate(mo_model_graph *t, const mo_eval_options *o, mo__routing_sum *sum,
                          const mo__eval_watch *watch, mo_eval_result *out)
{
    double begin = mo_clock();
    MO_TRY(mo__check_tokens(o->file, t->model->config.vocab_size));
    MO_TRY(mo__routing_sum_create(t->model, sum));
    mo_batch *batch = NULL;
    mo_eval_order order;
    int64_t windows = 0;
    mo_status status = mo__eval_order(o, &order, &windows);
    if (status == MO_OK) status = mo_batch_create(t->batch_size, t->sequence_length, &batch);
    if (status == MO_OK) status = run_windows(t, o, &order, windows, batch, sum, watch, out);
    mo_batch_free(batch);
    mo_eval_order_free(&order);
    MO_TRY(status);
    mo__routing_sum_report(sum, t);
    if (out->n_layers > 0)
        memcpy(out->loads, sum->loads, (size_t)(out->n_layers * out->experts) * sizeof *out->loads);
    for (int l = 0; l < out->n_layers; l++) {
        out->layers[l] = sum->reports[l];
        out->layers[l].load = out->loads + l * out->experts;
    }
    out->seconds = mo_clock() - begin;
    return MO_OK;
}

mo_status mo__evaluate_graph(mo_model_graph *t, const mo_eval_options *o, const mo__eval_watch *watch,
                             mo_eval_result *out)
{
    mo__routing_sum sum = {0};
    mo_status status = allocate(out, o->file, t->n_routing, t->model->config.num_local_experts);
    if (status == MO_OK) status = evaluate(t, o, &sum, watch, out);
    mo__routing_sum_free(&sum);
    if (status != MO_OK) mo_eval_result_free(out);
    return status;
}

static mo_status open_count(const mo_model_graph *t, const mo_eval_options *o, mo__routing_count *count)
{
    const mo_tokenfile *file = o->file;
    const mo_tokens *tokens = &file->split[o->split];
    int64_t most = o->batches > 0 ? o->batches * o->batch_size * o->sequence_length : tokens->count;
    bool part = !tokens->whole && most < tokens->count; /* what follows in a stream is not looked at */
    MO_TRY(mo__check_tokens(file, t->model->config.vocab_size));
    MO_TRY(mo__routing_count_create(t, o->routing, (const char *const *)file->domain_names, file->n_domains,
                                    count));
    return mo__routing_count_listed(count, tokens, part ? most : tokens->count, t->model->config.vocab_size);
}

/* The counts become the result's. */
static mo_status evaluate_routing(mo_model_graph *t, const mo_eval_options *o, mo_eval_result *out)
{
    mo__routing_count *count = mo_calloc(1, sizeof *count);
    if (!count) return MO_E_MEMORY;
    mo_status status = open_count(t, o, count);
    if (status == MO_OK) status = mo__evaluate_graph(t, o, &(mo__eval_watch){.count = count}, out);
    if (status == MO_OK) {
        out->routing = &count->out;
        status = mo__routing_count_finish(count, t);
        if (status != MO_OK) mo_eval_result_free(out);
        return status;
    }
    mo__routing_count_free(count);
    mo_free(count);
    return status;
}

mo_status mo_evaluate(const mo_model *model, const mo_eval_options *o, mo_eval_result *out)
{
    MO_TRY(mo_blas_init());
    mo_model_graph_options options = {
        .kind = MO_GRAPH_LOSS, .batch_size = o->batch_size, .sequence_length = o->sequence_length};
    mo_model_graph *t = NULL;
    *out = (mo_eval_result){0};
    MO_TRY(mo_model_graph_create(model, &options, &t));
    mo_status status = mo_graph_bind(t->graph, NULL);
    if (status == MO_OK) {
        mo_model_graph_attach(t);
        status =
            o->routing ? evaluate_routing(t, o, out) : mo__evaluate_graph(t, o, &(mo__eval_watch){0}, out);
    }
    mo_model_graph_free(t);
    return status;
}
