/* test_config.c -- run configs: defaults, files that extend each other, overrides, dump, help, resume. */
#include "harness/harness.h"

#include <moira/config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/number.h"
#include "config/schema.h"
#include "config/value.h"

static const char good[] = "run: {name: t}\n"
                           "data: {path: d.h5}\n"
                           "model: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1,\n"
                           "        num_attention_heads: 2}\n"
                           "train: {steps: 10, batch_size: 2, sequence_length: 16}\n"
                           "optimizer: {learning_rate: 1e-3}\n";

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

static void write_file(const char *dir, const char *name, const char *text)
{
    MO_CHECK_OK(mo_write_file(temp_path(dir, name), text, strlen(text)));
}

/* Equal to the last bit: reals are compared as bits, so that -0 is not 0. */
static void check_same(const mo_run_config *a, const mo_run_config *b)
{
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        const char *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;
        bool same = key->type == MO__REAL ? memcmp(x, y, sizeof(double)) == 0 : mo__value_equal(key, a, b);
        if (!same) fail_msg("%s differs", key->name);
    }
}

/* Dumps, parses, compares; the second dump must be the first. */
static void check_round_trip(const mo_run_config *config)
{
    char *text, *again;
    mo_run_config copy;
    MO_CHECK_OK(mo_config_dump(config, &text));
    MO_CHECK_OK(mo_config_parse(text, "dump", &copy));
    check_same(config, &copy);
    MO_CHECK_OK(mo_config_dump(&copy, &again));
    assert_string_equal(text, again);
    mo_free(text);
    mo_free(again);
    mo_config_free(&copy);
}

static void defaults_fill_what_the_file_leaves_out(void **state)
{
    (void)state;
    mo_run_config c;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    assert_string_equal(c.run.name, "t");
    assert_string_equal(c.run.dir, "");
    assert_true(c.run.seed == 1337 && c.run.threads == 0);
    assert_string_equal(c.data.path, "d.h5");
    assert_true(c.model.vocab_size == 0 && c.model.hidden_size == 8 && c.model.moe_intermediate_size == 0);
    assert_true(c.model.num_key_value_heads == 0 && c.model.head_dim == 0 && c.model.num_local_experts == 0);
    assert_int_equal(c.model.max_position_embeddings, 16); /* train.sequence_length */
    assert_true(c.model.num_experts_per_tok == 2 && c.model.router == MO_ROUTER_TOPK &&
                c.model.norm_topk_prob);
    assert_true(c.model.noise_floor == 1e-2 && c.model.hidden_act == MO_ACT_SWIGLU);
    assert_true(c.model.rope_theta == 10000 && c.model.rms_norm_eps == 1e-5 &&
                c.model.initializer_range == 0.02);
    assert_true(!c.model.tie_word_embeddings);
    assert_true(c.balance.switch_loss == 0 && c.balance.mixtral == 0 && c.balance.importance == 0);
    assert_true(c.balance.load == 0 && c.balance.z_loss == 0 && c.balance.scope == MO_SCOPE_MICROBATCH);
    assert_true(c.train.steps == 10 && c.train.batch_size == 2 && c.train.sequence_length == 16);
    assert_true(c.train.gradient_accumulation_steps == 1 && c.train.recompute == MO_RECOMPUTE_NONE);
    assert_true(c.optimizer_name == 0 && c.optimizer.learning_rate == 1e-3 &&
                c.optimizer.weight_decay == 0.1);
    assert_true(c.optimizer.beta1 == 0.9 && c.optimizer.beta2 == 0.95 && c.optimizer.epsilon == 1e-8);
    assert_true(c.optimizer.max_grad_norm == 1 && c.schedule.kind == MO_SCHEDULE_COSINE);
    assert_true(c.schedule.warmup_steps == 100 && c.schedule.min_ratio == 0.1 &&
                c.schedule.decay_ratio == 0.2);
    assert_true(c.eval.every == 250 && c.eval.batches == 0);
    assert_true(c.checkpoint.every == 500 && c.checkpoint.keep == 3 && c.checkpoint.compression == 1);
    assert_true(c.checkpoint.background);
    assert_true(c.sample.every == 0 && c.sample.tokens == 200 && c.sample.temperature == 0.8);
    assert_string_equal(c.sample.prompt, "");
    assert_int_equal(c.log.every, 10);
    mo_config_free(&c);
    assert_null(c.run.name);
}

/* Every way to write a number that is meant to be taken. */
static void numbers_are_read_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } whole[] = {{"1000", 1000},      {"1e3", 1000},    {"1E+3", 1000},
                 {"1.5e3", 1500},     {"+7", 7},        {"2.0", 2},
                 {".5e1", 5},         {"1200e-2", 12},  {"1000000000", 1000000000},
                 {"1e9", 1000000000}, {"0.00003e6", 30}};
    mo_run_config c;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    const mo__key *steps = &mo__keys[mo__key_find("train", "steps")];
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        MO_CHECK_OK(mo__value_set(steps, whole[i].text, MO__PLAIN, &c));
        assert_int_equal(c.train.steps, whole[i].value);
    }
    static const struct {
        const char *text;
        double value;
    } real[] = {{"1e-3", 1e-3},
                {".5", 0.5},
                {"3", 3},
                {"3.", 3},
                {"+2.5E+1", 25},
                {"00.1", 0.1},
                {"4.9406564584124654e-324", 4.9406564584124654e-324},
                {"0e-999", 0}};
    const mo__key *rate = &mo__keys[mo__key_find("optimizer", "learning_rate")];
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        MO_CHECK_OK(mo__value_set(rate, real[i].text, MO__PLAIN, &c));
        assert_true(c.optimizer.learning_rate == real[i].value);
    }
    double infinite;
    assert_int_equal(mo__number_real("1e999", &infinite), MO__NUMBER_TOO_LARGE);
    const mo__key *seed = &mo__keys[mo__key_find("run", "seed")];
    MO_CHECK_OK(mo__value_set(seed, "18446744073709551615", MO__PLAIN, &c));
    assert_true(c.run.seed == UINT64_MAX);
    mo_config_free(&c);
}

static void text_is_taken_plain_quoted_and_folded(void **state)
{
    (void)state;
    mo_run_config c;
    char *text = mo_strprintf("%ssample:\n  prompt: |\n    To be,\n    or not\n", good);
    MO_CHECK_OK(mo_config_parse(text, "x.yaml", &c));
    assert_string_equal(c.sample.prompt, "To be,\nor not\n");
    mo_config_free(&c);
    mo_free(text);
    text = mo_strprintf("%ssample:\n  prompt: \"\\u00c4 \\\" \\x41 null\"\n", good);
    MO_CHECK_OK(mo_config_parse(text, "x.yaml", &c));
    assert_string_equal(c.sample.prompt, "\xc3\x84 \" A null");
    mo_config_free(&c);
    mo_free(text);
    text = mo_strprintf("%ssample: {prompt: 2024, every: 7}\nbalance: {scope: 'sequence'}\n", good);
    MO_CHECK_OK(mo_config_parse(text, "x.yaml", &c));
    assert_string_equal(c.sample.prompt, "2024");
    assert_int_equal(c.balance.scope, MO_SCOPE_SEQUENCE);
    mo_config_free(&c);
    mo_free(text);
}

static void overrides_come_last_and_the_last_wins(void **state)
{
    write_file(*state, "a.yaml", good);
    const char *const overrides[] = {
        "train.steps=20",          "model.num_local_experts=16",     "balance.switch=1e-2",
        "model.router=noisy_topk", "model.tie_word_embeddings=true", "run.seed=18446744073709551615",
        "run.dir=out/a=b",         "sample.prompt=\"null\": # 'x'",  "train.steps=30"};
    mo_run_config c;
    MO_CHECK_OK(mo_config_load(temp_path(*state, "a.yaml"), overrides, 9, &c));
    assert_true(c.train.steps == 30 && c.model.num_local_experts == 16 && c.balance.switch_loss == 1e-2);
    assert_true(c.model.router == MO_ROUTER_NOISY_TOPK && c.model.tie_word_embeddings &&
                c.run.seed == UINT64_MAX);
    assert_string_equal(c.run.dir, "out/a=b");
    assert_string_equal(c.sample.prompt, "\"null\": # 'x'");
    mo_config_free(&c);
}

static void a_missing_key_may_come_from_the_command_line(void **state)
{
    write_file(*state, "a.yaml", strchr(good, '\n') + 1);
    const char *const override = "run.name=late";
    mo_run_config c;
    MO_CHECK_STATUS(mo_config_load(temp_path(*state, "a.yaml"), NULL, 0, &c), MO_E_CONFIG);
    MO_CHECK_OK(mo_config_load(temp_path(*state, "a.yaml"), &override, 1, &c));
    assert_string_equal(c.run.name, "late");
    mo_config_free(&c);
}

/* a extends sub/b, which extends its neighbour's ../c; paths are relative to the file that has them. */
static void files_build_upon_files(void **state)
{
    MO_CHECK_OK(mo_make_dirs(temp_path(*state, "sub")));
    write_file(*state, "c.yaml", good);
    write_file(*state, "sub/b.yaml", "train: {steps: 20, batch_size: 4}\nextends: ../c.yaml\n");
    write_file(*state, "a.yaml", "extends: sub/b.yaml\nrun: {name: a}\ntrain: {steps: 30}\n");
    mo_run_config c;
    MO_CHECK_OK(mo_config_load(temp_path(*state, "a.yaml"), NULL, 0, &c));
    assert_string_equal(c.run.name, "a");
    assert_string_equal(c.data.path, "d.h5");
    assert_true(c.train.steps == 30 && c.train.batch_size == 4 && c.train.sequence_length == 16);
    mo_config_free(&c);

    char *absolute = mo_strprintf("extends: \"%s/c.yaml\"\n", (char *)*state);
    write_file(*state, "sub/d.yaml", absolute);
    mo_free(absolute);
    MO_CHECK_OK(mo_config_load(temp_path(*state, "sub/d.yaml"), NULL, 0, &c));
    assert_int_equal(c.train.steps, 10);
    mo_config_free(&c);
}

static void a_default_config_survives_its_dump(void **state)
{
    (void)state;
    mo_run_config c;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    check_round_trip(&c);
    mo_config_free(&c);
}

/* A value of the key that is drawn anew for each round; small numbers are likelier,
 * reals use their whole range of exponents. */
static void draw(const mo__key *key, uint32_t round, int index, mo_run_config *c)
{
    void *field = (char *)c + key->offset;
    double u = mo_rng_uniform(1, MO_RNG_TEST, round, (uint32_t)index, 0);
    double v = mo_rng_uniform(1, MO_RNG_TEST, round, (uint32_t)index, 1);
    int names = 0;
    switch (key->type) {
    case MO__INT:
        *(int64_t *)field = (int64_t)(key->min + floor(pow(key->max - key->min + 1, u)) - 1);
        break;
    case MO__UINT64:
        *(uint64_t *)field = UINT64_MAX - (uint64_t)(u * 1e19);
        break;
    case MO__REAL:
        *(double *)field = key->max * u * exp2(-1000 * v * v * v);
        break;
    case MO__BOOL:
        *(bool *)field = u < 0.5;
        break;
    case MO__STRING:
    case MO__LIST:
        break; /* test_config_lists.c has them */
    case MO__ENUM:
        while (key->names[names]) names++;
        *(int *)field = (int)(u * names);
        break;
    }
}

/* A router under which a key has a meaning: of balancing losses noisy_topk has all. */
static int router_for(const mo__key *key)
{
    static const char *const of_sigmoid[] = {"balance.bias_update_rate", "model.routed_scaling_factor",
                                             "model.n_group", "model.topk_group"};
    for (int i = 0; i < 4; i++)
        if (strcmp(key->name, of_sigmoid[i]) == 0) return MO_ROUTER_SIGMOID;
    return MO_ROUTER_NOISY_TOPK;
}

/* One key at a time, so that rules between keys hold back only those few values that they are about. */
static void every_key_survives_its_dump_with_any_value(void **state)
{
    (void)state;
    for (int i = 0; i < mo__key_count; i++) {
        int taken = 0;
        for (uint32_t round = 0; round < 40; round++) {
            mo_run_config c, copy;
            char *text;
            MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
            c.model.num_local_experts = 8;
            c.model.router = router_for(&mo__keys[i]);
            draw(&mo__keys[i], round, i, &c);
            if (c.model.max_position_embeddings == 0) c.model.max_position_embeddings = 16; /* as loading */
            mo_model_config_settle_router(&c.model);
            MO_CHECK_OK(mo_config_dump(&c, &text));
            mo_status status = mo_config_parse(text, "dump", &copy);
            if (status == MO_OK) {
                check_same(&c, &copy);
                mo_config_free(&copy);
                taken++;
            } else {
                /* Not the value's own fault: a rule between keys. */
                assert_null(strstr(mo_last_error(), "expected"));
            }
            mo_free(text);
            mo_config_free(&c);
        }
        if (taken == 0) fail_msg("%s: no value was taken", mo__keys[i].name);
    }
}

/* Every code point of one, two and three bytes that can be text, and some of four. */
static void any_text_survives_its_dump(void **state)
{
    (void)state;
    mo_run_config c;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    mo_free(c.sample.prompt);
    for (uint32_t first = 1; first < 0x12000; first += 0x4000) {
        char *text = c.sample.prompt = mo_malloc(4 * 0x4000 + 1);
        size_t n = 0;
        for (uint32_t p = first; p < first + 0x4000; p++) {
            if (p >= 0xD800 && p < 0xE000) continue;
            if (p < 0x80) {
                text[n++] = (char)p;
            } else if (p < 0x800) {
                text[n++] = (char)(0xC0 | p >> 6);
                text[n++] = (char)(0x80 | (p & 63));
            } else {
                if (p >= 0x10000) text[n++] = (char)(0xF0 | p >> 18);
                text[n++] = p < 0x10000 ? (char)(0xE0 | p >> 12) : (char)(0x80 | (p >> 12 & 63));
                text[n++] = (char)(0x80 | (p >> 6 & 63));
                text[n++] = (char)(0x80 | (p & 63));
            }
        }
        text[n] = '\0';
        check_round_trip(&c);
        mo_free(c.sample.prompt);
    }
    c.sample.prompt = mo_strdup(" \xe2\x80\xa8 \xe2\x80\xa9 \xc2\x85 \xef\xbb\xbf \n \t ");
    check_round_trip(&c); /* spaces around line breaks, which YAML folds unless they are escaped */
    char *text;
    MO_CHECK_OK(mo_config_dump(&c, &text));
    assert_non_null(strstr(text, "prompt: \" \\u2028 \\u2029 \\x85 \\uFEFF \\n \\x09 \"\n"));
    mo_free(text);
    mo_free(c.sample.prompt);
    c.sample.prompt = mo_strdup("cut \xe2\x82");
    MO_CHECK_STATUS(mo_config_dump(&c, &text), MO_E_CONFIG);
    assert_string_equal(mo_last_error(), "sample.prompt: 'cut ?\?' is not valid UTF-8");
    assert_null(text);
    mo_config_free(&c);
}

static void what_no_file_can_say_is_not_dumped(void **state)
{
    (void)state;
    mo_run_config c;
    char *text;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    c.optimizer.beta1 = nan("");
    MO_CHECK_STATUS(mo_config_dump(&c, &text), MO_E_CONFIG);
    assert_string_equal(mo_last_error(), "optimizer.beta1: nan is not a finite number");
    c.optimizer.beta1 = 0;
    c.model.router = 99;
    MO_CHECK_STATUS(mo_config_dump(&c, &text), MO_E_CONFIG);
    assert_string_equal(mo_last_error(), "model.router: 99 stands for no name");
    mo_config_free(&c);
}

static void a_version_may_be_given(void **state)
{
    (void)state;
    mo_run_config c;
    char *text = mo_strprintf("%sversion: 1\n", good);
    MO_CHECK_OK(mo_config_parse(text, "x.yaml", &c));
    mo_config_free(&c);
    mo_free(text);
    /* A newer one comes before all else that a file says. */
    MO_CHECK_STATUS(mo_config_parse("colour: 4\nversion: 2\n", "x.yaml", &c), MO_E_VERSION);
    assert_string_equal(mo_last_error(), "x.yaml: is a config of version 2, moira " MO_VERSION_STRING
                                         " reads versions up to 1; use a newer moira");
}

static void a_dump_is_plain_and_complete(void **state)
{
    (void)state;
    mo_run_config c;
    char *text;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    c.optimizer.learning_rate = 3e-4;
    MO_CHECK_OK(mo_config_dump(&c, &text));
    assert_ptr_equal(
        strstr(text, "version: 1\nrun:\n  name: \"t\"\n  dir: \"\"\n  seed: 1337\n  threads: 0\ndata:\n"),
        text);
    assert_non_null(strstr(text, "\n  rope_theta: 10000\n  rms_norm_eps: 1e-05\n"));
    assert_non_null(strstr(text, "\n  learning_rate: 0.0003\n  weight_decay: 0.1\n"));
    assert_non_null(strstr(text, "\nbalance:\n  switch: 0\n  mixtral: 0\n"));
    int lines = 0;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    assert_int_equal(lines, 1 + mo__key_count + mo__section_count - 1); /* keys at the top have no heading */
    mo_free(text);
    mo_config_free(&c);
}

static void only_some_keys_may_change_when_a_run_resumes(void **state)
{
    (void)state;
    mo_run_config saved, wanted;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &saved));
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        if (key->type == MO__LIST) continue;
        MO_CHECK_OK(mo_config_parse(good, "x.yaml", &wanted));
        for (uint32_t round = 0;
             mo__value_equal(key, &saved, &wanted) && key->type != MO__STRING && round < 50; round++)
            draw(key, round, i, &wanted);
        if (key->type == MO__STRING) MO_CHECK_OK(mo__value_set(key, "another", MO__QUOTED, &wanted));
        bool free = mo__key_in_section(key, "eval") || mo__key_in_section(key, "checkpoint") ||
                    mo__key_in_section(key, "sample") || mo__key_in_section(key, "log") ||
                    strcmp(key->name, "run.dir") == 0 || strcmp(key->name, "init.from") == 0 ||
                    strcmp(key->name, "data.path") == 0 || strcmp(key->name, "run.threads") == 0 ||
                    strcmp(key->name, "train.steps") == 0 || strcmp(key->name, "train.tokens") == 0 ||
                    strcmp(key->name, "train.seconds") == 0 ||
                    strcmp(key->name, "model.vocab_size") == 0 || /* saved is 0: the data's */
                    strcmp(key->name, "optimizer.name") == 0;     /* has one value */
        mo_status status = mo_config_check_resume(&saved, &wanted);
        if (status != (free ? MO_OK : MO_E_MISMATCH)) fail_msg("%s: %s", key->name, mo_status_name(status));
        if (!free) MO_CHECK_MESSAGE(key->name);
        mo_config_free(&wanted);
    }
    MO_CHECK_OK(mo_config_check_resume(&saved, &saved));
    mo_config_free(&saved);
}

static void a_refused_resume_names_every_key_and_both_values(void **state)
{
    (void)state;
    mo_run_config saved, wanted;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &saved));
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &wanted));
    saved.model.vocab_size = 256;
    wanted.optimizer.learning_rate = 2e-3;
    wanted.train.batch_size = 8;
    wanted.train.steps = 99;
    wanted.model.router = MO_ROUTER_NOISY_TOPK;
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    assert_string_equal(
        mo_last_error(),
        "resume: model.router was topk and is now noisy_topk, train.batch_size was 2 and is now 8, "
        "optimizer.learning_rate was 0.001 and is now 0.002; a resumed run may change only "
        "run.dir, run.threads, data.path, data.mixture[].path, init.*, train.steps, train.tokens, "
        "train.seconds, "
        "eval.*, checkpoint.*, sample.*, log.*");
    mo_config_free(&wanted);
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &wanted));
    wanted.model.vocab_size = 512;
    MO_CHECK_STATUS(mo_config_check_resume(&saved, &wanted), MO_E_MISMATCH);
    MO_CHECK_MESSAGE("model.vocab_size was 256 and is now 512;");
    mo_config_free(&wanted);
    mo_config_free(&saved);
}

static void help_has_every_key(void **state)
{
    (void)state;
    char *text;
    MO_CHECK_OK(mo_config_help(NULL, &text));
    const char *at = text;
    for (int s = 0; s < mo__section_count; s++) {
        char line[200];
        const char *name = mo__sections[s].name;
        snprintf(line, sizeof line, "\n\n%s%s%s\n", name, *name ? ": " : "", mo__sections[s].help);
        at = strstr(at, line);
        assert_non_null(at);
        at += strlen(line) - 1;
        for (int i = 0; i < mo__key_count; i++) {
            if (!mo__key_in_section(&mo__keys[i], mo__sections[s].name)) continue;
            snprintf(line, sizeof line, "\n  %s ", mo__key_leaf(&mo__keys[i]));
            assert_ptr_equal(strstr(at, line), at);
            do at = strstr(at + 1, "\n"); /* a long range goes on below itself */
            while (strspn(at + 1, " ") == 44);
            snprintf(line, sizeof line, "\n      %s\n", mo__keys[i].help);
            assert_ptr_equal(strstr(at, line), at);
            at += strlen(line) - 1;
            while (mo__keys[i].type == MO__LIST && strncmp(at, "\n      ", 7) == 0) at = strchr(at + 1, '\n');
        }
    }
    assert_string_equal(at, "\n");
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 110);
    mo_free(text);
}

static void help_has_topics(void **state)
{
    (void)state;
    char *text;
    MO_CHECK_OK(mo_config_help("hidden_act", &text));
    assert_string_equal(text, "model:\n"
                              "  hidden_act                   swiglu       one of swiglu, geglu, gelu, relu\n"
                              "      Activation of feed-forward blocks and experts.\n");
    mo_free(text);
    MO_CHECK_OK(mo_config_help("run.threads", &text));
    assert_string_equal(text,
                        "run:\n"
                        "  threads                      0            0 to 1024 threads +\n"
                        "      Threads; 0 is one for each core. Results are the same bits for any number.\n");
    mo_free(text);
    MO_CHECK_OK(mo_config_help("log", &text));
    assert_string_equal(text,
                        "log: progress lines\n"
                        "  every                        10           1 to 1000000000 steps +\n"
                        "      Steps between progress lines.\n"
                        "  spike                        8            0 to 1000000 +\n"
                        "      Robust standard deviations above the recent losses from which a step is "
                        "told of; 0 is never.\n"
                        "  collapse_window              100          0 to 1000000000 steps +\n"
                        "      Steps after which each router is judged; a collapsed one is warned of once. "
                        "0 is never.\n"
                        "  routing                      true         true or false +\n"
                        "      Whether routing.jsonl gets a line at each evaluation: experts by domain, "
                        "co-activation.\n"
                        "  tensorboard                  true         true or false +\n"
                        "      Whether a file of TensorBoard events is written.\n");
    mo_free(text);
    MO_CHECK_OK(mo_config_help("every", &text));
    assert_non_null(strstr(text, "eval:\n"));
    assert_non_null(strstr(text, "\ncheckpoint:\n"));
    mo_free(text);
    MO_CHECK_STATUS(mo_config_help("rooter", &text), MO_E_USAGE);
    assert_string_equal(mo_last_error(), "help config: 'rooter' is no section or key; did you mean router?");
    MO_CHECK_STATUS(mo_config_help("colour", &text), MO_E_USAGE);
    assert_string_equal(mo_last_error(),
                        "help config: 'colour' is no section or key; moira help config lists all");
}

/* A default must be a value that the key itself takes, written as it would be in a file. */
static void every_default_is_taken_from_a_file(void **state)
{
    (void)state;
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        mo_run_config c;
        if (!key->initial || key->type == MO__LIST) continue;
        MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
        MO_CHECK_OK(mo__value_set(key, key->initial, key->type == MO__STRING ? MO__QUOTED : MO__PLAIN, &c));
        mo_config_free(&c);
    }
}

/* Every public call, and the texts they make as one. */
static mo_status use_everything(const char *path, char **out)
{
    mo_run_config c, copy = {0};
    char *dump = NULL, *help = NULL;
    const char *const override = "train.steps=20";
    MO_TRY(mo_config_load(path, &override, 1, &c));
    mo_status status = mo_config_dump(&c, &dump);
    if (status == MO_OK) status = mo_config_parse(dump, "dump", &copy);
    if (status == MO_OK) {
        copy.train.batch_size = 77;
        status = mo_config_check_resume(&c, &copy);
        if (status == MO_E_MISMATCH) status = mo_config_help(NULL, &help);
    }
    if (status == MO_OK) {
        *out = mo_strprintf("%s%s%s", dump, mo_last_error(), help);
        if (!*out) status = MO_E_MEMORY;
    }
    mo_free(dump);
    mo_free(help);
    mo_config_free(&copy);
    mo_config_free(&c);
    return status;
}

/* The run that succeeds must make the whole text: no failure may pass for a success. */
static void each_allocation_may_fail(void **state)
{
    write_file(*state, "b.yaml", good);
    write_file(*state, "a.yaml", "extends: b.yaml\nrun: {name: a}\nsample: {prompt: x}\n");
    char *path = mo_strdup(temp_path(*state, "a.yaml")), *expected, *text;
    MO_CHECK_OK(use_everything(path, &expected));
    int64_t before = mo__alloc_live();
    int count;
    MO_CHECK_EACH_ALLOCATION(count, use_everything(path, &text));
    assert_true(count > 30);
    assert_string_equal(text, expected);
    mo_free(text);
    assert_int_equal(mo__alloc_live(), before);
    mo_free(expected);
    mo_free(path);
}

static void each_allocation_of_a_text_may_fail(void **state)
{
    (void)state;
    mo_run_config c;
    char *expected, *text;
    int count;
    MO_CHECK_OK(mo_config_parse(good, "x.yaml", &c));
    MO_CHECK_OK(mo_config_dump(&c, &expected));
    MO_CHECK_EACH_ALLOCATION(count, mo_config_dump(&c, &text));
    assert_string_equal(text, expected);
    mo_free(text);
    mo_free(expected);
    MO_CHECK_OK(mo_config_help("run", &expected));
    MO_CHECK_EACH_ALLOCATION(count, mo_config_help("run", &text));
    assert_string_equal(text, expected);
    mo_free(text);
    mo_free(expected);
    mo_config_free(&c);
}

static void only_well_formed_utf8_is_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",         "\xc0\x80",        "\xc1\xbf",         "\xc3",
                                      "\xe0\x9f\xbf", "\xed\xa0\x80",    "\xf0\x8f\xbf\xbf", "\xe2\x82",
                                      "\xf5\x80",     "\xf4\x90\x80\x80"};
    static const char *const fine[] = {"\x7f",         "\xc2\x80",         "\xe0\xa0\x80",
                                       "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    uint32_t point;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(mo__utf8_next(bad[i], &point), 0);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_int_equal(mo__utf8_next(fine[i], &point), (int)strlen(fine[i]));
    assert_int_equal(point, 0x10FFFF);
}

static void the_configs_we_ship_load(void **state)
{
    (void)state;
    static const char *const names[] = {"demo",          "shakespeare-moe", "shakespeare-dense",
                                        "bench-a",       "bench-b",         "bench-c",
                                        "bench-a-dense", "bench-b-dense",   "bench-c-dense"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = mo_strprintf("configs/%s.yaml", names[i]);
        mo_run_config c;
        MO_CHECK_OK(mo_config_load(path, NULL, 0, &c));
        assert_string_equal(c.run.name, names[i]);
        check_round_trip(&c);
        mo_config_free(&c);
        mo_free(path);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_what_the_file_leaves_out),
        cmocka_unit_test(numbers_are_read_as_written),
        cmocka_unit_test(text_is_taken_plain_quoted_and_folded),
        IN_FOLDER(overrides_come_last_and_the_last_wins),
        IN_FOLDER(a_missing_key_may_come_from_the_command_line),
        IN_FOLDER(files_build_upon_files),
        cmocka_unit_test(a_default_config_survives_its_dump),
        cmocka_unit_test(every_key_survives_its_dump_with_any_value),
        cmocka_unit_test(any_text_survives_its_dump),
        cmocka_unit_test(what_no_file_can_say_is_not_dumped),
        cmocka_unit_test(a_version_may_be_given),
        cmocka_unit_test(a_dump_is_plain_and_complete),
        cmocka_unit_test(only_some_keys_may_change_when_a_run_resumes),
        cmocka_unit_test(a_refused_resume_names_every_key_and_both_values),
        cmocka_unit_test(help_has_every_key),
        cmocka_unit_test(help_has_topics),
        cmocka_unit_test(every_default_is_taken_from_a_file),
        IN_FOLDER(each_allocation_may_fail),
        cmocka_unit_test(each_allocation_of_a_text_may_fail),
        cmocka_unit_test(only_well_formed_utf8_is_text),
        cmocka_unit_test(the_configs_we_ship_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
