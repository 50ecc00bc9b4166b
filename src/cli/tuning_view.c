/* tuning_view.c -- the table of what trains: before a run of which only a part does, and in inspect. */
#include "describe.h"
#include "json_out.h"
#include "table.h"
#include "base/units.h"

static void add_bytes(mo__table *t, uint64_t bytes)
{
    mo__cell(t, "%s", bytes ? mo__bytes((double)bytes).text : "-");
}

static void add_row(mo__table *t, const mo_model_part *p, bool mapped)
{
    mo__cell(t, "%s", p->name);
    mo__cell(t, "%s", mo__count(p->parameters).text);
    mo__cell(t, "%s", p->trained ? mo__count(p->trained).text : "-");
    mo__cell(t, "%.4g%%", 100 * (double)p->trained / (double)p->parameters);
    add_bytes(t, p->value_bytes);
    if (mapped) add_bytes(t, p->mapped_bytes);
    add_bytes(t, p->gradient_bytes);
    add_bytes(t, p->moment_bytes);
}

static mo_model_part sum_of(const mo_model_part *parts, int n)
{
    mo_model_part all = {.name = "all"};
    for (int i = 0; i < n; i++) {
        all.parameters += parts[i].parameters;
        all.trained += parts[i].trained;
        all.value_bytes += parts[i].value_bytes;
        all.mapped_bytes += parts[i].mapped_bytes;
        all.gradient_bytes += parts[i].gradient_bytes;
        all.moment_bytes += parts[i].moment_bytes;
    }
    return all;
}

mo_status mo__describe_tuning(const mo_model *m)
{
    mo_model_part parts[MO_MODEL_PARTS];
    int n = mo_model_parts(m, parts);
    mo_model_part all = sum_of(parts, n);
    bool mapped = all.mapped_bytes > 0;
    mo__table t = mo__table_begin("<what trains|>parameters|>train|>share|>values");
    if (mapped) mo__table_column(&t, true, "mapped from files");
    mo__table_column(&t, true, "gradients");
    mo__table_column(&t, true, "moments");
    for (int i = 0; i < n; i++) add_row(&t, &parts[i], mapped);
    add_row(&t, &all, mapped);
    return mo__table_print(&t);
}

json_t *mo__tuning_json(const mo_model *m)
{
    mo_model_part parts[MO_MODEL_PARTS];
    json_t *list = json_array();
    for (int i = 0, n = mo_model_parts(m, parts); i < n; i++) {
        const mo_model_part *p = &parts[i];
        json_t *one = json_object();
        mo__json_set(one, "part", json_string(p->name));
        mo__json_set(one, "parameters", mo__json_integer(p->parameters));
        mo__json_set(one, "trainable", mo__json_integer(p->trained));
        mo__json_set(one, "value_bytes", mo__json_integer((int64_t)p->value_bytes));
        mo__json_set(one, "mapped_bytes", mo__json_integer((int64_t)p->mapped_bytes));
        mo__json_set(one, "gradient_bytes", mo__json_integer((int64_t)p->gradient_bytes));
        mo__json_set(one, "moment_bytes", mo__json_integer((int64_t)p->moment_bytes));
        mo__json_add(list, one);
    }
    return list;
}
