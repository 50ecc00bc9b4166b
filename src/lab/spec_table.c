/* spec_table.c -- the keys of sweeps' and comparisons' files: one table for reading them and for help. */
#include <string.h>

#include "lab/store_file.h"
#include "spec.h"

enum { MOST_DRAWS = 1000000, BOTH = MO__SPEC_SWEEP | MO__SPEC_COMPARE };

/* clang-format off */
#define VALUE(name, of, type, field, initial, min, max, flags, names, form, shown, help) \
    {name, of, {name, type, offsetof(mo_lab_spec, field), initial, min, max, flags, names, "", NULL, NULL}, NULL, \
     form, shown, help}
#define INT(name, of, field, initial, max, form, shown, help) \
    VALUE(name, of, MO__INT, field, initial, 1, max, 0, NULL, form, shown, help)
#define TEXT(name, of, field, initial, min, max, flags, form, shown, help) \
    VALUE(name, of, MO__STRING, field, initial, min, max, flags, NULL, form, shown, help)
#define ENUM(name, of, field, names, initial, form, help) \
    VALUE(name, of, MO__ENUM, field, initial, 0, 0, 0, names, form, initial, help)
#define READ(name, of, read, form, shown, help) {name, of, {0}, read, form, shown, help}
/* clang-format on */

const mo__spec_key mo__spec_keys[] = {
    TEXT("name", BOTH, name, NULL, 1, 100, MO__FOLDER_NAME, "TEXT", NULL,
         "Of the experiment, and of its folder."),
    READ("base", BOTH, mo__spec_read_base, "CONFIG", NULL,
         "The config of all trials; the path counts from this file's folder."),
    TEXT("dir", BOTH, dir, "", 0, 4096, 0, "FOLDER", "experiments/NAME",
         "The experiment's folder, from the working folder: results.db, trials, report.html."),
    READ("set", BOTH, mo__spec_read_set, "{section.key: value, ...}", "{}",
         "Settings of all trials, upon the base."),
    READ("seeds", BOTH, mo__spec_read_seeds, "COUNT or [SEED, ...]", "1",
         "run.seed of each variant's trials; a count is 1 to COUNT. More may be added later, nothing else."),
    READ("budget", BOTH, mo__spec_read_budget, "{steps: N}, {tokens: N} or {flops: N}", "the config's own",
         "Of one trial: steps, positions read (up to whole steps), or training FLOPs (to the nearest step)."),
    ENUM("strategy", MO__SPEC_SWEEP, strategy, mo__strategy_words, "grid", "grid, random or halving",
         "All combinations, some at random, or those that do best so far (successive halving)."),
    INT("trials", MO__SPEC_SWEEP, draws, "0", MOST_DRAWS, "N", "for halving the whole grid",
        "random, halving: how many different variants are drawn."),
    VALUE("draw_seed", MO__SPEC_SWEEP, MO__UINT64, draw_seed, "1", 0, 0, 0, NULL, "N", "1",
          "random, halving: another seed draws others. More trials begin with the same ones."),
    READ(
        "halving", MO__SPEC_SWEEP, mo__spec_read_halving, "{first_steps: N, factor: F}", "none; factor 3",
        "halving: all variants are trained for first_steps, the best 1/F of them for F times as many, and so "
        "on to the budget's. Each has the schedule of the whole budget. Rungs are multiples of eval.every."),
    ENUM("match", MO__SPEC_SWEEP, match, mo__match_names, "none",
         "active_params, total_params, flops or wall_clock",
         "Every variant gets the intermediate_size (or moe_intermediate_size, where the config has one) at "
         "which it equals the base."),
    READ("parameters", MO__SPEC_SWEEP, mo__spec_read_parameters, "{section.key: VALUES, ...}", NULL,
         "What is varied, over any keys of a config: see below."),
    READ("rules", MO__SPEC_SWEEP, mo__spec_read_rules, "[RULE, ...]", "[]",
         "Combinations that break one are left out. A rule compares (< <= > >= == !=) numbers, words, keys, "
         "active_params, total_params and flops_per_token, with + - * / ( ) and or not."),
    READ("variants", MO__SPEC_COMPARE, mo__spec_read_variants,
         "{NAME: {set: {...}, config: CONFIG, match: X, to: NAME}, ...}", NULL,
         "What is compared: settings upon the base or another config. match gives a variant the "
         "intermediate_size at which it equals variant `to` in active_params, total_params, flops or "
         "wall_clock, within 1% (5% of measured time)."),
    READ("reference", MO__SPEC_COMPARE, mo__spec_read_reference, "NAME", "the first dense variant",
         "The variant that the others are held against."),
    READ(
        "tune", MO__SPEC_COMPARE, mo__spec_read_tune, "{parameter: KEY, values: [...], steps: N}", "nothing",
        "Every variant first tries each value with the first seed, and keeps its best. `tune: learning_rate` "
        "tries the base's times 1/3, 1 and 3. Without steps a try has the whole budget."),
    READ("timing", MO__SPEC_COMPARE, mo__spec_read_timing, "{steps: N}", "none",
         "Steps of every variant and seed, one at a time with all cores, that tell its speed."),
};
const int mo__spec_key_count = sizeof mo__spec_keys / sizeof *mo__spec_keys;

/* ---- help ---- */

static const char sweep_example[] =
    "VALUES are a list, or a map that may have a condition on a parameter above (when):\n"
    "  parameters:\n"
    "    model.router: [topk, sigmoid]\n"
    "    balance.bias_update_rate: {values: [1e-3, 1e-2], when: {model.router: sigmoid}}\n"
    "    optimizer.learning_rate: {from: 1e-3, to: 1e-2, count: 4, log: true}\n"
    "    model.num_local_experts: {from: 4, to: 16, step: 4}   # as far as steps go: to itself may not be "
    "one\n"
    "    optimizer.weight_decay: {from: 0, to: 0.2}   # any number between, for those that draw\n"
    "  rules: [\"model.num_experts_per_tok < model.num_local_experts\", \"active_params <= 2e6\"]\n"
    "A dense variant (model.num_local_experts 0) of a base with experts has no balancing losses and no "
    "shared\n"
    "experts.\n";
static const char compare_example[] =
    "A file:\n"
    "  name: moe-vs-dense\n"
    "  base: base.yaml\n"
    "  seeds: 5\n"
    "  budget: {steps: 600}\n"
    "  variants:\n"
    "    moe:\n"
    "    dense-active: {set: {model.num_local_experts: 0}, match: active_params, to: moe}\n"
    "    dense-flops: {set: {model.num_local_experts: 0}, match: flops, to: moe}\n"
    "  tune: {parameter: optimizer.learning_rate, values: [1e-3, 3e-3], steps: 200}\n"
    "  timing: {steps: 40}\n"
    "Variants have the same data, activation, initialisation, sequence length and sequences in a step. A "
    "dense\n"
    "variant of a base with experts has no balancing losses and no shared experts.\n";

/* Words in lines of at most 100 columns, indented. */
static void add_lines(const char *text, mo__buffer *out)
{
    enum { INDENT = 6, COLUMNS = 100 };
    int column = 0;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > COLUMNS) {
            mo__buffer_add(out, "\n");
            column = 0;
        }
        if (column == 0)
            mo__buffer_add(out, "%*s%.*s", INDENT, "", length, text);
        else
            mo__buffer_add(out, " %.*s", length, text);
        column += column == 0 ? INDENT + length : 1 + length;
        text += length + (text[length] == ' ');
    }
    mo__buffer_add(out, "\n");
}

mo_status mo_lab_spec_help(bool compare, char **out)
{
    mo__buffer text = {0};
    unsigned kind = compare ? MO__SPEC_COMPARE : MO__SPEC_SWEEP;
    mo__buffer_add(&text, "The file, in YAML:\n");
    for (int k = 0; k < mo__spec_key_count; k++) {
        const mo__spec_key *key = &mo__spec_keys[k];
        if (!(key->of & kind)) continue;
        mo__buffer_add(&text, "  %s: %s (%s%s)\n", key->name, key->form, key->initial ? "" : "required",
                       key->initial ? key->initial : "");
        add_lines(key->help, &text);
    }
    mo__buffer_add(&text, "\n%s", compare ? compare_example : sweep_example);
    return mo__buffer_finish(&text, MO_OK, out);
}
