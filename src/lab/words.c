/* words.c -- numbers with their uncertainty in sentences. */
#include "lab/words.h"

#include <math.h>

#include "base/units.h"

/* So many that the half width of an interval has two digits. */
static int decimals(const mo_estimate *e, int otherwise)
{
    double half = (e->high - e->low) / 2;
    if (!(half > 0)) return otherwise;
    return (int)fmin(fmax(floor(-log10(half)) + 2, 0), 9);
}

static const char *side(double difference)
{
    return difference < 0 ? "lower" : "higher";
}

mo__words mo__words_difference(const mo_estimate *d)
{
    mo__words w;
    int n = decimals(d, 4);
    if (isnan(d->low))
        snprintf(w.text, sizeof w.text, "%.*f nats per token %s", n, fabs(d->mean), side(d->mean));
    else if (d->low < 0 && d->high > 0)
        snprintf(w.text, sizeof w.text,
                 "%.*f nats per token %s (95%% interval from %.*f lower to %.*f higher, %d seeds)", n,
                 fabs(d->mean), side(d->mean), n, -d->low, n, d->high, d->count);
    else
        snprintf(w.text, sizeof w.text, "%.*f nats per token %s (95%% interval %.*f to %.*f, %d seeds)", n,
                 fabs(d->mean), side(d->mean), n, fmin(fabs(d->low), fabs(d->high)), n,
                 fmax(fabs(d->low), fabs(d->high)), d->count);
    return w;
}

mo__words mo__words_speedup(const mo_estimate *speedup, mo_axis axis, bool inverse)
{
    static const char *const of[MO_AXES] = {"tokens", "FLOPs", "training time"};
    bool many = axis != MO_AXIS_SECONDS;
    double mean = speedup->mean, low = speedup->low, high = speedup->high;
    mo__words w;
    if (inverse) {
        mean = 1 / mean;
        low = 1 / speedup->high;
        high = 1 / speedup->low;
    }
    if (low > 1)
        snprintf(w.text, sizeof w.text, "%.2f times %s %s (%.2f to %.2f)", mean, many ? "fewer" : "less",
                 of[axis], low, high);
    else if (high < 1)
        snprintf(w.text, sizeof w.text, "%.2f times as %s %s (%.2f to %.2f)", 1 / mean,
                 many ? "many" : "much", of[axis], 1 / high, 1 / low);
    else if (isnan(low))
        snprintf(w.text, sizeof w.text, "%.2f times %s %s", mean > 1 ? mean : 1 / mean,
                 mean <= 1 ? many ? "as many" : "as much"
                 : many    ? "fewer"
                           : "less",
                 of[axis]);
    else
        snprintf(w.text, sizeof w.text, "about as %s %s (%.2f to %.2f times as %s)", many ? "many" : "much",
                 of[axis], 1 / high, 1 / low, many ? "many" : "much");
    return w;
}

mo__words mo__words_times(double ratio)
{
    mo__words w;
    double times = ratio > 1 ? ratio : 1 / ratio;
    snprintf(w.text, sizeof w.text, "%.*f times %s",
             times < 2     ? 2
             : times < 100 ? 1
                           : 0,
             times, ratio > 1 ? "fewer" : "as many");
    return w;
}

mo__words mo__words_spent(double x, mo_axis axis)
{
    mo__words w;
    if (axis == MO_AXIS_TOKENS)
        snprintf(w.text, sizeof w.text, "%s tokens", mo__short(x).text);
    else if (axis == MO_AXIS_FLOPS)
        snprintf(w.text, sizeof w.text, "%sFLOPs", mo__short(x).text);
    else
        snprintf(w.text, sizeof w.text, "%s of training", mo__duration(x).text);
    return w;
}
