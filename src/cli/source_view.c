/* source_view.c -- the sources of a run. */
#include "source_view.h"

#include <math.h>

#include "json_out.h"
#include "table.h"
#include "base/units.h"

static double weight_of(const mo_run_config *c, int i)
{
    return c->data.mixture.count > 0 ? c->data.mixture.at[i].weight : 1;
}

/* Of the whole run; NaN if only time ends it. */
static double epochs_of(const mo_run_config *c, const mo_run_data *data, int i)
{
    int64_t steps = mo_run_steps(c);
    return steps > 0 ? mo_run_data_epochs(data, i, c, steps) : (double)NAN;
}

static void describe_packing(const mo_run_config *c, const mo_run_source *s)
{
    const mo_tokens *t = &s->file->split[MO_SPLIT_TRAIN];
    if (!t->whole) return;
    printf("packing      %s, none of them cut, in %s of %lld, %.1f%% full\n",
           mo__counted(t->documents, "document").text, mo__counted(s->windows, "window").text,
           (long long)c->train.sequence_length, 100 * s->fill);
}

mo_status mo__describe_data(const mo_run_config *c, const mo_run_data *data)
{
    int64_t tokens = 0;
    for (int i = 0; i < data->count; i++) tokens += data->sources[i].file->split[MO_SPLIT_TRAIN].count;
    if (c->data.mixture.count == 0) {
        const mo_tokens *t = &data->sources[0].file->split[MO_SPLIT_TRAIN];
        printf("data         %s: %s tokens to train on", c->data.path, mo__count(tokens).text);
        if (t->mask) printf(", %s of them to be predicted", mo__count(t->predictable).text);
        if (mo_run_steps(c) > 0) printf(", each %s times", mo__fixed(epochs_of(c, data, 0), 2).text);
        putchar('\n');
        describe_packing(c, &data->sources[0]);
        return MO_OK;
    }
    printf("data         %d source%s, %s tokens to train on\n", data->count, data->count == 1 ? "" : "s",
           mo__count(tokens).text);
    bool packed = false;
    for (int i = 0; i < data->count; i++)
        packed = packed || data->sources[i].file->split[MO_SPLIT_TRAIN].whole;
    mo__table t = mo__table_begin(packed ? "<source|>weight|>share|>tokens|>full|>epochs|<file"
                                         : "<source|>weight|>share|>tokens|>epochs|<file");
    for (int i = 0; i < data->count; i++) {
        const mo_run_source *s = &data->sources[i];
        mo__cell(&t, "%s", s->name);
        mo__cell(&t, "%g", weight_of(c, i));
        mo__cell(&t, "%.1f%%", 100 * s->share);
        mo__cell(&t, "%s", mo__count(s->file->split[MO_SPLIT_TRAIN].count).text);
        if (packed) mo__cell(&t, "%.1f%%", 100 * s->fill);
        mo__cell(&t, "%s", mo__fixed(epochs_of(c, data, i), 2).text);
        mo__cell(&t, "%s", s->file->path);
    }
    return mo__table_print(&t);
}

json_t *mo__data_json(const mo_run_config *c, const mo_run_data *data)
{
    json_t *all = json_array();
    for (int i = 0; i < data->count; i++) {
        const mo_run_source *s = &data->sources[i];
        json_t *one = json_object();
        mo__json_set(one, "source", mo__json_text(s->name));
        mo__json_set(one, "path", mo__json_text(s->file->path));
        mo__json_set(one, "weight", mo__json_real(weight_of(c, i)));
        mo__json_set(one, "share", mo__json_real(s->share));
        mo__json_set(one, "tokens", mo__json_integer(s->file->split[MO_SPLIT_TRAIN].count));
        mo__json_set(one, "validation_tokens", mo__json_integer(s->file->split[MO_SPLIT_VALIDATION].count));
        mo__json_set(one, "windows", mo__json_integer(s->windows));
        mo__json_set(one, "fill", mo__json_real(s->fill));
        mo__json_set(one, "epochs", mo__json_real(epochs_of(c, data, i)));
        mo__json_add(all, one);
    }
    return all;
}

char *mo__source_losses(const mo_step_report *r)
{
    char *all = mo_strdup("");
    for (int i = 0; all && i < r->n_sources; i++) {
        const mo_source_report *s = &r->sources[i];
        char *longer = mo_strprintf("%s%s%s %s %s", all, i ? ", " : "", s->name,
                                    mo__fixed(s->train_loss, 4).text, mo__fixed(s->validation_loss, 4).text);
        mo_free(all);
        all = longer;
    }
    return all;
}
