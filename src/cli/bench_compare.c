/* bench_compare.c -- figures of a bench against older ones.
 *
 * What differs by more than the spread is marked: the middle halves of the steps' times do not overlap. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_view.h"
#include "table.h"
#include "base/units.h"

static const size_t LIMIT = (size_t)64 << 20;
static const double SMALL = 0.005; /* of a step: ops below it are shown only if they differ */

typedef struct figure {
    double median, quarter, three_quarters;
} figure;

typedef struct pair {
    json_t *base, *now;
} pair;

/* ---- reading ---- */

static mo_status read_bench(const char *path, json_t **out)
{
    json_error_t error;
    char *text = NULL;
    size_t size = 0;
    MO_TRY(mo_read_file(path, LIMIT, &text, &size));
    json_t *root = json_loadb(text, size, 0, &error);
    mo_free(text);
    if (!root)
        return mo_error(MO_E_FORMAT, "%s: line %d: %s; a file of moira bench -o is expected", path,
                        error.line, error.text);
    if (json_is_string(json_object_get(root, "bench")) && json_is_array(json_object_get(root, "ops")) &&
        json_number_value(json_object_get(root, "step_seconds")) > 0) {
        *out = root;
        return MO_OK;
    }
    json_decref(root);
    return mo_error(MO_E_FORMAT, "%s: is no file of moira bench -o", path);
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static figure read_figure(const json_t *object, const char *key)
{
    char quarter[64], three[64];
    snprintf(quarter, sizeof quarter, "%s_quarter", key);
    snprintf(three, sizeof three, "%s_three_quarters", key);
    return (figure){number(object, key), number(object, quarter), number(object, three)};
}

/* ---- comparing ---- */

static double ratio(double now, double base)
{
    return base > 0 ? now / base : (double)NAN;
}

/* Of times. */
static const char *verdict(figure base, figure now)
{
    if (now.quarter > base.three_quarters) return "slower";
    return now.three_quarters < base.quarter ? "faster" : "";
}

static void add_size(mo__table *t, const pair *p)
{
    figure base = read_figure(p->base, "step_seconds"), now = read_figure(p->now, "step_seconds");
    figure work = read_figure(p->now, "without_optimizer_seconds");
    mo__cell(t, "%s", text_of(p->now, "bench"));
    mo__cell(t, "%.2f", 1e3 * base.median);
    mo__cell(t, "%.2f", 1e3 * now.median);
    mo__cell(t, "%s", mo__fixed(ratio(now.median, base.median), 3).text);
    mo__cell(t, "%s", mo__fixed(ratio(work.median, number(p->base, "without_optimizer_seconds")), 3).text);
    mo__cell(t, "%s",
             mo__fixed(ratio(number(p->now, "peak_gflops"), number(p->base, "peak_gflops")), 3).text);
    mo__cell(t, "%.1f%%", 100 * number(p->base, "share_of_peak"));
    mo__cell(t, "%.1f%%", 100 * number(p->now, "share_of_peak"));
    mo__cell(t, "%s",
             mo__fixed(ratio(number(p->now, "peak_rss_bytes"), number(p->base, "peak_rss_bytes")), 3).text);
    mo__cell(t, "%s", verdict(base, now));
}

static mo_status print_sizes(const pair *pairs, int count)
{
    mo__table t = mo__table_begin("<bench|>ms then|>ms now|>x step|>x no adamw|>x peak|>of peak then|>now|"
                                  ">x memory|<");
    for (int i = 0; i < count; i++) add_size(&t, &pairs[i]);
    return mo__table_print(&t);
}

static const json_t *same_op(const json_t *ops, const json_t *op)
{
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *other = json_array_get(ops, i);
        if (strcmp(text_of(other, "name"), text_of(op, "name")) == 0 &&
            strcmp(text_of(other, "pass"), text_of(op, "pass")) == 0)
            return other;
    }
    return NULL;
}

static void add_op(mo__table *t, const pair *p, const json_t *base_op, const json_t *now_op)
{
    const json_t *named = now_op ? now_op : base_op;
    figure base = read_figure(base_op, "seconds"), now = read_figure(now_op, "seconds");
    double share =
        fmax(base.median / number(p->base, "step_seconds"), now.median / number(p->now, "step_seconds"));
    const char *mark = !base_op ? "new" : !now_op ? "gone" : verdict(base, now);
    if (share < SMALL / 10 || (share < SMALL && !*mark)) return;
    mo__cell(t, "%s", text_of(named, "name"));
    mo__cell(t, "%s", text_of(named, "pass"));
    mo__cell(t, "%s", base_op ? mo__fixed(1e3 * base.median, 3).text : "-");
    mo__cell(t, "%s", now_op ? mo__fixed(1e3 * now.median, 3).text : "-");
    mo__cell(t, "%s", base_op && now_op ? mo__fixed(ratio(now.median, base.median), 3).text : "-");
    mo__cell(t, "%s", mark);
}

/* What was there then and is not now comes last. */
static mo_status print_ops(const pair *p)
{
    const json_t *then = json_object_get(p->base, "ops"), *now = json_object_get(p->now, "ops");
    mo__table t = mo__table_begin("<op|<pass|>ms then|>ms now|>x|<");
    printf("\n%s\n", text_of(p->now, "bench"));
    for (size_t i = 0; i < json_array_size(now); i++)
        add_op(&t, p, same_op(then, json_array_get(now, i)), json_array_get(now, i));
    mo__cell(&t, "adamw and norm");
    mo__cell(&t, "%s", "");
    figure a = read_figure(p->base, "optimizer_seconds"), b = read_figure(p->now, "optimizer_seconds");
    mo__cell(&t, "%.3f", 1e3 * a.median);
    mo__cell(&t, "%.3f", 1e3 * b.median);
    mo__cell(&t, "%s", mo__fixed(ratio(b.median, a.median), 3).text);
    mo__cell(&t, "%s", verdict(a, b));
    for (size_t i = 0; i < json_array_size(then); i++)
        if (!same_op(now, json_array_get(then, i))) add_op(&t, p, json_array_get(then, i), NULL);
    return mo__table_print(&t);
}

/* Times of different work say nothing. */
static mo_status check_same(const pair *p, const char *base, const char *now)
{
    static const char *const keys[] = {"flops_per_token", "parameters", "threads"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double a = number(p->base, keys[i]), b = number(p->now, keys[i]);
        if (a < b || a > b)
            return mo_error(MO_E_MISMATCH, "%s and %s are not of the same work: %s is %.17g and %.17g", base,
                            now, keys[i], a, b);
    }
    return MO_OK;
}

/* ---- files and folders ---- */

static void free_pairs(pair *pairs, int count)
{
    for (int i = 0; i < count; i++) {
        json_decref(pairs[i].base);
        json_decref(pairs[i].now);
    }
}

static mo_status read_pair(const char *base, const char *now, pair *out)
{
    *out = (pair){0};
    mo_status status = read_bench(base, &out->base);
    if (status == MO_OK) status = read_bench(now, &out->now);
    if (status == MO_OK) status = check_same(out, base, now);
    if (status != MO_OK) free_pairs(out, 1);
    return status;
}

static int is_json(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static mo_status read_named(const char *base, const char *now, const char *name, pair *out)
{
    char *a = mo_path_join(base, name), *b = mo_path_join(now, name);
    mo_status status = a && b ? read_pair(a, b, out) : MO_E_MEMORY;
    mo_free(a);
    mo_free(b);
    return status;
}

/* Files that both folders have, by name. */
static mo_status read_folders(const char *base, const char *now, pair **out, int *count)
{
    struct dirent **names = NULL;
    int n = scandir(now, &names, is_json, alphasort);
    mo_status status = n < 0 ? mo_error(MO_E_IO, "%s: cannot be read", now) : MO_OK;
    pair *pairs = status == MO_OK ? mo_calloc((size_t)n + 1, sizeof *pairs) : NULL;
    if (status == MO_OK && !pairs) status = MO_E_MEMORY;
    *count = 0;
    for (int i = 0; i < n; i++) {
        char *path = mo_path_join(base, names[i]->d_name);
        bool both = path && mo_path_exists(path);
        if (status == MO_OK && !path) status = MO_E_MEMORY;
        if (status == MO_OK && both) status = read_named(base, now, names[i]->d_name, &pairs[*count]);
        if (status == MO_OK && both) ++*count;
        mo_free(path);
        free(names[i]);
    }
    free(names);
    if (status == MO_OK && *count == 0)
        status = mo_error(MO_E_NOT_FOUND, "%s and %s have no .json file of the same name", base, now);
    *out = pairs;
    return status;
}

mo_status mo__bench_compare(const char *base, const char *now)
{
    pair one, *pairs = &one;
    int count = 1;
    bool folders = mo_path_is_dir(base);
    if (folders != mo_path_is_dir(now))
        return mo_error(MO_E_USAGE, "--compare: %s is a folder and %s is none", folders ? base : now,
                        folders ? now : base);
    mo_status status = folders ? read_folders(base, now, &pairs, &count) : read_pair(base, now, &one);
    if (!folders && status != MO_OK) return status;
    if (status == MO_OK) status = print_sizes(pairs, count);
    for (int i = 0; i < count && status == MO_OK; i++) status = print_ops(&pairs[i]);
    free_pairs(pairs, count);
    if (folders) mo_free(pairs);
    return status;
}
