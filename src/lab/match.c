/* match.c -- the width of a feed-forward that makes one model equal to another.
 *
 * Every matrix of a feed-forward has the width as one of its sides, and nothing else does, so
 *     count(width) = a + b width
 * in parameters and in FLOPs; adapters of such a matrix too. Seconds are so but for noise and for the steps
 * in which matrix products are cut. */
#include "lab/match.h"

#include <math.h>

enum { MOST_WIDTH = 1 << 24 }; /* what a config takes */

const char *const mo__match_names[] = {[MO_MATCH_NONE] = "none",
                                       [MO_MATCH_ACTIVE_PARAMS] = "active_params",
                                       [MO_MATCH_TOTAL_PARAMS] = "total_params",
                                       [MO_MATCH_FLOPS] = "flops",
                                       [MO_MATCH_WALL_CLOCK] = "wall_clock",
                                       NULL};

const char *mo__match_words(mo_lab_match match)
{
    static const char *const words[] = {[MO_MATCH_NONE] = "",
                                        [MO_MATCH_ACTIVE_PARAMS] = "active parameters",
                                        [MO_MATCH_TOTAL_PARAMS] = "parameters in total",
                                        [MO_MATCH_FLOPS] = "training FLOPs per token",
                                        [MO_MATCH_WALL_CLOCK] = "seconds of a step"};
    return words[match];
}

static int64_t *width_of(mo_run_config *c, const char **key)
{
    mo_model_config resolved = c->model;
    mo_model_config_resolve(&resolved);
    bool experts_own = c->model.moe_intermediate_size > 0 && mo_model_config_moe_layers(&resolved) > 0;
    *key = experts_own ? "model.moe_intermediate_size" : "model.intermediate_size";
    return experts_own ? &c->model.moe_intermediate_size : &c->model.intermediate_size;
}

mo_status mo__match_count(const mo_run_config *config, mo_lab_match match, double *out)
{
    mo_model *m = NULL;
    MO_ASSERT(match == MO_MATCH_ACTIVE_PARAMS || match == MO_MATCH_TOTAL_PARAMS || match == MO_MATCH_FLOPS);
    MO_TRY(mo_model_create_tuned(&config->model, &config->tuning, &m));
    mo_model_count n = mo_model_counts(m, config->train.sequence_length);
    *out = match == MO_MATCH_ACTIVE_PARAMS  ? (double)n.active
           : match == MO_MATCH_TOTAL_PARAMS ? (double)n.total
                                            : n.flops_per_token;
    mo_model_free(m);
    return MO_OK;
}

static mo_status count_at(const mo_run_config *config, mo_lab_match match, int64_t width, double *out)
{
    mo_run_config c = *config;
    const char *key;
    *width_of(&c, &key) = width;
    return mo__match_count(&c, match, out);
}

static int64_t clip(double width)
{
    return (int64_t)fmin(fmax(width, 1), MOST_WIDTH);
}

/* How far off, of what is wanted: 0.02 is 2% too much. */
static double off(double got, double wanted)
{
    return (got - wanted) / wanted;
}

static mo_status refuse(mo_lab_match match, const mo__matched *m)
{
    const char *why = m->width == 1            ? "that is the smallest width"
                      : m->width == MOST_WIDTH ? "that is the largest width"
                                               : "no other width comes closer";
    return mo_error(MO_E_CONFIG,
                    "match %s: %s %lld gives %.10g %s, %.2g%% %s than the %.10g that are wanted, and %s; at "
                    "most %g%% is taken for equal: choose other sizes for one of the two",
                    mo__match_names[match], m->key, (long long)m->width, m->got, mo__match_words(match),
                    100 * fabs(off(m->got, m->wanted)), m->got > m->wanted ? "more" : "less", m->wanted, why,
                    100 * MO__MATCH_WITHIN);
}

static mo_status check_wanted(mo_lab_match match, double wanted)
{
    if (wanted > 0 && isfinite(wanted)) return MO_OK;
    return mo_error(MO_E_RANGE, "match %s: %g %s are wanted; must be more than 0", mo__match_names[match],
                    wanted, mo__match_words(match));
}

mo_status mo__match_solve(const mo_run_config *config, mo_lab_match match, double wanted, mo__matched *out)
{
    enum { APART = 1024 }; /* widths, so that rounded counts do not tell in the slope */
    double first, second;
    mo_run_config c = *config;
    *out = (mo__matched){.wanted = wanted};
    int64_t said = *width_of(&c, &out->key);
    MO_TRY(check_wanted(match, wanted));
    MO_TRY(count_at(config, match, said, &out->got)); /* what is wrong with it at all, by its own width */
    MO_TRY(count_at(config, match, 1, &first));
    MO_TRY(count_at(config, match, 1 + APART, &second));
    if (!(second > first))
        return mo_error(MO_E_CONFIG, "match %s: %s changes nothing in the %.10g %s of this model",
                        mo__match_names[match], out->key, out->got, mo__match_words(match));
    int64_t below = clip(floor(1 + (wanted - first) / (second - first) * APART));
    for (int64_t width = below; width <= below + 1 && width <= MOST_WIDTH; width++) {
        double got;
        MO_TRY(count_at(config, match, width, &got));
        if (width == below || fabs(got - wanted) < fabs(out->got - wanted)) {
            out->width = width;
            out->got = got;
        }
    }
    return fabs(off(out->got, wanted)) <= MO__MATCH_WITHIN ? MO_OK : refuse(match, out);
}

/* ---- measured ---- */

static int closest(const mo__matched *m)
{
    int best = 0;
    for (int i = 1; i < m->n_measured; i++)
        if (fabs(off(m->measured[i].seconds, m->wanted)) < fabs(off(m->measured[best].seconds, m->wanted)))
            best = i;
    return best;
}

/* The measurement nearest to what is wanted on one side of it (by width, the steepest there), or -1. */
static int side(const mo__matched *m, bool below)
{
    int best = -1;
    for (int i = 0; i < m->n_measured; i++) {
        if ((m->measured[i].seconds < m->wanted) != below) continue;
        bool nearer = best < 0 || (below ? m->measured[i].width > m->measured[best].width
                                         : m->measured[i].width < m->measured[best].width);
        if (nearer) best = i;
    }
    return best;
}

/* Where to measure next: between two that enclose what is wanted, on the line through them, else on the line
 * through the two closest widths or, from one, in proportion, at most four times away from it. */
static int64_t next_width(const mo__matched *m)
{
    enum { FARTHEST = 4 };
    int low = side(m, true), high = side(m, false);
    int at = low < 0 ? high : low;
    double w = (double)m->measured[at].width, t = m->measured[at].seconds, guess = w * m->wanted / t;
    int other = low < 0 ? -1 : high;
    for (int i = 0; other < 0 && i < m->n_measured; i++)
        if (i != at) other = i;
    if (other >= 0) {
        double rise = m->measured[other].seconds - t, run = (double)m->measured[other].width - w;
        if (rise * run > 0) /* else it is noise: the wider one was faster */
            guess = w + (m->wanted - t) * run / rise;
    }
    return clip(round(fmin(fmax(guess, w / FARTHEST), w * FARTHEST)));
}

static bool was_measured(const mo__matched *m, int64_t width)
{
    for (int i = 0; i < m->n_measured; i++)
        if (m->measured[i].width == width) return true;
    return false;
}

static mo_status refuse_measured(const mo__matched *m)
{
    char text[MO__MATCH_MEASUREMENTS * 48] = "";
    size_t used = 0;
    for (int i = 0; i < m->n_measured; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.4g s at %lld", i ? ", " : "",
                                 m->measured[i].seconds, (long long)m->measured[i].width);
    return mo_error(MO_E_CONFIG,
                    "match wall_clock: no %s was found whose steps take the %.4g s that are wanted; measured "
                    "were %s; at most %g%% is taken for equal: choose other sizes for one of the two, or "
                    "measure on a machine that has nothing else to do",
                    m->key, m->wanted, text, 100 * MO__MATCH_WITHIN_MEASURED);
}

mo_status mo__match_measure(const mo_run_config *config, double wanted, mo__match_time_fn *time, void *user,
                            mo__matched *out)
{
    mo_run_config c = *config;
    *out = (mo__matched){.wanted = wanted};
    int64_t width = *width_of(&c, &out->key);
    MO_TRY(check_wanted(MO_MATCH_WALL_CLOCK, wanted));
    while (out->n_measured < MO__MATCH_MEASUREMENTS && !was_measured(out, width)) {
        double seconds;
        MO_TRY(time(out->key, width, &seconds, user));
        if (!(seconds > 0 && isfinite(seconds)))
            return mo_error(MO_E_RANGE, "match wall_clock: a step with %s %lld took %g s", out->key,
                            (long long)width, seconds);
        out->measured[out->n_measured].width = width;
        out->measured[out->n_measured++].seconds = seconds;
        int best = closest(out);
        out->width = out->measured[best].width;
        out->got = out->measured[best].seconds;
        if (fabs(off(out->got, wanted)) <= MO__MATCH_WITHIN) return MO_OK;
        width = next_width(out);
    }
    return fabs(off(out->got, wanted)) <= MO__MATCH_WITHIN_MEASURED ? MO_OK : refuse_measured(out);
}
