#include "harness/small_experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

enum { STEPS = 600, EVERY = 30, STEP_TOKENS = 2048 };

static double noise(uint64_t a, uint64_t b)
{
    return mo_rng_normal(a, MO_RNG_TEST, b, 0, 0);
}

static mo_lab_variant *add_variant(mo_lab_results *r, const char *name)
{
    mo_lab_variant *grown = mo_realloc(r->variants, (size_t)(r->n_variants + 1) * sizeof *grown);
    assert_non_null(grown);
    r->variants = grown;
    mo_lab_variant *v = &grown[r->n_variants++];
    *v = (mo_lab_variant){
        .name = mo_strdup(name), .config = mo_strdup("base.yaml"), .wanted = (double)NAN, .got = (double)NAN};
    v->steps = STEPS;
    v->step_tokens = STEP_TOKENS;
    return v;
}

static mo_lab_trial *add_trial(mo_lab_results *r, int variant, mo_lab_stage stage, uint64_t seed, char *name)
{
    mo_lab_trial *grown = mo_realloc(r->trials, (size_t)(r->n_trials + 1) * sizeof *grown);
    assert_non_null(grown);
    r->trials = grown;
    mo_lab_trial *t = &grown[r->n_trials++];
    *t = (mo_lab_trial){.id = r->n_trials, .name = name, .variant = variant, .stage = stage, .seed = seed};
    t->dir = mo_strprintf("experiments/%s/trials/%s", r->name, name);
    t->target_step = r->variants[variant].steps;
    t->started = t->ended = t->loss = t->step_seconds = t->max_vio = t->entropy = t->dropped = (double)NAN;
    return t;
}

static void set(mo_lab_settings *s, const char *key, const char *value)
{
    mo_lab_setting *grown = mo_realloc(s->at, (size_t)(s->count + 1) * sizeof *grown);
    assert_non_null(grown);
    s->at = grown;
    grown[s->count++] = (mo_lab_setting){mo_strdup(key), mo_strdup(value)};
}

/* What a trial learns towards, and how long a step of it takes. */
typedef struct course {
    double end, scale, step_seconds;
} course;

/* Evaluations up to `step`, and what is known of a trial that has got there. */
static void go(const mo_lab_results *r, mo_lab_trial *t, course c, int64_t step)
{
    const mo_lab_variant *v = &r->variants[t->variant];
    t->step = step;
    t->started = r->created + 40.0 * (double)t->id;
    t->evaluations = mo_calloc((size_t)(step / EVERY + 1), sizeof *t->evaluations);
    assert_non_null(t->evaluations);
    for (int64_t s = EVERY; s <= step; s += EVERY) {
        mo_lab_evaluation *e = &t->evaluations[t->n_evaluations++];
        e->step = s;
        e->tokens = s * v->step_tokens;
        e->flops = (double)e->tokens * v->flops_per_token;
        e->seconds = (double)s * c.step_seconds * (1 + 0.02 * noise(t->seed, (uint64_t)t->id));
        double of_seed = 0.012 * noise(t->seed, 1), of_trial = 0.006 * noise((uint64_t)t->id, 2);
        e->validation_loss = c.end + c.scale * pow((double)s / EVERY, -0.55) + of_seed + of_trial +
                             0.003 * noise((uint64_t)t->id, (uint64_t)s);
        e->train_loss = e->validation_loss - 0.02 + 0.03 * noise((uint64_t)t->id, (uint64_t)s + 7);
        t->seconds = e->seconds;
    }
    t->step_seconds = c.step_seconds * (1 + 0.01 * noise((uint64_t)t->id, 3));
    t->state = step >= t->target_step ? MO_TRIAL_DONE : MO_TRIAL_RUNNING;
    if (t->state != MO_TRIAL_DONE) return;
    t->ended = t->started + t->seconds + 2;
    t->loss = t->evaluations[t->n_evaluations - 1].validation_loss;
}

static void balance(mo_lab_trial *t, double max_vio, double entropy)
{
    t->max_vio = max_vio * (1 + 0.05 * noise((uint64_t)t->id, 5));
    t->entropy = entropy * (1 + 0.01 * noise((uint64_t)t->id, 6));
    t->dropped = 0;
}

static void end_badly(mo_lab_trial *t, const char *message)
{
    t->state = MO_TRIAL_FAILED;
    t->message = mo_strdup(message);
    t->loss = (double)NAN;
}

static void begin(mo_lab_results *r, const char *name, const char *text, bool compare)
{
    *r = (mo_lab_results){.compare = compare, .created = 1795372200};
    r->name = mo_strdup(name);
    r->path = mo_strprintf("experiments/%s/results.db", name);
    r->text = mo_strdup(text);
    r->machine = mo_strdup("2 cores, AMD EPYC 9B45, OpenBLAS 0.3.21 SkylakeX");
}

static const char sweep_text[] = "name: gating-sweep\nbase: base.yaml\nparameters:\n"
                                 "  model.router: [topk, sigmoid]\n"
                                 "  model.num_experts_per_tok: [1, 2, 4]\n"
                                 "  balance.switch: [0, 0.01]\n"
                                 "  model.num_local_experts: [8, 16]\n"
                                 "seeds: [1, 2]\nbudget: {steps: 600}\n";

void experiment_sweep(experiment_state state, mo_lab_results *out)
{
    static const char *const routers[] = {"topk", "sigmoid"}, *const kept[] = {"1", "2", "4"},
                             *const coefficients[] = {"0", "0.01"}, *const experts[] = {"8", "16"};
    course courses[24];
    begin(out, "gating-sweep", sweep_text, false);
    for (int i = 0; i < 24; i++) {
        int router = i / 12, k = i / 4 % 3, coefficient = i / 2 % 2, e = i % 2;
        char name[8];
        snprintf(name, sizeof name, "v%04d", i + 1);
        mo_lab_variant *v = add_variant(out, name);
        set(&v->chosen, "model.router", routers[router]);
        set(&v->chosen, "model.num_experts_per_tok", kept[k]);
        set(&v->chosen, "balance.switch", coefficients[coefficient]);
        set(&v->chosen, "model.num_local_experts", experts[e]);
        for (int s = 0; s < v->chosen.count; s++)
            set(&v->settings, v->chosen.at[s].key, v->chosen.at[s].value);
        v->experts = 8 << e;
        v->active = 312576 + 98304 * (1 << k);
        v->total = 312576 + 98304 * v->experts;
        v->flops_per_token = 6 * (double)v->active + 4e5;
        v->memory_bytes = (uint64_t)(140 << 20) + (uint64_t)v->total * 16;
        courses[i] = (course){1.62 - 0.035 * k - 0.02 * e + (coefficient ? -0.03 : 0.02 * (1 - router)) -
                                  0.008 * router,
                              0.9, 0.05 + 0.013 * k + 0.004 * e};
    }
    for (int i = 0; i < 48; i++) {
        int variant = i % 24;
        uint64_t seed = 1 + (uint64_t)i / 24;
        mo_lab_trial *t = add_trial(out, variant, MO_STAGE_MAIN, seed,
                                    mo_strprintf("%s.s%d", out->variants[variant].name, (int)seed));
        if (state == EXPERIMENT_BEGUN || (state == EXPERIMENT_GOING && i >= 30)) continue;
        bool running = state == EXPERIMENT_GOING && i >= 28, failed = variant == 5 || i == 34;
        go(out, t, courses[variant], running ? 240 : failed ? 90 : STEPS);
        balance(t, variant / 2 % 2 ? 0.18 : 0.9, 1.4);
        if (failed)
            end_badly(
                t,
                "step 97: the loss is not a number (train_loss nan); a smaller optimizer.learning_rate than "
                "0.01 would help");
    }
}

static const char compare_text[] =
    "name: moe-vs-dense\nbase: base.yaml\nseeds: 5\nbudget: {steps: 600}\nreference: dense-active\n"
    "variants:\n  moe: {config: moe.yaml}\n"
    "  dense-active: {set: {model.num_local_experts: 0}, match: active_params, to: moe}\n"
    "  dense-total: {set: {model.num_local_experts: 0}, match: total_params, to: moe}\n"
    "  dense-flops: {set: {model.num_local_experts: 0}, match: flops, to: moe}\n"
    "tune: {parameter: optimizer.learning_rate, values: [1e-3, 3e-3, 1e-2], steps: 210}\n"
    "timing: {steps: 40}\n";

void experiment_compare(experiment_state state, mo_lab_results *out)
{
    static const struct {
        const char *name;
        int64_t experts, total, active;
        mo_lab_match match;
        double wanted, got, scale, step_seconds, tune[3];
    } all[] = {{"moe", 16, 1885440, 509184, MO_MATCH_NONE, 0, 0, 1.36, 0.115, {0.06, 0.0, 0.09}},
               {"dense-active",
                0,
                508672,
                508672,
                MO_MATCH_ACTIVE_PARAMS,
                509184,
                508672,
                1.44,
                0.071,
                {0.05, 0.0, 0.11}},
               {"dense-total",
                0,
                1884928,
                1884928,
                MO_MATCH_TOTAL_PARAMS,
                1885440,
                1884928,
                1.32,
                0.216,
                {0.04, 0.0, 0.2}},
               {"dense-flops",
                0,
                510208,
                510208,
                MO_MATCH_FLOPS,
                3.495104e6,
                3.501248e6,
                1.435,
                0.073,
                {0.06, 0.02, 0.0}}};
    static const char *const rates[] = {"1e-3", "3e-3", "1e-2"};
    course courses[4];
    begin(out, "moe-vs-dense", compare_text, true);
    out->reference = mo_strdup("dense-active");
    out->tune_key = mo_strdup("optimizer.learning_rate");
    for (int i = 0; i < 4; i++) {
        mo_lab_variant *v = add_variant(out, all[i].name);
        v->experts = all[i].experts;
        v->total = all[i].total;
        v->active = all[i].active;
        v->match = all[i].match;
        if (v->match != MO_MATCH_NONE) {
            v->matched_to = mo_strdup("moe");
            v->wanted = all[i].wanted;
            v->got = all[i].got;
            set(&v->settings, "model.num_local_experts", "0");
            set(&v->settings, "model.intermediate_size", "384");
        }
        v->flops_per_token = 6 * (double)v->active + 4.4e5;
        v->memory_bytes = (uint64_t)(140 << 20) + (uint64_t)v->total * 16;
        courses[i] = (course){all[i].scale + (i == 2 ? 0.02 : 0.03), 0.9, all[i].step_seconds};
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) {
            mo_lab_trial *t =
                add_trial(out, i, MO_STAGE_TUNE, 1, mo_strprintf("%s.tune.%s", all[i].name, rates[j]));
            t->tuned = mo_strdup(rates[j]);
            t->target_step = 210;
            if (state == EXPERIMENT_BEGUN) continue;
            course c = courses[i];
            c.end += all[i].tune[j];
            go(out, t, c, 210);
        }
    for (int seed = 1; seed <= 5; seed++)
        for (int i = 0; i < 4; i++) {
            mo_lab_trial *t =
                add_trial(out, i, MO_STAGE_MAIN, (uint64_t)seed, mo_strprintf("%s.s%d", all[i].name, seed));
            t->tuned = mo_strdup(i == 3 ? "1e-2" : "3e-3");
            if (state == EXPERIMENT_BEGUN || (state == EXPERIMENT_GOING && seed > 3)) continue;
            go(out, t, courses[i], state == EXPERIMENT_GOING && seed == 3 ? 300 : STEPS);
            if (all[i].experts) balance(t, 0.24, 2.31);
        }
    for (int i = 0; i < 4; i++) {
        mo_lab_trial *t = add_trial(out, i, MO_STAGE_TIMING, 1, mo_strprintf("%s.timing", all[i].name));
        t->tuned = mo_strdup(i == 3 ? "1e-2" : "3e-3");
        t->target_step = 40;
        if (state != EXPERIMENT_DONE) continue;
        course c = courses[i];
        c.step_seconds *= 0.62;
        go(out, t, c, 40);
        t->seconds = 40 * c.step_seconds;
        t->ended = t->started + t->seconds;
    }
}

const char experiment_poison_text[] =
    "</td><script>alert('1')</script>\"&amp;'$(touch x)`touch y`\n%s, '; system \"touch z\" #\\";

static void poison(char **text)
{
    mo_free(*text);
    *text = mo_strdup(experiment_poison_text);
}

void experiment_poison(mo_lab_results *r)
{
    poison(&r->name), poison(&r->text), poison(&r->machine);
    if (r->tune_key) poison(&r->tune_key);
    for (int i = 0; i < r->n_variants; i++) {
        mo_lab_variant *v = &r->variants[i];
        bool reference = r->reference && strcmp(r->reference, v->name) == 0;
        mo_free(v->name);
        v->name = mo_strprintf("%d%s", i, experiment_poison_text);
        if (reference) {
            mo_free(r->reference);
            r->reference = mo_strdup(v->name);
        }
        poison(&v->config);
        for (int s = 0; s < v->chosen.count; s++) {
            char *value = mo_strprintf("%s%s", v->chosen.at[s].value, experiment_poison_text);
            mo_free(v->chosen.at[s].value);
            v->chosen.at[s].value = value;
            char *key = mo_strprintf("%s%s", v->chosen.at[s].key, experiment_poison_text);
            mo_free(v->chosen.at[s].key);
            v->chosen.at[s].key = key;
        }
        if (v->matched_to) poison(&v->matched_to);
    }
    for (int i = 0; i < r->n_trials; i++) {
        poison(&r->trials[i].name), poison(&r->trials[i].dir);
        if (r->trials[i].message) poison(&r->trials[i].message);
        if (r->trials[i].tuned) poison(&r->trials[i].tuned);
    }
}
