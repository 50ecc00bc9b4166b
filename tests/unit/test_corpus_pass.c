/* test_corpus_pass.c -- one document or several, known from as little as can be; where the only one is cut.
 */
#include <string.h>

#include "data/corpus_pass.h"
#include "harness/harness.h"

enum { LONG = 9 << 20 }; /* more than a batch */

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

typedef struct {
    mo_corpus corpus;
    mo__corpus_files files;
    mo__pass_plan plan;
} corpus;

static void open_corpus(corpus *c, const char *const *inputs, int n)
{
    c->corpus.inputs = inputs;
    c->corpus.n_inputs = n;
    c->plan.corpus = &c->corpus;
    c->plan.files = &c->files;
    MO_CHECK_OK(mo__corpus_files_find(&c->corpus, &c->files));
    MO_CHECK_OK(mo__corpus_scout(&c->plan));
}

static void expect_size(corpus c, const char *const *inputs, int n, int64_t documents, int64_t bytes)
{
    open_corpus(&c, inputs, n);
    assert_int_equal(c.plan.size.documents, documents);
    if (documents == 1) assert_int_equal(c.plan.size.bytes, bytes);
    if (documents == 1) assert_string_equal(c.plan.size.only->path, inputs[n - 1]);
    mo__corpus_files_free(&c.files);
}

/* `size` bytes of 'a' between two texts. */
static const char *write_long(const char *dir, const char *name, const char *before, size_t size,
                              const char *after)
{
    char *text = mo_malloc(strlen(before) + size + strlen(after) + 1);
    memset(stpcpy(text, before), 'a', size);
    strcpy(text + strlen(before) + size, after);
    const char *path = temp_path(dir, name);
    MO_CHECK_OK(mo_write_file(path, text, strlen(text)));
    mo_free(text);
    return path;
}

static void documents_are_counted_as_far_as_matters(void **state)
{
    const char *dir = *state;
    const char *empty = write_long(dir, "empty", "", 0, ""),
               *large = write_long(dir, "long", "\xEF\xBB\xBF", LONG, "");
    const char *late = write_long(dir, "late", "", LONG, "<x>b"),
               *early = write_long(dir, "early", "b<x>", LONG, "");
    const char *last = write_long(dir, "last", "<x>", LONG, "<x>\n<x>");
    const corpus whole = {.plan = {.validation = 0.1}}, cut = {.corpus = {.separator = "<x>"}};
    const corpus field = {.corpus = {.field = "b"}}, lenient = {.corpus = {.field = "b", .skip_bad = true}};
    expect_size(whole, &empty, 1, 0, 0);
    expect_size(whole, (const char *[]){empty, large}, 2, 1, LONG);
    expect_size(whole, (const char *[]){large, empty, late}, 3, 2, 0);
    expect_size(whole, &late, 1, 1, LONG + 4);
    expect_size(cut, &large, 1, 1, LONG);
    expect_size(cut, &late, 1, 2, 0);
    expect_size(cut, &early, 1, 2, 0);
    expect_size(cut, &last, 1, 1, LONG);
    const char *one = write_long(dir, "1.jsonl", "{\"b\": \"\"}\n{\"b\": \"", LONG, "\\n\"}\n{\"b\": \"\"}");
    const char *two = write_long(dir, "2.jsonl", "{\"b\": \"1\"}\n{\"a\": \"", LONG, "\"}\n{\"b\": \"2\"}");
    expect_size(field, &one, 1, 1, LONG + 1);
    expect_size(lenient, &two, 1, 2, 0);
}

/* ---- pieces ---- */

typedef struct {
    char *text[2]; /* by split; '<' where a document begins, '>' where it ends, '|' where its part closes */
    size_t size[2];
} content;

static void add(content *c, mo_split split, const char *text, size_t size)
{
    c->text[split] = mo_realloc(c->text[split], c->size[split] + size + 1);
    memcpy(c->text[split] + c->size[split], text, size);
    c->size[split] += size;
    c->text[split][c->size[split]] = '\0';
}

static mo_status pass_over(const mo__pass_plan *plan, content *c)
{
    mo__pass *pass;
    mo__pieces pieces = {.last = false};
    *c = (content){.size = {0}};
    for (int s = 0; s < 2; s++) add(c, (mo_split)s, "", 0);
    MO_CHECK_OK(mo__pass_open(plan, &pass));
    mo_status status = MO_OK;
    while (status == MO_OK && !pieces.last) {
        status = mo__pass_next(pass, &pieces);
        for (int64_t i = 0; status == MO_OK && i < pieces.count; i++) {
            const mo__piece *p = &pieces.at[i];
            if (p->begins) add(c, p->split, "<", 1);
            add(c, p->split, p->text, p->size);
            if (p->ends) add(c, p->split, ">", 1);
            if (p->closes) add(c, p->split, "|", 1);
        }
    }
    mo__pass_close(pass);
    return status;
}

static void expect_cut(const corpus *like, const char *path, const char *train, const char *validation)
{
    corpus c = *like;
    content got;
    open_corpus(&c, &path, 1);
    MO_CHECK_OK(pass_over(&c.plan, &got));
    assert_string_equal(got.text[MO_SPLIT_TRAIN], train);
    assert_string_equal(got.text[MO_SPLIT_VALIDATION], validation);
    for (int s = 0; s < 2; s++) mo_free(got.text[s]);
    mo__corpus_files_free(&c.files);
}

static const char *write_text(const char *dir, const char *name, const char *text)
{
    const char *path = temp_path(dir, name);
    MO_CHECK_OK(mo_write_file(path, text, strlen(text)));
    return path;
}

static void the_only_document_is_cut(void **state)
{
    mo_tokenizer *bytes;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    const char *text = write_text(*state, "a", "a\xC3\xA9z"),
               *line = write_text(*state, "a.jsonl", "{\"text\": \"aéz\"}");
    const corpus half = {.plan = {.validation = 0.5, .tokenizer = bytes}},
                 characters = {.plan = {.validation = 0.5}};
    expect_cut(&half, text, "<a\xC3|", "\xA9z>|");
    expect_cut(&characters, text, "<a|", "éz>|"); /* the half of 4 bytes is within the second character */
    expect_cut(&characters, line, "<a|", "éz>|");
    expect_cut(&(corpus){.plan = {.validation = 0.25}}, text, "<aé|", "z>|");
    expect_cut(&(corpus){.plan = {.validation = 0}}, text, "<aéz>|", "");
    expect_cut(&(corpus){.plan = {.validation = 1e-18}}, text, "<aéz>|", ""); /* less than a byte */
    expect_cut(&(corpus){.corpus = {.separator = "z"}, .plan = {.validation = 0.4}}, text, "<a|", "é>|");
    mo_tokenizer_free(bytes);
}

static void several_documents_are_whole(void **state)
{
    const char *text = write_text(*state, "a", "a|bb||ccc|d|e|f|");
    const corpus c = {.corpus = {.separator = "|"}, .plan = {.validation = 0.5, .seed = 1}};
    corpus other = c;
    content got;
    open_corpus(&other, &text, 1);
    MO_CHECK_OK(pass_over(&other.plan, &got));
    assert_memory_equal(got.text[MO_SPLIT_TRAIN], "<a>|<", 5);
    assert_memory_equal(got.text[MO_SPLIT_VALIDATION], "<bb>|<", 6);
    assert_int_equal(got.size[0] + got.size[1], 9 + 6 * 3);
    for (int s = 0; s < 2; s++) mo_free(got.text[s]);
    mo__corpus_files_free(&other.files);
}

/* The place of the cut was counted beforehand. */
static void a_text_that_changes_is_noticed(void **state)
{
    const char *text = write_text(*state, "a", "some text");
    corpus c = {.plan = {.validation = 0.5}};
    content got;
    open_corpus(&c, &text, 1);
    write_text(*state, "a", "some more text");
    MO_CHECK_STATUS(pass_over(&c.plan, &got), MO_E_IO);
    MO_CHECK_MESSAGE("a: changed while it was read");
    for (int s = 0; s < 2; s++) mo_free(got.text[s]);
    mo__corpus_files_free(&c.files);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(documents_are_counted_as_far_as_matters),
        WITH_FOLDER(the_only_document_is_cut),
        WITH_FOLDER(several_documents_are_whole),
        WITH_FOLDER(a_text_that_changes_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
