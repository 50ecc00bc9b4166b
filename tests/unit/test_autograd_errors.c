/* test_autograd_errors.c -- what a graph refuses: once failed it stays so, with its first message. */
#include "graph_small.h"

static void test_sticky(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    MO_CHECK_OK(mo_graph_status(g));
    mo_tensor *a = mo_graph_input(g, "a", MO_REAL, 2, (int64_t[]){2, 3}, true);
    mo_tensor *b = mo_graph_input(g, "b", MO_REAL, 2, (int64_t[]){3, 2}, true);
    assert_null(mo_add(g, a, b));
    MO_CHECK_STATUS(mo_graph_status(g), MO_E_SHAPE);
    assert_null(mo_softmax(g, a));
    assert_null(mo_add(g, NULL, a));
    assert_null(mo_graph_input(g, "c", MO_REAL, 1, (int64_t[]){1}, false));
    assert_null(mo_graph_param(g, "c", 1, (int64_t[]){0}, NULL, NULL));
    assert_int_equal(mo_graph_loss(g, a), -1);
    mo_graph_output(g, a);
    mo_error(MO_E_RANGE, "something else");
    mo_graph_fail(g, MO_E_RANGE);
    MO_CHECK_STATUS(mo_graph_plan(g, &(mo_plan){.backward = true}), MO_E_SHAPE);
    MO_CHECK_MESSAGE("add: [2, 3] and [3, 2] do not fit");
    mo_graph_free(g);
}

/* A constructor that was given NULL by one that failed says nothing of its own. */
static void test_null_input(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    assert_null(mo_softmax(g, NULL));
    assert_int_equal(mo_graph_loss(g, NULL), -1);
    mo_graph_output(g, NULL);
    MO_CHECK_OK(mo_graph_status(g));
    mo_graph_free(g);
    mo_graph_free(NULL);
}

static void check_input_refused(int ndim, const int64_t *dim, const char *text)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    assert_null(mo_graph_input(g, "tokens", MO_REAL, ndim, dim, false));
    MO_CHECK_STATUS(mo_graph_status(g), MO_E_SHAPE);
    MO_CHECK_MESSAGE(text);
    mo_graph_free(g);
}

static void test_dimensions(void **state)
{
    (void)state;
    check_input_refused(2, (int64_t[]){4, 0}, "tokens: dimension 1 is 0");
    check_input_refused(1, (int64_t[]){-3}, "tokens: dimension 0 is -3");
    check_input_refused(3, (int64_t[]){INT64_C(1) << 31, INT64_C(1) << 31, 2}, "dimension 1 is 2147483648");
}

static void test_loss_refused(void **state)
{
    (void)state;
    mo_graph *g;
    for (int twice = 0; twice < 2; twice++) {
        MO_CHECK_OK(mo_graph_create(&g));
        mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 1, (int64_t[]){1}, true);
        mo_tensor *sum = test_weighted_sum(g, x, x);
        if (twice) assert_int_equal(mo_graph_loss(g, sum), 0);
        assert_int_equal(mo_graph_loss(g, twice ? sum : x), -1);
        MO_CHECK_STATUS(mo_graph_status(g), MO_E_SHAPE);
        MO_CHECK_MESSAGE(twice ? "weighted_sum.0: is a loss already" : "x: a loss must be one float64");
        mo_graph_free(g);
    }
}

static mo_status build_plan_dump(void)
{
    mo_graph *g;
    char *text = NULL;
    MO_TRY(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){2, 3}, true), *y = x;
    for (int i = 0; i < 70; i++) y = mo_add(g, mo_softmax(g, y), x);
    if (y) mo_graph_loss(g, test_weighted_sum(g, y, x));
    mo_status status = mo_graph_status(g);
    if (status == MO_OK) status = mo_graph_plan(g, &(mo_plan){.backward = true});
    if (status == MO_OK) status = mo_graph_bind(g, NULL);
    if (status == MO_OK) status = mo_graph_dot(g, &text);
    mo_free(text);
    mo_graph_free(g);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    int64_t count, live = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(count, build_plan_dump());
    for (int64_t n = count; n < count + 20; n++) { /* the run that went well was not one that hid a failure */
        mo__alloc_fail_after(n);
        MO_CHECK_OK(build_plan_dump());
        mo__alloc_fail_after(-1);
    }
    assert_in_range(count, 10, 1000);
    assert_int_equal(mo__alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sticky), cmocka_unit_test(test_null_input),
                                       cmocka_unit_test(test_dimensions), cmocka_unit_test(test_loss_refused),
                                       cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
