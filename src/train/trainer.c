/* trainer.c -- the loop: steps, and what is due after one.
 *
 * Order after a step: evaluation, collapse of routers, metrics line, sample, checkpoint. A checkpoint so
 * comes after all that its step has to say, and what a kill leaves of a later step is cut off and made again.
 */
#include <math.h>

#include "base/text.h"
#include "train/trainer.h"

static void look_ahead(const mo__trainer *t, mo_step_report *r)
{
    r->end = mo__run_end(&t->config, &t->state);
    r->steps = r->end == MO_RUN_GOES_ON ? mo__run_projected(&t->config, &t->state) : r->step;
}

static mo_status evaluate(mo__trainer *t, mo_step_report *r, bool *improved)
{
    MO_TRY(mo__validate(t->eval, &t->data, &t->config, t->options->stop, &t->sources, &t->routing_log,
                        t->base ? &t->base_choices : NULL, r));
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
    r->waited_seconds = mo_loader_waited(t->loader) - t->told_waited;
    r->base_loss = t->base_loss;
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
    if (r->evaluated) MO_TRY(mo__routing_log_write(&t->routing_log, r->step));
    if (e->step) e->step(r, e->user);
    t->span_seconds = 0;
    t->span_tokens = 0;
    t->told_waited = mo_loader_waited(t->loader);
    return MO_OK;
}

/* A signal in the middle of an evaluation: the metrics line keeps what the step has to say, without the
 * evaluation, and whoever resumes reads it (mo__trainer_open) and makes the evaluation. */
static mo_status postpone(mo__trainer *t, const mo_step_report *r)
{
    if (r->step != t->postponed.step) MO_TRY(mo__metrics_write(&t->metrics, r));
    t->state.evaluation_due = true;
    MO_TRY(mo__trainer_save_now(t));
    return mo_error(MO_E_INTERRUPTED,
                    "interrupted in the evaluation after step %lld; the run goes on with --resume, which "
                    "makes it again",
                    (long long)r->step);
}

/* Its line stays until then, so that a kill while the evaluation is made again loses nothing. */
static mo_status take_line_back(mo__trainer *t)
{
    MO_TRY(mo__metrics_close(&t->metrics));
    return mo__metrics_open(t->dir, t->postponed.step - 1, &t->metrics);
}

/* judged: a window of the watch over routers ends with the step. That is told of after the evaluation: if
 * that is put off, the step's events are cut, and only what its metrics line has can be written again. */
static mo_status after_step(mo__trainer *t, mo_step_report *r, bool judged)
{
    const mo_run_config *c = &t->config;
    bool improved = false;
    if (t->eval && due(r, c->eval.every)) {
        mo_status status = evaluate(t, r, &improved);
        if (status == MO_E_INTERRUPTED) return postpone(t, r);
        MO_TRY(status);
    }
    if (r->step == t->postponed.step) MO_TRY(take_line_back(t));
    if (judged) MO_TRY(mo__collapse_tell(t, r->step));
    if (r->evaluated || r->step == 1 || due(r, c->log.every)) MO_TRY(tell(t, r));
    bool sample_due = c->sample.every > 0 ? due(r, c->sample.every) : r->evaluated;
    if (c->sample.tokens > 0 && sample_due) MO_TRY(mo__trainer_sample(t));
    bool save_due = due(r, c->checkpoint.every);
    return save_due || improved ? mo__trainer_save(t, save_due, improved) : mo__trainer_poll(t);
}

/* Its one line has what the base does with the validation data. It is no evaluation of the run's: neither
 * best.h5 nor patience know of it. */
static mo_status tell_base(mo__trainer *t, mo_step_report *r)
{
    finish_report(t, r);
    r->train_loss = r->balance_loss = r->learning_rate = r->grad_norm = (double)NAN;
    r->tokens_per_second = r->gflops = r->waited_seconds = (double)NAN;
    r->mutual_information = NULL;
    r->n_layers = 0;
    for (int i = 0; i < t->sources.count; i++) t->sources.reports[i].train_loss = (double)NAN;
    return tell(t, r);
}

static mo_status check_base(const mo__trainer *t, double loss)
{
    const char *from = t->config.init.from;
    if (isfinite(loss)) return MO_OK;
    return mo_error(
        MO_E_NONFINITE,
        "init.from %s: the base itself, before any step, has a validation loss of %g: it has weights "
        "that are no finite numbers, or too large to compute with (moira inspect --verify finds the "
        "former in a folder)",
        from, loss);
}

/* The model has the base's weights: what they do with the validation data is looked at before anything else,
 * in a run that goes on too, which then takes its own weights. */
static mo_status begin(mo__trainer *t)
{
    mo_step_report r = {0};
    bool fresh = !t->resumed;
    if (!t->base) return MO_OK;
    if (t->eval) {
        MO_TRY(mo__base_choices_create(t->eval, t->data.count, &t->base_choices));
        mo_status status = mo__validate(t->eval, &t->data, &t->config, t->options->stop, &t->sources,
                                        &t->routing_log, &t->base_choices, &r);
        if (status == MO_E_INTERRUPTED)
            return mo_error(status,
                            "interrupted while the base was evaluated; the run goes on with --resume");
        MO_TRY(status);
        MO_TRY(check_base(t, r.validation_loss));
        t->base_loss = r.validation_loss;
        mo__base_choices_recorded(&t->base_choices);
    }
    if (!fresh) return mo__trainer_load(t);
    return t->eval ? tell_base(t, &r) : MO_OK;
}

/* *last without what is gone with the trainer. */
static void keep(const mo_step_report *r, mo_step_report *last)
{
    *last = *r;
    last->layers = NULL;
    last->sources = NULL;
    last->mutual_information = last->drift = NULL;
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
        MO_TRY(after_step(t, &r, false));
        keep(&r, last);
    } else {
        *last = (mo_step_report){.step = t->state.step,
                                 .tokens = t->state.tokens,
                                 .seconds = t->state.seconds,
                                 .base_loss = t->base_loss,
                                 .end = mo__run_end(&t->config, &t->state)};
    }
    while (last->end == MO_RUN_GOES_ON) {
        if (o->pause_at > 0 && t->state.step >= o->pause_at) {
            last->end = MO_RUN_PAUSED;
            return mo__trainer_save_now(t);
        }
        if (o->stop && *o->stop) {
            MO_TRY(mo__trainer_save_now(t));
            return mo_error(MO_E_INTERRUPTED, "interrupted after step %lld; the run goes on with --resume",
                            (long long)t->state.step);
        }
        mo__profile_begin_step(&t->profile, t->train->graph, t->loader);
        double begin = mo_clock();
        int64_t before = t->state.tokens;
        mo_step_report r = {0};
        MO_TRY(mo__trainer_step(t, &r));
        double seconds = mo_clock() - begin;
        mo__profile_end_step(&t->profile, t->loader, seconds);
        t->state.seconds += seconds;
        t->span_seconds += seconds;
        finish_report(t, &r);
        if (c->log.spike > 0 && mo__spike_height(&t->spike, r.train_loss) > c->log.spike)
            MO_TRY(mo__spike_write(t, &r, t->state.tokens - before));
        bool judged = mo__collapse_step(&t->collapse, r.layers);
        if (o->events.tick) o->events.tick(r.step, r.train_loss, r.tokens_per_second, o->events.user);
        MO_TRY(after_step(t, &r, judged));
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

/* After the run has given its memory back, which the measuring needs. The run's own status and message stay.
 */
static mo_status tell_profile(const mo_train_events *e, mo_profile *profile, mo_status status)
{
    if (profile->steps == 0) return status;
    char message[MO__MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", mo_last_error());
    mo_status measured = MO_OK;
    for (int round = 0; round < 3 && measured == MO_OK; round++) { /* other work comes and goes */
        double gflops = 0;
        measured = mo__measure_peak(MO__PEAK_OWN, &gflops);
        profile->peak_gflops = fmax(profile->peak_gflops, gflops);
    }
    if (measured == MO_OK) measured = mo__measure_bandwidth(&profile->peak_gbytes);
    if (measured == MO_OK) e->profile(profile, e->user);
    mo__profile_free(profile);
    return status == MO_OK ? measured : mo_error(status, "%s", message);
}

mo_status mo_train(const mo_train_options *options, mo_step_report *last)
{
    const mo_train_events *e = &options->events;
    mo_profile profile = {0};
    mo__trainer t;
    *last = (mo_step_report){0};
    mo_status status = mo__trainer_open(&t, options);
    if (status == MO_OK) {
        if (e->profile) mo__profile_start(&t.profile, t.train->graph);
        if (e->start)
            e->start(&t.config, &t.data, t.model, &t.memory, t.state.step,
                     !t.state.evaluation_due && mo__run_end(&t.config, &t.state) != MO_RUN_GOES_ON, e->user);
        status = begin(&t);
        if (status == MO_OK) status = end_saving(&t, run(&t, last));
        bool whole = status == MO_OK || status == MO_E_INTERRUPTED;
        if (t.profile.steps > 0 && whole && mo__profile_result(&t.profile, t.train->graph, &profile) != MO_OK)
            mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    }
    mo__trainer_close(&t);
    return tell_profile(e, &profile, status);
}
