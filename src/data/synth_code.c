/* synth_code.c -- functions in a small Python: arguments, assignments, one-line branches and loops, a return.
 * Only names that have a value are read. */
#include "synth.h"

enum { VARIABLES = 20, DIGITS = 9, ENOUGH = 100, PLENTY = 290 };

MO__WORDS(verbs, "get_", "set_", "add_", "fix_", "map_", "fold_", "scan_", "make_", "find_", "move_", "sort_",
          "pack_", "clip_", "push_", "trim_", "join_");
MO__WORDS(nouns, "sum", "row", "key", "tax", "day", "node", "rank", "path", "page", "cost", "word", "line",
          "mean", "unit", "file", "edge", "goal", "user", "hash", "bits", "item", "pair", "root", "seed");

/* Variables, then digits, then the loop's own variable. */
#define NAMES                                                                                             \
    "x", "y", "z", "a", "b", "k", "n", "size", "rate", "cost", "width", "gain", "total", "price", "step", \
        "left", "high", "mass", "dist", "value"
static const char *const OPERAND[] = {NAMES, "1", "2", "3", "4", "5", "6", "7", "8", "9", "i"};
enum { LOOP = VARIABLES + DIGITS, OPERANDS };

/* What begins a statement: a variable to set, a variable to change, or a keyword. */
static const char *const START[] = {
    "x = ",     "y = ",     "z = ",      "a = ",     "b = ",      "k = ",      "n = ",
    "size = ",  "rate = ",  "cost = ",   "width = ", "gain = ",   "total = ",  "price = ",
    "step = ",  "left = ",  "high = ",   "mass = ",  "dist = ",   "value = ",  "x += ",
    "y += ",    "z += ",    "a += ",     "b += ",    "k += ",     "n += ",     "size += ",
    "rate += ", "cost += ", "width += ", "gain += ", "total += ", "price += ", "step += ",
    "left += ", "high += ", "mass += ",  "dist += ", "value += ", "if ",       "for i in range(",
    "else:\n",  "return "};
enum { IF = 2 * VARIABLES, FOR, ELSE, RETURN, STARTS };

MO__WORDS(arithmetic, "\n", " + ", " - ", " * ", " // ");
MO__WORDS(comparison, " > ", " < ", " == ", " != ");

typedef struct {
    uint32_t known; /* bit v: variable v has a value */
    bool looping;
} scope;

/* digits: how likely each of them is; 0 for a variable. */
static void write_operand(mo__synth *s, const scope *c, uint8_t digits)
{
    uint8_t weight[OPERANDS];
    for (int i = 0; i < OPERANDS; i++) weight[i] = i < VARIABLES ? (c->known >> i & 1 ? 6 : 0) : digits;
    weight[LOOP] = c->looping ? 8 : 0;
    mo__synth_draw(s, OPERAND, weight, OPERANDS);
}

/* One or two operands and the end of the line. */
static void write_expression(mo__synth *s, const scope *c)
{
    write_operand(s, c, 1);
    if (mo__synth_pick(s, &arithmetic) == 0) return;
    write_operand(s, c, 1);
    mo__synth_say(s, "\n");
}

/* allowed: bits of the keywords from IF on. Sets or changes a variable itself; returns any keyword. */
static int write_start(mo__synth *s, scope *c, unsigned allowed)
{
    static const uint8_t KEYWORD[] = {24, 18, 60, 12};
    uint8_t weight[STARTS];
    for (int v = 0; v < VARIABLES; v++) {
        weight[v] = (uint8_t)(4 - v / 5);
        weight[VARIABLES + v] = c->known >> v & 1 ? 5 : 0;
    }
    for (int k = IF; k < STARTS; k++) weight[k] = allowed >> (k - IF) & 1 ? KEYWORD[k - IF] : 0;
    int start = mo__synth_draw(s, START, weight, STARTS);
    if (start >= IF) return start;
    write_expression(s, c);
    return start;
}

/* The one statement of a block. What it sets is not known behind the block, which may not run. */
static void write_block(mo__synth *s, const scope *c, bool looping)
{
    scope inner = *c;
    inner.looping = looping;
    mo__synth_say(s, "        ");
    write_start(s, &inner, 0);
}

static void write_head(mo__synth *s, scope *c)
{
    static const char *const MORE[] = {", ", "):\n"};
    static const char *const ARGUMENT[] = {NAMES};
    mo__synth_say(s, "def ");
    mo__synth_pick(s, &verbs);
    mo__synth_pick(s, &nouns);
    mo__synth_say(s, "(");
    int next = 0;
    for (int n = 1; next == 0; n++) {
        uint8_t weight[VARIABLES];
        for (int v = 0; v < VARIABLES; v++) weight[v] = c->known >> v & 1 ? 0 : (uint8_t)(VARIABLES - v);
        c->known |= 1u << mo__synth_draw(s, ARGUMENT, weight, VARIABLES);
        next = mo__synth_draw(s, MORE, (const uint8_t[]){n < 3 ? 1 : 0, 1}, 2);
    }
}

static void write_branch(mo__synth *s, const scope *c)
{
    write_operand(s, c, 0);
    mo__synth_pick(s, &comparison);
    mo__synth_number(s, 0, 99, ":\n");
    write_block(s, c, false);
}

static void write_loop(mo__synth *s, const scope *c)
{
    write_operand(s, c, 0);
    mo__synth_say(s, "):\n");
    write_block(s, c, true);
}

void mo__synth_code(mo__synth *s)
{
    scope c = {0};
    write_head(s, &c);
    for (int last = -1; last != RETURN;) {
        mo__synth_say(s, "    ");
        unsigned allowed = 1u << (IF - IF) | 1u << (FOR - IF);
        if (last == IF) allowed |= 1u << (ELSE - IF);
        if (s->length >= ENOUGH) allowed |= 1u << (RETURN - IF);
        if (s->length >= PLENTY) mo__synth_say(s, "return ");
        last = s->length >= PLENTY ? RETURN : write_start(s, &c, allowed);
        if (last < VARIABLES) c.known |= 1u << last;
        if (last == IF) write_branch(s, &c);
        if (last == FOR) write_loop(s, &c);
        if (last == ELSE) write_block(s, &c, false);
    }
    write_expression(s, &c);
}
