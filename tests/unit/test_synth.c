/* test_synth.c -- synthetic text: pure, well formed, and of exactly the entropy that it claims. */
#include <moira/data.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/synth.h"
#include "harness/damage.h"
#include "harness/harness.h"

enum { SAMPLE = 4000 };

static int make_folder(void **state)
{
    *state = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

static mo__synth *make_synth(uint64_t seed)
{
    mo__synth *s = mo_malloc(sizeof *s);
    assert_non_null(s);
    mo__synth_init(s, seed);
    return s;
}

/* ---- documents ---- */

static void a_document_is_a_function_of_its_place(void **state)
{
    (void)state;
    mo__synth *a = make_synth(1), *b = make_synth(1), *c = make_synth(2);
    for (int d = 0; d < mo_synth_domain_count(); d++) {
        for (uint64_t k = 0; k < 20; k++) {
            mo__synth_document(a, d, k);
            mo__synth_document(b, d, 1000 - k);
            mo__synth_document(b, d, k);
            assert_string_equal(a->text, b->text);
            assert_true(a->entropy == b->entropy && a->surprisal == b->surprisal);
            mo__synth_document(b, d, k + 1);
            assert_string_not_equal(a->text, b->text);
            mo__synth_document(c, d, k);
            assert_string_not_equal(a->text, c->text);
        }
    }
    mo_free(a);
    mo_free(b);
    mo_free(c);
}

static void documents_have_their_form(void **state)
{
    (void)state;
    mo__synth *s = make_synth(3);
    char first[16] = "";
    for (int d = 0; d < mo_synth_domain_count(); d++) {
        for (uint64_t k = 0; k < SAMPLE; k++) {
            mo__synth_document(s, d, k);
            assert_in_range(s->length, MO__SYNTH_SHORTEST, MO__SYNTH_LONGEST);
            assert_int_equal(strlen(s->text), s->length);
            assert_int_equal(s->text[s->length - 1], '\n');
            for (int i = 0; i < s->length; i++)
                if (s->text[i] != '\n') assert_in_range(s->text[i], ' ', '~');
            if (k == 0) {
                assert_null(strchr(first, s->text[0])); /* a domain's own */
                first[d] = s->text[0];
            }
            assert_int_equal(s->text[0], first[d]);
        }
    }
    mo_free(s);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether a document has ended follows from its text: none is the beginning of another. */
static void no_document_begins_another(void **state)
{
    (void)state;
    mo__synth *s = make_synth(4);
    char **texts = mo_malloc(SAMPLE * sizeof *texts);
    for (int d = 0; d < mo_synth_domain_count(); d++) {
        for (uint64_t k = 0; k < SAMPLE; k++) {
            mo__synth_document(s, d, k);
            texts[k] = mo_strdup(s->text);
        }
        qsort(texts, SAMPLE, sizeof *texts, by_text);
        for (int k = 0; k + 1 < SAMPLE; k++)
            if (!strncmp(texts[k], texts[k + 1], strlen(texts[k])))
                fail_msg("%s begins %s", texts[k], texts[k + 1]);
        for (int k = 0; k < SAMPLE; k++) mo_free(texts[k]);
    }
    mo_free(texts);
    mo_free(s);
}

/* ---- the account of entropy ---- */

typedef struct {
    double entropy, surprisal;
} account;

static bool begins(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* Entropy as the sum of -p log p; entries that can be told apart as soon as they are written. */
static void watch(const char *const *text, const uint8_t *weight, int n, int drawn, void *user)
{
    account *a = user;
    double total = 0;
    for (int i = 0; i < n; i++) total += weight[i];
    assert_true(weight[drawn] > 0);
    for (int i = 0; i < n; i++) {
        if (weight[i] == 0) continue;
        double p = weight[i] / total;
        a->entropy -= p * log(p);
        if (i == drawn) a->surprisal -= log(p);
        for (int j = 0; j < n; j++)
            if (j != i && weight[j] > 0 && begins(text[j], text[i]))
                fail_msg("\"%s\" begins \"%s\"", text[i], text[j]);
    }
}

static void every_draw_can_be_read_off_the_text(void **state)
{
    (void)state;
    mo__synth *s = make_synth(5);
    account a;
    s->watch = watch;
    s->user = &a;
    for (int d = 0; d < mo_synth_domain_count(); d++) {
        for (uint64_t k = 0; k < 500; k++) {
            a = (account){0};
            mo__synth_document(s, d, k);
            /* Numbers are drawn alike: they add the same to both and are not told to the watch. */
            MO_CHECK_NEAR(s->entropy - a.entropy, s->surprisal - a.surprisal, 1e-9);
            assert_true(s->entropy - a.entropy >= -1e-9);
        }
    }
    mo_free(s);
}

/* The mean of the surprisals is the mean of the entropies, to the accuracy of the sample. */
static void surprisal_is_entropy_on_average(void **state)
{
    (void)state;
    mo__synth *s = make_synth(6);
    for (int d = 0; d < mo_synth_domain_count(); d++) {
        double sum = 0, squares = 0;
        for (uint64_t k = 0; k < 5 * SAMPLE; k++) {
            mo__synth_document(s, d, k);
            double difference = s->surprisal - s->entropy;
            sum += difference;
            squares += difference * difference;
        }
        double n = 5 * SAMPLE, mean = sum / n, error = sqrt((squares / n - mean * mean) / n);
        assert_true(error > 0);
        if (!(fabs(mean) <= 4 * error))
            fail_msg("%s: off by %g, standard error %g", mo_synth_domain_name(d), mean, error);
    }
    mo_free(s);
}

/* A number in [low, high] is uniform, and its text ends where `end` begins. */
static void numbers_are_uniform(void **state)
{
    (void)state;
    mo__synth *s = make_synth(7);
    int seen[12] = {0};
    for (uint64_t k = 0; k < 12000; k++) {
        s->document = k;
        s->draws = 0;
        s->length = 0;
        s->entropy = s->surprisal = 0;
        int64_t number = mo__synth_number(s, 3, 14, ";");
        assert_in_range(number, 3, 14);
        assert_int_equal(strtol(s->text, NULL, 10), number);
        assert_int_equal(s->text[s->length - 1], ';');
        MO_CHECK_NEAR(s->entropy, log(12), 1e-12);
        MO_CHECK_NEAR(s->surprisal, log(12), 1e-12);
        seen[number - 3]++;
    }
    for (int i = 0; i < 12; i++) assert_in_range(seen[i], 850, 1150); /* 1000, standard deviation 30 */
    mo_free(s);
}

/* ---- what follows from earlier text is right ---- */

/* "a op b [op c] = ... = z": the parts between equal signs have the same value. */
static long evaluate(const char *text, const char *end)
{
    char *at;
    long value = strtol(text, &at, 10);
    while (at < end && (at[1] == '+' || at[1] == '-' || at[1] == '*')) {
        char operator= at[1];
        long other = strtol(at + 2, &at, 10);
        value = operator== '+' ? value + other : operator== '-' ? value - other : value * other;
    }
    return value;
}

static void sums_are_right(void **state)
{
    (void)state;
    mo__synth *s = make_synth(8);
    for (uint64_t k = 0; k < 500; k++) {
        mo__synth_document(s, 1, k);
        char *line = strchr(s->text, '\n') + 1;
        int lines = 0;
        for (char *end; *line && (end = strchr(line, '\n')); line = end + 1, lines++) {
            long value = evaluate(line, end);
            for (const char *part = line; (part = strchr(part, '=')) && part < end;)
                assert_int_equal(evaluate(++part, end), value);
        }
        assert_int_equal(lines, strtol(s->text + 2, NULL, 10));
    }
    mo_free(s);
}

static bool is_known(const char *name, size_t length, char known[][8], int n)
{
    for (int i = 0; i < n; i++)
        if (strlen(known[i]) == length && !strncmp(known[i], name, length)) return true;
    return false;
}

/* No name is read on the right of "=", or in a condition, a range or a return, before it has a value. */
static void code_reads_only_what_it_has_set(void **state)
{
    (void)state;
    mo__synth *s = make_synth(9);
    for (uint64_t k = 0; k < 500; k++) {
        char known[64][8];
        int n = 0;
        mo__synth_document(s, 3, k);
        for (const char *line = s->text, *end; *line && (end = strchr(line, '\n')); line = end + 1) {
            const char *at = strstr(line, " = ");
            bool sets = at && at < end, head = line == s->text;
            const char *names = head ? strchr(line, '(') : sets ? at + 3 : line;
            for (const char *c = names; c < end;) {
                size_t length = strspn(c, "abcdefghijklmnopqrstuvwxyz");
                static char words[][8] = {"if", "for", "in", "range", "else", "return"};
                bool looping = length == 1 && *c == 'i';
                if (length && head)
                    snprintf(known[n++], 8, "%.*s", (int)length, c);
                else if (length && !looping && !is_known(c, length, words, 6) &&
                         !is_known(c, length, known, n))
                    fail_msg("%.*s is not set in %s", (int)length, c, s->text);
                c += length ? length : 1;
            }
            if (sets && strspn(line, " ") == 4)
                snprintf(known[n++], 8, "%.*s", (int)(at - line - 4), line + 4);
        }
    }
    mo_free(s);
}

/* ---- the corpus ---- */

static mo_synth_options corpus_options(const char *path)
{
    return (mo_synth_options){.output = path,
                              .domains = mo_synth_domain_count(),
                              .tokens = 2000000,
                              .validation_fraction = 0.1,
                              .seed = 42,
                              .compression = 1};
}

static void check_split(const mo_tokenfile *file, const mo_corpus_summary *sum, int split, int64_t wanted)
{
    const mo_tokens *t = &file->split[split];
    assert_in_range(t->count, wanted, wanted + MO__SYNTH_LONGEST);
    assert_int_equal(t->count, sum->tokens[split]);
    assert_int_equal(t->documents, sum->documents[split]);
    int64_t bytes[16] = {0}, documents[16] = {0};
    for (int64_t d = 0; d < t->documents; d++) {
        bytes[t->domains[d]] += (int64_t)(t->offsets[d + 1] - t->offsets[d]);
        documents[t->domains[d]]++;
    }
    mo__synth *s = make_synth(42);
    for (int d = 0; d < file->n_domains; d++) {
        double share = (double)bytes[d] / (double)t->count * file->n_domains, entropy = 0;
        MO_CHECK_NEAR(share, 1, 0.05);
        assert_int_equal(bytes[d], sum->domain_tokens[split][d]);
        for (int64_t k = 0; k < documents[d]; k++) {
            mo__synth_document(s, d, (split ? UINT64_C(1) << 40 : 0) + (uint64_t)k);
            entropy += s->entropy;
        }
        MO_CHECK_NEAR(t->entropy_nats[d], entropy / (double)(bytes[d] - documents[d]), 1e-12);
        assert_true(t->entropy_nats[d] == sum->entropy_nats[split][d]);
        assert_true(t->entropy_nats[d] > 0.2 && t->entropy_nats[d] < 1.2);
        assert_string_equal(file->domain_names[d], mo_synth_domain_name(d));
    }
    mo_free(s);
}

static void the_corpus_has_every_domain_in_both_splits(void **state)
{
    const char *path = temp_path(*state, "s.h5"), *again = temp_path(*state, "again.h5");
    mo_corpus_summary sum, other;
    mo_tokenfile *file;
    mo_synth_options o = corpus_options(path);
    MO_CHECK_OK(mo_synth(&o, &sum));
    MO_CHECK_OK(mo_tokenfile_open(path, &file));
    check_split(file, &sum, 0, 1800000);
    check_split(file, &sum, 1, 200000);
    assert_int_equal(sum.bytes, sum.tokens[0] + sum.tokens[1]);
    mo_tokenfile_close(file);
    char one[33], two[33];
    o.output = again;
    MO_CHECK_OK(mo_synth(&o, &other));
    MO_CHECK_OK(mo_hash_file(path, 0, one));
    MO_CHECK_OK(mo_hash_file(again, 0, two));
    assert_string_equal(one, two);
    o.seed++;
    MO_CHECK_OK(mo_synth(&o, &other));
    MO_CHECK_OK(mo_hash_file(again, 0, two));
    assert_string_not_equal(one, two);
}

static void small_corpora_have_every_domain_too(void **state)
{
    mo_synth_options o = corpus_options(temp_path(*state, "s.h5"));
    mo_corpus_summary sum;
    o.tokens = 400 * 8 * 2;
    o.validation_fraction = 0.5;
    MO_CHECK_OK(mo_synth(&o, &sum));
    for (int split = 0; split < 2; split++)
        for (int d = 0; d < 8; d++) assert_true(sum.domain_tokens[split][d] > 0);
    o.domains = 1;
    o.validation_fraction = 0;
    MO_CHECK_OK(mo_synth(&o, &sum));
    assert_int_equal(sum.tokens[1], 0);
    mo_tokenfile *file;
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    assert_int_equal(file->split[1].count, 0);
    assert_int_equal(file->n_domains, 1);
    mo_tokenfile_close(file);
}

static void bad_requests_are_refused(void **state)
{
    mo_synth_options o = corpus_options(temp_path(*state, "s.h5"));
    mo_corpus_summary sum;
    o.domains = 0;
    MO_CHECK_STATUS(mo_synth(&o, &sum), MO_E_RANGE);
    o.domains = mo_synth_domain_count() + 1;
    MO_CHECK_STATUS(mo_synth(&o, &sum), MO_E_RANGE);
    MO_CHECK_MESSAGE("must be 1 to 8");
    o.domains = 2;
    o.tokens = 7999; /* a tenth would be too few for two documents */
    MO_CHECK_STATUS(mo_synth(&o, &sum), MO_E_RANGE);
    MO_CHECK_MESSAGE("7999");
    o.validation_fraction = 1;
    MO_CHECK_STATUS(mo_synth(&o, &sum), MO_E_RANGE);
    assert_int_equal(damage_count_files(*state), 0);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    mo_synth_options o = corpus_options(temp_path(*state, "s.h5"));
    o.tokens = 40000;
    mo_corpus_summary sum;
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, mo_synth(&o, &sum));
    assert_true(failed > 10);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(damage_count_files(*state), 1);
}

/* ---- the floor ---- */

enum { MOST_ORDER = 6, SLOTS = 1 << 22 };

/* Counts of (last `order` bytes, next byte), hashed: under 2% of the slots are used, so few collide. */
typedef struct {
    uint32_t *pair, *context;
} counts;

static uint64_t hash_context(const uint8_t *next, int order)
{
    uint64_t h = 0x9e3779b97f4a7c15u + (uint64_t)order;
    for (int i = 1; i <= order; i++) h = (h ^ next[-i]) * 0xff51afd7ed558ccdu, h ^= h >> 32;
    return h;
}

static size_t pair_slot(uint64_t h, uint8_t byte)
{
    h = (h + byte + 1) * 0xc4ceb9fe1a85ec53u;
    return (size_t)((h ^ h >> 29) % SLOTS);
}

/* Interpolated over orders 0..order: p_k = (count + c p_{k-1}) / (total + c). The file's documents begin
 * anew. */
static double ngram_loss(const mo_tokens *train, const mo_tokens *held_out, int order, int domain)
{
    counts model[MOST_ORDER + 1];
    for (int k = 0; k <= order; k++) {
        model[k].pair = mo_calloc(SLOTS, sizeof(uint32_t));
        model[k].context = mo_calloc(SLOTS, sizeof(uint32_t));
    }
    double loss = 0;
    int64_t predicted = 0;
    for (int pass = 0; pass < 2; pass++) {
        const mo_tokens *t = pass ? held_out : train;
        for (int64_t d = 0; d < t->documents; d++) {
            if (t->domains[d] != domain) continue;
            const uint8_t *start = (const uint8_t *)t->data + t->offsets[d];
            int length = (int)(t->offsets[d + 1] - t->offsets[d]);
            for (int i = 1; i < length; i++) {
                double p = 1.0 / 256;
                for (int k = 0; k <= order && k <= i; k++) {
                    uint64_t h = hash_context(start + i, k);
                    uint32_t *pair = &model[k].pair[pair_slot(h, start[i])],
                             *context = &model[k].context[h % SLOTS];
                    p = (*pair + 2 * p) / (*context + 2);
                    if (!pass) ++*pair, ++*context;
                }
                if (!pass) continue;
                loss -= log(p);
                predicted++;
            }
        }
    }
    for (int k = 0; k <= order; k++) mo_free(model[k].pair), mo_free(model[k].context);
    return loss / (double)predicted;
}

/* Models of short contexts come down towards the floor and stay above it. */
static void no_ngram_beats_the_floor(void **state)
{
    mo_synth_options o = corpus_options(temp_path(*state, "s.h5"));
    mo_corpus_summary sum;
    mo_tokenfile *file;
    MO_CHECK_OK(mo_synth(&o, &sum));
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    for (int d = 0; d < file->n_domains; d++) {
        double floor = file->split[1].entropy_nats[d], before = 8;
        for (int order = 0; order <= MOST_ORDER; order += 2) {
            double loss = ngram_loss(&file->split[0], &file->split[1], order, d);
            if (!(loss > floor))
                fail_msg("%s: order %d has %g, the floor is %g", file->domain_names[d], order, loss, floor);
            if (order <= 2 && !(loss < before))
                fail_msg("%s: order %d does not help", file->domain_names[d], order);
            before = loss;
        }
    }
    mo_tokenfile_close(file);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_a_function_of_its_place),
        cmocka_unit_test(documents_have_their_form),
        cmocka_unit_test(no_document_begins_another),
        cmocka_unit_test(every_draw_can_be_read_off_the_text),
        cmocka_unit_test(surprisal_is_entropy_on_average),
        cmocka_unit_test(numbers_are_uniform),
        cmocka_unit_test(sums_are_right),
        cmocka_unit_test(code_reads_only_what_it_has_set),
        WITH_FOLDER(the_corpus_has_every_domain_in_both_splits),
        WITH_FOLDER(small_corpora_have_every_domain_too),
        WITH_FOLDER(bad_requests_are_refused),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
        WITH_FOLDER(no_ngram_beats_the_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
