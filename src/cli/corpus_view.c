/* corpus_view.c -- lengths of documents as a bar chart; facts as lines or JSON. */
#include "corpus_view.h"

#include <math.h>
#include <string.h>

#include "json_out.h"
#include "table.h"
#include "base/units.h"

const char *const mo__split_names[2] = {[MO_SPLIT_TRAIN] = "train", [MO_SPLIT_VALIDATION] = "validation"};

enum { BAR = 40, POWERS = sizeof(((mo_lengths *)0)->power) / sizeof(int64_t) };

/* ---- lengths ---- */

static int64_t of_power(const mo_lengths l[2], int power)
{
    return l[0].power[power] + l[1].power[power];
}

static void cell_of_range(mo__table *t, int power)
{
    int64_t from = INT64_C(1) << power;
    if (power == 0)
        mo__cell(t, "1");
    else
        mo__cell(t, "%s to %s", mo__count(from).text, mo__count(2 * (from - 1) + 1).text);
}

static mo_status print_histogram(const mo_lengths l[2], const char *noun)
{
    char columns[96];
    static const char FULL[] = "########################################";
    snprintf(columns, sizeof columns, ">tokens|>train|>validation|<%s of this length", noun);
    mo__table t = mo__table_begin(columns);
    int first = 0, last = POWERS - 1;
    int64_t most = 0;
    while (of_power(l, first) == 0) first++;
    while (of_power(l, last) == 0) last--;
    for (int p = first; p <= last; p++)
        if (of_power(l, p) > most) most = of_power(l, p);
    for (int p = first; p <= last; p++) {
        cell_of_range(&t, p);
        for (int s = 0; s < 2; s++) mo__cell(&t, "%s", mo__count(l[s].power[p]).text);
        mo__cell(&t, "%.*s", (int)ceil((double)of_power(l, p) * BAR / (double)most), FULL);
    }
    return mo__table_print(&t);
}

/* `noun` is NULL where the title has it. */
static void print_range(const char *title, const char *noun, const mo_lengths *l)
{
    printf("%-12s %s%s", title, noun ? noun : "", noun ? " of " : "");
    if (l->least == l->most)
        printf("%s each", mo__counted(l->least, "token").text);
    else
        printf("%s to %s, median %s", mo__count(l->least).text, mo__counted(l->most, "token").text,
               mo__count(l->median).text);
}

static double share_learnt(const mo_talk_summary *t)
{
    return (double)t->completions.tokens / (double)(t->prompts.tokens + t->completions.tokens);
}

void mo__print_talks(const mo_talk_summary *t)
{
    if (t->truncated)
        printf("truncated    %s: %s of the end left out, %s cut\n",
               mo__counted(t->truncated, "conversation").text, mo__counted(t->turns_cut, "exchange").text,
               mo__counted(t->completions_cut, "completion").text);
    if (t->too_long)
        printf("left out     %s for %s length\n", mo__counted(t->too_long, "conversation").text,
               t->too_long == 1 ? "its" : "their");
    if (t->prompts.documents) print_range("prompts", NULL, &t->prompts);
    if (t->prompts.documents) putchar('\n');
    print_range("completions", NULL, &t->completions);
    printf(": %.1f%% of the tokens, and these are learnt\n", 100 * share_learnt(t));
}

static json_t *length_json(const mo_lengths *l)
{
    json_t *length = json_object();
    mo__json_set(length, "tokens", mo__json_integer(l->tokens));
    mo__json_set(length, "least", mo__json_integer(l->least));
    mo__json_set(length, "median", mo__json_integer(l->median));
    mo__json_set(length, "most", mo__json_integer(l->most));
    return length;
}

json_t *mo__talks_json(const mo_talk_summary *t)
{
    json_t *talks = json_object();
    mo__json_set(talks, "template", mo__json_text(t->chat_template));
    mo__json_set(talks, "prompts", length_json(&t->prompts));
    mo__json_set(talks, "completions", length_json(&t->completions));
    mo__json_set(talks, "share_learnt", mo__json_real(share_learnt(t)));
    mo__json_set(talks, "truncated", mo__json_integer(t->truncated));
    mo__json_set(talks, "exchanges_cut", mo__json_integer(t->turns_cut));
    mo__json_set(talks, "completions_cut", mo__json_integer(t->completions_cut));
    mo__json_set(talks, "too_long", mo__json_integer(t->too_long));
    return talks;
}

mo_status mo__print_lengths(const mo_lengths lengths[2], const char *noun)
{
    if (lengths[0].documents < 2 && lengths[1].documents < 2) return MO_OK;
    putchar('\n');
    for (int s = 0; s < 2; s++)
        if (lengths[s].documents) {
            print_range(mo__split_names[s], noun, &lengths[s]);
            putchar('\n');
        }
    putchar('\n');
    return print_histogram(lengths, noun);
}

static json_t *histogram_json(const mo_lengths *l)
{
    json_t *rows = json_array();
    for (int p = 0; p < POWERS; p++) {
        if (l->power[p] == 0) continue;
        json_t *row = json_object();
        int64_t from = INT64_C(1) << p;
        mo__json_set(row, "from", mo__json_integer(from));
        mo__json_set(row, "to", mo__json_integer(2 * (from - 1) + 1));
        mo__json_set(row, "documents", mo__json_integer(l->power[p]));
        mo__json_add(rows, row);
    }
    return rows;
}

json_t *mo__split_json(const mo_lengths *lengths, int64_t text_bytes)
{
    json_t *split = json_object(), *length = json_object();
    mo__json_set(split, "tokens", mo__json_integer(lengths->tokens));
    mo__json_set(split, "documents", mo__json_integer(lengths->documents));
    if (text_bytes >= 0) mo__json_set(split, "text_bytes", mo__json_integer(text_bytes));
    mo__json_set(length, "least", mo__json_integer(lengths->least));
    mo__json_set(length, "median", mo__json_integer(lengths->median));
    mo__json_set(length, "most", mo__json_integer(lengths->most));
    mo__json_set(length, "histogram", histogram_json(lengths));
    mo__json_set(split, "length", length);
    return split;
}

/* ---- facts ---- */

/* NaN if a split that has tokens does not say. */
static double bytes_per_token(const mo_corpus_facts *f, const int64_t tokens[2])
{
    double text = 0;
    for (int s = 0; s < 2; s++)
        if (tokens[s]) text += f->text_bytes[s] < 0 ? (double)NAN : (double)f->text_bytes[s];
    return text / (double)(tokens[0] + tokens[1]);
}

static void print_text(const mo_corpus_facts *f, const int64_t tokens[2])
{
    double share = bytes_per_token(f, tokens);
    if (isnan(share)) return;
    printf("text         ");
    for (int s = 0; s < 2; s++)
        if (tokens[s]) printf("%s %s, ", mo__bytes((double)f->text_bytes[s]).text, mo__split_names[s]);
    printf("%.3g byte%s per token\n", share, share == 1 ? "" : "s");
}

static void print_bad_lines(int64_t lines, bool talks)
{
    printf("%s that %s ", mo__counted(lines, "line").text, lines == 1 ? "is" : "are");
    printf(talks ? "no conversation or %s nothing to learn" : "not JSON or %s no text",
           lines == 1 ? "has" : "have");
}

static void print_dropped(const mo_corpus_facts *f, bool talks)
{
    if (f->empty_documents <= 0 && f->bad_lines <= 0) return;
    printf("left out     ");
    if (f->empty_documents > 0) printf("%s without text", mo__counted(f->empty_documents, "document").text);
    if (f->empty_documents > 0 && f->bad_lines > 0) printf(", ");
    if (f->bad_lines > 0) print_bad_lines(f->bad_lines, talks);
    putchar('\n');
}

void mo__print_facts(const mo_corpus_facts *f, const int64_t tokens[2], const char *tokenizer_kind,
                     int64_t vocab_size, bool talks)
{
    bool keeps = strcmp(tokenizer_kind, "bytes") == 0;
    print_text(f, tokens);
    if (f->vocabulary_used >= 0)
        printf("vocabulary   %s of %s ids used\n", mo__count(f->vocabulary_used).text,
               mo__count(vocab_size).text);
    print_dropped(f, talks);
    if (f->invalid_utf8 > 0)
        printf("not UTF-8    %s, %s\n", mo__counted(f->invalid_utf8, "byte").text,
               keeps ? f->invalid_utf8 == 1 ? "kept as it is" : "kept as they are" : "replaced by U+FFFD");
}

void mo__facts_json(json_t *object, const mo_corpus_facts *f, const int64_t tokens[2])
{
    const struct {
        const char *name;
        int64_t value;
    } facts[] = {{"files", f->files},
                 {"empty_documents", f->empty_documents},
                 {"bad_lines", f->bad_lines},
                 {"invalid_utf8", f->invalid_utf8},
                 {"vocabulary_used", f->vocabulary_used}};
    double share = bytes_per_token(f, tokens);
    if (!isnan(share)) mo__json_set(object, "bytes_per_token", mo__json_real(share));
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (facts[i].value >= 0) mo__json_set(object, facts[i].name, mo__json_integer(facts[i].value));
}
