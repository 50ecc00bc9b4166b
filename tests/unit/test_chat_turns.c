/* test_chat_turns.c -- a conversation keeps its cache: replies are those of a model that reads it all from
 * its begin; what is forgotten, cut, refused and told. */
#include <moira/train.h>

#include <stdlib.h>
#include <string.h>

#include "harness/golden_tokenizer.h"
#include "harness/small_model.h"

enum { ROOM = 4096 };

typedef struct said {
    char text[ROOM];
    size_t size;
    int calls, most_calls; /* 0: any */
} said;

static bool listen(const char *text, size_t size, void *user)
{
    said *s = user;
    assert_true(size > 0 && s->size + size < ROOM);
    memcpy(s->text + s->size, text, size);
    s->size += size;
    s->text[s->size] = '\0';
    return ++s->calls != s->most_calls;
}

typedef struct fixture {
    mo_model *model;
    mo_tokenizer *tokenizer;
    mo_chat_template *template;
    said said;
    mo_chat *chat;
} fixture;

static const char PLAIN[] = "{\"system\": \"S{content};\", \"user\": \"U{content};\", \"reply\": \"A\", "
                            "\"assistant\": \"{content}{eos}\", \"between\": \"|\"}";

static void start(fixture *f, mo_tokenizer *tokenizer, const char *template, int64_t context)
{
    *f = (fixture){.tokenizer = tokenizer};
    mo_model_config config = {.vocab_size = mo_tokenizer_vocab_size(tokenizer),
                              .hidden_size = 16,
                              .intermediate_size = 16,
                              .num_hidden_layers = 2,
                              .num_attention_heads = 2,
                              .num_local_experts = 4,
                              .num_experts_per_tok = 2,
                              .norm_topk_prob = true,
                              .max_position_embeddings = context,
                              .rope_theta = 10000,
                              .rms_norm_eps = 1e-5,
                              .initializer_range = 0.3};
    f->model = small_model_make(config);
    MO_CHECK_OK(mo_chat_template_open(template, tokenizer, &f->template));
}

static void open_chat(fixture *f, const char *system, double temperature, int64_t max_tokens)
{
    mo_chat_options options = {.model = f->model,
                               .tokenizer = f->tokenizer,
                               .chat = f->template,
                               .system = system,
                               .sampling = {.temperature = temperature, .top_p = 1, .seed = 3},
                               .max_tokens = max_tokens,
                               .emit = listen,
                               .user = &f->said};
    mo_chat_close(f->chat);
    MO_CHECK_OK(mo_chat_open(&options, &f->chat));
}

static void finish(fixture *f)
{
    mo_chat_close(f->chat);
    mo_chat_template_free(f->template);
    mo_model_free(f->model);
    mo_tokenizer_free(f->tokenizer);
}

static mo_status say(fixture *f, const char *text, mo_reply *reply)
{
    f->said.size = 0;
    f->said.calls = 0;
    f->said.text[0] = '\0';
    return mo_chat_say(f->chat, text, strlen(text), reply);
}

static char *plain_template(const char *dir)
{
    char *path = mo_strdup(temp_path(dir, "t.json"));
    MO_CHECK_OK(mo_write_file(path, PLAIN, strlen(PLAIN)));
    return path;
}

/* ---- what a model says that reads all from the begin ---- */

typedef struct drawn {
    const mo_chat_template *template;
    int32_t ids[ROOM];
    int64_t count;
} drawn;

static bool collect(int32_t id, void *user)
{
    drawn *d = user;
    if (mo_chat_is_mark(d->template, id)) return false;
    d->ids[d->count++] = id;
    return true;
}

static void draw(const fixture *f, const mo_chat_message *m, int n, int64_t max_tokens,
                 mo_chat_tokens *prompt, drawn *out)
{
    *out = (drawn){.template = f->template};
    MO_CHECK_OK(mo_chat_encode(f->template, m, n, true, prompt));
    mo_generate_options options = {.prompt = prompt->ids,
                                   .prompt_count = prompt->count,
                                   .max_tokens = max_tokens,
                                   .top_p = 1,
                                   .emit = collect,
                                   .user = out};
    MO_CHECK_OK(mo_generate(f->model, &options));
}

/* Of the bytes tokenizer. */
static void check_reply(const fixture *f, const mo_chat_message *m, int n, int64_t max_tokens)
{
    mo_chat_tokens prompt;
    drawn d;
    draw(f, m, n, max_tokens, &prompt, &d);
    assert_int_equal(f->said.size, d.count);
    for (int64_t i = 0; i < d.count; i++) assert_int_equal((unsigned char)f->said.text[i], d.ids[i]);
    mo_chat_tokens_free(&prompt);
}

static mo_chat_message message(mo_chat_role role, const char *text, size_t size)
{
    return (mo_chat_message){role, text, size};
}

static void turns_are_as_if_read_from_the_begin(void **state)
{
    enum { TURNS = 5, MOST = 12 };
    static const char *const SAY[TURNS] = {"one", "and a longer message than that, to be read in chunks", "",
                                           "4", "five"};
    char *path = plain_template(*state);
    mo_tokenizer *bytes;
    fixture f;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, path, 512);
    for (int system = 0; system < 2; system++) {
        mo_chat_message m[1 + 2 * TURNS];
        int n = 0;
        char replies[TURNS][ROOM];
        if (system) m[n++] = message(MO_CHAT_SYSTEM, "be", 2);
        open_chat(&f, system ? "be" : NULL, 0, MOST);
        for (int i = 0; i < TURNS; i++) {
            mo_reply reply;
            m[n++] = message(MO_CHAT_USER, SAY[i], strlen(SAY[i]));
            MO_CHECK_OK(say(&f, SAY[i], &reply));
            check_reply(&f, m, n, MOST);
            assert_int_equal(reply.forgotten, 0);
            assert_true(reply.end == MO_REPLY_CUT ? reply.tokens == MOST : reply.end == MO_REPLY_ENDED);
            memcpy(replies[i], f.said.text, f.said.size);
            m[n++] = message(MO_CHAT_ASSISTANT, replies[i], f.said.size);
        }
    }
    finish(&f);
    mo_free(path);
}

/* The oldest go, until a quarter of the context is free. */
static void a_full_context_forgets_whole_exchanges(void **state)
{
    enum { TURNS = 12, MOST = 10, CONTEXT = 100 };
    char *path = plain_template(*state);
    mo_tokenizer *bytes;
    fixture f;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, path, CONTEXT);
    open_chat(&f, "sys", 0, MOST);
    mo_chat_message m[1 + 2 * TURNS];
    char replies[TURNS][ROOM];
    int n = 0, forgotten = 0, sooner = 0;
    m[n++] = message(MO_CHAT_SYSTEM, "sys", 3);
    for (int i = 0; i < TURNS; i++) {
        mo_reply reply;
        m[n++] = message(MO_CHAT_USER, "say it", 6);
        MO_CHECK_OK(say(&f, "say it", &reply));
        for (int k = 0; k < reply.forgotten; k++, n -= 2) memmove(&m[1], &m[3], (size_t)(n - 3) * sizeof *m);
        forgotten += reply.forgotten;
        sooner += reply.forgotten > 0;
        check_reply(&f, m, n, MOST);
        memcpy(replies[i], f.said.text, f.said.size);
        m[n++] = message(MO_CHAT_ASSISTANT, replies[i], f.said.size);
    }
    assert_true(forgotten > 4 && sooner > 1 && n > 5);
    finish(&f);
    mo_free(path);
}

/* In the middle of a reply the oldest go too; when nothing is left to go, the reply ends. */
static void a_reply_may_fill_the_context(void **state)
{
    enum { CONTEXT = 64 };
    char *path = plain_template(*state);
    mo_tokenizer *bytes;
    mo_reply reply;
    fixture f;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, path, CONTEXT);
    /* Nothing ends a reply: of 255 other logits one is above 0. */
    mo_real *end = f.model->value + mo_model_find(f.model, "lm_head.weight")->offset;
    memset(end, 0, 16 * sizeof *end);
    open_chat(&f, NULL, 0, 1000);
    MO_CHECK_OK(say(&f, "second", &reply));
    assert_int_equal(reply.end, MO_REPLY_FULL);
    assert_int_equal(reply.forgotten, 0);
    assert_int_equal(reply.tokens, CONTEXT - (int64_t)strlen("Usecond;A") + 1);
    MO_CHECK_OK(say(&f, "third", &reply));
    assert_int_equal(reply.end, MO_REPLY_FULL);
    assert_int_equal(reply.forgotten, 1);
    assert_int_equal(reply.tokens, CONTEXT - (int64_t)strlen("Uthird;A") + 1);
    finish(&f);
    mo_free(path);
}

static void what_cannot_be_said_was_not_said(void **state)
{
    char *path = plain_template(*state), large[200];
    mo_tokenizer *bytes;
    mo_reply reply;
    fixture f;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, path, 128);
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    open_chat(&f, NULL, 0, 8);
    MO_CHECK_OK(say(&f, "one", &reply));
    char first[ROOM];
    size_t size = f.said.size;
    memcpy(first, f.said.text, size);
    assert_int_equal(say(&f, large, &reply), MO_E_RANGE);
    assert_non_null(strstr(mo_last_error(), "the message has 202 tokens"));
    assert_non_null(strstr(mo_last_error(), "context holds 128"));
    assert_int_equal(mo_chat_say(f.chat, "a\0b", 3, &reply), MO_E_FORMAT);
    MO_CHECK_OK(say(&f, "two", &reply));
    mo_chat_message m[] = {message(MO_CHAT_USER, "one", 3), message(MO_CHAT_ASSISTANT, first, size),
                           message(MO_CHAT_USER, "two", 3)};
    check_reply(&f, m, 3, 8);
    /* A reply that is stopped was said as far as it came. */
    open_chat(&f, NULL, 0, 8);
    f.said.most_calls = 2;
    MO_CHECK_OK(say(&f, "one", &reply));
    assert_int_equal(reply.end, MO_REPLY_STOPPED);
    assert_int_equal(f.said.calls, 2);
    size = f.said.size;
    memcpy(first, f.said.text, size);
    f.said.most_calls = 0;
    MO_CHECK_OK(say(&f, "two", &reply));
    m[1].size = size;
    check_reply(&f, m, 3, 8);
    mo_chat *none;
    mo_chat_options bad = {.model = f.model, .tokenizer = f.tokenizer, .chat = f.template, .system = large};
    assert_int_equal(mo_chat_open(&bad, &none), MO_E_RANGE); /* top_p 0 */
    assert_null(none);
    finish(&f);
    mo_free(path);
}

/* What was drawn stays in the cache, though its messages would be put otherwise (mixtral: a space in front of
 * each reply): nothing is read anew for it. */
static void what_cannot_be_said_leaves_the_cache(void **state)
{
    (void)state;
    char large[200], undisturbed[ROOM];
    mo_tokenizer *bytes;
    mo_reply reply;
    fixture f;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, "mixtral", 128);
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    for (int refused = 0; refused < 3; refused++) {
        open_chat(&f, NULL, 0, 8);
        MO_CHECK_OK(say(&f, "one", &reply));
        assert_true(f.said.size > 0);
        if (refused == 1) assert_int_equal(say(&f, large, &reply), MO_E_RANGE);
        if (refused == 2) assert_int_equal(mo_chat_say(f.chat, "a\0b", 3, &reply), MO_E_FORMAT);
        MO_CHECK_OK(say(&f, "two", &reply));
        if (refused) assert_string_equal(undisturbed, f.said.text);
        strcpy(undisturbed, f.said.text);
    }
    finish(&f);
}

/* Words with their spaces, characters only whole, and not the template's space in front. */
static void text_is_that_of_the_tokens(void **state)
{
    (void)state;
    fixture f;
    mo_reply reply;
    start(&f, golden_tokenizer("mixtral"), "mixtral", 256);
    size_t compared = 0;
    for (int seed = 0; seed < 8; seed++) {
        char word[8], *all, *before;
        size_t all_size, before_size;
        snprintf(word, sizeof word, "the %d", seed);
        mo_chat_message m = message(MO_CHAT_USER, word, strlen(word));
        mo_chat_tokens prompt;
        drawn d;
        open_chat(&f, NULL, 0, 20);
        MO_CHECK_OK(say(&f, word, &reply));
        draw(&f, &m, 1, 20, &prompt, &d);
        int32_t *ids = malloc((size_t)(prompt.count + d.count) * sizeof *ids);
        assert_non_null(ids);
        memcpy(ids, prompt.ids, (size_t)prompt.count * sizeof *ids);
        memcpy(ids + prompt.count, d.ids, (size_t)d.count * sizeof *ids);
        MO_CHECK_OK(mo_tokenizer_decode(f.tokenizer, ids, prompt.count, &before, &before_size));
        MO_CHECK_OK(mo_tokenizer_decode(f.tokenizer, ids, prompt.count + d.count, &all, &all_size));
        char *text = all + before_size;
        if (*text == ' ') text++;
        assert_string_equal(f.said.text, text);
        compared += f.said.size;
        free(ids);
        mo_free(all);
        mo_free(before);
        mo_chat_tokens_free(&prompt);
    }
    assert_true(compared > 50);
    finish(&f);
}

/* Each draw of a conversation has a place of its own: the same question, another answer. */
static void draws_go_on_from_turn_to_turn(void **state)
{
    char *path = plain_template(*state), first[ROOM];
    mo_tokenizer *bytes;
    mo_reply reply;
    fixture f;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, path, 40);
    for (int again = 0; again < 2; again++) {
        open_chat(&f, NULL, 1, 6);
        MO_CHECK_OK(say(&f, "twenty-two letters say", &reply));
        if (again) assert_string_equal(first, f.said.text);
        strcpy(first, f.said.text);
        MO_CHECK_OK(say(&f, "twenty-two letters say", &reply));
        assert_int_equal(reply.forgotten, 1); /* so that the model reads the same again */
        assert_string_not_equal(first, f.said.text);
    }
    finish(&f);
    mo_free(path);
}

static mo_status open_and_say(const fixture *f)
{
    said s = {.size = 0};
    mo_reply reply;
    mo_chat *chat;
    mo_chat_options options = {.model = f->model,
                               .tokenizer = f->tokenizer,
                               .chat = f->template,
                               .system = "x",
                               .sampling = {.top_p = 1},
                               .max_tokens = 3,
                               .emit = listen,
                               .user = &s};
    MO_TRY(mo_chat_open(&options, &chat));
    mo_status status = MO_OK;
    for (int i = 0; status == MO_OK && i < 3; i++) status = mo_chat_say(chat, "say it", 6, &reply);
    mo_chat_close(chat);
    return status;
}

static void no_memory_is_told(void **state)
{
    char *path = plain_template(*state);
    mo_tokenizer *bytes;
    fixture f;
    int64_t failed;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    start(&f, bytes, path, 32);
    MO_CHECK_EACH_ALLOCATION(failed, open_and_say(&f));
    assert_true(failed > 50);
    finish(&f);
    mo_free(path);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_as_if_read_from_the_begin),
        cmocka_unit_test(a_full_context_forgets_whole_exchanges),
        cmocka_unit_test(a_reply_may_fill_the_context),
        cmocka_unit_test(what_cannot_be_said_was_not_said),
        cmocka_unit_test(what_cannot_be_said_leaves_the_cache),
        cmocka_unit_test(text_is_that_of_the_tokens),
        cmocka_unit_test(no_memory_is_told),
        cmocka_unit_test(draws_go_on_from_turn_to_turn),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
