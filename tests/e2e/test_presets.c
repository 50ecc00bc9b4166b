/* test_presets.c -- configs/models: published sizes, siblings that route as the large model does, and each
 * sibling trained for 20 steps. */
#include "harness/small_run.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "configs/models/"

/* Counted by hand from the published shapes: D hidden, F expert's width, A = D (q + 2 kv) + q D of attention,
 *   total = (1 or 2) V D + sum over layers of (A + norms + router + (E + shared) 3 D F, or 3 D F dense) + D,
 * 2 D F without a gate; a token uses K of the E experts. `published`: as the
 * source rounds them, "" where it has no such model. */
static const struct preset {
    const char *name;
    int64_t total, active; /* 0: the sibling alone is there */
    const char *published;
} presets[] = {
    {"dbrx", 131596523520, 36469708800, "132B, 36B"},
    {"deepseekmoe-16b", 16375728128, 2828650496, "16.4B, 2.8B"},
    {"dots1", 142774373888, 14016581120, "142B, 14B"},
    {"gshard", 619248165888, 1376855040, "600B"},
    {"jacobs-1991", 7481600, 7481600, ""},
    {"mixtral-8x22b", 140630071296, 39161468928, "141B, 39B"},
    {"mixtral-8x7b", 46702792704, 12879925248, "46.7B, 12.9B"},
    {"olmoe-1b-7b", 6919161856, 1282017280, "6.9B, 1.3B"},
    {"shazeer-2017", 1890469376, 820921856, "1.9B"},
    {"sigmoid", 0, 0, ""},
    {"switch-base-8", 307845888, 109665024, ""},
};
enum { PRESETS = sizeof presets / sizeof *presets };

static char *config_path(const struct preset *p, const char *kind)
{
    return mo_strprintf(FOLDER "%s%s.yaml", p->name, kind);
}

static void load(const struct preset *p, const char *kind, mo_run_config *config)
{
    char *path = config_path(p, kind);
    MO_CHECK_OK(mo_config_load(path, NULL, 0, config));
    assert_true(strncmp(config->run.name, p->name, strlen(p->name)) == 0);
    assert_string_equal(config->run.name + strlen(p->name), kind);
    mo_free(path);
}

static void test_every_file_is_in_the_table(void **state)
{
    (void)state;
    int files = 0, expected = 0;
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) files += entry->d_name[0] != '.';
    closedir(folder);
    for (int i = 0; i < PRESETS; i++) expected += presets[i].total > 0 ? 2 : 1;
    assert_int_equal(files, expected);
}

static mo_model_count count(const struct preset *p, const char *kind)
{
    mo_run_config config;
    mo_model *model;
    load(p, kind, &config);
    MO_CHECK_OK(mo_model_create(&config.model, &model));
    mo_model_count n = mo_model_counts(model, config.train.sequence_length);
    mo_model_free(model);
    mo_config_free(&config);
    return n;
}

static void test_counts_are_the_published_ones(void **state)
{
    (void)state;
    for (int i = 0; i < PRESETS; i++) {
        const struct preset *p = &presets[i];
        if (p->total > 0) {
            mo_model_count n = count(p, "");
            if (n.total != p->total || n.active != p->active)
                fail_msg("%s has %lld and %lld parameters, not %lld and %lld (%s)", p->name,
                         (long long)n.total, (long long)n.active, (long long)p->total, (long long)p->active,
                         p->published);
        }
        mo_model_count n = count(p, "-tiny");
        if (n.total < 50000 || n.total > 300000)
            fail_msg("%s-tiny has %lld parameters", p->name, (long long)n.total);
    }
}

/* ---- siblings ---- */

/* What a sibling has less of. Everything else of `model` and `balance` is how tokens are routed, or the kind
 * of block that they are routed in. */
static const char *const sizes[] = {"vocab_size",          "hidden_size",
                                    "intermediate_size",   "moe_intermediate_size",
                                    "num_hidden_layers",   "num_attention_heads",
                                    "num_key_value_heads", "head_dim",
                                    "num_local_experts",   "n_group",
                                    "initializer_range",   "max_position_embeddings"};

static bool is_size(const char *line)
{
    line += strspn(line, " ");
    size_t length = strcspn(line, ":");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strlen(sizes[i]) == length && strncmp(sizes[i], line, length) == 0) return true;
    return false;
}

/* The lines of the sections model and balance that are no sizes. */
static char *routing_lines(const struct preset *p, const char *kind)
{
    mo_run_config config;
    char *dump = NULL, *out = NULL;
    size_t size = 0;
    bool wanted = false;
    load(p, kind, &config);
    MO_CHECK_OK(mo_config_dump(&config, &dump));
    FILE *f = open_memstream(&out, &size);
    for (char *line = strtok(dump, "\n"); line; line = strtok(NULL, "\n")) {
        if (*line != ' ') wanted = strcmp(line, "model:") == 0 || strcmp(line, "balance:") == 0;
        if (wanted && !is_size(line)) fprintf(f, "%s\n", line);
    }
    fclose(f);
    mo_free(dump);
    mo_config_free(&config);
    return out;
}

static void assert_same_lines(const char *name, const char *large, const char *small)
{
    while (*large || *small) {
        size_t a = strcspn(large, "\n"), b = strcspn(small, "\n");
        if (a != b || strncmp(large, small, a) != 0)
            fail_msg("%s has '%.*s', its sibling '%.*s'", name, (int)a, large, (int)b, small);
        large += a + (large[a] == '\n');
        small += b + (small[b] == '\n');
    }
}

static void test_siblings_route_alike(void **state)
{
    (void)state;
    for (int i = 0; i < PRESETS; i++) {
        if (presets[i].total == 0) continue;
        char *large = routing_lines(&presets[i], ""), *small = routing_lines(&presets[i], "-tiny");
        assert_non_null(strstr(large, "num_experts_per_tok"));
        assert_same_lines(presets[i].name, large, small);
        free(large);
        free(small);
    }
}

/* ---- training ---- */

enum { STEPS = 20 };

typedef struct history {
    const char *name;
    int steps;
    double loss[STEPS];
} history;

static void look(const mo_step_report *r, void *user)
{
    history *h = user;
    assert_true(h->steps < STEPS);
    h->loss[h->steps++] = r->train_loss;
    assert_true(isfinite(r->train_loss) && isfinite(r->balance_loss) && isfinite(r->grad_norm));
    assert_true(r->n_layers > 0);
    for (int l = 0; l < r->n_layers; l++) {
        double sum = 0;
        for (int64_t e = 0; e < r->layers[l].experts; e++) sum += r->layers[l].load[e];
        MO_CHECK_NEAR(sum, 1, 1e-9);
    }
}

/* Trains the sibling in <run_folder>/<name>-<threads>; owned. */
static char *train(const struct preset *p, int threads, history *h)
{
    char *dir = mo_strprintf("%s/%s-%d", run_folder, p->name, threads), *path = config_path(p, "-tiny"),
         *where = mo_strprintf("run.dir=%s", dir), *data = mo_strprintf("data.path=%s/data.h5", run_folder),
         *team = mo_strprintf("run.threads=%d", threads);
    const char *settings[] = {where,
                              data,
                              team,
                              "train.steps=20",
                              "train.sequence_length=64",
                              "schedule.warmup_steps=2",
                              "eval.every=20",
                              "eval.batches=1",
                              "sample.tokens=0",
                              "log.every=1",
                              "checkpoint.compression=0"};
    mo_run_config config;
    mo_step_report last;
    *h = (history){.name = p->name};
    MO_CHECK_OK(mo_config_load(path, settings, sizeof settings / sizeof *settings, &config));
    mo_train_options options = {
        .config = &config, .dump = mo_config_dump, .events = {.step = look, .user = h}};
    MO_CHECK_OK(mo_train(&options, &last));
    assert_int_equal(last.end, MO_RUN_STEPS);
    assert_true(last.evaluated && isfinite(last.validation_loss));
    mo_config_free(&config);
    mo_free(path);
    mo_free(where);
    mo_free(data);
    mo_free(team);
    return dir;
}

/* A byte of 256 takes 5.55 nats at first. */
static void test_siblings_learn(void **state)
{
    (void)state;
    for (int i = 0; i < PRESETS; i++) {
        history h;
        mo_free(train(&presets[i], 1, &h));
        assert_int_equal(h.steps, STEPS);
        MO_CHECK_NEAR(h.loss[0], log(256), 0.15);
        double end = (h.loss[STEPS - 1] + h.loss[STEPS - 2] + h.loss[STEPS - 3]) / 3;
        if (!(end < h.loss[0] - 1))
            fail_msg("%s-tiny: %g nats at first, %g after 20 steps", h.name, h.loss[0], end);
    }
}

/* After test_siblings_learn, whose runs are the other half. */
static void test_threads_change_no_bit(void **state)
{
    (void)state;
    for (int i = 0; i < PRESETS; i++) {
        history h;
        char *one = mo_strprintf("%s/%s-1", run_folder, presets[i].name), *two = train(&presets[i], 2, &h);
        assert_same_run(one, two);
        mo_free(one);
        mo_free(two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_file_is_in_the_table),
        cmocka_unit_test(test_counts_are_the_published_ones),
        cmocka_unit_test(test_siblings_route_alike),
        cmocka_unit_test(test_siblings_learn),
        cmocka_unit_test(test_threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
