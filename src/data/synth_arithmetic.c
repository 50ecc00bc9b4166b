/* synth_arithmetic.c -- sums, differences and products of small numbers, some in two steps. The first line
 * says how many there are. */
#include "synth.h"

static const char *const OPERATOR[] = {"+ ", "- ", "* "};
static const uint8_t FIRST[] = {3, 3, 2};
static const char *const NEXT[] = {"= ", "+ ", "- "};
static const uint8_t STEPS[] = {4, 2, 1};

/* "a + b = c\n" or, with a second step, "a + b + d = c + d = e\n". Differences are never negative. */
static void write_sum(mo__synth *s)
{
    int64_t a = mo__synth_number(s, 1, 99, " "), c = 0;
    switch (mo__synth_draw(s, OPERATOR, FIRST, 3)) {
    case 0:
        c = a + mo__synth_number(s, 1, 99, " ");
        break;
    case 1:
        c = a - mo__synth_number(s, 0, a, " ");
        break;
    case 2:
        c = a * mo__synth_number(s, 2, 9, " ");
        break;
    }
    int step = mo__synth_draw(s, NEXT, STEPS, 3);
    if (step == 0) {
        mo__synth_say(s, "%lld\n", (long long)c);
        return;
    }
    int64_t d = step == 1 ? mo__synth_number(s, 1, 9, " ") : mo__synth_number(s, 0, c < 9 ? c : 9, " ");
    mo__synth_say(s, "= %lld %s%lld = %lld\n", (long long)c, NEXT[step], (long long)d,
                  (long long)(step == 1 ? c + d : c - d));
}

void mo__synth_arithmetic(mo__synth *s)
{
    mo__synth_say(s, "# ");
    int64_t n = mo__synth_number(s, 8, 13, " sums\n");
    for (int64_t i = 0; i < n; i++) write_sum(s);
}
