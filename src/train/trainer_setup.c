/* trainer_setup.c -- opening a run: data, folder, memory check, model, graphs, loader, in the order in which
 * mistakes are cheapest to find. Nothing is written before everything that can be wrong has been looked at.
 */
#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

static mo_status settle_data(mo__trainer *t)
{
    mo_run_config *c = &t->config;
    MO_TRY(mo_run_data_open(c, &t->data));
    t->tokenizer = t->data.sources[0].file->tokenizer;
    MO_TRY(mo__trainer_open_base(t));
    if (c->model.vocab_size == 0) c->model.vocab_size = t->data.sources[0].file->vocab_size;
    if (c->model.max_position_embeddings == 0) c->model.max_position_embeddings = c->train.sequence_length;
    if (!(t->data_hashes = mo__run_data_hashes(&t->data))) return MO_E_MEMORY;
    return mo__run_data_check(&t->data, c->model.vocab_size, c->train.sequence_length);
}

static mo_status refuse_folder(const char *dir)
{
    return mo_error(MO_E_EXISTS,
                    "%s: a run is there already; add --resume to go on with it, or choose another run.name",
                    dir);
}

/* Of a run that starts; another process may have started one there since check_folder. */
static mo_status take_folder(mo__trainer *t)
{
    MO_TRY(mo__run_lock(t->dir, &t->lock));
    return mo__run_exists(t->dir) ? refuse_folder(t->dir) : MO_OK;
}

static mo_status check_folder(mo__trainer *t)
{
    t->dir = mo_run_dir(&t->config);
    if (!t->dir) return MO_E_MEMORY;
    bool there = mo__run_exists(t->dir);
    if (there && !t->options->resume) return refuse_folder(t->dir);
    if (!there && t->options->resume)
        return mo_error(
            MO_E_NOT_FOUND,
            "%s: there is no run to resume%s; run.dir=FOLDER says where it is, and without --resume "
            "one starts",
            t->dir, *t->dir == '/' ? "" : " in this folder as seen from the working directory");
    MO_TRY(mo__check_writable(t->dir));
    return there ? mo__run_lock(t->dir, &t->lock) : MO_OK;
}

static double gib(uint64_t bytes)
{
    return (double)bytes / (double)(1 << 30);
}

/* A run with one setting changed, for advice. */
typedef struct advice {
    mo_run_config config;
    char setting[64];
    double total; /* GiB */
} advice;

static void reckon(const mo__trainer *t, advice *a)
{
    mo_run_memory m;
    if (!mo__run_data_fits(&t->data, a->config.train.sequence_length)) return;
    uint64_t data = mo_run_data_bytes(&t->data, a->config.train.sequence_length);
    if (mo_run_memory_estimate(&a->config, data, &m) == MO_OK)
        a->total = gib(m.total);
    else
        mo_error_clear();
}

static int by_total(const void *a, const void *b)
{
    double x = ((const advice *)a)->total, y = ((const advice *)b)->total;
    return x < y ? -1 : x > y;
}

enum { ADVICE = 4 };

/* Sorted: what helps most comes first. */
static void make_advice(const mo__trainer *t, advice out[ADVICE])
{
    const mo_run_config *c = &t->config;
    int64_t batch = (c->train.batch_size + 1) / 2, length = (c->train.sequence_length + 1) / 2;
    for (int i = 0; i < ADVICE; i++) out[i] = (advice){.config = *c, .total = gib(t->memory.total)};
    out[0].config.train.recompute = MO_RECOMPUTE_FULL;
    snprintf(out[0].setting, sizeof out[0].setting, "train.recompute=full");
    out[1].config.train.batch_size = batch;
    snprintf(out[1].setting, sizeof out[1].setting, "train.batch_size=%lld", (long long)batch);
    out[2].config.train.sequence_length = length;
    snprintf(out[2].setting, sizeof out[2].setting, "train.sequence_length=%lld", (long long)length);
    out[3].config.checkpoint.background = false;
    snprintf(out[3].setting, sizeof out[3].setting, "checkpoint.background=false");
    for (int i = 0; i < ADVICE; i++) reckon(t, &out[i]);
    qsort(out, ADVICE, sizeof *out, by_total);
}

/* available: what there was before the data was read, which the total counts too. */
static mo_status check_memory(mo__trainer *t, uint64_t available)
{
    uint64_t slabs = ((uint64_t)t->model->elements + 3 * (uint64_t)t->model->trainable) * sizeof(mo_real);
    if (available > 0 && slabs > available) /* no need to plan what cannot be */
        return mo_error(MO_E_MEMORY,
                        "the run needs %.2f GiB for parameters, gradients and moments alone and %.2f GiB are "
                        "available; make the model smaller",
                        gib(slabs), gib(available));
    MO_TRY(mo_run_memory_estimate(&t->config, mo_run_data_bytes(&t->data, t->config.train.sequence_length),
                                  &t->memory));
    if (available == 0 || t->memory.total <= available) return MO_OK;
    advice a[ADVICE];
    make_advice(t, a);
    return mo_error(
        MO_E_MEMORY,
        "the run needs %.2f GiB and %.2f GiB are available (parameters, gradients and moments %.2f, "
        "activations %.2f, checkpoint snapshot %.2f). %s would need %.2f GiB, %s %.2f GiB, %s %.2f GiB; or "
        "make the model smaller",
        gib(t->memory.total), gib(available),
        gib(t->memory.parameters + t->memory.gradients + t->memory.optimizer), gib(t->memory.activations),
        gib(t->memory.snapshot), a[0].setting, a[0].total, a[1].setting, a[1].total, a[2].setting,
        a[2].total);
}

static void warn_of_warmup(const mo_run_config *c)
{
    int64_t steps = mo_run_steps(c);
    if (steps > 0 && c->schedule.warmup_steps > steps)
        mo_log(MO_LOG_WARNING,
               "schedule.warmup_steps %lld are more than the run's %lld steps: the learning rate never "
               "gets "
               "to optimizer.learning_rate",
               (long long)c->schedule.warmup_steps, (long long)steps);
}

static void warn_of_capacity(const mo_model_config *c)
{
    if (c->num_local_experts > 0 && c->eval_capacity_factor > 0 && !(c->capacity_factor > 0) &&
        mo_router_describe(c->router)->traits & MO_ROUTER_CAPACITY)
        mo_log(MO_LOG_WARNING,
               "model.eval_capacity_factor %g drops choices in evaluation, but training, without "
               "model.capacity_factor, drops none; set it to null to evaluate what is trained",
               c->eval_capacity_factor);
}

/* A router that looks ahead: said once, and no samples are made. */
static void warn_of_future(mo__trainer *t)
{
    if (mo_model_decode_check(&t->config.model) == MO_OK) return;
    mo_error_clear();
    bool sequence = t->config.model.capacity_scope == MO_SCOPE_SEQUENCE;
    mo_log(MO_LOG_WARNING,
           "model.router %s: experts choose among all tokens of a %s, so that what a token gets hangs on the "
           "tokens after it; training and validation losses may be lower than the model could reach without "
           "looking ahead, it cannot generate text, and no samples are made",
           mo_router_names[t->config.model.router], sequence ? "sequence" : "microbatch");
    t->config.sample.tokens = 0;
}

/* A prompt as it stands is no turn of a chat; without any, a sample would begin an empty conversation. */
static void warn_of_chat(mo__trainer *t)
{
    bool talks = false;
    for (int i = 0; i < t->data.count; i++)
        talks = talks || t->data.sources[i].file->split[MO_SPLIT_TRAIN].mask;
    if (!talks || t->config.sample.tokens == 0) return;
    if (*t->config.sample.prompt)
        mo_log(MO_LOG_INFO,
               "the data are conversations, and sample.prompt is read as it stands, not as a turn of "
               "one; moira generate --chat answers turns");
    else {
        mo_log(MO_LOG_INFO,
               "the data are conversations, and no sample.prompt is given, so no samples are made; "
               "moira generate --chat answers turns");
        t->config.sample.tokens = 0;
    }
}

/* What of the adapters never trains adds nothing, since B begins as zero. */
static void warn_of_frozen_adapters(const mo_model *m)
{
    int64_t frozen = 0, all = 0;
    for (int i = 0; i < m->n_params; i++) {
        if (!mo__is_adapter(m->params[i].name)) continue;
        all += m->params[i].count;
        frozen += m->params[i].frozen ? m->params[i].count : 0;
    }
    if (frozen > 0)
        mo_log(MO_LOG_WARNING,
               "freeze: %lld of the %lld parameters of adapters are frozen too, as they begin, and add "
               "nothing to "
               "the model; lora.targets says which matrices have adapters, and all else is frozen without "
               "freeze",
               (long long)frozen, (long long)all);
}

/* Whether any source can be evaluated; says which ones cannot. */
static bool can_validate(const mo__trainer *t)
{
    bool any = false;
    int64_t length = t->config.train.sequence_length;
    for (int i = 0; i < t->data.count; i++) {
        const char *why = mo__cannot_validate(&t->data.sources[i], length);
        any = any || !why;
        if (why && t->data.sources[i].file->split[MO_SPLIT_VALIDATION].count == 0)
            mo_log(MO_LOG_WARNING, "%s: has no validation split; %s", t->data.sources[i].file->path,
                   t->data.count == 1 ? "no evaluations, and no best.h5"
                                      : "no validation loss of this source");
        else if (why)
            mo_log(MO_LOG_WARNING, "%s: the validation split %s of %lld tokens; %s",
                   t->data.sources[i].file->path, why, (long long)length,
                   t->data.count == 1 ? "no evaluations" : "no validation loss of this source");
    }
    return any;
}

static mo_status open_graphs(mo__trainer *t)
{
    const mo_run_config *c = &t->config;
    mo_model_graph_options options = mo_run_graph_options(c, MO_GRAPH_TRAIN);
    MO_TRY(mo_model_graph_create(t->model, &options, &t->train));
    t->arena_bytes = mo_graph_memory_use(t->train->graph).arena;
    if (can_validate(t)) {
        options.kind = MO_GRAPH_LOSS;
        MO_TRY(mo_model_graph_create(t->model, &options, &t->eval));
        size_t bytes = mo_graph_memory_use(t->eval->graph).arena;
        if (bytes > t->arena_bytes) t->arena_bytes = bytes;
    }
    MO_TRY(mo_pages_alloc(t->arena_bytes, &t->arena));
    MO_TRY(mo_graph_bind(t->train->graph, t->arena));
    mo_model_graph_attach(t->train);
    if (!t->eval) return MO_OK;
    MO_TRY(mo_graph_bind(t->eval->graph, t->arena));
    mo_model_graph_attach(t->eval);
    return MO_OK;
}

static mo_status open_loader(mo__trainer *t)
{
    const mo_run_config *c = &t->config;
    mo_loader_source *sources = mo_calloc((size_t)t->data.count, sizeof *sources);
    if (!sources) return MO_E_MEMORY;
    for (int i = 0; i < t->data.count; i++) {
        const mo_run_source *s = &t->data.sources[i];
        sources[i] = (mo_loader_source){&s->file->split[MO_SPLIT_TRAIN], s->share};
    }
    mo_loader_options options = {.sources = sources,
                                 .n_sources = t->data.count,
                                 .tokenizer = t->tokenizer,
                                 .batch_size = c->train.batch_size,
                                 .sequence_length = c->train.sequence_length,
                                 .accumulation = c->train.gradient_accumulation_steps,
                                 .seed = c->run.seed,
                                 .prefetch = true};
    mo_status status = mo_loader_open(&options, &t->loader);
    mo_free(sources);
    return status;
}

/* The metrics line of a step whose evaluation was interrupted, which is made now: see postpone. */
static mo_status read_postponed(mo__trainer *t)
{
    mo_status status = mo__metrics_read(t->dir, t->state.step, &t->postponed, &t->routing, &t->sources);
    if (status != MO_E_NOT_FOUND) return status;
    mo_log(MO_LOG_WARNING, "%s; the evaluation that was interrupted there is left out", mo_last_error());
    mo_error_clear();
    t->state.evaluation_due = false;
    return MO_OK;
}

/* Spikes are told of before the evaluation that may be due. */
static mo_status cut_spikes(const mo__trainer *t)
{
    char *path = mo_path_join(t->dir, "spikes.jsonl");
    if (!path) return MO_E_MEMORY;
    mo_status status = mo__lines_cut(path, t->state.step);
    mo_free(path);
    return status;
}

/* The folder comes into being. */
static mo_status open_folder(mo__trainer *t, bool fresh)
{
    MO_TRY(mo_make_dirs(t->dir));
    if (!t->options->resume) MO_TRY(take_folder(t));
    MO_TRY(mo__trainer_place_base(t));
    mo__remove_leftovers(t->dir);
    if (t->state.evaluation_due) MO_TRY(read_postponed(t));
    int64_t told = fresh ? -1 : t->state.step - t->state.evaluation_due; /* the last step that had its say */
    if (t->config.log.tensorboard) MO_TRY(mo__events_open(t->dir, told, t->resolved, &t->events));
    char *path = mo_path_join(t->dir, "config.yaml");
    if (!path) return MO_E_MEMORY;
    mo_status status = mo_write_file(path, t->resolved, strlen(t->resolved));
    mo_free(path);
    MO_TRY(status);
    MO_TRY(mo__samples_cut(t->dir, told));
    MO_TRY(cut_spikes(t));
    MO_TRY(mo__routing_log_open(t->dir, told, t->config.log.routing ? t->eval : NULL, &t->data,
                                &t->routing_log));
    return mo__metrics_open(t->dir, fresh ? -1 : t->state.step, &t->metrics);
}

mo_status mo__trainer_open(mo__trainer *t, const mo_train_options *options)
{
    *t = (mo__trainer){
        .options = options, .config = *options->config, .lock = -1, .last_saved = -1, .last_best = -1};
    uint64_t available = mo_memory_available();
    t->state.best_loss = t->state.patience_loss = t->base_loss = (double)__builtin_nanf("");
    mo_threads_set((int)t->config.run.threads);
    MO_TRY(mo_blas_init());
    MO_TRY(check_folder(t));
    MO_TRY(settle_data(t));
    MO_TRY(mo_model_config_check(&t->config.model, &t->config.balance));
    if (options->resume) MO_TRY(mo__trainer_find(t));
    MO_TRY(options->dump(&t->config, &t->resolved));
    MO_TRY(mo_model_create_tuned(&t->config.model, &t->config.tuning, &t->model));
    MO_TRY(mo_model_group(t->model, &t->config.optimizer));
    if (t->base) MO_TRY(mo_pretrained_map(t->base, t->model));
    MO_TRY(check_memory(t, available));
    t->flops_per_token = mo_model_counts(t->model, t->config.train.sequence_length).flops_per_token;
    MO_TRY(mo__routing_sum_create(t->model, &t->routing));
    MO_TRY(mo__collapse_open(&t->config, &t->model->config, &t->collapse));
    if (t->config.data.mixture.count > 0) MO_TRY(mo__source_sum_create(&t->data, &t->sources));
    MO_TRY(mo_model_allocate(t->model, MO_ALLOCATE_TRAINING));
    bool fresh = !t->resumed;
    if (t->base)
        MO_TRY(mo__trainer_load_base(t));
    else if (t->resumed)
        MO_TRY(mo__trainer_load(t));
    else
        mo_model_init(t->model, t->config.run.seed);
    memcpy(t->state.data_hash, t->data.hash, sizeof t->state.data_hash);
    MO_TRY(open_graphs(t));
    MO_TRY(mo__trainer_open_writer(t));
    MO_TRY(open_loader(t));
    warn_of_warmup(&t->config);
    warn_of_capacity(&t->config.model);
    warn_of_future(t);
    warn_of_chat(t);
    warn_of_frozen_adapters(t->model);
    return open_folder(t, fresh);
}

void mo__trainer_close(mo__trainer *t)
{
    mo_checkpoint_close(t->resumed);
    mo_checkpoint_writer_free(t->writer);
    mo_loader_close(t->loader);
    mo_model_graph_free(t->train);
    mo_model_graph_free(t->eval);
    mo__base_choices_free(&t->base_choices);
    mo_pages_free(t->arena, t->arena_bytes);
    mo__routing_sum_free(&t->routing);
    mo__collapse_close(&t->collapse);
    mo__routing_log_close(&t->routing_log);
    mo_model_free(t->model);
    mo_pretrained_close(t->base);
    mo_free(t->base_path);
    mo__source_sum_free(&t->sources);
    mo_run_data_close(&t->data);
    if (t->metrics.path && mo__metrics_close(&t->metrics) != MO_OK)
        mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    if (mo__events_close(&t->events) != MO_OK) mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    mo_free(t->resolved);
    mo_free(t->data_hashes);
    if (t->dir) mo__run_unlock(t->dir, t->lock);
    mo_free(t->dir);
}
