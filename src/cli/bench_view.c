/* bench_view.c -- what moira bench prints. */
#include "bench_view.h"

#include <string.h>

#include <moira/tensor.h>

#include "op_table.h"
#include "table.h"
#include "base/units.h"

static mo_status print_ops(const mo_bench_result *r)
{
    const mo__op_row rows[] = {{"adamw and norm", r->optimizer_seconds.median}};
    return mo__op_table_print(&(mo__op_table){.ops = r->ops,
                                              .n_ops = r->n_ops,
                                              .rows = rows,
                                              .n_rows = 1,
                                              .step_seconds = r->step_seconds.median,
                                              .peak_gflops = r->peak_gflops,
                                              .peak_gbytes = r->peak_gbytes});
}

static void print_peak(const char *who, const mo_bench_result *r, const mo_spread *peak, const char *kernel)
{
    printf("  %-10s %.1f GFLOP/s (%.1f to %.1f): %.1f%% of it%s%s\n", who, peak->median, peak->low,
           peak->high, 100 * r->gflops / peak->median, *kernel ? "; " : "", kernel);
}

static void print_speed(const mo_bench_result *r)
{
    printf("\nstep         %.2f ms (%.2f to %.2f over %s, half of them %.2f to %.2f)\n",
           1e3 * r->step_seconds.median, 1e3 * r->step_seconds.low, 1e3 * r->step_seconds.high,
           mo__counted(r->steps, "step").text, 1e3 * r->step_seconds.quartile[0],
           1e3 * r->step_seconds.quartile[1]);
    printf("tokens/s     %s\n", mo__count((int64_t)r->tokens_per_second).text);
    printf("GFLOP/s      %.1f of the model's own operations (%sFLOP a token), %.1f%% of the peak\n",
           r->gflops, mo__short(r->flops_per_token).text, 100 * r->share_of_peak);
    printf("peak         %.1f GFLOP/s: the better of these, products of 2048 x 2048, one per thread\n",
           r->peak_gflops);
    print_peak("Moira's", r, &r->peak_own, "");
    if (r->peak_blas.median > 0)
        print_peak("OpenBLAS's", r, &r->peak_blas, mo_blas_describe());
    else
        printf("  OpenBLAS's is not known: it is not installed\n");
    printf("bandwidth    %.1f GB/s through memory\n", r->peak_gbytes);
}

static void print_memory(const mo_bench_result *r)
{
    double sixteen = 16 * (double)r->parameters, rss = (double)r->peak_rss_bytes;
    if (r->peak_rss_bytes)
        printf("memory       %s at most, %s planned\n", mo__bytes(rss).text,
               mo__bytes((double)r->planned_bytes).text);
    printf("parameters   %s, %.2f bytes each (value, gradient, moments)", mo__count(r->parameters).text,
           (double)r->slab_bytes / (double)r->parameters);
    if (rss > sixteen) printf("; %s at most beside 16 each", mo__bytes(rss - sixteen).text);
    putchar('\n');
}

static void print_rest(const mo__bench_variant *v, const mo_bench_result *r)
{
    if (r->busiest > 0)
        printf(
            "routing      the busiest expert of a layer takes %.1f%% of the choices; %.1f%% would be even\n",
            100 * r->busiest, 100 / (double)v->config.model.num_local_experts);
    if (r->startup_seconds > 0)
        printf("startup      %.2f s from the program's start to the end of the first step\n",
               r->startup_seconds);
    printf("computing    %d thread%s, %s\n", r->threads, r->threads == 1 ? "" : "s", mo_instructions());
}

/* ---- variants ---- */

/* Settings without their sections. */
static void add_name(mo__table *t, const char *name)
{
    char shown[160] = "";
    while (*name) {
        const char *rest;
        size_t length = mo__bench_cut(name, ",", &rest), equals = strcspn(name, "=");
        const char *dot = equals < length ? memchr(name, '.', equals) : NULL;
        size_t section = dot ? (size_t)(dot - name) + 1 : 0, used = strlen(shown);
        snprintf(shown + used, sizeof shown - used, "%s%.*s", used ? "," : "", (int)(length - section),
                 name + section);
        name = rest;
    }
    mo__cell(t, "%s", shown);
}

static void add_variant(mo__table *t, const char *name, const mo_bench_result *base, const mo_bench_result *r)
{
    mo__bench_ratios x = mo__bench_ratios_of(base, r);
    add_name(t, name);
    mo__cell(t, "%d", r->threads);
    mo__cell(t, "%.2f", 1e3 * r->step_seconds.median);
    mo__cell(t, "%.3f", x.step);
    mo__cell(t, "%.3f", x.work);
    mo__cell(t, "%.3f", x.flops);
    mo__cell(t, "%.3f", x.flops > 0 ? x.step / x.flops : 0);
    mo__cell(t, "%.3f", x.efficiency);
    mo__cell(t, "%.1f%%", 100 * r->share_of_peak);
    mo__cell(t, "%.0f", (double)r->peak_rss_bytes / (1 << 20));
    mo__cell(t, "%s", r->busiest > 0 ? mo__fixed(100 * r->busiest, 1).text : "-");
}

static mo_status print_variants(const mo__bench_list *list, const mo_bench_result *results)
{
    mo__table t = mo__table_begin("<ratios to the first|>threads|>ms|>step|>no adamw|>FLOPs|>step/FLOPs|>"
                                  "per thread|>of peak|>MiB|>busiest");
    putchar('\n');
    for (int i = 0; i < list->count; i++) add_variant(&t, list->at[i].name, &results[0], &results[i]);
    return mo__table_print(&t);
}

mo_status mo__bench_print(const mo__bench_list *list, const mo_bench_result *results)
{
    MO_TRY(print_ops(&results[0]));
    print_speed(&results[0]);
    print_memory(&results[0]);
    print_rest(&list->at[0], &results[0]);
    return list->count > 1 ? print_variants(list, results) : MO_OK;
}
