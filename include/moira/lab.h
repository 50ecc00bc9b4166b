/* lab.h -- experiments: many runs that answer one question, their results in one file, and reports.
 *
 *     SWEEP.yaml, COMPARE.yaml --> spec --> variants --> plan --> trials --> run folders --> results.db
 *                                                         ^                                   |
 *                                                         +-- next rung, tuned value ---------+--> report
 *
 * A *variant* is a model to be tried: a config and settings upon it. A *trial* is one run of it: a variant, a
 * seed, and the stage of the experiment that it is for. A trial is an ordinary run in an ordinary run folder:
 * nothing about it but its settings knows of the experiment.
 *
 * An experiment's folder is `dir` of its file, or experiments/NAME:
 *     results.db       SQLite: what was asked, variants, trials, evaluations
 *     trials/NAME/     run folders; log.txt in them is what the program said
 *     report.html      and its data as CSV in the folder report
 * A trial's rows are written in one transaction when it has got to where it had to be.
 *
 * The plan is a function of the file and of the results alone, never of time or of the order in which trials
 * end.
 *
 * Nothing here prints. Programs are started by spawn and exec: trials, and gnuplot for plots. */
#ifndef MOIRA_LAB_H
#define MOIRA_LAB_H

#include "moira/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what is asked ---- */

/* model.router=topk, as on the command line of `moira train`. */
typedef struct mo_lab_setting {
    char *key, *value;
} mo_lab_setting;
typedef struct mo_lab_settings {
    mo_lab_setting *at;
    int count;
} mo_lab_settings;

/* A hyperparameter of a sweep. */
typedef struct mo_lab_parameter {
    char *key;
    char **values; /* [count] of a list, or of a range with steps; in the order of the file */
    int count;     /* 0: any number of an interval, for strategies that draw */
    double from, to;
    bool logarithmic, whole;
    /* The parameter is there only in variants in which `when.key` has one of these values. */
    struct {
        char *key; /* NULL: always */
        char **values;
        int count;
    } when;
} mo_lab_parameter;

typedef enum mo_lab_strategy { MO_LAB_GRID, MO_LAB_RANDOM, MO_LAB_HALVING } mo_lab_strategy;

/* What a variant is made equal in, to another one, by its intermediate_size. */
typedef enum mo_lab_match {
    MO_MATCH_NONE,
    MO_MATCH_ACTIVE_PARAMS, /* mo_model_count.active */
    MO_MATCH_TOTAL_PARAMS,  /* mo_model_count.total */
    MO_MATCH_FLOPS,         /* mo_model_count.flops_per_token */
    MO_MATCH_WALL_CLOCK     /* seconds of a step, measured */
} mo_lab_match;

/* A variant as a file of a comparison names it. */
typedef struct mo_lab_entry {
    char *name;
    char *config; /* owned; the spec's base if the file says nothing */
    mo_lab_settings settings;
    mo_lab_match match;
    char *to; /* the variant it is matched to; NULL without match */
} mo_lab_entry;

typedef struct mo_lab_spec {
    char *path, *text; /* the file, and all of it */
    char *asked;       /* what decides which trials there are and what comes of them: of the file, and of the
                          configs that it names with all they resolve to, "key: value" lines; without `seeds`,
                          which may grow at their end, and without run.* */
    bool compare;      /* else a sweep */
    char *name, *dir, *base;
    mo_lab_settings set; /* of every variant, after its config and before its own */
    uint64_t *seeds;
    int n_seeds;
    struct { /* of a trial; all 0: what the configs say */
        int64_t steps, tokens;
        double flops; /* training FLOPs: whole steps, rounded to nearest, at least one */
    } budget;
    /* sweep */
    mo_lab_parameter *parameters;
    int n_parameters;
    mo_lab_strategy strategy;
    int64_t draws; /* random, halving: variants to be drawn */
    uint64_t draw_seed;
    int64_t first_steps; /* halving: of the first rung */
    double factor;       /* halving: 1/factor of a rung's variants go on, with factor times the steps */
    mo_lab_match match;  /* of every variant, to the base config */
    char **rules; /* "model.num_experts_per_tok < model.num_local_experts": variants must hold all of them */
    int n_rules;
    /* comparison */
    mo_lab_entry *entries;
    int n_entries;
    char *reference; /* name of the variant that the others are compared to: a dense one, if the file says
                        nothing */
    struct {
        char *key; /* NULL: nothing is tuned */
        char **values;
        int count;
        int64_t steps; /* of a tuning trial; 0: the budget's */
    } tune;            /* for each variant alike, on the first seed; the best value is taken for all seeds */
    int64_t
        timing_steps; /* steps, alone on the machine with all cores, that tell a variant's speed; 0: none */
} mo_lab_spec;

/* MO_E_CONFIG names file, line, key, and what would be right: unknown keys, parameters that are no config's
 * key, values that no run would take. Relative paths of configs count from the file's folder; data's from the
 * working folder, as in every config. Nothing is left to free on failure. */
mo_status mo_lab_spec_load(const char *path, mo_lab_spec *out);
void mo_lab_spec_free(mo_lab_spec *spec);
/* MO_E_MISMATCH that names what was asked otherwise `before`, by lines of `asked`. */
mo_status mo_lab_spec_compare(const char *before, const mo_lab_spec *now);
/* What such a file can have: every key with its form, default and meaning. Owned. */
mo_status mo_lab_spec_help(bool compare, char **out);

/* ---- what is tried ---- */

typedef struct mo_lab_variant {
    char *name; /* unique: of a comparison the file's; of a sweep v0001, in the order of the grid or the draws
                 */
    char *config;             /* path */
    mo_lab_settings settings; /* upon it: everything but run.* and what differs between its trials */
    mo_lab_settings chosen;   /* of them, a sweep's parameters: what tables show */
    mo_lab_match match;
    char *matched_to;
    double wanted, got;     /* of what is matched: the other's, this one's */
    int64_t steps;          /* of a whole trial */
    int64_t step_tokens;    /* positions that a step reads */
    int64_t total, active;  /* parameters */
    int64_t experts;        /* 0: dense */
    double flops_per_token; /* training */
    uint64_t memory_bytes;  /* mo_run_memory.total */
} mo_lab_variant;

typedef enum mo_lab_stage { MO_STAGE_TUNE, MO_STAGE_MAIN, MO_STAGE_TIMING } mo_lab_stage;
typedef enum mo_lab_state {
    MO_TRIAL_WAITING, /* to be started, or gone on with */
    MO_TRIAL_RUNNING,
    MO_TRIAL_DONE,  /* has got to target_step */
    MO_TRIAL_FAILED /* with a message */
} mo_lab_state;

typedef struct mo_lab_evaluation {
    int64_t step, tokens;   /* tokens: positions read so far */
    double flops, seconds;  /* so far; seconds of training, without evaluations and saving */
    double train_loss;      /* of this step */
    double validation_loss; /* nats per predicted token */
} mo_lab_evaluation;

typedef struct mo_lab_trial {
    int64_t id;
    char *name;  /* "v0001.s1", "dense.tune.3e-3": unique, and a folder's name */
    char *dir;   /* run folder */
    int variant; /* index */
    mo_lab_stage stage;
    uint64_t seed;
    char *tuned;         /* value of tune.key; NULL: none */
    int rung;            /* of halving, from 0 */
    int64_t target_step; /* where it has to get to now: the variant's steps, or a rung's */
    int64_t step;        /* where it is known to be */
    mo_lab_state state;
    char *message;                    /* why it failed; NULL */
    double started, ended;            /* seconds since 1970; NaN */
    double loss;                      /* validation loss at target_step, once done; NaN */
    double seconds;                   /* of training */
    double step_seconds;              /* median over the steps told of, the first ones left out; NaN */
    double max_vio, entropy, dropped; /* means over layers and the last tenth of the lines; NaN */
    mo_lab_evaluation *evaluations;   /* by step */
    int n_evaluations;
} mo_lab_trial;

/* All of an experiment, in memory. */
typedef struct mo_lab_results {
    char *path;        /* of results.db; NULL: none yet */
    char *name, *text; /* the experiment's file as it was */
    char *machine;     /* "2 cores, AMD EPYC 9B14, OpenBLAS 0.3.21 Haswell" */
    double created;    /* seconds since 1970 */
    bool compare;
    mo_lab_strategy strategy; /* of a sweep */
    char *reference;          /* of a comparison: the name of the variant that the others are held against */
    char *tune_key;           /* of a comparison: what was tuned; NULL: nothing */
    mo_lab_variant *variants;
    int n_variants;
    mo_lab_trial *trials; /* by id */
    int n_trials;
} mo_lab_results;

/* Reads a results file, or that of an experiment's folder. MO_E_NOT_FOUND, MO_E_FORMAT, MO_E_VERSION,
 * MO_E_CORRUPT. */
mo_status mo_lab_results_read(const char *path, mo_lab_results *out);
void mo_lab_results_free(mo_lab_results *results);
/* trials.csv, evaluations.csv, variants.csv into a folder, which is made. */
mo_status mo_lab_results_csv(const mo_lab_results *results, const char *folder);

/* ---- doing it ---- */

/* Every combination or drawing of a spec, with its counts, matched: no file is written, no trial started.
 * Checks what all variants must share (MO_E_MISMATCH: data, tokenizer). More than `most` variants is
 * MO_E_RANGE. */
typedef double mo_lab_time_fn(const char *config, const mo_lab_settings *settings,
                              void *user); /* NaN: failed */
typedef struct mo_lab_variants_options {
    int64_t most;         /* 0: no limit */
    mo_lab_time_fn *time; /* for wall_clock; NULL: that is MO_E_UNSUPPORTED */
    void *user;
} mo_lab_variants_options;
mo_status mo_lab_variants(const mo_lab_spec *spec, const mo_lab_variants_options *options,
                          mo_lab_variant **out, int *count);
void mo_lab_variants_free(mo_lab_variant *variants, int count);

/* A trial that runs now. */
typedef struct mo_lab_live {
    int trial;         /* index in results */
    bool another;      /* started by another process, and waited for */
    double since;      /* seconds that it has been watched here */
    int64_t from;      /* the step that it was at then */
    int64_t step;      /* by its metrics */
    double train_loss; /* of that step; NaN: not known */
} mo_lab_live;
typedef struct mo_lab_progress {
    const mo_lab_results *results; /* trials that run are MO_TRIAL_RUNNING */
    const mo_lab_live *live;
    int n_live;
    bool stopping; /* trials have been told to save and end */
} mo_lab_progress;

typedef struct mo_lab_run_options {
    const mo_lab_spec *spec;
    const char *program; /* that has the command `train` */
    int jobs;            /* trials at a time; the cores are shared out between them */
    bool retry;          /* failed trials once more */
    int64_t most;        /* variants allowed; 0: any number */
    const volatile sig_atomic_t *stop;
    /* Every half second, and at each change, once there are results; all is borrowed for the call. */
    void (*progress)(const mo_lab_progress *progress, void *user);
    void *user;
} mo_lab_run_options;

/* Does what is not done yet, stage by stage. A trial that was begun is gone on with; one that another process
 * still runs is waited for. MO_E_INTERRUPTED: all trials were told to save and have ended. Trials that failed
 * make no failure here: they are in the results. MO_E_EXISTS: another process works on this experiment;
 * MO_E_MISMATCH: the folder is of another file. */
mo_status mo_lab_run(const mo_lab_run_options *options);
/* The commands of the trials that are due now, one word list each, for other programs to run; makes or
 * updates results.db. `emit` gets words[count]. Collects first what such programs left behind. */
mo_status mo_lab_list(const mo_lab_run_options *options,
                      mo_status (*emit)(const mo_lab_trial *trial, const char *const *words, int count,
                                        void *user),
                      void *user);
/* Reads the run folders of all trials that are not done and records what they got to. */
mo_status mo_lab_collect(const mo_lab_run_options *options);

/* ---- what comes of it ---- */

typedef struct mo_estimate {
    double mean, deviation; /* sample standard deviation, n - 1; NaN for one value */
    double low, high;       /* 95% confidence interval of the mean, Student's t; NaN for one value */
    int count;
} mo_estimate;
/* Values that are NaN are left out; of none, all is NaN. */
mo_estimate mo_estimate_of(const double *values, int count);
/* Of a[i] - b[i], where both are numbers. */
mo_estimate mo_estimate_paired(const double *a, const double *b, int count);
/* Quantile of Student's t, p in (0, 1), degrees > 0. */
double mo_student_quantile(double p, double degrees);

typedef enum mo_verdict {
    /* Fewer than two seeds; or a seed of one of the two is not done, or failed: what is left may be the lucky
     * ones; or seconds without timing; or what looks worse was read before the end of its schedule, with a
     * learning rate that had not come down. */
    MO_VERDICT_UNKNOWN,
    MO_VERDICT_NOISE, /* the interval holds 0 */
    MO_VERDICT_BETTER,
    MO_VERDICT_WORSE
} mo_verdict;

/* A variant against another one, seed by seed.
 *
 * "At equal X": both curves of validation loss at the largest X that both got to, straight lines between
 * evaluations. A run *has* a loss from the first point on after which it stays at or below it, so that one
 * lucky evaluation does not count. Speed-up: what the reference spent in all / what the variant had spent
 * when it had the reference's final loss; if it never has it: what the reference had spent when it had the
 * variant's final loss / what the variant spent in all, which is below 1 in tokens. So every pair of runs has
 * a speed-up, and exchanging the two inverts it. Over seeds speed-ups are averaged as ratios are: mean is the
 * geometric mean, low and high are of the mean logarithm, deviation is that of the logarithms.
 *
 * A curve that is read before its end is at a disadvantage there, so for runs of different lengths what tells
 * is `final`, with what each spent in all.
 *
 * Seconds are steps * seconds of a step in the timing trials, seed i by the i-th round of timing (rounds are
 * taken in turns), so that the interval has the clock's noise in it; without timing as trained. */
typedef enum mo_axis { MO_AXIS_TOKENS, MO_AXIS_FLOPS, MO_AXIS_SECONDS, MO_AXES } mo_axis;
typedef struct mo_contrast {
    int variant, reference; /* indices of results' variants */
    struct {
        double at;              /* X of the difference, mean over seeds; NaN */
        mo_estimate difference; /* variant's loss - reference's, nats; negative: better */
        mo_verdict verdict;
        int early; /* which of the two was read more than 1% before its end; -1: none */
        mo_estimate speedup;
        int reached;       /* seeds in which the variant had the reference's final loss */
        mo_estimate spent; /* in all: the reference's / the variant's, averaged as speed-ups; above 1: the
                              variant spent less */
    } axis[MO_AXES];
    /* Losses at the end, each of its own schedule, whatever it had spent there: what compares where one was
     * planned shorter than the other. */
    struct {
        mo_estimate difference; /* variant's - reference's, nats; negative: lower */
        mo_verdict verdict;     /* better: the variant's is lower */
    } final;
} mo_contrast;

typedef struct mo_variant_answer {
    int variant;
    int seeds;                /* trials of the main stage: all, */
    int done, failed;         /* those that got to the end of their rung, those that failed */
    int rung;                 /* of halving: the highest that all seeds ended; 0 without, -1 none yet */
    char *tuned;              /* the value that was taken; NULL */
    bool tuned_at_edge;       /* it is the smallest or the largest that was tried */
    mo_estimate loss;         /* validation loss over seeds, at the end of that rung */
    mo_estimate seconds;      /* of a whole trial: steps * step_seconds of timing; without it, as trained */
    double tokens_per_second; /* of timing, else as trained */
    mo_estimate max_vio, entropy, dropped;
    bool
        pareto; /* of those of the highest rung none is at least as good in loss and seconds and better in one
                 */
    bool near_best; /* sweep: its loss cannot be told from the best one's (mo_answer.least_difference) */
} mo_variant_answer;

/* What a hyperparameter does, the others being equal: an additive model of all of them over the variants'
 * means, least squares, of the variants that have it. Drawn numbers are put into up to four ranges of three
 * variants or more. */
typedef struct mo_effect_level {
    char *value;      /* "sigmoid", "0.001 to 0.0024" */
    mo_estimate loss; /* of the `count` variants with it: mean and interval were all variants to have it, by
                         the model (NaN where no variants tell it); deviation as it was */
} mo_effect_level;
typedef struct mo_effect {
    char *key;
    mo_effect_level *levels; /* in the order of numbers, else of variants */
    int n_levels;
    int degrees;   /* of freedom that the model leaves */
    double share;  /* of the variance of the variants' means: what the model explains less without it, less
                      what chance would explain; from 0 to 1. NaN: not known, with fewer than three degrees of
                      freedom left, fewer than two variants with a value, or values that were tried only with
                      others of another parameter */
    double chance; /* that it would be as large by chance, were it none (F test); NaN with share */
} mo_effect;

typedef struct mo_answer {
    char *sentence; /* the answer, plainly, with its uncertainty; two where there is more to say. Of a
                       comparison: the first variant with experts against the reference */
    /* Of a comparison, a line each, which begins with a variant's name: each further variant against the
     * reference; then the sentence's variant against each other dense one. Only what has all its seeds, or
     * lacks them for good. */
    char **findings;
    int n_findings;
    char **notes; /* sentences on what it rests on and what limits it */
    int n_notes;
    int n_warnings; /* so many of the notes, the first, are of something in these data; the others are of how
                       it is done */
    bool timed;     /* seconds are of timing trials, one at a time */
    bool steady;    /* and rounds of one variant, and of models that are the same, differ by a fifth at most:
                       else the machine was not left alone, and there is no verdict at equal seconds */
    mo_variant_answer *variants; /* in the order of results */
    int n_variants;
    int *ranking; /* [n_variants] indices: those with all seeds done first, highest rung first, best mean loss
                     first; those without a loss last */
    /* Of a comparison: each variant against the reference; then each with experts against each other dense
     * one.
     */
    mo_contrast *contrasts;
    int n_contrasts;
    /* Of a sweep. Losses at the last step that all variants have been to. */
    mo_effect *effects; /* largest share first */
    int n_effects;
    int64_t effects_step; /* that step */
    /* Noise of a seed: the deviation that is left of the better half's losses when each variant's mean and
     * each seed's are taken off (two-way analysis of variance), where the highest rung ends that two of them
     * have ended. NaN with one seed. */
    double noise;
    /* Means of two variants that are farther apart differ, at 95%, also after choosing the best of all
     * (Bonferroni over its comparisons with the others); NaN with one seed. */
    double least_difference;
    int64_t compared_step; /* where these two were found; 0: at the end of all trials */
} mo_answer;
mo_status mo_answer_of(const mo_lab_results *results, mo_answer *out);
void mo_answer_free(mo_answer *answer);

/* ---- reports ---- */

typedef struct mo_report_options {
    const char *path;   /* run folder, experiment's folder, results.db */
    const char *output; /* HTML file; NULL: report.html in that folder. CSVs are in a folder beside it, named
                           without .html */
} mo_report_options;
typedef struct mo_report_made {
    char *html, *data; /* paths, owned */
    int plots;
    bool without_plots; /* gnuplot could not be run: the report has tables alone */
} mo_report_made;
/* Works for runs and experiments that are still going or were killed. Files are replaced whole. */
mo_status mo_report_write(const mo_report_options *options, mo_report_made *out);
void mo_report_made_free(mo_report_made *made);

#ifdef __cplusplus
}
#endif
#endif
