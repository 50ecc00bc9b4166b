/* checkpoint_writer.c -- a checkpoint written from a copy, by a thread that gives way to training.
 *
 * The thread, and the team that packs for it, have the lowest priority: what they take from training on a
 * busy core, every other core waits for at the next barrier, and uses meanwhile. On a busy machine they may
 * get little done, so an owner that waits for a save does not wait for them: it takes the save over at the
 * end of a round. A save belongs to the thread from pthread_create to pthread_join, and to the owner
 * otherwise. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/thread.h"
#include "checkpoint_save.h"

enum { NICE = 19, COPIES = 256 /* parts that threads copy at a time */ };

struct mo_checkpoint_writer {
    bool background;
    int threads;
    mo_real *snapshot;
    size_t room; /* elements */

    /* of the save under way */
    int n_paths, at; /* of paths; the one that is being written. n_paths 0: no save is under way */
    char **paths;
    char *config;
    mo_checkpoint_array *arrays;
    mo_checkpoint_content content;
    mo__save *save; /* of paths[at], once it is begun */
    double blocked, background_seconds;

    bool threaded; /* `thread` is to be joined */
    pthread_t thread;
    atomic_bool hurry, rests; /* the owner waits; the thread is at its end */
    mo_status status;         /* of the thread */
    char message[MO__MESSAGE_SIZE];
};

/* ---- writing; by the thread until the owner waits, then by the owner ---- */

static bool must_hand_over(mo_checkpoint_writer *w, bool in_thread)
{
    return in_thread && atomic_load(&w->hurry);
}

/* Leaves w->save where it was if it hands over. */
static mo_status write_file(mo_checkpoint_writer *w, bool in_thread)
{
    bool more = true;
    mo_status status = MO_OK;
    if (!w->save) MO_TRY(mo__save_begin(w->paths[w->at], &w->content, &w->save));
    while (status == MO_OK && more) {
        if (must_hand_over(w, in_thread)) return MO_OK;
        status = mo__save_round(w->save, &more);
    }
    mo__save *save = w->save;
    w->save = NULL;
    w->at++;
    return mo__save_end(save, status);
}

static mo_status write_files(mo_checkpoint_writer *w, bool in_thread)
{
    while (w->at < w->n_paths && !must_hand_over(w, in_thread)) {
        if (w->at > 0 && mo_link_file(w->paths[0], w->paths[w->at]) == MO_OK)
            w->at++;
        else
            MO_TRY(write_file(w, in_thread));
    }
    return MO_OK;
}

static void *work(void *user)
{
    mo_checkpoint_writer *w = user;
    double begin = mo_clock();
    /* The team of this thread inherits it. Only a help: where the system refuses, saving is not refused. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    mo_threads_set(w->threads);
    w->status = write_files(w, true);
    if (w->status != MO_OK) snprintf(w->message, sizeof w->message, "%s", mo_last_error());
    w->background_seconds = mo_clock() - begin;
    atomic_store(&w->rests, true);
    return NULL;
}

static mo_status start_thread(mo_checkpoint_writer *w)
{
    atomic_store(&w->hurry, false);
    atomic_store(&w->rests, false);
    int error = mo__thread_start(&w->thread, work, w);
    if (error)
        return mo_error(MO_E_UNSUPPORTED,
                        "%s: no thread to be had to write it (%s); without one, checkpoints are saved by "
                        "checkpoint.background=false",
                        w->paths[0], strerror(error));
    w->threaded = true;
    return MO_OK;
}

/* ---- the copy ---- */

static size_t elements_of(const mo_checkpoint_array *a)
{
    size_t n = 1;
    for (int i = 0; i < a->ndim; i++) n *= (size_t)a->dim[i];
    return n;
}

/* Elements [from, to) of all arrays in a row. */
static void copy_part(const mo_checkpoint_writer *w, const mo_checkpoint_content *content, size_t from,
                      size_t to)
{
    size_t begin = 0; /* of the array */
    for (int i = 0; i < content->n_arrays && begin < to; i++) {
        const mo_checkpoint_array *a = &content->arrays[i];
        size_t end = begin + elements_of(a), first = from > begin ? from : begin, last = to < end ? to : end;
        if (first < last)
            memcpy(w->snapshot + first, a->data + (first - begin), (last - first) * sizeof(mo_real));
        begin = end;
    }
}

static void copy_arrays(mo_checkpoint_writer *w, const mo_checkpoint_content *content, size_t total)
{
#pragma omp parallel for schedule(static) num_threads(w->threads)
    for (size_t part = 0; part < COPIES; part++)
        copy_part(w, content, total * part / COPIES, total * (part + 1) / COPIES);
    mo_real *at = w->snapshot;
    for (int i = 0; i < content->n_arrays; i++) {
        w->arrays[i] = content->arrays[i];
        w->arrays[i].data = at;
        at += elements_of(&w->arrays[i]);
    }
    w->content.arrays = w->arrays;
}

/* ---- the owner ---- */

static void forget(mo_checkpoint_writer *w)
{
    for (int i = 0; w->paths && i < w->n_paths; i++) mo_free(w->paths[i]);
    mo_free(w->paths);
    mo_free(w->config);
    mo_free(w->arrays);
    w->paths = NULL;
    w->config = NULL;
    w->arrays = NULL;
    w->n_paths = w->at = 0;
}

static mo_status keep_content(mo_checkpoint_writer *w, const char *const *paths, int n_paths,
                              const mo_checkpoint_content *content)
{
    w->content = *content;
    w->n_paths = n_paths;
    w->paths = mo_calloc((size_t)n_paths, sizeof *w->paths);
    w->arrays = mo_calloc((size_t)content->n_arrays, sizeof *w->arrays);
    w->config = mo_strdup(content->config ? content->config : "");
    w->content.config = w->config;
    if (!w->paths || !w->arrays || !w->config) return MO_E_MEMORY;
    for (int i = 0; i < n_paths; i++)
        if (!(w->paths[i] = mo_strdup(paths[i]))) return MO_E_MEMORY;
    return MO_OK;
}

static mo_status start(mo_checkpoint_writer *w, const mo_checkpoint_content *content)
{
    if (!w->background) return write_files(w, false);
    size_t total = 0;
    for (int i = 0; i < content->n_arrays; i++) {
        const mo_checkpoint_array *a = &content->arrays[i];
        if (a->stored)
            return mo_error(MO_E_UNSUPPORTED,
                            "%s: %s/%s lies in another file and is not copied; checkpoint.background=false "
                            "saves it from there",
                            w->paths[0], a->group, a->name);
        total += elements_of(a);
    }
    if (total > w->room)
        return mo_error(MO_E_RANGE, "%s: has %zu bytes of arrays, the writer was made for %zu", w->paths[0],
                        total * sizeof(mo_real), w->room * sizeof(mo_real));
    copy_arrays(w, content, total);
    return start_thread(w);
}

mo_status mo_checkpoint_writer_begin(mo_checkpoint_writer *w, const char *const *paths, int n_paths,
                                     const mo_checkpoint_content *content)
{
    double begin = mo_clock();
    if (w->n_paths > 0 || n_paths < 1)
        return mo_error(MO_E_USAGE, n_paths < 1 ? "checkpoint: no path is given to write to"
                                                : "checkpoint: the save before is not finished");
    MO_TRY(mo__save_check(content));
    w->background_seconds = 0;
    mo_status status = keep_content(w, paths, n_paths, content);
    if (status == MO_OK) status = start(w, content);
    if (status != MO_OK) forget(w);
    w->blocked = mo_clock() - begin;
    return status;
}

bool mo_checkpoint_writer_busy(const mo_checkpoint_writer *w)
{
    return w->threaded && !atomic_load(&w->rests);
}

static mo_status join(mo_checkpoint_writer *w)
{
    if (!w->threaded) return MO_OK;
    atomic_store(&w->hurry, true);
    pthread_join(w->thread, NULL);
    w->threaded = false;
    return w->status == MO_OK ? MO_OK : mo_error(w->status, "%s", w->message);
}

mo_status mo_checkpoint_writer_finish(mo_checkpoint_writer *w, mo_checkpoint_saved *out)
{
    double begin = mo_clock();
    struct stat info = {0};
    *out = (mo_checkpoint_saved){0};
    if (w->n_paths == 0) return MO_OK;
    mo_status status = join(w);
    if (status == MO_OK) status = write_files(w, false);
    if (status == MO_OK) stat(w->paths[0], &info);
    *out = (mo_checkpoint_saved){
        .n_paths = w->n_paths, .bytes = (uint64_t)info.st_size, .background_seconds = w->background_seconds};
    forget(w);
    out->blocked_seconds = w->blocked + mo_clock() - begin;
    return status;
}

static mo_status take_memory(mo_checkpoint_writer *w, uint64_t bytes)
{
    w->room = bytes / sizeof(mo_real);
    size_t size = w->room * sizeof(mo_real);
    void *pages;
    MO_TRY(mo_pages_alloc(size, &pages));
    w->snapshot = pages;
    /* Touched, so that the system can keep its word later. */
#pragma omp parallel for schedule(static) num_threads(w->threads)
    for (size_t part = 0; part < COPIES; part++) {
        size_t from = size * part / COPIES, to = size * (part + 1) / COPIES;
        memset((char *)pages + from, 0, to - from);
    }
    return MO_OK;
}

mo_status mo_checkpoint_writer_create(uint64_t bytes, bool background, mo_checkpoint_writer **out)
{
    *out = NULL;
    mo_checkpoint_writer *w = mo_calloc(1, sizeof *w);
    if (!w) return MO_E_MEMORY;
    w->background = background;
    w->threads = mo_threads();
    mo_status status = background ? take_memory(w, bytes) : MO_OK;
    if (status != MO_OK) {
        mo_free(w);
        return mo_error_context(status, "checkpoint: the copy to save from");
    }
    *out = w;
    return MO_OK;
}

void mo_checkpoint_writer_free(mo_checkpoint_writer *w)
{
    mo_checkpoint_saved saved;
    if (!w) return;
    mo_checkpoint_writer_finish(w, &saved);
    mo_pages_free(w->snapshot, w->room * sizeof(mo_real));
    mo_free(w);
}
