/* config.h -- run configs: YAML, overrides, defaults, help and the resolved dump, all from one schema table.
 *
 * A file is a mapping of sections (run, data, init, model, balance, lora, train, optimizer, schedule, eval,
 * checkpoint, sample, log) to mappings of keys, and of the key freeze to a list. `extends: other.yaml` (a
 * path relative to the file) is read first and then built upon. Errors are MO_E_CONFIG and name file, line,
 * key and the nearest valid key; a newer version is MO_E_VERSION.
 *
 *     mo_run_config c; MO_TRY(mo_config_load("configs/demo.yaml", overrides, n, &c)); ... mo_config_free(&c);
 */
#ifndef MOIRA_CONFIG_H
#define MOIRA_CONFIG_H

#include "moira/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `version: 1` at the top of a file says for which version of these keys it was written, and may be left out;
 * the resolved dump has it. A program reads configs of its own version and older ones. The version rises when
 * a key changes its meaning, not when one is added. */
#define MO_CONFIG_VERSION 1

/* overrides: "section.key=value" each. Checks types and ranges of every key, then mo_model_config_check.
 * A vocab_size of 0 is left 0 (the data decides). Where init.from names a base, what the file and the
 * overrides leave out of model and balance is the base's; MO_E_MISMATCH names settings that its weights do
 * not fit. On failure nothing is left to free. */
mo_status mo_config_load(const char *path, const char *const *overrides, int n_overrides, mo_run_config *out);
/* From text (a checkpoint's config); `origin` names it in messages. A text with keys of run, model and
 * balance alone is of a model that no run made (mo_config_dump_model): it needs no others, and has
 * train.batch_size 1 and train.sequence_length as long as the model takes, at most 2048. */
mo_status mo_config_parse(const char *text, const char *origin, mo_run_config *out);
void mo_config_free(mo_run_config *config);
/* Resolved YAML text: every key, in schema order, that parses back to the same config to the last bit. Owned.
 */
mo_status mo_config_dump(const mo_run_config *config, char **out);
/* The same of a model that no run made: its name, and the sections model and balance. Owned. */
mo_status mo_config_dump_model(const char *name, const mo_model_config *model,
                               const mo_balance_config *balance, char **out);
/* What --resume may change: where run, data and base lie (run.dir, data.path, data.mixture[].path,
 * init.from; mo_train compares the hashes of data and base), run.threads, train.steps, train.tokens,
 * train.seconds, eval.*, checkpoint.*, sample.*, log.*. Any other difference is MO_E_MISMATCH with a message
 * that names every differing key and both values.
 */
mo_status mo_config_check_resume(const mo_run_config *saved, const mo_run_config *wanted);
/* The help page: every key with type, default, range and one sentence; or one section or key. Owned. */
mo_status mo_config_help(const char *topic, char **out);

#ifdef __cplusplus
}
#endif
#endif
