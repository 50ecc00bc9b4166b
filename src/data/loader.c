/* loader.c -- training batches as a pure function of (seed, step, microbatch); order.c says which tokens.
 *
 * With prefetch a thread keeps a ring of the batches after the last one that was asked for. The batch
 * numbered q = step * accumulation + microbatch lives in slot q mod RING; the thread never writes the slot
 * that the caller holds. A get of any other q starts the ring anew there. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/text.h"
#include "base/thread.h"
#include "batch.h"
#include "order.h"

enum { RING = 4 };

typedef struct {
    mo_batch *batch;
    mo_status status;
    char message[MO__MESSAGE_SIZE];
} slot;

struct mo_loader {
    mo_loader_options options; /* its sources are gone */
    mo__order order;
    slot ring[RING]; /* the first alone without prefetch */
    int64_t held;    /* number of the batch that the caller holds, -1 for none */
    /* Of the step that was counted last, -1 for none: whoever makes batches has them. */
    int64_t counted;
    mo__row_counts count;

    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t made, wanted;
    int64_t next;   /* number of the next batch that the thread makes */
    int64_t behind; /* batches before this number may be overwritten */
    uint64_t turn;  /* counts starts of the ring: what was begun before the last is dropped */
    bool stop;
    double waited;
};

/* ---- what is in a batch ---- */

/* Targets and tokens of a whole step, before any of it is made. */
static mo__row_counts count_step(mo_loader *l, int64_t step)
{
    if (step == l->counted) return l->count;
    int64_t sequences = l->order.per_step, place;
    l->counted = step;
    l->count = (mo__row_counts){0, 0};
    for (int64_t row = 0; row < sequences; row++) {
        const mo__order_source *s =
            &l->order.sources[mo__order_find(&l->order, step * sequences + row, &place)];
        mo__row_counts one = s->tokens->whole ? mo__count_packed(s->tokens, &s->packing, place)
                                              : mo__count_row(s->tokens, place, l->order.sequence_length);
        l->count.predicted += one.predicted;
        l->count.valid += one.valid;
    }
    return l->count;
}

static mo_status make(mo_loader *l, int64_t number, mo_batch *batch)
{
    const mo_loader_options *o = &l->options;
    int64_t step = number / o->accumulation, sequences;
    if (__builtin_mul_overflow(o->accumulation * o->batch_size, step + 1, &sequences))
        return mo_error(MO_E_RANGE, "loader: step %lld of %lld sequences is further than can be counted",
                        (long long)step, (long long)(o->accumulation * o->batch_size));
    mo__batch_clear(batch);
    for (int64_t row = 0; row < o->batch_size; row++) {
        int64_t place;
        int source = mo__order_find(&l->order, number * o->batch_size + row, &place);
        const mo__order_source *s = &l->order.sources[source];
        if (s->tokens->whole)
            mo__batch_fill_packed(s->tokens, o->tokenizer, &s->packing, place, batch, row);
        else
            mo__batch_fill_row(s->tokens, o->tokenizer, place, true, batch, row);
        batch->source[row] = source;
    }
    mo__row_counts all = {batch->predicted, batch->valid};
    if (o->accumulation > 1) all = count_step(l, step);
    batch->predicted_step = all.predicted;
    batch->valid_step = all.valid;
    return MO_OK;
}

static void make_slot(mo_loader *l, int64_t number, slot *s)
{
    s->status = make(l, number, s->batch);
    if (s->status != MO_OK) snprintf(s->message, sizeof s->message, "%s", mo_last_error());
}

/* ---- the thread ---- */

/* At the end of the numbers the thread rests. */
static bool has_room(const mo_loader *l)
{
    return l->next != INT64_MAX && l->next - l->behind < RING;
}

static void *prefetch(void *user)
{
    mo_loader *l = user;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!has_room(l)) {
            pthread_cond_wait(&l->wanted, &l->lock);
            continue;
        }
        int64_t number = l->next;
        uint64_t turn = l->turn;
        pthread_mutex_unlock(&l->lock);
        make_slot(l, number, &l->ring[number % RING]);
        pthread_mutex_lock(&l->lock);
        if (turn != l->turn) continue;
        l->next++;
        pthread_cond_signal(&l->made);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static mo_status start_thread(mo_loader *l)
{
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->made, NULL);
    pthread_cond_init(&l->wanted, NULL);
    int error = mo__thread_start(&l->thread, prefetch, l);
    if (error) {
        pthread_mutex_destroy(&l->lock);
        pthread_cond_destroy(&l->made);
        pthread_cond_destroy(&l->wanted);
        return mo_error(MO_E_UNSUPPORTED, "loader: no thread to be had (%s)", strerror(error));
    }
    l->threaded = true;
    return MO_OK;
}

static void stop_thread(mo_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->wanted);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->made);
    pthread_cond_destroy(&l->wanted);
}

/* The caller holds `number` from here on and nothing before it. */
static void await(mo_loader *l, int64_t number)
{
    pthread_mutex_lock(&l->lock);
    if (number < l->behind || number > l->next) {
        l->next = number;
        l->turn++;
    }
    l->behind = number;
    pthread_cond_signal(&l->wanted);
    if (l->next <= number) {
        double start = mo_clock();
        while (l->next <= number) pthread_cond_wait(&l->made, &l->lock);
        l->waited += mo_clock() - start;
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- the interface ---- */

static mo_status check_options(const mo_loader_options *o)
{
    int64_t tokens;
    if (o->batch_size < 1 || o->sequence_length < 1 || o->accumulation < 1)
        return mo_error(MO_E_RANGE,
                        "loader: %lld microbatches of %lld sequences of %lld tokens, all must be positive",
                        (long long)o->accumulation, (long long)o->batch_size, (long long)o->sequence_length);
    if (__builtin_mul_overflow(o->batch_size, o->accumulation, &tokens) ||
        __builtin_mul_overflow(tokens, o->sequence_length, &tokens) || o->sequence_length > INT32_MAX)
        return mo_error(MO_E_RANGE, "loader: %lld microbatches of %lld sequences of %lld tokens are too many",
                        (long long)o->accumulation, (long long)o->batch_size, (long long)o->sequence_length);
    return o->n_sources >= 1 ? MO_OK : mo_error(MO_E_RANGE, "loader: there is no source");
}

mo_status mo_loader_open(const mo_loader_options *options, mo_loader **out)
{
    *out = NULL;
    MO_TRY(check_options(options));
    mo_loader *l = mo_calloc(1, sizeof *l);
    if (!l) return MO_E_MEMORY;
    l->options = *options;
    l->options.sources = NULL;
    l->held = l->counted = -1;
    mo_status status = mo__order_create(options, &l->order);
    for (int i = 0; status == MO_OK && i < (options->prefetch ? RING : 1); i++)
        status = mo_batch_create(options->batch_size, options->sequence_length, &l->ring[i].batch);
    if (status == MO_OK && options->prefetch) status = start_thread(l);
    if (status != MO_OK)
        mo_loader_close(l);
    else
        *out = l;
    return status;
}

mo_status mo_loader_get(mo_loader *loader, int64_t step, int64_t microbatch, const mo_batch **out)
{
    *out = NULL;
    const mo_loader_options *o = &loader->options;
    int64_t number;
    if (step < 0 || microbatch < 0 || microbatch >= o->accumulation)
        return mo_error(MO_E_RANGE, "loader: step %lld, microbatch %lld of %lld is none", (long long)step,
                        (long long)microbatch, (long long)o->accumulation);
    if (__builtin_mul_overflow(step, o->accumulation, &number) ||
        __builtin_add_overflow(number, microbatch, &number) || number == INT64_MAX)
        return mo_error(MO_E_RANGE, "loader: step %lld is further than can be counted", (long long)step);
    slot *s = &loader->ring[loader->threaded ? number % RING : 0];
    if (loader->threaded)
        await(loader, number);
    else if (number != loader->held)
        make_slot(loader, number, s);
    loader->held = number;
    if (s->status != MO_OK) return mo_error(s->status, "%s", s->message);
    *out = s->batch;
    return MO_OK;
}

int64_t mo_loader_drawn(const mo_loader *loader, int source, int64_t steps)
{
    return mo__apportion_count(&loader->order.shares, source, steps * loader->order.per_step);
}

double mo_loader_waited(const mo_loader *loader)
{
    return loader->waited;
}

void mo_loader_close(mo_loader *loader)
{
    if (!loader) return;
    if (loader->threaded) stop_thread(loader);
    for (int i = 0; i < RING; i++) mo_batch_free(loader->ring[i].batch);
    mo__order_free(&loader->order);
    mo_free(loader);
}
