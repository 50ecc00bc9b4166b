/* test_config_tuning.c -- freeze, a key at the top of a config, and lora: read, overridden, refused, dumped,
 * compared, explained. */
#include "harness/harness.h"

#include <moira/config.h>

#include <string.h>

static const char head[] = "run: {name: t}\n"
                           "data: {path: d.h5}\n"
                           "model: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 2,\n"
                           "        num_attention_heads: 2, num_local_experts: 4}\n"
                           "train: {steps: 10, batch_size: 2, sequence_length: 16}\n"
                           "optimizer: {learning_rate: 1e-3}\n"; /* 6 lines */

static mo_status parse(const char *rest, mo_run_config *out)
{
    char *text = mo_strprintf("%s%s", head, rest);
    mo_status status = mo_config_parse(text, "x.yaml", out);
    mo_free(text);
    return status;
}

static void keys_are_read_in_either_style(void **state)
{
    (void)state;
    static const char *const styles[] = {
        "freeze: [experts, '!*.1.*']\nlora: {rank: 4, alpha: 8, dropout: 0.25, targets: [q_proj, w2]}\n",
        "lora:\n  targets:\n    - q_proj\n    - w2\n  rank: 4\n  alpha: 8\n  dropout: 0.25\n"
        "freeze:\n  - experts\n  - \"!*.1.*\"\n"};
    for (int i = 0; i < 2; i++) {
        mo_run_config c;
        MO_CHECK_OK(parse(styles[i], &c));
        const mo_tuning_config *t = &c.tuning;
        assert_int_equal(t->freeze.count, 2);
        assert_string_equal(t->freeze.at[0].text, "experts");
        assert_string_equal(t->freeze.at[1].text, "!*.1.*");
        assert_true(t->lora.rank == 4 && t->lora.alpha == 8 && t->lora.dropout == 0.25);
        assert_int_equal(t->lora.targets.count, 2);
        assert_string_equal(t->lora.targets.at[1].text, "w2");
        mo_config_free(&c);
    }
    mo_run_config c;
    MO_CHECK_OK(parse("", &c));
    assert_true(c.tuning.freeze.count == 0 && c.tuning.lora.rank == 0 && c.tuning.lora.alpha == 16);
    assert_true(c.tuning.lora.dropout == 0 && c.tuning.lora.targets.count == 0);
    mo_config_free(&c);
}

static void a_dump_reads_back(void **state)
{
    (void)state;
    mo_run_config c, again;
    char *text;
    MO_CHECK_OK(parse("freeze: [norms, '!*.1.*']\nlora: {rank: 4, targets: [o_proj]}\n", &c));
    MO_CHECK_OK(mo_config_dump(&c, &text));
    assert_non_null(strstr(text,
                           "\nfreeze: [\"norms\", \"!*.1.*\"]\nlora:\n  rank: 4\n  alpha: 16\n  dropout: 0\n"
                           "  targets: [\"o_proj\"]\n"));
    MO_CHECK_OK(mo_config_parse(text, "dump", &again));
    MO_CHECK_OK(mo_config_check_resume(&c, &again));
    assert_string_equal(again.tuning.freeze.at[1].text, "!*.1.*");
    mo_free(text);
    mo_config_free(&c);
    mo_config_free(&again);
}

static void a_wrong_value_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } all[] = {
        {"freeze: experts\n",
         "x.yaml:7: freeze: one value stands where a list of texts should; write [experts]"},
        {"freeze: [a, [b]]\n", "x.yaml:7: freeze[1]: a list stands where one value should"},
        {"freeze: ['']\n", "x.yaml:7: freeze[0]: '' is too short; expected text of 1 to 200 bytes"},
        {"freeze: [norms]\nfreeze: [experts]\n", "x.yaml:8: freeze: duplicate key; it is on line 7 already"},
        {"frieze: [norms]\n", "x.yaml:7: frieze: unknown section; did you mean freeze?"},
        {"'': [norms]\n", "x.yaml:7: : unknown section; moira help config lists all sections"},
        {"lora: {freeze: [norms]}\n", "x.yaml:7: lora.freeze: unknown key; did you mean freeze?"},
        {"freeze: {experts: 1}\n", "x.yaml:7: freeze: a mapping stands where a list of texts should"},
        {"freeze: [expert]\n", "x.yaml: freeze[0]: 'expert' fits no parameter; did you mean experts?"},
        {"lora: {rank: 2, targets: [up_proj]}\n",
         "x.yaml: lora.targets[0]: 'up_proj' is nothing that this model has; it has q_proj, k_proj, v_proj, "
         "o_proj, w1, w2, w3"},
        {"lora: {rank: -1}\n", "x.yaml:7: lora.rank: '-1' is out of range; expected 0 to 65536"},
        {"lora: {alpha: 0}\n",
         "x.yaml:7: lora.alpha: '0' is out of range; expected above 0, at most 1000000"},
        {"lora: {dropout: 1}\n", "x.yaml:7: lora.dropout: '1' is out of range; expected at least 0, below 1"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mo_run_config c;
        int64_t before = mo__alloc_live();
        MO_CHECK_STATUS(parse(all[i].text, &c), MO_E_CONFIG);
        assert_string_equal(mo_last_error(), all[i].message);
        assert_int_equal(mo__alloc_live(), before);
    }
}

static void the_command_line_sets_a_key_at_the_top(void **state)
{
    const char *path = temp_path(*state, "a.yaml");
    char *name = mo_strdup(path), *text = mo_strprintf("%sfreeze: [norms]\n", head);
    MO_CHECK_OK(mo_write_file(name, text, strlen(text)));
    mo_free(text);
    static const char *const words[] = {"freeze=[experts, '!*.1.*']", "lora.rank=3"};
    mo_run_config c;
    MO_CHECK_OK(mo_config_load(name, words, 2, &c));
    assert_int_equal(c.tuning.freeze.count, 2);
    assert_string_equal(c.tuning.freeze.at[0].text, "experts");
    assert_int_equal(c.tuning.lora.rank, 3);
    mo_config_free(&c);
    static const struct {
        const char *word, *message;
    } wrong[] = {
        {"frezee=[norms]", "command line: frezee=[norms]: unknown key; did you mean freeze?"},
        {"freeze.x=1", "command line: freeze.x=1: unknown section; did you mean the key freeze?"},
        {"steps=1",
         "command line: steps=1: a setting is written section.key=value, such as train.steps=1000"},
        {"freeze", "command line: freeze: a setting is written section.key=value, such as train.steps=1000"},
        {"=1", "command line: =1: a setting is written section.key=value, such as train.steps=1000"},
        {".freeze=[norms]",
         "command line: .freeze=[norms]: unknown section; moira help config lists all sections"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        MO_CHECK_STATUS(mo_config_load(name, &wrong[i].word, 1, &c), MO_E_CONFIG);
        MO_CHECK_MESSAGE(wrong[i].message);
    }
    mo_free(name);
}

static void a_resumed_run_trains_the_same(void **state)
{
    (void)state;
    mo_run_config saved, wanted;
    MO_CHECK_OK(parse("freeze: [norms]\nlora: {rank: 2}\n", &saved));
    MO_CHECK_OK(parse("freeze: [experts]\nlora: {rank: 2, targets: [q_proj]}\n", &wanted));
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    MO_CHECK_MESSAGE(
        "resume: freeze[0] was \"norms\" and is now \"experts\", lora.targets had 0 elements and now "
        "has 1; a resumed run may change only run.dir");
    mo_config_free(&saved);
    mo_config_free(&wanted);
}

static void help_has_a_key_at_the_top(void **state)
{
    (void)state;
    char *text;
    MO_CHECK_OK(mo_config_help("freeze", &text));
    assert_ptr_equal(strstr(text, "at the top of a config, beside its sections\n  freeze   "), text);
    mo_free(text);
    MO_CHECK_OK(mo_config_help("lora.alpha", &text));
    assert_ptr_equal(strstr(text, "lora:\n  alpha   "), text);
    mo_free(text);
    MO_CHECK_STATUS(mo_config_help("", &text), MO_E_USAGE);
    MO_CHECK_STATUS(mo_config_help("freese", &text), MO_E_USAGE);
    MO_CHECK_MESSAGE("did you mean freeze?");
}

static int make_folder(void **state)
{
    *state = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

/* Settings of adapters without a rank would train the whole model. */
static void adapters_need_a_rank(void **state)
{
    mo_run_config c;
    char *name = mo_strdup(temp_path(*state, "a.yaml")), *text;
    const struct {
        const char *section, *word;
        bool wrong;
    } cases[] = {
        {"lora: {targets: [q_proj]}\n", NULL, true},
        {"lora: {alpha: 16}\n", NULL, true},
        {"lora: {dropout: 0.1}\n", NULL, true},
        {"", "lora.alpha=32", true},
        {"lora: {rank: 0, alpha: 16, dropout: 0, targets: []}\n", "lora.targets=[q_proj]", true},
        {"lora: {alpha: 32, targets: [q_proj]}\n", "lora.rank=4", false},
        {"lora: {rank: 4, alpha: 32, targets: [q_proj]}\n", "lora.rank=0", false},
        {"lora: {rank: 0, alpha: 32, targets: [q_proj]}\n", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char whole[1024];
        snprintf(whole, sizeof whole, "%s%s", head, cases[i].section);
        MO_CHECK_OK(mo_write_file(name, whole, strlen(whole)));
        mo_status status = mo_config_load(name, &cases[i].word, cases[i].word ? 1 : 0, &c);
        if (cases[i].wrong) {
            MO_CHECK_STATUS(status, MO_E_CONFIG);
            MO_CHECK_MESSAGE("is given and lora.rank is 0, so there would be no adapters");
            continue;
        }
        MO_CHECK_OK(status);
        MO_CHECK_OK(mo_config_dump(&c, &text)); /* which has all keys, and a rank of 0 beside them */
        mo_config_free(&c);
        MO_CHECK_OK(mo_config_parse(text, "dump", &c));
        mo_config_free(&c);
        mo_free(text);
    }
    mo_free(name);
}

static void names_of_peft_lead_to_ours(void **state)
{
    (void)state;
    const char *const names[][2] = {{"r: 8", "did you mean lora.rank?"},
                                    {"lora_alpha: 8", "did you mean lora.alpha?"},
                                    {"lora_dropout: 0.1", "did you mean lora.dropout?"},
                                    {"target_modules: [q_proj]", "did you mean lora.targets?"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char section[64];
        mo_run_config c;
        snprintf(section, sizeof section, "lora: {%s}\n", names[i][0]);
        MO_CHECK_STATUS(parse(section, &c), MO_E_CONFIG);
        MO_CHECK_MESSAGE(names[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_in_either_style),
        cmocka_unit_test(a_dump_reads_back),
        cmocka_unit_test(a_wrong_value_is_refused_with_its_place),
        cmocka_unit_test_setup_teardown(the_command_line_sets_a_key_at_the_top, make_folder, remove_folder),
        cmocka_unit_test(a_resumed_run_trains_the_same),
        cmocka_unit_test_setup_teardown(adapters_need_a_rank, make_folder, remove_folder),
        cmocka_unit_test(names_of_peft_lead_to_ours),
        cmocka_unit_test(help_has_a_key_at_the_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
