/* small_run.c -- a config, its data, and what its runs left. */
#include "harness/small_run.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/events.h"

char *run_folder;

static const char moe_yaml[] =
    "run: {name: t, seed: 7}\n"
    "data: {path: PLACE/data.h5}\n"
    "model: {hidden_size: 32, intermediate_size: 24, num_hidden_layers: 3,\n"
    "        num_attention_heads: 4, num_key_value_heads: 2, num_local_experts: 4,\n"
    "        num_experts_per_tok: 2, router: noisy_topk,\n"
    "        embd_pdrop: 0.05, resid_pdrop: 0.1, attention_dropout: 0.1}\n"
    "balance: {importance: 0.1, load: 0.1, z_loss: 0.001, switch: 0.01, scope: sequence}\n"
    "train: {steps: 12, batch_size: 3, sequence_length: 80, gradient_accumulation_steps: 2}\n"
    "optimizer: {learning_rate: 3.0e-3}\n"
    "schedule: {warmup_steps: 3}\n"
    "eval: {every: 5, batches: 2}\n"
    "checkpoint: {every: 2, keep: 2, compression: 0}\n"
    "log: {every: 1}\n";

char *run_path(const char *name)
{
    return mo_path_join(run_folder, name);
}

void run_make_data(const char *path, uint64_t seed)
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

int run_setup(void **state)
{
    (void)state;
    run_folder = temp_make();
    char *config = run_path("config.yaml"), *data = run_path("data.h5");
    const char *at = strstr(moe_yaml, "PLACE");
    char *text = mo_strprintf("%.*s%s%s", (int)(at - moe_yaml), moe_yaml, run_folder, at + 5);
    MO_CHECK_OK(mo_write_file(config, text, strlen(text)));
    run_make_data(data, 5);
    mo_free(text);
    mo_free(config);
    mo_free(data);
    return 0;
}

int run_teardown(void **state)
{
    (void)state;
    temp_remove(run_folder);
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

mo_status run_train(const char *const *settings, int n, mo_train_options options, mo_step_report *last)
{
    char *path = run_path("config.yaml");
    mo_run_config config;
    mo_step_report ignored;
    mo_status status = mo_config_load(path, settings, n, &config);
    mo_free(path);
    if (status != MO_OK) return status;
    options.config = &config;
    options.dump = mo_config_dump;
    options.parse = mo_config_parse;
    options.release = mo_config_free;
    options.check_resume = check_resume;
    status = mo_train(&options, last ? last : &ignored);
    mo_config_free(&config);
    return status;
}

char *run_named(const char *name, const char *setting)
{
    char *dir = run_path(name), *where = mo_strprintf("run.dir=%s", dir);
    MO_CHECK_OK(run_train((const char *[]){where, setting}, setting ? 2 : 1, (mo_train_options){0}, NULL));
    mo_free(where);
    return dir;
}

/* ---- a run in a process of its own ---- */

extern char **environ;

bool run_killed(const char *const *settings, int n, double seconds, const char *until)
{
    enum { MOST = 16 };
    char program[4096], *argv[MOST + 4] = {program, (char[]){"--train"}, run_folder};
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    assert_true(length > 0 && n <= MOST);
    program[length] = '\0';
    for (int i = 0; i < n; i++) argv[3 + i] = (char *)(uintptr_t)settings[i];
    pid_t child;
    assert_int_equal(posix_spawn(&child, program, NULL, NULL, argv, environ), 0);
    double end = mo_clock() + seconds;
    while (until && !mo_path_exists(until) && mo_clock() < end) nap(0.002);
    if (!until) nap(seconds);
    kill(child, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

int run_as_child(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "--train") != 0) return -1;
    run_folder = argv[2];
    const char *const *settings = (const char *const *)(argv + 3);
    return run_train(settings, argc - 3, (mo_train_options){0}, NULL) == MO_OK ? 0 : 1;
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

/* Returns the step. */
static int64_t read_final(const char *dir, array_list *list)
{
    static const char *const groups[] = {"model", "optimizer/adamw/m", "optimizer/adamw/v"};
    char *path = NULL;
    mo_checkpoint *c = NULL;
    list->count = 0;
    MO_CHECK_OK(mo_run_latest(dir, &path));
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    int64_t step = mo_checkpoint_get_state(c)->step;
    for (int g = 0; g < 3; g++) {
        list->group = groups[g];
        MO_CHECK_OK(mo_checkpoint_list(c, groups[g], collect, list));
    }
    assert_true(list->count >= 3 * 20);
    MO_CHECK_OK(mo_checkpoint_read(c, list->arrays, list->count));
    mo_checkpoint_close(c);
    mo_free(path);
    return step;
}

static void free_list(array_list *list)
{
    for (int i = 0; i < list->count; i++) {
        mo_free((void *)(uintptr_t)list->arrays[i].name);
        mo_free(list->arrays[i].data);
    }
}

void assert_same_weights(const char *a, const char *b)
{
    array_list *x = mo_calloc(1, sizeof *x), *y = mo_calloc(1, sizeof *y);
    assert_int_equal(read_final(a, x), read_final(b, y));
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

char *timeless_metrics(const char *dir)
{
    static const char *const timing[] = {"seconds", "tokens_per_second", "gflops", "waited_seconds"};
    char *path = mo_path_join(dir, "metrics.jsonl"), *text = NULL, *out = NULL;
    size_t size = 0, out_size = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    FILE *f = open_memstream(&out, &out_size);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        for (size_t i = 0; i < sizeof timing / sizeof *timing; i++)
            assert_int_equal(json_object_del(object, timing[i]), 0);
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

char *timeless_events(const char *dir)
{
    char *path = mo_path_join(dir, "events.out.tfevents.moira"), *out = NULL;
    char *list = events_list(path, NULL, 0, NULL);
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    bool config = false;
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
        if (strstr(line, " scalar ")) config = false;
        if (!config && !strstr(line, " scalar speed/")) fprintf(f, "%s\n", line);
        if (strstr(line, "0 text config ")) config = true;
    }
    fclose(f);
    free(list);
    mo_free(path);
    return out;
}

static void assert_same_text(char *x, char *y)
{
    assert_string_equal(x, y);
    free(x);
    free(y);
}

char *run_routing(const char *dir)
{
    char *path = mo_path_join(dir, "routing.jsonl"), *text = NULL;
    size_t size = 0;
    if (mo_path_exists(path))
        MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    else
        text = mo_strdup("");
    mo_free(path);
    return text;
}

void assert_same_run(const char *a, const char *b)
{
    assert_same_weights(a, b);
    assert_same_text(timeless_metrics(a), timeless_metrics(b));
    assert_same_text(timeless_events(a), timeless_events(b));
    char *x = run_routing(a), *y = run_routing(b);
    assert_string_equal(x, y);
    mo_free(x);
    mo_free(y);
}

void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&t, NULL);
}

double run_best_loss(const char *dir)
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
