/* test_lab_variants.c -- grids, drawings, conditions, rules, matching, and what variants must share. */
#include "harness/small_run.h"

#include <moira/lab.h>

#include <math.h>
#include <string.h>

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

/* Of `text` after a name, a base and 20 steps. */
static mo_status make(const char *text)
{
    static const mo_lab_variants_options options = {.most = 10000};
    const char *path = temp_path(run_folder, "x.yaml");
    char *whole = mo_strprintf("name: x\nbase: base.yaml\nbudget: {steps: 20}\n%s", text);
    mo_status status = mo_write_file(path, whole, strlen(whole));
    mo_free(whole);
    if (status == MO_OK) status = mo_lab_spec_load(path, &spec);
    if (status != MO_OK) return status;
    status = mo_lab_variants(&spec, &options, &made, &n_made);
    if (status != MO_OK) mo_lab_spec_free(&spec);
    return status;
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
    MO_CHECK_OK(make("parameters: {model.router: [topk, sigmoid], optimizer.learning_rate: [1e-3, 2e-3]}\n"));
    check_chosen(wanted, 4);
    assert_string_equal(made[0].name, "v0001");
    assert_string_equal(made[3].name, "v0004");
    assert_int_equal(made[0].steps, 20);
    assert_int_equal(made[0].step_tokens, 480);
    assert_int_equal(made[0].experts, 4);
    assert_true(made[0].active > 0 && made[0].active < made[0].total && made[0].memory_bytes > 0);
    done();
}

int main(int argc, char **argv)
{
    int child = run_as_child(argc, argv);
    if (child >= 0) return child;
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_grid_is_every_combination_the_first_slowest)};
    return cmocka_run_group_tests(tests, make_folder, run_teardown);
}
