/* test_corpus.c -- which files, which texts in their lines, which documents validate, how long documents are.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/corpus_files.h"
#include "data/corpus_jsonl.h"
#include "data/corpus_split.h"
#include "data/length_tally.h"
#include "harness/harness.h"

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

/* ---- files ---- */

static const char *folder; /* of the test at hand */

static void write_files(const char *dir, const char *names)
{
    char list[512], *rest = list;
    snprintf(list, sizeof list, "%s", names);
    folder = dir;
    for (const char *name; (name = strsep(&rest, " "));) {
        char *parent = mo_path_dir(temp_path(dir, name));
        MO_CHECK_OK(mo_make_dirs(parent));
        MO_CHECK_OK(mo_write_file(temp_path(dir, name), name, strlen(name)));
        mo_free(parent);
    }
}

/* The files that are found, without the folder, those of JSONL with a '!' in front. */
static void expect_files(const mo_corpus *corpus, const char *wanted)
{
    mo__corpus_files files = {0};
    char found[1024] = "";
    size_t skip = strlen(folder) + 1, used = 0;
    MO_CHECK_OK(mo__corpus_files_find(corpus, &files));
    for (int64_t i = 0; i < files.count; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%s%s", i ? " " : "",
                                 files.at[i].jsonl ? "!" : "", files.at[i].path + skip);
    assert_string_equal(found, wanted);
    mo__corpus_files_free(&files);
}

static void expect_refused(const mo_corpus *corpus, mo_status status, const char *message)
{
    mo__corpus_files files = {0};
    MO_CHECK_STATUS(mo__corpus_files_find(corpus, &files), status);
    MO_CHECK_MESSAGE(message);
    mo__corpus_files_free(&files);
}

static char heard[256];

static void hear(mo_log_level level, const char *message, void *user)
{
    (void)level, (void)user;
    snprintf(heard, sizeof heard, "%s", message);
}

static void folders_are_walked_in_order(void **state)
{
    const char *input = *state;
    mo_corpus c = {.inputs = &input, .n_inputs = 1};
    write_files(*state,
                "b/z.txt b/a.jsonl.gz a.md b.txt B.TXT c.h5 .hidden.txt .git/x.txt b/.h/y.txt d/e/f/g.ndjson "
                "d/note.txt.bak txt x.gz a.tar.gz");
    expect_files(&c, "B.TXT a.md b.txt !b/a.jsonl.gz b/z.txt !d/e/f/g.ndjson");
    c.extensions = "txt";
    heard[0] = '\0';
    mo_log_set(hear, NULL);
    expect_files(&c, "B.TXT b.txt b/z.txt");
    mo_log_set(NULL, NULL);
    assert_string_equal(heard,
                        "left out 8 files of other kinds: .bak, .gz, .h5, .jsonl.gz, .md, .ndjson, ...");
    c.extensions = "bak,gz";
    expect_files(&c, "a.tar.gz !b/a.jsonl.gz d/note.txt.bak x.gz");
    c.extensions = "tar";
    expect_files(&c, "a.tar.gz");
    c.extensions = "jsonl";
    c.format = MO_CORPUS_TEXT;
    expect_files(&c, "b/a.jsonl.gz");
    c.extensions = "none";
    expect_refused(&c, MO_E_NOT_FOUND, "no file in this folder or below has an extension of none");
}

static void files_are_taken_once(void **state)
{
    write_files(*state, "a.txt b.txt s/c.txt s/d.jsonl");
    assert_int_equal(symlink("../s", temp_path(*state, "s/loop")), 0);
    assert_int_equal(symlink("a.txt", temp_path(*state, "z.txt")), 0);
    assert_int_equal(symlink("nowhere", temp_path(*state, "s/broken.bin")), 0); /* nobody asked for it */
    const char *inputs[] = {temp_path(*state, "s/d.jsonl"), *state, temp_path(*state, "b.txt"),
                            temp_path(*state, "?.txt")};
    mo_corpus c = {.inputs = inputs, .n_inputs = 4};
    expect_files(&c, "!s/d.jsonl a.txt b.txt s/c.txt");
    mo__corpus_files files = {0};
    MO_CHECK_OK(mo__corpus_files_find(&c, &files));
    assert_int_equal(files.repeated, 6); /* d in the folder, z there, b, and a, b, z by the pattern */
    assert_int_equal(files.stored, 5 + 5 + 7 + 9);
    MO_CHECK_OK(mo__corpus_files_spare(&files, temp_path(*state, "new.h5")));
    MO_CHECK_STATUS(mo__corpus_files_spare(&files, temp_path(*state, "z.txt")), MO_E_USAGE);
    MO_CHECK_MESSAGE("a.txt: is both an input and the output");
    mo__corpus_files_free(&files);
    assert_int_equal(symlink("nowhere", temp_path(*state, "s/broken.txt")), 0);
    expect_refused(&c, MO_E_NOT_FOUND, "broken.txt: is a link that leads nowhere");
}

static void patterns_are_expanded(void **state)
{
    write_files(*state, "b1.txt b10.txt b2.txt c[1].txt c1.txt d/x.txt d/y.md");
    const char *input = temp_path(*state, "b*.txt");
    mo_corpus c = {.inputs = &input, .n_inputs = 1};
    expect_files(&c, "b1.txt b10.txt b2.txt");
    input = temp_path(*state, "c[1].txt"); /* there is one of this name */
    expect_files(&c, "c[1].txt");
    input = temp_path(*state, "[d]");
    expect_files(&c, "d/x.txt d/y.md");
    input = temp_path(*state, "*.json");
    expect_refused(&c, MO_E_NOT_FOUND, "*.json: matches no file");
    input = temp_path(*state, "**/*.txt");
    expect_refused(&c, MO_E_USAGE, "'**' is not known here");
    input = temp_path(*state, "b3.txt");
    expect_refused(&c, MO_E_NOT_FOUND, "b3.txt: cannot open");
}

static void options_must_be_for_something(void **state)
{
    write_files(*state, "a.txt b.jsonl");
    const char *text = temp_path(*state, "a.txt"), *lines = temp_path(*state, "b.jsonl");
    expect_refused(&(mo_corpus){.inputs = &text}, MO_E_USAGE, "no input");
    expect_refused(&(mo_corpus){.inputs = &text, .n_inputs = 1, .extensions = "txt"}, MO_E_USAGE,
                   "no input is one");
    expect_refused(&(mo_corpus){.inputs = &text, .n_inputs = 1, .field = "x"}, MO_E_USAGE, "is for JSONL");
    expect_refused(&(mo_corpus){.inputs = &lines, .n_inputs = 1, .separator = "x"}, MO_E_USAGE,
                   "is for texts");
    expect_refused(&(mo_corpus){.inputs = &lines, .n_inputs = 1, .field = ""}, MO_E_USAGE, "field: is empty");
    expect_refused(&(mo_corpus){.inputs = &text, .n_inputs = 1, .separator = ""}, MO_E_USAGE,
                   "separator: is empty");
    static const char *const LISTS[] = {"", ".txt", "a,,b", ",a", "a,", "*.txt", "a b"};
    const char *here = *state;
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++)
        expect_refused(&(mo_corpus){.inputs = &here, .n_inputs = 1, .extensions = LISTS[i]}, MO_E_USAGE,
                       "must be names between commas");
}

static void memory_may_fail_while_looking(void **state)
{
    write_files(*state, "a.txt d/b.txt d/c.jsonl");
    const char *inputs[] = {*state, temp_path(*state, "*.txt")};
    mo_corpus c = {.inputs = inputs, .n_inputs = 2};
    int64_t live = mo__alloc_live(), failed;
    for (failed = 0;; failed++) {
        mo__corpus_files files = {0};
        mo__alloc_fail_after(failed);
        mo_status status = mo__corpus_files_find(&c, &files);
        mo__alloc_fail_after(-1);
        mo__corpus_files_free(&files);
        assert_int_equal(mo__alloc_live(), live);
        if (status == MO_OK) break;
        assert_int_equal(status, MO_E_MEMORY);
    }
    assert_true(failed > 8);
}

/* ---- lines of JSONL ---- */

static mo_status parse(const char *line, const char *field, mo__record_text *out)
{
    static const char path[] = "a.jsonl";
    mo__corpus_file file = {.jsonl = true};
    memcpy(&file.path, &(const char *){path}, sizeof file.path);
    mo__record r = {.size = strlen(line), .file = &file, .line = 12};
    return mo__record_text_parse(&r, line, field, out);
}

static void expect_text(const char *line, const char *field, const char *wanted)
{
    mo__record_text t;
    MO_CHECK_OK(parse(line, field, &t));
    assert_int_equal(t.size, strlen(wanted));
    assert_memory_equal(t.text, wanted, t.size);
    mo__record_text_free(&t);
}

static void lines_have_texts(void **state)
{
    (void)state;
    expect_text("{\"text\": \"a\\n\\u00e9\\ud83d\\ude00 \\\"\"}", "text", "a\né😀 \"");
    expect_text(" {\"id\": 99999999999999999999999, \"text\": \"\"}\r", "text", "");
    expect_text("{\"a\": {\"b\": {\"c\": \"deep\"}}, \"a.b.c\": \"flat\"}", "a.b.c", "flat");
    expect_text("{\"a\": {\"b\": {\"c\": \"deep\"}}}", "a.b.c", "deep");
    expect_text("{\"other\": \"\\u0000\", \"text\": \"x\"}", "text", "x");
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *line, *field, *message;
    } lines[] = {
        {"{\"text\": \"a\"", "text", "a.jsonl: line 12: is not JSON: "},
        {"{\"text\": \"a\"} x", "text", "line 12: is not JSON: end of file expected near 'x', at byte "},
        {"{\"text\": \"\xff\"}", "text", "line 12: is not JSON: unable to decode byte 0xff"},
        {"[\"text\"]", "text", "line 12: is a list, an object {...} is needed"},
        {"\"text\"", "text", "line 12: is a text, an object"},
        {"{\"question\": 1, \"answer\": 2}", "text",
         "line 12: has no field \"text\"; it has \"question\", \"answer\""},
        {"{}", "text", "line 12: has no field \"text\""},
        {"{\"a\": {\"b\": \"x\"}}", "a.c", "has no field \"a.c\"; it has \"a\""},
        {"{\"a\": \"x\"}", "a.c", "has no field \"a.c\""},
        {"{\"text\": null}", "text", "line 12: field \"text\" is null, a text is needed"},
        {"{\"text\": 3}", "text", "is a number"},
        {"{\"text\": \"a\\u0000b\"}", "text", "has a NUL character"},
    };
    mo__record_text t;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        MO_CHECK_STATUS(parse(lines[i].line, lines[i].field, &t), MO_E_FORMAT);
        MO_CHECK_MESSAGE(lines[i].message);
        assert_null(t.owner);
    }
    /* Nothing of a line reaches a terminal as it is. */
    MO_CHECK_STATUS(parse("{\"a\": \x1b[31m\x07}", "text", &t), MO_E_FORMAT);
    for (const char *p = mo_last_error(); *p; p++) assert_true((unsigned char)*p >= 0x20);
    MO_CHECK_STATUS(parse("{\"\\u001b[31m\": 1}", "text", &t), MO_E_FORMAT);
    for (const char *p = mo_last_error(); *p; p++) assert_true((unsigned char)*p >= 0x20);
}

/* ---- splits ---- */

static void one_of_each_run_validates(void **state)
{
    (void)state;
    const double shares[] = {0.01, 0.05, 0.1, 0.15,    0.2, 0.25, 0.3, 1.0 / 3, 0.4,  0.45,
                             0.5,  0.55, 0.6, 2.0 / 3, 0.7, 0.75, 0.8, 0.9,     0.95, 0.99};
    enum { RUNS = 500 };
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double rare = shares[i] <= 0.5 ? shares[i] : 1 - shares[i];
        mo_split drawn = shares[i] <= 0.5 ? MO_SPLIT_VALIDATION : MO_SPLIT_TRAIN;
        int64_t document = 0;
        for (int run = 0; run < RUNS; run++) {
            int64_t end = (int64_t)((run + 1) / rare + 0.5), found = 0;
            for (; document < end; document++) found += mo__split_of(shares[i], 7, document) == drawn;
            assert_int_equal(found, 1);
        }
        assert_int_equal(mo__split_of(shares[i], 7, 0), MO_SPLIT_TRAIN);
        assert_int_equal(mo__split_of(shares[i], 7, 1), MO_SPLIT_VALIDATION);
    }
}

static void draws_hang_on_the_seed(void **state)
{
    (void)state;
    int64_t places[10] = {0}, same = 0, first = -1, other = -1;
    for (int64_t d = 10; d < 10010; d++) {
        bool a = mo__split_of(0.1, 1, d) == MO_SPLIT_VALIDATION,
             b = mo__split_of(0.1, 2, d) == MO_SPLIT_VALIDATION;
        places[d % 10] += a;
        if (a) first = d % 10;
        if (b) other = d % 10;
        if (d % 10 == 9) same += first == other;
    }
    /* 1,000 draws of 10 places: 100 each, standard deviation 9.5; of two seeds 100 agree. */
    for (int i = 0; i < 10; i++) assert_in_range(places[i], 60, 140);
    assert_in_range(same, 60, 140);
}

static void odd_shares_are_fine(void **state)
{
    (void)state;
    for (int64_t d = 0; d < 100; d++) {
        assert_int_equal(mo__split_of(0, 1, d), MO_SPLIT_TRAIN);
        assert_int_equal(mo__split_of(1e-300, 1, d), d == 1 ? MO_SPLIT_VALIDATION : MO_SPLIT_TRAIN);
    }
    assert_int_equal(mo__split_bytes(0.1, 1115394), 1003854);
    assert_int_equal(mo__split_bytes(0.9, 1), 0);
}

/* ---- lengths ---- */

static int by_value(const void *a, const void *b)
{
    return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b);
}

static void lengths_are_counted(void **state)
{
    (void)state;
    enum { N = 4001 };
    int64_t lengths[N];
    const double scales[] = {30, 2500, 1e7, 1e14};
    for (size_t k = 0; k < 4; k++) {
        uint64_t offsets[N + 1] = {0};
        int64_t powers[63] = {0};
        for (int i = 0; i < N; i++) {
            double u = mo_rng_uniform(5, MO_RNG_TEST, k, 0, (uint64_t)i);
            lengths[i] = 1 + (int64_t)(u * u * scales[k]);
            offsets[i + 1] = offsets[i] + (uint64_t)lengths[i];
            for (int p = 0; p < 63; p++) powers[p] += lengths[i] >> p == 1;
        }
        mo_tokens tokens = {.documents = N, .offsets = offsets};
        mo_lengths l;
        MO_CHECK_OK(mo_lengths_of(&tokens, &l));
        qsort(lengths, N, sizeof *lengths, by_value);
        assert_int_equal(l.documents, N);
        assert_int_equal(l.tokens, offsets[N]);
        assert_int_equal(l.least, lengths[0]);
        assert_int_equal(l.most, lengths[N - 1]);
        assert_memory_equal(l.power, powers, sizeof powers);
        int64_t middle = lengths[N / 2];
        if (middle < 2048) assert_int_equal(l.median, middle);
        assert_true(l.median <= middle && (double)l.median >= (double)middle * (1 - 1.0 / 1024));
    }
    mo_lengths none;
    MO_CHECK_OK(mo_lengths_of(&(mo_tokens){.count = 0}, &none));
    assert_true(none.documents == 0 && none.median == 0 && none.least == 0);
}

static void extreme_lengths_are_counted(void **state)
{
    (void)state;
    const int64_t lengths[] = {1, 2047, 2048, 2049, 4095, 4096, INT64_C(1) << 60};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        mo__length_tally *t;
        mo_lengths l;
        MO_CHECK_OK(mo__length_tally_create(&t));
        mo__length_tally_add(t, lengths[i]);
        mo__length_tally_sum(t, &l);
        assert_int_equal(l.median, lengths[i]); /* of one length: not less than the least */
        mo__length_tally_add(t, lengths[i]);
        mo__length_tally_add(t, 3 + lengths[i] / 2);
        mo__length_tally_add(t, 3 + lengths[i] / 2);
        mo__length_tally_sum(t, &l); /* of an even number the lower one */
        assert_int_equal(l.median, 3 + lengths[i] / 2 < lengths[i] ? l.least : lengths[i]);
        mo__length_tally_free(t);
    }
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(folders_are_walked_in_order),   WITH_FOLDER(files_are_taken_once),
        WITH_FOLDER(patterns_are_expanded),         WITH_FOLDER(options_must_be_for_something),
        WITH_FOLDER(memory_may_fail_while_looking), cmocka_unit_test(lines_have_texts),
        cmocka_unit_test(bad_lines_are_named),      cmocka_unit_test(one_of_each_run_validates),
        cmocka_unit_test(draws_hang_on_the_seed),   cmocka_unit_test(odd_shares_are_fine),
        cmocka_unit_test(lengths_are_counted),      cmocka_unit_test(extreme_lengths_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
