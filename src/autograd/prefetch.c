/* prefetch.c -- a queue of byte ranges, and the threads that fetch them piece by piece.
 *
 * Two threads, so that one's pieces are read while the other's are being mapped; pieces of 8 MiB: the system
 * reads well ahead within each, and what is dropped or waited for is soon over. */
#include "autograd/prefetch.h"

#include <pthread.h>

#include "base/thread.h"

enum { THREADS = 2 };
static const size_t PIECE = 8 << 20;

typedef struct request {
    const char *at;
    size_t size, begun, done;
} request;

struct mo__prefetch {
    pthread_mutex_t lock;
    pthread_cond_t asked, fetched;
    pthread_t threads[THREADS];
    int n_threads;
    bool ends;
    mo__fetch_fn *fetch;
    /* Requests are numbered from 1; request n is at[n % room]. All up to `finished` are done, all up to
     * `taken` have been begun to their ends. */
    request *at;
    int room;
    int64_t last, taken, finished;
};

/* Under the lock: the next piece to fetch. */
static request *next_piece(mo__prefetch *p, const char **at, size_t *size)
{
    while (p->taken < p->last) {
        request *r = &p->at[(p->taken + 1) % p->room];
        if (r->begun < r->size) {
            *at = r->at + r->begun;
            *size = r->size - r->begun < PIECE ? r->size - r->begun : PIECE;
            r->begun += *size;
            return r;
        }
        p->taken++;
    }
    return NULL;
}

static void finish(mo__prefetch *p)
{
    while (p->finished < p->last) {
        const request *r = &p->at[(p->finished + 1) % p->room];
        if (r->done < r->size) return;
        p->finished++;
        if (p->taken < p->finished) p->taken = p->finished;
        pthread_cond_signal(&p->fetched);
    }
}

static void *work(void *user)
{
    mo__prefetch *p = user;
    const char *at;
    size_t size;
    pthread_mutex_lock(&p->lock);
    while (!p->ends) {
        request *r = next_piece(p, &at, &size);
        if (!r) {
            pthread_cond_wait(&p->asked, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        p->fetch(at, size);
        pthread_mutex_lock(&p->lock);
        r->done += size;
        finish(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

mo_status mo__prefetch_create(int room, mo__fetch_fn *fetch, mo__prefetch **out)
{
    mo__prefetch *p = mo_calloc(1, sizeof *p);
    if (!p) return MO_E_MEMORY;
    p->at = mo_calloc((size_t)room, sizeof *p->at);
    if (!p->at) {
        mo_free(p);
        return MO_E_MEMORY;
    }
    p->room = room;
    p->fetch = fetch;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->asked, NULL);
    pthread_cond_init(&p->fetched, NULL);
    while (p->n_threads < THREADS && mo__thread_start(&p->threads[p->n_threads], work, p) == 0)
        p->n_threads++;
    if (p->n_threads == 0) {
        mo__prefetch_free(p);
        return mo_error(MO_E_IO, "prefetch: the system starts no thread");
    }
    *out = p;
    return MO_OK;
}

void mo__prefetch_free(mo__prefetch *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ends = true;
    pthread_cond_broadcast(&p->asked);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->fetched);
    pthread_cond_destroy(&p->asked);
    pthread_mutex_destroy(&p->lock);
    mo_free(p->at);
    mo_free(p);
}

int64_t mo__prefetch_ask(mo__prefetch *p, const void *at, size_t size)
{
    int64_t number = 0;
    pthread_mutex_lock(&p->lock);
    if (p->last - p->finished < p->room) {
        number = ++p->last;
        p->at[number % p->room] = (request){.at = at, .size = size};
        pthread_cond_broadcast(&p->asked);
    }
    pthread_mutex_unlock(&p->lock);
    return number;
}

void mo__prefetch_wait(mo__prefetch *p, int64_t number)
{
    pthread_mutex_lock(&p->lock);
    while (p->finished < number) pthread_cond_wait(&p->fetched, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void mo__prefetch_drop(mo__prefetch *p)
{
    pthread_mutex_lock(&p->lock);
    for (int64_t n = p->taken + 1; n <= p->last; n++) {
        request *r = &p->at[n % p->room];
        r->size = r->begun;
    }
    finish(p);
    pthread_mutex_unlock(&p->lock);
}
