/* cmd_bench.c -- moira bench: where the time of a training step goes. */
#include <moira/config.h>

#include "commands.h"
#include "inputs.h"
#include "json_out.h"
#include "op_table.h"
#include "session.h"
#include "base/units.h"

typedef struct choices {
    int64_t threads, steps;
    bool json;
} choices;

static const mo__option options[] = {
    MO__OPTION_INT(choices, threads, "threads", "N", "-1", 0, 1024,
                   "threads; 0 is one for each core (as in the config)"),
    MO__OPTION_INT(choices, steps, "steps", "N", "10", 1, 1000000, "steps to time"),
    MO__OPTION_FLAG(choices, json, "json", "print JSON"),
    {.name = NULL},
};

/* Without a config: a model of the size that two cores train in minutes. */
static const char STANDARD[] = "run: {name: bench}\n"
                               "data: {path: none}\n"
                               "model:\n"
                               "  vocab_size: 256\n"
                               "  hidden_size: 256\n"
                               "  intermediate_size: 512\n"
                               "  num_hidden_layers: 4\n"
                               "  num_attention_heads: 4\n"
                               "  num_local_experts: 8\n"
                               "  num_experts_per_tok: 2\n"
                               "balance: {switch: 0.01, z_loss: 0.001}\n"
                               "train: {steps: 1, batch_size: 8, sequence_length: 256}\n"
                               "optimizer: {learning_rate: 0.0003}\n";

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static mo_status print_ops(const mo_bench_result *r)
{
    const mo__op_row rows[] = {{"adamw and norm", r->optimizer_seconds}};
    return mo__op_table_print(&(mo__op_table){.ops = r->ops,
                                              .n_ops = r->n_ops,
                                              .rows = rows,
                                              .n_rows = 1,
                                              .step_seconds = r->step_seconds,
                                              .peak_gflops = r->peak_gflops,
                                              .peak_gbytes = r->peak_gbytes});
}

static mo_status print_result(const mo_bench_result *r)
{
    MO_TRY(print_ops(r));
    printf("\nstep         %.2f ms (%.2f to %.2f over %lld steps)\n", 1e3 * r->step_seconds,
           1e3 * r->step_seconds_low, 1e3 * r->step_seconds_high, (long long)r->steps);
    printf("tokens/s     %s\n", mo__count((int64_t)r->tokens_per_second).text);
    printf("GFLOP/s      %.1f of the model's own operations, %.1f%% of the peak\n", r->gflops,
           100 * r->share_of_peak);
    printf("peak         %.1f GFLOP/s (%.1f to %.1f): products of 2048 x 2048, one per thread\n",
           r->peak_gflops, r->peak_low, r->peak_high);
    printf("bandwidth    %.1f GB/s through memory\n", r->peak_gbytes);
    printf("memory       %s at most\n", mo__bytes((double)r->peak_rss_bytes).text);
    printf("computing    %d thread%s, %s\n", r->threads, r->threads == 1 ? "" : "s", mo_blas_describe());
    return MO_OK;
}

static json_t *op_json(const mo_bench_op *op, const mo_bench_result *r)
{
    json_t *one = json_object();
    mo__json_set(one, "name", json_string(op->name));
    mo__json_set(one, "pass", json_string(op->phase == MO_FORWARD ? "forward" : "backward"));
    mo__json_set(one, "calls", mo__json_integer(op->calls));
    mo__json_set(one, "seconds", mo__json_real(op->seconds));
    mo__json_set(one, "share", mo__json_real(ratio(op->seconds, r->step_seconds)));
    mo__json_set(one, "flops", mo__json_real(op->flops));
    mo__json_set(one, "bytes", mo__json_real(op->bytes));
    mo__json_set(one, "gflops", mo__json_real(ratio(op->flops, op->seconds) / 1e9));
    mo__json_set(one, "gbytes_per_second", mo__json_real(ratio(op->bytes, op->seconds) / 1e9));
    mo__json_set(one, "roofline", mo__json_real(mo__roofline(op, r->peak_gflops, r->peak_gbytes)));
    return one;
}

static json_t *result_json(const mo_bench_result *r)
{
    const struct {
        const char *key;
        double value;
    } figures[] = {{"tokens_per_second", r->tokens_per_second},
                   {"gflops", r->gflops},
                   {"peak_gflops", r->peak_gflops},
                   {"peak_gflops_low", r->peak_low},
                   {"peak_gflops_high", r->peak_high},
                   {"share_of_peak", r->share_of_peak},
                   {"peak_gbytes_per_second", r->peak_gbytes},
                   {"step_seconds", r->step_seconds},
                   {"step_seconds_low", r->step_seconds_low},
                   {"step_seconds_high", r->step_seconds_high},
                   {"optimizer_seconds", r->optimizer_seconds}};
    json_t *root = json_object(), *ops = json_array();
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        mo__json_set(root, figures[i].key, mo__json_real(figures[i].value));
    mo__json_set(root, "peak_rss_bytes", mo__json_integer((int64_t)r->peak_rss_bytes));
    mo__json_set(root, "threads", mo__json_integer(r->threads));
    mo__json_set(root, "steps", mo__json_integer(r->steps));
    mo__json_set(root, "blas", json_string(mo_blas_describe()));
    for (int i = 0; i < r->n_ops; i++) mo__json_add(ops, op_json(&r->ops[i], r));
    mo__json_set(root, "ops", ops);
    return root;
}

static mo_status load(const mo__words *words, mo_run_config *config)
{
    uint64_t ignored;
    if (words->count == 0) return mo_config_parse(STANDARD, "the standard bench", config);
    MO_TRY(mo_config_load(words->at[0], words->at + 1, words->count - 1, config));
    if (config->model.vocab_size > 0) return MO_OK; /* then no data file is needed, nor looked at */
    mo_status status = mo__config_vocabulary(config, &ignored);
    if (status != MO_OK) mo_config_free(config);
    return status;
}

static mo_status measure(const mo_run_config *config, const choices *c)
{
    mo_run_memory memory;
    mo_bench_result result;
    MO_TRY(mo_run_memory_estimate(config, 0, &memory));
    MO_TRY(mo__check_fits(memory.total, "a smaller train.batch_size or model needs less"));
    mo__session_begin_work();
    MO_TRY(mo_bench(config, c->steps, &result));
    mo_status status = c->json ? mo__json_print(result_json(&result)) : print_result(&result);
    mo_bench_result_free(&result);
    return status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_run_config config;
    MO_TRY(load(words, &config));
    if (c->threads >= 0) config.run.threads = c->threads;
    mo_status status = measure(&config, c);
    mo_config_free(&config);
    return status;
}

const mo__command mo__cmd_bench = {
    .name = "bench",
    .summary = "where the time of a training step goes",
    .synopsis = "[CONFIG [section.key=value...]] [options]",
    .text =
        "Times whole training steps on random tokens and shows each op's share of the time, its GFLOP/s and\n"
        "its GB/s, from the operations and bytes that it says it must do. The peak is measured on the same\n"
        "threads before, between and after. Without a config, a small standard model is timed.\n"
        "\n"
        "The rows of the table add up to the step.\n" MO__OP_TABLE_HELP,
    .example = "  moira bench configs/demo.yaml train.batch_size=16 --threads 2\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CONFIG",
    .most = -1,
    .run = run,
};
