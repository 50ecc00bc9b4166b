/* halving.c -- see halving.h. */
#include "lab/halving.h"

#include <math.h>

static mo_status check(int64_t first_steps, double factor, int64_t steps)
{
    if (!(factor > 1 && isfinite(factor)))
        return mo_error(MO_E_CONFIG,
                        "halving.factor is %g; must be more than 1: 1/factor of the variants go on", factor);
    if (first_steps < 1 || first_steps >= steps)
        return mo_error(MO_E_CONFIG,
                        "halving.first_steps is %lld; must be at least 1 and less than the %lld steps of a "
                        "whole trial",
                        (long long)first_steps, (long long)steps);
    return MO_OK;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The largest divisor of n that is at most `most`. */
static int64_t divisor_within(int64_t n, int64_t most)
{
    for (int64_t d = most < n ? most : n; d > 1; d--)
        if (n % d == 0) return d;
    return 1;
}

static mo_status check_evaluations(const mo__halving *plan, int64_t every)
{
    int64_t divisor = 0, bad = -1;
    for (int r = 0; r + 1 < plan->rungs; r++) {
        divisor = common_divisor(divisor, plan->step[r]);
        if (bad < 0 && (every < 1 || plan->step[r] % every != 0)) bad = plan->step[r];
    }
    if (bad < 0) return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "halving: rungs end with an evaluation, but step %lld is no multiple of eval.every %lld; "
                    "eval.every=%lld would do",
                    (long long)bad, (long long)every, (long long)divisor_within(divisor, every));
}

mo_status mo__halving_plan(int64_t variants, int64_t first_steps, double factor, int64_t steps,
                           int64_t eval_every, mo__halving *out)
{
    *out = (mo__halving){0};
    MO_TRY(check(first_steps, factor, steps));
    double power = 1, most = (double)steps / sqrt(factor);
    do {
        if (out->rungs == MO__MOST_RUNGS - 1)
            return mo_error(MO_E_CONFIG,
                            "halving: from halving.first_steps %lld to %lld steps by halving.factor %g there "
                            "are more than %d rungs; give a larger factor",
                            (long long)first_steps, (long long)steps, factor, MO__MOST_RUNGS);
        out->step[out->rungs] = llround((double)first_steps * power);
        out->variants[out->rungs++] = (int64_t)fmax(floor((double)variants / power), 1);
        power *= factor;
    } while (round((double)first_steps * power) <= most);
    out->step[out->rungs] = steps;
    out->variants[out->rungs++] = (int64_t)fmax(floor((double)variants / power), 1);
    for (int r = 1; r < out->rungs; r++)
        if (out->step[r] <= out->step[r - 1])
            return mo_error(
                MO_E_CONFIG,
                "halving: rungs %d and %d both end at step %lld; give a larger halving.factor than "
                "%g or more halving.first_steps than %lld",
                r, r + 1, (long long)out->step[r], factor, (long long)first_steps);
    return check_evaluations(out, eval_every);
}

/* ---- ranking ---- */

static bool before(const double *losses, int a, int b)
{
    bool number_a = isfinite(losses[a]), number_b = isfinite(losses[b]);
    if (number_a != number_b) return number_a;
    if (number_a && (losses[a] < losses[b] || losses[a] > losses[b])) return losses[a] < losses[b];
    return a < b;
}

/* Lets order[root] sink in a heap of `count` that has the last one on top. */
static void sink(const double *losses, int *order, int root, int count)
{
    for (int child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && before(losses, order[child], order[child + 1])) child++;
        if (!before(losses, order[root], order[child])) return;
        int swap = order[root];
        order[root] = order[child];
        order[child] = swap;
    }
}

/* A heap sort: it needs no memory, and the order is total, so there is nothing for it to mix up. */
int mo__rank(const double *losses, int count, int *order)
{
    int numbers = 0;
    for (int i = 0; i < count; i++) {
        order[i] = i;
        numbers += isfinite(losses[i]) != 0;
    }
    for (int root = count / 2 - 1; root >= 0; root--) sink(losses, order, root, count);
    for (int last = count - 1; last > 0; last--) {
        int swap = order[0];
        order[0] = order[last];
        order[last] = swap;
        sink(losses, order, 0, last);
    }
    return numbers;
}

int mo__halving_survivors(const mo__halving *plan, int rung, const double *losses, int count, int *order)
{
    MO_ASSERT(rung >= 0 && rung + 1 < plan->rungs);
    int64_t numbers = mo__rank(losses, count, order), planned = plan->variants[rung + 1];
    return (int)(planned < numbers ? planned : numbers);
}
