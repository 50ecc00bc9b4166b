/* answer.h -- what the parts of mo_answer_of share.
 *
 *     answer_table.c    trials by variant and seed, and the seconds of a step
 *     answer.c          variants, ranking, Pareto front
 *     answer_noise.c    which variants of a sweep cannot be told from the best
 *     answer_effects.c  what each hyperparameter of a sweep does
 *     answer_compare.c  contrasts
 *     answer_findings.c, answer_sweep_words.c   sentences
 *     answer_words.c    notes */
#ifndef MOIRA_LAB_ANSWER_H
#define MOIRA_LAB_ANSWER_H

#include "config/buffer.h"
#include "lab/halving.h"
#include "lab/statistics.h"
#include "moira/lab.h"

typedef struct mo__table {
    const mo_lab_results *results;
    uint64_t *seed; /* [n_seeds] of main trials, in the order of the trials */
    int n_seeds;
    const mo_lab_trial **main; /* [variant * n_seeds + seed]; NULL: there is none */
    double *clock; /* [variant * n_seeds + seed] seconds of a step by the round of timing that goes with the
                      seed; NaN without `timed` */
    int rounds;    /* of timing: the fewest that a variant has; 0: not timed */
    bool timed;    /* each variant of which a seed is done has a round */
    double
        spread; /* of rounds of one variant, or of models that are the same: slowest / fastest - 1, largest */
    bool steady; /* timed, and that is at most a fifth: the machine was left alone, as far as one can tell */
    int64_t rung_step[MO__MOST_RUNGS]; /* where a rung ends; 0: not known */
} mo__table;

mo_status mo__table_make(const mo_lab_results *results, mo__table *out);
void mo__table_free(mo__table *table);
/* The rung that a main trial has ended: of halving from 0, else 0; -1 for none. */
int mo__table_rung(const mo__table *table, int variant, int seed);
/* Validation loss at the end of a rung; NaN if it was not ended. */
double mo__table_loss(const mo__table *table, int variant, int seed, int rung);
static inline const mo_lab_trial *mo__table_trial(const mo__table *t, int variant, int seed)
{
    return t->main[variant * t->n_seeds + seed];
}

/* Of two variants that nothing tells apart: same counts, and the same losses to the bit. */
bool mo__table_alike(const mo__table *table, int a, int b);

/* All of a variant's seeds are done, none failed. */
static inline bool mo__whole(const mo_variant_answer *v)
{
    return v->seeds > 0 && v->failed == 0 && v->rung >= 0;
}

mo_status mo__answer_noise(const mo__table *table, mo_answer *answer);
mo_status mo__answer_effects(const mo__table *table, mo_answer *answer);
mo_status mo__answer_contrasts(const mo__table *table, mo_answer *answer);

/* Sentence and notes. */
mo_status mo__answer_words_compare(const mo__table *table, mo_answer *answer);
mo_status mo__answer_words_sweep(const mo__table *table, mo_answer *answer);
/* What both have to tell: trials that failed, seconds. */
mo_status mo__answer_words_common(const mo__table *table, mo_answer *answer);
/* A comparison's sentence and findings. */
mo_status mo__answer_findings(const mo__table *table, mo_answer *answer);
/* Adds a note, printed: on how it is done; or on something in these data, which stands before those. */
mo_status mo__answer_note(mo_answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
mo_status mo__answer_warn(mo_answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "12 of 40 trials are done, 1 has failed" to the sentence, if any is missing. */
void mo__answer_progress(const mo__table *table, mo__buffer *sentence);

#endif
