/* answer_compare.c -- one variant against another, seed by seed, in tokens, FLOPs and seconds. */
#include <math.h>
#include <string.h>

#include "lab/answer.h"
#include "lab/track.h"

/* Of each seed; NaN where one of the two is not done. */
typedef struct samples {
    double *at, *a, *b, *speedup, *spent; /* one allocation */
    int reached, early_a, early_b;        /* counts of seeds */
} samples;

/* Whether a curve that goes on to `end` is read before that. */
static bool before(double at, double end)
{
    const double equal = 0.01;
    return end > at * (1 + equal);
}

static void sample(const mo__track *a, const mo__track *b, samples *out, int s)
{
    if (a->n == 0 || b->n == 0) return;
    double end_a = mo__track_end(a), end_b = mo__track_end(b), at = fmin(end_a, end_b);
    out->at[s] = at;
    out->early_a += before(at, end_a);
    out->early_b += before(at, end_b);
    out->a[s] = mo__track_at(a, at);
    out->b[s] = mo__track_at(b, at);
    double final_a = mo__track_final(a), final_b = mo__track_final(b);
    bool reached = final_a <= final_b;
    out->speedup[s] = reached ? end_b / mo__track_has(a, final_b) : mo__track_has(b, final_a) / end_a;
    out->reached += reached && out->speedup[s] > 0; /* of the seeds that the speed-up is of */
    out->spent[s] = end_b / end_a;
}

static bool both_done(const mo__table *t, const mo_contrast *c, int s)
{
    const mo_lab_trial *a = mo__table_trial(t, c->variant, s), *b = mo__table_trial(t, c->reference, s);
    return a && b && a->state == MO_TRIAL_DONE && b->state == MO_TRIAL_DONE;
}

static mo_status sample_seed(const mo__table *t, const mo_contrast *c, mo_axis axis, int s, samples *out)
{
    mo__track a, b = {0};
    MO_TRY(mo__track_of(mo__table_trial(t, c->variant, s), axis, t->clock[c->variant * t->n_seeds + s], &a));
    mo_status status =
        mo__track_of(mo__table_trial(t, c->reference, s), axis, t->clock[c->reference * t->n_seeds + s], &b);
    if (status == MO_OK) sample(&a, &b, out, s);
    mo__track_free(&a);
    mo__track_free(&b);
    return status;
}

static mo_verdict sign_of(const mo_estimate *difference, bool whole)
{
    if (!whole || difference->count < 2) return MO_VERDICT_UNKNOWN;
    return difference->high < 0  ? MO_VERDICT_BETTER
           : difference->low > 0 ? MO_VERDICT_WORSE
                                 : MO_VERDICT_NOISE;
}

/* Who is read early is at a disadvantage: that it looks worse is no verdict. */
static mo_verdict verdict_of(const mo_contrast *c, mo_axis axis, bool whole)
{
    int early = c->axis[axis].early;
    mo_verdict verdict = sign_of(&c->axis[axis].difference, whole);
    if (verdict == MO_VERDICT_BETTER && early == c->reference) return MO_VERDICT_UNKNOWN;
    if (verdict == MO_VERDICT_WORSE && early == c->variant) return MO_VERDICT_UNKNOWN;
    return verdict;
}

static mo_status contrast_axis(const mo__table *t, mo_contrast *c, mo_axis axis, samples *x)
{
    bool whole = true;
    x->reached = x->early_a = x->early_b = 0;
    for (int s = 0; s < t->n_seeds; s++) {
        x->at[s] = x->a[s] = x->b[s] = x->speedup[s] = x->spent[s] = (double)NAN;
        if (both_done(t, c, s))
            MO_TRY(sample_seed(t, c, axis, s, x));
        else
            whole = false;
    }
    c->axis[axis].at = mo_estimate_of(x->at, t->n_seeds).mean;
    c->axis[axis].difference = mo_estimate_paired(x->a, x->b, t->n_seeds);
    c->axis[axis].reached = x->reached;
    c->axis[axis].early = 2 * x->early_a > t->n_seeds   ? c->variant
                          : 2 * x->early_b > t->n_seeds ? c->reference
                                                        : -1;
    c->axis[axis].verdict = verdict_of(c, axis, whole && (axis != MO_AXIS_SECONDS || t->steady));
    MO_TRY(mo__estimate_ratios(x->spent, t->n_seeds, &c->axis[axis].spent));
    return mo__estimate_ratios(x->speedup, t->n_seeds, &c->axis[axis].speedup);
}

static void contrast_final(const mo__table *t, mo_contrast *c, samples *x)
{
    bool whole = true;
    for (int s = 0; s < t->n_seeds; s++) {
        bool both = both_done(t, c, s);
        x->a[s] = both ? mo__table_trial(t, c->variant, s)->loss : (double)NAN;
        x->b[s] = both ? mo__table_trial(t, c->reference, s)->loss : (double)NAN;
        whole = whole && both;
    }
    c->final.difference = mo_estimate_paired(x->a, x->b, t->n_seeds);
    c->final.verdict = sign_of(&c->final.difference, whole);
}

static mo_status contrast(const mo__table *t, int variant, int reference, mo_answer *a)
{
    size_t n = (size_t)t->n_seeds;
    mo_contrast *c = &a->contrasts[a->n_contrasts++];
    *c = (mo_contrast){.variant = variant, .reference = reference};
    samples x = {.at = mo_malloc(sizeof(double) * (5 * n + 1))};
    if (!x.at) return MO_E_MEMORY;
    x.a = x.at + n;
    x.b = x.a + n;
    x.speedup = x.b + n;
    x.spent = x.speedup + n;
    mo_status status = MO_OK;
    for (int axis = 0; status == MO_OK && axis < MO_AXES; axis++)
        status = contrast_axis(t, c, (mo_axis)axis, &x);
    contrast_final(t, c, &x);
    mo_free(x.at);
    return status;
}

/* The file's, else the first dense one, else the first. */
static int reference_of(const mo_lab_results *r)
{
    for (int i = 0; r->reference && i < r->n_variants; i++)
        if (strcmp(r->variants[i].name, r->reference) == 0) return i;
    for (int i = 0; i < r->n_variants; i++)
        if (r->variants[i].experts == 0) return i;
    return 0;
}

mo_status mo__answer_contrasts(const mo__table *t, mo_answer *a)
{
    const mo_lab_results *r = t->results;
    int n = r->n_variants, reference = reference_of(r);
    a->contrasts = mo_calloc((size_t)n * (size_t)(n + 1) + 1, sizeof *a->contrasts);
    if (!a->contrasts) return MO_E_MEMORY;
    for (int v = 0; v < n; v++)
        if (v != reference) MO_TRY(contrast(t, v, reference, a));
    for (int v = 0; v < n; v++)
        for (int d = 0; d < n; d++)
            if (v != reference && d != reference && r->variants[v].experts > 0 && r->variants[d].experts == 0)
                MO_TRY(contrast(t, v, d, a));
    return MO_OK;
}
