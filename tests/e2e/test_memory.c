/* test_memory.c -- the memory that a run is said to take against what a process that does it takes at most;
 * upon a base, with a part frozen and with adapters, of weights that stay in its files. */
#include "harness/harness.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "moira/moira.h"
#include "moira/pretrained.h"

extern char **environ;
static const char *program;
static char *folder;

/* 29 million parameters, most of them in experts. */
static const char large_yaml[] =
    "run: {name: large, threads: 2}\n"
    "model: {hidden_size: 512, intermediate_size: 1024, num_hidden_layers: 2,\n"
    "        num_attention_heads: 8, num_key_value_heads: 4, num_local_experts: 8,\n"
    "        num_experts_per_tok: 2}\n"
    "balance: {switch: 0.01, z_loss: 0.001}\n"
    "train: {steps: 1, batch_size: 8, sequence_length: 256}\n"
    "optimizer: {learning_rate: 1.0e-3}\n"
    "eval: {batches: 1}\n"
    "checkpoint: {compression: 0}\n";

/* A run, by name: recompute policies from the start; parts of a base, whose values are in memory; adapters
 * upon the same base, whose matrices stay in its files. */
static mo_status load(const char *what, mo_run_config *config)
{
    bool parts = strcmp(what, "parts") == 0, adapters = strcmp(what, "adapters") == 0;
    char *path = mo_path_join(folder, "large.yaml"), *data = mo_strprintf("data.path=%s/data.h5", folder);
    char *dir = mo_strprintf("run.dir=%s/%s", folder, what),
         *policy = mo_strprintf("train.recompute=%s", parts || adapters ? "none" : what),
         *from = mo_strprintf("init.from=%s/%s", folder,
                              parts      ? "base.h5"
                              : adapters ? "base"
                                         : "");
    const char *settings[] = {data, dir, policy, from, parts ? "freeze=[experts]" : "lora.rank=8"};
    int n = parts || adapters ? 5 : 3;
    mo_status status = mo_config_load(path, settings, n, config);
    mo_free(path);
    mo_free(data);
    mo_free(dir);
    mo_free(policy);
    mo_free(from);
    return status;
}

/* Bytes of memory that are no file's, in this process now. */
static double anonymous(void)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "RssAnon:", 8) == 0) kib = strtod(line + 8, NULL);
    if (f) fclose(f);
    return kib * 1024;
}

static double most;

static void watch(int64_t step, double loss, double rate, void *user)
{
    (void)step;
    (void)loss;
    (void)rate;
    (void)user;
    double now = anonymous();
    if (now > most) most = now;
}

static void watch_saved(const mo_save_report *report, void *user)
{
    (void)report;
    watch(0, 0, 0, user);
}

static int child(const char *what)
{
    mo_run_config config;
    if (load(what, &config) != MO_OK) return 2;
    mo_step_report last;
    mo_train_options options = {.config = &config,
                                .dump = mo_config_dump,
                                .parse = mo_config_parse,
                                .release = mo_config_free,
                                .events = {.tick = watch, .saved = watch_saved}};
    mo_status status = mo_train(&options, &last);
    if (status != MO_OK) fprintf(stderr, "%s\n", mo_last_error());
    mo_config_free(&config);
    char *path = mo_strprintf("%s/%s.most", folder, what), *text = mo_strprintf("%.0f", most);
    if (mo_write_file(path, text, strlen(text)) != MO_OK) status = MO_E_IO;
    mo_free(path);
    mo_free(text);
    return status == MO_OK ? 0 : 1;
}

static mo_status value_of(const mo_param *p, int64_t part, mo_real *out, void *user)
{
    const mo_model *m = user;
    int64_t count = p->ndim == 3 ? p->count / p->dim[0] : p->count;
    memcpy(out, m->value + p->offset + part * count, (size_t)count * sizeof *out);
    return MO_OK;
}

/* The model of the config, as a folder in bf16 and as a checkpoint. */
static void make_bases(void)
{
    mo_run_config config;
    mo_model *m = NULL;
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_CHECK_OK(load("none", &config));
    config.model.vocab_size = 256;
    MO_CHECK_OK(mo_model_create(&config.model, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_INFERENCE));
    mo_model_init(m, 1);
    mo_dtype *dtypes = mo_calloc((size_t)m->n_params, sizeof *dtypes);
    for (int i = 0; i < m->n_params; i++) dtypes[i] = MO_BF16;
    char *base = mo_path_join(folder, "base"), *file = mo_path_join(folder, "base.h5"), *text = NULL;
    mo_hf_export_options options = {.model = m, .dtypes = dtypes, .values = value_of, .user = m};
    MO_CHECK_OK(mo_hf_export(base, &options));
    MO_CHECK_OK(mo_config_dump(&config, &text));
    MO_CHECK_OK(mo_model_arrays(m, false, &arrays, &count));
    mo_checkpoint_content content = {.arrays = arrays, .n_arrays = count, .config = text};
    MO_CHECK_OK(mo_checkpoint_save(file, &content));
    mo_free(arrays);
    mo_free(text);
    mo_free(base);
    mo_free(file);
    mo_free(dtypes);
    mo_model_free(m);
    mo_config_free(&config);
}

static int setup(void **state)
{
    (void)state;
    folder = temp_make();
    char *path = mo_path_join(folder, "large.yaml"), *data = mo_path_join(folder, "data.h5");
    MO_CHECK_OK(mo_write_file(path, large_yaml, strlen(large_yaml)));
    mo_synth_options synth = {
        .output = data, .domains = 2, .tokens = 100000, .validation_fraction = 0.1, .seed = 1};
    mo_corpus_summary summary;
    MO_CHECK_OK(mo_synth(&synth, &summary));
    mo_free(path);
    mo_free(data);
    make_bases();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

/* *took: at most, with pages of files; *own: without. */
static void measure(const char *what, mo_run_memory *said, double *took, double *own)
{
    mo_run_config config;
    MO_CHECK_OK(load(what, &config));
    config.model.vocab_size = 256;
    MO_CHECK_OK(mo_run_memory_estimate(&config, 100000, said));
    mo_config_free(&config);

    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--train", folder,
                    (char *)(uintptr_t)what, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    int status = 0;
    struct rusage use;
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    assert_int_equal(status, 0);
    *took = (double)use.ru_maxrss * 1024;
    char *path = mo_strprintf("%s/%s.most", folder, what), *text = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(path, 64, &text, &size));
    *own = strtod(text, NULL);
    mo_free(text);
    mo_free(path);
}

/* Nothing is forgotten, and no more than `room` bytes are said too many: less than a policy saves here, or
 * than the matrices that stay in files take. */
static void check_room(double said, double took, double room)
{
#if !defined(__SANITIZE_ADDRESS__) /* shadow memory is not ours to foretell */
    if (!(said >= took && said - took <= room))
        fail_msg("said %.1f MB, took %.1f MB; at most %.1f MB more", said / 1e6, took / 1e6, room / 1e6);
#else
    (void)said, (void)took, (void)room;
#endif
}

static void check_policy(const char *recompute)
{
    mo_run_memory said;
    double took, own;
    measure(recompute, &said, &took, &own);
    assert_true(said.parameters >= (uint64_t)25000000 * sizeof(mo_real) && said.mapped == 0);
    printf("recompute %s: said %.1f MB, took %.1f MB (%+.2f%%)\n", recompute, (double)said.total / 1e6,
           took / 1e6, 100 * ((double)said.total / took - 1));
    check_room((double)said.total, took, 40e6);
}

static void test_none(void **state)
{
    (void)state;
    check_policy("none");
}

static void test_full(void **state)
{
    (void)state;
    check_policy("full");
}

/* ---- upon a base ---- */

static void check_base(const char *what, uint64_t mapped)
{
    mo_run_memory said;
    double took, own;
    measure(what, &said, &took, &own);
    printf(
        "%s: said %.1f MB, took %.1f MB of its own (%+.2f%%), %.1f MB with pages of files; mapped %.1f MB\n",
        what, (double)said.total / 1e6, own / 1e6, 100 * ((double)said.total / own - 1), took / 1e6,
        (double)said.mapped / 1e6);
    assert_int_equal(said.mapped, mapped);
    check_room((double)said.total, own, 50e6); /* said too: the program and its libraries, a file's pages */
}

static void test_parts(void **state)
{
    (void)state;
    check_base("parts", 0);
}

/* All matrices in 16 bits: everything but norms. */
static void test_adapters(void **state)
{
    (void)state;
    check_base("adapters",
               2 * (2 * 256 * 512 + 2 * (2 * 512 * 512 + 2 * 512 * 256 + 8 * 512 + 8 * 3 * 512 * 1024)));
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--train") == 0) {
        folder = argv[2];
        return child(argv[3]);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_none), cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_parts), cmocka_unit_test(test_adapters)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
