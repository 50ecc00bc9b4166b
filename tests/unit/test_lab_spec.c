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
    MO_TRY(mo_write_file(path, text, strlen(text)));
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
    assert_int_equal((int)strlen(s.digest), 32);
    mo_lab_spec_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_sweep_is_read)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
