/* rank.c -- selection by digits: the largest digit that leaves room for no more than what has it, then the
 * next digit of those that have it, until they all fit or the digits are at an end. */
#include "ops/rank.h"

enum { DIGIT = 8, DIGITS = 1 << DIGIT };

mo__best mo__best_of(const mo__rank *ranks, int64_t n, int64_t room)
{
    mo__best best = {0, 0, room};
    for (int shift = 8 * (int)sizeof(mo__rank) - DIGIT; shift >= 0; shift -= DIGIT) {
        int64_t count[DIGITS] = {0};
        mo__rank digit = DIGITS - 1;
        for (int64_t i = 0; i < n; i++)
            if ((ranks[i] & best.mask) == best.least) count[ranks[i] >> shift & (DIGITS - 1)]++;
        for (; digit > 0 && count[digit] < best.equal; digit--) best.equal -= count[digit];
        best.least |= digit << shift;
        best.mask |= (mo__rank)(DIGITS - 1) << shift;
        if (count[digit] == best.equal) break;
    }
    return best;
}
