/* validate.c -- the validation loss of a run: of a mixture, each source's and their mean by weight. */
#include <math.h>

#include "train/base_choices.h"
#include "train/routing_log.h"

const char *mo__cannot_validate(const mo_run_source *source, int64_t sequence_length)
{
    const mo_tokens *tokens = &source->file->split[MO_SPLIT_VALIDATION];
    if (tokens->count < (tokens->whole ? 1 : sequence_length)) return "is shorter than one sequence";
    return tokens->predictable > 0 ? NULL : "has nothing to predict in any sequence";
}

/*   loss = sum_i s_i l_i / sum_i s_i     bits per byte = sum_i s_i l_i / (ln 2 sum_i s_i b_i)
 * over the sources that have a validation split, with shares s, losses l and bytes for each token b. */
mo_status mo__validate(mo_model_graph *t, const mo_run_data *data, const mo_run_config *c,
                       const volatile sig_atomic_t *stop, mo__source_sum *sum, mo__routing_log *routing,
                       mo__base_choices *base, mo_step_report *r)
{
    double shares = 0, loss = 0, bytes = 0, single_loss = 0, single_bits = 0;
    mo__routing_count *count = mo__routing_log_begin(routing);
    if (base) mo__base_choices_begin(base);
    for (int i = 0; i < data->count; i++) {
        const mo_run_source *source = &data->sources[i];
        if (mo__cannot_validate(source, c->train.sequence_length)) continue;
        mo_eval_options options = {.file = source->file,
                                   .split = MO_SPLIT_VALIDATION,
                                   .sequence_length = c->train.sequence_length,
                                   .batch_size = c->train.batch_size,
                                   .batches = c->eval.batches,
                                   .stop = stop};
        mo_eval_result result;
        mo__eval_watch watch = {count, count ? routing->first_domain[i] : 0, base};
        if (base) mo__base_choices_source(base, i);
        MO_TRY(mo__evaluate_graph(t, &options, &watch, &result));
        shares += source->share;
        loss += source->share * result.loss;
        bytes += source->share * (double)result.bytes / (double)result.tokens;
        if (i < sum->count) sum->reports[i].validation_loss = result.loss;
        single_loss = result.loss;
        single_bits = result.bits_per_byte;
        mo_eval_result_free(&result);
    }
    MO_TRY(mo__routing_log_finish(routing, t));
    if (base && base->recorded && base->n_layers > 0) {
        mo__base_choices_finish(base);
        r->drift = base->drift;
        r->mean_drift = base->mean;
    }
    r->mutual_information = count && count->out.n_domains > 0 ? routing->mutual_information : NULL;
    r->evaluated = true;
    r->validation_loss = data->count == 1 ? single_loss : loss / shares;
    r->bits_per_byte = data->count == 1 ? single_bits : bytes > 0 ? loss / (bytes * log(2)) : (double)NAN;
    return MO_OK;
}
