/* bench_generate_view.c -- how fast a model writes, and how much of memory's speed that is. */
#include "bench_generate_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "bench_cases.h"
#include "inputs.h"
#include "json_out.h"
#include "session.h"

static mo_status print(const mo_bench_generate_result *r)
{
    printf("texts at once      ms a token of each (low to high)     tokens/s\n");
    for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++) {
        const mo_bench_generate_size *s = &r->at[i];
        printf("%13lld %14.3f (%.3f to %.3f) %12.1f  x%.2f\n", (long long)s->batch,
               1e3 * s->step_seconds.median, 1e3 * s->step_seconds.low, 1e3 * s->step_seconds.high,
               s->tokens_per_second, s->tokens_per_second / r->at[0].tokens_per_second);
    }
    printf("\nreads        %s for a token of one text: weights, keys, values\n",
           mo__bytes(r->active_bytes).text);
    printf("bandwidth    %.1f GB/s, %.1f%% of the %.1f GB/s (%.1f to %.1f) that reading memory reaches\n",
           r->gbytes, 100 * r->share, r->read_gbytes.median, r->read_gbytes.low, r->read_gbytes.high);
    printf("prompt       %.1f tokens/s, of %lld\n", r->prompt_tokens_per_second, (long long)r->prompt_tokens);
    printf("computing    %d thread%s\n", r->threads, r->threads == 1 ? "" : "s");
    return MO_OK;
}

static json_t *to_json(const mo_bench_generate_result *r)
{
    json_t *root = json_object(), *all = json_array();
    mo__json_set(root, "threads", mo__json_integer(r->threads));
    mo__json_set(root, "tokens_per_second", mo__json_real(r->at[0].tokens_per_second));
    mo__json_set(root, "active_bytes", mo__json_real(r->active_bytes));
    mo__json_set(root, "gbytes_per_second", mo__json_real(r->gbytes));
    mo__json_set(root, "read_gbytes_per_second", mo__json_real(r->read_gbytes.median));
    mo__json_set(root, "share_of_bandwidth", mo__json_real(r->share));
    mo__json_set(root, "prompt_tokens", mo__json_integer(r->prompt_tokens));
    mo__json_set(root, "prompt_tokens_per_second", mo__json_real(r->prompt_tokens_per_second));
    for (int i = 0; i < MO_BENCH_GENERATE_SIZES; i++) {
        const mo_bench_generate_size *s = &r->at[i];
        json_t *one = json_object();
        mo__json_set(one, "batch", mo__json_integer(s->batch));
        mo__json_set(one, "step_seconds", mo__json_real(s->step_seconds.median));
        mo__json_set(one, "step_seconds_low", mo__json_real(s->step_seconds.low));
        mo__json_set(one, "step_seconds_high", mo__json_real(s->step_seconds.high));
        mo__json_set(one, "tokens_per_second", mo__json_real(s->tokens_per_second));
        mo__json_add(all, one);
    }
    mo__json_set(root, "batches", all);
    return root;
}

static mo_status measure(const mo_model *model, int64_t tokens, bool json)
{
    mo_bench_generate_result result;
    MO_TRY(mo_model_decode_check(&model->config));
    MO_TRY(mo_bench_generate(model, tokens, &result));
    mo__session_begin_work();
    return json ? mo__json_print(to_json(&result)) : print(&result);
}

static mo_status measure_trained(const char *path, int64_t tokens, bool json)
{
    mo_trained t;
    MO_TRY(mo__trained_load(path, &t));
    mo_status status = measure(t.model, tokens, json);
    mo__trained_close(&t);
    return status;
}

static mo_status measure_config(const mo__words *words, int64_t tokens, bool json)
{
    mo__bench_list list;
    mo_model *model = NULL;
    MO_TRY(mo__bench_list_make(&(mo__bench_request){words, "", "", -1}, &list));
    const mo_run_config *c = &list.at[0].config;
    mo_status status = mo_model_create(&c->model, &model);
    if (status == MO_OK)
        status = mo__check_fits((uint64_t)model->elements * sizeof(mo_real), "a smaller model does");
    if (status == MO_OK) status = mo_model_allocate(model, MO_ALLOCATE_INFERENCE);
    if (status == MO_OK) {
        mo_model_init(model, c->run.seed);
        status = measure(model, tokens, json);
    }
    mo_model_free(model);
    mo__bench_list_free(&list);
    return status;
}

static bool is_model(const char *path)
{
    size_t length = strlen(path);
    return mo_path_is_dir(path) || (length > 3 && strcmp(path + length - 3, ".h5") == 0);
}

mo_status mo__bench_generate(const mo__words *words, int64_t tokens, const char *threads, bool json)
{
    char *end;
    long count = strtol(threads, &end, 10);
    if (*end || count < 0 || count > 1024)
        return mo_error(MO_E_USAGE, "--threads: '%s' is no number from 0 to 1024, and --generate takes one",
                        threads);
    mo_threads_set((int)count);
    MO_TRY(mo_blas_init());
    return words->count == 1 && is_model(words->at[0]) ? measure_trained(words->at[0], tokens, json)
                                                       : measure_config(words, tokens, json);
}
