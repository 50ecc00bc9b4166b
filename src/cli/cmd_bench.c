/* cmd_bench.c -- moira bench: where the time of a training step goes, and how it grows. */
#include <stdlib.h>
#include <string.h>

#include "bench_generate_view.h"
#include "bench_view.h"
#include "commands.h"
#include "inputs.h"
#include "json_out.h"
#include "op_table.h"
#include "output.h"
#include "session.h"

typedef struct choices {
    const char *threads, *against, *output;
    int64_t steps;
    double skew;
    bool compare, generate, json;
} choices;

static const mo__option options[] = {
    MO__OPTION_INT(choices, steps, "steps", "N", "10", 1, 1000000, "steps to time"),
    MO__OPTION_TEXT(choices, threads, "threads", 0, "N,...", "",
                    "threads; 0 is one for each core (as in the config); several: one after another"),
    MO__OPTION_TEXT(choices, against, "against", 0, "VARIANT ...", "",
                    "variants of CONFIG that are timed in turn with it"),
    MO__OPTION_REAL(choices, skew, "skew", "SHARE", "-1", 0, 1,
                    "make the first expert take that share of the choices"),
    MO__OPTION_FLAG(choices, generate, "generate", "time the writing of text instead; CONFIG may be a model"),
    MO__OPTION_TEXT(choices, output, "output", 'o', "FILE.json", "", "write the figures as JSON there, too"),
    MO__OPTION_FLAG(choices, compare, "compare", "hold figures against older ones: BASE and NEW"),
    MO__OPTION_FLAG(choices, json, "json", "print JSON"),
    {.name = NULL},
};

/* All cases are in memory at once. */
static mo_status check_memory(const mo__bench_list *list)
{
    uint64_t sum = 0, one;
    for (int i = 0; i < list->count; i++) {
        MO_TRY(mo_bench_memory(&list->at[i].config, &one));
        sum += one;
    }
    return mo__check_fits(sum, "a smaller train.batch_size or model, or fewer variants at once, need less");
}

static mo_status write_json(const char *path, const json_t *root)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    mo_status status = text ? mo_write_file(path, text, strlen(text))
                            : mo_error(MO_E_MEMORY, "there is no memory for the JSON");
    free(text);
    return status;
}

static mo_status tell(const mo__bench_list *list, const mo_bench_result *results, const choices *c)
{
    if (*c->output) {
        json_t *root = mo__bench_json(list, results);
        mo_status status = write_json(c->output, root);
        json_decref(root);
        MO_TRY(status);
    }
    return c->json ? mo__json_print(mo__bench_json(list, results)) : mo__bench_print(list, results);
}

static mo_status measure(const mo__bench_list *list, const choices *c)
{
    size_t count = (size_t)list->count;
    mo_bench_case *cases = mo_calloc(count, sizeof *cases);
    mo_bench_result *results = mo_calloc(count, sizeof *results);
    mo_status status = cases && results ? MO_OK : MO_E_MEMORY;
    for (size_t i = 0; i < count && cases; i++)
        cases[i] = (mo_bench_case){.config = &list->at[i].config, .skew = list->at[i].skew};
    if (status == MO_OK) status = mo_bench(cases, list->count, c->steps, results);
    if (status == MO_OK) {
        mo__session_begin_work();
        status = tell(list, results, c);
        for (size_t i = 0; i < count; i++) mo_bench_result_free(&results[i]);
    }
    mo_free(cases);
    mo_free(results);
    return status;
}

static mo_status compare(const choices *c, const mo__words *words)
{
    if (c->json || *c->output || *c->against || *c->threads || c->skew >= 0 || c->generate)
        return mo_error(MO_E_USAGE, "--compare reads figures and prints; it takes no other option");
    if (words->count != 2)
        return mo_error(MO_E_USAGE,
                        "--compare takes BASE and NEW, files that -o has written or folders of "
                        "them; %d %s given",
                        words->count, words->count == 1 ? "was" : "were");
    return mo__bench_compare(words->at[0], words->at[1]);
}

static mo_status generate(const choices *c, const mo__words *words)
{
    if (*c->output || *c->against || c->skew >= 0)
        return mo_error(MO_E_USAGE, "--generate goes with --steps, --threads and --json alone");
    return mo__bench_generate(words, c->steps, c->threads, c->json);
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo__bench_list list;
    if (c->compare) return compare(c, words);
    if (c->generate) return generate(c, words);
    if (*c->output) MO_TRY(mo__check_output(c->output, &mo__output_bench));
    mo__bench_request request = {words, c->threads, c->against, c->skew};
    MO_TRY(mo__bench_list_make(&request, &list));
    mo_status status = check_memory(&list);
    if (status == MO_OK) status = measure(&list, c);
    mo__bench_list_free(&list);
    return status;
}

const mo__command mo__cmd_bench = {
    .name = "bench",
    .summary = "where the time of a training step goes",
    .synopsis = "[CONFIG [section.key=value...]] [options] | --compare BASE NEW",
    .text =
        "Times whole training steps (forward, backward, clip, AdamW) on random tokens and shows each op's\n"
        "share of the time, its GFLOP/s and its GB/s, from the operations and bytes that it says it must\n"
        "do. Without a config, a small standard model is timed. Times are medians over the steps.\n"
        "\n"
        "Share of peak = model FLOPs per token * tokens / time of a step / peak. With L layers of width d,\n"
        "h heads, v of keys and values, E experts of width f of which k work on a token, vocabulary V,\n"
        "sequences of T tokens:\n"
        "  FLOPs per token = 6 N + 6 L T d,  N = L (2 d^2 + 2 d^2 v/h + d E + 3 k d f) + d V\n"
        "and 3 d f in place of d E + 3 k d f in dense layers. Recomputation does not count. The peak is "
        "that\n"
        "of products of 2048 x 2048 matrices, one on each thread, all at once, by Moira's kernel or by\n"
        "OpenBLAS's best (if it is installed; OPENBLAS_CORETYPE is not heeded), whichever is faster, "
        "measured\n"
        "in the same process before, between and after the steps.\n"
        "\n"
        "The rows of the table add up to the step, but for what medians do not add up to.\n" MO__OP_TABLE_HELP
        "\n"
        "--against has variants, blanks between them, each of them settings on top of CONFIG's with commas\n"
        "between: section.key=value, or skew=SHARE. One that begins with a file is that config instead.\n"
        "Steps are taken in turn, one of each; shown are the ratios to CONFIG, of the step, of it without\n"
        "the optimizer, of its FLOPs, of time for each FLOP, of tokens for each thread (the efficiency,\n"
        "where CONFIG has one thread), and the share of a layer's choices that its busiest expert takes, in\n"
        "percent. All are in memory at once. --threads 1,2,4 is the same over numbers of threads.\n"
        "\n"
        "--skew, or skew= of a variant, draws weights with which the first expert of every layer takes that\n"
        "share of all choices, at most 1/num_experts_per_tok.\n"
        "\n"
        "--generate times tokens that are drawn one after another, of 1 to 16 texts at once; CONFIG may be\n"
        "a checkpoint or a model folder. A token of one text reads the weights that it uses, and its keys "
        "and\n"
        "values; how many bytes of them go by in a second is held against what all threads reach that read\n"
        "a gigabyte of memory, measured in between. --steps are the tokens that are timed, five times.\n"
        "\n"
        "--compare prints what -o wrote earlier against what it wrote now, of files or of all .json files "
        "in\n"
        "two folders: ratios of the steps and of the ops. Slower and faster are what differs by more than\n"
        "the spread: the middle half of the steps then is all on one side of the middle half now.\n",
    .example = "  moira bench configs/bench-a.yaml -o bench-a.json\n"
               "  moira bench configs/bench-a.yaml --against 'skew=0.5 model.num_experts_per_tok=4 "
               "configs/bench-a-dense.yaml'\n"
               "  moira bench configs/demo.yaml train.batch_size=16 --threads 1,2\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CONFIG",
    .most = -1,
    .run = run,
};
