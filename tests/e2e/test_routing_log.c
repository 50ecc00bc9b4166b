/* test_routing_log.c -- routing.jsonl: what its lines say is what the saved weights do; a mixture's sources
 * as domains; off. */
#include "harness/small_run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The last line of a file of the run, parsed. */
static json_t *last_line(const char *dir, const char *file)
{
    char *path = mo_path_join(dir, file), *text = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(path, 1 << 26, &text, &size));
    assert_true(size > 1 && text[size - 1] == '\n');
    text[size - 1] = '\0';
    char *line = strrchr(text, '\n');
    json_t *j = json_loads(line ? line + 1 : text, 0, NULL);
    assert_non_null(j);
    mo_free(text);
    mo_free(path);
    return j;
}

static int64_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static int64_t integer_at(const json_t *list, int64_t i)
{
    const json_t *value = json_array_get(list, (size_t)i);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void check_layer(const json_t *j, const mo_routing *r, const mo_layer_choices *c)
{
    int64_t E = r->experts;
    const json_t *domains = json_object_get(j, "domains"), *pairs = json_object_get(j, "coactivation");
    assert_int_equal(integer(j, "layer"), c->report.layer);
    assert_int_equal(integer(j, "choices"), c->total);
    assert_int_equal(json_array_size(domains), r->n_domains);
    for (int d = 0; d < r->n_domains; d++) {
        const json_t *one = json_array_get(domains, (size_t)d);
        assert_string_equal(json_string_value(json_object_get(one, "name")), r->domain_names[d]);
        for (int64_t e = 0; e < E; e++)
            assert_int_equal(integer_at(json_object_get(one, "choices"), e), c->choices[d * E + e]);
    }
    for (int64_t a = 0; a < E; a++)
        for (int64_t b = 0; b < E; b++)
            assert_int_equal(integer_at(json_array_get(pairs, (size_t)a), b), c->pairs[a * E + b]);
    assert_true(json_real_value(json_object_get(j, "mutual_information")) == c->mutual_information);
    assert_true(json_real_value(json_object_get(j, "max_vio")) == c->report.max_vio);
    assert_true(c->mutual_information > 0);
}

static void a_line_is_what_the_weights_do(void **state)
{
    (void)state;
    char *dir = run_named("one", NULL), *path = NULL, *data = run_path("data.h5");
    json_t *line = last_line(dir, "routing.jsonl"), *metrics = last_line(dir, "metrics.jsonl");
    assert_int_equal(integer(line, "version"), 1);
    assert_int_equal(integer(line, "step"), 12);
    mo_trained trained;
    mo_tokenfile *file;
    mo_eval_result result;
    MO_CHECK_OK(mo_run_latest(dir, &path));
    MO_CHECK_OK(mo_trained_open(path, mo_config_parse, &trained));
    MO_CHECK_OK(mo_tokenfile_open(data, &file));
    mo_eval_options options = {.file = file,
                               .split = MO_SPLIT_VALIDATION,
                               .sequence_length = 80,
                               .batch_size = 3,
                               .batches = 2,
                               .routing = &(mo_routing_options){0}};
    MO_CHECK_OK(mo_evaluate(trained.model, &options, &result));
    const json_t *layers = json_object_get(line, "layers");
    assert_int_equal(json_array_size(layers), result.routing->n_layers);
    for (int l = 0; l < result.routing->n_layers; l++) {
        const json_t *layer = json_array_get(layers, (size_t)l),
                     *short_one = json_array_get(json_object_get(metrics, "layers"), (size_t)l);
        check_layer(layer, result.routing, &result.routing->layers[l]);
        assert_null(json_object_get(layer, "routed_tokens"));
        assert_true(json_equal(json_object_get(layer, "mutual_information"),
                               json_object_get(short_one, "mutual_information")));
    }
    mo_eval_result_free(&result);
    mo_tokenfile_close(file);
    mo_trained_free(&trained);
    mo_config_free(&trained.config);
    json_decref(line);
    json_decref(metrics);
    mo_free(data);
    mo_free(path);
    mo_free(dir);
}

/* A run that goes on from before its last evaluation writes that line once. */
static void later_lines_are_cut(void **state)
{
    (void)state;
    char *dir = run_named("cut", NULL), *where = mo_strprintf("run.dir=%s", dir), *before = run_routing(dir);
    static const char *const newest[] = {"step-00000012.h5", "best.h5"};
    for (int i = 0; i < 2; i++) {
        char *path = mo_path_join(dir, newest[i]);
        assert_int_equal(unlink(path), 0);
        mo_free(path);
    }
    MO_CHECK_OK(run_train((const char *[]){where}, 1, (mo_train_options){.resume = true}, NULL));
    char *after = run_routing(dir);
    assert_string_equal(before, after);
    mo_free(after);
    mo_free(before);
    mo_free(where);
    mo_free(dir);
}

/* One document without a label. */
static void make_plain(const char *path)
{
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(mo_tokenwriter_open(
        &(mo_tokenwriter_options){.path = path, .tokenizer = bytes, .source = "test"}, &w));
    for (mo_split split = MO_SPLIT_TRAIN; split <= MO_SPLIT_VALIDATION; split++) {
        for (int i = 0; i < 500; i++) MO_CHECK_OK(mo_tokenwriter_append_bytes(w, split, "0123456789", 10));
        MO_CHECK_OK(mo_tokenwriter_end_document(w, split, -1));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_tokenizer_free(bytes);
}

static void sources_are_domains(void **state)
{
    (void)state;
    char *plain = run_path("plain.h5"), *dir = run_path("mixed"), *where = mo_strprintf("run.dir=%s", dir);
    char *mixture = mo_strprintf("data.mixture=[{path: %s/data.h5}, {path: %s}]", run_folder, plain);
    make_plain(plain);
    MO_CHECK_OK(run_train((const char *[]){where, "data.path=", mixture}, 3, (mo_train_options){0}, NULL));
    json_t *line = last_line(dir, "routing.jsonl"), *metrics = last_line(dir, "metrics.jsonl");
    const json_t *layer = json_array_get(json_object_get(line, "layers"), 2),
                 *domains = json_object_get(layer, "domains");
    assert_int_equal(json_array_size(domains), 4);
    static const char *const names[] = {"data/stories", "data/arithmetic", "data/json", "plain"};
    int64_t all = 0, of_plain = 0;
    for (int d = 0; d < 4; d++) {
        const json_t *one = json_array_get(domains, (size_t)d);
        assert_string_equal(json_string_value(json_object_get(one, "name")), names[d]);
        of_plain = 0;
        for (int64_t e = 0; e < 4; e++) of_plain += integer_at(json_object_get(one, "choices"), e);
        all += of_plain;
    }
    assert_int_equal(all, integer(layer, "choices"));
    assert_int_equal(of_plain, 2 * 3 * 80 * 2); /* batches, windows, tokens, experts */
    assert_int_equal(integer(layer, "tokens"), 2 * 2 * 3 * 80);
    double bits = json_real_value(json_object_get(layer, "mutual_information"));
    assert_true(bits > 0);
    layer = json_array_get(json_object_get(metrics, "layers"), 2);
    assert_true(json_real_value(json_object_get(layer, "mutual_information")) == bits);
    json_decref(line);
    json_decref(metrics);
    mo_free(mixture);
    mo_free(where);
    mo_free(plain);
    mo_free(dir);
}

/* Nothing is written where nothing is asked for, or nothing is routed; without labels there is no word of
 * them. */
static void off(void **state)
{
    (void)state;
    char *plain = run_path("plain.h5"), *from = mo_strprintf("data.path=%s", plain);
    const char *const settings[] = {"log.routing=false", from};
    for (int i = 0; i < 2; i++) {
        char *dir = run_named(i ? "unlabelled" : "off", settings[i]),
             *path = mo_path_join(dir, "routing.jsonl");
        assert_int_equal(mo_path_exists(path), i);
        json_t *line = last_line(dir, "metrics.jsonl");
        assert_true(json_is_real(json_object_get(line, "validation_loss")));
        const json_t *layer = json_array_get(json_object_get(line, "layers"), 0);
        assert_non_null(layer);
        assert_null(json_object_get(layer, "mutual_information"));
        json_decref(line);
        mo_free(path);
        mo_free(dir);
    }
    mo_free(from);
    mo_free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_line_is_what_the_weights_do),
                                       cmocka_unit_test(later_lines_are_cut),
                                       cmocka_unit_test(sources_are_domains), cmocka_unit_test(off)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
