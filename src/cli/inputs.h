/* inputs.h -- what several commands are given: a trained model, a token file to go with it, a config whose
 * vocabulary may be in its data. */
#ifndef MOIRA_CLI_INPUTS_H
#define MOIRA_CLI_INPUTS_H

#include <moira/config.h>

/* Close with mo__trained_close; on failure nothing is left to close. */
mo_status mo__trained_load(const char *path, mo_trained *out);
/* The same with what --base and --adapter give, "" for nothing. */
mo_status mo__trained_load_upon(const char *path, const char *base, const char *adapter, mo_trained *out);
#define MO__OPTION_BASE(type)                          \
    MO__OPTION_TEXT(type, base, "base", 0, "PATH", "", \
                    "checkpoint of adapters: their base, if it is not where it was")
#define MO__OPTION_ADAPTER(type)                                 \
    MO__OPTION_TEXT(type, adapter, "adapter", 0, "A.h5|DIR", "", \
                    "what was trained upon the model: a checkpoint, or a PEFT folder")
void mo__trained_close(mo_trained *t);

/* Opens a token file for a model: MO_E_MISMATCH where both carry a tokenizer and the two differ. `checkpoint`
 * is the model's path, for the message. */
mo_status mo__tokens_for(const mo_trained *t, const char *checkpoint, const char *path, mo_tokenfile **out);

/* Whether a token file goes with a model: MO_E_MISMATCH as above. */
mo_status mo__tokens_suit(const mo_trained *t, const char *checkpoint, const mo_tokenfile *file);

/* "train" or "validation". */
mo_status mo__split_parse(const char *name, mo_split *out);
const char *mo__split_name(mo_split split);

/* Opens what a config learns from, and fills in a vocab_size of 0 from it. Where a file is not there and the
 * vocabulary is given, *data has no sources; where it is not given either, MO_E_NOT_FOUND. */
mo_status mo__config_data(mo_run_config *config, mo_run_data *data);
/* The same, if only the vocabulary and the bytes of the data in memory matter (0 if there are no files). */
mo_status mo__config_vocabulary(mo_run_config *config, uint64_t *data_bytes);

/* MO_E_MEMORY before anything is allocated, if `bytes` more than there are now would not fit. `advice` is
 * what would need less. */
mo_status mo__check_fits(uint64_t bytes, const char *advice);
/* The same for evaluating windows of sequence_length tokens, batch_size at once. */
mo_status mo__check_eval_fits(const mo_model *model, int64_t batch_size, int64_t sequence_length);

#endif
