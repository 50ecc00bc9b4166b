/* combine.c -- grids and drawings. */
#include "combine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "spec.h"

/* Tries in a row that gave nothing new, after which there is taken to be no more. */
enum { MOST_TRIES = 20000, DRAWN_DIGITS = 4 };

typedef struct combiner {
    const mo_lab_spec *spec;
    const mo_run_config *base;
    mo__combination_fn *emit;
    void *user;
    mo_lab_settings chosen; /* of the parameters so far */
} combiner;

/* ---- conditions ---- */

static mo_status text_of(const combiner *c, int key, char **out)
{
    const char *value = mo__settings_find(&c->chosen, mo__keys[key].name);
    return value ? mo__setting_check(key, value, out) : mo__setting_text(key, c->base, out);
}

/* Parameters that a condition looks at stand before it, so they are chosen by now. */
static mo_status is_there(const combiner *c, const mo_lab_parameter *p, bool *out)
{
    int key;
    char *text = NULL;
    *out = !p->when.key;
    if (*out) return MO_OK;
    MO_TRY(mo__setting_find(p->when.key, &key));
    MO_TRY(text_of(c, key, &text));
    mo_status status = MO_OK;
    for (int i = 0; i < p->when.count && !*out && status == MO_OK; i++) {
        char *wanted = NULL;
        status = mo__setting_check(key, p->when.values[i], &wanted);
        *out = status == MO_OK && strcmp(text, wanted) == 0;
        mo_free(wanted);
    }
    mo_free(text);
    return status;
}

/* ---- grid ---- */

/* Takes back what was chosen after the first `count`. */
static void take_back(mo_lab_settings *chosen, int count)
{
    while (chosen->count > count) {
        mo_lab_setting *last = &chosen->at[--chosen->count];
        mo_free(last->key);
        mo_free(last->value);
    }
}

static mo_status expand(combiner *c, int parameter)
{
    bool there, taken;
    int before = c->chosen.count;
    if (parameter == c->spec->n_parameters) return c->emit(&c->chosen, &taken, c->user);
    const mo_lab_parameter *p = &c->spec->parameters[parameter];
    MO_TRY(is_there(c, p, &there));
    if (!there) return expand(c, parameter + 1);
    for (int i = 0; i < p->count; i++) {
        MO_TRY(mo__settings_put(&c->chosen, p->key, p->values[i]));
        MO_TRY(expand(c, parameter + 1));
        take_back(&c->chosen, before);
    }
    return MO_OK;
}

/* ---- drawings ---- */

/* From u in [0, 1) a number of the interval. A whole one is as likely as any other, or by log as its share of
 * log(to + 1) - log(from). */
static mo__number_text number_at(const mo_lab_parameter *p, double u)
{
    double top = p->whole ? p->to + 1 : p->to;
    double value = p->logarithmic ? p->from * pow(top / p->from, u) : p->from + (top - p->from) * u;
    mo__number_text text =
        mo__number_in_digits(p->whole ? fmin(floor(value), p->to) : value, p->whole ? 15 : DRAWN_DIGITS);
    double rounded = strtod(text.text, NULL);
    if (rounded < p->from) return mo__number_in_digits(p->from, 17);
    if (rounded > p->to) return mo__number_in_digits(p->to, 17);
    return text;
}

static mo_status draw(combiner *c, uint64_t try)
{
    take_back(&c->chosen, 0);
    for (int i = 0; i < c->spec->n_parameters; i++) {
        const mo_lab_parameter *p = &c->spec->parameters[i];
        bool there;
        MO_TRY(is_there(c, p, &there));
        if (!there) continue;
        double u = mo_rng_uniform(c->spec->draw_seed, MO_RNG_DRAW, try, (uint32_t)i, 0);
        mo__number_text number;
        const char *value = p->count > 0 ? p->values[(int)(u * p->count)] : (number = number_at(p, u)).text;
        MO_TRY(mo__settings_put(&c->chosen, p->key, value));
    }
    return MO_OK;
}

/* What was chosen, in 64 bits: among a million drawings two are taken for one with a chance of 1 in 10^7. */
static mo_status fingerprint(const mo_lab_settings *chosen, uint64_t *out)
{
    mo__buffer text = {0};
    char *joined, hex[33];
    for (int i = 0; i < chosen->count; i++)
        mo__buffer_add(&text, "%s=%s\n", chosen->at[i].key, chosen->at[i].value);
    MO_TRY(mo__buffer_finish(&text, MO_OK, &joined));
    mo_hash_bytes(joined, strlen(joined), hex);
    mo_free(joined);
    hex[16] = '\0';
    *out = strtoull(hex, NULL, 16);
    return MO_OK;
}

/* A set of numbers: open addressing in a table of a power of two, at most half full. 0 stands for none. */
typedef struct set {
    uint64_t *at;
    size_t size, used;
} set;

static bool put(uint64_t *at, size_t size, uint64_t number)
{
    size_t i = number & (size - 1);
    for (; at[i]; i = (i + 1) & (size - 1))
        if (at[i] == number) return false;
    at[i] = number;
    return true;
}

static mo_status set_add(set *s, uint64_t number, bool *is_new)
{
    if (2 * s->used >= s->size) {
        size_t size = s->size ? 2 * s->size : 64;
        uint64_t *at = mo_calloc(size, sizeof *at);
        if (!at) return MO_E_MEMORY;
        for (size_t i = 0; i < s->size; i++)
            if (s->at[i]) put(at, size, s->at[i]);
        mo_free(s->at);
        s->at = at;
        s->size = size;
    }
    *is_new = put(s->at, s->size, number ? number : 1);
    s->used += *is_new;
    return MO_OK;
}

static mo_status refuse_draws(const mo_lab_spec *spec, int64_t found)
{
    return mo_error(
        MO_E_CONFIG,
        "%s: trials: %lld variants are to be drawn, and after %lld no other was found in %d tries; ask "
        "for fewer, or give parameters more values%s",
        spec->path, (long long)spec->draws, (long long)found, MOST_TRIES,
        spec->n_rules ? ", or the rules more room" : "");
}

static mo_status draw_all(combiner *c, set *seen)
{
    int64_t found = 0;
    int idle = 0;
    for (uint64_t try = 0; found < c->spec->draws; try++) {
        uint64_t number;
        bool taken = false;
        MO_TRY(draw(c, try));
        MO_TRY(fingerprint(&c->chosen, &number));
        MO_TRY(set_add(seen, number, &taken));
        if (taken) MO_TRY(c->emit(&c->chosen, &taken, c->user));
        found += taken;
        idle = taken ? 0 : idle + 1;
        if (idle >= MOST_TRIES) return refuse_draws(c->spec, found);
    }
    return MO_OK;
}

mo_status mo__combine(const mo_lab_spec *spec, const mo_run_config *base, mo__combination_fn *emit,
                      void *user)
{
    combiner c = {.spec = spec, .base = base, .emit = emit, .user = user};
    set seen = {0};
    mo_status status = spec->draws > 0 ? draw_all(&c, &seen) : expand(&c, 0);
    mo_free(seen.at);
    mo__settings_free(&c.chosen);
    return status;
}
