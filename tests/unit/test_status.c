/* test_status.c -- status names, messages, the log. */
#include "harness/harness.h"

#include <string.h>

static void every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
    for (int i = 0; i < MO_STATUS_COUNT; i++) {
        assert_true(strlen(mo_status_name((mo_status)i)) > 0);
        assert_true(strlen(mo_status_text((mo_status)i)) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(mo_status_name((mo_status)i), mo_status_name((mo_status)j));
    }
    assert_string_equal(mo_status_name(MO_E_NOT_FOUND), "not found");
    assert_string_equal(mo_status_name(MO_STATUS_COUNT), "unknown");
}

static void error_keeps_its_message(void **state)
{
    (void)state;
    assert_int_equal(mo_error(MO_E_RANGE, "batch: size is %d, must be positive", -3), MO_E_RANGE);
    assert_string_equal(mo_last_error(), "batch: size is -3, must be positive");
    mo_error_clear();
    assert_string_equal(mo_last_error(), "");
}

static void context_goes_in_front(void **state)
{
    (void)state;
    mo_error(MO_E_FORMAT, "no tokens");
    assert_int_equal(mo_error_context(MO_E_FORMAT, "group %s", "/train"), MO_E_FORMAT);
    mo_error_context(MO_E_FORMAT, "corpus.h5");
    assert_string_equal(mo_last_error(), "corpus.h5: group /train: no tokens");
}

static void message_may_quote_the_last_one(void **state)
{
    (void)state;
    mo_error(MO_E_IO, "disk full");
    mo_error(MO_E_IO, "cannot save (%s), %s again", mo_last_error(), mo_last_error());
    assert_string_equal(mo_last_error(), "cannot save (disk full), disk full again");
}

static void overlong_message_ends_in_dots(void **state)
{
    (void)state;
    mo_error(MO_E_IO, "%09000d", 7);
    size_t length = strlen(mo_last_error());
    assert_in_range(length, 1000, 8999);
    assert_string_equal(mo_last_error() + length - 4, "0...");
    mo_error_context(MO_E_IO, "file");
    assert_memory_equal(mo_last_error(), "file: 000", 9);
    assert_int_equal(strlen(mo_last_error()), length);
}

static mo_status count_to(int *calls, int end)
{
    for (int i = 0;; i++) {
        *calls = i;
        MO_TRY(i < end ? MO_OK : MO_E_INTERNAL);
    }
}

static void try_returns_the_first_failure(void **state)
{
    (void)state;
    int calls;
    assert_int_equal(count_to(&calls, 3), MO_E_INTERNAL);
    assert_int_equal(calls, 3);
}

static void each_thread_has_its_own_message(void **state)
{
    (void)state;
    bool own[4] = {false, false, false, false};
    mo_error(MO_E_IO, "before");
#pragma omp parallel for num_threads(4) schedule(static, 1)
    for (int i = 0; i < 4; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "thread %d", i);
        mo_error(MO_E_IO, "thread %d", i);
        for (double end = mo_clock() + 0.01; mo_clock() < end;) {
        }
        own[i] = strcmp(mo_last_error(), expected) == 0;
    }
    for (int i = 0; i < 4; i++) assert_true(own[i]);
}

typedef struct heard {
    int count;
    mo_log_level level;
    char text[64];
} heard;

static void listen(mo_log_level level, const char *message, void *user)
{
    heard *h = user;
    h->count++;
    h->level = level;
    snprintf(h->text, sizeof h->text, "%s", message);
}

static void log_goes_to_the_listener(void **state)
{
    (void)state;
    heard h = {0};
    mo_log(MO_LOG_INFO, "nobody listens");
    mo_log_set(listen, &h);
    mo_log(MO_LOG_WARNING, "layer %d: expert %d is dead", 2, 5);
    assert_int_equal(h.level, MO_LOG_WARNING);
    assert_string_equal(h.text, "layer 2: expert 5 is dead");
    mo_log_set(NULL, NULL);
    mo_log(MO_LOG_INFO, "nobody listens again");
    assert_int_equal(h.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_text),
        cmocka_unit_test(error_keeps_its_message),
        cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(message_may_quote_the_last_one),
        cmocka_unit_test(overlong_message_ends_in_dots),
        cmocka_unit_test(try_returns_the_first_failure),
        cmocka_unit_test(each_thread_has_its_own_message),
        cmocka_unit_test(log_goes_to_the_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
