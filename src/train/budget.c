/* budget.c -- how long a run goes on: train.steps, train.tokens, train.seconds, whichever is spent first, and
 * eval.patience.
 *
 * A step reads a fixed number of tokens, so a budget of tokens is a number of steps, known before the run.
 * Seconds are not: the schedule then takes for the number of all steps the one that the rate so far comes to,
 * which makes step / steps the largest share of any budget that is spent. */
#include <math.h>

#include "train/train_internal.h"

int64_t mo_run_step_tokens(const mo_run_config *config)
{
    int64_t tokens;
    if (__builtin_mul_overflow(config->train.batch_size, config->train.sequence_length, &tokens) ||
        __builtin_mul_overflow(tokens, config->train.gradient_accumulation_steps, &tokens))
        return INT64_MAX;
    return tokens;
}

static int64_t steps_of_tokens(const mo_run_config *config)
{
    int64_t tokens = config->train.tokens, step = mo_run_step_tokens(config);
    return tokens / step + (tokens % step > 0);
}

int64_t mo_run_steps(const mo_run_config *config)
{
    int64_t steps = config->train.steps, by_tokens = steps_of_tokens(config);
    return steps > 0 && (by_tokens == 0 || steps < by_tokens) ? steps : by_tokens;
}

int64_t mo__run_projected(const mo_run_config *config, const mo_checkpoint_state *state)
{
    int64_t steps = mo_run_steps(config);
    if (steps == 0) steps = INT64_MAX;
    if (config->train.seconds <= 0 || state->seconds <= 0) return steps;
    double by_time = ceil((double)state->step * (config->train.seconds / state->seconds));
    return by_time < (double)steps ? (int64_t)by_time : steps;
}

/* Small gains add up: patience_loss stays until they come to min_delta. */
void mo__run_evaluated(const mo_run_config *config, double loss, mo_checkpoint_state *state)
{
    bool better = !(loss > state->patience_loss - config->eval.min_delta) && !(loss >= state->patience_loss);
    state->stale_evaluations = better ? 0 : state->stale_evaluations + 1;
    if (better) state->patience_loss = loss;
}

mo_run_end mo__run_end(const mo_run_config *config, const mo_checkpoint_state *state)
{
    if (config->train.steps > 0 && state->step >= config->train.steps) return MO_RUN_STEPS;
    if (config->train.tokens > 0 && state->step >= steps_of_tokens(config)) return MO_RUN_TOKENS;
    if (config->train.seconds > 0 && state->seconds >= config->train.seconds) return MO_RUN_SECONDS;
    if (config->eval.patience > 0 && state->stale_evaluations >= config->eval.patience)
        return MO_RUN_PATIENCE;
    return MO_RUN_GOES_ON;
}

/* Seconds are not looked at: a run cannot be held to fewer than its last step took, and ends at once. */
mo_status mo__run_extends(const mo_run_config *config, const mo_checkpoint_state *state)
{
    int64_t steps = mo_run_steps(config);
    if (steps == 0 || state->step <= steps) return MO_OK;
    if (steps == config->train.steps)
        return mo_error(MO_E_MISMATCH,
                        "train.steps %lld: the run has done %lld steps already; steps can only be added",
                        (long long)steps, (long long)state->step);
    return mo_error(MO_E_MISMATCH,
                    "train.tokens %lld are %lld steps of %lld tokens: the run has done %lld steps already; "
                    "tokens can only be added",
                    (long long)config->train.tokens, (long long)steps, (long long)mo_run_step_tokens(config),
                    (long long)state->step);
}
