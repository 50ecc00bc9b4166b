/* decoder.c -- one graph for each number of sequences that take a token at once, and one for each length of a
 * piece of a prompt, made when they are first needed.
 *
 * A prompt is read in pieces, which have no logits: as long ones as are filled to three quarters; a piece is
 * filled up with padding, whose keys nobody sees and the next tokens overwrite. Its last token is a step. How
 * a prompt is cut depends on its length alone. */
#include "train/decoder.h"

#include <string.h>

#include "moira/train.h"
#include "tensor/thin.h"

/* Products of a step are thin ones, whose bits do not depend on the number of rows. */
_Static_assert((int)MO_GENERATE_MOST <= (int)MO__THIN_ROWS,
               "more texts at once than a thin product has rows");

static const int64_t step_sizes[] = {1, 2, 4, 8, MO_GENERATE_MOST},
                     read_sizes[] = {512, 256, 128, 64, 32, 16};
enum { STEPS = 5, READS = 6, MOST_PADDING = 128 };

typedef struct part {
    mo_model_graph *graph;
    mo_kv_cache *caches; /* [layers, sequences of the graph] */
} part;

struct mo__decoder {
    const mo_model *model;
    int64_t slots, capacity, room, width; /* room: positions of a cache, with those of padding */
    int64_t length[MO_GENERATE_MOST];
    mo_real *storage; /* [slots + 1, layers, 2, room, width]; the last one's is of rows that are padding */
    int32_t *context; /* [slots, capacity] */
    part steps[STEPS], reads[READS];
};

/* ---- graphs ---- */

static mo_kv_cache cache_of(const mo__decoder *d, int64_t slot, int64_t layer)
{
    int64_t layers = d->model->config.num_hidden_layers, size = d->room * d->width;
    mo_real *k = d->storage + (slot * layers + layer) * 2 * size;
    return (mo_kv_cache){k, k + size, d->room, slot < d->slots ? d->length[slot] : 0};
}

/* Points row i of a graph at the caches of a slot. */
static void point(const mo__decoder *d, part *p, int64_t i, int64_t slot)
{
    for (int64_t l = 0; l < d->model->config.num_hidden_layers; l++)
        p->caches[l * p->graph->batch_size + i] = cache_of(d, slot, l);
}

static mo_status make(const mo__decoder *d, part *p, mo_graph_kind kind, int64_t sequences, int64_t tokens)
{
    int64_t count = d->model->config.num_hidden_layers * sequences;
    p->caches = mo_calloc((size_t)count, sizeof *p->caches);
    if (!p->caches) return MO_E_MEMORY;
    for (int64_t i = 0; i < count; i++) p->caches[i] = cache_of(d, d->slots, 0);
    mo_model_graph_options options = {
        .kind = kind, .batch_size = sequences, .sequence_length = tokens, .caches = p->caches};
    mo_status status = mo_model_graph_create(d->model, &options, &p->graph);
    if (status == MO_OK) status = mo_graph_bind(p->graph->graph, NULL);
    if (status == MO_OK) mo_model_graph_attach(p->graph);
    return status;
}

static void drop(part *p)
{
    mo_model_graph_free(p->graph);
    mo_free(p->caches);
    *p = (part){0};
}

/* The part, made if it is not there. */
static mo_status need(const mo__decoder *d, part *p, mo_graph_kind kind, int64_t sequences, int64_t tokens)
{
    if (p->graph) return MO_OK;
    mo_status status = make(d, p, kind, sequences, tokens);
    if (status != MO_OK) drop(p);
    return status;
}

static void run(part *p)
{
    mo_graph_forward(p->graph->graph, &(mo_run){.training = false});
}

/* ---- reading ---- */

static void set_row(part *p, int64_t row, int32_t id, int64_t position)
{
    ((int32_t *)p->graph->tokens->data)[row] = id;
    ((int32_t *)p->graph->positions->data)[row] = (int32_t)position;
    ((int32_t *)p->graph->starts->data)[row] = 0;
}

/* The next piece of a slot's context, which goes up to `end`. */
static mo_status read_piece(mo__decoder *d, int64_t slot, int64_t end)
{
    const int32_t *context = d->context + slot * d->capacity;
    int64_t at = d->length[slot], left = end - at;
    int which = 0;
    while (which < READS - 1 && 4 * left < 3 * read_sizes[which]) which++;
    int64_t size = read_sizes[which], count = left < size ? left : size;
    part *p = &d->reads[which];
    MO_TRY(need(d, p, MO_GRAPH_READ, 1, size));
    for (int64_t i = 0; i < size; i++) set_row(p, i, i < count ? context[at + i] : -1, at + i);
    point(d, p, 0, slot);
    run(p);
    d->length[slot] += count;
    return MO_OK;
}

static mo_status read_context(mo__decoder *d, int64_t slot, int64_t end)
{
    while (d->length[slot] < end) MO_TRY(read_piece(d, slot, end));
    return MO_OK;
}

mo_status mo__decoder_read(mo__decoder *d, int64_t slot, const int32_t *ids, int64_t count,
                           const mo_real **logits)
{
    int64_t end = d->length[slot] + count - 1;
    MO_ASSERT(count > 0 && end < d->capacity);
    memcpy(d->context + slot * d->capacity + d->length[slot], ids, (size_t)count * sizeof *ids);
    MO_TRY(read_context(d, slot, end));
    return mo__decoder_step(d, 1, &slot, &ids[count - 1], logits);
}

static mo_status keep_half(mo__decoder *d, int64_t slot)
{
    int64_t kept = d->capacity / 2;
    int32_t *context = d->context + slot * d->capacity;
    memmove(context, context + d->capacity - kept, (size_t)kept * sizeof *context);
    d->length[slot] = 0;
    return read_context(d, slot, kept);
}

/* Rows of a step, the longest context first: then no row is the position after that of the row above, from
 * which rope would go on, and rows have the bits that they have alone. */
static void order_rows(const mo__decoder *d, int64_t count, const int64_t *slots, int64_t *order)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i;
        for (; at > 0 && d->length[slots[order[at - 1]]] < d->length[slots[i]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

mo_status mo__decoder_step(mo__decoder *d, int64_t count, const int64_t *slots, const int32_t *ids,
                           const mo_real **logits)
{
    int64_t order[MO_GENERATE_MOST], vocab = d->model->config.vocab_size;
    int which = 0;
    while (step_sizes[which] < count) which++;
    part *p = &d->steps[which];
    MO_TRY(need(d, p, MO_GRAPH_DECODE, step_sizes[which], 1));
    for (int64_t i = 0; i < count; i++)
        if (d->length[slots[i]] == d->capacity) MO_TRY(keep_half(d, slots[i]));
    order_rows(d, count, slots, order);
    for (int64_t r = 0; r < step_sizes[which]; r++) {
        int64_t slot = r < count ? slots[order[r]] : d->slots;
        set_row(p, r, r < count ? ids[order[r]] : -1, r < count ? d->length[slot] : 0);
        point(d, p, r, slot);
    }
    run(p);
    for (int64_t r = 0; r < count; r++) {
        int64_t i = order[r], slot = slots[i];
        d->context[slot * d->capacity + d->length[slot]++] = ids[i];
        logits[i] = (const mo_real *)p->graph->logits->data + r * vocab;
    }
    return MO_OK;
}

/* ---- the whole ---- */

int64_t mo__decoder_capacity(const mo__decoder *d)
{
    return d->capacity;
}

int64_t mo__decoder_length(const mo__decoder *d, int64_t slot)
{
    return d->length[slot];
}

void mo__decoder_clear(mo__decoder *d, int64_t slot)
{
    d->length[slot] = 0;
}

static mo_status start(mo__decoder *d)
{
    size_t layers = (size_t)d->model->config.num_hidden_layers;
    size_t numbers = (size_t)(d->slots + 1) * layers * 2 * (size_t)(d->room * d->width);
    d->storage = mo_malloc(numbers * sizeof *d->storage);
    d->context = mo_malloc((size_t)(d->slots * d->capacity) * sizeof *d->context);
    if (!d->storage || !d->context) return MO_E_MEMORY;
    return need(d, &d->steps[0], MO_GRAPH_DECODE, 1, 1);
}

mo_status mo__decoder_create(const mo_model *model, int64_t slots, int64_t capacity, mo__decoder **out)
{
    MO_ASSERT(slots > 0 && slots <= MO_GENERATE_MOST && capacity > 0);
    *out = NULL;
    MO_TRY(mo_blas_init());
    mo__decoder *d = mo_calloc(1, sizeof *d);
    if (!d) return MO_E_MEMORY;
    d->model = model;
    d->slots = slots;
    d->capacity = capacity;
    d->room = capacity + MOST_PADDING;
    d->width = model->config.num_key_value_heads * model->config.head_dim;
    mo_status status = start(d);
    if (status == MO_OK)
        *out = d;
    else
        mo__decoder_free(d);
    return status;
}

void mo__decoder_free(mo__decoder *d)
{
    if (!d) return;
    for (int i = 0; i < STEPS; i++) drop(&d->steps[i]);
    for (int i = 0; i < READS; i++) drop(&d->reads[i]);
    mo_free(d->storage);
    mo_free(d->context);
    mo_free(d);
}
