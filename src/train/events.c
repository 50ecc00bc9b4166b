/* events.c -- what a run tells TensorBoard: a summary of scalars and histograms with every metrics line,
 * samples and the config as text.
 *
 * A histogram has one bucket per expert, [e - 1/2, e + 1/2] with expert e's share of the assignments. It is
 * written in the form of TensorBoard's histograms plugin, a tensor of rows (left, right, count), because
 * readers of the older form drop empty outer buckets and with them dead experts. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"
#include "train/train_internal.h"

static char version[] = "brain.Event:2", histograms[] = "histograms", text_plugin[] = "text";

/* A value with all that its tensor consists of; the messages point at each other, so it may not be moved. */
typedef struct value {
    MoTb__Summary__Value message;
    MoTb__Metadata metadata;
    MoTb__Metadata__PluginData plugin;
    MoTb__Tensor tensor;
    MoTb__Tensor__Shape shape;
    MoTb__Tensor__Shape__Dim dim[2], *dims[2];
    ProtobufCBinaryData text;
} value;

typedef struct summary {
    value *values;
    MoTb__Summary__Value **list;
    size_t count, room;
    bool failed; /* no memory for a value */
} summary;

static mo_status summary_begin(summary *s, size_t room)
{
    *s = (summary){
        .values = mo_calloc(room, sizeof *s->values), .list = mo_calloc(room, sizeof *s->list), .room = room};
    s->failed = !s->values || !s->list;
    return s->failed ? MO_E_MEMORY : MO_OK;
}

/* Writes the summary unless something failed before, and frees it. */
static mo_status summary_end(summary *s, mo__events *e, int64_t step)
{
    MoTb__Event event;
    MoTb__Summary body;
    mo_tb__event__init(&event);
    mo_tb__summary__init(&body);
    body.n_value = s->count;
    body.value = s->list;
    event.step = step;
    event.what_case = MO_TB__EVENT__WHAT_SUMMARY;
    event.summary = &body;
    mo_status status = s->failed ? MO_E_MEMORY : mo__event_file_append(&e->file, &event);
    for (size_t i = 0; i < s->count; i++) {
        mo_free(s->values[i].message.tag);
        mo_free(s->values[i].tensor.double_val);
    }
    mo_free(s->values);
    mo_free(s->list);
    return status;
}

static value *add(summary *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static value *add(summary *s, const char *format, ...)
{
    MO_ASSERT(s->count < s->room);
    value *v = &s->values[s->count];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
    mo_tb__summary__value__init(&v->message);
    v->message.tag = mo_malloc(size);
    if (v->message.tag)
        vsnprintf(v->message.tag, size, format, again);
    else
        s->failed = true;
    va_end(again);
    va_end(arguments);
    s->list[s->count++] = &v->message;
    return v;
}

static void set_scalar(value *v, double scalar)
{
    v->message.value_case = MO_TB__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    v->message.simple_value = (float)scalar;
}

/* plugin: one of the names above. */
static void set_tensor(value *v, char *plugin, MoTb__Tensor__DataType type)
{
    mo_tb__metadata__init(&v->metadata);
    mo_tb__metadata__plugin_data__init(&v->plugin);
    mo_tb__tensor__init(&v->tensor);
    mo_tb__tensor__shape__init(&v->shape);
    v->plugin.plugin_name = plugin;
    v->metadata.plugin_data = &v->plugin;
    v->metadata.data_class = MO_TB__METADATA__DATA_CLASS__TENSOR;
    v->tensor.dtype = type;
    v->tensor.tensor_shape = &v->shape;
    v->message.metadata = &v->metadata;
    v->message.value_case = MO_TB__SUMMARY__VALUE__VALUE_TENSOR;
    v->message.tensor = &v->tensor;
}

static void set_load(summary *s, value *v, const mo_layer_report *layer)
{
    const int64_t shape[] = {layer->experts, 3};
    double *rows = mo_malloc((size_t)(3 * layer->experts) * sizeof *rows);
    set_tensor(v, histograms, MO_TB__TENSOR__DATA_TYPE__DOUBLE);
    for (int i = 0; i < 2; i++) {
        mo_tb__tensor__shape__dim__init(&v->dim[i]);
        v->dim[i].size = shape[i];
        v->dims[i] = &v->dim[i];
    }
    v->shape.n_dim = 2;
    v->shape.dim = v->dims;
    v->tensor.double_val = rows;
    if (!rows) {
        s->failed = true;
        return;
    }
    v->tensor.n_double_val = (size_t)(3 * layer->experts);
    for (int64_t e = 0; e < layer->experts; e++) {
        rows[3 * e] = (double)e - 0.5;
        rows[3 * e + 1] = (double)e + 0.5;
        rows[3 * e + 2] = layer->load[e];
    }
}

/* ---- what a metrics line says ---- */

enum { STEP_SCALARS = 9, LAYER_VALUES = 11, SOURCE_SCALARS = 3 };

static void add_step(summary *s, const mo_step_report *r)
{
    bool trained = r->step > 0; /* not in the evaluation before the first step */
    if (trained) set_scalar(add(s, "loss/train"), r->train_loss);
    if (r->evaluated) {
        set_scalar(add(s, "loss/validation"), r->validation_loss);
        if (!isnan(r->bits_per_byte)) set_scalar(add(s, "loss/bits_per_byte"), r->bits_per_byte);
    }
    if (r->drift) set_scalar(add(s, "routing/drift"), r->mean_drift);
    if (!trained) return;
    if (r->n_layers) set_scalar(add(s, "loss/balance"), r->balance_loss);
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        if (r->n_layers && !isnan(r->balance[k]))
            set_scalar(add(s, "balance/%s", mo_balance_names[k]), r->balance[k]);
    set_scalar(add(s, "optimizer/learning_rate"), r->learning_rate);
    set_scalar(add(s, "optimizer/grad_norm"), r->grad_norm);
    set_scalar(add(s, "speed/tokens_per_second"), r->tokens_per_second);
    set_scalar(add(s, "speed/gflops"), r->gflops);
}

static void add_layer(summary *s, const mo_layer_report *l)
{
    const struct {
        const char *tag;
        double value;
    } all[] = {{"max_vio", l->max_vio},
               {"cv", l->cv},
               {"entropy", l->entropy},
               {"top1", l->top1},
               {"top1_weight", l->top1_weight},
               {"dropped", l->dropped},
               {"z", l->z},
               {"dead", (double)l->dead}};
    set_load(s, add(s, "routing/layer_%d/load", l->layer), l);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!isnan(all[i].value))
            set_scalar(add(s, "routing/layer_%d/%s", l->layer, all[i].tag), all[i].value);
}

static void add_source(summary *s, const mo_source_report *source, bool evaluated)
{
    set_scalar(add(s, "sources/%s/share", source->name), source->share);
    if (!isnan(source->train_loss)) set_scalar(add(s, "sources/%s/train", source->name), source->train_loss);
    if (evaluated && !isnan(source->validation_loss))
        set_scalar(add(s, "sources/%s/validation", source->name), source->validation_loss);
}

mo_status mo__events_step(mo__events *e, const mo_step_report *r)
{
    summary s;
    if (!e->on) return MO_OK;
    mo_status status =
        summary_begin(&s, (size_t)(STEP_SCALARS + MO_BALANCE_LOSSES + LAYER_VALUES * r->n_layers +
                                   SOURCE_SCALARS * r->n_sources));
    if (status == MO_OK) {
        add_step(&s, r);
        for (int l = 0; l < r->n_layers; l++) {
            add_layer(&s, &r->layers[l]);
            if (r->mutual_information && !isnan(r->mutual_information[l]))
                set_scalar(add(&s, "routing/layer_%d/mutual_information", r->layers[l].layer),
                           r->mutual_information[l]);
            if (r->drift) set_scalar(add(&s, "routing/layer_%d/drift", r->layers[l].layer), r->drift[l]);
        }
        for (int i = 0; i < r->n_sources; i++) add_source(&s, &r->sources[i], r->evaluated);
    }
    return summary_end(&s, e, r->step);
}

/* ---- text ---- */

/* Markdown that shows the text as it is: a fence longer than any in it. Owned. */
static char *preformatted(const char *text)
{
    size_t longest = 2, run = 0;
    for (const char *c = text; *c; c++) {
        run = *c == '`' ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    char *fence = mo_malloc(longest + 2), *out = NULL;
    if (fence) {
        memset(fence, '`', longest + 1);
        fence[longest + 1] = '\0';
        out = mo_strprintf("%s\n%s\n%s", fence, text, fence);
    }
    mo_free(fence);
    return out;
}

/* TensorBoard refuses to show text that is not UTF-8. */
mo_status mo__events_text(mo__events *e, int64_t step, const char *tag, const char *text, size_t size)
{
    summary s;
    if (!e->on) return MO_OK;
    char *clean = mo__printable(text, size), *markdown = clean ? preformatted(clean) : NULL;
    mo_status status = summary_begin(&s, 1);
    if (status == MO_OK && markdown) {
        value *v = add(&s, "%s", tag);
        set_tensor(v, text_plugin, MO_TB__TENSOR__DATA_TYPE__STRING);
        v->text = (ProtobufCBinaryData){strlen(markdown), (uint8_t *)markdown};
        v->tensor.n_string_val = 1;
        v->tensor.string_val = &v->text;
    }
    if (!markdown) s.failed = true;
    status = summary_end(&s, e, step);
    mo_free(markdown);
    mo_free(clean);
    return status;
}

/* ---- the file ---- */

static mo_status write_beginning(mo__events *e, const char *config)
{
    MoTb__Event first;
    mo_tb__event__init(&first);
    first.what_case = MO_TB__EVENT__WHAT_FILE_VERSION;
    first.file_version = version;
    MO_TRY(mo__event_file_append(&e->file, &first));
    return mo__events_text(e, 0, "config", config, strlen(config));
}

mo_status mo__events_open(const char *dir, int64_t step, const char *config, mo__events *out)
{
    *out = (mo__events){.on = false};
    char *path = mo_path_join(dir, "events.out.tfevents.moira");
    if (!path) return MO_E_MEMORY;
    bool empty = false;
    mo_status status = mo__event_file_open(path, step, &empty, &out->file);
    mo_free(path);
    MO_TRY(status);
    out->on = true;
    return empty ? write_beginning(out, config) : MO_OK;
}

mo_status mo__events_close(mo__events *e)
{
    if (!e->on) return MO_OK;
    e->on = false;
    return mo__event_file_close(&e->file);
}
