/* test_prepare_talks.c -- conversations to token files: their ids, what is learnt, what is cut, what is left
 * out. */
#include <moira/data.h>

#include <stdlib.h>
#include <string.h>

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

typedef struct {
    mo_prepare_options options;
    const char *input;
    mo_tokenizer *tokenizer;
    mo_prepare_summary summary;
} setting;

static void start(setting *s, const char *folder, const char *lines)
{
    *s = (setting){.input = temp_path(folder, "a.jsonl")};
    MO_CHECK_OK(mo_write_file(s->input, lines, strlen(lines)));
    MO_CHECK_OK(mo_tokenizer_bytes(&s->tokenizer));
    s->options = (mo_prepare_options){
        .corpus = {.inputs = &s->input, .n_inputs = 1, .content = MO_CORPUS_CONVERSATIONS},
        .output = temp_path(folder, "a.h5"),
        .tokenizer = s->tokenizer,
    };
}

static void finish(setting *s)
{
    mo_tokenizer_free(s->tokenizer);
}

/* A document of bytes, what is learnt between "<" and ">", "$" for the end. */
static void check_talk(const mo_tokens *t, int64_t d, const char *wanted)
{
    char got[512];
    int n = 0;
    bool learnt = false;
    for (uint64_t i = t->offsets[d]; i < t->offsets[d + 1]; i++) {
        if (t->mask[i] != learnt) got[n++] = t->mask[i] ? '<' : '>';
        learnt = t->mask[i];
        int32_t id = mo_token_at(t, (int64_t)i);
        got[n++] = id ? (char)id : '$';
        assert_true(n < 500);
    }
    got[n] = '\0';
    assert_string_equal(got, wanted);
}

static void prepare_and_check(setting *s, const char *const train[])
{
    mo_tokenfile *file;
    int64_t n = 0;
    MO_CHECK_OK(mo_prepare(&s->options, &s->summary));
    MO_CHECK_OK(mo_tokenfile_open(s->options.output, &file));
    const mo_tokens *t = &file->split[0];
    assert_true(t->whole);
    for (; train[n]; n++) {
        assert_true(n < t->documents);
        check_talk(t, n, train[n]);
    }
    assert_int_equal(t->documents, n);
    mo_tokenfile_close(file);
}

static const char LINES[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": "
    "\"bc\"}]}\n"
    "\n"
    "{\"prompt\": \"\", \"completion\": \"d\", \"id\": 7}\n"
    "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"e\"}, "
    "{\"role\": \"assistant\", \"content\": \"f\"}, {\"role\": \"user\", \"content\": \"g\"}, "
    "{\"role\": \"assistant\", \"content\": \"hi\"}]}\n";

static void what_the_assistant_says_is_learnt(void **state)
{
    setting s;
    start(&s, *state, LINES);
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< bc$", " [INST]  [/INST]< d$",
                                           " [INST] s\n\ne [/INST]< f$> [INST] g [/INST]< hi$", NULL});
    const mo_prepare_summary *m = &s.summary;
    assert_int_equal(m->documents[0], 3);
    assert_int_equal(m->talks.completions.documents, 3);
    assert_int_equal(m->talks.completions.tokens, 4 + 3 + 3 + 4);
    assert_int_equal(m->talks.completions.least, 3);
    assert_int_equal(m->talks.completions.median, 4);
    assert_int_equal(m->talks.completions.most, 7);
    assert_int_equal(m->talks.prompts.most, 17 + 3 + 17);
    assert_int_equal(m->talks.prompts.tokens + m->talks.completions.tokens, m->tokens[0]);
    assert_int_equal(m->facts.text_bytes[0], 3 + 1 + 6);
    assert_int_equal(m->talks.truncated + m->talks.too_long + m->facts.bad_lines, 0);
    assert_string_equal(m->talks.chat_template, "mixtral");
    finish(&s);
}

static void the_first_line_says_what_they_are(void **state)
{
    setting s;
    start(&s, *state, LINES);
    s.options.corpus.content = MO_CORPUS_BY_FIRST_LINE;
    MO_CHECK_OK(mo_prepare(&s.options, &s.summary));
    assert_int_equal(s.summary.talks.completions.documents, 3);
    finish(&s);
    start(&s, *state, "{\"prompt\": \"a\", \"completion\": \"b\", \"text\": \"c\"}\n");
    s.options.corpus.content = MO_CORPUS_BY_FIRST_LINE;
    MO_CHECK_OK(mo_prepare(&s.options, &s.summary));
    assert_int_equal(s.summary.tokens[0], 1);
    assert_string_equal(s.summary.talks.chat_template, "");
    finish(&s);
    start(&s, *state, LINES);
    s.options.corpus.content = MO_CORPUS_BY_FIRST_LINE;
    s.options.corpus.skip_bad = true;
    MO_CHECK_OK(mo_write_file(s.input, "{\n{\"prompt\": \"a\", \"completion\": \"b\"}\n", 37));
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< b$", NULL});
    assert_int_equal(s.summary.facts.bad_lines, 1);
    finish(&s);
    start(&s, *state, LINES);
    s.options.corpus.content = MO_CORPUS_BY_FIRST_LINE;
    s.options.corpus.field = "prompt";
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_FORMAT);
    assert_non_null(strstr(mo_last_error(), "line 1: has no field \"prompt\""));
    finish(&s);
}

/* Of the completion nothing is left but what the template puts in front of it. */
static void a_document_without_text_is_one(void **state)
{
    setting s;
    start(&s, *state, "{\"prompt\": \"\", \"completion\": \"d\"}\n");
    s.options.truncate = true;
    s.options.max_length = (int64_t)strlen(" [INST]  [/INST] ");
    prepare_and_check(&s, (const char *[]){" [INST]  [/INST]< ", NULL});
    assert_int_equal(s.summary.facts.text_bytes[0], 0);
    finish(&s);
}

static void an_only_conversation_trains(void **state)
{
    setting s;
    start(&s, *state, "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
    s.options.validation_fraction = 0.5;
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< b$", NULL});
    assert_int_equal(s.summary.tokens[1], 0);
    finish(&s);
}

/* Exchanges go from the end, whole; of the only one the completion's end. */
static void long_ones_are_cut_where_that_is_asked_for(void **state)
{
    setting s;
    start(&s, *state, LINES);
    s.options.max_length = 22;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_RANGE);
    assert_non_null(strstr(mo_last_error(), "a.jsonl: line 4: the conversation has 44 tokens"));
    assert_false(mo_path_exists(s.options.output));
    s.options.truncate = true;
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< bc$", " [INST]  [/INST]< d$",
                                           " [INST] s\n\ne [/INST]< f", NULL});
    assert_int_equal(s.summary.talks.truncated, 1);
    assert_int_equal(s.summary.talks.turns_cut, 1);
    assert_int_equal(s.summary.talks.completions_cut, 1);
    assert_int_equal(s.summary.facts.text_bytes[0], 3 + 1 + 3); /* s, e and f: what is left */
    s.options.max_length = 23;
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< bc$", " [INST]  [/INST]< d$",
                                           " [INST] s\n\ne [/INST]< f$", NULL});
    assert_int_equal(s.summary.talks.completions_cut, 0);
    s.options.max_length = 20;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_RANGE);
    assert_non_null(strstr(mo_last_error(), "line 4: the first prompt has 20 tokens"));
    s.options.corpus.skip_bad = true;
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< bc", " [INST]  [/INST]< d$", NULL});
    assert_int_equal(s.summary.facts.text_bytes[0], 3 + 1);
    s.options.max_length = 19;
    prepare_and_check(&s, (const char *[]){" [INST] a [/INST]< b", " [INST]  [/INST]< d$", NULL});
    assert_int_equal(s.summary.facts.text_bytes[0], 2 + 1);
    s.options.max_length = 20;
    assert_int_equal(s.summary.talks.too_long, 1);
    assert_int_equal(s.summary.talks.truncated, 1);
    assert_int_equal(s.summary.facts.bad_lines, 0);
    s.options.truncate = false;
    prepare_and_check(&s, (const char *[]){" [INST]  [/INST]< d$", NULL});
    assert_int_equal(s.summary.talks.too_long, 2);
    finish(&s);
}

/* A line of n exchanges of 20 tokens each. */
static char *long_line(int n)
{
    static const char EXCHANGE[] = "{\"role\": \"user\", \"content\": \"q\"}, "
                                   "{\"role\": \"assistant\", \"content\": \"a\"}";
    char *text = malloc((size_t)n * sizeof EXCHANGE + 64), *to = text;
    assert_non_null(text);
    to += sprintf(to, "{\"messages\": [");
    for (int i = 0; i < n; i++) to += sprintf(to, "%s%s", i ? "," : "", EXCHANGE);
    sprintf(to, "]}\n");
    return text;
}

/* However many exchanges there are, one after the other would take the square of their number in time. */
static void the_exchanges_that_fit_stay(void **state)
{
    setting s;
    int longest = 3000;
    for (int n = 1; n <= longest; n = n < 6 ? n + 1 : longest + (n == longest)) {
        char *line = long_line(n);
        start(&s, *state, line);
        s.options.truncate = true;
        for (int stay = 1; stay <= n && stay <= 7; stay++) {
            s.options.max_length = 20 * stay + (stay & 1 ? 19 : 0);
            MO_CHECK_OK(mo_prepare(&s.options, &s.summary));
            assert_int_equal(s.summary.tokens[0], 20 * stay);
            assert_int_equal(s.summary.facts.text_bytes[0], 2 * stay);
            assert_int_equal(s.summary.talks.turns_cut, n - stay);
            assert_int_equal(s.summary.talks.completions_cut, 0);
            assert_int_equal(s.summary.talks.truncated, n > stay);
        }
        finish(&s);
        free(line);
    }
}

static char *many_lines(int n)
{
    char *text = malloc((size_t)n * 400), *to = text;
    assert_non_null(text);
    for (int i = 0; i < n; i++)
        to += sprintf(to,
                      "{\"q\": {\"a\": \"the loom %d%.*s\"}, \"answer\": \"measure and cut %d, then \\u00e9 "
                      "spin\"}\n",
                      i, i % 150,
                      "the sisters spin threads of fate, measure them and cut what is spun; the "
                      "sisters spin threads of fate, measure them and cut what is spun, always.",
                      7 * i);
    return text;
}

/* Some validate, all threads give the same file, and a tokenizer can be trained on what is said. */
static void many_are_split_and_threads_do_not_matter(void **state)
{
    enum { MANY = 3000 };
    setting s;
    char *lines = many_lines(MANY), *bytes[2];
    size_t size[2];
    start(&s, *state, lines);
    s.options.corpus.prompt_field = "q.a";
    s.options.corpus.completion_field = "answer";
    s.options.validation_fraction = 0.1;
    s.options.tokenizer = NULL;
    s.options.train_vocabulary = 400;
    for (int i = 0; i < 2; i++) {
        mo_threads_set(i ? 3 : 1);
        MO_CHECK_OK(mo_prepare(&s.options, &s.summary));
        MO_CHECK_OK(mo_read_file(s.options.output, (size_t)1 << 30, &bytes[i], &size[i]));
    }
    mo_threads_set(0);
    assert_int_equal(s.summary.documents[0], MANY * 9 / 10);
    assert_int_equal(s.summary.documents[1], MANY / 10);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    assert_true(s.summary.talks.completions.most < 30); /* its words have become pieces */
    mo_tokenfile *file;
    MO_CHECK_OK(mo_tokenfile_open(s.options.output, &file));
    for (int k = 0; k < 2; k++)
        for (int64_t d = 0; d < file->split[k].documents; d++) {
            const mo_tokens *t = &file->split[k];
            int64_t last = (int64_t)t->offsets[d + 1] - 1;
            assert_int_equal(mo_token_at(t, (int64_t)t->offsets[d]), 1);
            assert_int_equal(mo_token_at(t, last), 2);
            assert_int_equal(t->mask[last], 1);
        }
    mo_tokenfile_close(file);
    mo_free(bytes[0]);
    mo_free(bytes[1]);
    free(lines);
    finish(&s);
}

static void bad_lines_are_left_out_or_named(void **state)
{
    static const struct {
        const char *line, *message;
    } BAD[] = {
        {"{\"messages\": [", "is not JSON"},
        {"[1]", "is a list, an object {...} is needed"},
        {"{\"a\": 1}",
         "is no conversation: has neither \"messages\" nor \"prompt\" and \"completion\"; it has \"a\""},
        {"{\"prompt\": \"x\"}", "has no field \"completion\"; it has \"prompt\""},
        {"{\"completion\": \"x\"}", "has no field \"prompt\""},
        {"{\"prompt\": \"x\", \"completion\": \"\"}", "field \"completion\" is empty"},
        {"{\"prompt\": [], \"completion\": \"y\"}", "field \"prompt\" is a list, a text is needed"},
        {"{\"prompt\": \"x\", \"completion\": \"a\\u0000b\"}", "has a NUL character"},
        {"{\"messages\": {}}", "\"messages\" is an object, a list is needed"},
        {"{\"messages\": []}", "\"messages\" is empty"},
        {"{\"messages\": [3]}", "message 1 is a number, an object {...} is needed"},
        {"{\"messages\": [{\"content\": \"\"}]}", "message 1: its \"role\" is not there"},
        {"{\"messages\": [{\"role\": 3, \"content\": \"\"}]}", "message 1: its \"role\" is a number"},
        {"{\"messages\": [{\"role\": \"human\", \"content\": \"\"}]}",
         "message 1: role \"human\" is unknown"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "message 1 has no \"content\""},
        {"{\"messages\": [{\"role\": \"user\", \"content\": null}]}", "message 1: its \"content\" is null"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
         "ends with a message of role \"user\": the assistant's reply, which is to be learnt, is missing"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": "
         "\"\"}]}",
         "message 2: the assistant says nothing"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}",
         "message 1 is of role \"assistant\", \"user\" was to come"},
    };
    enum { N = sizeof BAD / sizeof *BAD };
    char lines[512], all[N * 512] = "", where[64];
    setting s;
    for (int i = 0; i < N; i++) {
        snprintf(lines, sizeof lines, "{\"prompt\": \"x\", \"completion\": \"y\"}\n%s\n", BAD[i].line);
        strcat(all, lines);
        start(&s, *state, lines);
        snprintf(where, sizeof where, "%s: line 2: ", s.input);
        assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_FORMAT);
        if (strncmp(mo_last_error(), where, strlen(where)) != 0 || !strstr(mo_last_error(), BAD[i].message) ||
            !strstr(mo_last_error(), "--skip-bad"))
            fail_msg("%s: %s", BAD[i].line, mo_last_error());
        assert_false(mo_path_exists(s.options.output));
        finish(&s);
    }
    start(&s, *state, all);
    s.options.corpus.skip_bad = true;
    MO_CHECK_OK(mo_prepare(&s.options, &s.summary));
    assert_int_equal(s.summary.facts.bad_lines, N);
    assert_int_equal(s.summary.documents[0], N);
    finish(&s);
}

static void options_that_are_for_nothing_are_refused(void **state)
{
    setting s;
    start(&s, *state, LINES);
    s.options.truncate = true;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_USAGE);
    s.options.truncate = false;
    s.options.corpus.field = "a";
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_USAGE);
    s.options.corpus.field = NULL;
    s.options.max_length = -1;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_RANGE);
    s.options.max_length = 0;
    s.options.chat_template = "none.json";
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_NOT_FOUND);
    s.options.corpus.content = MO_CORPUS_TEXTS;
    s.options.chat_template = "mixtral";
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_USAGE);
    s.options.chat_template = NULL;
    s.options.max_length = 5;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_USAGE);
    s.options.max_length = 0;
    s.options.truncate = true;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_USAGE);
    s.options.truncate = false;
    const char *text = temp_path(*state, "t.txt");
    MO_CHECK_OK(mo_write_file(text, "x", 1));
    s.options.corpus.content = MO_CORPUS_CONVERSATIONS;
    s.options.corpus.inputs = &text;
    assert_int_equal(mo_prepare(&s.options, &s.summary), MO_E_FORMAT);
    assert_non_null(strstr(mo_last_error(), "t.txt: is a text"));
    assert_false(mo_path_exists(s.options.output));
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_assistant_says_is_learnt, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_first_line_says_what_they_are, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_only_conversation_trains, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_document_without_text_is_one, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(long_ones_are_cut_where_that_is_asked_for, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_exchanges_that_fit_stay, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(many_are_split_and_threads_do_not_matter, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(bad_lines_are_left_out_or_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(options_that_are_for_nothing_are_refused, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
