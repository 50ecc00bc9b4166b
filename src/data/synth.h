/* synth.h -- synthetic documents whose entropy is known exactly.
 *
 * A document is a sequence of draws, each from a distribution that depends on the text so far alone, and each
 * writing at once the entry it drew. No entry of a distribution is the beginning of another. So the text so
 * far tells every draw that made it, and for the process that writes the documents entropy of the next text =
 * sum over the document of the entropies of its distributions, which no model can beat on average. What
 * follows from earlier text (a sum, a name that comes again) is written without a draw and costs nothing: it
 * is what there is to learn.
 *
 * A model is not asked for a document's first byte nor for the end of a document. So the first byte is fixed,
 * and a domain's own; and whether a document has ended must follow from its text (a count given at its
 * beginning, a last line that reads unlike all others), never from a draw that leaves no trace but the end.
 *
 * Document d of a domain is a pure function of (seed, domain, d). */
#ifndef MOIRA_DATA_SYNTH_H
#define MOIRA_DATA_SYNTH_H

#include <moira/base.h>

enum {
    MO__SYNTH_SHORTEST = 80, /* bytes of a document */
    MO__SYNTH_LONGEST = 400,
    MO__SYNTH_ENTRIES = 64, /* most entries of a distribution */
};

/* weight: one of 1..255 for each text; NULL: they fall off, the first of n weighs 2 n, the last n + 1. */
typedef struct mo__words {
    const char *const *text;
    const uint8_t *weight;
    int n;
} mo__words;

#define MO__WORDS(name, ...)                                \
    static const char *const name##_text[] = {__VA_ARGS__}; \
    static const mo__words name = {.text = name##_text, .n = sizeof name##_text / sizeof *name##_text}

typedef struct mo__synth mo__synth;
struct mo__synth {
    uint64_t seed, document;
    uint32_t domain;
    uint64_t draws;
    double entropy;   /* nats: sum of the entropies of the distributions drawn from */
    double surprisal; /* nats: -log of the probability of what was drawn */
    int length;
    char text[MO__SYNTH_LONGEST + 1];
    double w_log_w[256];
    /* Told of every draw, for tests; NULL otherwise. */
    void (*watch)(const char *const *text, const uint8_t *weight, int n, int drawn, void *user);
    void *user;
};

extern const char *const mo__synth_names[];

void mo__synth_init(mo__synth *s, uint64_t seed);
/* Writes document `document` of a domain to s->text and its account to s->entropy, s->surprisal. */
void mo__synth_document(mo__synth *s, int domain, uint64_t document);

/* ---- for generators ---- */

/* Draws text[i] with probability weight[i] / sum, writes it, returns i. Weight 0 is never drawn. */
int mo__synth_draw(mo__synth *s, const char *const *text, const uint8_t *weight, int n);
int mo__synth_pick(mo__synth *s, const mo__words *words);
/* The same without the entries whose bits are set. */
int mo__synth_pick_other(mo__synth *s, const mo__words *words, uint64_t without);
/* A whole number in [low, high], all alike, and `end` behind it, which begins with no digit. */
int64_t mo__synth_number(mo__synth *s, int64_t low, int64_t high, const char *end);
/* What follows from the text so far. */
void mo__synth_say(mo__synth *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

void mo__synth_stories(mo__synth *s);
void mo__synth_arithmetic(mo__synth *s);
void mo__synth_json(mo__synth *s);
void mo__synth_code(mo__synth *s);
void mo__synth_verse(mo__synth *s);
void mo__synth_recipes(mo__synth *s);
void mo__synth_logs(mo__synth *s);
void mo__synth_strings(mo__synth *s);

#endif
