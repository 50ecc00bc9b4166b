/* corpus_ahead.c -- two batches: the caller holds one while the thread fills the other. Batch k lives in slot
 * k mod 2, and is filled when the caller has left batch k - 2. */
#include "corpus_ahead.h"

#include <pthread.h>
#include <string.h>

#include "base/text.h"
#include "base/thread.h"

typedef struct {
    mo__records batch;
    mo_status status;
    char message[MO__MESSAGE_SIZE];
} slot;

struct mo__ahead {
    mo__reader *reader;
    slot slots[2];
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t filled, left;
    int64_t made, taken; /* batches that were filled; that the caller was given, the last of which it holds */
    bool stop;
};

static bool fill(mo__ahead *a, slot *s)
{
    s->status = mo__reader_next(a->reader, &s->batch);
    if (s->status != MO_OK) snprintf(s->message, sizeof s->message, "%s", mo_last_error());
    return s->status == MO_OK && !s->batch.last;
}

static void *run(void *user)
{
    mo__ahead *a = user;
    bool more = true;
    pthread_mutex_lock(&a->lock);
    while (more) {
        while (!a->stop && a->made > a->taken) pthread_cond_wait(&a->left, &a->lock);
        if (a->stop) break;
        slot *s = &a->slots[a->made % 2];
        pthread_mutex_unlock(&a->lock);
        more = fill(a, s);
        pthread_mutex_lock(&a->lock);
        a->made++;
        pthread_cond_signal(&a->filled);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void forget(mo__ahead *a)
{
    for (int i = 0; i < 2; i++) mo__records_free(&a->slots[i].batch);
    pthread_cond_destroy(&a->filled);
    pthread_cond_destroy(&a->left);
    pthread_mutex_destroy(&a->lock);
    mo_free(a);
}

mo_status mo__ahead_start(mo__reader *reader, mo__ahead **out)
{
    mo__ahead *a = *out = mo_calloc(1, sizeof *a);
    if (!a) return MO_E_MEMORY;
    a->reader = reader;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->filled, NULL);
    pthread_cond_init(&a->left, NULL);
    int error = mo__thread_start(&a->thread, run, a);
    if (!error) return MO_OK;
    forget(a);
    *out = NULL;
    return mo_error(MO_E_UNSUPPORTED, "corpus: no thread to be had (%s)", strerror(error));
}

/* The thread may now fill the slot that the caller held. */
mo_status mo__ahead_next(mo__ahead *a, const mo__records **out)
{
    *out = NULL;
    pthread_mutex_lock(&a->lock);
    const slot *s = &a->slots[a->taken % 2];
    while (a->made == a->taken) pthread_cond_wait(&a->filled, &a->lock);
    a->taken++;
    pthread_cond_signal(&a->left);
    pthread_mutex_unlock(&a->lock);
    if (s->status != MO_OK) return mo_error(s->status, "%s", s->message);
    *out = &s->batch;
    return MO_OK;
}

void mo__ahead_stop(mo__ahead *a)
{
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->left);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    forget(a);
}
