/* test_memory.c -- the heap and its planned failures, mapped pages, what the system says; clock, threads. */
#include "harness/harness.h"

#include <omp.h>
#include <string.h>

static void nth_allocation_fails_once(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        mo__alloc_fail_after(n);
        for (int i = 0; i < 6; i++) {
            mo_error_clear();
            void *memory = mo_malloc(8);
            assert_int_equal(memory == NULL, i == n);
            assert_int_equal(mo_last_error()[0] == '\0', i != n);
            mo_free(memory);
        }
    }
    mo__alloc_fail_after(-1);
}

static void every_kind_of_allocation_can_fail(void **state)
{
    (void)state;
    char *kept = mo_strdup("kept");
    void *pages = kept;
    int64_t live = mo__alloc_live();
    mo__alloc_fail_after(0);
    assert_null(mo_calloc(2, 3));
    mo__alloc_fail_after(0);
    assert_null(mo_realloc(NULL, 3));
    mo__alloc_fail_after(0);
    assert_null(mo_realloc(kept, 3));
    mo__alloc_fail_after(0);
    assert_null(mo_strdup("x"));
    mo__alloc_fail_after(0);
    assert_null(mo_strprintf("%d", 1));
    mo__alloc_fail_after(0);
    MO_CHECK_STATUS(mo_pages_alloc(4096, &pages), MO_E_MEMORY);
    assert_null(pages);
    assert_int_equal(mo__alloc_live(), live);
    assert_string_equal(kept, "kept");
    mo_free(kept);
    assert_int_equal(mo__alloc_live(), live - 1);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(mo_calloc(SIZE_MAX / 2, 3));
    MO_CHECK_MESSAGE("9223372036854775807 items of 3 bytes");
    assert_null(mo_malloc(SIZE_MAX / 4));
    MO_CHECK_MESSAGE("4611686018427387903");
    void *pages;
    MO_CHECK_STATUS(mo_pages_alloc(SIZE_MAX / 4, &pages), MO_E_MEMORY);
    assert_null(pages);
}

static void small_allocations_hold_what_they_should(void **state)
{
    (void)state;
    int64_t live = mo__alloc_live();
    void *none = mo_malloc(0);
    assert_non_null(none);
    unsigned char *zero = mo_calloc(100, 3);
    for (int i = 0; i < 300; i++) assert_int_equal(zero[i], 0);
    zero[7] = 9;
    zero = mo_realloc(zero, 5000);
    assert_int_equal(zero[7], 9);
    char *text = mo_strprintf("%s-%05d", "seed", 42);
    assert_string_equal(text, "seed-00042");
    assert_int_equal(mo__alloc_live(), live + 3);
    mo_free(none);
    mo_free(zero);
    mo_free(text);
    mo_free(NULL);
    assert_int_equal(mo__alloc_live(), live);
}

static void pages_are_zero_aligned_and_counted(void **state)
{
    (void)state;
    size_t size = ((size_t)32 << 20) + 12345;
    uint64_t before = mo_memory_peak_rss();
    int64_t live = mo__alloc_live();
    void *memory;
    MO_CHECK_OK(mo_pages_alloc(size, &memory));
    assert_int_equal((uintptr_t)memory % 64, 0);
    assert_int_equal(mo__alloc_live(), live + 1);
    unsigned char *bytes = memory;
    for (size_t i = 0; i < size; i += 997) assert_int_equal(bytes[i], 0);
    memset(memory, 1, size);
    assert_in_range(mo_memory_peak_rss(), before + (16 << 20), before + (256 << 20));
    mo_pages_free(memory, size);
    assert_int_equal(mo__alloc_live(), live);
    MO_CHECK_OK(mo_pages_alloc(0, &memory));
    assert_null(memory);
    mo_pages_free(memory, 0);
}

static void available_memory_is_between_nothing_and_the_machine(void **state)
{
    (void)state;
    unsigned long long total = 0;
    FILE *info = fopen("/proc/meminfo", "r");
    assert_non_null(info);
    assert_int_equal(fscanf(info, "MemTotal: %llu", &total), 1);
    fclose(info);
    assert_in_range(mo_memory_available(), 1 << 20, total * 1024);
}

static void clock_goes_forward_in_seconds(void **state)
{
    (void)state;
    double start = mo_clock(), wall = omp_get_wtime();
    while (omp_get_wtime() - wall < 0.05) {
    }
    double took = mo_clock() - start;
    assert_true(took >= 0.0499);
    assert_true(took < 5);
}

static void thread_count_is_what_was_set(void **state)
{
    (void)state;
    assert_true(mo_cores() >= 1);
    for (int count = 1; count <= 3; count++) {
        int seen = 0;
        mo_threads_set(count);
        assert_int_equal(mo_threads(), count);
#pragma omp parallel
#pragma omp single
        seen = omp_get_num_threads();
        assert_int_equal(seen, count);
    }
    mo_threads_set(0);
    assert_int_equal(mo_threads(), mo_cores());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nth_allocation_fails_once),
        cmocka_unit_test(every_kind_of_allocation_can_fail),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(small_allocations_hold_what_they_should),
        cmocka_unit_test(pages_are_zero_aligned_and_counted),
        cmocka_unit_test(available_memory_is_between_nothing_and_the_machine),
        cmocka_unit_test(clock_goes_forward_in_seconds),
        cmocka_unit_test(thread_count_is_what_was_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
