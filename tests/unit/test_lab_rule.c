/* test_lab_rule.c -- rules: arithmetic, words, three-valued logic, and what is no rule. */
#include "harness/harness.h"

#include <string.h>

#include "config/schema.h"
#include "lab/rule.h"

/* Two experts of eight, a router, a capacity that is null; counts are known if user is not NULL. */
static mo_status look_up(int key, int count, mo__rule_value *out, void *user)
{
    out->known = key >= 0 || user;
    if (key < 0) {
        out->number = count == MO__RULE_ACTIVE_PARAMS ? 1e6 : count == MO__RULE_TOTAL_PARAMS ? 3e6 : 6e6;
        return MO_OK;
    }
    const char *name = mo__keys[key].name;
    if (strcmp(name, "model.num_experts_per_tok") == 0) out->number = 2;
    if (strcmp(name, "model.num_local_experts") == 0) out->number = 8;
    if (strcmp(name, "model.router") == 0) strcpy(out->word, "topk");
    if (strcmp(name, "model.capacity_factor") == 0) strcpy(out->word, "null");
    if (strcmp(name, "model.tie_word_embeddings") == 0) strcpy(out->word, "true");
    return MO_OK;
}

static mo__rule_result evaluate(const char *rule, bool counts)
{
    mo__rule_result result = MO__RULE_UNKNOWN;
    int known = 1;
    MO_CHECK_OK(mo__rule_evaluate(rule, NULL, NULL, &result));
    MO_CHECK_OK(mo__rule_evaluate(rule, look_up, counts ? &known : NULL, &result));
    return result;
}

static void rules_hold_or_are_broken(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool holds;
    } rules[] = {
        {"model.num_experts_per_tok < model.num_local_experts", true},
        {"model.num_local_experts<model.num_experts_per_tok", false},
        {"model.num_experts_per_tok <= 2", true},
        {"model.num_experts_per_tok >= 2.5", false},
        {"model.num_experts_per_tok > 2", false},
        {"model.num_experts_per_tok == 2e0", true},
        {"model.num_experts_per_tok != 2", false},
        {"1 + 2 * 3 == 7", true},
        {"(1 + 2) * 3 == 9", true},
        {"8 - 3 - 2 == 3", true},
        {"8 / 4 / 2 == 1", true},
        {"-2 + 5 == 3", true},
        {"2 * -3 == -6", true},
        {"1 - -1 == 2", true},
        {"model.router == topk", true},
        {"topk != model.router", false},
        {"model.tie_word_embeddings == true", true},
        {"model.capacity_factor == null", true},
        {"model.capacity_factor != null", false},
        {"not model.router == topk", false},
        {"not 1 > 2", true},
        {"1 < 2 and 2 < 3", true},
        {"1 < 2 and 3 < 2", false},
        {"3 < 2 or 1 < 2", true},
        {"1 < 2 or 1 < 2 and 3 < 2", true}, /* and before or */
        {"(1 < 2 or 1 < 2) and 3 < 2", false},
        {"active_params <= 1e6", true},
        {"total_params < 3e6", false},
        {"flops_per_token / active_params == 6", true},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (evaluate(rules[i].rule, true) != (rules[i].holds ? MO__RULE_HOLDS : MO__RULE_BROKEN))
            fail_msg("%s: %s", rules[i].rule, rules[i].holds ? "does not hold" : "is not broken");
}

/* What is not known decides nothing, and leaves to the rest what that decides alone. */
static void what_is_not_known_is_no_answer(void **state)
{
    (void)state;
    assert_int_equal(evaluate("active_params < 1e9", false), MO__RULE_UNKNOWN);
    assert_int_equal(evaluate("not active_params < 1e9", false), MO__RULE_UNKNOWN);
    assert_int_equal(evaluate("active_params < 1e9 and 1 > 2", false), MO__RULE_BROKEN);
    assert_int_equal(evaluate("1 > 2 and active_params < 1e9", false), MO__RULE_BROKEN);
    assert_int_equal(evaluate("active_params < 1e9 and 1 < 2", false), MO__RULE_UNKNOWN);
    assert_int_equal(evaluate("active_params < 1e9 or 1 < 2", false), MO__RULE_HOLDS);
    assert_int_equal(evaluate("active_params < 1e9 or 1 > 2", false), MO__RULE_UNKNOWN);
}

static void what_is_no_rule_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *message;
    } rules[] = {
        {"", "a name or a number is missing at its end"},
        {"1 <", "a name or a number is missing at its end"},
        {"1 < 2 3", "an operator is missing at '3'"},
        {"1 < 2 < 3", "two comparisons in a row"},
        {"(1 < 2", "a ) is missing at its end"},
        {"1 < 2)", "an operator is missing at ')'"},
        {"1 + 2", "compares nothing"},
        {"model.router", "compares nothing"},
        {"1x < 2", "this is no number, at '1x < 2'"},
        {"1 = 2", "an operator is missing at '= 2'"},
        {"model.rooter == topk", "unknown key; did you mean router?"},
        {"model.router == sigmiod", "model.router: 'sigmiod' is not known here"},
        {"model.router < 3", "model.router, a word stands where a number should"},
        {"model.router == 3", "a number stands where a word should"},
        {"model.num_local_experts == topk", "model.num_local_experts: 'topk' is not a whole number"},
        {"activ_params < 3", "activ_params, a word stands where a number should"},
        {"activ_params == 3", "a number stands where a word should"},
        {"freeze == 3", "a number stands where a word should"},
        {"data.mixture == 3", "data.mixture is a list, which no rule can look at"},
        {"not 3", "a number stands where a condition should"},
        {"1 < 2 and 3", "a number stands where a condition should"},
        {"(1 < 2) == (2 < 3)", "a condition stands where a number should"},
        {"-(1 < 2) < 3", "a condition stands where a number should"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa < 1", "no name is that long"},
        {"((((((((((((((((((((((((((((((((((((((((((((((((((1)))))))))))))))) < 1", "too many brackets"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        mo__rule_result result;
        mo_status status = mo__rule_evaluate(rules[i].rule, NULL, NULL, &result);
        if (status != MO_E_CONFIG || !strstr(mo_last_error(), rules[i].message))
            fail_msg("%s: %s, \"%s\"", rules[i].rule, mo_status_name(status), mo_last_error());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold_or_are_broken),
        cmocka_unit_test(what_is_not_known_is_no_answer),
        cmocka_unit_test(what_is_no_rule_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
