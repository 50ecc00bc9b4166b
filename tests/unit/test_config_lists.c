/* test_config_lists.c -- lists in run configs: reading, defaults of fields, overrides, errors, dump, resume.
 */
#include "harness/harness.h"

#include <moira/config.h>

#include <math.h>
#include <string.h>

#include "config/entry.h"
#include "config/schema.h"

static const char head[] = "run: {name: t}\n"
                           "data: {path: d.h5}\n"
                           "model: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1,\n"
                           "        num_attention_heads: 2}\n"
                           "train: {steps: 10, batch_size: 2, sequence_length: 16}\n";

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

/* The config with `groups` as optimizer.groups, on line 8 if it is on one line. */
static char *with_groups(const char *groups)
{
    return mo_strprintf("%soptimizer:\n  learning_rate: 1e-3\n  groups: %s\n", head, groups);
}

static void parse(const char *groups, mo_run_config *out)
{
    char *text = with_groups(groups);
    MO_CHECK_OK(mo_config_parse(text, "x.yaml", out));
    mo_free(text);
}

static const char three[] = "[{match: \"*.gate.weight\", learning_rate_scale: 0.1, weight_decay: 0},\n"
                            "           {match: embed*, weight_decay: 0.30000000000000004},\n"
                            "           {match: '?', learning_rate_scale: 4.9406564584124654e-324}]";

static void check_three(const mo_run_config *c)
{
    const mo_optim_group *g = c->optimizer.groups.at;
    assert_int_equal(c->optimizer.groups.count, 3);
    assert_string_equal(g[0].match, "*.gate.weight");
    assert_string_equal(g[1].match, "embed*");
    assert_string_equal(g[2].match, "?");
    assert_true(g[0].learning_rate_scale == 0.1 && g[0].weight_decay == 0);
    assert_true(g[1].learning_rate_scale == 1 && g[1].weight_decay == 0.30000000000000004);
    assert_true(g[2].learning_rate_scale == 4.9406564584124654e-324 && isnan(g[2].weight_decay));
}

static void records_are_read_in_either_style(void **state)
{
    (void)state;
    mo_run_config c;
    parse("[]", &c);
    assert_true(c.optimizer.groups.count == 0);
    mo_config_free(&c);
    parse(three, &c);
    check_three(&c);
    mo_config_free(&c);
    assert_null(c.optimizer.groups.at);
    parse("\n    - match: \"*.gate.weight\"\n      learning_rate_scale: 0.1\n      weight_decay: 0\n"
          "    - weight_decay: 0.30000000000000004\n      match: embed*\n"
          "    - {match: '?', learning_rate_scale: 4.9406564584124654e-324}",
          &c);
    check_three(&c);
    mo_config_free(&c);
}

static void a_list_survives_its_dump_to_the_last_bit(void **state)
{
    (void)state;
    mo_run_config c, copy;
    char *text, *again;
    parse(three, &c);
    MO_CHECK_OK(mo_config_dump(&c, &text));
    assert_non_null(
        strstr(text, "\n  groups: [{match: \"*.gate.weight\", learning_rate_scale: 0.1, weight_decay: 0}, "
                     "{match: \"embed*\", learning_rate_scale: 1, weight_decay: 0.30000000000000004}, "
                     "{match: \"?\", learning_rate_scale: 5e-324}]\n"));
    MO_CHECK_OK(mo_config_parse(text, "dump", &copy));
    check_three(&copy);
    MO_CHECK_OK(mo_config_dump(&copy, &again));
    assert_string_equal(text, again);
    MO_CHECK_OK(mo_config_check_resume(&c, &copy));
    mo_free(text);
    mo_free(again);
    mo_config_free(&copy);

    mo_free(c.optimizer.groups.at[1].match);
    c.optimizer.groups.at[1].match = mo_strdup(" ]}, {\"\\\n: # \xc3\x84");
    MO_CHECK_OK(mo_config_dump(&c, &text));
    MO_CHECK_OK(mo_config_parse(text, "dump", &copy));
    assert_string_equal(copy.optimizer.groups.at[1].match, c.optimizer.groups.at[1].match);
    mo_free(text);
    mo_config_free(&copy);

    c.optimizer.groups.at[2].learning_rate_scale = (double)INFINITY;
    MO_CHECK_STATUS(mo_config_dump(&c, &text), MO_E_CONFIG);
    assert_string_equal(mo_last_error(),
                        "optimizer.groups: element 2: learning_rate_scale: inf is not a finite number");
    mo_config_free(&c);
}

static void a_later_file_and_the_command_line_replace_the_whole_list(void **state)
{
    char *text = with_groups(three);
    static const char child[] = "extends: a.yaml\noptimizer: {groups: [{match: b, weight_decay: 3}]}\n";
    MO_CHECK_OK(mo_write_file(temp_path(*state, "a.yaml"), text, strlen(text)));
    MO_CHECK_OK(mo_write_file(temp_path(*state, "b.yaml"), child, strlen(child)));
    mo_free(text);
    mo_run_config c;
    MO_CHECK_OK(mo_config_load(temp_path(*state, "b.yaml"), NULL, 0, &c));
    assert_int_equal(c.optimizer.groups.count, 1);
    assert_string_equal(c.optimizer.groups.at[0].match, "b");
    mo_config_free(&c);
    const char *const overrides[] = {
        "optimizer.groups=[{match: x}]",
        "optimizer.groups=[{match: a.b=c, learning_rate_scale: 5}, {match: \"*\"}]"};
    MO_CHECK_OK(mo_config_load(temp_path(*state, "a.yaml"), overrides, 2, &c));
    assert_int_equal(c.optimizer.groups.count, 2);
    assert_string_equal(c.optimizer.groups.at[0].match, "a.b=c");
    assert_true(c.optimizer.groups.at[0].learning_rate_scale == 5);
    assert_string_equal(c.optimizer.groups.at[1].match, "*");
    mo_config_free(&c);
    const char *const none = "optimizer.groups=[]";
    MO_CHECK_OK(mo_config_load(temp_path(*state, "a.yaml"), &none, 1, &c));
    assert_int_equal(c.optimizer.groups.count, 0);
    mo_config_free(&c);
}

typedef struct wrong {
    const char *groups, *message;
} wrong;

static const wrong wrongs[] = {
    {"[{match: a}, {match: b, wieght_decay: 1}]",
     "8: optimizer.groups[1].wieght_decay: unknown key; did you mean weight_decay?"},
    {"[{match: a, colour: 1}]",
     "8: optimizer.groups[0].colour: unknown key; expected {match, learning_rate_scale, weight_decay}"},
    {"[{match: a},\n    {learning_rate_scale: 2}]",
     "9: optimizer.groups[1].match: is missing; it has no default"},
    {"\n  - match: a\n    weight_decay: 1\n    match: b",
     "11: optimizer.groups[0].match: duplicate key; it is on line 9 already"},
    {"[{match: a,\n    learning_rate_scale: fast}]",
     "9: optimizer.groups[0].learning_rate_scale: 'fast' is not a finite number; expected 0 to 1000"},
    {"[{match: a, weight_decay: 101}]",
     "8: optimizer.groups[0].weight_decay: '101' is out of range; expected 0 to 100"},
    {"[{match: a, weight_decay: null}]", "8: optimizer.groups[0].weight_decay: null is not a value; give a "
                                         "number, or leave the key out for its default inherited"},
    {"[{match: ''}]", "8: optimizer.groups[0].match: '' is too short; expected text of 1 to 200 bytes"},
    {"[{match: [a]}]", "8: optimizer.groups[0].match: a list stands where one value should"},
    {"[a]",
     "8: optimizer.groups[0]: one value stands where {match, learning_rate_scale, weight_decay} should"},
    {"[{match: a}, [b]]",
     "8: optimizer.groups[1]: a list stands where {match, learning_rate_scale, weight_decay} should"},
    {"a", "8: optimizer.groups: one value stands where a list of {match, learning_rate_scale, weight_decay} "
          "should"},
    {"{match: a}", "8: optimizer.groups: a mapping stands where a list of {match, learning_rate_scale, "
                   "weight_decay} should"},
    {"", "8: optimizer.groups: one value stands where a list of {match, learning_rate_scale, weight_decay} "
         "should"},
    {"[]\n  groups: []", "9: optimizer.groups: duplicate key; it is on line 8 already"},
    {"[{match: &a b}]", "8: anchors (&a) are not supported; write the value out where it is needed"},
};

static void a_wrong_list_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        char *text = with_groups(wrongs[i].groups), *message = mo_strprintf("x.yaml:%s", wrongs[i].message);
        mo_run_config c;
        int64_t before = mo__alloc_live();
        mo_status status = mo_config_parse(text, "x.yaml", &c);
        if (status == MO_OK) fail_msg("accepted: %s", wrongs[i].groups);
        assert_string_equal(mo_last_error(), message);
        assert_int_equal(status, MO_E_CONFIG);
        assert_int_equal(mo__alloc_live(), before);
        mo_free(text);
        mo_free(message);
    }
    mo__buffer many = {0};
    char *text;
    for (int i = 0; i < 257; i++) mo__buffer_add(&many, "%s{match: a}", i ? ", " : "[");
    mo__buffer_add(&many, "]");
    MO_CHECK_OK(mo__buffer_finish(&many, MO_OK, &text));
    char *whole = with_groups(text);
    mo_run_config c;
    MO_CHECK_STATUS(mo_config_parse(whole, "x.yaml", &c), MO_E_CONFIG);
    assert_string_equal(mo_last_error(), "x.yaml:8: optimizer.groups: has 257 elements; the most is 256");
    mo_free(whole);
    mo_free(text);
}

static void a_wrong_word_is_refused_without_a_line(void **state)
{
    static const wrong words[] = {
        {"[{match: a}",
         "not valid YAML at column 1: did not find expected ',' or ']', while parsing a flow sequence from "
         "line 1 on"},
        {"[{mach: a}]", "optimizer.groups[0].mach: unknown key; did you mean match?"},
        {"[{learning_rate_scale: 1}]", "optimizer.groups[0].match: is missing; it has no default"},
        {"", "no value is given; an empty list is []"},
        {"a", "optimizer.groups: one value stands where a list of {match, learning_rate_scale, weight_decay} "
              "should"},
        {"[{match: *gate}]",
         "aliases (*gate) are not supported; write the value out, or quote it if it is text"},
    };
    char *text = with_groups("[]");
    MO_CHECK_OK(mo_write_file(temp_path(*state, "a.yaml"), text, strlen(text)));
    mo_free(text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char *word = mo_strprintf("optimizer.groups=%s", words[i].groups);
        char *message = mo_strprintf("command line: %s: %s", word, words[i].message);
        mo_run_config c;
        int64_t before = mo__alloc_live();
        mo_status status = mo_config_load(temp_path(*state, "a.yaml"), (const char *const *)&word, 1, &c);
        if (status == MO_OK) fail_msg("accepted: %s", word);
        assert_string_equal(mo_last_error(), message);
        assert_int_equal(mo__alloc_live(), before);
        mo_free(word);
        mo_free(message);
    }
}

static void a_refused_resume_names_the_element(void **state)
{
    (void)state;
    mo_run_config saved, wanted;
    parse("[{match: a, weight_decay: 1}, {match: b}]", &saved);
    parse("[{match: a}, {match: c, learning_rate_scale: 2}]", &wanted);
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("resume: optimizer.groups[0].weight_decay was 1 and is now inherited, "
                     "optimizer.groups[1].match was \"b\" and is now \"c\", "
                     "optimizer.groups[1].learning_rate_scale was 1 and is now 2; a resumed run");
    mo_config_free(&wanted);
    parse("[{match: x, weight_decay: 1}]", &wanted);
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("resume: optimizer.groups had 2 elements and now has 1, "
                     "optimizer.groups[0].match was \"a\" and is now \"x\"; a resumed run");
    mo_config_free(&wanted);
    mo_config_free(&saved);
}

static void help_shows_the_fields_of_a_list(void **state)
{
    (void)state;
    char *text, *by_field;
    MO_CHECK_OK(mo_config_help("optimizer.groups", &text));
    MO_CHECK_OK(mo_config_help("match", &by_field));
    assert_string_equal(text, by_field);
    assert_string_equal(
        text,
        "optimizer:\n"
        "  groups                       []           list of {match, learning_rate_scale, weight_decay}\n"
        "      Parameters with other rates than the rest.\n"
        "      match                    required     text of 1 to 200 bytes\n"
        "          Glob over names of parameters, or router, embeddings, attention, experts, norms; the "
        "first counts.\n"
        "      learning_rate_scale      1            0 to 1000\n"
        "          Factor on the learning rate; 0 keeps the weights as they are.\n"
        "      weight_decay             inherited    0 to 100\n"
        "          In place of optimizer.weight_decay.\n");
    mo_free(text);
    mo_free(by_field);
    MO_CHECK_OK(mo_config_help("extends", &text));
    assert_non_null(strstr(text, "extends: other.yaml\n"));
    mo_free(text);
}

static const char no_data[] = "run: {name: t}\n"
                              "model: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1,\n"
                              "        num_attention_heads: 2}\n"
                              "train: {steps: 10, batch_size: 2, sequence_length: 16}\n"
                              "optimizer: {learning_rate: 1e-3}\n"
                              "data: {";

static mo_status parse_data(const char *data, mo_run_config *out)
{
    char *text = mo_strprintf("%s%s}\n", no_data, data);
    mo_status status = mo_config_parse(text, "x.yaml", out);
    mo_free(text);
    return status;
}

static void data_is_one_file_or_a_mixture(void **state)
{
    (void)state;
    static const wrong all[] = {
        {"",
         "x.yaml: neither data.path nor data.mixture is given; name a token file, or several with weights"},
        {"path: '', mixture: []",
         "x.yaml: neither data.path nor data.mixture is given; name a token file, or several with weights"},
        {"path: a.h5, mixture: [{path: b.h5}]", "x.yaml: data.path and data.mixture are both given; keep "
                                                "one: data.path= or data.mixture=[] takes back "
                                                "what a file says"},
        {"mixture: [{path: a.h5}, {path: b.h5}, {path: a.h5}]",
         "x.yaml: data.mixture[2].path: a.h5 is data.mixture[0] already; give it the sum of their weights, "
         "once"},
        {"mixture: [{path: a.h5, weight: 0}]",
         "x.yaml:6: data.mixture[0].weight: '0' is out of range; expected above 0, at most 1000000000"},
        {"mixture: [{path: a.h5, weight: -1}]",
         "x.yaml:6: data.mixture[0].weight: '-1' is out of range; expected above 0, at most 1000000000"},
        {"mixture: [{weight: 1}]", "x.yaml:6: data.mixture[0].path: is missing; it has no default"},
    };
    mo_run_config c;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        MO_CHECK_STATUS(parse_data(all[i].groups, &c), MO_E_CONFIG);
        assert_string_equal(mo_last_error(), all[i].message);
    }
    MO_CHECK_OK(parse_data("mixture: [{path: a.h5, weight: 5}, {path: b.h5}]", &c));
    assert_string_equal(c.data.path, "");
    assert_int_equal(c.data.mixture.count, 2);
    assert_string_equal(c.data.mixture.at[0].path, "a.h5");
    assert_true(c.data.mixture.at[0].weight == 5 && c.data.mixture.at[1].weight == 1);
    mo_config_free(&c);
}

/* Files may have moved; weights and their number may not change. */
static void a_resumed_mixture_may_lie_elsewhere(void **state)
{
    (void)state;
    mo_run_config saved, wanted;
    MO_CHECK_OK(parse_data("mixture: [{path: a.h5, weight: 5}, {path: b.h5}]", &saved));
    MO_CHECK_OK(parse_data("mixture: [{path: x/a.h5, weight: 5}, {path: x/b.h5}]", &wanted));
    MO_CHECK_OK(mo_config_check_resume(&saved, &wanted));
    wanted.data.mixture.at[1].weight = 2;
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    MO_CHECK_MESSAGE(
        "resume: data.mixture[1].weight was 1 and is now 2; a resumed run may change only run.dir, "
        "run.threads, data.path, data.mixture[].path, ");
    mo_config_free(&wanted);
    MO_CHECK_OK(parse_data("path: a.h5", &wanted));
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("resume: data.mixture had 2 elements and now has 0; a resumed run");
    mo_config_free(&wanted);
    mo_config_free(&saved);
}

/* A list of bare texts, in a struct of its own. */
typedef struct names {
    struct {
        char **at;
        int64_t count;
    } names;
} names;

static const mo__key bare_field = {.name = "", .type = MO__STRING, .min = 1, .max = 8};
static const mo__record bare = {sizeof(char *), &bare_field, 1, true};
static const mo__key names_key = {
    .name = "a.names", .type = MO__LIST, .initial = "[]", .max = 3, .record = &bare, .help = ""};

static void check_names(const char *word, const char *message)
{
    names n = {{0}};
    mo__entry entry;
    mo_status status = mo__entry_parse(&names_key, word, &entry);
    if (status == MO_OK) {
        status = mo__entry_set(&names_key, &entry, "x.yaml", &n);
        mo__entry_free(&entry);
    }
    MO_CHECK_STATUS(status, MO_E_CONFIG);
    assert_string_equal(mo_last_error(), message);
    assert_true(!n.names.at && !n.names.count);
}

static void texts_alone_make_a_list_too(void **state)
{
    (void)state;
    names n = {{0}}, m = {{0}};
    mo__entry entry;
    MO_CHECK_OK(mo__entry_parse(&names_key, "[\"*.w1\", 2, \"null\"]", &entry));
    MO_CHECK_OK(mo__entry_set(&names_key, &entry, "x.yaml", &n));
    MO_CHECK_OK(mo__entry_set(&names_key, &entry, "x.yaml", &m));
    MO_CHECK_OK(mo__entry_set(&names_key, &entry, "x.yaml", &m)); /* frees what it replaces */
    mo__entry_free(&entry);
    assert_int_equal(n.names.count, 3);
    assert_string_equal(n.names.at[0], "*.w1");
    assert_string_equal(n.names.at[1], "2");
    assert_string_equal(n.names.at[2], "null");
    assert_true(mo__value_equal(&names_key, &n, &m));
    mo__buffer text = {0};
    char *dump;
    MO_CHECK_OK(mo__value_add(&names_key, &n, &text));
    MO_CHECK_OK(mo__buffer_finish(&text, MO_OK, &dump));
    assert_string_equal(dump, "[\"*.w1\", \"2\", \"null\"]");
    mo_free(dump);
    m.names.at[2][0] = 'N';
    assert_false(mo__value_equal(&names_key, &n, &m));
    mo__value_free(&names_key, &n);
    mo__value_free(&names_key, &m);

    check_names("[a, null]", "x.yaml:1: a.names[1]: null is not a value; give text");
    check_names("[a, [b]]", "a.names[1]: a list stands where one value should");
    check_names("[123456789]",
                "x.yaml:1: a.names[0]: '123456789' is too long; expected text of 1 to 8 bytes");
    check_names("[a, b, c, d]", "x.yaml:1: a.names: has 4 elements; the most is 3");
    check_names("a", "a.names: one value stands where a list of texts should; write [a]");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    mo_run_config c;
    char *body = with_groups(three), *text = mo_strprintf("\xEF\xBB\xBF%s", body);
    MO_CHECK_OK(mo_config_parse(text, "x.yaml", &c));
    check_three(&c);
    mo_config_free(&c);
    MO_CHECK_STATUS(mo_config_parse("\xEF\xBB\xBFrun: 3\n", "x.yaml", &c), MO_E_CONFIG);
    MO_CHECK_MESSAGE("x.yaml:1: run: one value");
    mo_free(body);
    mo_free(text);
}

static mo_status use_lists(const char *path, char **out)
{
    static const char *const override = "optimizer.groups=[{match: x, weight_decay: 2}, {match: y}]";
    mo_run_config c, copy = {0};
    char *dump = NULL;
    MO_TRY(mo_config_load(path, &override, 1, &c));
    mo_status status = mo_config_dump(&c, &dump);
    if (status == MO_OK) status = mo_config_parse(dump, "dump", &copy);
    if (status == MO_OK) {
        copy.optimizer.groups.at[0].weight_decay = 7;
        status = mo_config_check_resume(&c, &copy);
        if (status == MO_E_MISMATCH) status = MO_OK;
    }
    *out = status == MO_OK ? mo_strprintf("%s%s", dump, mo_last_error()) : NULL;
    if (status == MO_OK && !*out) status = MO_E_MEMORY;
    mo_free(dump);
    mo_config_free(&copy);
    mo_config_free(&c);
    return status;
}

static void each_allocation_may_fail(void **state)
{
    char *text = with_groups(three), *path = mo_strdup(temp_path(*state, "a.yaml")), *expected;
    MO_CHECK_OK(mo_write_file(path, text, strlen(text)));
    mo_free(text);
    MO_CHECK_OK(use_lists(path, &expected));
    int64_t before = mo__alloc_live();
    int count;
    MO_CHECK_EACH_ALLOCATION(count, use_lists(path, &text));
    assert_true(count > 30);
    assert_string_equal(text, expected);
    mo_free(text);
    assert_int_equal(mo__alloc_live(), before);
    mo_free(expected);
    mo_free(path);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_in_either_style),
        cmocka_unit_test(a_list_survives_its_dump_to_the_last_bit),
        IN_FOLDER(a_later_file_and_the_command_line_replace_the_whole_list),
        cmocka_unit_test(a_wrong_list_is_refused_with_its_place),
        IN_FOLDER(a_wrong_word_is_refused_without_a_line),
        cmocka_unit_test(a_refused_resume_names_the_element),
        cmocka_unit_test(help_shows_the_fields_of_a_list),
        cmocka_unit_test(data_is_one_file_or_a_mixture),
        cmocka_unit_test(a_resumed_mixture_may_lie_elsewhere),
        cmocka_unit_test(texts_alone_make_a_list_too),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        IN_FOLDER(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
