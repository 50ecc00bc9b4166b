/* test_lab_spec.c -- files of sweeps and comparisons: what is read, what is refused and how that is said. */
#include "harness/harness.h"

#include <moira/lab.h>

#include <string.h>

static const char base_text[] =
    "run: {name: b}\n"
    "data: {path: d.h5}\n"
    "model: {hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2,\n"
    "        num_local_experts: 4, num_experts_per_tok: 2, vocab_size: 256}\n"
    "balance: {switch: 0.01}\n"
    "train: {steps: 10, batch_size: 2, sequence_length: 16}\n"
    "optimizer: {learning_rate: 3e-3}\n";

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = temp_make();
    return mo_write_file(temp_path(folder, "base.yaml"), base_text, strlen(base_text)) == MO_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

static mo_status load(const char *text, mo_lab_spec *spec)
{
    const char *path = temp_path(folder, "x.yaml");
    FILE *file = fopen(path, "w"); /* not mo_write_file, which waits for the disk */
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return mo_lab_spec_load(path, spec);
}

static void a_sweep_is_read(void **state)
{
    (void)state;
    mo_lab_spec s;
    MO_CHECK_OK(load("name: g\n"
                     "base: base.yaml\n"
                     "set: {train.batch_size: 4, freeze: []}\n"
                     "parameters:\n"
                     "  model.router: [topk, sigmoid]\n"
                     "  optimizer.learning_rate: {from: 1e-3, to: 1e-2, log: true, count: 4}\n"
                     "  model.num_local_experts: {from: 4, to: 16, step: 4}\n"
                     "  balance.bias_update_rate: {values: [1e-3, 1e-2], when: {model.router: sigmoid}}\n"
                     "  model.capacity_factor: [null, 1.25]\n"
                     "seeds: [7, 3]\n"
                     "budget: {steps: 300}\n"
                     "match: active_params\n"
                     "rules: [\"model.num_experts_per_tok < model.num_local_experts\"]\n",
                     &s));
    assert_false(s.compare);
    assert_string_equal(s.dir, "experiments/g");
    assert_int_equal(s.set.count, 2);
    assert_string_equal(s.set.at[0].value, "4");
    assert_int_equal(s.n_seeds, 2);
    assert_int_equal((int)s.seeds[0], 7);
    assert_int_equal((int)s.budget.steps, 300);
    assert_int_equal(s.match, MO_MATCH_ACTIVE_PARAMS);
    assert_int_equal(s.n_parameters, 5);
    const char *rates[] = {"1e-3", "0.002154", "0.004642", "1e-2"}, *experts[] = {"4", "8", "12", "16"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(s.parameters[1].values[i], rates[i]);
        assert_string_equal(s.parameters[2].values[i], experts[i]);
    }
    assert_int_equal(s.parameters[2].count, 4);
    assert_string_equal(s.parameters[3].when.key, "model.router");
    assert_string_equal(s.parameters[3].when.values[0], "sigmoid");
    assert_string_equal(s.parameters[4].values[0], "null");
    mo_lab_spec_free(&s);
}

static void a_comparison_is_read(void **state)
{
    (void)state;
    mo_lab_spec s;
    MO_CHECK_OK(load("name: c\n"
                     "base: base.yaml\n"
                     "dir: somewhere/else\n"
                     "seeds: 3\n"
                     "budget: {tokens: 1e6}\n"
                     "variants:\n"
                     "  moe:\n"
                     "  dense: {set: {model.num_local_experts: 0}, match: flops, to: moe}\n"
                     "  other: {config: ./base.yaml, set: {model.router: sigmoid}}\n"
                     "tune: {parameter: optimizer.weight_decay, values: [0.1, 0], steps: 50}\n"
                     "timing: {steps: 40}\n",
                     &s));
    assert_true(s.compare);
    assert_string_equal(s.dir, "somewhere/else");
    assert_string_equal(s.reference, "dense");
    assert_int_equal(s.n_seeds, 3);
    assert_int_equal((int)s.seeds[2], 3);
    assert_int_equal((int)s.budget.tokens, 1000000);
    assert_int_equal(s.n_entries, 3);
    assert_string_equal(s.entries[0].config, s.base);
    assert_int_equal(s.entries[1].match, MO_MATCH_FLOPS);
    assert_string_equal(s.entries[1].to, "moe");
    assert_non_null(strstr(s.entries[2].config, "/./base.yaml"));
    assert_string_equal(s.entries[2].settings.at[0].value, "sigmoid");
    assert_string_equal(s.tune.key, "optimizer.weight_decay");
    assert_int_equal(s.tune.count, 2);
    assert_int_equal((int)s.tune.steps, 50);
    assert_int_equal((int)s.timing_steps, 40);
    mo_lab_spec_free(&s);
}

#define SWEEP   "name: g\nbase: base.yaml\n"
#define COMPARE "name: g\nbase: base.yaml\nvariants: {a: , b: {set: {model.num_local_experts: 0}}}\n"
#define RATES   SWEEP "parameters: {optimizer.learning_rate: [1e-3, 2e-3]}\n"

static void learning_rates_are_thirds_and_threefold(void **state)
{
    (void)state;
    static const char *const wanted[] = {"0.001", "0.003", "0.009"};
    mo_lab_spec s;
    MO_CHECK_OK(load(COMPARE "tune: learning_rate\n", &s));
    assert_string_equal(s.tune.key, "optimizer.learning_rate");
    assert_int_equal(s.tune.count, 3);
    for (int i = 0; i < 3; i++) assert_string_equal(s.tune.values[i], wanted[i]);
    assert_int_equal((int)s.tune.steps, 0);
    mo_lab_spec_free(&s);
}

/* Each is refused with this message, after the file's path. */
static const struct bad {
    const char *text, *message;
} bad[] = {
    {"", "is neither a sweep, which has parameters, nor a comparison, which has variants"},
    {"name: g\nparamaters: {model.router: [topk]}\n",
     "x.yaml:2: paramaters: unknown key; did you mean parameters?"},
    {SWEEP "parameters:\n  optimizer: {learning_rate: [1e-3]}\n",
     "x.yaml:4: optimizer: keys are written with their section here: optimizer.learning_rate"},
    {SWEEP "parameters: {optimizer.learning_rate: {min: 1e-3, max: 1e-2}}\n",
     "x.yaml:3: optimizer.learning_rate: a range is written {from: A, to: B}"},
    {SWEEP "set: {model.router: topk}\nparameters: {model.router: [topk, sigmoid]}\n",
     "x.yaml:4: model.router: is under set too"},
    {SWEEP "parameters:\n  optimizer.beta1: {values: [0, 0.5], when: {model.router: topk}}\n"
           "  model.router: [topk, hash]\n",
     "x.yaml:4: model.router: is a parameter that stands below optimizer.beta1"},
    {COMPARE "budget: {steps: 20}\ntune: {parameter: optimizer.beta1, values: [0, 0.5], steps: 21}\n",
     "x.yaml:5: tune: steps 21 are more than the budget's 20"},
    {"just words\n", "x.yaml:1: one value stands where keys"},
    {"- a\n", "x.yaml:1: a list stands where keys"},
    {SWEEP "parameters: {}\n", "x.yaml:3: parameters: expected {section.key: VALUES"},
    {SWEEP "parameters: {model.router: [topk]}\nvariants: {}\n",
     "x.yaml:4: variants: parameters and variants are both"},
    {"base: base.yaml\nparameters: {model.router: [topk]}\n", "x.yaml: name is missing"},
    {"name: g\nparameters: {model.router: [topk]}\n", "x.yaml: base is missing"},
    {"name: a/b\nbase: base.yaml\nparameters: {model.router: [topk]}\n",
     "x.yaml:1: name: 'a/b' names a folder"},
    {"name: g\nbase: no.yaml\nparameters: {model.router: [topk]}\n", "x.yaml:2: base: there is no"},
    {RATES "seed: 4\n", "x.yaml:4: seed: unknown key; did you mean seeds?"},
    {RATES "name: h\n", "x.yaml:4: name: duplicate key; it is on line 1 already"},
    {RATES "reference: a\n", "x.yaml:4: reference: is of a comparison, and this file is a sweep"},
    {COMPARE "rules: []\n", "x.yaml:4: rules: is of a sweep, and this file is a comparison"},
    {RATES "set: {train.batchsize: 4}\n", "x.yaml:4: train.batchsize: unknown key; did you mean batch_size?"},
    {RATES "set: {train: {batch_size: 4}}\n",
     "x.yaml:4: train: keys are written with their section here: train.batch_size"},
    {RATES "set: {batch_size: 4}\n", "x.yaml:4: batch_size: unknown key; did you mean train.batch_size?"},
    {RATES "set: {train.batch_size: 0}\n", "x.yaml:4: train.batch_size: '0' is out of range; expected 1 to"},
    {RATES "set: {run.seed: 4}\n", "x.yaml:4: run.seed: run.seed cannot be set here: every trial has a name"},
    {RATES "set: {model.num_experts_per_tok: 9}\n", "x.yaml: base, with what is set: "},
    {RATES "seeds: 0\n", "x.yaml:4: seeds: '0' is out of range; expected 1 to 1000"},
    {RATES "seeds: [1, 2, 1]\n", "x.yaml:4: seeds: 1 stands there twice"},
    {RATES "seeds: []\n", "x.yaml:4: seeds: has 0 seeds"},
    {RATES "budget: {}\n", "x.yaml:4: budget: has 0 ends of a trial; give one of steps, tokens, flops"},
    {RATES "budget: {steps: 1, tokens: 2}\n", "x.yaml:4: budget: has 2 ends"},
    {RATES "budget: {stepps: 1}\n", "x.yaml:4: stepps: unknown key; did you mean steps?"},
    {RATES "budget: 100\n", "x.yaml:4: budget: one value stands where {steps: ...} should"},
    {RATES "set: {train.steps: 9}\nbudget: {steps: 8}\n",
     "x.yaml:5: budget: ends trials, and so does train.steps under set"},
    {SWEEP "budget: {steps: 8}\nparameters: {train.steps: [1, 2]}\n",
     "train.steps cannot be set here: budget says when"},
    {RATES "trials: 4\n", "x.yaml:4: trials: strategy grid has all combinations"},
    {RATES "draw_seed: 4\n", "x.yaml:4: draw_seed: nothing is drawn by strategy grid"},
    {RATES "strategy: radnom\n", "x.yaml:4: strategy: 'radnom' is not known here; expected one of grid, "
                                 "random, halving; did you mean random?"},
    {RATES "strategy: random\n", "strategy random needs trials"},
    {RATES "strategy: halving\n", "strategy halving needs halving: {first_steps: N"},
    {RATES "halving: {first_steps: 4}\n", "x.yaml:4: halving: strategy is grid"},
    {RATES "strategy: halving\nhalving: {factor: 2}\n", "x.yaml:5: halving: first_steps is not given"},
    {RATES "strategy: halving\nhalving: {first_steps: 5, factor: 1}\n",
     "x.yaml:5: factor: '1' is out of range; expected above 1"},
    {RATES "strategy: halving\nhalving: {first_steps: 5}\nbudget: {flops: 1e9}\n",
     "x.yaml:6: budget: flops give variants different"},
    {RATES "match: params\n",
     "x.yaml:4: match: 'params' is not known here; expected one of none, active_params"},
    {SWEEP "parameters: {model.rooter: [topk]}\n",
     "x.yaml:3: model.rooter: unknown key; did you mean router?"},
    {SWEEP "parameters: {router: [topk]}\n", "x.yaml:3: router: unknown key; did you mean model.router?"},
    {SWEEP "parameters: {modle.router: [topk]}\n",
     "x.yaml:3: modle.router: unknown section; did you mean model?"},
    {SWEEP "parameters: {model.router: [topk, sigmiod]}\n",
     "x.yaml:3: model.router: 'sigmiod' is not known here"},
    {SWEEP "parameters: {model.router: []}\n",
     "x.yaml:3: model.router: the list is empty, so there would be no trial"},
    {SWEEP "parameters: {model.router: topk}\n", "x.yaml:3: model.router: one value varies nothing"},
    {SWEEP "parameters: {optimizer.learning_rate: [1e-3, 0.001]}\n",
     "optimizer.learning_rate: 0.001 stands there twice"},
    {SWEEP "parameters: {optimizer.learning_rate: [1e-3, ]}\nmatch: 3\n", "match: '3' is not known"},
    {SWEEP "parameters:\n  optimizer.learning_rate:\n    - 1e-3\n    - fast\n",
     "x.yaml:6: optimizer.learning_rate: 'fast' is not a finite number"},
    {SWEEP "parameters: {data.path: [a.h5, b.h5]}\n",
     "data.path cannot be set here: all trials learn from the same data"},
    {SWEEP "parameters: {eval.batches: [1, 2]}\n",
     "eval.batches cannot be set here: all trials are evaluated alike"},
    {SWEEP "parameters: {run.seed: [1, 2]}\n", "run.seed cannot be set here: every trial has a name"},
    {SWEEP "parameters: {train.seconds: [1, 2]}\n", "train.seconds cannot be set here: trials end by steps"},
    {SWEEP "match: flops\nparameters: {model.intermediate_size: [8, 16]}\n",
     "model.intermediate_size: match decides it"},
    {SWEEP "parameters: {model.router: {from: 1, to: 2, count: 2}}\n",
     "model.router is no number, so it has no range"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 1, count: 2}}\n",
     "a range has from and to; to is missing"},
    {SWEEP "parameters: {optimizer.learning_rate: {value: [1]}}\n",
     "value: unknown key; expected from, to, log, count, step, when"},
    {SWEEP "parameters: {optimizer.learning_rate: {values: [1], from: 1}}\n",
     "from: unknown key; expected values, when"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 2, to: 1, count: 2}}\n", "from 2 is not below to 1"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 1, count: 2, log: true}}\n",
     "from 0 is not above 0, which log needs"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 1, step: 0.1, log: true}}\n",
     "from 0 is not above 0"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 1, to: 2, step: 0.1, log: true}}\n",
     "log goes by factors, which a step is not"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 1, step: 0.1, count: 3}}\n",
     "count and step are both given"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 1, step: 1e-6}}\n",
     "step 1e-06 makes more than 10000 values"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 1, count: 1}}\n",
     "count: '1' is out of range; expected 2 to 10000"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 101, count: 2}}\n",
     "'101' is out of range; expected 0 to 100"},
    {SWEEP "parameters: {model.num_local_experts: {from: 1, to: 3, count: 4}}\n",
     "2 would stand there twice"},
    {SWEEP "parameters: {model.num_local_experts: {from: 1.5, to: 3, count: 2}}\n",
     "'1.5' is not a whole number"},
    {SWEEP "parameters: {optimizer.learning_rate: {from: 0, to: 1}}\n", "a grid needs count or step"},
    {SWEEP "parameters: {optimizer.learning_rate: {values: [0, 1], when: {model.router: topk}}}\n",
     "x.yaml:3: model.router: when names a parameter that stands above"},
    {SWEEP "parameters: {model.router: [topk, hash], optimizer.beta1: {values: [0, 0.5], when: "
           "{model.router: soft}}}\n",
     "soft is no value of the parameter model.router"},
    {SWEEP "parameters: {model.router: [topk, hash], optimizer.beta1: {values: [0, 0.5], when: "
           "{model.router: soft, train.steps: 3}}}\n",
     "x.yaml:3: when: expected one {section.key: value}"},
    {RATES "rules: model.router == topk\n", "x.yaml:4: rules: one value stands where a list of rules should"},
    {RATES "rules: [\"model.router == \"]\n",
     "x.yaml:4: rules: \"model.router == \": a name or a number is missing at its end"},
    {"name: g\nbase: base.yaml\nvariants: {a: }\n",
     "x.yaml:3: variants: expected {NAME: {set: ...}, ...}, 2 to 100"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b/c: }\n", "x.yaml:3: b/c: the name of a variant has"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {sett: {}}}\n",
     "x.yaml:3: sett: unknown key; did you mean set?"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {config: no.yaml, set: {model.num_local_experts: 0}}}\n",
     "x.yaml:3: b: there is no"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {match: flops}}\n", "x.yaml:3: b: match needs to"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {to: a}}\n", "x.yaml:3: b: to is given without match"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {match: flops, to: b}}\n",
     "x.yaml:3: b: is matched to itself"},
    {"name: g\nbase: base.yaml\nvariants: {abc: , b: {match: flops, to: abd}}\n",
     "x.yaml:3: b: to: abd is none of the variants; did you mean abc?"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {match: flops, to: a}, c: {match: flops, to: b}}\n",
     "x.yaml:3: c: to: b is matched itself; match both to a"},
    {"name: g\nbase: base.yaml\nvariants: {a: , b: {match: flops, to: a, set: {model.intermediate_size: "
     "4}}}\n",
     "b: match decides model.intermediate_size"},
    {COMPARE "reference: d\n", "x.yaml:4: reference: d is none of the variants"},
    {COMPARE "tune: rate\n", "x.yaml:4: tune: expected learning_rate, or {parameter"},
    {COMPARE "tune: {values: [1]}\n", "x.yaml:4: tune: parameter is not given"},
    {COMPARE "tune: {parameter: optimizer.rate, values: [1]}\n", "x.yaml:4: tune: unknown key"},
    {COMPARE "tune: {parameter: optimizer.beta1}\n", "x.yaml:4: tune: values are not given"},
    {COMPARE "tune: {parameter: optimizer.beta1, values: [1]}\n",
     "x.yaml:4: optimizer.beta1: '1' is out of range"},
    {COMPARE "tune: {parameter: freeze, values: [[a], [b]]}\n",
     "x.yaml:4: tune: freeze is a list; what is tuned is a number"},
    {COMPARE "tune: {parameter: model.hidden_size, values: [8, 16]}\n",
     "x.yaml:4: tune: model.hidden_size is not tuned: what a variant is"},
    {COMPARE "timing: {steps: 3}\n", "x.yaml:4: steps: '3' is out of range; expected 10 to"},
    {COMPARE "timing: {}\n", "x.yaml:4: timing: steps is not given"},
    {COMPARE "timing: [1]\n", "x.yaml:4: timing: a list stands where {steps: ...} should"},
};

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mo_lab_spec s;
        mo_status status = load(bad[i].text, &s);
        if (status == MO_OK) fail_msg("taken as it is:\n%s", bad[i].text);
        if (status != MO_E_CONFIG && status != MO_E_NOT_FOUND)
            fail_msg("'%s' for\n%s", mo_status_name(status), bad[i].text);
        if (!strstr(mo_last_error(), bad[i].message))
            fail_msg("\"%s\"\nwhere \"%s\" is wanted, for\n%s", mo_last_error(), bad[i].message, bad[i].text);
        assert_null(s.path);
    }
}

static const char whole[] =
    "name: g\n"
    "base: base.yaml\n"
    "set: {train.batch_size: 4}\n"
    "strategy: halving\n"
    "trials: 9\n"
    "draw_seed: 3\n"
    "halving: {first_steps: 5}\n"
    "parameters:\n"
    "  model.router: [topk, sigmoid]\n"
    "  balance.bias_update_rate: {values: [1e-3, 1e-2], when: {model.router: sigmoid}}\n"
    "  lora.targets: [[q_proj], [k_proj, v_proj]]\n"
    "  optimizer.learning_rate: {from: 1e-3, to: 1e-2, log: true}\n"
    "seeds: [1, 2]\n"
    "rules: [\"model.router != topk or active_params < 1e9\"]\n";

/* A file cut anywhere, and with any byte another one, is read or refused. */
static void damaged_files_are_refused_or_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole - 1; i++) {
        char text[sizeof whole];
        mo_lab_spec s;
        memcpy(text, whole, sizeof whole);
        text[i] = '\0';
        if (load(text, &s) == MO_OK) mo_lab_spec_free(&s);
        static const char others[] = "{[:,-\"\t#&";
        text[i] = others[i % (sizeof others - 1)];
        if (load(text, &s) == MO_OK) mo_lab_spec_free(&s);
    }
    mo_lab_spec s;
    MO_CHECK_OK(load(whole, &s));
    assert_string_equal(s.parameters[2].values[1], "[k_proj, v_proj]");
    assert_true(s.parameters[3].count == 0 && s.parameters[3].from == 1e-3 && s.parameters[3].logarithmic);
    assert_int_equal((int)s.draws, 9);
    assert_true(s.factor == 3);
    mo_lab_spec_free(&s);
}

static mo_status load_and_free(const char *text)
{
    mo_lab_spec s;
    MO_TRY(load(text, &s));
    mo_lab_spec_free(&s);
    return MO_OK;
}

static void each_allocation_that_fails_is_told(void **state)
{
    (void)state;
    int64_t count, before = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(count, load_and_free(whole));
    assert_true(count > 100);
    MO_CHECK_EACH_ALLOCATION(count, load_and_free(COMPARE "tune: learning_rate\n"));
    assert_true(count > 100);
    assert_int_equal(mo__alloc_live(), before);
}

/* ---- two files ---- */

static void seeds_comments_and_what_trials_set_change_nothing(void **state)
{
    (void)state;
    mo_lab_spec a, b;
    MO_CHECK_OK(load(RATES, &a));
    MO_CHECK_OK(load("# more of them\n" RATES "seeds: 7\ndir: elsewhere\n", &b));
    assert_string_equal(a.asked, b.asked);
    MO_CHECK_OK(mo_lab_spec_compare(a.asked, &b));
    mo_lab_spec_free(&b);
    char *other = mo_strprintf("run: {name: another, seed: 5, threads: 2}\n%s", strchr(base_text, '\n') + 1);
    MO_CHECK_OK(mo_write_file(temp_path(folder, "other.yaml"), other, strlen(other)));
    MO_CHECK_OK(load("name: g\nbase: other.yaml\nparameters: {optimizer.learning_rate: [1e-3, 2e-3]}\n", &b));
    assert_string_equal(a.asked, b.asked);
    mo_free(other);
    mo_lab_spec_free(&a);
    mo_lab_spec_free(&b);
}

static void what_differs_is_named(void **state)
{
    (void)state;
    static const struct bad others[] = {
        {SWEEP "parameters: {optimizer.learning_rate: [1e-3, 3e-3]}\n",
         "parameter optimizer.learning_rate was 1e-3, 2e-3 and is now 1e-3, 3e-3"},
        {RATES "set: {model.hidden_size: 32}\n", "base model.hidden_size was 8 and is now 32"},
        {RATES "budget: {steps: 9}\n", "budget was the config's own and is now 9 steps"},
        {RATES "rules: [1 < 2]\n", "rule 1 is new: 1 < 2"},
        {SWEEP "parameters: {optimizer.beta1: [0.5]}\n",
         "parameter optimizer.learning_rate was 1e-3, 2e-3 and is gone"},
        {RATES "strategy: random\ntrials: 2\n", "trials is new: 2"},
    };
    mo_lab_spec a, b;
    MO_CHECK_OK(load(RATES, &a));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        MO_CHECK_OK(load(others[i].text, &b));
        MO_CHECK_STATUS(mo_lab_spec_compare(a.asked, &b), MO_E_MISMATCH);
        MO_CHECK_MESSAGE(others[i].message);
        mo_lab_spec_free(&b);
    }
    mo_lab_spec_free(&a);
}

static void help_has_every_key_of_a_kind(void **state)
{
    (void)state;
    char *text;
    MO_CHECK_OK(mo_lab_spec_help(false, &text));
    assert_non_null(strstr(text, "  parameters: {section.key: VALUES, ...} (required)\n"));
    assert_non_null(strstr(text, "  strategy: grid, random or halving (grid)\n"));
    assert_null(strstr(text, "variants: {NAME"));
    mo_free(text);
    MO_CHECK_OK(mo_lab_spec_help(true, &text));
    assert_non_null(strstr(text, "  variants: {NAME"));
    assert_null(strstr(text, "  strategy:"));
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 110);
    mo_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sweep_is_read),
        cmocka_unit_test(a_comparison_is_read),
        cmocka_unit_test(learning_rates_are_thirds_and_threefold),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(damaged_files_are_refused_or_read),
        cmocka_unit_test(each_allocation_that_fails_is_told),
        cmocka_unit_test(seeds_comments_and_what_trials_set_change_nothing),
        cmocka_unit_test(what_differs_is_named),
        cmocka_unit_test(help_has_every_key_of_a_kind),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
