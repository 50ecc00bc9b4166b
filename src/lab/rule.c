/* rule.c -- rules: evaluated while they are read, since they are short. */
#include "rule.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"

enum { MOST_DEPTH = 40, LONGEST_NAME = 60 };

typedef enum kind { NUMBER, WORD, TRUTH } kind;
typedef struct value {
    kind kind;
    bool known;
    double number; /* TRUTH: 0 or 1 */
    char word[LONGEST_NAME + 4];
    int key; /* whose value this is, -1: none's */
} value;

typedef struct reader {
    const char *at;
    mo__rule_lookup_fn *lookup;
    void *user;
    int depth;
} reader;

static mo_status read_rule(reader *r, value *out);

static void skip(reader *r)
{
    r->at += strspn(r->at, " \t\n");
}

/* "'REST': PROBLEM" */
static mo_status refuse(const reader *r, const char *problem)
{
    if (!*r->at) return mo_error(MO_E_CONFIG, "%s at its end", problem);
    return mo_error(MO_E_CONFIG, "%s at '%s'", problem, mo__show(r->at).text);
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* Passes over a word of letters, such as "and". */
static bool accept_word(reader *r, const char *word)
{
    size_t length = strlen(word);
    skip(r);
    if (strncmp(r->at, word, length) != 0 || is_name(r->at[length])) return false;
    r->at += length;
    return true;
}

static const char *kind_name(kind k)
{
    return k == NUMBER ? "a number" : k == WORD ? "a word" : "a condition";
}

static mo_status need(const value *v, kind wanted)
{
    if (v->kind == wanted) return MO_OK;
    const char *name = v->key >= 0 ? mo__keys[v->key].name : v->kind == WORD ? v->word : "";
    return mo_error(MO_E_CONFIG, "%s%s%s stands where %s should", name, *name ? ", " : "", kind_name(v->kind),
                    kind_name(wanted));
}

/* ---- operands ---- */

static mo_status take(reader *r, int key, int count, value *out)
{
    mo__rule_value found = {0};
    if (r->lookup) MO_TRY(r->lookup(key, count, &found, r->user));
    out->known = found.known;
    if (found.known) {
        out->kind = *found.word ? WORD : NUMBER;
        out->number = found.number;
        memcpy(out->word, found.word, sizeof found.word);
    }
    return MO_OK;
}

static mo_status take_key(reader *r, const char *name, value *out)
{
    MO_TRY(mo__setting_find(name, &out->key));
    mo__key_type type = mo__keys[out->key].type;
    if (type == MO__LIST) return mo_error(MO_E_CONFIG, "%s is a list, which no rule can look at", name);
    out->kind = type == MO__INT || type == MO__UINT64 || type == MO__REAL ? NUMBER : WORD;
    return take(r, out->key, -1, out);
}

static mo_status read_name(reader *r, value *out)
{
    static const char *const counts[] = {[MO__RULE_ACTIVE_PARAMS] = "active_params",
                                         [MO__RULE_TOTAL_PARAMS] = "total_params",
                                         [MO__RULE_FLOPS] = "flops_per_token"};
    char name[LONGEST_NAME + 1];
    size_t length = 0;
    while (is_name(r->at[length])) length++;
    if (length > LONGEST_NAME) return refuse(r, "no name is that long");
    memcpy(name, r->at, length);
    name[length] = '\0';
    *out = (value){.kind = NUMBER, .key = -1};
    for (int c = 0; c < MO__RULE_COUNTS; c++)
        if (strcmp(name, counts[c]) == 0) {
            r->at += length;
            return take(r, -1, c, out);
        }
    if (strchr(name, '.')) {
        MO_TRY(take_key(r, name, out));
    } else {
        out->kind = WORD;
        out->known = true;
        strcpy(out->word, name);
    }
    r->at += length;
    return MO_OK;
}

static mo_status read_operand(reader *r, value *out)
{
    char *end;
    skip(r);
    if (*r->at == '(') {
        r->at++;
        MO_TRY(read_rule(r, out));
        skip(r);
        if (*r->at != ')') return refuse(r, "a ) is missing");
        r->at++;
        return MO_OK;
    }
    if (isalpha((unsigned char)*r->at) || *r->at == '_') return read_name(r, out);
    if (!isdigit((unsigned char)*r->at) && *r->at != '.') return refuse(r, "a name or a number is missing");
    *out = (value){.kind = NUMBER, .known = true, .number = strtod(r->at, &end), .key = -1};
    if (end == r->at || is_name(*end)) return refuse(r, "this is no number,");
    r->at = end;
    return MO_OK;
}

/* ---- arithmetic ---- */

static mo_status read_sign(reader *r, value *out)
{
    skip(r);
    bool minus = *r->at == '-';
    r->at += minus;
    MO_TRY(read_operand(r, out));
    if (!minus) return MO_OK;
    MO_TRY(need(out, NUMBER));
    *out = (value){.kind = NUMBER, .known = out->known, .number = -out->number, .key = -1};
    return MO_OK;
}

static double apply(char op, double a, double b)
{
    return op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
}

typedef mo_status read_fn(reader *r, value *out);

/* next { op next }, from the left. */
static mo_status read_chain(reader *r, const char *ops, read_fn *next, value *out)
{
    MO_TRY(next(r, out));
    for (;;) {
        value right;
        skip(r);
        char op = *r->at;
        if (!op || !strchr(ops, op)) return MO_OK;
        r->at++;
        MO_TRY(next(r, &right));
        MO_TRY(need(out, NUMBER));
        MO_TRY(need(&right, NUMBER));
        *out = (value){.kind = NUMBER,
                       .known = out->known && right.known,
                       .key = -1,
                       .number = apply(op, out->number, right.number)};
    }
}

static mo_status read_product(reader *r, value *out)
{
    return read_chain(r, "*/", read_sign, out);
}

static mo_status read_sum(reader *r, value *out)
{
    return read_chain(r, "+-", read_product, out);
}

/* ---- conditions ---- */

typedef enum op { LESS, LESS_EQUAL, MORE, MORE_EQUAL, EQUAL, UNEQUAL, NO_OP } op;

static op accept_op(reader *r)
{
    static const char *const texts[] = {[LESS_EQUAL] = "<=", [MORE_EQUAL] = ">=", [EQUAL] = "==",
                                        [UNEQUAL] = "!=",    [LESS] = "<",        [MORE] = ">"};
    static const op order[] = {LESS_EQUAL, MORE_EQUAL, EQUAL, UNEQUAL, LESS, MORE};
    skip(r);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        size_t length = strlen(texts[order[i]]);
        if (strncmp(r->at, texts[order[i]], length) != 0) continue;
        r->at += length;
        return order[i];
    }
    return NO_OP;
}

/* Whatever the key's value is just now: a number that may be null is one. */
static kind kind_of(const value *v)
{
    if (v->key < 0) return v->kind;
    mo__key_type type = mo__keys[v->key].type;
    return type == MO__INT || type == MO__UINT64 || type == MO__REAL ? NUMBER : WORD;
}

/* A word beside a key must be one that the key takes: a misspelt one would never be equal. */
static mo_status check_word(const value *key, const value *word)
{
    mo_status status = mo__setting_check(key->key, word->word, NULL);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", mo__keys[key->key].name);
}

/* What can be equal: two numbers, two words, a key and a word of its own. */
static mo_status check_equals(const value *a, const value *b)
{
    if (a->kind == TRUTH || b->kind == TRUTH) return need(a->kind == TRUTH ? a : b, NUMBER);
    if (a->key >= 0 && b->key < 0 && b->kind == WORD) return check_word(a, b);
    if (b->key >= 0 && a->key < 0 && a->kind == WORD) return check_word(b, a);
    return kind_of(a) == kind_of(b) ? MO_OK : need(b, kind_of(a));
}

static bool holds(op o, double a, double b)
{
    switch (o) {
    case LESS:
        return a < b;
    case LESS_EQUAL:
        return a <= b;
    case MORE:
        return a > b;
    case MORE_EQUAL:
        return a >= b;
    case EQUAL:
        return a == b;
    case UNEQUAL:
    case NO_OP:
        break;
    }
    return a != b;
}

static mo_status compare(op o, const value *a, const value *b, value *out)
{
    bool known = a->known && b->known, words = a->kind == WORD || b->kind == WORD;
    *out = (value){.kind = TRUTH, .known = known, .key = -1};
    if (o == EQUAL || o == UNEQUAL) {
        MO_TRY(check_equals(a, b));
        bool equal = words ? a->kind == b->kind && strcmp(a->word, b->word) == 0 : a->number == b->number;
        out->number = equal == (o == EQUAL);
        return MO_OK;
    }
    MO_TRY(need(a, NUMBER));
    MO_TRY(need(b, NUMBER));
    out->number = holds(o, a->number, b->number);
    return MO_OK;
}

static mo_status read_comparison(reader *r, value *out)
{
    value left, right;
    MO_TRY(read_sum(r, &left));
    op o = accept_op(r);
    if (o == NO_OP) {
        *out = left;
        return MO_OK;
    }
    MO_TRY(read_sum(r, &right));
    MO_TRY(compare(o, &left, &right, out));
    if (accept_op(r) != NO_OP) return refuse(r, "two comparisons in a row; join them by and");
    return MO_OK;
}

static mo_status read_not(reader *r, value *out)
{
    bool inverted = accept_word(r, "not");
    MO_TRY(read_comparison(r, out));
    if (!inverted) return MO_OK;
    MO_TRY(need(out, TRUTH));
    out->number = out->number == 0;
    return MO_OK;
}

/* Of three values: false and unknown is false, true or unknown is true. `end` is what ends it. */
static mo_status read_logic(reader *r, const char *word, double end, read_fn *next, value *out)
{
    MO_TRY(next(r, out));
    while (accept_word(r, word)) {
        value right;
        MO_TRY(next(r, &right));
        MO_TRY(need(out, TRUTH));
        MO_TRY(need(&right, TRUTH));
        bool ended = (out->known && out->number == end) || (right.known && right.number == end);
        *out = (value){.kind = TRUTH,
                       .known = ended || (out->known && right.known),
                       .key = -1,
                       .number = ended ? end : 1 - end};
    }
    return MO_OK;
}

static mo_status read_and(reader *r, value *out)
{
    return read_logic(r, "and", 0, read_not, out);
}

static mo_status read_rule(reader *r, value *out)
{
    if (++r->depth > MOST_DEPTH) return refuse(r, "too many brackets");
    mo_status status = read_logic(r, "or", 1, read_and, out);
    r->depth--;
    return status;
}

mo_status mo__rule_evaluate(const char *rule, mo__rule_lookup_fn *lookup, void *user, mo__rule_result *out)
{
    value v;
    reader r = {.at = rule, .lookup = lookup, .user = user};
    MO_TRY(read_rule(&r, &v));
    skip(&r);
    if (*r.at) return refuse(&r, "an operator is missing");
    if (v.kind != TRUTH)
        return mo_error(MO_E_CONFIG,
                        "compares nothing; expected something like \"model.num_experts_per_tok < "
                        "model.num_local_experts\"");
    *out = !v.known ? MO__RULE_UNKNOWN : v.number != 0 ? MO__RULE_HOLDS : MO__RULE_BROKEN;
    return MO_OK;
}
