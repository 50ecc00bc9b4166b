/* corpus_view.c -- lengths of documents as a bar chart; facts as lines or JSON. */
#include "corpus_view.h"

#include <math.h>
#include <string.h>

#include "json_out.h"
#include "table.h"
#include "units.h"

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

static mo_status print_histogram(const mo_lengths l[2])
{
    static const char FULL[] = "########################################";
    mo__table t = mo__table_begin(">tokens|>train|>validation|<documents of this length");
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

static void print_range(const char *split, const mo_lengths *l)
{
    if (l->least == l->most)
        printf("%-12s documents of %s each\n", split, mo__counted(l->least, "token").text);
    else
        printf("%-12s documents of %s to %s, median %s\n", split, mo__count(l->least).text,
               mo__counted(l->most, "token").text, mo__count(l->median).text);
}

mo_status mo__print_lengths(const mo_lengths lengths[2])
{
    if (lengths[0].documents < 2 && lengths[1].documents < 2) return MO_OK;
    putchar('\n');
    for (int s = 0; s < 2; s++)
        if (lengths[s].documents) print_range(mo__split_names[s], &lengths[s]);
    putchar('\n');
    return print_histogram(lengths);
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

static void print_dropped(const mo_corpus_facts *f)
{
    if (f->empty_documents <= 0 && f->bad_lines <= 0) return;
    printf("left out     ");
    if (f->empty_documents > 0) printf("%s without text", mo__counted(f->empty_documents, "document").text);
    if (f->bad_lines > 0)
        printf("%s%s that %s not JSON or %s no text", f->empty_documents > 0 ? ", " : "",
               mo__counted(f->bad_lines, "line").text, f->bad_lines == 1 ? "is" : "are",
               f->bad_lines == 1 ? "has" : "have");
    putchar('\n');
}

void mo__print_facts(const mo_corpus_facts *f, const int64_t tokens[2], const char *tokenizer_kind,
                     int64_t vocab_size)
{
    bool keeps = strcmp(tokenizer_kind, "bytes") == 0;
    print_text(f, tokens);
    if (f->vocabulary_used >= 0)
        printf("vocabulary   %s of %s ids used\n", mo__count(f->vocabulary_used).text,
               mo__count(vocab_size).text);
    print_dropped(f);
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
