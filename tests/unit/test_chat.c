/* test_chat.c -- templates: transformers' ids of the same conversations (tests/golden/make_chat.py), what is
 * learnt, template files, and what is refused. */
#include <moira/chat.h>

#include <stdlib.h>
#include <string.h>

#include "harness/golden_tokenizer.h"
#include "harness/harness.h"

static const char REAL[] = "../shared/tokenizers/mixtral-8x7b.tokenizer.model";

enum { MOST = 16 /* messages */ };

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

/* ---- against transformers ---- */

static int take_messages(const golden_items *text, const golden_items *roles, int64_t c, mo_chat_message *out)
{
    int n = (int)golden_item_size(roles, c);
    int64_t first = golden_item_at(roles, c);
    assert_true(n <= MOST);
    for (int i = 0; i < n; i++)
        out[i] = (mo_chat_message){(mo_chat_role)roles->ids[first + i],
                                   text->bytes + golden_item_at(text, first + i),
                                   (size_t)golden_item_size(text, first + i)};
    return n;
}

static void check_tokens(int64_t c, const mo_chat_tokens *got, const int32_t *ids, const int32_t *mask,
                         int64_t count)
{
    for (int64_t i = 0; i < got->count && i < count; i++)
        if (got->ids[i] != ids[i] || got->mask[i] != mask[i])
            fail_msg("conversation %lld: token %lld is %d (%d learnt), it should be %d (%d)", (long long)c,
                     (long long)i, got->ids[i], got->mask[i], ids[i], mask[i]);
    if (got->count != count)
        fail_msg("conversation %lld has %lld tokens, it should have %lld", (long long)c,
                 (long long)got->count, (long long)count);
}

/* Before each of the assistant's messages: what a reply goes on from is how the conversation begins; and what
 * the user says after one is what follows. */
static void check_turns(const mo_chat_template *t, const mo_chat_message *m, int n, const mo_chat_tokens *all)
{
    int64_t at = 0;
    for (int i = 1; i < n; i++) {
        mo_chat_tokens reply, next;
        if (m[i].role != MO_CHAT_ASSISTANT) continue;
        MO_CHECK_OK(mo_chat_encode(t, m, i, true, &reply));
        assert_true(reply.count < all->count);
        assert_memory_equal(reply.ids, all->ids, (size_t)reply.count * sizeof *reply.ids);
        assert_int_equal(all->mask[reply.count], 1);
        if (at) {
            MO_CHECK_OK(mo_chat_encode_next(t, m[i - 1].content, m[i - 1].size, &next));
            assert_int_equal(at + next.count, reply.count);
            assert_memory_equal(next.ids, all->ids + at, (size_t)next.count * sizeof *next.ids);
            mo_chat_tokens_free(&next);
        }
        for (at = reply.count; at < all->count && all->mask[at];) at++;
        assert_int_equal(all->ids[at - 1], mo_chat_end(t));
        mo_chat_tokens_free(&reply);
    }
}

static void check_golden(const mo_tokenizer *tokenizer, const char *name)
{
    char path[64];
    mo_chat_template *t;
    golden_items text = golden_items_read_from("chat", "text"),
                 roles = golden_items_read_from("chat", "roles_ids");
    snprintf(path, sizeof path, "%s/ids", name);
    golden_items ids = golden_items_read_from("chat", path);
    snprintf(path, sizeof path, "%s/mask_ids", name);
    golden_items mask = golden_items_read_from("chat", path);
    MO_CHECK_OK(mo_chat_template_open("mixtral", tokenizer, &t));
    assert_int_equal(mo_chat_end(t), 2);
    assert_true(ids.count > 60 && ids.count == roles.count);
    for (int64_t c = 0; c < ids.count; c++) {
        mo_chat_message messages[MOST];
        mo_chat_tokens tokens;
        int n = take_messages(&text, &roles, c, messages);
        int64_t at = golden_item_at(&ids, c);
        MO_CHECK_OK(mo_chat_encode(t, messages, n, false, &tokens));
        check_tokens(c, &tokens, ids.ids + at, mask.ids + at, golden_item_size(&ids, c));
        check_turns(t, messages, n, &tokens);
        mo_chat_tokens_free(&tokens);
    }
    mo_chat_template_free(t);
    golden_items_free(&text);
    golden_items_free(&roles);
    golden_items_free(&ids);
    golden_items_free(&mask);
}

static void mixtrals_tokens_are_those_of_transformers(void **state)
{
    (void)state;
    mo_tokenizer *tokenizer;
    if (!mo_path_exists(REAL)) {
        print_message("%s is not there\n", REAL);
        skip();
    }
    MO_CHECK_OK(mo_tokenizer_open(REAL, &tokenizer));
    check_golden(tokenizer, "real");
    mo_tokenizer_free(tokenizer);
}

static void a_small_models_tokens_are_those_of_transformers(void **state)
{
    (void)state;
    mo_tokenizer *tokenizer = golden_tokenizer("mixtral");
    check_golden(tokenizer, "small");
    mo_tokenizer_free(tokenizer);
}

/* ---- template files ---- */

static mo_chat_message say(mo_chat_role role, const char *text)
{
    return (mo_chat_message){role, text, strlen(text)};
}

static const char *write_template(const char *folder, const char *json)
{
    const char *path = temp_path(folder, "t.json");
    MO_CHECK_OK(mo_write_file(path, json, strlen(json)));
    return path;
}

static mo_chat_template *open_template(const char *folder, const char *json, const mo_tokenizer *tokenizer)
{
    mo_chat_template *t;
    MO_CHECK_OK(mo_chat_template_open(write_template(folder, json), tokenizer, &t));
    return t;
}

/* Of a bytes tokenizer: "read" stands for bytes that are not learnt, "LEARNT" likewise. */
static void check_bytes(const mo_chat_template *t, const mo_chat_message *m, int n, const char *parts[])
{
    mo_chat_tokens tokens;
    int64_t at = 0;
    MO_CHECK_OK(mo_chat_encode(t, m, n, false, &tokens));
    for (int p = 0; parts[p]; p++)
        for (const char *c = parts[p]; *c; c++, at++) {
            char byte = *c == '$' ? '\0' : *c; /* the end */
            assert_true(at < tokens.count);
            if (tokens.ids[at] != (unsigned char)byte || tokens.mask[at] != p % 2)
                fail_msg("byte %lld is %d (%d learnt), it should be %d (%d)", (long long)at, tokens.ids[at],
                         tokens.mask[at], byte, p % 2);
        }
    assert_int_equal(at, tokens.count);
    mo_chat_tokens_free(&tokens);
}

static const char TURNS[] = "{\"comment\": \"x\", \"bos\": \"{bos}#\", \"system\": \"S:{content};\", "
                            "\"user\": \"U:{content}{{}}\", \"reply\": \"A:\", "
                            "\"assistant\": \".{content}{eos}\", \"between\": \"|\"}";

static void a_files_pieces_are_where_they_belong(void **state)
{
    mo_tokenizer *bytes;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    mo_chat_template *t = open_template(*state, TURNS, bytes);
    mo_chat_message m[] = {say(MO_CHAT_SYSTEM, "be"), say(MO_CHAT_USER, "1{content}"),
                           say(MO_CHAT_ASSISTANT, "x"), say(MO_CHAT_USER, ""),
                           say(MO_CHAT_ASSISTANT, "{eos}")};
    size_t lead;
    assert_int_equal(mo_chat_end(t), 0);
    assert_true(mo_chat_is_mark(t, 0) && !mo_chat_is_mark(t, '#') && !mo_chat_is_mark(t, -2));
    assert_memory_equal(mo_chat_lead(t, &lead), ".", 1);
    assert_int_equal(lead, 1);
    check_bytes(t, m, 5, (const char *[]){"#S:be;U:1{content}{}A:", ".x$", "|U:{}A:", ".{eos}$", NULL});
    check_bytes(t, m + 1, 2, (const char *[]){"#U:1{content}{}A:", ".x$", NULL});
    mo_chat_template_free(t);
    MO_CHECK_OK(mo_chat_template_open("mixtral", bytes, &t));
    check_bytes(t, m, 4,
                (const char *[]){" [INST] be\n\n1{content} [/INST]", " x$", " [INST]  [/INST]", NULL});
    mo_chat_template_free(t);
    mo_tokenizer_free(bytes);
}

/* "symbols" has <sep> as a symbol that texts give, and the control token <mask>. */
static void a_message_cannot_give_the_templates_tokens(void **state)
{
    mo_tokenizer *symbols = golden_tokenizer("symbols");
    mo_chat_template *t = open_template(
        *state, "{\"user\": \"{<sep>}{content}\", \"assistant\": \"{content}{<mask>}\"}", symbols);
    mo_chat_message good[] = {say(MO_CHAT_USER, "<mask>"), say(MO_CHAT_ASSISTANT, "the")};
    mo_chat_message bad[] = {good[0], say(MO_CHAT_ASSISTANT, "a<sep>b")};
    mo_chat_tokens tokens;
    MO_CHECK_OK(mo_chat_encode(t, good, 2, false, &tokens));
    int64_t ends = 0;
    for (int64_t i = 0; i < tokens.count; i++) ends += tokens.ids[i] == mo_chat_end(t);
    assert_int_equal(ends, 1);
    assert_string_equal(mo_tokenizer_piece(symbols, tokens.ids[0]), "<sep>");
    mo_chat_tokens_free(&tokens);
    assert_int_equal(mo_chat_encode(t, bad, 2, false, &tokens), MO_E_FORMAT);
    assert_non_null(strstr(mo_last_error(), "message 2 (assistant) has the text of {<sep>}"));
    assert_null(tokens.ids);
    assert_int_equal(mo_chat_encode_next(t, "<sep>", 5, &tokens), MO_E_FORMAT);
    mo_chat_template_free(t);
    mo_tokenizer_free(symbols);

    mo_tokenizer *bytes;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(mo_chat_template_open("mixtral", bytes, &t));
    mo_chat_message nul[] = {{MO_CHAT_USER, "a\0b", 3}, say(MO_CHAT_ASSISTANT, "x")};
    assert_int_equal(mo_chat_encode(t, nul, 2, false, &tokens), MO_E_FORMAT);
    mo_chat_template_free(t);
    mo_tokenizer_free(bytes);
}

/* ---- what is refused ---- */

static void templates_that_say_nothing_are_refused(void **state)
{
    static const struct {
        const char *json, *message;
        mo_status status;
    } BAD[] = {
        {"", "is not JSON", MO_E_FORMAT},
        {"[]", "is no object", MO_E_FORMAT},
        {"{\"user\": \"{content}\"", "line 1: is not JSON", MO_E_FORMAT},
        {"{\"user\": 1}", "\"user\" must be a text", MO_E_FORMAT},
        {"{\"users\": \"\"}", "unknown key \"users\"", MO_E_FORMAT},
        {"{\"assistant\": \"{content}{eos}\"}", "has no \"user\"", MO_E_FORMAT},
        {"{\"user\": \"{content}\"}", "has no \"assistant\"", MO_E_FORMAT},
        {"{\"user\": \"{content}\", \"user\": \"{content}\"}", "duplicate", MO_E_FORMAT},
        {"{\"user\": \"\", \"assistant\": \"{content}{eos}\"}", "\"user\": has {content} 0 times",
         MO_E_FORMAT},
        {"{\"user\": \"{content}\", \"assistant\": \"{content}{content}{eos}\"}",
         "\"assistant\": has {content} 2 times", MO_E_FORMAT},
        {"{\"user\": \"{content}\", \"assistant\": \"{content}\"}", "must end with {content} and",
         MO_E_FORMAT},
        {"{\"user\": \"{content}\", \"assistant\": \"{content}{eos}.\"}", "must end with {content} and",
         MO_E_FORMAT},
        {"{\"user\": \"{content}\", \"assistant\": \"{content}.{eos}\"}", "must end with {content} and",
         MO_E_FORMAT},
        {"{\"user\": \"{content}\", \"assistant\": \"{content}{bos}\"}", "must end with {content} and",
         MO_E_FORMAT},
        {"{\"bos\": \"{content}\", \"user\": \"{content}\", \"assistant\": \"{content}{eos}\"}",
         "\"bos\": has {content} 1 times", MO_E_FORMAT},
        {"{\"user\": \"{system}{content}\", \"assistant\": \"{content}{eos}\"}", "there is no \"system\"",
         MO_E_FORMAT},
        {"{\"system\": \"{content}\", \"user\": \"{content}\", \"assistant\": \"{system}{content}{eos}\"}",
         "\"assistant\": has {system} 1 times", MO_E_FORMAT},
        {"{\"user\": \"{content}}\", \"assistant\": \"{content}{eos}\"}", "a '}' by itself, at byte 9",
         MO_E_FORMAT},
        {"{\"user\": \"{content\", \"assistant\": \"{content}{eos}\"}", "a '{' by itself", MO_E_FORMAT},
        {"{\"user\": \"{content}{}\", \"assistant\": \"{content}{eos}\"}", "{} names nothing", MO_E_FORMAT},
        {"{\"user\": \"{<|im_start|>}{content}\", \"assistant\": \"{content}{eos}\"}",
         "\"user\": {<|im_start|>}: the tokenizer has no such token", MO_E_MISMATCH},
    };
    mo_tokenizer *bytes;
    mo_chat_template *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        const char *path = write_template(*state, BAD[i].json);
        mo_status status = mo_chat_template_open(path, bytes, &t);
        if (status != BAD[i].status || !strstr(mo_last_error(), BAD[i].message) ||
            !strstr(mo_last_error(), "t.json"))
            fail_msg("%s: %s: %s", BAD[i].json, mo_status_name(status), mo_last_error());
        assert_null(t);
    }
    assert_int_equal(mo_chat_template_open("mixtrall", bytes, &t), MO_E_NOT_FOUND);
    assert_non_null(strstr(mo_last_error(), "'mixtrall' is no template"));
    char *large = mo_malloc(70000);
    memset(large, ' ', 70000);
    const char *path = temp_path(*state, "large.json");
    MO_CHECK_OK(mo_write_file(path, large, 70000));
    mo_free(large);
    assert_int_not_equal(mo_chat_template_open(path, bytes, &t), MO_OK);
    /* Without a tokenizer a template is only looked at. */
    MO_CHECK_OK(mo_chat_template_open("mixtral", NULL, &t));
    assert_null(t);
    mo_tokenizer_free(bytes);
    mo_tokenizer *endless = golden_tokenizer("symbols");
    assert_int_equal(mo_chat_template_open("mixtral", endless, &t), MO_E_MISMATCH);
    assert_non_null(strstr(mo_last_error(), "{eos}: the tokenizer has neither"));
    mo_tokenizer_free(endless);
}

static void orders_that_cannot_be_said_are_refused(void **state)
{
    static const struct {
        const char *roles, *message;
        bool reply;
    } BAD[] = {
        {"", "has no message of a user", false},
        {"s", "has no message of a user", false},
        {"a", "message 1 is of role \"assistant\", \"user\" was to come", false},
        {"uu", "message 2 is of role \"user\", \"assistant\" was to come", false},
        {"uaa", "message 3 is of role \"assistant\", \"user\" was to come", false},
        {"sua", NULL, false},
        {"ssu", "message 2 is of role \"system\", \"user\" was to come", false},
        {"usa", "message 2 is of role \"system\", \"assistant\" was to come", false},
        {"sa", "message 2 is of role \"assistant\"", false},
        {"ua", "message 2 is the assistant's, a user's must come before a reply", true},
        {"uau", NULL, true},
    };
    mo_tokenizer *bytes;
    mo_chat_tokens tokens;
    mo_chat_template *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(mo_chat_template_open("mixtral", bytes, &t));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        mo_chat_message m[4];
        int n = 0;
        for (const char *r = BAD[i].roles; *r; r++)
            m[n++] = say(*r == 's' ? MO_CHAT_SYSTEM : *r == 'u' ? MO_CHAT_USER : MO_CHAT_ASSISTANT, "x");
        mo_status status = mo_chat_encode(t, m, n, BAD[i].reply, &tokens);
        assert_int_equal(status, BAD[i].message ? MO_E_FORMAT : MO_OK);
        if (BAD[i].message && !strstr(mo_last_error(), BAD[i].message))
            fail_msg("%s: %s", BAD[i].roles, mo_last_error());
        mo_chat_tokens_free(&tokens);
    }
    mo_chat_template_free(t);
    t = open_template(*state, "{\"user\": \"{content}\", \"assistant\": \"{content}{eos}\"}", bytes);
    mo_chat_message m[] = {say(MO_CHAT_SYSTEM, "x"), say(MO_CHAT_USER, "x")};
    assert_int_equal(mo_chat_encode(t, m, 2, true, &tokens), MO_E_FORMAT);
    assert_non_null(strstr(mo_last_error(), "the template has no \"system\""));
    mo_chat_template_free(t);
    mo_tokenizer_free(bytes);
}

/* configs/templates: one for any tokenizer, one for tokenizers that have its tokens. */
static void the_examples_are_templates(void **state)
{
    (void)state;
    mo_tokenizer *bytes;
    mo_chat_template *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(mo_chat_template_open("configs/templates/plain.json", bytes, &t));
    mo_chat_message m[] = {say(MO_CHAT_SYSTEM, "Be."), say(MO_CHAT_USER, "a"), say(MO_CHAT_ASSISTANT, "b"),
                           say(MO_CHAT_USER, "c"), say(MO_CHAT_ASSISTANT, "d")};
    check_bytes(t, m, 5,
                (const char *[]){"Be.\n\n### Instruction:\na\n\n### Response:\n", "b$",
                                 "\n\n### Instruction:\nc\n\n### Response:\n", "d$", NULL});
    mo_chat_template_free(t);
    assert_int_equal(mo_chat_template_open("configs/templates/chatml.json", bytes, &t), MO_E_MISMATCH);
    MO_CHECK_OK(mo_chat_template_open("configs/templates/chatml.json", NULL, &t));
    mo_tokenizer_free(bytes);
}

static mo_status open_and_encode(const char *path, const mo_tokenizer *tokenizer)
{
    mo_chat_message m[] = {say(MO_CHAT_SYSTEM, "s"), say(MO_CHAT_USER, "1"), say(MO_CHAT_ASSISTANT, "x")};
    mo_chat_template *t;
    mo_chat_tokens tokens;
    MO_TRY(mo_chat_template_open(path, tokenizer, &t));
    mo_status status = mo_chat_encode(t, m, 3, false, &tokens);
    mo_chat_tokens_free(&tokens);
    mo_chat_template_free(t);
    return status;
}

static void no_memory_is_told(void **state)
{
    mo_tokenizer *bytes;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    const char *path = write_template(*state, TURNS);
    int64_t failed;
    MO_CHECK_EACH_ALLOCATION(failed, open_and_encode(path, bytes));
    assert_true(failed > 20);
    mo_tokenizer_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixtrals_tokens_are_those_of_transformers),
        cmocka_unit_test(a_small_models_tokens_are_those_of_transformers),
        cmocka_unit_test(a_files_pieces_are_where_they_belong),
        cmocka_unit_test(a_message_cannot_give_the_templates_tokens),
        cmocka_unit_test(templates_that_say_nothing_are_refused),
        cmocka_unit_test(the_examples_are_templates),
        cmocka_unit_test(no_memory_is_told),
        cmocka_unit_test(orders_that_cannot_be_said_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
