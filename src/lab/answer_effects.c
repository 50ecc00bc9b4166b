/* answer_effects.c -- what each hyperparameter of a sweep does: variants grouped by its value.
 *
 * Numbers that were drawn are grouped by four ranges with as many variants each, where there are more values
 * than that and too few variants for each of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/answer.h"

enum { RANGES = 4, ENOUGH = 3 }; /* ENOUGH variants for each value need no ranges */

/* A variant that has the parameter and a loss. */
typedef struct member {
    const char *text;
    double number, loss;
    int group, order;
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
        m->at[m->count] = (member){.text = text, .number = number, .loss = loss, .order = m->count};
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

/* Of members by number: a new group where its share of the members begins, but not between equal values. */
static int group_ranges(members *m)
{
    int groups = 0, first = 0;
    for (int i = 0; i < m->count; i++) {
        bool farther = i * RANGES / m->count > first * RANGES / m->count;
        if (i == 0 || (farther && !same(m, i, i - 1))) {
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

static mo_status make_effect(const char *key, const members *m, double *losses, int *groups, mo_effect *out)
{
    out->key = mo_strdup(key);
    out->levels = mo_calloc((size_t)m->groups + 1, sizeof *out->levels);
    if (!out->key || !out->levels) return MO_E_MEMORY;
    for (int first = 0, end = 0; first < m->count; first = end) {
        while (end < m->count && m->at[end].group == m->at[first].group) end++;
        MO_TRY(make_level(m, first, end, losses, &out->levels[out->n_levels]));
        out->n_levels++;
    }
    for (int i = 0; i < m->count; i++) {
        losses[i] = m->at[i].loss;
        groups[i] = m->at[i].group;
    }
    out->share = mo__between(losses, groups, m->count, m->groups);
    out->chance = mo__between_by_chance(losses, groups, m->count, m->groups);
    return MO_OK;
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

static mo_status effects_with(const mo__table *t, mo_answer *a, members *m, double *losses, int *groups)
{
    for (int v = 0; v < t->results->n_variants; v++) {
        const mo_lab_settings *s = &t->results->variants[v].chosen;
        for (int i = 0; i < s->count; i++) {
            if (is_known(a, s->at[i].key)) continue;
            mo_effect *more = mo_realloc(a->effects, sizeof *more * (size_t)(a->n_effects + 1));
            if (!more) return MO_E_MEMORY;
            a->effects = more;
            mo_effect *effect = &more[a->n_effects++];
            *effect = (mo_effect){0};
            collect(t, s->at[i].key, m);
            group(t, m, groups);
            MO_TRY(make_effect(s->at[i].key, m, losses, groups, effect));
        }
    }
    sort_effects(a);
    return MO_OK;
}

mo_status mo__answer_effects(const mo__table *t, mo_answer *a)
{
    size_t n = (size_t)t->results->n_variants + 1;
    members m = {.at = mo_malloc(sizeof(member) * n)};
    double *losses = mo_malloc(sizeof *losses * n);
    int *groups = mo_malloc(sizeof *groups * n);
    mo_status status = m.at && losses && groups ? effects_with(t, a, &m, losses, groups) : MO_E_MEMORY;
    if (t->results->strategy == MO_LAB_HALVING) a->effects_step = t->rung_step[0];
    mo_free(m.at);
    mo_free(losses);
    mo_free(groups);
    return status;
}
