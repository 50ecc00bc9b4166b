/* test_show.c -- tokens as people read them: one line, no bytes that command a terminal, nothing lost. */
#include "harness/harness.h"

#include <string.h>

#include <moira/tokenizer.h>

static void check_shown(const mo_tokenizer *t, int32_t id, const char *wanted)
{
    char *text = mo_tokenizer_show(t, id);
    assert_string_equal(text, wanted);
    mo_free(text);
}

static void test_bytes(void **state)
{
    (void)state;
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    char *shown[256];
    for (int b = 0; b < 256; b++) {
        shown[b] = mo_tokenizer_show(t, b);
        for (const char *c = shown[b]; *c; c++) assert_true(*c >= 0x20 && *c < 0x7F);
        for (int a = 0; a < b; a++) assert_string_not_equal(shown[a], shown[b]);
    }
    assert_string_equal(shown[' '], " ");
    assert_string_equal(shown['a'], "a");
    assert_string_equal(shown['<'], "<");
    assert_string_equal(shown['\n'], "\\n");
    assert_string_equal(shown['\\'], "\\\\");
    assert_string_equal(shown['"'], "\\\"");
    assert_string_equal(shown[0], "\\x00");
    assert_string_equal(shown[0x1B], "\\x1B");
    assert_string_equal(shown[0x7F], "\\x7F");
    assert_string_equal(shown[0xC3], "\\xC3");
    for (int b = 0; b < 256; b++) mo_free(shown[b]);
    mo_tokenizer_free(t);
}

/* With what cannot be seen, or turns the line round. */
static const char line[] =
    "the cat \"sat\" z\xE2\x80\x8By r\xE2\x80\xAEl \xC2\xA0w e\xCC\x81 \xF3\xA0\x80\x81q "
    "\xE6\x97\xA5 \xF0\x9F\x99\x82\n";

static mo_status next_line(void *user, const char **text, size_t *size)
{
    int *left = user;
    *text = line;
    *size = (*left)-- > 0 ? sizeof line - 1 : 0;
    return MO_OK;
}

static int32_t id_of(const mo_tokenizer *t, const char *text)
{
    int64_t vocab = mo_tokenizer_vocab_size(t);
    for (int32_t id = 0; id < vocab; id++)
        if (strcmp(mo_tokenizer_piece(t, id), text) == 0) return id;
    fail_msg("the tokenizer has no piece '%s'", text);
    return -1;
}

static void test_pieces(void **state)
{
    (void)state;
    mo_tokenizer *t;
    int left = 200;
    MO_CHECK_OK(mo_tokenizer_train(
        &(mo_tokenizer_train_options){.vocab_size = 300, .next = next_line, .user = &left}, &t));
    check_shown(t, id_of(t, "<s>"), "<s>");
    check_shown(t, id_of(t, "<unk>"), "<unk>");
    check_shown(t, id_of(t, "<0x0A>"), "\\n");
    check_shown(t, id_of(t, "<0x1B>"), "\\x1B");
    check_shown(t, id_of(t, "<0xE2>"), "\\xE2");
    check_shown(t, id_of(t, "\xE2\x96\x81"), " ");
    check_shown(t, id_of(t, "\xE2\x96\x81the"), " the");
    check_shown(t, id_of(t, "\""), "\\\"");
    check_shown(t, id_of(t, "\xE2\x80\x8B"), "\\u200B");
    check_shown(t, id_of(t, "\xE2\x80\xAE"), "\\u202E");
    check_shown(t, id_of(t, "\xC2\xA0"), "\\u00A0");
    check_shown(t, id_of(t, "\xF3\xA0\x80\x81"), "\\U000E0001");
    check_shown(t, id_of(t, "\xE6\x97\xA5"), "\xE6\x97\xA5");
    check_shown(t, id_of(t, "\xF0\x9F\x99\x82"), "\xF0\x9F\x99\x82");
    mo_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes), cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
