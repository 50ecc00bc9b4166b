/* bench_json.c -- a bench's figures as JSON. */
#include "bench_view.h"

#include <moira/tensor.h>

#include "json_out.h"
#include "op_table.h"

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

mo__bench_ratios mo__bench_ratios_of(const mo_bench_result *base, const mo_bench_result *r)
{
    double flops = r->flops_per_token * r->tokens_per_second * r->step_seconds.median;
    double base_flops = base->flops_per_token * base->tokens_per_second * base->step_seconds.median;
    double each = r->tokens_per_second / r->threads, base_each = base->tokens_per_second / base->threads;
    return (mo__bench_ratios){.step = ratio(r->step_seconds.median, base->step_seconds.median),
                              .work = ratio(r->work_seconds.median, base->work_seconds.median),
                              .flops = ratio(flops, base_flops),
                              .memory = ratio((double)r->peak_rss_bytes, (double)base->peak_rss_bytes),
                              .efficiency = ratio(each, base_each)};
}

static json_t *op_json(const mo_bench_op *op, const mo_bench_result *r)
{
    json_t *one = json_object();
    mo__json_set(one, "name", json_string(op->name));
    mo__json_set(one, "pass", json_string(op->phase == MO_FORWARD ? "forward" : "backward"));
    mo__json_set(one, "calls", mo__json_integer(op->calls));
    mo__json_set(one, "seconds", mo__json_real(op->seconds));
    mo__json_set(one, "seconds_quarter", mo__json_real(op->quartile[0]));
    mo__json_set(one, "seconds_three_quarters", mo__json_real(op->quartile[1]));
    mo__json_set(one, "share", mo__json_real(ratio(op->seconds, r->step_seconds.median)));
    mo__json_set(one, "flops", mo__json_real(op->flops));
    mo__json_set(one, "bytes", mo__json_real(op->bytes));
    mo__json_set(one, "gflops", mo__json_real(ratio(op->flops, op->seconds) / 1e9));
    mo__json_set(one, "gbytes_per_second", mo__json_real(ratio(op->bytes, op->seconds) / 1e9));
    mo__json_set(one, "roofline", mo__json_real(mo__roofline(op, r->peak_gflops, r->peak_gbytes)));
    return one;
}

/* KEY, KEY_low, KEY_high, KEY_quarter, KEY_three_quarters */
static void set_spread(json_t *to, const char *key, const mo_spread *s)
{
    const struct {
        const char *end;
        double value;
    } figures[] = {{"", s->median},
                   {"_low", s->low},
                   {"_high", s->high},
                   {"_quarter", s->quartile[0]},
                   {"_three_quarters", s->quartile[1]}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", key, figures[i].end);
        mo__json_set(to, name, mo__json_real(figures[i].value));
    }
}

static void set_peaks(json_t *to, const mo_bench_result *r)
{
    const mo_spread *best = r->peak_own.median >= r->peak_blas.median ? &r->peak_own : &r->peak_blas;
    set_spread(to, "peak_gflops", best);
    set_spread(to, "peak_own_gflops", &r->peak_own);
    mo__json_set(to, "share_of_peak", mo__json_real(r->share_of_peak));
    mo__json_set(to, "share_of_own_peak", mo__json_real(ratio(r->gflops, r->peak_own.median)));
    if (r->peak_blas.median > 0) {
        set_spread(to, "peak_openblas_gflops", &r->peak_blas);
        mo__json_set(to, "share_of_openblas_peak", mo__json_real(ratio(r->gflops, r->peak_blas.median)));
    }
    mo__json_set(to, "peak_gbytes_per_second", mo__json_real(r->peak_gbytes));
}

static void set_memory(json_t *to, const mo_bench_result *r)
{
    int64_t sixteen = 16 * r->parameters, rss = (int64_t)r->peak_rss_bytes;
    mo__json_set(to, "parameters", mo__json_integer(r->parameters));
    mo__json_set(to, "peak_rss_bytes", mo__json_integer(rss));
    mo__json_set(to, "planned_bytes", mo__json_integer((int64_t)r->planned_bytes));
    mo__json_set(to, "bytes_per_parameter",
                 mo__json_real(ratio((double)r->slab_bytes, (double)r->parameters)));
    mo__json_set(to, "peak_without_16_per_parameter", mo__json_integer(rss - sixteen));
}

static json_t *result_json(const mo__bench_variant *v, const mo_bench_result *r)
{
    json_t *root = json_object(), *ops = json_array();
    mo__json_set(root, "bench", mo__json_text(v->name));
    mo__json_set(root, "tokens_per_second", mo__json_real(r->tokens_per_second));
    mo__json_set(root, "gflops", mo__json_real(r->gflops));
    mo__json_set(root, "flops_per_token", mo__json_real(r->flops_per_token));
    set_peaks(root, r);
    set_spread(root, "step_seconds", &r->step_seconds);
    set_spread(root, "without_optimizer_seconds", &r->work_seconds);
    set_spread(root, "optimizer_seconds", &r->optimizer_seconds);
    set_memory(root, r);
    if (r->startup_seconds > 0) mo__json_set(root, "startup_seconds", mo__json_real(r->startup_seconds));
    if (r->busiest > 0) mo__json_set(root, "busiest_expert", mo__json_real(r->busiest));
    mo__json_set(root, "threads", mo__json_integer(r->threads));
    mo__json_set(root, "steps", mo__json_integer(r->steps));
    mo__json_set(root, "instructions", json_string(mo_instructions()));
    if (r->peak_blas.median > 0) mo__json_set(root, "openblas", json_string(mo_blas_describe()));
    for (int i = 0; i < r->n_ops; i++) mo__json_add(ops, op_json(&r->ops[i], r));
    mo__json_set(root, "ops", ops);
    return root;
}

static json_t *ratios_json(const mo_bench_result *base, const mo_bench_result *r)
{
    mo__bench_ratios x = mo__bench_ratios_of(base, r);
    json_t *one = json_object();
    mo__json_set(one, "step_seconds", mo__json_real(x.step));
    mo__json_set(one, "without_optimizer_seconds", mo__json_real(x.work));
    mo__json_set(one, "flops", mo__json_real(x.flops));
    mo__json_set(one, "peak_rss_bytes", mo__json_real(x.memory));
    mo__json_set(one, "efficiency", mo__json_real(x.efficiency));
    return one;
}

json_t *mo__bench_json(const mo__bench_list *list, const mo_bench_result *results)
{
    json_t *root = result_json(&list->at[0], &results[0]), *against = json_array();
    for (int i = 1; i < list->count; i++) {
        json_t *one = result_json(&list->at[i], &results[i]);
        mo__json_set(one, "ratios", ratios_json(&results[0], &results[i]));
        mo__json_add(against, one);
    }
    if (list->count > 1)
        mo__json_set(root, "against", against);
    else
        json_decref(against);
    return root;
}
