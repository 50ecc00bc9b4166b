/* test_memory.c -- the memory that a run is said to take against what a process that does it takes at most.
 */
#include "harness/harness.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "moira/moira.h"

extern char **environ;
static const char *program;
static char *folder;

/* 57 million parameters, most of them in experts. */
static const char large_yaml[] =
    "run: {name: large, threads: 2}\n"
    "model: {hidden_size: 512, intermediate_size: 1024, num_hidden_layers: 4,\n"
    "        num_attention_heads: 8, num_key_value_heads: 4, num_local_experts: 8,\n"
    "        num_experts_per_tok: 2}\n"
    "balance: {switch: 0.01, z_loss: 0.001}\n"
    "train: {steps: 2, batch_size: 8, sequence_length: 256}\n"
    "optimizer: {learning_rate: 1.0e-3}\n"
    "checkpoint: {compression: 0}\n";

static mo_status load(const char *recompute, mo_run_config *config)
{
    char *path = mo_path_join(folder, "large.yaml"), *data = mo_strprintf("data.path=%s/data.h5", folder);
    char *dir = mo_strprintf("run.dir=%s/%s", folder, recompute),
         *policy = mo_strprintf("train.recompute=%s", recompute);
    mo_status status = mo_config_load(path, (const char *[]){data, dir, policy}, 3, config);
    mo_free(path);
    mo_free(data);
    mo_free(dir);
    mo_free(policy);
    return status;
}

static int child(const char *recompute)
{
    mo_run_config config;
    if (load(recompute, &config) != MO_OK) return 2;
    mo_step_report last;
    mo_train_options options = {.config = &config, .dump = mo_config_dump};
    mo_status status = mo_train(&options, &last);
    if (status != MO_OK) fprintf(stderr, "%s\n", mo_last_error());
    mo_config_free(&config);
    return status == MO_OK ? 0 : 1;
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
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

static void check_policy(const char *recompute)
{
    mo_run_config config;
    MO_CHECK_OK(load(recompute, &config));
    config.model.vocab_size = 256;
    mo_run_memory said;
    MO_CHECK_OK(mo_run_memory_estimate(&config, 100000, &said));
    assert_true(said.parameters >= (uint64_t)50000000 * sizeof(mo_real));
    mo_config_free(&config);

    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "--train", folder,
                    (char *)(uintptr_t)recompute, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    int status = 0;
    struct rusage use;
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    assert_int_equal(status, 0);
    double took = (double)use.ru_maxrss * 1024;
    printf("recompute %s: said %.1f MB, took %.1f MB (%+.2f%%)\n", recompute, (double)said.total / 1e6,
           took / 1e6, 100 * ((double)said.total / took - 1));
#if !defined(__SANITIZE_ADDRESS__) /* shadow memory is not ours to foretell */
    MO_CHECK_NEAR((double)said.total / took, 1, 0.03);
#endif
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

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "--train") == 0) {
        folder = argv[2];
        return child(argv[3]);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_none), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
