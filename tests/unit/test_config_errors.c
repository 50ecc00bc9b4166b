/* test_config_errors.c -- every way to get a config wrong, with the exact message it gets. */
#include "harness/harness.h"

#include <moira/config.h>

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] = "run: {name: t}\n"
                           "data: {path: d.h5}\n"
                           "model: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1,\n"
                           "        num_attention_heads: 2}\n"
                           "train: {steps: 10, batch_size: 2, sequence_length: 16}\n"
                           "optimizer: {learning_rate: 1e-3}\n";

typedef struct wrong {
    const char *text, *message;
} wrong;

/* Refused with exactly that message, and nothing left allocated. */
static void check_refused(const char *text, const char *message)
{
    mo_run_config config;
    int64_t before = mo__alloc_live();
    mo_error_clear();
    mo_status status = mo_config_parse(text, "x.yaml", &config);
    if (status == MO_OK) fail_msg("accepted:\n%s", text);
    assert_string_equal(mo_last_error(), message);
    assert_int_equal(status, MO_E_CONFIG);
    assert_int_equal(mo__alloc_live(), before);
}

#define CHECK_ALL_REFUSED(table)                                  \
    for (size_t i = 0; i < sizeof(table) / sizeof(table)[0]; i++) \
    check_refused((table)[i].text, (table)[i].message)

static void what_is_not_yaml_is_refused_with_its_place(void **state)
{
    (void)state;
    static const wrong all[] = {
        {"run:\n  name: \"abc\n", "x.yaml:3: not valid YAML at column 1: found unexpected end of stream, "
                                  "while scanning a quoted scalar from "
                                  "line 2 on"},
        {"run: {name: a\ndata: {}\n", "x.yaml:2: not valid YAML at column 5: did not find expected ',' or "
                                      "'}', while parsing a flow mapping from "
                                      "line 1 on"},
        {"run:\n  name: a\n   dir: b\n",
         "x.yaml:3: not valid YAML at column 7: mapping values are not allowed in this context"},
        {"run:\n  name: @a\n", "x.yaml:2: not valid YAML at column 9: found character that cannot start any "
                               "token, while scanning for the "
                               "next token"},
        {"run:\n\tname: a\n", "x.yaml:2: a tab indents this line; YAML takes spaces only"},
        {"run:\n  name: a\n \tdir: b\n", "x.yaml:3: a tab indents this line; YAML takes spaces only"},
        {"run:\n  name: \"\xff\"\n", "x.yaml:2: is not text in UTF-8: invalid leading UTF-8 octet"},
        {"# one\n# two\nrun:\n  name: \x01\n",
         "x.yaml:4: is not text in UTF-8: control characters are not allowed"},
    };
    CHECK_ALL_REFUSED(all);
}

static void yaml_that_a_config_does_without_is_refused(void **state)
{
    (void)state;
    static const wrong all[] = {
        {"run: {name: a}\n---\ndata: {path: b}\n",
         "x.yaml:2: a second document starts here; a config is one"},
        {"run: &r {name: a}\n",
         "x.yaml:1: anchors (&r) are not supported; write the value out where it is needed"},
        {"run:\n  name: *r\n",
         "x.yaml:2: aliases (*r) are not supported; write the value out, or quote it if it is text"},
        {"run: !thing {name: a}\n", "x.yaml:1: tags (!thing) are not supported; leave the tag out"},
        {"train:\n  steps: !!int 5\n",
         "x.yaml:2: tags (tag:yaml.org,2002:int) are not supported; leave the tag out"},
        {"run: [[[[[[[[1]]]]]]]]\n", "x.yaml:1: nested deeper than 8 levels; a config has sections of keys"},
    };
    CHECK_ALL_REFUSED(all);
}

static void another_structure_is_refused(void **state)
{
    (void)state;
    static const char empty[] = "x.yaml: is empty; a config has sections (run, data, model, ...) of keys";
    static const wrong all[] = {
        {"", empty},
        {"# nothing yet\n", empty},
        {"---\n", empty},
        {"train\n", "x.yaml:1: one value stands where sections (run:, data:, ...) should"},
        {"- run\n", "x.yaml:1: a list stands where sections (run:, data:, ...) should"},
        {"run:\ndata: {path: b}\n",
         "x.yaml:1: run: the section is empty; indent its keys under it, or leave it out"},
        {"run: 5\n", "x.yaml:1: run: one value stands where the section's keys should, indented under it"},
        {"run: [a, b]\n", "x.yaml:1: run: a list stands where the section's keys should, indented under it"},
        {"run:\n  name: [a]\n", "x.yaml:2: run.name: a list stands where one value should"},
        {"run:\n  name:\n    first: a\n", "x.yaml:2: run.name: a mapping stands where one value should"},
        {"? [run]\n: {name: a}\n", "x.yaml:1: a list stands where a name should"},
        {"run:\n  ? {a: b}\n  : c\n", "x.yaml:2: a mapping stands where a name should"},
        {"extends: other.yaml\n", "x.yaml:1: extends: only a config in a file can extend another"},
        {"extends: [other.yaml]\n", "x.yaml:1: extends: a list stands where one value should"},
    };
    CHECK_ALL_REFUSED(all);
}

static void unknown_and_duplicate_names_are_refused_with_the_nearest(void **state)
{
    (void)state;
    static const wrong all[] = {
        {"run: {name: a}\nmodel:\n  hidden_sise: 4\n",
         "x.yaml:3: model.hidden_sise: unknown key; did you mean hidden_size?"},
        {"model:\n  learning_rate: 3\n",
         "x.yaml:2: model.learning_rate: unknown key; did you mean optimizer.learning_rate?"},
        {"model:\n  colour: 3\n", "x.yaml:2: model.colour: unknown key; moira help config lists all keys"},
        {"modle:\n  hidden_size: 4\n", "x.yaml:1: modle: unknown section; did you mean model?"},
        {"hidden_size: 4\n",
         "x.yaml:1: hidden_size: unknown section; did you mean the key model.hidden_size?"},
        {"model.hidden_size: 4\n",
         "x.yaml:1: model.hidden_size: dotted keys are for the command line; in a file "
         "write hidden_size under model:"},
        {"colour: 4\n", "x.yaml:1: colour: unknown section; moira help config lists all sections"},
        {"\"a\\e[31m\": 4\n", "x.yaml:1: a?[31m: unknown section; moira help config lists all sections"},
        {"model:\n  hidden_size: 4\n  head_dim: 2\n  hidden_size: 5\n",
         "x.yaml:4: model.hidden_size: duplicate key; it is on line 2 already"},
        {"run: {name: a}\ndata: {path: b}\nrun: {seed: 1}\n",
         "x.yaml:3: run: duplicate section; it starts on line 1 already"},
        {"version: 1\nversion: 1\n", "x.yaml:2: version: duplicate key; it is on line 1 already"},
        {"version: 0\n", "x.yaml:1: version: '0' is out of range; expected 1 to 1000000000"},
        {"version: one\n", "x.yaml:1: version: 'one' is not a whole number; expected 1 to 1000000000"},
        {"version: {a: 1}\n", "x.yaml:1: version: a mapping stands where one value should"},
        {"extends: a\nextends: b\n", "x.yaml:2: extends: duplicate key; it is on line 1 already"},
    };
    CHECK_ALL_REFUSED(all);
}

/* "section.key: value" as a file, with what must follow "x.yaml:2: section.key: ". */
static void check_value_refused(const char *section, const char *key, const char *value, const char *problem)
{
    char *text = mo_strprintf("%s:\n  %s: %s\n", section, key, value);
    char *message = mo_strprintf("x.yaml:2: %s.%s: %s", section, key, problem);
    check_refused(text, message);
    mo_free(text);
    mo_free(message);
}

static void wrong_whole_numbers_are_refused(void **state)
{
    (void)state;
    static const char *const not_whole[] = {"many", "1.5", "0x10", "1_000", "12a",   "1e-1",  "inf", ".nan",
                                            "1e",   "1e+", "true", "1,000", "1 000", "0.1e0", "."};
    for (size_t i = 0; i < sizeof not_whole / sizeof *not_whole; i++) {
        char *problem = mo_strprintf("'%s' is not a whole number; expected 1 to 1000000000", not_whole[i]);
        check_value_refused("eval", "every", not_whole[i], problem);
        mo_free(problem);
    }
    static const char *const outside[] = {
        "0", "-3", "1000000001", "1e10", "18446744073709551617", "1e99999999999", "-0", "0e5"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char *problem = mo_strprintf("'%s' is out of range; expected 1 to 1000000000", outside[i]);
        check_value_refused("eval", "every", outside[i], problem);
        mo_free(problem);
    }
    check_value_refused(
        "eval", "every", "010",
        "'010' has a leading zero, which some YAML readers take for octal; expected 1 to 1000000000");
    check_value_refused("eval", "every", "\"5\"", "'5' is quoted, so it is text; expected 1 to 1000000000");
    check_value_refused("train", "batch_size", "", "no value is given; give a whole number");
    check_value_refused("train", "batch_size", "null", "null is not a value; give a whole number");
    check_value_refused("run", "threads", "~",
                        "~ is not a value; give a whole number, or leave the key out for its default 0");
    check_value_refused("run", "seed", "18446744073709551616",
                        "'18446744073709551616' is out of range; expected 0 to 18446744073709551615");
    check_value_refused("run", "seed", "-1", "'-1' is out of range; expected 0 to 18446744073709551615");
}

static void wrong_numbers_are_refused(void **state)
{
    (void)state;
    static const char *const not_finite[] = {"much",  ".inf",     "nan", "0x1p3", "1e",
                                             "1.2.3", "infinity", "1d3", "+"};
    for (size_t i = 0; i < sizeof not_finite / sizeof *not_finite; i++) {
        char *problem = mo_strprintf("'%s' is not a finite number; expected 0 to 100", not_finite[i]);
        check_value_refused("optimizer", "learning_rate", not_finite[i], problem);
        mo_free(problem);
    }
    check_value_refused("optimizer", "learning_rate", "1e999", "'1e999' is out of range; expected 0 to 100");
    check_value_refused("optimizer", "learning_rate", "1e-999",
                        "'1e-999' is nearer to 0 than any number that can be stored; expected 0 to 100");
    check_value_refused("optimizer", "learning_rate", "-1e-9", "'-1e-9' is out of range; expected 0 to 100");
    check_value_refused("optimizer", "learning_rate", "100.5", "'100.5' is out of range; expected 0 to 100");
    check_value_refused("optimizer", "beta1", "1", "'1' is out of range; expected at least 0, below 1");
    check_value_refused("optimizer", "epsilon", "0", "'0' is out of range; expected above 0, at most 1");
    check_value_refused("optimizer", "beta2", "null",
                        "null is not a value; give a number, or leave the key out for its default 0.95");
}

static void wrong_names_and_text_are_refused(void **state)
{
    (void)state;
    check_value_refused("model", "tie_word_embeddings", "yes",
                        "'yes' is a truth value only to some YAML readers; expected true or false");
    check_value_refused("model", "tie_word_embeddings", "True",
                        "'True' is not a truth value; expected true or false");
    check_value_refused("model", "tie_word_embeddings", "'true'",
                        "'true' is quoted, so it is text; expected true or false");
    check_value_refused(
        "model", "tie_word_embeddings", "Null",
        "Null is not a value; give true or false, or leave the key out for its default false");
    check_value_refused(
        "model", "norm", "rms-norm",
        "'rms-norm' is not known here; expected one of rmsnorm, layernorm; did you mean rmsnorm?");
    check_value_refused("model", "norm", "7", "'7' is not known here; expected one of rmsnorm, layernorm");
    check_value_refused("model", "norm", "NULL",
                        "NULL is not a value; give a name, or leave the key out for its default rmsnorm");
    check_value_refused("optimizer", "name", "sgd", "'sgd' is not known here; expected adamw");
    check_value_refused("run", "name", "''", "'' is too short; expected text of 1 to 200 bytes");
    check_value_refused("run", "name", "~", "~ is not a value; give text");
    check_value_refused("run", "dir", "",
                        "no value is given; give text, or leave the key out for its default \"\"");
    check_value_refused("run", "name", "\"a\\0b\"", "the text holds a NUL character, which no value can");
    static const char *const names[] = {"..", "a/b", ".hidden"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *problem =
            mo_strprintf("'%s' names a folder, so it cannot hold '/' or control characters, or start "
                         "with '.'; expected text of 1 to 200 bytes",
                         names[i]);
        check_value_refused("run", "name", names[i], problem);
        mo_free(problem);
    }
    char name[202], problem[300];
    memset(name, 'n', 201);
    name[201] = '\0';
    snprintf(problem, sizeof problem, "'%.60s...' is too long; expected text of 1 to 200 bytes", name);
    check_value_refused("run", "name", name, problem);
}

static void all_missing_keys_are_named_at_once(void **state)
{
    (void)state;
    check_refused(
        "run: {seed: 1}\n",
        "x.yaml: these keys have no default and must be given: run.name, model.hidden_size, "
        "model.intermediate_size, model.num_hidden_layers, model.num_attention_heads, "
        "train.batch_size, train.sequence_length, optimizer.learning_rate; those of the model come from "
        "init.from, a checkpoint or a folder in Hugging Face's layout, where a run starts from one, "
        "and init.from is not given");
    check_refused("run: {name: a}\ndata: {path: b}\nmodel: {hidden_size: 8, num_hidden_layers: 1,\n"
                  " num_attention_heads: 2, intermediate_size: 4}\ntrain: {steps: 3, batch_size: 1}\n"
                  "optimizer: {learning_rate: 1}\n",
                  "x.yaml: these keys have no default and must be given: train.sequence_length");
}

/* `good` in a file with these overrides; a path in front of the message is left out. */
static void check_override_refused(const char *const *overrides, int count, const char *dir,
                                   mo_status expected, const char *message)
{
    const char *path = temp_path(dir, "good.yaml");
    MO_CHECK_OK(mo_write_file(path, good, strlen(good)));
    mo_run_config config;
    int64_t before = mo__alloc_live();
    MO_CHECK_STATUS(mo_config_load(path, overrides, count, &config), expected);
    const char *said = mo_last_error();
    if (strncmp(said, path, strlen(path)) == 0) said += strlen(path);
    assert_string_equal(said, message);
    assert_int_equal(mo__alloc_live(), before);
}

#define CHECK_OVERRIDE(message, ...)                                                                   \
    check_override_refused((const char *const[]){__VA_ARGS__},                                         \
                           (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), *state, \
                           MO_E_CONFIG, message)

static void rules_between_keys_name_both(void **state)
{
    CHECK_OVERRIDE(": train.steps, train.tokens and train.seconds are all 0, which would never end; give one "
                   "of them",
                   "train.steps=0");
    CHECK_OVERRIDE(
        ": train.sequence_length 16 is longer than model.max_position_embeddings 8; shorten the sequences "
        "or raise max_position_embeddings",
        "model.max_position_embeddings=8");
    CHECK_OVERRIDE(
        ": balance.scope batch with train.gradient_accumulation_steps 2: counts over the whole batch are "
        "not known while its microbatches run one by one; use scope microbatch or sequence, or "
        "gradient_accumulation_steps 1",
        "balance.scope=batch", "train.gradient_accumulation_steps=2");
    static const char *const scopes[] = {"switch", "mixtral", "gshard", "importance", "load"};
    for (int i = 0; i < 5; i++) {
        char override[64], want[300];
        snprintf(override, sizeof override, "balance.%s_scope=batch", scopes[i]);
        snprintf(
            want, sizeof want,
            ": balance.%s_scope batch with train.gradient_accumulation_steps 2: counts over the whole batch "
            "are not known while its microbatches run one by one; use scope microbatch or sequence, or "
            "gradient_accumulation_steps 1",
            scopes[i]);
        CHECK_OVERRIDE(want, override, "train.gradient_accumulation_steps=2");
    }
    CHECK_OVERRIDE(
        ": model.num_experts_per_tok 9 > model.num_local_experts 8; a token can visit each expert once at "
        "most",
        "model.num_local_experts=8", "model.num_experts_per_tok=9");
}

static void wrong_overrides_are_refused(void **state)
{
    static const char shape[] = "a setting is written section.key=value, such as train.steps=1000";
    char message[200];
    static const char *const shapeless[] = {"train.steps", "steps=5", "--resume", "", "=", "steps=a.b"};
    for (size_t i = 0; i < sizeof shapeless / sizeof *shapeless; i++) {
        snprintf(message, sizeof message, "command line: %s: %s", shapeless[i], shape);
        CHECK_OVERRIDE(message, shapeless[i]);
    }
    CHECK_OVERRIDE("command line: model.hidden_sise=9: unknown key; did you mean hidden_size?",
                   "train.steps=5", "model.hidden_sise=9");
    CHECK_OVERRIDE("command line: modle.hidden_size=9: unknown section; did you mean model?",
                   "modle.hidden_size=9");
    CHECK_OVERRIDE("command line: train.steps=many: 'many' is not a whole number; expected 0 to 1000000000",
                   "train.steps=many");
    CHECK_OVERRIDE("command line: train.steps=: '' is not a whole number; expected 0 to 1000000000",
                   "train.steps=");
    CHECK_OVERRIDE("command line: train.steps= 5: ' 5' is not a whole number; expected 0 to 1000000000",
                   "train.steps= 5");
    CHECK_OVERRIDE(
        "command line: sample.prompt=?(: '?(' is not valid UTF-8; expected text of 0 to 65536 bytes",
        "sample.prompt=\xc3(");
}

static void files_that_cannot_be_read_are_named(void **state)
{
    mo_run_config config;
    char *path = mo_strprintf("%s/none.yaml", (char *)*state);
    char *message = mo_strprintf("%s: cannot open (No such file or directory)", path);
    MO_CHECK_STATUS(mo_config_load(path, NULL, 0, &config), MO_E_NOT_FOUND);
    assert_string_equal(mo_last_error(), message);
    mo_free(message);

    size_t size = (1 << 18) + 1;
    char *comment = mo_malloc(size + 1);
    memset(comment, '#', size);
    comment[size] = '\0';
    MO_CHECK_OK(mo_write_file(path, comment, size));
    message = mo_strprintf("%s: is longer than 262144 bytes, the most that is read here", path);
    MO_CHECK_STATUS(mo_config_load(path, NULL, 0, &config), MO_E_CONFIG);
    assert_string_equal(mo_last_error(), message);
    check_refused(comment, "x.yaml: is longer than 262144 bytes, the most that is read here");
    mo_free(comment);
    mo_free(message);
    mo_free(path);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    MO_CHECK_OK(mo_write_file(temp_path(dir, name), text, strlen(text)));
}

/* Loads dir/a.yaml from within dir, so that messages have short paths. */
static void check_load_refused(const char *dir, mo_status expected, const char *message)
{
    char here[4096];
    mo_run_config config;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    mo_status status = mo_config_load("a.yaml", NULL, 0, &config);
    assert_int_equal(chdir(here), 0);
    assert_string_equal(mo_last_error(), message);
    assert_int_equal(status, expected);
}

static void chains_of_files_that_do_not_end_are_refused(void **state)
{
    write_file(*state, "a.yaml", "run: {name: a}\nextends: gone.yaml\n");
    check_load_refused(*state, MO_E_NOT_FOUND,
                       "a.yaml:2: extends: gone.yaml: cannot open (No such file or directory)");
    write_file(*state, "a.yaml", "extends: \"\"\n");
    check_load_refused(*state, MO_E_CONFIG,
                       "a.yaml:1: extends: no path is given; name the config to build upon");
    write_file(*state, "a.yaml", "extends: ./a.yaml\n");
    check_load_refused(*state, MO_E_CONFIG, "a.yaml -> ./a.yaml: files extend each other in a circle");
    MO_CHECK_OK(mo_make_dirs(temp_path(*state, "sub")));
    write_file(*state, "a.yaml", "extends: sub/b.yaml\n");
    write_file(*state, "sub/b.yaml", "extends: ../c.yaml\n");
    write_file(*state, "c.yaml", "extends: a.yaml\n");
    check_load_refused(
        *state, MO_E_CONFIG,
        "a.yaml -> sub/b.yaml -> sub/../c.yaml -> sub/../a.yaml: files extend each other in a circle");
    write_file(*state, "c.yaml", "run:\n  name: c\n  sed: 3\n");
    check_load_refused(*state, MO_E_CONFIG, "sub/../c.yaml:3: run.sed: unknown key; did you mean seed?");
}

static void a_chain_is_bounded(void **state)
{
    write_file(*state, "a.yaml", "extends: 0.yaml\n");
    for (int i = 0; i < 16; i++) {
        char name[16], text[64];
        snprintf(name, sizeof name, "%d.yaml", i);
        snprintf(text, sizeof text, "extends: %d.yaml\n", i + 1);
        write_file(*state, name, text);
    }
    check_load_refused(
        *state, MO_E_CONFIG,
        "a.yaml -> 0.yaml -> 1.yaml -> 2.yaml -> 3.yaml -> 4.yaml -> 5.yaml -> 6.yaml -> 7.yaml -> "
        "8.yaml -> 9.yaml -> 10.yaml -> 11.yaml -> 12.yaml -> 13.yaml -> 14.yaml -> 15.yaml: too "
        "many files extend each other");
}

/* Texts on which libyaml alone takes seconds to minutes, each as long as a config may be. */
static void hostile_text_takes_no_time(void **state)
{
    (void)state;
    static const char *const units[] = {"[",   "{",  "{a: ",     "- ", "? ", "[? ", "[[],",
                                        "&a ", "a,", "'a': b\n", "\n", "\t", "%"};
    size_t size = 1 << 18;
    char *text = mo_malloc(size + 1);
    double start = mo_clock();
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t unit = strlen(units[u]);
        for (size_t i = 0; i < size; i++) text[i] = units[u][i % unit];
        text[size] = '\0';
        mo_run_config config;
        MO_CHECK_STATUS(mo_config_parse(text, "x.yaml", &config), MO_E_CONFIG);
    }
    assert_true(mo_clock() - start < 10);
    mo_free(text);
    char list[3 + 2 * 5000 + 1] = "a: ";
    for (size_t i = 0; i < 5000; i++) memcpy(list + 3 + 2 * i, i ? "a," : "[ ", 2);
    check_refused(list, "x.yaml:1: more than 4096 names and values; a config has a few hundred");
}

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

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_yaml_is_refused_with_its_place),
        cmocka_unit_test(yaml_that_a_config_does_without_is_refused),
        cmocka_unit_test(another_structure_is_refused),
        cmocka_unit_test(unknown_and_duplicate_names_are_refused_with_the_nearest),
        cmocka_unit_test(wrong_whole_numbers_are_refused),
        cmocka_unit_test(wrong_numbers_are_refused),
        cmocka_unit_test(wrong_names_and_text_are_refused),
        cmocka_unit_test(all_missing_keys_are_named_at_once),
        IN_FOLDER(rules_between_keys_name_both),
        IN_FOLDER(wrong_overrides_are_refused),
        IN_FOLDER(files_that_cannot_be_read_are_named),
        IN_FOLDER(chains_of_files_that_do_not_end_are_refused),
        IN_FOLDER(a_chain_is_bounded),
        cmocka_unit_test(hostile_text_takes_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
