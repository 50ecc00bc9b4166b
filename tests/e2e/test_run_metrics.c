/* test_run_metrics.c -- what is read of a run folder is what the run told, to the bit; folders of runs that
 * were killed, and files that no run wrote. */
#include "harness/small_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/run_metrics.h"

enum { STEPS = 12, LAYERS = 3, EXPERTS = 4, STEP_TOKENS = 480 };

/* ---- a run, and its reports as its callback got them ---- */

typedef struct told {
    mo_step_report reports[STEPS];
    mo_layer_report layers[STEPS][LAYERS];
    double loads[STEPS][LAYERS][EXPERTS], mutual[STEPS][LAYERS];
    int count;
} told;

static void keep(const mo_step_report *r, void *user)
{
    told *t = user;
    assert_true(t->count < STEPS && r->n_layers == LAYERS);
    t->reports[t->count] = *r;
    for (int l = 0; l < LAYERS; l++) {
        t->layers[t->count][l] = r->layers[l];
        assert_int_equal(r->layers[l].experts, EXPERTS);
        for (int e = 0; e < EXPERTS; e++) t->loads[t->count][l][e] = r->layers[l].load[e];
        if (r->mutual_information) t->mutual[t->count][l] = r->mutual_information[l];
    }
    t->count++;
}

static void same(double a, double b)
{
    if (!(isnan(a) && isnan(b)) && memcmp(&a, &b, sizeof a) != 0) fail_msg("%.17g is not %.17g", a, b);
}

static void same_layer(const mo_layer_report *a, const mo_layer_report *b)
{
    assert_int_equal(a->layer, b->layer);
    assert_int_equal(a->experts, b->experts);
    assert_int_equal(a->dead, b->dead);
    same(a->max_vio, b->max_vio);
    same(a->cv, b->cv);
    same(a->entropy, b->entropy);
    same(a->top1, b->top1);
    same(a->top1_weight, b->top1_weight);
    same(a->dropped, b->dropped);
    same(a->z, b->z);
}

static void same_report(const mo_step_report *a, const mo_step_report *b)
{
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->evaluated, b->evaluated);
    same(a->train_loss, b->train_loss);
    same(a->balance_loss, b->balance_loss);
    same(a->learning_rate, b->learning_rate);
    same(a->grad_norm, b->grad_norm);
    same(a->seconds, b->seconds);
    same(a->tokens_per_second, b->tokens_per_second);
    same(a->gflops, b->gflops);
    same(a->waited_seconds, b->waited_seconds);
    assert_true(b->step == 0 || (b->waited_seconds >= 0 && b->waited_seconds <= b->seconds));
    same(a->validation_loss, b->evaluated ? b->validation_loss : (double)NAN);
    same(a->bits_per_byte, b->evaluated ? b->bits_per_byte : (double)NAN);
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) same(a->balance[k], b->balance[k]);
}

static void what_is_told_is_read(void **state)
{
    (void)state;
    told *t = calloc(1, sizeof *t);
    char *dir = run_path("told"), *where = mo_strprintf("run.dir=%s", dir);
    MO_CHECK_OK(
        run_train((const char *[]){where}, 1, (mo_train_options){.events = {.step = keep, .user = t}}, NULL));
    mo__run_metrics m;
    MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_ALL, &m));
    assert_int_equal(t->count, STEPS);
    assert_int_equal(m.n_lines, STEPS);
    for (int i = 0; i < STEPS; i++) {
        const mo_step_report *r = &m.lines[i];
        same_report(r, &t->reports[i]);
        assert_int_equal(r->n_layers, LAYERS);
        assert_int_equal(r->mutual_information != NULL, r->evaluated);
        for (int l = 0; l < LAYERS; l++) {
            same_layer(&r->layers[l], &t->layers[i][l]);
            assert_memory_equal(r->layers[l].load, t->loads[i][l], sizeof t->loads[i][l]);
            if (r->mutual_information) same(r->mutual_information[l], t->mutual[i][l]);
        }
        assert_ptr_equal(mo__run_metrics_at(&m, i + 1), r);
    }
    assert_null(mo__run_metrics_at(&m, 0));
    assert_null(mo__run_metrics_at(&m, STEPS + 1));
    assert_true(m.lines[9].evaluated && m.lines[STEPS - 1].evaluated && !m.lines[0].evaluated);
    assert_int_equal(m.end, MO_RUN_STEPS);
    assert_false(m.torn);
    assert_int_equal(m.step_tokens, STEP_TOKENS);
    assert_int_equal(m.config.run.seed, 7);
    /* What the run computed its GFLOP/s with. */
    MO_CHECK_NEAR(m.lines[1].gflops / m.lines[1].tokens_per_second * 1e9, m.count.flops_per_token,
                  1e-6 * m.count.flops_per_token);
    assert_true(m.count.active < m.count.total);
    mo_step_report last;
    MO_CHECK_OK(mo__run_last_line(dir, &last));
    same_report(&last, &m.lines[STEPS - 1]);
    mo__run_metrics_free(&m);
    mo_free(where);
    mo_free(dir);
    free(t);
}

static void only_what_was_asked_for(void **state)
{
    (void)state;
    char *dir = run_path("told");
    mo__run_metrics m;
    MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_LINES, &m));
    assert_null(m.routing);
    assert_int_equal(m.n_lines, STEPS);
    assert_null(m.lines[3].layers[1].load);
    assert_int_equal(m.lines[3].layers[1].experts, EXPERTS);
    assert_true(isfinite(m.lines[3].layers[1].max_vio));
    mo__run_metrics_free(&m);
    mo_free(dir);
}

static void routing_is_what_the_weights_do(void **state)
{
    (void)state;
    char *dir = run_path("told"), *data = run_path("data.h5"), *path = NULL;
    mo_trained trained;
    mo_tokenfile *file;
    mo_eval_result result;
    mo__run_metrics m;
    MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_ROUTING, &m));
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
    const mo_routing *a = m.routing, *b = result.routing;
    assert_non_null(a);
    assert_int_equal(m.routing_step, STEPS);
    assert_int_equal(a->n_layers, b->n_layers);
    assert_int_equal(a->experts, b->experts);
    assert_int_equal(a->experts_per_token, b->experts_per_token);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->n_domains, 3);
    for (int d = 0; d < 3; d++) assert_string_equal(a->domain_names[d], b->domain_names[d]);
    for (int l = 0; l < LAYERS; l++) {
        const mo_layer_choices *x = &a->layers[l], *y = &b->layers[l];
        same_layer(&x->report, &y->report);
        assert_memory_equal(x->report.load, y->report.load, EXPERTS * sizeof(double));
        assert_int_equal(x->total, y->total);
        assert_memory_equal(x->choices, y->choices, 3 * EXPERTS * sizeof(int64_t));
        assert_memory_equal(x->pairs, y->pairs, EXPERTS * EXPERTS * sizeof(int64_t));
        same(x->mutual_information, y->mutual_information);
        same(x->corrected, y->corrected);
        same(x->domain_entropy, y->domain_entropy);
    }
    mo_eval_result_free(&result);
    mo_tokenfile_close(file);
    mo_config_free(&trained.config);
    mo_trained_free(&trained);
    mo__run_metrics_free(&m);
    mo_free(path);
    mo_free(data);
    mo_free(dir);
}

/* ---- folders by hand: the config of that run, and any lines ---- */

static char *hand_made(const char *lines)
{
    char *dir = run_path("hand"), *from = run_path("told/config.yaml"), *text = NULL;
    size_t size = 0;
    MO_CHECK_OK(mo_make_dirs(dir));
    MO_CHECK_OK(mo_read_file(from, 1 << 20, &text, &size));
    MO_CHECK_OK(mo_write_file(temp_path(dir, "config.yaml"), text, size));
    unlink(temp_path(dir, "metrics.jsonl"));
    unlink(temp_path(dir, "routing.jsonl"));
    if (lines) MO_CHECK_OK(mo_write_file(temp_path(dir, "metrics.jsonl"), lines, strlen(lines)));
    mo_free(text);
    mo_free(from);
    return dir;
}

/* Replaces in hand/config.yaml. */
static void set_config(const char *dir, const char *old, const char *new)
{
    char *text = NULL, *changed;
    size_t size = 0;
    MO_CHECK_OK(mo_read_file(temp_path(dir, "config.yaml"), 1 << 20, &text, &size));
    const char *at = strstr(text, old);
    assert_non_null(at);
    changed = mo_strprintf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    MO_CHECK_OK(mo_write_file(temp_path(dir, "config.yaml"), changed, strlen(changed)));
    mo_free(text);
    mo_free(changed);
}

static void torn_ends_are_passed_over(void **state)
{
    (void)state;
    static const char *const ends[] = {"{\"step\":3,\"train_lo", "{\"step\":3,\"train_lo\n", "\n",
                                       "\x01\x02\n", "[3]\n"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *text = mo_strprintf("{\"step\":1}\n{\"step\":2,\"train_loss\":2.5}\n%s", ends[i]);
        char *dir = hand_made(text);
        mo__run_metrics m;
        mo_step_report last;
        MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_ALL, &m));
        assert_int_equal(m.n_lines, 2);
        assert_true(m.torn);
        assert_int_equal(m.end, MO_RUN_GOES_ON);
        assert_true(isnan(m.lines[0].train_loss) && m.lines[1].train_loss == 2.5);
        assert_null(m.routing);
        MO_CHECK_OK(mo__run_last_line(dir, &last));
        assert_int_equal(last.step, 2);
        assert_true(last.train_loss == 2.5);
        mo__run_metrics_free(&m);
        mo_free(text);
        mo_free(dir);
    }
}

static void begun_without_a_line(void **state)
{
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        char *dir = hand_made(empty ? "" : NULL);
        mo__run_metrics m;
        mo_step_report last;
        MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_ALL, &m));
        assert_int_equal(m.n_lines, 0);
        assert_int_equal(m.end, MO_RUN_GOES_ON);
        assert_null(mo__run_metrics_at(&m, 1));
        mo__run_metrics_free(&m);
        MO_CHECK_STATUS(mo__run_last_line(dir, &last), MO_E_NOT_FOUND);
        mo_free(dir);
    }
}

static void a_long_last_line(void **state)
{
    (void)state;
    size_t size = 3 << 20;
    char *text = malloc(size + 200);
    size_t head = (size_t)sprintf(text, "{\"step\":1}\n{\"step\":2,\"note\":\"");
    memset(text + head, 'x', size);
    memcpy(text + head + size, "\"}\n", 4);
    char *dir = hand_made(text);
    mo_step_report last;
    MO_CHECK_OK(mo__run_last_line(dir, &last));
    assert_int_equal(last.step, 2);
    free(text);
    mo_free(dir);
}

/* The base's line of step 0, a mixture's sources, a router without probabilities. */
static void lines_of_other_runs(void **state)
{
    (void)state;
    char *dir = hand_made(
        "{\"step\":0,\"train_loss\":null,\"seconds\":0.0,\"validation_loss\":2.25,\"bits_per_byte\":3.0,"
        "\"sources\":[{\"source\":\"a\",\"tokens\":0,\"share\":0.0,\"train_loss\":null,"
        "\"validation_loss\":2.25}]}\n"
        "{\"step\":1,\"train_loss\":2.0,\"seconds\":0.5,\"drift\":0.25,\"balance\":{\"switch\":1.5},"
        "\"layers\":[{\"layer\":1,\"load\":[0.5,0.5],\"max_vio\":0.0,\"entropy\":null,\"dropped\":0.125,"
        "\"drift\":0.25}],"
        "\"sources\":[{\"source\":\"a\",\"tokens\":480,\"share\":1.0,\"train_loss\":2.0}]}\n");
    mo__run_metrics m;
    MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_ALL, &m));
    const mo_step_report *base = &m.lines[0], *r = &m.lines[1];
    assert_int_equal(m.n_lines, 2);
    assert_true(base->evaluated && base->validation_loss == 2.25 && isnan(base->train_loss));
    assert_int_equal(base->n_layers, 0);
    assert_true(base->sources[0].validation_loss == 2.25 && isnan(base->sources[0].train_loss));
    assert_true(r->base_loss == 2.25 && base->base_loss == 2.25);
    assert_int_equal(r->n_sources, 1);
    assert_string_equal(r->sources[0].name, "a");
    assert_int_equal(r->sources[0].tokens, 480);
    assert_true(r->sources[0].share == 1 && r->sources[0].train_loss == 2);
    assert_true(isnan(r->sources[0].validation_loss));
    assert_int_equal(r->layers[0].layer, 1);
    assert_true(isnan(r->layers[0].entropy) && r->layers[0].dropped == 0.125);
    assert_true(r->mean_drift == 0.25 && r->drift[0] == 0.25 && !r->mutual_information);
    assert_true(r->layers[0].load[1] == 0.5);
    int on = 0;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) on += !isnan(r->balance[k]);
    assert_int_equal(on, 1);
    mo__run_metrics_free(&m);
    mo_free(dir);
}

static mo_run_end end_of(const char *dir)
{
    mo__run_metrics m;
    MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_LINES, &m));
    mo_run_end end = m.end;
    mo__run_metrics_free(&m);
    return end;
}

static void which_budget_was_spent(void **state)
{
    (void)state;
    char *dir = hand_made("{\"step\":0,\"seconds\":0.0,\"validation_loss\":1.0}\n"
                          "{\"step\":1,\"seconds\":1.0,\"validation_loss\":3.0}\n"
                          "{\"step\":2,\"seconds\":2.0,\"validation_loss\":3.5}\n"
                          "{\"step\":3,\"seconds\":4.0,\"validation_loss\":3.0}\n");
    assert_int_equal(end_of(dir), MO_RUN_GOES_ON);
    set_config(dir, "patience: 0", "patience: 3");
    assert_int_equal(end_of(dir), MO_RUN_GOES_ON); /* the base's 1.0 is none of its evaluations */
    set_config(dir, "patience: 3", "patience: 2");
    assert_int_equal(end_of(dir), MO_RUN_PATIENCE);
    set_config(dir, "seconds: 0", "seconds: 4");
    assert_int_equal(end_of(dir), MO_RUN_SECONDS);
    set_config(dir, "tokens: 0", "tokens: 1440");
    assert_int_equal(end_of(dir), MO_RUN_TOKENS);
    mo_free(dir);
}

/* ---- what is refused ---- */

static void refused(const char *lines, mo_status status, const char *said)
{
    char *dir = hand_made(lines);
    mo__run_metrics m;
    MO_CHECK_STATUS(mo__run_metrics_read(dir, MO__RUN_ALL, &m), status);
    MO_CHECK_MESSAGE(said);
    MO_CHECK_MESSAGE("hand/metrics.jsonl: line 2: ");
    assert_null(m.dir);
    mo_free(dir);
}

static void damaged_lines(void **state)
{
    (void)state;
    refused("{\"step\":1}\n{\"st\n{\"step\":3}\n", MO_E_CORRUPT, "no JSON object");
    refused("{\"step\":1}\n{\"steps\":2}\n{\"step\":3}\n", MO_E_CORRUPT, "no JSON object");
    refused("{\"step\":2}\n{\"step\":2}\n", MO_E_CORRUPT, "of step 2, after one of step 2");
    refused("{\"step\":1}\n{\"step\":2,\"version\":9}\n", MO_E_VERSION, "version 9");
    refused("{\"step\":1}\n{\"step\":2,\"layers\":{}}\n", MO_E_CORRUPT, "layers");
    refused("{\"step\":1}\n{\"step\":2,\"layers\":[3]}\n", MO_E_CORRUPT, "layers");
    refused("{\"step\":1}\n{\"step\":2,\"sources\":[{\"source\":1}]}\n", MO_E_CORRUPT, "sources");
}

static void damaged_routing(void **state)
{
    (void)state;
    static const char *const layers[] = {
        "[]",
        "[{\"load\":[]}]",
        "[{\"load\":[1.0],\"domains\":[{\"name\":\"a\",\"choices\":[1,2]}]}]",
        "[{\"load\":[1.0],\"domains\":[{\"name\":7,\"choices\":[1]}]}]",
        "[{\"load\":[1.0],\"domains\":[]},{\"load\":[0.5,0.5],\"domains\":[]}]",
        "[{\"load\":[1.0],\"domains\":[],\"coactivation\":[[1,2]]}]",
        "[{\"load\":[1.0],\"domains\":[],\"coactivation\":[]}]"};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        char *dir = hand_made("{\"step\":1}\n");
        char *text = mo_strprintf("{\"step\":1,\"layers\":%s}\n", layers[i]);
        mo__run_metrics m;
        MO_CHECK_OK(mo_write_file(temp_path(dir, "routing.jsonl"), text, strlen(text)));
        MO_CHECK_STATUS(mo__run_metrics_read(dir, MO__RUN_ALL, &m), MO_E_CORRUPT);
        MO_CHECK_MESSAGE("routing.jsonl: its last line: its ");
        MO_CHECK_OK(mo__run_metrics_read(dir, MO__RUN_LINES, &m));
        mo__run_metrics_free(&m);
        mo_free(text);
        mo_free(dir);
    }
}

static void not_a_run(void **state)
{
    (void)state;
    char *dir = run_path("nothing"), *empty = run_path("empty");
    mo__run_metrics m;
    MO_CHECK_STATUS(mo__run_metrics_read(dir, MO__RUN_ALL, &m), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("no such folder");
    MO_CHECK_OK(mo_make_dirs(empty));
    MO_CHECK_STATUS(mo__run_metrics_read(empty, MO__RUN_ALL, &m), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE("config.yaml");
    mo_free(dir);
    mo_free(empty);
}

static mo_status read_and_free(const char *dir)
{
    mo__run_metrics m;
    mo_status status = mo__run_metrics_read(dir, MO__RUN_ALL, &m);
    if (status == MO_OK) mo__run_metrics_free(&m);
    return status;
}

static void every_allocation(void **state)
{
    (void)state;
    char *dir = run_path("told");
    int64_t failed, live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, read_and_free(dir));
    assert_true(failed > 50);
    assert_int_equal(mo__alloc_live(), live);
    mo_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_told_is_read),
                                       cmocka_unit_test(only_what_was_asked_for),
                                       cmocka_unit_test(routing_is_what_the_weights_do),
                                       cmocka_unit_test(torn_ends_are_passed_over),
                                       cmocka_unit_test(begun_without_a_line),
                                       cmocka_unit_test(a_long_last_line),
                                       cmocka_unit_test(lines_of_other_runs),
                                       cmocka_unit_test(which_budget_was_spent),
                                       cmocka_unit_test(damaged_lines),
                                       cmocka_unit_test(damaged_routing),
                                       cmocka_unit_test(not_a_run),
                                       cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
