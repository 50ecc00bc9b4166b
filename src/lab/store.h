/* store.h -- results.db: what an experiment asks, its variants, its trials and their evaluations, in SQLite.
 *
 *     status = mo__store_open(spec, &store);
 *     if (status == MO_E_NOT_FOUND) {                                  variants: mo_lab_variants(spec, ...)
 *         MO_TRY(mo__store_create(spec, variants, n, machine));
 *         MO_TRY(mo__store_open(spec, &store));
 *     }
 *     MO_TRY(mo__store_read(store, &now));                             what is there, with the variants
 *     MO_TRY(mo__store_plan(store, trials, n));                        what is to be done
 *     MO_TRY(mo__store_record(store, &trial));                         a trial has begun, ended, failed
 *     mo__store_close(store);
 *
 * Each call is one transaction: it is done as a whole or, by a kill or a full disk, not at all. Several
 * processes may write to one file; one waits for another, at most a minute (MO_E_IO).
 *
 * The file (application_id 0x4d4f4952, "MOIR"; user_version MO__STORE_VERSION):
 *     experiment   one row: name, kind (sweep, compare), its file's path and text, what it asks, machine,
 *                  created
 *     seeds        place, seed
 *     variants     id from 0, name, config, match and what came of it, steps, counts
 *     settings     variant, list (set, chosen), place, key, value
 *     trials       id, name, variant, stage, seed, tuned, rung, target_step, and what came of it
 *     evaluations  trial, step, tokens, flops, seconds, train_loss, validation_loss
 * Numbers that are NaN are NULL. Times are in seconds since 1970. A trial's run folder is trials/<name>
 * beside the file, wherever that is moved. */
#ifndef MOIRA_LAB_STORE_H
#define MOIRA_LAB_STORE_H

#include "moira/lab.h"

#define MO__STORE_APPLICATION 0x4d4f4952
/* It rises when a program that knows only older ones would misread a file. */
#define MO__STORE_VERSION 1

typedef struct mo__store mo__store;

/* Makes spec->dir, and results.db in it, whole. MO_E_EXISTS if it is there. Whoever calls this holds the
 * experiment's folder. */
mo_status mo__store_create(const mo_lab_spec *spec, const mo_lab_variant *variants, int count,
                           const char *machine);
/* For work. MO_E_NOT_FOUND; MO_E_MISMATCH says what differs from what the file was made for (seeds that have
 * been added are taken over, and so are the file's text and the paths of configs); MO_E_FORMAT, MO_E_VERSION,
 * MO_E_CORRUPT. */
mo_status mo__store_open(const mo_lab_spec *spec, mo__store **out);
void mo__store_close(mo__store *store); /* NULL is no store */

/* Trials by name. New ones are added, waiting; of those that are there rung and target_step are set, and
 * where target_step grew, and the trial had not failed, it waits again. Taken from the trials: name, variant,
 * stage, seed, tuned, rung, target_step. */
mo_status mo__store_plan(mo__store *store, const mo_lab_trial *trials, int count);
/* What became of the trial with this id: all but what mo__store_plan sets. Its evaluations are added to those
 * that are there. A trial that has got to this target_step, or was given a further one, is left as it is. */
mo_status mo__store_record(mo__store *store, const mo_lab_trial *trial);
/* Failed trials wait again; *count of them. */
mo_status mo__store_retry(mo__store *store, int *count);
/* Everything, as of one instant. */
mo_status mo__store_read(mo__store *store, mo_lab_results *out);

#endif
