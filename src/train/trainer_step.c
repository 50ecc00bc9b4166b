/* trainer_step.c -- one optimizer step: microbatches, clip, AdamW, selection biases. */
#include <math.h>

#include "train/trainer.h"

typedef struct sums {
    double cross_entropy, balance[MO_BALANCE_LOSSES]; /* over tokens */
    int64_t predicted, valid;
} sums;

/* Gradients and statistics of all microbatches. */
static mo_status accumulate(mo__trainer *t, sums *s)
{
    const mo_run_config *c = &t->config;
    int64_t step = t->state.step, micro = c->train.gradient_accumulation_steps;
    int64_t N = c->train.batch_size * c->train.sequence_length; /* places, padding or not */
    for (int64_t k = 0; k < micro; k++) {
        const mo_batch *batch = NULL;
        double part[MO_BALANCE_LOSSES];
        MO_TRY(mo_loader_get(t->loader, step, k, &batch));
        s->predicted = batch->predicted_step;
        s->valid = batch->valid_step;
        mo_model_graph_scale(t->train, s->predicted, s->valid);
        mo_model_graph_feed(t->train, batch);
        mo_run run = {.seed = c->run.seed, .step = step, .first_token = k * N, .training = true};
        mo_graph_train(t->train->graph, &run);
        double begin = mo__profile_clock(&t->profile);
        s->cross_entropy += mo_model_graph_loss(t->train, part);
        for (int b = 0; b < MO_BALANCE_LOSSES; b++) s->balance[b] += part[b];
        mo__routing_sum_add(&t->routing, t->train);
        mo__source_sum_add(&t->sources, t->train, batch);
        mo__spike_add(&t->spike, t->train, batch);
        mo__profile_add(&t->profile, MO__PROFILE_STATISTICS, begin);
    }
    return MO_OK;
}

static void report_losses(const mo__trainer *t, const sums *s, mo_step_report *r)
{
    const mo_run_config *c = &t->config;
    r->train_loss = s->predicted > 0 ? mo__unsigned_nan(s->cross_entropy / (double)s->predicted) : 0;
    r->balance_loss = 0;
    for (int b = 0; b < MO_BALANCE_LOSSES; b++) {
        double coefficient = mo_balance_coefficient(&c->balance, b);
        r->balance[b] = coefficient > 0 ? s->balance[b] / (double)s->valid : (double)NAN;
        if (coefficient > 0) r->balance_loss += coefficient * r->balance[b];
    }
    r->balance_loss = mo__unsigned_nan(r->balance_loss);
}

static mo_status check_finite(mo__trainer *t, const mo_step_report *r)
{
    if (isfinite(r->train_loss) && isfinite(r->grad_norm) && isfinite(r->balance_loss)) return MO_OK;
    if (t->base && t->state.step == 0)
        return mo_error(
            MO_E_NONFINITE,
            "step 1: loss %g, balancing loss %g, gradient norm %g with the weights of init.from %s as "
            "they are; of a folder, moira inspect --verify says whether they are finite numbers",
            r->train_loss, r->balance_loss, r->grad_norm, t->config.init.from);
    MO_TRY(mo__trainer_save_now(t));
    return mo_error(
        MO_E_NONFINITE,
        "step %lld: loss %g, balancing loss %g, gradient norm %g; the weights of step %lld are saved. "
        "Try a lower optimizer.learning_rate or a longer schedule.warmup_steps in a new run",
        (long long)t->state.step + 1, r->train_loss, r->balance_loss, r->grad_norm, (long long)t->state.step);
}

/* Once a step, by the counts of all its microbatches. */
static void move_biases(mo__trainer *t)
{
    double rate = t->config.balance.bias_update_rate;
    for (int l = 0; l < t->routing.n_layers && rate > 0; l++)
        mo_model_move_bias(t->model, t->routing.reports[l].layer, mo__routing_sum_counts(&t->routing, l),
                           rate);
}

mo_status mo__trainer_step(mo__trainer *t, mo_step_report *r)
{
    const mo_run_config *c = &t->config;
    int64_t step = t->state.step;
    sums s = {0};
    mo__routing_sum_clear(&t->routing);
    mo__source_sum_clear(&t->sources);
    mo__spike_begin(&t->spike, &t->state, c->log.spike);
    MO_TRY(accumulate(t, &s));
    mo__routing_sum_report(&t->routing, t->train);
    mo__source_sum_report(&t->sources, t->loader, step + 1, c->train.sequence_length);
    double begin = mo__profile_clock(&t->profile);
    mo_slabs slabs = mo_model_slabs(t->model);
    r->grad_norm = mo__unsigned_nan(mo_grad_norm(&slabs));
    report_losses(t, &s, r);
    r->learning_rate =
        mo_schedule_rate(&c->schedule, c->optimizer.learning_rate, step, mo__run_projected(c, &t->state));
    MO_TRY(check_finite(t, r));
    mo_adamw_step(&slabs, &c->optimizer, r->learning_rate, r->grad_norm, step);
    move_biases(t);
    mo__profile_add(&t->profile, MO__PROFILE_OPTIMIZER, begin);
    if (s.predicted > 0) mo__spike_remember(&t->state, r->train_loss);
    t->state.step = step + 1;
    t->state.tokens += s.predicted;
    t->span_tokens += s.valid;
    return MO_OK;
}
