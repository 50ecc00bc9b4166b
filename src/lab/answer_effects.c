/* answer_effects.c -- what each hyperparameter of a sweep does, the others being equal: an additive model of
 * all of them (additive.h) over the variants' means.
 *
 *     S = squares left without the parameter - squares left with it,      d = degrees of freedom that it
 * takes M = squares left by the whole model / its degrees,   share = (S - d M) / squares of all,   F = S / (d
 * M)
 *
 * That is a sum of squares of type II: a parameter that is there only with some values of this one (`when`)
 * has no say in whether this one matters; of those variants alone its own effect is. The share is epsilon
 * squared (Kelley 1935) of a model with several factors.
 *
 * Numbers that were drawn are put into ranges of three variants or more, where each value has too few: a
 * slope would spare degrees of freedom, but what has its best in the middle, as learning rates do, has none.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/additive.h"
#include "lab/answer.h"

enum {
    RANGES = 4,  /* at most */
    ENOUGH = 3,  /* variants for each value need no ranges; nor has a range fewer */
    SEVERAL = 2, /* variants with each value: with one its own noise would be its effect */
    DEGREES = 3  /* left, to tell chance by */
};

/* A variant that has the parameter and a loss. */
typedef struct member {
    const char *text;
    double number, loss;
    int group, order, variant;
} member;

typedef struct members {
    member *at; /* [most] */
    int count, groups;
    bool numbers; /* all values are */
} members;

static const char *chosen(const mo_lab_variant *v, const char *key)
{
    for (int i = 0; i < v->chosen.count; i++)
        if (strcmp(v->chosen.at[i].key, key) == 0) return v->chosen.at[i].value;
    return NULL;
}

/* Mean over seeds at the end of the first rung; NaN unless all seeds got there. */
static double mean_loss(const mo__table *t, int variant)
{
    double sum = 0;
    for (int s = 0; s < t->n_seeds; s++) sum += mo__table_loss(t, variant, s, 0);
    return sum / t->n_seeds;
}

static void collect(const mo__table *t, const char *key, members *m)
{
    m->count = 0;
    m->numbers = true;
    for (int v = 0; v < t->results->n_variants; v++) {
        const char *text = chosen(&t->results->variants[v], key);
        double loss = mean_loss(t, v);
        if (!text || isnan(loss)) continue;
        char *end;
        double number = strtod(text, &end);
        m->numbers = m->numbers && *text && !*end;
        m->at[m->count] =
            (member){.text = text, .number = number, .loss = loss, .order = m->count, .variant = v};
        m->count++;
    }
}

static int by_number(const void *x, const void *y)
{
    const member *a = x, *b = y;
    if (a->number < b->number || a->number > b->number) return a->number < b->number ? -1 : 1;
    return a->order - b->order;
}

static int by_text(const void *x, const void *y)
{
    const member *a = x, *b = y;
    int order = strcmp(a->text, b->text);
    return order ? order : a->order - b->order;
}

static int by_group(const void *x, const void *y)
{
    const member *a = x, *b = y;
    return a->group != b->group ? a->group - b->group : a->order - b->order;
}

static bool same(const members *m, int i, int j)
{
    return m->numbers ? !(m->at[i].number < m->at[j].number || m->at[i].number > m->at[j].number)
                      : strcmp(m->at[i].text, m->at[j].text) == 0;
}

/* Equal values lie together: a group for each. Returns how many. */
static int group_values(members *m)
{
    int groups = 0;
    for (int i = 0; i < m->count; i++) m->at[i].group = i > 0 && same(m, i, i - 1) ? groups - 1 : groups++;
    return groups;
}

/* Of members by number: ranges with about as many each, but not between equal values, and not of a few. */
static int group_ranges(members *m)
{
    int most = m->count / ENOUGH < RANGES ? m->count / ENOUGH : RANGES, groups = 1, first = 0;
    for (int i = 0; i < m->count; i++) {
        int left = m->count - first, fair = left / (most - groups + 1 > 1 ? most - groups + 1 : 1);
        int least = fair > ENOUGH ? fair : ENOUGH;
        if (groups < most && i - first >= least && m->count - i >= ENOUGH && !same(m, i, i - 1)) {
            first = i;
            groups++;
        }
        m->at[i].group = groups - 1;
    }
    return groups;
}

/* Groups of words stand in the order of the variants: renumbers them by their first member. */
static void order_groups(members *m, int *first)
{
    for (int g = 0; g < m->groups; g++) first[g] = m->count;
    for (int i = 0; i < m->count; i++)
        if (m->at[i].order < first[m->at[i].group]) first[m->at[i].group] = m->at[i].order;
    for (int i = 0; i < m->count; i++) m->at[i].group = first[m->at[i].group];
    qsort(m->at, (size_t)m->count, sizeof *m->at, by_group);
    for (int i = 0, groups = 0, last = -1; i < m->count; i++) {
        if (m->at[i].group != last) groups++;
        last = m->at[i].group;
        m->at[i].group = groups - 1;
    }
}

static void group(const mo__table *t, members *m, int *scratch)
{
    qsort(m->at, (size_t)m->count, sizeof *m->at, m->numbers ? by_number : by_text);
    m->groups = group_values(m);
    bool drawn = t->results->strategy != MO_LAB_GRID;
    if (drawn && m->numbers && m->groups > RANGES && m->count < ENOUGH * m->groups)
        m->groups = group_ranges(m);
    else if (!m->numbers)
        order_groups(m, scratch);
}

/* Insertion keeps keys that share alike in the order of the file; there are few. */
static void sort_effects(mo_answer *a)
{
    for (int i = 1; i < a->n_effects; i++)
        for (int k = i; k > 0; k--) {
            mo_effect *x = &a->effects[k - 1], *y = &a->effects[k];
            if (!(y->share > x->share || (isnan(x->share) && !isnan(y->share)))) break;
            mo_effect swap = *x;
            *x = *y;
            *y = swap;
        }
}

static bool is_known(const mo_answer *a, const char *key)
{
    for (int i = 0; i < a->n_effects; i++)
        if (strcmp(a->effects[i].key, key) == 0) return true;
    return false;
}

/* ---- levels ---- */

typedef struct effects {
    const mo__table *table;
    mo_answer *answer;
    members members; /* room */
    int *scratch, *row;
    double *y;   /* [variants] of the rows of one effect */
    int *level;  /* [parameter][variant]: of each; -1: it has not the parameter, or no loss */
    int *inside; /* [parameter][variant]: of the rows of one effect */
    mo__factor *factors;
} effects;

static size_t variants_of(const effects *f)
{
    return (size_t)f->table->results->n_variants;
}

/* at[first .. end) is one group. */
static mo_status make_level(const members *m, int first, int end, double *losses, mo_effect_level *out)
{
    const member *low = &m->at[first], *high = &m->at[end - 1];
    for (int i = first; i < end; i++) losses[i - first] = m->at[i].loss;
    out->loss = mo_estimate_of(losses, end - first);
    out->value = same(m, first, end - 1) ? mo_strdup(low->text)
                                         : mo_strprintf("%.3g to %.3g", low->number, high->number);
    return out->value ? MO_OK : MO_E_MEMORY;
}

/* The next effect's levels, and who is of which. */
static mo_status add_effect(effects *f, const char *key)
{
    members *m = &f->members;
    mo_answer *a = f->answer;
    mo_effect *more = mo_realloc(a->effects, sizeof *more * (size_t)(a->n_effects + 1));
    if (!more) return MO_E_MEMORY;
    a->effects = more;
    size_t room = variants_of(f) * (size_t)(a->n_effects + 1);
    int *level = mo_realloc(f->level, room * sizeof *level);
    if (!level) return MO_E_MEMORY;
    f->level = level;
    level += room - variants_of(f);
    mo_effect *e = &more[a->n_effects++];
    *e = (mo_effect){.share = (double)NAN, .chance = (double)NAN};
    collect(f->table, key, m);
    group(f->table, m, f->scratch);
    e->key = mo_strdup(key);
    e->levels = mo_calloc((size_t)m->groups + 1, sizeof *e->levels);
    if (!e->key || !e->levels) return MO_E_MEMORY;
    for (size_t v = 0; v < variants_of(f); v++) level[v] = -1;
    for (int i = 0; i < m->count; i++) level[m->at[i].variant] = m->at[i].group;
    for (int first = 0, end = 0; first < m->count; first = end) {
        while (end < m->count && m->at[end].group == m->at[first].group) end++;
        MO_TRY(make_level(m, first, end, f->y, &e->levels[e->n_levels]));
        e->n_levels++;
    }
    return MO_OK;
}

/* ---- the model ---- */

/* Levels of parameter p in the rows, with one more for rows that have it not. Whether it is there only with
 * some values of the effect's own is *nested. False if it does not vary. */
static bool factor_of(effects *f, int own, int p, int rows, mo__factor *out, bool *nested)
{
    size_t n = variants_of(f);
    const int *level = f->level + n * (size_t)p, *of_own = f->level + n * (size_t)own;
    const int absent = f->answer->effects[p].n_levels;
    int *at = f->inside + n * (size_t)p;
    bool varies = false, without = false, has_both = false;
    for (int l = 0; l < f->answer->effects[own].n_levels; l++) f->scratch[l] = -1;
    for (int i = 0; i < rows; i++) {
        bool has = level[f->row[i]] >= 0;
        int *seen = &f->scratch[of_own[f->row[i]]];
        at[i] = has ? level[f->row[i]] : absent;
        varies = varies || at[i] != at[0];
        without = without || !has;
        has_both = has_both || (*seen >= 0 && *seen != has);
        *seen = has;
    }
    *nested = without && !has_both;
    *out = (mo__factor){.level = at, .levels = absent + without};
    return varies;
}

typedef struct model {
    mo__additive whole, with, without;
    int own; /* the effect's place among the factors; those that are nested come last */
} model;

static void free_model(model *m)
{
    mo__additive_free(&m->whole);
    mo__additive_free(&m->with);
    mo__additive_free(&m->without);
}

/* Returns how many factors there are, *plain of them not nested: the first, and the effect's own last of
 * these. */
static int gather(effects *f, int own, int rows, int *plain)
{
    int count = 0;
    mo__factor factor;
    bool nested;
    for (int pass = 0; pass < 3; pass++) {
        for (int p = 0; p < f->answer->n_effects; p++) {
            if ((p == own) != (pass == 1)) continue;
            bool varies = factor_of(f, own, p, rows, &factor, &nested);
            if (p == own || (varies && nested == (pass == 2))) f->factors[count++] = factor;
        }
        if (pass == 1) *plain = count;
    }
    return count;
}

static void judge(const effects *f, const model *m, int rows, mo_effect *e)
{
    double all = 0, mean = 0;
    int degrees = m->without.degrees - m->with.degrees;
    for (int i = 0; i < rows; i++) mean += f->y[i] / rows;
    for (int i = 0; i < rows; i++) all += (f->y[i] - mean) * (f->y[i] - mean);
    for (int l = 0; l < e->n_levels; l++)
        if (e->levels[l].loss.count < SEVERAL) return;
    if (e->degrees < DEGREES || e->n_levels < 2 || degrees != e->n_levels - 1) return;
    const double rounding = 1e-12; /* of all squares */
    double own = m->without.squares - m->with.squares, chance = m->whole.squares / e->degrees;
    bool some = own > rounding * all;
    e->share = some ? fmax(0, (own - degrees * chance) / all) : 0;
    e->chance = some ? mo__f_beyond(own / degrees / chance, degrees, e->degrees) : 1;
}

static void adjust_levels(const effects *f, const model *m, mo_effect *e)
{
    double error = e->degrees > 0 ? sqrt(m->whole.squares / e->degrees) : (double)NAN;
    double quantile = mo_student_quantile(0.975, e->degrees), variance;
    for (int l = 0; l < e->n_levels; l++) {
        mo_estimate *loss = &e->levels[l].loss;
        loss->mean = mo__additive_mean(&m->with, f->factors, m->own, l, &variance);
        loss->low = loss->mean - quantile * error * sqrt(variance);
        loss->high = loss->mean + quantile * error * sqrt(variance);
    }
}

static mo_status fit_effect(effects *f, int own)
{
    mo_effect *e = &f->answer->effects[own];
    const int *level = f->level + variants_of(f) * (size_t)own;
    int rows = 0, plain = 0;
    for (int v = 0; v < (int)variants_of(f); v++)
        if (level[v] >= 0) f->row[rows++] = v;
    if (rows == 0) return MO_OK;
    for (int i = 0; i < rows; i++) f->y[i] = mean_loss(f->table, f->row[i]);
    int count = gather(f, own, rows, &plain);
    if (mo__additive_columns(f->factors, count) > MO__MOST_COLUMNS) {
        for (int l = 0; l < e->n_levels && count > 1; l++)
            e->levels[l].loss.mean = e->levels[l].loss.low = e->levels[l].loss.high = (double)NAN;
        return MO_OK; /* alone its means are those of the model */
    }
    model m = {.own = plain - 1};
    mo_status status = mo__additive_fit(f->y, rows, f->factors, count, &m.whole);
    if (status == MO_OK) status = mo__additive_fit(f->y, rows, f->factors, plain, &m.with);
    if (status == MO_OK) status = mo__additive_fit(f->y, rows, f->factors, plain - 1, &m.without);
    if (status == MO_OK) {
        e->degrees = m.whole.degrees;
        judge(f, &m, rows, e);
        adjust_levels(f, &m, e);
    }
    free_model(&m);
    return status;
}

static mo_status effects_with(effects *f)
{
    mo_answer *a = f->answer;
    for (int v = 0; v < (int)variants_of(f); v++) {
        const mo_lab_settings *s = &f->table->results->variants[v].chosen;
        for (int i = 0; i < s->count; i++)
            if (!is_known(a, s->at[i].key)) MO_TRY(add_effect(f, s->at[i].key));
    }
    if (a->n_effects == 0) return MO_OK;
    f->inside = mo_malloc(sizeof *f->inside * variants_of(f) * (size_t)a->n_effects);
    f->factors = mo_malloc(sizeof *f->factors * (size_t)a->n_effects);
    if (!f->inside || !f->factors) return MO_E_MEMORY;
    for (int e = 0; e < a->n_effects; e++) MO_TRY(fit_effect(f, e));
    sort_effects(a);
    return MO_OK;
}

mo_status mo__answer_effects(const mo__table *t, mo_answer *a)
{
    size_t n = (size_t)t->results->n_variants + 1;
    effects f = {.table = t,
                 .answer = a,
                 .members = {.at = mo_malloc(sizeof(member) * n)},
                 .scratch = mo_malloc(sizeof(int) * n),
                 .row = mo_malloc(sizeof(int) * n),
                 .y = mo_malloc(sizeof(double) * n)};
    mo_status status = f.members.at && f.scratch && f.row && f.y ? effects_with(&f) : MO_E_MEMORY;
    if (t->results->strategy == MO_LAB_HALVING) a->effects_step = t->rung_step[0];
    mo_free(f.members.at);
    mo_free(f.scratch);
    mo_free(f.row);
    mo_free(f.y);
    mo_free(f.level);
    mo_free(f.inside);
    mo_free(f.factors);
    return status;
}
