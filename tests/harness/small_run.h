/* small_run.h -- whole runs of a small model, in a folder that goes away: what tests of training share.
 *
 * A run of 12 steps of 480 tokens, noisy_topk with every balancing loss but mixtral, evaluations every 5
 * steps, checkpoints every 2. Its functions fail the test where something goes wrong. */
#ifndef MOIRA_TESTS_SMALL_RUN_H
#define MOIRA_TESTS_SMALL_RUN_H

#include "harness/harness.h"

#include "moira/moira.h"

extern char *run_folder; /* holds config.yaml, data.h5 and the runs */

/* For cmocka_run_group_tests. */
int run_setup(void **state);
int run_teardown(void **state);
char *run_path(const char *name); /* in run_folder; owned */
void run_make_data(const char *path, uint64_t seed);

/* Trains with the config and `n` settings; options gives resume, stop, events and the like. last may be NULL.
 */
mo_status run_train(const char *const *settings, int n, mo_train_options options, mo_step_report *last);
/* Trains in <run_folder>/<name> with one more setting, or NULL; returns the run's folder, owned. */
char *run_named(const char *name, const char *setting);

/* A process of its own trains with the settings, and is killed after so many seconds, or as soon as the
 * file `until` is there, if it is not NULL; false: it had ended.
 * The program's main must begin with run_as_child, which gives its exit status, or -1 where it is no such
 * process. */
bool run_killed(const char *const *settings, int n, double seconds, const char *until);
int run_as_child(int argc, char **argv);

/* The newest checkpoints are of the same step and have the same values and moments to the bit. */
void assert_same_weights(const char *dir_a, const char *dir_b);
/* metrics.jsonl as text without what hangs on the clock. Owned, by malloc. */
char *timeless_metrics(const char *dir);
/* The TensorBoard events, record by record, without the clock and without the config's text. Owned, by
 * malloc. */
char *timeless_events(const char *dir);
char *run_routing(const char *dir); /* routing.jsonl, "" if there is none; owned */
/* All of these. */
void assert_same_run(const char *dir_a, const char *dir_b);
double run_best_loss(const char *dir); /* of best.h5 */
void nap(double seconds);

#endif
