/* test_run.c -- whole runs: the same bits whatever the threads, the recompute policy and the interruptions;
 * no allocation in a step; a memory estimate that holds. The program starts itself anew as a child to be
 * killed. */
#include "harness/harness.h"

#include <errno.h>
#include <math.h>
#include <jansson.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "moira/moira.h"

/* ---- counting allocations ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
static atomic_bool counting;
static atomic_int allocations;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *malloc(size_t size)
{
    if (counting) allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    if (counting) allocations++;
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    if (counting) allocations++;
    return __libc_realloc(old, size);
}
#endif

/* ---- a small run ---- */

extern char **environ;
static char *folder;
static const char *program;

static const char moe_yaml[] =
    "run: {name: t, seed: 7}\n"
    "data: {path: PLACE/data.h5}\n"
    "model: {hidden_size: 32, intermediate_size: 24, num_hidden_layers: 3,\n"
    "        num_attention_heads: 4, num_key_value_heads: 2, num_local_experts: 4,\n"
    "        num_experts_per_tok: 2, router: noisy_topk}\n"
    "balance: {importance: 0.1, load: 0.1, z_loss: 0.001, switch: 0.01, scope: sequence}\n"
    "train: {steps: 12, batch_size: 3, sequence_length: 80, gradient_accumulation_steps: 2}\n"
    "optimizer: {learning_rate: 3.0e-3}\n"
    "schedule: {warmup_steps: 3}\n"
    "eval: {every: 5, batches: 2}\n"
    "checkpoint: {every: 2, keep: 2, compression: 0}\n"
    "log: {every: 1}\n";

static void write_text(const char *path, const char *text)
{
    MO_CHECK_OK(mo_write_file(path, text, strlen(text)));
}

static char *in_folder(const char *name)
{
    return mo_path_join(folder, name);
}

static void make_data(const char *path, uint64_t seed)
{
    mo_synth_options synth = {.output = path,
                              .domains = 3,
                              .tokens = 40000,
                              .validation_fraction = 0.1,
                              .seed = seed,
                              .compression = 1};
    mo_corpus_summary summary;
    MO_CHECK_OK(mo_synth(&synth, &summary));
}

static int setup(void **state)
{
    (void)state;
    folder = temp_make();
    char *config = in_folder("config.yaml"), *data = in_folder("data.h5");
    char *at = strstr(moe_yaml, "PLACE");
    char *text = mo_strprintf("%.*s%s%s", (int)(at - moe_yaml), moe_yaml, folder, at + 5);
    write_text(config, text);
    mo_synth_options synth = {.output = data,
                              .domains = 3,
                              .tokens = 40000,
                              .validation_fraction = 0.1,
                              .seed = 5,
                              .compression = 1};
    mo_corpus_summary summary;
    MO_CHECK_OK(mo_synth(&synth, &summary));
    mo_free(text);
    mo_free(config);
    mo_free(data);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

static mo_status check_resume(const char *saved, const mo_run_config *wanted, void *user)
{
    (void)user;
    mo_run_config old;
    MO_TRY(mo_config_parse(saved, "checkpoint", &old));
    mo_status status = mo_config_check_resume(&old, wanted);
    mo_config_free(&old);
    return status;
}

static mo_status train(const char *const *overrides, int n, bool resume, mo_train_events events,
                       const volatile sig_atomic_t *stop)
{
    char *path = in_folder("config.yaml");
    mo_run_config config;
    mo_status status = mo_config_load(path, overrides, n, &config);
    mo_free(path);
    if (status != MO_OK) return status;
    mo_train_options options = {.config = &config,
                                .dump = mo_config_dump,
                                .check_resume = check_resume,
                                .resume = resume,
                                .stop = stop,
                                .events = events};
    mo_step_report last;
    status = mo_train(&options, &last);
    mo_config_free(&config);
    return status;
}

/* Trains in <folder>/<name> with one more setting; returns the run's folder. */
static char *run_named(const char *name, const char *setting)
{
    char *dir = in_folder(name), *where = mo_strprintf("run.dir=%s", dir);
    MO_CHECK_OK(train((const char *[]){where, setting}, setting ? 2 : 1, false, (mo_train_events){0}, NULL));
    mo_free(where);
    return dir;
}

/* ---- what a run left ---- */

typedef struct array_list {
    mo_checkpoint_array arrays[512];
    int count;
    const char *group;
} array_list;

static void collect(const char *name, int ndim, const int64_t *dim, void *user)
{
    array_list *list = user;
    int64_t count = 1;
    mo_checkpoint_array a = {.group = list->group, .name = mo_strdup(name), .ndim = ndim};
    for (int i = 0; i < ndim; i++) {
        a.dim[i] = dim[i];
        count *= dim[i];
    }
    a.data = mo_calloc((size_t)count, sizeof(mo_real));
    assert_true(list->count < 512);
    list->arrays[list->count++] = a;
}

static void read_final(const char *dir, array_list *list)
{
    static const char *const groups[] = {"model", "optimizer/adamw/m", "optimizer/adamw/v"};
    char *path = NULL;
    mo_checkpoint *c = NULL;
    list->count = 0;
    MO_CHECK_OK(mo_run_latest(dir, &path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    assert_int_equal(mo_checkpoint_get_state(c)->step, 12);
    for (int g = 0; g < 3; g++) {
        list->group = groups[g];
        MO_CHECK_OK(mo_checkpoint_list(c, groups[g], collect, list));
    }
    assert_true(list->count >= 3 * 20);
    MO_CHECK_OK(mo_checkpoint_read(c, list->arrays, list->count));
    mo_checkpoint_close(c);
    mo_free(path);
}

static void free_list(array_list *list)
{
    for (int i = 0; i < list->count; i++) {
        mo_free((void *)(uintptr_t)list->arrays[i].name);
        mo_free(list->arrays[i].data);
    }
}

static void assert_same_weights(const char *a, const char *b)
{
    array_list *x = mo_calloc(1, sizeof *x), *y = mo_calloc(1, sizeof *y);
    read_final(a, x);
    read_final(b, y);
    assert_int_equal(x->count, y->count);
    for (int i = 0; i < x->count; i++) {
        const mo_checkpoint_array *p = &x->arrays[i], *q = &y->arrays[i];
        int64_t count = 1;
        for (int d = 0; d < p->ndim; d++) count *= p->dim[d];
        assert_string_equal(p->name, q->name);
        if (memcmp(p->data, q->data, (size_t)count * sizeof(mo_real)) != 0)
            fail_msg("%s/%s differs between %s and %s", p->group, p->name, a, b);
    }
    free_list(x);
    free_list(y);
    mo_free(x);
    mo_free(y);
}

/* metrics.jsonl as text without what hangs on the clock. Owned by malloc. */
static char *timeless_metrics(const char *dir)
{
    static const char *const timing[] = {"seconds", "tokens_per_second", "gflops"};
    char *path = mo_path_join(dir, "metrics.jsonl"), *text = NULL, *out = NULL;
    size_t size = 0, out_size = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    FILE *f = open_memstream(&out, &out_size);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        for (int i = 0; i < 3; i++) assert_int_equal(json_object_del(object, timing[i]), 0);
        char *kept = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
        fprintf(f, "%s\n", kept);
        free(kept);
        json_decref(object);
    }
    fclose(f);
    mo_free(text);
    mo_free(path);
    return out;
}

static void assert_same_run(const char *a, const char *b)
{
    assert_same_weights(a, b);
    char *x = timeless_metrics(a), *y = timeless_metrics(b);
    assert_string_equal(x, y);
    free(x);
    free(y);
}

/* ---- tests ---- */

static char *reference;

static void test_threads(void **state)
{
    (void)state;
    reference = run_named("t1", "run.threads=1");
    char *two = run_named("t2", "run.threads=2"), *four = run_named("t4", "run.threads=4");
    assert_same_run(reference, two);
    assert_same_run(reference, four);
    mo_free(two);
    mo_free(four);
    char *metrics = timeless_metrics(reference);
    int lines = 0;
    for (const char *c = metrics; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 12);
    free(metrics);
}

static void test_recompute(void **state)
{
    (void)state;
    char *block = run_named("block", "train.recompute=block"),
         *full = run_named("full", "train.recompute=full");
    assert_same_run(reference, block);
    assert_same_run(reference, full);
    mo_free(block);
    mo_free(full);
}

static volatile sig_atomic_t stop_flag;

static void stop_at_seven(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 7) stop_flag = 1;
}

static void test_interrupted(void **state)
{
    (void)state;
    char *dir = in_folder("stopped"), *where = mo_strprintf("run.dir=%s", dir);
    const char *overrides[] = {where};
    stop_flag = 0;
    MO_CHECK_STATUS(train(overrides, 1, false, (mo_train_events){.tick = stop_at_seven}, &stop_flag),
                    MO_E_INTERRUPTED);
    MO_CHECK_STATUS(train(overrides, 1, false, (mo_train_events){0}, NULL), MO_E_EXISTS);
    MO_CHECK_OK(train(overrides, 1, true, (mo_train_events){0}, NULL));
    assert_same_run(reference, dir);
    mo_free(where);
    mo_free(dir);
}

static void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&t, NULL);
}

static double best_loss(const char *dir)
{
    char *path = mo_path_join(dir, "best.h5");
    mo_checkpoint *c = NULL;
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    const mo_checkpoint_state *state = mo_checkpoint_get_state(c);
    assert_int_equal(state->step, state->best_step);
    double loss = state->best_loss;
    mo_checkpoint_close(c);
    mo_free(path);
    return loss;
}

/* A child trains and is killed after a while; whatever it left, a resume must end as if nothing had been. */
static void test_killed(void **state)
{
    (void)state;
    int killed = 0;
    for (int round = 0; round < 6; round++) {
        char *dir = mo_strprintf("%s/killed%d", folder, round), *where = mo_strprintf("run.dir=%s", dir);
        char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--train", folder, where, NULL};
        pid_t child;
        assert_int_equal(posix_spawn(&child, program, NULL, NULL, argv, environ), 0);
        double wait = 0.03 + 0.5 * mo_rng_uniform((uint64_t)time(NULL), MO_RNG_TEST, (uint64_t)round, 0, 0);
        nap(wait);
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        killed += WIFSIGNALED(status);
        char *config = mo_path_join(dir, "config.yaml"); /* the first thing that a run writes */
        bool resume = mo_path_exists(config);
        mo_free(config);
        MO_CHECK_OK(train((const char *[]){where}, 1, resume, (mo_train_events){0}, NULL));
        assert_same_run(reference, dir);
        assert_true(best_loss(dir) == best_loss(reference));
        mo_free(where);
        mo_free(dir);
    }
    assert_true(killed >= 1);
}

static void count_between(int64_t step, double loss, double rate, void *user)
{
    (void)loss;
    (void)rate;
    (void)user;
    if (step == 2) counting = true;
    if (step == 11) counting = false;
}

static void test_no_allocation(void **state)
{
    (void)state;
    char *dir = in_folder("quiet"), *where = mo_strprintf("run.dir=%s", dir);
    allocations = 0;
    MO_CHECK_OK(train((const char *[]){where, "log.every=1000", "eval.every=1000", "checkpoint.every=1000"},
                      4, false, (mo_train_events){.tick = count_between}, NULL));
    assert_int_equal(allocations, 0);
    mo_free(where);
    mo_free(dir);
}

/* A run of the same folder with a changed model, or with none to resume. */
static void test_refused(void **state)
{
    (void)state;
    char *where = mo_strprintf("run.dir=%s", reference);
    MO_CHECK_STATUS(train((const char *[]){where, "train.steps=11"}, 2, true, (mo_train_events){0}, NULL),
                    MO_E_MISMATCH);
    MO_CHECK_MESSAGE("has done 12 steps already");
    MO_CHECK_STATUS(
        train((const char *[]){where, "model.hidden_size=64"}, 2, true, (mo_train_events){0}, NULL),
        MO_E_MISMATCH);
    MO_CHECK_MESSAGE("hidden_size");
    mo_free(where);
    where = mo_strprintf("run.dir=%s/nowhere", folder);
    MO_CHECK_STATUS(train((const char *[]){where}, 1, true, (mo_train_events){0}, NULL), MO_E_NOT_FOUND);
    mo_free(where);
}

/* Other text behind the same name. */
static void test_other_data(void **state)
{
    (void)state;
    char *where = mo_strprintf("run.dir=%s", reference), *data = in_folder("data.h5");
    make_data(data, 6);
    MO_CHECK_STATUS(train((const char *[]){where}, 1, true, (mo_train_events){0}, NULL), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("is not the file that the run began with");
    make_data(data, 5);
    MO_CHECK_OK(train((const char *[]){where}, 1, true, (mo_train_events){0}, NULL));
    mo_free(where);
    mo_free(data);
}

/* The run goes on past its first end, and one batch can be learnt by heart. */
static void test_extended(void **state)
{
    (void)state;
    char *dir = in_folder("extended"), *where = mo_strprintf("run.dir=%s", dir);
    const char *first[] = {where, "train.steps=6", "schedule.kind=constant"};
    const char *more[] = {where, "train.steps=12", "schedule.kind=constant"};
    MO_CHECK_OK(train(first, 3, false, (mo_train_events){0}, NULL));
    MO_CHECK_OK(train(more, 3, true, (mo_train_events){0}, NULL));
    char *whole = run_named("constant", "schedule.kind=constant");
    assert_same_weights(dir, whole);
    mo_free(whole);
    mo_free(where);
    mo_free(dir);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--train") == 0) {
        folder = argv[2];
        return train((const char *[]){argv[3]}, 1, false, (mo_train_events){0}, NULL) == MO_OK ? 0 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_interrupted),   cmocka_unit_test(test_killed),
        cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_extended),      cmocka_unit_test(test_other_data)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
