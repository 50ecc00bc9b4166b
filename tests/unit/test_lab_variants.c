/* test_lab_variants.c -- grids, drawings, conditions, rules, matching, and what variants must share. */
#include "harness/small_run.h"

#include <moira/lab.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/settings.h"

/* Of 480 tokens a step, as run_setup's config, but small, and with a router that takes any loss. */
static const char base_text[] =
    "run: {name: b}\n"
    "data: {path: %s/data.h5}\n"
    "model: {hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2,\n"
    "        num_local_experts: 4, num_experts_per_tok: 2}\n"
    "balance: {switch: 0.01, z_loss: 0.001}\n"
    "train: {batch_size: 3, sequence_length: 80, gradient_accumulation_steps: 2}\n"
    "optimizer: {learning_rate: 3.0e-3}\n"
    "eval: {every: 5, batches: 2}\n";

static int make_folder(void **state)
{
    run_setup(state);
    char *text = mo_strprintf(base_text, run_folder);
    mo_status status = mo_write_file(temp_path(run_folder, "base.yaml"), text, strlen(text));
    mo_free(text);
    return status == MO_OK ? 0 : -1;
}

static mo_lab_spec spec;
static mo_lab_variant *made;
static int n_made;

/* Of `text` after a name and a base. */
static mo_status make_with(const char *text, const mo_lab_variants_options *options)
{
    const char *path = temp_path(run_folder, "x.yaml");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "name: x\nbase: base.yaml\n%s", text);
    assert_int_equal(fclose(file), 0);
    MO_TRY(mo_lab_spec_load(path, &spec));
    mo_status status = mo_lab_variants(&spec, options, &made, &n_made);
    if (status != MO_OK) mo_lab_spec_free(&spec);
    return status;
}

static mo_status make(const char *text)
{
    static const mo_lab_variants_options options = {.most = 10000};
    return make_with(text, &options);
}

static void done(void)
{
    mo_lab_variants_free(made, n_made);
    mo_lab_spec_free(&spec);
}

/* "topk 2" and so on: the values of each variant's chosen settings. */
static void check_chosen(const char *const *wanted, int count)
{
    assert_int_equal(n_made, count);
    for (int i = 0; i < count; i++) {
        char text[200] = "";
        for (int s = 0; s < made[i].chosen.count; s++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", s ? " " : "",
                     made[i].chosen.at[s].value);
        assert_string_equal(text, wanted[i]);
    }
}

static void a_grid_is_every_combination_the_first_slowest(void **state)
{
    (void)state;
    static const char *const wanted[] = {"topk 1e-3", "topk 2e-3", "sigmoid 1e-3", "sigmoid 2e-3"};
    MO_CHECK_OK(make("budget: {steps: 20}\n"
                     "parameters: {model.router: [topk, sigmoid], optimizer.learning_rate: [1e-3, 2e-3]}\n"));
    check_chosen(wanted, 4);
    assert_string_equal(made[0].name, "v0001");
    assert_string_equal(made[3].name, "v0004");
    assert_int_equal(made[0].steps, 20);
    assert_int_equal(made[0].step_tokens, 480);
    assert_int_equal(made[0].experts, 4);
    assert_true(made[0].active > 0 && made[0].active < made[0].total && made[0].memory_bytes > 0);
    done();
}

static const char *setting(int variant, const char *key)
{
    for (int i = 0; i < made[variant].settings.count; i++)
        if (strcmp(made[variant].settings.at[i].key, key) == 0) return made[variant].settings.at[i].value;
    return "";
}

static void conditions_leave_parameters_out(void **state)
{
    (void)state;
    static const char *const wanted[] = {"topk 1 false",         "topk 2",
                                         "sigmoid 1e-3 1 false", "sigmoid 1e-3 2",
                                         "sigmoid 1e-2 1 false", "sigmoid 1e-2 2"};
    MO_CHECK_OK(make("budget: {steps: 20}\n"
                     "parameters:\n"
                     "  model.router: [topk, sigmoid]\n"
                     "  balance.bias_update_rate: {values: [1e-3, 1e-2], when: {model.router: [sigmoid]}}\n"
                     "  model.num_experts_per_tok: [1, 2]\n"
                     "  model.norm_topk_prob: {values: [false], when: {model.num_experts_per_tok: 1.0}}\n"));
    check_chosen(wanted, 6);
    done();
}

/* A parameter that is not there has the base's value: topk. */
static void a_condition_may_hang_on_a_conditional(void **state)
{
    (void)state;
    static const char *const wanted[] = {"4 topk 0.01", "4 sigmoid", "8 0.01"};
    MO_CHECK_OK(make("budget: {steps: 20}\n"
                     "parameters:\n"
                     "  model.num_local_experts: [4, 8]\n"
                     "  model.router: {values: [topk, sigmoid], when: {model.num_local_experts: 4}}\n"
                     "  optimizer.weight_decay: {values: [0.01], when: {model.router: topk}}\n"));
    check_chosen(wanted, 3);
    done();
}

static void rules_leave_combinations_out(void **state)
{
    (void)state;
    static const char *const fewer[] = {"4 2", "8 2", "8 6"};
    MO_CHECK_OK(make("budget: {steps: 20}\n" /* of 4 experts 6 are no config's at all */
                     "parameters: {model.num_local_experts: [4, 8], model.num_experts_per_tok: [2, 6]}\n"
                     "rules: [model.num_experts_per_tok < model.num_local_experts]\n"));
    check_chosen(fewer, 3);
    int64_t total = made[0].total;
    done();
    static const char *const small[] = {"4"};
    char *text =
        mo_strprintf("budget: {steps: 20}\n"
                     "parameters: {model.num_local_experts: [4, 8]}\nrules: [total_params <= %lld]\n",
                     (long long)total);
    MO_CHECK_OK(make(text));
    check_chosen(small, 1);
    mo_free(text);
    done();
    MO_CHECK_STATUS(make("budget: {steps: 20}\n"
                         "parameters: {model.num_local_experts: [4, 8]}\nrules: [total_params < 1]\n"),
                    MO_E_CONFIG);
    MO_CHECK_MESSAGE("x.yaml: the rules leave no combination of the parameters");
}

/* What the base's router decides by itself is what rules see. */
static void rules_see_what_a_default_stands_for(void **state)
{
    (void)state;
    static const char *const wanted[] = {"noisy_topk 0"};
    MO_CHECK_OK(make("budget: {steps: 20}\n"
                     "set: {balance.switch: 0, model.norm_topk_prob: default}\n"
                     "parameters: {model.router: [switch, noisy_topk], model.num_experts_per_tok: [0]}\n"
                     "rules: [model.num_experts_per_tok == 2, model.moe_intermediate_size == 24]\n"));
    check_chosen(wanted, 1);
    done();
}

static void a_combination_no_run_would_take_is_named(void **state)
{
    (void)state;
    MO_CHECK_STATUS(make("budget: {steps: 20}\n"
                         "parameters: {model.num_experts_per_tok: [2, 9], optimizer.beta1: [0.5]}\n"),
                    MO_E_CONFIG);
    MO_CHECK_MESSAGE("x.yaml: model.num_experts_per_tok=9, optimizer.beta1=0.5: ");
    MO_CHECK_MESSAGE("num_local_experts");
    MO_CHECK_MESSAGE("rules, or when, can leave such combinations out");
}

/* What each would need by itself: estimates are shared between variants that need the same. */
static uint64_t memory_of(const mo_lab_variant *v)
{
    mo_run_config config;
    mo_run_data data;
    mo_run_memory memory;
    MO_CHECK_OK(mo__settings_load(v->config, &v->settings, &config));
    MO_CHECK_OK(mo_run_data_open(&config, &data));
    config.model.vocab_size = data.sources[0].file->vocab_size;
    MO_CHECK_OK(
        mo_run_memory_estimate(&config, mo_run_data_bytes(&data, config.train.sequence_length), &memory));
    mo_run_data_close(&data);
    mo_config_free(&config);
    return memory.total;
}

static void memory_is_each_variants_own(void **state)
{
    (void)state;
    MO_CHECK_OK(make("budget: {steps: 20}\n"
                     "parameters:\n"
                     "  optimizer.beta1: [0.5, 0.9]\n"
                     "  model.num_local_experts: [4, 12]\n"
                     "  train.recompute: [none, full]\n"
                     "  balance.sequence: [0, 0.1, 0.2]\n"
                     "  checkpoint.background: [true, false]\n"));
    assert_int_equal(n_made, 48);
    for (int i = 0; i < n_made; i++) assert_true(made[i].memory_bytes == memory_of(&made[i]));
    done();
}

/* ---- drawings ---- */

static const char drawn[] =
    "budget: {steps: 20}\n"
    "strategy: random\n"
    "trials: %d\n"
    "draw_seed: %d\n"
    "parameters:\n"
    "  model.router: [topk, sigmoid]\n"
    "  balance.bias_update_rate: {from: 1e-4, to: 1e-1, log: true, when: {model.router: "
    "sigmoid}}\n"
    "  model.num_local_experts: {from: 4, to: 6}\n"
    "  optimizer.weight_decay: {from: 0.1, to: 0.3}\n";

static void draw(int trials, int seed)
{
    char *text = mo_strprintf(drawn, trials, seed);
    MO_CHECK_OK(make(text));
    assert_int_equal(n_made, trials);
    mo_free(text);
}

static void drawings_begin_alike_and_are_distinct(void **state)
{
    (void)state;
    enum { MANY = 200, FEW = 30 };
    char *all[MANY];
    int experts[7] = {0}, sigmoid = 0, low = 0, lower = 0;
    draw(MANY, 1);
    for (int i = 0; i < MANY; i++) {
        bool biased = strcmp(setting(i, "model.router"), "sigmoid") == 0;
        double decay = strtod(setting(i, "optimizer.weight_decay"), NULL);
        const char *rate = setting(i, "balance.bias_update_rate");
        all[i] = mo_strprintf("%s %s %s %g", setting(i, "model.router"), rate,
                              setting(i, "model.num_local_experts"), decay);
        for (int j = 0; j < i; j++) assert_string_not_equal(all[i], all[j]);
        assert_true(decay >= 0.1 && decay <= 0.3 && strlen(setting(i, "optimizer.weight_decay")) <= 6);
        assert_int_equal(made[i].experts, strtol(setting(i, "model.num_local_experts"), NULL, 10));
        assert_int_equal(*rate != '\0', biased);
        assert_true(!biased || (strtod(rate, NULL) >= 1e-4 && strtod(rate, NULL) <= 0.1));
        experts[made[i].experts]++;
        sigmoid += biased;
        low += decay < 0.2;
        lower += biased && strtod(rate, NULL) < 3.162e-3; /* half of a decade's logarithm, and of three */
    }
    /* Within four deviations of a fair share. */
    for (int e = 4; e <= 6; e++) assert_in_range(experts[e], 40, 94);
    assert_in_range(sigmoid, 72, 128);
    assert_in_range(low, 72, 128);
    assert_in_range(lower, sigmoid / 2 - 20, sigmoid / 2 + 20);
    done();
    draw(FEW, 1);
    for (int i = 0; i < FEW; i++) {
        char *again = mo_strprintf(
            "%s %s %s %g", setting(i, "model.router"), setting(i, "balance.bias_update_rate"),
            setting(i, "model.num_local_experts"), strtod(setting(i, "optimizer.weight_decay"), NULL));
        assert_string_equal(again, all[i]);
        mo_free(again);
    }
    done();
    draw(1, 2);
    assert_string_not_equal(setting(0, "optimizer.weight_decay"), strrchr(all[0], ' ') + 1);
    done();
    for (int i = 0; i < MANY; i++) mo_free(all[i]);
}

static void no_more_can_be_drawn_than_there_are(void **state)
{
    (void)state;
    MO_CHECK_OK(make("budget: {steps: 20}\nstrategy: random\ntrials: 6\n"
                     "parameters: {model.num_local_experts: [4, 5, 6], optimizer.beta1: [0.5, 0.9]}\n"));
    assert_int_equal(n_made, 6);
    done();
    MO_CHECK_STATUS(make("budget: {steps: 20}\nstrategy: random\ntrials: 7\n"
                         "parameters: {model.num_local_experts: [4, 5, 6], optimizer.beta1: [0.5, 0.9]}\n"),
                    MO_E_CONFIG);
    MO_CHECK_MESSAGE("trials: 7 variants are to be drawn, and after 6 no other was found");
}

static void too_many_are_refused(void **state)
{
    (void)state;
    static const mo_lab_variants_options four = {.most = 4}, any = {0};
    static const char text[] =
        "budget: {steps: 20}\nparameters: {optimizer.beta1: {from: 0.1, to: 0.5, step: 0.1}}\n";
    MO_CHECK_STATUS(make_with(text, &four), MO_E_RANGE);
    MO_CHECK_MESSAGE("x.yaml: the parameters have more than 4 combinations");
    MO_CHECK_MESSAGE("--yes");
    MO_CHECK_OK(make_with(text, &any));
    assert_int_equal(n_made, 5);
    done();
    MO_CHECK_STATUS(
        make_with("budget: {steps: 20}\nparameters: {optimizer.beta1: {from: 0, to: 0.9, count: 90}}\n"
                  "rules: [optimizer.beta1 > 0.95]\n",
                  &four),
        MO_E_RANGE);
    MO_CHECK_MESSAGE("the rules leave 0 so far");
}

/* ---- budgets ---- */

static void budgets_become_whole_steps(void **state)
{
    (void)state;
    MO_CHECK_OK(
        make("budget: {tokens: 4801}\nparameters: {train.batch_size: [3, 6]}\nset: {eval.batches: 0}\n"));
    assert_int_equal(made[0].steps, 11); /* of 480 */
    assert_int_equal(made[1].steps, 6);
    assert_string_equal(setting(1, "train.steps"), "6");
    assert_string_equal(setting(1, "train.tokens"), "0");
    assert_string_equal(setting(1, "train.seconds"), "0");
    double flops = made[0].flops_per_token * 480;
    done();
    char *text = mo_strprintf("budget: {flops: %.17g}\nparameters: {optimizer.beta1: [0.5]}\n", 7.4 * flops);
    MO_CHECK_OK(make(text));
    assert_int_equal(made[0].steps, 7);
    mo_free(text);
    done();
    MO_CHECK_OK(make("set: {train.tokens: 961}\nparameters: {optimizer.beta1: [0.5]}\n"));
    assert_int_equal(made[0].steps, 3);
    done();
}

static void ends_by_the_clock_are_refused(void **state)
{
    (void)state;
    MO_CHECK_STATUS(make("set: {train.seconds: 5}\nparameters: {optimizer.beta1: [0.5]}\n"), MO_E_CONFIG);
    MO_CHECK_MESSAGE("train.seconds 5 ends trials by the clock");
    MO_CHECK_STATUS(
        make("budget: {steps: 20}\nset: {eval.patience: 2}\nparameters: {optimizer.beta1: [0.5]}\n"),
        MO_E_CONFIG);
    MO_CHECK_MESSAGE("eval.patience 2 ends trials before the others");
    MO_CHECK_STATUS(make("parameters: {optimizer.beta1: [0.5]}\n"), MO_E_CONFIG);
    MO_CHECK_MESSAGE("train.steps, train.tokens and train.seconds are all 0");
}

static void rungs_are_checked(void **state)
{
    (void)state;
    static const char halving[] = "strategy: halving\nhalving: {first_steps: %d, factor: 2}\nbudget: {%s}\n"
                                  "parameters: {%s}\n";
    static const struct {
        int first;
        const char *budget, *parameters, *message;
    } all[] = {{5, "steps: 20", "optimizer.beta1: [0.1, 0.2, 0.3, 0.4]", NULL},
               {4, "steps: 20", "optimizer.beta1: [0.1, 0.2, 0.3, 0.4]", "eval.every"},
               {5, "tokens: 96000", "train.gradient_accumulation_steps: [2, 4]",
                "v0001 has 200 and v0002 100; give budget"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char *text = mo_strprintf(halving, all[i].first, all[i].budget, all[i].parameters);
        if (all[i].message) {
            MO_CHECK_STATUS(make(text), MO_E_CONFIG);
            MO_CHECK_MESSAGE(all[i].message);
        } else {
            MO_CHECK_OK(make(text));
            assert_int_equal(n_made, 4);
            done();
        }
        mo_free(text);
    }
}

/* ---- comparisons ---- */

static void dense_variants_are_matched(void **state)
{
    (void)state;
    MO_CHECK_OK(make("budget: {steps: 20}\n"
                     "set: {model.n_shared_experts: 1}\n"
                     "variants:\n"
                     "  by-active: {set: {model.num_local_experts: 0}, match: active_params, to: moe}\n"
                     "  moe: {set: {model.router: topk}}\n"
                     "  by-total: {set: {model.num_local_experts: 0}, match: total_params, to: moe}\n"
                     "  by-flops: {set: {model.num_local_experts: 0}, match: flops, to: moe}\n"));
    assert_int_equal(n_made, 4);
    assert_string_equal(made[0].name, "by-active");
    assert_string_equal(made[0].matched_to, "moe");
    assert_null(made[1].matched_to);
    assert_true(isnan(made[1].wanted) && isnan(made[1].got));
    assert_true(fabs((double)made[0].active / (double)made[1].active - 1) < 0.01);
    assert_true(fabs((double)made[2].total / (double)made[1].total - 1) < 0.01);
    assert_true(fabs(made[3].flops_per_token / made[1].flops_per_token - 1) < 0.01);
    assert_true((double)made[2].total > 1.2 * (double)made[0].total);
    assert_true(made[0].wanted == (double)made[1].active && made[0].got == (double)made[0].active);
    for (int i = 0; i < 4; i++) {
        if (i == 1) continue;
        assert_int_equal(made[i].experts, 0);
        assert_string_equal(setting(i, "balance.switch"), "0");
        assert_string_equal(setting(i, "balance.z_loss"), "0");
        assert_string_equal(setting(i, "model.n_shared_experts"), "0");
        assert_true(strtol(setting(i, "model.intermediate_size"), NULL, 10) > 24);
    }
    assert_string_equal(setting(1, "balance.switch"), "");
    done();
    MO_CHECK_STATUS(make("budget: {steps: 20}\nvariants:\n  moe:\n"
                         "  wide: {set: {model.num_local_experts: 0, model.hidden_size: 64}, match: "
                         "active_params, to: moe}\n"),
                    MO_E_CONFIG);
    MO_CHECK_MESSAGE("x.yaml: variant wide: match active_params: ");
}

static void what_is_tuned_must_go_with_every_variant(void **state)
{
    (void)state;
    static const char variants[] =
        "budget: {steps: 20}\nvariants:\n  moe:\n  dense: {set: {model.num_local_experts: 0}}\n"
        "tune: {parameter: %s}\n";
    char *both = mo_strprintf(variants, "optimizer.weight_decay, values: [0, 0.1]");
    char *one = mo_strprintf(variants, "balance.switch, values: [0, 0.1]");
    MO_CHECK_OK(make(both));
    assert_string_equal(setting(0, "optimizer.weight_decay"), "");
    done();
    MO_CHECK_STATUS(make(one), MO_E_CONFIG);
    MO_CHECK_MESSAGE("x.yaml: variant dense cannot be tuned: ");
    MO_CHECK_MESSAGE("balance.switch=0");
    mo_free(both);
    mo_free(one);
}

static void a_sweep_is_matched_to_its_base(void **state)
{
    (void)state;
    MO_CHECK_OK(make("budget: {steps: 20}\nmatch: active_params\n"
                     "parameters: {model.num_experts_per_tok: [2, 3], model.num_local_experts: [6, 0]}\n"
                     "rules: [model.num_local_experts > 0 or model.num_experts_per_tok == 2]\n"));
    assert_int_equal(n_made, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(made[i].matched_to, "base");
        assert_true(fabs(made[i].got / made[i].wanted - 1) < 0.01);
        assert_true(made[i].got == (double)made[i].active);
    }
    assert_true(strtol(setting(2, "model.intermediate_size"), NULL, 10) < 24);
    done();
}

/* Seconds as if each of 24 of width took one, and four of its own steps to know. */
static double time_of(const char *config, const mo_lab_settings *settings, void *user)
{
    int *calls = user; /* of models with experts, of all */
    double width = 24, experts = 4;
    assert_non_null(config);
    for (int i = 0; i < settings->count; i++) {
        if (strcmp(settings->at[i].key, "model.intermediate_size") == 0)
            width = strtod(settings->at[i].value, NULL);
        if (strcmp(settings->at[i].key, "model.num_local_experts") == 0)
            experts = strtod(settings->at[i].value, NULL);
    }
    calls[0] += experts > 0;
    calls[1]++;
    return experts > 0 ? 2 + width / 10 : experts < 0 ? (double)NAN : 1 + width / 20;
}

static void seconds_are_measured(void **state)
{
    (void)state;
    static const char text[] = "budget: {steps: 20}\nvariants:\n  moe:\n"
                               "  a: {set: {model.num_local_experts: 0}, match: wall_clock, to: moe}\n"
                               "  b: {set: {model.num_local_experts: 0}, match: wall_clock, to: moe}\n";
    int calls[2] = {0};
    mo_lab_variants_options timed = {.time = time_of, .user = calls};
    MO_CHECK_OK(make_with(text, &timed));
    assert_int_equal(made[1].match, MO_MATCH_WALL_CLOCK);
    assert_true(fabs(made[1].wanted - 4.4) < 1e-9 && fabs(made[1].got / 4.4 - 1) <= 0.01);
    assert_int_equal(calls[0], 1); /* what both are matched to */
    assert_in_range(calls[1], 3, 17);
    assert_string_equal(setting(1, "model.intermediate_size"), setting(2, "model.intermediate_size"));
    done();
    MO_CHECK_STATUS(make(text), MO_E_UNSUPPORTED);
    MO_CHECK_MESSAGE("x.yaml: variant a: match wall_clock needs trials to be timed");
}

static void what_variants_must_share_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        mo_status status;
        const char *message;
    } all[] = {
        {"model.hidden_act: gelu", MO_E_MISMATCH,
         "variants a and b: model.hidden_act is gelu here and swiglu in the first"},
        {"model.initializer_range: 0.01", MO_E_MISMATCH, "model.initializer_range is 0.01 here"},
        {"train.sequence_length: 40", MO_E_MISMATCH, "train.sequence_length is 40 here and 80 in the first"},
        {"train.gradient_accumulation_steps: 1", MO_E_MISMATCH,
         "a step reads 240 tokens here and 480 in the first"},
        {"train.batch_size: 6, train.gradient_accumulation_steps: 1", MO_E_MISMATCH,
         "eval.batches 2 of train.batch_size 6 are evaluated"},
        {"train.batch_size: 6, train.gradient_accumulation_steps: 1, eval.batches: 1", MO_OK, ""},
        {"data.path: %s/other.h5", MO_E_MISMATCH, "variants learn from the same data"},
        {"data.path: %s/same.h5", MO_OK, ""},
        {"data.path: %s/none.h5", MO_E_NOT_FOUND, "variants a and b: "},
        {"model.vocab_size: 100", MO_E_MISMATCH, "variant b: "},
        {"init.from: none.h5", MO_E_NOT_FOUND, "variant b: "},
    };
    char *other = run_path("other.h5"), *same = run_path("same.h5");
    run_make_data(other, 6);
    run_make_data(same, 5);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *place = strstr(all[i].settings, "%s");
        char *text = mo_strprintf("budget: {steps: 20}\nvariants:\n  a:\n  b: {set: {%.*s%s%s}}\n",
                                  place ? (int)(place - all[i].settings) : (int)strlen(all[i].settings),
                                  all[i].settings, place ? run_folder : "", place ? place + 2 : "");
        mo_status status = make(text);
        if (status != all[i].status)
            fail_msg("%s: %s, %s", all[i].settings, mo_status_name(status), mo_last_error());
        if (status == MO_OK)
            done();
        else
            MO_CHECK_MESSAGE(all[i].message);
        mo_free(text);
    }
    mo_free(other);
    mo_free(same);
    MO_CHECK_STATUS(make("budget: {steps: 20}\nparameters: {train.batch_size: [3, 6]}\n"), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("x.yaml: train.batch_size=6: eval.batches 2 of train.batch_size 6");
}

static mo_status make_and_free(const char *text)
{
    MO_TRY(make(text));
    done();
    return MO_OK;
}

static void each_allocation_that_fails_is_told(void **state)
{
    (void)state;
    int64_t count, before = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(
        count, make_and_free("budget: {tokens: 9600}\nstrategy: random\ntrials: 2\n"
                             "parameters: {model.num_local_experts: [4, 5, 6], optimizer.beta1: "
                             "{from: 0.1, to: 0.9}}\n"
                             "rules: [active_params < 1e9]\nmatch: flops\n"));
    assert_true(count > 500);
    assert_int_equal(mo__alloc_live(), before);
}

int main(int argc, char **argv)
{
    int child = run_as_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grid_is_every_combination_the_first_slowest),
        cmocka_unit_test(conditions_leave_parameters_out),
        cmocka_unit_test(a_condition_may_hang_on_a_conditional),
        cmocka_unit_test(rules_leave_combinations_out),
        cmocka_unit_test(rules_see_what_a_default_stands_for),
        cmocka_unit_test(a_combination_no_run_would_take_is_named),
        cmocka_unit_test(memory_is_each_variants_own),
        cmocka_unit_test(drawings_begin_alike_and_are_distinct),
        cmocka_unit_test(no_more_can_be_drawn_than_there_are),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(budgets_become_whole_steps),
        cmocka_unit_test(ends_by_the_clock_are_refused),
        cmocka_unit_test(rungs_are_checked),
        cmocka_unit_test(dense_variants_are_matched),
        cmocka_unit_test(what_is_tuned_must_go_with_every_variant),
        cmocka_unit_test(a_sweep_is_matched_to_its_base),
        cmocka_unit_test(seconds_are_measured),
        cmocka_unit_test(what_variants_must_share_is_checked),
        cmocka_unit_test(each_allocation_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, make_folder, run_teardown);
}
