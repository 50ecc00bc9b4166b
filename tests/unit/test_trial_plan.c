/* test_trial_plan.c -- which trials an experiment calls for: the same ones whoever ends first, the better
 * ones in halving, the best value in tuning. Trials are not run here: a formula says what comes of them. */
#include "harness/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/plan.h"

enum { MOST_TRIALS = 400 };

/* An experiment of variants a, b, c ... */
typedef struct world {
    mo_lab_spec spec;
    mo_lab_results now;
    mo_lab_variant variants[16];
    mo_lab_trial trials[MOST_TRIALS];
    uint64_t seeds[4];
    int fails;        /* variant whose trials fail; -1: none */
    int64_t fails_at; /* after this step */
    uint64_t order;   /* of ends */
    int64_t eval_every;
} world;

static char names[16][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};

static world make(int variants, int seeds)
{
    world w = {.fails = -1, .eval_every = 10};
    for (int v = 0; v < variants; v++) w.variants[v] = (mo_lab_variant){.name = names[v], .steps = 90};
    for (int s = 0; s < 4; s++) w.seeds[s] = (uint64_t)s + 1;
    w.spec.n_seeds = seeds;
    w.now.n_variants = variants;
    return w;
}

static void place(world *w)
{
    w->spec.seeds = w->seeds;
    w->now.variants = w->variants;
    w->now.trials = w->trials;
}

static void free_world(world *w)
{
    for (int i = 0; i < w->now.n_trials; i++) {
        mo_free(w->trials[i].name);
        mo_free(w->trials[i].tuned);
        mo_free(w->trials[i].evaluations);
    }
}

/* Variants change places as training goes on; a seed shifts them alike. */
static double loss_of(int variant, uint64_t seed, int64_t step, const char *tuned)
{
    double best = tuned ? fabs(log(strtod(tuned, NULL) / (1e-3 * (variant + 1)))) : 0;
    return 5.0 / (double)step + 0.1 * cos(3.7 * variant + 0.05 * (double)step) + 0.001 * (double)seed + best;
}

static mo_lab_trial *find(world *w, const char *name)
{
    for (int i = 0; i < w->now.n_trials; i++)
        if (strcmp(w->trials[i].name, name) == 0) return &w->trials[i];
    return NULL;
}

/* As the store does. Returns how many trials are new or have further to go. */
static int plan(world *w)
{
    mo__trial_plan p;
    int news = 0;
    MO_CHECK_OK(mo__trial_plan_make(&w->spec, &w->now, w->eval_every, &p));
    for (int i = 0; i < p.count; i++) {
        mo_lab_trial *t = find(w, p.trials[i].name);
        if (!t) {
            assert_true(w->now.n_trials < MOST_TRIALS);
            t = &w->trials[w->now.n_trials++];
            *t = p.trials[i];
            t->loss = (double)NAN;
            p.trials[i].name = p.trials[i].tuned = NULL;
            news++;
        } else {
            assert_true(p.trials[i].target_step >= t->target_step);
            if (p.trials[i].target_step > t->target_step && t->state == MO_TRIAL_DONE) {
                t->state = MO_TRIAL_WAITING;
                news++;
            }
            t->target_step = p.trials[i].target_step;
            t->rung = p.trials[i].rung;
        }
    }
    mo__trial_plan_free(&p);
    return news;
}

static void end(world *w, mo_lab_trial *t)
{
    mo_free(t->evaluations);
    t->evaluations = mo_calloc((size_t)t->target_step, sizeof *t->evaluations);
    t->n_evaluations = 0;
    bool fails = t->variant == w->fails && t->target_step > w->fails_at;
    for (int64_t step = w->eval_every; step <= (fails ? w->fails_at : t->target_step); step += w->eval_every)
        t->evaluations[t->n_evaluations++] = (mo_lab_evaluation){
            .step = step, .validation_loss = loss_of(t->variant, t->seed, step, t->tuned)};
    t->state = fails ? MO_TRIAL_FAILED : MO_TRIAL_DONE;
    t->loss = fails ? (double)NAN : loss_of(t->variant, t->seed, t->target_step, t->tuned);
}

/* All of it, ends in an order by w->order; a plan after each end, or after all that were due. */
static void run(world *w, bool often)
{
    plan(w);
    for (;;) {
        int due = 0;
        for (int i = 0; i < w->now.n_trials; i++) due += w->trials[i].state == MO_TRIAL_WAITING;
        if (due == 0 && plan(w) == 0) return;
        if (due == 0) continue;
        int choice = (int)((double)due * mo_rng_uniform(++w->order, MO_RNG_TEST, 0, 0, 0));
        for (int i = 0; i < w->now.n_trials; i++)
            if (w->trials[i].state == MO_TRIAL_WAITING && choice-- == 0) {
                end(w, &w->trials[i]);
                break;
            }
        if (often) plan(w);
    }
}

static void assert_same_trials(const world *a, const world *b)
{
    assert_int_equal(a->now.n_trials, b->now.n_trials);
    for (int i = 0; i < a->now.n_trials; i++) {
        const mo_lab_trial *x = &a->trials[i], *y = &b->trials[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->rung, y->rung);
        assert_int_equal(x->target_step, y->target_step);
        assert_true((!x->tuned && !y->tuned) || strcmp(x->tuned, y->tuned) == 0);
    }
}

/* ---- sweeps ---- */

static void test_grid(void **state)
{
    (void)state;
    world w = make(3, 2);
    place(&w);
    run(&w, true);
    static const char *const wanted[] = {"a.s1", "b.s1", "c.s1", "a.s2", "b.s2", "c.s2"};
    assert_int_equal(w.now.n_trials, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(w.trials[i].name, wanted[i]);
        assert_int_equal(w.trials[i].target_step, 90);
        assert_int_equal(w.trials[i].seed, 1 + i / 3);
        assert_int_equal(w.trials[i].stage, MO_STAGE_MAIN);
    }
    /* One more seed: its trials come after. */
    w.spec.n_seeds = 3;
    assert_int_equal(plan(&w), 3);
    assert_string_equal(w.trials[6].name, "a.s3");
    free_world(&w);
}

static world make_halving(int variants, int seeds)
{
    world w = make(variants, seeds);
    w.spec.strategy = MO_LAB_HALVING;
    w.spec.first_steps = 10;
    w.spec.factor = 3;
    return w;
}

/* Variants that were in a rung, one bit each, by the names of trials that got there. */
static unsigned in_rung(const world *w, int rung)
{
    unsigned out = 0;
    for (int i = 0; i < w->now.n_trials; i++)
        if (w->trials[i].rung >= rung) out |= 1U << w->trials[i].variant;
    return out;
}

/* The best `keep` of those in `from` at `step`, but for a variant that is out. */
static unsigned best_of(unsigned from, int keep, int64_t step, int without)
{
    unsigned out = 0;
    for (; keep > 0; keep--) {
        int best = -1;
        for (int v = 0; v < 12; v++)
            if (from >> v & 1 && !(out >> v & 1) && v != without &&
                (best < 0 || loss_of(v, 1, step, NULL) < loss_of(best, 1, step, NULL)))
                best = v;
        out |= 1U << best;
    }
    return out;
}

static void test_halving(void **state)
{
    (void)state;
    world w = make_halving(12, 2), other;
    place(&w);
    run(&w, true);
    unsigned all = (1U << 12) - 1, second = best_of(all, 4, 10, -1), third = best_of(second, 1, 30, -1);
    assert_int_equal(in_rung(&w, 0), all);
    assert_int_equal(in_rung(&w, 1), second);
    assert_int_equal(in_rung(&w, 2), third);
    assert_int_equal(in_rung(&w, 3), 0);
    assert_int_not_equal(best_of(all, 4, 10, -1), best_of(all, 4, 30, -1)); /* places change */
    for (uint64_t order = 1; order < 6; order++) {
        other = make_halving(12, 2);
        other.order = order * 1000;
        place(&other);
        run(&other, order % 2);
        assert_same_trials(&w, &other);
        free_world(&other);
    }
    free_world(&w);
}

/* A trial that fails takes its variant out of the rungs after, and of none before. */
static void test_halving_failures(void **state)
{
    (void)state;
    unsigned all = (1U << 12) - 1;
    int best = __builtin_ctz(best_of(all, 1, 10, -1));
    world w = make_halving(12, 1);
    place(&w);
    w.fails = best;
    w.fails_at = 0;
    run(&w, true);
    assert_int_equal(in_rung(&w, 1), best_of(all, 4, 10, best));
    free_world(&w);
    w = make_halving(12, 1);
    place(&w);
    w.fails = best;
    w.fails_at = 20;
    run(&w, true);
    assert_int_equal(in_rung(&w, 1), best_of(all, 4, 10, -1));
    assert_int_equal(in_rung(&w, 2), best_of(best_of(all, 4, 10, -1), 1, 30, best));
    free_world(&w);
}

/* Rungs are ranked anew with a seed that is added; nothing that went further comes back. */
static void test_halving_seeds(void **state)
{
    (void)state;
    world w = make_halving(12, 1);
    place(&w);
    run(&w, true);
    unsigned third = in_rung(&w, 2);
    w.spec.n_seeds = 2;
    run(&w, true);
    assert_int_equal(in_rung(&w, 2) & third, third);
    assert_int_equal(w.now.n_trials, 24);
    for (int i = 0; i < w.now.n_trials; i++) assert_int_equal(w.trials[i].state, MO_TRIAL_DONE);
    free_world(&w);
}

static void test_halving_lengths(void **state)
{
    (void)state;
    mo__trial_plan p;
    world w = make_halving(3, 1);
    place(&w);
    w.variants[2].steps = 60;
    MO_CHECK_STATUS(mo__trial_plan_make(&w.spec, &w.now, 10, &p), MO_E_CONFIG);
    MO_CHECK_MESSAGE("a trial of a has 90 steps, one of c 60");
    w.variants[2].steps = 90;
    MO_CHECK_STATUS(mo__trial_plan_make(&w.spec, &w.now, 15, &p), MO_E_CONFIG);
    MO_CHECK_MESSAGE("eval.every");
}

/* ---- comparisons ---- */

static char *rates[] = {(char[]){"1e-3"}, (char[]){"2e-3"}, (char[]){"2.9e-3"}, (char[]){"a/b"}};

static world make_comparison(int variants, int seeds)
{
    world w = make(variants, seeds);
    w.spec.compare = true;
    w.spec.tune.key = (char[]){"optimizer.learning_rate"};
    w.spec.tune.values = rates;
    w.spec.tune.count = 3;
    w.spec.tune.steps = 30;
    w.spec.timing_steps = 20;
    return w;
}

static const mo_lab_trial *at(const world *w, int i, const char *name, mo_lab_stage stage, int64_t target)
{
    assert_true(i < w->now.n_trials);
    assert_string_equal(w->trials[i].name, name);
    assert_int_equal(w->trials[i].stage, stage);
    assert_int_equal(w->trials[i].target_step, target);
    return &w->trials[i];
}

static void test_stages(void **state)
{
    (void)state;
    world w = make_comparison(2, 2), other = make_comparison(2, 2);
    place(&w);
    assert_int_equal(plan(&w), 6);
    for (int i = 0; i < 5; i++) end(&w, &w.trials[i]);
    assert_int_equal(plan(&w), 0); /* b is not tuned yet: nothing else begins */
    end(&w, &w.trials[5]);
    assert_int_equal(plan(&w), 4);
    for (int i = 6; i < 9; i++) end(&w, &w.trials[i]);
    assert_int_equal(plan(&w), 0);
    end(&w, &w.trials[9]);
    assert_int_equal(plan(&w), 4);
    at(&w, 0, "a.tune.1e-3", MO_STAGE_TUNE, 30);
    at(&w, 1, "b.tune.1e-3", MO_STAGE_TUNE, 30);
    assert_string_equal(at(&w, 5, "b.tune.2.9e-3", MO_STAGE_TUNE, 30)->tuned, "2.9e-3");
    assert_string_equal(at(&w, 6, "a.s1", MO_STAGE_MAIN, 90)->tuned, "1e-3");
    assert_string_equal(at(&w, 7, "b.s1", MO_STAGE_MAIN, 90)->tuned, "2e-3");
    assert_string_equal(at(&w, 9, "b.s2", MO_STAGE_MAIN, 90)->tuned, "2e-3");
    at(&w, 10, "a.timing1", MO_STAGE_TIMING, 20);
    assert_string_equal(at(&w, 11, "b.timing1", MO_STAGE_TIMING, 20)->tuned, "2e-3");
    assert_int_equal(at(&w, 12, "a.timing2", MO_STAGE_TIMING, 20)->seed, 2);
    run(&w, false);
    assert_int_equal(w.now.n_trials, 14);
    place(&other);
    other.order = 17;
    run(&other, true);
    assert_same_trials(&w, &other);
    free_world(&w);
    free_world(&other);
}

/* Where all values fail the variant has its own; where all its trials fail it is not timed. */
static void test_failed_stages(void **state)
{
    (void)state;
    world w = make_comparison(2, 2);
    place(&w);
    w.fails = 1;
    w.spec.tune.count = 4;
    run(&w, true);
    assert_int_equal(w.now.n_trials, 8 + 4 + 2);
    at(&w, 6, "a.tune.value_4", MO_STAGE_TUNE, 30); /* no folder's name */
    assert_null(at(&w, 9, "b.s1", MO_STAGE_MAIN, 90)->tuned);
    at(&w, 12, "a.timing1", MO_STAGE_TIMING, 20);
    at(&w, 13, "a.timing2", MO_STAGE_TIMING, 20);
    free_world(&w);
    w = make_comparison(2, 1); /* nothing to tune, nothing to time */
    place(&w);
    w.spec.tune.count = 0;
    w.spec.tune.key = NULL;
    w.spec.timing_steps = 0;
    run(&w, true);
    assert_int_equal(w.now.n_trials, 2);
    assert_null(at(&w, 0, "a.s1", MO_STAGE_MAIN, 90)->tuned);
    free_world(&w);
}

/* The best value fails, the next one is taken; tried again it does well, and a seed is added. */
static void test_failed_value(void **state)
{
    (void)state;
    world w = make_comparison(2, 2);
    place(&w);
    plan(&w);
    for (int i = 0; i < 6; i++) end(&w, &w.trials[i]);
    mo_lab_trial *best = find(&w, "b.tune.2e-3");
    best->state = MO_TRIAL_FAILED;
    run(&w, true);
    assert_string_equal(find(&w, "b.s1")->tuned, "2.9e-3");
    best->state = MO_TRIAL_WAITING;
    w.spec.n_seeds = 3;
    assert_int_equal(plan(&w), 0);
    run(&w, true);
    assert_int_equal(best->state, MO_TRIAL_DONE);
    assert_string_equal(find(&w, "b.s3")->tuned, "2.9e-3");
    assert_string_equal(find(&w, "b.timing3")->tuned, "2.9e-3");
    assert_string_equal(find(&w, "a.s3")->tuned, "1e-3");
    free_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_halving),
        cmocka_unit_test(test_halving_failures),
        cmocka_unit_test(test_halving_seeds),
        cmocka_unit_test(test_halving_lengths),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_failed_stages),
        cmocka_unit_test(test_failed_value),
    };
    return cmocka_run_group_tests_name("plans", tests, NULL, NULL);
}
