/* track.c -- see track.h. */
#include "lab/track.h"

#include <math.h>

static double spent(const mo_lab_evaluation *e, mo_axis axis, double step_seconds)
{
    if (axis == MO_AXIS_TOKENS) return (double)e->tokens;
    if (axis == MO_AXIS_FLOPS) return e->flops;
    return isnan(step_seconds) ? e->seconds : (double)e->step * step_seconds;
}

mo_status mo__track_of(const mo_lab_trial *trial, mo_axis axis, double step_seconds, mo__track *out)
{
    size_t most = (size_t)trial->n_evaluations;
    *out = (mo__track){.x = mo_malloc(sizeof(double) * 2 * (most + 1))};
    if (!out->x) return MO_E_MEMORY;
    out->loss = out->x + most;
    for (size_t i = 0; i < most; i++) {
        const mo_lab_evaluation *e = &trial->evaluations[i];
        double x = spent(e, axis, step_seconds);
        if (!(x > (out->n ? mo__track_end(out) : 0)) || isnan(e->validation_loss)) continue;
        out->x[out->n] = x;
        out->loss[out->n++] = e->validation_loss;
    }
    return MO_OK;
}

void mo__track_free(mo__track *track)
{
    mo_free(track->x);
    *track = (mo__track){0};
}

double mo__track_at(const mo__track *t, double x)
{
    int next = 0;
    while (next < t->n && t->x[next] < x) next++;
    if (next == t->n) return (double)NAN;
    if (t->x[next] <= x) return t->loss[next];
    if (next == 0) return (double)NAN;
    double share = (x - t->x[next - 1]) / (t->x[next] - t->x[next - 1]);
    return t->loss[next - 1] + share * (t->loss[next] - t->loss[next - 1]);
}

double mo__track_has(const mo__track *t, double loss)
{
    int last = t->n - 1;
    while (last >= 0 && t->loss[last] <= loss) last--;
    if (last == t->n - 1) return (double)NAN;
    if (last < 0) return t->x[0];
    double share = (t->loss[last] - loss) / (t->loss[last] - t->loss[last + 1]);
    return t->x[last] + share * (t->x[last + 1] - t->x[last]);
}
