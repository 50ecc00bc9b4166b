/* test_answer_compare.c -- one variant against another, seed by seed: against R, and against numbers by hand;
 * verdicts, speed-ups, what is said where something is missing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "lab/answer.h"

enum { STEP_TOKENS = 100, MOST = 64 };

/* ---- results by hand ---- */

static void add_variant(mo_lab_results *r, const char *name, int64_t experts, int64_t steps, double flops)
{
    r->variants = mo_realloc(r->variants, sizeof *r->variants * (size_t)(r->n_variants + 1));
    assert_non_null(r->variants);
    r->variants[r->n_variants++] = (mo_lab_variant){.name = mo_strdup(name),
                                                    .steps = steps,
                                                    .step_tokens = STEP_TOKENS,
                                                    .experts = experts,
                                                    .flops_per_token = flops};
}

static mo_lab_trial *add_trial(mo_lab_results *r, int variant, mo_lab_stage stage, uint64_t seed)
{
    r->trials = mo_realloc(r->trials, sizeof *r->trials * (size_t)(r->n_trials + 1));
    assert_non_null(r->trials);
    mo_lab_trial *t = &r->trials[r->n_trials++];
    const double nan = (double)NAN;
    *t = (mo_lab_trial){.id = r->n_trials,
                        .variant = variant,
                        .stage = stage,
                        .seed = seed,
                        .loss = nan,
                        .step_seconds = nan,
                        .max_vio = nan,
                        .entropy = nan,
                        .dropped = nan,
                        .target_step = r->variants[variant].steps};
    return t;
}

/* Done, with `n` evaluations evenly over its steps; a step took 3 s while training. */
static void run(mo_lab_results *r, int variant, uint64_t seed, int n, const double *losses)
{
    const mo_lab_variant *v = &r->variants[variant];
    mo_lab_trial *t = add_trial(r, variant, MO_STAGE_MAIN, seed);
    t->evaluations = mo_calloc((size_t)n, sizeof *t->evaluations);
    assert_non_null(t->evaluations);
    t->n_evaluations = n;
    for (int i = 0; i < n; i++) {
        int64_t step = v->steps * (i + 1) / n;
        t->evaluations[i] = (mo_lab_evaluation){.step = step,
                                                .tokens = step * STEP_TOKENS,
                                                .flops = (double)(step * STEP_TOKENS) * v->flops_per_token,
                                                .seconds = 3.0 * (double)step,
                                                .validation_loss = losses[i]};
    }
    t->state = MO_TRIAL_DONE;
    t->step = v->steps;
    t->seconds = 3.0 * (double)v->steps;
    t->loss = losses[n - 1];
}

static void time_round(mo_lab_results *r, int variant, double step_seconds)
{
    mo_lab_trial *t = add_trial(r, variant, MO_STAGE_TIMING, 1);
    t->state = MO_TRIAL_DONE;
    t->step_seconds = step_seconds;
}

/* Straight lines from 3 at step 10 of 40 to the end: seed s adds wobble[s] to the end of moe. */
static mo_lab_results lines(double moe_end, const double *wobble, int seeds)
{
    mo_lab_results r = {.compare = true, .reference = mo_strdup("dense")};
    add_variant(&r, "moe", 8, 40, 2);
    add_variant(&r, "dense", 0, 40, 1);
    for (int s = 0; s < seeds; s++) {
        double end = moe_end + wobble[s];
        run(&r, 0, 7 + (uint64_t)s, 4, (double[]){3, 3 + (end - 3) / 3, 3 + (end - 3) * 2 / 3, end});
        run(&r, 1, 7 + (uint64_t)s, 4, (double[]){3, 2.8, 2.6, 2.4});
    }
    return r;
}

static mo_answer answer(const mo_lab_results *r)
{
    mo_answer a;
    MO_CHECK_OK(mo_answer_of(r, &a));
    return a;
}

static void done(mo_lab_results *r, mo_answer *a)
{
    mo_answer_free(a);
    mo_lab_results_free(r);
}

static void check_says(const mo_answer *a, const char *text)
{
    if (!strstr(a->sentence, text)) fail_msg("\"%s\" is not in \"%s\"", text, a->sentence);
}

/* One of the findings is this; NULL: there is none at all. */
static void check_finds(const mo_answer *a, const char *text)
{
    for (int i = 0; text && i < a->n_findings; i++)
        if (strcmp(a->findings[i], text) == 0) return;
    if (text || a->n_findings)
        fail_msg("\"%s\" is not the finding: \"%s\"", text ? text : "", a->n_findings ? a->findings[0] : "");
}

static void check_notes(const mo_answer *a, const char *text, bool wanted)
{
    bool found = false;
    for (int i = 0; i < a->n_notes; i++) found = found || strstr(a->notes[i], text);
    if (found != wanted) fail_msg("\"%s\" is %s the notes", text, found ? "in" : "not in");
}

static const double no_wobble[5] = {0}, wobble[5] = {-0.02, 0.01, 0, 0.03, -0.01};

/* ---- against R ---- */

static void check_estimate(const mo_estimate *e, const double *r)
{
    MO_CHECK_NEAR(e->mean, r[0], 1e-10);
    MO_CHECK_NEAR(e->deviation, r[1], 1e-10);
    MO_CHECK_NEAR(e->low, r[2], 1e-10);
    MO_CHECK_NEAR(e->high, r[3], 1e-10);
}

static void check_contrast(const double *in, const double *out)
{
    int seeds = (int)in[0], n = (int)in[1];
    mo_lab_results r = {.compare = true, .reference = mo_strdup("dense")};
    add_variant(&r, "moe", 8, 6, 1);
    add_variant(&r, "dense", 0, 6, 1);
    for (int s = 0; s < seeds; s++) run(&r, 0, (uint64_t)s, n, in + 2 + s * n);
    for (int s = seeds - 1; s >= 0; s--) run(&r, 1, (uint64_t)s, n, in + 2 + (seeds + s) * n);
    mo_answer a = answer(&r);
    assert_int_equal(a.n_contrasts, 1);
    for (int axis = 0; axis < MO_AXES; axis++) {
        check_estimate(&a.contrasts[0].axis[axis].difference, out + 1);
        check_estimate(&a.contrasts[0].axis[axis].speedup, out + 5);
        assert_int_equal(a.contrasts[0].axis[axis].reached, (int)out[9]);
    }
    MO_CHECK_NEAR(a.contrasts[0].axis[MO_AXIS_TOKENS].at, out[0], 1e-9);
    mo_verdict verdict = out[4] < 0 ? MO_VERDICT_BETTER : out[3] > 0 ? MO_VERDICT_WORSE : MO_VERDICT_NOISE;
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, verdict);
    done(&r, &a);
}

static void test_by_r(void **state)
{
    (void)state;
    char kind[16];
    int count, seen = 0;
    double x[MOST + 10];
    FILE *file = fopen("tests/golden/statistics.txt", "r");
    assert_non_null(file);
    while (fscanf(file, "%15s", kind) == 1) {
        if (strcmp(kind, "contrast") != 0) {
            (void)!fscanf(file, "%*[^\n]");
            continue;
        }
        assert_int_equal(fscanf(file, "%d", &count), 1);
        assert_in_range(count, 2, MOST);
        for (int i = 0; i < count + 10; i++) assert_int_equal(fscanf(file, "%lf", &x[i]), 1);
        check_contrast(x, x + count);
        seen++;
    }
    fclose(file);
    assert_int_equal(seen, 3);
}

/* ---- by hand ---- */

/* moe falls from 3 to 1.8 in 30 steps, 0.04 a step: 2.4 at step 25. dense has 2.4 at step 40. */
static void test_axes(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, no_wobble, 3);
    mo_answer a = answer(&r);
    const mo_contrast *c = a.contrasts;
    assert_int_equal(a.n_contrasts, 1);
    assert_true(c->variant == 0 && c->reference == 1);
    MO_CHECK_NEAR(c->axis[MO_AXIS_TOKENS].at, 4000, 1e-9);
    MO_CHECK_NEAR(c->axis[MO_AXIS_TOKENS].difference.mean, -0.6, 1e-12);
    MO_CHECK_NEAR(c->axis[MO_AXIS_TOKENS].speedup.mean, 1.6, 1e-12);
    /* a token of moe costs twice as much: at dense's 4000 FLOPs it is at step 20, 2.6 */
    MO_CHECK_NEAR(c->axis[MO_AXIS_FLOPS].at, 4000, 1e-9);
    MO_CHECK_NEAR(c->axis[MO_AXIS_FLOPS].difference.mean, 0.2, 1e-12);
    MO_CHECK_NEAR(c->axis[MO_AXIS_FLOPS].speedup.mean, 0.8, 1e-12);
    assert_int_equal(c->axis[MO_AXIS_FLOPS].verdict, MO_VERDICT_UNKNOWN); /* moe was read in the middle */
    assert_true(c->axis[MO_AXIS_FLOPS].early == 0 && c->axis[MO_AXIS_TOKENS].early == -1);
    assert_int_equal(c->axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_BETTER);
    assert_int_equal(c->axis[MO_AXIS_TOKENS].reached, 3);
    /* as trained, seconds are as good as steps; they bear no verdict */
    MO_CHECK_NEAR(c->axis[MO_AXIS_SECONDS].at, 120, 1e-9);
    MO_CHECK_NEAR(c->axis[MO_AXIS_SECONDS].speedup.mean, 1.6, 1e-12);
    assert_int_equal(c->axis[MO_AXIS_SECONDS].verdict, MO_VERDICT_UNKNOWN);
    assert_false(a.timed);
    check_notes(&a, "Seconds are as trained", true);
    assert_int_equal(a.n_warnings, 1); /* of these data; the others are of how it is done */
    assert_non_null(strstr(a.notes[0], "Seconds are as trained"));
    assert_true(a.n_notes > 1);
    MO_CHECK_NEAR(c->axis[MO_AXIS_TOKENS].spent.mean, 1, 1e-12);
    MO_CHECK_NEAR(c->axis[MO_AXIS_FLOPS].spent.mean, 0.5, 1e-12);
    MO_CHECK_NEAR(c->final.difference.mean, -0.6, 1e-12);
    assert_int_equal(c->final.verdict, MO_VERDICT_BETTER);
    check_finds(&a, NULL); /* who looks worse because it was read early is no finding */
    done(&r, &a);
}

/* Who was read early and is better nonetheless, is better; so it is seen from the other one. */
static void test_early(void **state)
{
    (void)state;
    mo_lab_results r = lines(0.5, wobble, 3); /* at dense's 4000 FLOPs it is at step 20, about 2.17 */
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_FLOPS].early, 0);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_FLOPS].verdict, MO_VERDICT_BETTER);
    mo_answer_free(&a);
    mo_free(r.reference);
    r.reference = mo_strdup("moe");
    a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_FLOPS].early, 0);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_FLOPS].verdict, MO_VERDICT_WORSE);
    done(&r, &a);
    r = lines(1.8, wobble, 3); /* dense looks better at equal FLOPs, held against moe read early */
    mo_free(r.reference);
    r.reference = mo_strdup("moe");
    a = answer(&r);
    assert_true(a.contrasts[0].axis[MO_AXIS_FLOPS].difference.high < 0);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_FLOPS].verdict, MO_VERDICT_UNKNOWN);
    done(&r, &a);
}

/* Trials that are alike in nothing: that of 40 steps is at 2.7 where that of 20 ends, at `end`. */
static mo_lab_results different(const double *end, int seeds)
{
    mo_lab_results r = {.compare = true};
    add_variant(&r, "moe", 8, 20, 1);
    add_variant(&r, "dense", 0, 40, 1);
    for (int s = 0; s < seeds; s++) {
        run(&r, 0, (uint64_t)s, 2, (double[]){3, end[s]});
        run(&r, 1, (uint64_t)s, 4, (double[]){3, 2.7, 2.3, 2.2});
    }
    return r;
}

/* Each at its own end: what compares, whatever the curves say halfway. */
static void test_nothing_equal(void **state)
{
    (void)state;
    mo_lab_results r = different((double[]){2.21, 2.19}, 2);
    mo_answer a = answer(&r);
    const mo_contrast *c = a.contrasts;
    assert_int_equal(c->axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_UNKNOWN); /* dense was read early */
    assert_int_equal(c->final.verdict, MO_VERDICT_NOISE);
    MO_CHECK_NEAR(c->final.difference.mean, 0, 1e-12);
    MO_CHECK_NEAR(c->final.difference.high, 0.01 * mo_student_quantile(0.975, 1), 1e-9);
    MO_CHECK_NEAR(c->axis[MO_AXIS_TOKENS].spent.mean, 2, 1e-12);
    MO_CHECK_NEAR(c->axis[MO_AXIS_SECONDS].spent.mean, 2, 1e-12);
    check_says(&a,
               "moe ends where dense ends, as far as can be told: its final loss is 0.00 nats per token ");
    check_says(&a, "(95% interval from 0.13 lower to 0.13 higher, 2 seeds), after 2.0 times fewer tokens and "
                   "FLOPs.");
    assert_null(strstr(a.sentence, "FLOPs. "));
    mo_answer_free(&a);
    add_trial(&r, 0, MO_STAGE_MAIN, 2); /* and while a seed is still to come nothing is said of it */
    a = answer(&r);
    assert_int_equal(a.contrasts[0].final.verdict, MO_VERDICT_UNKNOWN);
    assert_string_equal(a.sentence, "There is no answer yet: 4 of 5 trials are done.");
    done(&r, &a);
}

static void test_ends_lower(void **state)
{
    (void)state;
    mo_lab_results r = different((double[]){2.101, 2.099}, 2);
    for (int round = 0; round < 2; round++) {
        time_round(&r, 0, 0.4);
        time_round(&r, 1, round ? 0.4 : 0.404);
    }
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].final.verdict, MO_VERDICT_BETTER);
    check_says(&a,
               "moe ends 0.100 nats per token lower (95% interval 0.087 to 0.113, 2 seeds) than dense, after "
               "2.0 times fewer tokens and FLOPs, and 2.01 times less training time (1.89 to 2.14). It has "
               "dense's final loss after 2.12 times fewer tokens (2.10 to 2.13), ");
    mo_answer_free(&a);
    /* A token of moe costs three times as much: what it spent more is said as plainly. */
    r.variants[0].flops_per_token = 3;
    for (int i = 0; i < r.n_trials; i++)
        for (int k = 0; r.trials[i].variant == 0 && k < r.trials[i].n_evaluations; k++)
            r.trials[i].evaluations[k].flops *= 3;
    a = answer(&r);
    check_says(
        &a, "than dense, after 2.0 times fewer tokens, 1.50 times as many FLOPs and 2.01 times less training "
            "time (1.89 to 2.14).");
    done(&r, &a);
}

/* Worse already where the other is read early; better even read early: the curves tell that for certain. */
static void test_ends_and_curves(void **state)
{
    (void)state;
    mo_lab_results r = different((double[]){2.901, 2.899}, 2);
    mo_answer a = answer(&r);
    check_says(&a, "moe ends 0.700 nats per token higher (");
    check_finds(
        &a, "moe at equal tokens is worse than dense: its loss is 0.200 nats per token higher (95% interval "
            "0.187 to 0.213, 2 seeds).");
    assert_int_equal(a.n_findings, 1);
    mo_free(r.reference);
    r.reference = mo_strdup("moe");
    mo_answer_free(&a);
    a = answer(&r);
    assert_int_equal(a.contrasts[0].final.verdict, MO_VERDICT_BETTER);
    check_says(&a, "dense ends 0.700 nats per token lower (");
    check_says(&a, "after 2.0 times as many tokens and FLOPs.");
    check_finds(
        &a, "dense at equal tokens is better than moe: its loss is 0.200 nats per token lower (95% interval "
            "0.187 to 0.213, 2 seeds).");
    done(&r, &a);
}

static void test_ends_of_one_seed(void **state)
{
    (void)state;
    mo_lab_results r = different((double[]){2.1}, 1);
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].final.verdict, MO_VERDICT_UNKNOWN);
    assert_string_equal(a.sentence,
                        "moe ends 0.1000 nats per token lower than dense after 2.0 times fewer tokens and "
                        "FLOPs, but with one seed nothing tells how much of that is noise.");
    done(&r, &a);
}

/* Rounds that differ by a fifth or less bear a verdict; models that are the same are one. */
static void test_steady(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, no_wobble, 2);
    for (int round = 0; round < 2; round++) time_round(&r, 0, 0.4 + 0.03 * round), time_round(&r, 1, 0.2);
    mo_answer a = answer(&r);
    assert_true(a.steady && a.contrasts[0].axis[MO_AXIS_SECONDS].verdict != MO_VERDICT_UNKNOWN);
    check_notes(&a, "in 2 rounds", true);
    check_notes(&a, "differ by at most 7.5%", true);
    check_notes(&a, "The same model", false);
    mo_answer_free(&a);
    add_variant(&r, "again", 8, 40, 2);
    r.variants[2].flops_per_token = r.variants[0].flops_per_token;
    for (int i = 0, s = 0; s < 2; i++)
        if (r.trials[i].variant == 0 && r.trials[i].stage == MO_STAGE_MAIN) {
            mo_lab_trial *t = add_trial(&r, 2, MO_STAGE_MAIN, r.trials[i].seed);
            t->state = MO_TRIAL_DONE;
            t->loss = r.trials[i].loss;
            t->target_step = r.trials[i].target_step;
            s++;
        }
    time_round(&r, 2, 0.5), time_round(&r, 2, 0.5);
    a = answer(&r);
    assert_false(a.steady);
    check_notes(&a, "differ by 25%", true);
    check_notes(&a, "The same model with the same losses to the bit: moe and again.", true);
    done(&r, &a);
}

/* Seed i is read by the clock of round i, the fourth and fifth by those of the first two again. */
static void test_clock(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, no_wobble, 5);
    for (int round = 0; round < 3; round++) {
        time_round(&r, 0, 0.4 + 0.1 * round);
        time_round(&r, 1, 0.2 + 0.1 * round);
    }
    mo_answer a = answer(&r);
    const double ratio[] = {1.6 * 0.2 / 0.4, 1.6 * 0.3 / 0.5, 1.6 * 0.4 / 0.6};
    double product = ratio[0] * ratio[1] * ratio[2] * ratio[0] * ratio[1];
    assert_true(a.timed);
    MO_CHECK_NEAR(a.contrasts[0].axis[MO_AXIS_SECONDS].speedup.mean, pow(product, 0.2), 1e-12);
    assert_true(a.contrasts[0].axis[MO_AXIS_SECONDS].speedup.deviation >
                0.1); /* the clock's noise is in it */
    MO_CHECK_NEAR(a.contrasts[0].axis[MO_AXIS_SECONDS].at, 40 * (0.2 + 0.3 + 0.4 + 0.2 + 0.3) / 5, 1e-9);
    assert_int_equal(a.variants[0].seconds.count, 3);
    MO_CHECK_NEAR(a.variants[0].seconds.mean, 20, 1e-9);
    MO_CHECK_NEAR(a.variants[0].tokens_per_second, STEP_TOKENS / 0.5, 1e-9);
    assert_true(!a.steady && a.contrasts[0].axis[MO_AXIS_SECONDS].verdict == MO_VERDICT_UNKNOWN);
    check_notes(&a, "The machine was not left alone", true);
    check_notes(&a, "differ by 100%", true);
    assert_null(strstr(a.sentence, "training time"));
    mo_answer_free(&a);
    add_variant(&r, "bad", 0, 40, 1); /* a variant that fails throughout is not timed, and stops nobody */
    for (uint64_t s = 7; s < 12; s++) add_trial(&r, 2, MO_STAGE_MAIN, s)->state = MO_TRIAL_FAILED;
    a = answer(&r);
    assert_true(a.timed);
    mo_answer_free(&a);
    r.n_trials -= 5;
    r.trials[r.n_trials - 1].state = r.trials[r.n_trials - 3].state =
        MO_TRIAL_FAILED; /* of dense one is left */
    r.trials[r.n_trials - 5].state = MO_TRIAL_FAILED;
    a = answer(&r);
    assert_false(a.timed);
    MO_CHECK_NEAR(a.contrasts[0].axis[MO_AXIS_SECONDS].speedup.mean, 1.6, 1e-12);
    done(&r, &a);
}

/* Exchanging the two turns differences around and inverts speed-ups. */
static void test_exchanged(void **state)
{
    (void)state;
    mo_lab_results r = lines(2.395, wobble, 5);
    mo_answer a = answer(&r);
    mo_free(r.reference);
    r.reference = mo_strdup("moe");
    mo_answer b = answer(&r);
    assert_true(b.contrasts[0].variant == 1 && b.contrasts[0].reference == 0 && b.n_contrasts == 1);
    for (int axis = 0; axis < MO_AXES; axis++) {
        MO_CHECK_NEAR(a.contrasts[0].axis[axis].difference.mean, -b.contrasts[0].axis[axis].difference.mean,
                      1e-12);
        MO_CHECK_NEAR(a.contrasts[0].axis[axis].speedup.mean * b.contrasts[0].axis[axis].speedup.mean, 1,
                      1e-12);
        MO_CHECK_NEAR(a.contrasts[0].axis[axis].speedup.low * b.contrasts[0].axis[axis].speedup.high, 1,
                      1e-12);
        assert_int_equal(a.contrasts[0].axis[axis].reached, 3);
        assert_int_equal(b.contrasts[0].axis[axis].reached, 2);
    }
    mo_answer_free(&b);
    done(&r, &a);
}

/* Alike to the bit: each has what the other ends with. */
static void test_alike(void **state)
{
    (void)state;
    mo_lab_results r = lines(2.4, no_wobble, 3);
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].reached, 3);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_NOISE);
    MO_CHECK_NEAR(a.contrasts[0].axis[MO_AXIS_TOKENS].speedup.mean, 1, 1e-12);
    check_says(&a, "moe cannot be told from dense");
    done(&r, &a);
}

/* ---- what is said ---- */

static void test_better(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, wobble, 5);
    r.variants[1].match = MO_MATCH_ACTIVE_PARAMS;
    r.variants[1].matched_to = mo_strdup("moe");
    mo_answer a = answer(&r);
    check_says(
        &a, "moe is better than dense (as many active parameters): after 4.00 k tokens, with 2.0 times "
            "as many FLOPs, its validation loss is 0.598 nats per token lower (95% interval 0.574 to 0.622, "
            "5 seeds). It has dense's final loss after 1.60 times fewer tokens (1.58 to 1.62) and 1.25 times "
            "as many FLOPs (1.24 to 1.27).");
    check_notes(&a, "over 5 seeds (Student's t, 4 degrees of freedom)", true);
    check_notes(&a, "rose again", false);
    done(&r, &a);
}

static void test_worse(void **state)
{
    (void)state;
    mo_lab_results r = lines(2.7, no_wobble, 3);
    mo_answer a = answer(&r);
    check_says(&a,
               "moe is worse than dense: after 4.00 k tokens, with 2.0 times as many FLOPs, its validation "
               "loss is 0.3000 "
               "nats per token higher");
    check_says(&a, "dense has moe's final loss after 1.60 times fewer tokens (1.60 to 1.60)");
    check_finds(&a, NULL); /* nothing else comes of FLOPs */
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].reached, 0);
    done(&r, &a);
}

static void test_noise(void **state)
{
    (void)state;
    mo_lab_results r = lines(2.4, wobble, 5);
    for (int i = 0; i < 2; i++)
        r.variants[i].flops_per_token = 1; /* nothing but the noise tells them apart */
    for (int i = 0; i < r.n_trials; i++)
        for (int k = 0; k < 4; k++)
            r.trials[i].evaluations[k].flops = (double)r.trials[i].evaluations[k].tokens;
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_NOISE);
    assert_string_equal(a.sentence,
                        "moe cannot be told from dense: after 4.00 k tokens its validation loss is "
                        "0.002 nats per token higher (95% interval from 0.022 lower to 0.026 higher, "
                        "5 seeds).");
    done(&r, &a);
}

/* Better on the mean, and by its interval, though one seed did not get there: no speed-up is claimed. */
static void test_some_seeds(void **state)
{
    (void)state;
    const double one[5] = {-0.03, -0.05, -0.04, 0.001, -0.06};
    mo_lab_results r = lines(2.4, one, 5);
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_BETTER);
    check_says(&a, "It comes to dense's final loss in 4 of 5 seeds.");
    assert_null(strstr(a.sentence, "times fewer tokens"));
    done(&r, &a);
}

static void test_one_seed(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, no_wobble, 1);
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_UNKNOWN);
    MO_CHECK_NEAR(a.contrasts[0].axis[MO_AXIS_TOKENS].difference.mean, -0.6, 1e-12);
    assert_true(isnan(a.contrasts[0].axis[MO_AXIS_TOKENS].difference.low));
    check_says(&a, "moe's validation loss after 4.00 k tokens is 0.6000 nats per token lower than dense's, "
                   "but with one seed "
                   "nothing tells how much of that is noise.");
    assert_null(strstr(a.sentence, "interval"));
    check_notes(&a, "Student's t", false);
    done(&r, &a);
}

/* A seed that failed may be the one that tells: the others are shown, and bear no verdict. */
static void test_failed(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, wobble, 5);
    r.trials[2].state = MO_TRIAL_FAILED; /* moe, seed 8 */
    r.trials[2].loss = (double)NAN;
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_UNKNOWN);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].difference.count, 4);
    check_says(&a, "moe has no verdict against dense: seed 8 of moe failed, and the seeds that are left");
    assert_int_equal(a.contrasts[0].final.verdict, MO_VERDICT_UNKNOWN);
    assert_int_equal(a.contrasts[0].final.difference.count, 4);
    assert_true(a.variants[0].done == 4 && a.variants[0].failed == 1 && a.variants[0].seeds == 5);
    assert_true(a.ranking[0] == 1 && a.ranking[1] == 0); /* whole ones first */
    check_notes(&a, "their mean over 4 seeds (Student's t, 3 degrees of freedom)", true);
    mo_answer_free(&a);
    for (int i = 0; i < r.n_trials; i += 2) {
        r.trials[i].state = MO_TRIAL_FAILED;
        r.trials[i].loss = (double)NAN;
    }
    r.trials[1].state = r.trials[5].state = MO_TRIAL_FAILED;
    a = answer(&r);
    assert_string_equal(a.sentence, "moe has no verdict against dense: all seeds of moe and seeds 7, 9 of "
                                    "dense failed, and there is no seed that both have.");
    done(&r, &a);
}

static void test_going(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, wobble, 5);
    r.trials[9].state = MO_TRIAL_RUNNING;
    mo_answer a = answer(&r);
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].verdict, MO_VERDICT_UNKNOWN);
    assert_string_equal(a.sentence, "There is no answer yet: 9 of 10 trials are done.");
    mo_answer_free(&a);
    for (int i = 2; i < r.n_trials; i++)
        r.trials[i].state = MO_TRIAL_WAITING; /* one pair is there, of five */
    a = answer(&r);
    assert_string_equal(a.sentence, "There is no answer yet: 2 of 10 trials are done.");
    mo_answer_free(&a);
    for (int i = 0; i < r.n_trials; i++) {
        r.trials[i].state = MO_TRIAL_WAITING;
        r.trials[i].loss = (double)NAN;
    }
    a = answer(&r);
    assert_string_equal(a.sentence, "There is no answer yet: 0 of 10 trials are done.");
    assert_int_equal(a.contrasts[0].axis[MO_AXIS_TOKENS].difference.count, 0);
    assert_true(isnan(a.contrasts[0].axis[MO_AXIS_TOKENS].at));
    done(&r, &a);
    r = lines(1.8, wobble, 2); /* tuning is over, and the rest is not planned yet */
    for (int i = 0; i < r.n_trials; i++) r.trials[i].stage = MO_STAGE_TUNE;
    a = answer(&r);
    assert_string_equal(a.sentence, "There is no answer yet: 4 of 4 trials are done.");
    done(&r, &a);
    r = (mo_lab_results){.compare = true};
    a = answer(&r);
    assert_string_equal(a.sentence, "There is no answer yet: 0 of 0 trials are done.");
    done(&r, &a);
}

/* Under a budget of FLOPs tokens differ, and the verdict is that at equal FLOPs. */
static void test_flops_budget(void **state)
{
    (void)state;
    mo_lab_results r = {.compare = true};
    add_variant(&r, "moe", 8, 20, 2);
    add_variant(&r, "dense", 0, 40, 1); /* the first dense one is the reference where the file names none */
    for (uint64_t s = 0; s < 2; s++) {
        run(&r, 0, s, 2, (double[]){3, 2.2 + 0.001 * (double)s});
        run(&r, 1, s, 2, (double[]){3, 2.4});
    }
    mo_answer a = answer(&r);
    assert_true(a.contrasts[0].reference == 1);
    check_says(&a, "moe is better than dense: after 4.00 kFLOPs, with 2.0 times fewer tokens, its validation "
                   "loss is 0.1995 "
                   "nats per token lower");
    done(&r, &a);
}

/* The headline is of the first one with experts; each other contrast that matters has its line. */
static void test_several(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, wobble, 3);
    add_variant(&r, "wide", 0, 40, 2);
    add_variant(&r, "moe-2", 8, 40, 2);
    r.variants[2].match = MO_MATCH_FLOPS;
    r.variants[2].matched_to = mo_strdup("moe");
    for (uint64_t s = 7; s < 10; s++) {
        run(&r, 2, s, 4, (double[]){3, 2.5, 2, 1.5});
        run(&r, 3, s, 4, (double[]){3, 2.9, 2.8, 2.7});
    }
    mo_answer a = answer(&r);
    assert_int_equal(a.n_contrasts, 5);
    assert_true(a.contrasts[0].variant == 0 && a.contrasts[0].reference == 1);
    assert_true(a.contrasts[1].variant == 2 && a.contrasts[1].reference == 1);
    assert_true(a.contrasts[2].variant == 3 && a.contrasts[2].reference == 1);
    assert_true(a.contrasts[3].variant == 0 && a.contrasts[3].reference == 2);
    assert_true(a.contrasts[4].variant == 3 && a.contrasts[4].reference == 2);
    check_says(&a, "moe is better than dense:");
    assert_null(strstr(a.sentence, "wide"));
    assert_int_equal(a.n_findings, 3); /* moe-2 against wide is in the tables */
    const char *const begin[] = {
        "wide is better than dense: after 4.00 k tokens, with 2.0 times as many FLOPs, its",
        "moe-2 is worse than dense: after 4.00 k tokens, with 2.0 times as many FLOPs, its",
        "moe is worse than wide (as many FLOPs per token): after 4.00 k tokens its"};
    for (int i = 0; i < 3; i++) {
        if (strncmp(a.findings[i], begin[i], strlen(begin[i])) != 0) fail_msg("\"%s\"", a.findings[i]);
        assert_null(strstr(a.findings[i], "final loss")); /* speed-ups are the headline's */
    }
    mo_answer_free(&a);
    r.trials[r.n_trials - 1].state =
        MO_TRIAL_RUNNING; /* of moe-2: what is whole is told, and how far it is */
    a = answer(&r);
    check_says(&a, "So far, with 11 of 12 trials done: moe is better than dense:");
    assert_int_equal(a.n_findings, 2);
    done(&r, &a);
}

/* The headline's variant is the first with experts, wherever it stands. */
static void test_headline(void **state)
{
    (void)state;
    mo_lab_results r = {.compare = true};
    add_variant(&r, "dense", 0, 40, 1);
    add_variant(&r, "wide", 0, 40, 1);
    add_variant(&r, "moe", 8, 40, 1);
    for (uint64_t s = 0; s < 2; s++)
        for (int v = 0; v < 3; v++) run(&r, v, s, 2, (double[]){3, 2.4 - 0.2 * v});
    mo_answer a = answer(&r);
    assert_int_equal(strncmp(a.sentence, "moe is better than dense:", 25), 0);
    assert_int_equal(a.n_findings, 2);
    assert_int_equal(strncmp(a.findings[0], "wide is better than dense:", 26), 0);
    assert_int_equal(strncmp(a.findings[1], "moe is better than wide:", 24), 0);
    done(&r, &a);
}

static void test_rises(void **state)
{
    (void)state;
    mo_lab_results r = {.compare = true};
    add_variant(&r, "moe", 8, 40, 1);
    add_variant(&r, "dense", 0, 40, 1);
    for (uint64_t s = 0; s < 2; s++) {
        run(&r, 0, s, 4, (double[]){3, 2, 2.5, 2.6});
        run(&r, 1, s, 4, (double[]){3, 2.9, 2.8, 2.795});
    }
    mo_answer a = answer(&r);
    check_notes(&a, "rose again, of moe (by 0.600). Losses", true);
    check_notes(&a, "the data bears", false);
    mo_answer_free(&a);
    r.variants[0].steps *= 2; /* this was half of its schedule */
    a = answer(&r);
    check_notes(&a, "rose again", false);
    done(&r, &a);
}

/* ---- tuning ---- */

static void tune(mo_lab_results *r, int variant, const char *value, mo_lab_state state)
{
    mo_lab_trial *t = add_trial(r, variant, MO_STAGE_TUNE, 7);
    t->tuned = mo_strdup(value);
    t->state = state;
}

static void check_edge(const char *taken, const char *const *tried, bool wanted)
{
    mo_lab_results r = lines(1.8, no_wobble, 2);
    r.tune_key = mo_strdup("optimizer.learning_rate");
    for (int i = 0; i < r.n_trials; i++)
        if (r.trials[i].variant == 0) r.trials[i].tuned = mo_strdup(taken);
    for (int i = 0; tried[i]; i++) tune(&r, 0, tried[i], i == 0 ? MO_TRIAL_FAILED : MO_TRIAL_DONE);
    tune(&r, 1, "1e-9", MO_TRIAL_DONE); /* what another variant has tried says nothing */
    tune(&r, 1, "1", MO_TRIAL_DONE);
    mo_answer a = answer(&r);
    assert_string_equal(a.variants[0].tuned, taken);
    assert_null(a.variants[1].tuned);
    if (a.variants[0].tuned_at_edge != wanted) fail_msg("%s: at the edge is %d", taken, !wanted);
    check_notes(&a, "optimizer.learning_rate was chosen for each variant alike", true);
    check_notes(&a, "optimizer.learning_rate is at the edge of what was tried for moe", wanted);
    done(&r, &a);
}

static void test_tuned(void **state)
{
    (void)state;
    const char *const rates[] = {"1e-2", "1e-3", "3e-3", NULL}, *const one[] = {"3e-3", NULL},
                      *const words[] = {"cosine", "linear", NULL};
    check_edge("3e-3", rates, false); /* the larger one failed, and was tried */
    check_edge("0.001", rates, true);
    check_edge("1e-2", rates, true);
    check_edge("3e-3", one, false);
    check_edge("cosine", words, false);
}

static void test_allocations(void **state)
{
    (void)state;
    mo_lab_results r = lines(1.8, wobble, 3);
    add_variant(&r, "moe-2", 8, 20, 2);
    for (uint64_t s = 7; s < 10; s++) run(&r, 2, s, 2, (double[]){3, 2.6});
    r.trials[0].tuned = mo_strdup("1e-3");
    tune(&r, 0, "1e-3", MO_TRIAL_DONE);
    tune(&r, 0, "1e-2", MO_TRIAL_DONE);
    mo_answer a;
    int count;
    MO_CHECK_EACH_ALLOCATION(count, mo_answer_of(&r, &a));
    assert_in_range(count, 20, 1000);
    done(&r, &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_r),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_exchanged),
        cmocka_unit_test(test_alike),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_nothing_equal),
        cmocka_unit_test(test_better),
        cmocka_unit_test(test_worse),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_some_seeds),
        cmocka_unit_test(test_one_seed),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_going),
        cmocka_unit_test(test_flops_budget),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_steady),
        cmocka_unit_test(test_rises),
        cmocka_unit_test(test_headline),
        cmocka_unit_test(test_tuned),
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_ends_lower),
        cmocka_unit_test(test_ends_and_curves),
        cmocka_unit_test(test_ends_of_one_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
