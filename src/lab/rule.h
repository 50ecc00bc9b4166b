/* rule.h -- rules over a variant's settings and counts.
 *
 *     rule       = and { "or" and }           and    = not { "and" not }       not = [ "not" ] comparison
 *     comparison = sum [ ( < <= > >= == != ) sum ]
 *     sum        = product { ( + - ) product }      product = sign { ( * / ) sign }       sign = [ "-" ]
 * operand operand    = number | section.key | active_params | total_params | flops_per_token | word | ( rule
 * )
 *
 * Words (sigmoid, true, null) are equal or not; all else is arithmetic in double. */
#ifndef MOIRA_LAB_RULE_H
#define MOIRA_LAB_RULE_H

#include <moira/base.h>

/* What a name stands for: a number, or else a word. */
typedef struct mo__rule_value {
    bool known;
    double number;
    char word[64]; /* "": it is a number */
} mo__rule_value;
/* key: index of the config's key; -1: counts[count] is asked for. A value that is not known is left so. */
typedef mo_status mo__rule_lookup_fn(int key, int count, mo__rule_value *out, void *user);

typedef enum mo__rule_count {
    MO__RULE_ACTIVE_PARAMS,
    MO__RULE_TOTAL_PARAMS,
    MO__RULE_FLOPS,
    MO__RULE_COUNTS
} mo__rule_count;

typedef enum mo__rule_result { MO__RULE_BROKEN, MO__RULE_HOLDS, MO__RULE_UNKNOWN } mo__rule_result;

/* With lookup NULL nothing is known: tells whether the rule is one. MO_E_CONFIG says where it is not; no
 * place in front. */
mo_status mo__rule_evaluate(const char *rule, mo__rule_lookup_fn *lookup, void *user, mo__rule_result *out);

#endif
