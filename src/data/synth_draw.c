/* synth_draw.c -- draws that write what they drew and keep the account of entropy. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include <moira/data.h>

#include "synth.h"

const char *const mo__synth_names[] = {"stories", "arithmetic", "json", "code",
                                       "verse",   "recipes",    "logs", "strings"};
static void (*const WRITE[])(mo__synth *s) = {mo__synth_stories, mo__synth_arithmetic, mo__synth_json,
                                              mo__synth_code,    mo__synth_verse,      mo__synth_recipes,
                                              mo__synth_logs,    mo__synth_strings};
_Static_assert(sizeof WRITE / sizeof *WRITE == sizeof mo__synth_names / sizeof *mo__synth_names, "one each");

_Static_assert(sizeof WRITE / sizeof *WRITE == MO_SYNTH_DOMAINS, "one generator for each domain");

int mo_synth_domain_count(void)
{
    return MO_SYNTH_DOMAINS;
}

const char *mo_synth_domain_name(int domain)
{
    MO_ASSERT(domain >= 0 && domain < mo_synth_domain_count());
    return mo__synth_names[domain];
}

void mo__synth_init(mo__synth *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->seed = seed;
    for (int w = 1; w < 256; w++) s->w_log_w[w] = w * log(w);
}

void mo__synth_document(mo__synth *s, int domain, uint64_t document)
{
    s->domain = (uint32_t)domain;
    s->document = document;
    s->draws = 0;
    s->entropy = s->surprisal = 0;
    s->length = 0;
    WRITE[domain](s);
}

static double uniform(mo__synth *s)
{
    return mo_rng_uniform(s->seed, MO_RNG_SYNTH, s->document, s->domain, s->draws++);
}

static void append(mo__synth *s, const char *text, size_t length)
{
    MO_ASSERT(s->length + (int)length <= MO__SYNTH_LONGEST);
    memcpy(s->text + s->length, text, length);
    s->length += (int)length;
    s->text[s->length] = '\0';
}

/* entropy = log W - (1/W) sum_i w_i log w_i with W = sum_i w_i */
int mo__synth_draw(mo__synth *s, const char *const *text, const uint8_t *weight, int n)
{
    uint32_t total = 0, seen = 0;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        total += weight[i];
        sum += s->w_log_w[weight[i]];
    }
    MO_ASSERT(total > 0);
    uint32_t drawn = (uint32_t)(uniform(s) * total);
    int i = 0;
    while ((seen += weight[i]) <= drawn) i++;
    double log_total = log(total);
    s->entropy += log_total - sum / total;
    s->surprisal += log_total - s->w_log_w[weight[i]] / weight[i];
    if (s->watch) s->watch(text, weight, n, i, s->user);
    append(s, text[i], strlen(text[i]));
    return i;
}

int mo__synth_pick_other(mo__synth *s, const mo__words *words, uint64_t without)
{
    uint8_t weight[MO__SYNTH_ENTRIES];
    MO_ASSERT(words->n <= MO__SYNTH_ENTRIES);
    for (int i = 0; i < words->n; i++) {
        int full = words->weight ? words->weight[i] : 2 * words->n - i;
        weight[i] = without >> i & 1 ? 0 : (uint8_t)full;
    }
    return mo__synth_draw(s, words->text, weight, words->n);
}

int mo__synth_pick(mo__synth *s, const mo__words *words)
{
    return mo__synth_pick_other(s, words, 0);
}

int64_t mo__synth_number(mo__synth *s, int64_t low, int64_t high, const char *end)
{
    MO_ASSERT(low >= 0 && high >= low && end[0] && (end[0] < '0' || end[0] > '9'));
    double count = (double)(high - low + 1);
    int64_t drawn = low + (int64_t)(uniform(s) * count);
    s->entropy += log(count);
    s->surprisal += log(count);
    mo__synth_say(s, "%lld%s", (long long)drawn, end);
    return drawn;
}

void mo__synth_say(mo__synth *s, const char *format, ...)
{
    char text[MO__SYNTH_LONGEST + 1];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    MO_ASSERT(length >= 0 && length <= MO__SYNTH_LONGEST);
    append(s, text, (size_t)length);
}
