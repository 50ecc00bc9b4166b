/* test_checkpoint_writer.c -- saving in the background: the same bytes as in the foreground, whoever writes
 * them; what goes wrong is told; HDF5 is never in two threads at once. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <moira/checkpoint.h>
#include <moira/tokenfile.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "store/h5.h"

enum { ARRAYS = 5 };

/* Several rounds of chunks; arrays of one element, of one chunk, of a chunk and a bit. */
static const mo_checkpoint_array SHAPES[ARRAYS] = {
    {"model", "embedding", 2, {1500, 500}, NULL, NULL},
    {"model", "norm", 1, {7}, NULL, NULL},
    {"optimizer/adamw/m", "wide", 2, {2, 400001}, NULL, NULL},
    {"optimizer/adamw/m", "one", 1, {1}, NULL, NULL},
    {"optimizer/adamw/v", "experts", 3, {8, 300, 128}, NULL, NULL},
};

typedef struct {
    char *dir;
    mo_checkpoint_array arrays[ARRAYS];
    size_t elements;
    mo_real *data;
    mo_tokenizer *tokenizer;
    mo_checkpoint_content content;
} fixture;

static size_t count_of(const mo_checkpoint_array *a)
{
    size_t n = 1;
    for (int i = 0; i < a->ndim; i++) n *= (size_t)a->dim[i];
    return n;
}

/* A walk around 1: some planes of it are noise, some pack well. */
static void fill(fixture *f, uint64_t seed)
{
    uint32_t x = 12345 + (uint32_t)seed;
    for (size_t i = 0; i < f->elements; i++) {
        x = x * 1664525 + 1013904223;
        f->data[i] = (mo_real)(1 + x / 4294967296.0);
    }
}

static int setup(void **state)
{
    fixture *f = mo_calloc(1, sizeof *f);
    f->dir = temp_make();
    for (int i = 0; i < ARRAYS; i++) f->elements += count_of(&SHAPES[i]);
    f->data = mo_malloc(f->elements * sizeof *f->data);
    mo_real *at = f->data;
    for (int i = 0; i < ARRAYS; i++) {
        f->arrays[i] = SHAPES[i];
        f->arrays[i].data = at;
        at += count_of(&SHAPES[i]);
    }
    fill(f, 0);
    MO_CHECK_OK(mo_tokenizer_bytes(&f->tokenizer));
    f->content = (mo_checkpoint_content){.arrays = f->arrays,
                                         .n_arrays = ARRAYS,
                                         .state = {.step = 7, .tokens = 9, .seconds = 1.5},
                                         .config = "run:\n",
                                         .tokenizer = f->tokenizer,
                                         .compression = 1};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    temp_remove(f->dir);
    mo_tokenizer_free(f->tokenizer);
    mo_free(f->data);
    mo_free(f);
    return 0;
}

static size_t bytes_of(const fixture *f)
{
    return f->elements * sizeof(mo_real);
}

static void nap(double seconds)
{
    struct timespec t = {0, (long)(seconds * 1e9)};
    nanosleep(&t, NULL);
}

static void wait_for(const mo_checkpoint_writer *w)
{
    for (int i = 0; mo_checkpoint_writer_busy(w); i++) {
        if (i > 100000) fail_msg("a save does not come to its end");
        nap(1e-3);
    }
}

static mo_status begin_one(mo_checkpoint_writer *w, const char *path, const fixture *f)
{
    return mo_checkpoint_writer_begin(w, &path, 1, &f->content);
}

/* ---- the same bytes ---- */

static void same_file_as_in_the_foreground(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    const int levels[] = {0, 1, 6}, before = mo_threads();
    mo_checkpoint_saved saved;
    for (int k = 0; k < 3; k++) {
        char expected[33], hash[33];
        f->content.compression = levels[k];
        MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
        MO_CHECK_OK(mo_checkpoint_verify(path));
        MO_CHECK_OK(mo_hash_file(path, 0, expected));
        for (int way = 0; way < 4;
             way++) { /* foreground, by the thread, by the owner, by one after the other */
            mo_checkpoint_writer *w;
            mo_threads_set(1 + way);
            remove(path);
            MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), way > 0, &w));
            MO_CHECK_OK(begin_one(w, path, f));
            if (way > 0) memset(f->data, 0x55, bytes_of(f)); /* the copy is made */
            if (way == 1) wait_for(w);
            if (way == 3) nap(5e-3);
            MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
            mo_checkpoint_writer_free(w);
            fill(f, 0);
            MO_CHECK_OK(mo_hash_file(path, 0, hash));
            assert_string_equal(hash, expected);
            struct stat info;
            assert_int_equal(stat(path, &info), 0);
            assert_true(saved.n_paths == 1 && saved.bytes == (uint64_t)info.st_size);
            assert_true(saved.blocked_seconds > 0 && (saved.background_seconds > 0) == (way > 0));
        }
    }
    mo_threads_set(before);
    assert_int_equal(damage_count_files(f->dir), 1);
}

/* The owner may come at any moment. */
static void taken_over_at_any_moment(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    char expected[33], hash[33];
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), true, &w));
    for (int i = 0; i < 12; i++) {
        fill(f, (uint64_t)i);
        f->content.state.step = i;
        MO_CHECK_OK(mo_checkpoint_save(path, &f->content));
        MO_CHECK_OK(mo_hash_file(path, 0, expected));
        remove(path);
        MO_CHECK_OK(begin_one(w, path, f));
        nap(i * 2e-3);
        MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
        MO_CHECK_OK(mo_hash_file(path, 0, hash));
        assert_string_equal(hash, expected);
    }
    mo_checkpoint_writer_free(w);
}

static void one_file_with_two_names(void **state)
{
    fixture *f = *state;
    const char *paths[] = {temp_path(f->dir, "best.h5"), temp_path(f->dir, "step.h5")};
    for (int background = 0; background < 2; background++) {
        mo_checkpoint_writer *w;
        mo_checkpoint_saved saved;
        struct stat best, step;
        MO_CHECK_OK(mo_write_file(paths[1], "old", 3));
        MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), background, &w));
        MO_CHECK_OK(mo_checkpoint_writer_begin(w, paths, 2, &f->content));
        MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
        assert_int_equal(saved.n_paths, 2);
        assert_true(stat(paths[0], &best) == 0 && stat(paths[1], &step) == 0);
        assert_true(best.st_ino == step.st_ino && best.st_nlink == 2);
        /* Again over both names, which are one file. */
        MO_CHECK_OK(mo_checkpoint_writer_begin(w, paths, 2, &f->content));
        MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
        assert_true(stat(paths[0], &best) == 0 && stat(paths[1], &step) == 0);
        assert_true(best.st_ino == step.st_ino);
        MO_CHECK_OK(mo_link_file(paths[0], paths[1]));
        assert_int_equal(damage_count_files(f->dir), 2);
        mo_checkpoint_writer_free(w);
    }
}

/* No link reaches another file system. */
static void a_file_of_its_own_where_no_link_can_be(void **state)
{
    fixture *f = *state;
    struct stat here, there;
    char other[] = "/dev/shm/moira-test-XXXXXX", hash[2][33];
    if (stat(f->dir, &here) != 0 || stat("/dev/shm", &there) != 0 || here.st_dev == there.st_dev ||
        !mkdtemp(other)) {
        print_message("/dev/shm is no other file system than the temporary folder's\n");
        skip();
    }
    const char *paths[] = {temp_path(f->dir, "c.h5"), temp_path(other, "d.h5")};
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), true, &w));
    MO_CHECK_OK(mo_checkpoint_writer_begin(w, paths, 2, &f->content));
    MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
    mo_checkpoint_writer_free(w);
    for (int i = 0; i < 2; i++) MO_CHECK_OK(mo_hash_file(paths[i], 0, hash[i]));
    assert_string_equal(hash[0], hash[1]);
    assert_int_equal(damage_count_files(other), 1);
    assert_int_equal(remove(paths[1]) | rmdir(other), 0);
}

/* ---- the thread ---- */

typedef struct {
    long id;
    bool interruptible;
    int nice;
} task;

/* Blocked signals and nice of a thread of this process; false if it is gone. */
static bool look_at(long id, task *out)
{
    char path[64], line[256];
    unsigned long long blocked = 0;
    bool found = false;
    *out = (task){.id = id};
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", id);
    FILE *file = fopen(path, "r");
    if (!file) return false;
    while (fgets(line, sizeof line, file)) found = found || sscanf(line, "SigBlk: %llx", &blocked) == 1;
    fclose(file);
    out->interruptible = !(blocked & 1ULL << (SIGINT - 1)) || !(blocked & 1ULL << (SIGTERM - 1));
    out->nice = getpriority(PRIO_PROCESS, (id_t)id);
    return found;
}

static int list_tasks(long ids[256])
{
    int n = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) && n < 256;)
        if (e->d_name[0] != '.') ids[n++] = strtol(e->d_name, NULL, 10);
    closedir(dir);
    return n;
}

/* Signals are for the program's threads; training comes first. */
static void the_thread_gives_way(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    long before[256], now[256];
    int seen = 0;
    f->content.compression = 9;
    MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), true, &w));
    int n_before = list_tasks(before);
    MO_CHECK_OK(begin_one(w, path, f));
    while (mo_checkpoint_writer_busy(w) && seen < 100) {
        int n = list_tasks(now);
        for (int i = 0; i < n; i++) {
            task t;
            bool old = false;
            for (int k = 0; k < n_before; k++) old = old || before[k] == now[i];
            if (old || !look_at(now[i], &t)) continue;
            if (t.interruptible) fail_msg("a thread of the save takes signals");
            seen += t.nice == 19; /* once it has come so far */
        }
    }
    MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
    assert_true(seen > 0);
    mo_checkpoint_writer_free(w);
}

static void no_thread_to_be_had(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    pthread_attr_t normal, endless;
    MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), true, &w));
    assert_int_equal(pthread_getattr_default_np(&normal), 0);
    assert_int_equal(pthread_getattr_default_np(&endless), 0);
    assert_int_equal(pthread_attr_setstacksize(&endless, (size_t)1 << 47), 0);
    assert_int_equal(pthread_setattr_default_np(&endless), 0);
    mo_status status = begin_one(w, path, f);
    assert_int_equal(pthread_setattr_default_np(&normal), 0);
    assert_int_equal(status, MO_E_UNSUPPORTED);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_MESSAGE("no thread to be had to write it");
    MO_CHECK_MESSAGE("checkpoint.background=false");
    MO_CHECK_OK(begin_one(w, path, f));
    MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
    MO_CHECK_OK(mo_checkpoint_verify(path));
    mo_checkpoint_writer_free(w);
    pthread_attr_destroy(&normal);
    pthread_attr_destroy(&endless);
}

/* ---- what goes wrong ---- */

static void wrong_calls(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f) - 1, true, &w));
    MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
    assert_int_equal(saved.n_paths, 0);
    MO_CHECK_STATUS(mo_checkpoint_writer_begin(w, &path, 0, &f->content), MO_E_USAGE);
    MO_CHECK_STATUS(begin_one(w, path, f), MO_E_RANGE);
    MO_CHECK_MESSAGE("bytes of arrays, the writer was made for");
    f->content.n_arrays = ARRAYS - 1;
    f->content.compression = 10;
    MO_CHECK_STATUS(begin_one(w, path, f), MO_E_RANGE);
    f->content.compression = 1;
    f->content.state.n_recent_losses = MO_RECENT_LOSSES + 1;
    MO_CHECK_STATUS(begin_one(w, path, f), MO_E_RANGE);
    f->content.state.n_recent_losses = 0;
    MO_CHECK_OK(begin_one(w, path, f));
    MO_CHECK_STATUS(begin_one(w, path, f), MO_E_USAGE);
    MO_CHECK_MESSAGE("the save before is not finished");
    mo_checkpoint_writer_free(w); /* which finishes */
    MO_CHECK_OK(mo_checkpoint_verify(path));
    assert_false(mo_path_exists(temp_path(f->dir, "absent")));
}

/* What the thread says is what finish says; the writer can go on. */
static void errors_come_back_with_their_text(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "absent/c.h5"), *good = temp_path(f->dir, "c.h5");
    mo_checkpoint_saved saved;
    for (int way = 0; way < 3; way++) {
        mo_checkpoint_writer *w;
        MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), way > 0, &w));
        mo_status status = begin_one(w, path, f);
        if (way > 0) {
            assert_int_equal(status, MO_OK);
            if (way == 1) wait_for(w);
            mo_error_clear();
            status = mo_checkpoint_writer_finish(w, &saved);
        }
        assert_int_equal(status, MO_E_NOT_FOUND);
        MO_CHECK_MESSAGE(path);
        MO_CHECK_MESSAGE("does not exist");
        MO_CHECK_OK(begin_one(w, good, f));
        MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
        MO_CHECK_OK(mo_checkpoint_verify(good));
        mo_checkpoint_writer_free(w);
    }
}

/* A full disk, played by the limit on the size of files. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5"), *paths[] = {path, temp_path(f->dir, "d.h5")};
    char before[33], after[33];
    struct rlimit limit, small;
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    MO_CHECK_OK(mo_checkpoint_writer_create(bytes_of(f), true, &w));
    MO_CHECK_OK(begin_one(w, path, f));
    MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
    MO_CHECK_OK(mo_hash_file(path, 0, before));
    getrlimit(RLIMIT_FSIZE, &limit);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    const rlim_t sizes[] = {100, 3000, 100000, 1500000, 3000000};
    for (int i = 0; i < 10; i++) {
        small = limit;
        small.rlim_cur = sizes[i / 2];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        mo_status status = mo_checkpoint_writer_begin(w, paths, 2, &f->content);
        if (status == MO_OK && i % 2) wait_for(w);
        if (status == MO_OK) status = mo_checkpoint_writer_finish(w, &saved);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        if (status != MO_E_IO) fail_msg("limit %d: '%s'", (int)small.rlim_cur, mo_status_name(status));
        MO_CHECK_MESSAGE(path);
        MO_CHECK_MESSAGE("File too large");
        MO_CHECK_OK(mo_hash_file(path, 0, after));
        assert_string_equal(before, after);
        assert_int_equal(damage_count_files(f->dir), 1);
    }
    signal(SIGXFSZ, handler);
    mo_checkpoint_writer_free(w);
}

static mo_status save_whole(const fixture *f, const char *const *paths, bool wait)
{
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    MO_TRY(mo_checkpoint_writer_create(bytes_of(f), true, &w));
    mo_status status = mo_checkpoint_writer_begin(w, paths, 2, &f->content);
    if (status == MO_OK && wait) wait_for(w);
    if (status == MO_OK) status = mo_checkpoint_writer_finish(w, &saved);
    mo_checkpoint_writer_free(w);
    return status;
}

/* Whether the thread or the owner meets the failure. */
static void failing_memory_leaves_nothing_behind(void **state)
{
    fixture *f = *state;
    const char *paths[] = {temp_path(f->dir, "c.h5"), temp_path(f->dir, "d.h5")};
    int64_t live = mo__alloc_live(), failed;
    f->content.n_arrays = 2;
    f->arrays[0].dim[0] = 3;
    for (int wait = 0; wait < 2; wait++) {
        MO_CHECK_EACH_ALLOCATION(failed, save_whole(f, paths, wait));
        assert_true(failed > 20);
        assert_int_equal(mo__alloc_live(), live);
        assert_int_equal(damage_count_files(f->dir), 2);
        MO_CHECK_OK(mo_checkpoint_verify(paths[1]));
        assert_int_equal(remove(paths[0]) | remove(paths[1]), 0);
    }
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

/* ---- HDF5 in several threads ----
 *
 * A build of HDF5 with locks would hide that ours is not held. So some of its functions are passed through
 * here, which notes when one is entered while another thread is in one. */

static _Thread_local int depth; /* HDF5 calls itself, and us */
static atomic_int inside, clashes;

static void enter(void)
{
    if (depth++ > 0) return;
    if (atomic_fetch_add(&inside, 1) > 0) atomic_fetch_add(&clashes, 1);
    sched_yield();
}

static void leave(void)
{
    if (--depth == 0) atomic_fetch_sub(&inside, 1);
}

#define PASS_THROUGH(type, name, parameters, arguments)    \
    type name parameters                                   \
    {                                                      \
        type(*real) parameters;                            \
        *(void **)(void *)&real = dlsym(RTLD_NEXT, #name); \
        enter();                                           \
        type result = real arguments;                      \
        leave();                                           \
        return result;                                     \
    }
PASS_THROUGH(herr_t, H5Fclose, (hid_t file), (file))
PASS_THROUGH(herr_t, H5Awrite, (hid_t at, hid_t type, const void *data), (at, type, data))
PASS_THROUGH(herr_t, H5Aread, (hid_t at, hid_t type, void *data), (at, type, data))
PASS_THROUGH(hid_t, H5Screate_simple, (int n, const hsize_t dim[], const hsize_t most[]), (n, dim, most))
PASS_THROUGH(herr_t, H5Dread, (hid_t dataset, hid_t type, hid_t memory, hid_t space, hid_t list, void *data),
             (dataset, type, memory, space, list, data))
PASS_THROUGH(herr_t, H5Dwrite_chunk,
             (hid_t dataset, hid_t list, uint32_t filters, const hsize_t *at, size_t size, const void *data),
             (dataset, list, filters, at, size, data))

/* Files of many small arrays, so that the time goes to HDF5's own structures. */
enum { SMALL = 100, SMALL_SIZE = 6, LEAST_ROUNDS = 25 };

typedef struct {
    const fixture *f;
    char names[SMALL][16];
    mo_checkpoint_array arrays[SMALL];
    mo_real data[SMALL * SMALL_SIZE];
} small;

typedef struct {
    small *s;
    const char *path;
    mo_status (*turn)(const small *s, const char *path);
    atomic_bool stop;
    atomic_int rounds;
    mo_status status;
    char message[512];
} other;

static mo_status read_back(const small *s, const char *path)
{
    mo_checkpoint *c;
    mo_checkpoint_array arrays[SMALL];
    mo_real data[SMALL * SMALL_SIZE];
    memcpy(arrays, s->arrays, sizeof arrays);
    for (int i = 0; i < SMALL; i++) arrays[i].data = data + i * SMALL_SIZE;
    MO_TRY(mo_checkpoint_open(path, &c));
    mo_status status = mo_checkpoint_read(c, arrays, SMALL);
    mo_checkpoint_close(c);
    MO_TRY(status);
    if (memcmp(data, s->data, sizeof data) != 0) return mo_error(MO_E_CORRUPT, "other numbers were read");
    return mo_checkpoint_verify(path);
}

static mo_status write_tokens(const small *s, const char *path)
{
    mo_tokenwriter *w;
    mo_tokenfile *file;
    char text[3000];
    mo_tokenwriter_options options = {.path = path, .tokenizer = s->f->tokenizer, .compression = 1};
    memset(text, 'x', sizeof text);
    MO_TRY(mo_tokenwriter_open(&options, &w));
    for (int i = 0; i < 2; i++) {
        MO_TRY(mo_tokenwriter_append_bytes(w, (mo_split)i, text, sizeof text));
        MO_TRY(mo_tokenwriter_end_document(w, (mo_split)i, 0));
    }
    MO_TRY(mo_tokenwriter_finish(w));
    MO_TRY(mo_tokenfile_open(path, &file));
    bool same = !memcmp(file->split[MO_SPLIT_VALIDATION].data, text, sizeof text);
    mo_tokenfile_close(file);
    return same ? MO_OK : mo_error(MO_E_CORRUPT, "other tokens were read");
}

static void *run_other(void *user)
{
    other *o = user;
    while (!atomic_load(&o->stop) && o->status == MO_OK) {
        o->status = o->turn(o->s, o->path);
        if (o->status != MO_OK) snprintf(o->message, sizeof o->message, "%s", mo_last_error());
        atomic_fetch_add(&o->rounds, 1);
    }
    return NULL;
}

static void make_small(small *s, fixture *f)
{
    s->f = f;
    for (int i = 0; i < SMALL; i++) {
        snprintf(s->names[i], sizeof s->names[i], "array%d", i);
        s->arrays[i] = (mo_checkpoint_array){.group = "model",
                                             .name = s->names[i],
                                             .ndim = 1,
                                             .dim = {SMALL_SIZE},
                                             .data = s->data + i * SMALL_SIZE};
    }
    for (int i = 0; i < SMALL * SMALL_SIZE; i++) s->data[i] = (mo_real)i / 3;
    f->content.arrays = s->arrays;
    f->content.n_arrays = SMALL;
}

static bool need_more(other *others)
{
    bool more = false;
    for (int i = 0; i < 2; i++)
        more = more || (atomic_load(&others[i].rounds) < LEAST_ROUNDS && others[i].status == MO_OK);
    return more;
}

static void hdf5_is_entered_by_one_thread_at_a_time(void **state)
{
    fixture *f = *state;
    const char *path = temp_path(f->dir, "c.h5");
    static small s;
    mo_checkpoint_writer *w;
    mo_checkpoint_saved saved;
    other others[2] = {{.s = &s, .path = temp_path(f->dir, "good.h5"), .turn = read_back},
                       {.s = &s, .path = temp_path(f->dir, "tokens.h5"), .turn = write_tokens}};
    pthread_t threads[2];
    char expected[33], hash[33];
    make_small(&s, f);
    MO_CHECK_OK(mo_checkpoint_save(others[0].path, &f->content));
    MO_CHECK_OK(mo_hash_file(others[0].path, 0, expected));
    MO_CHECK_OK(mo_checkpoint_writer_create(sizeof s.data, true, &w));
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_other, &others[i]), 0);
    for (int i = 0; i < LEAST_ROUNDS || need_more(others); i++) {
        MO_CHECK_OK(begin_one(w, path, f));
        if (i % 2) nap(0.01);
        MO_CHECK_OK(mo_checkpoint_writer_finish(w, &saved));
        MO_CHECK_OK(mo_hash_file(path, 0, hash));
        assert_string_equal(hash, expected);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&others[i].stop, true);
        pthread_join(threads[i], NULL);
        if (others[i].status != MO_OK) fail_msg("%s", others[i].message);
    }
    assert_int_equal(atomic_load(&clashes), 0);
    mo_checkpoint_writer_free(w);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(same_file_as_in_the_foreground),
        WITH_FIXTURE(taken_over_at_any_moment),
        WITH_FIXTURE(one_file_with_two_names),
        WITH_FIXTURE(a_file_of_its_own_where_no_link_can_be),
        WITH_FIXTURE(the_thread_gives_way),
        WITH_FIXTURE(no_thread_to_be_had),
        WITH_FIXTURE(wrong_calls),
        WITH_FIXTURE(errors_come_back_with_their_text),
        WITH_FIXTURE(a_full_disk_leaves_the_old_file),
        WITH_FIXTURE(failing_memory_leaves_nothing_behind),
        WITH_FIXTURE(hdf5_is_entered_by_one_thread_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
