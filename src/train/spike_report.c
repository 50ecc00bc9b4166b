/* spike_report.c -- spikes.jsonl: an object a line for every step that stood out. */
#include <jansson.h>
#include <math.h>

#include "base/utf8.h"
#include "data/batch.h"
#include "train/lines.h"
#include "train/trainer.h"

enum { MOST_CHARACTERS = 200 };

/* The beginning of a piece as text, at most MOST_CHARACTERS of it; NULL when out of memory. */
static char *text_of(const mo_tokenizer *tokenizer, const mo_tokens *tokens, const mo__piece *piece)
{
    int32_t ids[MOST_CHARACTERS]; /* few tokens have no text */
    int64_t count = piece->tokens < MOST_CHARACTERS ? piece->tokens : MOST_CHARACTERS;
    for (int64_t i = 0; i < count; i++) ids[i] = mo_token_at(tokens, piece->at + i);
    char *text = NULL;
    size_t size = 0;
    if (mo_tokenizer_decode(tokenizer, ids, count, &text, &size) != MO_OK) return NULL;
    char *shown = mo__printable(text, size);
    mo_free(text);
    char *end = shown;
    uint32_t point;
    for (int i = 0; end && *end && i < MOST_CHARACTERS; i++) end += mo__utf8_next(end, &point);
    if (end) *end = '\0';
    return shown;
}

static json_t *piece_json(const mo__trainer *t, const mo__piece *piece, double total)
{
    const mo_run_source *source = &t->data.sources[piece->source];
    const mo_tokens *tokens = &source->file->split[MO_SPLIT_TRAIN];
    char *text = text_of(t->tokenizer, tokens, piece);
    if (!text) return NULL;
    double n = piece->predicted > 0 ? (double)piece->predicted : 1;
    json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:s}", "source", source->name, "document",
                               (json_int_t)mo__document_at(tokens, piece->at), "at", (json_int_t)piece->at,
                               "tokens", (json_int_t)piece->tokens, "loss", piece->loss / n, "share",
                               mo__piece_excess(piece, t->spike.median) / total, "text", text);
    mo_free(text);
    return object;
}

static json_t *spike_json(const mo__trainer *t, const mo_step_report *r, int64_t predicted)
{
    const mo__spike_watch *w = &t->spike;
    json_t *layers = json_array(), *sequences = json_array();
    for (int l = 0; l < r->n_layers; l++)
        json_array_append_new(
            layers, json_pack("{s:i, s:f}", "layer", r->layers[l].layer, "max_vio", r->layers[l].max_vio));
    bool whole = true;
    double total = (r->train_loss - w->median) * (double)predicted;
    for (int i = 0; i < w->n_worst; i++)
        if (json_array_append_new(sequences, piece_json(t, &w->worst[i], total)) != 0) whole = false;
    json_t *line =
        json_pack("{s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "version", MO_METRICS_VERSION, "step",
                  (json_int_t)r->step, "loss", r->train_loss, "median", w->median, "mad", w->mad, "height",
                  mo__spike_height(w, r->train_loss), "grad_norm", r->grad_norm, "learning_rate",
                  r->learning_rate, "layers", layers, "sequences", sequences);
    if (whole) return line;
    json_decref(line);
    return NULL;
}

mo_status mo__spike_write(const mo__trainer *t, const mo_step_report *r, int64_t predicted)
{
    const mo__spike_watch *w = &t->spike;
    mo_log(MO_LOG_WARNING,
           "step %lld: the loss jumps to %.4f, %.1f robust standard deviations above %.4f, the median of the "
           "%d steps before (gradient norm %.3g, learning rate %.3g); spikes.jsonl has its worst sequences",
           (long long)r->step, r->train_loss, mo__spike_height(w, r->train_loss), w->median, MO_RECENT_LOSSES,
           r->grad_norm, r->learning_rate);
    char *path = mo_path_join(t->dir, "spikes.jsonl");
    if (!path) return MO_E_MEMORY;
    json_t *line = spike_json(t, r, predicted);
    mo_status status = mo__lines_append(path, line);
    json_decref(line);
    mo_free(path);
    return status;
}
