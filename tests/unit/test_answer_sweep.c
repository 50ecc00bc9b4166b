/* test_answer_sweep.c -- ranking, rungs, Pareto front, noise, effects of hyperparameters, and what is said.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "lab/answer.h"

enum { STEPS = 90, MOST = 12 };

static const double nan_ = (double)NAN;

static int add_variant(mo_lab_results *r, const char *const *chosen, int count)
{
    r->variants = mo_realloc(r->variants, sizeof *r->variants * (size_t)(r->n_variants + 1));
    assert_non_null(r->variants);
    mo_lab_variant *v = &r->variants[r->n_variants++];
    *v = (mo_lab_variant){.name = mo_strprintf("v%04d", r->n_variants), .steps = STEPS, .step_tokens = 100};
    v->chosen.at = mo_calloc((size_t)count + 1, sizeof *v->chosen.at);
    for (int i = 0; i < count; i++)
        if (chosen[2 * i + 1])
            v->chosen.at[v->chosen.count++] =
                (mo_lab_setting){mo_strdup(chosen[2 * i]), mo_strdup(chosen[2 * i + 1])};
    return r->n_variants - 1;
}

/* Has ended rungs whose losses are these; a rung ends at 10, 30 and 90 steps. A step took `step_seconds`. */
static mo_lab_trial *add_trial(mo_lab_results *r, int variant, uint64_t seed, int rungs, const double *losses,
                               double step_seconds)
{
    static const int64_t ends[] = {10, 30, 90};
    r->trials = mo_realloc(r->trials, sizeof *r->trials * (size_t)(r->n_trials + 1));
    assert_non_null(r->trials);
    mo_lab_trial *t = &r->trials[r->n_trials++];
    bool halving = r->strategy == MO_LAB_HALVING;
    int64_t step = halving ? ends[rungs - 1] : STEPS;
    *t = (mo_lab_trial){.id = r->n_trials,
                        .variant = variant,
                        .stage = MO_STAGE_MAIN,
                        .seed = seed,
                        .rung = halving ? rungs - 1 : 0,
                        .target_step = step,
                        .step = step,
                        .state = MO_TRIAL_DONE,
                        .loss = losses[rungs - 1],
                        .seconds = step_seconds * (double)step,
                        .step_seconds = nan_,
                        .max_vio = losses[rungs - 1] / 10,
                        .entropy = nan_,
                        .dropped = nan_};
    t->evaluations = mo_calloc((size_t)rungs, sizeof *t->evaluations);
    t->n_evaluations = rungs;
    for (int i = 0; i < rungs; i++)
        t->evaluations[i] = (mo_lab_evaluation){
            .step = halving ? ends[i] : STEPS, .tokens = 100 * ends[i], .validation_loss = losses[i]};
    return t;
}

/* Variants without parameters, a row of losses each, a column a seed. */
static mo_lab_results grid(const double *losses, int variants, int seeds)
{
    mo_lab_results r = {0};
    for (int v = 0; v < variants; v++) add_variant(&r, NULL, 0);
    for (int s = 0; s < seeds; s++)
        for (int v = 0; v < variants; v++)
            add_trial(&r, v, 1 + (uint64_t)s, 1, &losses[v * seeds + s], 1 + 0.1 * v);
    return r;
}

static mo_answer answer(const mo_lab_results *r)
{
    mo_answer a;
    MO_CHECK_OK(mo_answer_of(r, &a));
    assert_int_equal(a.n_variants, r->n_variants);
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

static void check_ranking(const mo_answer *a, const int *wanted)
{
    for (int i = 0; i < a->n_variants; i++)
        if (a->ranking[i] != wanted[i]) fail_msg("place %d is %d, and not %d", i, a->ranking[i], wanted[i]);
}

static void fail_trial(mo_lab_results *r, int i)
{
    r->trials[i].state = MO_TRIAL_FAILED;
    r->trials[i].loss = nan_;
}

/* ---- ranking ---- */

static void test_ranking(void **state)
{
    (void)state;
    const double losses[] = {2, 2.2, 1, 1.4, 1.5, 1.3, 1.4, 1, 0.5, 0.6};
    mo_lab_results r = grid(losses, 5, 2); /* means 2.1, 1.2, 1.4, 1.2, 0.55 */
    mo_answer a = answer(&r);
    check_ranking(&a, (int[]){4, 1, 3, 2, 0}); /* equal ones in their order */
    MO_CHECK_NEAR(a.variants[2].loss.mean, 1.4, 1e-12);
    MO_CHECK_NEAR(a.variants[2].max_vio.mean, 0.14, 1e-12);
    assert_int_equal(a.variants[2].loss.count, 2);
    assert_true(isnan(a.variants[2].entropy.mean));
    mo_answer_free(&a);
    fail_trial(&r, 4);                    /* the best one has failed on one seed, */
    fail_trial(&r, 1), fail_trial(&r, 6); /* another one on both, */
    r.trials[7].state = MO_TRIAL_RUNNING; /* a third is not done */
    r.trials[7].loss = nan_;
    a = answer(&r);
    check_ranking(&a, (int[]){3, 0, 4, 2, 1});
    assert_true(a.variants[1].failed == 2 && a.variants[1].done == 0 && a.variants[1].seeds == 2);
    check_says(
        &a, "So far: 6 of 10 trials are done, 3 have failed. Of 2 variants v0004 has the lowest validation "
            "loss, 1.2000 nats per token, mean of 2 seeds. 2 more are left out: trials of them failed.");
    done(&r, &a);
}

static void test_front(void **state)
{
    (void)state;
    const double losses[] = {2, 1.5, 1.6, 1.5, 1.0, 1.0}, seconds[] = {1, 2, 3, 2, 4, 5};
    static const bool front[] = {true, true, false, true, true, false}; /* two are alike in both */
    mo_lab_results r = grid(losses, 6, 1);
    for (int i = 0; i < 6; i++) r.trials[i].seconds = seconds[i];
    mo_answer a = answer(&r);
    for (int i = 0; i < 6; i++)
        if (a.variants[i].pareto != front[i]) fail_msg("on the front: %d", i);
    MO_CHECK_NEAR(a.variants[2].seconds.mean, 3, 1e-12);
    MO_CHECK_NEAR(a.variants[2].tokens_per_second, 100.0 * STEPS / 3, 1e-9);
    mo_answer_free(&a);
    fail_trial(&r, 4); /* no loss, no front */
    a = answer(&r);
    assert_true(!a.variants[4].pareto && a.variants[5].pareto);
    mo_answer_free(&a);
    r.trials[5].step = 0; /* nor without seconds */
    a = answer(&r);
    assert_true(!a.variants[5].pareto && a.variants[1].pareto);
    done(&r, &a);
}

/* Those that went on before those that were dropped, though these may have had the lower loss; whole trials'
 * seconds of all. */
static void test_halving(void **state)
{
    (void)state;
    mo_lab_results r = {.strategy = MO_LAB_HALVING};
    const double all[6][3] = {{3, 2.5, 2.6}, {3.1, 2.7, 2}, {3.2, 2.6}, {3.3}, {3.4}, {3.5}};
    const int rungs[] = {3, 3, 2, 1, 1, 1};
    for (int v = 0; v < 6; v++) {
        const char *const chosen[] = {"model.router", v % 2 ? "topk" : "sigmoid"};
        add_variant(&r, chosen, 1);
        add_trial(&r, v, 5, rungs[v], all[v], 2 - 0.1 * v);
    }
    mo_answer a = answer(&r);
    check_ranking(&a, (int[]){1, 0, 2, 3, 4, 5});
    assert_true(a.variants[1].rung == 2 && a.variants[2].rung == 1 && a.variants[5].rung == 0);
    MO_CHECK_NEAR(a.variants[3].loss.mean, 3.3, 0);
    MO_CHECK_NEAR(a.variants[3].seconds.mean, 1.7 * STEPS, 1e-9);
    assert_true(a.variants[1].pareto && !a.variants[0].pareto && !a.variants[3].pareto);
    assert_int_equal(a.effects_step, 10); /* where all have been: (3.1 + 3.3 + 3.5) / 3 */
    MO_CHECK_NEAR(a.effects[0].levels[1].loss.mean, 3.3, 1e-12);
    mo_answer_free(&a);
    r.trials[0].state = MO_TRIAL_RUNNING; /* the last rung is on its way: what the one before said counts */
    r.trials[0].loss = nan_;
    a = answer(&r);
    assert_int_equal(a.variants[0].rung, 1);
    MO_CHECK_NEAR(a.variants[0].loss.mean, 2.5, 0);
    check_ranking(&a, (int[]){1, 0, 2, 3, 4, 5});
    mo_answer_free(&a);
    r.trials[0].state = MO_TRIAL_FAILED; /* and who fails there is out */
    a = answer(&r);
    check_ranking(&a, (int[]){1, 2, 3, 4, 5, 0});
    done(&r, &a);
}

/* ---- noise ---- */

/* The better two of four, by hand: rows 1.0 1.2, 1.1 1.4: residuals +-0.025, s^2 = 4 * 0.025^2 / 1, so s =
 * 0.05. */
static void test_noise(void **state)
{
    (void)state;
    const double losses[] = {3, 9, 1.0, 1.2, 1.1, 1.4, 4, 3};
    mo_lab_results r = grid(losses, 4, 2);
    mo_answer a = answer(&r);
    MO_CHECK_NEAR(a.noise, 0.05, 1e-12);
    double least = mo_student_quantile(1 - 0.05 / 6, 1) * 0.05; /* three comparisons, sqrt(2/2) */
    MO_CHECK_NEAR(a.least_difference, least, 1e-12);
    assert_true(least > 0.15 && least < 2);
    assert_true(a.variants[1].near_best && a.variants[2].near_best);
    assert_false(a.variants[0].near_best || a.variants[3].near_best);
    check_says(&a, "1 other cannot be told from it: less than 1.9 above");
    done(&r, &a);
    const double clear[] = {1, 2, 1.5, 2.5001, 1.6, 2.6, 1.7, 2.7};
    r = grid(clear, 4, 2);
    a = answer(&r);
    assert_true(a.variants[0].near_best && !a.variants[1].near_best);
    check_says(&a, "better than all others by more than noise explains");
    done(&r, &a);
}

/* Who failed on the next rung is not among those that the best is compared with. */
static void test_noise_of_whole(void **state)
{
    (void)state;
    const double losses[3][2] = {{1.0, 1.2}, {1.1, 1.4}, {1.2, 1.9}};
    mo_lab_results r = {.strategy = MO_LAB_HALVING};
    for (int v = 0; v < 3; v++) add_variant(&r, NULL, 0);
    for (int i = 0; i < 6; i++)
        add_trial(&r, i / 2, 1 + (uint64_t)i % 2, i / 2 == 2 ? 2 : 1, (double[]){losses[i / 2][i % 2], 1}, 1);
    r.trials[4].state = r.trials[5].state = MO_TRIAL_FAILED;
    mo_answer a = answer(&r);
    assert_int_equal(a.variants[2].rung, 0);
    MO_CHECK_NEAR(a.least_difference, mo_student_quantile(0.975, 1) * 0.05, 1e-12);
    assert_false(a.variants[2].near_best);
    done(&r, &a);
}

/* One variant alone got to the end: it is compared where others were last beside it. */
static void test_noise_of_rungs(void **state)
{
    (void)state;
    /* at step 10; of the better three row means are 1.4 1.35 1.5, columns 1.3 1.5333: residuals +-1/60 twice,
     * +-1/30 */
    const double losses[5][2] = {{1.3, 1.5}, {1.2, 1.5}, {1.4, 1.6}, {3, 3}, {9, 4}};
    mo_lab_results r = {.strategy = MO_LAB_HALVING};
    for (int v = 0; v < 5; v++) add_variant(&r, NULL, 0);
    for (int i = 0; i < 10; i++)
        add_trial(&r, i / 2, 1 + (uint64_t)i % 2, i < 2 ? 2 : 1, (double[]){losses[i / 2][i % 2], 1}, 1);
    for (int i = 2; i < 10; i++) r.trials[i].loss = losses[i / 2][i % 2];
    mo_answer a = answer(&r);
    assert_int_equal(a.ranking[0], 0);
    assert_int_equal(a.compared_step, 10);
    MO_CHECK_NEAR(a.noise, sqrt((4.0 / 3600 + 2.0 / 900) / 2), 1e-12);
    double least = mo_student_quantile(1 - 0.05 / 8, 2) * a.noise;
    MO_CHECK_NEAR(a.least_difference, least, 1e-12);
    assert_true(a.variants[0].near_best && a.variants[1].near_best && a.variants[2].near_best);
    assert_false(a.variants[3].near_best || a.variants[4].near_best);
    check_says(&a, "2 others cannot be told from it: less than 0.");
    check_says(&a, " above at step 10, where noise");
    assert_null(strstr(a.sentence, "With one seed"));
    done(&r, &a);
}

static void test_one_seed(void **state)
{
    (void)state;
    const double losses[] = {2, 1, 3};
    mo_lab_results r = grid(losses, 3, 1);
    mo_answer a = answer(&r);
    assert_true(isnan(a.noise) && isnan(a.least_difference));
    for (int i = 0; i < 3; i++) assert_false(a.variants[i].near_best);
    check_says(
        &a,
        "Of 3 variants v0002 has the lowest validation loss, 1.0000 nats per token. With one seed nothing");
    done(&r, &a);
    r = grid(losses, 1, 1);
    a = answer(&r);
    assert_string_equal(a.sentence, "v0001 has a validation loss of 2.0000 nats per token.");
    done(&r, &a);
}

static void test_nothing(void **state)
{
    (void)state;
    const double losses[] = {2, 1};
    mo_lab_results r = grid(losses, 2, 1);
    fail_trial(&r, 0), fail_trial(&r, 1);
    mo_answer a = answer(&r);
    check_says(
        &a,
        "There is no answer: no variant has all its seeds done, and 0 of 2 trials are done, 2 have failed.");
    assert_true(a.n_effects == 0);
    mo_answer_free(&a);
    r.trials[0].state = r.trials[1].state = MO_TRIAL_WAITING;
    a = answer(&r);
    assert_string_equal(a.sentence, "There is no answer yet: 0 of 2 trials are done.");
    done(&r, &a);
    r = (mo_lab_results){0};
    a = answer(&r);
    assert_string_equal(a.sentence, "There is no answer yet: 0 of 0 trials are done.");
    done(&r, &a);
}

/* ---- effects ---- */

static const mo_effect *effect_of(const mo_answer *a, const char *key)
{
    for (int i = 0; i < a->n_effects; i++)
        if (strcmp(a->effects[i].key, key) == 0) return &a->effects[i];
    fail_msg("no effect of %s", key);
    return NULL;
}

/* 2 routers x 3 rates, twice; the bias is a parameter of sigmoid alone. By hand: router 0.4, rate 0.1 a
 * level, and +-0.05 that is neither's. */
static void test_effects(void **state)
{
    (void)state;
    static const char *const routers[] = {"topk", "sigmoid"}, *const rates[] = {"1e-2", "0.003", "1e-3"};
    mo_lab_results r = {0};
    for (int i = 0; i < 12; i++) {
        const char *const chosen[] = {"optimizer.learning_rate",
                                      rates[i % 3],
                                      "model.router",
                                      routers[i / 3 % 2],
                                      "balance.bias_update_rate",
                                      i / 3 % 2 ? (i < 6 ? "1e-3" : "1e-2") : NULL};
        double loss = 2 - 0.4 * (i / 3 % 2) + 0.1 * (i % 3) + (i < 6 ? 0.05 : -0.05);
        add_trial(&r, add_variant(&r, chosen, 3), 1, 1, &loss, 1);
    }
    mo_answer a = answer(&r);
    assert_int_equal(a.n_effects, 3);
    const mo_effect *router = &a.effects[0], *rate = effect_of(&a, "optimizer.learning_rate"),
                    *bias = effect_of(&a, "balance.bias_update_rate");
    assert_string_equal(router->key, "model.router");
    assert_int_equal(router->n_levels, 2);
    assert_string_equal(router->levels[0].value, "topk"); /* words in the order of the variants */
    MO_CHECK_NEAR(router->levels[0].loss.mean, 2.1, 1e-12);
    MO_CHECK_NEAR(router->levels[1].loss.mean, 1.7, 1e-12);
    assert_int_equal(router->levels[1].loss.count, 6);
    /* squares of router 12 * 0.2^2, rate 8 * 0.1^2, bias 6 * 0.05^2, left 6 * 0.05^2, with 12 - 5 degrees */
    double all = 0.48 + 0.08 + 0.03, chance = 0.015 / 7;
    assert_int_equal(router->degrees, 7);
    MO_CHECK_NEAR(router->share, (0.48 - chance) / all, 1e-12);
    MO_CHECK_NEAR(router->chance, mo__f_beyond(0.48 / chance, 1, 7), 1e-12);
    MO_CHECK_NEAR(rate->share, (0.08 - 2 * chance) / all, 1e-12);
    assert_string_equal(rate->levels[0].value, "1e-3"); /* numbers in theirs */
    assert_string_equal(rate->levels[2].value, "1e-2");
    MO_CHECK_NEAR(rate->levels[0].loss.mean, 2.0, 1e-12);
    MO_CHECK_NEAR(rate->levels[0].loss.high - 2.0, /* less well known than if bias were not asked for */
                  mo_student_quantile(0.975, 7) * sqrt(chance / 4), 1e-12);
    assert_int_equal(bias->degrees, 6 - 4); /* of sigmoid's six: too few */
    assert_true(isnan(bias->share));
    MO_CHECK_NEAR(bias->levels[0].loss.mean - bias->levels[1].loss.mean, 0.1, 1e-12);
    check_says(
        &a, "What matters most: model.router accounts for 81% of the variance between variants (best, other "
            "things equal: sigmoid, 1.7000).");
    done(&r, &a);
}

/* Rate 0.5, experts 0.1, and nothing of `log.every`; of the worse rate more are of 8 experts and of log.every
 * 2: means by value say the contrary of what holds. */
static void test_unbalanced(void **state)
{
    (void)state;
    static const int rows[][3] = {{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {0, 0, 0}, {1, 1, 1},
                                  {1, 1, 0}, {1, 1, 1}, {1, 0, 1}, {1, 1, 1}, {0, 0, 0}};
    mo_lab_results r = {0};
    for (int i = 0; i < 10; i++) {
        const char *const chosen[] = {"rate",      rows[i][0] ? "2" : "1", "experts", rows[i][1] ? "8" : "4",
                                      "log.every", rows[i][2] ? "2" : "1"};
        double loss = 2 + 0.5 * rows[i][0] - 0.1 * rows[i][1];
        add_trial(&r, add_variant(&r, chosen, 3), 1, 1, &loss, 1);
    }
    mo_answer a = answer(&r);
    const mo_effect *experts = effect_of(&a, "experts"), *log_every = effect_of(&a, "log.every");
    MO_CHECK_NEAR(experts->levels[0].loss.mean - experts->levels[1].loss.mean, 0.1, 1e-9);
    assert_true(experts->share > 0.001 && experts->share < 0.1 && experts->chance < 1e-6);
    MO_CHECK_NEAR(log_every->levels[0].loss.mean, log_every->levels[1].loss.mean, 1e-9);
    MO_CHECK_NEAR(log_every->share, 0, 1e-9);
    done(&r, &a);
}

/* Six drawn variants of three parameters, and a grid of two by two: nothing is claimed of them. */
static void test_too_few(void **state)
{
    (void)state;
    static const char *const rates[] = {"0.011", "0.0136", "0.0032", "0.0115", "0.006", "0.0037"},
                             *const decays[] = {"0.03", "0.07", "0.18", "0.11", "0.025", "0.09"};
    static const double losses[] = {3.2, 3.3, 4.3, 3.4, 3.9, 4.2};
    mo_lab_results r = {.strategy = MO_LAB_RANDOM}, grid = {0};
    for (int i = 0; i < 6; i++) {
        const char *const chosen[] = {"rate", rates[i], "decay", decays[i], "router", i % 2 ? "a" : "b"};
        add_trial(&r, add_variant(&r, chosen, 3), 1, 1, &losses[i], 1);
        const char *const both[] = {"rate", i % 2 ? "1" : "2", "experts", i / 2 ? "4" : "8"};
        if (i < 4) add_trial(&grid, add_variant(&grid, both, 2), 1, 1, &losses[i], 1);
    }
    mo_answer a = answer(&r);
    for (int i = 0; i < 3; i++) assert_true(isnan(a.effects[i].share) && isnan(a.effects[i].chance));
    assert_int_equal(effect_of(&a, "rate")->n_levels, 2); /* ranges of three */
    assert_null(strstr(a.sentence, "accounts"));
    assert_non_null(strstr(a.notes[a.n_notes - 2], "The share of 3 hyperparameters is not known"));
    done(&r, &a);
    a = answer(&grid);
    assert_true(isnan(a.effects[0].share) && isnan(a.effects[1].share) && !strstr(a.sentence, "accounts"));
    assert_int_equal(a.effects[0].degrees, 1);
    done(&grid, &a);
}

/* Twelve drawn numbers make four ranges of three; the same numbers of a list stay twelve values. */
static void test_ranges(void **state)
{
    (void)state;
    mo_lab_results r = {.strategy = MO_LAB_RANDOM};
    for (int i = 0; i < MOST; i++) {
        int place = i * 5 % MOST; /* in no order */
        char text[16];
        snprintf(text, sizeof text, "%g", 0.001 * (place + 1));
        const char *const chosen[] = {"optimizer.learning_rate", text};
        double loss = 1 + place / 3;
        add_trial(&r, add_variant(&r, chosen, 1), 1, 1, &loss, 1);
    }
    mo_answer a = answer(&r);
    assert_int_equal(a.effects[0].n_levels, 4);
    for (int g = 0; g < 4; g++) {
        assert_int_equal(a.effects[0].levels[g].loss.count, 3);
        MO_CHECK_NEAR(a.effects[0].levels[g].loss.mean, 1 + g, 1e-12);
    }
    assert_string_equal(a.effects[0].levels[1].value, "0.004 to 0.006");
    MO_CHECK_NEAR(a.effects[0].share, 1, 1e-12);
    mo_answer_free(&a);
    r.strategy = MO_LAB_GRID;
    a = answer(&r);
    assert_int_equal(a.effects[0].n_levels, MOST);
    assert_true(isnan(a.effects[0].share)); /* a value each: nothing to tell chance by */
    done(&r, &a);
}

/* Equal numbers are never in two ranges, and two spellings of one are one: of ten, thirds begin at 0 and 3,
 * and the first that can is 6; four are too few for two ranges. */
static void test_equal_numbers(void **state)
{
    (void)state;
    static const char *const values[] = {"1", "2", "2", "2.0", "2e0", "2", "3", "4", "5", "6"},
                             *const ranges[] = {"1 to 2", "3 to 6"};
    static const int counts[] = {6, 4};
    mo_lab_results r = {.strategy = MO_LAB_RANDOM};
    for (int i = 0; i < 10; i++) {
        const char *const chosen[] = {"k", values[i]};
        double loss = i;
        add_trial(&r, add_variant(&r, chosen, 1), 1, 1, &loss, 1);
    }
    mo_answer a = answer(&r);
    assert_int_equal(a.effects[0].n_levels, 2);
    for (int g = 0; g < 2; g++) {
        assert_string_equal(a.effects[0].levels[g].value, ranges[g]);
        assert_int_equal(a.effects[0].levels[g].loss.count, counts[g]);
    }
    done(&r, &a);
}

/* Few values, or enough variants for each, are not put together. */
static void test_no_ranges(void **state)
{
    (void)state;
    mo_lab_results few = {.strategy = MO_LAB_RANDOM}, enough = {.strategy = MO_LAB_RANDOM};
    for (int i = 0; i < 15; i++) {
        const char *const two[] = {"k", i ? "2" : "1"}, *const five[] = {
                                                            "k",
                                                            (const char *[]){"1", "2", "3", "4", "5"}[i % 5]};
        double loss = i;
        if (i < 5) add_trial(&few, add_variant(&few, two, 1), 1, 1, &loss, 1);
        add_trial(&enough, add_variant(&enough, five, 1), 1, 1, &loss, 1);
    }
    mo_answer a = answer(&few);
    assert_int_equal(a.effects[0].n_levels, 2);
    done(&few, &a);
    a = answer(&enough);
    assert_int_equal(a.effects[0].n_levels, 5);
    done(&enough, &a);
}

static void test_allocations(void **state)
{
    (void)state;
    const char *const chosen[] = {"a", "1", "b", "x"}, *const other[] = {"a", "2", "b", "y"};
    mo_lab_results r = {.strategy = MO_LAB_RANDOM};
    for (int v = 0; v < 4; v++) add_variant(&r, v % 2 ? chosen : other, 2);
    for (uint64_t s = 1; s < 3; s++)
        for (int v = 0; v < 4; v++) {
            double loss = 1 + 0.3 * v + 0.01 * (double)s * v;
            add_trial(&r, v, s, 1, &loss, 1);
        }
    mo_answer a;
    int count;
    MO_CHECK_EACH_ALLOCATION(count, mo_answer_of(&r, &a));
    assert_in_range(count, 20, 1000);
    done(&r, &a);
}

/* Ten thousand variants take no time to speak of. */
static void test_many(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    mo_lab_results r = {0};
    r.variants = mo_calloc(MANY, sizeof *r.variants);
    r.trials = mo_calloc(MANY, sizeof *r.trials);
    assert_true(r.variants && r.trials);
    for (int v = 0; v < MANY; v++) {
        r.variants[v] =
            (mo_lab_variant){.name = mo_strprintf("v%05d", v + 1), .steps = STEPS, .step_tokens = 1};
        r.trials[v] = (mo_lab_trial){.id = v + 1,
                                     .variant = v,
                                     .stage = MO_STAGE_MAIN,
                                     .seed = 1,
                                     .state = MO_TRIAL_DONE,
                                     .step = STEPS,
                                     .target_step = STEPS,
                                     .loss = mo_rng_uniform(1, MO_RNG_TEST, 0, 0, (uint64_t)v),
                                     .seconds = mo_rng_uniform(2, MO_RNG_TEST, 0, 0, (uint64_t)v)};
    }
    r.n_variants = r.n_trials = MANY;
    double begin = mo_clock();
    mo_answer a = answer(&r);
    assert_true(mo_clock() - begin < 5);
    for (int i = 1; i < MANY; i++)
        assert_true(a.variants[a.ranking[i - 1]].loss.mean <= a.variants[a.ranking[i]].loss.mean);
    done(&r, &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranking),        cmocka_unit_test(test_front),
        cmocka_unit_test(test_halving),        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_noise_of_whole), cmocka_unit_test(test_noise_of_rungs),
        cmocka_unit_test(test_one_seed),       cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_effects),        cmocka_unit_test(test_unbalanced),
        cmocka_unit_test(test_too_few),        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_equal_numbers),  cmocka_unit_test(test_no_ranges),
        cmocka_unit_test(test_allocations),    cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
