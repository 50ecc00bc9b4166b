/* schedule.c -- learning rates: linear warm-up, then cosine (Loshchilov & Hutter 2017, arXiv:1608.03983),
 * linear, warm-up-stable-decay (Hu et al. 2024, arXiv:2404.06395) or constant. */
#include <math.h>

#include "moira/optim.h"

static double clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

double mo_schedule_rate(const mo_schedule_config *schedule, double peak, int64_t step, int64_t steps)
{
    const double pi = 3.14159265358979323846;
    int64_t warmup = schedule->warmup_steps;
    if (step < warmup) return peak * (double)(step + 1) / (double)warmup;
    double min = schedule->min_ratio;
    double left = steps > warmup ? (double)(steps - warmup) : 1;
    double t = clamp01((double)(step - warmup) / left);
    switch ((mo_schedule_kind)schedule->kind) {
    case MO_SCHEDULE_COSINE:
        return peak * (min + (1 - min) * 0.5 * (1 + cos(pi * t)));
    case MO_SCHEDULE_LINEAR:
        return peak * (1 - (1 - min) * t);
    case MO_SCHEDULE_WSD: {
        double decay = schedule->decay_ratio * (double)steps;
        double into = decay > 0 ? clamp01(((double)step - ((double)steps - decay)) / decay) : 0;
        return peak * (1 - (1 - min) * into);
    }
    case MO_SCHEDULE_CONSTANT:
        break;
    }
    return peak;
}
