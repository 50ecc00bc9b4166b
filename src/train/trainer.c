/* trainer.c -- the loop: microbatches, clip, AdamW, and what is due after a step.
 *
 * Order after a step: evaluation, metrics line, sample, checkpoint. A checkpoint so
 * comes after all that its step has to say, and what a kill leaves of a later step is cut off and made again.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "train/trainer.h"

/* One optimizer step; fills the report's step part. */
static mo_status take_step(mo__trainer *t, mo_step_report *r)
{
    const mo_run_config *c = &t->config;
    int64_t step = t->state.step, micro = c->train.gradient_accumulation_steps;
    int64_t N = c->train.batch_size * c->train.sequence_length;
    double ce = 0, balance[MO_BALANCE_LOSSES] = {0}, part[MO_BALANCE_LOSSES];
    int64_t predicted = 0;
    mo__routing_sum_clear(&t->routing);
    mo__source_sum_clear(&t->sources);
    mo__spike_begin(&t->spike, &t->state, c->log.spike);
    for (int64_t k = 0; k < micro; k++) {
        const mo_batch *batch = NULL;
        MO_TRY(mo_loader_get(t->loader, step, k, &batch));
        predicted = batch->predicted_step;
        mo_model_graph_scale(t->train, predicted, micro * N);
        mo_model_graph_feed(t->train, batch);
        mo_run run = {.seed = c->run.seed, .step = step, .first_token = k * N, .training = true};
        mo_graph_train(t->train->graph, &run);
        ce += mo_model_graph_loss(t->train, part);
        for (int b = 0; b < MO_BALANCE_LOSSES; b++) balance[b] += part[b];
        mo__routing_sum_add(&t->routing, t->train);
        mo__source_sum_add(&t->sources, t->train, batch);
        mo__spike_add(&t->spike, t->train, batch);
    }
    mo__routing_sum_report(&t->routing, t->train);
    mo__source_sum_report(&t->sources, t->loader, step + 1, c->train.sequence_length);
    mo_slabs slabs = mo_model_slabs(t->model);
    r->train_loss = mo__unsigned_nan(ce / (double)predicted);
    r->grad_norm = mo__unsigned_nan(mo_grad_norm(&slabs));
    r->learning_rate =
        mo_schedule_rate(&c->schedule, c->optimizer.learning_rate, step, mo__run_projected(c, &t->state));
    r->balance_loss = 0;
    for (int b = 0; b < MO_BALANCE_LOSSES; b++) {
        double coefficient = mo_balance_coefficient(&c->balance, b);
        r->balance[b] = coefficient > 0 ? balance[b] / (double)(micro * N) : (double)NAN;
        if (coefficient > 0) r->balance_loss += coefficient * r->balance[b];
    }
    r->balance_loss = mo__unsigned_nan(r->balance_loss);
    if (!isfinite(r->train_loss) || !isfinite(r->grad_norm) || !isfinite(r->balance_loss)) {
        MO_TRY(mo__trainer_save_now(t));
        return mo_error(
            MO_E_NONFINITE,
            "step %lld: loss %g, balancing loss %g, gradient norm %g; the weights of step %lld are saved. "
            "Try a lower optimizer.learning_rate or a longer schedule.warmup_steps in a new run",
            (long long)step + 1, r->train_loss, r->balance_loss, r->grad_norm, (long long)step);
    }
    mo_adamw_step(&slabs, &c->optimizer, r->learning_rate, r->grad_norm, step);
    mo__spike_remember(&t->state, r->train_loss);
    t->state.step = step + 1;
    t->state.tokens += predicted;
    t->span_tokens += predicted;
    return MO_OK;
}

static void look_ahead(const mo__trainer *t, mo_step_report *r)
{
    r->end = mo__run_end(&t->config, &t->state);
    r->steps = r->end == MO_RUN_GOES_ON ? mo__run_projected(&t->config, &t->state) : r->step;
}

static mo_status evaluate(mo__trainer *t, mo_step_report *r, bool *improved)
{
    MO_TRY(mo__validate(t->eval, &t->data, &t->config, t->options->stop, &t->sources, r));
    if (!isfinite(r->validation_loss))
        return mo_error(MO_E_NONFINITE,
                        "step %lld: the validation loss is %g; no checkpoint was made of it. Try a lower "
                        "optimizer.learning_rate or a longer schedule.warmup_steps in a new run",
                        (long long)t->state.step, r->validation_loss);
    mo__run_evaluated(&t->config, r->validation_loss, &t->state);
    look_ahead(t, r);
    *improved = !(t->state.best_loss <= r->validation_loss);
    if (!*improved) return MO_OK;
    t->state.best_loss = r->validation_loss;
    t->state.best_step = t->state.step;
    return MO_OK;
}

typedef struct text_buffer {
    int32_t *ids;
    int64_t count;
    int32_t eos; /* where a text ends, -1 if nowhere */
} text_buffer;

static bool collect(int32_t id, void *user)
{
    text_buffer *b = user;
    if (id == b->eos) return false;
    b->ids[b->count++] = id;
    return true;
}

/* Generates, decodes, tells and stores; the prompt is part of the text. */
static mo_status sample_into(mo__trainer *t, text_buffer *b, const int32_t *prompt, int64_t prompt_count)
{
    const mo_run_config *c = &t->config;
    memcpy(b->ids, prompt, (size_t)prompt_count * sizeof *prompt);
    b->count = prompt_count;
    mo_generate_options options = {.prompt = prompt,
                                   .prompt_count = prompt_count,
                                   .max_tokens = c->sample.tokens,
                                   .temperature = c->sample.temperature,
                                   .top_p = 1,
                                   .seed = c->run.seed + (uint64_t)t->state.step,
                                   .emit = collect,
                                   .user = b};
    MO_TRY(mo_generate(t->model, &options));
    char *text = NULL;
    size_t size = 0;
    MO_TRY(mo_tokenizer_decode(t->tokenizer, b->ids, b->count, &text, &size));
    const mo_train_events *e = &t->options->events;
    if (e->sample) e->sample(t->state.step, text, size, e->user);
    mo_status status = mo__samples_append(t->dir, t->state.step, text, size);
    if (status == MO_OK) status = mo__events_text(&t->events, t->state.step, "samples", text, size);
    mo_free(text);
    return status;
}

/* Without a prompt the begin of a document, or, where the tokenizer has no token for it, of a line. */
static mo_status sample(mo__trainer *t)
{
    const char *prompt = t->config.sample.prompt;
    int32_t *ids = NULL;
    int64_t count = 0;
    if (!*prompt && mo_tokenizer_bos(t->tokenizer) < 0) prompt = "\n";
    MO_TRY(mo_generate_prompt(t->tokenizer, prompt, strlen(prompt), &ids, &count));
    text_buffer b = {mo_malloc((size_t)(count + t->config.sample.tokens) * sizeof(int32_t)), 0,
                     mo_tokenizer_eos(t->tokenizer)};
    mo_status status = b.ids ? sample_into(t, &b, ids, count) : MO_E_MEMORY;
    mo_free(b.ids);
    mo_free(ids);
    return status;
}

/* At the end everything is. */
static bool due(const mo_step_report *r, int64_t every)
{
    return r->end != MO_RUN_GOES_ON || (every > 0 && r->step % every == 0);
}

static void finish_report(mo__trainer *t, mo_step_report *r)
{
    r->step = t->state.step;
    look_ahead(t, r);
    r->tokens = t->state.tokens;
    r->seconds = t->state.seconds;
    if (t->span_seconds > 0) r->tokens_per_second = (double)t->span_tokens / t->span_seconds;
    r->gflops = r->tokens_per_second * t->flops_per_token / 1e9;
    r->layers = t->routing.reports;
    r->n_layers = t->routing.n_layers;
    r->sources = t->sources.reports;
    r->n_sources = t->sources.count;
}

static mo_status tell(mo__trainer *t, const mo_step_report *r)
{
    const mo_train_events *e = &t->options->events;
    MO_TRY(mo__metrics_write(&t->metrics, r));
    MO_TRY(mo__events_step(&t->events, r));
    if (e->step) e->step(r, e->user);
    t->span_seconds = 0;
    t->span_tokens = 0;
    return MO_OK;
}

/* A signal in the middle of an evaluation: the metrics line keeps what the step has to say, without the
 * evaluation, and whoever resumes takes it back and makes the evaluation (mo__trainer_open). */
static mo_status postpone(mo__trainer *t, const mo_step_report *r)
{
    MO_TRY(mo__metrics_write(&t->metrics, r));
    t->state.evaluation_due = true;
    MO_TRY(mo__trainer_save_now(t));
    return mo_error(MO_E_INTERRUPTED,
                    "interrupted in the evaluation after step %lld; the run goes on with --resume, which "
                    "makes it again",
                    (long long)r->step);
}

static mo_status after_step(mo__trainer *t, mo_step_report *r)
{
    const mo_run_config *c = &t->config;
    bool improved = false;
    if (t->eval && due(r, c->eval.every)) {
        mo_status status = evaluate(t, r, &improved);
        if (status == MO_E_INTERRUPTED) return postpone(t, r);
        MO_TRY(status);
    }
    if (r->evaluated || r->step == 1 || due(r, c->log.every)) MO_TRY(tell(t, r));
    bool sample_due = c->sample.every > 0 ? due(r, c->sample.every) : r->evaluated;
    if (c->sample.tokens > 0 && sample_due) MO_TRY(sample(t));
    bool save_due = due(r, c->checkpoint.every);
    return save_due || improved ? mo__trainer_save(t, save_due, improved) : mo__trainer_poll(t);
}

/* *last without what is gone with the trainer. */
static void keep(const mo_step_report *r, mo_step_report *last)
{
    *last = *r;
    last->layers = NULL;
    last->sources = NULL;
    last->n_layers = last->n_sources = 0;
}

static mo_status run(mo__trainer *t, mo_step_report *last)
{
    const mo_train_options *o = t->options;
    const mo_run_config *c = &t->config;
    if (t->state.evaluation_due) {
        mo_step_report r = t->postponed;
        t->state.evaluation_due = false;
        finish_report(t, &r);
        MO_TRY(after_step(t, &r));
        keep(&r, last);
    } else {
        *last = (mo_step_report){.step = t->state.step,
                                 .tokens = t->state.tokens,
                                 .seconds = t->state.seconds,
                                 .end = mo__run_end(&t->config, &t->state)};
    }
    while (last->end == MO_RUN_GOES_ON) {
        if (o->stop && *o->stop) {
            MO_TRY(mo__trainer_save_now(t));
            return mo_error(MO_E_INTERRUPTED, "interrupted after step %lld; the run goes on with --resume",
                            (long long)t->state.step);
        }
        double begin = mo_clock();
        int64_t before = t->state.tokens;
        mo_step_report r = {0};
        MO_TRY(take_step(t, &r));
        double seconds = mo_clock() - begin;
        t->state.seconds += seconds;
        t->span_seconds += seconds;
        finish_report(t, &r);
        if (c->log.spike > 0 && mo__spike_height(&t->spike, r.train_loss) > c->log.spike)
            MO_TRY(mo__spike_write(t, &r, t->state.tokens - before));
        if (o->events.tick) o->events.tick(r.step, r.train_loss, r.tokens_per_second, o->events.user);
        MO_TRY(after_step(t, &r));
        keep(&r, last);
    }
    return MO_OK;
}

/* A save that was begun is ended also where the run has failed, whose message stays. */
static mo_status end_saving(mo__trainer *t, mo_status status)
{
    char message[MO__MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", mo_last_error());
    mo_status saved = mo__trainer_settle(t);
    if (status == MO_OK) return saved;
    if (saved != MO_OK) mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    return mo_error(status, "%s", message);
}

mo_status mo_train(const mo_train_options *options, mo_step_report *last)
{
    mo__trainer t;
    *last = (mo_step_report){0};
    mo_status status = mo__trainer_open(&t, options);
    if (status == MO_OK) {
        const mo_train_events *e = &options->events;
        if (e->start)
            e->start(&t.config, &t.data, t.model, &t.memory, t.state.step,
                     !t.state.evaluation_due && mo__run_end(&t.config, &t.state) != MO_RUN_GOES_ON, e->user);
        status = end_saving(&t, run(&t, last));
    }
    mo__trainer_close(&t);
    return status;
}
