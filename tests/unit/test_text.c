/* test_text.c -- "did you mean", globs, bytes that are no UTF-8. */
#include "harness/harness.h"

#include <string.h>

#include "base/utf8.h"

static const char *const KEYS[] = {
    "model.hidden_size",
    "model.num_local_experts",
    "model.num_experts_per_tok",
    "optimizer.learning_rate",
    "train.steps",
    "train.batch_size",
    "model.router_jitter_noise",
    "model.router",
    "k",
};

static void check_nearest(const char *word, const char *expected)
{
    const char *nearest = mo_nearest_name(word, KEYS, sizeof KEYS / sizeof *KEYS);
    if (expected) {
        assert_non_null(nearest);
        assert_string_equal(nearest, expected);
    } else {
        assert_null(nearest);
    }
}

static void typing_errors_find_their_key(void **state)
{
    (void)state;
    check_nearest("model.hiden_size", "model.hidden_size");
    check_nearest("model.num_experts", "model.num_local_experts");
    check_nearest("optimizer.learnign_rate", "optimizer.learning_rate");
    check_nearest("trian.stpes", "train.steps");
    check_nearest("train.steps", "train.steps");
    check_nearest("model.router_jitter", "model.router_jitter_noise");
}

static void strange_words_find_nothing(void **state)
{
    (void)state;
    check_nearest("tokenizer", NULL);
    check_nearest("x", NULL);
    check_nearest("", NULL);
    char endless[200];
    for (size_t i = 0; i < sizeof endless - 1; i++) endless[i] = 'a';
    endless[sizeof endless - 1] = '\0';
    check_nearest(endless, NULL);
    assert_null(mo_nearest_name("word", NULL, 0));
}

/* One swap is one edit (Damerau), so "abdc" is nearer to "abcd" than "abdx" is by an edit and a swap. */
static void a_swap_is_one_edit_and_the_first_wins(void **state)
{
    (void)state;
    static const char *const SWAP[] = {"abxx", "abcd"};
    assert_string_equal(mo_nearest_name("abdc", SWAP, 2), "abcd");
    static const char *const TIE[] = {"abcx", "abcy"};
    assert_string_equal(mo_nearest_name("abcd", TIE, 2), "abcx");
}

static void globs_match_whole_names(void **state)
{
    (void)state;
    assert_true(mo_glob_match("*.gate.weight", "layers.3.moe.gate.weight"));
    assert_false(mo_glob_match("*.gate.weight", "layers.3.moe.gate.weight2"));
    assert_false(mo_glob_match("gate.weight", "layers.3.moe.gate.weight"));
    assert_true(mo_glob_match("layers.?.attn.*", "layers.7.attn.q_proj"));
    assert_false(mo_glob_match("layers.?.attn.*", "layers.17.attn.q_proj"));
    assert_true(mo_glob_match("*", ""));
    assert_true(mo_glob_match("**", "a/b"));
    assert_true(mo_glob_match("", ""));
    assert_false(mo_glob_match("", "a"));
    assert_false(mo_glob_match("?", ""));
    assert_true(mo_glob_match("*ab*abc", "abababc"));
    assert_true(mo_glob_match("a*b*c", "a--b--b--c"));
    assert_false(mo_glob_match("a*b*c", "a--c--b"));
    assert_false(mo_glob_match("[ab]", "a"));
}

/* Backtracking only to the last star: a recursive matcher would take longer than the universe. */
static void many_stars_take_no_time(void **state)
{
    (void)state;
    char text[2001], pattern[101];
    for (size_t i = 0; i < 2000; i++) text[i] = 'a';
    for (size_t i = 0; i < 98; i += 2) pattern[i] = '*', pattern[i + 1] = 'a';
    pattern[98] = 'b';
    pattern[99] = text[2000] = '\0';
    assert_false(mo_glob_match(pattern, text));
}

/* At every offset, so that the eight bytes that are looked at together begin everywhere. */
static void invalid_bytes_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t invalid;
    } CASES[] = {{"", 0},
                 {"plain", 0},
                 {"na\xC3\xAFve \xF0\x9F\x99\x82", 0},
                 {"\xFF", 1},
                 {"a\xC3", 1},
                 {"\xC3 \xA9", 2},
                 {"\xE6\x97", 2},
                 {"\xED\xA0\x80", 3},
                 {"\xC0\xAF", 2},
                 {"\xF4\x90\x80\x80", 4},
                 {"\xF0\x9F\x99\xF0\x9F\x99\x82", 3},
                 {"\x80\x80\x80\x80\x80\x80\x80\x80\x80", 9}};
    char text[64];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (size_t before = 0; before < 12; before++) {
            size_t size = strlen(CASES[i].text);
            memset(text, 'x', sizeof text);
            memcpy(text + before, CASES[i].text, size);
            assert_int_equal(mo_utf8_invalid(text, before + size), CASES[i].invalid);
            assert_int_equal(mo_utf8_invalid(text, before + size + 13), CASES[i].invalid);
        }
    /* NUL is a character; what the size cuts short is none. */
    assert_int_equal(mo_utf8_invalid("a\0b\0\0\0\0\0\0", 9), 0);
    assert_int_equal(mo_utf8_invalid("\xF0\x9F\x99\x82", 3), 3);
    uint32_t point = 0;
    assert_int_equal(mo__utf8_at("\xF0\x9F\x99\x82", 4, &point), 4);
    assert_int_equal(point, 0x1F642);
    assert_int_equal(mo__utf8_at("\xF0\x9F\x99\x82", 3, &point), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invalid_bytes_are_counted),  cmocka_unit_test(typing_errors_find_their_key),
        cmocka_unit_test(strange_words_find_nothing), cmocka_unit_test(a_swap_is_one_edit_and_the_first_wins),
        cmocka_unit_test(globs_match_whole_names),    cmocka_unit_test(many_stars_take_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
