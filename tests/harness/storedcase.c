#include "harness/storedcase.h"

#include <math.h>

#include "harness/contract.h"
#include "harness/gradcheck.h"

/* Elements of a weight, at most, of cases that are small enough for differences. */
enum { MOST_CHECKED = 1000 };

static void both(op_graph *t)
{
    op_graph_zero_grads(t);
    mo_graph_forward(t->g, &t->run);
    mo_graph_backward(t->g, &t->run);
}

static double at(const mo_tensor *t, const void *data, int64_t i)
{
    return t->dtype == MO_F64 ? ((const double *)data)[i] : (double)((const mo_real *)data)[i];
}

static void check_close(const op_case *c, const mo_tensor *t, const void *got, const void *want,
                        double tolerance, const char *what)
{
    double largest = 0;
    int64_t n = mo_tensor_count(t);
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(at(t, want, i)));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(at(t, got, i) - at(t, want, i)) <= tolerance * largest))
            fail_msg("%s, %s, %s: element %lld is %.9g, with the weight in memory %.9g", c->op, c->name, what,
                     (long long)i, at(t, got, i), at(t, want, i));
}

static void check_against_memory(const op_case *stored, int weight, double tolerance)
{
    op_case memory = *stored;
    memory.in[weight].stored = false;
    op_graph a, b;
    op_graph_open(&a, stored, (op_mode){.readable = true});
    op_graph_open(&b, &memory, (op_mode){.readable = true});
    assert_null(a.in[weight]->data);
    assert_null(a.in[weight]->grad);
    both(&a);
    both(&b);
    for (int j = 0; j < a.n_out; j++)
        if (a.out[j]->dtype != MO_I32)
            check_close(stored, a.out[j], a.out[j]->data, b.out[j]->data, tolerance, "output");
    for (int i = 0; i < a.n_in; i++)
        if (op_graph_grad(&a, i))
            check_close(stored, a.in[i], op_graph_grad(&a, i), op_graph_grad(&b, i), tolerance,
                        stored->in[i].name);
    op_graph_close(&a);
    op_graph_close(&b);
}

void stored_check(const op_case *c, int weight, double tolerance)
{
    static const mo_dtype dtypes[] = {MO_BF16, MO_F16, MO_F32};
    for (int d = 0; d < 3; d++) {
        char name[96];
        snprintf(name, sizeof name, "%s, %s", c->name, mo_dtype_name(dtypes[d]));
        op_case stored = *c;
        stored.name = name;
        stored.in[weight].role = MO_ROLE_PARAM;
        stored.in[weight].grad = false;
        stored.in[weight].rounded = dtypes[d];
        stored.in[weight].stored = true;
        contract(&stored);
        if (op_input_count(&c->in[weight]) <= MOST_CHECKED) gradcheck(&stored);
        check_against_memory(&stored, weight, tolerance);
    }
}
