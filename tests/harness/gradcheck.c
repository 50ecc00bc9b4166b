#include "harness/gradcheck.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double STEP = 1e-5, TOLERANCE = 1e-6;
static const mo_recompute POLICIES[] = {MO_RECOMPUTE_NONE, MO_RECOMPUTE_BLOCK, MO_RECOMPUTE_FULL};

static void *copy_of(const void *from, size_t size)
{
    void *copy = malloc(size ? size : 1);
    if (!copy) fail_msg("out of memory");
    memcpy(copy, from, size);
    return copy;
}

static void analytic(op_graph *t)
{
    op_graph_zero_grads(t);
    mo_graph_forward(t->g, &t->run);
    mo_graph_backward(t->g, &t->run);
}

/* What the graph decided (integer outputs) must not depend on h, or the difference is meaningless. */
static void save_choices(const op_graph *t, void **saved)
{
    for (int j = 0; j < t->n_out; j++)
        saved[j] = t->out[j]->dtype == MO_I32 ? copy_of(t->out[j]->data, mo_tensor_bytes(t->out[j])) : NULL;
}

static void check_choices(const op_graph *t, void *const *saved, int i, int64_t e)
{
    for (int j = 0; j < t->n_out; j++)
        if (saved[j] && memcmp(saved[j], t->out[j]->data, mo_tensor_bytes(t->out[j])) != 0)
            fail_msg("%s, %s: output %d changes when %s[%lld] moves by h: give the case a margin", t->c->op,
                     t->c->name, j, t->c->in[i].name, (long long)e);
}

static double difference(op_graph *t, int i, int64_t e, void *const *choices)
{
    mo_real *x = (mo_real *)t->in[i]->data + e, old = *x;
    double h = STEP * fmax(1, fabs((double)old));
    *x = (mo_real)((double)old + h);
    double up_at = (double)*x, up = op_graph_forward(t);
    check_choices(t, choices, i, e);
    *x = (mo_real)((double)old - h);
    double down_at = (double)*x, down = op_graph_forward(t);
    check_choices(t, choices, i, e);
    *x = old;
    return (up - down) / (up_at - down_at);
}

/* The largest |error| of input i, whose gradient by backward is a. */
static double check_input(op_graph *t, int i, const mo_real *a, void *const *choices)
{
    int64_t count = op_input_count(&t->c->in[i]), worst = 0;
    double *n = malloc((size_t)count * sizeof *n), largest = 0, most = -1;
    if (!n) fail_msg("out of memory");
    for (int64_t e = 0; e < count; e++) {
        n[e] = difference(t, i, e, choices);
        largest = fmax(largest, fabs(n[e]));
    }
    for (int64_t e = 0; e < count; e++) {
        double scale = fmax(fmax(fabs((double)a[e]), fabs(n[e])), fmax(0.01 * largest, 1e-3));
        double error = fabs((double)a[e] - n[e]) / scale;
        if (error <= most) continue;
        most = error;
        worst = e;
        if (!(error <= TOLERANCE)) break; /* a NaN ends here */
    }
    double wanted = n[worst];
    free(n);
    if (!(most <= TOLERANCE))
        fail_msg("%s, %s: d%s[%lld] is %.12g, by differences %.12g: error %.3g, allowed %.0e", t->c->op,
                 t->c->name, t->c->in[i].name, (long long)worst, (double)a[worst], wanted, most, TOLERANCE);
    if (!(largest > 1e-4))
        fail_msg("%s, %s: the gradient of %s is zero everywhere, so it was not tested", t->c->op, t->c->name,
                 t->c->in[i].name);
    return most;
}

static double check_numerically(op_graph *t)
{
    double most = 0;
    void *choices[OP_CASE_OUTPUTS], *a[OP_CASE_INPUTS] = {NULL};
    save_choices(t, choices);
    for (int i = 0; i < t->n_in; i++)
        if (op_graph_grad(t, i))
            a[i] = copy_of(op_graph_grad(t, i), (size_t)op_input_count(&t->c->in[i]) * sizeof(mo_real));
    for (int i = 0; i < t->n_in; i++)
        if (a[i]) most = fmax(most, check_input(t, i, a[i], choices));
    for (int i = 0; i < t->n_in; i++) free(a[i]);
    for (int j = 0; j < t->n_out; j++) free(choices[j]);
    return most;
}

static void check_policy(const op_graph *first, const op_case *c, op_mode mode)
{
    op_graph t;
    op_graph_open(&t, c, mode);
    analytic(&t);
    for (int i = 0; i < t.n_in; i++) {
        const mo_real *a = op_graph_grad(first, i), *b = op_graph_grad(&t, i);
        if ((a != NULL) != (b != NULL) ||
            (a && memcmp(a, b, (size_t)op_input_count(&c->in[i]) * sizeof *a) != 0))
            fail_msg("%s, %s: the gradient of %s under recompute policy %d is not that without", c->op,
                     c->name, c->in[i].name, mode.recompute);
    }
    op_graph_close(&t);
}

/* error < 0: nothing to differentiate. */
static void record(const op_case *c, double error)
{
    const char *dir = getenv("MO_GRADCHECK_DIR");
    if (!dir || sizeof(mo_real) != sizeof(double)) return;
    char *path = mo_path_join(dir, program_invocation_short_name);
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) fail_msg("cannot append to %s in %s: %s", program_invocation_short_name, dir, strerror(errno));
    fprintf(file, "%s\t%s\t%.3g\n", c->op, c->name, error);
    if (fclose(file) != 0) fail_msg("cannot write to %s", path);
    mo_free(path);
}

void gradcheck(const op_case *c)
{
    double most = -1;
    for (int all = 0; all < 2; all++) {
        unsigned shared = all ? OP_SHARED_ALL : 0;
        op_graph t;
        op_graph_open(&t, c, (op_mode){.shared = shared});
        bool any = false;
        for (int i = 0; i < t.n_in; i++) {
            any = any || c->in[i].grad;
            if (c->in[i].grad && !op_graph_grad(&t, i))
                fail_msg("%s, %s: no gradient flows into %s", c->op, c->name, c->in[i].name);
        }
        analytic(&t);
        for (size_t p = 1; p < sizeof POLICIES / sizeof *POLICIES; p++)
            check_policy(&t, c, (op_mode){.shared = shared, .recompute = POLICIES[p]});
        if (sizeof(mo_real) == sizeof(double) && any) most = fmax(most, check_numerically(&t));
        op_graph_close(&t);
    }
    record(c, most);
}
